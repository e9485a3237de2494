/* mend policy test: the cases beside a policy, played to it. */
#ifndef MEND_CLI_VERB_POLICY_TEST_H
#define MEND_CLI_VERB_POLICY_TEST_H

#include "lib/base/base.h"

typedef struct PolicyTestOptions {
    const char *policy;   /* file; NULL: the default policy */
    const char *cases;    /* folder; NULL: "cases" beside the file */
    bool accept;          /* what comes out becomes what is expected, for people to review */
    bool json;
} PolicyTestOptions;

/* Exit status: 0 all cases are met, 1 one is not, 2 something cannot be read. */
int policy_test(const PolicyTestOptions *options);

#endif
