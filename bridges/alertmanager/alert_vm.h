/* One VM that alerts speak of: an agent on the bus whose services are alerts. A service is failed as long as one of its alerts fires. An alert
 * is a sign, no service: nothing can be started by it, so commands are refused and a policy gives it a rule of its own.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_ALERT_VM_H
#define MEND_BRIDGES_ALERT_VM_H

#include "bridges/common/bridge_agent.h"

#define ALERTS_PRODUCT "mend-alerts"

typedef struct AlertVm AlertVm;

/* What was known before a restart is known again. NULL: error. */
AlertVm *alert_vm_new(Bridge *bridge, const char *name, const char *id, GError **error);
void alert_vm_start(AlertVm *vm);
void alert_vm_close(AlertVm *vm);
void alert_vm_free(AlertVm *vm); /* NULL is fine */
/* The alert @fingerprint of @service fires (@text: what it says), or has ended. False: too many of them, it is not kept. */
bool alert_vm_take(AlertVm *vm, const char *service, const char *fingerprint, bool fires, const char *text);

#endif
