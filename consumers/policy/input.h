/* Inputs of the engine to and from JSON: how the journal keeps them, and how cases and replay bring them back. */
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

#endif
