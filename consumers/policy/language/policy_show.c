/* Sections are written by the rows they are read by (fields.c); what is read by hand is written by hand here. */
#include "consumers/policy/language/policy_show.h"

#include "consumers/policy/engine/schedule.h"
#include "consumers/policy/language/fields.h"
#include "consumers/policy/language/policy_show_mom.h"
#include "lib/base/clock.h"

#include <math.h>
#include <string.h>

static void set_list(json_t *json, const char *key, json_t *list)
{
    if (json_array_size(list) > 0)
        json_object_set_new(json, key, list);
    else
        json_decref(list);
}

static json_t *duration_json(int64_t us)
{
    g_autofree char *text = duration_format(us);

    return json_string(text);
}

static json_t *bytes_json(uint64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;

    for (bytes /= 1024; unit + 1 < G_N_ELEMENTS(units) && bytes % 1024 == 0; unit++)
        bytes /= 1024;
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "%s", bytes, units[unit]);
    return json_string(text);
}

static json_t *percent_json(double percent)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    g_autofree char *text = g_strconcat(g_ascii_dtostr(number, sizeof number, percent), "%", NULL);

    return json_string(text);
}

static json_t *number_json(double number)
{
    return number == floor(number) && fabs(number) < 1e15 ? json_integer((json_int_t) number) : json_real(number);
}

static json_t *time_json(int64_t us)
{
    g_autofree char *text = us == INT64_MIN || us == INT64_MAX ? NULL : time_format(us);

    return text == NULL ? NULL : json_string(text);
}

static json_t *texts_json(const GPtrArray *texts)
{
    json_t *list = json_array();

    for (guint i = 0; i < texts->len; i++)
        json_array_append_new(list, json_string(texts->pdata[i]));
    return list;
}

static json_t *section_to_json(const Section *section, const void *thing);

static json_t *in_range(const Field *field, double value, json_t *json)
{
    if (value >= field->min && value <= field->max)
        return json;
    json_decref(json);
    return NULL;
}

/* NULL: it says nothing (a value outside of its row's range is the engine's "not set"). */
static json_t *field_to_json(const Field *field, const void *thing)
{
    const void *at = (const char *) thing + field->offset;
    json_t *json = NULL;

    switch (field->type) {
    case FIELD_HAND: return NULL;
    case FIELD_TEXT:
    case FIELD_WORD: return *(char *const *) at == NULL ? NULL : json_string(*(char *const *) at);
    case FIELD_ENUM: return json_string(field->words[*(const int *) at]);
    case FIELD_CHOICE: return json_string(field->words[*(const bool *) at ? 1 : 0]);
    case FIELD_BOOL: return json_boolean(*(const bool *) at);
    case FIELD_COUNT: return in_range(field, *(const unsigned *) at, json_integer(*(const unsigned *) at));
    case FIELD_WHOLE: return in_range(field, *(const int *) at, json_integer(*(const int *) at));
    case FIELD_NUMBER: return in_range(field, *(const double *) at, number_json(*(const double *) at));
    case FIELD_QUANTITY: return fabs(*(const double *) at) >= 1e18 ? NULL : number_json(*(const double *) at);
    case FIELD_DURATION: return in_range(field, (double) *(const int64_t *) at, duration_json(*(const int64_t *) at));
    case FIELD_BYTES: return in_range(field, (double) *(const uint64_t *) at, bytes_json(*(const uint64_t *) at));
    case FIELD_PERCENT: return in_range(field, *(const unsigned *) at, percent_json(*(const unsigned *) at));
    case FIELD_SHARE: return in_range(field, *(const double *) at, percent_json(*(const double *) at));
    case FIELD_TIME: return time_json(*(const int64_t *) at);
    case FIELD_TEXTS: json = texts_json(*(GPtrArray *const *) at); break;
    case FIELD_MAP: json = section_to_json(field->section, thing); break;
    }
    if (json_array_size(json) + json_object_size(json) > 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *section_to_json(const Section *section, const void *thing)
{
    json_t *json = json_object();

    for (size_t i = 0; i < section->n_fields; i++) {
        json_t *value = field_to_json(&section->fields[i], thing);

        if (value != NULL)
            json_object_set_new(json, section->fields[i].name, value);
    }
    return json;
}

/* --- rules --- */

static void set_expression(json_t *json, const char *key, const Expression *expression)
{
    if (expression != NULL)
        json_object_set_new(json, key, json_string(expression_text(expression)));
}

static json_t *step_to_json(const Step *step)
{
    const Section *section = strcmp(step->action, ACTION_NOTIFY) == 0    ? &section_notify_step
                             : strcmp(step->action, ACTION_APPROVE) == 0 ? &section_approve_step
                                                                         : &section_step;
    json_t *json = json_pack("{s:s}", "do", step->action);
    g_autoptr(json_t) values = section_to_json(section, step);

    set_expression(json, "when", step->when);
    json_object_update(json, values);
    return json;
}

static json_t *pattern_to_json(const Pattern *pattern)
{
    json_t *json = section_to_json(&section_pattern, pattern);

    set_expression(json, "where", pattern->where);
    return json;
}

static void set_temporal(json_t *json, const Rule *rule)
{
    json_t *list = json_array();

    if (rule->temporal == TEMPORAL_ABSENT && rule->others->len > 0)
        json_object_set_new(json, "absent", pattern_to_json(rule->others->pdata[0]));
    for (guint i = 0; rule->temporal == TEMPORAL_SEQUENCE && i < rule->others->len; i++)
        json_array_append_new(list, pattern_to_json(rule->others->pdata[i]));
    set_list(json, "sequence", list);
}

static void set_calendar(json_t *json, const char *key, const Schedule *schedule)
{
    if (schedule != NULL)
        json_object_set_new(json, key, json_string(schedule_name(schedule)));
}

static json_t *rule_to_json(const Rule *rule)
{
    json_t *json = json_pack("{s:s, s:s}", "name", rule->name, "on", rule->on), *ladder = json_array(), *keys = json_array();
    g_autoptr(json_t) values = section_to_json(&section_rule, rule);

    set_expression(json, "where", rule->where);
    json_object_update(json, values);
    set_temporal(json, rule);
    for (guint i = 0; i < rule->group_by->len; i++)
        json_array_append_new(keys, json_string(expression_text(rule->group_by->pdata[i])));
    set_list(json, "group_by", keys);
    set_calendar(json, "during", rule->during);
    set_calendar(json, "not_during", rule->not_during);
    for (guint i = 0; i < rule->ladder->len; i++)
        json_array_append_new(ladder, step_to_json(rule->ladder->pdata[i]));
    json_object_set_new(json, "ladder", ladder);
    return json;
}

/* --- applications --- */

static json_t *service_to_json(const AppService *service)
{
    json_t *json = section_to_json(&section_service, service);

    if (service->parameters != NULL)
        json_object_set(json, "parameters", service->parameters);
    return json;
}

static json_t *vm_to_json(const Application *application, const AppVm *vm)
{
    json_t *json = section_to_json(&section_vm, vm), *services = json_array();

    if (vm->priority < 0)
        json_object_set_new(json, "priority", json_integer(application->priority));
    for (guint i = 0; i < vm->services->len; i++)
        json_array_append_new(services, service_to_json(vm->services->pdata[i]));
    set_list(json, "services", services);
    return json;
}

static json_t *application_to_json(const Application *application)
{
    json_t *json = section_to_json(&section_application, application), *vms = json_array();

    for (guint i = 0; i < application->vms->len; i++)
        json_array_append_new(vms, vm_to_json(application, application->vms->pdata[i]));
    json_object_set_new(json, "vms", vms);
    return json;
}

/* --- the rest --- */

static json_t *place_rule_to_json(const PlaceRule *rule)
{
    static const char *const keys[PLACE_N] = { [PLACE_APART] = "apart", [PLACE_TOGETHER] = "together", [PLACE_ON] = "on", [PLACE_NEVER_ON] = "never_on" };
    json_t *json = section_to_json(&section_place_rule, rule);

    if (rule->kind == PLACE_APART || rule->kind == PLACE_TOGETHER) {
        json_object_set_new(json, keys[rule->kind], texts_json(rule->vms));
        return json;
    }
    json_object_del(json, "by");
    json_object_set_new(json, keys[rule->kind], section_to_json(&section_place_vms, rule));
    return json;
}

static json_t *placement_to_json(const Policy *policy)
{
    json_t *json = section_to_json(&section_placement, policy), *rules = json_array();

    for (guint i = 0; i < policy->placement.rules->len; i++)
        json_array_append_new(rules, place_rule_to_json(policy->placement.rules->pdata[i]));
    set_list(json, "rules", rules);
    return json;
}

static json_t *quiets_to_json(const Policy *policy, QuietKind kind, const Section *section)
{
    json_t *list = json_array();

    for (guint i = 0; i < policy->quiets->len; i++) {
        const Quiet *quiet = policy->quiets->pdata[i];
        json_t *json = quiet->kind == kind ? section_to_json(section, quiet) : NULL;

        if (json == NULL)
            continue;
        set_calendar(json, "schedule", quiet->schedule);
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *control_to_json(const ControlRule *control)
{
    json_t *json = section_to_json(&section_control, control);

    set_expression(json, "where", control->where);
    set_expression(json, "input", control->input);
    set_expression(json, "target", control->target);
    if (control->step_percent > 0)
        json_object_set_new(json, "step", percent_json(control->step_percent));
    else if (control->step > 0)
        json_object_set_new(json, "step", number_json(control->step));
    return json;
}

static json_t *sections_to_json(const GPtrArray *things, const Section *section)
{
    json_t *list = json_array();

    for (guint i = 0; i < things->len; i++)
        json_array_append_new(list, section_to_json(section, things->pdata[i]));
    return list;
}

/* All day long needs no word beside a day. */
static void shorten_ranges(json_t *ranges)
{
    size_t i;
    json_t *range;

    json_array_foreach(ranges, i, range)
        if (json_object_size(range) > 1 && g_strcmp0(json_string_value(json_object_get(range, "times")), "00:00-24:00") == 0)
            json_object_del(range, "times");
}

/* A calendar of one range is that range. */
static json_t *calendar_to_json(const Schedule *schedule)
{
    json_t *json = schedule_to_json(schedule), *ranges = json_object_get(json, "ranges");

    json_object_del(json, "name");
    shorten_ranges(ranges);
    shorten_ranges(json_object_get(json, "except"));
    if (json_array_size(json_object_get(json, "except")) == 0)
        json_object_del(json, "except");
    if (json_array_size(ranges) == 1 && json_object_size(json_array_get(ranges, 0)) > 0)
        json_object_update(json, json_array_get(ranges, 0));
    if (json_array_size(ranges) <= 1)
        json_object_del(json, "ranges");
    return json;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void set_calendars(json_t *json, const Policy *policy)
{
    g_autoptr(GList) names = policy->calendars == NULL ? NULL : g_hash_table_get_keys(policy->calendars);
    json_t *calendars = json_object();

    names = g_list_sort(names, by_text);
    for (GList *name = names; name != NULL; name = name->next)
        json_object_set_new(calendars, name->data, calendar_to_json(policy_calendar(policy, name->data)));
    if (names != NULL)
        json_object_set_new(json, "calendars", calendars);
    else
        json_decref(calendars);
}

static json_t *targets_to_json(const Policy *policy)
{
    json_t *json = json_object();

    for (guint i = 0; i < policy->targets->len; i++) {
        const Target *target = policy->targets->pdata[i];

        json_object_set_new(json, target->name,
                            target->kind == TARGET_LOG ? json_string("log") : json_pack("{s:s}", "exec", target->command));
    }
    return json;
}

static void set_guards(json_t *json, const Policy *policy)
{
    set_list(json, "maintenance", quiets_to_json(policy, QUIET_MAINTENANCE, &section_maintenance));
    set_list(json, "silences", quiets_to_json(policy, QUIET_SILENCE, &section_silence));
    set_list(json, "holds", quiets_to_json(policy, QUIET_HOLD, &section_hold));
    json_object_set_new(json, "budgets", policy->budgets->len == 0 ? json_string("none") : sections_to_json(policy->budgets, &section_budget));
    json_object_set_new(json, "flapping", policy->flapping.on ? section_to_json(&section_flapping, policy) : json_string("off"));
    json_object_set_new(json, "quarantine", policy->quarantine.on ? section_to_json(&section_quarantine, policy) : json_string("off"));
    json_object_set_new(json, "evidence", section_to_json(&section_evidence, policy));
}

json_t *policy_to_json(const Policy *policy)
{
    json_t *json = json_pack("{s:i}", "mend", 1), *applications = json_array(), *rules = json_array(), *controls = json_array();
    json_t *hosts = sections_to_json(policy->hosts, &section_host);
    g_autoptr(json_t) values = section_to_json(&section_root, policy);

    json_object_set_new(json, "startup_guard", policy->startup_seen_percent > 0 ? section_to_json(&section_startup_guard, policy)
                                                                               : duration_json(policy->startup_guard_us));
    json_object_update(json, values);
    json_object_set_new(json, "notify", targets_to_json(policy));
    set_calendars(json, policy);
    if (json_array_size(hosts) > 0)
        json_object_set_new(json, "topology", json_pack("{s:O}", "hosts", hosts));
    json_decref(hosts);
    for (guint i = 0; i < policy->applications->len; i++)
        json_array_append_new(applications, application_to_json(policy->applications->pdata[i]));
    set_list(json, "applications", applications);
    json_object_set_new(json, "placement", placement_to_json(policy));
    for (guint i = 0; i < policy->rules->len; i++)
        json_array_append_new(rules, rule_to_json(policy->rules->pdata[i]));
    json_object_set_new(json, "rules", rules);
    set_guards(json, policy);
    for (guint i = 0; i < policy->controls->len; i++)
        json_array_append_new(controls, control_to_json(policy->controls->pdata[i]));
    set_list(json, "controls", controls);
    if (policy->mom != NULL)
        show_mom(json, policy->mom, section_to_json);
    return json;
}
