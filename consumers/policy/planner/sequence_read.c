/* A sequence from JSON: what a snapshot holds. Everything is checked, since a snapshot is a file and files rot. */
#include "consumers/policy/planner/sequence.h"

#include "lib/base/json.h"

#include <string.h>

G_DEFINE_QUARK(mend-sequence-error-quark, sequence_error)

#define X(id, text) [ITEM_##id] = text,
static const char *const item_states[] = { ITEM_STATES(X) };
#undef X

static bool malformed(GError **error, guint number, const char *what)
{
    g_set_error(error, SEQUENCE_ERROR, SEQUENCE_ERROR_MALFORMED, "item %u: %s", number, what);
    return false;
}

static bool read_numbers(const json_t *json, const char *key, SequenceItem *item, void add(SequenceItem *, guint), GError **error)
{
    const json_t *list = json_object_get(json, key);

    if (list == NULL)
        return true;
    if (!json_is_array(list))
        return malformed(error, item->number, "needs and after are lists of numbers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *number = json_array_get(list, i);

        if (!json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) >= (json_int_t) item->number)
            return malformed(error, item->number, "needs and after name items before it");
        add(item, (guint) json_integer_value(number));
    }
    return true;
}

static bool read_state(const json_t *json, SequenceItem *item, GError **error)
{
    const char *state = json_string_or(json, "state", "waiting");

    for (unsigned i = 0; i < ITEM_STATE_N; i++)
        if (strcmp(item_states[i], state) == 0) {
            item->state = (ItemState) i;
            return true;
        }
    return malformed(error, item->number, "its state is waiting, running, done, failed or skipped");
}

static bool read_item(Sequence *sequence, const json_t *json, GError **error)
{
    guint number = sequence->items->len;
    const char *action = json_string_or(json, "action", ""), *target = json_string_or(json, "target", "");
    int64_t group = json_int_or(json, "group", number), timeout_us = json_int_or(json, "timeout_us", 0);
    SequenceItem *item;

    if (!json_is_object(json) || json_int_or(json, "number", number) != (int64_t) number)
        return malformed(error, number, "its number is not its place in the list");
    if (action[0] == '\0' || target[0] == '\0')
        return malformed(error, number, "has an action and a target");
    if (group < 0 || group > (int64_t) number)
        return malformed(error, number, "its group is an item before it or itself");
    if (timeout_us < 0)
        return malformed(error, number, "timeout_us is not negative");
    item = sequence_add(sequence, action, target, timeout_us);
    item->group = (guint) group;
    item->host = g_strdup(json_string_or(json, "host", NULL));
    item->ready = g_strdup(json_string_or(json, "ready", NULL));
    item->reason = g_strdup(json_string_or(json, "reason", NULL));
    item->late_goes_on = json_bool_or(json, "late_goes_on", false);
    return read_numbers(json, "needs", item, sequence_item_needs, error) &&
           read_numbers(json, "after", item, sequence_item_after, error) && read_state(json, item, error);
}

Sequence *sequence_from_json(const json_t *json, GError **error)
{
    const char *name = NULL;
    g_autoptr(Sequence) sequence = NULL;
    const json_t *items = json_object_get(json, "items");
    int64_t at_once = json_int_or(json, "at_once", 0);

    if (!json_get_string(json, "name", &name, error))
        return NULL;
    if (!json_is_array(items) || json_array_size(items) > SEQUENCE_ITEMS_MAX || at_once < 0 || at_once > SEQUENCE_ITEMS_MAX) {
        g_set_error(error, SEQUENCE_ERROR, SEQUENCE_ERROR_MALFORMED, "%s: items is a list of at most %d, at_once not more", name,
                    SEQUENCE_ITEMS_MAX);
        return NULL;
    }
    sequence = sequence_new(name);
    sequence->at_once = (guint) at_once;
    for (size_t i = 0; i < json_array_size(items); i++)
        if (!read_item(sequence, json_array_get(items, i), error))
            return NULL;
    return g_steal_pointer(&sequence);
}
