#include "broker-plugin/hosts/embedded/store.h"
#include "broker-plugin/hosts/embedded/store_wal.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder_new(void)
{
    g_autoptr(GError) error = NULL;
    char *folder = g_dir_make_tmp("mend-store-XXXXXX", &error);

    g_assert_no_error(error);
    return folder;
}

static void folder_remove(char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);

    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_remove(path);
    }
    g_dir_close(dir);
    g_rmdir(folder);
    g_free(folder);
}

static Store *must_open(const char *folder)
{
    g_autoptr(GError) error = NULL;
    Store *store = store_open(folder, NULL, &error);

    g_assert_no_error(error);
    return store;
}

static void note_node(void *user, uint64_t record, const char *name, const void *bytes, size_t n_bytes)
{
    g_string_append_printf(user, "%s=%.*s ", name, (int) n_bytes, (const char *) bytes);
}

static void note_message(void *user, const StoreMessage *message)
{
    g_string_append_printf(user, "%" G_GUINT64_FORMAT ":%.*s#%u ", message->sequence, (int) message->n_bytes,
                           (const char *) message->bytes, message->delivery_count);
}

/* Nodes, then messages in their order: "name=description … sequence:bytes#count …". */
static char *all_of(Store *store)
{
    g_autoptr(GError) error = NULL;
    GString *text = g_string_new(NULL);

    g_assert_true(store_load(store, note_node, note_message, text, &error));
    g_assert_no_error(error);
    return g_strchomp(g_string_free(text, FALSE));
}

static void count_done(void *user, bool ok)
{
    if (ok)
        g_atomic_int_inc((gint *) user);
}

static void must_flush(Store *store)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(store_flush(store, &error));
    g_assert_no_error(error);
}

static void test_what_was_put_is_there_again_in_order(void)
{
    char *folder = folder_new();
    gint n_safe = 0;
    Store *store = must_open(folder);
    uint64_t q = store_node_put(store, "q", "A", 1, count_done, &n_safe), r = store_node_put(store, "r", "B", 1, NULL, NULL);

    store_put(store, q, 2, "two", 3, count_done, &n_safe);
    store_put(store, q, 1, "one", 3, count_done, &n_safe);
    store_put(store, r, 1, "other", 5, count_done, &n_safe);
    g_assert_cmpuint(store_node_put(store, "q", "C", 1, NULL, NULL), ==, q);
    must_flush(store);
    g_assert_cmpint(g_atomic_int_get(&n_safe), ==, 4);
    store_close(store);

    store = must_open(folder);
    g_autofree char *all = all_of(store);
    g_assert_cmpstr(all, ==, "q=C r=B 1:one#0 2:two#0 1:other#0");
    store_close(store);
    folder_remove(folder);
}

static void test_forgotten_messages_and_nodes_stay_away(void)
{
    char *folder = folder_new();
    gint n_safe = 0;
    Store *store = must_open(folder);
    uint64_t q = store_node_put(store, "q", "", 0, NULL, NULL), r = store_node_put(store, "r", "", 0, NULL, NULL);
    uint64_t early = store_put(store, q, 1, "early", 5, NULL, NULL);

    must_flush(store);
    store_put(store, q, 2, "keep", 4, NULL, NULL);
    store_put(store, r, 1, "gone", 4, NULL, NULL);
    uint64_t at_once = store_put(store, q, 3, "at once", 7, count_done, &n_safe);
    store_forget(store, at_once);
    store_forget(store, at_once);
    store_forget(store, early);
    store_forget(store, early);
    store_forget(store, 0);
    store_forget(store, 4711);
    store_node_forget(store, r);
    store_node_forget(store, r);
    store_close(store);
    g_assert_cmpint(n_safe, ==, 1);

    store = must_open(folder);
    g_autofree char *all = all_of(store);
    g_assert_cmpstr(all, ==, "q= 2:keep#0");
    uint64_t s = store_node_put(store, "r", "", 0, NULL, NULL);
    g_assert_cmpuint(store_put(store, s, 1, "new", 3, NULL, NULL), >, 0);
    store_close(store);
    folder_remove(folder);
}

static void test_counts_survive_until_settled(void)
{
    char *folder = folder_new();
    Store *store = must_open(folder);
    uint64_t q = store_node_put(store, "q", "", 0, NULL, NULL), records[4];

    for (unsigned i = 0; i < 4; i++)
        records[i] = store_put(store, q, i, "x", 1, NULL, NULL);
    store_handed(store, records[0], 1);
    store_handed(store, records[1], 1);
    store_handed(store, records[1], 2);
    store_handed(store, records[2], 1);
    store_handed(store, records[2], 0); /* came back untouched */
    must_flush(store);
    store_close(store);

    store = must_open(folder);
    g_autofree char *all = all_of(store);
    g_assert_cmpstr(all, ==, "q= 0:x#1 1:x#2 2:x#0 3:x#0");
    store_close(store);
    folder_remove(folder);
}

static void test_after_a_power_loss_everything_counts_as_tried(void)
{
    char *folder = folder_new();
    g_autofree char *path = g_build_filename(folder, "handed", NULL);
    Store *store = must_open(folder);
    uint64_t q = store_node_put(store, "q", "", 0, NULL, NULL);

    store_put(store, q, 1, "x", 1, NULL, NULL);
    store_handed(store, store_put(store, q, 2, "y", 1, NULL, NULL), 3);
    store_close(store);
    FILE *file = g_fopen(path, "r+"); /* another boot id, and not clean */
    g_assert_nonnull(file);
    fseek(file, 8, SEEK_SET);
    fwrite("00000000", 1, 8, file);
    fseek(file, 48, SEEK_SET);
    fwrite("\0\0\0\0", 1, 4, file);
    fclose(file);

    store = must_open(folder);
    g_autofree char *all = all_of(store);
    g_assert_cmpstr(all, ==, "q= 1:x#1 2:y#3");
    store_close(store);
    folder_remove(folder);
}

static void test_state_is_the_last_value(void)
{
    char *folder = folder_new();
    Store *store = must_open(folder);

    g_assert_null(store_state_get(store, "epoch"));
    g_assert_true(store_state_put(store, "epoch", "1", 1, NULL, NULL));
    g_assert_true(store_state_put(store, "epoch", "22", 2, NULL, NULL));
    g_assert_true(store_state_put(store, "gone", "x", 1, NULL, NULL));
    g_assert_true(store_state_put(store, "gone", NULL, 0, NULL, NULL));
    g_assert_null(store_state_get(store, "gone"));
    store_close(store);

    store = must_open(folder);
    g_autoptr(GBytes) epoch = store_state_get(store, "epoch");
    g_assert_cmpmem(g_bytes_get_data(epoch, NULL), g_bytes_get_size(epoch), "22", 2);
    g_assert_null(store_state_get(store, "gone"));
    store_close(store);
    folder_remove(folder);
}

static void test_a_folder_belongs_to_one_broker(void)
{
    char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    Store *store = must_open(folder);

    g_assert_null(store_open(folder, NULL, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, folder));
    store_close(store);
    folder_remove(folder);
}

static void test_over_its_limit_it_refuses_and_forgetting_helps(void)
{
    char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *bytes = g_malloc0(100000);
    StoreOptions options = { .max_bytes = 1000000 };
    Store *store = store_open(folder, &options, &error);
    uint64_t q = store_node_put(store, "q", "", 0, NULL, NULL), record = 0, first = 0;
    unsigned n = 0;

    for (; n < 100 && (record = store_put(store, q, n, bytes, 100000, NULL, NULL)) != 0; n++) {
        first = first == 0 ? record : first;
        must_flush(store);
    }
    g_assert_cmpuint(n, >=, 8);
    g_assert_cmpuint(n, <=, 11);
    for (unsigned i = 0; i < 3; i++)
        store_forget(store, first + i);
    must_flush(store);
    g_assert_cmpuint(store_put(store, q, 1000, bytes, 100000, NULL, NULL), >, 0);
    store_close(store);
    folder_remove(folder);
}

/* ---- The process dies ---------------------------------------------------------------------------------------------------- */

typedef struct Told { int fd; uint64_t sequence; } Told;

static void tell_safe(void *user, bool ok)
{
    Told *told = user;

    if (ok && write(told->fd, &told->sequence, sizeof told->sequence) != (ssize_t) sizeof told->sequence)
        _exit(3);
    g_free(told);
}

/* Puts for ever, tells through @fd which are safe, hands out and forgets every second one. */
static void child_run(const char *folder, int fd, uint64_t sequence)
{
    Store *store = store_open(folder, NULL, NULL);

    if (store == NULL)
        _exit(2);
    uint64_t q = store_node_put(store, "q", "", 0, NULL, NULL);
    for (;; sequence++) {
        Told *told = g_new(Told, 1);
        g_autofree char *text = g_strdup_printf("m%" G_GUINT64_FORMAT, sequence);

        *told = (Told) { fd, sequence };
        uint64_t record = store_put(store, q, sequence, text, strlen(text), tell_safe, told);
        if (sequence % 2 == 1) {
            store_handed(store, record, 1);
            store_forget(store, record);
        }
        if (sequence % 64 == 0)
            store_flush(store, NULL);
    }
}

static unsigned untold; /* safe, killed just before store_handed(): one for each life */

static void note_sequence(void *user, const StoreMessage *message)
{
    g_autofree char *text = g_strdup_printf("m%" G_GUINT64_FORMAT, message->sequence);

    g_assert_cmpmem(message->bytes, message->n_bytes, text, strlen(text));
    g_assert_cmpuint(message->delivery_count, <=, message->sequence % 2);
    if (message->delivery_count != message->sequence % 2)
        untold++;
    g_assert_true(g_hash_table_add(user, GSIZE_TO_POINTER(message->sequence))); /* none twice */
}

static void ignore_node(void *user, uint64_t record, const char *name, const void *bytes, size_t n_bytes)
{
    g_assert_cmpstr(name, ==, "q");
}

static void test_killed_at_any_moment_it_keeps_what_it_promised(void)
{
    char *folder = folder_new();
    g_autoptr(GHashTable) promised = g_hash_table_new(NULL, NULL);
    uint64_t sequence = 2, heard;

    for (unsigned round = 0; round < 10; round++) {
        int ends[2];

        g_assert_cmpint(pipe(ends), ==, 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            child_run(folder, ends[1], sequence);
        }
        close(ends[1]);
        unsigned quota = 50 + 531 * round;
        for (unsigned n = 0; read(ends[0], &heard, sizeof heard) == (ssize_t) sizeof heard; n++) {
            if (heard % 2 == 0)
                g_hash_table_add(promised, GSIZE_TO_POINTER(heard));
            if (n == quota)
                kill(pid, SIGKILL);
        }
        close(ends[0]);
        int status;
        waitpid(pid, &status, 0);
        g_assert_true(WIFSIGNALED(status));
        sequence += 100000;

        g_autoptr(GHashTable) found = g_hash_table_new(NULL, NULL);
        g_autoptr(GError) error = NULL;
        Store *store = must_open(folder);
        untold = 0;
        g_assert_true(store_load(store, ignore_node, note_sequence, found, &error));
        g_assert_cmpuint(untold, <=, round + 1);
        store_close(store);
        GHashTableIter iter;
        gpointer one;
        g_hash_table_iter_init(&iter, promised);
        while (g_hash_table_iter_next(&iter, &one, NULL))
            g_assert_true(g_hash_table_contains(found, one));
    }
    folder_remove(folder);
}

/* ---- Damage -------------------------------------------------------------------------------------------------------------- */

/* A log as a killed process leaves it, with @n commits in it; the folder's files without the store having been closed. */
static char *folder_cut_off(unsigned n)
{
    char *folder = folder_new();
    int ends[2], status;
    char byte;

    g_assert_cmpint(pipe(ends), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        Store *store = store_open(folder, NULL, NULL);
        uint64_t q = store_node_put(store, "q", "", 0, NULL, NULL);

        for (unsigned i = 0; i < n; i++) {
            store_put(store, q, i, "x", 1, NULL, NULL);
            store_flush(store, NULL);
        }
        if (write(ends[1], "k", 1) == 1)
            pause();
        _exit(1);
    }
    g_assert_cmpint(read(ends[0], &byte, 1), ==, 1);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    close(ends[0]);
    close(ends[1]);
    return folder;
}

static void file_change(const char *folder, const char *name, int64_t at, const char *bytes, size_t n_bytes, int64_t cut)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    FILE *file = g_fopen(path, "r+");

    g_assert_nonnull(file);
    fseek(file, at >= 0 ? at : 0, at >= 0 ? SEEK_SET : SEEK_END);
    if (at < 0)
        fseek(file, at, SEEK_END);
    fwrite(bytes, 1, n_bytes, file);
    fclose(file);
    if (cut > 0) {
        GStatBuf info;
        g_assert_cmpint(g_stat(path, &info), ==, 0);
        g_assert_cmpint(truncate(path, info.st_size - cut), ==, 0);
    }
}

static void test_a_torn_tail_is_dropped(void)
{
    char *folder = folder_cut_off(5);

    file_change(folder, "bus.db-wal", 0, "", 0, 100);
    Store *store = must_open(folder);
    g_autofree char *all = all_of(store);
    g_assert_cmpstr(all, ==, "q= 0:x#0 1:x#0 2:x#0 3:x#0");
    store_close(store);
    folder_remove(folder);
}

static void test_damage_in_what_was_safe_is_told(void)
{
    char *folder = folder_cut_off(20);
    g_autoptr(GError) error = NULL;

    file_change(folder, "bus.db-wal", 32 + 24 + 4120 * 3 + 4000, "damage", 6, 0);
    g_assert_null(store_open(folder, NULL, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_DAMAGED);
    g_assert_nonnull(strstr(error->message, "offset"));
    folder_remove(folder);
}

static void test_damaged_message_and_database_are_told(void)
{
    char *folder = folder_cut_off(3);
    g_autoptr(GError) error = NULL, again = NULL;
    g_autofree char *db = g_build_filename(folder, "bus.db", NULL), *contents = NULL;
    size_t n_bytes;

    store_close(must_open(folder)); /* the log is in the database now */
    g_assert_true(g_file_get_contents(db, &contents, &n_bytes, NULL));
    file_change(folder, "bus.db", (int64_t) n_bytes - 4096 * 2, "damaged", 7, 0);
    Store *store = store_open(folder, NULL, &error);
    GString *text = g_string_new(NULL);
    if (store != NULL)
        g_assert_false(store_load(store, note_node, note_message, text, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_DAMAGED);
    g_string_free(text, TRUE);
    store_close(store);

    file_change(folder, "bus.db", 0, "no database at all, sorry", 25, 0);
    g_assert_null(store_open(folder, NULL, &again));
    g_assert_error(again, STORE_ERROR, STORE_ERROR_DAMAGED);
    g_assert_nonnull(strstr(again->message, "bus.db"));
    folder_remove(folder);
}

static void test_a_newer_form_is_refused(void)
{
    char *folder = folder_new();
    g_autoptr(GError) error = NULL;

    store_close(must_open(folder));
    file_change(folder, "bus.db", 60, "\0\0\0\x63", 4, 0); /* user_version */
    g_assert_null(store_open(folder, NULL, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_VERSION);
    folder_remove(folder);
}

/* MEND_BENCH=1: figures for docs/decisions. */
static void test_speed(void)
{
    if (g_getenv("MEND_BENCH") == NULL) {
        g_test_skip("set MEND_BENCH=1");
        return;
    }
    char *folder = folder_new();
    char bytes[100] = "";
    Store *store = must_open(folder);
    uint64_t q = store_node_put(store, "q", "", 0, NULL, NULL);
    const unsigned windows[] = { 1, 10, 100, 1000, 10000 };
    for (unsigned w = 0; w < G_N_ELEMENTS(windows); w++) {
        unsigned n = 300 * windows[w] < 600000 ? 300 * windows[w] : 600000;
        int64_t start_us = g_get_monotonic_time();
        uint64_t first = 0, record = 0;

        for (unsigned i = 0; i < n; i++) {
            record = store_put(store, q, i, bytes, sizeof bytes, NULL, NULL);
            first = first == 0 ? record : first;
            if (i >= 20000)
                store_forget(store, first + i - 20000);
            if (i % windows[w] == windows[w] - 1)
                store_flush(store, NULL);
        }
        g_test_message("window %u: %.0f puts/s", windows[w], n * 1e6 / (double) (g_get_monotonic_time() - start_us));
        for (uint64_t r = first; r <= record; r++)
            store_forget(store, r);
    }
    store_close(store);
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/order", test_what_was_put_is_there_again_in_order);
    g_test_add_func("/store/forget", test_forgotten_messages_and_nodes_stay_away);
    g_test_add_func("/store/counts", test_counts_survive_until_settled);
    g_test_add_func("/store/power-loss", test_after_a_power_loss_everything_counts_as_tried);
    g_test_add_func("/store/state", test_state_is_the_last_value);
    g_test_add_func("/store/busy", test_a_folder_belongs_to_one_broker);
    g_test_add_func("/store/limit", test_over_its_limit_it_refuses_and_forgetting_helps);
    g_test_add_func("/store/killed", test_killed_at_any_moment_it_keeps_what_it_promised);
    g_test_add_func("/store/torn", test_a_torn_tail_is_dropped);
    g_test_add_func("/store/damaged", test_damage_in_what_was_safe_is_told);
    g_test_add_func("/store/damaged-database", test_damaged_message_and_database_are_told);
    g_test_add_func("/store/newer", test_a_newer_form_is_refused);
    g_test_add_func("/store/speed", test_speed);
    return g_test_run();
}
