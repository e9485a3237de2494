/* What oVirt says, as plain data: VMs, hosts, events, read from the JSON of its REST API (types Vm, Host, Event of its API model). Numbers and
 * booleans may come as themselves or as text, as releases differ. An answer is taken whole or not at all: half a list of VMs would make
 * the others look gone. Thread: any. */
#ifndef MEND_OVIRT_MODEL_H
#define MEND_OVIRT_MODEL_H

#include "lib/base/base.h"

typedef struct OvirtVm {  /* texts owned; NULL: not said */
    char *id;             /* UUID: libvirt's and the guest's SMBIOS UUID, too */
    char *name, *status, *host, *cluster, *address, *stop_reason;
    char *on_storage_error; /* auto_resume leave_paused kill: what oVirt does with it when its storage fails */
    bool ha, lease;
    uint64_t memory_bytes;
    unsigned vcpus;
} OvirtVm;

typedef struct OvirtHost {
    char *id, *name, *status, *cluster;
    bool power;           /* its power management is enabled: oVirt fences it */
    uint64_t memory_bytes;
    unsigned vcpus;
} OvirtHost;

typedef struct OvirtEvent {
    uint64_t id;          /* index: grows */
    int code;
    char *text, *vm, *host, *origin;
} OvirtEvent;

#define OVIRT_ERROR ovirt_error_quark()
GQuark ovirt_error_quark(void);
typedef enum { OVIRT_ERROR_MALFORMED } OvirtError;

/* Of the answer to GET /vms, /hosts, /events: arrays of the structs above, by id. At most OVIRT_LIST_MAX. NULL: OVIRT_ERROR_MALFORMED, names
 * what is wrong. */
#define OVIRT_LIST_MAX 100000
GPtrArray *ovirt_vms_read(const json_t *body, GError **error);
GPtrArray *ovirt_hosts_read(const json_t *body, GError **error);
GPtrArray *ovirt_events_read(const json_t *body, GError **error);
/* Of GET /vms/ID, /hosts/ID. NULL: as above. */
OvirtVm *ovirt_vm_read(const json_t *body, GError **error);
OvirtHost *ovirt_host_read(const json_t *body, GError **error);

void ovirt_vm_free(OvirtVm *vm);       /* NULL is fine */
void ovirt_host_free(OvirtHost *host); /* NULL is fine */
void ovirt_event_free(OvirtEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OvirtVm, ovirt_vm_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OvirtHost, ovirt_host_free)

/* {"power_management": {"status": "off"}} of a fence action's answer; NULL: it does not say. Borrowed. */
const char *ovirt_power_status(const json_t *body);
/* The first value of statistic @name of GET …/statistics. False: it is not among them. */
bool ovirt_statistic(const json_t *body, const char *name, double *ret_value);

#endif
