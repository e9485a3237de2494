/* The fencing of a Pacemaker cluster (its CIB: primitives of class stonith, fencing-topology) as a fencing file. Levels, targets, devices and
 * the meaning of pcmk_host_map, pcmk_host_list, pcmk_host_argument, pcmk_delay_base, pcmk_ACTION_timeout, pcmk_off_retries and priority are
 * kept; patterns and attributes of nodes become the nodes they match now. What is not kept is said in comments.
 * Pacemaker Explained, chapters "Fencing" and "Fencing topology". Thread: any. */
#ifndef MEND_HOST_FENCE_FENCING_IMPORT_H
#define MEND_HOST_FENCE_FENCING_IMPORT_H

#include "lib/base/base.h"

typedef struct ImportedSecret {
    char *file;  /* where the fencing file looks for it */
    char *value;
} ImportedSecret;
void imported_secret_free(ImportedSecret *secret);

#define FENCING_IMPORT_MAX_BYTES (16 * 1024 * 1024)

/* @name: of the CIB, as errors and the first comment show it. @folder: of the files with secrets; NULL: /etc/mend/secrets. The text has none
 * of them: they are added to @ret_secrets (of ImportedSecret, made with imported_secret_free). NULL: error. Caller frees. */
char *fencing_import(const char *name, const char *cib, size_t n_bytes, const char *folder, GPtrArray *ret_secrets, GError **error);
/* mend-host --fencing-import: prints it. @folder not NULL: the secrets are written there, readable by their owner alone. The exit status. */
int fencing_import_print(const char *cib_file, const char *folder);

#endif
