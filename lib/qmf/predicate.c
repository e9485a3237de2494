/* The meaning is libqmf2's, where it was measured, because a console cannot know whose agent it asks:
 * eq and ne compare as text, so the number 5 and the string "5" are equal; ordering compares numbers as numbers and all else as text;
 * a comparison with an attribute that is not there is false, also ne; "not" of several is true when none of them holds.
 * One thing is ours: libqmf2 drops a request whose predicate it cannot read, we refuse it with a text.
 * re_match is read and never matches, as there: a regular expression from a peer costs what the peer likes. */
#include "lib/qmf/predicate.h"

#include <string.h>

#define PREDICATE_DEPTH_MAX 32
#define PREDICATE_TERMS_MAX 1000

typedef enum { OP_AND, OP_OR, OP_NOT, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_RE_MATCH, OP_EXISTS, OP_TRUE, OP_FALSE, OP_N } Op;

#define ANY_NUMBER (-1)
static const struct {
    const char *name;
    int operands; /* ANY_NUMBER: of predicates */
} ops[] = {
    [OP_AND] = { "and", ANY_NUMBER }, [OP_OR] = { "or", ANY_NUMBER }, [OP_NOT] = { "not", ANY_NUMBER },
    [OP_EQ] = { "eq", 2 },            [OP_NE] = { "ne", 2 },          [OP_LT] = { "lt", 2 },
    [OP_LE] = { "le", 2 },            [OP_GT] = { "gt", 2 },          [OP_GE] = { "ge", 2 },
    [OP_RE_MATCH] = { "re_match", 2 }, [OP_EXISTS] = { "exists", 1 }, [OP_TRUE] = { "true", 0 },
    [OP_FALSE] = { "false", 0 },
};
_Static_assert(G_N_ELEMENTS(ops) == OP_N, "every operator has a row");

static bool op_find(const char *name, Op *ret)
{
    for (int i = 0; i < OP_N; i++)
        if (name != NULL && strcmp(ops[i].name, name) == 0) {
            *ret = (Op) i;
            return true;
        }
    return false;
}

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool refuse(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "predicate: %s", what);
    return false;
}

static bool is_quote(const Value *operand)
{
    const char *word = value_as_string(value_at(operand, 0));

    return value_size(operand) == 2 && word != NULL && strcmp(word, "quote") == 0;
}

static bool check_operands(const Value *predicate, Op op, GError **error)
{
    if (value_size(predicate) != (size_t) ops[op].operands + 1)
        return refuse(error, "\"%s\" has %zu operands, want %d", ops[op].name, value_size(predicate) - 1, ops[op].operands);
    for (size_t i = 1; i < value_size(predicate); i++) {
        const Value *operand = value_at(predicate, i);

        if (value_type(operand) == VALUE_LIST ? !is_quote(operand) : value_as_string(operand) == NULL)
            return refuse(error, "operand %zu of \"%s\" is neither a name nor [\"quote\", literal]", i, ops[op].name);
    }
    return true;
}

static bool check(const Value *predicate, unsigned depth, unsigned *terms, GError **error)
{
    const char *name = value_as_string(value_at(predicate, 0));
    Op op;

    if (depth > PREDICATE_DEPTH_MAX || ++*terms > PREDICATE_TERMS_MAX) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_LIMIT, "predicate: more than %d deep or %d terms", PREDICATE_DEPTH_MAX,
                    PREDICATE_TERMS_MAX);
        return false;
    }
    if (predicate == NULL || value_type(predicate) != VALUE_LIST)
        return refuse(error, "a %s where a list belongs", predicate == NULL ? "nothing" : value_type_name(value_type(predicate)));
    if (value_size(predicate) == 0)
        return true;
    if (!op_find(name, &op))
        return refuse(error, "unknown operator \"%.32s\"", name == NULL ? "" : name);
    if (ops[op].operands != ANY_NUMBER)
        return check_operands(predicate, op, error);
    for (size_t i = 1; i < value_size(predicate); i++)
        if (!check(value_at(predicate, i), depth + 1, terms, error))
            return false;
    return true;
}

bool predicate_check(const Value *predicate, GError **error)
{
    unsigned terms = 0;

    return predicate == NULL || value_type(predicate) == VALUE_NULL || check(predicate, 1, &terms, error);
}

static const Value *operand_value(const Value *operand, const Value *attributes)
{
    return value_type(operand) == VALUE_LIST ? value_at(operand, 1) : value_get(attributes, value_as_string(operand));
}

/* As text; caller frees. */
static char *text_of(const Value *value)
{
    const char *text = value_as_string(value);
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    int64_t v;
    uint64_t u;
    double d;
    bool truth;

    if (text != NULL)
        return g_strdup(text);
    if (value_as_bool(value, &truth))
        return g_strdup(truth ? "True" : "False");
    if (value_as_int(value, &v))
        return g_strdup_printf("%" G_GINT64_FORMAT, v);
    if (value_as_uint(value, &u))
        return g_strdup_printf("%" G_GUINT64_FORMAT, u);
    if (value_as_double(value, &d))
        return g_strdup(g_ascii_dtostr(number, sizeof number, d));
    g_autoptr(json_t) json = value_to_json(value);
    g_autofree char *dumped = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    return g_strdup(dumped == NULL ? "" : dumped);
}

static int order(const Value *a, const Value *b)
{
    int64_t x, y;
    double p, q;

    if (value_as_int(a, &x) && value_as_int(b, &y))
        return (x > y) - (x < y);
    if (value_as_double(a, &p) && value_as_double(b, &q))
        return (p > q) - (p < q);
    g_autofree char *s = text_of(a), *t = text_of(b);
    return strcmp(s, t);
}

static bool equal(const Value *a, const Value *b)
{
    g_autofree char *s = text_of(a), *t = text_of(b);

    return strcmp(s, t) == 0;
}

static bool compare(Op op, const Value *a, const Value *b)
{
    switch (op) {
    case OP_EQ: return equal(a, b);
    case OP_NE: return !equal(a, b);
    case OP_LT: return order(a, b) < 0;
    case OP_LE: return order(a, b) <= 0;
    case OP_GT: return order(a, b) > 0;
    case OP_GE: return order(a, b) >= 0;
    default:    return false; /* re_match */
    }
}

static bool any(const Value *predicate, const Value *attributes, bool wanted)
{
    for (size_t i = 1; i < value_size(predicate); i++)
        if (predicate_matches(value_at(predicate, i), attributes) == wanted)
            return true;
    return false;
}

bool predicate_matches(const Value *predicate, const Value *attributes)
{
    const Value *a, *b;
    Op op;

    if (value_size(predicate) == 0 || !op_find(value_as_string(value_at(predicate, 0)), &op))
        return true;
    switch (op) {
    case OP_AND:   return !any(predicate, attributes, false);
    case OP_OR:    return any(predicate, attributes, true);
    case OP_NOT:   return !any(predicate, attributes, true);
    case OP_TRUE:  return true;
    case OP_FALSE: return false;
    default:       break;
    }
    a = operand_value(value_at(predicate, 1), attributes);
    if (op == OP_EXISTS)
        return a != NULL;
    b = operand_value(value_at(predicate, 2), attributes);
    return a != NULL && b != NULL && compare(op, a, b);
}
