/* What Mend holds to be true now about one entity: one CloudEvents 1.0 event. Immutable and counted. Thread: any. */
#ifndef MEND_MODEL_EVENT_H
#define MEND_MODEL_EVENT_H

#include "lib/base/base.h"

#define EVENT_TYPE_PREFIX "org.matahariproject.mend." /* type = prefix KIND.STATE ".v1" */

/* KIND.STATE that Mend itself publishes; others (from schema files) are carried as text and work the same. */
#define EVENT_KINDS(X)                                                                                    \
    X(SERVICE_RUNNING,  "service.running")  X(SERVICE_FAILED,  "service.failed")                          \
    X(SERVICE_STOPPED,  "service.stopped")  X(SERVICE_UNKNOWN, "service.unknown")                         \
    X(SERVICE_STARTING, "service.starting") X(SERVICE_STOPPING, "service.stopping")                       \
    X(SERVICE_DEGRADED, "service.degraded")                                                               \
    X(AGENT_UP,   "agent.up")   X(AGENT_LATE, "agent.late")  X(AGENT_LOST, "agent.lost")                  \
    X(AGENT_CLOSED, "agent.closed") X(AGENT_RESTARTED, "agent.restarted") X(AGENT_CLONED, "agent.cloned") \
    X(AGENT_MOVED, "agent.moved") X(AGENT_QUARANTINED, "agent.quarantined")                               \
    X(VM_RUNNING, "vm.running") X(VM_STARTING, "vm.starting") X(VM_STOPPING, "vm.stopping")               \
    X(VM_STOPPED, "vm.stopped") X(VM_CRASHED, "vm.crashed") X(VM_PANICKED, "vm.panicked")                 \
    X(VM_HUNG, "vm.hung") X(VM_PAUSED, "vm.paused") X(VM_SUSPENDED, "vm.suspended")                       \
    X(VM_MIGRATING, "vm.migrating") X(VM_LOST, "vm.lost") X(VM_UNKNOWN, "vm.unknown")                     \
    X(VM_REBOOTED, "vm.rebooted") X(VM_REVERTED, "vm.reverted")                                           \
    X(VM_PATH_LOST, "vm.path-lost") X(VM_STORAGE_DEGRADED, "vm.storage-degraded") X(VM_EJECT, "vm.eject") \
    X(VM_EVIDENCE, "vm.evidence") X(VM_JOB, "vm.job") X(VM_SAMPLE, "vm.sample")                           \
    X(HOST_UP, "host.up") X(HOST_OFF, "host.off") X(HOST_ALIVE, "host.alive")                             \
    X(HOST_DEGRADED, "host.degraded") X(HOST_ISOLATED, "host.isolated")                                   \
    X(HOST_PARTITIONED, "host.partitioned") X(HOST_DEAD, "host.dead") X(HOST_UNKNOWN, "host.unknown")     \
    X(HOST_EVIDENCE, "host.evidence") X(HOST_SAMPLE, "host.sample")                                       \
    X(HOST_FENCEABLE, "host.fenceable") X(HOST_UNFENCEABLE, "host.unfenceable")                           \
    X(STORAGE_WELL, "storage.well") X(STORAGE_DEGRADED, "storage.degraded")                               \
    X(STORAGE_FAILED, "storage.failed") X(STORAGE_FULL, "storage.full")                                   \
    X(OBSERVER_FAULT, "observer.fault") X(OBSERVER_WELL, "observer.well")                                 \
    X(COMMAND_DONE, "command.done") X(COMMAND_FAILED, "command.failed") X(COMMAND_EXPIRED, "command.expired")

typedef struct Event Event;

typedef struct EventFields { /* borrowed by event_new, which copies */
    const char *id;          /* UUID; NULL: a new one is made (only outside the pure parts) */
    const char *kind;        /* "service.failed" */
    const char *source;      /* agent name */
    const char *entity;      /* "service/VM/NAME" */
    int64_t time_us;         /* wall clock */
    uint64_t sequence;       /* grows by one per plugin and site; gaps mean lost events */
    int severity;            /* 0 emergency … 7 debug */
    const char *boot_id;     /* may be NULL */
    double confidence;       /* 0 … 1 */
    json_t *data;            /* event_new only (object; borrowed and shared, not to be changed afterwards): read it with event_data() */
} EventFields;

#define EVENT_ERROR event_error_quark()
GQuark event_error_quark(void);
typedef enum { EVENT_ERROR_MALFORMED } EventError;

Event *event_new(const EventFields *fields);
Event *event_ref(Event *event);
void event_unref(Event *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Event, event_unref)

const EventFields *event_fields(const Event *event); /* borrowed; its data is always NULL */
/* Object, never NULL; borrowed, not to be changed. Of a decoded event it is built at the first call. */
json_t *event_data(const Event *event);
/* One value without building the object; NULL: absent, or no string. */
const char *event_data_string(const Event *event, const char *key);
/* AMQP subject: KIND.STATE.WORDS, words of the entity escaped; "service.failed.<vm>.<name>". Caller frees. */
char *event_subject(const Event *event);

/* CloudEvents JSON (structured mode), for programs and people. (transfer full) */
json_t *event_to_json(const Event *event);
Event *event_from_json(const json_t *json, GError **error);

/* Packed (lib/base/pack.h), the journal's form, one block:
 *   byte 1 (this form's number), texts id kind source entity boot_id, signed time_us, number sequence, signed severity,
 *   byte 1: confidence is 1, byte 0: a real follows; value data (an object)
 * The same event packs to the same bytes. */
void event_pack(const Event *event, GByteArray *to);
/* One allocation: strings stay where they were packed, data is built when it is asked for. PACK_ERROR, EVENT_ERROR. (transfer full) */
Event *event_unpack(const void *block, size_t size, GError **error);

#endif
