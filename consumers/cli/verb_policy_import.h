/* mend policy import FORMAT FILE: what others wrote, as a policy. */
#ifndef MEND_CLI_VERB_POLICY_IMPORT_H
#define MEND_CLI_VERB_POLICY_IMPORT_H

#include "consumers/cli/verbs.h"

/* @format: "pacemaker-cloud". @files: NULL-terminated, at least one: one policy of all. @output: file, or NULL: stdout. What has no counterpart goes to stderr. */
int policy_import(const char *format, char *const *files, const char *output);

#endif
