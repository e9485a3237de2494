#include "agents/host/libvirt/host_pools.h"

#include <stdlib.h>
#include <string.h>

#define PACKAGE "org.matahariproject.mend"

struct HostPools {
    Host *host;
    GHashTable *objects; /* object name → QmfObject */
};

HostPools *host_pools_new(Host *host)
{
    HostPools *pools = g_new0(HostPools, 1);

    pools->host = host;
    pools->objects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return pools;
}

void host_pools_free(HostPools *pools)
{
    if (pools == NULL)
        return;
    g_hash_table_unref(pools->objects);
    g_free(pools);
}

static Value *pool_values(virStoragePoolPtr pool)
{
    static const char *const states[] = { "inactive", "building", "running", "degraded", "inaccessible" };
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    virStoragePoolInfo info = { 0 };
    Value *values = value_map();
    int autostart = 0;

    virStoragePoolGetUUIDString(pool, uuid);
    virStoragePoolGetInfo(pool, &info);
    virStoragePoolGetAutostart(pool, &autostart);
    value_set(values, "uuid", value_string(uuid));
    value_set(values, "name", value_string(virStoragePoolGetName(pool)));
    value_set(values, "state", value_string(info.state < (int) G_N_ELEMENTS(states) ? states[info.state] : "unknown"));
    value_set(values, "autostart", value_bool(autostart != 0));
    value_set(values, "capacity_bytes", value_uint(VALUE_UINT64, info.capacity));
    value_set(values, "allocation_bytes", value_uint(VALUE_UINT64, info.allocation));
    value_set(values, "available_bytes", value_uint(VALUE_UINT64, info.available));
    return values;
}

static Value *network_values(virNetworkPtr network)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    char *bridge = virNetworkGetBridgeName(network);
    Value *values = value_map();
    int autostart = 0;

    virNetworkGetUUIDString(network, uuid);
    virNetworkGetAutostart(network, &autostart);
    value_set(values, "uuid", value_string(uuid));
    value_set(values, "name", value_string(virNetworkGetName(network)));
    value_set(values, "state", value_string(virNetworkIsActive(network) == 1 ? "active" : "inactive"));
    value_set(values, "bridge", value_string(bridge != NULL ? bridge : ""));
    value_set(values, "autostart", value_bool(autostart != 0));
    free(bridge);
    return values;
}

static void put(Value *found, const char *prefix, Value *values /* (transfer full) */)
{
    g_autofree char *name = g_strconcat(prefix, value_get_string(values, "uuid"), NULL);

    value_set(found, name, values);
}

Value *host_pools_read(virConnectPtr connection)
{
    Value *found = value_map();
    virStoragePoolPtr *pools = NULL;
    virNetworkPtr *networks = NULL;
    int n_pools = virConnectListAllStoragePools(connection, &pools, 0), n_networks = virConnectListAllNetworks(connection, &networks, 0);

    for (int i = 0; i < n_pools; i++) {
        if (i < HOST_POOLS_MAX)
            put(found, "pool:", pool_values(pools[i]));
        virStoragePoolFree(pools[i]);
    }
    for (int i = 0; i < n_networks; i++) {
        if (i < HOST_POOLS_MAX)
            put(found, "network:", network_values(networks[i]));
        virNetworkFree(networks[i]);
    }
    free(pools);
    free(networks);
    return found;
}

static void remove_others(HostPools *pools, const Value *found)
{
    GHashTableIter iter;
    void *name, *object;

    g_hash_table_iter_init(&iter, pools->objects);
    while (g_hash_table_iter_next(&iter, &name, &object))
        if (value_get(found, name) == NULL) {
            qmf_agent_remove_object(host_agent(pools->host), object);
            g_hash_table_iter_remove(&iter);
        }
}

void host_pools_show(HostPools *pools, const Value *found)
{
    const char *name, *key;
    const Value *values, *item;

    remove_others(pools, found);
    for (size_t i = 0; value_entry(found, i, &name, &values); i++) {
        const char *class = g_str_has_prefix(name, "pool:") ? "StoragePool" : "Network";
        QmfObject *object = g_hash_table_lookup(pools->objects, name);

        if (object == NULL) {
            object = qmf_agent_add_object(host_agent(pools->host), qmf_schema_find(qmf_schema_builtin(), PACKAGE, class), name,
                                          value_ref((Value *) values));
            g_hash_table_insert(pools->objects, g_strdup(name), object);
            continue;
        }
        for (size_t k = 0; value_entry(values, k, &key, &item); k++)
            if (!value_equal(value_get(qmf_object_values(object), key), item))
                qmf_object_set(object, key, value_ref((Value *) item));
    }
}
