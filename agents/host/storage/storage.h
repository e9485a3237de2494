/* Storage domains this host uses: whether each serves (storage_state), and which other hosts give signs of life on it (host.evidence,
 * channel "storage"). A storage domain is a folder that several hosts have: NFS, CephFS, GFS2, a cluster file system on a LUN.
 * Thread: the main loop's; the storage itself is touched by a process for each domain (probe.h). */
#ifndef MEND_HOST_STORAGE_H
#define MEND_HOST_STORAGE_H

#include "agents/host/host.h"

typedef struct Storage Storage;

typedef struct StorageOptions {
    const char *const *domains; /* of "NAME=FOLDER[,uuid=UUID][,failover=NAME]"; NULL-terminated */
    const char *program;        /* that has PROBE_VERB: /proc/self/exe */
    int64_t interval_us;        /* from the end of one cycle to the next */
    int64_t gone_us;            /* another host's beat stands for so long: it gives no sign of life */
    int64_t silent_us, slow_us; /* see health.h */
    unsigned full_percent, error_percent, paths; /* see health.h */
    bool outlive;               /* at the end the probes go on beating: the host is not dead because its agent is */
} StorageOptions;

#define STORAGE_MAX 64

#define STORAGE_ERROR storage_error_quark()
GQuark storage_error_quark(void);
typedef enum { STORAGE_ERROR_SETTING } StorageError;

/* NULL: error, which names the setting. */
Storage *storage_new(Host *host, const StorageOptions *options, GError **error);
void storage_free(Storage *storage); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Storage, storage_free)

/* UUID of the domain whose folder @path is in; NULL: none of them. Borrowed. */
const char *storage_of_path(const Storage *storage, const char *path);
/* Folder of domain @id; NULL: not known here. Borrowed. */
const char *storage_folder(const Storage *storage, const char *id);
/* The same of the one called @name. */
const char *storage_folder_named(const Storage *storage, const char *name);
/* UUID of the domain that takes over the disks of domain @id when that is degraded (failover=); NULL: none, or not known here. Borrowed. */
const char *storage_failover(const Storage *storage, const char *id);
/* The UUID a domain called @name has when none is given: the same on every host. Caller frees. */
char *storage_id(const char *name);

#endif
