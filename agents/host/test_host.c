/* What all parts of the host agent stand on: telling with and without a bus, calls and their answers, lanes. */
#include "agents/host/host_stand.h"

#include "lib/base/json.h"

#include <string.h>

static Value *with(const char *key, const char *text)
{
    Value *map = value_map();

    value_set(map, key, value_string(text));
    return map;
}

static const char *told(const HostStand *stand, guint i, const char *key)
{
    return json_string_value(json_object_get(host_stand_event(stand, i), key));
}

static void test_told_at_once(void)
{
    g_autoptr(HostStand) stand = host_stand_new();
    guint i;

    host_tell(stand->host, "vm", "a", "paused", with("reason", "io-error"));
    i = host_stand_wait(stand, 0, "vm_state", "id", "a", 100);
    g_assert_cmpstr(told(stand, i, "state"), ==, "paused");
    g_assert_cmpstr(told(stand, i, "reason"), ==, "io-error");
    g_assert_cmpint(json_integer_value(json_object_get(host_stand_event(stand, i), "sequence")), ==, 1);
}

/* Without a bus: of each entity its last state, of what happened every one, or the last of its topic; in the order they came. */
static void test_told_when_back(void)
{
    g_autoptr(HostStand) stand = host_stand_new();

    host_set_online(stand->host, false);
    host_tell(stand->host, "vm", "a", "paused", NULL);
    host_tell(stand->host, "vm", "b", "running", NULL);
    host_tell_happened(stand->host, "vm", "a", "job", NULL, with("says", "begun"));
    host_tell_happened(stand->host, "vm", "a", "evidence", "agent", with("says", "alive"));
    host_tell_happened(stand->host, "vm", "a", "job", NULL, with("says", "ended"));
    host_tell_happened(stand->host, "vm", "a", "evidence", "agent", with("says", "gone"));
    host_tell(stand->host, "vm", "a", "running", NULL);
    g_assert_cmpuint(stand->events->len, ==, 0);
    host_set_online(stand->host, true);
    g_assert_cmpuint(stand->events->len, ==, 5);
    g_assert_cmpstr(told(stand, 0, "id"), ==, "b");
    g_assert_cmpstr(told(stand, 1, "says"), ==, "begun");
    g_assert_cmpstr(told(stand, 2, "says"), ==, "ended");
    g_assert_cmpstr(told(stand, 3, "says"), ==, "gone");
    g_assert_cmpstr(told(stand, 4, "state"), ==, "running");
}

static void test_untold_is_bounded(void)
{
    g_autoptr(HostStand) stand = host_stand_new();

    host_set_online(stand->host, false);
    host_tell(stand->host, "vm", "a", "paused", NULL);
    for (guint i = 0; i < HOST_UNTOLD_MAX + 10; i++)
        host_tell_happened(stand->host, "vm", "a", "job", NULL, NULL);
    host_set_online(stand->host, true);
    g_assert_cmpuint(stand->events->len, ==, HOST_UNTOLD_MAX + 1);
    g_assert_cmpstr(told(stand, 0, "state"), ==, "paused");
}

static void test_unknown_argument_is_left_out(void)
{
    g_autoptr(HostStand) stand = host_stand_new();

    host_tell(stand->host, "storage", "s", "well", with("colour", "blue"));
    g_assert_cmpuint(stand->events->len, ==, 1);
    g_assert_null(told(stand, 0, "colour"));
}

static void on_stop(HostCall *call, void *user)
{
    Value *values;

    if (strcmp(host_call_name(call), "a") != 0) {
        host_call_refused(call, COMMAND_ERROR_NOT_FOUND, "no such VM here");
        return;
    }
    values = value_map();
    value_set(values, "was", value_string("running"));
    if (user != NULL)
        host_call_failed(call, COMMAND_ERROR_FAILED, values, "it would not");
    else
        host_call_done(call, "stopped", values, "it is gone");
}

static const char *of_answer(const json_t *answer, const char *key)
{
    return json_string_value(json_object_get(json_object_get(answer, "values"), key));
}

static void test_calls(void)
{
    g_autoptr(HostStand) stand = host_stand_new();
    g_autoptr(json_t) unknown = host_stand_call(stand, "vm_stop", json_pack("{s:s}", "name", "a"), 1000);

    host_on_method(stand->host, "vm_stop", on_stop, NULL);
    g_autoptr(json_t) done = host_stand_call(stand, "vm_stop", json_pack("{s:s}", "name", "a"), 1000);
    g_autoptr(json_t) refused = host_stand_call(stand, "vm_stop", json_pack("{s:s}", "name", "b"), 1000);

    host_on_method(stand->host, "vm_stop", on_stop, stand);
    g_autoptr(json_t) failed = host_stand_call(stand, "vm_stop", json_pack("{s:s}", "name", "a"), 1000);

    g_assert_cmpstr(json_string_or(unknown, "error", ""), ==, COMMAND_ERROR_UNKNOWN);
    g_assert_cmpstr(json_string_or(unknown, "state", ""), ==, "refused");
    g_assert_cmpstr(json_string_or(done, "state", ""), ==, "done");
    g_assert_cmpstr(of_answer(done, "state"), ==, "stopped");
    g_assert_cmpstr(json_string_or(refused, "error", ""), ==, COMMAND_ERROR_NOT_FOUND);
    g_assert_cmpstr(of_answer(refused, "error_text"), ==, "no such VM here");
    g_assert_cmpstr(json_string_or(failed, "state", ""), ==, "failed");
    g_assert_cmpstr(of_answer(failed, "text"), ==, "it would not");
}

typedef struct Turn {
    GString *order;
    unsigned *left;
    char letter;
    unsigned sleep_ms;
} Turn;

static void turn_work(void *data) { g_usleep(((Turn *) data)->sleep_ms * 1000UL); }

static void turn_done(void *data)
{
    Turn *turn = data;

    g_string_append_c(turn->order, turn->letter);
    --*turn->left;
}

static bool all_done(void *user) { return *(unsigned *) user == 0; }

/* One lane keeps its order whatever each piece takes; another lane does not wait for it. */
static void test_lanes(void)
{
    g_autoptr(HostStand) stand = host_stand_new();
    g_autoptr(GString) order = g_string_new(NULL);
    unsigned left = 4;
    Turn turns[] = { { order, &left, 'a', 300 }, { order, &left, 'b', 0 }, { order, &left, 'x', 0 }, { order, &left, 'y', 10 } };

    host_work(stand->host, "vm/1", turn_work, turn_done, NULL, &turns[0]);
    host_work(stand->host, "vm/1", turn_work, turn_done, NULL, &turns[1]);
    host_work(stand->host, "vm/2", turn_work, turn_done, NULL, &turns[2]);
    host_work(stand->host, NULL, turn_work, turn_done, NULL, &turns[3]);
    host_stand_until(all_done, &left, 5000);
    g_assert_cmpstr(order->str, ==, "xyab");
}

static void test_facts_go_with_up(void)
{
    g_autoptr(HostStand) stand = host_stand_new();
    Value *fences = value_list();
    guint at;

    value_append(fences, value_string("other"));
    host_set_fact(stand->host, "fences", fences);
    g_assert_cmpuint(stand->events->len, ==, 0); /* nothing to say it with yet */
    Value *up = value_map();
    value_set(up, "memory_bytes", value_uint(VALUE_UINT64, 5));
    host_tell(stand->host, "host", STAND_HOST, "up", up);
    at = host_stand_wait(stand, 0, "host_state", "state", "up", 5000);
    g_assert_cmpuint(json_array_size(json_object_get(host_stand_event(stand, at), "fences")), ==, 1);
    host_set_fact(stand->host, "fences", value_list()); /* told again, with what was said before */
    at = host_stand_wait(stand, at + 1, "host_state", "state", "up", 5000);
    g_assert_cmpuint(json_array_size(json_object_get(host_stand_event(stand, at), "fences")), ==, 0);
    g_assert_cmpint(json_integer_value(json_object_get(host_stand_event(stand, at), "memory_bytes")), ==, 5);
    host_set_fact(stand->host, "fences", value_list());
    host_tell_happened(stand->host, "host", "another", "evidence", NULL, NULL);
    g_assert_cmpuint(stand->events->len, ==, 3); /* the same again says nothing */
    g_assert_null(json_object_get(host_stand_event(stand, 2), "fences"));
}

static GMutex gate; /* held by the test: what hangs at it hangs until the test lets go */

static void hang(void *unused)
{
    g_mutex_lock(&gate);
    g_mutex_unlock(&gate);
}

static void never(void *unused) { g_assert_not_reached(); }

/* An agent that is told to end does so, whatever its threads wait for. */
static void test_work_that_hangs(void)
{
    HostStand *stand = host_stand_new();
    int64_t began_us = g_get_monotonic_time();

    g_mutex_lock(&gate);
    host_work(stand->host, "a", hang, never, NULL, NULL);
    host_work(stand->host, "a", hang, never, NULL, NULL);
    host_stand_free(stand);
    g_assert_cmpint(g_get_monotonic_time() - began_us, <, 10 * G_USEC_PER_SEC);
    g_mutex_unlock(&gate);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/told/at-once", test_told_at_once);
    g_test_add_func("/host/told/when-back", test_told_when_back);
    g_test_add_func("/host/told/bounded", test_untold_is_bounded);
    g_test_add_func("/host/told/unknown-argument", test_unknown_argument_is_left_out);
    g_test_add_func("/host/calls", test_calls);
    g_test_add_func("/host/lanes", test_lanes);
    g_test_add_func("/host/hangs", test_work_that_hangs);
    g_test_add_func("/host/facts", test_facts_go_with_up);
    return g_test_run();
}
