/* One table, from what holds everything to what holds one thing for a moment. A gate looks and says; it changes nothing, so asking all
 * of them for a record costs only time. */
#include "consumers/policy/engine/gate.h"

#include "consumers/policy/engine/engine_private.h"

#include <string.h>

/* What a gate says of itself: texts are made only when somebody reads them. */
typedef struct Saying {
    bool wanted;
    char *text;
    IncidentWait wait; /* the gate's, unless it says another */
    int64_t until_us;
    bool capped;
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
    say(saying, "epoch %" G_GUINT64_FORMAT, ask->stage->engine->epoch);
    return ask->stage->engine->epoch != 0;
}

static bool paused_opens(const GateAsk *ask, Saying *saying)
{
    (void) saying;
    return !ask->stage->engine->paused;
}

static bool guard_opens(const GateAsk *ask, Saying *saying)
{
    saying->until_us = ask->stage->engine->guard_until_us;
    return ask->stage->engine->now_us >= ask->stage->engine->guard_until_us;
}

static bool observer_opens(const GateAsk *ask, Saying *saying)
{
    bool independent = evidence_is_independent(ask->stage->engine, ask->incident->entity);

    say(saying, ask->stage->engine->observer_fault ? independent ? "ill, but others saw it too" : "ill" : "well");
    return !ask->stage->engine->observer_fault || independent;
}

static bool observe_only_opens(const GateAsk *ask, Saying *saying)
{
    say(saying, "rule %s", ask->rule->name);
    return !ask->rule->observe_only;
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

static bool deed_opens(const GateAsk *ask, Saying *saying)
{
    if (ask->deed->kind != DEED_WAIT)
        return true;
    say(saying, "%s", ask->deed->why);
    saying->wait = ask->deed->wait;
    saying->capped = true;
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
    { "paused", WAIT_PAUSED, paused_opens, .always = true },
    { "start-up", WAIT_GUARD, guard_opens, .always = true },
    { "observer", WAIT_OBSERVER, observer_opens, .always = true },
    { "observe-only", WAIT_OBSERVE_ONLY, observe_only_opens, .always = true },
    { "agent", WAIT_AGENT, agent_opens, .always = true },
    { "state", WAIT_UNKNOWN, state_opens, .always = true },
    { "back-off", WAIT_BACKOFF, backoff_opens },
    { "deed", WAIT_PROOF, deed_opens, .always = true, .named = true },
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
        *ret_answer = (GateAnswer){ saying.wait, saying.until_us, saying.capped, saying.text, gates[i].named };
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
        json_array_append_new(all, json_pack("{s:s, s:b, s:s*}", "gate", gates[i].name, "open", open, "text", saying.text));
        g_free(saying.text);
    }
    return all;
}
