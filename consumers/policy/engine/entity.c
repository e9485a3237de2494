/* What the engine remembers of an entity: its last state, and the attempts made for it. */
#include "consumers/policy/engine/engine_private.h"

#include <string.h>

EntityState *entity_find(Engine *engine, const char *path)
{
    return g_hash_table_lookup(engine->entities, path);
}

const char *entity_id(const EntityState *entity)
{
    return strchr(entity->path, '/') + 1;
}

/* Most samples are followed by the next one before anybody has looked. */
const json_t *entity_samples(EntityState *entity)
{
    const char *key;
    json_t *value;

    if (entity->sample == NULL)
        return entity->samples;
    entity->samples = json_object();
    json_object_foreach(event_data(entity->sample), key, value)
        if (json_is_number(value) && json_object_size(entity->samples) < CONTROL_SAMPLES_MAX)
            json_object_set(entity->samples, key, value);
    g_clear_pointer(&entity->sample, event_unref);
    return entity->samples;
}

bool text_set(char **slot, const char *text)
{
    if (g_strcmp0(*slot, text) == 0)
        return false;
    g_free(*slot);
    *slot = g_strdup(text);
    return true;
}

EntityState *entity_ensure(Engine *engine, const char *path)
{
    EntityState *entity = entity_find(engine, path);

    if (entity != NULL || g_hash_table_size(engine->entities) >= ENTITIES_MAX)
        return entity;
    entity = g_new0(EntityState, 1);
    entity->path = g_strdup(path);
    entity->state = g_strdup("unknown");
    g_hash_table_insert(engine->entities, entity->path, entity);
    facts_attach(engine, entity);
    return entity;
}

void entity_free_state(EntityState *entity)
{
    facts_free(entity);
    flapper_free(entity->flapper);
    event_unref(entity->sample);
    json_decref(entity->samples);
    mom_memory_free(entity->mom);
    g_free(entity->path);
    g_free(entity->state);
    g_free(entity->intent);
    g_free(entity->agent);
    g_free(entity->hostname);
    g_free(entity->boot_id);
    g_clear_pointer(&entity->windows, g_ptr_array_unref);
    g_free(entity);
}

void window_free(Window *window)
{
    g_free(window->rule);
    g_array_unref(window->at_us);
    g_free(window);
}

Window *entity_window(EntityState *entity, const char *rule, unsigned step)
{
    if (entity->windows == NULL)
        entity->windows = g_ptr_array_new_with_free_func((GDestroyNotify) window_free);
    for (guint i = 0; i < entity->windows->len; i++) {
        Window *window = entity->windows->pdata[i];

        if (window->step == step && strcmp(window->rule, rule) == 0)
            return window;
    }
    Window *window = g_new0(Window, 1);
    window->rule = g_strdup(rule);
    window->step = step;
    window->at_us = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_ptr_array_add(entity->windows, window);
    return window;
}

bool intent_is_wanted(const char *intent)
{
    return intent != NULL && (strcmp(intent, "admin") == 0 || strcmp(intent, "update") == 0 || strcmp(intent, "shutdown") == 0 || strcmp(intent, "user") == 0);
}
