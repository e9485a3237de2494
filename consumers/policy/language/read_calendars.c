/* Calendars: when rules and quiet times hold. */
#include "consumers/policy/language/loader.h"

#include <string.h>

void read_schedule(Loader *l, const YamlNode *node, const char *name, Schedule **ret)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    GHashTableIter iter;
    gpointer known;

    *ret = (Schedule *) policy_calendar(l->policy, name);
    if (*ret != NULL)
        return;
    if (l->policy->calendars != NULL) {
        g_hash_table_iter_init(&iter, l->policy->calendars);
        while (g_hash_table_iter_next(&iter, &known, NULL))
            g_ptr_array_add(names, known);
    }
    g_ptr_array_add(names, NULL);
    complain_word(l, node, "calendar", name, (const char *const *) names->pdata);
}

void read_calendars(Loader *l, const YamlNode *root)
{
    if (yaml_get(root, "calendars") != NULL)
        complain(l, yaml_get(root, "calendars"), "calendars are read by a later version");
}
