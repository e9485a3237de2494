/* The policies that were in force are there after a restart and a crash, the last twenty of them; the engine keeps its state when they change. */
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/machine.h"

#include <glib/gstdio.h>
#include <string.h>

#define BEGIN_US (INT64_C(1700000000) * US_PER_S)

static void take(Machine *machine, unsigned n, const char *from)
{
    g_autofree char *text = g_strdup_printf("mend: 1\nhold_max: %us\n", n + 1);
    g_autoptr(Policy) policy = policy_parse("p.yaml", text, NULL);
    g_autoptr(json_t) arguments = json_pack("{s:s}", "from", from);
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    const EngineInput input = { .kind = INPUT_POLICY, .policy = policy, .who = "anna", .arguments = arguments };

    g_assert_nonnull(policy);
    g_assert_true(machine_step(machine, &input, BEGIN_US + n * US_PER_S, outputs, NULL));
    g_assert_true(machine_commit(machine, NULL));
}

static void check_versions(const Machine *machine, size_t size, int64_t newest)
{
    const Versions *versions = machine_versions(machine);

    g_assert_cmpuint(versions_size(versions), ==, size);
    for (size_t i = 0; i < size; i++) {
        const Version *v = versions_at(versions, i);

        g_assert_cmpint(v->number, ==, newest - (int64_t) (size - 1 - i));
        if (v->number == 1) {
            g_assert_cmpstr(v->from, ==, "start");
            continue;
        }
        g_autofree char *text = g_strdup_printf("mend: 1\nhold_max: %ds\n", (int) v->number);
        g_assert_cmpstr(v->text, ==, text);
        g_assert_cmpstr(v->from, ==, v->number % 2 == 0 ? "load" : "file");
        g_assert_cmpstr(v->who, ==, "anna");
        g_assert_cmpint(v->at_us, ==, BEGIN_US + (v->number - 1) * US_PER_S);
    }
}

static void test_they_are_there_after_a_crash(void)
{
    g_autofree char *folder = g_dir_make_tmp("mend-versions-XXXXXX", NULL), *path = g_build_filename(folder, "journal.db", NULL);

    for (unsigned n = 0; n < 25; n++) { /* opened anew each time; every fourth time from a snapshot */
        g_autoptr(Machine) machine = machine_open(path, NULL, NULL);

        g_assert_nonnull(machine);
        check_versions(machine, MIN(n + 1, VERSIONS_MAX), n + 1);
        take(machine, n + 1, n % 2 == 0 ? "load" : "file");
        if (n % 4 == 3)
            g_assert_true(machine_snapshot(machine, NULL));
    }
    g_autoptr(Machine) machine = machine_open(path, NULL, NULL);
    const Versions *versions = machine_versions(machine);
    g_assert_cmpint(versions_before(versions)->number, ==, 25);
    g_assert_cmpint(versions_of_file(versions)->number, ==, 25);
    g_assert_null(versions_number(versions, 6));
    g_assert_nonnull(versions_number(versions, 7));
    g_unlink(path);
    g_autoptr(GDir) left = g_dir_open(folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(left)) != NULL;) {
        g_autofree char *file = g_build_filename(folder, name, NULL);
        g_unlink(file);
    }
    g_rmdir(folder);
}

static void test_before_means_another_text(void)
{
    g_autoptr(Versions) versions = versions_new();
    g_autoptr(Policy) a = policy_parse("a", "mend: 1\n", NULL), b = policy_parse("b", "mend: 1\nhold_max: 1m\n", NULL);

    versions_add(versions, a, 1, "file", NULL);
    g_assert_null(versions_before(versions));
    versions_add(versions, b, 2, "load", "anna");
    versions_add(versions, b, 3, "file", NULL);
    g_assert_cmpint(versions_before(versions)->number, ==, 1);
    versions_add(versions, a, 4, "rollback", "anna");
    g_assert_cmpint(versions_before(versions)->number, ==, 3);
}

static void test_damaged_history_is_empty(void)
{
    g_autoptr(json_t) json = json_pack("[{s:i}, i, {s:s, s:s, s:i}]", "number", 1, 7, "name", "p", "text", "mend: 1", "number", 3);
    g_autoptr(Versions) versions = versions_from_json(json), none = versions_from_json(NULL);

    g_assert_cmpuint(versions_size(versions), ==, 1);
    g_assert_cmpint(versions_at(versions, 0)->number, ==, 3);
    g_assert_cmpuint(versions_size(none), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/versions/crash", test_they_are_there_after_a_crash);
    g_test_add_func("/policy/versions/before", test_before_means_another_text);
    g_test_add_func("/policy/versions/damaged", test_damaged_history_is_empty);
    return g_test_run();
}
