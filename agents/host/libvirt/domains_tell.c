#include "agents/host/libvirt/domains_private.h"

#include <string.h>

#define PACKAGE "org.matahariproject.mend"

static const QmfClass *class_of(const char *name) { return qmf_schema_find(qmf_schema_builtin(), PACKAGE, name); }

static void put(Value *map, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        value_set(map, key, value_string(text));
}

static gint by_text(gconstpointer a, gconstpointer b) { return strcmp(*(const char *const *) a, *(const char *const *) b); }

/* UUIDs of the storage domains that its disks, and what lies below them, are on; sorted. (transfer full) */
static Value *storage_list(const Vm *vm)
{
    const DomainsOptions *options = &vm->domains->options;
    const DomainXml *xml = vm->facts != NULL ? vm->facts->xml : NULL;
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    Value *list = value_list();

    for (guint i = 0; xml != NULL && options->storage_of != NULL && i < xml->disks->len; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];
        const char *const paths[] = { disk->source, disk->backing };

        for (size_t k = 0; k < G_N_ELEMENTS(paths); k++) {
            const char *id = paths[k] != NULL ? options->storage_of(options->user, paths[k]) : NULL;

            if (id != NULL && !g_ptr_array_find_with_equal_func(ids, id, g_str_equal, NULL))
                g_ptr_array_add(ids, (void *) id);
        }
    }
    g_ptr_array_sort(ids, by_text);
    for (guint i = 0; i < ids->len; i++)
        value_append(list, value_string(ids->pdata[i]));
    return list;
}

static void put_facts(Value *values, const Vm *vm)
{
    const DomainFacts *facts = vm->facts;
    const QmfClass *class = class_of("vm_state");

    put(values, "name", vm->name);
    if (facts == NULL)
        return;
    value_set(values, "memory_bytes", value_uint(VALUE_UINT64, facts->memory_bytes));
    value_set(values, "vcpus", value_uint(VALUE_UINT32, facts->vcpus));
    value_set(values, "storage", storage_list(vm));
    if (vm->domains->options.has_lease != NULL && qmf_class_property(class, "lease") != NULL)
        value_set(values, "lease", value_bool(vm->domains->options.has_lease(vm->domains->options.user, vm->id)));
    if (qmf_class_property(class, "definition_hash") != NULL)
        put(values, "definition_hash", facts->definition_hash);
}

uint64_t vm_facts_digest(const Vm *vm)
{
    g_autoptr(Value) values = value_map();
    g_autoptr(json_t) json = NULL;
    char *text;
    uint64_t digest;

    if (vm->facts == NULL)
        return 0;
    put_facts(values, vm);
    json = value_to_json(values);
    text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    digest = g_str_hash(text) | (UINT64_C(1) << 32);
    free(text);
    return digest;
}

void vm_tell(Vm *vm)
{
    Domains *domains = vm->domains;
    Value *values = value_map();

    put_facts(values, vm);
    value_set(values, "host", value_string(host_id(domains->host)));
    put(values, "hostname", vm->name); /* policies know it by that */
    put(values, "intent", vm->intent);
    put(values, "reason", vm->reason);
    put(values, "to", vm->to);
    vm->told_facts = vm_facts_digest(vm);
    host_tell(domains->host, "vm", vm->id, vm->state, values);
    if (vm->object != NULL)
        vm_show(vm);
}

void domains_tell_happened(Domains *domains, const char *id, const char *state, const char *topic, Value *values)
{
    const Vm *vm = g_hash_table_lookup(domains->vms, id);

    if (vm != NULL) {
        put(values, "name", vm->name);
        put(values, "hostname", vm->name);
    }
    value_set(values, "host", value_string(host_id(domains->host)));
    host_tell_happened(domains->host, "vm", id, state, topic, values);
}

static Value *disk_map(const DomainXml *xml)
{
    Value *map = value_map();

    for (guint i = 0; xml != NULL && i < xml->disks->len; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];

        if (disk->target != NULL)
            value_set(map, disk->target, value_string(disk->source != NULL ? disk->source : disk->type));
    }
    return map;
}

/* What is told, and what else is known. (transfer full) */
static Value *object_values(const Vm *vm)
{
    const DomainFacts *facts = vm->facts;
    Value *values = value_map(), *errors = value_list();

    value_set(values, "uuid", value_string(vm->id));
    put(values, "name", vm->name);
    value_set(values, "state", value_string(vm->state != NULL ? vm->state : "unknown"));
    value_set(values, "intent", value_string(vm->intent != NULL ? vm->intent : "unknown"));
    value_set(values, "reason", value_string(vm->reason != NULL ? vm->reason : ""));
    value_set(values, "to", value_string(vm->to != NULL ? vm->to : ""));
    value_set(values, "since_us", value_int(VALUE_INT64, vm->since_us));
    value_set(values, "libvirt_id", value_int(VALUE_INT32, facts->libvirt_id));
    value_set(values, "persistent", value_bool(facts->persistent));
    value_set(values, "autostart", value_bool(facts->autostart));
    value_set(values, "memory_bytes", value_uint(VALUE_UINT64, facts->memory_bytes));
    value_set(values, "memory_max_bytes", value_uint(VALUE_UINT64, facts->memory_max_bytes));
    value_set(values, "vcpus", value_uint(VALUE_UINT32, facts->vcpus));
    value_set(values, "disks", disk_map(facts->xml));
    for (guint i = 0; i < facts->disk_errors->len; i++)
        value_append(errors, value_string(facts->disk_errors->pdata[i]));
    value_set(values, "disk_errors", errors);
    value_set(values, "storage", storage_list(vm));
    value_set(values, "guest_agent", value_bool(facts->xml != NULL && facts->xml->has_agent));
    value_set(values, "genid", value_string(facts->xml != NULL && facts->xml->genid != NULL ? facts->xml->genid : ""));
    value_set(values, "hardware_uuid", value_string(facts->xml != NULL && facts->xml->hwuuid != NULL ? facts->xml->hwuuid : ""));
    value_set(values, "definition_hash", value_string(facts->definition_hash != NULL ? facts->definition_hash : ""));
    return values;
}

static void set_changed(QmfObject *object, Value *values /* (transfer full) */)
{
    g_autoptr(Value) owned = values;
    const char *key;
    const Value *item;

    for (size_t i = 0; value_entry(owned, i, &key, &item); i++)
        if (!value_equal(value_get(qmf_object_values(object), key), item))
            qmf_object_set(object, key, value_ref((Value *) item));
}

static QmfObject *show(QmfAgent *agent, QmfObject *object, const char *class_name, const char *prefix, const char *id, Value *values)
{
    g_autofree char *name = g_strconcat(prefix, id, NULL);
    const QmfClass *class = class_of(class_name);

    if (class == NULL) {
        value_unref(values);
        return NULL;
    }
    if (object == NULL)
        return qmf_agent_add_object(agent, class, name, values);
    set_changed(object, values);
    return object;
}

void vm_show(Vm *vm)
{
    QmfAgent *agent = host_agent(vm->domains->host);
    Value *values;

    if (vm->facts == NULL)
        return;
    vm->object = show(agent, vm->object, "Domain", "domain:", vm->id, object_values(vm));
    if (vm->facts->definition == NULL)
        return;
    values = value_map();
    value_set(values, "name", value_string(vm->id));
    value_set(values, "definition_hash", value_string(vm->facts->definition_hash));
    value_set(values, "definition", value_string(vm->facts->definition));
    vm->definition = show(agent, vm->definition, "Definition", "definition:", vm->id, values);
}

void vm_hide(Vm *vm)
{
    QmfAgent *agent = host_agent(vm->domains->host);

    if (vm->object != NULL)
        qmf_agent_remove_object(agent, g_steal_pointer(&vm->object));
    if (vm->definition != NULL)
        qmf_agent_remove_object(agent, g_steal_pointer(&vm->definition));
}
