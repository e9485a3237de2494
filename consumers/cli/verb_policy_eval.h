/* mend policy eval: any expression of the policy's language, without a site. */
#ifndef MEND_CLI_VERB_POLICY_EVAL_H
#define MEND_CLI_VERB_POLICY_EVAL_H

#include "lib/base/base.h"

typedef struct EvalOptions {
    const char *vars_file; /* an object of names and values; may be NULL */
    bool typed;            /* values are tagged */
    bool json;             /* one document instead of a line for people */
} EvalOptions;

/* Prints the value and its type; an error goes to stderr, with the place. Exit status. */
int eval_expression(const char *text, const EvalOptions *options);
/* One line {"expr": …, "vars": …} in, one line {"value": …} or {"error": …} out, until the end of stdin. Exit status. */
int eval_batch(const EvalOptions *options);

#endif
