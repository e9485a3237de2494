/* Leases, held by real processes that race for them and are stopped at random moments: never two at once. What depends on the machine
 * having been quick enough is tried again when it was not. */
#include "agents/host/storage/lease_file.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define VM "11111111-2222-4333-8444-555555555555"

static const LeaseTimes times = { 400 * US_PER_MS, 15 * US_PER_MS, 25 * US_PER_MS };
static const char *const hosts[] = { "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002",
                                     "cccccccc-0000-4000-8000-000000000003" };

static char *folder_new(void)
{
    g_autoptr(GError) error = NULL;
    char *folder = g_dir_make_tmp("mend-lease-XXXXXX", &error);

    g_assert_no_error(error);
    return folder;
}

static void folder_remove(char *folder)
{
    g_autofree char *file = g_strdup_printf("%s/.mend/lease-" VM, folder), *place = g_strdup_printf("%s/.mend", folder);

    g_unlink(file);
    g_rmdir(place);
    g_rmdir(folder);
    g_free(folder);
}

static LeaseOutcome take(const char *folder, const char *host, const LeaseBlock *watched, int64_t since_us, LeaseBlock *block, int64_t *until_us)
{
    const LeaseFile lease = { folder, VM, host, times };
    g_autoptr(GError) error = NULL;

    return lease_file_take(&lease, watched, since_us, block, until_us, &error);
}

/* A write that took too long must not count: then once more. */
static LeaseOutcome take_surely(const char *folder, const char *host, LeaseBlock *block, int64_t *until_us)
{
    LeaseOutcome outcome;

    for (int64_t end_us = lease_now_us() + 60 * US_PER_S; (outcome = take(folder, host, NULL, 0, block, until_us)) == LEASE_FILE_FAILED ||
                                                          (outcome == LEASE_FILE_TAKEN && *until_us - lease_now_us() < times.valid_us / 2);)
        g_assert_cmpint(lease_now_us(), <, end_us);
    return outcome;
}

static void test_taken_held_released(void)
{
    char *folder = folder_new();
    const LeaseFile first = { folder, VM, hosts[0], times };
    LeaseBlock block, mine;
    int64_t until_us, later_us;

    do
        g_assert_cmpint(take_surely(folder, hosts[0], &mine, &until_us), ==, LEASE_FILE_TAKEN);
    while (lease_file_renew(&first, &mine, until_us, &later_us, NULL) == LEASE_FILE_LOST);
    g_assert_cmpint(later_us, >, until_us);
    g_assert_cmpint(take_surely(folder, hosts[1], &block, &until_us), ==, LEASE_FILE_HELD);
    g_assert_cmpstr(block.owner, ==, hosts[0]);
    g_assert_true(lease_file_release(&first, NULL));
    g_assert_cmpint(take_surely(folder, hosts[1], &block, &later_us), ==, LEASE_FILE_TAKEN);
    g_assert_true(lease_file_release(&first, NULL)); /* not ours any more: left alone */
    g_assert_cmpint(take_surely(folder, hosts[2], &block, &later_us), ==, LEASE_FILE_HELD);
    folder_remove(folder);
}

/* By the reader's clock, and only if it stood still all the while. */
static void test_expires(void)
{
    char *folder = folder_new();
    const LeaseFile first = { folder, VM, hosts[0], times };
    LeaseBlock mine, seen, block;
    int64_t until_us, later_us, since_us, end_us = lease_now_us() + 60 * US_PER_S;

    do {
        g_assert_cmpint(take_surely(folder, hosts[0], &mine, &until_us), ==, LEASE_FILE_TAKEN);
        since_us = lease_now_us();
        seen = mine;
        g_usleep(100 * US_PER_MS);
    } while (lease_file_renew(&first, &mine, until_us, &later_us, NULL) == LEASE_FILE_LOST && lease_now_us() < end_us);
    g_usleep(400 * US_PER_MS);
    g_assert_cmpint(take(folder, hosts[1], &seen, since_us, &block, &until_us), ==, LEASE_FILE_HELD); /* it changed */
    since_us = lease_now_us();
    while (take(folder, hosts[1], &mine, since_us, &block, &until_us) != LEASE_FILE_TAKEN)
        g_assert_cmpint(lease_now_us(), <, end_us);
    g_assert_cmpint(lease_now_us() - since_us, >=, times.valid_us);
    g_assert_cmpint(lease_file_renew(&first, &mine, later_us, &later_us, NULL), ==, LEASE_FILE_LOST);
    folder_remove(folder);
}

/* What is not the storage shows every lease as free, and takes every write. */
static void test_a_folder_in_its_place_is_not_it(void)
{
    char *folder = folder_new();
    g_autofree char *away = g_strconcat(folder, ".away", NULL), *memory = g_strconcat(folder, ".memory", NULL);
    const LeaseFile lease = { folder, VM, hosts[0], times, memory };
    g_autofree char *id = g_strdup_printf("%s/.mend/id", folder);
    g_autoptr(GError) error = NULL;
    LeaseOutcome outcome;
    LeaseBlock mine;
    int64_t until_us;

    while ((outcome = lease_file_take(&lease, NULL, 0, &mine, &until_us, NULL)) == LEASE_FILE_FAILED)
        ;
    g_assert_cmpint(outcome, ==, LEASE_FILE_TAKEN);
    g_assert_cmpint(g_rename(folder, away), ==, 0);
    g_assert_cmpint(g_mkdir(folder, 0755), ==, 0); /* where it was mounted */
    until_us = lease_now_us() + 60 * US_PER_S;
    g_assert_cmpint(lease_file_renew(&lease, &mine, until_us, &until_us, NULL), ==, LEASE_FILE_FAILED);
    g_assert_cmpint(lease_file_take(&lease, NULL, 0, &mine, &until_us, &error), ==, LEASE_FILE_FAILED);
    g_assert_nonnull(strstr(error->message, "is it mounted?"));
    g_assert_cmpint(g_rmdir(folder), ==, 0);
    g_assert_cmpint(g_rename(away, folder), ==, 0);
    g_assert_true(lease_file_release(&lease, NULL));
    g_unlink(id);
    g_unlink(memory);
    folder_remove(folder);
}

/* One who came too late wrote over it: the owner, whose lease holds, writes it anew. */
static void test_written_over(void)
{
    char *folder = folder_new();
    const LeaseFile first = { folder, VM, hosts[0], times };
    g_autofree char *file = g_strdup_printf("%s/.mend/lease-" VM, folder), *before = NULL;
    LeaseBlock mine, block;
    int64_t until_us;
    gsize n;

    g_assert_cmpint(take_surely(folder, hosts[1], &block, &until_us), ==, LEASE_FILE_TAKEN);
    g_assert_true(g_file_get_contents(file, &before, &n, NULL));
    g_assert_true(lease_file_release(&(LeaseFile) { folder, VM, hosts[1], times }, NULL));
    g_assert_cmpint(take_surely(folder, hosts[0], &mine, &until_us), ==, LEASE_FILE_TAKEN);
    g_assert_true(g_file_set_contents(file, before, (gssize) n, NULL));
    until_us = lease_now_us() + 60 * US_PER_S; /* as if it had a long time left */
    g_assert_cmpint(lease_file_renew(&first, &mine, until_us, &until_us, NULL), ==, LEASE_FILE_TAKEN);
    g_assert_true(lease_file_read(&first, &block, NULL));
    g_assert_cmpstr(block.owner, ==, hosts[0]);
    folder_remove(folder);
}

static void test_damage_is_never_free(void)
{
    char *folder = folder_new();
    g_autofree char *file = g_strdup_printf("%s/.mend/lease-" VM, folder), *text = NULL;
    const LeaseFile first = { folder, VM, hosts[0], times };
    g_autoptr(GError) error = NULL;
    LeaseBlock block;
    int64_t until_us;
    gsize n;

    g_assert_cmpint(take_surely(folder, hosts[0], &block, &until_us), ==, LEASE_FILE_TAKEN);
    g_assert_true(g_file_get_contents(file, &text, &n, NULL));
    text[20] ^= 1;
    g_assert_true(g_file_set_contents(file, text, (gssize) n, NULL));
    g_assert_cmpint(lease_file_take(&first, NULL, 0, &block, &until_us, &error), ==, LEASE_FILE_FAILED);
    g_assert_error(error, LEASE_FILE_ERROR, LEASE_FILE_ERROR_DAMAGED);
    folder_remove(folder);
}

/* ---- races ---- */

typedef struct Shared {  /* between the processes */
    int64_t until_us[3]; /* atomic; who has it: for so long; 0: it has not */
    int twice, taken;
} Shared;

static void has(Shared *shared, unsigned who, int64_t until_us) { __atomic_store_n(&shared->until_us[who], until_us, __ATOMIC_SEQ_CST); }

static bool is_alone(const Shared *shared, unsigned who)
{
    for (unsigned other = 0; other < G_N_ELEMENTS(hosts); other++)
        if (other != who && __atomic_load_n(&shared->until_us[other], __ATOMIC_SEQ_CST) > lease_now_us())
            return false;
    return true;
}

/* What a host agent does, with a VM that runs exactly as long as the lease is held: its guard ends it at @until_us. */
static void contend(const char *folder, unsigned who, Shared *shared, int64_t end_us)
{
    const LeaseFile lease = { folder, VM, hosts[who], times };
    LeaseBlock seen = { { 0 } }, found;
    int64_t since_us = 0, until_us;

    while (lease_now_us() < end_us) {
        if (lease_file_read(&lease, &found, NULL) && (memcmp(&found, &seen, sizeof found) != 0 || since_us == 0)) {
            seen = found;
            since_us = lease_now_us();
        }
        if (lease_file_take(&lease, &seen, since_us, &found, &until_us, NULL) != LEASE_FILE_TAKEN) {
            g_usleep((gulong) g_random_int_range(1, 20) * 1000);
            continue;
        }
        has(shared, who, until_us);
        if (!is_alone(shared, who) && lease_now_us() < until_us)
            __atomic_add_fetch(&shared->twice, 1, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&shared->taken, 1, __ATOMIC_SEQ_CST);
        for (int i = g_random_int_range(0, 5); i > 0 && lease_file_renew(&lease, &found, until_us, &until_us, NULL) == LEASE_FILE_TAKEN; i--) {
            has(shared, who, until_us);
            g_usleep((gulong) g_random_int_range(1, 30) * 1000);
        }
        has(shared, who, 0);
        if (g_random_int_range(0, 4) != 0) /* else it dies with it: only time frees it */
            lease_file_release(&lease, NULL);
    }
}

/* Without stops every holder is seen to be alone. */
static void test_race(void)
{
    char *folder = folder_new();
    Shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int64_t end_us = lease_now_us() + (g_test_thorough() ? 60 : 4) * US_PER_S;

    for (unsigned who = 0; who < G_N_ELEMENTS(hosts); who++)
        if (fork() == 0) {
            g_random_set_seed(who + (guint32) getpid());
            contend(folder, who, shared, end_us);
            _exit(0);
        }
    for (unsigned who = 0; who < G_N_ELEMENTS(hosts); who++)
        wait(NULL);
    g_test_message("%d times taken", shared->taken);
    g_assert_cmpint(shared->taken, >, 0);
    g_assert_cmpint(shared->twice, ==, 0);
    munmap(shared, sizeof *shared);
    folder_remove(folder);
}

/* One process is stopped in the middle of taking it, again and again, for longer than others wait: when it goes on, its write is too late,
 * and it says so itself; whoever holds the lease keeps it. */
static void test_race_with_one_that_stands_still(void)
{
    char *folder = folder_new();
    const LeaseFile owner = { folder, VM, hosts[0], times };
    int rounds = g_test_thorough() ? 300 : 25;

    for (int round = 0; round < rounds; round++) {
        LeaseBlock mine, found;
        int64_t until_us;
        int status;
        pid_t pid;

        g_assert_true(lease_file_release(&owner, NULL) && lease_file_release(&(LeaseFile) { folder, VM, hosts[1], times }, NULL));
        pid = fork();
        if (pid == 0) {
            LeaseOutcome outcome = take(folder, hosts[1], NULL, 0, &found, &until_us);

            _exit(outcome == LEASE_FILE_TAKEN && lease_now_us() < until_us ? 1 : 0);
        }
        g_usleep((gulong) g_random_int_range(0, 400));
        kill(pid, SIGSTOP);
        LeaseOutcome outcome = lease_file_take(&owner, NULL, 0, &mine, &until_us, NULL);
        kill(pid, SIGCONT);
        waitpid(pid, &status, 0);
        if (outcome == LEASE_FILE_TAKEN && lease_now_us() < until_us - times.valid_us / 4) {
            g_assert_cmpint(WEXITSTATUS(status), ==, 0);
            if (lease_file_renew(&owner, &mine, until_us, &until_us, NULL) != LEASE_FILE_TAKEN)
                continue; /* it was over by then */
            g_assert_true(lease_file_read(&owner, &found, NULL));
            g_assert_cmpstr(found.owner, ==, hosts[0]);
        }
    }
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease/taken-held-released", test_taken_held_released);
    g_test_add_func("/lease/expires", test_expires);
    g_test_add_func("/lease/written-over", test_written_over);
    g_test_add_func("/lease/damaged", test_damage_is_never_free);
    g_test_add_func("/lease/not-mounted", test_a_folder_in_its_place_is_not_it);
    g_test_add_func("/lease/race", test_race);
    g_test_add_func("/lease/stands-still", test_race_with_one_that_stands_still);
    return g_test_run();
}
