/* mend call AGENT OBJECT METHOD [name=value …]: any method of any QMF agent. The agent is asked for the schema of the object, and the
 * words of the command line become what that declares. */
#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/cli/verbs.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

#define OUR_PACKAGE "org.matahariproject.mend"

typedef struct CallOptions {
    WireOptions site;
} CallOptions;

static const Setting rows[] = { WIRE_ROWS(CallOptions) };

/* An answer of one object may be a list, or the object. */
static Value *first_of(const Value *answer)
{
    const Value *first = value_type(answer) == VALUE_LIST ? value_at(answer, 0) : answer;

    return value_get(first, "_schema_id") != NULL ? value_ref((Value *) first) : NULL;
}

static void say_absent(const char *agent, const char *name, const Value *ids, GError **error)
{
    g_autoptr(GString) classes = g_string_new(NULL);

    for (size_t i = 0; i < value_size(ids); i++)
        if (g_strcmp0(value_get_string(value_at(ids, i), "_type"), "_event") != 0)
            g_string_append_printf(classes, "%s%s", classes->len > 0 ? ", " : "", value_get_string(value_at(ids, i), "_class_name"));
    g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s has no object \"%s\", and none of a class of that name%s%s", agent, name,
                classes->len > 0 ? "; its classes are " : "", classes->str);
}

/* Where objects have made-up names, as the plugins of Matahari's RPC agent have, the only one of a class answers to that. */
static Value *object_of_class(Wire *wire, const char *agent, const char *name, GError **error)
{
    g_autoptr(Value) ids = wire_schema_ids(wire, agent, error);
    g_autoptr(GString) names = g_string_new(NULL);

    for (size_t i = 0; i < value_size(ids); i++) {
        const char *class = value_get_string(value_at(ids, i), "_class_name"), *package = value_get_string(value_at(ids, i), "_package_name");

        if (g_strcmp0(class, name) != 0 || package == NULL)
            continue;
        g_autoptr(Value) found = wire_objects_of(wire, agent, package, class, error);
        if (value_size(found) == 1 || found == NULL)
            return found != NULL ? first_of(found) : NULL;
        for (size_t k = 0; k < value_size(found); k++)
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", value_get_string(value_get(value_at(found, k), "_object_id"), "_object_name"));
    }
    if (names->len > 0)
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s has several of the class %s: name one of %s", agent, name, names->str);
    else if (ids != NULL)
        say_absent(agent, name, ids, error);
    return NULL;
}

/* (transfer full): an object as it was told. */
static Value *object_of(Wire *wire, const char *agent, const char *name, GError **error)
{
    g_autoptr(Value) found = wire_object(wire, agent, name, error);
    Value *object = found == NULL ? NULL : first_of(found);

    return object != NULL || found == NULL ? object : object_of_class(wire, agent, name, error);
}

static QmfClass *class_of(Wire *wire, const char *agent, const Value *object, GError **error)
{
    g_autoptr(Value) schema = wire_schema(wire, agent, value_get(object, "_schema_id"), error);

    return schema == NULL ? NULL : qmf_class_from_map(value_type(schema) == VALUE_LIST ? value_at(schema, 0) : schema, error);
}

static const QmfMethod *method_of(const QmfClass *class, const char *name, GError **error)
{
    const QmfMethod *method = qmf_class_method(class, name);
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    if (method != NULL)
        return method;
    for (size_t i = 0; i < class->n_methods; i++)
        g_ptr_array_add(names, class->methods[i].name);
    g_ptr_array_add(names, NULL);
    const char *near = nearest_word(name, (const char *const *) names->pdata);
    g_autofree char *list = g_strjoinv(", ", (char **) names->pdata);
    if (near != NULL)
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s has no method \"%s\", did you mean \"%s\"?", class->name, name, near);
    else
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s has no method \"%s\"; it has %s", class->name, name,
                    *list == '\0' ? "none" : list);
    return NULL;
}

static const QmfProperty *argument_of(const QmfMethod *method, const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (size_t i = 0; i < method->n_arguments; i++) {
        if ((method->arguments[i].direction & QMF_DIR_IN) == 0)
            continue;
        if (strcmp(method->arguments[i].name, name) == 0)
            return &method->arguments[i];
        g_ptr_array_add(names, method->arguments[i].name);
    }
    g_ptr_array_add(names, NULL);
    const char *near = nearest_word(name, (const char *const *) names->pdata);
    g_autofree char *list = g_strjoinv(", ", (char **) names->pdata);
    g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s takes no \"%s\"%s%s%s", method->name, name,
                near != NULL ? ", did you mean \"" : *list == '\0' ? ": it takes nothing" : "; it takes ", near != NULL ? near : list,
                near != NULL ? "\"?" : "");
    return NULL;
}

/* Text of a text stays as it is; everything else is JSON: 7, true, [1, 2], {"a": "b"}. */
static Value *value_of(const QmfProperty *argument, const char *text, GError **error)
{
    g_autoptr(GError) local = NULL;

    if (argument->type == QMF_TYPE_STRING)
        return value_string(text);
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json == NULL) {
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s: \"%s\" is no %s: as in JSON, 7, true, [1, 2] or {\"a\": \"b\"} is wanted",
                    argument->name, text, qmf_type_name(argument->type));
        return NULL;
    }
    Value *value = value_from_json(json);
    json_decref(json);
    return value;
}

/* Matahari's RPC agent ends when "args" is not there: a list or a map that is left out is an empty one. A text or a number that is left out
 * has a default of the agent's own, and stays out. */
static void complete(const QmfMethod *method, Value *map)
{
    for (size_t i = 0; i < method->n_arguments; i++) {
        const QmfProperty *argument = &method->arguments[i];

        if ((argument->direction & QMF_DIR_IN) == 0 || value_get(map, argument->name) != NULL)
            continue;
        if (argument->type == QMF_TYPE_LIST || argument->type == QMF_TYPE_MAP)
            value_set(map, argument->name, argument->type == QMF_TYPE_LIST ? value_list() : value_map());
    }
}

static Value *arguments_of(const QmfClass *class, const QmfMethod *method, char **words, GError **error)
{
    g_autoptr(Value) map = value_map();

    for (; *words != NULL; words++) {
        const char *equals = strchr(*words, '=');
        g_autofree char *name = equals == NULL ? g_strdup(*words) : g_strndup(*words, (gsize) (equals - *words));
        const QmfProperty *argument = argument_of(method, name, error);

        if (argument == NULL)
            return NULL;
        if (equals == NULL) {
            g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s has no value: %s=VALUE is wanted", name, name);
            return NULL;
        }
        Value *value = value_of(argument, equals + 1, error);
        if (value == NULL)
            return NULL;
        value_set(map, name, value);
    }
    if (strcmp(class->package, OUR_PACKAGE) != 0)
        complete(method, map);
    return qmf_values_conform(method->arguments, method->n_arguments, QMF_DIR_IN, map, error);
}

static void print_outputs(const json_t *outputs, bool json)
{
    const char *name;
    json_t *value;

    if (json) {
        show_json(outputs);
        return;
    }
    json_object_foreach((json_t *) outputs, name, value) {
        g_autofree char *text = json_is_string(value) ? g_strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
        g_autofree char *line = g_strdup_printf("%s = %s\n", name, text);

        show_text(line);
    }
}

static bool call(Wire *wire, const CallOptions *options, char **rest, GError **error)
{
    g_autofree char *agent = wire_agent(wire, rest[0], error);
    g_autoptr(Value) object = agent == NULL ? NULL : object_of(wire, agent, rest[1], error);
    QmfClass *class = object == NULL ? NULL : class_of(wire, agent, object, error);
    const QmfMethod *method = class == NULL ? NULL : method_of(class, rest[2], error);
    g_autoptr(Value) arguments = method == NULL ? NULL : arguments_of(class, method, rest + 3, error);
    g_autoptr(Value) answer = arguments == NULL ? NULL : wire_call_id(wire, agent, value_get(object, "_object_id"), method->name, arguments, error);

    if (answer != NULL) {
        g_autoptr(json_t) outputs = value_to_json(answer);
        print_outputs(outputs, options->site.json);
    }
    if (class != NULL)
        qmf_class_free(class);
    return answer != NULL;
}

int verb_call(char **argv)
{
    CallOptions options = { 0 };
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (verb_begin("call AGENT OBJECT METHOD [name=value …] [--json]", rows, G_N_ELEMENTS(rows), &options, &options.site.help, argv, &rest,
                   &status)) {
        if (g_strv_length(rest) < 3) {
            fprintf(stderr, "usage: mend call AGENT OBJECT METHOD [name=value …] [--json]\n");
            status = EXIT_WRONG;
        } else {
            g_autoptr(Wire) wire = wire_open(&options.site, &error);

            status = wire != NULL && call(wire, &options, rest, &error) ? EXIT_DONE : verb_fail("call", error);
        }
    }
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
