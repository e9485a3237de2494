/* Who waits for what, and who is at what. An incident that waits is asked again when its time has come or when what it waits for may be
 * there; the second is only noted while an input is worked on (Stage.wake) and done at its end, so that nothing is decided on facts that are
 * half written. */
#include "consumers/policy/engine/engine_private.h"

#include "consumers/policy/planner/merge.h"

#include <string.h>

#define ROUNDS_MAX 1000 /* each round has a reason in the one before; far more than any story needs */

/* A human who was asked because of these is spared the walk; whom a lost agent or an unknown state called may be at work by now. */
#define TRIED_AGAIN (WAKES(OBSERVER) | WAKES(PROOF) | WAKES(PLACE) | WAKES(STORAGE) | WAKES(PARENT) | WAKES(AFTER))

static bool is_woken(const Incident *incident, uint32_t wake)
{
    if (incident->state == INCIDENT_NEEDS_HUMAN)
        return (wake & TRIED_AGAIN & (UINT32_C(1) << incident->gave_up)) != 0;
    return incident->state == INCIDENT_OPEN && (wake & (UINT32_C(1) << incident->wait)) != 0;
}

/* Of those that wait for the same things to be free the greatest action is asked first, and the others find them taken (merge.h). */
static int by_action(const Engine *engine, const Incident *a, const Incident *b)
{
    const Step *one = incident_step(engine, a), *other = incident_step(engine, b);

    if (one == NULL || other == NULL)
        return (one == NULL) - (other == NULL);
    const Contender left = { one->action, a->entity->path, a->number, a->due.priority }, right = { other->action, b->entity->path, b->number, b->due.priority };
    return -action_compare(&left, &right);
}

static gint by_turn(gconstpointer a, gconstpointer b, gpointer engine)
{
    const Incident *left = *(const Incident *const *) a, *right = *(const Incident *const *) b;
    bool busy = left->wait == WAIT_BUSY;

    if (busy != (right->wait == WAIT_BUSY))
        return busy ? -1 : 1;
    if (busy)
        return by_action(engine, left, right);
    if (left->due.priority != right->due.priority)
        return left->due.priority > right->due.priority ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

static uint32_t waits_of(const Incident *incident)
{
    return incident->state == INCIDENT_OPEN          ? UINT32_C(1) << incident->wait
           : incident->state == INCIDENT_NEEDS_HUMAN ? UINT32_C(1) << incident->gave_up
                                                     : 0;
}

void waiting_note(Engine *engine, const Incident *incident)
{
    engine->waits |= waits_of(incident) | UINT32_C(1) << incident->wait;
}

static void wake_round(Stage *s, uint32_t wake)
{
    g_autoptr(GPtrArray) woken = NULL;
    uint32_t waits = 0;

    if ((wake & s->engine->waits) == 0)
        return;
    woken = g_ptr_array_new();
    for (GList *l = s->engine->incidents.head; l != NULL; l = l->next) {
        waits |= waits_of(l->data);
        if (is_woken(l->data, wake))
            g_ptr_array_add(woken, l->data);
    }
    s->engine->waits = waits;
    g_ptr_array_sort_with_data(woken, by_turn, s->engine);
    for (guint i = 0; i < woken->len; i++) {
        Incident *incident = woken->pdata[i];

        if (incident->state == INCIDENT_OPEN)
            ladder_decide(s, incident);
        else if (incident->state == INCIDENT_NEEDS_HUMAN && incident->gave_up != WAIT_NONE)
            ladder_try_again(s, incident);
    }
}

void waiting_wake(Stage *s)
{
    spend_serve(s);
    for (unsigned i = 0; (s->wake != 0 || s->speak) && i < ROUNDS_MAX; i++) {
        uint32_t wake = s->wake;
        bool speak = s->speak;

        s->wake = 0;
        s->speak = false;
        if (wake != 0 && s->engine->incidents.length > 0)
            wake_round(s, wake);
        if (speak)
            quiets_speak(s);
        spend_serve(s);
    }
}

void waiting_of_agent(Stage *s, const char *agent)
{
    const EntityState *host = host_by_agent(s->engine, agent);
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    for (GList *l = s->engine->incidents.head; l != NULL; l = l->next) {
        Incident *incident = l->data;

        if (incident->state == INCIDENT_OPEN &&
            (g_strcmp0(incident->entity->agent, agent) == 0 || (host != NULL && host_of(s->engine, incident->entity) == host)))
            g_ptr_array_add(all, incident);
    }
    for (guint i = 0; i < all->len; i++)
        if (((Incident *) all->pdata[i])->state == INCIDENT_OPEN)
            ladder_decide(s, all->pdata[i]);
}

static Incident *other(const EntityState *entity, const Incident *but)
{
    return entity == NULL || entity->busy == but ? NULL : entity->busy;
}

Incident *busy_with(Engine *engine, const EntityState *target, const EntityState *host, const Incident *but)
{
    Incident *incident = other(target, but);

    if (incident == NULL && target->host == NULL)
        incident = other(vm_of(engine, target), but);
    if (incident == NULL)
        incident = other(host, but);
    if (incident == NULL && engine->policy->applications->len > 0 && !g_str_has_prefix(target->path, "app/") && target->host == NULL)
        incident = other(app_of(engine, target), but);
    return incident;
}

void busy_begin(Incident *incident, EntityState *target)
{
    incident->target = target;
    target->busy = incident;
}

void busy_end(Stage *s, Incident *incident)
{
    if (incident->target == NULL)
        return;
    if (incident->target->busy == incident)
        incident->target->busy = NULL;
    incident->target = NULL;
    s->wake |= WAKES(BUSY);
}

void start_known_agents(Engine *engine)
{
    GHashTableIter iter;
    gpointer entity;

    engine->start.since_us = engine->now_us;
    engine->start.known = engine->start.seen = 0;
    g_hash_table_iter_init(&iter, engine->entities); /* only counted: their order does not matter */
    while (g_hash_table_iter_next(&iter, NULL, &entity)) {
        EntityState *agent = entity;

        agent->awaited = g_str_has_prefix(agent->path, "agent/") && (strcmp(agent->state, "up") == 0 || strcmp(agent->state, "late") == 0);
        engine->start.known += agent->awaited;
    }
}

bool start_seen_enough(const Engine *engine)
{
    return engine->start.seen * 100 >= engine->start.known * engine->policy->startup_seen_percent;
}

void start_heard(Stage *s, EntityState *agent)
{
    if (agent == NULL || !agent->awaited)
        return;
    agent->awaited = false;
    s->engine->start.seen++;
    if (start_seen_enough(s->engine))
        s->wake |= WAKES(GUARD);
}
