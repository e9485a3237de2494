/* The tree of an expression, inside this folder. Made by parse.c, its names and types settled by check.c, walked by cost.c and eval.c;
 * all of it lies in the program's own arena. */
#ifndef MEND_CEL_NODE_H
#define MEND_CEL_NODE_H

#include "consumers/policy/language/cel/cel.h"
#include "consumers/policy/language/cel/regex.h"
#include "consumers/policy/language/cel/time.h"

#define CEL_DEPTH_MAX 200    /* nesting, and height of the tree: what calls itself stays within a few hundred KiB of stack */
#define CEL_NODES_MAX 50000

typedef enum {
    NODE_CONST,
    NODE_IDENT,    /* text: as written; gone after check.c */
    NODE_NAME,     /* slot: into program->names */
    NODE_LOCAL,    /* slot: of the macro's variable */
    NODE_UNKNOWN,  /* text: the error it gives when it is reached */
    NODE_SELECT,   /* args[0] . text */
    NODE_HAS,      /* has(args[0] . text) */
    NODE_HAS_NAME, /* has(NAME) */
    NODE_INDEX,
    NODE_LIST,
    NODE_MAP,      /* key, value, key, value … */
    NODE_AND, NODE_OR, /* two or more */
    NODE_NOT, NODE_NEGATE,
    NODE_CONDITION,
    NODE_EQ, NODE_NE, NODE_LT, NODE_LE, NODE_GT, NODE_GE, NODE_IN,
    NODE_ADD, NODE_SUBTRACT, NODE_MULTIPLY, NODE_DIVIDE, NODE_MODULO,
    NODE_ALL, NODE_EXISTS, NODE_EXISTS_ONE, NODE_TRANSFORM, NODE_FILTER, /* range, body; TRANSFORM may have range, filter, body; slot */
    NODE_CALL,     /* function; a receiver is args[0] */
    NODE_OP_N,
} NodeOp;

#define CEL_FUNCTIONS(X) /* id, name, as a receiver's, as a global one, arguments (with the receiver): least, most */                 \
    X(SIZE, "size", 1, 1, 1, 1) X(CONTAINS, "contains", 1, 0, 2, 2) X(STARTS_WITH, "startsWith", 1, 0, 2, 2)                           \
    X(ENDS_WITH, "endsWith", 1, 0, 2, 2) X(MATCHES, "matches", 1, 1, 2, 2)                                                             \
    X(INT, "int", 0, 1, 1, 1) X(UINT, "uint", 0, 1, 1, 1) X(DOUBLE, "double", 0, 1, 1, 1) X(STRING, "string", 0, 1, 1, 1)               \
    X(BYTES, "bytes", 0, 1, 1, 1) X(BOOL, "bool", 0, 1, 1, 1) X(TIMESTAMP, "timestamp", 0, 1, 1, 1) X(DURATION, "duration", 0, 1, 1, 1) \
    X(TYPE, "type", 0, 1, 1, 1) X(DYN, "dyn", 0, 1, 1, 1)                                                                              \
    X(FULL_YEAR, "getFullYear", 1, 0, 1, 2) X(MONTH, "getMonth", 1, 0, 1, 2) X(DATE, "getDate", 1, 0, 1, 2)                            \
    X(DAY_OF_MONTH, "getDayOfMonth", 1, 0, 1, 2) X(DAY_OF_WEEK, "getDayOfWeek", 1, 0, 1, 2) X(DAY_OF_YEAR, "getDayOfYear", 1, 0, 1, 2)  \
    X(HOURS, "getHours", 1, 0, 1, 2) X(MINUTES, "getMinutes", 1, 0, 1, 2) X(SECONDS, "getSeconds", 1, 0, 1, 2)                         \
    X(MILLISECONDS, "getMilliseconds", 1, 0, 1, 2)
typedef enum {
#define X(id, name, receiver, global, least, most) FUNCTION_##id,
    CEL_FUNCTIONS(X)
#undef X
    FUNCTION_N
} FunctionId;

typedef struct Function {
    const char *name;
    bool receiver, global;
    unsigned least, most;
} Function;
extern const Function cel_functions[FUNCTION_N];
/* "+" "size()" …, for messages. */
const char *cel_node_word(NodeOp op, FunctionId function);

typedef struct Node Node;
struct Node {
    uint8_t op, function; /* NodeOp, FunctionId */
    uint16_t height;
    uint32_t offset;      /* where it begins in the expression */
    uint32_t place;       /* where its error is shown: the operator, the field */
    uint32_t slot;
    uint32_t n;
    bool root;            /* IDENT, written .name: not a macro's variable */
    bool zero_width;      /* nothing: keeps the struct's holes named */
    Node **args;
    const CelType *type;
    CelValue value;       /* CONST; the others' text as a STRING, ended by 0 */
    const CelRegex *regex;/* of MATCHES with a constant pattern */
    const CelZone *zone;  /* of an accessor with a constant zone */
};

struct CelProgram {
    CelEnv *env;
    CelLimits limits;
    CelArena arena;       /* of nodes, constants, names */
    char *text;
    size_t length;
    Node *root;
    uint32_t n_nodes, n_locals;
    const CelName **names;
    char **absent;        /* for each name: the error of its absence */
    size_t n_names;
    GPtrArray *regexes, *zones; /* owned */
    uint64_t cost;
};

/* What happens while one is made. */
typedef struct Compile {
    CelProgram *program;
    GError *error;
    size_t error_offset;
} Compile;
/* Keeps the first error; always NULL. */
void *cel_compile_fail(Compile *c, size_t offset, CelParseError code, const char *format, ...) G_GNUC_PRINTF(4, 5);

bool cel_parse(Compile *c);
bool cel_check(Compile *c);
bool cel_price(Compile *c);

/* env.c, for check.c. */
bool cel_env_checked(const CelEnv *env);
/* NULL: not declared. @arena: where a name of an open object is made. */
const CelName *cel_env_find(const CelEnv *env, const char *label, CelArena *arena);
bool cel_env_is_object(const CelEnv *env, const char *object);
/* The nearest field of @object ("" for names without a dot and objects), or NULL. Borrowed from the environment. */
const char *cel_env_nearest(const CelEnv *env, const char *object, const char *field);
/* "entity, event, x": what a name may begin with; at most a line. Caller frees. */
char *cel_env_beginnings(const CelEnv *env);

/* eval.c, for check.c: the value of a node without names, in the program's arena. */
CelValue cel_eval_constant(CelProgram *program, const Node *node);

/* UTF-8, zero bytes allowed. */
bool cel_utf8_valid(const char *text, size_t length);
/* Shortest form that reads back the same: "0.1" "1e+21" "NaN". @buffer: 40 bytes. */
size_t cel_double_text(double value, char *buffer);

#endif
