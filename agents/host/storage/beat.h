/* A host's sign of life on shared storage: a block (block.h) in FOLDER/.mend/beat-HOST, written anew at every beat, with the text
 * "mend-beat 1 HOST BOOT COUNTER WALL_US". Readers do not trust the writer's clock: a host lives when its counter grows. Thread: any. */
#ifndef MEND_HOST_BEAT_H
#define MEND_HOST_BEAT_H

#include "agents/host/storage/block.h"

#define BEAT_PREFIX "beat-"

typedef struct Beat {
    char host[37], boot_id[37];
    uint64_t counter;
    int64_t wall_us;
} Beat;

/* @block: BLOCK_BYTES. */
void beat_write(const Beat *beat, char *block);
bool beat_read(const char *block, Beat *ret); /* false: not one, torn, or of a later form */

#endif
