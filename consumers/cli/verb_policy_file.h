/* mend policy check FILE, mend policy show [FILE]: a policy file before it is used, and what it means. Exit status as verbs.h has it. */
#ifndef MEND_CLI_VERB_POLICY_FILE_H
#define MEND_CLI_VERB_POLICY_FILE_H

#include "lib/base/base.h"

int policy_file_check(const char *path);
int policy_file_show(const char *path, bool json); /* NULL: the default policy */

#endif
