/* The conductor is told where its events are to go, until it takes that; at the end it is told to stop. Theirs gave up when it was not there at the start. */
#include "bridges/common/http.h"
#include "bridges/pacemaker-cloud/pcloud_site.h"
#include "lib/base/log.h"

#include <string.h>

#define AGAIN_FIRST_S 2
#define AGAIN_MAX_S   60

struct PcloudHook {
    PcloudSite *site;
    Http *http;
    HttpCall *call;
    char *uri, *location; /* location: the path of our hook there; NULL: not taken */
    guint timer, again_s;
    bool held;
};

static void send(PcloudHook *hook, const char *method, const char *path, const char *body, HttpDone done);
static void registrate(PcloudHook *hook);

static gboolean on_timer(void *user)
{
    PcloudHook *hook = user;

    hook->timer = 0;
    registrate(hook);
    return G_SOURCE_REMOVE;
}

static void again(PcloudHook *hook, const char *why)
{
    log_warning("the conductor does not take our hook: %s; it is tried again in %u s", why, hook->again_s);
    hook->timer = g_timeout_add_seconds(hook->again_s, on_timer, hook);
    hook->again_s = MIN(2 * hook->again_s, AGAIN_MAX_S);
}

/* Only a path of the same server: what it says is not to lead our password elsewhere. NULL: it is none. (transfer full) */
static char *path_below(const PcloudHook *hook, const char *location)
{
    g_autoptr(GUri) base = g_uri_parse(http_url(hook->http), G_URI_FLAGS_NONE, NULL), there = g_uri_parse_relative(base, location, G_URI_FLAGS_ENCODED, NULL);
    size_t prefix;

    if (base == NULL || there == NULL || strcmp(g_uri_get_host(base), g_uri_get_host(there)) != 0 || g_uri_get_port(base) != g_uri_get_port(there))
        return NULL;
    prefix = strlen(g_uri_get_path(base));
    if (prefix > 0 && g_uri_get_path(base)[prefix - 1] == '/')
        prefix--;
    return strncmp(g_uri_get_path(there), g_uri_get_path(base), prefix) == 0 ? g_strdup(g_uri_get_path(there) + prefix) : NULL;
}

static void on_registered(const HttpAnswer *answer, void *user)
{
    PcloudHook *hook = user;

    hook->call = NULL;
    if (http_command_error(answer) != NULL) {
        g_autofree char *why = http_answer_text(answer, "hooks");

        again(hook, why);
        return;
    }
    hook->location = answer->wanted != NULL ? path_below(hook, answer->wanted) : NULL;
    if (hook->location == NULL) {
        again(hook, answer->wanted == NULL ? "it did not say where it is (Location)" : "it says that it is on another server");
        return;
    }
    hook->again_s = AGAIN_FIRST_S;
    log_notice("the conductor sends its events to %s", hook->uri);
}

static void registrate(PcloudHook *hook)
{
    g_autofree char *body = g_markup_printf_escaped("<hook><uri>%s</uri><version>1</version></hook>", hook->uri);

    send(hook, "POST", "/api/hooks", body, on_registered);
}

static void send(PcloudHook *hook, const char *method, const char *path, const char *body, HttpDone done)
{
    const PcloudSettings *s = hook->site->settings;
    g_autoptr(GError) error = NULL;
    char *password = s->conductor_user != NULL ? http_secret_read(s->conductor_password_file, &error) : NULL;
    char *login = password != NULL ? http_basic(s->conductor_user, password) : NULL;
    const char *headers[] = { "Accept", "application/xml", login != NULL ? "Authorization" : NULL, login, NULL };

    if (error != NULL)
        again(hook, error->message);
    else
        hook->call = http_send(hook->http, &(HttpRequest) { .method = method, .path = path, .headers = headers, .body = body, .content_type = "application/xml", .wanted_header = "Location" }, done, hook);
    http_secret_free(login);
    http_secret_free(password);
}

PcloudHook *pcloud_hook_new(PcloudSite *site, const char *uri, GError **error)
{
    PcloudHook *hook = g_new0(PcloudHook, 1);

    hook->site = site;
    hook->uri = g_strdup(uri);
    hook->again_s = AGAIN_FIRST_S;
    hook->http = http_new(&(HttpOptions) { .url = site->settings->conductor, .ca_file = site->settings->conductor_ca, .timeout_us = 10 * US_PER_S,
                                           .max_answer_bytes = 1 << 20 }, error);
    if (hook->http == NULL) {
        pcloud_hook_free(hook);
        return NULL;
    }
    if (site->settings->conductor_user != NULL && !http_url_is_private(site->settings->conductor))
        log_warning("--conductor %s: the password goes there readable by everybody on the way; https is wanted", site->settings->conductor);
    registrate(hook);
    return hook;
}

static void on_taken_out(const HttpAnswer *answer, void *user)
{
    PcloudHook *hook = user;

    hook->call = NULL;
    if (http_command_error(answer) != NULL)
        log_warning("the conductor keeps our hook: %s", answer->error != NULL ? answer->error->message : "it did not take it out");
    hook->held = false;
    bridge_release(hook->site->bridge);
}

void pcloud_hook_close(PcloudHook *hook)
{
    g_clear_handle_id(&hook->timer, g_source_remove);
    http_drop(g_steal_pointer(&hook->call));
    if (hook->location == NULL)
        return;
    send(hook, "DELETE", hook->location, NULL, on_taken_out);
    g_clear_handle_id(&hook->timer, g_source_remove);
    if (hook->call == NULL)
        return;
    hook->held = true;
    bridge_hold(hook->site->bridge);
}

void pcloud_hook_free(PcloudHook *hook)
{
    if (hook == NULL)
        return;
    g_clear_handle_id(&hook->timer, g_source_remove);
    http_drop(hook->call);
    http_free(hook->http);
    g_free(hook->uri);
    g_free(hook->location);
    g_free(hook);
}
