/* Between the engine and the language: verdicts instead of values, names looked at as JSON for the journal, an arena that is on the stack
 * until somebody writes an expression that needs more. */
#include "consumers/policy/language/expression.h"

#include "consumers/policy/language/cel/json.h"

#include <math.h>
#include <string.h>

#define STACK_BYTES 2048

struct Expression {
    char *text;
    CelProgram *program;
    ExpressionWant want;
};

/* False: *ret_what is wanted. */
static bool gives(const CelType *type, ExpressionWant want, const char **ret_what)
{
    static const char *const words[] = { [EXPRESSION_BOOL] = "true or false", [EXPRESSION_NUMBER] = "a number",
                                         [EXPRESSION_TEXT] = "a text or something that can be written as one", [EXPRESSION_ANY] = "anything" };
    CelKind kind = type->kind;

    *ret_what = words[want];
    if (type->shape == CEL_TYPE_DYN || want == EXPRESSION_ANY)
        return true;
    if (want == EXPRESSION_BOOL)
        return kind == CEL_BOOL;
    if (want == EXPRESSION_NUMBER)
        return kind == CEL_INT || kind == CEL_UINT || kind == CEL_DOUBLE;
    return type->shape == CEL_TYPE_SCALAR && kind != CEL_NULL && kind != CEL_BYTES && kind != CEL_TYPE;
}

Expression *expression_parse(const char *text, ExpressionWant want, CelEnv *env, size_t *ret_offset, GError **error)
{
    g_autoptr(CelProgram) program = cel_compile(text, strlen(text), env, &cel_limits_policy, ret_offset, error);
    const char *what;

    if (program == NULL)
        return NULL;
    if (!gives(cel_program_type(program), want, &what)) {
        g_autofree char *type = cel_type_text(cel_program_type(program));

        g_set_error(error, CEL_PARSE_ERROR, CEL_PARSE_ERROR_TYPE, "this gives %s: %s is wanted", type, what);
        if (ret_offset != NULL)
            *ret_offset = 0;
        return NULL;
    }
    Expression *expression = g_new0(Expression, 1);
    expression->text = g_strdup(text);
    expression->program = g_steal_pointer(&program);
    expression->want = want;
    return expression;
}

void expression_free(Expression *expression)
{
    if (expression == NULL)
        return;
    g_free(expression->text);
    cel_program_free(expression->program);
    g_free(expression);
}

const char *expression_text(const Expression *expression)
{
    return expression->text;
}

uint64_t expression_cost(const Expression *expression)
{
    return cel_program_cost(expression->program);
}

const CelName *const *expression_names(const Expression *expression, size_t *ret_n)
{
    return cel_program_names(expression->program, ret_n);
}

static void note_value(const CelName *name, const CelValue *value, void *user)
{
    json_object_set_new(user, name->label, value == NULL ? json_null() : cel_to_json(*value));
}

static CelValue evaluate(const Expression *expression, CelLookup lookup, void *user, json_t *values, CelArena *arena)
{
    CelInput input = { .lookup = lookup, .user = user, .seen = values == NULL ? NULL : note_value, .seen_user = values };

    return cel_eval(expression->program, &input, arena);
}

static void tell(char **ret_why, const char *why)
{
    if (ret_why != NULL)
        *ret_why = g_strdup(why);
}

ExpressionVerdict expression_holds(const Expression *expression, CelLookup lookup, void *user, json_t *values, char **ret_why)
{
    char first[STACK_BYTES];
    CelArena arena;

    cel_arena_init(&arena, first, sizeof first, cel_limits_policy.memory_bytes);
    CelValue value = evaluate(expression, lookup, user, values, &arena);
    ExpressionVerdict verdict = value.kind != CEL_BOOL ? EXPRESSION_FAILED : value.as.boolean ? EXPRESSION_TRUE : EXPRESSION_FALSE;
    if (verdict == EXPRESSION_FAILED)
        tell(ret_why, cel_is_error(value) ? value.as.error : "it is neither true nor false");
    cel_arena_done(&arena);
    return verdict;
}

bool expression_number(const Expression *expression, CelLookup lookup, void *user, json_t *values, double *ret_number, char **ret_why)
{
    char first[STACK_BYTES];
    CelArena arena;

    cel_arena_init(&arena, first, sizeof first, cel_limits_policy.memory_bytes);
    CelValue value = evaluate(expression, lookup, user, values, &arena);
    double number = value.kind == CEL_INT    ? (double) value.as.integer
                    : value.kind == CEL_UINT ? (double) value.as.uinteger
                    : value.kind == CEL_DOUBLE ? value.as.real : NAN;
    if (isfinite(number))
        *ret_number = number;
    else
        tell(ret_why, cel_is_error(value) ? value.as.error : cel_is_number(value) ? "it has no finite value" : "it is no number");
    cel_arena_done(&arena);
    return isfinite(number);
}

bool expression_string(const Expression *expression, CelLookup lookup, void *user, json_t *values, char **ret_text, char **ret_why)
{
    char first[STACK_BYTES];
    CelArena arena;

    cel_arena_init(&arena, first, sizeof first, cel_limits_policy.memory_bytes);
    CelValue value = evaluate(expression, lookup, user, values, &arena);
    char *text = cel_is_error(value) ? NULL : cel_text_of(value);
    if (text != NULL)
        *ret_text = text;
    else
        tell(ret_why, cel_is_error(value) ? value.as.error : "it cannot be written as a text");
    cel_arena_done(&arena);
    return text != NULL;
}

bool expression_value_from(const json_t *object, const CelName *name, CelArena *arena, CelValue *ret_value)
{
    const json_t *json = json_object_get(object, name->field);

    if (json == NULL || json_is_null(json))
        return false;
    *ret_value = cel_from_json(json, arena);
    return true;
}
