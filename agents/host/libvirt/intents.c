#include "agents/host/libvirt/intents.h"

#include <string.h>

typedef struct Note {
    char *value;
    int64_t until_us;
} Note;

typedef struct Notes { /* of one VM */
    Note intent, to;
} Notes;

struct Intents {
    GHashTable *by_vm; /* UUID → Notes */
    GQueue order;      /* of UUIDs (the table's), oldest first */
};

static void notes_free(void *data)
{
    Notes *notes = data;

    g_free(notes->intent.value);
    g_free(notes->to.value);
    g_free(notes);
}

Intents *intents_new(void)
{
    Intents *intents = g_new0(Intents, 1);

    intents->by_vm = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, notes_free);
    g_queue_init(&intents->order);
    return intents;
}

void intents_free(Intents *intents)
{
    if (intents == NULL)
        return;
    g_queue_clear(&intents->order);
    g_hash_table_unref(intents->by_vm);
    g_free(intents);
}

static Note *note_of(Notes *notes, const char *what)
{
    return notes == NULL ? NULL : strcmp(what, "intent") == 0 ? &notes->intent : strcmp(what, "to") == 0 ? &notes->to : NULL;
}

static void forget_if_empty(Intents *intents, const char *vm)
{
    void *key;
    void *value;

    if (!g_hash_table_lookup_extended(intents->by_vm, vm, &key, &value))
        return;
    if (((const Notes *) value)->intent.value != NULL || ((const Notes *) value)->to.value != NULL)
        return;
    g_queue_remove(&intents->order, key);
    g_hash_table_remove(intents->by_vm, vm);
}

static Notes *notes_for(Intents *intents, const char *vm)
{
    Notes *notes = g_hash_table_lookup(intents->by_vm, vm);
    char *key;

    if (notes != NULL)
        return notes;
    if (g_queue_get_length(&intents->order) >= INTENTS_MAX)
        g_hash_table_remove(intents->by_vm, g_queue_pop_head(&intents->order));
    notes = g_new0(Notes, 1);
    key = g_strdup(vm);
    g_hash_table_insert(intents->by_vm, key, notes);
    g_queue_push_tail(&intents->order, key);
    return notes;
}

void intents_note(Intents *intents, const char *vm, const char *what, const char *value, int64_t now_us)
{
    Note *note;

    if (value == NULL || value[0] == '\0') {
        intents_forget(intents, vm, what);
        return;
    }
    if (strcmp(what, "intent") != 0 && strcmp(what, "to") != 0)
        return;
    note = note_of(notes_for(intents, vm), what);
    g_free(note->value);
    *note = (Note) { g_strdup(value), now_us + INTENT_HOLDS_US };
}

const char *intents_get(const Intents *intents, const char *vm, const char *what, int64_t now_us)
{
    const Note *note = note_of(g_hash_table_lookup(intents->by_vm, vm), what);

    return note == NULL || note->until_us < now_us ? NULL : note->value;
}

void intents_forget(Intents *intents, const char *vm, const char *what)
{
    Note *note = note_of(g_hash_table_lookup(intents->by_vm, vm), what);

    if (note == NULL)
        return;
    g_clear_pointer(&note->value, g_free);
    forget_if_empty(intents, vm);
}
