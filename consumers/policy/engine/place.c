#include "consumers/policy/engine/place.h"

#include "consumers/policy/engine/engine_private.h"

#include <string.h>

static uint64_t memory_used(const Engine *engine, const EntityState *host)
{
    uint64_t used = 0;

    for (guint i = 0; i < engine->vms->len; i++) {
        const EntityState *vm = engine->vms->pdata[i];

        if (proof_copy(vm->vm, host) != NULL)
            used += vm->vm->memory_bytes;
    }
    return used;
}

EntityState *place_choose(Engine *engine, EntityState *vm, const EntityState *not_on, json_t **ret_considered, char **ret_why)
{
    EntityState *best = NULL;
    uint64_t best_free = 0;

    *ret_considered = json_object();
    for (guint i = 0; i < engine->hosts->len; i++) {
        EntityState *host = engine->hosts->pdata[i];
        uint64_t used = memory_used(engine, host), have = host->host->memory_bytes;
        const char *why = host == not_on                                  ? "it shall leave this one"
                          : !host_is_up(host)                             ? verdict_name(host->host->verdict)
                          : host->host->agent == NULL                     ? "no agent"
                          : quarantine_until_us(engine, host) != 0        ? "in quarantine"
                          : quiet_on_actions(engine, QUIET_MAINTENANCE, host, NULL) != NULL ? "in maintenance"
                          : have != 0 && used + vm->vm->memory_bytes > have ? "too little memory"
                                                                          : NULL;

        json_object_set_new(*ret_considered, host->path, json_string(why == NULL ? "fits" : why));
        if (why != NULL)
            continue;
        if (host == vm->vm->host || best == NULL || (best != vm->vm->host && have - used > best_free)) {
            best = host;
            best_free = have - used;
        }
    }
    if (best == NULL)
        *ret_why = g_strdup("no host has room for it");
    return best;
}
