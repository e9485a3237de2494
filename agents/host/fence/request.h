/* What a fence agent is told on its stdin, and in its environment. Pure, but for reading the files of secrets. */
#ifndef MEND_HOST_FENCE_REQUEST_H
#define MEND_HOST_FENCE_REQUEST_H

#include "agents/host/fence/fencing_file.h"
#include "agents/host/fence/metadata.h"

typedef struct FenceRequest {
    char *input;         /* name=value lines */
    char **environment;  /* whole */
    GPtrArray *secrets;  /* of char *: all that are in them */
} FenceRequest;

/* @helpers: folder of mend-ipmitool. False: FENCING_ERROR_SECRET, or FENCING_ERROR_SYSTEM when file and metadata do not fit; asking again
 * cannot help before somebody changes a file. */
bool fence_request_new(const FencingFile *file, const FenceDevice *device, const FenceHost *host, FenceAction action,
                       const FenceMetadata *metadata, const char *helpers, FenceRequest **ret, GError **error);
void fence_request_free(FenceRequest *request); /* NULL is fine; wipes it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FenceRequest, fence_request_free)

#endif
