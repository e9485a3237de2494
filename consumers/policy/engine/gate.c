/* One table, from what holds everything to what holds one thing for a moment. A gate looks and says; it changes nothing, so asking all
 * of them for a record costs only time. */
#include "consumers/policy/engine/gate.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/schedule.h"
#include "lib/base/json.h"

#include <string.h>

#define START_AT_MOST 10 /* start-up guards */

/* What a gate says of itself: texts are made only when somebody reads them. */
typedef struct Saying {
    bool wanted;
    char *text;
    IncidentWait wait; /* the gate's, unless it says another */
    int64_t until_us;
    bool capped;
    QuietState *quiet;
} Saying;

typedef bool (*GateOpens)(const GateAsk *ask, Saying *say);

static void say(Saying *saying, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void say(Saying *saying, const char *format, ...)
{
    va_list args;

    if (!saying->wanted)
        return;
    va_start(args, format);
    g_free(saying->text);
    saying->text = g_strdup_vprintf(format, args);
    va_end(args);
}

static bool acting_opens(const GateAsk *ask, Saying *saying)
{
    uint64_t epoch = incident_epoch(ask->stage->engine, ask->incident);

    say(saying, "epoch %" G_GUINT64_FORMAT, epoch);
    return epoch != 0;
}

static bool paused_opens(const GateAsk *ask, Saying *saying)
{
    const Engine *engine = ask->stage->engine;

    if (engine->paused)
        say(saying, "paused by %s%s%s", engine->paused_by == NULL ? "an operator" : engine->paused_by, engine->paused_why == NULL ? "" : ": ",
            engine->paused_why == NULL ? "" : engine->paused_why);
    return !engine->paused;
}

/* First by the clock, then by who is heard again, but not for ever: agents may be gone for good. */
static bool guard_opens(const GateAsk *ask, Saying *saying)
{
    const Engine *engine = ask->stage->engine;
    int64_t at_most_us = engine->start.since_us + START_AT_MOST * engine->policy->startup_guard_us;

    if (engine->now_us < engine->guard_until_us) {
        saying->until_us = engine->guard_until_us;
        return false;
    }
    say(saying, "%u of %u agents are heard again", engine->start.seen, engine->start.known);
    saying->until_us = at_most_us;
    return start_seen_enough(engine) || engine->now_us >= at_most_us;
}

static bool agent_is_silent(const EntityState *agent)
{
    return agent != NULL && (strcmp(agent->state, "late") == 0 || strcmp(agent->state, "lost") == 0 || strcmp(agent->state, "closed") == 0);
}

/* An ill observer misjudges silence, not what is said: a service that its own agent tells of as failed has failed, and so has a VM that its
 * host tells of as stopped. What that same agent can mend where it stands needs nobody else's word. */
static bool agent_told_and_mends(const GateAsk *ask)
{
    const EntityState *entity = ask->incident->entity;
    g_autofree char *path = entity->agent == NULL ? NULL : g_strdup_printf("agent/%s", entity->agent);

    if (path == NULL || ask->deed->kind != DEED_COMMANDS || agent_is_silent(entity_find(ask->stage->engine, path)))
        return false;
    for (guint i = 0; i < ask->deed->commands->len; i++) {
        const Command *command = ask->deed->commands->pdata[i];

        if (g_strcmp0(command->agent, entity->agent) != 0 || !(g_str_has_prefix(command->action, "service.") || strcmp(command->action, "vm.start") == 0))
            return false;
    }
    return true;
}

static bool observer_opens(const GateAsk *ask, Saying *saying)
{
    const Engine *engine = ask->stage->engine;
    const char *in_spite = !engine->observer_fault                                                   ? "well"
                           : evidence_is_independent(ask->stage->engine, ask->incident->entity) ? "ill, but others saw it too"
                           : agent_told_and_mends(ask)                                               ? "ill, but its own agent told of it and mends it"
                                                                                                     : NULL;

    say(saying, "%s", in_spite == NULL ? "ill" : in_spite);
    saying->capped = true; /* machines that stay away keep an observer ill for as long */
    return in_spite != NULL;
}

static bool observe_only_opens(const GateAsk *ask, Saying *saying)
{
    say(saying, "rule %s", ask->rule->name);
    return !ask->rule->observe_only;
}

static bool quiet_opens(const GateAsk *ask, Saying *saying, QuietKind kind)
{
    Engine *engine = ask->stage->engine;
    const Deed *deed = ask->deed;

    if (ask->rule->asked)
        return true; /* a person wants it now */
    QuietState *state = engine->quiets->len == 0 ? NULL : quiet_on_actions(engine, kind, ask->incident->entity, ask->rule->name);

    if (state == NULL && engine->quiets->len > 0 && deed->target != NULL && deed->target != ask->incident->entity)
        state = quiet_on_actions(engine, kind, deed->target, ask->rule->name);
    if (state == NULL)
        return true;
    if (saying->wanted) {
        g_free(saying->text);
        saying->text = quiet_text(state);
    }
    saying->quiet = state;
    saying->until_us = state->due.at_us;
    saying->capped = kind != QUIET_MAINTENANCE && saying->until_us == NEVER_US;
    return false;
}

static bool maintenance_opens(const GateAsk *ask, Saying *saying)
{
    return quiet_opens(ask, saying, QUIET_MAINTENANCE);
}

static bool hold_opens(const GateAsk *ask, Saying *saying)
{
    return quiet_opens(ask, saying, QUIET_HOLD);
}

static bool silence_opens(const GateAsk *ask, Saying *saying)
{
    return quiet_opens(ask, saying, QUIET_SILENCE);
}

static bool job_opens(const GateAsk *ask, Saying *saying)
{
    Engine *engine = ask->stage->engine;
    const Job *job = job_on(engine, ask->incident->entity);

    if (job == NULL && ask->deed->target != NULL)
        job = job_on(engine, ask->deed->target);
    if (job == NULL)
        return true;
    say(saying, "%s of %s", job->name, job->vm->path);
    saying->until_us = job->until_us;
    return false;
}

static bool schedule_opens(const GateAsk *ask, Saying *saying)
{
    const Rule *rule = ask->rule;
    int64_t now_us = ask->stage->engine->now_us;
    const Schedule *shut = rule->during != NULL && !schedule_active(rule->during, now_us)             ? rule->during
                           : rule->not_during != NULL && schedule_active(rule->not_during, now_us) ? rule->not_during
                                                                                                   : NULL;

    if (shut == NULL)
        return true;
    say(saying, "rule %s is %s %s", rule->name, shut == rule->during ? "for" : "not for", schedule_name(shut));
    saying->until_us = schedule_next_change_us(shut, now_us);
    saying->capped = saying->until_us == NEVER_US;
    return false;
}

/* Doing the same once more is suspended; a higher rung that was not tried yet is what the ladder has for this. */
static bool flapping_opens(const GateAsk *ask, Saying *saying)
{
    const EntityState *entity = ask->incident->entity;
    guint permille = flapping_permille(entity);

    say(saying, "%u.%u %% of its last %d looks found a change", permille / 10, permille % 10, FLAP_CHECKS);
    saying->until_us = flapping_until_us(ask->stage->engine, entity);
    saying->capped = true;
    return saying->until_us == 0 || (ask->incident->step > 0 && ask->made == 0);
}

static bool parent_opens(const GateAsk *ask, Saying *saying)
{
    bool ends;
    const EntityState *parent = parent_in_the_way(ask->stage->engine, ask->incident, ask->step->action, &ends);

    if (parent == NULL)
        return true;
    say(saying, "%s is %s", parent->path, parent->state);
    saying->capped = !ends;
    return false;
}

const EntityState *gate_goes_to(const GateAsk *ask)
{
    const Command *first = ask->deed->kind == DEED_COMMANDS ? ask->deed->commands->pdata[0] : NULL;
    const char *id = first == NULL ? NULL : json_string_or(first->arguments, strcmp(first->action, "vm.migrate") == 0 ? "to" : "host", NULL);
    g_autofree char *path = id == NULL ? NULL : g_strdup_printf("host/%s", id);

    return path == NULL ? NULL : entity_find(ask->stage->engine, path);
}

/* Only of new VMs: one whose copy is there can start nowhere else. */
static bool quarantine_opens(const GateAsk *ask, Saying *saying)
{
    const EntityState *host = ask->stage->engine->troubles->len == 0 ? NULL : gate_goes_to(ask);
    int64_t until_us = host == NULL ? 0 : quarantine_until_us(ask->stage->engine, host);

    if (until_us == 0 || (ask->deed->target->vm != NULL && proof_copy(ask->deed->target->vm, host) != NULL))
        return true;
    say(saying, "%s", host->path);
    saying->until_us = until_us;
    return false;
}

static bool busy_opens(const GateAsk *ask, Saying *saying)
{
    Engine *engine = ask->stage->engine;
    const EntityState *target = ask->deed->target, *host = target == NULL || action_starts(ask->step->action) ? gate_goes_to(ask) : host_of(engine, target);
    const Incident *incident = target == NULL ? NULL : busy_with(engine, target, host, ask->incident);

    if (incident == NULL)
        return true;
    const Command *command = incident_command(incident);
    say(saying, "%s of %s for the incident of %s", command == NULL ? "something" : command->action, incident->target->path, incident->entity->path);
    return false;
}

static bool agent_opens(const GateAsk *ask, Saying *saying)
{
    const Command *first = ask->deed->kind == DEED_COMMANDS ? ask->deed->commands->pdata[0] : NULL;

    if (first == NULL || first->agent == NULL)
        return true;
    g_autofree char *path = g_strdup_printf("agent/%s", first->agent);
    const EntityState *agent = entity_find(ask->stage->engine, path), *host = host_by_agent(ask->stage->engine, first->agent);

    if (host != NULL && host_is_up(host))
        return true;

    say(saying, "%s is %s", path, agent == NULL ? "not heard of" : agent->state);
    saying->capped = true;
    return agent == NULL || (strcmp(agent->state, "lost") != 0 && strcmp(agent->state, "closed") != 0);
}

static bool state_opens(const GateAsk *ask, Saying *saying)
{
    say(saying, "%s is %s", ask->incident->entity->path, ask->incident->entity->state);
    saying->capped = true;
    return strcmp(ask->incident->entity->state, "unknown") != 0;
}

static bool backoff_opens(const GateAsk *ask, Saying *saying)
{
    saying->until_us = ask->backoff_until_us;
    return ask->stage->engine->now_us >= ask->backoff_until_us;
}

static bool budget_opens(const GateAsk *ask, Saying *saying)
{
    BudgetAnswer answer;

    spend_would(ask, &answer);
    bool open = answer.verdict == BUDGET_GRANTED;
    if (!open) {
        /* The queue calls whose turn it is; only what it cannot see is looked at again. */
        bool unseen = answer.verdict == BUDGET_UNHEALTHY || answer.verdict == BUDGET_FULL;

        say(saying, "%s", answer.reason);
        saying->until_us = unseen ? answer.again_us : NEVER_US;
        saying->capped = answer.verdict == BUDGET_UNHEALTHY;
    }
    budget_answer_clear(&answer);
    return open;
}

static bool deed_opens(const GateAsk *ask, Saying *saying)
{
    if (ask->deed->kind != DEED_WAIT)
        return true;
    say(saying, "%s", ask->deed->why);
    saying->wait = ask->deed->wait;
    saying->capped = ask->deed->until_us == 0;
    if (!saying->capped)
        saying->until_us = ask->deed->until_us;
    return false;
}

/* @always: asked also before a further command of an attempt that was begun; @named: the answer's text is for people. */
static const struct {
    const char *name;
    IncidentWait wait;
    GateOpens opens;
    bool always, named;
} gates[] = {
    { "acting", WAIT_NOT_ACTING, acting_opens, .always = true },
    { "paused", WAIT_PAUSED, paused_opens, .always = true, .named = true },
    { "start-up", WAIT_GUARD, guard_opens, .always = true },
    { "observer", WAIT_OBSERVER, observer_opens, .always = true },
    { "observe-only", WAIT_OBSERVE_ONLY, observe_only_opens, .always = true },
    { "maintenance", WAIT_MAINTENANCE, maintenance_opens, .named = true },
    { "hold", WAIT_HOLD, hold_opens, .named = true },
    { "silence", WAIT_SILENCE, silence_opens, .named = true },
    { "job", WAIT_JOB, job_opens, .named = true },
    { "schedule", WAIT_SCHEDULE, schedule_opens, .named = true },
    { "agent", WAIT_AGENT, agent_opens, .always = true },
    { "state", WAIT_UNKNOWN, state_opens, .always = true },
    { "parent", WAIT_PARENT, parent_opens, .named = true },
    { "flapping", WAIT_FLAPPING, flapping_opens, .named = true },
    { "quarantine", WAIT_QUARANTINE, quarantine_opens, .always = true, .named = true },
    { "busy", WAIT_BUSY, busy_opens, .always = true, .named = true },
    { "back-off", WAIT_BACKOFF, backoff_opens },
    { "deed", WAIT_PROOF, deed_opens, .always = true, .named = true },
    { "budget", WAIT_BUDGET, budget_opens, .named = true },
};

void gate_answer_clear(GateAnswer *answer)
{
    g_clear_pointer(&answer->text, g_free);
}

void gates_ask(const GateAsk *ask, GateAnswer *ret_answer)
{
    *ret_answer = (GateAnswer){ .wait = WAIT_NONE, .until_us = NEVER_US };
    for (size_t i = 0; i < G_N_ELEMENTS(gates); i++) {
        Saying saying = { .wait = gates[i].wait, .until_us = NEVER_US };

        if ((ask->incident->goes_on && !gates[i].always) || gates[i].opens(ask, &saying))
            continue;
        saying.wanted = true;
        gates[i].opens(ask, &saying);
        *ret_answer = (GateAnswer){ saying.wait, saying.until_us, saying.capped, saying.text, gates[i].named, saying.quiet };
        return;
    }
}

json_t *gates_to_json(const GateAsk *ask)
{
    json_t *all = json_array();

    for (size_t i = 0; i < G_N_ELEMENTS(gates); i++) {
        Saying saying = { .wanted = true, .until_us = NEVER_US };

        if (ask->incident->goes_on && !gates[i].always)
            continue;
        bool open = gates[i].opens(ask, &saying);
        json_t *one = json_object();
        json_object_set_new_nocheck(one, "gate", json_string_nocheck(gates[i].name)); /* a command has them all: json_pack() takes its time */
        json_object_set_new_nocheck(one, "open", json_boolean(open));
        json_set_string(one, "text", saying.text);
        json_array_append_new(all, one);
        g_free(saying.text);
    }
    return all;
}
