#include "agents/host/storage/lease_guard.h"

#include "agents/host/storage/lease_file.h"
#include "agents/host/storage/lease_keeper.h"
#include "agents/host/storage/lease_table.h"
#include "lib/base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOK_US_MAX (500 * US_PER_MS)
#define LOOK_US_MIN (10 * US_PER_MS)

typedef struct Guard {
    LeaseTable *table;
    LeaseKillFn kill_vm;
    int64_t margin_us;
    pid_t agent;
    char **free;            /* the arguments of LEASE_FREE_VERB, without the VM; NULL: nothing to free */
    bool ended[LEASES_MAX]; /* told already */
    bool freed[LEASES_MAX];
} Guard;

/* Asks the storage, so it is another process, and not waited for. */
static void give_back(Guard *g, unsigned i, char *vm)
{
    char *argv[10] = { (char *) "/proc/self/exe", (char *) LEASE_FREE_VERB };

    if (g->free == NULL || g->freed[i] || getppid() == g->agent)
        return;
    g->freed[i] = true;
    for (int k = 0; k < 6; k++)
        argv[2 + k] = g->free[k];
    argv[8] = vm;
    if (fork() == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
}

/* True: a VM may still be running for whom somebody must look at the clock. */
static bool look(Guard *g)
{
    bool any = false;

    for (unsigned i = 0; i < LEASES_MAX; i++) {
        char vm[37];
        int64_t until_us;
        bool gone;

        if (!lease_table_at(g->table, i, vm, &until_us))
            continue;
        if (lease_now_us() < until_us - g->margin_us) {
            any = true;
            g->ended[i] = g->freed[i] = false;
            continue;
        }
        gone = g->kill_vm(vm);
        any = any || !gone;
        if (!g->ended[i])
            log_error("lease of VM %s was not renewed in time: %s", vm, gone ? "it does not run here" : "killed");
        g->ended[i] = true;
        if (gone)
            give_back(g, i, vm);
    }
    return any;
}

static bool locked(const char *folder)
{
    g_autofree char *path = g_build_filename(folder, "lease-guard.lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0; /* kept open until the process ends */
}

int lease_guard_main(int argc, char **argv, LeaseKillFn kill_vm)
{
    g_autoptr(GError) error = NULL;
    Guard guard = { .kill_vm = kill_vm, .agent = getppid(), .free = argc == 9 ? argv + 3 : NULL };

    if ((argc != 3 && argc != 9) || (guard.margin_us = strtoll(argv[2], NULL, 10)) <= 0) {
        fprintf(stderr, "mend-host " LEASE_GUARD_VERB " FOLDER MARGIN_US …: a part of mend-host, not to be started by hand\n");
        return 2;
    }
    log_open("mend-lease-guard", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGTERM, SIG_IGN); /* the agent may be told to end; its VMs run on, until their time is over */
    setsid();
    if (!locked(argv[1])) {
        printf("busy\n");
        return 0;
    }
    guard.table = lease_table_open(argv[1], true, &error);
    if (guard.table == NULL) {
        log_error("%s", error->message);
        return 1;
    }
    (void) !mlockall(MCL_CURRENT | MCL_FUTURE);
    printf("ready\n");
    fflush(stdout);
    while (look(&guard) || getppid() == guard.agent)
        g_usleep((gulong) CLAMP(guard.margin_us / 4, LOOK_US_MIN, LOOK_US_MAX));
    lease_table_close(guard.table);
    return 0;
}
