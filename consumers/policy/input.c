#include "consumers/policy/input.h"

#include "consumers/policy/language/policy_file.h"
#include "lib/base/json.h"

#include <string.h>

#define X(id, text) [INPUT_##id] = text,
static const char *const input_names[] = { INPUT_KINDS(X) };
#undef X

json_t *input_to_json(const EngineInput *input)
{
    json_t *json = json_pack("{s:s}", "input", input_names[input->kind]);

    switch (input->kind) {
    case INPUT_EVENT:
    case INPUT_ENTITY: json_object_set_new(json, "event", event_to_json(input->event)); break;
    case INPUT_RESULT: json_object_set_new(json, "result", result_to_json(input->result)); break;
    case INPUT_ACTING: json_object_set_new(json, "epoch", json_integer((json_int_t) input->epoch)); break;
    case INPUT_POLICY:
        json_object_set_new(json, "name", json_string(input->policy->name));
        json_object_set_new(json, "text", json_string(input->policy->text));
        break;
    case INPUT_OPERATOR: {
        g_autoptr(json_t) more = json_pack("{s:s*, s:s*, s:s*, s:O*}", "verb", input->verb, "target", input->target, "who",
                                            input->who, "arguments", input->arguments);

        json_object_update(json, more);
        break;
    }
    default: break;
    }
    return json;
}

static bool kind_parse(const char *name, InputKind *ret)
{
    for (size_t i = 0; i < INPUT_N; i++)
        if (strcmp(name, input_names[i]) == 0) {
            *ret = (InputKind) i;
            return true;
        }
    return false;
}

static bool read_policy(const json_t *json, EngineInput *input, GError **error)
{
    const char *name, *text;

    if (!json_get_string(json, "name", &name, error) || !json_get_string(json, "text", &text, error))
        return false;
    input->policy = policy_parse(name, text, error);
    return input->policy != NULL;
}

bool input_from_json(const json_t *json, EngineInput *ret_input, GError **error)
{
    EngineInput input = { 0 };
    const char *name;
    int64_t epoch = 0;
    bool fine = true;

    if (!json_get_string(json, "input", &name, error))
        return false;
    if (!kind_parse(name, &input.kind)) {
        g_set_error(error, JSON_ERROR, JSON_ERROR_TYPE, "\"%s\" is no input", name);
        return false;
    }
    switch (input.kind) {
    case INPUT_EVENT:
    case INPUT_ENTITY: fine = (input.event = event_from_json(json_object_get(json, "event"), error)) != NULL; break;
    case INPUT_RESULT: fine = (input.result = result_from_json(json_object_get(json, "result"), error)) != NULL; break;
    case INPUT_ACTING: fine = json_get_int(json, "epoch", &epoch, error); break;
    case INPUT_POLICY: fine = read_policy(json, &input, error); break;
    case INPUT_OPERATOR:
        input.verb = g_strdup(json_string_or(json, "verb", NULL));
        input.target = g_strdup(json_string_or(json, "target", NULL));
        input.who = g_strdup(json_string_or(json, "who", NULL));
        input.arguments = json_incref(json_object_get(json, "arguments"));
        break;
    default: break;
    }
    input.epoch = (uint64_t) epoch;
    if (fine)
        *ret_input = input;
    return fine;
}

void input_clear(EngineInput *input)
{
    event_unref(input->event);
    result_free(input->result);
    policy_unref(input->policy);
    g_free((char *) input->verb);
    g_free((char *) input->target);
    g_free((char *) input->who);
    json_decref(input->arguments);
    *input = (EngineInput){ 0 };
}

const char *input_entity(const EngineInput *input)
{
    return input->event != NULL ? event_fields(input->event)->entity : input->target;
}
