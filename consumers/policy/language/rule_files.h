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

/* A policy's text with what its `mom` names put behind it as mom_files, so that the text is whole. As it is, when there is nothing to put, or when it
 * has mom_files. NULL: a file cannot be read. @path: of the policy; relative names begin beside it. Caller frees. */
char *rule_files_embed(const char *path, const char *text, GError **error);

#endif
