/* Leases by sanlock's daemon: a lockspace for each storage, FOLDER/.mend/sanlock/ids, in which every host has a number and renews one block
 * for all it holds; and a resource for each VM, FOLDER/.mend/sanlock/lease-VM. A host whose block stands still for 8 · io_timeout has
 * failed, and is dead for the others after another 60 s (its watchdog's time). The numbers are given out by symbolic links, host-N → UUID,
 * which come whole or not at all.
 *
 * Whose the leases are. sanlock gives them to a process and, when the lockspace fails, ends that process. Here that is the keeper, not
 * QEMU, so ending it would end nothing: it may not be killed, the resources are persistent, and the guard ends the VMs by the time in its
 * table, 7 · io_timeout after the last renewal that the daemon told of (it tells of one when it begins the next, 2 · io_timeout later). That
 * does not need the daemon, which may be what died. As the keeper goes on to use the
 * lockspace until all of its VMs are gone, a VM that cannot be ended lets sanlock's watchdog reset the host, where there is one.
 * A keeper that ends leaves orphans: the host still holds them; the next keeper, or the guard when it has ended the VM (LEASE_FREE_VERB), takes them up.
 *
 * One registered connection serves all VMs, and its calls must not overlap: @lock. Those that ask the daemon anything else use their own. */
#include "agents/host/storage/lease_back.h"

#include "agents/host/storage/block.h"
#include "agents/host/storage/place.h"
#include "lib/base/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <inttypes.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_resource.h>
#include <sanlock_rv.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "lease-"
#define HOSTS_MAX 250        /* of areas of 1 MiB in sectors of 4 KiB, which every disk takes */
#define AREA_BYTES (1 << 20)
#define LOOKS_PER_READ 4     /* an owner is read again when the version changed, or every so many looks: that reads the whole area */

typedef struct SanlockBack {
    LeaseBack base;
    LeaseBackOptions options;
    char *memory, *place;      /* see place.h; FOLDER/.mend/sanlock */
    uint32_t io_timeout_s;
    GMutex lock;               /* of all below */
    int sock;                  /* registered; -1: not */
    char lockspace[SANLK_NAME_LEN]; /* "": not joined */
    uint64_t host_id;
    int64_t offset_us;         /* of lease_now_us() to the clock of sanlock's timestamps, when that was last looked at */
} SanlockBack;

typedef struct Resource { /* with room for its one disk */
    struct sanlk_resource resource;
    struct sanlk_disk disk;
} Resource;
G_STATIC_ASSERT(offsetof(Resource, disk) == sizeof(struct sanlk_resource)); /* its disks[0] */

static bool failed(GError **error, int rv, const char *what)
{
    g_set_error(error, LEASE_BACK_ERROR, rv == -EINPROGRESS ? LEASE_BACK_ERROR_LATER : LEASE_BACK_ERROR_SANLOCK, "sanlock: %s: %s", what, rv > -200 ? g_strerror(-rv) : sanlock_strerror(rv));
    return false;
}

/* ---- files ---- */

/* sanlock's daemon opens them as its own user. */
static void give_to_daemon(const char *path)
{
    struct group *group = getgrnam("sanlock");

    if (group != NULL)
        (void) !chown(path, (uid_t) -1, group->gr_gid);
    (void) !chmod(path, 0660);
}

/* @write: makes the area in the empty file @own. Of several hosts that come at once, one makes it. */
static bool make_area(const char *path, bool (*write)(void *user, const char *own, GError **error), void *user, GError **error)
{
    g_autofree char *id = g_uuid_string_random(), *own = g_strdup_printf("%s.%s", path, id);
    int fd = open(own, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
    bool ok = fd >= 0 && (posix_fallocate(fd, 0, AREA_BYTES) == 0 || failed(error, -ENOSPC, own));

    if (fd < 0)
        return failed(error, -errno, own);
    close(fd);
    give_to_daemon(own);
    ok = ok && write(user, own, error) && (link(own, path) == 0 || errno == EEXIST || failed(error, -errno, path));
    g_unlink(own);
    return ok;
}

static bool write_lockspace(void *user, const char *own, GError **error)
{
    const SanlockBack *b = user;
    struct sanlk_lockspace ls = { .flags = SANLK_LSF_ALIGN1M | SANLK_LSF_SECTOR4K };
    g_autofree char *id_path = g_build_filename(b->options.folder, BLOCK_FOLDER, "id", NULL), *id = NULL;
    int rv;

    if (!g_file_get_contents(id_path, &id, NULL, NULL))
        return failed(error, -ENOENT, id_path);
    g_snprintf(ls.name, sizeof ls.name, "mend-%s", g_strstrip(id));
    g_strlcpy(ls.host_id_disk.path, own, sizeof ls.host_id_disk.path);
    rv = sanlock_write_lockspace(&ls, 0, 0, b->io_timeout_s);
    return rv == 0 || failed(error, rv, "the lockspace cannot be written");
}

/* ---- the host's number ---- */

static char *number_path(const SanlockBack *b, uint64_t n) { return g_strdup_printf("%s/host-%" PRIu64, b->place, n); }

static uint64_t own_number(const SanlockBack *b, GError **error)
{
    uint64_t free_one = 0;

    for (uint64_t n = 1; n <= HOSTS_MAX; n++) {
        g_autofree char *path = number_path(b, n), *whose = g_file_read_link(path, NULL);

        if (g_strcmp0(whose, b->options.host) == 0)
            return n;
        if (whose == NULL && free_one == 0)
            free_one = n;
    }
    for (; free_one != 0 && free_one <= HOSTS_MAX; free_one++) { /* another host may be quicker */
        g_autofree char *path = number_path(b, free_one);

        if (symlink(b->options.host, path) == 0)
            return free_one;
        if (errno != EEXIST)
            break;
    }
    failed(error, free_one == 0 ? -EUSERS : -errno, b->place);
    return 0;
}

static void name_host(const SanlockBack *b, uint64_t n, char ret[37])
{
    g_autofree char *path = number_path(b, n), *whose = g_file_read_link(path, NULL);

    g_strlcpy(ret, whose != NULL ? whose : "", 37);
}

/* ---- the lockspace ---- */

static bool registered(SanlockBack *b, GError **error)
{
    int rv;

    if (b->sock >= 0)
        return true;
    b->sock = sanlock_register();
    if (b->sock < 0)
        return failed(error, b->sock, "its daemon does not answer (is sanlock running?)");
    rv = sanlock_restrict(b->sock, SANLK_RESTRICT_SIGKILL); /* it sends SIGTERM, which we ignore; both restricted means SIGKILL */
    return rv >= 0 || failed(error, rv, "restrict");
}

static bool ask_host(const char *lockspace, uint64_t id, struct sanlk_host *ret)
{
    struct sanlk_host *hosts = NULL;
    int n = 0, rv = sanlock_get_hosts(lockspace, id, &hosts, &n, 0);
    bool ok = rv >= 0 && n == 1;

    if (ok)
        *ret = hosts[0];
    free(hosts);
    return ok;
}

static bool join(SanlockBack *b, GError **error)
{
    g_autofree char *ids = g_build_filename(b->place, "ids", NULL);
    struct sanlk_lockspace ls = { .flags = 0 };
    uint32_t io_timeout_s = 0;
    struct sanlk_host self;
    int rv;

    if (!place_check(b->options.folder, b->memory, error))
        return false;
    if (mkdir(b->place, 0775) != 0 && errno != EEXIST)
        return failed(error, -errno, b->place);
    if (access(ids, F_OK) != 0 && !make_area(ids, write_lockspace, b, error))
        return false;
    if ((b->host_id = own_number(b, error)) == 0)
        return false;
    g_strlcpy(ls.host_id_disk.path, ids, sizeof ls.host_id_disk.path);
    rv = sanlock_read_lockspace(&ls, 0, &io_timeout_s);
    if (rv < 0)
        return failed(error, rv, ids);
    ls.host_id = b->host_id;
    rv = sanlock_inq_lockspace(&ls, 0);
    if (rv == -ENOENT && (rv = sanlock_add_lockspace_timeout(&ls, SANLK_ADD_ASYNC, b->io_timeout_s)) == 0)
        rv = -EINPROGRESS; /* seconds; a minute and more for one whose last life did not end well */
    if (rv == 0 && (!ask_host(ls.name, b->host_id, &self) || self.timestamp == 0))
        rv = -EINPROGRESS; /* it has not renewed it yet */
    if (rv < 0)
        return failed(error, rv, "the host is not in the lockspace yet");
    g_strlcpy(b->lockspace, ls.name, sizeof b->lockspace);
    return true;
}

static bool ready(SanlockBack *b, GError **error)
{
    return registered(b, error) && (b->lockspace[0] != '\0' || join(b, error));
}

/* The daemon was started anew, or let the lockspace go: from the beginning. What the connection held are orphans, if anything. */
static void lose(SanlockBack *b)
{
    if (b->sock >= 0)
        close(b->sock);
    b->sock = -1;
    b->lockspace[0] = '\0';
}

static int64_t offset_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); /* which sanlock's timestamps are seconds of */
    return lease_now_us() - ((int64_t) t.tv_sec * US_PER_S + t.tv_nsec / 1000);
}

/* From our host's last renewal. Had the machine slept since, the two clocks would be further apart now than they were then. */
static bool until(SanlockBack *b, struct sanlk_host *ret_self, int64_t *ret_until_us)
{
    int64_t before_us = b->offset_us;

    b->offset_us = offset_us();
    if (!ask_host(b->lockspace, b->host_id, ret_self) || ret_self->timestamp == 0)
        return false;
    *ret_until_us = (int64_t) ret_self->timestamp * US_PER_S + MIN(before_us, b->offset_us) + b->options.times.valid_us;
    return true;
}

/* ---- resources ---- */

/* Tells that the guard of the host named in it ended the VM. */
static char *mark_of(const SanlockBack *b, const char *vm) { return g_strdup_printf("%s/ended-%s", b->place, vm); }

static bool is_marked(const SanlockBack *b, const LeaseSeat *s)
{
    g_autofree char *path = mark_of(b, s->vm), *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) && strcmp(text, s->owner) == 0;
}

static char *area_of(const SanlockBack *b, const char *vm) { return g_strdup_printf("%s/" PREFIX "%s", b->place, vm); }

static void describe(const SanlockBack *b, const char *vm, const char *path, Resource *ret)
{
    memset(ret, 0, sizeof *ret);
    g_strlcpy(ret->resource.lockspace_name, b->lockspace, sizeof ret->resource.lockspace_name);
    g_strlcpy(ret->resource.name, vm, sizeof ret->resource.name);
    ret->resource.flags = SANLK_RES_PERSISTENT;
    ret->resource.num_disks = 1;
    g_strlcpy(ret->disk.path, path, sizeof ret->disk.path);
}

typedef struct NewArea {
    const SanlockBack *back;
    const char *vm;
} NewArea;

static bool write_resource(void *user, const char *own, GError **error)
{
    const NewArea *area = user;
    Resource r;
    int rv;

    describe(area->back, area->vm, own, &r);
    r.resource.flags = SANLK_RES_ALIGN1M | SANLK_RES_SECTOR4K;
    rv = sanlock_write_resource(&r.resource, 0, 0, 0);
    return rv == 0 || failed(error, rv, own);
}

static bool is_held_elsewhere(int rv)
{
    return rv == SANLK_ACQUIRE_IDLIVE || rv == SANLK_ACQUIRE_OWNED || rv == SANLK_ACQUIRE_OTHER || rv == SANLK_ACQUIRE_OWNED_RETRY || rv == -EAGAIN;
}

static LeaseOutcome acquire(SanlockBack *b, LeaseSeat *s, GError **error)
{
    g_autofree char *path = area_of(b, s->vm), *mark = mark_of(b, s->vm);
    NewArea area = { b, s->vm };
    struct sanlk_resource *all[1];
    struct sanlk_host self;
    Resource r;
    int rv;

    if (access(path, F_OK) != 0 && !make_area(path, write_resource, &area, error))
        return LEASE_FILE_FAILED;
    describe(b, s->vm, path, &r);
    all[0] = &r.resource;
    rv = sanlock_acquire(b->sock, -1, SANLK_ACQUIRE_ORPHAN | SANLK_ACQUIRE_OWNER_NOWAIT, 1, all, NULL);
    if (is_held_elsewhere(rv))
        return LEASE_FILE_HELD;
    if (rv < 0 && rv != -EEXIST) {
        lose(b);
        failed(error, rv == -ENOSPC ? -ENOENT : rv, rv == -ENOSPC ? "the lockspace" : "the lease cannot be taken"); /* ENOSPC: it knows none */
        return LEASE_FILE_FAILED;
    }
    if (!until(b, &self, &s->until_us) || lease_now_us() >= s->until_us)
        return LEASE_FILE_LOST;
    g_unlink(mark);
    s->generation = self.generation;
    g_strlcpy(s->owner, b->options.host, sizeof s->owner);
    return LEASE_FILE_TAKEN;
}

/* The daemon reads the others' blocks when it renews ours: when that was long ago, all others look dead. */
static bool sees(SanlockBack *b)
{
    struct sanlk_host self;
    int64_t until_us;

    return until(b, &self, &until_us) && lease_now_us() < until_us - b->options.times.valid_us / 4;
}

/* Who has it, by what stands on the disk; false: not known, or nobody. */
static LeaseSeen look_at(SanlockBack *b, LeaseSeat *s, bool anew)
{
    g_autofree char *path = area_of(b, s->vm);
    struct sanlk_host *owners = NULL, owner = { 0 };
    int n = 0;
    Resource r;

    describe(b, s->vm, path, &r);
    if (sanlock_read_resource(&r.resource, 0) < 0)
        return LEASE_SEEN_NOTHING;
    if (anew || r.resource.lver != s->version || s->looks++ % LOOKS_PER_READ == 0) {
        s->version = r.resource.lver;
        if (sanlock_read_resource_owners(&r.resource, 0, &owners, &n) < 0)
            return LEASE_SEEN_NOTHING;
        s->block.generation = n > 0 ? owners[0].host_id : 0;
        s->generation = n > 0 ? owners[0].generation : 0;
        if (n > 0)
            name_host(b, owners[0].host_id, s->owner);
        free(owners);
    }
    if (s->owner[0] == '\0' || !sees(b))
        return LEASE_SEEN_NOTHING;
    if (s->block.generation == 0)
        return is_marked(b, s) ? LEASE_SEEN_EXPIRED : LEASE_SEEN_RELEASED;
    if (!ask_host(b->lockspace, s->block.generation, &owner)) /* not seen alive since we look: not known yet whether it is */
        return LEASE_SEEN_NOTHING;
    s->live = (owner.flags & SANLK_HOST_MASK) == SANLK_HOST_LIVE && owner.generation == s->generation;
    if (owner.generation != s->generation)
        return LEASE_SEEN_EXPIRED;
    switch (owner.flags & SANLK_HOST_MASK) {
    case SANLK_HOST_FREE:
    case SANLK_HOST_DEAD: return LEASE_SEEN_EXPIRED;
    default: return LEASE_SEEN_HELD;
    }
}

/* ---- the interface ---- */

static LeaseBack *sanlock_open(const LeaseBackOptions *options, GError **error)
{
    SanlockBack *b = g_new0(SanlockBack, 1);

    b->base.class = &lease_back_sanlock;
    b->options = *options;
    b->memory = place_memory(options->data, options->folder);
    b->place = g_build_filename(options->folder, BLOCK_FOLDER, "sanlock", NULL);
    b->io_timeout_s = (uint32_t) (options->times.valid_us / 8 / US_PER_S);
    b->sock = -1;
    b->offset_us = offset_us();
    g_mutex_init(&b->lock);
    signal(SIGTERM, SIG_IGN);
    return &b->base;
}

static void sanlock_close(LeaseBack *back)
{
    SanlockBack *b = (SanlockBack *) back;

    lose(b);
    g_mutex_clear(&b->lock);
    g_free(b->memory);
    g_free(b->place);
    g_free(b);
}

static void sanlock_find(LeaseBack *back, void (*found)(void *user, const char *vm), void *user)
{
    SanlockBack *b = (SanlockBack *) back;
    g_autoptr(GDir) dir = g_dir_open(b->place, 0, NULL);
    struct sanlk_host self;
    const char *name;

    g_mutex_lock(&b->lock);
    if (b->lockspace[0] != '\0' && !ask_host(b->lockspace, b->host_id, &self))
        lose(b);
    ready(b, NULL); /* a host that joins early can judge others early */
    g_mutex_unlock(&b->lock);
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *vm = g_str_has_prefix(name, PREFIX) ? uuid_canonical(name + strlen(PREFIX)) : NULL;

        if (vm != NULL && strcmp(vm, name + strlen(PREFIX)) == 0)
            found(user, vm);
    }
}

static LeaseSeen sanlock_look(LeaseBack *back, LeaseSeat *s)
{
    SanlockBack *b = (SanlockBack *) back;
    LeaseSeen seen;

    g_mutex_lock(&b->lock);
    seen = ready(b, NULL) ? look_at(b, s, false) : LEASE_SEEN_NOTHING;
    g_mutex_unlock(&b->lock);
    return seen;
}

static LeaseOutcome sanlock_take(LeaseBack *back, LeaseSeat *s, GError **error)
{
    SanlockBack *b = (SanlockBack *) back;
    LeaseOutcome outcome = LEASE_FILE_FAILED;
    g_autoptr(GError) why = NULL;

    g_mutex_lock(&b->lock);
    if (ready(b, &why))
        outcome = acquire(b, s, error);
    else if (g_error_matches(why, LEASE_BACK_ERROR, LEASE_BACK_ERROR_LATER))
        outcome = LEASE_FILE_LATER;
    if (why != NULL)
        g_propagate_error(error, g_steal_pointer(&why));
    if (outcome == LEASE_FILE_HELD)
        look_at(b, s, true);
    g_mutex_unlock(&b->lock);
    return outcome;
}

/* A host that was away and came back has another generation, and nothing it had before. */
static LeaseOutcome sanlock_renew(LeaseBack *back, LeaseSeat *s)
{
    SanlockBack *b = (SanlockBack *) back;
    int64_t until_us = s->until_us;
    struct sanlk_host self;
    bool ok, same;

    g_mutex_lock(&b->lock);
    ok = b->sock >= 0 && b->lockspace[0] != '\0' && until(b, &self, &until_us);
    same = ok && self.generation == s->generation;
    g_mutex_unlock(&b->lock);
    if (same)
        s->until_us = until_us;
    return (ok && !same) || lease_now_us() >= s->until_us ? LEASE_FILE_LOST : same ? LEASE_FILE_TAKEN : LEASE_FILE_FAILED;
}

/* sanlock knows itself whether the lease is still ours, so one that was lost is given back as well: its time may have been over only because
 * the daemon did not answer. */
static bool sanlock_give(LeaseBack *back, LeaseSeat *s, const char *to, GError **error)
{
    SanlockBack *b = (SanlockBack *) back;
    g_autofree char *path = area_of(b, s->vm), *mark = mark_of(b, s->vm);
    struct sanlk_resource *all[1];
    Resource r;
    int rv = 0;
    bool ok;

    g_mutex_lock(&b->lock);
    ok = ready(b, error);
    describe(b, s->vm, path, &r);
    all[0] = &r.resource;
    if (ok && s->ended)
        ok = g_file_set_contents(mark, b->options.host, -1, error);
    if (ok) {
        rv = sanlock_release(b->sock, -1, 0, 1, all);
        if (rv < 0)
            rv = sanlock_release(b->sock, -1, SANLK_REL_ORPHAN, 1, all);
        ok = rv >= 0 || rv == -ENOENT || failed(error, rv, "the lease cannot be given back");
    }
    g_mutex_unlock(&b->lock);
    return ok;
}

const LeaseBackClass lease_back_sanlock = { "sanlock", sanlock_open, sanlock_close, sanlock_find, sanlock_look, sanlock_take, sanlock_renew, sanlock_give };
