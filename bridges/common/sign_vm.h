/* One machine that others speak of (Alertmanager, Masakari's monitors): an agent on the bus whose services are what they complain of. A service
 * is failed as long as one complaint about it stands. Such a sign is no service: nothing can be started by it, so commands are refused and a
 * policy gives it a rule of its own. Thread: the main loop's. */
#ifndef MEND_BRIDGES_SIGN_VM_H
#define MEND_BRIDGES_SIGN_VM_H

#include "bridges/common/bridge_agent.h"

typedef struct SignVm SignVm;

typedef struct SignVmOptions { /* borrowed; texts are copied, @product is static */
    const char *product;       /* in the agent's name: "mend-alerts" */
    const char *name, *id;     /* for people; UUID of the machine */
} SignVmOptions;

/* What was known before a restart is known again. NULL: error. */
SignVm *sign_vm_new(Bridge *bridge, const SignVmOptions *options, GError **error);
void sign_vm_start(SignVm *vm);
void sign_vm_close(SignVm *vm);
void sign_vm_free(SignVm *vm); /* NULL is fine */
/* The complaint @fingerprint about @service stands (@text: what it says), or has ended. False: too many of them, it is not kept. */
bool sign_vm_take(SignVm *vm, const char *service, const char *fingerprint, bool fires, const char *text);
void sign_vm_set_reach(SignVm *vm, const char *why); /* bridge_agent_set_reach() */

#endif
