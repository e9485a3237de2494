/* Two processes do what must not depend on this one: the keeper asks the storage, the guard looks at the clock. Here is only which VM has a
 * lease: what libvirt and /proc say is here takes one, what they say is gone gives it back. A VM that runs without one (started by hand,
 * or come by a migration, whose lease its old host hands over) gets time to come by it and is ended when it does not. */
#include "agents/host/storage/leases.h"

#include "agents/host/storage/lease_back.h"
#include "agents/host/storage/lease_guard.h"
#include "agents/host/storage/lease_keeper.h"
#include "agents/host/storage/lease_table.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <gio/gio.h>
#include <inttypes.h>
#include <string.h>

#define RESTART_MS 1000
#define SOON_MS 100
#define START_US (30 * US_PER_S) /* from a lease that was taken to its VM in libvirt's list */

typedef enum { NONE, TAKING, HELD, LOST } Holding;

typedef struct Lease {
    Leases *leases;
    char vm[37];
    Holding holding;
    bool seen;            /* it was here */
    bool bound;           /* its guard ends it, lease or not */
    bool arrived;
    int64_t starts_us;    /* it shall be here by then */
    char to[37];          /* the host it moves to */
    LeasesAnswerFn fn;    /* who asked for it */
    void *user;
    guint timer;
    guint retry;          /* another host has it and does not renew it: asked for again until it is over */
    char *why;            /* it was not got yet */
    bool why_held;
} Lease;

typedef struct Child {
    Leases *leases;
    const char *name;
    void (*start)(Leases *leases);
    void (*line)(Leases *leases, char **words);
    GSubprocess *process;
    GDataInputStream *lines;
    GCancellable *cancel;
    guint restart;
} Child;

struct Leases {
    Host *host;
    LeasesOptions options;
    char *folder, *program, *back;
    Child keeper, guard;
    bool guarded;
    GHashTable *all; /* VM → Lease */
    guint timer, soon;
    bool look_again;
    struct Look *look; /* at work */
};

typedef struct Look {
    Leases *leases; /* NULL: gone meanwhile */
    bool (*look)(void *eyes, const char *const *known, GArray *ret);
    void *eyes;
    GPtrArray *known;
    GArray *found;
    bool ok;
} Look;

typedef struct Wanted {
    Leases *leases;
    int (*wanted)(void *eyes, const char *vm);
    void *eyes;
    char vm[37];
    int64_t deadline_us;
    LeasesAnswerFn fn;
    void *user;
    int answer;
} Wanted;

G_DEFINE_QUARK(mend-leases-error-quark, leases_error)

static gboolean on_soon(void *user);
static gboolean on_late(void *user);

static void soon(Leases *l)
{
    if (l->soon == 0)
        l->soon = g_timeout_add(SOON_MS, on_soon, l);
}

/* ---- the processes ---- */

G_GNUC_PRINTF(2, 3) static void ask(Leases *l, const char *format, ...)
{
    GOutputStream *in = l->keeper.process != NULL ? g_subprocess_get_stdin_pipe(l->keeper.process) : NULL;
    va_list list;

    va_start(list, format);
    g_autofree char *line = g_strdup_vprintf(format, list);
    va_end(list);
    /* its reader does nothing but read, so this does not block; one that is gone is started again and told everything */
    if (in != NULL)
        g_output_stream_write_all(in, line, strlen(line), NULL, NULL, NULL);
}

static gboolean on_restart(void *user)
{
    Child *child = user;

    child->restart = 0;
    child->start(child->leases);
    return G_SOURCE_REMOVE;
}

static void child_ended(Child *child)
{
    if (child->cancel != NULL)
        g_cancellable_cancel(child->cancel);
    if (child->process != NULL) /* which ends its reader; GSubprocess itself lives on as long as its process */
        g_output_stream_close(g_subprocess_get_stdin_pipe(child->process), NULL, NULL);
    g_clear_object(&child->cancel);
    g_clear_object(&child->lines);
    g_clear_object(&child->process);
}

static void on_line(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *line = g_data_input_stream_read_line_finish(G_DATA_INPUT_STREAM(source), result, NULL, &error);
    Child *child = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* and @child is gone */
    if (line == NULL) {
        child->restart = g_timeout_add(RESTART_MS, on_restart, child);
        return;
    }
    g_auto(GStrv) words = g_strsplit(line, " ", 4);

    child->line(child->leases, words);
    if (child->lines != NULL)
        g_data_input_stream_read_line_async(child->lines, G_PRIORITY_DEFAULT, child->cancel, on_line, child);
}

static void child_start(Child *child, const char *const *argv)
{
    g_autoptr(GError) error = NULL;

    child_ended(child);
    child->process = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
    if (child->process == NULL) {
        log_error("leases: no %s: %s", child->name, error->message);
        child->restart = g_timeout_add(RESTART_MS, on_restart, child);
        return;
    }
    child->cancel = g_cancellable_new();
    child->lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(child->process));
    g_data_input_stream_read_line_async(child->lines, G_PRIORITY_DEFAULT, child->cancel, on_line, child);
}

static void start_guard(Leases *l)
{
    g_autofree char *margin = g_strdup_printf("%" PRId64, l->options.valid_us / 8);
    g_autofree char *valid = g_strdup_printf("%" PRId64, l->options.valid_us), *io = g_strdup_printf("%" PRId64, l->options.io_max_us);
    const char *const argv[] = { l->program, LEASE_GUARD_VERB, host_data(l->host), margin, l->folder, host_id(l->host), host_data(l->host), valid, io, l->back,
                                 NULL };

    child_start(&l->guard, argv);
}

static void start_keeper(Leases *l)
{
    g_autofree char *valid = g_strdup_printf("%" PRId64, l->options.valid_us), *io = g_strdup_printf("%" PRId64, l->options.io_max_us);
    const char *const argv[] = { l->program, LEASE_KEEPER_VERB, l->folder, host_id(l->host), host_data(l->host), valid, io, l->back, NULL };
    GHashTableIter iter;
    void *value;

    child_start(&l->keeper, argv);
    g_hash_table_iter_init(&iter, l->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Lease *lease = value;

        if (lease->holding == HELD || lease->holding == TAKING) {
            lease->holding = TAKING;
            ask(l, "take %s\n", lease->vm);
        }
    }
}

static void on_guard(Leases *l, char **words)
{
    if (g_strcmp0(words[0], "ready") != 0 && g_strcmp0(words[0], "busy") != 0)
        return;
    if (!l->guarded)
        soon(l);
    l->guarded = true; /* busy: by one of an earlier agent; ours is tried again when it ends, at once */
}

/* ---- telling ---- */

static void tell(Leases *l, const char *vm, const char *says, const char *owner)
{
    Value *values;

    if (!host_is_online(l->host)) /* what is late might be taken for a later run of the VM; it is seen anew at the reconnect */
        return;
    values = value_map();
    value_set(values, "channel", value_string("lease"));
    value_set(values, "says", value_string(says));
    value_set(values, "host", value_string(owner));
    value_set(values, "by", value_string(host_id(l->host)));
    host_tell_happened(l->host, "vm", vm, "evidence", "lease", values);
}

static void on_online(void *user)
{
    Leases *l = user;
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, l->all);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((Lease *) value)->holding == HELD)
            tell(l, ((Lease *) value)->vm, "held", host_id(l->host));
    ask(l, "again\n");
}

/* ---- one lease ---- */

static void answer(Lease *lease, LeasesAnswer what, const char *text)
{
    LeasesAnswerFn fn = g_steal_pointer(&lease->fn);
    g_autofree char *why = g_steal_pointer(&lease->why); /* may be @text */

    if (lease->timer != 0)
        g_source_remove(lease->timer);
    if (lease->retry != 0)
        g_source_remove(lease->retry);
    lease->timer = lease->retry = 0;
    if (fn != NULL)
        fn(lease->user, what, text);
}

static void lease_free(void *data)
{
    Lease *lease = data;

    if (lease->timer != 0)
        g_source_remove(lease->timer);
    if (lease->retry != 0)
        g_source_remove(lease->retry);
    g_free(lease->why);
    g_free(lease);
}

static Lease *lease_of(Leases *l, const char *vm, bool make)
{
    Lease *lease = g_hash_table_lookup(l->all, vm);

    if (lease != NULL || !make)
        return lease;
    lease = g_new0(Lease, 1);
    lease->leases = l;
    g_strlcpy(lease->vm, vm, sizeof lease->vm);
    g_hash_table_insert(l->all, lease->vm, lease);
    return lease;
}

static void set_holding(Lease *lease, Holding holding)
{
    Leases *l = lease->leases;
    bool changes = (lease->holding == HELD) != (holding == HELD);

    lease->holding = holding;
    if (changes && l->options.changed != NULL)
        l->options.changed(l->options.user, lease->vm);
}

/* By lease_now_us(), the guard's clock. */
static void bind_until(Lease *lease, int64_t until_us)
{
    lease->bound = true;
    ask(lease->leases, "bound %s %" PRId64 "\n", lease->vm, until_us);
}

/* The keeper answers: now it is worth all the time there is. */
static void wait_for_it(Lease *lease)
{
    int64_t left_us = lease->starts_us - START_US - clock_now_us();

    g_source_remove(lease->timer);
    lease->timer = g_timeout_add((guint) (MAX(left_us, 0) / US_PER_MS), on_late, lease);
}

static gboolean on_retry(void *user)
{
    Lease *lease = user;

    lease->retry = 0;
    ask(lease->leases, "take %s\n", lease->vm);
    return G_SOURCE_REMOVE;
}

/* @held: by another host. */
static void not_yet(Lease *lease, bool held, char *text /* (transfer full) */)
{
    if (lease->why == NULL)
        wait_for_it(lease);
    g_free(lease->why);
    lease->why = text;
    lease->why_held = held;
    lease->retry = g_timeout_add((guint) (lease->leases->options.valid_us / 16 / US_PER_MS), on_retry, lease);
}

static void on_held_elsewhere(Leases *l, Lease *lease, const char *owner, bool is_live)
{
    g_autofree char *text = g_strdup_printf("host %s holds it%s", owner, is_live ? " and renews it" : ", it does not renew it and it is not over yet");

    if (lease->fn != NULL && !is_live) {
        if (lease->why == NULL)
            tell(l, lease->vm, "held", owner);
        not_yet(lease, true, g_steal_pointer(&text));
        return;
    }
    set_holding(lease, NONE);
    if (lease->seen && is_live && !lease->arrived) {
        log_error("VM %s runs here without its lease, which host %s holds and renews: it is ended here", lease->vm, owner);
        bind_until(lease, 1);
    }
    answer(lease, LEASES_HELD, text);
    tell(l, lease->vm, "held", owner);
}

static void on_keeper(Leases *l, char **words)
{
    Lease *lease = words[0] != NULL && words[1] != NULL ? lease_of(l, words[1], false) : NULL;

    if (g_strcmp0(words[0], "seen") == 0 && g_strv_length(words) == 4) {
        tell(l, words[1], words[2], words[3]);
    } else if (lease == NULL) {
        return;
    } else if (strcmp(words[0], "taken") == 0) {
        set_holding(lease, HELD);
        lease->bound = false;
        tell(l, lease->vm, "held", host_id(l->host));
        answer(lease, LEASES_TAKEN, NULL);
    } else if (strcmp(words[0], "held") == 0 && g_strv_length(words) == 4) {
        on_held_elsewhere(l, lease, words[2], strcmp(words[3], "live") == 0);
    } else if (strcmp(words[0], "later") == 0 && lease->fn != NULL) {
        not_yet(lease, false, g_strjoinv(" ", words + 2));
    } else if (strcmp(words[0], "failed") == 0 || strcmp(words[0], "later") == 0) {
        g_autofree char *text = g_strjoinv(" ", words + 2);

        log_warning("lease of VM %s: %s", lease->vm, text);
        if (lease->holding == TAKING)
            set_holding(lease, NONE);
        answer(lease, LEASES_FAILED, text);
    } else if (strcmp(words[0], "lost") == 0) {
        log_error("lease of VM %s was not renewed in time: its storage does not answer; the VM is ended", lease->vm);
        set_holding(lease, LOST);
        soon(l);
    } else if (strcmp(words[0], "released") == 0 || strcmp(words[0], "handed") == 0) {
        tell(l, lease->vm, "released", host_id(l->host));
        if (lease->holding == NONE && lease->fn == NULL)
            g_hash_table_remove(l->all, lease->vm);
    }
}

static void let_go(Lease *lease)
{
    set_holding(lease, NONE);
    lease->seen = lease->bound = false;
    if (lease->to[0] != '\0')
        ask(lease->leases, "hand %s %s\n", lease->vm, lease->to);
    else
        ask(lease->leases, "release %s\n", lease->vm);
}

/* ---- what is here ---- */

static void is_here(Leases *l, const LeaseVm *found)
{
    const int64_t valid_us = l->options.valid_us;
    Lease *lease = lease_of(l, found->vm, true);

    lease->arrived = found->arrived;
    if (found->waits)
        return;
    lease->seen = true;
    if (lease->holding != NONE)
        return;
    /* one that came gets the time in which its old host's lease runs out, should that host not hand it over */
    if (!lease->bound)
        bind_until(lease, lease_now_us() + (found->arrived ? 2 * valid_us : valid_us + valid_us / 2));
    lease->holding = TAKING;
    ask(l, "take %s\n", lease->vm);
}

static void is_not_here(Lease *lease)
{
    if (lease->holding == LOST || (lease->holding == HELD && (lease->seen || clock_now_us() > lease->starts_us)))
        let_go(lease);
    else if (lease->holding == NONE && lease->bound) {
        lease->bound = lease->seen = false;
        ask(lease->leases, "forget %s\n", lease->vm);
    }
}

static void look_free(void *data)
{
    Look *look = data;

    g_ptr_array_unref(look->known);
    g_array_unref(look->found);
    g_free(look);
}

static void look_done(void *data)
{
    Look *look = data;
    Leases *l = look->leases;
    g_autoptr(GHashTable) here = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GList) all = NULL;

    for (guint i = 0; look->ok && l != NULL && i < look->found->len; i++) {
        const LeaseVm *found = &g_array_index(look->found, LeaseVm, i);

        g_hash_table_add(here, (void *) found->vm);
        if (found->leased)
            is_here(l, found);
    }
    all = l != NULL && look->ok ? g_hash_table_get_values(l->all) : NULL;
    for (GList *item = all; item != NULL; item = item->next) {
        Lease *lease = item->data;

        /* one that was not known when the look began may have started since */
        if (!g_hash_table_contains(here, lease->vm) && g_ptr_array_find_with_equal_func(look->known, lease->vm, g_str_equal, NULL))
            is_not_here(lease);
    }
    if (l != NULL) {
        l->look = NULL;
        if (l->look_again)
            soon(l);
    }
    look_free(look);
}

static void look_work(void *data)
{
    Look *look = data;

    look->ok = look->look(look->eyes, (const char *const *) look->known->pdata, look->found);
}

static void look_now(Leases *l)
{
    Look *look;
    GHashTableIter iter;
    void *vm;

    l->look_again = l->look != NULL;
    if (l->look != NULL || !l->guarded)
        return;
    look = l->look = g_new0(Look, 1);
    look->leases = l;
    look->look = l->options.look;
    look->eyes = l->options.eyes(l->options.user);
    look->known = g_ptr_array_new_null_terminated(16, g_free, TRUE);
    look->found = g_array_new(FALSE, TRUE, sizeof(LeaseVm));
    g_hash_table_iter_init(&iter, l->all);
    while (g_hash_table_iter_next(&iter, &vm, NULL))
        g_ptr_array_add(look->known, g_strdup(vm));
    host_work(l->host, "leases", look_work, look_done, look_free, look);
}

static gboolean on_soon(void *user)
{
    Leases *l = user;

    l->soon = 0;
    look_now(l);
    return G_SOURCE_REMOVE;
}

static gboolean on_timer(void *user)
{
    look_now(user);
    return G_SOURCE_CONTINUE;
}

void leases_look(Leases *l) { soon(l); }

bool leases_has(const Leases *l, const char *vm)
{
    const Lease *lease = g_hash_table_lookup(l->all, vm);

    return lease != NULL && lease->holding == HELD;
}

/* ---- asked for ---- */

static gboolean on_late(void *user)
{
    Lease *lease = user;

    lease->timer = 0;
    if (lease->retry != 0)
        set_holding(lease, NONE);
    if (lease->why != NULL)
        answer(lease, lease->why_held ? LEASES_HELD : LEASES_FAILED, lease->why);
    else
        answer(lease, LEASES_FAILED, "its storage does not answer");
    return G_SOURCE_REMOVE;
}

static void wanted_work(void *data)
{
    Wanted *w = data;

    w->answer = w->wanted(w->eyes, w->vm);
}

static void wanted_done(void *data)
{
    Wanted *w = data;
    Leases *l = w->leases;
    int64_t left_us = w->deadline_us - clock_now_us();
    Lease *lease;

    if (w->answer <= 0 || left_us <= 0 || !l->guarded) {
        w->fn(w->user, w->answer == 0 ? LEASES_NOT_NEEDED : LEASES_FAILED,
              w->answer < 0 ? "libvirt does not say what its disks are" : l->guarded ? "its time is over" : "there is no guard that would end it in time");
    } else if ((lease = lease_of(l, w->vm, true))->fn != NULL) {
        w->fn(w->user, LEASES_FAILED, "it is being taken already");
    } else {
        lease->fn = w->fn;
        lease->user = w->user;
        lease->starts_us = w->deadline_us + START_US;
        lease->timer = g_timeout_add((guint) (MIN(left_us, MAX(l->options.valid_us / 4, 8 * l->options.io_max_us)) / US_PER_MS), on_late, lease);
        lease->seen = false;
        lease->to[0] = '\0';
        lease->holding = TAKING;
        ask(l, "take %s\n", lease->vm);
    }
    g_free(w);
}

void leases_acquire(Leases *l, const char *vm, int64_t deadline_us, LeasesAnswerFn fn, void *user)
{
    Wanted *w = g_new0(Wanted, 1);

    *w = (Wanted) { .leases = l, .wanted = l->options.wanted, .eyes = l->options.eyes(l->options.user), .deadline_us = deadline_us, .fn = fn, .user = user };
    g_strlcpy(w->vm, vm, sizeof w->vm);
    host_work(l->host, NULL, wanted_work, wanted_done, g_free, w);
}

void leases_release(Leases *l, const char *vm)
{
    Lease *lease = lease_of(l, vm, false);

    if (lease != NULL && lease->holding != NONE)
        let_go(lease);
}

void leases_moving(Leases *l, const char *vm, const char *to)
{
    Lease *lease = lease_of(l, vm, false);

    if (lease != NULL)
        g_strlcpy(lease->to, to, sizeof lease->to);
}

/* ---- start ---- */

/* VMs of an earlier agent: here they go on, gone their time in the table must go, or the guard ends the next run of theirs. */
static bool take_over(Leases *l, GError **error)
{
    g_autoptr(LeaseTable) table = lease_table_open(host_data(l->host), true, error);
    char vm[37];
    int64_t until_us;

    for (unsigned i = 0; table != NULL && i < LEASES_MAX; i++)
        if (lease_table_at(table, i, vm, &until_us))
            lease_of(l, vm, true)->bound = true;
    return table != NULL;
}

Leases *leases_new(Host *host, const LeasesOptions *options, GError **error)
{
    const LeaseTimes times = { options->valid_us, options->io_max_us, 0 };
    Leases *l;

    if (lease_back_find(options->back, error) == NULL || !lease_back_times(options->back, &times, error))
        return NULL;
    l = g_new0(Leases, 1);
    l->host = host;
    l->options = *options;
    l->folder = g_strdup(options->folder);
    l->program = g_strdup(options->program);
    l->back = g_strdup(options->back);
    l->all = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, lease_free);
    l->keeper = (Child) { .leases = l, .name = "keeper", .start = start_keeper, .line = on_keeper };
    l->guard = (Child) { .leases = l, .name = "guard", .start = start_guard, .line = on_guard };
    if (!take_over(l, error)) {
        leases_free(l);
        return NULL;
    }
    start_guard(l);
    start_keeper(l);
    l->timer = g_timeout_add((guint) MAX(options->valid_us / 16 / US_PER_MS, 50), on_timer, l);
    host_on_online(host, on_online, l);
    return l;
}

void leases_free(Leases *l)
{
    GHashTableIter iter;
    void *value;

    if (l == NULL)
        return;
    if (l->look != NULL)
        l->look->leases = NULL;
    g_hash_table_iter_init(&iter, l->all);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        answer(value, LEASES_FAILED, "the agent ends");
    if (l->timer != 0)
        g_source_remove(l->timer);
    if (l->soon != 0)
        g_source_remove(l->soon);
    for (Child *child = &l->keeper; child != NULL; child = child == &l->keeper ? &l->guard : NULL) {
        if (child->restart != 0)
            g_source_remove(child->restart);
        child_ended(child);
    }
    g_hash_table_unref(l->all);
    g_free(l->folder);
    g_free(l->program);
    g_free(l->back);
    g_free(l);
}
