/* Their cpe answered "todo" to who asked for the deployments, and logged what the conductor told. Here the list is the list, and what is told becomes a sign:
 * a service of the VM's (of an application: of its first VM's) that is failed as long as the word stands. It is evidence for a policy, never proof: the
 * conductor says what its cloud told it, and that may be old. */
#include "bridges/common/http_server.h"
#include "bridges/common/sign_vm.h"
#include "bridges/pacemaker-cloud/pcloud_event.h"
#include "bridges/pacemaker-cloud/pcloud_site.h"
#include "lib/base/log.h"

#include <string.h>

#define PATH     "/pacemaker-cloud/api"
#define XML      "application/xml"
#define BODY_MAX (64 << 10)
#define PRODUCT  "mend-pcloud"
#define SIGN     "pacemaker-cloud"

struct PcloudRest {
    PcloudSite *site;
    HttpServer *server;
    GHashTable *signs; /* id of a VM → SignVm, or NULL where none can be made */
};

/* ---- GET ------------------------------------------------------------------------------------------------------------------------------------ */

static void put(GString *out, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void put(GString *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_markup_vprintf_escaped(format, arguments);
    va_end(arguments);
    g_string_append(out, text);
}

static void put_assembly(GString *out, const PcloudWatch *watch, const PcloudApp *app, const PcloudAssembly *assembly)
{
    const char *said = g_hash_table_lookup(app->said_of, assembly->name);

    put(out, "    <instance id=\"%s\" name=\"%s\"><state>%s</state>", assembly->uuid != NULL ? assembly->uuid : assembly->name, assembly->name,
        pcloud_state_name(pcloud_watch_state(watch, app, assembly, NULL)));
    if (said != NULL)
        put(out, "<said>%s</said>", said);
    for (guint i = 0; i < assembly->services->len; i++) {
        const PcloudService *service = assembly->services->pdata[i];

        put(out, "\n      <service name=\"%s\"><state>%s</state></service>", service->name, pcloud_state_name(pcloud_watch_state(watch, app, assembly, service->name)));
    }
    g_string_append(out, assembly->services->len > 0 ? "\n    </instance>\n" : "</instance>\n");
}

static char *deployments(const PcloudSite *site)
{
    GString *out = g_string_new("<deployments>\n");

    for (guint i = 0; i < site->apps->len; i++) {
        const PcloudApp *app = site->apps->pdata[i];

        put(out, "  <deployment id=\"%s\" uuid=\"%s\"><state>%s</state>", app->name, app->deployable->uuid != NULL ? app->deployable->uuid : "", pcloud_state_name(app->told));
        if (app->said != NULL)
            put(out, "<said>%s</said>", app->said);
        g_string_append_c(out, '\n');
        for (guint k = 0; k < app->deployable->assemblies->len; k++)
            put_assembly(out, site->watch, app, app->deployable->assemblies->pdata[k]);
        g_string_append(out, "  </deployment>\n");
    }
    g_string_append(out, "</deployments>\n");
    return g_string_free(out, FALSE);
}

/* ---- POST ----------------------------------------------------------------------------------------------------------------------------------- */

static SignVm *sign_of(PcloudRest *rest, const PcloudAssembly *assembly)
{
    g_autofree char *id = pcloud_watch_vm(rest->site->watch, assembly);
    g_autoptr(GError) error = NULL;
    SignVm *sign;

    if (id == NULL) {
        log_warning("what is said of %s is not on the bus: no host agent has told of it yet", assembly->name);
        return NULL;
    }
    if (g_hash_table_contains(rest->signs, id))
        return g_hash_table_lookup(rest->signs, id);
    sign = sign_vm_new(rest->site->bridge, &(SignVmOptions) { .product = PRODUCT, .name = assembly->name, .id = id }, &error);
    if (sign == NULL) /* told once */
        log_warning("what is said of %s is not on the bus: %s", assembly->name, error->message);
    else
        sign_vm_start(sign);
    g_hash_table_insert(rest->signs, g_steal_pointer(&id), sign);
    return sign;
}

static void tell(PcloudRest *rest, const PcloudAssembly *assembly, const char *service, const PcloudEvent *event)
{
    SignVm *sign = event->word == PCLOUD_SAYS_NOTHING ? NULL : sign_of(rest, assembly);
    g_autofree char *text = g_strdup_printf("the conductor says %s", event->state);

    if (sign != NULL && !sign_vm_take(sign, service, service, event->word == PCLOUD_SAYS_ILL, text))
        log_warning("what is said of %s is too much to be kept", assembly->name);
}

static bool is_instance(const PcloudAssembly *assembly, const char *id)
{
    return g_strcmp0(assembly->uuid, id) == 0 || strcmp(assembly->name, id) == 0;
}

static bool take_instance(PcloudRest *rest, PcloudApp *app, const PcloudEvent *event)
{
    for (guint i = 0; i < app->deployable->assemblies->len; i++) {
        const PcloudAssembly *assembly = app->deployable->assemblies->pdata[i];

        if (!is_instance(assembly, event->id))
            continue;
        g_hash_table_insert(app->said_of, g_strdup(assembly->name), g_strdup(event->state));
        tell(rest, assembly, SIGN, event);
        return true;
    }
    return false;
}

static bool take_deployment(PcloudRest *rest, PcloudApp *app, const PcloudEvent *event)
{
    if (strcmp(app->name, event->id) != 0 && g_strcmp0(app->deployable->uuid, event->id) != 0)
        return false;
    g_free(app->said);
    app->said = g_strdup(event->state);
    if (app->deployable->assemblies->len > 0)
        tell(rest, app->deployable->assemblies->pdata[0], SIGN ".deployment", event);
    return true;
}

static void take(PcloudRest *rest, const PcloudEvent *event)
{
    bool known = false;

    for (guint i = 0; i < rest->site->apps->len && !known; i++)
        known = (event->of_deployment ? take_deployment : take_instance)(rest, rest->site->apps->pdata[i], event);
    log_info("the conductor says: %s %s is %s%s", event->of_deployment ? "deployment" : "instance", event->id, event->state,
             known ? "" : ", which is none of ours"); /* it tells of all it has */
}

static void page(HttpReply *reply, unsigned status, const char *text)
{
    reply->status = status;
    reply->text = g_markup_printf_escaped("<html><body>%s</body></html>", text);
    reply->content_type = "text/html; charset=utf-8";
}

static void on_post(PcloudRest *rest, const HttpAsked *asked, HttpReply *reply)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudEvent) event = pcloud_event_read(asked->body, asked->body_bytes, &error);

    if (event == NULL) {
        page(reply, g_error_matches(error, PCLOUD_EVENT_ERROR, PCLOUD_EVENT_ERROR_XML) ? 400 : 500, error->message);
        return;
    }
    take(rest, event);
    reply->text = g_strdup("");
    reply->content_type = XML;
}

static void on_asked(const HttpAsked *asked, HttpReply *reply, void *user)
{
    PcloudRest *rest = user;

    if (!g_str_has_prefix(asked->path, PATH)) {
        page(reply, 404, "Not Found");
    } else if (strcmp(asked->method, "GET") == 0) {
        reply->text = deployments(rest->site);
        reply->content_type = XML;
    } else if (strcmp(asked->method, "POST") == 0) {
        on_post(rest, asked, reply);
    } else {
        page(reply, 400, "bad request");
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------------------- */

PcloudRest *pcloud_rest_new(PcloudSite *site, GError **error)
{
    const PcloudSettings *s = site->settings;
    PcloudRest *rest = g_new0(PcloudRest, 1);

    rest->site = site;
    rest->signs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) sign_vm_free);
    rest->server = http_server_new(&(HttpServerOptions) { .listen = s->listen, .path = PATH, .token_file = s->token_file, .login = s->login, .certificate = s->certificate,
                                                          .key = s->key, .max_body_bytes = BODY_MAX, .raw = on_asked, .user = rest }, error);
    if (rest->server != NULL)
        return rest;
    pcloud_rest_free(rest);
    return NULL;
}

void pcloud_rest_close(PcloudRest *rest)
{
    GHashTableIter iter;
    void *sign;

    g_hash_table_iter_init(&iter, rest->signs);
    while (g_hash_table_iter_next(&iter, NULL, &sign))
        if (sign != NULL)
            sign_vm_close(sign);
    g_clear_pointer(&rest->server, http_server_free);
}

void pcloud_rest_free(PcloudRest *rest)
{
    if (rest == NULL)
        return;
    http_server_free(rest->server);
    g_hash_table_unref(rest->signs);
    g_free(rest);
}

const char *pcloud_rest_url(const PcloudRest *rest) { return http_server_url(rest->server); }
