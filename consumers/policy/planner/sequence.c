/* Prerequisites have smaller numbers than the items that wait for them, so a sequence cannot hold a cycle, whoever wrote it: one pass from
 * the front carries a failure to everything that needs it. */
#include "consumers/policy/planner/sequence.h"

#include <string.h>

#define X(id, text) [ITEM_##id] = text,
static const char *const item_states[] = { ITEM_STATES(X) };
#undef X

static void item_free(gpointer data)
{
    SequenceItem *item = data;

    g_free(item->action);
    g_free(item->target);
    g_free(item->host);
    g_free(item->ready);
    g_free(item->reason);
    g_array_unref(item->needs);
    g_array_unref(item->after);
    g_free(item);
}

Sequence *sequence_new(const char *name)
{
    Sequence *sequence = g_new0(Sequence, 1);

    sequence->name = g_strdup(name);
    sequence->items = g_ptr_array_new_with_free_func(item_free);
    return sequence;
}

void sequence_free(Sequence *sequence)
{
    if (sequence == NULL)
        return;
    g_free(sequence->name);
    g_ptr_array_unref(sequence->items);
    g_free(sequence);
}

SequenceItem *sequence_add(Sequence *sequence, const char *action, const char *target, int64_t timeout_us)
{
    SequenceItem *item = g_new0(SequenceItem, 1);

    item->number = item->group = sequence->items->len;
    item->action = g_strdup(action);
    item->target = g_strdup(target);
    item->timeout_us = timeout_us;
    item->needs = g_array_new(FALSE, FALSE, sizeof(guint));
    item->after = g_array_new(FALSE, FALSE, sizeof(guint));
    g_ptr_array_add(sequence->items, item);
    return item;
}

static void add_number(const SequenceItem *item, GArray *numbers, guint number)
{
    guint at = numbers->len;

    g_assert(number < item->number);
    while (at > 0 && g_array_index(numbers, guint, at - 1) >= number)
        at--;
    if (at == numbers->len || g_array_index(numbers, guint, at) != number)
        g_array_insert_val(numbers, at, number);
}

void sequence_item_after(SequenceItem *item, guint number)
{
    add_number(item, item->after, number);
}

void sequence_item_needs(SequenceItem *item, guint number)
{
    add_number(item, item->needs, number);
}

SequenceItem *sequence_item(const Sequence *sequence, guint number)
{
    return number < sequence->items->len ? sequence->items->pdata[number] : NULL;
}

static bool has_ended(const SequenceItem *item)
{
    return item->state != ITEM_WAITING && item->state != ITEM_RUNNING;
}

static bool is_unblocked(const Sequence *sequence, const SequenceItem *item)
{
    if (item->state != ITEM_WAITING)
        return false;
    for (guint i = 0; i < item->needs->len; i++)
        if (sequence_item(sequence, g_array_index(item->needs, guint, i))->state != ITEM_DONE)
            return false;
    for (guint i = 0; i < item->after->len; i++)
        if (!has_ended(sequence_item(sequence, g_array_index(item->after, guint, i))))
            return false;
    return true;
}

typedef struct Groups { /* begun and not ended */
    bool *open;
    guint n_open;
} Groups;

static void groups_count(const Sequence *sequence, Groups *groups)
{
    g_autofree bool *begun = g_new0(bool, sequence->items->len + 1);

    for (guint i = 0; i < sequence->items->len; i++)
        begun[sequence_item(sequence, i)->group] |= sequence_item(sequence, i)->state != ITEM_WAITING;
    for (guint i = 0; i < sequence->items->len; i++) {
        const SequenceItem *item = sequence_item(sequence, i);

        if (begun[item->group] && !has_ended(item) && !groups->open[item->group]) {
            groups->open[item->group] = true;
            groups->n_open++;
        }
    }
}

GArray *sequence_next_ready(const Sequence *sequence)
{
    GArray *ready = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autofree bool *open = g_new0(bool, sequence->items->len + 1);
    Groups groups = { open, 0 };

    if (sequence->at_once > 0)
        groups_count(sequence, &groups);
    for (guint i = 0; i < sequence->items->len; i++) {
        const SequenceItem *item = sequence_item(sequence, i);

        if (!is_unblocked(sequence, item))
            continue;
        if (sequence->at_once > 0 && !open[item->group]) {
            if (groups.n_open >= sequence->at_once)
                continue;
            open[item->group] = true;
            groups.n_open++;
        }
        g_array_append_val(ready, i);
    }
    return ready;
}

static bool may_start(const Sequence *sequence, const SequenceItem *item)
{
    g_autofree bool *open = NULL;
    Groups groups = { NULL, 0 };

    if (!is_unblocked(sequence, item))
        return false;
    if (sequence->at_once == 0)
        return true;
    groups.open = open = g_new0(bool, sequence->items->len);
    groups_count(sequence, &groups);
    return open[item->group] || groups.n_open < sequence->at_once;
}

static void item_end(SequenceItem *item, ItemState state, const char *reason)
{
    g_free(item->reason);
    item->reason = g_strdup(reason);
    item->state = state;
}

bool sequence_started(Sequence *sequence, guint number)
{
    SequenceItem *item = sequence_item(sequence, number);

    if (item == NULL || !may_start(sequence, item))
        return false;
    item->state = ITEM_RUNNING;
    return true;
}

bool sequence_done(Sequence *sequence, guint number)
{
    SequenceItem *item = sequence_item(sequence, number);

    if (item == NULL || item->state != ITEM_RUNNING)
        return false;
    item_end(item, ITEM_DONE, NULL);
    return true;
}

static const SequenceItem *lost_prerequisite(const Sequence *sequence, const SequenceItem *item)
{
    for (guint i = 0; i < item->needs->len; i++) {
        const SequenceItem *needed = sequence_item(sequence, g_array_index(item->needs, guint, i));

        if (needed->state == ITEM_FAILED || needed->state == ITEM_SKIPPED)
            return needed;
    }
    return NULL;
}

bool sequence_failed(Sequence *sequence, guint number, const char *reason)
{
    SequenceItem *failed = sequence_item(sequence, number);

    if (failed == NULL || failed->state != ITEM_RUNNING)
        return false;
    item_end(failed, ITEM_FAILED, reason);
    for (guint i = number + 1; i < sequence->items->len; i++) {
        SequenceItem *item = sequence_item(sequence, i);
        const SequenceItem *lost = item->state == ITEM_WAITING ? lost_prerequisite(sequence, item) : NULL;

        if (lost != NULL) {
            g_autofree char *text = g_strdup_printf("%s of %s %s", lost->action, lost->target,
                                                    lost->state == ITEM_FAILED ? "failed" : "was skipped");
            item_end(item, ITEM_SKIPPED, text);
        }
    }
    return true;
}

bool sequence_late(Sequence *sequence, guint number)
{
    SequenceItem *item = sequence_item(sequence, number);
    g_autofree char *reason = NULL;

    if (item == NULL || item->state != ITEM_RUNNING)
        return false;
    if (item->late_goes_on)
        return sequence_done(sequence, number);
    reason = item->ready == NULL ? g_strdup("no answer in time") : g_strdup_printf("not %s in time", item->ready);
    return sequence_failed(sequence, number, reason);
}

void sequence_cancel(Sequence *sequence, const char *reason)
{
    for (guint i = 0; i < sequence->items->len; i++)
        if (sequence_item(sequence, i)->state == ITEM_WAITING)
            item_end(sequence_item(sequence, i), ITEM_SKIPPED, reason);
}

bool sequence_is_complete(const Sequence *sequence)
{
    for (guint i = 0; i < sequence->items->len; i++)
        if (!has_ended(sequence_item(sequence, i)))
            return false;
    return true;
}

bool sequence_succeeded(const Sequence *sequence)
{
    for (guint i = 0; i < sequence->items->len; i++)
        if (sequence_item(sequence, i)->state != ITEM_DONE)
            return false;
    return true;
}

static json_t *numbers_to_json(const GArray *numbers)
{
    json_t *array = json_array();

    for (guint i = 0; i < numbers->len; i++)
        json_array_append_new(array, json_integer(g_array_index(numbers, guint, i)));
    return array;
}

static json_t *item_to_json(const SequenceItem *item)
{
    json_t *json = json_object();

    json_object_set_new(json, "number", json_integer(item->number));
    json_object_set_new(json, "action", json_string(item->action));
    json_object_set_new(json, "target", json_string(item->target));
    if (item->host != NULL)
        json_object_set_new(json, "host", json_string(item->host));
    if (item->ready != NULL)
        json_object_set_new(json, "ready", json_string(item->ready));
    json_object_set_new(json, "timeout_us", json_integer(item->timeout_us));
    if (item->late_goes_on)
        json_object_set_new(json, "late_goes_on", json_true());
    if (item->needs->len > 0)
        json_object_set_new(json, "needs", numbers_to_json(item->needs));
    if (item->after->len > 0)
        json_object_set_new(json, "after", numbers_to_json(item->after));
    if (item->group != item->number)
        json_object_set_new(json, "group", json_integer(item->group));
    json_object_set_new(json, "state", json_string(item_states[item->state]));
    if (item->reason != NULL)
        json_object_set_new(json, "reason", json_string(item->reason));
    return json;
}

json_t *sequence_to_json(const Sequence *sequence)
{
    json_t *items = json_array();

    for (guint i = 0; i < sequence->items->len; i++)
        json_array_append_new(items, item_to_json(sequence_item(sequence, i)));
    return json_pack("{s:s, s:I, s:o}", "name", sequence->name, "at_once", (json_int_t) sequence->at_once, "items", items);
}

static void append_numbers(GString *text, const char *word, const GArray *numbers)
{
    for (guint i = 0; i < numbers->len; i++)
        g_string_append_printf(text, "%s%u", i == 0 ? word : ",", g_array_index(numbers, guint, i));
}

char *sequence_text(const Sequence *sequence)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < sequence->items->len; i++) {
        const SequenceItem *item = sequence_item(sequence, i);

        g_string_append_printf(text, "%u %s %s", i, item->action, item->target);
        if (item->host != NULL)
            g_string_append_printf(text, " on %s", item->host);
        if (item->ready != NULL)
            g_string_append_printf(text, " until %s", item->ready);
        append_numbers(text, " needs ", item->needs);
        append_numbers(text, " after ", item->after);
        g_string_append_printf(text, ": %s%s%s\n", item_states[item->state], item->reason == NULL ? "" : ", ",
                               item->reason == NULL ? "" : item->reason);
    }
    return g_string_free(text, FALSE);
}
