/* Conditions of rules: a small part of the Common Expression Language, kept so that every condition written today means the same in
 * the whole language.
 *
 *   entity.app == "shop" && event.intent != "admin" && !(event.rc in [0, 7])
 *
 * Operators  || && ! == != < <= > >= in, parentheses. Literals: "text" 'text', integers, true, false, lists of literals.
 * Names      entity.FIELD (kind id name path app vm hostname) and event.FIELD (kind state severity source bootid, and the values
 *            of the event's data as the service_state event declares them, docs/wire.md).
 * An absent event value makes the comparison an error; || and && take an error on one side when the other side decides.
 * Pure: no I/O, bounded work (64 deep, 4 KiB of text). Thread: any. */
#ifndef MEND_POLICY_CONDITION_H
#define MEND_POLICY_CONDITION_H

#include "lib/base/base.h"

typedef struct Condition Condition;

#define CONDITION_ERROR condition_error_quark()
GQuark condition_error_quark(void);
typedef enum { CONDITION_ERROR_SYNTAX, CONDITION_ERROR_NAME, CONDITION_ERROR_TYPE } ConditionError;

/* NULL: error, with the place (0-based, in bytes) in *ret_offset when that is not NULL. */
Condition *condition_parse(const char *text, size_t *ret_offset, GError **error);
void condition_free(Condition *condition);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Condition, condition_free)
const char *condition_text(const Condition *condition);

/* Looks a name up; borrowed JSON scalar, or NULL: absent. */
typedef const json_t *(*ConditionLookup)(const char *object, const char *field, void *user);

typedef enum { CONDITION_FALSE, CONDITION_TRUE, CONDITION_FAILED } ConditionVerdict;
/* @values: object that gets every value looked at, by name ("event.intent": "none"); absent ones as null. May be NULL.
 * FAILED: a value is absent or of another type; *ret_why (transfer full, may be NULL) says which. */
ConditionVerdict condition_eval(const Condition *condition, ConditionLookup lookup, void *user, json_t *values, char **ret_why);

#endif
