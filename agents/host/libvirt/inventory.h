/* What the host has and what runs on it: host.up, told when it changes, when the bus is back, and when libvirt is. While libvirt is
 * away host.up says nothing of VMs, for a list that leaves one out says that it does not run here.
 * Also the properties of the object Hypervisor that come from libvirt. Thread: the main loop's. */
#ifndef MEND_HOST_INVENTORY_H
#define MEND_HOST_INVENTORY_H

#include "agents/host/libvirt/domains.h"

typedef struct InventoryOptions {
    const char *rack, *power, *switch_name; /* NULL: not said */
    const char *const *labels;              /* NULL-terminated, or NULL */
    Value *(*storages)(void *user);         /* UUIDs of the storage domains this host can use, (transfer full) list; NULL: there are none */
    void *user;
} InventoryOptions;

typedef struct HostFacts { /* of the machine, as libvirt sees it */
    char cpu_model[64];
    char hypervisor[64], hypervisor_version[32], libvirt_version[32];
    unsigned vcpus;
    uint64_t memory_bytes;
} HostFacts;

typedef struct Inventory Inventory;

/* All borrowed; strings and lists of @options are copied. */
Inventory *inventory_new(Host *host, const Domains *domains, const InventoryOptions *options);
void inventory_free(Inventory *inventory); /* NULL is fine */
/* Something it tells may have changed: tells it, if so. At once, for the last host.up told is told again when another part has news
 * (host_set_fact), and one that leaves out a VM that was told to run says that it is gone. */
void inventory_changed(Inventory *inventory);
/* libvirt is there (@facts, copied), or away (NULL, @why). */
void inventory_libvirt(Inventory *inventory, const char *uri, const HostFacts *facts, const char *why);

/* In a thread. */
void host_facts_read(virConnectPtr connection, HostFacts *ret);

#endif
