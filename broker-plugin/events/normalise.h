/* Raw indications into facts. What the class name and its values say is enough: a class KIND_state with a property "state" becomes
 * KIND.STATE, so a new kind of event is a new class in a schema file. Matahari's resource_op is read by OCF's return codes. */
#ifndef MEND_EVENTS_NORMALISE_H
#define MEND_EVENTS_NORMALISE_H

#include "broker-plugin/events/fact.h"
#include "lib/amqp/value.h"

typedef struct Origin { /* who said it, borrowed */
    const char *agent, *vm, *hostname, *boot_id;
    int64_t received_us;  /* wall clock */
    /* Why @service of this agent may be down on purpose: "command", "admin", or NULL. May be NULL. */
    const char *(*intent)(const char *agent, const char *service, void *user);
    void *user;
} Origin;

#define NORMALISE_ERROR normalise_error_quark()
GQuark normalise_error_quark(void);
typedef enum { NORMALISE_ERROR_MALFORMED } NormaliseError;

/* False: it says something that cannot be so, error. True with *@ret NULL: no state of anything. @event: map with _values. */
bool normalise_event(const Origin *origin, const Value *event, Fact **ret, GError **error);

/* State of a service by what a heartbeat's digest says. */
Fact *normalise_digest(const Origin *origin, const char *service, const char *state);
/* A word for a state: lower case letters, digits and dashes, at most 32. */
bool is_state_word(const char *word);

#endif
