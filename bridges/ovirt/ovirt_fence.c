/* host_fence and host_status: oVirt's own power management of another host, by POST /hosts/ID/fence. "off" is answered only once oVirt's
 * status says off; off already counts as off. While the setting leaves fencing to oVirt only the status is asked: two that fence the same
 * host would power it off under the VMs the other has just started on it. */
#include "bridges/ovirt/ovirt_site.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define LOOK_US (2 * US_PER_S)
#define OWN_US  (3 * US_PER_MINUTE)

typedef enum { STATUS_FIRST, ACT, STATUS_AFTER } Stage;

typedef struct Fencing {
    SiteHost *by;
    HostCall *call;
    char *host, *method;   /* "off" "on" "reboot" "status" */
    Stage stage;
    OvirtCall *request;
    guint timer;
    int64_t deadline_us;
    bool already, uncertain, was_off;
} Fencing;

static void post(Fencing *fencing, Stage stage, const char *type);

static void fencing_free(Fencing *fencing)
{
    ovirt_call_drop(fencing->request);
    g_clear_handle_id(&fencing->timer, g_source_remove);
    g_free(fencing->host);
    g_free(fencing->method);
    g_free(fencing);
}

static void fencing_end(Fencing *fencing, const char *error, const char *state, const char *text)
{
    Value *values = value_map();

    value_set(values, "level", value_int(VALUE_INT32, 1));
    value_set(values, "already", value_bool(fencing->already));
    log_notice("host_fence %s %s: %s%s%s", fencing->method, fencing->host, error == NULL ? state : "failed", text != NULL ? ": " : "", text != NULL ? text : "");
    if (error == NULL)
        host_call_done(fencing->call, state, values, text);
    else
        host_call_failed(fencing->call, error, values, text);
    g_ptr_array_remove_fast(fencing->by->site->fencings, fencing);
    fencing_free(fencing);
}

static gboolean on_timer(void *user)
{
    Fencing *fencing = user;

    fencing->timer = 0;
    post(fencing, STATUS_AFTER, "status");
    return G_SOURCE_REMOVE;
}

static void look_later(Fencing *fencing)
{
    if (clock_now_us() + LOOK_US >= fencing->deadline_us)
        fencing_end(fencing, COMMAND_ERROR_TIMEOUT, NULL, "oVirt does not say so of its power in time");
    else
        fencing->timer = g_timeout_add(LOOK_US / US_PER_MS, on_timer, fencing);
}

static void take_status(Fencing *fencing, const char *power)
{
    const char *state = g_strcmp0(power, "on") == 0 || g_strcmp0(power, "off") == 0 ? power : "unknown";
    bool off = strcmp(state, "off") == 0, reboots = strcmp(fencing->method, "reboot") == 0;

    fencing->was_off = fencing->was_off || off;
    if (strcmp(fencing->method, "status") == 0) {
        fencing_end(fencing, NULL, state, NULL);
    } else if (!reboots && strcmp(fencing->method, state) == 0) {
        fencing->already = fencing->stage == STATUS_FIRST;
        fencing_end(fencing, NULL, state, fencing->already ? "it was so already" : "oVirt says so of its power");
    } else if (fencing->stage == STATUS_FIRST) {
        post(fencing, ACT, strcmp(fencing->method, "off") == 0 ? "stop" : strcmp(fencing->method, "on") == 0 ? "start" : "restart");
    } else if (reboots && fencing->was_off && strcmp(state, "on") == 0) {
        fencing_end(fencing, NULL, state, "it was off, and is on again");
    } else {
        look_later(fencing);
    }
}

static void on_answer(const OvirtAnswer *answer, void *user)
{
    Fencing *fencing = user;

    fencing->request = NULL;
    if (answer->error == NULL && fencing->stage != ACT)
        take_status(fencing, ovirt_power_status(answer->body));
    else if (answer->error == NULL || (fencing->stage == ACT && answer->uncertain) || (fencing->stage == STATUS_AFTER && answer->unreachable))
        look_later(fencing);
    else
        fencing_end(fencing, fencing->stage == STATUS_FIRST && answer->status == 0 ? COMMAND_ERROR_UNREACHABLE : answer->error, NULL, answer->text);
}

static void post(Fencing *fencing, Stage stage, const char *type)
{
    OvirtSite *site = fencing->by->site;
    g_autofree char *path = g_strdup_printf("/hosts/%s/fence", fencing->host);

    fencing->stage = stage;
    fencing->request = ovirt_api_post(site->api, path, json_pack("{s:s}", "fence_type", type), strcmp(type, "status") == 0,
                                      MIN(fencing->deadline_us, clock_now_us() + site->settings->timeout_us), on_answer, fencing);
}

static void on_method(HostCall *call, void *user)
{
    static const char *const methods[] = { "off", "on", "reboot", "status", NULL };
    SiteHost *by = user;
    const char *method = strcmp(host_call_method(call), "host_status") == 0 ? "status" : value_get_string(host_call_arguments(call), "method");
    const SiteHost *target = site_host(by->site, host_call_name(call));
    Fencing *fencing;

    if (method == NULL || *method == '\0')
        method = "off";
    if (!g_strv_contains(methods, method) || target == NULL) {
        host_call_refused(call, target == NULL ? COMMAND_ERROR_NOT_FOUND : COMMAND_ERROR_ARGUMENT,
                          target == NULL ? "oVirt has no such host" : "method is one of off, on, reboot, status");
        return;
    }
    if (strcmp(method, "status") != 0 && strcmp(by->site->settings->fence, "mend") != 0) {
        host_call_refused(call, COMMAND_ERROR_UNSAFE, "oVirt fences its hosts by itself; --fence mend leaves that to Mend");
        return;
    }
    fencing = g_new0(Fencing, 1);
    *fencing = (Fencing) { .by = by, .call = call, .host = g_strdup(target->now->id), .method = g_strdup(method) };
    fencing->deadline_us = host_call_limit_us(call, OWN_US);
    g_ptr_array_add(by->site->fencings, fencing);
    post(fencing, STATUS_FIRST, "status");
}

void ovirt_fence_offer(SiteHost *host)
{
    host_on_method(host->host, "host_fence", on_method, host);
    host_on_method(host->host, "host_status", on_method, host);
}

void ovirt_fence_end(OvirtSite *site, const SiteHost *host, const char *why)
{
    for (guint i = site->fencings->len; i-- > 0;) {
        Fencing *fencing = site->fencings->pdata[i];

        if (host == NULL || fencing->by == host)
            fencing_end(fencing, COMMAND_ERROR_INTERRUPTED, NULL, why);
    }
}
