/* Between eval.c, call.c and rules.c: a run of rules. */
#ifndef MEND_POLICY_MOM_RUN_H
#define MEND_POLICY_MOM_RUN_H

#include "consumers/policy/mom/rules.h"

#define MOM_METHODS(X)                                                                                                             \
    X(PROP, "Prop", 1, 1) X(STAT, "Stat", 1, 2) X(STAT_AVG, "StatAvg", 1, 1) X(SET_VAR, "SetVar", 2, 2) X(GET_VAR, "GetVar", 1, 1)      \
    X(CONTROL, "Control", 2, 2) X(GET_CONTROL, "GetControl", 1, 1)                                                                       \
    X(SET_TOTAL_BYTES, "setTotalBytesSec", 1, 1) X(SET_READ_BYTES, "setReadBytesSec", 1, 1) X(SET_WRITE_BYTES, "setWriteBytesSec", 1, 1)  \
    X(SET_TOTAL_IOPS, "setTotalIopsSec", 1, 1) X(SET_READ_IOPS, "setReadIopsSec", 1, 1) X(SET_WRITE_IOPS, "setWriteIopsSec", 1, 1)        \
    X(ABS, "abs", 1, 1) X(DEBUG, "debug", 1, 1000000)
#define X(id, name, min, max) MOM_METHOD_##id,
typedef enum { MOM_METHODS(X) MOM_METHOD_N } MomMethod;
#undef X

typedef struct Binding {
    guint symbol;
    MomValue value;
} Binding;

typedef struct Function {
    guint symbol;
    const MomNode *parameters, *code;
} Function;

typedef struct Undo { /* what a file changed, to be put back when it fails */
    json_t *object;      /* with @key: it was @old, or NULL: not there */
    char *key;
    json_t *old;
    MomValue *slot;      /* or this, which was @was */
    MomValue was;
} Undo;

typedef struct Run {
    const MomRules *rules;
    const MomFile *file;     /* at work */
    MomArena arena;
    GArray *bindings;        /* of Binding; the innermost scope's last */
    guint scope;             /* where the innermost begins */
    GArray *functions;       /* of Function */
    GArray *undo;            /* of Undo */
    guint depth;
    char *trouble;           /* why it failed; NULL: it has not */
} Run;

/* False: run->trouble says where and why. */
bool run_eval(Run *run, const MomNode *node, MomValue *ret);
/* Always false, for "return run_fail(…)". */
bool run_fail(Run *run, const MomNode *node, const char *format, ...) G_GNUC_PRINTF(3, 4);
bool run_fault(Run *run, const MomNode *node, MomFault fault, MomValue a, MomValue b);
void run_put(Run *run, json_t *object, const char *key, json_t *value /* taken */);
void undo_clear(Undo *undo);

/* call.c: a member of @object. False: it has none of that name. */
bool run_member(Run *run, MomValue object, const char *member, MomValue *ret);
bool run_call(Run *run, const MomNode *node, MomValue method, const MomValue *arguments, guint n, MomValue *ret);

#endif
