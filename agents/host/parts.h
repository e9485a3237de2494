/* The parts of the host agent, put together: which ones there are, in which order they start, and what they ask of each other.
 * Thread: the main loop's. */
#ifndef MEND_HOST_PARTS_H
#define MEND_HOST_PARTS_H

#include "agents/host/host.h"
#include "agents/host/host_settings.h"

typedef struct Parts Parts;

/* @settings: borrowed, outlives them. NULL: error (a file of the settings is wrong). */
Parts *parts_start(Host *host, const HostSettings *settings, GError **error);
/* Reads again what may change while it runs: the fencing file. */
void parts_reload(Parts *parts);
/* What is at work is told to end; VMs are left as they are. Before host_free(). NULL is fine. */
void parts_stop(Parts *parts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Parts, parts_stop)

#endif
