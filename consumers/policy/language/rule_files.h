/* Rule files of MOM, read from disk: a file by its name, a folder as MOM's policy-dir has it (what ends in .policy and does not begin with a dot,
 * in the order of the names). Thread: any. */
#ifndef MEND_POLICY_RULE_FILES_H
#define MEND_POLICY_RULE_FILES_H

#include "lib/base/base.h"

typedef struct RuleFile {
    char *name, *text; /* its last part; at most MOM_TEXT_MAX bytes, UTF-8 or not */
    gsize length;
} RuleFile;
void rule_file_free(RuleFile *file);

/* Appends to @ret (of RuleFile). False: one cannot be read, or there is none; the error names it. @beside: relative paths begin in this folder; NULL: here. */
bool rule_files_read(const char *path, const char *beside, GPtrArray *ret, GError **error);

#endif
