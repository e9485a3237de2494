/* What is right by itself and wrong together, found while the author still sits in front of the file: what the engine could not do safely, what
 * can never happen, what undoes each other.
 *
 * A condition is asked with nothing but the kind of event known: what is false then is false for every such event, because an error never
 * makes a condition false. So "vm.*" with a condition that leaves vm.unknown out may act, and one without may not. */
#include "consumers/policy/language/check.h"

#include <string.h>

/* Which states are failures, and whose kinds of action they are to be answered by. */
static const struct {
    const char *kind;    /* of the event */
    const char *actions; /* kinds and single actions, " " between */
} answers[] = {
    { "service.failed", "service vm app host.evacuate" },   { "service.stopped", "service vm app host.evacuate" },
    { "service.degraded", "service vm app host.evacuate" }, { "vm.stopped", "vm app host.evacuate" },
    { "vm.crashed", "vm app host.evacuate" },               { "vm.panicked", "vm app host.evacuate" },
    { "vm.hung", "vm app host.evacuate" },                  { "vm.paused", "vm app host.evacuate" },
    { "vm.suspended", "vm app" },                           { "vm.lost", "vm app host.evacuate" },
    { "vm.rebooted", "vm app host.evacuate" },              { "vm.reverted", "vm app" },
    { "vm.path-lost", "vm app host.evacuate" },             { "vm.storage-degraded", "vm app host.evacuate" },
    { "vm.eject", "vm.migrate" },
    { "host.dead", "host" },                                { "host.isolated", "host" },
    { "host.degraded", "host.evacuate" },
};
/* States that are failures when what should follow them does not come. */
static const struct {
    const char *kind, *actions;
} waited_for[] = { { "service.starting", "service vm app host.evacuate" }, { "service.stopping", "service vm app host.evacuate" },
                   { "vm.starting", "vm app host.evacuate" },              { "vm.stopping", "vm app host.evacuate" },
                   { "vm.migrating", "vm app host.evacuate" } };

static bool word_in(const char *words, const char *word)
{
    g_auto(GStrv) all = g_strsplit(words, " ", -1);

    return g_strv_contains((const char *const *) all, word);
}

static const char *answers_to(const char *kind, bool absent)
{
    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++)
        if (strcmp(answers[i].kind, kind) == 0)
            return answers[i].actions;
    for (size_t i = 0; absent && i < G_N_ELEMENTS(waited_for); i++)
        if (strcmp(waited_for[i].kind, kind) == 0)
            return waited_for[i].actions;
    return NULL;
}

void refuse(Loader *l, const YamlNode *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (l->trusted)
        warn(l, node, "%s", text);
    else
        complain(l, node, "%s", text);
}

const YamlNode *step_place(const Loader *l, const Step *step)
{
    const YamlNode *node = loader_place_of(l, step), *action = yaml_get(node, "do");

    return action == NULL ? node : action;
}

/* --- what may not be done --- */

static void check_failure(Loader *l, const Rule *rule, const Step *step, const char *kind)
{
    const char *allowed = answers_to(kind, rule->temporal == TEMPORAL_ABSENT), *state = strchr(kind, '.') + 1;
    const YamlNode *at = step_place(l, step);

    if (strcmp(state, "unknown") == 0)
        refuse(l, at, "rule %s: %s on %s: unknown is not a failure: only notify steps may follow it", rule->name, step->action, kind);
    else if (g_str_has_prefix(kind, "agent."))
        refuse(l, at, "rule %s: %s on %s: an agent that is silent says nothing about its VM: only notify steps may follow it", rule->name,
               step->action, kind);
    else if (g_str_has_prefix(kind, "storage."))
        refuse(l, at, "rule %s: %s on %s: a storage event names no VM and no host to act on: only notify steps may follow it", rule->name,
               step->action, kind);
    else if (allowed == NULL)
        refuse(l, at, "rule %s: %s on %s: %s is no failure: only notify steps may follow it", rule->name, step->action, kind, kind);
    else if (strcmp(step->action, "host.fence") == 0 && strcmp(kind, "host.dead") != 0 && strcmp(kind, "host.isolated") != 0)
        refuse(l, at, "rule %s: host.fence on %s: only host.dead and host.isolated say that a host has to be fenced", rule->name, kind);
    else if (!word_in(allowed, action_kind(step->action)) && !word_in(allowed, step->action))
        refuse(l, at, "rule %s: %s on %s: a %.*s event does not say which %s is meant", rule->name, step->action, kind,
               (int) (state - 1 - kind), kind, action_kind(step->action));
}

/* In-flight writes of a VM that storage stopped may be lost or doubled when it goes on elsewhere. */
static void check_paused(Loader *l, const Rule *rule, const Step *step)
{
    static const char *const reasons[] = { "io-error", "enospc", "eperm" };

    if (strcmp(step->action, "vm.migrate") != 0 && strcmp(step->action, "vm.relocate") != 0)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (may_hold(rule->where, &(Known){ .kind = "vm.paused", .reason = reasons[i] })) {
            refuse(l, step_place(l, step),
                   "rule %s: %s on vm.paused: a VM that an I/O error paused is never moved; leave it out: where: event.reason == \"user\"",
                   rule->name, step->action);
            return;
        }
}

/* One complaint for each step: the first kind of event that does not go with it. */
static void check_rule(Loader *l, const Rule *rule, const Step *step)
{
    guint before = l->errors->len + l->warnings->len;

    for (const char *const *kind = event_kinds_known; *kind != NULL && l->errors->len + l->warnings->len == before; kind++) {
        if (!pattern_listens(rule->on, *kind) || !may_hold(rule->where, &(Known){ .kind = *kind }))
            continue;
        check_failure(l, rule, step, *kind);
        if (strcmp(*kind, "vm.paused") == 0 && l->errors->len + l->warnings->len == before)
            check_paused(l, rule, step);
    }
}

/* In a sequence the last pattern's event is the one acted on. */
void check_safety(Loader *l)
{
    for (guint i = 0; i < l->policy->rules->len; i++) {
        const Rule *rule = l->policy->rules->pdata[i];
        const Pattern *last = rule->temporal == TEMPORAL_SEQUENCE && rule->others->len > 0 ? rule->others->pdata[rule->others->len - 1] : NULL;
        Rule seen = *rule;

        if (last != NULL) {
            seen.on = last->on;
            seen.where = last->where;
        }
        for (guint k = 0; k < rule->ladder->len; k++)
            if (action_kind(((Step *) rule->ladder->pdata[k])->action) != NULL)
                check_rule(l, &seen, rule->ladder->pdata[k]);
    }
}

void policy_check(Loader *l)
{
    check_safety(l);
    check_fights(l);
    check_reach(l);
    check_order(l);
    check_placement(l);
    check_matchers(l);
    check_controls(l);
}
