/* The systems mend-bridge speaks for; each folder beside this file has one. */
#include "bridges/common/bridge.h"

extern const BridgeSystem bridge_alertmanager, bridge_deltacloud, bridge_masakari, bridge_ovirt, bridge_pacemaker_cloud, bridge_ssh;

static const BridgeSystem *const systems[] = { &bridge_alertmanager, &bridge_deltacloud, &bridge_masakari, &bridge_ovirt, &bridge_pacemaker_cloud, &bridge_ssh };

int main(int argc, char **argv) { return bridge_main(systems, G_N_ELEMENTS(systems), argv); }
