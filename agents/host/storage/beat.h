/* A host's sign of life on shared storage: one block of 4 KiB in FOLDER/.mend/beat-HOST, written anew at every beat.
 * The block is text, padded with newlines: "mend-beat 1 HOST BOOT COUNTER WALL_US CHECKSUM", CHECKSUM the CRC-32 (IEEE) of all before it
 * in hex: a torn block is none. Readers do not trust the writer's clock: a host lives when its counter grows. Thread: any. */
#ifndef MEND_HOST_BEAT_H
#define MEND_HOST_BEAT_H

#include "lib/base/base.h"

#define BEAT_BYTES  4096
#define BEAT_FOLDER ".mend"
#define BEAT_PREFIX "beat-"

typedef struct Beat {
    char host[37], boot_id[37];
    uint64_t counter;
    int64_t wall_us;
} Beat;

/* @block: BEAT_BYTES. */
void beat_write(const Beat *beat, char *block);
bool beat_read(const char *block, Beat *ret); /* false: not one, torn, or of a later form */

#endif
