/* Commands on instances, each the same walk:
 *
 *   look ──▶ as wanted already: done ── not offered by the server: refused
 *     └────▶ act ──▶ look again each second until it is as wanted (done), cannot become so (failed), or time is over
 *
 * What became of it is read from the instance, not from the answer, which may be lost, late or malformed: nothing is sent twice. Only of a
 * reboot the answer is all there is: an instance that runs may have been rebooted or not.
 *
 * The transitions the server offers with an instance decide what can be done; the paths are the API's own, so that a server cannot send us
 * and the password elsewhere. A start is refused only when the instance was looked at and is down: that is what a refusal stands for. */
#include "bridges/deltacloud/deltacloud_site.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define LOOK_US  US_PER_S
#define TAKES_US (10 * US_PER_S) /* an accepted action shows by then */
#define LOST_US  (20 * US_PER_S) /* one whose answer was lost, and that does not show by then or in four time-outs, did not arrive */

typedef enum { START, STOP, SHUTDOWN, REBOOT, RESET, DESTROY } Kind;

static const struct {
    const char *method, *action, *what;
    DeltacloudOffer offer;
    bool ends;
} kinds[] = {
    [START] = { "vm_start", "start", "started", DELTACLOUD_START, false },
    [STOP] = { "vm_stop", "stop", "stopped", DELTACLOUD_STOP, true },
    [SHUTDOWN] = { "vm_shutdown", "stop", "stopped", DELTACLOUD_STOP, true },
    [REBOOT] = { "vm_reboot", "reboot", "rebooted", DELTACLOUD_REBOOT, false },
    [RESET] = { "vm_reset", "reboot", "rebooted", DELTACLOUD_REBOOT, false },
    [DESTROY] = { "vm_undefine", NULL, "destroyed", DELTACLOUD_DESTROY, true },
};

typedef struct Deed {
    DeltacloudSite *site;
    HostCall *call;
    Kind kind;
    char *vm, *path;         /* UUID; "/instances/ID" */
    HttpCall *request;
    guint timer;
    int64_t deadline_us, posted_us; /* posted_us 0: nothing was sent yet */
    bool accepted, began;
    char *trouble;           /* why it may not have been done, for people */
} Deed;

typedef enum { LOOK_WAIT, LOOK_DONE, LOOK_REFUSE, LOOK_FAIL, LOOK_ACT } Verdict;

static void look(Deed *deed);

static void deed_end(Deed *deed, const char *error, const char *text, bool refused)
{
    DeltacloudVm *vm = g_hash_table_lookup(deed->site->vms, deed->vm);

    if (error == NULL && !kinds[deed->kind].ends && vm != NULL)
        deltacloud_vm_started(vm);
    log_notice("%s %s: %s%s%s", kinds[deed->kind].method, deed->vm, error == NULL ? "done" : refused ? "refused" : "failed", text != NULL ? ": " : "",
               text != NULL ? text : "");
    if (error == NULL)
        host_call_done(deed->call, kinds[deed->kind].ends ? "stopped" : "running", NULL, text);
    else if (refused)
        host_call_refused(deed->call, error, text);
    else
        host_call_failed(deed->call, error, NULL, text);
    g_hash_table_remove(deed->site->deeds, deed);
    deltacloud_watch_soon(deed->site->watch);
    http_drop(deed->request);
    g_clear_handle_id(&deed->timer, g_source_remove);
    g_free(deed->vm);
    g_free(deed->path);
    g_free(deed->trouble);
    g_free(deed);
}

/* ---- what is wanted -------------------------------------------------------------------------------------------------------------------------- */

static Verdict because(char **ret_why, Verdict verdict, const char *text)
{
    *ret_why = g_strdup(text);
    return verdict;
}

static Verdict act_if_offered(const Deed *deed, const DeltacloudInstance *now, char **ret_why)
{
    const char *action = deed->kind == DESTROY ? "destroy" : kinds[deed->kind].action;

    if ((now->offers & kinds[deed->kind].offer) != 0)
        return LOOK_ACT;
    *ret_why = g_strdup_printf("it is %s, and Deltacloud offers no '%s' of it", now->word, action);
    return LOOK_REFUSE;
}

/* What was sent shows, or ought to by now. */
static bool should_show(const Deed *deed)
{
    return deed->accepted && clock_now_us() - deed->posted_us >= TAKES_US;
}

static Verdict judge_start(Deed *deed, const DeltacloudInstance *now, char **ret_why)
{
    switch (now->state) {
    case DELTACLOUD_RUNS: return LOOK_DONE;
    case DELTACLOUD_COMES: deed->began = true; return LOOK_WAIT;
    case DELTACLOUD_GOES: return LOOK_WAIT; /* it may be started once it is down */
    case DELTACLOUD_GONE: return because(ret_why, LOOK_FAIL, "the cloud has ended it for good");
    case DELTACLOUD_BROKEN: case DELTACLOUD_ODD:
        *ret_why = g_strdup_printf("it is %s, which does not say whether it runs", now->word);
        return LOOK_FAIL;
    default: break;
    }
    if (deed->posted_us == 0)
        return act_if_offered(deed, now, ret_why);
    return deed->began || should_show(deed) ? because(ret_why, LOOK_FAIL, "it was to start, and does not run") : LOOK_WAIT;
}

static Verdict judge_end(const Deed *deed, const DeltacloudInstance *now, char **ret_why)
{
    if (now->state == DELTACLOUD_GONE || (now->state == DELTACLOUD_DOWN && deed->kind != DESTROY))
        return LOOK_DONE;
    if (deed->posted_us == 0)
        return now->state == DELTACLOUD_GOES ? LOOK_WAIT : act_if_offered(deed, now, ret_why);
    return now->state == DELTACLOUD_RUNS && should_show(deed) ? because(ret_why, LOOK_FAIL, "it was to stop, and runs") : LOOK_WAIT;
}

static Verdict judge_reboot(const Deed *deed, const DeltacloudInstance *now, char **ret_why)
{
    if (deed->posted_us == 0)
        return now->state == DELTACLOUD_COMES ? LOOK_WAIT : act_if_offered(deed, now, ret_why);
    if (now->state == DELTACLOUD_RUNS && !deed->accepted)
        return because(ret_why, LOOK_FAIL, "it runs; whether it was rebooted is not known");
    if (now->state == DELTACLOUD_DOWN && should_show(deed))
        return because(ret_why, LOOK_FAIL, "it was to reboot, and is down");
    return now->state == DELTACLOUD_RUNS ? LOOK_DONE : LOOK_WAIT;
}

static Verdict judge(Deed *deed, const DeltacloudInstance *now, char **ret_why)
{
    switch (deed->kind) {
    case START: return judge_start(deed, now, ret_why);
    case REBOOT: case RESET: return judge_reboot(deed, now, ret_why);
    default: return judge_end(deed, now, ret_why);
    }
}

/* ---- the walk -------------------------------------------------------------------------------------------------------------------------------- */

static gboolean on_look(void *user)
{
    Deed *deed = user;

    deed->timer = 0;
    look(deed);
    return G_SOURCE_REMOVE;
}

/* Once more, unless time is over. */
static void look_later(Deed *deed)
{
    int64_t left_us = deed->deadline_us - clock_now_us();

    if (left_us > 0) {
        deed->timer = g_timeout_add((guint) (MIN(left_us + US_PER_MS, LOOK_US) / US_PER_MS), on_look, deed);
        return;
    }
    g_autofree char *text = g_strdup_printf("not so in time%s%s%s", deed->trouble != NULL ? ": " : "", deed->trouble != NULL ? deed->trouble : "",
                                            deed->posted_us == 0 ? "; nothing was sent" : "; whether it comes to be is not known");

    deed_end(deed, COMMAND_ERROR_TIMEOUT, text, false);
}

/* Nothing can have come of it: the server said so, or never got it. */
static bool was_not_done(const HttpAnswer *answer)
{
    return !answer->sent || (answer->error == NULL && answer->status >= 400 && answer->status < 500 && answer->status != 408);
}

static void on_acted(const HttpAnswer *answer, void *user)
{
    Deed *deed = user;
    /* Drivers whose transitions give no instance send us to it instead: they took it. */
    bool is_sent_on = answer->error == NULL && (answer->status == 302 || answer->status == 303);
    const char *error = is_sent_on ? NULL : http_command_error(answer);

    deed->request = NULL;
    deltacloud_heard(deed->site, answer);
    deed->accepted = error == NULL;
    if (error != NULL) {
        g_free(deed->trouble);
        deed->trouble = deltacloud_trouble(deed->site, answer, kinds[deed->kind].method, NULL);
    }
    if (error != NULL && was_not_done(answer)) {
        g_autofree char *text = g_steal_pointer(&deed->trouble);

        /* 405: its state has changed since the look; another one may show that it is as wanted. */
        deed_end(deed, answer->status == 405 ? COMMAND_ERROR_FAILED : error, text, false);
        return;
    }
    look(deed);
}

static void act(Deed *deed)
{
    DeltacloudVm *vm = g_hash_table_lookup(deed->site->vms, deed->vm);
    const char *intent = value_get_string(host_call_arguments(deed->call), "intent");
    g_autofree char *path = deed->kind == DESTROY ? g_strdup(deed->path) : g_strconcat(deed->path, "/", kinds[deed->kind].action, NULL);
    g_autoptr(GError) error = NULL;

    if (kinds[deed->kind].ends && vm != NULL) {
        g_free(vm->wish);
        vm->wish = g_strdup(intent != NULL && *intent != '\0' ? intent : "command");
        deed->site->changed = true;
    }
    deed->posted_us = clock_now_us();
    deed->request = deltacloud_send(deed->site, deed->kind == DESTROY ? "DELETE" : "POST", path,
                                    MIN(deed->deadline_us, deed->posted_us + deed->site->settings->timeout_us), on_acted, deed, &error);
    if (deed->request == NULL)
        deed_end(deed, COMMAND_ERROR_FAILED, error->message, false);
}

static void take_verdict(Deed *deed, const DeltacloudInstance *now)
{
    g_autofree char *why = NULL;
    Verdict verdict = judge(deed, now, &why);
    int64_t lost_us = MIN(LOST_US, 4 * deed->site->settings->timeout_us);

    switch (verdict) {
    case LOOK_DONE: deed_end(deed, NULL, kinds[deed->kind].what, false); return;
    case LOOK_ACT: act(deed); return;
    case LOOK_REFUSE: deed_end(deed, deed->kind == START ? COMMAND_ERROR_UNSAFE : COMMAND_ERROR_ARGUMENT, why, true); return;
    case LOOK_FAIL: {
        g_autofree char *text = deed->trouble != NULL ? g_strdup_printf("%s; %s", deed->trouble, why) : g_strdup(why);

        deed_end(deed, deed->posted_us != 0 && !deed->accepted ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED, text, false);
        return;
    }
    default:
        if (deed->posted_us != 0 && !deed->accepted && !deed->began && clock_now_us() - deed->posted_us >= lost_us) {
            g_autofree char *text = g_strdup_printf("%s; it is %s still", deed->trouble, now->word);

            deed_end(deed, COMMAND_ERROR_TIMEOUT, text, false);
            return;
        }
        look_later(deed);
        return;
    }
}

static void on_looked(const HttpAnswer *answer, void *user)
{
    Deed *deed = user;
    const char *command_error = http_command_error(answer);
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) body = command_error == NULL ? http_answer_json(answer, &error) : NULL;
    g_autoptr(DeltacloudInstance) now = body != NULL ? deltacloud_instance_read(body, &error) : NULL;
    g_autofree char *trouble = now == NULL ? deltacloud_trouble(deed->site, answer, "looking at it", error) : NULL;
    /* Of an instance that is not there the server says "forbidden", too. */
    bool is_gone = answer->error == NULL && (answer->status == 404 || answer->status == 410);

    deed->request = NULL;
    deltacloud_heard(deed->site, answer);
    if (now != NULL) {
        take_verdict(deed, now);
    } else if (is_gone && kinds[deed->kind].ends) {
        deed_end(deed, NULL, kinds[deed->kind].what, false);
    } else if (is_gone) {
        deed_end(deed, COMMAND_ERROR_NOT_FOUND, trouble, deed->posted_us == 0);
    } else if (deed->posted_us == 0) { /* nothing was done */
        deed_end(deed, answer->error == NULL ? COMMAND_ERROR_FAILED : COMMAND_ERROR_UNREACHABLE, trouble, false);
    } else {
        g_free(deed->trouble);
        deed->trouble = g_steal_pointer(&trouble);
        look_later(deed);
    }
}

static void look(Deed *deed)
{
    g_autoptr(GError) error = NULL;

    if (deed->posted_us != 0 && clock_now_us() >= deed->deadline_us) {
        look_later(deed); /* says that time is over */
        return;
    }
    deed->request = deltacloud_send(deed->site, "GET", deed->path, MIN(deed->deadline_us, clock_now_us() + deed->site->settings->timeout_us), on_looked,
                                    deed, &error);
    if (deed->request == NULL) {
        g_free(deed->trouble);
        deed->trouble = g_strdup(error->message);
        if (deed->posted_us == 0)
            deed_end(deed, COMMAND_ERROR_FAILED, error->message, false);
        else
            look_later(deed);
    }
}

/* ---- methods ---------------------------------------------------------------------------------------------------------------------------------- */

static Deed *deed_of(const DeltacloudSite *site, const char *vm)
{
    GHashTableIter iter;
    void *deed;

    g_hash_table_iter_init(&iter, site->deeds);
    while (g_hash_table_iter_next(&iter, &deed, NULL))
        if (strcmp(((Deed *) deed)->vm, vm) == 0)
            return deed;
    return NULL;
}

bool deltacloud_is_ending(const DeltacloudVm *vm)
{
    const Deed *deed = deed_of(vm->site, vm->uuid);

    return deed != NULL && deed->posted_us != 0 && kinds[deed->kind].ends;
}

/* NULL: it is not, and @call was answered. */
static DeltacloudVm *vm_of(DeltacloudSite *site, HostCall *call, Kind kind)
{
    const char *wanted = value_get_string(host_call_arguments(call), "host"), *life = value_get_string(host_call_arguments(call), "boot_id");
    DeltacloudVm *vm = g_hash_table_lookup(site->vms, host_call_name(call));

    if (!g_uuid_string_is_valid(host_call_name(call)))
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "'name' is not the UUID of a VM");
    else if (kind == START && wanted != NULL && *wanted != '\0' && strcmp(wanted, site->id) != 0)
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "it shall start on another host");
    else if (kind == START && life != NULL && *life != '\0' && strcmp(life, host_boot_id(site->host)) != 0)
        host_call_refused(call, COMMAND_ERROR_UNSAFE, "it shall start in another life of this host");
    else if (kind == DESTROY && !site->settings->destroy)
        host_call_refused(call, COMMAND_ERROR_UNSAFE, "the cloud would destroy it, and its disks: --destroy allows that");
    else if (!site->is_known)
        host_call_failed(call, COMMAND_ERROR_UNREACHABLE, NULL, "the cloud was not reached yet: nothing was sent");
    else if (vm == NULL || vm->now == NULL)
        host_call_refused(call, COMMAND_ERROR_NOT_FOUND, "this cloud has no such instance");
    else
        return vm;
    return NULL;
}

static void on_method(HostCall *call, void *user)
{
    DeltacloudSite *site = user;
    g_autofree char *id = NULL;
    Kind kind = START;
    DeltacloudVm *vm;
    Deed *deed, *other;

    while (strcmp(kinds[kind].method, host_call_method(call)) != 0)
        kind++;
    vm = vm_of(site, call, kind);
    if (vm == NULL)
        return;
    other = deed_of(site, vm->uuid);
    if (other != NULL && kind != STOP) {
        g_autofree char *text = g_strdup_printf("%s of it is at work", kinds[other->kind].method);

        host_call_failed(call, COMMAND_ERROR_FAILED, NULL, text);
        return;
    }
    if (other != NULL && other->kind == START)
        deed_end(other, COMMAND_ERROR_FAILED, "taken back by vm_stop", false);
    id = g_uri_escape_string(vm->now->id, NULL, false);
    deed = g_new0(Deed, 1);
    *deed = (Deed) { .site = site, .call = call, .kind = kind, .vm = g_strdup(vm->uuid), .path = g_strconcat("/instances/", id, NULL),
                     .deadline_us = host_call_deadline_us(call) };
    g_hash_table_add(site->deeds, deed);
    look(deed);
}

void deltacloud_commands_offer(DeltacloudSite *site)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        host_on_method(site->host, kinds[i].method, on_method, site);
}

void deltacloud_commands_end(DeltacloudSite *site, const char *why)
{
    g_autoptr(GList) deeds = g_hash_table_get_keys(site->deeds);

    for (GList *each = deeds; each != NULL; each = each->next)
        deed_end(each->data, COMMAND_ERROR_INTERRUPTED, why, false);
}
