/* Hosts whose kernel crashed and that write their memory to disk: fence_kdump_send in the crash kernel sends a message every few seconds.
 * Port 7410 of UDP, 8 bytes: magic 0x1B302A40, version 1, both in the sender's byte order (fence-agents, agents/kdump/message.h).
 * Anybody can send one: it only delays fencing, and not for longer than the limit. Thread: main loop. */
#ifndef MEND_HOST_FENCE_KDUMP_H
#define MEND_HOST_FENCE_KDUMP_H

#include "agents/host/fence/fencing_file.h"

#define KDUMP_PORT       7410
#define KDUMP_SILENCE_US (30 * US_PER_S) /* without a message for this long the dump is over, or died */

/* @begun: the first message of a dump, and then one in ten seconds at most; else: it is over. */
typedef void (*KdumpFn)(const FenceHost *host, bool begun, void *user);

typedef struct Kdump Kdump;
/* @file (may be NULL: nobody is known) and its hosts outlive it. @address: NULL: every one of this machine. @port 0: any that is free.
 * @silence_us 0: KDUMP_SILENCE_US. NULL: error. */
Kdump *kdump_new(const FencingFile *file, const char *address, uint16_t port, int64_t silence_us, KdumpFn fn, void *user, GError **error);
void kdump_free(Kdump *kdump); /* NULL is fine */
uint16_t kdump_port(const Kdump *kdump);
/* Monotonic time when @host's dump began; 0: none is in progress. */
int64_t kdump_since_us(const Kdump *kdump, const FenceHost *host);

bool kdump_message_is(const uint8_t *bytes, size_t n_bytes);

#endif
