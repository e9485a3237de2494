/* Expressions by hand and by the thousand. Nothing is declared here: a name is what the variables have, a type what a value has, so that what fails
 * does so where the specification says it does. */
#include "consumers/cli/verb_policy_eval.h"

#include "consumers/cli/wire.h"
#include "consumers/policy/language/cel/cel.h"
#include "consumers/policy/language/cel/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES (256u << 20)
#define SHOWN_MAX 1000000 /* parts of a value; shared ones, which cost no memory, count each time they would be written */

typedef struct Variable {
    const char *name;
    CelValue value;
} Variable;

typedef struct Evaluation {
    CelArena arena;
    CelEnv *env;
    CelProgram *program; /* lives as long as its value */
    GArray *variables; /* of Variable; a name's tag is its number */
    CelValue value;
    char *error;       /* else this */
    size_t offset;     /* its place in the expression, when has_place */
    bool has_place;
} Evaluation;

static void evaluation_done(Evaluation *e)
{
    cel_arena_done(&e->arena);
    g_clear_pointer(&e->program, cel_program_free);
    g_clear_pointer(&e->env, cel_env_unref);
    g_clear_pointer(&e->variables, g_array_unref);
    g_clear_pointer(&e->error, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Evaluation, evaluation_done)

static bool look_up(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    const Evaluation *e = user;

    (void) arena;
    *ret_value = g_array_index(e->variables, Variable, name->tag).value;
    return true;
}

/* False: an error is set. */
static bool read_variables(Evaluation *e, const json_t *vars, bool typed)
{
    const char *name;
    json_t *json;

    if (vars == NULL || json_is_null(vars))
        return true;
    if (!json_is_object(vars)) {
        e->error = g_strdup("the variables are an object: {\"x\": …}");
        return false;
    }
    json_object_foreach((json_t *) vars, name, json) {
        Variable variable = { .name = name, .value = typed ? cel_from_typed(json, &e->arena) : cel_from_json(json, &e->arena) };

        if (cel_is_error(variable.value)) {
            e->error = g_strdup_printf("the variable %s: %s", name, variable.value.as.error);
            return false;
        }
        cel_env_add(e->env, name, &cel_dyn, (int) e->variables->len);
        g_array_append_val(e->variables, variable);
    }
    return true;
}

/* @text and @vars live longer than @e. */
static void evaluate(Evaluation *e, const char *text, size_t length, const json_t *vars, bool typed)
{
    g_autoptr(GError) error = NULL;

    cel_arena_init(&e->arena, NULL, 0, MEMORY_BYTES);
    e->env = cel_env_new(false);
    e->variables = g_array_new(FALSE, FALSE, sizeof(Variable));
    if (!read_variables(e, vars, typed))
        return;
    e->program = cel_compile(text, length, e->env, &cel_limits_tool, &e->offset, &error);
    if (e->program == NULL) {
        e->error = g_strdup(error->message);
        e->has_place = true;
        return;
    }
    e->value = cel_eval(e->program, &(CelInput){ .lookup = look_up, .user = e }, &e->arena);
    if (cel_weight(e->value, SHOWN_MAX + 1) > SHOWN_MAX) {
        e->error = g_strdup_printf("the value is too large to be written: it has more than %d parts", SHOWN_MAX);
        return;
    }
    if (cel_is_error(e->value)) {
        e->error = g_strdup(e->value.as.error);
        e->offset = e->value.extra;
        e->has_place = true;
    }
}

static json_t *result_of(const Evaluation *e, bool typed)
{
    json_t *result = json_object();

    if (e->error != NULL) {
        json_object_set_new(result, "error", json_string(e->error));
        return result;
    }
    json_object_set_new(result, "value", typed ? cel_to_typed(e->value) : cel_to_json(e->value));
    if (!typed)
        json_object_set_new(result, "type", json_string(cel_kind_name(e->value.kind)));
    return result;
}

static void print_line(const json_t *json)
{
    g_autofree char *line = cel_json_line(json);

    puts(line);
    fflush(stdout);
}

/* The line of the expression with the place, and a caret under it. */
static void print_error(const char *text, const Evaluation *e)
{
    fprintf(stderr, "mend policy eval: %s\n", e->error);
    if (!e->has_place || !g_utf8_validate(text, -1, NULL))
        return;
    size_t offset = MIN(e->offset, strlen(text)), start = offset, end = offset;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    end += strcspn(text + end, "\n");
    fprintf(stderr, "  %.*s\n  ", (int) (end - start), text + start);
    for (size_t i = start; i < offset; i++)
        if (((unsigned char) text[i] & 0xc0) != 0x80)
            fputc(text[i] == '\t' ? '\t' : ' ', stderr);
    fputs("^\n", stderr);
}

static json_t *load_variables(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;
    json_error_t problem;

    if (!g_file_get_contents(path, &text, &length, error))
        return NULL;
    json_t *vars = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    if (vars == NULL)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s:%d:%d: %s", path, problem.line, problem.column, problem.text);
    return vars;
}

int eval_expression(const char *text, const EvalOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) vars = NULL;
    g_auto(Evaluation) e = { 0 };

    if (options->vars_file != NULL) {
        vars = load_variables(options->vars_file, &error);
        if (vars == NULL) {
            fprintf(stderr, "mend policy eval: %s\n", error->message);
            return EXIT_NO;
        }
    }
    evaluate(&e, text, strlen(text), vars, options->typed);
    if (e.error != NULL)
        print_error(text, &e);
    g_autoptr(json_t) result = result_of(&e, options->typed);
    if (options->json || (options->typed && e.error == NULL)) {
        print_line(result);
    } else if (e.error == NULL) {
        g_autofree char *value = cel_json_line(json_object_get(result, "value"));

        printf("%s  %s\n", value, cel_kind_name(e.value.kind));
    }
    return e.error != NULL ? EXIT_NO : EXIT_DONE;
}

/* Others write the double 1e20 with all its digits, which jansson takes for an int that does not fit: typed values name their kind, so there
 * whole numbers may as well be read as doubles. */
static json_t *read_line(const char *line, size_t length, bool typed, json_error_t *problem)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    json_t *request = json_loadb(line, length, flags, problem);

    if (request == NULL && typed && json_error_code(problem) == json_error_numeric_overflow)
        request = json_loadb(line, length, flags | JSON_DECODE_INT_AS_REAL, problem);
    return request;
}

static json_t *eval_line(const char *line, size_t length, const EvalOptions *options)
{
    json_error_t problem;
    g_autoptr(json_t) request = read_line(line, length, options->typed, &problem);
    const json_t *text = json_object_get(request, "expr");
    g_auto(Evaluation) e = { 0 };

    if (request == NULL)
        return json_pack("{s:o}", "error", json_sprintf("no JSON, column %d: %s", problem.column, problem.text));
    if (!json_is_string(text))
        return json_pack("{s:s}", "error", "\"expr\", a text, is missing");
    evaluate(&e, json_string_value(text), json_string_length(text), json_object_get(request, "vars"), options->typed);
    return result_of(&e, options->typed);
}

int eval_batch(const EvalOptions *options)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    while ((n = getline(&line, &room, stdin)) >= 0) {
        size_t length = (size_t) n;

        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        g_autoptr(json_t) result = eval_line(line, length, options);
        print_line(result);
    }
    free(line);
    return EXIT_DONE;
}
