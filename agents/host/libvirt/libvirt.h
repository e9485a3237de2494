/* What the host agent sees through libvirt: its connection, every event of it, the VMs, the inventory, the numbers.
 * Thread: the main loop's. */
#ifndef MEND_HOST_LIBVIRT_H
#define MEND_HOST_LIBVIRT_H

#include "agents/host/libvirt/connection.h"
#include "agents/host/libvirt/events.h"
#include "agents/host/libvirt/intents.h"

typedef struct LibvirtOptions {
    const char *rack, *power, *switch_name;
    const char *const *labels;      /* NULL-terminated, or NULL */
    int64_t sample_period_us;       /* 0: no numbers */
    unsigned still_periods;         /* see sampling.h */
    unsigned balloon_period_s;
    /* From the storage part, each may be NULL: see domains.h and inventory.h. */
    const char *(*storage_of)(void *user, const char *path);
    Value *(*storages)(void *user);
    bool (*has_lease)(void *user, const char *vm); /* libvirt_refresh() when that changes */
    /* More numbers of @vm that is about to be told; may be NULL. */
    void (*add_numbers)(void *user, const char *vm, Value *sample);
    DomainEventFn on_event;         /* hears every event of libvirt, after it was told; may be NULL */
    void *user;
} LibvirtOptions;

typedef struct Libvirt Libvirt;

/* Between connection_new() and connection_start(). @intents and all of @options: borrowed or copied. */
Libvirt *libvirt_new(Host *host, Connection *connection, Intents *intents, const LibvirtOptions *options);
/* Before connection_free(). NULL is fine. */
void libvirt_free(Libvirt *libvirt);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Libvirt, libvirt_free)

/* For ActionsOptions.note: notes it, and tells a VM that is to move as migrating. */
void libvirt_note(Libvirt *libvirt, const char *vm, const char *what, const char *value);
/* Storages are others than before. */
void libvirt_inventory_changed(Libvirt *libvirt);
/* Something of this VM that libvirt has no event for has changed. */
void libvirt_refresh(Libvirt *libvirt, const char *vm);

#endif
