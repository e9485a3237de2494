/* Commands for one lease are done one after the other, in order, in a thread of its own, as taking one waits: a release that a take overtakes
 * would give away what was just taken. One lock for each lease is held across its I/O, so nothing is renewed and released at once. The renewing thread goes through them one after the other: storage that answers does so in milliseconds, and storage
 * that does not lets every VM's time run out, which is what must happen. */
#include "agents/host/storage/lease_keeper.h"

#include "agents/host/storage/lease_back.h"
#include "agents/host/storage/lease_table.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef struct Keeper {
    LeaseBack *back;
    const char *host;
    int64_t pause_us; /* between two looks */
    LeaseTable *table;
    GMutex lock;      /* of @entries, @table, and each entry's @commands */
    GHashTable *entries; /* VM → Entry; never removed */
    gint again;       /* atomic */
} Keeper;

typedef struct Entry {
    Keeper *keeper;
    GQueue commands; /* that wait */
    bool busy;       /* a thread does them */
    GMutex io;       /* of all below; held while the storage is asked */
    LeaseSeat seat;
    const char *told;  /* what was said of it */
    char told_owner[37];
} Entry;

typedef struct Command {
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
        g_strlcpy(entry->seat.vm, vm, sizeof entry->seat.vm);
        g_mutex_init(&entry->io);
        g_hash_table_insert(k->entries, entry->seat.vm, entry);
    }
    g_mutex_unlock(&k->lock);
    return entry;
}

static bool set_until(Entry *e, int64_t until_us)
{
    g_mutex_lock(&e->keeper->lock);
    bool ok = lease_table_set(e->keeper->table, e->seat.vm, until_us);
    g_mutex_unlock(&e->keeper->lock);
    return ok;
}

/* Only ever earlier: the time of a lease that an earlier keeper held is not made longer by a guess. */
static void bound(Entry *e, int64_t until_us)
{
    g_mutex_lock(&e->keeper->lock);
    int64_t now_us = lease_table_until_us(e->keeper->table, e->seat.vm);

    if (now_us == 0 || until_us < now_us)
        lease_table_set(e->keeper->table, e->seat.vm, until_us);
    g_mutex_unlock(&e->keeper->lock);
}

static void clear_until(Entry *e)
{
    g_mutex_lock(&e->keeper->lock);
    lease_table_clear(e->keeper->table, e->seat.vm);
    g_mutex_unlock(&e->keeper->lock);
}

/* ---- watching ---- */

static void tell_seen(Entry *e)
{
    static const char *const names[] = { NULL, "held", "expired", "released" };
    const char *says = names[e->keeper->back->class->look(e->keeper->back, &e->seat)], *owner = e->seat.owner;

    if (says == NULL || strcmp(owner, e->keeper->host) == 0 || (e->told == says && strcmp(e->told_owner, owner) == 0))
        return;
    e->told = says;
    g_strlcpy(e->told_owner, owner, sizeof e->told_owner);
    say("seen %s %s %s", e->seat.vm, says, owner);
}

static void renew(Entry *e)
{
    LeaseOutcome outcome = e->keeper->back->class->renew(e->keeper->back, &e->seat);

    if (outcome == LEASE_FILE_TAKEN) {
        set_until(e, e->seat.until_us);
    } else if (outcome != LEASE_FILE_FAILED) {
        e->seat.held = false;
        say("lost %s", e->seat.vm);
    }
}

static void look(Entry *e, bool again)
{
    g_mutex_lock(&e->io);
    if (again)
        e->told = NULL;
    if (e->seat.held)
        renew(e);
    else
        tell_seen(e);
    g_mutex_unlock(&e->io);
}

static void on_found(void *user, const char *vm) { entry_of(user, vm); }

static void look_at_all(Keeper *k, bool held)
{
    bool again = !held && g_atomic_int_compare_and_exchange(&k->again, 1, 0);

    g_mutex_lock(&k->lock);
    g_autoptr(GList) all = g_hash_table_get_values(k->entries);
    g_mutex_unlock(&k->lock);
    for (GList *l = all; l != NULL; l = l->next) {
        Entry *e = l->data;

        if (e->seat.held == held) /* looked at again under its lock */
            look(e, again);
    }
}

static void *renew_all(void *user)
{
    Keeper *k = user;

    for (;;) {
        look_at_all(k, true);
        g_usleep((gulong) k->pause_us);
    }
    return NULL;
}

static void *watch_all(void *user)
{
    Keeper *k = user;

    for (;;) {
        k->back->class->find(k->back, on_found, k);
        look_at_all(k, false);
        g_usleep((gulong) k->pause_us);
    }
    return NULL;
}

/* ---- commands ---- */

static void take(Entry *e)
{
    g_autoptr(GError) error = NULL;
    LeaseSeat *seat = &e->seat;

    if (seat->held) {
        say("taken %s", seat->vm);
        return;
    }
    if (seat->owner[0] != '\0') /* that it is over is proof, and not to be seen any more once it is ours */
        tell_seen(e);
    switch (e->keeper->back->class->take(e->keeper->back, seat, &error)) {
    case LEASE_FILE_TAKEN:
        seat->held = set_until(e, seat->until_us);
        say(seat->held ? "taken %s" : "failed %s the host has too many leases", seat->vm);
        break;
    case LEASE_FILE_HELD: say("held %s %s %s", seat->vm, seat->owner, seat->live ? "live" : "silent"); break;
    case LEASE_FILE_LOST: say("failed %s the storage was too slow: the lease was over before it was taken", seat->vm); break;
    case LEASE_FILE_LATER: say("later %s %s", seat->vm, error->message); break;
    default: say("failed %s %s", seat->vm, error != NULL ? error->message : "the storage failed"); break;
    }
}

/* The VM is gone from here: its time ends first, for a guard that looks in between finds nothing to end. */
static void give(Entry *e, const char *to)
{
    g_autoptr(GError) error = NULL;
    bool ok;

    clear_until(e);
    ok = e->keeper->back->class->give(e->keeper->back, &e->seat, to, &error);
    e->seat.held = false;
    if (ok)
        say("%s %s", to != NULL ? "handed" : "released", e->seat.vm);
    else
        say("failed %s %s", e->seat.vm, error->message);
}

static void do_command(Entry *e, const Command *c)
{
    g_mutex_lock(&e->io);
    if (strcmp(c->verb, "take") == 0)
        take(e);
    else if (strcmp(c->verb, "release") == 0)
        give(e, NULL);
    else if (strcmp(c->verb, "hand") == 0 && c->argument != NULL)
        give(e, c->argument);
    else if (strcmp(c->verb, "forget") == 0 && !e->seat.held)
        clear_until(e);
    else if (strcmp(c->verb, "bound") == 0 && c->argument != NULL && !e->seat.held)
        bound(e, strtoll(c->argument, NULL, 10));
    g_mutex_unlock(&e->io);
}

static Command *next_command(Entry *e)
{
    g_mutex_lock(&e->keeper->lock);
    Command *c = g_queue_pop_head(&e->commands);

    e->busy = c != NULL;
    g_mutex_unlock(&e->keeper->lock);
    return c;
}

static void *run(void *user)
{
    Entry *e = user;
    Command *c;

    while ((c = next_command(e)) != NULL) {
        do_command(e, c);
        g_free(c->verb);
        g_free(c->argument);
        g_free(c);
    }
    return NULL;
}

static void command(Keeper *k, char *line)
{
    g_auto(GStrv) words = g_strsplit(g_strchomp(line), " ", 4);
    g_autofree char *vm = words[0] != NULL && words[1] != NULL ? uuid_canonical(words[1]) : NULL;
    Entry *e = vm != NULL ? entry_of(k, vm) : NULL;
    Command *c;
    bool busy;

    if (g_strcmp0(words[0], "again") == 0)
        g_atomic_int_set(&k->again, 1);
    if (vm != NULL && e == NULL)
        say("failed %s more than %d leases", vm, LEASES_MAX);
    if (e == NULL)
        return;
    c = g_new(Command, 1);
    *c = (Command) { g_strdup(words[0]), g_strdup(words[2]) };
    g_mutex_lock(&k->lock);
    g_queue_push_tail(&e->commands, c);
    busy = e->busy;
    e->busy = true;
    g_mutex_unlock(&k->lock);
    if (!busy)
        g_thread_unref(g_thread_new("lease", run, e));
}

static LeaseBack *back_open(char **argv, LeaseBackOptions *ret, GError **error)
{
    const LeaseBackClass *class;
    int64_t io_max_us = strtoll(argv[5], NULL, 10);

    *ret = (LeaseBackOptions) { argv[1], argv[2], argv[3], { strtoll(argv[4], NULL, 10), io_max_us, 2 * io_max_us } };
    class = lease_back_times(argv[6], &ret->times, error) ? lease_back_find(argv[6], error) : NULL;
    return class != NULL ? class->open(ret, error) : NULL;
}

int lease_free_main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    LeaseBackOptions options;
    LeaseSeat seat = { .ended = true };
    LeaseBack *back;

    if (argc != 8)
        return 2;
    alarm(60); /* nobody waits for it */
    back = back_open(argv, &options, &error);
    g_strlcpy(seat.vm, argv[7], sizeof seat.vm);
    if (back == NULL || !back->class->give(back, &seat, NULL, &error)) {
        fprintf(stderr, "mend-host " LEASE_FREE_VERB " %s: %s\n", seat.vm, error->message);
        return 1;
    }
    back->class->close(back);
    return 0;
}

int lease_keeper_main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    LeaseBackOptions options;
    Keeper k = { 0 };
    char line[256];

    if (argc != 7) {
        fprintf(stderr, "mend-host " LEASE_KEEPER_VERB ": a part of mend-host, not to be started by hand\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    k.back = back_open(argv, &options, &error);
    k.table = k.back != NULL ? lease_table_open(options.data, true, &error) : NULL;
    if (k.table == NULL) {
        fprintf(stderr, "mend-host " LEASE_KEEPER_VERB ": %s\n", error->message);
        return 1;
    }
    k.host = options.host;
    k.pause_us = options.times.valid_us / 8;
    k.entries = g_hash_table_new(g_str_hash, g_str_equal);
    g_thread_unref(g_thread_new("renew", renew_all, &k));
    g_thread_unref(g_thread_new("watch", watch_all, &k));
    while (fgets(line, sizeof line, stdin) != NULL)
        command(&k, line);
    fflush(stdout);
    _exit(0);
}
