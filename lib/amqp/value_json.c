/* Values as JSON: for people, the journal and --json. JSON has fewer types, so this way is for reading, not for a round trip. */
#include "lib/amqp/value.h"

#include "lib/base/uuid.h"

#include <math.h>

static json_t *text_to_json(const Value *value)
{
    static const char digits[] = "0123456789abcdef";
    size_t n_bytes = 0;
    const uint8_t *bytes = value_as_bytes(value, &n_bytes);
    json_t *text = json_stringn((const char *) bytes, n_bytes); /* NULL: not UTF-8 */
    g_autofree char *hex = NULL;

    if (text != NULL)
        return text;
    hex = g_malloc(2 * n_bytes + 1);
    for (size_t i = 0; i < n_bytes; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * n_bytes] = '\0';
    return json_pack("{s:s}", "$hex", hex);
}

static json_t *number_to_json(const Value *value)
{
    int64_t integer;
    uint64_t natural;
    double real;
    char digits[24];

    if (value_as_int(value, &integer))
        return json_integer(integer);
    if (value_as_uint(value, &natural)) { /* above what JSON integers hold here */
        g_snprintf(digits, sizeof digits, "%" G_GUINT64_FORMAT, natural);
        return json_string(digits);
    }
    return value_as_double(value, &real) && isfinite(real) ? json_real(real) : json_null();
}

static json_t *map_to_json(const Value *map)
{
    json_t *object = json_object();
    const char *key;
    const Value *item;

    for (size_t i = 0; value_entry(map, i, &key, &item); i++)
        if (json_object_set_new(object, key, value_to_json(item)) != 0)
            json_object_set_new_nocheck(object, "$key", json_null()); /* keys are UTF-8; be whole even if one is not */
    return object;
}

static json_t *list_to_json(const Value *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < value_size(list); i++)
        json_array_append_new(array, value_to_json(value_at(list, i)));
    return array;
}

json_t *value_to_json(const Value *value)
{
    bool truth = false;
    char uuid[UUID_TEXT_SIZE];

    switch (value_type(value)) {
    case VALUE_NULL: return json_null();
    case VALUE_BOOL: value_as_bool(value, &truth); return json_boolean(truth);
    case VALUE_UUID: uuid_from_bytes(value_as_uuid(value), uuid); return json_string(uuid);
    case VALUE_BINARY:
    case VALUE_STRING:
    case VALUE_SYMBOL: return text_to_json(value);
    case VALUE_MAP: return map_to_json(value);
    case VALUE_LIST: return list_to_json(value);
    case VALUE_DESCRIBED:
        return json_pack("{s:o,s:o}", "$descriptor", value_to_json(value_descriptor(value)), "$value",
                         value_to_json(value_described_value(value)));
    default: return number_to_json(value);
    }
}

static Value *map_from_json(const json_t *object)
{
    Value *map = value_map();
    const char *key;
    json_t *item;

    json_object_foreach((json_t *) object, key, item)
        value_set(map, key, value_from_json(item));
    return map;
}

static Value *list_from_json(const json_t *array)
{
    Value *list = value_list();

    for (size_t i = 0; i < json_array_size(array); i++)
        value_append(list, value_from_json(json_array_get(array, i)));
    return list;
}

Value *value_from_json(const json_t *json)
{
    if (json == NULL)
        return value_null();
    switch (json_typeof(json)) {
    case JSON_OBJECT: return map_from_json(json);
    case JSON_ARRAY: return list_from_json(json);
    case JSON_STRING: return value_bytes(VALUE_STRING, json_string_value(json), json_string_length(json));
    case JSON_INTEGER: return value_int(VALUE_INT64, json_integer_value(json));
    case JSON_REAL: return value_double(VALUE_DOUBLE, json_real_value(json));
    case JSON_TRUE: return value_bool(true);
    case JSON_FALSE: return value_bool(false);
    default: return value_null();
    }
}
