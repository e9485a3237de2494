#include "consumers/policy/engine/flapping.h"

#include "consumers/policy/engine/engine_private.h"
#include "lib/base/json.h"

void flapper_free(Flapper *flapper)
{
    if (flapper == NULL)
        return;
    g_free(flapper->to);
    g_free(flapper);
}

static FlapLimits limits_of(const Engine *engine)
{
    const Flapping *policy = &engine->policy->flapping;

    return (FlapLimits){ (guint) (policy->high_percent * 10), (guint) (policy->low_percent * 10), flap_limits_default.sample_us };
}

static Flapper *flapper_of(EntityState *entity)
{
    if (entity->flapper == NULL) {
        entity->flapper = g_new0(Flapper, 1);
        entity->flapper->entity = entity;
        due_init(&entity->flapper->due, DUE_FLAP);
        entity->flapper->due.name = entity->path;
    }
    return entity->flapper;
}

static void arm(Engine *engine, Flapper *flapper)
{
    FlapLimits limits = limits_of(engine);

    due_set(&engine->due, &flapper->due, flapper->flap.flapping ? flap_ends_us(&flapper->flap, &limits) : NEVER_US);
}

static void tell(Stage *s, Flapper *flapper)
{
    EntityState *entity = flapper->entity;
    guint permille = flap_permille(&flapper->flap);
    bool begins = flapper->flap.flapping;
    json_t *data = json_pack("{s:i, s:f, s:f}", "permille", (int) permille, "high", s->engine->policy->flapping.high_percent, "low",
                             s->engine->policy->flapping.low_percent);

    put_record(s, begins ? "flapping" : "flapping.ended", entity->incident, entity->path, data, "%s %s: %u.%u %% of its last %d looks found a change",
               entity->path, begins ? "flaps" : "flaps no more", permille / 10, permille % 10, FLAP_CHECKS);
    if (begins || flapper->to == NULL) {
        g_free(flapper->to);
        flapper->to = g_strdup(entity_target(s->engine, entity));
    }
    put_notice(s, begins ? "flapping" : "flapping.ended", flapper->to, entity->incident, "%s %s", entity->path,
               begins ? "fails and recovers again and again: mending it is suspended" : "flaps no more");
    if (!begins)
        s->wake |= WAKES(FLAPPING);
}

void flapping_seen(Stage *s, EntityState *entity, bool ill, bool well)
{
    FlapLimits limits = limits_of(s->engine);

    if (!s->engine->policy->flapping.on || (entity->flapper == NULL && !ill) || (!ill && !well))
        return;
    Flapper *flapper = flapper_of(entity);
    if (flapper->flap.state == 0 && ill) /* it was well before it failed */
        flap_add(&flapper->flap, &limits, "well", s->engine->now_us);
    if (flap_add(&flapper->flap, &limits, ill ? "ill" : "well", s->engine->now_us))
        tell(s, flapper);
    arm(s->engine, flapper);
}

void flapping_due(Stage *s, Flapper *flapper)
{
    FlapLimits limits = limits_of(s->engine);

    if (flap_advance(&flapper->flap, &limits, s->engine->now_us))
        tell(s, flapper);
    arm(s->engine, flapper);
}

int64_t flapping_until_us(const Engine *engine, const EntityState *entity)
{
    const Flapper *flapper = engine->policy->flapping.on ? entity->flapper : NULL;

    return flapper == NULL || !flapper->flap.flapping ? 0 : flapper->due.at_us;
}

guint flapping_permille(const EntityState *entity)
{
    return entity->flapper == NULL ? 0 : flap_permille(&entity->flapper->flap);
}

json_t *flapper_to_json(const Flapper *flapper)
{
    json_t *json = flap_to_json(&flapper->flap);

    if (flapper->to != NULL)
        json_object_set_new(json, "to", json_string(flapper->to));
    return json;
}

void flapper_from_json(Engine *engine, EntityState *entity, const json_t *json)
{
    Flap flap;

    if (!flap_from_json(&flap, json, NULL))
        return;
    flapper_of(entity)->flap = flap;
    entity->flapper->to = g_strdup(json_string_or(json, "to", NULL));
    arm(engine, entity->flapper);
}
