/* mend-bridge alertmanager: Mend's incidents become alerts, alerts become signs that policies may act on. Either way alone, or both. */
#include "bridges/alertmanager/alert_out.h"
#include "bridges/alertmanager/alert_rules.h"
#include "bridges/common/sign_vm.h"
#include "bridges/alertmanager/alerts.h"
#include "bridges/common/http_server.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define ALERTS_IN_ONE_MAX 10000

typedef struct AlertSettings {
    char **urls, **labels;
    char *ca_file, *user, *password_file, *token_file, *operator_credentials, *policy;
    char *listen, *listen_token_file, *certificate, *key, *rules_file;
    int64_t interval_us;
} AlertSettings;

typedef struct State {
    Bridge *bridge;
    const AlertSettings *settings;
    AlertOut *out;
    AlertRules *rules;
    GPtrArray *vms;      /* of SignVm, as the rules' vms */
    HttpServer *server;
    char *last_why;
} State;

#define AT(field) offsetof(AlertSettings, field)
static const Setting rows[] = {
    { "alertmanager", SETTING_LIST, AT(urls), 0, 0, NULL, "URL of an Alertmanager that is told Mend's open incidents; of a cluster, each member" },
    { "ca", SETTING_STRING, AT(ca_file), 0, 0, NULL, "FILE with its CA certificate (PEM); without: whom this machine trusts" },
    { "user", SETTING_STRING, AT(user), 0, 0, NULL, "NAME to log in there, with --password-file" },
    { "password-file", SETTING_STRING, AT(password_file), 0, 0, NULL, "FILE with the password, not readable by others" },
    { "token-file", SETTING_STRING, AT(token_file), 0, 0, NULL, "FILE with a bearer token instead" },
    { "interval", SETTING_DURATION, AT(interval_us), US_PER_S / 5, US_PER_HOUR, "15s", "open incidents are asked for and told this often; an alert ends by itself after four times that" },
    { "label", SETTING_LIST, AT(labels), 0, 0, NULL, "NAME=VALUE that every alert of ours has" },
    { "policy", SETTING_STRING, AT(policy), 0, 0, "main", "NAME of the policy engine that is asked" },
    { "operator-credentials", SETTING_STRING, AT(operator_credentials), 0, 0, NULL, "FILE with the broker's user 'operator', who may ask it; without: those of --site" },
    { "listen", SETTING_STRING, AT(listen), 0, 0, NULL, "ADDRESS:PORT where Alertmanagers' webhooks come in, at /alerts; with --rules" },
    { "rules", SETTING_STRING, AT(rules_file), 0, 0, NULL, "FILE that says which alert is about what: docs/bridge-alertmanager.md" },
    { "listen-token-file", SETTING_STRING, AT(listen_token_file), 0, 0, NULL, "FILE with the token they must show; needed unless --listen is on loopback" },
    { "certificate", SETTING_STRING, AT(certificate), 0, 0, NULL, "FILE with the certificate for --listen (PEM): then it speaks TLS" },
    { "key", SETTING_STRING, AT(key), 0, 0, NULL, "FILE with its key, when that is not in the same" },
};

/* ---- what comes in ----------------------------------------------------------------------------------------------------------------- */

static const char *said_in(const json_t *alert)
{
    const json_t *annotations = json_object_get(alert, "annotations");
    const char *text = json_string_or(annotations, "summary", json_string_or(annotations, "description", NULL));

    return text != NULL ? text : json_string_or(json_object_get(alert, "labels"), "alertname", "an alert");
}

/* False: nobody's. */
static bool take_alert(State *state, const json_t *alert)
{
    const char *status = json_string_or(alert, "status", ""), *fingerprint = json_string_or(alert, "fingerprint", "");
    const json_t *labels = json_object_get(alert, "labels");
    g_autofree char *service = NULL, *why = NULL, *text = NULL;
    bool fires = strcmp(status, "firing") == 0;
    guint vm = 0;
    AlertWord word = alert_rules_ask(state->rules, labels, &vm, &service, &why);

    if (word == ALERT_UNKNOWN)
        log_info("%s", why);
    if (word != ALERT_ABOUT)
        return word == ALERT_IGNORED;
    text = g_strdup_printf("%s: %.400s", fires ? "alert" : "resolved", said_in(alert));
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    if (sign_vm_take(state->vms->pdata[vm], service, fingerprint, fires, valid))
        return true;
    log_warning("alert %s: too many alerts of this kind: it is not taken", service);
    return false;
}

static bool is_alert(const json_t *alert, size_t i, HttpReply *reply)
{
    const char *status = json_string_or(alert, "status", "");

    if (!json_is_object(json_object_get(alert, "labels")) || *json_string_or(alert, "fingerprint", "") == '\0' ||
        (strcmp(status, "firing") != 0 && strcmp(status, "resolved") != 0)) {
        http_reply_error(reply, 400, "alerts[%zu]: status (firing or resolved), labels and fingerprint are wanted", i);
        return false;
    }
    return true;
}

/* Alertmanager's webhook, version "4": docs/configuration.md, <webhook_config>. All are looked at before one is taken. */
static void on_webhook(const char *path, const json_t *body, HttpReply *reply, void *user)
{
    State *state = user;
    const json_t *alerts = json_object_get(body, "alerts");
    size_t taken = 0;

    if (bridge_is_closing(state->bridge)) {
        http_reply_error(reply, 503, "it ends");
        return;
    }
    if (strcmp(json_string_or(body, "version", ""), "4") != 0 || !json_is_array(alerts) || json_array_size(alerts) > ALERTS_IN_ONE_MAX) {
        http_reply_error(reply, 400, "an Alertmanager webhook of version \"4\" is wanted, with at most %d alerts", ALERTS_IN_ONE_MAX);
        return;
    }
    for (size_t i = 0; i < json_array_size(alerts); i++)
        if (!is_alert(json_array_get(alerts, i), i, reply))
            return;
    for (size_t i = 0; i < json_array_size(alerts); i++)
        taken += take_alert(state, json_array_get(alerts, i));
    reply->body = json_pack("{s:I, s:I}", "taken", (json_int_t) taken, "unknown", (json_int_t) (json_array_size(alerts) - taken));
}

/* ---- start and end ----------------------------------------------------------------------------------------------------------------- */

static void on_reach(const char *why, void *user)
{
    State *state = user;

    if (g_strcmp0(why, state->last_why) == 0)
        return;
    if (why != NULL)
        log_warning("Mend's incidents are not told everywhere: %s", why);
    else
        log_notice("Mend's incidents are told again");
    g_free(state->last_why);
    state->last_why = g_strdup(why);
}

static bool settings_are_good(const AlertSettings *s, GError **error)
{
    bool tells = s->urls != NULL && *s->urls != NULL;
    const char *wrong = !tells && s->listen == NULL                     ? "--alertmanager (to tell), --listen (to be told), or both are wanted"
                        : s->listen != NULL && s->rules_file == NULL    ? "--listen needs --rules: which alert is about what"
                        : s->user != NULL && s->password_file == NULL   ? "--user needs --password-file"
                        : s->user != NULL && s->token_file != NULL      ? "--user and --token-file: one of them"
                                                                          : NULL;

    if (wrong != NULL)
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%s", wrong);
    return wrong == NULL && alerts_check_labels((const char *const *) s->labels, error);
}

static bool start_out(State *state, GError **error)
{
    const AlertSettings *s = state->settings;
    const AlertOutOptions options = { .urls = s->urls, .ca_file = s->ca_file, .user = s->user, .password_file = s->password_file, .token_file = s->token_file,
                                      .credentials = s->operator_credentials, .policy = s->policy, .labels = s->labels, .interval_us = s->interval_us,
                                      .reach = on_reach, .user_data = state };

    if (s->urls == NULL || *s->urls == NULL)
        return true;
    state->out = alert_out_new(state->bridge, &options, error);
    return state->out != NULL;
}

static bool start_in(State *state, GError **error)
{
    const AlertSettings *s = state->settings;
    const HttpServerOptions options = { .listen = s->listen, .path = "/alerts", .token_file = s->listen_token_file, .certificate = s->certificate,
                                        .key = s->key, .max_body_bytes = 8 << 20, .fn = on_webhook, .user = state };
    const GPtrArray *names;

    if (s->listen == NULL)
        return true;
    if ((state->rules = alert_rules_read(s->rules_file, error)) == NULL)
        return false;
    names = alert_rules_vms(state->rules);
    for (guint i = 0; i < names->len; i++) {
        const AlertVmName *name = names->pdata[i];
        SignVm *vm = sign_vm_new(state->bridge, &(SignVmOptions){ .product = "mend-alerts", .name = name->name, .id = name->id }, error);

        if (vm == NULL)
            return false;
        g_ptr_array_add(state->vms, vm);
    }
    if ((state->server = http_server_new(&options, error)) == NULL)
        return false;
    for (guint i = 0; i < state->vms->len; i++)
        sign_vm_start(state->vms->pdata[i]);
    log_notice("webhooks come in at %s, about %u VMs", http_server_url(state->server), state->vms->len);
    return true;
}

static void stop(void *data)
{
    State *state = data;

    http_server_free(state->server);
    alert_out_free(state->out);
    g_ptr_array_unref(state->vms);
    alert_rules_free(state->rules);
    g_free(state->last_why);
    g_free(state);
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    State *state;

    if (!settings_are_good(settings, error))
        return NULL;
    state = g_new0(State, 1);
    state->bridge = bridge;
    state->settings = settings;
    state->vms = g_ptr_array_new_with_free_func((GDestroyNotify) sign_vm_free);
    if (start_out(state, error) && start_in(state, error))
        return state;
    stop(state);
    return NULL;
}

static void end(void *data)
{
    State *state = data;

    g_clear_pointer(&state->server, http_server_free);
    g_clear_pointer(&state->out, alert_out_free);
    for (guint i = 0; i < state->vms->len; i++)
        sign_vm_close(state->vms->pdata[i]);
}

const BridgeSystem bridge_alertmanager = { .name = "alertmanager", .about = "Prometheus' Alertmanager: incidents become alerts, alerts become signs", .rows = rows,
                                           .n_rows = G_N_ELEMENTS(rows), .settings_bytes = sizeof(AlertSettings), .start = start, .close = end, .stop = stop };
