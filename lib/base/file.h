/* Small files that must be whole or not there: identities, secrets, epochs. */
#ifndef MEND_BASE_FILE_H
#define MEND_BASE_FILE_H

#include "lib/base/base.h"

/* Writes beside, fsyncs, renames over, fsyncs the folder. @mode as chmod. */
bool file_write(const char *path, const char *text, size_t length, unsigned mode, GError **error);
/* Contents without trailing white space; at most @max_bytes. NULL: error. Caller frees. */
char *file_read_line(const char *path, size_t max_bytes, GError **error);
/* mkdir -p with @mode for what it makes. */
bool folder_make(const char *path, unsigned mode, GError **error);

#endif
