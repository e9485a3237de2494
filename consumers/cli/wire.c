#include "consumers/cli/wire.h"

#include "consumers/common/event_message.h"
#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/base/file.h"
#include "lib/base/matahari_environment.h"

#include <stdio.h>
#include <string.h>

G_DEFINE_QUARK(mend-wire-error-quark, wire_error)

#define GATHER_US (400 * US_PER_MS) /* agents answer a locate request within this, or are named in full */
#define PASSWORD_MAX_BYTES 1024

struct Wire {
    WireLogin login;
    int64_t timeout_us;
    AmqpClient *client;
    QmfSession *session;
    QmfConsole *console;
    GError *lost;
    bool ready, found_more, ticked;
};

void wire_login_clear(WireLogin *login)
{
    g_free(login->url);
    g_free(login->user);
    g_free(login->password);
    g_free(login->ca_file);
    *login = (WireLogin){ 0 };
}

static char *copy_or(const char *text, const char *fallback)
{
    return g_strdup(text != NULL ? text : fallback);
}

bool wire_login(const WireOptions *options, const char *fallback_user, WireLogin *ret_login, GError **error)
{
    const char *user = options->user != NULL ? options->user : fallback_user;
    g_autofree char *environment = matahari_environment_url();
    const char *broker = options->broker != NULL ? options->broker : environment;
    g_autoptr(GError) local = NULL;
    g_autoptr(Credentials) found = NULL;
    g_autofree char *password = NULL;

    if (options->password_file != NULL && (password = file_read_line(options->password_file, PASSWORD_MAX_BYTES, error)) == NULL) {
        g_prefix_error(error, "--password-file: ");
        return false;
    }
    if (password == NULL || broker == NULL)
        found = credentials_find(user, options->data, &local);
    if (found == NULL && local != NULL && (broker == NULL || (options->user != NULL && password == NULL))) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    const char *url = broker != NULL ? broker : found == NULL ? NULL : found->url;
    if (url == NULL) {
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_UNREACHABLE, "the broker of the local site is not running (\"mend up\" or \"mend broker\" "
                    "starts it); another one: --broker URL");
        return false;
    }
    bool known = password != NULL || (found != NULL && found->user != NULL); /* else: an address and nothing more, so nobody in particular */
    *ret_login = (WireLogin){ .url = g_strdup(url), .user = known ? g_strdup(user) : NULL,
                              .password = password != NULL ? g_steal_pointer(&password) : copy_or(found == NULL ? NULL : found->password, NULL),
                              .ca_file = copy_or(options->ca, found == NULL ? NULL : found->ca_file) };
    if (strstr(ret_login->url, "://") == NULL) {
        char *whole = g_strconcat("amqp://", ret_login->url, NULL);
        g_free(ret_login->url);
        ret_login->url = whole;
    }
    return true;
}

static void on_state(AmqpClient *client, AmqpState state, const GError *why, void *user)
{
    Wire *wire = user;

    if (why != NULL && wire->lost == NULL)
        wire->lost = g_error_copy(why);
    else if (state == AMQP_STATE_CLOSED && wire->lost == NULL)
        wire->lost = g_error_new(WIRE_ERROR, WIRE_ERROR_UNREACHABLE, "the broker closed the connection");
    wire->ticked = true;
}

static void on_ready(void *user)
{
    Wire *wire = user;

    wire->ready = true;
}

static void on_agent_found(const char *agent, const Value *attributes, void *user)
{
    Wire *wire = user;

    wire->found_more = true;
}

static void on_problem(const char *what, const GError *error, void *user)
{
    Wire *wire = user;

    if (wire->lost == NULL)
        wire->lost = g_error_new(WIRE_ERROR, WIRE_ERROR_UNREACHABLE, "%s: %s", what, error->message);
}

static gboolean on_timeout(gpointer flag)
{
    *(bool *) flag = true;
    return G_SOURCE_REMOVE;
}

bool wire_wait(Wire *wire, const bool *flag, int64_t timeout_us, GError **error)
{
    bool late = false;
    g_autoptr(GSource) timer = NULL;

    if (timeout_us > 0) {
        timer = g_timeout_source_new(0);
        g_source_set_ready_time(timer, clock_now_us() + timeout_us);
        g_source_set_callback(timer, on_timeout, &late, NULL);
        g_source_attach(timer, g_main_context_get_thread_default());
    }
    while (!*flag && !late && wire->lost == NULL)
        g_main_context_iteration(g_main_context_get_thread_default(), TRUE);
    if (timer != NULL)
        g_source_destroy(timer);
    if (!*flag && wire->lost != NULL) {
        bool refused = g_error_matches(wire->lost, AMQP_ERROR, AMQP_ERROR_AUTH);

        g_set_error(error, WIRE_ERROR, WIRE_ERROR_UNREACHABLE, refused ? "%s does not accept %s: %s" : "%s: %s%s", wire->login.url,
                    refused ? (wire->login.user == NULL ? "a peer without a name" : wire->login.user) : wire->lost->message,
                    refused ? wire->lost->message : "");
    }
    return *flag;
}

Wire *wire_open(const WireOptions *options, GError **error)
{
    g_autoptr(Wire) wire = g_new0(Wire, 1);

    if (!wire_login(options, "operator", &wire->login, error))
        return NULL;
    wire->timeout_us = options->timeout_us;
    wire->client = amqp_client_new(&(AmqpClientOptions){ .url = wire->login.url, .user = wire->login.user,
                                                         .password = wire->login.password, .ca_file = wire->login.ca_file,
                                                         .on_state = on_state, .state_user = wire });
    wire->session = qmf_session_new(wire->client);
    qmf_session_on_problem(wire->session, on_problem, wire);
    wire->console = qmf_session_console(wire->session, &(QmfConsoleEvents){ .agent_found = on_agent_found, .user = wire });
    qmf_session_when_ready(wire->session, on_ready, wire);
    GError *local = NULL;
    if (wire_wait(wire, &wire->ready, wire->timeout_us, &local))
        return g_steal_pointer(&wire);
    if (local == NULL)
        g_set_error(&local, WIRE_ERROR, WIRE_ERROR_UNREACHABLE, "%s does not answer", wire->login.url);
    g_propagate_error(error, local);
    return NULL;
}

void wire_close(Wire *wire)
{
    if (wire == NULL)
        return;
    qmf_session_free(wire->session);
    amqp_client_free(wire->client);
    g_clear_error(&wire->lost);
    wire_login_clear(&wire->login);
    g_free(wire);
}

AmqpClient *wire_client(Wire *wire)
{
    return wire->client;
}

/* --- agents --- */

static bool knows(Wire *wire, const char *agent)
{
    return qmf_console_agent_attributes(wire->console, agent) != NULL;
}

/* Asks who is there; ends early when @exact is known or, with a prefix, somebody of it. */
static bool gather(Wire *wire, const char *exact, const char *prefix, int64_t wait_us, GError **error)
{
    int64_t until_us = clock_now_us() + wait_us;

    qmf_console_locate(wire->console, NULL);
    for (int64_t left_us; (left_us = until_us - clock_now_us()) > 0;) {
        g_autofree const char **names = NULL;
        g_autoptr(GError) local = NULL;
        size_t n = qmf_console_agents(wire->console, &names);

        if (exact != NULL && knows(wire, exact))
            return true;
        for (size_t i = 0; prefix != NULL && i < n; i++)
            if (g_str_has_prefix(names[i], prefix))
                return true;
        wire->found_more = false;
        if (!wire_wait(wire, &wire->found_more, left_us, &local) && local != NULL) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
    }
    return true;
}

static void absent(Wire *wire, const char *part, GPtrArray *matching, const char *const *names, size_t n, GError **error)
{
    if (matching->len > 1) {
        g_ptr_array_add(matching, NULL);
        g_autofree char *list = g_strjoinv("\n  ", (char **) matching->pdata);
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "\"%s\" may be one of\n  %s", part, list);
        return;
    }
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    g_autoptr(GPtrArray) short_names = g_ptr_array_new(); /* without the vendor, which nobody types */
    for (size_t i = 0; i < n; i++) {
        const char *colon = strchr(names[i], ':');

        g_ptr_array_add(known, (char *) names[i]);
        g_ptr_array_add(short_names, (char *) (colon == NULL || strchr(part, ':') != strrchr(part, ':') ? names[i] : colon + 1));
    }
    g_ptr_array_add(known, NULL);
    g_ptr_array_add(short_names, NULL);
    const char *near = nearest_word(part, (const char *const *) short_names->pdata);
    g_autofree char *list = g_strjoinv("\n  ", (char **) known->pdata);
    if (near != NULL)
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "no agent \"%s\" is here, did you mean \"%s\"?", part, near);
    else
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "no agent \"%s\" is here%s%s", part, n == 0 ? ", nobody is" : "; here are\n  ", list);
}

char *wire_agent(Wire *wire, const char *part, GError **error)
{
    g_autofree const char **names = NULL;
    g_autoptr(GPtrArray) matching = g_ptr_array_new();

    if (!gather(wire, part, NULL, GATHER_US, error))
        return NULL;
    size_t n = qmf_console_agents(wire->console, &names);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], part) == 0)
            return g_strdup(part);
        if (strstr(names[i], part) != NULL)
            g_ptr_array_add(matching, (char *) names[i]);
    }
    if (matching->len == 1)
        return g_strdup(matching->pdata[0]);
    absent(wire, part, matching, names, n, error);
    return NULL;
}

static char *agent_of(Wire *wire, const char *prefix, const char *what, GError **error)
{
    g_autofree const char **names = NULL;

    if (!gather(wire, NULL, prefix, wire->timeout_us, error))
        return NULL;
    size_t n = qmf_console_agents(wire->console, &names);
    for (size_t i = 0; i < n; i++)
        if (g_str_has_prefix(names[i], prefix))
            return g_strdup(names[i]);
    g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s", what);
    return NULL;
}

char *wire_broker_agent(Wire *wire, GError **error)
{
    return agent_of(wire, BROKER_AGENT_PREFIX, "this broker runs without Mend's plugin", error);
}

/* --- questions --- */

typedef struct Question {
    Value *answer;
    GError *error;
    bool done;
} Question;

static void on_answer(const Value *answer, const GError *error, void *user)
{
    Question *q = user;

    q->answer = answer == NULL ? NULL : value_ref((Value *) answer);
    q->error = error == NULL ? NULL : g_error_copy(error);
    q->done = true;
}

static Value *question_end(Wire *wire, Question *q, GError **error)
{
    /* The console times each question out by itself, so this ends; a lost connection ends it too, and then the console, which
     * still holds the question, is freed before anything on this stack is read again. */
    if (!q->done && !wire_wait(wire, &q->done, 0, error)) {
        g_clear_pointer(&wire->session, qmf_session_free);
        value_unref(q->answer);
        g_clear_error(&q->error);
        return NULL;
    }
    if (q->error != NULL)
        g_propagate_error(error, q->error);
    return q->answer;
}

Value *wire_call(Wire *wire, const char *agent, const char *object, const char *method, const Value *arguments, GError **error)
{
    g_autoptr(Value) id = qmf_object_id(agent, object, 0);

    return wire_call_id(wire, agent, id, method, arguments, error);
}

Value *wire_call_id(Wire *wire, const char *agent, const Value *id, const char *method, const Value *arguments, GError **error)
{
    Question q = { 0 };
    g_autoptr(Value) none = value_map();

    qmf_console_call(wire->console, agent, id, method, arguments == NULL ? none : arguments, wire->timeout_us, on_answer, &q);
    return question_end(wire, &q, error);
}

Value *wire_objects(Wire *wire, const char *agent, const char *class, GError **error)
{
    return wire_objects_of(wire, agent, "org.matahariproject.mend", class, error);
}

Value *wire_objects_of(Wire *wire, const char *agent, const char *package, const char *class, GError **error)
{
    Question q = { 0 };

    qmf_console_query_objects(wire->console, agent, package, class, NULL, wire->timeout_us, on_answer, &q);
    return question_end(wire, &q, error);
}

Value *wire_object(Wire *wire, const char *agent, const char *object, GError **error)
{
    Question q = { 0 };

    qmf_console_query_object(wire->console, agent, object, wire->timeout_us, on_answer, &q);
    return question_end(wire, &q, error);
}

Value *wire_schema_ids(Wire *wire, const char *agent, GError **error)
{
    Question q = { 0 };

    qmf_console_query_schema_ids(wire->console, agent, wire->timeout_us, on_answer, &q);
    return question_end(wire, &q, error);
}

Value *wire_schema(Wire *wire, const char *agent, const Value *schema_id, GError **error)
{
    Question q = { 0 };

    qmf_console_query_schema(wire->console, agent, schema_id, wire->timeout_us, on_answer, &q);
    return question_end(wire, &q, error);
}

char *wire_engine_agent(Wire *wire, const char *name, GError **error)
{
    g_autofree char *broker = name != NULL ? NULL : wire_broker_agent(wire, error);
    g_autoptr(Value) found = broker == NULL ? NULL : wire_object(wire, broker, "Site", error);
    const Value *object = value_type(found) == VALUE_LIST ? value_at(found, 0) : found;
    const char *acting = found == NULL ? NULL : value_get_string(value_get(object, "_values"), "engine");

    if (name == NULL && found == NULL)
        return NULL;
    if (name == NULL && (acting == NULL || *acting == '\0')) {
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "no policy engine acts (\"mend up\" or \"mend policy run\" starts one)");
        return NULL;
    }
    g_autofree char *agent = g_strconcat(POLICY_AGENT_PREFIX, name != NULL ? name : acting, NULL);
    return wire_agent(wire, agent, error);
}

/* --- the frame of a verb --- */

bool verb_begin(const char *usage, const Setting *rows, size_t n_rows, void *options, const bool *help, char **argv, char ***ret_rest,
                ExitStatus *ret_status)
{
    g_autoptr(GError) error = NULL;

    settings_defaults(rows, n_rows, options);
    if (!settings_read(rows, n_rows, options, argv, ret_rest, &error)) {
        fprintf(stderr, "mend %s: %s\n", argv[0], error->message);
        *ret_status = EXIT_WRONG;
        return false;
    }
    if (*help) {
        printf("usage: mend %s\n\n", usage);
        settings_help(rows, n_rows);
        *ret_status = EXIT_DONE;
        return false;
    }
    return true;
}

ExitStatus verb_fail(const char *verb, const GError *error)
{
    bool unreachable = g_error_matches(error, WIRE_ERROR, WIRE_ERROR_UNREACHABLE) || error->domain == CREDENTIALS_ERROR ||
                       error->domain == G_FILE_ERROR || error->domain == AMQP_ERROR;

    fprintf(stderr, "mend %s: %s\n", verb, error->message);
    return unreachable ? EXIT_WRONG : EXIT_NO;
}
