/* Two hosts on one folder, their VMs processes that sleep; keeper and guard are the real processes. */
#include "agents/host/host_stand.h"
#include "agents/host/storage/lease_file.h"
#include "agents/host/storage/leases.h"

#include "lib/base/clock.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VM "0b8c1d5e-9f7a-4b36-8a51-3c2d1e0f9a8b"
#define OTHER "22222222-3333-4444-8555-666666666666"
#define VALID_US (3 * US_PER_S)

typedef struct Side { /* a host */
    HostStand *stand;
    Leases *leases;
    char *shared, *vms;
    GPid vm;     /* 0: not here */
    bool arrived;
    int answer;  /* -1: none yet */
} Side;

typedef struct Fixture {
    Side a, b;
} Fixture;

static void side_vm_start(Side *side)
{
    char *argv[] = { (char *) "sleep", (char *) "60", NULL };
    g_autofree char *path = g_build_filename(side->vms, VM, NULL);
    g_autoptr(GError) error = NULL;

    g_spawn_async(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &side->vm, &error);
    g_assert_no_error(error);
    g_autofree char *text = g_strdup_printf("%d", (int) side->vm);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static bool side_runs(Side *side)
{
    if (side->vm != 0 && waitpid(side->vm, NULL, WNOHANG) == side->vm)
        side->vm = 0;
    return side->vm != 0;
}

static void side_vm_stop(Side *side)
{
    g_autofree char *path = g_build_filename(side->vms, VM, NULL);

    g_unlink(path);
    if (!side_runs(side))
        return;
    kill(side->vm, SIGKILL);
    waitpid(side->vm, NULL, 0);
    side->vm = 0;
}

static void *eyes(void *user) { return user; }

static bool look(void *user, const char *const *known, GArray *ret)
{
    Side *side = user;
    LeaseVm vm = { .vm = VM, .leased = true, .arrived = side->arrived };

    if (side->vm != 0 && kill(side->vm, 0) == 0)
        g_array_append_val(ret, vm);
    return true;
}

static int wanted(void *user, const char *vm) { return strcmp(vm, VM) == 0; }

static void start(Side *side)
{
    g_autofree char *program = g_build_filename(g_getenv("MEND_BUILD_DIR"), "tests", "lease_stand", NULL);
    const LeasesOptions options = { side->shared, program, "file", VALID_US, 300 * US_PER_MS, eyes, look, wanted, NULL, side };
    g_autoptr(GError) error = NULL;

    g_setenv("LEASE_STAND_VMS", side->vms, TRUE);
    side->leases = leases_new(side->stand->host, &options, &error);
    g_assert_no_error(error);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    f->a.stand = host_stand_new();
    f->b.stand = host_stand_new();
    g_free(f->b.stand->identity->id);
    f->b.stand->identity->id = g_strdup(OTHER);
    f->a.shared = g_build_filename(f->a.stand->folder, "shared", NULL);
    f->b.shared = g_build_filename(f->b.stand->folder, "shared", NULL); /* a way of its own to the same place */
    g_assert_cmpint(g_mkdir(f->a.shared, 0755), ==, 0);
    g_assert_cmpint(symlink(f->a.shared, f->b.shared), ==, 0);
    for (Side *side = &f->a; side <= &f->b; side++) {
        side->vms = g_build_filename(side->stand->folder, "vms", NULL);
        g_assert_cmpint(g_mkdir(side->vms, 0755), ==, 0);
        start(side);
    }
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    for (Side *side = &f->a; side <= &f->b; side++) {
        side_vm_stop(side);
        leases_free(side->leases);
    }
    for (int turns = 0; turns < 20; turns++) { /* until a look that is at work has ended, which host_stand_free() would not wait for */
        g_usleep(10000);
        g_main_context_iteration(NULL, FALSE);
    }
    for (Side *side = &f->a; side <= &f->b; side++) {
        host_stand_free(side->stand);
        g_free(side->shared);
        g_free(side->vms);
    }
}

static void on_answer(void *user, LeasesAnswer answer, const char *text) { ((Side *) user)->answer = (int) answer; }
static bool is_answered(void *user) { return ((Side *) user)->answer >= 0; }
static bool waited(void *user)
{
    int *turns = user;

    g_usleep(20000);
    return --*turns <= 0;
}
static bool is_over(void *user) { return !side_runs(user); }

static LeasesAnswer acquire(Side *side)
{
    int64_t end_us = clock_now_us() + 20 * US_PER_S;

    do { /* a machine with much to do writes slowly now and then, and must not take a lease then */
        side->answer = -1;
        leases_acquire(side->leases, VM, clock_now_us() + 5 * US_PER_S, on_answer, side);
        host_stand_until(is_answered, side, 10000);
    } while (side->answer == LEASES_FAILED && clock_now_us() < end_us);
    return (LeasesAnswer) side->answer;
}

static guint expect(Side *side, guint from, const char *says, const char *host)
{
    for (;;) { /* of other hosts meanwhile, too */
        guint i = host_stand_wait(side->stand, from, "vm_state", "says", says, 15000);

        from = i + 1;
        g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(side->stand, i), "channel")), ==, "lease");
        if (strcmp(json_string_value(json_object_get(host_stand_event(side->stand, i), "host")), host) == 0)
            return from;
    }
}

static void run_on(Side *side)
{
    g_assert_cmpint(acquire(side), ==, LEASES_TAKEN);
    side_vm_start(side);
    leases_look(side->leases);
    expect(side, 0, "held", host_id(side->stand->host));
    int turns = 30; /* until its VM was seen */
    host_stand_until(waited, &turns, 5000);
}

static void test_one_has_it_until_it_gives_it_back(Fixture *f, gconstpointer unused)
{
    run_on(&f->a);
    g_assert_cmpint(acquire(&f->b), ==, LEASES_HELD);
    guint next = expect(&f->b, 0, "held", STAND_HOST);
    g_usleep((gulong) VALID_US / 2);
    g_assert_cmpint(acquire(&f->b), ==, LEASES_HELD);
    side_vm_stop(&f->a);
    leases_look(f->a.leases);
    expect(&f->a, 0, "released", STAND_HOST);
    expect(&f->b, next, "released", STAND_HOST);
    g_assert_cmpint(acquire(&f->b), ==, LEASES_TAKEN);
    g_assert_cmpint(acquire(&f->a), ==, LEASES_HELD);
}

/* Its path to the storage is lost: the VM is ended before anybody can take the lease. */
static void test_who_cannot_renew_is_ended_first(Fixture *f, gconstpointer unused)
{
    g_autofree char *away = g_strconcat(f->b.shared, ".away", NULL);
    int64_t end_us = clock_now_us() + 20 * US_PER_S;

    run_on(&f->b);
    g_assert_cmpint(g_rename(f->b.shared, away), ==, 0);
    while (acquire(&f->a) != LEASES_TAKEN) {
        g_assert_cmpint(clock_now_us(), <, end_us);
        host_stand_wait(f->a.stand, 0, "vm_state", NULL, NULL, 5000);
        g_usleep(100000);
    }
    g_assert_false(side_runs(&f->b));
    expect(&f->a, 0, "expired", OTHER);
    g_assert_cmpint(g_rename(away, f->b.shared), ==, 0);
    expect(&f->b, 0, "released", OTHER);
    g_assert_cmpint(acquire(&f->b), ==, LEASES_HELD); /* what it gave back was not the other's */
}

static void test_an_agent_that_is_gone_leaves_a_guard(Fixture *f, gconstpointer unused)
{
    run_on(&f->a);
    leases_free(g_steal_pointer(&f->a.leases));
    g_assert_true(side_runs(&f->a));
    host_stand_until(is_over, &f->a, 10000);
    expect(&f->b, 0, "expired", STAND_HOST);
}

static void test_an_agent_that_is_back_goes_on(Fixture *f, gconstpointer unused)
{
    run_on(&f->a);
    guint next = f->a.stand->events->len;
    leases_free(g_steal_pointer(&f->a.leases));
    start(&f->a);
    expect(&f->a, next, "held", STAND_HOST);
    for (int64_t end_us = clock_now_us() + 2 * VALID_US; clock_now_us() < end_us;) {
        g_main_context_iteration(NULL, FALSE);
        g_assert_true(side_runs(&f->a));
        g_usleep(1000);
    }
    g_assert_cmpint(acquire(&f->b), ==, LEASES_HELD);
}

static void test_a_second_copy_is_ended(Fixture *f, gconstpointer unused)
{
    run_on(&f->a);
    expect(&f->b, 0, "held", STAND_HOST);
    side_vm_start(&f->b);
    leases_look(f->b.leases);
    host_stand_until(is_over, &f->b, 10000);
    g_assert_true(side_runs(&f->a));
}

static void test_it_moves_with_its_vm(Fixture *f, gconstpointer unused)
{
    LeaseFile file = { f->a.shared, VM, STAND_HOST, { VALID_US, 0, 0 } };
    LeaseBlock block;

    run_on(&f->a);
    leases_moving(f->a.leases, VM, OTHER);
    f->b.arrived = true;
    side_vm_start(&f->b); /* the old one stands still by now */
    leases_look(f->b.leases);
    side_vm_stop(&f->a);
    leases_look(f->a.leases);
    expect(&f->a, 0, "released", STAND_HOST);
    expect(&f->b, 0, "held", OTHER);
    g_assert_true(lease_file_read(&file, &block, NULL));
    g_assert_cmpstr(block.owner, ==, OTHER);
    g_assert_true(side_runs(&f->b));
    g_assert_cmpint(acquire(&f->a), ==, LEASES_HELD);
}

/* A release and the take behind it, as when a VM ends and starts again: done in the order they were said. */
static void test_commands_keep_their_order(void)
{
    g_autoptr(HostStand) stand = host_stand_new();
    g_autofree char *program = g_build_filename(g_getenv("MEND_BUILD_DIR"), "tests", "lease_stand", NULL), *line;
    const char *const argv[] = { program, "lease-keeper", stand->folder, STAND_HOST, stand->folder, "400000", "50000", "file", NULL };
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) keeper = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
    g_autoptr(GString) all = g_string_new(NULL);
    GDataInputStream *lines;

    g_assert_no_error(error);
    for (int i = 0; i < 20; i++)
        g_string_append(all, "release " VM "\ntake " VM "\n");
    g_assert_true(g_output_stream_write_all(g_subprocess_get_stdin_pipe(keeper), all->str, all->len, NULL, NULL, &error));
    lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(keeper));
    for (int answers = 0; answers < 40;) {
        line = g_data_input_stream_read_line(lines, NULL, NULL, &error);
        g_assert_nonnull(line);
        if (g_str_has_prefix(line, "released "))
            g_assert_cmpint(answers++ % 2, ==, 0);
        else if (g_str_has_prefix(line, "taken ") || g_str_has_prefix(line, "failed ")) /* too slow, on a machine with much to do */
            g_assert_cmpint(answers++ % 2, ==, 1);
        g_clear_pointer(&line, g_free);
    }
    g_object_unref(lines);
    g_subprocess_force_exit(keeper);
    g_assert_true(g_subprocess_wait(keeper, NULL, &error));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/leases/one", Fixture, NULL, set_up, test_one_has_it_until_it_gives_it_back, tear_down);
    g_test_add("/leases/ended-first", Fixture, NULL, set_up, test_who_cannot_renew_is_ended_first, tear_down);
    g_test_add("/leases/agent-gone", Fixture, NULL, set_up, test_an_agent_that_is_gone_leaves_a_guard, tear_down);
    g_test_add("/leases/agent-back", Fixture, NULL, set_up, test_an_agent_that_is_back_goes_on, tear_down);
    g_test_add("/leases/second-copy", Fixture, NULL, set_up, test_a_second_copy_is_ended, tear_down);
    g_test_add("/leases/moves", Fixture, NULL, set_up, test_it_moves_with_its_vm, tear_down);
    g_test_add_func("/leases/order", test_commands_keep_their_order);
    return g_test_run();
}
