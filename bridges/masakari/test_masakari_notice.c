/* What is read of the monitors' notifications, and what is refused as Masakari's API refuses it. */
#include "bridges/masakari/masakari_notice.h"

#include "lib/base/json.h"

#include <libvirt/libvirt.h>
#include <string.h>

#define VM "6f1a2b3c-0000-4000-8000-000000000001"
#define HEAD(type) "{\"notification\": {\"type\": \"" type "\", \"hostname\": \"compute-1\", \"generated_time\": \"2026-11-23T20:00:00.000001\", \"payload\": "
#define VM_NOTICE(event, detail) HEAD("VM") "{\"event\": \"" event "\", \"instance_uuid\": \"" VM "\", \"vir_domain_event\": \"" detail "\"}}}"

static MasakariNotice *read_text(const char *text, GError **error)
{
    g_autoptr(json_t) body = json_parse(text, strlen(text), "test", NULL);

    g_assert_nonnull(body);
    return masakari_notice_read(body, error);
}

static void test_vm(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MasakariNotice) notice = read_text(VM_NOTICE("LIFECYCLE", "STOPPED_FAILED"), &error), again = read_text(VM_NOTICE("LIFECYCLE", "STOPPED_FAILED"), NULL),
                              other = read_text(VM_NOTICE("QEMU_GUEST_AGENT_ERROR", "STOPPED_FAILED"), NULL);

    g_assert_no_error(error);
    g_assert_cmpint(notice->type, ==, MASAKARI_VM);
    g_assert_cmpstr(notice->hostname, ==, "compute-1");
    g_assert_cmpstr(notice->vm, ==, VM);
    g_assert_cmpstr(notice->words, ==, "LIFECYCLE STOPPED_FAILED");
    g_assert_cmpint(notice->event.id, ==, VIR_DOMAIN_EVENT_ID_LIFECYCLE);
    g_assert_cmpint(notice->event.kind, ==, VIR_DOMAIN_EVENT_STOPPED);
    g_assert_cmpint(notice->event.detail, ==, VIR_DOMAIN_EVENT_STOPPED_FAILED);
    g_assert_cmpstr(notice->key, ==, again->key);
    g_assert_cmpstr(notice->key, !=, other->key);
    g_assert_cmpint(other->event.id, ==, -1);
}

static void test_host_and_process(void)
{
    g_autoptr(MasakariNotice) gone = read_text(HEAD("COMPUTE_HOST") "{\"event\": \"STOPPED\", \"host_status\": \"UNKNOWN\", \"cluster_status\": \"OFFLINE\"}}}", NULL),
                              there = read_text(HEAD("COMPUTE_HOST") "{\"event\": \"STARTED\", \"cluster_status\": \"ONLINE\"}}}", NULL),
                              process = read_text(HEAD("PROCESS") "{\"event\": \"STOPPED\", \"process_name\": \"nova-compute\"}}}", NULL);

    g_assert_true(gone->type == MASAKARI_HOST && gone->stopped && !gone->online);
    g_assert_true(!there->stopped && there->online);
    g_assert_true(process->type == MASAKARI_PROCESS && process->stopped);
    g_assert_cmpstr(process->process, ==, "nova-compute");
}

static void test_refused(void)
{
    static const struct { const char *text, *says; } bad[] = {
        { "[]", "body" },
        { "{\"notification\": 1}", "notification" },
        { "{\"notification\": {}, \"more\": 1}", "'more' was unexpected" },
        { HEAD("DISK") "{}}}", "type" },
        { "{\"notification\": {\"type\": \"VM\", \"hostname\": \"\", \"generated_time\": \"2026-11-23T20:00:00\", \"payload\": {}}}", "hostname" },
        { "{\"notification\": {\"type\": \"VM\", \"hostname\": \"a\", \"generated_time\": \"today\", \"payload\": {}}}", "generated_time" },
        { HEAD("VM") "[]}}", "payload" },
        { HEAD("VM") "{\"event\": \"LIFECYCLE\", \"vir_domain_event\": \"X\"}}}", "instance_uuid" },
        { HEAD("VM") "{\"event\": \"LIFECYCLE\", \"instance_uuid\": \"not\", \"vir_domain_event\": \"X\"}}}", "uuid" },
        { HEAD("PROCESS") "{\"event\": \"BROKEN\", \"process_name\": \"a\"}}}", "event" },
        { HEAD("PROCESS") "{\"event\": \"STOPPED\"}}}", "process_name" },
        { HEAD("COMPUTE_HOST") "{\"event\": \"STOPPED\", \"host_status\": \"ILL\"}}}", "host_status" },
        { HEAD("COMPUTE_HOST") "{\"event\": \"STOPPED\", \"rack\": 1}}}", "'rack' was unexpected" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MasakariNotice) notice = read_text(bad[i].text, &error);

        g_assert_null(notice);
        g_assert_error(error, MASAKARI_ERROR, MASAKARI_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, bad[i].says));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/masakari/vm", test_vm);
    g_test_add_func("/masakari/host-and-process", test_host_and_process);
    g_test_add_func("/masakari/refused", test_refused);
    return g_test_run();
}
