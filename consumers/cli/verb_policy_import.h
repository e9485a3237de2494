/* mend policy import FORMAT FILE: what others wrote, as a policy. */
#ifndef MEND_CLI_VERB_POLICY_IMPORT_H
#define MEND_CLI_VERB_POLICY_IMPORT_H

#include "consumers/cli/verbs.h"

/* @format: "pacemaker-cloud". @output: file, or NULL: stdout. What has no counterpart goes to stderr. */
int policy_import(const char *format, const char *file, const char *output);

#endif
