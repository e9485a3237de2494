/* The grammar of the specification by recursive descent, operators by their binding power. && and || become one node with many arguments, so that
 * a long chain costs no stack; everything else that nests is counted. Macros are seen here, since their first argument is a name
 * and not a value: inside, it is a slot, outside it means nothing. */
#include "consumers/policy/language/cel/lex.h"

#define SCOPES_MAX 32
#define ARGUMENTS_MAX 10000

typedef struct Parser {
    Compile *c;
    Token token;          /* the one to look at */
    unsigned depth;
    const char *scope[SCOPES_MAX];
    unsigned n_scopes;
} Parser;

static Node *expression(Parser *p);
static Node *unary(Parser *p);

const Function cel_functions[FUNCTION_N] = {
#define X(id, name, receiver, global, least, most) [FUNCTION_##id] = { name, receiver, global, least, most },
    CEL_FUNCTIONS(X)
#undef X
};

const char *cel_node_word(NodeOp op, FunctionId function)
{
    static const char *const words[NODE_OP_N] = {
        [NODE_SELECT] = ".",       [NODE_HAS] = "has()",     [NODE_INDEX] = "[]",   [NODE_LIST] = "[…]",        [NODE_MAP] = "{…}",
        [NODE_AND] = "&&",         [NODE_OR] = "||",         [NODE_NOT] = "!",      [NODE_NEGATE] = "-",        [NODE_CONDITION] = "?:",
        [NODE_EQ] = "==",          [NODE_NE] = "!=",         [NODE_LT] = "<",       [NODE_LE] = "<=",           [NODE_GT] = ">",
        [NODE_GE] = ">=",          [NODE_IN] = "in",         [NODE_ADD] = "+",      [NODE_SUBTRACT] = "-",      [NODE_MULTIPLY] = "*",
        [NODE_DIVIDE] = "/",       [NODE_MODULO] = "%",      [NODE_ALL] = "all()",  [NODE_EXISTS] = "exists()", [NODE_EXISTS_ONE] = "exists_one()",
        [NODE_TRANSFORM] = "map()", [NODE_FILTER] = "filter()",
    };

    return op == NODE_CALL ? cel_functions[function].name : words[op] == NULL ? "value" : words[op];
}

void *cel_compile_fail(Compile *c, size_t offset, CelParseError code, const char *format, ...)
{
    va_list args;

    if (c->error == NULL) {
        va_start(args, format);
        c->error = g_error_new_valist(CEL_PARSE_ERROR, (int) code, format, args);
        va_end(args);
        c->error_offset = MIN(offset, c->program->length);
    }
    return NULL;
}

/* ---- tokens and nodes ---- */

static void next(Parser *p)
{
    p->token = cel_lex(p->c, p->token.end);
}

static bool take(Parser *p, int kind)
{
    if (p->token.kind != kind)
        return false;
    next(p);
    return true;
}

static Node *unexpected(Parser *p, const char *wanted)
{
    g_autofree char *found = p->token.kind == TOKEN_WRONG ? NULL : cel_token_text(p->c, &p->token);

    if (found == NULL)
        return NULL; /* the lexer has said it */
    if (p->token.kind == TOKEN_END)
        return cel_compile_fail(p->c, p->token.offset, CEL_PARSE_ERROR_SYNTAX, "the expression ends where %s is wanted", wanted);
    return cel_compile_fail(p->c, p->token.offset, CEL_PARSE_ERROR_SYNTAX, "%s is wanted here, not %s", wanted, found);
}

static bool expect(Parser *p, int kind, const char *wanted)
{
    return take(p, kind) || unexpected(p, wanted) != NULL;
}

/* @args are copied; a NULL among them: it failed before. */
static Node *node_new(Parser *p, NodeOp op, size_t offset, size_t place, Node *const *args, size_t n)
{
    CelProgram *program = p->c->program;
    unsigned height = 0;

    for (size_t i = 0; i < n; i++) {
        if (args[i] == NULL)
            return NULL;
        height = MAX(height, args[i]->height + 1u);
    }
    if (height > CEL_DEPTH_MAX)
        return cel_compile_fail(p->c, offset, CEL_PARSE_ERROR_SYNTAX, "nested deeper than %d", CEL_DEPTH_MAX);
    if (++program->n_nodes > CEL_NODES_MAX)
        return cel_compile_fail(p->c, offset, CEL_PARSE_ERROR_SYNTAX, "more than %d parts", CEL_NODES_MAX);
    Node *node = cel_alloc(&program->arena, sizeof *node);
    *node = (Node){ .op = (uint8_t) op, .height = (uint16_t) height, .offset = (uint32_t) offset, .place = (uint32_t) place, .n = (uint32_t) n,
                    .type = &cel_dyn };
    if (n > 0) {
        node->args = cel_alloc(&program->arena, n * sizeof *args);
        memcpy(node->args, args, n * sizeof *args);
    }
    return node;
}

static Node *node_1(Parser *p, NodeOp op, size_t place, Node *a)
{
    return a == NULL ? NULL : node_new(p, op, MIN(place, a->offset), place, &a, 1);
}

static Node *node_2(Parser *p, NodeOp op, size_t place, Node *a, Node *b)
{
    Node *args[] = { a, b };

    return a == NULL ? NULL : node_new(p, op, a->offset, place, args, 2);
}

static Node *constant(Parser *p, size_t offset, CelValue value)
{
    Node *node = node_new(p, NODE_CONST, offset, offset, NULL, 0);

    if (node != NULL)
        node->value = value;
    return node;
}

static bool token_is(const Token *token, const char *word)
{
    return token->kind == TOKEN_IDENT && strcmp(token->value.as.text, word) == 0;
}

static bool is_reserved(const char *word)
{
    static const char *const words[] = { "as",     "break",  "const", "continue",  "else",   "for", "function", "if",   "import",
                                         "let",    "loop",   "package", "namespace", "return", "var", "void",   "while" };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static bool is_keyword(const char *word)
{
    return strcmp(word, "in") == 0 || strcmp(word, "true") == 0 || strcmp(word, "false") == 0 || strcmp(word, "null") == 0;
}

/* ---- lists of things ---- */

/* Up to @close, which is taken; a trailing comma is fine when @trailing. */
static bool arguments(Parser *p, int close, const char *close_name, bool trailing, GPtrArray *ret_args)
{
    while (p->token.kind != close) {
        if (ret_args->len >= ARGUMENTS_MAX)
            return cel_compile_fail(p->c, p->token.offset, CEL_PARSE_ERROR_SYNTAX, "more than %d parts", ARGUMENTS_MAX) != NULL;
        Node *node = expression(p);

        if (node == NULL)
            return false;
        g_ptr_array_add(ret_args, node);
        if (!take(p, ','))
            break;
        if (p->token.kind == close && !trailing)
            return unexpected(p, "a value") != NULL;
    }
    return expect(p, close, close_name);
}

static Node *list(Parser *p)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new();
    size_t offset = p->token.offset;

    next(p);
    if (!arguments(p, ']', "\"]\"", true, items))
        return NULL;
    return node_new(p, NODE_LIST, offset, offset, (Node *const *) items->pdata, items->len);
}

static Node *map(Parser *p)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new();
    size_t offset = p->token.offset;

    next(p);
    while (p->token.kind != '}') {
        if (items->len >= 2 * ARGUMENTS_MAX)
            return cel_compile_fail(p->c, p->token.offset, CEL_PARSE_ERROR_SYNTAX, "more than %d parts", ARGUMENTS_MAX);
        Node *key = expression(p);

        if (key == NULL || !expect(p, ':', "\":\""))
            return NULL;
        Node *value = expression(p);
        if (value == NULL)
            return NULL;
        g_ptr_array_add(items, key);
        g_ptr_array_add(items, value);
        if (!take(p, ','))
            break;
    }
    if (!expect(p, '}', "\"}\""))
        return NULL;
    return node_new(p, NODE_MAP, offset, offset, (Node *const *) items->pdata, items->len);
}

/* ---- calls and macros ---- */

static const struct {
    const char *name;
    NodeOp op;
    unsigned most; /* arguments, with the variable */
} macros[] = { { "all", NODE_ALL, 2 },     { "exists", NODE_EXISTS, 2 }, { "exists_one", NODE_EXISTS_ONE, 2 }, { "existsOne", NODE_EXISTS_ONE, 2 },
               { "map", NODE_TRANSFORM, 3 }, { "filter", NODE_FILTER, 2 } };

/* After "range.NAME(". */
static Node *macro(Parser *p, size_t which, Node *range, size_t place)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    Token variable = p->token;

    if (variable.kind != TOKEN_IDENT || is_keyword(variable.value.as.text) || is_reserved(variable.value.as.text))
        return unexpected(p, "a simple name, for each element in turn,");
    next(p);
    if (p->token.kind != ',') {
        g_autofree char *wanted = g_strdup_printf("\",\" after the name (%s(x, …))", macros[which].name);

        return unexpected(p, wanted);
    }
    next(p);
    if (p->n_scopes == SCOPES_MAX)
        return cel_compile_fail(p->c, place, CEL_PARSE_ERROR_SYNTAX, "more than %d macros inside one another", SCOPES_MAX);
    uint32_t slot = p->n_scopes;
    p->scope[p->n_scopes++] = variable.value.as.text;
    p->c->program->n_locals = MAX(p->c->program->n_locals, p->n_scopes);
    g_ptr_array_add(args, range);
    bool fine = arguments(p, ')', "\")\"", false, args);
    p->n_scopes--;
    if (!fine)
        return NULL;
    if (args->len < 2 || args->len > macros[which].most)
        return cel_compile_fail(p->c, place, CEL_PARSE_ERROR_SYNTAX, "%s() takes a name and %s", macros[which].name,
                                macros[which].op == NODE_TRANSFORM ? "a value, with a condition before it or without" : "a condition");
    Node *node = node_new(p, macros[which].op, range->offset, place, (Node *const *) args->pdata, args->len);
    if (node != NULL)
        node->slot = slot;
    return node;
}

static Node *has(Parser *p, const GPtrArray *args, size_t offset)
{
    Node *field = args->len == 1 ? args->pdata[0] : NULL;

    if (field == NULL || field->op != NODE_SELECT)
        return cel_compile_fail(p->c, offset, CEL_PARSE_ERROR_SYNTAX, "has() takes one field, such as has(a.b)");
    Node *node = node_new(p, NODE_HAS, offset, field->place, field->args, 1);
    if (node != NULL)
        node->value = field->value;
    return node;
}

/* The call of @name with @args; the receiver, if there is one, is the first. */
static Node *call(Parser *p, const char *name, bool receiver, size_t offset, size_t place, const GPtrArray *args)
{
    size_t given = args->len - receiver;
    const Function *near = NULL;

    if (!receiver && strcmp(name, "has") == 0)
        return has(p, args, offset);
    for (unsigned i = 0; i < FUNCTION_N; i++) {
        const Function *f = &cel_functions[i];

        if (strcmp(f->name, name) != 0)
            continue;
        near = f;
        if ((receiver ? f->receiver : f->global) && args->len >= f->least && args->len <= f->most) {
            Node *node = node_new(p, NODE_CALL, offset, place, (Node *const *) args->pdata, args->len);

            if (node != NULL)
                node->function = (uint8_t) i;
            return node;
        }
    }
    Node *node = node_new(p, NODE_UNKNOWN, offset, place, (Node *const *) args->pdata, args->len);
    if (node == NULL)
        return NULL;
    g_autofree char *text = near == NULL ? g_strdup_printf("unbound function: %s() is unknown", name)
                            : receiver   ? g_strdup_printf("no matching overload: .%s() with %zu arguments", name, given)
                                         : g_strdup_printf("no matching overload: %s() with %zu arguments", name, given);
    node->value = cel_string(cel_alloc_text(&p->c->program->arena, text, strlen(text)));
    node->root = near == NULL;
    return node;
}

/* After "operand." */
static Node *select_or_call(Parser *p, Node *operand)
{
    Token name = p->token;
    bool word = name.kind == TOKEN_IDENT && !is_keyword(name.value.as.text);

    if (!word && name.kind != TOKEN_QUOTED)
        return unexpected(p, "a field's name");
    next(p);
    if (word && take(p, '(')) {
        g_autoptr(GPtrArray) args = g_ptr_array_new();

        for (size_t i = 0; i < G_N_ELEMENTS(macros); i++)
            if (token_is(&name, macros[i].name))
                return macro(p, i, operand, name.offset);
        g_ptr_array_add(args, operand);
        if (!arguments(p, ')', "\")\"", false, args))
            return NULL;
        return call(p, name.value.as.text, true, operand->offset, name.offset, args);
    }
    Node *node = node_new(p, NODE_SELECT, operand->offset, name.offset, &operand, 1);
    if (node != NULL)
        node->value = name.value;
    return node;
}

/* ---- values ---- */

static Node *identifier(Parser *p, bool root)
{
    Token name = p->token;
    const char *text = name.value.as.text;

    next(p);
    if (!root && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        return constant(p, name.offset, cel_bool(*text == 't'));
    if (!root && strcmp(text, "null") == 0)
        return constant(p, name.offset, cel_null());
    if (is_keyword(text) || is_reserved(text))
        return cel_compile_fail(p->c, name.offset, CEL_PARSE_ERROR_SYNTAX, "\"%s\" is reserved: it cannot be a name", text);
    if (take(p, '(')) {
        g_autoptr(GPtrArray) args = g_ptr_array_new();

        if (!arguments(p, ')', "\")\"", false, args))
            return NULL;
        return call(p, text, false, name.offset, name.offset, args);
    }
    for (unsigned i = p->n_scopes; !root && i > 0; i--)
        if (strcmp(p->scope[i - 1], text) == 0) {
            Node *local = node_new(p, NODE_LOCAL, name.offset, name.offset, NULL, 0);

            if (local != NULL) {
                local->slot = i - 1;
                local->value = name.value;
            }
            return local;
        }
    Node *node = node_new(p, NODE_IDENT, name.offset, name.offset, NULL, 0);
    if (node != NULL) {
        node->value = name.value;
        node->root = root;
    }
    return node;
}

static Node *literal(Parser *p, bool negative)
{
    Token token = p->token;
    CelValue value = token.value;

    next(p);
    if (token.kind == TOKEN_INT) {
        if (value.as.uinteger > (uint64_t) INT64_MAX + negative)
            return cel_compile_fail(p->c, token.offset, CEL_PARSE_ERROR_SYNTAX, "does not fit into an int (write 1u for an uint)");
        value = cel_int(negative ? (int64_t) (0 - value.as.uinteger) : (int64_t) value.as.uinteger);
    } else if (negative) {
        value = cel_double(-value.as.real);
    }
    return constant(p, token.offset, value);
}

static Node *primary(Parser *p)
{
    switch (p->token.kind) {
    case TOKEN_INT:
    case TOKEN_UINT:
    case TOKEN_DOUBLE:
    case TOKEN_STRING:
    case TOKEN_BYTES:
        return literal(p, false);
    case TOKEN_IDENT:
        return identifier(p, false);
    case '.':
        next(p);
        return p->token.kind == TOKEN_IDENT ? identifier(p, true) : unexpected(p, "a name");
    case '[':
        return list(p);
    case '{':
        return map(p);
    case '(': {
        next(p);
        Node *inner = expression(p);
        return inner != NULL && expect(p, ')', "\")\"") ? inner : NULL;
    }
    default:
        return unexpected(p, "a value");
    }
}

static bool is_path(const Node *node)
{
    while (node->op == NODE_SELECT)
        node = node->args[0];
    return node->op == NODE_IDENT || node->op == NODE_LOCAL;
}

static Node *member(Parser *p, Node *node)
{
    while (node != NULL) {
        size_t place = p->token.offset;

        if (take(p, '.')) {
            node = select_or_call(p, node);
        } else if (take(p, '[')) {
            Node *index = expression(p);

            node = index != NULL && expect(p, ']', "\"]\"") ? node_2(p, NODE_INDEX, place, node, index) : NULL;
        } else if (p->token.kind == '{' && is_path(node)) {
            return cel_compile_fail(p->c, node->offset, CEL_PARSE_ERROR_SYNTAX, "messages are not supported: there is no protobuf here");
        } else {
            break;
        }
    }
    return node;
}

/* A row of ! or of -, then a member. The last - belongs to a number, so that the smallest int can be written. */
static Node *unary(Parser *p)
{
    int sign = p->token.kind;
    size_t first = p->token.offset;
    unsigned n = 0;

    if (sign != '!' && sign != '-')
        return member(p, primary(p));
    while (take(p, sign))
        n++;
    if (n > CEL_DEPTH_MAX)
        return cel_compile_fail(p->c, first, CEL_PARSE_ERROR_SYNTAX, "nested deeper than %d", CEL_DEPTH_MAX);
    bool number = sign == '-' && (p->token.kind == TOKEN_INT || p->token.kind == TOKEN_DOUBLE);
    Node *node = member(p, number ? literal(p, true) : primary(p));
    for (unsigned i = number; i < n && node != NULL; i++)
        node = node_1(p, sign == '!' ? NODE_NOT : NODE_NEGATE, first, node);
    if (node != NULL)
        node->offset = (uint32_t) first;
    return node;
}

/* ---- operators ---- */

static int binding(const Token *token, NodeOp *ret_op)
{
    static const struct { int kind, power; NodeOp op; } operators[] = {
        { TOKEN_EQ, 1, NODE_EQ }, { TOKEN_NE, 1, NODE_NE },  { '<', 1, NODE_LT },       { TOKEN_LE, 1, NODE_LE }, { '>', 1, NODE_GT },
        { TOKEN_GE, 1, NODE_GE }, { '+', 2, NODE_ADD },      { '-', 2, NODE_SUBTRACT }, { '*', 3, NODE_MULTIPLY },
        { '/', 3, NODE_DIVIDE },  { '%', 3, NODE_MODULO },
    };

    if (token_is(token, "in")) {
        *ret_op = NODE_IN;
        return 1;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(operators); i++)
        if (operators[i].kind == token->kind) {
            *ret_op = operators[i].op;
            return operators[i].power;
        }
    return 0;
}

static Node *binary(Parser *p, int power)
{
    Node *left = power > 3 ? unary(p) : binary(p, power + 1);
    NodeOp op = NODE_OP_N;

    while (power <= 3 && left != NULL && binding(&p->token, &op) == power) {
        size_t place = p->token.offset;

        next(p);
        Node *right = binary(p, power + 1);
        left = right == NULL ? NULL : node_2(p, op, place, left, right);
    }
    return left;
}

static Node *chain(Parser *p, int token, NodeOp op)
{
    Node *first = op == NODE_OR ? chain(p, TOKEN_AND, NODE_AND) : binary(p, 1);
    size_t place = p->token.offset;

    if (first == NULL || p->token.kind != token)
        return first;
    g_autoptr(GPtrArray) terms = g_ptr_array_new();
    g_ptr_array_add(terms, first);
    while (take(p, token)) {
        Node *term = op == NODE_OR ? chain(p, TOKEN_AND, NODE_AND) : binary(p, 1);

        if (term == NULL)
            return NULL;
        g_ptr_array_add(terms, term);
    }
    return node_new(p, op, first->offset, place, (Node *const *) terms->pdata, terms->len);
}

static Node *expression(Parser *p)
{
    if (++p->depth > CEL_DEPTH_MAX)
        return cel_compile_fail(p->c, p->token.offset, CEL_PARSE_ERROR_SYNTAX, "nested deeper than %d", CEL_DEPTH_MAX);
    Node *node = chain(p, TOKEN_OR, NODE_OR);
    size_t place = p->token.offset;
    if (node != NULL && take(p, '?')) {
        Node *yes = chain(p, TOKEN_OR, NODE_OR);
        Node *no = yes != NULL && expect(p, ':', "\":\"") ? expression(p) : NULL;
        Node *args[] = { node, yes, no };

        node = no == NULL ? NULL : node_new(p, NODE_CONDITION, node->offset, place, args, 3);
    }
    p->depth--;
    return node;
}

bool cel_parse(Compile *c)
{
    Parser p = { .c = c };

    next(&p);
    c->program->root = expression(&p);
    if (c->program->root != NULL && p.token.kind != TOKEN_END)
        unexpected(&p, "an operator or the end");
    return c->error == NULL && c->program->root != NULL;
}
