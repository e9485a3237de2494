/* mend-expressions: what the policy's expressions cost on one core. First single conditions: evaluated, evaluated with the values kept for the
 * journal, read and checked. Then 50 rules that all listen and never hold, through the engine, per event. Prints JSON. */
#include "consumers/policy/engine/engine.h"
#include "consumers/policy/language/cel/json.h"
#include "consumers/policy/language/policy_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 300000
#define RULES 50
#define EVENTS 100000

static const char *const conditions[] = {
    "entity.app == \"shop\"",
    "entity.app == \"shop\" && event.intent != \"admin\"",
    "entity.app == \"shop\" && event.intent == \"none\" && event.rc in [1, 7] && !(entity.name in [\"a\", \"b\", \"c\"])",
    "has(event.rc) && event.rc > 3 || entity.name.startsWith(\"ng\")",
    "event.says == \"x\" || event.exit_status == 3 || entity.app == \"zoo\"",
    "entity.group.exists(g, g == \"eu\")",
    "entity.name.matches(\"^ng[a-z]+x$\")",
    "event.pid * 2 + 1 > 7 && event.reason.contains(\"no\")",
};

static bool answer(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    static const CelValue groups[] = { { .kind = CEL_STRING, .extra = 4, .as.text = "gold" }, { .kind = CEL_STRING, .extra = 2, .as.text = "eu" } };

    if (name->type->kind == CEL_LIST)
        *ret_value = cel_list(arena, groups, G_N_ELEMENTS(groups));
    else if (name->type->kind == CEL_STRING)
        *ret_value = cel_string(name->tag == NAME_ENTITY_APP ? "shop" : name->tag == NAME_ENTITY_NAME ? "nginx" : "none");
    else
        *ret_value = cel_int(7);
    return g_strcmp0(name->field, "says") != 0 && g_strcmp0(name->field, "exit_status") != 0;
}

/* Of this program on its core, whatever else runs. */
static int64_t cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static double ns_per(int64_t began_us, int rounds)
{
    return (double) (cpu_us() - began_us) * 1000 / rounds;
}

static json_t *measure_condition(const char *text)
{
    g_autoptr(Expression) e = expression_parse(text, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, NULL);
    g_autoptr(json_t) values = json_object();
    int64_t began = cpu_us();

    for (int i = 0; i < ROUNDS; i++)
        expression_holds(e, answer, NULL, NULL, NULL);
    double evaluated = ns_per(began, ROUNDS);
    began = cpu_us();
    for (int i = 0; i < ROUNDS / 10; i++) {
        json_object_clear(values);
        expression_holds(e, answer, NULL, values, NULL);
    }
    double kept = ns_per(began, ROUNDS / 10);
    began = cpu_us();
    for (int i = 0; i < ROUNDS / 100; i++)
        expression_free(expression_parse(text, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, NULL));
    return json_pack("{s:s, s:f, s:f, s:f, s:I}", "condition", text, "ns", evaluated, "ns_with_values", kept, "ns_to_read",
                     ns_per(began, ROUNDS / 100), "worst_cost", (json_int_t) expression_cost(e));
}

static Policy *many_rules(void)
{
    g_autoptr(GString) text = g_string_new("mend: 1\napplications: [{name: shop, vms: [{name: web, match: {name: web-1}}]}]\nrules:\n");
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < RULES; i++)
        g_string_append_printf(text, "  - {name: r%d, on: service.*, where: 'event.kind == \"service.failed\" && entity.app == \"app%d\" && "
                                     "event.intent == \"none\" || entity.app == \"shop\" && event.rc in [%d, 999] && entity.name.startsWith(\"s%d\")', "
                                     "ladder: [{do: notify, to: oncall}]}\n", i, i, i + 100, i);
    Policy *policy = policy_parse("rules", text->str, &error);
    if (policy == NULL) {
        fprintf(stderr, "mend-expressions: %s\n", error->message);
        exit(1);
    }
    return policy;
}

static double events_per_second(void)
{
    g_autoptr(Policy) policy = many_rules();
    g_autoptr(Engine) engine = engine_new(policy);
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify) event_unref);

    for (int i = 0; i < EVENTS; i++) {
        g_autofree char *id = g_strdup_printf("00000000-0000-4000-8000-%012d", i), *entity = g_strdup_printf("service/vm-1/s%d", i % 100);
        g_autoptr(json_t) data = json_pack("{s:s, s:i, s:s}", "intent", "none", "rc", 7, "hostname", "web-1");

        g_ptr_array_add(events, event_new(&(EventFields){ .id = id, .kind = "service.running", .source = "a", .entity = entity,
                                                          .time_us = 1000000 + i, .sequence = (uint64_t) i + 1, .severity = 6,
                                                          .boot_id = "b", .confidence = 1, .data = data }));
    }
    int64_t began = cpu_us();
    for (int i = 0; i < EVENTS; i++) {
        engine_step(engine, &(EngineInput){ .kind = INPUT_EVENT, .event = events->pdata[i] }, 1000000 + i, outputs);
        g_ptr_array_set_size(outputs, 0);
    }
    return 1e9 / ns_per(began, EVENTS);
}

int main(void)
{
    g_autoptr(json_t) result = json_object();
    json_t *list = json_array();

    for (size_t i = 0; i < G_N_ELEMENTS(conditions); i++)
        json_array_append_new(list, measure_condition(conditions[i]));
    json_object_set_new(result, "conditions", list);
    json_object_set_new(result, "rules", json_integer(RULES));
    json_object_set_new(result, "events_per_second", json_integer((json_int_t) events_per_second()));
    json_dumpf(result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
    putchar('\n');
    return 0;
}
