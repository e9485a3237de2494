/* What to do next about an incident.
 *
 * A ladder always ends. Each step may act `attempts` times within one incident, and `attempts` times in any window of `within` over
 * all incidents of the entity (so a service that heals and dies again climbs too); then the next step; after the last a human is
 * told, by a notice, and nothing more is tried. An unanswered command is a failed attempt, for a dead agent never reports.
 *
 * Reasons to wait (gate.h) come before acting and cost no attempt. Those that nobody ends on purpose are capped by the policy's
 * hold_max, after which a human is told. */
#include "consumers/policy/engine/engine_private.h"

#include "consumers/policy/engine/gate.h"
#include "consumers/policy/engine/id.h"
#include "consumers/policy/engine/when.h"
#include "lib/base/json.h"
#include "lib/model/entity.h"

#include <string.h>

#define ANSWER_GRACE_US US_PER_S /* a result may be on its way when the deadline passes */

const Step *incident_step(const Engine *engine, const Incident *incident)
{
    const Rule *rule = policy_rule(engine->policy, incident->rule);

    return rule == NULL || incident->step >= rule->ladder->len ? NULL : rule->ladder->pdata[incident->step];
}

/* Nobody waits for their answers any more. */
static void commands_end(Stage *s, Incident *incident)
{
    for (guint i = 0; i < incident->flights->len; i++) {
        Flight *flight = incident->flights->pdata[i];

        g_hash_table_remove(s->engine->commands, flight->command->id);
        flight->waited = false;
    }
    incident->goes_on = false;
    plan_end(incident);
    busy_end(s, incident);
    spend_return(s, incident);
}

static void commands_forget(Stage *s, Incident *incident)
{
    commands_end(s, incident);
    g_ptr_array_set_size(incident->flights, 0);
}

/* Rules that listen too and were not asked, since the first that applies decides. (transfer full) */
static json_t *rules_after(const Policy *policy, const Rule *rule, const char *kind)
{
    json_t *names = json_array();
    bool after = false;

    for (guint i = 0; i < policy->rules->len; i++) {
        const Rule *other = policy->rules->pdata[i];

        if (after && rule_listens(other, kind))
            json_array_append_new(names, json_string(other->name));
        after = after || other == rule;
    }
    return names;
}

/* How much earlier than others of its rule it is served: what its VM's priority is above the usual. */
static int turn_of(Engine *engine, const EntityState *entity)
{
    const EntityState *vm = vm_of(engine, entity);

    return vm == NULL ? 0 : vm_priority(engine, vm) - 50;
}

void incident_open(Stage *s, EntityState *entity, const Rule *rule, const Event *event, json_t *values)
{
    Engine *engine = s->engine;
    Incident *incident = incident_new();
    char id[UUID_TEXT_SIZE];

    id_derive(id, "incident", event_fields(event)->id, entity->path, NULL);
    incident->id = g_strdup(id);
    incident->event_id = g_strdup(event_fields(event)->id);
    incident->rule = g_strdup(rule->name);
    incident->boot_id = g_strdup(event_fields(event)->boot_id);
    incident->entity = entity;
    incident->number = incident->due.order = incident->speak_due.order = engine->next_number++;
    incident->due.priority = CLAMP(rule->priority + turn_of(engine, entity), 0, 100);
    incident->opened_us = engine->now_us;
    incident->facts = when_facts(engine, entity, rule, event);
    entity->incident = incident;
    g_queue_push_tail(&engine->incidents, incident);
    incident->link = engine->incidents.tail;
    g_hash_table_insert(engine->numbers, &incident->number, incident);
    put_record(s, "incident.open", incident, NULL,
               json_pack("{s:s, s:s, s:s*, s:o, s:o}", "event", incident->event_id, "rule", rule->name, "where",
                         rule->where == NULL ? NULL : expression_text(rule->where), "values", values, "not_asked",
                         rules_after(engine->policy, rule, event_fields(event)->kind)),
               "%s is %s: rule %s applies", entity->path,
               event_only_happened(event_fields(event)->kind) ? strchr(event_fields(event)->kind, '.') + 1 : entity->state, rule->name);
    bool ends_vm = entity->vm != NULL && !event_only_happened(event_fields(event)->kind) && strcmp(entity->state, "lost") != 0;
    bool ends_host = entity->host != NULL && !event_only_happened(event_fields(event)->kind);
    if (ends_host || (ends_vm && entity->vm->host != NULL && !vm_paused_by_storage(entity)))
        quarantine_failure(s, host_of(engine, entity), entity->path, entity->state);
    ladder_decide(s, incident);
}

void incident_close(Stage *s, Incident *incident, IncidentState how, const char *why)
{
    Engine *engine = s->engine;

    commands_end(s, incident);
    incident_move(incident, how);
    engine->count.healed += how == INCIDENT_HEALED;
    put_record(s, "incident.closed", incident, NULL,
               json_pack("{s:s, s:i, s:I}", "state", incident_state_name(how), "attempts", (int) incident->attempts, "lasted_us",
                         (json_int_t) (engine->now_us - incident->opened_us)),
               "%s: %s", incident_state_name(how), why);
    incident_set_due(engine, incident, NEVER_US);
    due_set(&engine->due, &incident->speak_due, NEVER_US);
    incident->entity->incident = NULL;
    g_queue_delete_link(&engine->incidents, incident->link);
    g_hash_table_remove(engine->numbers, &incident->number);
    spend_settle(s, incident);
    g_ptr_array_add(engine->closed, incident);
    s->wake |= WAKES(AFTER);
    parent_done(s, incident);
}

void incident_set_due(Engine *engine, Incident *incident, int64_t at_us)
{
    due_set(&engine->due, &incident->due, at_us);
}

static void needs_human(Stage *s, Incident *incident, const char *to, const char *why)
{
    if (incident->plan != NULL) /* nobody goes on with it, and it stands in nobody's way */
        commands_end(s, incident);
    incident_move(incident, INCIDENT_NEEDS_HUMAN);
    incident_set_due(s->engine, incident, NEVER_US);
    incident->healed_since_us = 0;
    s->engine->count.needs_human++;
    s->wake |= WAKES(AFTER); /* what comes after it waits in vain */
    put_record(s, "incident.needs-human", incident, NULL, json_pack("{s:i}", "attempts", (int) incident->attempts), "%s", why);
    parent_done(s, incident);
    const Rule *rule = policy_rule(s->engine->policy, incident->rule);
    const char *is = incident_stands_aside(s->engine, incident) ? strchr(rule->on, '.') + 1 : incident->entity->state;
    put_notice(s, "needs-human", to, incident, "%s is %s and needs a human: %s", incident->entity->path, is, why);
}

/* Whom the ladder tells in the end; who gives up earlier tells them too. */
static const char *last_target(const Rule *rule)
{
    const Step *last = rule == NULL || rule->ladder->len == 0 ? NULL : rule->ladder->pdata[rule->ladder->len - 1];

    return last == NULL || last->to == NULL ? "log" : last->to;
}

const char *entity_target(const Engine *engine, const EntityState *entity)
{
    return entity->incident == NULL ? "log" : last_target(policy_rule(engine->policy, entity->incident->rule));
}

/* Attempts of the step that count: those of this incident, or those in the window when they are more. */
static unsigned attempts_made(const Engine *engine, const Incident *incident, const Step *step, Window *window)
{
    while (window->at_us->len > 0 && g_array_index(window->at_us, int64_t, 0) <= engine->now_us - step->within_us)
        g_array_remove_index(window->at_us, 0);
    return MAX(window->at_us->len, incident->step_attempts);
}

static int64_t backoff_us(const Step *step, unsigned made)
{
    double delay_us = (double) step->backoff_first_us;

    for (unsigned i = 1; i < made && delay_us < (double) step->backoff_max_us; i++)
        delay_us *= step->backoff_factor;
    return made == 0 ? 0 : (int64_t) MIN(delay_us, (double) step->backoff_max_us);
}

/* @text: what keeps it waiting, where the reason alone does not tell. */
static void wait_for(Stage *s, const GateAsk *ask, const GateAnswer *answer)
{
    Incident *incident = ask->incident;
    const char *action = ask->step->action, *text = answer->named ? answer->text : NULL;

    if (!answer->capped)
        incident->wait_since_us = 0;
    else if (incident->wait_since_us == 0)
        incident->wait_since_us = s->engine->now_us;
    int64_t cap_us = answer->capped ? incident->wait_since_us + s->engine->policy->hold_max_us : NEVER_US;
    incident_set_due(s->engine, incident, MIN(MIN(cap_us, answer->until_us), plan_due_us(incident)));
    bool same = incident->wait == answer->wait;
    g_free(incident->wait_text);
    incident->wait_text = g_strdup(text);
    if (answer->wait == WAIT_BUDGET)
        spend_wait(ask);
    if (same)
        return;
    incident->wait = answer->wait;
    waiting_note(s->engine, incident);
    if (answer->quiet != NULL)
        quiet_keeps_action(s, answer->quiet, incident, action);
    put_record(s, "incident.waits", incident, NULL,
               json_pack("{s:s, s:I, s:s*, s:o}", "would", action, "until_us", (json_int_t) incident->due.at_us, "detail", answer->text,
                         "gates", gates_to_json(ask)),
               "%s waits for %s%s%s", action, incident_wait_text(answer->wait), text == NULL ? "" : ": ", text == NULL ? "" : text);
}

/* Every rung of the ladder and why it is this one's turn: what was tried, what would come next. (transfer full) */
static json_t *rungs_to_json(const Rule *rule, const Incident *incident, unsigned made)
{
    json_t *all = json_array();

    for (guint i = 0; i < rule->ladder->len; i++) {
        const Step *step = rule->ladder->pdata[i];
        g_autofree char *now = g_strdup_printf("attempt %u of %u", made + 1, step->attempts);

        json_array_append_new(all, json_pack("{s:s, s:s*, s:s}", "do", step->action, "to", step->to, "turn",
                                             i < incident->step ? "was tried, or could not help" : i == incident->step ? now : "comes after"));
    }
    return all;
}

/* The commands of an attempt, or the next ones of an attempt that goes on. */
static void deed_issue(Stage *s, const GateAsk *ask, Window *window, Deed *deed, json_t *gates, json_t *rungs)
{
    Engine *engine = s->engine;
    Incident *incident = ask->incident;
    const Step *step = ask->step;

    if (!incident->goes_on) {
        commands_forget(s, incident);
        incident->attempts++;
        incident->step_attempts++;
        g_array_append_val(window->at_us, engine->now_us);
        window->ended_us = engine->now_us;
        busy_begin(incident, deed->target);
        plan_begin(s, incident, deed);
        spend_charge(ask);
    } else {
        spend_again(ask);
    }
    incident->goes_on = false;
    incident->healed_since_us = incident->wait_since_us = 0;
    incident_set_due(engine, incident, engine->now_us + step->timeout_us + ANSWER_GRACE_US);
    g_autofree char *group = NULL;
    unsigned shard = incident_shard(engine, incident, &group);
    uint64_t acting = engine_shard_epoch(engine, shard);
    g_autofree char *epoch = g_strdup_printf("%" G_GUINT64_FORMAT, acting);
    for (guint i = 0; i < deed->commands->len; i++) {
        Command *command = g_steal_pointer(&deed->commands->pdata[i]);
        g_autofree char *rung = g_strdup_printf("%u", incident->step), *attempt = g_strdup_printf("%u", incident->attempts);
        g_autofree char *nth = incident->flights->len == 0 ? NULL : g_strdup_printf("%u", incident->flights->len);
        char id[UUID_TEXT_SIZE];

        /* With the epoch: another engine that comes to the same attempt later must not be answered with what became of this one. */
        id_derive(id, "command", incident->id, rung, attempt, epoch, command->agent, nth, NULL);
        command->id = g_strdup(id);
        command->incident = g_strdup(incident->id);
        command->epoch = acting;
        command->shard = shard;
        command->group = g_strdup(group);
        command->deadline_ms = (engine->now_us + step->timeout_us) / US_PER_MS;
        incident_add_flight(incident, command);
        if (deed->items != NULL) {
            ((Flight *) incident->flights->pdata[incident->flights->len - 1])->item = g_array_index(deed->items, guint, i);
            plan_sent(s, incident, incident->flights->pdata[incident->flights->len - 1]);
        }
        g_hash_table_insert(engine->commands, command->id, incident);
        engine->count.commands++;
        if (incident->state != INCIDENT_ACTING)
            incident_move(incident, INCIDENT_ACTING);
        put_command(s, incident, command, deed->considered, gates, rungs);
        action_sent(s, command);
    }
    g_ptr_array_set_size(deed->commands, 0);
    if (incident->plan != NULL)
        incident_set_due(engine, incident, plan_due_us(incident));
}

static bool waited_too_long(const Engine *engine, const Incident *incident, const GateAnswer *answer)
{
    return answer->capped && incident->wait_since_us != 0 && engine->now_us >= incident->wait_since_us + engine->policy->hold_max_us;
}

/* The step may act now, or says why not. */
static void step_act(Stage *s, Incident *incident, const Rule *rule, const Step *step, Window *window, unsigned made)
{
    g_auto(Deed) deed = { 0 };
    g_auto(GateAnswer) answer = { 0 };
    const GateAsk ask = { .stage = s, .incident = incident, .rule = rule, .step = step, .deed = &deed, .made = made,
                          .backoff_until_us = window->ended_us + backoff_us(step, made) };

    action_resolve(s, incident, step, &deed);
    if (deed.kind == DEED_CANNOT) {
        ladder_skip_step(s, incident, deed.why);
        return;
    }
    if (deed.hopeless != NO_ITEM) {
        plan_cannot(s, incident, deed.hopeless, deed.why);
        return;
    }
    gates_ask(&ask, &answer);
    if (answer.wait == WAIT_NONE && deed.kind == DEED_DONE) {
        ladder_verify(s, incident);
        if (strcmp(incident->entity->state, step->healed_state) == 0) /* it has been said already: nobody will say it again */
            ladder_seen_well(s, incident);
    } else if (answer.wait == WAIT_NONE) {
        g_autoptr(json_t) gates = gates_to_json(&ask), rungs = rungs_to_json(rule, incident, made);

        deed_issue(s, &ask, window, &deed, gates, rungs);
    } else if (waited_too_long(s->engine, incident, &answer)) {
        g_autofree char *why = g_strdup_printf("waited too long for %s", incident_wait_text(answer.wait));

        needs_human(s, incident, last_target(rule), why);
        incident->gave_up = answer.wait;
        s->engine->waits |= UINT32_C(1) << answer.wait;
    } else {
        wait_for(s, &ask, &answer);
    }
}

static void step_next(Incident *incident)
{
    incident->step++;
    incident->step_attempts = 0;
    incident->asked_us = 0;
    g_clear_pointer(&incident->moved_from, g_free);
}

/* What it waited for too long may be there after all. Only if it can act now: to wait once more would be to call people once more. */
void ladder_try_again(Stage *s, Incident *incident)
{
    const Rule *rule = policy_rule(s->engine->policy, incident->rule);
    const Step *step = incident_step(s->engine, incident);
    g_auto(Deed) deed = { 0 };
    g_auto(GateAnswer) answer = { 0 };
    const GateAsk ask = { .stage = s, .incident = incident, .rule = rule, .step = step, .deed = &deed };

    if (step == NULL || action_kind(step->action) == NULL)
        return;
    action_resolve(s, incident, step, &deed);
    if (deed.kind == DEED_CANNOT)
        return;
    gates_ask(&ask, &answer);
    if (answer.wait != WAIT_NONE) {
        spend_settle(s, incident);
        return;
    }
    put_record(s, "incident.goes-on", incident, NULL, NULL, "%s was waited for too long, and is there now", incident_wait_text(incident->gave_up));
    incident_move(incident, INCIDENT_OPEN);
    incident->wait_since_us = 0;
    ladder_decide(s, incident);
}

/* The answer is waited for until its time is over; then the default holds. False: it is not there, or a human is needed. */
static bool approval_is_there(Stage *s, Incident *incident, const Rule *rule, const Step *step)
{
    const Step *next = incident->step + 1 < rule->ladder->len ? rule->ladder->pdata[incident->step + 1] : NULL;
    const char *path = incident->entity->path;

    if (incident->asked_us != 0 && s->engine->now_us >= incident->asked_us + step->timeout_us) {
        put_record(s, "approval", incident, NULL, json_pack("{s:s, s:b}", "by", "default", "yes", step->default_goes_on),
                   "nobody answered in time: the ladder %s", step->default_goes_on ? "goes on" : "stops");
        if (!step->default_goes_on)
            needs_human(s, incident, step->to == NULL ? "log" : step->to, "nobody approved in time");
        return step->default_goes_on;
    }
    if (incident->asked_us == 0) {
        incident->asked_us = s->engine->now_us;
        incident->wait = WAIT_APPROVAL;
        waiting_note(s->engine, incident);
        put_record(s, "incident.waits", incident, NULL,
                   json_pack("{s:s, s:I}", "would", next == NULL ? "nothing" : next->action, "until_us",
                             (json_int_t) (incident->asked_us + step->timeout_us)),
                   "%s waits for %s", next == NULL ? "nothing" : next->action, incident_wait_text(WAIT_APPROVAL));
        put_notice(s, "approve", step->to == NULL ? "log" : step->to, incident,
                   "%s is %s: may %s be done? mend operate approve %s, or deny; without an answer it is %s", path, incident->entity->state,
                   next == NULL ? "nothing" : next->action, path, step->default_goes_on ? "done" : "not done");
    }
    incident_set_due(s->engine, incident, incident->asked_us + step->timeout_us);
    return false;
}

void ladder_approved(Stage *s, Incident *incident, bool yes, const char *who)
{
    put_record(s, "approval", incident, NULL, json_pack("{s:s, s:b}", "by", who, "yes", yes), "%s %s", who, yes ? "approves" : "denies");
    if (yes) {
        incident->wait = WAIT_NONE;
        step_next(incident);
        ladder_decide(s, incident);
    } else {
        const Step *step = incident_step(s->engine, incident);
        g_autofree char *why = g_strdup_printf("%s denied it", who);

        needs_human(s, incident, step == NULL || step->to == NULL ? "log" : step->to, why);
    }
}

static void decide(Stage *s, Incident *incident)
{
    const Rule *rule = policy_rule(s->engine->policy, incident->rule);

    for (;; step_next(incident)) {
        if (rule == NULL || incident->step >= rule->ladder->len) {
            needs_human(s, incident, "log", "the ladder is used up");
            return;
        }
        const Step *step = rule->ladder->pdata[incident->step];
        if (!incident->goes_on && !when_holds(s, incident, step))
            continue;
        if (strcmp(step->action, ACTION_NOTIFY) == 0) {
            if (incident->step + 1 == rule->ladder->len) {
                needs_human(s, incident, step->to, incident->attempts == 0 ? "nothing is left to try" : "the ladder is used up");
                return;
            }
            put_notice(s, "step", step->to, incident, "%s is %s", incident->entity->path, incident->entity->state);
            continue;
        }
        if (strcmp(step->action, ACTION_APPROVE) == 0) {
            if (approval_is_there(s, incident, rule, step))
                continue;
            return;
        }
        Window *window = entity_window(incident->entity, rule->name, incident->step);
        unsigned made = attempts_made(s->engine, incident, step, window);
        if (made < step->attempts || incident->goes_on) {
            step_act(s, incident, rule, step, window, made);
            return;
        }
        put_record(s, "step.used-up", incident, NULL,
                   json_pack("{s:i, s:s, s:i, s:i, s:I}", "step", (int) incident->step + 1, "do", step->action, "made", (int) made,
                             "attempts", (int) step->attempts, "within_us", (json_int_t) step->within_us),
                   "%s was tried %u times of %u: next step", step->action, made, step->attempts);
    }
}

void ladder_decide(Stage *s, Incident *incident)
{
    decide(s, incident);
    spend_settle(s, incident);
}

/* It was to leave while it ran, and its storage has paused it meanwhile: that is another rule's now. */
static bool paused_meanwhile(Stage *s, Incident *incident)
{
    const Rule *rule = policy_rule(s->engine->policy, incident->rule);
    EntityState *vm = incident->entity;

    if (rule == NULL || !event_only_happened(rule->on) || vm->vm == NULL || !vm_paused_by_storage(vm))
        return false;
    g_autoptr(json_t) data = json_pack("{s:s, s:s}", "reason", vm->vm->reason, "intent", "none");
    incident_close(s, incident, INCIDENT_SUPERSEDED, "its storage has paused it meanwhile");
    event_derive(s, vm, "vm.paused", NULL, g_steal_pointer(&data));
    return true;
}

void ladder_attempt_failed(Stage *s, Incident *incident, const char *why)
{
    commands_end(s, incident);
    entity_window(incident->entity, incident->rule, incident->step)->ended_us = s->engine->now_us;
    if (incident->state != INCIDENT_OPEN) /* a plan may wait for its next item */
        incident_move(incident, INCIDENT_OPEN);
    incident->wait = WAIT_NONE;
    incident->healed_since_us = 0;
    incident_set_due(s->engine, incident, NEVER_US);
    const Command *command = incident_command(incident);
    EntityState *host = command == NULL || strcmp(command->action, "vm.start") != 0 ? NULL : host_by_agent(s->engine, command->agent);
    if (host != NULL)
        quarantine_failure(s, host, command->entity, "start failed");
    put_record(s, "attempt.failed", incident, NULL,
               json_pack("{s:s*, s:i}", "command", command == NULL ? NULL : command->id, "attempt", (int) incident->attempts),
               "attempt %u failed: %s", incident->attempts, why);
    if (!paused_meanwhile(s, incident))
        ladder_decide(s, incident);
}

void ladder_skip_step(Stage *s, Incident *incident, const char *why)
{
    commands_end(s, incident);
    if (incident->state != INCIDENT_OPEN)
        incident_move(incident, INCIDENT_OPEN);
    incident_set_due(s->engine, incident, NEVER_US);
    put_record(s, "step.skipped", incident, NULL, json_pack("{s:i}", "step", (int) incident->step + 1),
               "trying again cannot help: %s", why);
    if (paused_meanwhile(s, incident))
        return;
    step_next(incident);
    ladder_decide(s, incident);
}

/* Relocate ends with a start; all others are one command. */
static bool attempt_is_complete(const Incident *incident, const Step *step)
{
    const char *action = incident_command(incident)->action;

    return strcmp(action, step->action) == 0 || strcmp(action, "vm.start") == 0;
}

void ladder_go_on(Stage *s, Incident *incident)
{
    const Step *step = incident_step(s->engine, incident);

    if (step == NULL || attempt_is_complete(incident, step)) {
        ladder_verify(s, incident);
        return;
    }
    incident_move(incident, INCIDENT_OPEN);
    incident->goes_on = true;
    ladder_decide(s, incident);
}

void ladder_verify(Stage *s, Incident *incident)
{
    const Step *step = incident_step(s->engine, incident);

    incident_move(incident, INCIDENT_VERIFYING);
    spend_settle(s, incident);
    incident->healed_since_us = 0;
    incident_set_due(s->engine, incident, s->engine->now_us + (step == NULL ? 0 : step->timeout_us));
}

void ladder_verify_again(Stage *s, Incident *incident)
{
    const Step *step = incident_step(s->engine, incident);

    incident->healed_since_us = 0;
    incident_set_due(s->engine, incident, s->engine->now_us + (step == NULL ? 0 : step->timeout_us));
}

static int64_t healed_for_us(const Engine *engine, const Incident *incident)
{
    const Step *step = incident_step(engine, incident);

    return step == NULL ? 2 * US_PER_S : step->healed_for_us;
}

void ladder_seen_well(Stage *s, Incident *incident)
{
    if (incident->healed_since_us != 0)
        return;
    incident->healed_since_us = s->engine->now_us;
    incident_set_due(s->engine, incident, s->engine->now_us + healed_for_us(s->engine, incident));
    put_record(s, "seen-well", incident, NULL, NULL, "%s is seen well", incident->entity->path);
    if (incident->due.at_us <= s->engine->now_us)
        ladder_due(s, incident);
}

void ladder_due(Stage *s, Incident *incident)
{
    switch (incident->state) {
    case INCIDENT_OPEN:
        incident_set_due(s->engine, incident, NEVER_US);
        if (plan_is_under_way(incident))
            plan_look(s, incident);
        else
            ladder_decide(s, incident);
        break;
    case INCIDENT_ACTING:
        if (incident->plan != NULL)
            plan_look(s, incident);
        else
            ladder_attempt_failed(s, incident, "no answer before its deadline");
        break;
    case INCIDENT_VERIFYING:
        if (incident->healed_since_us == 0)
            ladder_attempt_failed(s, incident, "it did not become well in time");
        else
            incident_close(s, incident, INCIDENT_HEALED, "well again, and it lasted");
        break;
    default: /* NEEDS_HUMAN */
        incident_close(s, incident, INCIDENT_RESOLVED, "somebody brought it back");
        break;
    }
}

void ladder_restart(Stage *s, Incident *incident)
{
    commands_end(s, incident); /* else it would wait for the budget its own attempt holds */
    if (incident->entity->windows != NULL)
        g_ptr_array_set_size(incident->entity->windows, 0);
    incident->step = incident->step_attempts = 0;
    incident->goes_on = false;
    incident->asked_us = 0;
    incident->wait = WAIT_NONE;
    incident->wait_since_us = 0;
}
