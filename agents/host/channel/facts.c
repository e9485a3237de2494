#include "agents/host/channel/facts.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <glib.h>
#include <jansson.h>
#include <string.h>

typedef struct Held {
    Value *value; /* NULL: not known from this source */
    int64_t at_us, fresh_us;
} Held;

typedef struct Field {
    Held held[FACT_SOURCE_N];
} Field;

struct Facts {
    GTree *fields; /* by name, in order */
};

const char *fact_source_name(FactSource source)
{
    static const char *const names[] = { [FACT_OVIRT] = "ovirt-guest-agent", [FACT_QGA] = "qga", [FACT_GUEST] = "mend-guest" };

    return names[source];
}

static void field_free(void *data)
{
    Field *field = data;

    for (int i = 0; i < FACT_SOURCE_N; i++)
        value_unref(field->held[i].value);
    g_free(field);
}

static int by_name(const void *a, const void *b, void *unused)
{
    return strcmp(a, b);
}

Facts *facts_new(void)
{
    Facts *facts = g_new0(Facts, 1);

    facts->fields = g_tree_new_full(by_name, NULL, g_free, field_free);
    return facts;
}

void facts_free(Facts *facts)
{
    if (facts == NULL)
        return;
    g_tree_unref(facts->fields);
    g_free(facts);
}

static size_t size_of(const Value *value)
{
    json_t *json = value_to_json(value);
    g_autofree char *text = json_text(json);

    json_decref(json);
    return text != NULL ? strlen(text) : SIZE_MAX;
}

/* NULL: too large, and no list. */
static Value *cut(Value *value /* (transfer full) */)
{
    Value *list;
    size_t room = FACT_BYTES_MAX;

    if (size_of(value) <= FACT_BYTES_MAX)
        return value;
    list = value_type(value) == VALUE_LIST ? value_list() : NULL;
    for (size_t i = 0; list != NULL && i < value_size(value); i++) {
        size_t size = size_of(value_at(value, i)) + 1;

        if (size > room)
            break;
        room -= size;
        value_append(list, value_ref((Value *) value_at(value, i)));
    }
    value_unref(value);
    return list;
}

bool facts_set(Facts *facts, const char *name, FactSource source, Value *value, int64_t fresh_us, int64_t now_us)
{
    Field *field = g_tree_lookup(facts->fields, name);
    Held *held;

    value = cut(value);
    if (value == NULL || (field == NULL && g_tree_nnodes(facts->fields) >= FACTS_FIELDS_MAX)) {
        value_unref(value);
        return false;
    }
    if (field == NULL) {
        field = g_new0(Field, 1);
        g_tree_insert(facts->fields, g_strdup(name), field);
    }
    held = &field->held[source];
    value_unref(held->value);
    *held = (Held) { value, now_us, fresh_us };
    return true;
}

typedef struct Dropping {
    FactSource source;
    GPtrArray *empty;
} Dropping;

static gboolean drop_one(void *name, void *data, void *user)
{
    Field *field = data;
    Dropping *dropping = user;
    bool empty = true;

    g_clear_pointer(&field->held[dropping->source].value, value_unref);
    for (int i = 0; i < FACT_SOURCE_N; i++)
        empty = empty && field->held[i].value == NULL;
    if (empty)
        g_ptr_array_add(dropping->empty, name);
    return FALSE;
}

void facts_drop(Facts *facts, FactSource source)
{
    g_autoptr(GPtrArray) empty = g_ptr_array_new();
    Dropping dropping = { source, empty };

    g_tree_foreach(facts->fields, drop_one, &dropping);
    for (guint i = 0; i < empty->len; i++)
        g_tree_remove(facts->fields, empty->pdata[i]);
}

static const Held *best(const Field *field, int64_t now_us, FactSource *ret_source)
{
    const Held *found = NULL;

    for (int i = FACT_SOURCE_N - 1; i >= 0; i--) {
        const Held *held = &field->held[i];
        bool fresh = held->value != NULL && now_us - held->at_us <= held->fresh_us;

        if (held->value == NULL || (!fresh && found != NULL && held->at_us <= found->at_us))
            continue;
        found = held;
        *ret_source = (FactSource) i;
        if (fresh)
            break;
    }
    return found;
}

const Value *facts_get(const Facts *facts, const char *name, int64_t now_us, FactSource *ret_source)
{
    const Field *field = g_tree_lookup(facts->fields, name);
    const Held *held = field != NULL ? best(field, now_us, ret_source) : NULL;

    return held != NULL ? held->value : NULL;
}

typedef struct Mapping {
    Value *map;
    int64_t now_us;
} Mapping;

static gboolean map_one(void *name, void *data, void *user)
{
    const Mapping *mapping = user;
    FactSource source = FACT_OVIRT;
    const Held *held = best(data, mapping->now_us, &source);
    Value *entry;

    if (held == NULL)
        return FALSE;
    entry = value_map();
    value_set(entry, "value", value_ref(held->value));
    value_set(entry, "source", value_string(fact_source_name(source)));
    value_set(entry, "age_ms", value_int(VALUE_INT64, MAX(0, mapping->now_us - held->at_us) / US_PER_MS));
    value_set(mapping->map, name, entry);
    return FALSE;
}

Value *facts_map(const Facts *facts, int64_t now_us)
{
    Mapping mapping = { value_map(), now_us };

    g_tree_foreach(facts->fields, map_one, &mapping);
    return mapping.map;
}
