/* What the parts of the host agent share: where they tell what they see, where commands reach them, and threads for calls that block.
 * Parts (libvirt, fencing, storage, memory, channels) know this and not each other; main.c composes them.
 * Thread: the main loop's, but for the work functions of host_work(). */
#ifndef MEND_HOST_HOST_H
#define MEND_HOST_HOST_H

#include "lib/amqp/value.h"
#include "lib/base/base.h"
#include "lib/model/command.h"
#include "lib/qmf/agent.h"

typedef struct Host Host;

/* ---- telling ---------------------------------------------------------------------------------------------------------------------- */

/* The event KIND_state of org.matahariproject.mend (schemas/mend-host.xml): @kind "vm" "host" "storage", @id the entity's UUID, @state
 * its state ("paused"). @values: (transfer full) map of the event's other arguments, or NULL; id, state, sequence, boot_id and
 * occurred_us are filled in. What the schema does not know is dropped with a warning.
 * A state: while the bus is away the latest one of each entity is kept and told when it is back, whatever there were. */
void host_tell(Host *host, const char *kind, const char *id, const char *state, Value *values);
/* Something that happened (vm.evidence, vm.job, vm.sample, host.evidence): while the bus is away the last HOST_UNTOLD_MAX are kept;
 * of one entity, @state and @topic (may be NULL: every one counts) only the latest. */
#define HOST_UNTOLD_MAX 10000
void host_tell_happened(Host *host, const char *kind, const char *id, const char *state, const char *topic, Value *values);
/* Any event of @class, in org.matahariproject.mend; not kept while the bus is away. */
void host_raise(Host *host, const char *class, int severity /* -1: the class's */, Value *values /* (transfer full) */);
/* Something lasting about this host itself that one part knows ("fences"): goes out with every host.up, whichever part tells that; the last
 * one is told again when the fact changes. @key: an argument of host_state. @value: (transfer full); NULL takes it back. */
void host_set_fact(Host *host, const char *key, Value *value);
bool host_is_online(const Host *host);
/* Runs at each (re)connect, before what was kept is told: the moment to tell the inventory again. */
void host_on_online(Host *host, void (*fn)(void *user), void *user);

/* ---- who we are ------------------------------------------------------------------------------------------------------------------- */

const char *host_id(const Host *host);       /* the UUID in host/ID */
const char *host_boot_id(const Host *host);
const char *host_name(const Host *host);     /* of the machine */
const char *host_data(const Host *host);     /* folder for what must survive a restart of the agent */
QmfAgent *host_agent(const Host *host);      /* for objects of one's own classes */

/* ---- commands --------------------------------------------------------------------------------------------------------------------- */

typedef struct HostCall HostCall; /* a method call of Hypervisor at work */
/* @call is answered exactly once, at once or later, by one of the three below, and is gone then. Arguments have the schema's types. */
typedef void (*HostMethodFn)(HostCall *call, void *user);
/* @method: "vm_start" …, of class Hypervisor in schemas/mend-host.xml. One without a handler is refused as unknown. */
void host_on_method(Host *host, const char *method, HostMethodFn fn, void *user);
const Value *host_call_arguments(const HostCall *call);
const char *host_call_name(const HostCall *call);       /* the argument "name": the entity's ID; "" when absent */
const char *host_call_method(const HostCall *call);
int64_t host_call_deadline_us(const HostCall *call);    /* monotonic (clock_now_us): its timeout_ms or the command's own deadline */
/* The same, after giving a call that names no timeout @own_us instead of the common minute. */
int64_t host_call_limit_us(HostCall *call, int64_t own_us);
/* Done. @state: what the entity is now ("stopped", "off"), or NULL. @values: (transfer full) further outputs, or NULL. */
void host_call_done(HostCall *call, const char *state, Value *values, const char *text);
/* It was tried and did not succeed: @error COMMAND_ERROR_…, @text for people: what failed and what to do. @values as above. */
void host_call_failed(HostCall *call, const char *error, Value *values, const char *text);
/* Nothing was done. @error: COMMAND_ERROR_ARGUMENT, NOT_FOUND, UNKNOWN … */
void host_call_refused(HostCall *call, const char *error, const char *text);
/* Nothing was done here, and another host, or this one later, may do it: the policy tries again, where a refusal ends its step. */
void host_call_declined(HostCall *call, const char *text);

/* ---- work that blocks -------------------------------------------------------------------------------------------------------------- */

typedef void (*HostWorkFn)(void *data); /* another thread: must not touch Host */
typedef void (*HostDoneFn)(void *data); /* main loop */
typedef void (*HostDropFn)(void *data); /* main loop */
/* Runs @work in a thread, then @done in the main loop; work of one @lane one after the other, first come first served; NULL: at once,
 * beside all others. At most HOST_WORKERS at a time; further ones wait. Work cannot be taken back: it ends by its own time limits.
 * Once the host ends @done is not called any more; then @drop frees @data (main loop; parts are gone by then). NULL: nothing to free. */
#define HOST_WORKERS 32
void host_work(Host *host, const char *lane, HostWorkFn work, HostDoneFn done, HostDropFn drop, void *data);

#endif
