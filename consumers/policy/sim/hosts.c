/* Hosts: power, kernel, network, the way to storage. What happens to a host happens to the VMs on it. */
#include "consumers/policy/sim/world.h"

#include <string.h>

bool host_lives(const Host *host)
{
    return host->powered && host->up && !host->hung;
}

bool host_has_network(const World *w, const Host *host)
{
    return host_lives(host) && host->nic && w->switches[host->rack];
}

bool host_has_storage(const World *w, const Host *host, unsigned storage)
{
    return host_lives(host) && host->storage && w->storages[storage].works;
}

uint64_t host_free_bytes(const World *w, const Host *host)
{
    uint64_t used = 0;

    for (unsigned i = 0; i < w->n_vms; i++)
        for (unsigned k = 0; k < w->vms[i].n_copies; k++)
            used += w->vms[i].copies[k].host == host ? w->vms[i].memory_bytes : 0;
    return used > host->memory_bytes ? 0 : host->memory_bytes - used;
}

void host_changed(World *w, Host *host)
{
    bool silent = !host_lives(host) || !host->storage || !host->agent.running;

    if (!silent)
        host->silent_us = 0;
    else if (host->silent_us == 0)
        host->silent_us = MAX(w->now_us, 1);
    agent_relink(w, &host->agent);
    for (unsigned i = 0; i < w->n_vms; i++) {
        Vm *vm = &w->vms[i];

        if (vm->home == host || vm_copy(vm, host) != NULL)
            agent_relink(w, &vm->agent);
        if (vm->lease && (vm->lease_host == host || vm_copy(vm, host) != NULL))
            vm_lease_look(w, vm);
    }
    witness_watch(w, host);
}

static void on_agent_up(World *w, void *subject, int64_t life)
{
    Host *host = subject;

    if (host->life == life && host_lives(host))
        agent_start(w, &host->agent);
}

void host_agent_start(World *w, Host *host)
{
    if (host_lives(host))
        world_later(w, random_between(&host->dice, US_PER_S, 6 * US_PER_S), on_agent_up, host, host->life);
}

static void on_booted(World *w, void *subject, int64_t life)
{
    Host *host = subject;

    if (host->life != life || !host->powered)
        return;
    host->up = true;
    host->hung = false;
    host->up_us = w->now_us;
    g_snprintf(host->boot_id, sizeof host->boot_id, "%s.b%u", host->thing.id, ++host->boot);
    world_say(w, "%s has booted (%s)", host->thing.id, host->boot_id);
    host_changed(w, host);
    host_agent_start(w, host);
}

void host_libvirt(World *w, Host *host, bool works)
{
    if (host->libvirt == works || host->thing.dropped)
        return;
    world_say(w, "libvirtd of %s %s", host->thing.id, works ? "works again" : "stops");
    host->libvirt = works;
    if (works)
        agent_tell_all(w, &host->agent);
}

static void vms_end(World *w, Host *host, const char *reason, const char *cause)
{
    for (unsigned i = 0; i < w->n_vms; i++)
        if (vm_copy(&w->vms[i], host) != NULL)
            vm_end(w, &w->vms[i], host, "vm.crashed", "none", reason, cause);
}

static void host_down(World *w, Host *host, const char *cause)
{
    host->life++;
    host->up = host->hung = false;
    agent_stop(w, &host->agent, false);
    vms_end(w, host, "host-rebooted", cause);
    host_changed(w, host);
}

void host_power_off(World *w, Host *host, const char *why)
{
    if (!host->powered)
        return;
    world_say(w, "%s is switched off: %s", host->thing.id, why);
    host->powered = false;
    host->dump_until_us = 0;
    host_down(w, host, "power");
}

void host_power_on(World *w, Host *host)
{
    if (host->powered || !w->feeds[host->feed])
        return;
    host->powered = true;
    host->fenced_off_us = 0;
    world_say(w, "%s is switched on", host->thing.id);
    world_later(w, random_between(&host->dice, 40 * US_PER_S, 120 * US_PER_S), on_booted, host, ++host->life);
}

void host_crash(World *w, Host *host)
{
    if (!host_lives(host))
        return;
    world_say(w, "the kernel of %s crashes; it boots again", host->thing.id);
    host_down(w, host, "crash");
    world_later(w, random_between(&host->dice, 8 * US_PER_S, 150 * US_PER_S), on_booted, host, host->life);
}

static void on_dumped(World *w, void *subject, int64_t life)
{
    Host *host = subject;

    if (host->life != life || !host->powered)
        return;
    host->dump_until_us = 0;
    world_say(w, "the dump of %s is written; it boots", host->thing.id);
    witness_dump(w, host, "none");
    world_later(w, random_between(&host->dice, 40 * US_PER_S, 120 * US_PER_S), on_booted, host, host->life);
}

void host_dump(World *w, Host *host, int64_t for_us)
{
    if (!host_lives(host))
        return;
    world_say(w, "the kernel of %s panics and writes a dump", host->thing.id);
    host->dump_until_us = w->now_us + for_us;
    host_down(w, host, "crash");
    witness_dump(w, host, "alive");
    world_later(w, for_us, on_dumped, host, host->life);
}

static void on_watchdog(World *w, void *subject, int64_t life)
{
    Host *host = subject;

    if (host->life == life)
        host_watchdog(w, host);
}

void host_watchdog(World *w, Host *host)
{
    if (!host->hung)
        return;
    world_say(w, "the watchdog of %s resets it", host->thing.id);
    host_down(w, host, "crash");
    world_later(w, 60 * US_PER_S, on_booted, host, host->life);
}

/* A hung host runs nothing and says nothing, yet what is on it is not gone: it may come back. Where VMs have leases its watchdog ends
 * that before the leases run out. */
void host_hang(World *w, Host *host)
{
    bool leases = false;

    if (!host_lives(host))
        return;
    world_say(w, "%s hangs", host->thing.id);
    host->hung = true;
    host->life++;
    agent_stop(w, &host->agent, false);
    for (unsigned i = 0; i < w->n_vms; i++)
        leases |= w->vms[i].lease && vm_copy(&w->vms[i], host) != NULL;
    if (leases)
        world_later(w, LEASE_KILL_US, on_watchdog, host, host->life);
    host_changed(w, host);
}
