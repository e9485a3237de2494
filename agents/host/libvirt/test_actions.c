/* The actions against libvirt's own test driver: what needs no QEMU. tests/vm has the rest, on real ones. */
#include "agents/host/host_stand.h"
#include "agents/host/libvirt/actions.h"
#include "agents/host/libvirt/virt_error.h"

#include "lib/base/uuid.h"

#include <string.h>

/* Its one domain, which runs when a connection is opened. */
typedef struct Fixture {
    HostStand *stand;
    Actions *actions;
    virConnectPtr connection;
    char vm[UUID_TEXT_SIZE];
    LeaseAnswer lease;
    GString *notes; /* "intent=admin;" … */
    char *proc;     /* stands for /proc */
    bool is_away;
    bool keeps_waiting; /* the lease is not answered before the test says so */
    LeaseAnswerFn answer_lease;
    void *answer_user;
} Fixture;

static virConnectPtr connection_of(void *user)
{
    Fixture *f = user;

    if (f->is_away)
        return NULL;
    virConnectRef(f->connection);
    return f->connection;
}

static void lease_acquire(void *user, const char *vm, int64_t deadline_us, LeaseAnswerFn answer, void *answer_user)
{
    Fixture *f = user;

    g_string_append(f->notes, "acquire;");
    f->answer_lease = answer;
    f->answer_user = answer_user;
    if (!f->keeps_waiting)
        answer(answer_user, f->lease, "host 2 has it");
}

static void lease_release(void *user, const char *vm) { g_string_append(((Fixture *) user)->notes, "release;"); }

static void note(void *user, const char *vm, const char *what, const char *value)
{
    g_string_append_printf(((Fixture *) user)->notes, "%s=%s;", what, value);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    ActionsOptions options = {.connection = connection_of, .lease_acquire = lease_acquire, .lease_release = lease_release, .note = note, .user = f};
    virDomainPtr domain;

    virt_error_quiet();
    virEventRegisterDefaultImpl();
    f->connection = virConnectOpen("test:///default");
    g_assert_nonnull(f->connection);
    domain = virDomainLookupByName(f->connection, "test");
    g_assert_cmpint(virDomainGetUUIDString(domain, f->vm), ==, 0);
    virDomainFree(domain);
    f->notes = g_string_new(NULL);
    f->stand = host_stand_new();
    f->proc = g_strdup(f->stand->folder);
    options.proc = f->proc;
    f->actions = actions_new(f->stand->host, &options);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    actions_free(f->actions);
    host_stand_free(f->stand);
    virConnectClose(f->connection);
    g_string_free(f->notes, TRUE);
    g_free(f->proc);
}

static json_t *on_vm(const Fixture *f, const char *more_key, json_t *more)
{
    json_t *arguments = json_pack("{s:s}", "name", f->vm);

    if (more_key != NULL)
        json_object_set_new(arguments, more_key, more);
    return arguments;
}

static json_t *start_here(const Fixture *f)
{
    return json_pack("{s:s, s:s, s:s, s:[s]}", "name", f->vm, "host", STAND_HOST, "boot_id", host_boot_id(f->stand->host), "proof", "test");
}

/* @want: "done stopped", "failed failed", "refused unsafe": what is answered and the state or the error. */
static void check(Fixture *f, const char *method, json_t *arguments, const char *want, const char *text)
{
    g_autoptr(json_t) answer = host_stand_call(f->stand, method, arguments, 10000);
    json_t *values = json_object_get(answer, "values");
    const char *what = json_string_value(json_object_get(answer, "state")), *error = json_string_value(json_object_get(answer, "error"));
    const char *state = json_string_value(json_object_get(values, "state")), *said = json_string_value(json_object_get(values, "text"));
    g_autofree char *got = g_strdup_printf("%s %s", what, strcmp(what, "done") == 0 ? state : error);

    if (said == NULL)
        said = json_string_value(json_object_get(values, "error_text"));
    if (strcmp(got, want) != 0)
        g_error("%s: %s (%s), not %s", method, got, said, want);
    if (text != NULL && strstr(said, text) == NULL)
        g_error("%s: '%s' says nothing of '%s'", method, said, text);
}

static void test_stop_and_start(Fixture *f, gconstpointer unused)
{
    check(f, "vm_start", start_here(f), "done running", "already");
    g_assert_cmpstr(f->notes->str, ==, "");
    check(f, "vm_stop", on_vm(f, "intent", json_string("admin")), "done stopped", "gone");
    g_assert_cmpstr(f->notes->str, ==, "intent=admin;release;");
    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", "was off");
    g_string_truncate(f->notes, 0);
    check(f, "vm_start", start_here(f), "done running", NULL);
    g_assert_cmpstr(f->notes->str, ==, "acquire;");
}

/* What the engine reads "no copy runs here" from is said only when it is so. */
static void test_a_start_is_refused_only_when_it_is_off(Fixture *f, gconstpointer unused)
{
    json_t *elsewhere = json_pack("{s:s, s:s}", "name", f->vm, "host", "99999999-2222-4333-8444-555555555555");
    json_t *earlier = json_pack("{s:s, s:s, s:s}", "name", f->vm, "host", STAND_HOST, "boot_id", "99999999-2222-4333-8444-555555555555");

    check(f, "vm_start", json_incref(elsewhere), "done running", NULL);
    check(f, "vm_suspend", on_vm(f, NULL, NULL), "done paused", NULL);
    check(f, "vm_start", json_incref(elsewhere), "failed failed", "it is here and paused");
    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
    check(f, "vm_start", elsewhere, "refused bad-argument", "this is " STAND_HOST);
    check(f, "vm_start", earlier, "refused bad-argument", "an earlier life");
    check(f, "vm_start", on_vm(f, NULL, NULL), "refused bad-argument", "on which host");
    f->is_away = true;
    check(f, "vm_start", start_here(f), "failed failed", "libvirtd does not answer");
    check(f, "vm_stop", on_vm(f, NULL, NULL), "failed failed", "libvirtd does not answer");
}

static void test_a_lease_elsewhere(Fixture *f, gconstpointer unused)
{
    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
    f->lease = LEASE_HELD;
    check(f, "vm_start", start_here(f), "failed failed", "lease is held: host 2 has it");
    f->lease = LEASE_FAILED;
    check(f, "vm_start", start_here(f), "failed failed", "could not be taken");
    f->lease = LEASE_NOT_NEEDED;
    check(f, "vm_start", start_here(f), "done running", NULL);
}

static bool is_asked_for_a_lease(void *user) { return ((Fixture *) user)->answer_lease != NULL; }

static void check_end(Fixture *f, char *id, const char *want)
{
    g_autofree char *owned = id;
    g_autoptr(json_t) answer = host_stand_end(f->stand, id, 10000);
    const char *what = json_string_value(json_object_get(answer, "state")), *error = json_string_value(json_object_get(answer, "error"));
    g_autofree char *got = g_strdup_printf("%s%s%s", what, *error != '\0' ? " " : "", error);

    g_assert_cmpstr(got, ==, want);
}

/* A stop never overtakes a start that has begun, and takes back one that has not; no start begins beside a stop. */
static void test_a_stop_and_starts(Fixture *f, gconstpointer unused)
{
    char *begun, *waiting, *stop, *late;

    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
    f->keeps_waiting = true;
    begun = host_stand_begin(f->stand, "vm_start", start_here(f));
    host_stand_until(is_asked_for_a_lease, f, 5000);
    waiting = host_stand_begin(f->stand, "vm_start", start_here(f));
    stop = host_stand_begin(f->stand, "vm_stop", on_vm(f, NULL, NULL));
    late = host_stand_begin(f->stand, "vm_start", start_here(f));
    check_end(f, late, "failed failed");
    g_assert_cmpuint(f->stand->answers->len, ==, 2); /* the first stop and @late */
    f->answer_lease(f->answer_user, LEASE_TAKEN, NULL);
    check_end(f, begun, "done");
    check_end(f, waiting, "failed interrupted");
    check_end(f, stop, "done");
    check(f, "vm_resume", on_vm(f, NULL, NULL), "failed failed", "it is stopped");
}

/* The one who gives leases is late: the command is answered by its deadline, nothing starts, and the lease goes back. */
static void test_a_lease_too_late(Fixture *f, gconstpointer unused)
{
    json_t *arguments = start_here(f);

    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
    f->keeps_waiting = true;
    json_object_set_new(arguments, "timeout_ms", json_integer(100));
    check(f, "vm_start", arguments, "failed timeout", NULL);
    g_string_truncate(f->notes, 0);
    f->answer_lease(f->answer_user, LEASE_TAKEN, NULL);
    check(f, "vm_resume", on_vm(f, NULL, NULL), "failed failed", "it is stopped");
    g_assert_cmpstr(f->notes->str, ==, "release;");
}

/* A process that libvirt lost: an answer "stopped" would be a lie. */
static void test_a_lost_process(Fixture *f, gconstpointer unused)
{
    g_autofree char *folder = g_strdup_printf("%s/4194303", f->proc), *file = g_strdup_printf("%s/cmdline", folder);
    g_autoptr(GString) words = g_string_new("/usr/bin/qemu-system-x86_64");

    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
    g_string_append_len(words, "", 1);
    g_string_append_len(words, "-uuid", 6);
    g_string_append_len(words, f->vm, (gssize) strlen(f->vm) + 1);
    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(file, words->str, (gssize) words->len, NULL));
    check(f, "vm_start", start_here(f), "failed failed", "process 4194303");
    check(f, "vm_stop", on_vm(f, "timeout_ms", json_integer(200)), "failed timeout", "process 4194303 is still there");
    g_assert_true(strstr(f->notes->str, "acquire") == NULL);
    g_assert_true(g_file_set_contents(file, "", 0, NULL)); /* dead, and nobody reaped it */
    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
}

static void test_pause_and_resume(Fixture *f, gconstpointer unused)
{
    check(f, "vm_resume", on_vm(f, NULL, NULL), "done running", "already");
    check(f, "vm_suspend", on_vm(f, NULL, NULL), "done paused", NULL);
    check(f, "vm_suspend", on_vm(f, NULL, NULL), "done paused", "it was");
    check(f, "vm_shutdown", on_vm(f, NULL, NULL), "failed failed", "it is paused");
    g_assert_true(g_str_has_suffix(f->notes->str, "intent=command;intent=;")); /* it failed: what comes now was not meant */
    check(f, "vm_reboot", on_vm(f, NULL, NULL), "failed failed", "vm_reset");
    check(f, "vm_resume", on_vm(f, NULL, NULL), "done running", "it runs");
    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
    check(f, "vm_resume", on_vm(f, NULL, NULL), "failed failed", "nothing to resume");
    check(f, "vm_suspend", on_vm(f, NULL, NULL), "failed failed", "nothing to pause");
    check(f, "vm_reset", on_vm(f, NULL, NULL), "failed failed", "vm_start");
    check(f, "vm_shutdown", on_vm(f, NULL, NULL), "done stopped", "was off");
    check(f, "vm_dump", on_vm(f, NULL, NULL), "failed failed", "does not run");
}

static void test_definitions(Fixture *f, gconstpointer unused)
{
    static const char form[] = "<domain type='test'><name>more</name>%s<memory>65536</memory><os><type>hvm</type></os></domain>";
    static const char vm[] = "aaaaaaaa-0000-4000-8000-000000000001";
    g_autofree char *good = g_strdup_printf(form, "<uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid>");
    g_autofree char *other = g_strdup_printf(form, "<uuid>bbbbbbbb-0000-4000-8000-000000000001</uuid>"), *nameless = g_strdup_printf(form, "");

    check(f, "vm_undefine", on_vm(f, NULL, NULL), "refused unsafe", "vm_stop before");
    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", NULL);
    check(f, "vm_undefine", on_vm(f, NULL, NULL), "done ", "not known here any more");
    check(f, "vm_undefine", on_vm(f, NULL, NULL), "done ", "was not known");
    check(f, "vm_stop", on_vm(f, NULL, NULL), "done stopped", "not known here");
    check(f, "vm_start", start_here(f), "done running", NULL); /* from the agent's own copy */

    g_strlcpy(f->vm, vm, sizeof f->vm);
    check(f, "vm_start", start_here(f), "refused not-found", "vm_define before");
    check(f, "vm_define", on_vm(f, "definition", json_string(other)), "refused bad-argument", "its <uuid> is bbbbbbbb");
    check(f, "vm_define", on_vm(f, "definition", json_string(nameless)), "refused bad-argument", "its <uuid> is absent");
    check(f, "vm_define", on_vm(f, "definition", json_string("<domain><name>")), "refused bad-argument", "definition");
    check(f, "vm_define", on_vm(f, "definition", json_string("<network/>")), "refused bad-argument", "where one <domain> belongs");
    check(f, "vm_define", on_vm(f, "definition", json_string(good)), "done ", "libvirt knows it");
    check(f, "vm_reset", on_vm(f, NULL, NULL), "failed failed", "vm_start");
    check(f, "vm_start", start_here(f), "done running", NULL);
}

static void test_arguments(Fixture *f, gconstpointer unused)
{
    json_t *away = json_pack("{s:s, s:s}", "name", f->vm, "to", "99999999-2222-4333-8444-555555555555");

    check(f, "vm_stop", json_pack("{s:s}", "name", "shop-db"), "refused bad-argument", "UUID");
    check(f, "vm_stop", json_object(), "refused bad-argument", NULL);
    check(f, "vm_reset", json_pack("{s:s}", "name", "aaaaaaaa-0000-4000-8000-000000000001"), "failed not-found", NULL);
    check(f, "vm_migrate", on_vm(f, NULL, NULL), "refused bad-argument", "to which host");
    check(f, "vm_migrate", on_vm(f, "to", json_string(STAND_HOST)), "refused bad-argument", "on that host");
    check(f, "vm_migrate", away, "refused bad-argument", "no libvirt URI");
    check(f, "vm_set_memory", on_vm(f, "memory_bytes", json_integer(1)), "refused bad-argument", "memory_bytes");
    check(f, "vm_set_vcpus", on_vm(f, "vcpus", json_integer(10000)), "refused bad-argument", "vcpus");
    check(f, "vm_set_cpu_limit", on_vm(f, "quota_us", json_integer(10)), "refused bad-argument", "quota_us");
    check(f, "vm_set_io_limit", on_vm(f, NULL, NULL), "refused bad-argument", "of which disk");
    check(f, "vm_set_io_limit", on_vm(f, "disk", json_string("vda")), "refused bad-argument", "limits");
    check(f, "vm_block_copy", on_vm(f, NULL, NULL), "refused bad-argument", "disk");
    check(f, "vm_block_copy", on_vm(f, "disk", json_string("vda")), "refused unsafe", "its storage fails (vda: ");
    check(f, "vm_shutdown", on_vm(f, "mode", json_string("hope")), "refused bad-argument", "mode");
    check(f, "vm_snapshot", on_vm(f, NULL, NULL), "failed failed", "no snapshot was taken");
    check(f, "vm_snapshot_commit", on_vm(f, NULL, NULL), "done ", "no snapshot");
    check(f, "vm_abort_job", on_vm(f, NULL, NULL), "done ", "no job was");
}

static void test_tuning(Fixture *f, gconstpointer unused)
{
    check(f, "vm_set_cpu_limit", on_vm(f, "quota_us", json_integer(-1)), "failed failed", "CPU limit");
    check(f, "vm_set_vcpus", on_vm(f, "vcpus", json_integer(1)), "done ", "it has 1");
    check(f, "vm_screenshot", on_vm(f, NULL, NULL), "done ", "screen.png");
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(Fixture *, gconstpointer); } tests[] = {
        { "/actions/stop-and-start", test_stop_and_start },
        { "/actions/refused-only-when-off", test_a_start_is_refused_only_when_it_is_off },
        { "/actions/lease-elsewhere", test_a_lease_elsewhere },
        { "/actions/stop-and-starts", test_a_stop_and_starts },
        { "/actions/lease-too-late", test_a_lease_too_late },
        { "/actions/lost-process", test_a_lost_process },
        { "/actions/pause-and-resume", test_pause_and_resume },
        { "/actions/definitions", test_definitions },
        { "/actions/arguments", test_arguments },
        { "/actions/tuning", test_tuning },
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
    return g_test_run();
}
