/* The text of a rule file as a tree. What MOM's own reader takes is taken, with the same meaning: ( ) [ ] { } with { … } for (eval …), numbers
 * (5 -3 .5 1e3 0x1F 0o17), symbols (letters, digits, _ - .), "…" and '…' as they stand, operators, # to the end of the line. Where MOM
 * stops reading at a character it does not know and silently ignores the rest of all files, this is an error here.
 *
 * Names are numbered over all files of a set, so that running them compares numbers. Thread: any, one per MomNames. */
#ifndef MEND_POLICY_MOM_PARSE_H
#define MEND_POLICY_MOM_PARSE_H

#include "consumers/policy/mom/value.h"

#define MOM_ERROR mom_error_quark()
GQuark mom_error_quark(void);
typedef enum { MOM_ERROR_SYNTAX, MOM_ERROR_RUN } MomError;

#define MOM_TEXT_MAX  (256u << 10) /* bytes of one file */
#define MOM_NEST_MAX  200u         /* lists in lists */

/* c_… of MOM's evaluator; EVAL is { … }. */
#define MOM_BUILTINS(X)                                                                                                                  \
    X(ADD, "add", "+") X(SUB, "sub", "-") X(MUL, "mul", "*") X(DIV, "div", "/") X(SHL, "shl", "<<") X(SHR, "shr", ">>")                   \
    X(LT, "lt", "<") X(GT, "gt", ">") X(LTE, "lte", "<=") X(GTE, "gte", ">=") X(EQ, "eq", "==") X(NEQ, "neq", "!=")                      \
    X(AND, "and", NULL) X(OR, "or", NULL) X(NOT, "not", NULL) X(MIN, "min", NULL) X(MAX, "max", NULL) X(NULL, "null", NULL)              \
    X(VALID, "valid", NULL) X(DEF, "def", NULL) X(DEFUN, "defun", NULL) X(DEFVAR, "defvar", NULL) X(SET, "set", NULL) X(SETQ, "setq", NULL) \
    X(LET, "let", NULL) X(WITH, "with", NULL) X(IF, "if", NULL) X(EVAL, "eval", NULL)
#define X(id, name, op) MOM_OP_##id,
typedef enum { MOM_BUILTINS(X) MOM_OP_NONE } MomOp;
#undef X

typedef enum { MOM_NODE_VALUE, MOM_NODE_SYMBOL, MOM_NODE_OPERATOR, MOM_NODE_LIST } MomNodeKind;

typedef struct MomNode {
    MomNodeKind kind;
    guint line, column;          /* from 1; columns count characters */
    MomValue value;              /* VALUE: number or text */
    /* SYMBOL, OPERATOR: */
    const char *name;            /* as written; operators: the word for it, "add" */
    const char *member;          /* what follows the first dot, up to the second; NULL: no dot */
    guint symbol, object;        /* numbers of the whole name, and of what stands before the dot */
    MomOp op;
    /* LIST: */
    struct MomNode *const *items;
    guint n;
} MomNode;

/* Names by number; borrowed texts live as long as it. */
typedef struct MomNames {
    GHashTable *numbers;         /* name, owned -> number + 1 */
    GPtrArray *texts;            /* borrowed from the keys */
} MomNames;
MomNames *mom_names_new(void);
void mom_names_free(MomNames *names);
guint mom_names_number(MomNames *names, const char *name, gssize length);

typedef struct MomFile {
    char *name, *text;
    GPtrArray *nodes;            /* of MomNode, owned; and what they point to */
    GPtrArray *memory;
    GPtrArray *top;              /* of MomNode, borrowed: to be run in this order */
} MomFile;
/* NULL: MOM_ERROR_SYNTAX, "NAME:LINE:COLUMN: what, and what to do". @text is UTF-8, or an error. */
MomFile *mom_file_parse(const char *name, const char *text, gsize length, MomNames *names, GError **error);
void mom_file_free(MomFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MomFile, mom_file_free)

MomOp mom_op(const char *name);
const char *mom_op_text(MomOp op); /* as people write it: "+", "if" */

#endif
