/* The systems mend-bridge speaks for; each folder beside this file has one. */
#include "bridges/common/bridge.h"

extern const BridgeSystem bridge_alertmanager, bridge_deltacloud, bridge_masakari, bridge_ovirt, bridge_pacemaker_cloud, bridge_ssh;

static const BridgeSystem *const systems[] = {
#ifdef MEND_BRIDGE_ALERTMANAGER
    &bridge_alertmanager,
#endif
#ifdef MEND_BRIDGE_DELTACLOUD
    &bridge_deltacloud,
#endif
#ifdef MEND_BRIDGE_MASAKARI
    &bridge_masakari,
#endif
#ifdef MEND_BRIDGE_OVIRT
    &bridge_ovirt,
#endif
#ifdef MEND_BRIDGE_PACEMAKER_CLOUD
    &bridge_pacemaker_cloud,
#endif
#ifdef MEND_BRIDGE_SSH
    &bridge_ssh,
#endif
};

int main(int argc, char **argv) { return bridge_main(systems, G_N_ELEMENTS(systems), argv); }
