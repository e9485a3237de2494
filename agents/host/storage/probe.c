#include "agents/host/storage/probe.h"

#include "agents/host/storage/beat.h"
#include "agents/host/storage/place.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define OTHERS_MAX 1024

typedef struct Probe {
    const char *folder, *host, *boot_id;
    char *own, *place; /* FOLDER/.mend/beat-HOST, FOLDER/.mend */
    char *memory;      /* see place.h */
    char *block, *back;
    uint64_t counter;
    const char *failed; /* what did not work */
    char *text;
} Probe;

static bool fail(Probe *p, const char *what)
{
    p->failed = what;
    return false;
}

static bool write_own(Probe *p)
{
    Beat beat = { .counter = ++p->counter, .wall_us = clock_wall_us() };
    int fd = block_open(p->own, O_RDWR | O_CREAT);
    bool ok;

    if (fd < 0)
        return fail(p, "open");
    g_strlcpy(beat.host, p->host, sizeof beat.host);
    g_strlcpy(beat.boot_id, p->boot_id, sizeof beat.boot_id);
    beat_write(&beat, p->block);
    ok = pwrite(fd, p->block, BLOCK_BYTES, 0) == BLOCK_BYTES || fail(p, "write");
    ok = ok && (fsync(fd) == 0 || fail(p, "sync"));
    ok = ok && (pread(fd, p->back, BLOCK_BYTES, 0) == BLOCK_BYTES || fail(p, "read"));
    if (ok && memcmp(p->block, p->back, BLOCK_BYTES) != 0) {
        errno = EIO;
        ok = fail(p, "reads other than was written");
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

static void tell_other(Probe *p, const char *name)
{
    g_autofree char *path = g_build_filename(p->place, name, NULL);
    int fd = block_open(path, O_RDONLY);
    Beat beat;

    if (fd < 0)
        return;
    if (pread(fd, p->back, BLOCK_BYTES, 0) == BLOCK_BYTES && beat_read(p->back, &beat) && strcmp(beat.host, name + strlen(BEAT_PREFIX)) == 0)
        printf("host %s %s %" PRIu64 "\n", beat.host, beat.boot_id, beat.counter);
    close(fd);
}

static void tell_others(Probe *p)
{
    g_autoptr(GDir) dir = g_dir_open(p->place, 0, NULL);
    const char *name;
    unsigned n = 0;

    while (dir != NULL && n < OTHERS_MAX && (name = g_dir_read_name(dir)) != NULL)
        if (g_str_has_prefix(name, BEAT_PREFIX) && strcmp(name + strlen(BEAT_PREFIX), p->host) != 0) {
            tell_other(p, name);
            n++;
        }
}

static void tell_space(const Probe *p)
{
    struct statvfs info;

    if (statvfs(p->folder, &info) == 0)
        printf("space %" PRIu64 " %" PRIu64 "\n", (uint64_t) info.f_bavail * info.f_frsize, (uint64_t) info.f_blocks * info.f_frsize);
}

static bool is_there(Probe *p)
{
    g_autoptr(GError) error = NULL;

    if (place_check(p->folder, p->memory, &error))
        return true;
    if (error->code == PLACE_ERROR_OTHER)
        errno = ENODEV;
    g_free(p->text);
    p->text = g_strdelimit(g_strdup(error->message), "\n", ' ');
    return fail(p, p->text);
}

static void cycle(Probe *p)
{
    int64_t begun_us = clock_now_us();
    struct stat info;
    bool ok = stat(p->folder, &info) == 0 || fail(p, "the folder");

    ok = ok && is_there(p);
    ok = ok && write_own(p);
    int error = errno;
    int64_t took_us = clock_now_us() - begun_us;

    if (ok)
        tell_others(p);
    tell_space(p);
    if (ok)
        printf("beat %" PRId64 "\n", took_us);
    else
        printf("error %d %s: %s\n", error, p->failed, g_strerror(error));
}

/* Another probe of this host, of a later agent, beats in the same place. */
static bool is_replaced(Probe *p)
{
    int fd = block_open(p->own, O_RDONLY);
    Beat beat;
    bool replaced = fd >= 0 && pread(fd, p->back, BLOCK_BYTES, 0) == BLOCK_BYTES && beat_read(p->back, &beat) && beat.counter != p->counter;

    if (fd >= 0)
        close(fd);
    return replaced;
}

int probe_main(int argc, char **argv)
{
    Probe p = { 0 };
    long interval_ms;

    if (argc != 6 || (interval_ms = strtol(argv[4], NULL, 10)) <= 0) {
        fprintf(stderr, "mend-host " PROBE_VERB " FOLDER HOST BOOT INTERVAL_MS DATA: a part of mend-host, not to be started by hand\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    p = (Probe) { .folder = argv[1], .host = argv[2], .boot_id = argv[3] };
    p.place = g_build_filename(p.folder, BLOCK_FOLDER, NULL);
    p.own = g_strconcat(p.place, "/" BEAT_PREFIX, p.host, NULL);
    p.memory = place_memory(argv[5], p.folder);
    p.block = block_memory(2);
    p.back = p.block + BLOCK_BYTES;
    p.counter = (uint64_t) clock_wall_us(); /* beyond that of an earlier process */
    for (bool orphan = false; !orphan || !is_replaced(&p);) {
        cycle(&p);
        orphan = fflush(stdout) != 0 || ferror(stdout) != 0 || orphan;
        g_usleep((gulong) interval_ms * 1000);
    }
    return 0;
}
