/* An agent's classes on a bus of one: requests go in as messages, what comes out is kept. */
#ifndef MEND_GUEST_TEST_BENCH_H
#define MEND_GUEST_TEST_BENCH_H

#include "agents/guest/classes.h"
#include "agents/guest/services/test_world.h"

#include "lib/base/json.h"

#include <string.h>

#define AGENT "matahariproject.org:mend-guest:test"

typedef struct Bench {
    World *world;
    QmfBus bus;
    QmfAgent *agent;
    CommandLedger *ledger;
    ClassContext context;
    GuestClass *guest;
    HostClass *host;
    ServicesClass *services;
    ResourcesClass *resources;
    GPtrArray *answers; /* of json_t: opcode, correlation, body, extra */
    GPtrArray *events;  /* of json_t: name, severity, values */
    unsigned asked;
} Bench;

static inline void keep_event(Bench *b, const json_t *body)
{
    const json_t *event = json_array_get(body, 0);

    g_ptr_array_add(b->events, json_pack("{s:O, s:O}", "class", json_object_get(json_object_get(event, "_schema_id"), "_class_name"),
                                         "values", json_object_get(event, "_values")));
}

static inline void on_send(void *user, const char *node, const QmfMessage *message)
{
    Bench *b = user;
    g_autoptr(json_t) body = value_to_json(message->body);
    g_autoptr(json_t) extra = message->extra != NULL ? value_to_json(message->extra) : json_object();

    if (message->opcode == QMF_DATA_INDICATION)
        keep_event(b, body);
    else
        g_ptr_array_add(b->answers, json_pack("{s:s, s:s, s:O, s:O}", "opcode", qmf_opcode_name(message->opcode), "correlation",
                                              message->correlation_id != NULL ? message->correlation_id : "", "body", body, "extra",
                                              extra));
}

static inline int64_t on_wall(void *user)
{
    return clock_wall_us();
}

/* The agent without any class. */
static inline void bench_open(Bench *b)
{
    const QmfAgentOptions options = {"matahariproject.org", "mend-guest", "test", 1, 5};
    g_autofree char *data = g_build_filename(b->world->folder, "agent", NULL);
    g_autoptr(GError) error = NULL;

    b->bus = (QmfBus){on_send, on_wall, b};
    b->agent = qmf_agent_new(&b->bus, &options);
    b->ledger = command_ledger_open(data, &error);
    g_assert_no_error(error);
    b->context.identity = identity_load(data, NULL, "/", &error);
    g_assert_no_error(error);
    b->context.agent = b->agent;
    b->context.gate = command_gate_new(b->agent, b->ledger);
    b->context.host = &b->world->host;
    b->context.lanes = b->world->lanes;
    b->context.data = g_strdup(data);
    b->context.writables = g_array_new(FALSE, FALSE, sizeof(Writable));
    b->context.own_classes = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_class_free);
}

static inline void bench_close(Bench *b)
{
    qmf_agent_free(b->agent);
    command_gate_free(b->context.gate);
    command_ledger_close(b->ledger);
    identity_free(b->context.identity);
    g_ptr_array_unref(b->context.own_classes);
    g_array_unref(b->context.writables);
    g_free((char *) b->context.data);
}

static inline Bench *bench_make(void)
{
    Bench *b = g_new0(Bench, 1);

    b->world = world_new(NULL);
    b->answers = g_ptr_array_new_with_free_func((GDestroyNotify) json_decref);
    b->events = g_ptr_array_new_with_free_func((GDestroyNotify) json_decref);
    return b;
}

static inline void bench_drop(Bench *b)
{
    g_ptr_array_unref(b->answers);
    g_ptr_array_unref(b->events);
    world_free(b->world);
    g_free(b);
}

static inline char *correlation_next(Bench *b)
{
    return g_strdup_printf("c%u", ++b->asked);
}

/* @arguments, @extra: JSON text; "%s" in @arguments stands for the world's folder. Returns the correlation id. Caller frees. */
static inline char *ask(Bench *b, const char *object, const char *method, const char *arguments, const char *extra)
{
    g_autoptr(QmfMessage) request = qmf_message_new(QMF_METHOD_REQUEST);
    g_auto(GStrv) parts = g_strsplit(arguments, "%s", -1);
    g_autofree char *text = g_strjoinv(b->world->folder, parts);
    g_autoptr(json_t) args = json_loads(text, 0, NULL), extras = extra != NULL ? json_loads(extra, 0, NULL) : NULL;
    char *correlation = correlation_next(b);

    g_assert_nonnull(args);
    request->body = value_map();
    value_set(request->body, "_object_id", qmf_object_id(AGENT, object, 0));
    value_set(request->body, "_method_name", value_string(method));
    value_set(request->body, "_arguments", value_from_json(args));
    request->extra = extras != NULL ? value_from_json(extras) : NULL;
    request->reply_to = g_strdup("qmf.default.direct/me");
    request->correlation_id = g_strdup(correlation);
    qmf_agent_receive(b->agent, request);
    return correlation;
}

static inline const json_t *answer_of(const Bench *b, const char *correlation)
{
    for (guint i = 0; i < b->answers->len; i++)
        if (strcmp(json_string_or(b->answers->pdata[i], "correlation", ""), correlation) == 0)
            return b->answers->pdata[i];
    return NULL;
}

/* The whole answer; borrowed. */
static inline const json_t *call_with(Bench *b, const char *object, const char *method, const char *arguments, const char *extra)
{
    g_autofree char *correlation = ask(b, object, method, arguments, extra);

    WAIT_FOR(answer_of(b, correlation) != NULL);
    return answer_of(b, correlation);
}

/* "{outputs as JSON}", or "! error text". Caller frees. */
static inline char *call(Bench *b, const char *object, const char *method, const char *arguments)
{
    const json_t *body = json_object_get(call_with(b, object, method, arguments, NULL), "body");
    const json_t *values = json_object_get(body, "_values");

    if (values != NULL)
        return g_strconcat("! ", json_string_or(values, "error_text", "?"), NULL);
    return json_text(json_object_get(body, "_arguments"));
}

#define CALL_IS(object, method, arguments, wanted)                    \
    do {                                                              \
        g_autofree char *said = call(b, object, method, arguments);   \
        g_assert_cmpstr(said, ==, wanted);                            \
    } while (0)

static inline const json_t *event_values(const Bench *b, const char *class, unsigned n)
{
    for (guint i = 0; i < b->events->len; i++)
        if (strcmp(json_string_or(b->events->pdata[i], "class", ""), class) == 0 && n-- == 0)
            return json_object_get(b->events->pdata[i], "values");
    return NULL;
}

static inline unsigned count_events(const Bench *b, const char *class)
{
    unsigned n = 0;

    while (event_values(b, class, n) != NULL)
        n++;
    return n;
}

#endif
