#include "consumers/policy/input.h"

#include "consumers/policy/language/policy_file.h"
#include "lib/base/json.h"
#include "lib/base/pack.h"

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
    case INPUT_ACTING:
        json_object_set_new(json, "epoch", json_integer((json_int_t) input->epoch));
        if (input->shards != 0) {
            json_object_set_new(json, "shard", json_integer(input->shard));
            json_object_set_new(json, "shards", json_integer(input->shards));
        }
        break;
    case INPUT_POLICY:
        json_object_set_new(json, "name", json_string(input->policy->name));
        json_object_set_new(json, "text", json_string(input->policy->text));
        G_GNUC_FALLTHROUGH; /* who asked, and from where it came */
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
    input->policy = policy_read(name, text, &(PolicyReading){ .trusted = true }, error);
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
    case INPUT_ACTING:
        fine = json_get_int(json, "epoch", &epoch, error);
        input.shard = (unsigned) CLAMP(json_int_or(json, "shard", 0), 0, G_MAXINT);
        input.shards = (unsigned) CLAMP(json_int_or(json, "shards", 0), 0, G_MAXINT);
        break;
    case INPUT_POLICY:
        fine = read_policy(json, &input, error);
        G_GNUC_FALLTHROUGH;
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
    else
        input_clear(&input);
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

#define FORM 1
#define HEAD_BYTES 2

void input_pack(const EngineInput *input, GByteArray *to)
{
    bool event = input->kind == INPUT_EVENT, entity = input->kind == INPUT_ENTITY, timer = input->kind == INPUT_TIMER;
    const guint8 head[HEAD_BYTES] = { FORM, event ? 'E' : entity ? 'N' : timer ? 'T' : 'J' };

    g_byte_array_append(to, head, sizeof head);
    if (event || entity) {
        event_pack(input->event, to);
    } else if (!timer) {
        g_autoptr(json_t) json = input_to_json(input);
        Packer packer;

        pack_begin(&packer, to);
        pack_value(&packer, json);
    }
}

static json_t *unpack_other(const guint8 *block, size_t size, GError **error)
{
    Unpacker unpacker;

    unpack_begin(&unpacker, block + HEAD_BYTES, size - HEAD_BYTES);
    g_autoptr(json_t) json = unpack_value(&unpacker);
    return unpack_failed(&unpacker, "a packed input", error) ? NULL : g_steal_pointer(&json);
}

/* The letter; '{': JSON text; 0: error. */
static char letter_of(const guint8 *block, size_t size, GError **error)
{
    if (size > 0 && block[0] == '{')
        return '{';
    bool fine = size >= HEAD_BYTES && block[0] == FORM && strchr("ENTJ", block[1]) != NULL && block[1] != '\0';
    if (fine && (block[1] != 'T' || size == HEAD_BYTES))
        return (char) block[1];
    g_set_error(error, PACK_ERROR, PACK_ERROR_DAMAGED, "it is no packed input of form 1");
    return 0;
}

bool input_unpack(const void *block, size_t size, EngineInput *ret_input, GError **error)
{
    char letter = letter_of(block, size, error);
    g_autoptr(json_t) json = NULL;

    switch (letter) {
    case 0: return false;
    case 'E':
    case 'N': {
        Event *event = event_unpack((const guint8 *) block + HEAD_BYTES, size - HEAD_BYTES, error);

        if (event != NULL)
            *ret_input = (EngineInput){ .kind = letter == 'E' ? INPUT_EVENT : INPUT_ENTITY, .event = event };
        return event != NULL;
    }
    case 'T':
        *ret_input = (EngineInput){ .kind = INPUT_TIMER };
        return true;
    default:
        json = letter == '{' ? json_parse(block, size, "journal", error) : unpack_other(block, size, error);
        return json != NULL && input_from_json(json, ret_input, error);
    }
}

json_t *input_unpack_json(const void *block, size_t size, GError **error)
{
    char letter = letter_of(block, size, error);

    if (letter == 0)
        return NULL;
    if (letter == '{' || letter == 'J')
        return letter == '{' ? json_parse(block, size, "journal", error) : unpack_other(block, size, error);
    EngineInput input = { 0 };
    if (!input_unpack(block, size, &input, error))
        return NULL;
    json_t *json = input_to_json(&input);
    input_clear(&input);
    return json;
}
