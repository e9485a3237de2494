#include "tests/plugin/world.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/bridge.h"
#include "lib/base/json.h"

#include <string.h>

#define CONSOLE_KEY "direct-console.test"

extern const mend_plugin mend_plugin_v1;

static void guest_free(gpointer data)
{
    Guest *g = data;

    g_free(g->id);
    g_free(g->name);
    g_free(g->hostname);
    g_free(g->boot_id);
    g_free(g->genid);
    g_free(g->filesystem);
    g_free(g->hardware);
    value_unref(g->services);
    g_free(g);
}

static void load(World *w, const char *config)
{
    g_autoptr(GError) error = NULL;

    sim_host_load(w->sim, &mend_plugin_v1, config, &error);
    g_assert_no_error(error);
    w->engine = sim_host_peer_open(w->sim, "engine", "engine", "127.0.0.1:40000");
}

World *world_new(uint64_t seed, const char *config)
{
    World *w = g_new0(World, 1);

    w->sim = sim_host_new(seed);
    w->guests = g_ptr_array_new_with_free_func(guest_free);
    w->events = g_ptr_array_new_with_free_func(g_free);
    w->bodies = g_ptr_array_new_with_free_func((GDestroyNotify) json_decref);
    w->answers = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_message_free);
    load(w, config);
    world_pump(w); /* nobody is there to answer the first question */
    return w;
}

void world_free(World *w)
{
    if (w == NULL)
        return;
    sim_host_free(w->sim);
    g_ptr_array_unref(w->guests);
    g_ptr_array_unref(w->events);
    g_ptr_array_unref(w->bodies);
    g_ptr_array_unref(w->answers);
    g_free(w);
}

void world_restart(World *w, const char *config)
{
    world_pump(w);
    sim_host_crash(w->sim);
    for (guint i = 0; i < w->guests->len; i++)
        ((Guest *) g_ptr_array_index(w->guests, i))->peer = 0;
    load(w, config);
}

int32_t world_send(World *w, mend_id peer, const char *address, const QmfMessage *message)
{
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_auto(MsgView) view = { 0 };

    msg_view_init(&view, amqp, address, peer);
    return sim_host_send(w->sim, &view.msg);
}

/* ---- guests ----------------------------------------------------------------------------------------------------------------- */

void guest_connect(Guest *g)
{
    g_autofree char *user = g_strdup_printf("agent-%s", g->id);
    g_autofree char *address = g_strdup_printf("10.0.0.%u:5000", g_str_hash(g->id) % 250);

    g->peer = sim_host_peer_open(g->world->sim, user, "agent", address);
}

Guest *world_guest(World *w, unsigned n)
{
    Guest *g = g_new0(Guest, 1);

    g->world = w;
    g->id = g_strdup_printf("00000000-0000-4000-8000-%012u", n);
    g->name = g_strdup_printf("matahariproject.org:mend-guest:%s", g->id);
    g->hostname = g_strdup_printf("guest-%u", n);
    g->boot_id = g_strdup_printf("b0070000-0000-4000-8000-%012u", n);
    g->epoch = 1;
    g->answers = true;
    g->services = value_map();
    guest_connect(g);
    g_ptr_array_add(w->guests, g);
    return g;
}

static Value *text_list(const char *const *words)
{
    Value *list = value_list();

    for (; *words != NULL; words++)
        value_append(list, value_string(*words));
    return list;
}

static Value *guest_attributes(const Guest *g, uint64_t sequence)
{
    static const char *const capabilities[] = { "control-queue", "service-events", "commands", NULL };
    Value *a = value_map(), *uuid = value_map(), *services = value_map();

    value_set(a, "_vendor", value_string("matahariproject.org"));
    value_set(a, "_product", value_string("mend-guest"));
    value_set(a, "_instance", value_string(g->id));
    value_set(a, "_name", value_string(g->name));
    value_set(a, "_epoch", value_uint(VALUE_UINT32, g->epoch));
    value_set(a, "_heartbeat_interval", value_uint(VALUE_UINT32, 5));
    value_set(a, "hostname", value_bytes(VALUE_BINARY, g->hostname, strlen(g->hostname)));
    value_set(a, "mend.vm", value_string(g->id));
    value_set(a, "mend.boot_id", value_string(g->boot_id));
    value_set(a, "mend.sequence", value_uint(VALUE_UINT64, sequence));
    value_set(a, "mend.next_due_ms", value_uint(VALUE_UINT32, 5000));
    value_set(a, "mend.event_sequence", value_uint(VALUE_UINT64, g->event_sequence));
    value_set(a, "mend.capabilities", text_list(capabilities));
    if (g->genid != NULL)
        value_set(a, "mend.genid", value_string(g->genid));
    if (g->filesystem != NULL)
        value_set(uuid, "filesystem", value_string(g->filesystem));
    if (g->hardware != NULL)
        value_set(uuid, "hardware", value_string(g->hardware));
    value_set(a, "mend.uuid", uuid);
    for (size_t i = 0; i < value_size(g->services); i++) {
        const char *key;
        const Value *item;

        value_entry(g->services, i, &key, &item);
        value_set(services, key, value_ref((Value *) item));
    }
    value_set(a, "mend.services", services);
    return a;
}

QmfMessage *guest_heartbeat_message(const Guest *g, uint64_t sequence)
{
    QmfMessage *m = qmf_message_new(QMF_AGENT_HEARTBEAT_INDICATION);

    m->agent = g_strdup(g->name);
    m->subject = g_strdup("agent.ind.heartbeat.matahariproject.org.mend-guest");
    m->body = value_map();
    value_set(m->body, "_values", guest_attributes(g, sequence));
    return m;
}

void guest_beat(Guest *g, uint64_t sequence)
{
    g_autoptr(QmfMessage) m = guest_heartbeat_message(g, sequence);

    world_send(g->world, g->peer, QMF_TOPIC, m);
    world_pump(g->world);
}

void guest_heartbeat(Guest *g) { guest_beat(g, ++g->sequence); }

void guest_digest(Guest *g, const char *name, const char *state) { value_set(g->services, name, value_string(state)); }

static void guest_send_event(Guest *g, const char *name, const char *state, const char *intent, uint64_t sequence, int64_t occurred_us)
{
    g_autoptr(QmfMessage) m = qmf_message_new(QMF_DATA_INDICATION);
    Value *event = value_map(), *id = value_map(), *values = value_map();

    value_set(id, "_package_name", value_string("org.matahariproject.mend"));
    value_set(id, "_class_name", value_string("service_state"));
    value_set(id, "_type", value_string("_event"));
    value_set(values, "name", value_string(name));
    value_set(values, "standard", value_string("systemd"));
    value_set(values, "state", value_string(state));
    value_set(values, "intent", value_string(intent));
    value_set(values, "sequence", value_uint(VALUE_UINT64, sequence));
    value_set(values, "boot_id", value_string(g->boot_id));
    value_set(values, "occurred_us", value_int(VALUE_INT64, occurred_us));
    value_set(event, "_schema_id", id);
    value_set(event, "_values", values);
    value_set(event, "_severity", value_int(VALUE_INT32, 5));
    value_set(event, "_timestamp", value_uint(VALUE_UINT64, (uint64_t) occurred_us * 1000));
    m->agent = g_strdup(g->name);
    m->content = g_strdup("_event");
    m->subject = g_strdup("agent.ind.event.org.matahariproject.mend.service_state");
    m->body = value_list();
    value_append(m->body, event);
    world_send(g->world, g->peer, QMF_TOPIC, m);
    world_pump(g->world);
}

void guest_raise(Guest *g, const char *name, const char *state, uint64_t sequence, int64_t occurred_us)
{
    guest_send_event(g, name, state, "none", sequence, occurred_us);
}

void guest_service(Guest *g, const char *name, const char *state, const char *intent)
{
    guest_digest(g, name, state);
    guest_send_event(g, name, state, intent, ++g->event_sequence, sim_host_wall_us(g->world->sim));
}

/* ---- what the plugin says ----------------------------------------------------------------------------------------------------- */

static void take_event(World *w, const mend_msg *msg)
{
    const mend_prop *type = msg_prop(msg, "cloudEvents_type"), *subject = msg_prop(msg, "cloudEvents_subject");
    g_autofree char *kind = NULL, *entity = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(type);
    g_assert_nonnull(subject);
    kind = str_dup(type->str);
    entity = str_dup(subject->str);
    g_assert_true(g_str_has_prefix(kind, "org.matahariproject.mend."));
    g_assert_true(g_str_has_suffix(kind, ".v1"));
    kind[strlen(kind) - 3] = '\0';
    g_ptr_array_add(w->events, g_strdup_printf("%s %s", kind + strlen("org.matahariproject.mend."), entity));
    g_ptr_array_add(w->bodies, json_parse(msg->body.ptr, msg->body.len, "event", &error));
    g_assert_no_error(error);
    g_test_message("event %s", (const char *) g_ptr_array_index(w->events, w->events->len - 1));
}

static void answer_locate(World *w, const mend_msg *msg)
{
    g_autofree char *to = str_dup(msg->reply_to);

    for (guint i = 0; i < w->guests->len; i++) {
        Guest *g = g_ptr_array_index(w->guests, i);
        g_autoptr(QmfMessage) m = NULL;

        if (!g->answers || g->peer == 0 || (!str_equal(msg->subject, "console.request.agent_locate") && !str_equal(msg->subject, g->name)))
            continue;
        m = guest_heartbeat_message(g, g->sequence);
        m->opcode = QMF_AGENT_LOCATE_RESPONSE;
        g_free(m->subject);
        m->subject = g_strdup(strchr(to, '/') + 1);
        world_send(w, g->peer, QMF_TOPIC, m);
    }
}

void world_pump(World *w)
{
    for (; w->read < sim_host_published(w->sim)->len; w->read++) {
        const SimMessage *sent = g_ptr_array_index(sim_host_published(w->sim), w->read);
        const mend_prop *opcode = msg_prop(&sent->msg, "qmf.opcode");

        if (str_equal(sent->msg.address, "mend.events"))
            take_event(w, &sent->msg);
        else if (opcode != NULL && str_equal(opcode->str, "_agent_locate_request"))
            answer_locate(w, &sent->msg);
        else if (str_equal(sent->msg.subject, CONSOLE_KEY)) {
            g_autoptr(AmqpMessage) amqp = amqp_from_msg(&sent->msg, NULL);
            QmfMessage *answer = qmf_message_from_amqp(amqp, NULL);

            g_assert_nonnull(answer);
            g_ptr_array_add(w->answers, answer);
        }
    }
}

void world_advance(World *w, int64_t us)
{
    int64_t until_us = sim_host_now_us(w->sim) + us;

    while (sim_host_now_us(w->sim) < until_us) {
        sim_host_advance(w->sim, MIN(250 * US_PER_MS, until_us - sim_host_now_us(w->sim)));
        world_pump(w);
    }
}

bool world_has(const World *w, const char *event)
{
    for (guint i = 0; i < w->events->len; i++)
        if (strcmp(g_ptr_array_index(w->events, i), event) == 0)
            return true;
    return false;
}

unsigned world_count(const World *w, const char *prefix)
{
    unsigned n = 0;

    for (guint i = 0; i < w->events->len; i++)
        n += g_str_has_prefix(g_ptr_array_index(w->events, i), prefix);
    return n;
}

const json_t *world_body(const World *w, const char *event)
{
    for (guint i = w->events->len; i-- > 0;)
        if (strcmp(g_ptr_array_index(w->events, i), event) == 0)
            return g_ptr_array_index(w->bodies, i);
    return NULL;
}

void world_clear(World *w)
{
    world_pump(w);
    g_ptr_array_set_size(w->events, 0);
    g_ptr_array_set_size(w->bodies, 0);
    g_ptr_array_set_size(w->answers, 0);
    sim_host_clear(w->sim);
    w->read = 0;
}

/* ---- engine, operator, console -------------------------------------------------------------------------------------------------- */

char *world_plugin_name(World *w) { return g_strdup_printf("matahariproject.org:mend-broker:%s", sim_host_state(w->sim, "site.id")); }

QmfMessage *world_ask(World *w, mend_id peer, QmfMessage *request)
{
    g_autoptr(QmfMessage) m = request;
    guint before = w->answers->len;

    m->subject = world_plugin_name(w);
    m->reply_to = g_strdup(QMF_TOPIC "/" CONSOLE_KEY);
    m->correlation_id = g_strdup("1");
    world_send(w, peer, QMF_DIRECT, m);
    world_pump(w);
    return w->answers->len > before ? g_ptr_array_steal_index(w->answers, before) : NULL;
}

QmfMessage *world_query(const char *class)
{
    QmfMessage *m = qmf_message_new(QMF_QUERY_REQUEST);
    Value *id = value_map();

    m->body = value_map();
    value_set(id, "_package_name", value_string("org.matahariproject.mend"));
    value_set(id, "_class_name", value_string(class));
    value_set(m->body, "_what", value_string("OBJECT"));
    value_set(m->body, "_schema_id", id);
    return m;
}

uint64_t world_claim(World *w, mend_id peer, char **ret_error)
{
    return world_claim_shard(w, peer, "test-engine", 0, ret_error);
}

uint64_t world_claim_shard(World *w, mend_id peer, const char *engine, unsigned shard, char **ret_error)
{
    g_autofree char *name = world_plugin_name(w);
    QmfMessage *m = qmf_message_new(QMF_METHOD_REQUEST);
    g_autoptr(QmfMessage) answer = NULL;
    Value *id = value_map(), *arguments = value_map();

    m->body = value_map();
    value_set(id, "_agent_name", value_string(name));
    value_set(id, "_object_name", value_string("Site"));
    value_set(arguments, "engine", value_string(engine));
    value_set(arguments, "shard", value_uint(VALUE_UINT32, shard));
    value_set(m->body, "_object_id", id);
    value_set(m->body, "_method_name", value_string("claim"));
    value_set(m->body, "_arguments", arguments);
    answer = world_ask(w, peer, m);
    g_assert_nonnull(answer);
    if (answer->opcode == QMF_METHOD_RESPONSE)
        return (uint64_t) value_get_int(value_get(answer->body, "_arguments"), "epoch", 0);
    if (ret_error != NULL)
        *ret_error = g_strdup(value_get_string(value_get(answer->body, "_values"), "error_text"));
    return 0;
}

QmfMessage *world_command(const World *w, const char *agent, const char *id, uint64_t epoch, const char *method, const char *service)
{
    QmfMessage *m = qmf_message_new(QMF_METHOD_REQUEST);
    Value *object = value_map(), *arguments = value_map();

    m->correlation_id = g_strdup(id);
    m->reply_to = g_strdup("mend.results");
    m->subject = g_strdup(agent);
    m->body = value_map();
    value_set(object, "_agent_name", value_string(agent));
    value_set(object, "_object_name", value_string("Guest"));
    value_set(arguments, "name", value_string(service));
    value_set(arguments, "timeout_ms", value_uint(VALUE_UINT32, 10000));
    value_set(m->body, "_object_id", object);
    value_set(m->body, "_method_name", value_string(method));
    value_set(m->body, "_arguments", arguments);
    m->extra = value_map();
    value_set(m->extra, "mend.command-id", value_string(id));
    value_set(m->extra, "mend.epoch", value_uint(VALUE_UINT64, epoch));
    value_set(m->extra, "mend.deadline", value_int(VALUE_INT64, sim_host_wall_us(w->sim) / US_PER_MS + 30000));
    value_set(m->extra, "mend.incident", value_string("11111111-1111-4111-8111-111111111111"));
    value_set(m->extra, "mend.entity", value_string("service/vm/x"));
    return m;
}
