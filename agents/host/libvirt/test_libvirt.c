/* What the host agent sees, on libvirt's test driver (no daemon): real calls and callbacks, with a recording bus. And a storm of events. */
#include "agents/host/host_stand.h"
#include "agents/host/libvirt/domains.h"
#include "agents/host/libvirt/event_names.h"
#include "agents/host/libvirt/libvirt.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define VM_ONE "6695eb01-f6a4-8304-79aa-97f2502e193f" /* "test", which the driver starts with */
#define WAIT_MS 20000
#define DOMAIN_XML                                                                                                     \
    "<domain type='test'><name>%s</name><uuid>%s</uuid><memory unit='KiB'>65536</memory><vcpu>2</vcpu>"                 \
    "<os><type>hvm</type></os><devices><disk type='file' device='disk'><source file='/srv/gold/%s.img'/>"              \
    "<target dev='vda'/></disk><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>"
#define NODE_XML                                                                                                       \
    "<node><domain type='test'><name>test</name><uuid>" VM_ONE "</uuid><memory unit='KiB'>2097152</memory><vcpu>2</vcpu>" \
    "<os><type>hvm</type></os></domain><cpu><mhz>2000</mhz><model>x</model><active>4</active><nodes>1</nodes><sockets>1</sockets>" \
    "<cores>4</cores><threads>1</threads></cpu><memory>8388608</memory></node>"
#define GOLD "99999999-2222-4333-8444-555555555555"

typedef struct Bench {
    HostStand *stand;
    Intents *intents;
    Connection *connection;
    Libvirt *libvirt;
    virConnectPtr own; /* the test's reference to the same connection */
    char *node;        /* file with the driver's machine: each has one of its own */
} Bench;

static const char *storage_of(void *user, const char *path) { return g_str_has_prefix(path, "/srv/gold/") ? GOLD : NULL; }

static Value *storages(void *user)
{
    Value *list = value_list();

    value_append(list, value_string(GOLD));
    return list;
}

static bool is_up(void *user) { return connection_is_up(((Bench *) user)->connection); }

static void bench_open(Bench *bench, int64_t sample_us)
{
    static const char *const labels[] = { "ssd", NULL };
    const LibvirtOptions options = { .rack = "r1", .labels = labels, .sample_period_us = sample_us, .storage_of = storage_of, .storages = storages };

    g_autofree char *uri = NULL;

    bench->node = g_build_filename(host_data(bench->stand->host), "node.xml", NULL);
    g_assert_true(g_file_set_contents(bench->node, NODE_XML, -1, NULL));
    uri = g_strconcat("test://", bench->node, NULL);
    bench->intents = intents_new();
    bench->connection = connection_new(bench->stand->host, uri);
    bench->libvirt = libvirt_new(bench->stand->host, bench->connection, bench->intents, &options);
    connection_start(bench->connection);
    host_stand_until(is_up, bench, WAIT_MS);
    bench->own = connection_get(bench->connection);
}

static void bench_close(Bench *bench)
{
    virConnectClose(bench->own);
    libvirt_free(bench->libvirt);
    connection_free(bench->connection);
    intents_free(bench->intents);
    g_free(bench->node);
}

static const char *text(HostStand *stand, guint index, const char *key)
{
    return json_string_value(json_object_get(host_stand_event(stand, index), key));
}

/* Index of the next vm_state of @vm in @state from @from on. */
static guint wait_state(Bench *bench, guint from, const char *vm, const char *state)
{
    guint at = from;

    for (;;) {
        at = host_stand_wait(bench->stand, at, "vm_state", "state", state, WAIT_MS);
        if (strcmp(text(bench->stand, at, "id"), vm) == 0)
            return at;
        at++;
    }
}

static void has(Bench *bench, guint at, const char *intent, const char *reason)
{
    g_assert_cmpstr(text(bench->stand, at, "intent"), ==, intent);
    g_assert_cmpstr(text(bench->stand, at, "reason"), ==, reason);
}

static void test_a_vm_lives(void)
{
    Bench bench = { .stand = host_stand_new() };
    guint at;
    virDomainPtr domain;

    bench_open(&bench, 0);
    at = wait_state(&bench, 0, VM_ONE, "running");
    has(&bench, at, "unknown", "seen");
    g_assert_cmpint(json_integer_value(json_object_get(host_stand_event(bench.stand, at), "vcpus")), ==, 2);
    g_assert_cmpint(json_integer_value(json_object_get(host_stand_event(bench.stand, at), "memory_bytes")), ==, INT64_C(2) << 30);
    domain = virDomainLookupByUUIDString(bench.own, VM_ONE);
    g_assert_cmpint(virDomainSuspend(domain), ==, 0);
    at = wait_state(&bench, at, VM_ONE, "paused");
    has(&bench, at, "admin", "user");
    g_assert_cmpint(virDomainResume(domain), ==, 0);
    at = wait_state(&bench, at, VM_ONE, "running");
    libvirt_note(bench.libvirt, VM_ONE, "intent", "command");
    g_assert_cmpint(virDomainDestroy(domain), ==, 0);
    at = wait_state(&bench, at, VM_ONE, "stopped");
    has(&bench, at, "command", "destroyed");
    g_assert_cmpint(virDomainCreate(domain), ==, 0);
    at = wait_state(&bench, at, VM_ONE, "running");
    has(&bench, at, "admin", "booted"); /* what was noted is used up */
    g_assert_cmpint(virDomainShutdown(domain), ==, 0);
    at = wait_state(&bench, at, VM_ONE, "stopped");
    has(&bench, at, "user", "shutdown");
    virDomainFree(domain);
    bench_close(&bench);
    host_stand_free(bench.stand);
}

static bool object_is_there(void *user)
{
    const Bench *bench = user;
    g_autofree char *name = g_strconcat("domain:", VM_ONE, NULL);

    return qmf_agent_object(bench->stand->agent, name) != NULL;
}

static void test_every_event_is_told_with_its_names(void)
{
    Bench bench = { .stand = host_stand_new() };
    virDomainPtr domain;
    guint at;

    bench_open(&bench, 0);
    domain = virDomainLookupByUUIDString(bench.own, VM_ONE);
    g_assert_cmpint(virDomainSuspend(domain), ==, 0);
    at = host_stand_wait(bench.stand, 0, "domain_event", "kind", "suspended", WAIT_MS);
    g_assert_cmpstr(text(bench.stand, at, "event"), ==, "lifecycle");
    g_assert_cmpstr(text(bench.stand, at, "detail"), ==, "paused");
    g_assert_cmpstr(text(bench.stand, at, "id"), ==, VM_ONE);
    g_assert_cmpstr(text(bench.stand, at, "name"), ==, "test");
    g_assert_cmpstr(text(bench.stand, at, "host"), ==, STAND_HOST);
    host_stand_until(object_is_there, &bench, WAIT_MS);
    virDomainFree(domain);
    bench_close(&bench);
    host_stand_free(bench.stand);
}

static size_t n_vms(const json_t *up) { return json_array_size(json_object_get(up, "vms")); }

static guint wait_up_with(Bench *bench, guint from, size_t n)
{
    for (;; from++) {
        from = host_stand_wait(bench->stand, from, "host_state", "state", "up", WAIT_MS);
        if (json_object_get(host_stand_event(bench->stand, from), "vms") != NULL && n_vms(host_stand_event(bench->stand, from)) == n)
            return from;
    }
}

static void test_the_inventory_follows(void)
{
    Bench bench = { .stand = host_stand_new() };
    g_autofree char *vm = uuid_new(), *xml = g_strdup_printf(DOMAIN_XML, "two", vm, "two");
    g_autofree char *kept = g_strdup_printf("%s/definitions/%s.xml", host_data(bench.stand->host), vm);
    const json_t *up, *state;
    virDomainPtr domain;
    guint at;

    bench_open(&bench, 0);
    at = host_stand_wait(bench.stand, 0, "host_state", "state", "up", WAIT_MS);
    g_assert_null(json_object_get(host_stand_event(bench.stand, at), "vms")); /* before libvirt was asked nothing is known */
    at = wait_up_with(&bench, at, 1);
    up = host_stand_event(bench.stand, at);
    g_assert_cmpstr(json_string_value(json_object_get(up, "rack")), ==, "r1");
    g_assert_cmpstr(json_string_value(json_array_get(json_object_get(up, "labels"), 0)), ==, "ssd");
    g_assert_cmpstr(json_string_value(json_array_get(json_object_get(up, "storage"), 0)), ==, GOLD);
    g_assert_cmpint(json_integer_value(json_object_get(up, "memory_bytes")), >, 0);
    domain = virDomainDefineXML(bench.own, xml);
    g_assert_nonnull(domain);
    at = wait_state(&bench, at, vm, "stopped");
    has(&bench, at, "unknown", "defined"); /* not a failure */
    while (!g_file_test(kept, G_FILE_TEST_EXISTS))
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpint(virDomainCreate(domain), ==, 0);
    at = wait_state(&bench, at, vm, "running");
    state = host_stand_event(bench.stand, at);
    g_assert_cmpstr(json_string_value(json_array_get(json_object_get(state, "storage"), 0)), ==, GOLD);
    at = wait_up_with(&bench, at, 2);
    g_assert_cmpint(virDomainDestroy(domain), ==, 0);
    wait_up_with(&bench, at, 1);
    g_assert_cmpint(virDomainUndefine(domain), ==, 0);
    virDomainFree(domain);
    bench_close(&bench);
    host_stand_free(bench.stand);
}

static void test_a_vm_that_is_to_move_is_migrating(void)
{
    Bench bench = { .stand = host_stand_new() };
    guint at;

    bench_open(&bench, 0);
    at = wait_state(&bench, 0, VM_ONE, "running");
    libvirt_note(bench.libvirt, VM_ONE, "intent", "command");
    libvirt_note(bench.libvirt, VM_ONE, "to", GOLD);
    at = wait_state(&bench, at, VM_ONE, "migrating");
    g_assert_cmpstr(text(bench.stand, at, "to"), ==, GOLD);
    g_assert_cmpstr(text(bench.stand, at, "intent"), ==, "command");
    libvirt_note(bench.libvirt, VM_ONE, "intent", "");
    libvirt_note(bench.libvirt, VM_ONE, "to", ""); /* it did not get there */
    wait_state(&bench, at, VM_ONE, "running");
    bench_close(&bench);
    host_stand_free(bench.stand);
}

/* The agent is restarted, and meanwhile libvirt has forgotten why its VMs do not run. */
static void test_what_was_told_is_remembered(void)
{
    Bench bench = { .stand = host_stand_new() };
    g_autofree char *path = g_build_filename(host_data(bench.stand->host), "vms.json", NULL);
    g_autofree char *record = g_strdup_printf("{\"%s\": {\"state\": \"paused\", \"intent\": \"none\", \"reason\": \"io-error\", \"boot_id\": \"%s\"}}",
                                              VM_ONE, host_boot_id(bench.stand->host));
    guint at;
    char *now = NULL;

    g_assert_true(g_file_set_contents(path, record, -1, NULL));
    bench_open(&bench, 0);
    at = wait_state(&bench, 0, VM_ONE, "running");
    has(&bench, at, "unknown", "seen");
    bench_close(&bench);
    g_assert_true(g_file_get_contents(path, &now, NULL, NULL));
    g_assert_nonnull(strstr(now, "\"running\""));
    g_free(now);
    host_stand_free(bench.stand);
}

/* ---- without libvirt: facts and events as they come ------------------------------------------------------------------------------- */

typedef struct Table {
    HostStand *stand;
    Connection *connection; /* never started */
    Intents *intents;
    Domains *domains;
} Table;

static void table_open(Table *table)
{
    const DomainsOptions options = { NULL, NULL, NULL };

    table->stand = host_stand_new();
    table->connection = connection_new(table->stand->host, "test:///default");
    table->intents = intents_new();
    table->domains = domains_new(table->stand->host, table->connection, table->intents, &options);
}

static void table_close(Table *table)
{
    domains_free(table->domains);
    connection_free(table->connection);
    intents_free(table->intents);
    host_stand_free(table->stand);
}

static DomainFacts *facts(const char *vm, int libvirt_id, int state, int reason)
{
    DomainFacts *made = g_new0(DomainFacts, 1);

    g_strlcpy(made->vm, vm, sizeof made->vm);
    made->name = g_strdup("x");
    made->libvirt_id = libvirt_id;
    made->state = state;
    made->reason = reason;
    made->disk_errors = g_ptr_array_new_with_free_func(g_free);
    made->vcpus = 1;
    return made;
}

static void resync(Table *table, DomainFacts *one)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify) domain_facts_free);

    if (one != NULL)
        g_ptr_array_add(all, one);
    domains_resync(table->domains, all);
}

static void last_is(const Table *table, const char *state, const char *intent, const char *reason)
{
    const json_t *event = host_stand_event(table->stand, table->stand->events->len - 1);

    g_assert_cmpstr(json_string_value(json_object_get(event, "state")), ==, state);
    g_assert_cmpstr(json_string_value(json_object_get(event, "intent")), ==, intent);
    g_assert_cmpstr(json_string_value(json_object_get(event, "reason")), ==, reason);
}

static void event(Table *table, int id, int kind, int detail)
{
    g_autoptr(Value) values = value_map();
    const DomainEvent one = { VM_ONE, "x", id, kind, detail, NULL, values };

    domains_event(table->domains, &one);
}

static void test_what_happened_while_libvirt_was_away(void)
{
    Table table;
    guint n;

    table_open(&table);
    resync(&table, facts(VM_ONE, 1, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED));
    last_is(&table, "running", "unknown", "seen");
    n = table.stand->events->len;
    resync(&table, facts(VM_ONE, 1, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED));
    g_assert_cmpuint(table.stand->events->len, ==, n); /* nothing happened */
    resync(&table, facts(VM_ONE, 2, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED));
    last_is(&table, "rebooted", "unknown", "restarted"); /* another qemu */
    resync(&table, facts(VM_ONE, 2, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR));
    last_is(&table, "paused", "none", "io-error");
    resync(&table, facts(VM_ONE, -1, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED));
    last_is(&table, "crashed", "none", "crashed");
    n = table.stand->events->len;
    resync(&table, facts(VM_ONE, -1, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_UNKNOWN)); /* libvirtd was restarted */
    g_assert_cmpuint(table.stand->events->len, ==, n);
    resync(&table, facts(VM_ONE, 3, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED));
    event(&table, VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_WATCHDOG_PAUSE, EVENT_WORD_NONE);
    event(&table, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG);
    last_is(&table, "hung", "none", "watchdog");
    n = table.stand->events->len;
    resync(&table, facts(VM_ONE, 3, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_WATCHDOG));
    g_assert_cmpuint(table.stand->events->len, ==, n);
    resync(&table, NULL); /* a transient one that is gone */
    last_is(&table, "stopped", "unknown", "gone");
    table_close(&table);
}

static void write_record(const Table *table, const char *state, const char *intent, const char *boot_id)
{
    g_autofree char *path = g_build_filename(host_data(table->stand->host), "vms.json", NULL);
    g_autofree char *record = g_strdup_printf("{\"%s\": {\"state\": \"%s\", \"intent\": \"%s\", \"reason\": \"why\", \"boot_id\": \"%s\"}}", VM_ONE, state,
                                              intent, boot_id);

    g_assert_true(g_file_set_contents(path, record, -1, NULL));
}

static void recalled(const char *state, const char *intent, bool same_boot, const char *then_state, const char *then_intent, const char *then_reason)
{
    const DomainsOptions options = { NULL, NULL, NULL };
    Table table;

    table_open(&table);
    domains_free(table.domains);
    write_record(&table, state, intent, same_boot ? host_boot_id(table.stand->host) : "another");
    table.domains = domains_new(table.stand->host, table.connection, table.intents, &options);
    resync(&table, facts(VM_ONE, -1, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_UNKNOWN));
    last_is(&table, then_state, then_intent, then_reason);
    table_close(&table);
}

static void test_why_it_is_off_outlives_the_host(void)
{
    recalled("stopped", "admin", false, "stopped", "admin", "why");
    recalled("crashed", "none", true, "crashed", "none", "why");
    recalled("running", "none", false, "stopped", "none", "host-restart"); /* it died with its host: nobody wanted that */
    recalled("running", "none", true, "stopped", "unknown", "unknown");
}

static void test_a_storm_loses_nothing(void)
{
    enum { N = 10000, VMS = 20 };
    Table table;
    guint n_stopped[VMS] = { 0 };
    int64_t begun_us = clock_now_us();

    table_open(&table);
    for (int i = 0; i < N; i++) {
        g_autofree char *vm = g_strdup_printf("00000000-0000-4000-8000-%012d", i % VMS);
        g_autoptr(Value) values = value_map();
        bool up = i / VMS % 2 == 0;
        const DomainEvent one = { vm, "x", 0, up ? VIR_DOMAIN_EVENT_STARTED : VIR_DOMAIN_EVENT_STOPPED, up ? 0 : VIR_DOMAIN_EVENT_STOPPED_CRASHED, NULL, values };

        host_raise(table.stand->host, "domain_event", -1, domain_event_values(&one));
        domains_event(table.domains, &one);
    }
    g_assert_cmpuint(table.stand->events->len, ==, 2 * N);
    for (guint i = 1; i < table.stand->events->len; i += 2) { /* of each VM in turn */
        const json_t *values = host_stand_event(table.stand, i);
        const char *vm = json_string_value(json_object_get(values, "id")), *state = json_string_value(json_object_get(values, "state"));
        guint slot = (guint) atoi(vm + 24);

        g_assert_cmpstr(state, ==, n_stopped[slot]++ % 2 == 0 ? "running" : "crashed");
    }
    g_test_message("%d events in %" G_GINT64_FORMAT " us", N, clock_now_us() - begun_us);
    table_close(&table);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/libvirt/a-vm-lives", test_a_vm_lives);
    g_test_add_func("/libvirt/events", test_every_event_is_told_with_its_names);
    g_test_add_func("/libvirt/inventory", test_the_inventory_follows);
    g_test_add_func("/libvirt/migrating", test_a_vm_that_is_to_move_is_migrating);
    g_test_add_func("/libvirt/remembered", test_what_was_told_is_remembered);
    g_test_add_func("/libvirt/away", test_what_happened_while_libvirt_was_away);
    g_test_add_func("/libvirt/why-off", test_why_it_is_off_outlives_the_host);
    g_test_add_func("/libvirt/storm", test_a_storm_loses_nothing);
    return g_test_run();
}
