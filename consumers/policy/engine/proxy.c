/* A proxy behind the switch that failed cannot reach the BMC behind it, and one on the same feed may be the next to go. So what is shared
 * with the victim decides the order, and never whether it is done at all: a doubtful proxy is better than none. */
#include "consumers/policy/engine/proxy.h"

#include "consumers/policy/engine/engine_private.h"
#include "lib/base/json.h"

#include <string.h>

#define DUMP_SILENCE_US (30 * US_PER_S)    /* messages come every few seconds, and are told every ten */
#define DUMP_MAX_US     (5 * US_PER_MINUTE)
#define DOUBT_US        US_PER_MINUTE      /* longer than it takes to miss a host that lost its power */

static bool list_names(const json_t *list, const EntityState *host)
{
    size_t i;
    json_t *item;

    json_array_foreach((json_t *) list, i, item)
        if (g_strcmp0(json_string_value(item), entity_id(host)) == 0 ||
            (host->hostname != NULL && g_strcmp0(json_string_value(item), host->hostname) == 0))
            return true;
    return false;
}

static bool shares(const Engine *engine, const EntityState *a, const EntityState *b, const char *domain)
{
    const char *one = host_domain(engine, a, domain), *other = host_domain(engine, b, domain);

    return one != NULL && g_strcmp0(one, other) == 0;
}

/* Smaller is better. */
static unsigned rank(const Engine *engine, const EntityState *proxy, const EntityState *host)
{
    const json_t *said = host->host->unfenceable == NULL ? NULL : json_object_get(host->host->unfenceable, proxy->host->agent);
    bool fails = said != NULL && strcmp(json_string_value(said), "degraded") != 0; /* degraded: some way is left */

    return fails * 16u + (proxy->host->fences == NULL) * 8u + shares(engine, proxy, host, "switch") * 4u + shares(engine, proxy, host, "power") * 2u +
           shares(engine, proxy, host, "rack");
}

EntityState *proxy_choose(Engine *engine, const EntityState *host, char **ret_why)
{
    EntityState *best = NULL;
    unsigned best_rank = 0, heard = 0;

    for (guint i = 0; i < engine->hosts->len; i++) {
        EntityState *other = engine->hosts->pdata[i];

        if (other == host || other->host->channel[CHANNEL_SESSION].says != SAYS_ALIVE || other->host->agent == NULL)
            continue;
        heard++;
        if (other->host->fences != NULL && !list_names(other->host->fences, host))
            continue;
        if (best == NULL || rank(engine, other, host) < best_rank) {
            best = other;
            best_rank = rank(engine, other, host);
        }
    }
    if (best == NULL)
        *ret_why = g_strdup(heard == 0 ? "no other host is heard that could do it"
                                       : "no host that is heard has a fence device for it: its /etc/mend/fencing.yaml wants one");
    return best;
}

void proxy_fenceable(Stage *s, EntityState *entity, const Event *event)
{
    HostState *host = entity->host;
    const char *agent = event_fields(event)->source, *reason = event_data_string(event, "reason"), *text = event_data_string(event, "text");
    bool well = strcmp(event_fields(event)->kind, "host.fenceable") == 0;
    const char *before = host->unfenceable == NULL ? NULL : json_string_value(json_object_get(host->unfenceable, agent));

    if (well ? before == NULL : g_strcmp0(before, reason == NULL ? "" : reason) == 0)
        return;
    if (host->unfenceable == NULL)
        host->unfenceable = json_object();
    if (well)
        json_object_del(host->unfenceable, agent);
    else
        json_object_set_new(host->unfenceable, agent, json_string(reason == NULL ? "" : reason));
    put_record(s, well ? "fenceable" : "unfenceable", NULL, entity->path, json_pack("{s:s, s:s*}", "agent", agent, "reason", reason), "%s, as %s says: %s",
               entity->path, agent, text == NULL ? "" : text);
    put_notice(s, well ? "fenceable" : "unfenceable", "log", NULL, "%s (%s), seen by %s: %s", entity->path,
               entity->hostname == NULL ? "?" : entity->hostname, agent, text == NULL ? "" : text);
    if (json_object_size(host->unfenceable) == 0) {
        json_decref(host->unfenceable);
        host->unfenceable = NULL;
    }
    s->wake |= WAKES(PLACE);
    event_follow(s, entity, event);
    if (host->unfenceable == NULL && entity->incident != NULL && incident_stands_aside(s->engine, entity->incident))
        incident_close(s, entity->incident, INCIDENT_RESOLVED, "its fence devices work again");
}

void proxy_dump_heard(HostState *host, int64_t now_us)
{
    const ChannelState *kdump = &host->channel[CHANNEL_KDUMP];

    if (kdump->says != SAYS_ALIVE || now_us - kdump->at_us > DUMP_SILENCE_US)
        host->dump_since_us = now_us;
}

int64_t proxy_dump_until_us(const HostState *host, int64_t now_us)
{
    const ChannelState *kdump = &host->channel[CHANNEL_KDUMP];
    int64_t until_us = MIN(kdump->at_us + DUMP_SILENCE_US, host->dump_since_us + DUMP_MAX_US);

    return kdump->says == SAYS_ALIVE && now_us < until_us ? until_us : 0;
}

void proxy_doubt_bmc(HostState *host, int64_t now_us)
{
    ChannelState *bmc = &host->channel[CHANNEL_BMC];

    if (bmc->says == SAYS_OFF && bmc->at_us >= host->channel[CHANNEL_SESSION].at_us && now_us - bmc->at_us > DOUBT_US)
        bmc->says = SAYS_NOTHING;
}
