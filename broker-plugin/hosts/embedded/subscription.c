#include "broker-plugin/hosts/embedded/subscription.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <string.h>

#define NAME_PREFIX "subscription:"

struct Subscription {
    char *name, *user, *key, *selector_text;
    Queue *queue;
    Binding *binding;
    Selector *selector;
    Budget *budget;
    bool taken, durable;
    int64_t timeout_us, left_us;
};

struct Subscriptions {
    Router *router;
    const BrokerSettings *settings;
    Budget *budget;
    GMutex lock;
    GHashTable *table; /* name → Subscription */
};

static bool wanted(void *user, const Message *message)
{
    return selector_match(((Subscription *) user)->selector, message);
}

static void subscription_free(Subscription *s)
{
    node_unbind(s->binding);
    queue_unref(s->queue);
    selector_free(s->selector);
    g_free(s->name);
    g_free(s->user);
    g_free(s->key);
    g_free(s->selector_text);
    g_free(s);
}

Subscriptions *subscriptions_new(Router *router, const BrokerSettings *settings, Budget *budget)
{
    Subscriptions *all = g_new0(Subscriptions, 1);

    all->router = router;
    all->settings = settings;
    all->budget = budget;
    g_mutex_init(&all->lock);
    all->table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) subscription_free);
    return all;
}

void subscriptions_free(Subscriptions *all)
{
    if (all == NULL)
        return;
    g_hash_table_unref(all->table);
    g_mutex_clear(&all->lock);
    g_free(all);
}

Queue *subscription_queue(Subscription *s)
{
    return s->queue;
}

/* Locked. */
static void end(Subscriptions *all, Subscription *s)
{
    if (queue_record(s->queue) != 0)
        store_node_forget(router_store(all->router), queue_record(s->queue));
    queue_close(s->queue, "subscription ended", true);
    charge_give(s->budget, CHARGE_QUEUES, 1);
    g_hash_table_remove(all->table, s->name);
}

static void persist(Subscriptions *all, Subscription *s, const Node *node)
{
    g_autoptr(json_t) doc = json_pack("{s:s, s:s, s:s, s:s, s:s*, s:I}", "what", "subscription", "node", node->address, "user", s->user,
                                      "key", s->key, "selector", s->selector_text, "timeout_us", (json_int_t) s->timeout_us);
    g_autofree char *text = json_text(doc);

    queue_set_record(s->queue, store_node_put(router_store(all->router), s->name, text, strlen(text), NULL, NULL));
}

static Subscription *build(Subscriptions *all, const char *name, const SubscriptionWish *w, GError **error)
{
    const QueueShape shape = {.ring = true, .durable = w->durable, .max_messages = all->settings->subscription_messages,
                              .max_bytes = all->settings->subscription_bytes};
    Selector *selector = NULL;
    Subscription *s;

    if (w->selector != NULL && (selector = selector_parse(w->selector, error)) == NULL)
        return NULL;
    if (!charge_take(w->budget, CHARGE_QUEUES, 1, error)) {
        selector_free(selector);
        return NULL;
    }
    s = g_new0(Subscription, 1);
    *s = (Subscription){.name = g_strdup(name), .user = g_strdup(w->user), .key = g_strdup(w->key), .budget = w->budget,
                        .selector_text = g_strdup(w->selector), .selector = selector, .timeout_us = w->timeout_us, .durable = w->durable};
    s->queue = router_subscription_queue(all->router, name, &shape);
    return s;
}

static bool same(const Subscription *s, const SubscriptionWish *w)
{
    return s->binding->node == w->node && strcmp(s->key, w->key) == 0 && g_strcmp0(s->selector_text, w->selector) == 0;
}

/* Locked. The one that is there, if it may be had; NULL without an error: none (any more). */
static Subscription *find(Subscriptions *all, const char *name, const SubscriptionWish *w, GError **error)
{
    Subscription *s = g_hash_table_lookup(all->table, name);

    if (s == NULL)
        return NULL;
    if (s->taken || strcmp(s->user, w->user) != 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SHAPE, "subscription %s is %s", w->link_name,
                    s->taken ? "in use" : "another user's");
        return NULL;
    }
    if (same(s, w))
        return s;
    end(all, s);
    return NULL;
}

Subscription *subscription_take(Subscriptions *all, const SubscriptionWish *w, GError **error)
{
    g_autofree char *name = g_strdup_printf(NAME_PREFIX "%s/%s", w->container_id, w->link_name);
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&all->lock);
    g_autoptr(GError) local = NULL;
    Subscription *s = find(all, name, w, &local);

    if (local != NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return NULL;
    }
    if (s == NULL) {
        s = build(all, name, w, error);
        if (s == NULL)
            return NULL;
        if (w->durable && router_store(all->router) != NULL)
            persist(all, s, w->node);
        s->binding = node_bind(w->node, s->queue, s->key, s->selector != NULL ? wanted : NULL, s);
        g_hash_table_insert(all->table, s->name, s);
    }
    s->taken = true;
    return s;
}

void subscription_leave(Subscriptions *all, Subscription *s, bool ends)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&all->lock);

    s->taken = false;
    s->left_us = clock_now_us();
    if (ends || s->timeout_us == 0)
        end(all, s);
}

int64_t subscriptions_sweep(Subscriptions *all, int64_t now_us)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&all->lock);
    g_autoptr(GPtrArray) over = g_ptr_array_new();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, all->table);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Subscription *s = value;
        queue_expire(s->queue, now_us);
        if (!s->taken && s->timeout_us != INT64_MAX && now_us - s->left_us > s->timeout_us)
            g_ptr_array_add(over, s);
    }
    for (guint i = 0; i < over->len; i++)
        end(all, g_ptr_array_index(over, i));
    return now_us + US_PER_S;
}

Queue *subscription_restore(void *user, const char *name, uint64_t record, const json_t *doc)
{
    Subscriptions *all = user;
    g_autoptr(Node) node = router_find(all->router, json_string_or(doc, "node", ""));
    const SubscriptionWish w = {.user = json_string_or(doc, "user", ""), .node = node, .key = json_string_or(doc, "key", "#"),
                                .selector = json_string_or(doc, "selector", NULL), .durable = true,
                                .timeout_us = json_int_or(doc, "timeout_us", INT64_MAX), .budget = all->budget};
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&all->lock);
    Subscription *s;

    if (node == NULL || !g_str_has_prefix(name, NAME_PREFIX))
        return NULL;
    s = build(all, name, &w, NULL);
    if (s == NULL)
        return NULL;
    s->left_us = clock_now_us();
    queue_set_record(s->queue, record);
    s->binding = node_bind(node, s->queue, s->key, s->selector != NULL ? wanted : NULL, s);
    g_hash_table_insert(all->table, s->name, s);
    return s->queue;
}

void subscriptions_statistics(Subscriptions *all, json_t *into)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&all->lock);
    json_t *list = json_object();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, all->table);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Subscription *s = value;
        json_object_set_new(list, s->name + strlen(NAME_PREFIX),
                            json_pack("{s:s, s:s, s:b, s:b, s:I}", "node", s->binding->node->address, "key", s->key, "taken", s->taken,
                                      "durable", s->durable, "depth", (json_int_t) queue_depth(s->queue)));
    }
    json_object_set_new(into, "subscriptions", list);
}
