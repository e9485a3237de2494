/* A value as it travels: the union of AMQP 1.0 and AMQP 0-10 types, so that what a peer chose (int32 or uint64, string or binary)
 * survives a round trip. Counted and, once shared, not changed. Thread: any (counts are atomic, contents are not written after
 * sharing). */
#ifndef MEND_AMQP_VALUE_H
#define MEND_AMQP_VALUE_H

#include "lib/base/base.h"

#define VALUE_TYPES(X)                                                                             \
    X(NULL, "null") X(BOOL, "bool")                                                                \
    X(INT8, "int8") X(INT16, "int16") X(INT32, "int32") X(INT64, "int64")                          \
    X(UINT8, "uint8") X(UINT16, "uint16") X(UINT32, "uint32") X(UINT64, "uint64")                  \
    X(FLOAT, "float") X(DOUBLE, "double") X(TIMESTAMP, "timestamp") X(UUID, "uuid")                \
    X(BINARY, "binary") X(STRING, "string") X(SYMBOL, "symbol") X(MAP, "map") X(LIST, "list")      \
    X(DESCRIBED, "described")
#define X(id, name) VALUE_##id,
typedef enum { VALUE_TYPES(X) VALUE_TYPE_N } ValueType;
#undef X

typedef struct Value Value;

Value *value_null(void);
Value *value_bool(bool v);
Value *value_int(ValueType type, int64_t v);   /* any INTn, or TIMESTAMP (AMQP 1.0: ms since 1970; 0-10 datetime: seconds) */
Value *value_uint(ValueType type, uint64_t v); /* any UINTn */
Value *value_double(ValueType type, double v); /* FLOAT, DOUBLE */
Value *value_uuid(const uint8_t bytes[16]);
Value *value_string(const char *text);         /* STRING; NULL gives value_null() */
Value *value_bytes(ValueType type, const void *bytes, size_t n_bytes); /* BINARY, STRING, SYMBOL */
Value *value_map(void);
Value *value_list(void);
Value *value_described(Value *descriptor, Value *value); /* (transfer full) both */

Value *value_ref(Value *value);
void value_unref(Value *value); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Value, value_unref)

ValueType value_type(const Value *value);
const char *value_type_name(ValueType type);

/* Building; only before the value is shared. @item is (transfer full). Setting a key again replaces it. Keys are UTF-8. */
void value_set(Value *map, const char *key, Value *item);
void value_append(Value *list, Value *item);

/* Reading. All are NULL-safe and total: a wrong type answers the fallback. Peers choose any integer width and may send strings as
 * binary or symbol; these accept all of that. */
size_t value_size(const Value *value);                         /* items of a map or list, bytes of a string; else 0 */
const Value *value_get(const Value *map, const char *key);     /* borrowed; NULL: absent or no map */
const Value *value_at(const Value *list, size_t i);            /* borrowed */
bool value_entry(const Value *map, size_t i, const char **ret_key, const Value **ret_item); /* in insertion order */
bool value_as_int(const Value *value, int64_t *ret);           /* any integer that fits, TIMESTAMP */
bool value_as_uint(const Value *value, uint64_t *ret);         /* any integer that is not negative: all of UINT64 */
bool value_as_double(const Value *value, double *ret);         /* any number */
bool value_as_bool(const Value *value, bool *ret);
/* STRING, SYMBOL, or BINARY that is valid UTF-8 without NUL; borrowed and 0-terminated; else NULL. */
const char *value_as_string(const Value *value);
const void *value_as_bytes(const Value *value, size_t *ret_n_bytes); /* STRING, SYMBOL, BINARY */
const uint8_t *value_as_uuid(const Value *value);              /* 16 bytes, UUID only */
const Value *value_descriptor(const Value *value);             /* DESCRIBED: what it is described by; else NULL */
const Value *value_described_value(const Value *value);        /* DESCRIBED: what is described; else NULL */
const char *value_get_string(const Value *map, const char *key);
int64_t value_get_int(const Value *map, const char *key, int64_t fallback);

bool value_equal(const Value *a, const Value *b);              /* exact, types included; map order does not matter */
/* For people, the journal and --json. uuid as text, binary that is not UTF-8 as {"$hex": …}, 64-bit kept as JSON integers where
 * they fit. (transfer full) */
json_t *value_to_json(const Value *value);
/* JSON integer -> INT64, real -> DOUBLE, string -> STRING. (transfer full) */
Value *value_from_json(const json_t *json);

#endif
