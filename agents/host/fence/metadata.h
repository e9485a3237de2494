/* What a fence agent says of itself: the XML that "-o metadata" prints (Fence Agent API: ClusterLabs fence-agents, doc/FenceAgentAPI.md).
 * Bounded: 256 KiB, 500 parameters, 100 actions. Thread: any; not changed after parsing. */
#ifndef MEND_HOST_FENCE_METADATA_H
#define MEND_HOST_FENCE_METADATA_H

#include "lib/base/base.h"

typedef struct FenceParameter {
    char *name, *type;   /* "string" "boolean" "integer" "second" "select" … */
    char *fallback;      /* NULL: none */
    char *meaning;       /* one line, may be "" */
    char *obsoletes;     /* the older name of the same, or NULL */
    bool required, deprecated;
} FenceParameter;

typedef struct FenceMetadata {
    char *name, *shortdesc;
    GPtrArray *parameters; /* of FenceParameter, in their order */
    GPtrArray *actions;    /* of char *: "off" "on" "status" "monitor" … */
} FenceMetadata;

#define FENCE_METADATA_MAX_BYTES (256 * 1024)

#define FENCE_METADATA_ERROR fence_metadata_error_quark()
GQuark fence_metadata_error_quark(void);
typedef enum { FENCE_METADATA_ERROR_MALFORMED } FenceMetadataError;

/* What stands before the first "<" is skipped: agents warn there. (transfer full) NULL: error says what is wrong. */
FenceMetadata *fence_metadata_parse(const char *xml, size_t n_bytes, GError **error);
void fence_metadata_free(FenceMetadata *metadata); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FenceMetadata, fence_metadata_free)

const FenceParameter *fence_metadata_parameter(const FenceMetadata *metadata, const char *name); /* NULL: none */
bool fence_metadata_can(const FenceMetadata *metadata, const char *action);
/* The parameter that says which plug: "plug", else "port"; NULL: a device for one host. */
const FenceParameter *fence_metadata_plug(const FenceMetadata *metadata);
/* Names of its parameters, for "did you mean"; the array is the caller's, the names are not. */
const char **fence_metadata_names(const FenceMetadata *metadata);

/* By its name alone: what holds a password, a key, a token. Not those that name a file or a script. */
bool fence_name_is_secret(const char *parameter);

#endif
