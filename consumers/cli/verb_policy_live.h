/* mend policy load FILE | versions [N] | rollback [N]: the policy of a running engine. Exit status as verbs.h has it. */
#ifndef MEND_CLI_VERB_POLICY_LIVE_H
#define MEND_CLI_VERB_POLICY_LIVE_H

#include "lib/base/base.h"

bool policy_live_knows(const char *word); /* NULL is fine */
int verb_policy_live(char **argv);        /* argv[0]: the word */

#endif
