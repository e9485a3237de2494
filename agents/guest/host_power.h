/* Host's methods that need a tool of the machine: shutdown, reboot, and the power profiles of tuned. Thread: the owner's main loop. */
#ifndef MEND_GUEST_HOST_POWER_H
#define MEND_GUEST_HOST_POWER_H

#include "agents/guest/classes.h"

typedef struct HostPower HostPower;

HostPower *host_power_new(const ClassContext *context);
void host_power_free(HostPower *power); /* what is under way is answered as interrupted */
/* False: not one of its methods, the call is still open. */
bool host_power_method(HostPower *power, QmfCall *call);

#endif
