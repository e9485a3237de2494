/* mend-bridge masakari: what OpenStack's masakari-monitors notify of, on the bus (docs/bridge-masakari.md). It answers as Masakari's API does, so that
 * they need no more than its address: the version documents their client looks for, and POST …/v1/notifications. With --send a Masakari is told, too. */
#include "bridges/masakari/masakari_out.h"
#include "bridges/masakari/masakari_site.h"

#include "bridges/common/http.h"
#include "lib/base/log.h"
#include "lib/base/yaml.h"

#include <string.h>

#define HOSTS_MAX 10000
#define KEPT_MAX  10000 /* notifications that are known again when they are sent twice */

typedef struct MasakariSettings {
    char *listen, *token_file, *keystone, *keystone_ca, *role, *certificate, *key, *hosts;
    char *send, *send_ca, *send_token_file, *send_login, *operator_credentials, *policy;
    int64_t send_interval_us;
    bool vms;
} MasakariSettings;

typedef struct State {
    Bridge *bridge;
    MasakariSite site;
    GHashTable *names;   /* host's name → MasakariHost */
    GHashTable *seen;    /* keys */
    GQueue *seen_order;  /* the same, oldest first */
    Keystone *keystone;
    HttpServer *server;
    GHashTable *ids;     /* host's UUID → its name, borrowed */
    MasakariOut *out;    /* NULL: nothing is sent */
} State;

#define AT(field) offsetof(MasakariSettings, field)
static const Setting rows[] = {
    { "listen", SETTING_STRING, AT(listen), 0, 0, "127.0.0.1:15868", "ADDRESS:PORT where the monitors' notifications come in, at /v1/notifications" },
    { "hosts", SETTING_STRING, AT(hosts), 0, 0, NULL, "FILE with the compute hosts: a map of names to UUIDs (YAML)" },
    { "vms", SETTING_BOOL, AT(vms), 0, 0, "true", "speak of the hosts' VMs, as a mend-host there would; not (--no-vms) where one is" },
    { "keystone", SETTING_STRING, AT(keystone), 0, 0, NULL, "URL of Keystone (…/v3), which is asked whose token comes with a notification" },
    { "keystone-ca", SETTING_STRING, AT(keystone_ca), 0, 0, NULL, "FILE with its CA certificate (PEM); without: whom this machine trusts" },
    { "role", SETTING_STRING, AT(role), 0, 0, "admin", "ROLE that the token's user must have, as Masakari asks for" },
    { "token-file", SETTING_STRING, AT(token_file), 0, 0, NULL, "FILE with one token that is wanted, instead of --keystone" },
    { "certificate", SETTING_STRING, AT(certificate), 0, 0, NULL, "FILE with the certificate for --listen (PEM): then it speaks TLS" },
    { "key", SETTING_STRING, AT(key), 0, 0, NULL, "FILE with its key, when that is not in the same" },
    { "send", SETTING_STRING, AT(send), 0, 0, NULL, "URL of a Masakari (…/v1/PROJECT) that is notified of what Mend has given up" },
    { "send-ca", SETTING_STRING, AT(send_ca), 0, 0, NULL, "FILE with its and its Keystone's CA certificate (PEM); without: whom this machine trusts" },
    { "send-login", SETTING_STRING, AT(send_login), 0, 0, NULL, "FILE with how Keystone is asked for a token (YAML)" },
    { "send-token-file", SETTING_STRING, AT(send_token_file), 0, 0, NULL, "FILE with a token, instead" },
    { "send-interval", SETTING_DURATION, AT(send_interval_us), US_PER_S / 5, US_PER_HOUR, "15s", "what is open is asked for this often" },
    { "policy", SETTING_STRING, AT(policy), 0, 0, NULL, "NAME of the policy engine that is asked; without: the one that acts" },
    { "operator-credentials", SETTING_STRING, AT(operator_credentials), 0, 0, NULL, "FILE with the broker's user 'operator', who may ask it; without: those of --site" },
};

/* ---- what comes in -------------------------------------------------------------------------------------------------------------------------- */

/* Masakari's own: the path may carry the project's id. */
static bool is_notifications(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", 6);
    guint n = g_strv_length(parts);

    return g_str_has_prefix(path, "/v1") && (n == 3 || n == 4) && strcmp(parts[1], "v1") == 0 && strcmp(parts[n - 1], "notifications") == 0;
}

static void answer_get(const char *path, HttpReply *reply)
{
    json_t *version = json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s}], s:[{s:s, s:s}]}", "id", "v1.0", "status", "CURRENT", "version", "1.0",
                                "min_version", "1.0", "updated", "2016-07-01T11:33:21Z", "links", "rel", "self", "href", "/v1/", "media-types", "base",
                                "application/json", "type", "application/vnd.openstack.masakari+json;version=1");

    if (is_notifications(path)) {
        json_decref(version);
        reply->body = json_pack("{s:[]}", "notifications"); /* what became of them is asked of Mend: mend why */
    } else if (strcmp(path, "/") == 0) {
        reply->body = json_pack("{s:[o]}", "versions", version);
    } else if (g_str_has_prefix(path, "/v1")) {
        reply->body = json_pack("{s:o}", "version", version);
    } else {
        json_decref(version);
        http_reply_error(reply, 404, "there is only /v1/notifications here");
    }
}

/* Only of one that was taken: what was answered 503 is sent again, and must not be a duplicate then. */
static void remember(State *state, const char *key)
{
    char *kept = g_strdup(key);

    g_hash_table_add(state->seen, kept);
    g_queue_push_tail(state->seen_order, kept);
    if (g_queue_get_length(state->seen_order) > KEPT_MAX)
        g_hash_table_remove(state->seen, g_queue_pop_head(state->seen_order));
}

static json_t *told(const MasakariNotice *notice, const json_t *body)
{
    json_t *copy = json_deep_copy(json_object_get(body, "notification"));
    char uuid[UUID_TEXT_SIZE];

    uuid_of_texts("masakari", notice->key, uuid);
    json_object_set_new(copy, "notification_uuid", json_string(uuid));
    json_object_set_new(copy, "status", json_string("new"));
    return json_pack("{s:o}", "notification", copy);
}

static void on_request(const char *path, const json_t *body, HttpReply *reply, void *user)
{
    State *state = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(MasakariNotice) notice = NULL;
    g_autofree char *why = NULL;
    MasakariHost *host;

    if (body == NULL) {
        answer_get(path, reply);
        return;
    }
    if (!is_notifications(path)) {
        http_reply_error(reply, 404, "there is only /v1/notifications here");
        return;
    }
    if (bridge_is_closing(state->bridge)) {
        http_reply_error(reply, 503, "it ends");
        return;
    }
    notice = masakari_notice_read(body, &error);
    host = notice != NULL ? g_hash_table_lookup(state->names, notice->hostname) : NULL;
    if (notice == NULL) {
        http_reply_error(reply, 400, "%s", error->message);
    } else if (host == NULL) {
        log_warning("a notification of host '%.255s', which --hosts does not have: not taken", notice->hostname);
        http_reply_error(reply, 400, "Host with name %s could not be found.", notice->hostname);
    } else if (g_hash_table_contains(state->seen, notice->key)) {
        http_reply_error(reply, 409, "Notification received from host %s of type '%s' is duplicate.", notice->hostname,
                         notice->type == MASAKARI_HOST ? "COMPUTE_HOST" : notice->type == MASAKARI_VM ? "VM" : "PROCESS");
    } else if (!masakari_host_take(host, notice, &why)) {
        http_reply_error(reply, 503, "%s", why);
    } else {
        remember(state, notice->key);
        reply->status = 202;
        reply->body = told(notice, body);
    }
}

static void on_admit(HttpAdmission *admission, const char *token, void *user) { keystone_admit(((State *) user)->keystone, admission, token); }

/* ---- start and end -------------------------------------------------------------------------------------------------------------------------- */

static bool read_hosts(State *state, const char *path, GError **error)
{
    g_autoptr(YamlFile) file = yaml_read_file(path, error);

    if (file == NULL)
        return false;
    if (file->root == NULL || file->root->kind != YAML_MAP || yaml_size(file->root) == 0 || yaml_size(file->root) > HOSTS_MAX) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%s: a map of the compute hosts' names to their UUIDs is wanted: 'compute-1: 4c4c4544-…'", path);
        return false;
    }
    for (size_t i = 0; i < yaml_size(file->root); i++) {
        const YamlNode *node = yaml_at(file->root, i);
        g_autofree char *id = node->kind == YAML_SCALAR ? uuid_canonical(node->text) : NULL;
        MasakariHost *host;

        if (id == NULL)
            return yaml_error(file, node, error, "'%s': the host's UUID is wanted", yaml_key(file->root, i));
        host = masakari_host_new(&state->site, state->bridge, yaml_key(file->root, i), id, error);
        if (host == NULL)
            return false;
        g_ptr_array_add(state->site.hosts, host);
        g_hash_table_insert(state->names, (char *) masakari_host_name(host), host);
        g_hash_table_insert(state->ids, g_steal_pointer(&id), (char *) masakari_host_name(host));
    }
    return true;
}

static bool settings_are_good(const MasakariSettings *s, GError **error)
{
    const char *wrong = s->hosts == NULL                               ? "--hosts is missing: which host of the monitors is which (mend-bridge masakari --help)"
                        : s->keystone != NULL && s->token_file != NULL ? "--keystone and --token-file: one of them"
                        : s->keystone != NULL && !http_url_is_private(s->keystone)
                            ? "--keystone: http would send tokens in the clear: https wanted, or Keystone on this machine"
                        : s->send != NULL && (s->send_login == NULL) == (s->send_token_file == NULL) ? "--send needs --send-login or --send-token-file, one of them"
                        : s->send != NULL && !http_url_is_private(s->send)
                            ? "--send: http would send tokens in the clear: https wanted, or Masakari on this machine"
                            : NULL;

    if (wrong != NULL)
        g_set_error_literal(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, wrong);
    return wrong == NULL;
}

static void stop(void *data)
{
    State *state = data;

    g_clear_pointer(&state->keystone, keystone_free); /* turns away who waits at the server */
    http_server_free(state->server);
    masakari_out_free(state->out);
    g_hash_table_unref(state->ids);
    g_hash_table_unref(state->names);
    g_ptr_array_unref(state->site.hosts);
    g_queue_free(state->seen_order);
    g_hash_table_unref(state->seen);
    g_free(state);
}

static void on_trouble(const char *why, void *user)
{
    const State *state = user;

    for (guint i = 0; i < state->site.hosts->len; i++)
        masakari_host_set_reach(state->site.hosts->pdata[i], why);
}

static bool start_out(State *state, const MasakariSettings *s, GError **error)
{
    const MasakariOutOptions options = { .url = s->send, .ca_file = s->send_ca, .token_file = s->send_token_file, .login_file = s->send_login,
                                         .credentials = s->operator_credentials, .policy = s->policy, .interval_us = s->send_interval_us, .names = state->ids,
                                         .trouble = on_trouble, .user = state };

    if (s->send != NULL)
        state->out = masakari_out_new(state->bridge, &options, error);
    return s->send == NULL || state->out != NULL;
}

static bool start_all(State *state, const MasakariSettings *s, GError **error)
{
    HttpServerOptions options = { .listen = s->listen, .path = "/", .gets = true, .token_file = s->token_file, .certificate = s->certificate, .key = s->key,
                                  .fn = on_request, .user = state };

    if (s->keystone != NULL) {
        if ((state->keystone = keystone_new(s->keystone, s->keystone_ca, s->role, error)) == NULL)
            return false;
        options.admit = on_admit;
    }
    if (!read_hosts(state, s->hosts, error) || !start_out(state, s, error) || (state->server = http_server_new(&options, error)) == NULL)
        return false;
    for (guint i = 0; i < state->site.hosts->len; i++)
        masakari_host_start(state->site.hosts->pdata[i]);
    log_notice("notifications come in at %sv1/notifications, of %u hosts", http_server_url(state->server), state->site.hosts->len);
    return true;
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    State *state;

    if (!settings_are_good(settings, error))
        return NULL;
    state = g_new0(State, 1);
    state->bridge = bridge;
    state->site.vms = ((const MasakariSettings *) settings)->vms;
    state->site.hosts = g_ptr_array_new_with_free_func((GDestroyNotify) masakari_host_free);
    state->names = g_hash_table_new(g_str_hash, g_str_equal);
    state->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    state->seen_order = g_queue_new();
    state->ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (start_all(state, settings, error))
        return state;
    stop(state);
    return NULL;
}

static void end(void *data)
{
    State *state = data;

    g_clear_pointer(&state->keystone, keystone_free);
    g_clear_pointer(&state->server, http_server_free);
    g_clear_pointer(&state->out, masakari_out_free);
    for (guint i = 0; i < state->site.hosts->len; i++)
        masakari_host_close(state->site.hosts->pdata[i]);
}

const BridgeSystem bridge_masakari = { .name = "masakari", .about = "OpenStack's masakari-monitors: what they notify of", .rows = rows,
                                       .n_rows = G_N_ELEMENTS(rows), .settings_bytes = sizeof(MasakariSettings), .start = start, .close = end, .stop = stop };
