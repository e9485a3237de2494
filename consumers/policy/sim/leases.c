/* Leases of VMs on shared storage: taken before a VM starts, renewed by its host's agent, given back when it has ended, handed over when it
 * migrates. A host that cannot renew ends the VM before the lease is anybody's: its agent does, or, when that is dead, the guard it left
 * behind, or, when the kernel hangs, the watchdog. */
#include "consumers/policy/sim/world.h"

#include <string.h>

#define WATCHED_US (20 * US_PER_S) /* others look at a lease that is not renewed, and say what they see */

bool vm_lease_free(const World *w, const Vm *vm, const Host *for_host)
{
    return !vm->lease || vm->lease_host == NULL || vm->lease_host == for_host || vm->lease_until_us <= w->now_us;
}

void vm_lease_tell(World *w, Vm *vm, const char *says, const Host *holder)
{
    for (unsigned i = 0; i < w->n_hosts; i++) {
        Host *host = &w->hosts[i];
        Fact fact = { .kind = "vm.evidence", .channel = "lease", .says = says, .host = holder, .by = host };

        if (host == holder || host->agent.link != LINK_UP || !host_has_storage(w, host, vm->storage))
            continue;
        g_strlcpy(fact.boot_id, host->boot_id, sizeof fact.boot_id);
        agent_say(w, &host->agent, &vm->thing, &fact);
        return;
    }
}

static void on_watched(World *w, void *subject, int64_t until_us)
{
    Vm *vm = subject;

    if (vm->lease_until_us != until_us || vm->lease_host == NULL)
        return;
    vm_lease_tell(w, vm, w->now_us >= until_us ? "expired" : "held", vm->lease_host);
    world_later(w, WATCHED_US, on_watched, vm, until_us);
}

static void on_lease_expiry(World *w, void *subject, int64_t until_us)
{
    Vm *vm = subject;

    if (vm->lease_until_us != until_us || vm->lease_host == NULL)
        return;
    world_say(w, "the lease of %s on %s expires", vm->thing.id, vm->lease_host->thing.id);
    check_lease_expiry(w, vm);
    on_watched(w, vm, until_us);
}

static void on_lease_kill(World *w, void *subject, int64_t until_us)
{
    Vm *vm = subject;

    if (vm->lease_until_us != until_us || vm->lease_host == NULL || vm_copy(vm, vm->lease_host) == NULL || world_flaw(w, SIM_FLAW_NO_SELF_KILL))
        return;
    if (vm->lease_host->hung) /* nobody there could kill it: the storage may have gone before the host hung */
        host_watchdog(w, vm->lease_host);
    else if (host_lives(vm->lease_host))
        vm_end(w, vm, vm->lease_host, "vm.crashed", "none", "lease-lost", "lease");
}

void vm_lease_look(World *w, Vm *vm)
{
    Host *host = vm->lease_host;

    if (!vm->lease || host == NULL)
        return;
    bool there = vm_copy(vm, host) != NULL || vm->handed_to == host;
    bool renewed = there && host->agent.running && host_has_storage(w, host, vm->storage);
    if (renewed && (vm->lease_until_us > w->now_us || vm_copy(vm, host) == NULL)) {
        vm->lease_until_us = INT64_MAX;
    } else if (!renewed && vm->lease_until_us == INT64_MAX) {
        int64_t lease_us = world_flaw(w, SIM_FLAW_SHORT_LEASE) ? LEASE_KILL_US / 2 : LEASE_US;

        vm->lease_until_us = w->now_us + lease_us;
        world_later(w, LEASE_KILL_US, on_lease_kill, vm, vm->lease_until_us);
        world_later(w, lease_us, on_lease_expiry, vm, vm->lease_until_us);
        world_later(w, WATCHED_US, on_watched, vm, vm->lease_until_us);
    }
}

void vm_lease_take(World *w, Vm *vm, Host *host)
{
    if (!vm->lease)
        return;
    check_lease_taken(w, vm, host);
    vm->lease_host = host;
    vm->lease_until_us = INT64_MAX;
}

/* In order, by the host where the copy has ended: it must reach the storage and have an agent. */
bool vm_lease_release(World *w, Vm *vm, Host *host)
{
    Fact fact = { .kind = "vm.evidence", .channel = "lease", .says = "released", .host = host, .by = host };

    if (vm->lease_host != host || !host->agent.running || !host_has_storage(w, host, vm->storage))
        return false;
    vm->lease_host = NULL;
    g_strlcpy(fact.boot_id, host->boot_id, sizeof fact.boot_id);
    agent_say(w, &host->agent, &vm->thing, &fact);
    return true;
}
