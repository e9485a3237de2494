/* One evaluation, inside this folder: between eval.c, which walks the tree, and functions.c, which computes. */
#ifndef MEND_CEL_RUN_H
#define MEND_CEL_RUN_H

#include "consumers/policy/language/cel/node.h"

typedef struct Run {
    const CelProgram *program;
    const CelInput *input;
    CelArena *arena;
    int64_t left;         /* operations */
    bool stopped;         /* out of operations or memory: nothing absorbs this error */
    CelValue *names;      /* by slot */
    uint8_t *states;      /* of names: 0 not asked, else NameState */
    CelValue *locals;
} Run;

/* Errors show @node's place. */
CelValue cel_fail(Run *run, const Node *node, const char *format, ...) G_GNUC_PRINTF(3, 4);
CelValue cel_out_of_memory(Run *run, const Node *node);
/* "no matching overload: int + string". @b may be NULL. */
CelValue cel_no_overload(Run *run, const Node *node, CelValue a, const CelValue *b);
/* Pays for @n operations; false: there are none left. */
static inline bool cel_pay(Run *run, uint64_t n)
{
    if (G_LIKELY(n <= INT32_MAX && (run->left -= (int64_t) n) >= 0))
        return true;
    run->left = -1;
    return false;
}

CelValue cel_arithmetic(Run *run, const Node *node, CelValue a, CelValue b);
CelValue cel_negate(Run *run, const Node *node, CelValue a);
/* @args: as many as the node has. */
CelValue cel_call(Run *run, const Node *node, const CelValue *args);

#endif
