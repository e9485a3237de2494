/* Inputs of the engine to and from JSON and the packed form: how the journal keeps them, and how cases and replay bring them back.
 *
 * Packed (lib/base/pack.h):  byte 1 (this form's number), a letter, then
 *   E, N   an event, an entity: event_pack()
 *   T      a timer: nothing
 *   J      any other: a value, the JSON of input_to_json()
 * A new kind of input, or a new field of one, needs no more than its place in input_to_json() and input_from_json(). */
#ifndef MEND_POLICY_INPUT_H
#define MEND_POLICY_INPUT_H

#include "consumers/policy/engine/engine.h"

/* (transfer full) {"input": "event", "event": {…}} */
json_t *input_to_json(const EngineInput *input);
/* @ret_input is filled with what it owns: input_clear(). A policy is parsed from its text. */
bool input_from_json(const json_t *json, EngineInput *ret_input, GError **error);
void input_clear(EngineInput *input);
/* Whom it is about: borrowed from the input; NULL: nobody. */
const char *input_entity(const EngineInput *input);

void input_pack(const EngineInput *input, GByteArray *to);
/* JSON text (what journals of form 1 have) is read too. @ret_input as of input_from_json(). JSON_ERROR, PACK_ERROR, EVENT_ERROR. */
bool input_unpack(const void *block, size_t size, EngineInput *ret_input, GError **error);
/* As input_to_json(), without parsing the policy in it. (transfer full) */
json_t *input_unpack_json(const void *block, size_t size, GError **error);

#endif
