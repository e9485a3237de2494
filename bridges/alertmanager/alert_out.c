/* One round at a time: incidents are asked for, then the story of each that is new and needs a human, then everything is posted to every
 * Alertmanager (a cluster of them wants each member told). What has ended is repeated until all have heard of it. */
#include "bridges/alertmanager/alert_out.h"

#include "bridges/alertmanager/alerts.h"
#include "bridges/common/http.h"
#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/qmf/session.h"

#include <string.h>

#define ASK_US      (10 * US_PER_S)
#define SILENT_N    3          /* rounds without an answer before people are told */
#define LASTS_N     4          /* an alert ends by itself when it was not repeated for so many rounds */
#define STORIES_MAX 20         /* asked for in one round */

typedef struct Receiver {
    AlertOut *out;
    Http *http;
    HttpCall *call;
} Receiver;

struct AlertOut {
    Bridge *bridge;
    AlertOutOptions options;
    Alerts *alerts;
    AmqpClient *client;
    QmfSession *session;
    QmfConsole *console;
    char *agent, *why;     /* why: what is not reached in this round; NULL: nothing */
    GPtrArray *receivers;  /* of Receiver */
    guint timer;
    unsigned posting, stories, unanswered;
    int64_t silent_us;     /* wall; since when */
    bool ending, busy, missed; /* busy: a round is under way; missed: some receiver has not heard this round */
};

static void next_step(AlertOut *out);

static void miss(AlertOut *out, char *why /* (transfer full) */)
{
    if (out->why == NULL)
        out->why = why;
    else
        g_free(why);
}

/* ---- posting ----------------------------------------------------------------------------------------------------------------------- */

static void end_round(AlertOut *out)
{
    out->busy = false;
    if (!out->missed)
        alerts_sent(out->alerts);
    out->options.reach(out->why, out->options.user_data);
}

static void on_posted(const HttpAnswer *answer, void *user)
{
    Receiver *receiver = user;
    AlertOut *out = receiver->out;

    receiver->call = NULL;
    if (http_command_error(answer) != NULL) {
        out->missed = true;
        miss(out, http_answer_text(answer, http_url(receiver->http)));
    }
    if (--out->posting == 0)
        end_round(out);
}

/* NULL: none is needed. Sets *@ret_fine. (transfer full: http_secret_free) */
static char *authorization(const AlertOutOptions *o, bool *ret_fine, GError **error)
{
    char *secret = NULL, *value = NULL;

    *ret_fine = true;
    if (o->token_file == NULL && o->user == NULL)
        return NULL;
    secret = http_secret_read(o->token_file != NULL ? o->token_file : o->password_file, error);
    *ret_fine = secret != NULL;
    if (secret != NULL)
        value = o->token_file != NULL ? g_strconcat("Bearer ", secret, NULL) : http_basic(o->user, secret);
    http_secret_free(secret);
    return value;
}

static void post_all(AlertOut *out)
{
    g_autoptr(json_t) body = alerts_body(out->alerts, clock_wall_us(), LASTS_N * out->options.interval_us);
    g_autofree char *text = json_text(body);
    g_autoptr(GError) error = NULL;
    bool fine;
    char *login = authorization(&out->options, &fine, &error);
    const char *headers[] = { "Authorization", login, NULL };
    const HttpRequest request = { .method = "POST", .path = "/api/v2/alerts", .headers = login != NULL ? headers : NULL, .body = text,
                                  .content_type = "application/json", .deadline_us = clock_now_us() + out->options.interval_us + ASK_US, .repeatable = true };

    out->missed = !fine;
    if (!fine)
        miss(out, g_strdup(error->message));
    out->posting = fine && json_array_size(body) > 0 ? out->receivers->len : 0;
    for (guint i = 0; i < out->receivers->len && out->posting > 0; i++) {
        Receiver *receiver = out->receivers->pdata[i];

        receiver->call = http_send(receiver->http, &request, on_posted, receiver);
    }
    http_secret_free(login);
    if (out->posting == 0)
        end_round(out);
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------------ */

typedef struct StoryAsked {
    AlertOut *out;
    char *entity;
} StoryAsked;

static void call_policy(AlertOut *out, const char *method, Value *arguments, QmfAnswerFn done, void *user)
{
    g_autoptr(Value) id = qmf_object_id(out->agent, "Policy", 0), given = arguments;

    qmf_console_call(out->console, out->agent, id, method, given, ASK_US, done, user);
}

static void on_story(const Value *answer, const GError *error, void *user)
{
    g_autofree StoryAsked *asked = user;
    g_autofree char *entity = asked->entity;
    const char *text = answer != NULL ? value_get_string(answer, "text") : NULL;

    if (asked->out->ending)
        return;
    alerts_set_story(asked->out->alerts, entity, text != NULL ? text : "");
    next_step(asked->out);
}

static void next_step(AlertOut *out)
{
    const char *entity = out->stories < STORIES_MAX ? alerts_without_story(out->alerts) : NULL;
    StoryAsked *asked;
    Value *arguments;

    if (entity == NULL) {
        post_all(out);
        return;
    }
    out->stories++;
    asked = g_new(StoryAsked, 1);
    *asked = (StoryAsked) { out, g_strdup(entity) };
    arguments = value_map();
    value_set(arguments, "entity", value_string(entity));
    call_policy(out, "why", arguments, on_story, asked);
}

static void on_incidents(const Value *answer, const GError *error, void *user)
{
    AlertOut *out = user;
    g_autoptr(json_t) outputs = answer != NULL ? value_to_json(answer) : NULL;
    int64_t now_us = clock_wall_us();

    if (out->ending)
        return;
    if (answer == NULL) {
        if (out->unanswered++ == 0)
            out->silent_us = now_us;
        miss(out, g_strdup_printf("%s: %s", out->agent, error->message));
    } else {
        out->unanswered = 0;
        alerts_take(out->alerts, json_object_get(outputs, "incidents"), now_us);
    }
    alerts_policy_silent(out->alerts, out->options.policy, out->unanswered >= SILENT_N ? out->silent_us : 0, now_us);
    next_step(out);
}

static gboolean on_timer(void *user)
{
    AlertOut *out = user;
    Value *arguments;

    if (out->busy)
        return G_SOURCE_CONTINUE; /* the last round is not through */
    out->busy = true;
    out->stories = 0;
    g_clear_pointer(&out->why, g_free);
    arguments = value_map();
    value_set(arguments, "open_only", value_bool(true));
    call_policy(out, "incidents", arguments, on_incidents, out);
    return G_SOURCE_CONTINUE;
}

/* ---- life -------------------------------------------------------------------------------------------------------------------------- */

static void receiver_free(void *data)
{
    Receiver *receiver = data;

    http_drop(receiver->call);
    http_free(receiver->http);
    g_free(receiver);
}

static bool open_receivers(AlertOut *out, GError **error)
{
    for (char *const *url = out->options.urls; *url != NULL; url++) {
        const HttpOptions options = { .url = *url, .ca_file = out->options.ca_file, .timeout_us = ASK_US, .max_answer_bytes = 1 << 20 };
        Receiver *receiver = g_new0(Receiver, 1);

        receiver->out = out;
        receiver->http = http_new(&options, error);
        g_ptr_array_add(out->receivers, receiver);
        if (receiver->http == NULL)
            return false;
    }
    return true;
}

static bool open_console(AlertOut *out, GError **error)
{
    const BridgeSettings *settings = bridge_settings(out->bridge);
    g_autoptr(Credentials) credentials = out->options.credentials != NULL ? credentials_read(out->options.credentials, error)
                                                                          : credentials_find("operator", settings->site, error);
    AmqpClientOptions client = { .reconnect = true, .url = settings->broker };

    if (credentials == NULL) { /* nobody without a name may ask */
        g_prefix_error(error, "the policy engine cannot be asked for its incidents: ");
        return false;
    }
    client.user = credentials->user;
    client.password = credentials->password;
    client.ca_file = credentials->ca_file;
    if (client.url == NULL)
        client.url = credentials->url;
    if (client.url == NULL)
        client.url = "amqp://127.0.0.1:5672";
    out->client = amqp_client_new(&client);
    out->session = qmf_session_new(out->client);
    out->console = qmf_session_console(out->session, &(QmfConsoleEvents) { 0 });
    return true;
}

AlertOut *alert_out_new(Bridge *bridge, const AlertOutOptions *options, GError **error)
{
    AlertOut *out = g_new0(AlertOut, 1);

    out->bridge = bridge;
    out->options = *options;
    out->alerts = alerts_new((const char *const *) options->labels);
    out->agent = g_strconcat("matahariproject.org:mend-policy:", options->policy, NULL);
    out->receivers = g_ptr_array_new_with_free_func(receiver_free);
    if (!open_receivers(out, error) || !open_console(out, error)) {
        alert_out_free(out);
        return NULL;
    }
    out->timer = g_timeout_add((guint) (options->interval_us / US_PER_MS), on_timer, out);
    return out;
}

void alert_out_free(AlertOut *out)
{
    if (out == NULL)
        return;
    out->ending = true; /* what is asked is answered by the session's end */
    g_clear_handle_id(&out->timer, g_source_remove);
    qmf_session_free(out->session);
    amqp_client_free(out->client);
    g_ptr_array_unref(out->receivers);
    alerts_free(out->alerts);
    g_free(out->agent);
    g_free(out->why);
    g_free(out);
}
