/* The process that touches a storage domain, so that the agent itself never waits for it: `mend-host storage-probe` (PROBE_VERB). A
 * thread that hangs in the kernel cannot be ended; a process can be left behind.
 * Each cycle it writes its host's beat, reads it back, reads those of others and the free space, and prints lines:
 *   host UUID BOOT COUNTER        another host's beat, whole
 *   space FREE TOTAL              bytes
 *   beat LATENCY_US               the cycle went well: how long its write, sync and read took
 *   error ERRNO WHAT              it did not
 * The last line of a cycle is beat or error.
 * When nobody reads any more (the agent ended) it goes on beating: the host lives, and must not be taken for dead because one process of it
 * is gone. It ends when another probe of this host beats there. */
#ifndef MEND_HOST_PROBE_H
#define MEND_HOST_PROBE_H

#define PROBE_VERB "storage-probe"

/* argv: PROBE_VERB FOLDER HOST BOOT INTERVAL_MS DATA, the agent's own folder (see place.h). The exit status. */
int probe_main(int argc, char **argv);

#endif
