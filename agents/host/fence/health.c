/* A look asks all devices of all levels of a host, for the second level must work as well on the night it is needed. Times are spread by
 * chance, and those of one host never fall together with those of others for long: a hundred agents that all look after one power
 * strip must not do it in the same second. */
#include "agents/host/fence/health.h"

#include "lib/base/clock.h"

#include <string.h>

#define YIELD_US (60 * US_PER_S)

typedef struct Item { /* a device in a level */
    struct Look *look;
    const FenceDevice *device;
    unsigned level;
    bool waiting;
    FenceSays says;
    char *text;
} Item;

typedef struct Look { /* at one host */
    Health *health;
    const FenceHost *host;
    GPtrArray *items;  /* of Item; empty: none is at work */
    guint source;
} Look;

struct Health {
    const FencingFile *file;
    FenceAsker asker;
    int64_t interval_us;
    GPtrArray *looks;
    HealthFn report;
    void *user;
};

static void begin(Look *look);

static gboolean on_time(void *user)
{
    Look *look = user;

    look->source = 0;
    begin(look);
    return G_SOURCE_REMOVE;
}

static void look_later(Look *look, int64_t us)
{
    g_clear_handle_id(&look->source, g_source_remove);
    if (us > 0)
        look->source = g_timeout_add((guint) MIN(us / US_PER_MS, G_MAXINT), on_time, look);
}

/* @us give or take a fifth. */
static int64_t about(int64_t us)
{
    return (int64_t) ((double) us * g_random_double_range(0.8, 1.2));
}

static void item_free(Item *item)
{
    if (item->waiting)
        item->look->health->asker.forget(item->look->health->asker.self, item);
    g_free(item->text);
    g_free(item);
}

static void look_free(Look *look)
{
    g_clear_handle_id(&look->source, g_source_remove);
    g_ptr_array_unref(look->items);
    g_free(look);
}

/* "off" "alive" when every device of @level answered; NULL: not. */
static const char *level_says(const Look *look, unsigned level)
{
    const char *says = NULL;

    for (guint i = 0; i < look->items->len; i++) {
        const Item *item = look->items->pdata[i];

        if (item->level != level)
            continue;
        if (item->says == FENCE_SAYS_FAILED)
            return NULL;
        if (says == NULL || item->says == FENCE_SAYS_ON)
            says = item->says == FENCE_SAYS_ON ? "alive" : "off";
    }
    return says;
}

static char *failures_text(const Look *look)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < look->items->len; i++) {
        const Item *item = look->items->pdata[i];

        if (item->says == FENCE_SAYS_FAILED)
            g_string_append_printf(text, "%s%s (level %u): %s", text->len > 0 ? "; " : "", item->device->name, item->level, item->text);
    }
    return g_string_free(text, FALSE);
}

static void look_done(Look *look)
{
    g_autofree char *failures = failures_text(look), *text = NULL;
    const char *says = NULL;
    HealthReport report = { .host = look->host };

    for (unsigned level = 1; level <= FENCE_LEVELS && says == NULL; level++)
        says = level_says(look, level);
    report.says = says != NULL ? says : "unknown";
    report.reason = *failures == '\0' ? NULL : says != NULL ? "degraded" : "unreachable";
    if (report.reason == NULL)
        text = g_strdup_printf("its fence devices work; %s", strcmp(says, "off") == 0 ? "it is off" : "it has power");
    else
        text = g_strdup_printf("%s: %s", says != NULL ? "it can be fenced, but not by all its devices" : "nothing could power it off now", failures);
    report.text = text;
    g_ptr_array_set_size(look->items, 0);
    if (look->health->interval_us > 0)
        look_later(look, about(look->health->interval_us));
    look->health->report(&report, look->health->user);
}

static void on_answer(const FenceAnswer *answer, void *user)
{
    Item *item = user;
    Look *look = item->look;
    bool waiting = false;

    item->waiting = false;
    item->says = answer->says;
    item->text = g_strdup(answer->text);
    for (guint i = 0; i < look->items->len; i++)
        waiting = waiting || ((const Item *) look->items->pdata[i])->waiting;
    if (!waiting)
        look_done(look);
}

static void add_level(Look *look, unsigned level, const GPtrArray *devices)
{
    for (guint i = 0; i < devices->len; i++) {
        Item *item = g_new0(Item, 1);

        item->look = look;
        item->device = devices->pdata[i];
        item->level = level;
        item->waiting = true;
        g_ptr_array_add(look->items, item);
    }
}

/* Time for its own answer, and for those before it in the queue of a device that has many hosts. */
static int64_t patience_us(const Health *health, const FenceDevice *device)
{
    return clock_now_us() + device->timeout_us[FENCE_STATUS] * (1 + MIN(health->looks->len, 20));
}

static void begin(Look *look)
{
    Health *health = look->health;

    if (look->items->len > 0)
        return;
    for (unsigned level = 0; level < FENCE_LEVELS; level++)
        if (look->host->levels[level] != NULL)
            add_level(look, level + 1, look->host->levels[level]);
    for (guint i = 0; i < look->items->len; i++) {
        Item *item = look->items->pdata[i];

        health->asker.ask(health->asker.self, item->device, look->host, FENCE_STATUS, patience_us(health, item->device), on_answer, item);
    }
}

void health_yield(Health *health)
{
    for (guint i = 0; i < health->looks->len; i++) {
        Look *look = health->looks->pdata[i];

        if (look->items->len == 0)
            continue;
        g_ptr_array_set_size(look->items, 0);
        look_later(look, about(YIELD_US));
    }
}

void health_look(Health *health, const FenceHost *host)
{
    for (guint i = 0; i < health->looks->len; i++)
        if (((const Look *) health->looks->pdata[i])->host == host)
            look_later(health->looks->pdata[i], US_PER_MS);
}

Health *health_new(const FencingFile *file, const FenceAsker *asker, int64_t first_us, int64_t interval_us, HealthFn report, void *user)
{
    Health *health = g_new0(Health, 1);

    health->file = file;
    health->asker = *asker;
    health->interval_us = interval_us;
    health->looks = g_ptr_array_new_with_free_func((GDestroyNotify) look_free);
    health->report = report;
    health->user = user;
    for (guint i = 0; i < file->hosts->len; i++) {
        Look *look = g_new0(Look, 1);

        look->health = health;
        look->host = file->hosts->pdata[i];
        look->items = g_ptr_array_new_with_free_func((GDestroyNotify) item_free);
        g_ptr_array_add(health->looks, look);
        if (interval_us > 0)
            look_later(look, US_PER_MS + (int64_t) ((double) first_us * g_random_double()));
    }
    return health;
}

void health_free(Health *health)
{
    if (health == NULL)
        return;
    g_ptr_array_unref(health->looks);
    g_free(health);
}
