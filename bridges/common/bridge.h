/* What the bridges share: the program mend-bridge, with a verb for each system it speaks for; its settings, start, reload and end.
 * A bridge is an agent for what cannot run one: what it is on the bus is in bridge_agent.h.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_BRIDGE_H
#define MEND_BRIDGES_BRIDGE_H

#include "lib/base/base.h"
#include "lib/base/settings.h"

typedef struct Bridge Bridge; /* the running program */

typedef struct BridgeSystem {
    const char *name;  /* "ssh": the verb */
    const char *about; /* one line for --help */
    const Setting *rows; /* settings of its own, beside the common ones; their offsets are in a struct of @settings_bytes */
    size_t n_rows;
    size_t settings_bytes;
    /* @settings: the filled struct, until stop. The returned state is handed to the others. NULL: error, and nothing is left behind. */
    void *(*start)(Bridge *bridge, const void *settings, GError **error);
    void (*reload)(void *state);  /* SIGHUP: reads its files again, all or nothing; may be NULL */
    /* Told to end: commands under way are let be, agents close (bridge_agent_close). */
    void (*close)(void *state);   /* may be NULL */
    void (*stop)(void *state);    /* after the main loop: frees */
} BridgeSystem;

/* The whole program, for main(). @systems: @n_systems pointers. Returns the exit status. */
int bridge_main(const BridgeSystem *const *systems, size_t n_systems, char **argv);

const char *bridge_data(const Bridge *bridge); /* folder for what must survive a restart, this system's own */

/* ---- common settings, for bridge_agent.c ------------------------------------------------------------------------------------------ */

typedef struct BridgeSettings {
    char *broker, *credentials, *site, *data, *log;
    bool anonymous;
    int64_t heartbeat_us;
} BridgeSettings;
const BridgeSettings *bridge_settings(const Bridge *bridge);

/* The program ends once everything that was held is released; released again at the latest BRIDGE_CLOSE_MAX_US after the signal. */
#define BRIDGE_CLOSE_MAX_US (3 * US_PER_S)
void bridge_hold(Bridge *bridge);
void bridge_release(Bridge *bridge);
bool bridge_is_closing(const Bridge *bridge);

#endif
