/* Several engines act at once, each with the whole site in view and each for its own part. What a part may be is narrow: incidents of
 * services whose rule, whatever happens, does nothing but to services, and whose doing is counted by no budget wider than an application. Then
 * nothing that one engine does is anything another has to know before it acts; whatever touches VMs, hosts or storage is the site's engine's
 * alone, as is every incident that may come to that. A rule that ends with vm.reboot is the site's from its first step: to hand an incident
 * over between two engines in mid-ladder would need the attempts, windows and waits of both to agree. */
#include "consumers/policy/engine/engine_private.h"

#include <string.h>

static bool stays_with_services(const Rule *rule)
{
    for (guint i = 0; i < rule->ladder->len; i++) {
        const char *action = ((const Step *) rule->ladder->pdata[i])->action;

        if (!g_str_has_prefix(action, "service.") && strcmp(action, ACTION_NOTIFY) != 0 && strcmp(action, ACTION_APPROVE) != 0)
            return false;
    }
    return true;
}

/* A budget that an engine alone cannot keep. */
static bool counted_beyond_groups(const Policy *policy)
{
    for (guint i = 0; i < policy->budgets->len; i++) {
        const BudgetRule *budget = policy->budgets->pdata[i];

        if (budget->scope == SCOPE_APP || budget->scope == SCOPE_VM)
            continue;
        for (guint k = 0; k < budget->actions->len; k++)
            if (g_str_has_prefix(budget->actions->pdata[k], "service.") || ((const char *) budget->actions->pdata[k])[0] == '*')
                return true;
    }
    return false;
}

static char *group_of(Engine *engine, const EntityState *service)
{
    const Application *app = NULL;
    const char *id = entity_id(service);

    if (app_vm_of_any(engine, service, &app) != NULL && app != NULL)
        return g_strdup_printf("app/%s", app->name);
    return g_strdup_printf("vm/%.*s", (int) strcspn(id, "/"), id);
}

unsigned incident_shard(Engine *engine, const Incident *incident, char **ret_group)
{
    const Rule *rule = engine->shards == 0 || !g_str_has_prefix(incident->entity->path, "service/")
                           ? NULL
                           : policy_rule(engine->policy, incident->rule);

    if (ret_group != NULL)
        *ret_group = NULL;
    if (rule == NULL || !stays_with_services(rule) || counted_beyond_groups(engine->policy))
        return SHARD_SITE;
    g_autofree char *group = group_of(engine, incident->entity);
    unsigned shard = shard_of(group, engine->shards);
    if (ret_group != NULL)
        *ret_group = g_steal_pointer(&group);
    return shard;
}

uint64_t incident_epoch(Engine *engine, const Incident *incident)
{
    unsigned shard = incident_shard(engine, incident, NULL);

    return shard == SHARD_SITE ? engine->epoch : engine->shard_epoch[shard];
}

void shards_forget(Engine *engine)
{
    memset(engine->shard_epoch, 0, sizeof engine->shard_epoch);
}

void step_acting_shard(Stage *s, const EngineInput *input)
{
    Engine *engine = s->engine;

    if (input->shard > SHARDS_MAX || input->shards > SHARDS_MAX || input->shard > input->shards)
        return;
    if (input->shards != engine->shards) { /* everything may be somebody else's now */
        engine->shards = input->shards;
        shards_forget(engine);
        s->wake = UINT32_MAX;
    }
    if (input->shard == SHARD_SITE || input->epoch == engine->shard_epoch[input->shard])
        return;
    engine->shard_epoch[input->shard] = input->epoch;
    put_record(s, "acting", NULL, NULL, json_pack("{s:I, s:i, s:i}", "epoch", (json_int_t) input->epoch, "shard", (int) input->shard, "shards",
                                                  (int) input->shards),
               input->epoch == 0 ? "this engine does not act for shard %u" : "this engine acts for shard %u", input->shard);
    if (input->epoch == 0)
        return;
    commands_again(s);
    s->wake = UINT32_MAX;
}

json_t *shards_to_json(const Engine *engine)
{
    json_t *epochs = json_array();

    for (unsigned shard = 1; shard <= engine->shards; shard++)
        json_array_append_new(epochs, json_integer((json_int_t) engine->shard_epoch[shard]));
    return epochs;
}

void shards_from_json(Engine *engine, const json_t *json)
{
    engine->shards = (unsigned) MIN(json_array_size(json), SHARDS_MAX);
    for (unsigned shard = 1; shard <= engine->shards; shard++)
        engine->shard_epoch[shard] = (uint64_t) json_integer_value(json_array_get(json, shard - 1));
}

json_t *shards_status(const Engine *engine)
{
    json_t *all = json_array();

    for (unsigned shard = 1; shard <= engine->shards; shard++)
        if (engine->shard_epoch[shard] != 0)
            json_array_append_new(all, json_pack("{s:i, s:I}", "shard", (int) shard, "epoch", (json_int_t) engine->shard_epoch[shard]));
    return all;
}

uint64_t engine_shard_epoch(const Engine *engine, unsigned shard)
{
    return shard == SHARD_SITE ? engine->epoch : shard <= engine->shards ? engine->shard_epoch[shard] : 0;
}

unsigned engine_shards(const Engine *engine)
{
    return engine->shards;
}

bool engine_awaits(const Engine *engine, const char *command)
{
    return g_hash_table_contains(engine->commands, command);
}
