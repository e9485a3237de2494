/* What the other hosts see of a host that is not well: peers on the network, its heartbeat on shared storage, its power by its BMC. One host
 * agent that is heard tells it, at each change and again while something is amiss, so that what is said stays fresh. */
#include "consumers/policy/sim/world.h"

#include <string.h>

#define PEER_US (5 * US_PER_S)
#define STORAGE_US (20 * US_PER_S)
#define AGAIN_US (20 * US_PER_S)

static void on_look(World *w, void *subject, int64_t argument);

static Host *witness_for(World *w, const Host *host)
{
    for (unsigned i = 0; i < w->n_hosts; i++) {
        Host *other = &w->hosts[(host->thing.number + 1 + i) % w->n_hosts];

        if (other != host && other->agent.link == LINK_UP)
            return other;
    }
    return NULL;
}

static void tell(World *w, Host *by, Host *host, const char *channel, const char *says)
{
    Fact fact = { .kind = "host.evidence", .channel = channel, .says = says };

    agent_say(w, &by->agent, &host->thing, &fact);
}

static const char *power_of(const World *w, const Host *host)
{
    bool answers = (host->power_management >> FENCE_BMC & 1) != 0 && host->bmc && !host->bmc_locked && w->feeds[host->feed];

    return !answers ? "unknown" : host->powered ? "alive" : "off";
}

static void on_look(World *w, void *subject, int64_t argument)
{
    Host *host = subject, *by = witness_for(w, host);
    bool network = host_has_network(w, host) && host->agent.running, heartbeat = host->silent_us == 0 || w->now_us - host->silent_us < STORAGE_US;
    bool well = network && heartbeat && host->silent_us == 0 && host->agent.link == LINK_UP;

    (void) argument;
    if (by != NULL) {
        bool again = !well || !host->was_well;

        if (again) {
            tell(w, by, host, "peer", network ? "alive" : "gone");
            if (by->storage && w->storages[0].works)
                tell(w, by, host, "storage", heartbeat ? "alive" : "gone");
            tell(w, by, host, "bmc", power_of(w, host));
        }
        host->was_well = well;
    }
    host->watched = !well || by == NULL;
    if (host->watched)
        world_later(w, AGAIN_US, on_look, host, 0);
}

void witness_watch(World *w, Host *host)
{
    if (host->watched)
        return;
    host->watched = true;
    host->was_well = host_lives(host) && host_has_network(w, host);
    world_later(w, PEER_US, on_look, host, 0);
}

void witness_dump(World *w, Host *host, const char *says)
{
    Host *by = witness_for(w, host);

    if (by != NULL)
        tell(w, by, host, "kdump", says);
}

void witness_storage(World *w, Storage *storage, const char *kind, const Host *host, const char *reason)
{
    Fact fact = { .kind = kind, .host = host, .reason = reason };

    for (unsigned i = 0; i < w->n_hosts; i++)
        if (w->hosts[i].agent.link == LINK_UP && (host == NULL || host == &w->hosts[i])) {
            agent_say(w, &w->hosts[i].agent, &storage->thing, &fact);
            return;
        }
}
