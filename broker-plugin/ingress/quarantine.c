#include "broker-plugin/ingress/quarantine.h"

#define TEXT_MAX 256

struct Quarantine {
    size_t max;
    QuarantineFn changed;
    void *user;
    GHashTable *entries; /* "agent\nreason" -> link in @order */
    GQueue order;        /* most recent first; of Item */
};

typedef struct Item { QuarantineEntry entry; char *key; } Item;

static void item_free(Item *item)
{
    g_free(item->entry.agent);
    g_free(item->entry.reason);
    g_free(item->key);
    g_free(item);
}

Quarantine *quarantine_new(size_t max, QuarantineFn changed, void *user)
{
    Quarantine *q = g_new0(Quarantine, 1);

    *q = (Quarantine) { .max = max, .changed = changed, .user = user, .entries = g_hash_table_new(g_str_hash, g_str_equal) };
    g_queue_init(&q->order);
    return q;
}

void quarantine_free(Quarantine *q)
{
    if (q == NULL)
        return;
    g_queue_clear_full(&q->order, (GDestroyNotify) item_free);
    g_hash_table_unref(q->entries);
    g_free(q);
}

static void forget_oldest(Quarantine *q)
{
    Item *item = g_queue_pop_tail(&q->order);

    g_hash_table_remove(q->entries, item->key);
    if (q->changed != NULL)
        q->changed(&item->entry, true, q->user);
    item_free(item);
}

static char *readable(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    return g_utf8_strlen(valid, -1) <= TEXT_MAX ? g_steal_pointer(&valid) : g_utf8_substring(valid, 0, TEXT_MAX);
}

bool quarantine_note(Quarantine *q, const char *agent, const char *reason, int64_t wall_us)
{
    g_autofree char *name = readable(agent), *why = readable(reason);
    g_autofree char *key = g_strdup_printf("%s\n%s", name, why);
    GList *link = g_hash_table_lookup(q->entries, key);
    bool new = link == NULL;
    Item *item;

    if (new) {
        item = g_new0(Item, 1);
        item->entry.agent = g_steal_pointer(&name);
        item->entry.reason = g_steal_pointer(&why);
        item->key = g_steal_pointer(&key);
        g_queue_push_head(&q->order, item);
        g_hash_table_insert(q->entries, item->key, q->order.head);
        if (g_queue_get_length(&q->order) > q->max)
            forget_oldest(q);
    } else {
        item = link->data;
        g_queue_unlink(&q->order, link);
        g_queue_push_head_link(&q->order, link);
    }
    item->entry.count++;
    item->entry.last_us = wall_us;
    if (q->changed != NULL)
        q->changed(&item->entry, false, q->user);
    return new;
}

size_t quarantine_size(const Quarantine *q) { return g_queue_get_length((GQueue *) &q->order); }
