/* The Common Expression Language (public specification: github.com/google/cel-spec, langdef.md), without protobuf messages.
 *
 *   CelEnv       what may be named, with types
 *   CelProgram   one expression: parsed, its names resolved, checked, its worst cost known. Immutable; thread: any
 *   cel_eval()   a value or an error; the same answers to names give the same value, always
 *
 * Unchecked (no types declared, as `mend policy eval`): unknown names and functions and wrong types are errors when they are reached, and ||, &&,
 * all and exists take them like any other. Checked: they are errors of cel_compile(), with the place and the nearest right word.
 * A checked program has no other inputs than its names: time zones are written in the expression and read at compilation; patterns of
 * matches() are written there too, so that their cost is known. */
#ifndef MEND_CEL_H
#define MEND_CEL_H

#include "consumers/policy/language/cel/value.h"

/* ---- types ---- */

typedef struct CelType CelType;
struct CelType {
    enum { CEL_TYPE_DYN, CEL_TYPE_SCALAR, CEL_TYPE_LIST, CEL_TYPE_MAP } shape;
    CelKind kind;             /* not of DYN */
    const CelType *key, *item;/* MAP; LIST and MAP */
};
extern const CelType cel_dyn, cel_null_type, cel_bool_type, cel_int_type, cel_uint_type, cel_double_type, cel_string_type, cel_bytes_type,
    cel_timestamp_type, cel_duration_type, cel_type_type;
extern const CelType cel_list_of_dyn, cel_list_of_string, cel_map_of_dyn; /* the last: string → dyn */

/* ---- names ---- */

typedef struct CelName {
    const char *label;        /* "event.intent", or "x" */
    const char *object;       /* "event"; "" of a name without a dot */
    const char *field;        /* "intent"; all of a name without a dot */
    const CelType *type;      /* a value of another kind is an error; int is taken for double */
    int tag;                  /* whoever declared it knows what it means */
    size_t bytes, items;      /* what is taken for its size when the cost is worked out; 0: the limits' */
} CelName;

typedef struct CelEnv CelEnv;
CelEnv *cel_env_new(bool checked);
CelEnv *cel_env_ref(CelEnv *env);
void cel_env_unref(CelEnv *env);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CelEnv, cel_env_unref)
/* @label: an identifier, or several with dots ("a.b.c"); the longest that fits is taken. @type: lives as long as the environment. */
void cel_env_add(CelEnv *env, const char *label, const CelType *type, int tag);
/* How long its texts, how many its items are at most (0: as the limits say), for the cost. */
void cel_env_size(CelEnv *env, const char *label, size_t bytes, size_t items);
/* Every field of @object that is not declared has this type and tag. */
void cel_env_add_open(CelEnv *env, const char *object, const CelType *type, int tag);

/* ---- programs ---- */

#define CEL_PARSE_ERROR cel_parse_error_quark()
GQuark cel_parse_error_quark(void);
typedef enum {
    CEL_PARSE_ERROR_SYNTAX,   /* also: too long, too deep */
    CEL_PARSE_ERROR_NAME,     /* unknown name, field or function */
    CEL_PARSE_ERROR_TYPE,
    CEL_PARSE_ERROR_COST,     /* could take too long */
} CelParseError;

typedef struct CelLimits {
    size_t text_bytes;        /* of the expression */
    uint64_t cost;            /* checked: refused above; evaluation ends there. One unit is about one operation on short values */
    size_t memory_bytes;      /* evaluation ends there */
    size_t string_bytes;      /* taken for the length of a text from outside when the cost is worked out; longer ones cost more, up to @cost */
    size_t items;             /* the same for lists and maps */
} CelLimits;
extern const CelLimits cel_limits_policy; /* conditions of rules: checked against on every event */
extern const CelLimits cel_limits_tool;   /* a person asks once */

typedef struct CelProgram CelProgram;
/* @limits: NULL: those of the policy. NULL: error, with the place (0-based, in bytes) in *ret_offset when that is not NULL. */
CelProgram *cel_compile(const char *text, size_t length, CelEnv *env, const CelLimits *limits, size_t *ret_offset, GError **error);
void cel_program_free(CelProgram *program);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CelProgram, cel_program_free)

const CelType *cel_program_type(const CelProgram *program);
char *cel_type_text(const CelType *type); /* "list(string)"; caller frees */
uint64_t cel_program_cost(const CelProgram *program); /* worst case; saturates at UINT64_MAX; 0: unchecked */
/* The names it may look at, in the order they are written. */
const CelName *const *cel_program_names(const CelProgram *program, size_t *ret_n);

/* ---- evaluation ---- */

/* Answers a name; asked at most once for each in one evaluation. What it gives is borrowed until the evaluation's arena ends, and may be made
 * there. False: absent (an error, unless has() asks). An ERROR (cel_error_at): not known, has() is one too. */
typedef bool (*CelLookup)(const CelName *name, CelArena *arena, void *user, CelValue *ret_value);
/* A name that was looked at. */
typedef void (*CelSeen)(const CelName *name, const CelValue *value /* NULL: absent */, void *user);

typedef struct CelInput {
    CelLookup lookup;
    void *user;
    CelSeen seen;             /* may be NULL; called after the evaluation, in the order of cel_program_names() */
    void *seen_user;
} CelInput;

/* The value, in @arena, or an ERROR with text and place. Never fails otherwise, never takes more than the program's limits. */
CelValue cel_eval(const CelProgram *program, const CelInput *input, CelArena *arena);

/* As string() writes it; NULL: it cannot (lists, maps, null, types, bytes that are no UTF-8). Caller frees. */
char *cel_text_of(CelValue value);

#endif
