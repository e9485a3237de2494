/* A command has a thread of its own, as taking a lease waits; one lock for each lease is held across its I/O, so nothing is renewed and
 * released at once. The renewing thread goes through them one after the other: storage that answers does so in milliseconds, and storage
 * that does not lets every VM's time run out, which is what must happen. */
#include "agents/host/storage/lease_keeper.h"

#include "agents/host/storage/block.h"
#include "agents/host/storage/lease_file.h"
#include "agents/host/storage/lease_table.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PREFIX "lease-"

typedef struct Keeper {
    const char *folder, *host;
    LeaseTimes times;
    LeaseTable *table;
    GMutex lock;      /* of @entries, @table */
    GHashTable *entries; /* VM → Entry; never removed */
    gint again;       /* atomic */
} Keeper;

typedef struct Entry {
    Keeper *keeper;
    char vm[UUID_TEXT_SIZE];
    GMutex io; /* of all below; held while the storage is asked */
    bool watched, live, held;
    LeaseBlock block;  /* as last read or written */
    int64_t since_us;  /* when it was seen to change */
    int64_t until_us;  /* held: for so long */
    char owner[37];    /* before it was free */
    const char *told;  /* what was said of it */
    char told_owner[37];
} Entry;

typedef struct Command {
    Entry *entry;
    char *verb, *argument;
} Command;

G_GNUC_PRINTF(1, 2) static void say(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    g_autofree char *line = g_strdup_vprintf(format, list);
    va_end(list);
    g_strdelimit(line, "\n", ' ');
    printf("%s\n", line); /* one call: lines of several threads do not mix */
    if (fflush(stdout) != 0)
        _exit(0);
}

static Entry *entry_of(Keeper *k, const char *vm)
{
    g_mutex_lock(&k->lock);
    Entry *entry = g_hash_table_lookup(k->entries, vm);

    if (entry == NULL && g_hash_table_size(k->entries) < LEASES_MAX) {
        entry = g_new0(Entry, 1);
        entry->keeper = k;
        g_strlcpy(entry->vm, vm, sizeof entry->vm);
        g_mutex_init(&entry->io);
        g_hash_table_insert(k->entries, entry->vm, entry);
    }
    g_mutex_unlock(&k->lock);
    return entry;
}

static LeaseFile file_of(const Entry *e) { return (LeaseFile) { e->keeper->folder, e->vm, e->keeper->host, e->keeper->times }; }

static bool set_until(Entry *e, int64_t until_us)
{
    g_mutex_lock(&e->keeper->lock);
    bool ok = lease_table_set(e->keeper->table, e->vm, until_us);
    g_mutex_unlock(&e->keeper->lock);
    return ok;
}

/* Only ever earlier: the time of a lease that an earlier keeper held is not made longer by a guess. */
static void bound(Entry *e, int64_t until_us)
{
    g_mutex_lock(&e->keeper->lock);
    int64_t now_us = lease_table_until_us(e->keeper->table, e->vm);

    if (now_us == 0 || until_us < now_us)
        lease_table_set(e->keeper->table, e->vm, until_us);
    g_mutex_unlock(&e->keeper->lock);
}

static void clear_until(Entry *e)
{
    g_mutex_lock(&e->keeper->lock);
    lease_table_clear(e->keeper->table, e->vm);
    g_mutex_unlock(&e->keeper->lock);
}

/* ---- watching ---- */

static void note(Entry *e, const LeaseBlock *found)
{
    bool changed = !e->watched || strcmp(found->owner, e->block.owner) != 0 || found->generation != e->block.generation || found->renewals != e->block.renewals;

    if (!changed)
        return;
    if (e->watched && found->generation < e->block.generation && lease_now_us() - e->since_us < e->keeper->times.valid_us * 9 / 8)
        return; /* written too late: whoever holds it writes over it */
    if (e->watched && strcmp(e->block.owner, "-") != 0)
        g_strlcpy(e->owner, e->block.owner, sizeof e->owner);
    e->live = e->watched && strcmp(found->owner, e->block.owner) == 0;
    e->watched = true;
    e->block = *found;
    e->since_us = lease_now_us();
}

static void tell_seen(Entry *e)
{
    const int64_t valid_us = e->keeper->times.valid_us;
    bool is_free = strcmp(e->block.owner, "-") == 0;
    const char *owner = is_free ? e->owner : e->block.owner;
    const char *says = is_free ? "released" : lease_now_us() - e->since_us > valid_us + valid_us / 8 ? "expired" : "held";

    if (owner[0] == '\0' || strcmp(owner, e->keeper->host) == 0 || (e->told == says && strcmp(e->told_owner, owner) == 0))
        return;
    e->told = says;
    g_strlcpy(e->told_owner, owner, sizeof e->told_owner);
    say("seen %s %s %s", e->vm, says, owner);
}

static void renew(Entry *e)
{
    const LeaseFile file = file_of(e);
    LeaseOutcome outcome = lease_file_renew(&file, &e->block, e->until_us, &e->until_us, NULL);

    if (outcome == LEASE_FILE_TAKEN) {
        set_until(e, e->until_us);
    } else if (outcome != LEASE_FILE_FAILED) {
        e->held = false;
        say("lost %s", e->vm);
    }
}

static void look(Entry *e, bool again)
{
    const LeaseFile file = file_of(e);
    LeaseBlock found;

    g_mutex_lock(&e->io);
    if (again)
        e->told = NULL;
    if (e->held)
        renew(e);
    else if (lease_file_read(&file, &found, NULL)) {
        note(e, &found);
        tell_seen(e);
    }
    g_mutex_unlock(&e->io);
}

static void find_others(Keeper *k)
{
    g_autofree char *place = g_build_filename(k->folder, BLOCK_FOLDER, NULL);
    g_autoptr(GDir) dir = g_dir_open(place, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *vm = g_str_has_prefix(name, PREFIX) ? uuid_canonical(name + strlen(PREFIX)) : NULL;

        if (vm != NULL && strcmp(vm, name + strlen(PREFIX)) == 0)
            entry_of(k, vm);
    }
}

static void look_at_all(Keeper *k, bool held)
{
    bool again = !held && g_atomic_int_compare_and_exchange(&k->again, 1, 0);

    g_mutex_lock(&k->lock);
    g_autoptr(GList) all = g_hash_table_get_values(k->entries);
    g_mutex_unlock(&k->lock);
    for (GList *l = all; l != NULL; l = l->next) {
        Entry *e = l->data;

        if (e->held == held) /* looked at again under its lock */
            look(e, again);
    }
}

static void *renew_all(void *user)
{
    Keeper *k = user;

    for (;;) {
        look_at_all(k, true);
        g_usleep((gulong) k->times.valid_us / 8);
    }
    return NULL;
}

static void *watch_all(void *user)
{
    Keeper *k = user;

    for (;;) {
        find_others(k);
        look_at_all(k, false);
        g_usleep((gulong) k->times.valid_us / 8);
    }
    return NULL;
}

/* ---- commands ---- */

static void take(Entry *e)
{
    const LeaseFile file = file_of(e);
    g_autoptr(GError) error = NULL;
    LeaseBlock block, watched = e->block;
    int64_t until_us = 0;

    if (e->held) {
        say("taken %s", e->vm);
        return;
    }
    if (e->watched) /* that it is over is proof, and not to be seen any more once it is ours */
        tell_seen(e);
    switch (lease_file_take(&file, e->watched ? &watched : NULL, e->since_us, &block, &until_us, &error)) {
    case LEASE_FILE_TAKEN:
        e->block = block;
        e->watched = true;
        e->since_us = lease_now_us();
        e->until_us = until_us;
        e->held = set_until(e, until_us);
        say(e->held ? "taken %s" : "failed %s the host has too many leases", e->vm);
        break;
    case LEASE_FILE_HELD:
        note(e, &block);
        say("held %s %s %s", e->vm, block.owner, e->live ? "live" : "silent");
        break;
    case LEASE_FILE_LOST: say("failed %s the storage was too slow: the lease was over before it was taken", e->vm); break;
    default: say("failed %s %s", e->vm, error != NULL ? error->message : "the storage failed"); break;
    }
}

/* The VM is gone from here: its time ends first, for a guard that looks in between finds nothing to end. */
static void give(Entry *e, const char *to)
{
    const LeaseFile file = file_of(e);
    g_autoptr(GError) error = NULL;
    bool ok = true, in_time = e->held && lease_now_us() < e->until_us - e->keeper->times.io_max_us;

    e->held = false;
    clear_until(e);
    if (in_time) /* else it may be another's by the time it is written: it runs out by itself */
        ok = to != NULL ? lease_file_hand(&file, to, &error) : lease_file_release(&file, &error);
    if (ok)
        say("%s %s", to != NULL ? "handed" : "released", e->vm);
    else
        say("failed %s %s", e->vm, error->message);
}

static void *run(void *user)
{
    Command *c = user;
    Entry *e = c->entry;

    g_mutex_lock(&e->io);
    if (strcmp(c->verb, "take") == 0)
        take(e);
    else if (strcmp(c->verb, "release") == 0)
        give(e, NULL);
    else if (strcmp(c->verb, "hand") == 0 && c->argument != NULL)
        give(e, c->argument);
    else if (strcmp(c->verb, "forget") == 0 && !e->held)
        clear_until(e);
    else if (strcmp(c->verb, "bound") == 0 && c->argument != NULL && !e->held)
        bound(e, strtoll(c->argument, NULL, 10));
    g_mutex_unlock(&e->io);
    g_free(c->verb);
    g_free(c->argument);
    g_free(c);
    return NULL;
}

static void command(Keeper *k, char *line)
{
    g_auto(GStrv) words = g_strsplit(g_strchomp(line), " ", 4);
    g_autofree char *vm = words[0] != NULL && words[1] != NULL ? uuid_canonical(words[1]) : NULL;
    Entry *e = vm != NULL ? entry_of(k, vm) : NULL;
    Command *c;

    if (g_strcmp0(words[0], "again") == 0)
        g_atomic_int_set(&k->again, 1);
    if (vm != NULL && e == NULL)
        say("failed %s more than %d leases", vm, LEASES_MAX);
    if (e == NULL)
        return;
    c = g_new(Command, 1);
    *c = (Command) { e, g_strdup(words[0]), g_strdup(words[2]) };
    g_thread_unref(g_thread_new("lease", run, c));
}

int lease_keeper_main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    Keeper k = { 0 };
    char line[256];

    if (argc != 6) {
        fprintf(stderr, "mend-host " LEASE_KEEPER_VERB ": a part of mend-host, not to be started by hand\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    k = (Keeper) { .folder = argv[1], .host = argv[2], .times = { .valid_us = strtoll(argv[4], NULL, 10), .io_max_us = strtoll(argv[5], NULL, 10) } };
    k.times.settle_us = 2 * k.times.io_max_us;
    k.table = lease_table_open(argv[3], true, &error);
    if (k.table == NULL || k.times.io_max_us <= 0 || k.times.valid_us < 8 * k.times.io_max_us) {
        fprintf(stderr, "mend-host " LEASE_KEEPER_VERB ": %s\n", error != NULL ? error->message : "times that do not fit");
        return 1;
    }
    k.entries = g_hash_table_new(g_str_hash, g_str_equal);
    g_thread_unref(g_thread_new("renew", renew_all, &k));
    g_thread_unref(g_thread_new("watch", watch_all, &k));
    while (fgets(line, sizeof line, stdin) != NULL)
        command(&k, line);
    fflush(stdout);
    _exit(0);
}
