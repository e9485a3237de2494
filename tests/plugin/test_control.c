/* Who may command, what becomes of a command, and the adapter for agents that only know QMF. */
#include "tests/plugin/world.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/bridge.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define COMMAND "22222222-2222-4222-8222-222222222222"
#define OTHER   "33333333-3333-4333-8333-333333333333"

typedef struct Site { World *w; Guest *g; char *queue; uint64_t epoch; } Site;

static void site_open(Site *s)
{
    s->w = world_new(1, NULL);
    s->g = world_guest(s->w, 1);
    guest_heartbeat(s->g);
    s->queue = g_strdup_printf("mend.control.%s", s->g->name);
    s->epoch = world_claim(s->w, s->w->engine, NULL);
}

static void site_close(Site *s)
{
    world_free(s->w);
    g_free(s->queue);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Site, site_close)

static void expect_refused(Site *s, mend_id peer, const QmfMessage *command, const char *reason)
{
    size_t before = sim_host_queue_size(s->w->sim, s->queue);

    if (world_send(s->w, peer, s->queue, command) != MEND_REJECT || strstr(sim_host_reason(s->w->sim), reason) == NULL)
        g_error("a refusal for \"%s\" expected, found \"%s\"", reason, sim_host_reason(s->w->sim));
    g_assert_cmpuint(sim_host_queue_size(s->w->sim, s->queue), ==, before);
}

static QmfMessage *restart(const Site *s, uint64_t epoch) { return world_command(s->w, s->g->name, COMMAND, epoch, "restart", "nginx"); }

static void test_the_gate_refuses_with_a_reason(void)
{
    g_auto(Site) s = { 0 };
    mend_id operator, observer, nobody, other_engine;
    g_autoptr(QmfMessage) good = NULL, stale = NULL, late = NULL, nameless = NULL, mixed = NULL;

    site_open(&s);
    operator = sim_host_peer_open(s.w->sim, "operator", "operator", "127.0.0.1:2");
    observer = sim_host_peer_open(s.w->sim, "observer", "observer", "127.0.0.1:3");
    nobody = sim_host_peer_open(s.w->sim, "", "anonymous", "127.0.0.1:4");
    other_engine = sim_host_peer_open(s.w->sim, "engine", "engine", "127.0.0.1:5");
    good = restart(&s, s.epoch);
    stale = restart(&s, s.epoch + 1);
    late = restart(&s, s.epoch);
    value_set(late->extra, "mend.deadline", value_int(VALUE_INT64, sim_host_wall_us(s.w->sim) / US_PER_MS - 1));
    nameless = restart(&s, s.epoch);
    value_set(nameless->extra, "mend.command-id", value_string("not a uuid"));
    mixed = restart(&s, s.epoch);
    value_set(mixed->extra, "mend.command-id", value_string(OTHER));
    expect_refused(&s, s.g->peer, good, "role agent may not command");
    expect_refused(&s, observer, good, "role observer may not command");
    expect_refused(&s, nobody, good, "role anonymous may not command");
    expect_refused(&s, other_engine, good, "did not claim the seat");
    expect_refused(&s, s.w->engine, stale, "stale-epoch");
    expect_refused(&s, s.w->engine, late, "deadline-passed");
    expect_refused(&s, s.w->engine, nameless, "mend.command-id");
    expect_refused(&s, s.w->engine, mixed, "correlation-id");
    g_assert_cmpint(world_send(s.w, operator, s.queue, good), ==, MEND_ACCEPT);
    g_assert_cmpint(world_send(s.w, s.w->engine, s.queue, good), ==, MEND_ACCEPT);
}

static void test_the_last_claim_has_the_seat(void)
{
    g_auto(Site) s = { 0 };
    mend_id second;
    g_autoptr(QmfMessage) old = NULL, new = NULL;
    g_autofree char *error = NULL;

    site_open(&s);
    second = sim_host_peer_open(s.w->sim, "engine", "engine", "127.0.0.1:5");
    g_assert_cmpuint(world_claim(s.w, second, NULL), ==, s.epoch + 1);
    old = restart(&s, s.epoch);
    new = restart(&s, s.epoch + 1);
    expect_refused(&s, s.w->engine, old, "stale-epoch");
    expect_refused(&s, s.w->engine, new, "did not claim");
    g_assert_cmpint(world_send(s.w, second, s.queue, new), ==, MEND_ACCEPT);
    g_assert_cmpuint(world_claim(s.w, s.g->peer, &error), ==, 0); /* an agent */
    g_assert_nonnull(strstr(error, "role agent may not be the engine"));
    sim_host_peer_close(s.w->sim, second, MEND_PEER_LOST);
    expect_refused(&s, s.w->engine, new, "did not claim");
}

static QmfMessage *restart_of_shard(const Site *s, const char *id, uint64_t epoch, int64_t shard, const char *group)
{
    QmfMessage *m = world_command(s->w, s->g->name, id, epoch, "restart", "nginx");

    value_set(m->extra, "mend.shard", value_int(VALUE_INT64, shard));
    value_set(m->extra, "mend.group", value_string(group));
    return m;
}

/* "app/shop" is of shard 1 of 2, "vm/…02" of shard 2: lib/model/test_shard.c. */
static void test_each_shard_has_a_seat_of_its_own(void)
{
    g_auto(Site) s = { .w = world_new(1, "{\"shards\": 2}") };
    mend_id a, b;
    uint64_t site, first, second;
    g_autofree char *error = NULL;

    s.g = world_guest(s.w, 1);
    guest_heartbeat(s.g);
    s.queue = g_strdup_printf("mend.control.%s", s.g->name);
    a = sim_host_peer_open(s.w->sim, "engine-a", "engine", "127.0.0.1:5");
    b = sim_host_peer_open(s.w->sim, "engine-b", "engine", "127.0.0.1:6");
    site = world_claim_shard(s.w, a, "a", 0, NULL);
    first = world_claim_shard(s.w, a, "a", 1, NULL);
    second = world_claim_shard(s.w, b, "b", 2, NULL);
    g_assert_true(site != 0 && first > site && second > first); /* and none ended another */
    g_assert_cmpuint(world_claim_shard(s.w, b, "b", 3, &error), ==, 0);
    g_assert_nonnull(strstr(error, "shard 3, there are 2"));
    g_autoptr(QmfMessage) good = restart_of_shard(&s, COMMAND, first, 1, "app/shop");
    g_autoptr(QmfMessage) of_other_epoch = restart_of_shard(&s, COMMAND, second, 1, "app/shop");
    g_autoptr(QmfMessage) of_other_group = restart_of_shard(&s, COMMAND, second, 2, "app/shop");
    g_autoptr(QmfMessage) no_shard = restart_of_shard(&s, COMMAND, second, 7, "app/shop");
    g_autoptr(QmfMessage) a_vm = restart_of_shard(&s, COMMAND, first, 1, "app/shop");
    g_autoptr(QmfMessage) of_site = restart(&s, second);
    g_autoptr(QmfMessage) at_once = restart_of_shard(&s, OTHER, second, 2, "vm/6a1f0c3e-0000-4000-8000-000000000002");
    value_set(a_vm->extra, "mend.entity", value_string("vm/x"));
    expect_refused(&s, a, of_other_epoch, "stale-epoch");
    expect_refused(&s, b, good, "did not claim the seat");
    expect_refused(&s, b, of_other_group, "app/shop is not of shard 2");
    expect_refused(&s, b, no_shard, "stale-epoch: shard 7, there are 2");
    expect_refused(&s, a, a_vm, "services only");
    expect_refused(&s, b, of_site, "stale-epoch");
    g_assert_cmpint(world_send(s.w, a, s.queue, good), ==, MEND_ACCEPT);
    expect_refused(&s, b, at_once, "another shard does something to service/vm/x"); /* whatever its policy says */
}

static void test_a_shard_is_given_on_when_its_commands_have_ended(void)
{
    g_auto(Site) s = { .w = world_new(1, "{\"shards\": 2}") };
    mend_id a, b;
    uint64_t first;
    g_autofree char *error = NULL;

    s.g = world_guest(s.w, 1);
    guest_heartbeat(s.g);
    s.queue = g_strdup_printf("mend.control.%s", s.g->name);
    a = sim_host_peer_open(s.w->sim, "engine-a", "engine", "127.0.0.1:5");
    b = sim_host_peer_open(s.w->sim, "engine-b", "engine", "127.0.0.1:6");
    first = world_claim_shard(s.w, a, "a", 1, NULL);
    g_autoptr(QmfMessage) good = restart_of_shard(&s, COMMAND, first, 1, "app/shop");
    g_assert_cmpint(world_send(s.w, a, s.queue, good), ==, MEND_ACCEPT);
    sim_host_peer_close(s.w->sim, a, MEND_PEER_LOST);
    g_assert_cmpuint(world_claim_shard(s.w, b, "b", 1, &error), ==, 0);
    g_assert_nonnull(strstr(error, "commands of a, who had shard 1, are not answered yet"));
    g_assert_cmpuint(world_claim_shard(s.w, b, "b", 2, NULL), !=, 0);
    world_advance(s.w, 11 * US_PER_S); /* an agent that is silent holds nobody up for ever */
    g_assert_cmpuint(world_claim_shard(s.w, b, "b", 1, NULL), >, first);
}

static void test_a_claim_that_cannot_be_kept_is_not_given(void)
{
    g_auto(Site) s = { 0 };
    g_autofree char *error = NULL;

    site_open(&s);
    world_advance(s.w, 2 * US_PER_S);
    sim_host_fail_call(s.w->sim, 1); /* state_put */
    g_assert_cmpuint(world_claim(s.w, s.w->engine, &error), ==, 0);
    g_assert_cmpstr(sim_host_failed_call(s.w->sim), ==, "state_put");
    g_assert_cmpuint(world_claim(s.w, s.w->engine, NULL), ==, s.epoch + 1);
}

static void test_a_command_nobody_answers_expires(void)
{
    g_auto(Site) s = { 0 };
    g_autoptr(QmfMessage) command = NULL;

    site_open(&s);
    command = restart(&s, s.epoch);
    world_send(s.w, s.w->engine, s.queue, command);
    world_advance(s.w, 31 * US_PER_S);
    g_assert_false(world_has(s.w, "command.expired service/vm/x"));
    world_advance(s.w, 4 * US_PER_S);
    g_assert_true(world_has(s.w, "command.expired service/vm/x"));
    world_advance(s.w, 60 * US_PER_S);
    g_assert_cmpuint(world_count(s.w, "command.expired"), ==, 1);
}

static void test_a_result_counts_from_its_agent_only(void)
{
    g_auto(Site) s = { 0 };
    Guest *thief;
    g_autoptr(QmfMessage) command = NULL, result = qmf_message_new(QMF_EXCEPTION);

    site_open(&s);
    thief = world_guest(s.w, 2);
    guest_heartbeat(thief);
    command = restart(&s, s.epoch);
    world_send(s.w, s.w->engine, s.queue, command);
    result->agent = g_strdup(s.g->name);
    result->correlation_id = g_strdup(COMMAND);
    result->body = value_map();
    result->extra = value_map();
    value_set(result->body, "_values", value_map());
    value_set((Value *) value_get(result->body, "_values"), "error_text", value_string("it broke"));
    value_set(result->extra, "mend.command-id", value_string(COMMAND));
    value_set(result->extra, "mend.state", value_string("failed"));
    value_set(result->extra, "mend.error", value_string("failed"));
    world_send(s.w, thief->peer, "mend.results", result);
    world_pump(s.w);
    g_assert_cmpuint(world_count(s.w, "command."), ==, 0);
    world_send(s.w, s.g->peer, "mend.results", result);
    world_pump(s.w);
    g_assert_cmpstr(json_string_or(world_body(s.w, "command.failed service/vm/x"), "text", ""), ==, "it broke");
}

static void test_the_queue_goes_after_its_time(void)
{
    g_autoptr(World) w = world_new(1, "{\"control_keep_s\":3600}");
    Guest *g = world_guest(w, 1);
    g_autofree char *queue = g_strdup_printf("mend.control.%s", g->name);

    guest_heartbeat(g);
    sim_host_peer_close(w->sim, g->peer, MEND_PEER_CLOSED);
    g->peer = 0;
    world_advance(w, 3000 * US_PER_S);
    g_assert_true(sim_host_has_node(w->sim, queue));
    world_advance(w, 700 * US_PER_S);
    g_assert_false(sim_host_has_node(w->sim, queue));
}

static void test_no_answer_goes_to_nodes_of_ours(void)
{
    g_auto(Site) s = { 0 };
    g_autoptr(QmfMessage) request = world_query("Site");

    site_open(&s);
    request->subject = world_plugin_name(s.w);
    request->reply_to = g_strdup(s.queue); /* what the plugin publishes passes no gate */
    request->correlation_id = g_strdup("1");
    world_send(s.w, s.g->peer, QMF_DIRECT, request);
    g_assert_cmpuint(sim_host_queue_size(s.w->sim, s.queue), ==, 0);
}

/* ---- an agent of 2012 ---------------------------------------------------------------------------------------------------------- */

typedef struct Matahari { World *w; char *name, *queue; mend_id peer; uint64_t epoch; GPtrArray *calls; int64_t rc; bool silent; guint read; } Matahari;

static void matahari_heartbeat(Matahari *m, const char *uuid)
{
    g_autoptr(QmfMessage) h = qmf_message_new(QMF_AGENT_HEARTBEAT_INDICATION);
    Value *a = value_map();

    value_set(a, "_name", value_bytes(VALUE_BINARY, m->name, strlen(m->name)));
    value_set(a, "_epoch", value_uint(VALUE_UINT32, 1));
    value_set(a, "_heartbeat_interval", value_uint(VALUE_UINT32, 60));
    value_set(a, "uuid", value_bytes(VALUE_BINARY, uuid, strlen(uuid)));
    value_set(a, "hostname", value_bytes(VALUE_BINARY, "old", 3));
    h->agent = g_strdup(m->name);
    h->subject = g_strdup("agent.ind.heartbeat.matahariproject.org.service");
    h->body = value_map();
    value_set(h->body, "_values", a);
    world_send(m->w, m->peer, QMF_TOPIC, h);
    world_pump(m->w);
}

static void matahari_open(Matahari *m)
{
    m->w = world_new(1, NULL);
    m->name = g_strdup("matahariproject.org:service:aaaaaaaa-0000-4000-8000-000000000001");
    m->queue = g_strdup_printf("mend.control.%s", m->name);
    m->calls = g_ptr_array_new_with_free_func(g_free);
    m->peer = sim_host_peer_open(m->w->sim, "", "anonymous", "10.0.0.7:1");
    matahari_heartbeat(m, "0123456789abcdef0123456789abcdef");
    m->epoch = world_claim(m->w, m->w->engine, NULL);
}

static void matahari_close(Matahari *m)
{
    world_free(m->w);
    g_free(m->name);
    g_free(m->queue);
    g_ptr_array_unref(m->calls);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Matahari, matahari_close)

/* Answers the calls made since: notes "METHOD name timeout-type" and checks what would kill the real one. */
static void matahari_work(Matahari *m)
{
    for (; m->read < sim_host_published(m->w->sim)->len; m->read++) {
        const SimMessage *sent = g_ptr_array_index(sim_host_published(m->w->sim), m->read);
        g_autoptr(AmqpMessage) amqp = str_equal(sent->msg.address, QMF_DIRECT) ? amqp_from_msg(&sent->msg, NULL) : NULL;
        g_autoptr(QmfMessage) call = amqp != NULL ? qmf_message_from_amqp(amqp, NULL) : NULL, answer = NULL;
        const Value *arguments, *timeout;

        if (call == NULL || call->opcode != QMF_METHOD_REQUEST)
            continue;
        arguments = value_get(call->body, "_arguments");
        timeout = value_get(arguments, "timeout");
        g_assert_true(g_str_has_prefix(call->reply_to, "qmf.default.topic/direct-console."));
        g_assert_cmpint(value_type(timeout), ==, VALUE_INT32);
        g_assert_cmpstr(value_get_string(value_get(call->body, "_object_id"), "_agent_name"), ==, m->name);
        g_ptr_array_add(m->calls, g_strdup_printf("%s %s %s", value_get_string(value_get(call->body, "_object_id"), "_object_name"),
                        value_get_string(call->body, "_method_name"),
                        value_get_string(arguments, "action") != NULL ? value_get_string(arguments, "action") : value_get_string(arguments, "name")));
        if (m->silent)
            continue;
        answer = qmf_message_new(QMF_METHOD_RESPONSE);
        answer->agent = g_strdup(m->name);
        answer->subject = g_strdup(strchr(call->reply_to, '/') + 1);
        answer->correlation_id = g_strdup(call->correlation_id);
        answer->body = value_map();
        value_set(answer->body, "_arguments", value_map());
        value_set((Value *) value_get(answer->body, "_arguments"), "rc",
                  value_int(VALUE_INT32, strcmp(value_get_string(call->body, "_method_name"), "status") == 0 ? m->rc : 0));
        m->read++;
        world_send(m->w, m->peer, QMF_TOPIC, answer);
        m->read--;
    }
    world_pump(m->w);
}

static QmfMessage *matahari_result(Matahari *m)
{
    g_autoptr(SimMessage) got = sim_host_receive(m->w->sim, "mend.results");
    g_autoptr(AmqpMessage) amqp = got != NULL ? amqp_from_msg(&got->msg, NULL) : NULL;

    return amqp != NULL ? qmf_message_from_amqp(amqp, NULL) : NULL;
}

static void matahari_command(Matahari *m, const char *id, const char *method)
{
    g_autoptr(QmfMessage) command = world_command(m->w, m->name, id, m->epoch, method, "mhdemo");

    g_assert_cmpint(world_send(m->w, m->w->engine, m->queue, command), ==, MEND_ACCEPT);
}

static void test_a_legacy_agent_is_commanded_by_calls(void)
{
    g_auto(Matahari) m = { 0 };
    g_autoptr(QmfMessage) result = NULL;

    matahari_open(&m);
    matahari_command(&m, COMMAND, "restart");
    matahari_work(&m);
    g_assert_cmpuint(m.calls->len, ==, 3);
    g_assert_cmpstr(m.calls->pdata[0], ==, "Services stop mhdemo");
    g_assert_cmpstr(m.calls->pdata[1], ==, "Services start mhdemo");
    g_assert_cmpstr(m.calls->pdata[2], ==, "Services status mhdemo");
    result = matahari_result(&m);
    g_assert_nonnull(result);
    g_assert_cmpint(result->opcode, ==, QMF_METHOD_RESPONSE);
    g_assert_cmpstr(result->correlation_id, ==, COMMAND);
    g_assert_cmpstr(value_get_string(result->extra, "mend.state"), ==, "done");
    g_assert_true(world_has(m.w, "command.done service/vm/x"));
    g_assert_true(world_has(m.w, "service.running service/01234567-89ab-cdef-0123-456789abcdef/mhdemo"));
    g_assert_cmpuint(sim_host_queue_size(m.w->sim, m.queue), ==, 0);
}

static void test_a_legacy_agent_that_is_silent_fails_in_time(void)
{
    g_auto(Matahari) m = { 0 };
    g_autoptr(QmfMessage) result = NULL;

    matahari_open(&m);
    m.silent = true;
    matahari_command(&m, COMMAND, "start");
    matahari_work(&m);
    world_advance(m.w, 14 * US_PER_S);
    g_assert_cmpuint(sim_host_queue_size(m.w->sim, "mend.results"), ==, 0);
    world_advance(m.w, 2 * US_PER_S); /* its own 10 s and our margin of 5 */
    result = matahari_result(&m);
    g_assert_nonnull(result);
    g_assert_cmpstr(value_get_string(result->extra, "mend.error"), ==, "timeout");
}

static void test_a_legacy_command_runs_once_also_over_a_crash(void)
{
    g_auto(Matahari) m = { 0 };
    g_autoptr(QmfMessage) first = NULL, again = NULL;

    matahari_open(&m);
    m.silent = true;
    matahari_command(&m, COMMAND, "start");
    matahari_work(&m);
    g_assert_cmpuint(m.calls->len, ==, 1);
    world_restart(m.w, NULL); /* while it runs */
    m.read = 0;
    sim_host_clear(m.w->sim);
    m.w->read = 0;
    m.peer = sim_host_peer_open(m.w->sim, "", "anonymous", "10.0.0.7:2");
    matahari_heartbeat(&m, "0123456789abcdef0123456789abcdef");
    matahari_work(&m);
    g_assert_cmpuint(m.calls->len, ==, 1); /* not called again */
    first = matahari_result(&m);
    g_assert_nonnull(first);
    g_assert_cmpstr(value_get_string(first->extra, "mend.error"), ==, "interrupted");
    m.silent = false;
    m.epoch = world_claim(m.w, m.w->engine, NULL);
    matahari_command(&m, OTHER, "start");
    matahari_work(&m);
    matahari_command(&m, OTHER, "start");
    matahari_work(&m);
    g_assert_cmpuint(m.calls->len, ==, 3); /* start and status, once */
    qmf_message_free(matahari_result(&m));
    again = matahari_result(&m);
    g_assert_cmpstr(value_get_string(again->extra, "mend.error"), ==, "duplicate");
}

static void test_a_legacy_agent_refuses_what_it_cannot(void)
{
    g_auto(Matahari) m = { 0 };
    g_autoptr(QmfMessage) result = NULL;

    matahari_open(&m);
    matahari_command(&m, COMMAND, "explode");
    result = matahari_result(&m);
    g_assert_cmpint(result->opcode, ==, QMF_EXCEPTION);
    g_assert_cmpstr(value_get_string(result->extra, "mend.state"), ==, "refused");
    g_assert_cmpstr(value_get_string(result->extra, "mend.error"), ==, "unknown-method");
}

static void matahari_op(Matahari *m, const char *name, int rc, int64_t at_us)
{
    g_autoptr(QmfMessage) e = qmf_message_new(QMF_DATA_INDICATION);
    Value *event = value_map(), *id = value_map(), *values = value_map();

    value_set(id, "_package_name", value_string("org.matahariproject"));
    value_set(id, "_class_name", value_string("resource_op"));
    value_set(values, "name", value_bytes(VALUE_BINARY, name, strlen(name)));
    value_set(values, "action", value_string("monitor"));
    value_set(values, "interval", value_int(VALUE_INT32, 1000));
    value_set(values, "rc", value_int(VALUE_INT32, rc));
    value_set(values, "sequence", value_int(VALUE_INT32, 5));
    value_set(values, "standard", value_string("ocf"));
    value_set(values, "provider", value_string("heartbeat"));
    value_set(values, "agent", value_string("Dummy"));
    value_set(event, "_schema_id", id);
    value_set(event, "_values", values);
    value_set(event, "_timestamp", value_uint(VALUE_UINT64, (uint64_t) at_us * 1000));
    e->agent = g_strdup(m->name);
    e->content = g_strdup("_event");
    e->subject = g_strdup("agent.ind.event.org.matahariproject.resource_op");
    e->body = value_list();
    value_append(e->body, event);
    world_send(m->w, m->peer, QMF_TOPIC, e);
    world_pump(m->w);
}

static void test_a_resource_is_healed_the_way_it_is_monitored(void)
{
    g_auto(Matahari) m = { 0 };
    int64_t now_us;

    matahari_open(&m);
    now_us = sim_host_wall_us(m.w->sim);
    matahari_op(&m, "mhdemo", 7, now_us);
    matahari_op(&m, "mhdemo", 7, now_us); /* after an outage the last one comes twice */
    g_assert_cmpuint(world_count(m.w, "service.failed service/01234567-89ab-cdef-0123-456789abcdef/mhdemo"), ==, 1);
    matahari_command(&m, COMMAND, "restart");
    matahari_work(&m);
    g_assert_cmpuint(m.calls->len, ==, 3);
    g_assert_cmpstr(m.calls->pdata[0], ==, "Resources invoke stop");
    g_assert_cmpstr(m.calls->pdata[1], ==, "Resources invoke start");
    g_assert_cmpstr(m.calls->pdata[2], ==, "Resources invoke monitor");
    matahari_op(&m, "mhdemo", 0, now_us + US_PER_S);
    g_assert_cmpuint(world_count(m.w, "service.running"), ==, 1);
    matahari_command(&m, OTHER, "stop");
    matahari_work(&m);
    matahari_op(&m, "mhdemo", 7, now_us + 2 * US_PER_S); /* not a failure: we did it */
    g_assert_cmpuint(world_count(m.w, "service.failed"), ==, 1);
    g_assert_cmpuint(world_count(m.w, "service.stopped"), ==, 1);
}

static void test_a_new_instance_is_the_same_agent_restarted(void)
{
    g_auto(Matahari) m = { 0 };

    matahari_open(&m);
    sim_host_peer_close(m.w->sim, m.peer, MEND_PEER_LOST);
    g_free(m.name);
    m.name = g_strdup("matahariproject.org:service:bbbbbbbb-0000-4000-8000-000000000002");
    m.peer = sim_host_peer_open(m.w->sim, "", "anonymous", "10.0.0.7:3");
    matahari_heartbeat(&m, "0123456789abcdef0123456789abcdef");
    g_assert_true(world_has(m.w, "agent.restarted agent/matahariproject.org:service:bbbbbbbb-0000-4000-8000-000000000002"));
    g_assert_cmpuint(world_count(m.w, "agent.cloned"), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/plugin/control/gate", test_the_gate_refuses_with_a_reason);
    g_test_add_func("/plugin/control/seat", test_the_last_claim_has_the_seat);
    g_test_add_func("/plugin/control/shards", test_each_shard_has_a_seat_of_its_own);
    g_test_add_func("/plugin/control/shard-given-on", test_a_shard_is_given_on_when_its_commands_have_ended);
    g_test_add_func("/plugin/control/seat-kept", test_a_claim_that_cannot_be_kept_is_not_given);
    g_test_add_func("/plugin/control/expired", test_a_command_nobody_answers_expires);
    g_test_add_func("/plugin/control/results", test_a_result_counts_from_its_agent_only);
    g_test_add_func("/plugin/control/queue-goes", test_the_queue_goes_after_its_time);
    g_test_add_func("/plugin/control/deputy", test_no_answer_goes_to_nodes_of_ours);
    g_test_add_func("/plugin/legacy/restart", test_a_legacy_agent_is_commanded_by_calls);
    g_test_add_func("/plugin/legacy/silent", test_a_legacy_agent_that_is_silent_fails_in_time);
    g_test_add_func("/plugin/legacy/once", test_a_legacy_command_runs_once_also_over_a_crash);
    g_test_add_func("/plugin/legacy/refuses", test_a_legacy_agent_refuses_what_it_cannot);
    g_test_add_func("/plugin/legacy/resource", test_a_resource_is_healed_the_way_it_is_monitored);
    g_test_add_func("/plugin/legacy/instance", test_a_new_instance_is_the_same_agent_restarted);
    return g_test_run();
}
