/* The policy file: YAML 1.2 or JSON, read into a Policy. docs/policy.md describes it for people.
 * All or nothing: an unknown key, a wrong type, a name that leads nowhere is an error "FILE:LINE:COLUMN: what", with the nearest known
 * word where there is one; nothing of a wrong file is ever used. Thread: any. */
#ifndef MEND_POLICY_POLICY_FILE_H
#define MEND_POLICY_POLICY_FILE_H

#include "consumers/policy/engine/policy.h"

#define POLICY_ERROR policy_error_quark()
GQuark policy_error_quark(void);
typedef enum { POLICY_ERROR_FILE } PolicyError;

/* @name: as errors show it. "" as @text gives the default policy. NULL: YAML_ERROR, or CONDITION_ERROR turned into one. */
Policy *policy_parse(const char *name, const char *text, GError **error);
Policy *policy_load(const char *path, GError **error);

#endif
