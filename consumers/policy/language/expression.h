/* Expressions of the policy: conditions (`where`, `when`), group keys, numbers of control rules. The Common Expression Language (cel/cel.h),
 * checked against what an expression may name in its place.
 *
 *   entity.app == "shop" && event.intent != "admin" && !(has(event.rc) && event.rc in [0, 7])
 *
 * Pure: the same answers give the same result, bit for bit; bounded work, known at load. Thread: any. */
#ifndef MEND_POLICY_EXPRESSION_H
#define MEND_POLICY_EXPRESSION_H

#include "consumers/policy/language/cel/cel.h"

typedef struct Expression Expression;

/* What may be named where; docs/policy.md has the list. */
typedef enum {
    EXPRESSION_RULE,    /* where, group_by, when: entity.FIELD event.FIELD vm.FIELD host.FIELD */
    EXPRESSION_CONTROL, /* where and input of controls: entity.FIELD vm.FIELD host.FIELD */
    EXPRESSION_TARGET,  /* target of controls: those and window.FIELD */
    EXPRESSION_SCOPE_N,
} ExpressionScope;

/* Tags of the names. _DATA: the value of that field in the event's data (event), or in what the agent said last (vm, host). */
#define EXPRESSION_NAMES(X)                                                                                                     \
    X(ENTITY_PATH, "entity.path", string)         X(ENTITY_KIND, "entity.kind", string)   X(ENTITY_ID, "entity.id", string)     \
    X(ENTITY_NAME, "entity.name", string)         X(ENTITY_APP, "entity.app", string)     X(ENTITY_VM, "entity.vm", string)     \
    X(ENTITY_HOSTNAME, "entity.hostname", string) X(ENTITY_HOST, "entity.host", string)   X(ENTITY_RACK, "entity.rack", string) \
    X(ENTITY_GROUP, "entity.group", list_of_string) X(ENTITY_HA, "entity.ha", bool)       X(ENTITY_PRIORITY, "entity.priority", int) \
    X(ENTITY_ON_IO_ERROR, "entity.on_io_error", string)                                                                        \
    X(EVENT_KIND, "event.kind", string)           X(EVENT_STATE, "event.state", string)   X(EVENT_SEVERITY, "event.severity", int) \
    X(EVENT_SOURCE, "event.source", string)       X(EVENT_BOOTID, "event.bootid", string)                                       \
    X(WINDOW_COUNT, "window.count", int)          X(WINDOW_AVERAGE, "window.average", double) X(WINDOW_LAST, "window.last", double)
typedef enum {
#define X(id, label, type) NAME_##id,
    EXPRESSION_NAMES(X)
#undef X
    NAME_EVENT_DATA, NAME_VM_DATA, NAME_HOST_DATA, NAME_N
} NameTag;

/* Numbers that vm.sample and host.sample carry: event.NAME of such an event, vm.NAME and host.NAME of the newest one. A new one is a word here. */
extern const char *const expression_samples[]; /* NULL at the end */

/* Borrowed, made once. */
CelEnv *expression_env(ExpressionScope scope);

typedef enum { EXPRESSION_BOOL, EXPRESSION_NUMBER, EXPRESSION_TEXT, EXPRESSION_ANY } ExpressionWant;

/* TEXT takes any value that can be written as one (numbers, true, timestamps …). NULL: error (CEL_PARSE_ERROR), with the place (0-based, in
 * bytes) in *ret_offset when that is not NULL. */
Expression *expression_parse(const char *text, ExpressionWant want, CelEnv *env, size_t *ret_offset, GError **error);
void expression_free(Expression *expression);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Expression, expression_free)
const char *expression_text(const Expression *expression);
/* What it may look at, in the order it is written. */
const CelName *const *expression_names(const Expression *expression, size_t *ret_n);
uint64_t expression_cost(const Expression *expression); /* worst case, in operations */

typedef enum { EXPRESSION_FALSE, EXPRESSION_TRUE, EXPRESSION_FAILED } ExpressionVerdict;

/* @values: object that gets every name looked at ("event.intent": "none"); absent ones as null. May be NULL: quicker.
 * @ret_why: (transfer full), may be NULL; only set on FAILED (false of the others): which value is absent, what cannot be computed. */
ExpressionVerdict expression_holds(const Expression *expression, CelLookup lookup, void *user, json_t *values, char **ret_why);
/* NaN and infinities are failures. */
bool expression_number(const Expression *expression, CelLookup lookup, void *user, json_t *values, double *ret_number, char **ret_why);
/* As string() of the language writes it. */
bool expression_string(const Expression *expression, CelLookup lookup, void *user, json_t *values, char **ret_text, char **ret_why);

/* For lookups: what a value of a JSON object is worth for @name; false: absent or null. */
bool expression_value_from(const json_t *object, const CelName *name, CelArena *arena, CelValue *ret_value);

#endif
