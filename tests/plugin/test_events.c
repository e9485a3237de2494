/* From what agents say to what is told: once, in order, repaired, and not by anyone. */
#include "tests/plugin/world.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/bridge.h"
#include "broker-plugin/events/entities.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

static char *service_event(const Guest *g, const char *kind, const char *name)
{
    return g_strdup_printf("%s service/%s/%s", kind, g->id, name);
}

static unsigned count_of(World *w, const Guest *g, const char *kind, const char *name)
{
    g_autofree char *event = service_event(g, kind, name);

    return world_count(w, event);
}

static void test_doubled_and_overtaken_events_are_told_once(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    int64_t now_us = sim_host_wall_us(w->sim);

    guest_heartbeat(g);
    guest_raise(g, "nginx", "failed", 2, now_us + 2000);
    guest_raise(g, "nginx", "failed", 2, now_us + 2000);  /* doubled */
    guest_raise(g, "nginx", "running", 1, now_us + 1000); /* overtaken */
    g_assert_cmpuint(world_count(w, "service."), ==, 1);
    guest_raise(g, "nginx", "running", 3, now_us + 3000);
    g_assert_cmpuint(world_count(w, "service."), ==, 2);
    guest_raise(g, "nginx", "failed", 1, now_us + 9000);  /* the agent began to count anew */
    g_assert_cmpuint(world_count(w, "service."), ==, 3);
}

static void test_a_lost_event_repairs_itself(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autofree char *failed = service_event(g, "service.failed", "nginx");

    guest_heartbeat(g);
    guest_service(g, "nginx", "running", "boot");
    guest_digest(g, "nginx", "failed"); /* its event is lost */
    g->event_sequence++;
    guest_heartbeat(g);
    g_assert_false(world_has(w, failed)); /* it might be on its way */
    guest_heartbeat(g);
    g_assert_true(world_has(w, failed));
    g_assert_true(json_bool_or(world_body(w, failed), "repaired", false));
    guest_heartbeat(g);
    guest_heartbeat(g);
    g_assert_cmpuint(count_of(w, g, "service.failed", "nginx"), ==, 1);
}

static void test_a_digest_that_meets_its_event_repairs_nothing(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);

    guest_heartbeat(g);
    guest_service(g, "nginx", "running", "boot");
    guest_digest(g, "nginx", "failed");
    guest_heartbeat(g); /* the digest was quicker than the event */
    guest_raise(g, "nginx", "failed", ++g->event_sequence, sim_host_wall_us(w->sim));
    guest_heartbeat(g);
    guest_heartbeat(g);
    g_assert_cmpuint(count_of(w, g, "service.failed", "nginx"), ==, 1);
    g_assert_cmpint(sim_host_counter(w->sim, "repaired"), ==, 0);
}

static void test_what_is_not_known_is_taken_from_the_first_digest(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);

    guest_digest(g, "nginx", "running");
    guest_digest(g, "redis", "failed");
    guest_heartbeat(g);
    g_assert_cmpuint(count_of(w, g, "service.running", "nginx"), ==, 1);
    g_assert_cmpuint(count_of(w, g, "service.failed", "redis"), ==, 1);
}

static void test_a_service_no_longer_monitored_is_forgotten(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autoptr(QmfMessage) answer = NULL;

    guest_heartbeat(g);
    guest_service(g, "nginx", "running", "boot");
    value_unref(g->services);
    g->services = value_map();
    for (int i = 0; i < 3; i++)
        guest_heartbeat(g);
    g_assert_cmpuint(count_of(w, g, "service.unknown", "nginx"), ==, 1);
}

/* However long the bus is busy, one fact per entity waits, and it is the latest. */
static void test_a_busy_bus_gets_the_latest_state_only(void)
{
    g_autoptr(World) w = world_new(1, "{\"rate_burst\":100000}");
    Guest *g = world_guest(w, 1);

    guest_heartbeat(g);
    guest_service(g, "nginx", "running", "boot");
    world_clear(w);
    sim_host_set_busy(w->sim, "mend.events");
    for (unsigned i = 0; i < 5000; i++)
        guest_service(g, "nginx", i % 2 ? "running" : "failed", "none");
    guest_service(g, "redis", "failed", "none");
    world_advance(w, US_PER_S);
    g_assert_cmpuint(w->events->len, ==, 0);
    sim_host_set_busy(w->sim, NULL);
    world_advance(w, US_PER_S);
    g_assert_cmpuint(count_of(w, g, "service.", "nginx"), ==, 0);
    g_assert_cmpuint(count_of(w, g, "service.running", "nginx"), ==, 1);
    g_assert_cmpuint(count_of(w, g, "service.failed", "nginx"), ==, 0);
    g_assert_cmpuint(count_of(w, g, "service.failed", "redis"), ==, 1);
    g_assert_cmpint(sim_host_counter(w->sim, "coalesced"), ==, 4999);
}

static void test_what_the_bus_gave_back_is_told_again(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);

    guest_heartbeat(g);
    sim_host_set_outcome(w->sim, MEND_RELEASE);
    guest_service(g, "nginx", "failed", "none");
    world_advance(w, 2 * US_PER_S);
    g_assert_cmpuint(world_count(w, "service."), ==, 0);
    sim_host_set_outcome(w->sim, MEND_ACCEPT);
    world_advance(w, 2 * US_PER_S);
    g_assert_cmpuint(count_of(w, g, "service.failed", "nginx"), ==, 1);
}

/* ---- who may say it ---------------------------------------------------------------------------------------------------------- */

static void expect_quarantine(World *w, const Guest *g, const char *reason)
{
    g_autofree char *event = g_strdup_printf("agent.quarantined agent/%s", g->name);
    const json_t *body = world_body(w, event);

    if (body == NULL || strstr(json_string_or(body, "reason", ""), reason) == NULL)
        g_error("quarantine for \"%s\" expected, found \"%s\"", reason, body != NULL ? json_string_or(body, "reason", "") : "none");
}

static void test_nobody_speaks_for_another(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1), *thief = world_guest(w, 2);
    mend_id own = g->peer;

    guest_heartbeat(g);
    g->peer = thief->peer; /* another agent's connection */
    guest_service(g, "nginx", "failed", "none");
    g_assert_cmpuint(world_count(w, "service."), ==, 0);
    expect_quarantine(w, g, "agent-00000000-0000-4000-8000-000000000002 does not own this name");
    world_clear(w);
    g->peer = sim_host_peer_open(w->sim, "", "anonymous", "10.1.1.1:1");
    guest_service(g, "nginx", "failed", "none");
    expect_quarantine(w, g, "belongs to user");
    g->peer = sim_host_peer_open(w->sim, "observer", "observer", "10.1.1.1:1");
    guest_service(g, "nginx", "failed", "none");
    expect_quarantine(w, g, "may only observe");
    g_assert_cmpuint(world_count(w, "service."), ==, 0);
    g->peer = own;
    guest_service(g, "nginx", "failed", "none");
    g_assert_cmpuint(world_count(w, "service.failed"), ==, 1);
}

static void test_one_connection_without_a_user_keeps_one_name(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *one = world_guest(w, 1), *two = world_guest(w, 2);

    one->peer = two->peer = sim_host_peer_open(w->sim, "", "anonymous", "10.1.1.1:1");
    guest_heartbeat(one);
    guest_heartbeat(two); /* a second name on it */
    expect_quarantine(w, two, "already speaks as");
    one->peer = sim_host_peer_open(w->sim, "", "anonymous", "10.1.1.2:1");
    guest_heartbeat(one); /* its name on a second connection, while the first is there */
    expect_quarantine(w, one, "another connection");
    sim_host_peer_close(w->sim, two->peer, MEND_PEER_LOST);
    world_clear(w);
    guest_heartbeat(one);
    g_assert_cmpuint(world_count(w, "agent.up"), ==, 1);
}

/* What it said before it went counts, also when the news of its going was quicker; that it lives does not. */
static void test_last_words(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);

    guest_heartbeat(g);
    sim_host_peer_close(w->sim, g->peer, MEND_PEER_CLOSED);
    guest_service(g, "nginx", "failed", "none");
    guest_heartbeat(g);
    g_assert_cmpuint(count_of(w, g, "service.failed", "nginx"), ==, 1);
    g_assert_cmpuint(world_count(w, "agent.up"), ==, 1);
    g_assert_cmpuint(world_count(w, "agent.quarantined"), ==, 0);
}

static void send_raw(World *w, const Guest *g, const void *body, size_t n_bytes)
{
    const mend_prop props[] = {
        { .key = str_of("x-amqp-0-10.app-id"), .type = MEND_T_STR, .str = str_of("qmf2") },
        { .key = str_of("qmf.opcode"), .type = MEND_T_STR, .str = str_of("_data_indication") },
        { .key = str_of("qmf.content"), .type = MEND_T_STR, .str = str_of("_event") },
        { .key = str_of("qmf.agent"), .type = MEND_T_STR, .str = str_of(g->name) },
    };
    const mend_msg msg = { .size = sizeof msg, .peer = g->peer, .address = str_of(QMF_TOPIC), .subject = str_of("agent.ind.event.x"),
                           .content_type = str_of("amqp/list"), .body = { body, n_bytes }, .body_kind = MEND_BODY_DATA,
                           .props = props, .n_props = G_N_ELEMENTS(props) };

    sim_host_send(w->sim, &msg);
    world_pump(w);
}

static void test_rubbish_is_quarantined_with_a_reason(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autofree char *large = g_malloc0(300000);

    guest_heartbeat(g);
    send_raw(w, g, "\xff\xff\xff\xff rubbish", 12);
    g_assert_cmpuint(world_count(w, "agent.quarantined"), ==, 1);
    send_raw(w, g, large, 300000);
    expect_quarantine(w, g, "a body of 300000 bytes, at most 262144");
    guest_raise(g, "nginx", "Not A State", 7, sim_host_wall_us(w->sim));
    expect_quarantine(w, g, "no word for a state");
    g_assert_cmpuint(world_count(w, "service."), ==, 0);
}

static void test_a_flood_is_cut(void)
{
    g_autoptr(World) w = world_new(1, "{\"rate_per_s\":10,\"rate_burst\":20}");
    Guest *g = world_guest(w, 1);

    guest_heartbeat(g);
    for (unsigned i = 0; i < 1000; i++)
        guest_service(g, "nginx", i % 2 ? "running" : "failed", "none");
    g_assert_cmpuint(world_count(w, "service."), ==, 19);
    expect_quarantine(w, g, "rate_per_s");
    g_assert_cmpuint(world_count(w, "agent.quarantined"), ==, 1); /* the flood does not become one of ours */
}

/* Names chosen to fill memory: the list of the refused is bounded. */
static void test_many_names_do_not_fill_memory(void)
{
    g_autoptr(World) w = world_new(1, "{\"max_quarantine\":50,\"max_agents\":30}");
    g_autoptr(QmfMessage) answer = NULL;
    unsigned shown;

    for (unsigned i = 0; i < 300; i++)
        guest_heartbeat(world_guest(w, i + 1));
    world_advance(w, 2 * US_PER_S);
    world_clear(w);
    answer = world_ask(w, w->engine, world_query("Quarantine"));
    g_assert_nonnull(answer);
    shown = 0;
    for (guint i = 0; i < sim_host_published(w->sim)->len; i++) {
        const SimMessage *m = g_ptr_array_index(sim_host_published(w->sim), i);

        if (str_equal(m->msg.subject, "direct-console.test")) {
            g_autoptr(AmqpMessage) amqp = amqp_from_msg(&m->msg, NULL);
            g_autoptr(QmfMessage) part = qmf_message_from_amqp(amqp, NULL);

            shown += (unsigned) value_size(part->body);
        }
    }
    g_assert_cmpuint(shown, ==, 50);
}

static FactNews take_vm(Entities *entities, const char *kind, const char *source, const char *host, const char *reason, const char *to)
{
    g_autoptr(Fact) fact = fact_new(kind, "vm/v", source, 1, NULL);

    fact_say(fact, "host", host);
    fact_say(fact, "reason", reason);
    fact_say(fact, "to", to);
    return entities_take(entities, fact);
}

static void test_both_ends_of_a_migration_tell_in_any_order(void)
{
    Entities *entities = entities_new(4);

    g_assert_cmpint(take_vm(entities, "vm.running", "agent-a", "a", NULL, NULL), ==, FACT_NEW);
    g_assert_cmpint(take_vm(entities, "vm.running", "agent-b", "b", "migrated", NULL), ==, FACT_NEW);
    g_assert_cmpint(take_vm(entities, "vm.stopped", "agent-a", "a", "migrated", "b"), ==, FACT_ASIDE);
    g_assert_cmpstr(entities_find(entities, "vm/v")->kind, ==, "vm.running");
    g_assert_cmpint(take_vm(entities, "vm.stopped", "agent-b", "b", "migrated", "a"), ==, FACT_NEW); /* a did not say yet */
    g_assert_cmpint(take_vm(entities, "vm.running", "agent-a", "a", "migrated", NULL), ==, FACT_NEW);
    g_assert_cmpint(take_vm(entities, "vm.stopped", "agent-b", "b", "migrated", NULL), ==, FACT_ASIDE); /* by hand: b does not know where to */
    g_assert_cmpint(take_vm(entities, "vm.stopped", "agent-a", "a", "migrated", NULL), ==, FACT_NEW);
    g_assert_cmpint(take_vm(entities, "vm.stopped", "agent-b", "b", "shutdown", NULL), ==, FACT_NEW);
    entities_free(entities);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/plugin/events/once", test_doubled_and_overtaken_events_are_told_once);
    g_test_add_func("/plugin/events/repair", test_a_lost_event_repairs_itself);
    g_test_add_func("/plugin/events/race", test_a_digest_that_meets_its_event_repairs_nothing);
    g_test_add_func("/plugin/events/first-digest", test_what_is_not_known_is_taken_from_the_first_digest);
    g_test_add_func("/plugin/events/unmonitored", test_a_service_no_longer_monitored_is_forgotten);
    g_test_add_func("/plugin/events/busy", test_a_busy_bus_gets_the_latest_state_only);
    g_test_add_func("/plugin/events/given-back", test_what_the_bus_gave_back_is_told_again);
    g_test_add_func("/plugin/events/identity", test_nobody_speaks_for_another);
    g_test_add_func("/plugin/events/nameless", test_one_connection_without_a_user_keeps_one_name);
    g_test_add_func("/plugin/events/migration", test_both_ends_of_a_migration_tell_in_any_order);
    g_test_add_func("/plugin/events/last-words", test_last_words);
    g_test_add_func("/plugin/events/rubbish", test_rubbish_is_quarantined_with_a_reason);
    g_test_add_func("/plugin/events/flood", test_a_flood_is_cut);
    g_test_add_func("/plugin/events/many-names", test_many_names_do_not_fill_memory);
    return g_test_run();
}
