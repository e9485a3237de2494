#include "consumers/policy/engine/budget_private.h"

#include "lib/base/json.h"

#include <string.h>

static gint compare_buckets(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const Bucket *const *) a)->name, (*(const Bucket *const *) b)->name);
}

static GPtrArray *buckets_by_name(const Budgets *b)
{
    GPtrArray *all = g_ptr_array_new();
    GHashTableIter iter;
    gpointer bucket;

    g_hash_table_iter_init(&iter, b->buckets);
    while (g_hash_table_iter_next(&iter, NULL, &bucket))
        g_ptr_array_add(all, bucket);
    g_ptr_array_sort(all, compare_buckets);
    return all;
}

json_t *budgets_status(const Budgets *b, int64_t now_us)
{
    g_autoptr(GPtrArray) all = buckets_by_name(b);
    json_t *array = json_array();

    for (guint i = 0; i < all->len; i++) {
        const Bucket *bucket = all->pdata[i];
        guint used = bucket_used(bucket, bucket->per_us, now_us);

        if (bucket->running + bucket->waiting + used > 0)
            json_array_append_new(array, json_pack("{s:s, s:i, s:i, s:i}", "bucket", bucket->name, "running", (int) bucket->running, "used",
                                                   (int) used, "waiting", (int) bucket->waiting));
    }
    return array;
}

static json_t *waiter_to_json(const Waiter *w)
{
    json_t *claims = json_array();

    for (guint i = 0; i < w->n_claims; i++) {
        const Claim *c = &w->claims[i];

        json_array_append_new(claims, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "bucket", c->bucket->name, "at_once",
                                                (json_int_t) c->limits.at_once, "max", (json_int_t) c->limits.max, "per_us", c->limits.per_us,
                                                "unhealthy_max_percent", (json_int_t) c->limits.unhealthy_max_percent, "unhealthy",
                                                (json_int_t) c->unhealthy, "total", (json_int_t) c->total));
    }
    return json_pack("{s:I, s:i, s:I, s:o}", "incident", (json_int_t) w->incident, "priority", w->priority, "since_us", w->since_us, "claims",
                     claims);
}

json_t *budgets_to_json(const Budgets *b)
{
    g_autoptr(GPtrArray) all = buckets_by_name(b);
    json_t *buckets = json_array(), *running = json_array(), *waiting = json_array();

    for (guint i = 0; i < all->len; i++) {
        const Bucket *bucket = all->pdata[i];

        json_array_append_new(buckets, json_pack("{s:s, s:I, s:o}", "name", bucket->name, "per_us", bucket->per_us, "granted_us",
                                                 stamps_to_json(&bucket->granted)));
    }
    for (guint i = 0; i < b->running->len; i++) {
        const Running *r = b->running->pdata[i];
        json_t *names = json_array();

        for (guint k = 0; k < r->n_buckets; k++)
            json_array_append_new(names, json_string(r->buckets[k]->name));
        json_array_append_new(running, json_pack("{s:I, s:I, s:o}", "incident", (json_int_t) r->incident, "at_us", r->at_us, "buckets", names));
    }
    for (guint i = 0; i < b->waiting->len; i++)
        json_array_append_new(waiting, waiter_to_json(b->waiting->pdata[i]));
    return json_pack("{s:o, s:o, s:o}", "buckets", buckets, "running", running, "waiting", waiting);
}

static bool bucket_from_json(Budgets *b, const json_t *json)
{
    const char *name = json_string_or(json, "name", NULL);

    if (name == NULL || g_hash_table_contains(b->buckets, name))
        return false;
    Bucket *bucket = bucket_ensure(b, name);

    if (bucket == NULL)
        return false;
    bucket->per_us = json_int_or(json, "per_us", 0);
    return stamps_from_json(&bucket->granted, json_object_get(json, "granted_us"), BUDGET_MAX_MAX);
}

static Bucket *known_bucket(const Budgets *b, const json_t *name)
{
    return json_is_string(name) ? g_hash_table_lookup(b->buckets, json_string_value(name)) : NULL;
}

static bool running_from_json(Budgets *b, const json_t *json)
{
    const json_t *names = json_object_get(json, "buckets");
    guint n = (guint) json_array_size(names);
    int64_t incident;

    if (!json_get_int(json, "incident", &incident, NULL) || n > BUDGET_CLAIMS_MAX || b->running->len >= RUNNING_MAX)
        return false;
    g_autofree Running *r = g_malloc0(sizeof(Running) + n * sizeof(Bucket *));
    *r = (Running) { .incident = (uint64_t) incident, .at_us = json_int_or(json, "at_us", 0), .n_buckets = n };
    for (guint i = 0; i < n; i++)
        if ((r->buckets[i] = known_bucket(b, json_array_get(names, i))) == NULL)
            return false;
    running_add(b, g_steal_pointer(&r));
    return true;
}

static guint small(const json_t *object, const char *key)
{
    return (guint) CLAMP(json_int_or(object, key, 0), 0, UINT32_MAX);
}

static bool waiter_from_json(Budgets *b, const json_t *json)
{
    const json_t *claims = json_object_get(json, "claims");
    guint n = (guint) json_array_size(claims);
    int64_t incident, since_us;

    if (!json_get_int(json, "incident", &incident, NULL) || !json_get_int(json, "since_us", &since_us, NULL) || n > BUDGET_CLAIMS_MAX ||
        budget_is_waiting(b, (uint64_t) incident) || b->waiting->len >= BUDGET_WAITING_MAX)
        return false;
    g_autofree Waiter *w = g_malloc0(sizeof(Waiter) + n * sizeof(Claim));
    *w = (Waiter) { .incident = (uint64_t) incident, .priority = (int) CLAMP(json_int_or(json, "priority", 50), 0, 100), .since_us = since_us,
                    .n_claims = n };
    for (guint i = 0; i < n; i++) {
        const json_t *one = json_array_get(claims, i);
        Claim *c = &w->claims[i];

        c->bucket = known_bucket(b, json_object_get(one, "bucket"));
        if (c->bucket == NULL)
            return false;
        c->limits = (BudgetLimits) { .at_once = small(one, "at_once"), .max = MIN(small(one, "max"), BUDGET_MAX_MAX),
                                     .per_us = MAX(json_int_or(one, "per_us", 1), 1),
                                     .unhealthy_max_percent = small(one, "unhealthy_max_percent") };
        c->unhealthy = small(one, "unhealthy");
        c->total = small(one, "total");
    }
    waiter_insert(b, g_steal_pointer(&w));
    return true;
}

Budgets *budgets_from_json(const json_t *json, GError **error)
{
    static const struct {
        const char *key;
        bool (*read)(Budgets *budgets, const json_t *one);
    } parts[] = { { "buckets", bucket_from_json }, { "running", running_from_json }, { "waiting", waiter_from_json } };
    g_autoptr(Budgets) b = budgets_new();

    for (guint p = 0; p < G_N_ELEMENTS(parts); p++) {
        const json_t *all = json_object_get(json, parts[p].key);

        if (!json_is_array(all)) {
            g_set_error(error, BUDGET_ERROR, BUDGET_ERROR_MALFORMED, "budgets: %s must be a list", parts[p].key);
            return NULL;
        }
        for (size_t i = 0; i < json_array_size(all); i++)
            if (!parts[p].read(b, json_array_get(all, i))) {
                g_set_error(error, BUDGET_ERROR, BUDGET_ERROR_MALFORMED, "budgets: %s[%zu] is incomplete, twice, or names no bucket",
                            parts[p].key, i);
                return NULL;
            }
    }
    return g_steal_pointer(&b);
}
