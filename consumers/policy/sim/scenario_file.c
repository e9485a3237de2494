#include "consumers/policy/sim/scenario_file.h"

#include "lib/base/json.h"

#include <string.h>

#define SCENARIOS_MAX 1000

enum { MAY_ELSEWHERE = 1, MAY_HERE = 2, MAY_DOWN = 4 };

typedef struct Expect {
    unsigned may;   /* bits of MAY_… */
    int fenced;     /* -1: not asked */
    int told;       /* -1: not asked */
} Expect;

struct ScenarioFile {
    json_t *json;   /* whose texts the scenarios borrow */
    GArray *scenarios, *expects;
};

G_DEFINE_QUARK(mend-scenario-file-error, scenario_file_error)

static bool wrong(GError **error, const char *name, const char *what)
{
    g_set_error(error, SCENARIO_FILE_ERROR, SCENARIO_FILE_ERROR_SYNTAX, "scenario \"%s\": %s", name, what);
    return false;
}

static bool read_fault(const json_t *json, SimEvent *ret)
{
    const char *kind = json_string_value(json_array_get(json, 0));
    json_int_t numbers[4];

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        const json_t *number = json_array_get(json, i + 1);

        if (!json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) > 1000000)
            return false;
        numbers[i] = json_integer_value(number);
    }
    for (FaultKind k = 0; kind != NULL && k < FAULT_N; k++)
        if (strcmp(fault_name(k), kind) == 0) {
            *ret = (SimEvent){ k, numbers[0] * US_PER_S, numbers[1] * US_PER_S, (unsigned) numbers[2], (unsigned) numbers[3] };
            return true;
        }
    return false;
}

static bool read_faults(const json_t *list, SimScenario *scenario, GError **error)
{
    size_t i;
    json_t *fault;

    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > G_N_ELEMENTS(scenario->events))
        return wrong(error, scenario->name, "\"faults\" is a list of one to eight");
    json_array_foreach((json_t *) list, i, fault)
        if (!read_fault(fault, &scenario->events[i]))
            return wrong(error, scenario->name, "a fault is [KIND, AT, FOR, A, B], the last four whole numbers; kinds: profile.h");
    scenario->n_events = (unsigned) json_array_size(list);
    return true;
}

static bool read_expect(const json_t *json, const char *name, Expect *ret, GError **error)
{
    static const char *const places[] = { "elsewhere", "here", "down" };
    size_t i;
    json_t *item;

    *ret = (Expect){ .fenced = (int) json_int_or(json, "fenced", -1),
                     .told = json_object_get(json, "told") == NULL ? -1 : json_is_true(json_object_get(json, "told")) };
    json_array_foreach(json_object_get(json, "vms"), i, item) {
        unsigned before = ret->may;

        for (unsigned k = 0; json_is_string(item) && k < G_N_ELEMENTS(places); k++)
            if (strcmp(places[k], json_string_value(item)) == 0)
                ret->may |= 1u << k;
        if (ret->may == before)
            return wrong(error, name, "\"vms\" is a list of \"elsewhere\", \"here\" and \"down\"");
    }
    return ret->may != 0 || wrong(error, name, "\"expect\" says where the \"vms\" may be");
}

static bool in_range(const SimScenario *s)
{
    return s->hosts >= 1 && s->hosts <= 1000 && s->vms >= 1 && s->vms <= 1000 && s->services >= 1 && s->services <= 10000 && s->racks >= 1 &&
           s->racks <= 8 && s->length_us >= US_PER_MINUTE && s->length_us <= US_PER_HOUR * 24;
}

static unsigned number(const json_t *json, const char *key, unsigned otherwise)
{
    return (unsigned) CLAMP(json_int_or(json, key, otherwise), 0, 1000000);
}

static bool read_one(ScenarioFile *file, const json_t *json, GError **error)
{
    const json_t *leases = json_object_get(json, "leases");
    const char *name = json_string_or(json, "name", "?");
    SimScenario s = { .name = name, .meaning = "", .hosts = number(json, "hosts", 5), .vms = number(json, "vms", 24),
                      .services = number(json, "services", 12), .racks = number(json, "racks", 2),
                      .length_us = number(json, "seconds", 900) * US_PER_S };
    Expect expect;

    s.leases = leases == NULL ? SIM_LEASES_SOME : json_is_true(leases) ? SIM_LEASES_ALL : SIM_LEASES_NONE;
    s.no_power_management = json_is_false(json_object_get(json, "power_management"));
    if (!in_range(&s))
        return wrong(error, name, "hosts and vms are 1 to 1000, services 1 to 10000, racks 1 to 8, seconds 60 to 86400");
    if (!read_faults(json_object_get(json, "faults"), &s, error) || !read_expect(json_object_get(json, "expect"), name, &expect, error))
        return false;
    g_array_append_val(file->scenarios, s);
    g_array_append_val(file->expects, expect);
    return true;
}

ScenarioFile *scenario_file_parse(const char *text, GError **error)
{
    g_autoptr(ScenarioFile) file = g_new0(ScenarioFile, 1);
    json_error_t at;
    size_t i;
    json_t *one;

    file->scenarios = g_array_new(FALSE, TRUE, sizeof(SimScenario));
    file->expects = g_array_new(FALSE, TRUE, sizeof(Expect));
    file->json = json_loads(text, JSON_REJECT_DUPLICATES, &at);
    if (file->json == NULL) {
        g_set_error(error, SCENARIO_FILE_ERROR, SCENARIO_FILE_ERROR_SYNTAX, "line %d, column %d: %s", at.line, at.column, at.text);
        return NULL;
    }
    const json_t *all = json_object_get(file->json, "scenarios");
    if (json_array_size(all) == 0 || json_array_size(all) > SCENARIOS_MAX) {
        g_set_error(error, SCENARIO_FILE_ERROR, SCENARIO_FILE_ERROR_SYNTAX, "\"scenarios\" is a list of one to %d", SCENARIOS_MAX);
        return NULL;
    }
    json_array_foreach((json_t *) all, i, one)
        if (!read_one(file, one, error))
            return NULL;
    return g_steal_pointer(&file);
}

void scenario_file_free(ScenarioFile *file)
{
    if (file == NULL)
        return;
    json_decref(file->json);
    g_array_unref(file->scenarios);
    g_array_unref(file->expects);
    g_free(file);
}

unsigned scenario_file_count(const ScenarioFile *file)
{
    return file->scenarios->len;
}

const SimScenario *scenario_file_get(const ScenarioFile *file, unsigned i)
{
    return &g_array_index(file->scenarios, SimScenario, i);
}

bool scenario_file_holds(const ScenarioFile *file, unsigned i, const SimReport *report, char **ret_why)
{
    const Expect *expect = &g_array_index(file->expects, Expect, i);
    bool places = report->victims > 0 && (report->victims_elsewhere == 0 || (expect->may & MAY_ELSEWHERE) != 0) &&
                  (report->victims_here == 0 || (expect->may & MAY_HERE) != 0) && (report->victims_down == 0 || (expect->may & MAY_DOWN) != 0);

    *ret_why = NULL;
    if (report->broken != INVARIANT_N)
        *ret_why = g_strdup_printf("breaks %s: %s", invariant_name(report->broken), report->what);
    else if (!places || (expect->fenced >= 0 && (int) report->fenced != expect->fenced) || (expect->told >= 0 && report->victims_told != expect->told))
        *ret_why = g_strdup_printf("not the end that is written: of %u VMs %u run elsewhere, %u here, %u do not; %u hosts fenced; a human was %s",
                                   report->victims, report->victims_elsewhere, report->victims_here, report->victims_down, report->fenced,
                                   report->victims_told ? "told" : "not told");
    return *ret_why == NULL;
}
