/* What is known about one agent. Plain data; strings owned, NULL where unknown. */
#ifndef MEND_REGISTRY_RECORD_H
#define MEND_REGISTRY_RECORD_H

#include "broker-plugin/plugin.h"
#include "lib/amqp/value.h"

#define UUID_LIFETIMES(X) X(FILESYSTEM, "filesystem") X(HARDWARE, "hardware") X(REBOOT, "reboot") X(AGENT, "agent") X(CUSTOM, "custom")
#define X(id, name) LIFETIME_##id,
typedef enum { UUID_LIFETIMES(X) LIFETIME_N } UuidLifetime;
#undef X

typedef struct AgentRecord {
    char *name, *product;
    char *vm;            /* canonical UUID of the machine it is on */
    char *hostname, *boot_id, *genid;
    char *uuid[LIFETIME_N];
    char *user, *role;   /* of the peer that speaks as it */
    char *address;       /* of that peer's machine: without the port */
    char *state;         /* liveness, as a word */
    char *reach;         /* "well" "degraded", of an agent that a bridge is; NULL: it is none */
    char *reach_text;    /* why degraded; NULL: it is not */
    GStrv capabilities;
    uint64_t epoch;
    uint32_t interval_ms; /* between its heartbeats */
    mend_id peer;        /* 0: none now */
    int64_t last_seen_us, gone_us; /* wall clock; gone_us 0: it is here */
    char *served;        /* owner its control queue was made for; NULL: none was. Not kept over a restart */
    bool cloned;         /* another live agent has the same file system on other hardware */
} AgentRecord;

AgentRecord *record_new(const char *name);
void record_free(AgentRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AgentRecord, record_free)
bool record_has(const AgentRecord *record, const char *capability);

json_t *record_to_json(const AgentRecord *record); /* what survives a restart; (transfer full) */
AgentRecord *record_from_json(const json_t *json); /* NULL: not one */

/* Replaces an owned string when it differs; true: it did. NULL (not told) changes nothing. */
bool text_update(char **text, const char *to);

#endif
