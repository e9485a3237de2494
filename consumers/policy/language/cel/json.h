/* Values from and to JSON, in two forms.
 *
 * Plain: what a person would write. Whole numbers are int, others double. Out: int and uint beyond ±(2^53-1) become texts, as do bytes
 * (base64), infinities and NaN, timestamps (RFC 3339), durations ("1.5s"), types (their names); keys of maps become texts.
 * Typed: one tagged value, nothing lost: {"int":"1"} {"uint":"1"} {"double":1.5|"NaN"|"Infinity"|"-Infinity"} {"bool":true}
 * {"string":"x"} {"bytes":"BASE64"} {"null":null} {"list":[V…]} {"map":[[K,V]…]} {"timestamp":"RFC 3339"} {"duration":"1.5s"}
 * {"type":"int"}. */
#ifndef MEND_CEL_JSON_H
#define MEND_CEL_JSON_H

#include "consumers/policy/language/cel/value.h"

/* Texts are borrowed from @json. ERROR: the arena is full. */
CelValue cel_from_json(const json_t *json, CelArena *arena);
/* (transfer full) */
json_t *cel_to_json(CelValue value);
/* ERROR: not of the form; its text says what is wrong. Texts are borrowed from @json. */
CelValue cel_from_typed(const json_t *json, CelArena *arena);
json_t *cel_to_typed(CelValue value);
/* On one line, keys in the order they have, doubles in the shortest form that reads back the same (1.0 keeps its point). Caller frees. */
char *cel_json_line(const json_t *json);

#endif
