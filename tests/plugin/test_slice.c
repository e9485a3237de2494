/* The way through: heartbeat and event in, clean events out, a command admitted and answered. */
#include "tests/plugin/world.h"

#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define COMMAND "22222222-2222-4222-8222-222222222222"

static void test_a_guest_comes_and_its_service_fails(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autofree char *agent = g_strdup_printf("agent/%s", g->name), *service = g_strdup_printf("service/%s/nginx", g->id);
    g_autofree char *up = g_strdup_printf("agent.up %s", agent), *failed = g_strdup_printf("service.failed %s", service);
    g_autofree char *queue = g_strdup_printf("mend.control.%s", g->name), *owner = g_strdup_printf("agent-%s", g->id);
    const json_t *body;

    guest_heartbeat(g);
    g_assert_true(world_has(w, up));
    g_assert_true(sim_host_has_node(w->sim, queue));
    g_assert_cmpstr(sim_host_node_owner(w->sim, queue), ==, owner);
    guest_service(g, "nginx", "running", "boot");
    guest_service(g, "nginx", "failed", "none");
    g_assert_true(world_has(w, failed));
    body = world_body(w, failed);
    g_assert_cmpstr(json_string_or(body, "vm", ""), ==, g->id);
    g_assert_cmpstr(json_string_or(body, "hostname", ""), ==, "guest-1");
    g_assert_cmpstr(json_string_or(body, "agent", ""), ==, g->name);
    g_assert_cmpstr(json_string_or(body, "intent", ""), ==, "none");
    g_assert_false(json_bool_or(body, "repaired", true));
}

static void test_an_event_on_the_wire(void)
{
    static const char *const wanted[] = { "cloudEvents_specversion", "cloudEvents_id", "cloudEvents_type", "cloudEvents_source",
        "cloudEvents_subject", "cloudEvents_time", "cloudEvents_sequence", "cloudEvents_severity", "cloudEvents_bootid", "cloudEvents_confidence" };
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    const SimMessage *last = NULL;
    g_autofree char *subject = NULL;

    guest_heartbeat(g);
    guest_service(g, "my.app", "failed", "none");
    for (guint i = 0; i < sim_host_published(w->sim)->len; i++) {
        const SimMessage *m = g_ptr_array_index(sim_host_published(w->sim), i);

        if (strcmp(m->msg.address.ptr, "mend.events") == 0)
            last = m;
    }
    g_assert_nonnull(last);
    subject = g_strdup_printf("service.failed.%s.my%%2Eapp", g->id);
    g_assert_cmpstr(last->msg.subject.ptr, ==, subject);
    g_assert_cmpstr(last->msg.content_type.ptr, ==, "application/json");
    g_assert_cmpint(last->msg.body_kind, ==, MEND_BODY_DATA);
    for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
        bool found = false;

        for (size_t k = 0; k < last->msg.n_props; k++)
            found |= strcmp(last->msg.props[k].key.ptr, wanted[i]) == 0 && last->msg.props[k].type == MEND_T_STR && last->msg.props[k].str.len > 0;
        if (!found)
            g_error("no %s", wanted[i]);
    }
}

static void test_a_command_passes_and_is_answered(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autofree char *queue = g_strdup_printf("mend.control.%s", g->name);
    g_autoptr(QmfMessage) command = NULL, result = qmf_message_new(QMF_METHOD_RESPONSE);
    uint64_t epoch;

    guest_heartbeat(g);
    epoch = world_claim(w, w->engine, NULL);
    g_assert_cmpuint(epoch, ==, 1);
    command = world_command(w, g->name, COMMAND, epoch, "restart", "nginx");
    g_assert_cmpint(world_send(w, w->engine, queue, command), ==, MEND_ACCEPT);
    g_assert_cmpuint(sim_host_queue_size(w->sim, queue), ==, 1);
    result->agent = g_strdup(g->name);
    result->correlation_id = g_strdup(COMMAND);
    result->body = value_map();
    value_set(result->body, "_arguments", value_map());
    result->extra = value_map();
    value_set(result->extra, "mend.command-id", value_string(COMMAND));
    value_set(result->extra, "mend.state", value_string("done"));
    world_send(w, g->peer, "mend.results", result);
    world_pump(w);
    g_assert_true(world_has(w, "command.done service/vm/x"));
    g_assert_cmpstr(json_string_or(world_body(w, "command.done service/vm/x"), "command", ""), ==, COMMAND);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/plugin/slice/service-fails", test_a_guest_comes_and_its_service_fails);
    g_test_add_func("/plugin/slice/on-the-wire", test_an_event_on_the_wire);
    g_test_add_func("/plugin/slice/command", test_a_command_passes_and_is_answered);
    return g_test_run();
}
