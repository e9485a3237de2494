/* The processes of leases, for tests: a VM is a process whose number is in file VM of $LEASE_STAND_VMS. */
#include "agents/host/storage/lease_guard.h"
#include "agents/host/storage/lease_keeper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static bool kill_vm(const char *vm)
{
    g_autofree char *path = g_build_filename(g_getenv("LEASE_STAND_VMS"), vm, NULL), *text = NULL;
    int pid = g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;

    return pid <= 1 || kill((pid_t) pid, SIGKILL) != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], LEASE_KEEPER_VERB) == 0)
        return lease_keeper_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], LEASE_FREE_VERB) == 0)
        return lease_free_main(argc - 1, argv + 1);
    return argc > 1 && strcmp(argv[1], LEASE_GUARD_VERB) == 0 ? lease_guard_main(argc - 1, argv + 1, kill_vm) : 2;
}
