/* What oVirt's answers are read as, and what they mean. */
#include "bridges/ovirt/ovirt_model.h"
#include "bridges/ovirt/ovirt_word.h"

#include "lib/base/json.h"

#include <string.h>

#define VM   "11111111-0000-4000-8000-000000000001"
#define HOST "aaaaaaaa-0000-4000-8000-00000000000a"

static json_t *json(const char *text)
{
    g_autoptr(GError) error = NULL;
    json_t *value = json_parse(text, strlen(text), "test", &error);

    g_assert_no_error(error);
    return value;
}

/* As text, as releases of today write it, and as themselves. */
static void test_vm_is_read(void)
{
    static const char *const forms[] = {
        "{\"vm\": [{\"id\": \"" VM "\", \"name\": \"web\", \"status\": \"up\", \"memory\": \"2147483648\", \"host\": {\"id\": \"" HOST "\"},"
        " \"cpu\": {\"topology\": {\"cores\": \"2\", \"sockets\": \"3\", \"threads\": \"1\"}}, \"high_availability\": {\"enabled\": \"true\"},"
        " \"lease\": {\"storage_domain\": {\"id\": \"" HOST "\"}}}]}",
        "{\"vm\": [{\"id\": \"11111111000040008000000000000001\", \"name\": \"web\", \"status\": \"up\", \"memory\": 2147483648, \"host\": {\"id\": \"" HOST "\"},"
        " \"cpu\": {\"topology\": {\"cores\": 2, \"sockets\": 3}}, \"high_availability\": {\"enabled\": true}, \"lease\": {\"storage_domain\": {}}}]}" };

    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_autoptr(json_t) body = json(forms[i]);
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) vms = ovirt_vms_read(body, &error);
        const OvirtVm *vm;

        g_assert_no_error(error);
        g_assert_cmpuint(vms->len, ==, 1);
        vm = vms->pdata[0];
        g_assert_cmpstr(vm->id, ==, VM);
        g_assert_cmpstr(vm->host, ==, HOST);
        g_assert_cmpuint(vm->memory_bytes, ==, 2147483648);
        g_assert_cmpuint(vm->vcpus, ==, 6);
        g_assert_true(vm->ha);
        g_assert_true(vm->lease);
    }
}

/* Half a list would make the other half look gone. */
static void test_malformed_is_refused_whole(void)
{
    static const char *const bad[] = {
        "[]", "{\"vms\": []}", "{\"vm\": {}}", "{\"vm\": [1]}", "{\"vm\": [{\"status\": \"up\"}]}", "{\"vm\": [{\"id\": \"" VM "\"}]}",
        "{\"vm\": [{\"id\": \"" VM "\", \"status\": \"up\"}, {\"id\": \"no uuid\", \"status\": \"up\"}]}", "{\"fault\": {\"reason\": \"x\"}}" };
    g_autoptr(json_t) none = json("{}");
    g_autoptr(GPtrArray) empty = ovirt_vms_read(none, NULL);

    g_assert_cmpuint(empty->len, ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(json_t) body = json(bad[i]);
        g_autoptr(GError) error = NULL;

        g_assert_null(ovirt_vms_read(body, &error));
        g_assert_error(error, OVIRT_ERROR, OVIRT_ERROR_MALFORMED);
    }
}

static void test_events_are_sorted(void)
{
    g_autoptr(json_t) body = json("{\"event\": [{\"id\": \"12\", \"code\": \"61\", \"vm\": {\"id\": \"" VM "\"}}, {\"id\": \"9\", \"code\": 33}]}");
    g_autoptr(json_t) bad = json("{\"event\": [{\"id\": \"12\"}]}");
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) events = ovirt_events_read(body, &error);
    const OvirtEvent *first = events->pdata[0], *second = events->pdata[1];

    g_assert_cmpuint(first->id, ==, 9);
    g_assert_cmpint(first->code, ==, 33);
    g_assert_cmpuint(second->id, ==, 12);
    g_assert_cmpstr(second->vm, ==, VM);
    g_assert_null(ovirt_events_read(bad, &error));
    g_assert_error(error, OVIRT_ERROR, OVIRT_ERROR_MALFORMED);
}

static void test_hosts_and_statistics(void)
{
    g_autoptr(json_t) body = json("{\"host\": [{\"id\": \"" HOST "\", \"status\": \"up\", \"name\": \"a\", \"power_management\": {\"enabled\": \"true\"}}]}");
    g_autoptr(json_t) statistics = json("{\"statistic\": [{\"name\": \"x\"}, {\"name\": \"boot.time\", \"values\": {\"value\": [{\"datum\": \"1700000000\"}]}}]}");
    g_autoptr(json_t) power = json("{\"power_management\": {\"status\": \"off\"}}");
    g_autoptr(GPtrArray) hosts = ovirt_hosts_read(body, NULL);
    double value = 0;

    g_assert_true(((const OvirtHost *) hosts->pdata[0])->power);
    g_assert_true(ovirt_statistic(statistics, "boot.time", &value));
    g_assert_cmpfloat(value, ==, 1700000000);
    g_assert_false(ovirt_statistic(statistics, "x", &value));
    g_assert_false(ovirt_statistic(statistics, "y", &value));
    g_assert_cmpstr(ovirt_power_status(power), ==, "off");
    g_assert_null(ovirt_power_status(body));
}

/* Events, then a status: what is told. Codes 0: none. */
static void test_words(void)
{
    static const struct {
        int codes[3];
        const char *text, *status, *was, *state, *intent, *reason;
    } rows[] = {
        { { 0 }, NULL, "up", NULL, "running", "unknown", "up" },
        { { 0 }, NULL, "wait_for_launch", "stopped", "starting", "unknown", "wait_for_launch" },
        { { 0 }, NULL, "down", NULL, "stopped", "unknown", "defined" },
        { { 0 }, NULL, "down", "running", "stopped", "unknown", "unknown" },
        { { 33, 61 }, NULL, "down", "running", "stopped", "admin", "shutdown" },
        { { 33, 119 }, NULL, "down", "running", "stopped", "admin", "shutdown" }, /* it was wanted, however it ended */
        { { 73, 61 }, NULL, "down", "running", "stopped", "admin", "shutdown" },
        { { 73 }, NULL, "powering_down", "running", "stopping", "admin", "shutdown" },
        { { 0 }, NULL, "powering_down", "running", "stopping", "user", "shutdown" },
        { { 61 }, "Exit message: User shut down from within the guest", "down", "running", "stopped", "user", "shutdown" },
        { { 61 }, "Exit message: Admin shut down from the engine", "down", "running", "stopped", "admin", "shutdown" },
        { { 119 }, "Exit message: Lost connection with qemu process.", "down", "running", "stopped", "none", "lost-qemu" },
        { { 119 }, NULL, "down", "running", "stopped", "none", "crashed" },
        { { 9901, 119 }, NULL, "down", "running", "stopped", "none", "watchdog" },
        { { 143 }, NULL, "down", "unknown", "stopped", "none", "host-restart" },
        { { 33, 153, 119 }, NULL, "down", "running", "stopped", "none", "crashed" }, /* the wish was about an earlier life */
        { { 145 }, NULL, "paused", "running", "paused", "none", "io-error" },
        { { 138 }, NULL, "paused", "running", "paused", "none", "enospc" },
        { { 146 }, NULL, "paused", "running", "paused", "none", "eperm" },
        { { 39 }, NULL, "paused", "running", "paused", "admin", "user" },
        { { 0 }, NULL, "paused", "running", "paused", "unknown", "unknown" },
        { { 501, 503 }, NULL, "suspended", "running", "stopped", "admin", "saved" },
        { { 0 }, NULL, "image_locked", "stopped", NULL, NULL, NULL },
        { { 0 }, NULL, "not_responding", "running", "unknown", "unknown", "not_responding" },
        { { 0 }, NULL, "a status of tomorrow", "running", "unknown", "unknown", "a status of tomorrow" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        OvirtPast past = { 0 };
        OvirtWord word;

        for (size_t k = 0; k < G_N_ELEMENTS(rows[i].codes); k++)
            ovirt_past_event(&past, &(OvirtEvent) { .code = rows[i].codes[k], .text = (char *) rows[i].text }, 1000);
        word = ovirt_word(rows[i].status, &past, rows[i].was, 2000);
        g_assert_cmpstr(word.state, ==, rows[i].state);
        g_assert_cmpstr(word.intent, ==, rows[i].intent);
        g_assert_cmpstr(word.reason, ==, rows[i].reason);
        g_assert_true(word.unsure == (rows[i].state != NULL && strcmp(rows[i].reason, "unknown") == 0 && strcmp(rows[i].state, "stopped") == 0));
    }
}

/* What Mend did itself is told with the intent it was told, not with that of the user it logs in as; and not for ever. */
static void test_own_wish(void)
{
    OvirtPast past = { 0 };
    OvirtEvent stop = { .code = 33 };

    ovirt_past_wish(&past, "update", 1000);
    ovirt_past_event(&past, &stop, 2000);
    g_assert_cmpstr(ovirt_word("down", &past, "running", 3000).intent, ==, "update");
    ovirt_past_unwish(&past);
    g_assert_cmpstr(ovirt_word("down", &past, "running", 3000).intent, ==, "unknown");
    ovirt_past_wish(&past, "nonsense", 1000);
    g_assert_cmpstr(ovirt_word("down", &past, "running", 3000).intent, ==, "command");
    g_assert_cmpstr(ovirt_word("down", &past, "running", 3000 + OVIRT_WISH_HOLDS_US).intent, ==, "unknown");
    ovirt_past_runs(&past, 3000 + OVIRT_WISH_HOLDS_US);
    g_assert_null(past.wish);
}

static void test_host_reach(void)
{
    g_assert_cmpint(ovirt_host_reach("up"), ==, OVIRT_HEARD);
    g_assert_cmpint(ovirt_host_reach("connecting"), ==, OVIRT_WAITED);
    g_assert_cmpint(ovirt_host_reach("non_responsive"), ==, OVIRT_SILENT);
    g_assert_cmpint(ovirt_host_reach("kdumping"), ==, OVIRT_DUMPING);
    g_assert_cmpint(ovirt_host_reach("down"), ==, OVIRT_OFF);
    g_assert_cmpint(ovirt_host_reach("installing"), ==, OVIRT_ABSENT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ovirt/vm-is-read", test_vm_is_read);
    g_test_add_func("/ovirt/malformed-is-refused-whole", test_malformed_is_refused_whole);
    g_test_add_func("/ovirt/events-are-sorted", test_events_are_sorted);
    g_test_add_func("/ovirt/hosts-and-statistics", test_hosts_and_statistics);
    g_test_add_func("/ovirt/words", test_words);
    g_test_add_func("/ovirt/own-wish", test_own_wish);
    g_test_add_func("/ovirt/host-reach", test_host_reach);
    return g_test_run();
}
