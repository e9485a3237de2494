/* Facts in the engine's snapshot, and back. */
#include "consumers/policy/engine/engine_private.h"

#include "lib/base/json.h"

static json_t *channels_to_json(const ChannelState *channels, size_t n)
{
    json_t *all = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_pack("[i, I, I]", (int) channels[i].says, (json_int_t) channels[i].at_us,
                                             (json_int_t) channels[i].sequence));
    return all;
}

static void channels_from_json(ChannelState *channels, size_t n, const json_t *all)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(all, i);

        channels[i] = (ChannelState){ (Says) CLAMP(json_integer_value(json_array_get(one, 0)), 0, SAYS_N - 1),
                                      json_integer_value(json_array_get(one, 1)), (uint64_t) json_integer_value(json_array_get(one, 2)) };
    }
}

static json_t *host_to_json(const HostState *host)
{
    json_t *json = json_pack("{s:i, s:b, s:I, s:I, s:i, s:o}", "verdict", (int) host->verdict, "independent", host->independent, "due_us",
                             (json_int_t) host->due.at_us, "memory_bytes", (json_int_t) host->memory_bytes, "vcpus", (int) host->vcpus,
                             "channels", channels_to_json(host->channel, CHANNEL_N));

    json_set_string(json, "agent", host->agent);
    json_set_string(json, "rack", host->rack);
    json_set_string(json, "power", host->power);
    json_set_string(json, "switch", host->switch_name);
    if (host->storage != NULL)
        json_object_set(json, "storage", host->storage);
    if (host->labels != NULL)
        json_object_set(json, "labels", host->labels);
    if (host->fences != NULL)
        json_object_set(json, "fences", host->fences);
    if (host->unfenceable != NULL)
        json_object_set(json, "unfenceable", host->unfenceable);
    if (host->dump_since_us != 0)
        json_object_set_new(json, "dump_since_us", json_integer(host->dump_since_us));
    return json;
}

static json_t *copies_to_json(const GPtrArray *copies)
{
    json_t *all = json_array();

    for (guint i = 0; i < copies->len; i++) {
        const Copy *copy = copies->pdata[i];

        json_array_append_new(all, json_pack("{s:s, s:s*, s:s*, s:b, s:I}", "host", copy->host->path, "boot_id", copy->boot_id, "command",
                                             copy->command, "by_start", copy->by_start, "sequence", (json_int_t) copy->sequence));
    }
    return all;
}

static json_t *boots_to_json(const VmState *vm)
{
    json_t *took = json_array();

    for (guint i = 0; i < vm->boots_us->len; i++)
        json_array_append_new(took, json_integer(g_array_index(vm->boots_us, int64_t, i)));
    return json_pack("{s:I, s:o}", "since_us", (json_int_t) vm->booting_since_us, "took_us", took);
}

static void boots_from_json(VmState *vm, const json_t *json)
{
    size_t i;
    json_t *item;

    vm->booting_since_us = json_int_or(json, "since_us", 0);
    json_array_foreach(json_object_get(json, "took_us"), i, item) {
        int64_t took_us = json_integer_value(item);

        g_array_append_val(vm->boots_us, took_us);
    }
}

static json_t *vm_to_json(const VmState *vm)
{
    const ChannelState channels[] = { vm->agent, vm->qga, vm->progress };
    json_t *proofs = json_array();
    json_t *json = json_pack("{s:o, s:b, s:b, s:b, s:b, s:I, s:i, s:o}", "copies", copies_to_json(vm->copies), "located", vm->located, "was_full", vm->was_full, "ha",
                             vm->ha, "lease", vm->lease, "memory_bytes", (json_int_t) vm->memory_bytes, "vcpus", (int) vm->vcpus, "channels",
                             channels_to_json(channels, G_N_ELEMENTS(channels)));

    for (guint i = 0; i < vm->proofs->len; i++)
        json_array_append_new(proofs, json_string(vm->proofs->pdata[i]));
    json_object_set_new(json, "proofs", proofs);
    if (vm->boots_us->len > 0 || vm->booting_since_us != 0)
        json_object_set_new(json, "boots", boots_to_json(vm));
    json_set_string(json, "host", vm->host == NULL ? NULL : vm->host->path);
    json_set_string(json, "lingers", vm->lingers == NULL ? NULL : vm->lingers->path);
    json_set_string(json, "address", vm->address);
    json_set_string(json, "definition", vm->definition);
    json_set_string(json, "reason", vm->reason);
    json_set_string(json, "before_lost", vm->before_lost);
    if (vm->paused_us != 0)
        json_object_set_new(json, "paused_us", json_integer(vm->paused_us));
    if (vm->down_us != 0)
        json_object_set_new(json, "down_us", json_integer(vm->down_us));
    if (vm->storage != NULL)
        json_object_set(json, "storage", vm->storage);
    return json;
}

void facts_to_json(const EntityState *entity, json_t *json)
{
    if (entity->host != NULL)
        json_object_set_new(json, "host", host_to_json(entity->host));
    if (entity->vm != NULL)
        json_object_set_new(json, "vm", vm_to_json(entity->vm));
    if (entity->storage != NULL)
        json_object_set_new(json, "words", storage_state_to_json(entity->storage));
}

static void host_from_json(Engine *engine, EntityState *entity, const json_t *json)
{
    HostState *host = entity->host;

    host->verdict = (Verdict) CLAMP(json_int_or(json, "verdict", 0), 0, VERDICT_N - 1);
    host->independent = json_bool_or(json, "independent", false);
    due_set(&engine->due, &host->due, json_int_or(json, "due_us", NEVER_US));
    host->memory_bytes = (uint64_t) json_int_or(json, "memory_bytes", 0);
    host->vcpus = (unsigned) json_int_or(json, "vcpus", 0);
    channels_from_json(host->channel, CHANNEL_N, json_object_get(json, "channels"));
    host->agent = g_strdup(json_string_or(json, "agent", NULL));
    host->rack = g_strdup(json_string_or(json, "rack", NULL));
    host->power = g_strdup(json_string_or(json, "power", NULL));
    host->switch_name = g_strdup(json_string_or(json, "switch", NULL));
    host->storage = json_incref(json_object_get(json, "storage"));
    host->labels = json_incref(json_object_get(json, "labels"));
    host->fences = json_incref(json_object_get(json, "fences"));
    host->unfenceable = json_deep_copy(json_object_get(json, "unfenceable"));
    host->dump_since_us = json_int_or(json, "dump_since_us", 0);
    if (host->agent != NULL)
        g_hash_table_insert(engine->host_agents, host->agent, entity);
}

static void vm_from_json(Engine *engine, VmState *vm, const json_t *json)
{
    const char *host = json_string_or(json, "host", NULL);
    ChannelState channels[3];
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(json, "copies"), i, item) {
        EntityState *on = entity_find(engine, json_string_or(item, "host", ""));

        if (on == NULL)
            continue;
        Copy *copy = proof_copy_add(vm, on, json_string_or(item, "boot_id", NULL), (uint64_t) json_int_or(item, "sequence", 0));
        copy->command = g_strdup(json_string_or(item, "command", NULL));
        copy->by_start = json_bool_or(item, "by_start", false);
    }
    json_array_foreach(json_object_get(json, "proofs"), i, item)
        g_ptr_array_add(vm->proofs, g_strdup(json_string_value(item)));
    if (json_object_get(json, "boots") != NULL)
        boots_from_json(vm, json_object_get(json, "boots"));
    channels_from_json(channels, G_N_ELEMENTS(channels), json_object_get(json, "channels"));
    vm->agent = channels[0];
    vm->qga = channels[1];
    vm->progress = channels[2];
    vm->located = json_bool_or(json, "located", false);
    vm->was_full = json_bool_or(json, "was_full", false);
    vm->ha = json_bool_or(json, "ha", false);
    vm->lease = json_bool_or(json, "lease", false);
    vm->memory_bytes = (uint64_t) json_int_or(json, "memory_bytes", 0);
    vm->vcpus = (unsigned) json_int_or(json, "vcpus", 0);
    vm->host = host == NULL ? NULL : entity_find(engine, host);
    vm->lingers = entity_find(engine, json_string_or(json, "lingers", ""));
    vm->address = g_strdup(json_string_or(json, "address", NULL));
    vm->definition = g_strdup(json_string_or(json, "definition", NULL));
    vm->reason = g_strdup(json_string_or(json, "reason", NULL));
    vm->down_us = json_int_or(json, "down_us", 0);
    vm->paused_us = json_int_or(json, "paused_us", 0);
    vm->before_lost = g_strdup(json_string_or(json, "before_lost", NULL));
    vm->storage = json_incref(json_object_get(json, "storage"));
}

void facts_from_json(Engine *engine, EntityState *entity, const json_t *json)
{
    if (entity != NULL && entity->host != NULL)
        host_from_json(engine, entity, json_object_get(json, "host"));
    if (entity != NULL && entity->vm != NULL)
        vm_from_json(engine, entity->vm, json_object_get(json, "vm"));
    if (entity != NULL && entity->storage != NULL)
        storage_state_from_json(entity->storage, json_object_get(json, "words"), entity->state);
}
