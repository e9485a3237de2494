#include "agents/host/libvirt/inventory.h"

#include "lib/base/log.h"

#include <string.h>

struct Inventory {
    Host *host;
    const Domains *domains;
    InventoryOptions options;
    char *rack, *power, *switch_name;
    char **labels;
    HostFacts facts;  /* all 0 until libvirt was there */
    Value *told;      /* NULL: nothing yet */
};

static void put(Value *map, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        value_set(map, key, value_string(text));
}

/* (transfer full) */
static Value *collect(const Inventory *inventory)
{
    const InventoryOptions *options = &inventory->options;
    Value *values = value_map(), *labels = value_list(), *vms = domains_active(inventory->domains);

    value_set(values, "hostname", value_string(host_name(inventory->host)));
    value_set(values, "name", value_string(host_name(inventory->host)));
    put(values, "rack", inventory->rack);
    put(values, "power", inventory->power);
    put(values, "switch", inventory->switch_name);
    for (char **label = inventory->labels; label != NULL && *label != NULL; label++)
        value_append(labels, value_string(*label));
    value_set(values, "labels", labels);
    if (inventory->facts.memory_bytes != 0) {
        value_set(values, "memory_bytes", value_uint(VALUE_UINT64, inventory->facts.memory_bytes));
        value_set(values, "vcpus", value_uint(VALUE_UINT32, inventory->facts.vcpus));
    }
    if (options->storages != NULL)
        value_set(values, "storage", options->storages(options->user));
    if (vms != NULL)
        value_set(values, "vms", vms);
    return values;
}

static QmfObject *hypervisor(const Inventory *inventory) { return qmf_agent_object(host_agent(inventory->host), "Hypervisor"); }

static void tell(Inventory *inventory, bool again)
{
    Value *values = collect(inventory);
    QmfObject *object = hypervisor(inventory);
    const Value *vms = value_get(values, "vms");

    if (!again && inventory->told != NULL && value_equal(values, inventory->told)) {
        value_unref(values);
        return;
    }
    value_unref(inventory->told);
    inventory->told = value_ref(values);
    if (object != NULL)
        qmf_object_set(object, "vms", vms != NULL ? value_ref((Value *) vms) : value_null());
    host_tell(inventory->host, "host", host_id(inventory->host), "up", values);
}

static void on_online(void *user)
{
    tell(user, true);
}

Inventory *inventory_new(Host *host, const Domains *domains, const InventoryOptions *options)
{
    Inventory *inventory = g_new0(Inventory, 1);

    inventory->host = host;
    inventory->domains = domains;
    inventory->options = *options;
    inventory->rack = g_strdup(options->rack);
    inventory->power = g_strdup(options->power);
    inventory->switch_name = g_strdup(options->switch_name);
    inventory->labels = g_strdupv((char **) options->labels);
    host_on_online(host, on_online, inventory);
    return inventory;
}

void inventory_free(Inventory *inventory)
{
    if (inventory == NULL)
        return;
    value_unref(inventory->told);
    g_strfreev(inventory->labels);
    g_free(inventory->rack);
    g_free(inventory->power);
    g_free(inventory->switch_name);
    g_free(inventory);
}

void inventory_changed(Inventory *inventory)
{
    tell(inventory, false);
}

void inventory_libvirt(Inventory *inventory, const char *uri, const HostFacts *facts, const char *why)
{
    QmfObject *object = hypervisor(inventory);

    qmf_agent_set_attribute(host_agent(inventory->host), "libvirt", value_string(facts != NULL ? "up" : "away"));
    if (facts != NULL)
        inventory->facts = *facts;
    inventory_changed(inventory);
    if (object == NULL)
        return;
    qmf_object_set(object, "libvirt", value_string(facts != NULL ? "up" : why));
    qmf_object_set(object, "libvirt_uri", value_string(uri));
    if (facts == NULL)
        return;
    qmf_object_set(object, "libvirt_version", value_string(facts->libvirt_version));
    qmf_object_set(object, "hypervisor", value_string(facts->hypervisor));
    qmf_object_set(object, "hypervisor_version", value_string(facts->hypervisor_version));
    qmf_object_set(object, "cpu_model", value_string(facts->cpu_model));
    qmf_object_set(object, "vcpus", value_uint(VALUE_UINT32, facts->vcpus));
    qmf_object_set(object, "memory_bytes", value_uint(VALUE_UINT64, facts->memory_bytes));
}

static void version_text(unsigned long version, char *ret, size_t size)
{
    g_snprintf(ret, (gulong) size, "%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
}

void host_facts_read(virConnectPtr connection, HostFacts *ret)
{
    unsigned long version = 0;
    virNodeInfo info;
    const char *type = virConnectGetType(connection);

    *ret = (HostFacts) { { 0 } };
    if (virNodeGetInfo(connection, &info) == 0) {
        g_strlcpy(ret->cpu_model, info.model, sizeof ret->cpu_model);
        ret->vcpus = info.cpus;
        ret->memory_bytes = (uint64_t) info.memory * 1024;
    }
    if (type != NULL)
        g_strlcpy(ret->hypervisor, type, sizeof ret->hypervisor);
    if (virConnectGetVersion(connection, &version) == 0)
        version_text(version, ret->hypervisor_version, sizeof ret->hypervisor_version);
    if (virConnectGetLibVersion(connection, &version) == 0)
        version_text(version, ret->libvirt_version, sizeof ret->libvirt_version);
}
