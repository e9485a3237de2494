/* The plugin's agent is found by its name's beginning; what it tells of the site says which engine acts. Where none does for the moment, the one that did is asked,
 * and says so itself. */
#include "bridges/common/bridge_operator.h"

#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/qmf/session.h"

#include <string.h>

#define BROKER_AGENT "matahariproject.org:mend-broker:"
#define ENGINE_AGENT "matahariproject.org:mend-policy:"
#define OUR_PACKAGE  "org.matahariproject.mend"

struct BridgeOperator {
    AmqpClient *client;
    QmfSession *session;
    QmfConsole *console;
    char *broker, *engine; /* agents; NULL: not known (yet) */
    bool fixed;
    void (*broker_found)(void *user);
    void *user;
};

typedef struct Finding {
    BridgeOperator *op;
    QmfAnswerFn done;
    void *user;
} Finding;

static void on_agent(const char *agent, const Value *attributes, void *user)
{
    BridgeOperator *op = user;

    if (!g_str_has_prefix(agent, BROKER_AGENT) || g_strcmp0(agent, op->broker) == 0)
        return;
    g_free(op->broker);
    op->broker = g_strdup(agent);
    if (op->broker_found != NULL)
        op->broker_found(op->user);
}

static void on_ready(void *user) { bridge_operator_is_ready(user); }

BridgeOperator *bridge_operator_new(Bridge *bridge, const BridgeOperatorOptions *options, GError **error)
{
    const BridgeSettings *settings = bridge_settings(bridge);
    g_autoptr(Credentials) credentials = options->credentials != NULL ? credentials_read(options->credentials, error)
                                                                      : credentials_find("operator", settings->site, error);
    AmqpClientOptions client = { .reconnect = true };
    BridgeOperator *op;

    if (credentials == NULL) {
        g_prefix_error(error, "the policy engine cannot be asked for anything: ");
        return NULL;
    }
    client.url = settings->broker != NULL ? settings->broker : credentials->url != NULL ? credentials->url : "amqp://127.0.0.1:5672";
    client.user = credentials->user;
    client.password = credentials->password;
    client.ca_file = credentials->ca_file;
    op = g_new0(BridgeOperator, 1);
    op->fixed = options->engine != NULL;
    op->engine = op->fixed ? g_strconcat(ENGINE_AGENT, options->engine, NULL) : NULL;
    op->broker_found = options->broker_found;
    op->user = options->user;
    op->client = amqp_client_new(&client);
    op->session = qmf_session_new(op->client);
    op->console = qmf_session_console(op->session, &(QmfConsoleEvents) { .agent_found = on_agent, .user = op });
    qmf_session_when_ready(op->session, on_ready, op);
    return op;
}

void bridge_operator_free(BridgeOperator *op)
{
    if (op == NULL)
        return;
    op->broker_found = NULL;
    qmf_session_free(op->session);
    amqp_client_free(op->client);
    g_free(op->broker);
    g_free(op->engine);
    g_free(op);
}

AmqpClient *bridge_operator_client(const BridgeOperator *op) { return op->client; }

bool bridge_operator_is_ready(BridgeOperator *op)
{
    if (op->broker == NULL)
        qmf_console_locate(op->console, NULL);
    return op->broker != NULL;
}

static void on_site(const Value *answer, const GError *error, void *user)
{
    g_autofree Finding *finding = user;
    const Value *site = value_type(answer) == VALUE_LIST ? value_at(answer, 0) : answer;
    const char *name = value_get_string(value_get(site, "_values"), "engine");

    if (name != NULL && *name != '\0') {
        g_free(finding->op->engine);
        finding->op->engine = g_strconcat(ENGINE_AGENT, name, NULL);
    }
    finding->done(answer, error, finding->user);
}

void bridge_operator_find_engine(BridgeOperator *op, QmfAnswerFn done, void *user)
{
    Finding *finding;

    if (op->fixed || !bridge_operator_is_ready(op)) {
        done(NULL, NULL, user);
        return;
    }
    finding = g_new(Finding, 1);
    *finding = (Finding) { op, done, user };
    qmf_console_query_object(op->console, op->broker, "Site", BRIDGE_OPERATOR_ASK_US, on_site, finding);
}

const char *bridge_operator_engine(const BridgeOperator *op) { return op->engine != NULL ? op->engine + strlen(ENGINE_AGENT) : NULL; }

void bridge_operator_call(BridgeOperator *op, const char *method, Value *arguments, QmfAnswerFn done, void *user)
{
    g_autoptr(Value) id = qmf_object_id(op->engine, "Policy", 0), given = arguments;

    qmf_console_call(op->console, op->engine, id, method, given, BRIDGE_OPERATOR_ASK_US, done, user);
}

void bridge_operator_query(BridgeOperator *op, const char *class, QmfAnswerFn done, void *user)
{
    qmf_console_query_objects(op->console, op->broker, OUR_PACKAGE, class, NULL, BRIDGE_OPERATOR_ASK_US, done, user);
}

void bridge_operator_query_object(BridgeOperator *op, const char *object, QmfAnswerFn done, void *user)
{
    qmf_console_query_object(op->console, op->broker, object, BRIDGE_OPERATOR_ASK_US, done, user);
}
