/* The fencing file: which devices there are, and in which order they power which host off. docs/host-fencing.md has all keys.
 *
 *   fencing: 1
 *   devices:
 *     - {name: bmc-a, agent: fence_ipmilan, parameters: {ip: 10.0.0.11, username: mend, lanplus: 1}, password_file: secrets/bmc-a}
 *     - {name: pdu-1, agent: fence_apc_snmp, parameters: {ip: 10.0.0.20}, secrets: {community: secrets/pdu}, plugs: {a: 3, b: 4}}
 *   hosts:
 *     - {id: UUID, name: a, levels: [bmc-a, [pdu-1, pdu-2]]}       # all of a level must succeed; the next one when it fails
 *
 * The file, and those it names, may hold secrets: one that everybody can read is refused. Thread: main loop; not changed after reading. */
#ifndef MEND_HOST_FENCE_FENCING_FILE_H
#define MEND_HOST_FENCE_FENCING_FILE_H

#include "lib/base/base.h"

#define FENCING_FILE_DEFAULT "/etc/mend/fencing.yaml"
#define FENCE_LEVELS         9 /* 1 to 9, as Pacemaker has them */

typedef struct FenceOption {
    char *name;
    char *value;  /* NULL: it stands in @file */
    char *file;   /* of a secret, absolute; read whenever it is used, so that a new password needs no restart. NULL: none */
    bool secret;
} FenceOption;

typedef struct FencePlug {
    char *host;   /* id or name, as the file says */
    char *plug;   /* "": the device needs none for it */
} FencePlug;

typedef enum { FENCE_OFF, FENCE_ON, FENCE_STATUS, FENCE_MONITOR, FENCE_METADATA, FENCE_ACTION_N } FenceAction;
extern const char *const fence_action_names[FENCE_ACTION_N];

typedef struct FenceDevice {
    char *name, *agent;          /* agent: "fence_ipmilan", or a path */
    GPtrArray *options;          /* of FenceOption */
    GPtrArray *plugs;            /* of FencePlug */
    char *plug_parameter;        /* NULL: "plug", or "port" of an agent that has no "plug" */
    int64_t timeout_us[FENCE_ACTION_N];
    unsigned retries;            /* further tries of an action that failed */
    int64_t delay_us;            /* before it powers off */
    int priority;                /* of hosts without levels: the higher ones first */
    int line, column;            /* where it stands */
} FenceDevice;

typedef struct FenceHost {
    char *id;                    /* UUID; NULL: known by its name alone */
    char *name;                  /* NULL: by its id alone */
    GPtrArray *levels[FENCE_LEVELS]; /* of FenceDevice *, borrowed; NULL: no such level */
    char **addresses;            /* its messages of a crash dump in progress come from these; never NULL */
    int line, column;
} FenceHost;

typedef struct FencingFile {
    char *path;
    GPtrArray *devices;          /* of FenceDevice */
    GPtrArray *hosts;            /* of FenceHost */
} FencingFile;

#define FENCING_ERROR fencing_error_quark()
GQuark fencing_error_quark(void);
typedef enum {
    FENCING_ERROR_MISSING,  /* no such file */
    FENCING_ERROR_OPEN,     /* everybody can read it: the text says what to do */
    FENCING_ERROR_SYSTEM,
    FENCING_ERROR_SECRET,   /* one it names cannot be used: the text says which file and why */
} FencingError;

/* NULL: FENCING_ERROR, or YAML_ERROR with "FILE:LINE:COLUMN: ". */
FencingFile *fencing_file_read(const char *path, GError **error);
/* The same of a text; @path names it in errors, and secrets are found beside it. */
FencingFile *fencing_file_parse(const char *path, const char *text, size_t n_bytes, GError **error);
void fencing_file_free(FencingFile *file); /* NULL is fine; wipes what is secret */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FencingFile, fencing_file_free)

/* By id (in any case), else by @name (may be NULL) or an @id that is a name. NULL: none. */
const FenceHost *fencing_file_host(const FencingFile *file, const char *id, const char *name);
const char *fence_host_label(const FenceHost *host); /* its name, else its id */
/* What @device calls @host; NULL: it says nothing of it. */
const char *fence_device_plug(const FenceDevice *device, const FenceHost *host);
/* Caller frees with fence_secret_free(). NULL: error names the file, never what is in it. */
char *fence_option_value(const FenceOption *option, GError **error);

#endif
