/* Three sources, each for what only it knows: the engine for what is true now, the policy for rules that do not listen, the journal for
 * rules that listened and whose condition did not hold, with the values it had. */
#include "consumers/policy/why_not.h"

#include "consumers/policy/story.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <string.h>

static void reason(json_t *reasons, const char *what, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void reason(json_t *reasons, const char *what, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    json_array_append_new(reasons, json_pack("{s:s, s:s}", "what", what, "text", text));
}

static const json_t *open_incident(const json_t *incidents, const char *entity)
{
    size_t i;
    json_t *incident;

    json_array_foreach((json_t *) incidents, i, incident)
        if (strcmp(json_string_or(incident, "entity", ""), entity) == 0)
            return incident;
    return NULL;
}

static void incident_reasons(json_t *reasons, const json_t *incident)
{
    const char *state = json_string_or(incident, "state", ""), *waits = json_string_or(incident, "waits_for", NULL);
    int64_t due_us = json_int_or(incident, "due_us", NEVER_US);
    g_autofree char *until = due_us == NEVER_US ? g_strdup("an input ends that") : time_format(due_us);

    if (waits != NULL)
        reason(reasons, "waits", "its incident (rule %s) waits for %s; until %s", json_string_or(incident, "rule", ""), waits, until);
    else if (strcmp(state, "needs-human") == 0)
        reason(reasons, "needs human", "its ladder (rule %s) is used up after %d attempts: bring it back, or mend operate retry",
               json_string_or(incident, "rule", ""), (int) json_int_or(incident, "attempts", 0));
    else
        reason(reasons, "under way", "something is being done: its incident (rule %s) is %s, attempt %d; mend why tells what",
               json_string_or(incident, "rule", ""), state, (int) json_int_or(incident, "attempts", 0));
}

/* Newest first; a gate that is shut is told by "waits", a rule that did not apply by "not done". */
static void told_reasons(json_t *reasons, const json_t *lines)
{
    static const char *const told[] = { "waits", "not done", "failed", "step", "needs human", "verdict", "not told", NULL };
    size_t n = json_array_size(lines);
    unsigned most = 6;

    for (size_t i = n; i-- > 0 && most > 0;) {
        const json_t *line = json_array_get(lines, i);
        const char *what = json_string_or(line, "what", "");

        if (strcmp(what, "event") == 0 && i + 1 < n)
            break; /* what stands before the newest event was about an older one */
        if (g_strv_contains(told, what)) {
            reason(reasons, what, "%s", json_string_or(line, "text", ""));
            most--;
        }
    }
}

static void rule_reasons(json_t *reasons, const Policy *policy, const char *entity, const char *state)
{
    g_autofree char *kind = g_strdup_printf("%.*s.%s", (int) strcspn(entity, "/"), entity, state);
    bool any = false;

    for (guint i = 0; i < policy->rules->len; i++)
        any = any || rule_listens(policy->rules->pdata[i], kind);
    if (!any)
        reason(reasons, "no rule", "none of the %u rules of policy %s listens to %s", policy->rules->len, policy->name, kind);
}

json_t *why_not(const Engine *engine, Journal *journal, const char *name, GError **error)
{
    g_autoptr(json_t) story = story_of(journal, name, error), status = engine_status(engine), incidents = engine_incidents(engine);
    const char *entity = story == NULL ? NULL : json_string_or(story, "entity", ""), *state = "unknown";
    uint64_t sequence;

    if (story == NULL)
        return NULL;
    g_autoptr(json_t) answer = json_pack("{s:s, s:[]}", "entity", entity, "reasons");
    json_t *reasons = json_object_get(answer, "reasons");
    const json_t *incident = open_incident(incidents, entity), *all = json_object_get(story, "incidents");
    bool known = engine_entity(engine, entity, &state, &sequence);
    g_autofree char *kind = g_strdup_printf("%.*s.", (int) strcspn(entity, "/"), entity);

    json_object_set_new(answer, "state", json_string(state));
    if (!known)
        reason(reasons, "unknown", "the engine has never heard of it");
    if (!json_bool_or(status, "acting", false))
        reason(reasons, "engine", "this engine does not act: another one does, or none");
    if (json_bool_or(status, "paused", false))
        reason(reasons, "engine", "the engine is paused by an operator");
    if (incident != NULL)
        incident_reasons(reasons, incident);
    else if (known && g_strcmp0(state, healthy_state(kind)) == 0)
        reason(reasons, "well", "it is %s: there is nothing to do", state);
    else if (known)
        rule_reasons(reasons, engine_policy(engine), entity, state);
    if (incident != NULL && json_array_size(all) > 0)
        told_reasons(reasons, json_object_get(json_array_get(all, json_array_size(all) - 1), "lines"));
    else if (g_strcmp0(state, healthy_state(kind)) != 0)
        told_reasons(reasons, json_object_get(story, "events"));
    if (json_array_size(reasons) == 0)
        reason(reasons, "nothing", "it is %s, and no record tells why nothing was done; mend why %s has all there is", state, entity);
    return g_steal_pointer(&answer);
}

char *why_not_text(const json_t *answer)
{
    GString *text = g_string_new(NULL);
    size_t i;
    json_t *item;

    g_string_append_printf(text, "%s is %s\n", json_string_or(answer, "entity", ""), json_string_or(answer, "state", ""));
    json_array_foreach(json_object_get(answer, "reasons"), i, item)
        g_string_append_printf(text, "  %-11s  %s\n", json_string_or(item, "what", ""), json_string_or(item, "text", ""));
    return g_string_free(text, FALSE);
}
