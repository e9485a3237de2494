/* The sequence says what may be done, this file does it and sees what became of it.
 *
 *   resolve ──▶ gates ──▶ commands leave ──▶ answers and states come in ──▶ look ──▶ resolve …
 *                                                                            └──▶ no item is left: verify, or the attempt has failed
 *
 * An item that fails takes along what needs it; all else goes on to its end, so that what was stopped is started again, and then the
 * attempt has failed. Nothing else is judged meanwhile: that the entity is well, or fails again, while its application is restarted
 * around it, means nothing before the plan is through. */
#include "consumers/policy/engine/plan.h"

#include "consumers/policy/engine/engine_private.h"

#include <string.h>

EntityState *app_of(Engine *engine, const EntityState *entity)
{
    const Application *app = NULL;

    if (g_str_has_prefix(entity->path, "app/"))
        return (EntityState *) entity;
    if (app_vm_of_any(engine, entity, &app) == NULL)
        return NULL;
    g_autofree char *path = g_strdup_printf("app/%s", app->name);
    return entity_ensure(engine, path);
}

bool plan_is_under_way(const Incident *incident)
{
    return incident->plan != NULL && !sequence_is_complete(incident->plan);
}

static int64_t *since_us(const Incident *incident, guint item)
{
    return &g_array_index(incident->plan_since_us, int64_t, item);
}

/* NULL: it can be sent; else what keeps it. (transfer full) */
static char *agent_gone(Engine *engine, const char *agent)
{
    g_autofree char *path = g_strdup_printf("agent/%s", agent);
    const EntityState *entity = entity_find(engine, path), *host = host_by_agent(engine, agent);

    if (entity == NULL || (host != NULL && host_is_up(host)) || (strcmp(entity->state, "lost") != 0 && strcmp(entity->state, "closed") != 0))
        return NULL;
    return g_strdup_printf("%s is %s", path, entity->state);
}

static void migrate_to(Engine *engine, Deed *deed, const EntityState *vm, const SequenceItem *item, const Step *step)
{
    g_autofree char *path = g_strdup_printf("host/%s", item->host == NULL ? "" : item->host);
    const EntityState *to = entity_find(engine, path);

    if (to == NULL || !host_is_up(to) || quarantine_until_us(engine, to) != 0) { /* the next attempt plans anew */
        deed_cannot(deed, "%s takes no VMs any more", path);
        return;
    }
    json_t *arguments = deed_arguments(vm, step);

    json_object_set_new(arguments, "to", json_string(item->host));
    deed_command(deed, "vm.migrate", vm, vm->vm->host->host->agent, arguments);
}

/* Nothing can be done in it, and who starts it must not find the plan in the way. */
static bool is_in_a_vm_that_is_down(Engine *engine, const EntityState *target)
{
    static const char *const down[] = { "stopped", "crashed", "panicked", "lost", NULL };
    const EntityState *vm = target->vm != NULL ? NULL : vm_of(engine, target);

    return vm != NULL && g_strv_contains(down, vm->state);
}

/* A job on its VM is waited for; that it boots matters to the VM only, for its services are asked by their own state. */
static const Job *job_in_the_way(Engine *engine, const EntityState *target)
{
    const Job *job = job_on(engine, target);

    return job == NULL || (target->vm == NULL && strcmp(job->name, "boot") == 0) ? NULL : job;
}

/* @item as a command of @deed; one that cannot leave now is told in *ret_wait. */
static void item_resolve(Stage *s, Incident *incident, const SequenceItem *item, const Step *step, Deed *deed, Deed *ret_wait)
{
    EntityState *target = entity_find(s->engine, item->target);
    Step as = *step;
    const Job *job;
    g_auto(Deed) one = { .target = target, .hopeless = NO_ITEM, .of_plan = true };

    as.action = item->action;
    if (target == NULL)
        deed_cannot(&one, "%s is not known", item->target);
    else if (strcmp(item->action, "vm.migrate") == 0 && strcmp(target->state, "running") != 0)
        deed_cannot(&one, "%s is %s: only what runs can migrate", target->path, target->state);
    else if (is_in_a_vm_that_is_down(s->engine, target))
        deed_cannot(&one, "its VM is %s", vm_of(s->engine, target)->state);
    else if ((job = job_in_the_way(s->engine, target)) != NULL)
        deed_wait(&one, WAIT_JOB, g_strdup_printf("%s of %s", job->name, job->vm->path));
    else if (strcmp(item->action, "vm.migrate") == 0 && target->vm->host != NULL && host_is_up(target->vm->host))
        migrate_to(s->engine, &one, target, item, step);
    else
        action_resolve_on(s, incident, &as, &one);
    const Command *command = one.kind == DEED_COMMANDS ? one.commands->pdata[0] : NULL;
    char *gone = command == NULL || command->agent == NULL ? NULL : agent_gone(s->engine, command->agent);
    if (gone != NULL) {
        g_clear_pointer(&one.commands, g_ptr_array_unref);
        deed_wait(&one, WAIT_AGENT, gone);
    }
    if (one.kind == DEED_COMMANDS) {
        deed_take(deed, &one, item->number);
    } else if (ret_wait->why == NULL) {
        ret_wait->kind = one.kind;
        ret_wait->hopeless = item->number;
        ret_wait->wait = one.kind == DEED_WAIT ? one.wait : WAIT_PLAN;
        ret_wait->why = g_strdup_printf("%s of %s: %s", item->action, item->target, one.why == NULL ? "nothing to do" : one.why);
    }
}

static guint count_running(const Sequence *plan)
{
    guint n = 0;

    for (guint i = 0; i < plan->items->len; i++)
        n += sequence_item(plan, i)->state == ITEM_RUNNING;
    return n;
}

void plan_resolve(Stage *s, Incident *incident, const Step *step, Deed *deed)
{
    bool goes_on = incident->goes_on && incident->plan != NULL;
    g_auto(Deed) wait = { 0 };

    if (!goes_on && (deed->plan = plan_build(s, step, deed)) == NULL)
        return;
    const Sequence *plan = goes_on ? incident->plan : deed->plan;
    g_autoptr(GArray) ready = sequence_next_ready(plan);
    if (plan->items->len == 0) {
        deed_cannot(deed, "nothing of %s is left to do", plan->name);
        return;
    }
    for (guint i = 0; i < ready->len; i++)
        item_resolve(s, incident, sequence_item(plan, g_array_index(ready, guint, i)), step, deed, &wait);
    if (deed->commands != NULL && deed->commands->len > 0)
        deed->kind = DEED_COMMANDS;
    else if (wait.why != NULL && wait.kind == DEED_CANNOT && !goes_on)
        deed_cannot(deed, "%s", wait.why);
    else if (wait.why != NULL && wait.kind == DEED_CANNOT)
        deed->why = g_steal_pointer(&wait.why), deed->hopeless = wait.hopeless;
    else if (wait.why != NULL)
        deed_wait(deed, wait.wait, g_strdup(wait.why));
    else
        deed_wait(deed, WAIT_PLAN, g_strdup_printf("%u items are under way", count_running(plan)));
}

void plan_begin(Stage *s, Incident *incident, Deed *deed)
{
    plan_end(incident);
    if (deed->plan == NULL)
        return;
    incident->plan = g_steal_pointer(&deed->plan);
    s->engine->plans = true;
    incident->plan_since_us = g_array_new(FALSE, TRUE, sizeof(int64_t));
    g_array_set_size(incident->plan_since_us, incident->plan->items->len);
    put_record(s, "plan", incident, NULL, sequence_to_json(incident->plan), "%s: %u items", incident->plan->name, incident->plan->items->len);
}

void plan_end(Incident *incident)
{
    g_clear_pointer(&incident->plan, sequence_free);
    g_clear_pointer(&incident->plan_since_us, g_array_unref);
}

void plan_sent(Stage *s, Incident *incident, const Flight *flight)
{
    if (incident->plan != NULL && flight->item != NO_ITEM && sequence_started(incident->plan, flight->item))
        *since_us(incident, flight->item) = s->engine->now_us;
}

static void item_record(Stage *s, const Incident *incident, const SequenceItem *item)
{
    static const char *const ends[] = { [ITEM_DONE] = "is done", [ITEM_FAILED] = "failed", [ITEM_SKIPPED] = "is left out" };

    put_record(s, "plan.item", incident, item->target, json_pack("{s:i, s:s, s:s*}", "number", (int) item->number, "action", item->action, "reason", item->reason),
               "%s of %s %s%s%s", item->action, item->target, ends[item->state], item->reason == NULL ? "" : ": ",
               item->reason == NULL ? "" : item->reason);
}

static void item_fail(Stage *s, Incident *incident, SequenceItem *item, const char *reason)
{
    const Sequence *plan = incident->plan;
    g_autofree bool *waited = g_new0(bool, plan->items->len);

    for (guint i = 0; i < plan->items->len; i++)
        waited[i] = sequence_item(plan, i)->state == ITEM_WAITING;
    if (!sequence_failed(incident->plan, item->number, reason))
        return;
    item_record(s, incident, item);
    for (guint i = 0; i < plan->items->len; i++)
        if (waited[i] && sequence_item(plan, i)->state == ITEM_SKIPPED)
            item_record(s, incident, sequence_item(plan, i));
}

static const Flight *flight_of(const Incident *incident, guint item)
{
    for (guint i = 0; i < incident->flights->len; i++)
        if (((const Flight *) incident->flights->pdata[i])->item == item)
            return incident->flights->pdata[i];
    return NULL;
}

/* What was heard before the item began is of what was before: it tells nothing. */
static bool is_there(Stage *s, const SequenceItem *item, const Flight *flight, int64_t begun_us)
{
    const EntityState *target = entity_find(s->engine, item->target);

    if (!flight->answered)
        return false;
    if (item->ready == NULL || g_strcmp0(flight->state, item->ready) == 0)
        return true;
    if (target == NULL || strcmp(target->state, item->ready) != 0 || target->since_us < begun_us)
        return false;
    if (strcmp(item->action, "vm.migrate") == 0 && item->host != NULL)
        return target->vm->host != NULL && strcmp(entity_id(target->vm->host), item->host) == 0;
    return true;
}

static void items_look(Stage *s, Incident *incident)
{
    static const char *const ill[] = { "failed", "crashed", "panicked", NULL };

    for (guint i = 0; i < incident->plan->items->len; i++) {
        SequenceItem *item = sequence_item(incident->plan, i);
        const Flight *flight = item->state == ITEM_RUNNING ? flight_of(incident, i) : NULL;
        const EntityState *target = entity_find(s->engine, item->target);

        if (flight == NULL)
            continue;
        if (is_there(s, item, flight, *since_us(incident, i))) {
            sequence_done(incident->plan, i);
            item_record(s, incident, item);
        } else if (s->engine->now_us >= *since_us(incident, i) + item->timeout_us) {
            g_autofree char *why = flight->answered ? g_strdup_printf("not %s in time", item->ready) : g_strdup("no answer in time");

            item_fail(s, incident, item, why);
        } else if (flight->answered && g_strcmp0(item->ready, "running") == 0 && target != NULL && g_strv_contains(ill, target->state) &&
                   target->since_us > *since_us(incident, i)) {
            g_autofree char *why = g_strdup_printf("it is %s", target->state);

            item_fail(s, incident, item, why);
        }
    }
}

static bool may_go_on(const Incident *incident)
{
    g_autoptr(GArray) ready = sequence_next_ready(incident->plan);

    return ready->len > 0;
}

int64_t plan_due_us(const Incident *incident)
{
    int64_t at_us = NEVER_US;

    for (guint i = 0; incident->plan != NULL && i < incident->plan->items->len; i++) {
        const SequenceItem *item = sequence_item(incident->plan, i);

        if (item->state == ITEM_RUNNING)
            at_us = MIN(at_us, *since_us(incident, i) + item->timeout_us);
    }
    return at_us;
}

/* A host that was to be emptied and is not. */
static char *left_on(Engine *engine, const EntityState *host)
{
    for (guint i = 0; host != NULL && host->host != NULL && i < engine->vms->len; i++) {
        const EntityState *vm = engine->vms->pdata[i];

        if (vm->vm->host == host && proof_copy(vm->vm, host) != NULL && strcmp(vm->state, "running") == 0)
            return g_strdup_printf("%s is still on %s", vm->path, host->path);
    }
    return NULL;
}

static void plan_is_through(Stage *s, Incident *incident)
{
    bool good = sequence_succeeded(incident->plan);
    g_autofree char *why = good ? left_on(s->engine, incident->target) : NULL;

    for (guint i = 0; !good && why == NULL && i < incident->plan->items->len; i++) {
        const SequenceItem *item = sequence_item(incident->plan, i);

        if (item->state == ITEM_FAILED)
            why = g_strdup_printf("%s of %s: %s", item->action, item->target, item->reason);
    }
    if (why != NULL || !good) {
        ladder_attempt_failed(s, incident, why == NULL ? "something of it was left out" : why);
        return;
    }
    ladder_verify(s, incident);
    plan_end(incident);
    if (incident_is_asked(s->engine, incident)) {
        asked_done(s, incident);
        return;
    }
    const Step *step = incident_step(s->engine, incident);
    if (step != NULL && strcmp(step->action, "app.stop") == 0) {
        incident_close(s, incident, INCIDENT_STOOD_DOWN, "its application is stopped, as the ladder says");
        return;
    }
    if (intent_is_wanted(incident->entity->intent) && g_str_has_prefix(incident->entity->state, "stop")) {
        incident_close(s, incident, INCIDENT_STOOD_DOWN, "somebody has stopped it meanwhile: it is not ours to start");
        return;
    }
    if (step != NULL && strcmp(incident->entity->state, incident->entity->host != NULL ? "alive" : step->healed_state) == 0)
        ladder_seen_well(s, incident);
}

void plan_look(Stage *s, Incident *incident)
{
    if (incident->plan == NULL || (incident->state != INCIDENT_ACTING && incident->state != INCIDENT_OPEN))
        return;
    items_look(s, incident);
    if (sequence_is_complete(incident->plan)) {
        plan_is_through(s, incident);
    } else if (may_go_on(incident)) {
        if (incident->state == INCIDENT_ACTING)
            incident_move(incident, INCIDENT_OPEN);
        incident->goes_on = true;
        ladder_decide(s, incident);
    } else { /* also OPEN: an item that was late may have been what it was due for */
        incident_set_due(s->engine, incident, plan_due_us(incident));
    }
}

void plan_answered(Stage *s, Incident *incident, const Flight *flight, const char *failure)
{
    SequenceItem *item = incident->plan == NULL ? NULL : sequence_item(incident->plan, flight->item);

    if (item == NULL)
        return;
    if (failure != NULL)
        item_fail(s, incident, item, failure);
    plan_look(s, incident);
}

void plan_cannot(Stage *s, Incident *incident, guint item, const char *why)
{
    g_autofree char *reason = g_strdup(why);

    if (incident->plan == NULL || !sequence_started(incident->plan, item))
        return;
    *since_us(incident, item) = s->engine->now_us;
    item_fail(s, incident, sequence_item(incident->plan, item), reason);
    plan_look(s, incident);
}

/* Also for what is in it. */
static bool waits_for(const Incident *incident, const EntityState *entity)
{
    g_autofree char *within = entity->vm == NULL ? NULL : g_strdup_printf("service/%s/", entity_id(entity));

    for (guint i = 0; i < incident->plan->items->len; i++) {
        const SequenceItem *item = sequence_item(incident->plan, i);

        if (item->state == ITEM_RUNNING && strcmp(item->target, entity->path) == 0)
            return true;
        if (item->state == ITEM_WAITING && within != NULL && g_str_has_prefix(item->target, within))
            return true;
    }
    return false;
}

void plan_heard(Stage *s, const EntityState *entity)
{
    g_autoptr(GPtrArray) all = NULL;
    bool plans = false;

    if (!s->engine->plans)
        return;
    for (GList *l = s->engine->incidents.head; l != NULL; l = l->next) {
        const Incident *incident = l->data;

        plans = plans || incident->plan != NULL;
        if (incident->plan == NULL || !waits_for(l->data, entity))
            continue;
        if (all == NULL)
            all = g_ptr_array_new();
        g_ptr_array_add(all, l->data);
    }
    s->engine->plans = plans;
    for (guint i = 0; all != NULL && i < all->len; i++)
        plan_look(s, all->pdata[i]);
}
