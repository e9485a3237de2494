/* One round at a time: incidents are asked for; then, one after the other, of each that is due the broker is asked what is true of its entity now, a token is
 * got, and it is posted. What Masakari has (202, or 409 as a duplicate) is written down; anything else is tried again later, further and further apart. A 409 of
 * another kind (the host is in maintenance) is no hearing. Not more than ROUND_MAX in a round: when a site falls, Masakari is not to be stormed. */
#include "bridges/masakari/masakari_out.h"

#include "bridges/common/bridge_operator.h"
#include "bridges/common/http.h"
#include "bridges/masakari/masakari_findings.h"
#include "bridges/masakari/masakari_login.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define ASK_US      (10 * US_PER_S)
#define ROUND_MAX   5
#define SAVED_MAX   (8 << 20)

struct MasakariOut {
    MasakariOutOptions options;
    Findings *findings;
    MasakariLogin *login;
    Http *http;
    HttpCall *call;
    BridgeOperator *operator;
    char *file, *saved, *id, *entity, *body, *last_why; /* id, entity, body: what is at work */
    guint timer;
    unsigned tried;
    bool ending, busy;
};

static void next_step(MasakariOut *out);

static void save(MasakariOut *out)
{
    g_autoptr(json_t) all = findings_save(out->findings);
    g_autofree char *text = json_text(all);
    g_autoptr(GError) error = NULL;

    if (g_strcmp0(text, out->saved) == 0)
        return;
    if (!file_write(out->file, text, strlen(text), 0600, &error)) {
        log_warning("what Masakari was told cannot be kept: %s", error->message);
        return;
    }
    g_free(out->saved);
    out->saved = g_steal_pointer(&text);
}

/* The reason is said once, until it is another. */
static void say(MasakariOut *out, const char *why)
{
    if (g_strcmp0(why, out->last_why) == 0)
        return;
    g_autofree char *text = why != NULL ? g_strconcat("Masakari is not told: ", why, NULL) : NULL;

    if (text != NULL)
        log_warning("%s", text);
    else
        log_notice("Masakari is told again");
    g_free(out->last_why);
    out->last_why = g_strdup(why);
    out->options.trouble(text, out->options.user);
}

/* ---- one finding --------------------------------------------------------------------------------------------------------------------------- */

static void give_up(MasakariOut *out, const char *why)
{
    say(out, why);
    findings_failed(out->findings, out->id, clock_now_us());
    next_step(out);
}

static bool is_heard(const HttpAnswer *answer)
{
    if (answer->error != NULL)
        return false;
    return answer->status == 202 || (answer->status == 409 && strstr(answer->body, "duplicate") != NULL);
}

/* OpenStack says why beside the status: {"badRequest": {"code": 400, "message": "…"}}. (transfer full) */
static char *answer_text(const MasakariOut *out, const HttpAnswer *answer)
{
    g_autofree char *text = http_answer_text(answer, http_url(out->http));
    g_autoptr(json_t) body = answer->error == NULL ? http_answer_json(answer, NULL) : NULL;
    const char *name, *message = NULL;
    json_t *value;

    json_object_foreach(body, name, value)
        message = json_string_or(value, "message", message);
    return message == NULL ? g_steal_pointer(&text) : g_strdup_printf("%s: %.300s", text, message);
}

static void on_posted(const HttpAnswer *answer, void *user)
{
    MasakariOut *out = user;
    g_autofree char *text = NULL;

    out->call = NULL;
    if (is_heard(answer)) {
        log_notice("Masakari was told of %s (incident %s)", out->entity, out->id);
        findings_told(out->findings, out->id);
        save(out);
        say(out, NULL);
        next_step(out);
        return;
    }
    if (answer->error == NULL && (answer->status == 401 || answer->status == 403))
        masakari_login_refused(out->login);
    text = answer_text(out, answer);
    give_up(out, text);
}

static void on_token(const char *token, const char *why, void *user)
{
    MasakariOut *out = user;
    const char *headers[] = { "X-Auth-Token", token, "Accept", "application/json", "OpenStack-API-Version", "instance-ha 1.0", NULL };
    const HttpRequest request = { .method = "POST", .path = "/notifications", .headers = headers, .body = out->body, .content_type = "application/json" };

    if (token == NULL) {
        give_up(out, why);
        return;
    }
    save(out); /* the time of the first try */
    out->call = http_send(out->http, &request, on_posted, out);
}

static void on_entity(const Value *answer, const GError *error, void *user)
{
    MasakariOut *out = user;
    g_autoptr(json_t) object = answer != NULL && value_size(answer) > 0 ? value_to_json(value_at(answer, 0)) : NULL;
    g_autoptr(json_t) body = NULL;
    const json_t *values = json_object_get(object, "_values");
    const char *why = NULL;

    if (out->ending)
        return;
    if (values == NULL) {
        g_autofree char *text = g_strdup_printf("%s cannot be asked for: %s", out->entity, error != NULL ? error->message : "it is not known");

        give_up(out, text);
        return;
    }
    body = findings_body(out->findings, out->id, json_string_or(values, "state", ""), json_object_get(values, "data"), clock_wall_us(), &why);
    if (body == NULL) {
        log_info("Masakari is not told of %s: %s", out->entity, why);
        findings_failed(out->findings, out->id, clock_now_us());
        next_step(out);
        return;
    }
    g_free(out->body);
    out->body = json_text(body);
    masakari_login_ask(out->login, on_token, out);
}

/* ---- rounds -------------------------------------------------------------------------------------------------------------------------------- */

static void next_step(MasakariOut *out)
{
    const char *entity = NULL, *id = out->tried < ROUND_MAX ? findings_next(out->findings, clock_now_us(), &entity) : NULL;

    if (id == NULL) {
        out->busy = false;
        return;
    }
    out->tried++;
    g_free(out->id);
    g_free(out->entity);
    out->id = g_strdup(id);
    out->entity = g_strdup(entity);
    bridge_operator_query_object(out->operator, out->entity, on_entity, out);
}

static void on_incidents(const Value *answer, const GError *error, void *user)
{
    MasakariOut *out = user;
    g_autoptr(json_t) outputs = answer != NULL ? value_to_json(answer) : NULL;
    const json_t *incidents = json_object_get(outputs, "incidents");

    if (out->ending)
        return;
    if (!json_is_array(incidents)) {
        say(out, error != NULL ? error->message : "the policy engine's answer has no incidents");
        out->busy = false;
        return;
    }
    findings_take(out->findings, incidents);
    save(out);
    next_step(out);
}

static void ask_incidents(const Value *answer, const GError *error, void *user)
{
    MasakariOut *out = user;
    Value *arguments;

    if (out->ending)
        return;
    if (bridge_operator_engine(out->operator) == NULL) {
        say(out, "no policy engine acts");
        out->busy = false;
        return;
    }
    arguments = value_map();
    value_set(arguments, "open_only", value_bool(true));
    bridge_operator_call(out->operator, "incidents", arguments, on_incidents, out);
}

static gboolean on_timer(void *user)
{
    MasakariOut *out = user;

    if (out->busy || !bridge_operator_is_ready(out->operator))
        return G_SOURCE_CONTINUE;
    out->busy = true;
    out->tried = 0;
    bridge_operator_find_engine(out->operator, ask_incidents, out);
    return G_SOURCE_CONTINUE;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------------------- */

static void load(MasakariOut *out)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_file_test(out->file, G_FILE_TEST_EXISTS) ? file_read_line(out->file, SAVED_MAX, &error) : NULL;
    g_autoptr(json_t) saved = text != NULL ? json_parse(text, strlen(text), out->file, &error) : NULL;

    if (saved != NULL)
        findings_load(out->findings, saved);
    else if (error != NULL)
        log_warning("what Masakari was told is not known any more: %s", error->message);
}

MasakariOut *masakari_out_new(Bridge *bridge, const MasakariOutOptions *options, GError **error)
{
    const HttpOptions http = { .url = options->url, .ca_file = options->ca_file, .timeout_us = ASK_US, .max_answer_bytes = 1 << 20, .per_s = 5, .at_once = 1 };
    const BridgeOperatorOptions asked = { .credentials = options->credentials, .engine = options->policy };
    MasakariOut *out = g_new0(MasakariOut, 1);

    out->options = *options;
    out->findings = findings_new(options->names);
    out->file = g_build_filename(bridge_data(bridge), "told.json", NULL);
    load(out);
    if ((out->http = http_new(&http, error)) == NULL ||
        (out->login = masakari_login_new(options->token_file, options->login_file, options->ca_file, error)) == NULL ||
        (out->operator = bridge_operator_new(bridge, &asked, error)) == NULL) {
        masakari_out_free(out);
        return NULL;
    }
    out->timer = g_timeout_add((guint) (options->interval_us / US_PER_MS), on_timer, out);
    return out;
}

void masakari_out_free(MasakariOut *out)
{
    if (out == NULL)
        return;
    out->ending = true; /* what is asked is answered by the session's end */
    g_clear_handle_id(&out->timer, g_source_remove);
    bridge_operator_free(out->operator);
    http_drop(out->call);
    masakari_login_free(out->login);
    http_free(out->http);
    findings_free(out->findings);
    g_free(out->file);
    g_free(out->saved);
    g_free(out->id);
    g_free(out->entity);
    g_free(out->body);
    g_free(out->last_why);
    g_free(out);
}
