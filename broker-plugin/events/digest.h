/* Heartbeats say how every service of an agent is; an event that was lost repairs itself by that. */
#ifndef MEND_EVENTS_DIGEST_H
#define MEND_EVENTS_DIGEST_H

#include "broker-plugin/events/entities.h"
#include "broker-plugin/events/normalise.h"

typedef struct Digest Digest;

Digest *digest_new(void);
void digest_free(Digest *digest);
/* An event of this agent has arrived, with its number. */
void digest_event(Digest *digest, const char *agent, uint64_t sequence);
/* Facts to publish (transfer full, of Fact): services that are otherwise than known. @services: map name -> state. */
GPtrArray *digest_look(Digest *digest, const Origin *origin, const Value *services, uint64_t event_sequence, const Entities *known);
/* It began anew, or is no more. */
void digest_forget(Digest *digest, const char *agent);

#endif
