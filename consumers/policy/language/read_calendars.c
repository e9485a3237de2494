/* Calendars: when rules and quiet times hold. Each text is read by the schedule's own parser, so that its complaint stands at that text. */
#include "consumers/policy/language/loader.h"

#include "consumers/policy/engine/schedule.h"

#include <string.h>

static GPtrArray *calendar_names(const Policy *policy)
{
    GPtrArray *names = g_ptr_array_new();
    g_autoptr(GList) keys = policy->calendars == NULL ? NULL : g_hash_table_get_keys(policy->calendars);

    keys = g_list_sort(keys, (GCompareFunc) strcmp);
    for (GList *key = keys; key != NULL; key = key->next)
        g_ptr_array_add(names, key->data);
    g_ptr_array_add(names, NULL);
    return names;
}

void read_schedule(Loader *l, const YamlNode *node, const char *name, Schedule **ret)
{
    *ret = (Schedule *) policy_calendar(l->policy, name);
    if (*ret != NULL)
        return;
    g_autoptr(GPtrArray) names = calendar_names(l->policy);
    complain_word(l, node, "calendar", name, (const char *const *) names->pdata);
}

/* False: complained. */
static bool read_range_text(Loader *l, const YamlNode *node, const char *key, ScheduleRange *range)
{
    g_autoptr(GError) local = NULL;
    const char *text = read_text(l, node, key);
    bool fine = text != NULL;

    if (!fine)
        return false;
    if (strcmp(key, "weekdays") == 0)
        fine = schedule_weekdays_parse(text, &range->weekdays, &local);
    else if (strcmp(key, "months") == 0)
        fine = schedule_months_parse(text, &range->months, &local);
    else if (strcmp(key, "times") == 0)
        fine = schedule_times_parse(text, range, &local);
    else
        fine = schedule_dates_parse(text, range, &local);
    return fine || complain(l, node, "%s: %s", key, local->message);
}

/* The keys of a range in @map; *ret_any: there is one. False: complained. */
static bool read_range(Loader *l, const YamlNode *map, ScheduleRange *range, bool *ret_any)
{
    static const char *const keys[] = { "weekdays", "months", "times", "dates" };
    bool fine = true;

    *range = (ScheduleRange) SCHEDULE_RANGE_ALWAYS;
    *ret_any = false;
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        const YamlNode *node = yaml_get(map, keys[i]);

        if (node == NULL)
            continue;
        *ret_any = true;
        fine = read_range_text(l, node, keys[i], range) && fine;
    }
    return fine;
}

static void add_range(Loader *l, const YamlNode *node, const ScheduleRange *range, bool except, Schedule *schedule)
{
    g_autoptr(GError) local = NULL;

    if (!(except ? schedule_exclude(schedule, range, &local) : schedule_add(schedule, range, &local)))
        complain(l, node, "%s", local->message);
}

static void read_ranges(Loader *l, const YamlNode *list, const char *key, Schedule *schedule)
{
    if (!read_is_list(l, list, key))
        return;
    for (size_t i = 0; i < yaml_size(list); i++) {
        const YamlNode *node = yaml_at(list, i);
        ScheduleRange range;
        bool any;

        if (!read_fields(l, node, &section_period, NULL) || !read_range(l, node, &range, &any))
            continue;
        if (!any)
            complain(l, node, "a range without weekdays, months, times and dates is always");
        else
            add_range(l, node, &range, strcmp(key, "except") == 0, schedule);
    }
}

static void read_calendar(Loader *l, const YamlNode *node, const char *name)
{
    const YamlNode *zone = yaml_get(node, "zone"), *ranges = yaml_get(node, "ranges"), *except = yaml_get(node, "except");
    g_autoptr(GError) local = NULL;
    ScheduleRange range;
    bool any;

    if (!read_fields(l, node, &section_calendar, NULL))
        return;
    const char *zone_name = zone == NULL ? NULL : read_text(l, zone, "zone");
    Schedule *schedule = schedule_new(name, zone_name, &local);
    if (schedule == NULL) {
        complain(l, zone, "zone: %s", local->message);
        schedule = schedule_new(name, NULL, NULL); /* it is known from here on: one mistake, one complaint */
    }
    g_hash_table_insert(l->policy->calendars, g_strdup(name), schedule);
    if (read_range(l, node, &range, &any) && any)
        add_range(l, node, &range, false, schedule);
    if (any && ranges != NULL)
        complain(l, ranges, "ranges: this calendar is a range itself: put its keys into one of them");
    else if (ranges != NULL)
        read_ranges(l, ranges, "ranges", schedule);
    if (except != NULL)
        read_ranges(l, except, "except", schedule);
    if (!any && yaml_size(ranges) == 0 && yaml_size(except) == 0 && yaml_size(node) == (zone == NULL ? 0 : 1))
        complain(l, node, "calendar %s never is: weekdays, months, times, dates, ranges or except are wanted", name);
}

void read_calendars(Loader *l, const YamlNode *root)
{
    const YamlNode *calendars = yaml_get(root, "calendars");

    if (calendars == NULL)
        return;
    if (calendars->kind != YAML_MAP) {
        complain(l, calendars, "calendars is a map: {office: {weekdays: mon-fri, times: \"08:00-18:00\"}} is wanted");
        return;
    }
    l->policy->calendars = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) schedule_free);
    for (size_t i = 0; i < yaml_size(calendars); i++)
        read_calendar(l, yaml_at(calendars, i), yaml_key(calendars, i));
}
