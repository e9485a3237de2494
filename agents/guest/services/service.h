/* One watched service over time: what is true of it, why, and the operations on it, one after the other. Thread: the owner's main
 * loop. */
#ifndef MEND_GUEST_SERVICE_H
#define MEND_GUEST_SERVICE_H

#include "agents/guest/services/backend.h"
#include "agents/guest/services/lanes.h"

typedef struct Service Service;
typedef void (*ServiceChanged)(Service *service, void *user);

/* @spec: (transfer full), also on failure. @host, @lanes: borrowed, outlive it. Nothing is looked at before service_watch.
 * @changed: after each change of state, intent, process or code; never from inside a call. */
Service *service_new(ServiceSpec *spec, const ServiceHost *host, Lanes *lanes, ServiceChanged changed, void *user, GError **error);
/* Operations not yet done are cancelled: their completions run with OCF_CANCELLED before this returns. The service is left as it is. */
void service_free(Service *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Service, service_free)
void service_watch(Service *service);

const ServiceSpec *service_spec(const Service *service);
const ServiceReport *service_report(const Service *service); /* what holds now; UNKNOWN "not looked at yet" at first */
ServiceState service_previous(const Service *service);       /* before the last change */
int64_t service_since_us(const Service *service);            /* wall clock of the last change */

/* From the next start on: merged into the agent's parameters. Only OCF agents take any. Errors: SPEC_ERROR-like, for the caller's answer. */
bool service_give_parameters(Service *service, const json_t *parameters, GError **error);

/* @rc: OCF code. @text: for people. */
typedef void (*ServiceDone)(Service *service, int rc, const char *text, void *user);
/* @action: "start" "stop" "restart" "monitor". @intent: what a stop or start is called: COMMAND, or what the caller states. Waits for its
 * turn; @deadline_us (monotonic) covers the waiting too. @done: once, never from inside the call. */
void service_act(Service *service, const char *action, ServiceIntent intent, int64_t deadline_us, ServiceDone done, void *user);

#endif
