/* A recursive-descent parser over a tiny tree, and an evaluator that walks it. It stands alone in this file pair, so that the
 * whole expression language can take its place behind the same four functions. Types are checked at load where both sides are
 * known and at evaluation where an event decides; nothing is ever converted silently. */
#include "consumers/policy/language/condition.h"

#include "lib/base/settings.h"

#include <errno.h>
#include <string.h>

G_DEFINE_QUARK(mend-condition-error-quark, condition_error)

#define DEPTH_MAX 64
#define TEXT_MAX_BYTES 4096

typedef enum { NODE_LITERAL, NODE_LIST, NODE_NAME, NODE_NOT, NODE_AND, NODE_OR, NODE_COMPARE, NODE_IN } NodeKind;
typedef enum { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE } Compare;
typedef enum { TYPE_STRING, TYPE_INT, TYPE_BOOL, TYPE_LIST, TYPE_ANY } Type;

typedef struct Node Node;
struct Node {
    NodeKind kind;
    Compare compare;
    Type type;
    json_t *literal; /* LITERAL, LIST (an array) */
    const char *object, *field;
    char *field_owned, *label;
    Node *left, *right;
};

struct Condition {
    char *text;
    Node *root;
};

/* What may be named, and its type. The values of events are those docs/wire.md declares for service_state, agents and commands. */
static const struct {
    const char *object, *field;
    Type type;
} names[] = {
    { "entity", "kind", TYPE_STRING },       { "entity", "id", TYPE_STRING },       { "entity", "name", TYPE_STRING },
    { "entity", "path", TYPE_STRING },       { "entity", "app", TYPE_STRING },      { "entity", "vm", TYPE_STRING },
    { "entity", "hostname", TYPE_STRING },   { "event", "kind", TYPE_STRING },      { "event", "state", TYPE_STRING },
    { "event", "severity", TYPE_INT },       { "event", "source", TYPE_STRING },    { "event", "bootid", TYPE_STRING },
    { "event", "name", TYPE_STRING },        { "event", "standard", TYPE_STRING },  { "event", "provider", TYPE_STRING },
    { "event", "agent", TYPE_STRING },       { "event", "previous", TYPE_STRING },  { "event", "intent", TYPE_STRING },
    { "event", "reason", TYPE_STRING },      { "event", "rc", TYPE_INT },           { "event", "pid", TYPE_INT },
    { "event", "exit_status", TYPE_INT },    { "event", "signal", TYPE_INT },       { "event", "vm", TYPE_STRING },
    { "event", "hostname", TYPE_STRING },    { "event", "repaired", TYPE_BOOL },    { "event", "boot_id", TYPE_STRING },
    { "event", "epoch", TYPE_INT },          { "event", "lost", TYPE_INT },         { "event", "total", TYPE_INT },
    { "event", "command", TYPE_STRING },     { "event", "incident", TYPE_STRING },  { "event", "error", TYPE_STRING },
    { "event", "text", TYPE_STRING },        { "event", "host", TYPE_STRING },      { "event", "to", TYPE_STRING },
    { "event", "verdict", TYPE_STRING },     { "entity", "host", TYPE_STRING },     { "entity", "rack", TYPE_STRING },
    { "entity", "on_io_error", TYPE_STRING },
    { "entity", "ha", TYPE_BOOL },           { "entity", "priority", TYPE_INT },
};
static const char *const type_names[] = { [TYPE_STRING] = "text", [TYPE_INT] = "a number", [TYPE_BOOL] = "true or false",
                                          [TYPE_LIST] = "a list", [TYPE_ANY] = "anything" };

typedef struct Parser {
    const char *text, *at;
    unsigned depth;
    GError *error;
    size_t error_offset;
} Parser;

static Node *parse_or(Parser *p);

static void node_free(Node *node)
{
    if (node == NULL)
        return;
    json_decref(node->literal);
    g_free(node->field_owned);
    g_free(node->label);
    node_free(node->left);
    node_free(node->right);
    g_free(node);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_free)

static Node *node_new(NodeKind kind, Type type)
{
    Node *node = g_new0(Node, 1);

    node->kind = kind;
    node->type = type;
    return node;
}

static Node *fail(Parser *p, const char *at, int code, const char *format, ...) G_GNUC_PRINTF(4, 5);
static Node *fail(Parser *p, const char *at, int code, const char *format, ...)
{
    va_list args;

    if (p->error == NULL) {
        va_start(args, format);
        p->error = g_error_new_valist(CONDITION_ERROR, code, format, args);
        va_end(args);
        p->error_offset = (size_t) (at - p->text);
    }
    return NULL;
}

static void skip_blanks(Parser *p)
{
    while (*p->at != '\0' && strchr(" \t\r\n", *p->at) != NULL)
        p->at++;
}

static bool take(Parser *p, const char *token)
{
    skip_blanks(p);
    if (strncmp(p->at, token, strlen(token)) != 0)
        return false;
    p->at += strlen(token);
    return true;
}

static Node *parse_string(Parser *p)
{
    const char *start = p->at;
    char quote = *p->at++;
    GString *text = g_string_new(NULL);

    while (*p->at != '\0' && *p->at != quote) {
        if (*p->at == '\\' && p->at[1] != '\0') {
            static const char from[] = "nrt\\\"'", to[] = "\n\r\t\\\"'";
            const char *found = strchr(from, *++p->at);

            if (found == NULL) {
                g_string_free(text, TRUE);
                return fail(p, p->at - 1, CONDITION_ERROR_SYNTAX, "\"\\%c\" is no escape: \\n \\r \\t \\\\ \\\" \\' are", *p->at);
            }
            g_string_append_c(text, to[found - from]);
            p->at++;
        } else {
            g_string_append_c(text, *p->at++);
        }
    }
    g_autofree char *owned = g_string_free(text, FALSE);
    if (*p->at != quote)
        return fail(p, start, CONDITION_ERROR_SYNTAX, "this text has no closing %c", quote);
    p->at++;
    Node *node = node_new(NODE_LITERAL, TYPE_STRING);
    node->literal = json_string(owned);
    return node->literal != NULL ? node : (node_free(node), fail(p, start, CONDITION_ERROR_SYNTAX, "this text is not UTF-8"));
}

static Node *parse_number(Parser *p)
{
    const char *start = p->at;
    char *end;
    errno = 0;
    gint64 value = g_ascii_strtoll(p->at, &end, 10);
    if (end == start || errno != 0 || *end == '.' || g_ascii_isalpha(*end))
        return fail(p, start, CONDITION_ERROR_SYNTAX, "only whole numbers of 64 bits are understood here");
    p->at = end;
    Node *node = node_new(NODE_LITERAL, TYPE_INT);
    node->literal = json_integer(value);
    return node;
}

static size_t word_length(const char *at)
{
    size_t n = 0;

    while (g_ascii_isalnum(at[n]) || at[n] == '_')
        n++;
    return n;
}

static Node *unknown_name(Parser *p, const char *start, const char *object, const char *field)
{
    const char *known[G_N_ELEMENTS(names) + 1];
    size_t n = 0;

    if (field == NULL)
        return fail(p, start, CONDITION_ERROR_NAME, "\"%s\" is unknown: names begin with entity. or event.", object);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i].object, object) == 0)
            known[n++] = names[i].field;
    known[n] = NULL;
    if (n == 0) {
        static const char *const objects[] = { "entity", "event", NULL };
        const char *near = nearest_word(object, objects);

        return fail(p, start, CONDITION_ERROR_NAME, "\"%s.%s\" is unknown: names begin with entity. or event.%s%s%s", object, field,
                    near == NULL ? "" : ", did you mean ", near == NULL ? "" : near, near == NULL ? "" : "?");
    }
    const char *near = nearest_word(field, known);
    return fail(p, start, CONDITION_ERROR_NAME, "%s has no field \"%s\"%s%s%s", object, field,
                near == NULL ? "" : ", did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

static Node *parse_name(Parser *p)
{
    const char *start = p->at;
    size_t n = word_length(start);
    g_autofree char *object = g_strndup(start, n);

    p->at += n;
    if (strcmp(object, "true") == 0 || strcmp(object, "false") == 0) {
        Node *node = node_new(NODE_LITERAL, TYPE_BOOL);
        node->literal = json_boolean(*object == 't');
        return node;
    }
    if (!take(p, "."))
        return unknown_name(p, start, object, NULL);
    skip_blanks(p);
    n = word_length(p->at);
    g_autofree char *field = g_strndup(p->at, n);
    p->at += n;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i].object, object) == 0 && strcmp(names[i].field, field) == 0) {
            Node *node = node_new(NODE_NAME, names[i].type);

            node->object = names[i].object;
            node->field = names[i].field;
            node->label = g_strdup_printf("%s.%s", object, field);
            return node;
        }
    return unknown_name(p, start, object, field);
}

static Node *parse_list(Parser *p)
{
    g_autoptr(Node) list = node_new(NODE_LIST, TYPE_LIST);

    list->literal = json_array();
    if (take(p, "]"))
        return g_steal_pointer(&list);
    do {
        skip_blanks(p);
        const char *start = p->at;
        g_autoptr(Node) item = *start == '"' || *start == '\'' ? parse_string(p)
                               : *start == '-' || g_ascii_isdigit(*start) ? parse_number(p)
                                                                           : fail(p, start, CONDITION_ERROR_SYNTAX,
                                                                                  "a list holds texts and numbers only");
        if (item == NULL)
            return NULL;
        json_array_append(list->literal, item->literal);
    } while (take(p, ","));
    if (!take(p, "]"))
        return fail(p, p->at, CONDITION_ERROR_SYNTAX, "\"]\" is missing");
    return g_steal_pointer(&list);
}

static Node *parse_primary(Parser *p)
{
    skip_blanks(p);
    const char *start = p->at;

    if (*start == '"' || *start == '\'')
        return parse_string(p);
    if (*start == '-' || g_ascii_isdigit(*start))
        return parse_number(p);
    if (g_ascii_isalpha(*start) || *start == '_')
        return parse_name(p);
    if (take(p, "["))
        return parse_list(p);
    if (take(p, "(")) {
        g_autoptr(Node) inner = parse_or(p);

        if (inner == NULL)
            return NULL;
        return take(p, ")") ? g_steal_pointer(&inner) : fail(p, p->at, CONDITION_ERROR_SYNTAX, "\")\" is missing");
    }
    return *start == '\0' ? fail(p, start, CONDITION_ERROR_SYNTAX, "the condition ends where a value is wanted")
                          : fail(p, start, CONDITION_ERROR_SYNTAX, "\"%c\" is not expected here", *start);
}

static Node *parse_unary(Parser *p)
{
    skip_blanks(p);
    const char *start = p->at;

    if (++p->depth > DEPTH_MAX)
        return fail(p, start, CONDITION_ERROR_SYNTAX, "nested deeper than %d", DEPTH_MAX);
    if (*p->at != '!' || p->at[1] == '=') {
        Node *primary = parse_primary(p);
        p->depth--;
        return primary;
    }
    p->at++;
    g_autoptr(Node) operand = parse_unary(p);
    p->depth--;
    if (operand == NULL)
        return NULL;
    if (operand->type != TYPE_BOOL)
        return fail(p, start, CONDITION_ERROR_TYPE, "! wants true or false, this is %s", type_names[operand->type]);
    Node *node = node_new(NODE_NOT, TYPE_BOOL);
    node->left = g_steal_pointer(&operand);
    return node;
}

static const struct {
    const char *token;
    Compare compare;
} compares[] = { { "==", CMP_EQ }, { "!=", CMP_NE }, { "<=", CMP_LE }, { ">=", CMP_GE }, { "<", CMP_LT }, { ">", CMP_GT } };

static bool take_compare(Parser *p, Node *node)
{
    for (size_t i = 0; i < G_N_ELEMENTS(compares); i++)
        if (take(p, compares[i].token)) {
            node->kind = NODE_COMPARE;
            node->compare = compares[i].compare;
            return true;
        }
    if (strncmp(p->at, "in", 2) == 0 && word_length(p->at) == 2) {
        p->at += 2;
        node->kind = NODE_IN;
        return true;
    }
    return false;
}

static Node *parse_compare(Parser *p)
{
    g_autoptr(Node) left = parse_unary(p), node = node_new(NODE_COMPARE, TYPE_BOOL);

    if (left == NULL)
        return NULL;
    skip_blanks(p);
    const char *start = p->at;
    if (!take_compare(p, node))
        return g_steal_pointer(&left);
    g_autoptr(Node) right = parse_unary(p);
    if (right == NULL)
        return NULL;
    if (left->kind > NODE_NAME || right->kind > NODE_NAME)
        return fail(p, start, CONDITION_ERROR_TYPE, "only values are compared here, not conditions");
    if (node->kind == NODE_IN ? right->type != TYPE_LIST : left->type != right->type || left->type == TYPE_LIST)
        return fail(p, start, CONDITION_ERROR_TYPE, "%s cannot be compared with %s", type_names[left->type], type_names[right->type]);
    node->left = g_steal_pointer(&left);
    node->right = g_steal_pointer(&right);
    return g_steal_pointer(&node);
}

/* A chain of && or ||; @next parses what binds tighter. */
static Node *parse_chain(Parser *p, const char *token, NodeKind kind, Node *(*next)(Parser *))
{
    skip_blanks(p);
    const char *start = p->at;
    g_autoptr(Node) left = next(p);

    while (left != NULL && take(p, token)) {
        g_autoptr(Node) right = next(p), node = node_new(kind, TYPE_BOOL);

        if (right == NULL)
            return NULL;
        if (left->type != TYPE_BOOL || right->type != TYPE_BOOL)
            return fail(p, start, CONDITION_ERROR_TYPE, "%s wants true or false on both sides", token);
        node->left = g_steal_pointer(&left);
        node->right = g_steal_pointer(&right);
        left = g_steal_pointer(&node);
    }
    return g_steal_pointer(&left);
}

static Node *parse_and(Parser *p)
{
    return parse_chain(p, "&&", NODE_AND, parse_compare);
}

static Node *parse_or(Parser *p)
{
    return parse_chain(p, "||", NODE_OR, parse_and);
}

Condition *condition_parse(const char *text, size_t *ret_offset, GError **error)
{
    Parser p = { .text = text, .at = text };
    g_autoptr(Node) root = strlen(text) > TEXT_MAX_BYTES
                               ? fail(&p, text, CONDITION_ERROR_SYNTAX, "longer than %d bytes", TEXT_MAX_BYTES)
                               : parse_or(&p);

    skip_blanks(&p);
    if (root != NULL && *p.at != '\0')
        fail(&p, p.at, CONDITION_ERROR_SYNTAX, "\"%s\" is too much here: && or || is wanted", p.at);
    else if (root != NULL && root->type != TYPE_BOOL)
        fail(&p, text, CONDITION_ERROR_TYPE, "a condition is true or false, this is %s", type_names[root->type]);
    if (p.error != NULL) {
        if (ret_offset != NULL)
            *ret_offset = p.error_offset;
        g_propagate_error(error, p.error);
        return NULL;
    }
    Condition *condition = g_new0(Condition, 1);
    condition->text = g_strdup(text);
    condition->root = g_steal_pointer(&root);
    return condition;
}

void condition_free(Condition *condition)
{
    if (condition == NULL)
        return;
    g_free(condition->text);
    node_free(condition->root);
    g_free(condition);
}

const char *condition_text(const Condition *condition)
{
    return condition->text;
}

typedef struct Evaluation {
    ConditionLookup lookup;
    void *user;
    json_t *values;
    char *why;
} Evaluation;

static Type json_type_of(const json_t *value)
{
    return json_is_string(value) ? TYPE_STRING : json_is_integer(value) ? TYPE_INT : json_is_boolean(value) ? TYPE_BOOL : TYPE_ANY;
}

/* NULL: absent or of another type; why says so. */
static const json_t *value_of(Evaluation *e, const Node *node)
{
    if (node->kind != NODE_NAME)
        return node->literal;
    const json_t *value = e->lookup(node->object, node->field, e->user);
    if (e->values != NULL)
        json_object_set_new(e->values, node->label, value == NULL ? json_null() : json_copy((json_t *) value));
    if (value != NULL && json_type_of(value) == node->type)
        return value;
    g_free(e->why);
    e->why = value == NULL ? g_strdup_printf("%s is absent", node->label)
                           : g_strdup_printf("%s is not %s", node->label, type_names[node->type]);
    return NULL;
}

static ConditionVerdict compare(Compare how, const json_t *left, const json_t *right)
{
    int order = json_is_string(left)    ? strcmp(json_string_value(left), json_string_value(right))
                : json_is_integer(left) ? (json_integer_value(left) > json_integer_value(right)) -
                                              (json_integer_value(left) < json_integer_value(right))
                                        : json_is_true(left) - json_is_true(right);
    bool holds[] = { [CMP_EQ] = order == 0, [CMP_NE] = order != 0, [CMP_LT] = order < 0,
                     [CMP_LE] = order <= 0, [CMP_GT] = order > 0,  [CMP_GE] = order >= 0 };

    return holds[how] ? CONDITION_TRUE : CONDITION_FALSE;
}

static ConditionVerdict is_in(const json_t *value, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(value, json_array_get(list, i)))
            return CONDITION_TRUE;
    return CONDITION_FALSE;
}

static ConditionVerdict eval(Evaluation *e, const Node *node)
{
    switch (node->kind) {
    case NODE_NOT: {
        ConditionVerdict inner = eval(e, node->left);

        return inner == CONDITION_FAILED ? inner : inner == CONDITION_TRUE ? CONDITION_FALSE : CONDITION_TRUE;
    }
    case NODE_AND:
    case NODE_OR: {
        ConditionVerdict decides = node->kind == NODE_AND ? CONDITION_FALSE : CONDITION_TRUE;
        ConditionVerdict left = eval(e, node->left);
        if (left == decides)
            return left;
        ConditionVerdict right = eval(e, node->right);
        return right == decides || left != CONDITION_FAILED ? right : left;
    }
    case NODE_COMPARE:
    case NODE_IN: {
        const json_t *left = value_of(e, node->left), *right = left == NULL ? NULL : value_of(e, node->right);

        if (left == NULL || right == NULL)
            return CONDITION_FAILED;
        return node->kind == NODE_IN ? is_in(left, right) : compare(node->compare, left, right);
    }
    default: {
        const json_t *value = value_of(e, node);

        return value == NULL ? CONDITION_FAILED : json_is_true(value) ? CONDITION_TRUE : CONDITION_FALSE;
    }
    }
}

ConditionVerdict condition_eval(const Condition *condition, ConditionLookup lookup, void *user, json_t *values, char **ret_why)
{
    Evaluation e = { .lookup = lookup, .user = user, .values = values };
    ConditionVerdict verdict = eval(&e, condition->root);

    if (ret_why != NULL && verdict == CONDITION_FAILED)
        *ret_why = g_steal_pointer(&e.why);
    g_free(e.why);
    return verdict;
}
