/* A step's condition is asked each time the ladder comes to it, long after the event that opened the incident. So what it names of the event is kept
 * with the incident; what it names of the entity and its machines is what holds now. */
#include "consumers/policy/engine/when.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/scope.h"
#include "consumers/policy/language/cel/json.h"

#define FACTS_BYTES 2048
#define FACTS_MAX_BYTES (1u << 20) /* events are smaller */

static void keep_names(json_t *facts, const Expression *when, Scope *scope)
{
    char first[FACTS_BYTES];
    CelArena arena;
    size_t n;
    const CelName *const *names = expression_names(when, &n);

    cel_arena_init(&arena, first, sizeof first, FACTS_MAX_BYTES);
    for (size_t i = 0; i < n; i++) {
        CelValue value;

        if (strcmp(names[i]->object, "event") == 0 && scope_look_up(names[i], &arena, scope, &value) && !cel_is_error(value))
            json_object_set_new(facts, names[i]->label, cel_to_json(value));
    }
    cel_arena_done(&arena);
}

json_t *when_facts(Engine *engine, EntityState *entity, const Rule *rule, const Event *event)
{
    Scope scope = { .engine = engine, .entity = entity, .event = event };
    g_autoptr(json_t) facts = json_object();

    for (guint i = 0; i < rule->ladder->len; i++) {
        const Step *step = rule->ladder->pdata[i];

        if (step->when != NULL)
            keep_names(facts, step->when, &scope);
    }
    return json_object_size(facts) == 0 ? NULL : g_steal_pointer(&facts);
}

bool when_holds(Stage *s, const Incident *incident, const Step *step)
{
    Scope scope = { .engine = s->engine, .entity = incident->entity, .facts = incident->facts };
    g_autoptr(json_t) values = NULL;
    g_autofree char *why = NULL;

    if (step->when == NULL || expression_holds(step->when, scope_look_up, &scope, NULL, NULL) == EXPRESSION_TRUE)
        return true;
    values = json_object();
    expression_holds(step->when, scope_look_up, &scope, values, &why);
    put_record(s, "step.passed-over", incident, NULL,
               json_pack("{s:i, s:s, s:s, s:O}", "step", (int) incident->step + 1, "do", step->action, "when", expression_text(step->when), "values",
                         values),
               "%s is passed over: %s", step->action, why == NULL ? "its condition does not hold" : why);
    return false;
}
