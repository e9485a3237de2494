/* mend call AGENT OBJECT METHOD [name=value …]: any method of any QMF agent. The agent is asked for the schema of the object, and the
 * words of the command line become what that declares. */
#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/cli/verbs.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

typedef struct CallOptions {
    WireOptions site;
} CallOptions;

static const Setting rows[] = { WIRE_ROWS(CallOptions) };

static QmfClass *class_of(Wire *wire, const char *agent, const char *object, GError **error)
{
    g_autoptr(Value) found = wire_object(wire, agent, object, error);
    const Value *first = value_type(found) == VALUE_LIST ? value_at(found, 0) : found;
    const Value *schema_id = found == NULL ? NULL : value_get(first, "_schema_id");

    if (found == NULL)
        return NULL;
    if (schema_id == NULL) {
        g_set_error(error, WIRE_ERROR, WIRE_ERROR_ABSENT, "%s has no object \"%s\"", agent, object);
        return NULL;
    }
    g_autoptr(Value) schema = wire_schema(wire, agent, schema_id, error);
    if (schema == NULL)
        return NULL;
    return qmf_class_from_map(value_type(schema) == VALUE_LIST ? value_at(schema, 0) : schema, error);
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

static Value *arguments_of(const QmfMethod *method, char **words, GError **error)
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
    QmfClass *class = agent == NULL ? NULL : class_of(wire, agent, rest[1], error);
    const QmfMethod *method = class == NULL ? NULL : method_of(class, rest[2], error);
    g_autoptr(Value) arguments = method == NULL ? NULL : arguments_of(method, rest + 3, error);
    g_autoptr(Value) answer = arguments == NULL ? NULL : wire_call(wire, agent, rest[1], method->name, arguments, error);

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
