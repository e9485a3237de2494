/* What highly available VMs are made from (domain XML), by the hash of the text: a file for each in one folder. Outside of the engine,
 * whose commands name a definition by its hash, so that neither events nor the journal carry it. Thread: the owner's. */
#ifndef MEND_POLICY_DEFINITIONS_H
#define MEND_POLICY_DEFINITIONS_H

#include "lib/base/base.h"

#define DEFINITION_BYTES_MAX 65535 /* a QMF text's */
#define DEFINITIONS_MAX 20000

#define DEFINITIONS_ERROR definitions_error_quark()
GQuark definitions_error_quark(void);
typedef enum { DEFINITIONS_ERROR_HASH /* it is none, or not that of the text */, DEFINITIONS_ERROR_FULL } DefinitionsError;

typedef struct Definitions Definitions;

/* Makes @folder when it is not there; what is in it under another name than a hash is left alone. File errors. */
Definitions *definitions_open(const char *folder, GError **error);
void definitions_free(Definitions *definitions);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Definitions, definitions_free)

bool definition_hash_is_fine(const char *hash); /* 64 hex digits, small letters; NULL is not */
bool definitions_has(const Definitions *definitions, const char *hash);
/* @text is UTF-8 with that SHA-256 and not too large. DEFINITIONS_ERROR; file errors. */
bool definitions_put(Definitions *definitions, const char *hash, const char *text, GError **error);
/* NULL: not there, or damaged, and then forgotten. Caller frees. */
char *definitions_get(Definitions *definitions, const char *hash);
/* Forgets those that are not in @wanted, a set of hashes. */
void definitions_keep(Definitions *definitions, GHashTable *wanted);
guint definitions_size(const Definitions *definitions);

#endif
