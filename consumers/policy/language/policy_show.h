/* The policy in force, with every default, template and variable worked out, in the form of a policy file: what `mend policy show` prints. Read again it gives
 * the same policy. Thread: any. */
#ifndef MEND_POLICY_POLICY_SHOW_H
#define MEND_POLICY_POLICY_SHOW_H

#include "consumers/policy/engine/policy.h"

/* (transfer full) */
json_t *policy_to_json(const Policy *policy);
/* As YAML, with what was inherited marked: "# from templates.webvm", "# default". @origins: PolicyReport's; NULL: no marks. Caller frees. */
char *policy_to_text(const Policy *policy, const json_t *json, GHashTable *origins);

#endif
