#include "agents/host/storage/lease_file.h"

#include "agents/host/storage/block.h"
#include "agents/host/storage/place.h"
#include "lib/base/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FORM "mend-lease 1 "
#define FREE "-"

G_DEFINE_QUARK(mend-lease-file-error-quark, lease_file_error)

int64_t lease_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t) t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

static char *path_of(const LeaseFile *l) { return g_strdup_printf("%s/" BLOCK_FOLDER "/lease-%s", l->folder, l->vm); }

static bool io_failed(const LeaseFile *l, const char *what, GError **error)
{
    g_set_error(error, LEASE_FILE_ERROR, LEASE_FILE_ERROR_IO, "lease of %s in %s: %s: %s", l->vm, l->folder, what, g_strerror(errno));
    return false;
}

static bool parse(const LeaseFile *l, const char *block, LeaseBlock *ret, GError **error)
{
    g_autofree char *text = block_read(block);
    char vm[37];

    if (text != NULL && g_str_has_prefix(text, FORM) &&
        sscanf(text + strlen(FORM), "%36s %36s %20" SCNu64 " %20" SCNu64, vm, ret->owner, &ret->generation, &ret->renewals) == 4 && strcmp(vm, l->vm) == 0)
        return true;
    g_set_error(error, LEASE_FILE_ERROR, LEASE_FILE_ERROR_DAMAGED, "%s/" BLOCK_FOLDER "/lease-%s is damaged: nobody may start the VM before a person has "
                "made sure that it runs nowhere, and removed the file", l->folder, l->vm);
    return false;
}

/* A folder that nothing is mounted on shows every lease free, and takes every renewal. */
static bool is_there(const LeaseFile *l, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (l->memory == NULL || place_check(l->folder, l->memory, &why))
        return true;
    g_set_error_literal(error, LEASE_FILE_ERROR, LEASE_FILE_ERROR_IO, why->message);
    return false;
}

static bool read_once(const LeaseFile *l, LeaseBlock *ret, GError **error)
{
    g_autofree char *path = path_of(l);
    char *block;
    bool ok;
    int fd;

    *ret = (LeaseBlock) { .owner = FREE };
    if (!is_there(l, error))
        return false;
    fd = block_open(path, O_RDONLY);
    if (fd < 0 && errno == ENOENT && access(l->folder, X_OK) == 0)
        return true;
    if (fd < 0)
        return io_failed(l, "open", error);
    block = block_memory(1);
    ssize_t n = pread(fd, block, BLOCK_BYTES, 0);
    ok = n == 0 || (n == BLOCK_BYTES ? parse(l, block, ret, error) : io_failed(l, "read", error));
    free(block);
    close(fd);
    return ok;
}

/* Where the storage does not write a block whole for its readers, one that is being written looks damaged for a moment. */
bool lease_file_read(const LeaseFile *l, LeaseBlock *ret, GError **error)
{
    for (int i = 0;; i++) {
        g_autoptr(GError) why = NULL;

        if (read_once(l, ret, &why))
            return true;
        if (i == 3 || !g_error_matches(why, LEASE_FILE_ERROR, LEASE_FILE_ERROR_DAMAGED)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        g_usleep(2000);
    }
}

static bool put(const LeaseFile *l, const LeaseBlock *block, int create /* or 0 */, GError **error)
{
    g_autofree char *path = path_of(l), *folder = g_path_get_dirname(path);
    g_autofree char *text = g_strdup_printf(FORM "%s %s %" PRIu64 " %" PRIu64, l->vm, block->owner, block->generation, block->renewals);
    char *bytes;
    bool ok;
    int fd;

    if (create != 0 && mkdir(folder, 0755) != 0 && errno != EEXIST)
        return io_failed(l, "mkdir", error);
    fd = block_open(path, O_RDWR | create);
    if (fd < 0)
        return io_failed(l, "open", error);
    bytes = block_memory(1);
    block_write(bytes, text);
    ok = (pwrite(fd, bytes, BLOCK_BYTES, 0) == BLOCK_BYTES && fsync(fd) == 0) || io_failed(l, "write", error);
    free(bytes);
    close(fd);
    return ok;
}

static bool in_time(const LeaseFile *l, int64_t begun_us, GError **error)
{
    int64_t took_us = lease_now_us() - begun_us;

    if (took_us <= l->times.io_max_us)
        return true;
    g_set_error(error, LEASE_FILE_ERROR, LEASE_FILE_ERROR_SLOW, "lease of %s in %s: took %d ms, more than the %d ms within which others rely on it", l->vm,
                l->folder, (int) (took_us / US_PER_MS), (int) (l->times.io_max_us / US_PER_MS));
    return false;
}

static bool same(const LeaseBlock *a, const LeaseBlock *b)
{
    return strcmp(a->owner, b->owner) == 0 && a->generation == b->generation && a->renewals == b->renewals;
}

static bool may_take(const LeaseFile *l, const LeaseBlock *found, const LeaseBlock *watched, int64_t since_us)
{
    if (watched != NULL && found->generation < watched->generation)
        return false; /* written too late; its owner writes over it */
    if (strcmp(found->owner, FREE) == 0 || strcmp(found->owner, l->host) == 0)
        return true;
    return watched != NULL && same(found, watched) && lease_now_us() - since_us > l->times.valid_us + l->times.valid_us / 8;
}

LeaseOutcome lease_file_take(const LeaseFile *l, const LeaseBlock *watched, int64_t since_us, LeaseBlock *ret_block, int64_t *ret_until_us, GError **error)
{
    int64_t begun_us = lease_now_us();
    LeaseBlock mine;

    if (!lease_file_read(l, ret_block, error))
        return LEASE_FILE_FAILED;
    if (!may_take(l, ret_block, watched, since_us))
        return LEASE_FILE_HELD;
    mine = (LeaseBlock) { .generation = ret_block->generation + 1 };
    g_strlcpy(mine.owner, l->host, sizeof mine.owner);
    if (!put(l, &mine, O_CREAT, error) || !in_time(l, begun_us, error))
        return LEASE_FILE_FAILED;
    g_usleep((gulong) l->times.settle_us);
    if (!lease_file_read(l, ret_block, error))
        return LEASE_FILE_FAILED;
    *ret_until_us = begun_us + l->times.valid_us;
    if (!same(ret_block, &mine))
        return LEASE_FILE_HELD;
    return lease_now_us() < *ret_until_us ? LEASE_FILE_TAKEN : LEASE_FILE_LOST;
}

LeaseOutcome lease_file_renew(const LeaseFile *l, LeaseBlock *mine, int64_t until_us, int64_t *ret_until_us, GError **error)
{
    int64_t begun_us = lease_now_us();
    LeaseBlock found;

    *ret_until_us = until_us;
    if (begun_us >= until_us)
        return LEASE_FILE_LOST;
    if (!lease_file_read(l, &found, error))
        return lease_now_us() < until_us ? LEASE_FILE_FAILED : LEASE_FILE_LOST;
    mine->generation = MAX(mine->generation, found.generation);
    mine->generation += strcmp(found.owner, l->host) != 0; /* written over by one who came too late */
    mine->renewals = MAX(mine->renewals, found.renewals) + 1;
    if (!put(l, mine, 0, error))
        return lease_now_us() < until_us ? LEASE_FILE_FAILED : LEASE_FILE_LOST;
    if (lease_now_us() >= until_us) /* this write came too late itself */
        return LEASE_FILE_LOST;
    *ret_until_us = begun_us + l->times.valid_us;
    return LEASE_FILE_TAKEN;
}

static bool give(const LeaseFile *l, const char *to, GError **error)
{
    LeaseBlock found;

    if (!lease_file_read(l, &found, error))
        return false;
    if (strcmp(found.owner, l->host) != 0)
        return true;
    g_strlcpy(found.owner, to, sizeof found.owner);
    found.generation += strcmp(to, FREE) != 0; /* a free block that comes too late must not look newer than the next owner's */
    return put(l, &found, 0, error);
}

bool lease_file_release(const LeaseFile *l, GError **error) { return give(l, FREE, error); }

bool lease_file_hand(const LeaseFile *l, const char *to, GError **error) { return give(l, to, error); }
