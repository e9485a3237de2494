/* Recursive descent into a flat array of nodes (no pointers to follow or free), evaluated by recursion over indices. Nesting is limited
 * while parsing, so evaluation is too. Values are Facts: texts point into the message or the selector, nothing is copied. */
#include "broker-plugin/hosts/embedded/selector.h"

#include <stdlib.h>
#include <string.h>

G_DEFINE_QUARK(mend-selector-error-quark, selector_error)

#define TEXT_MAX  4096
#define NODES_MAX 512
#define DEPTH_MAX 64

typedef enum { OP_CONST, OP_NAME, OP_NOT, OP_AND, OP_OR, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_NEG,
               OP_LIKE, OP_IN, OP_LIST, OP_IS_NULL } Op;

typedef struct SNode {
    Op op;
    int left, right;      /* indices; -1 none. LIST: left is the item, right the rest */
    Fact value;           /* CONST */
    char *text;           /* CONST text, NAME, LIKE pattern: owned */
    char escape;
} SNode;

struct Selector {
    GArray *nodes;        /* of SNode */
    int root;
};

typedef enum { T_END, T_NAME, T_TEXT, T_NUMBER, T_SYMBOL, T_BAD } TokenKind;

typedef struct Parser {
    const char *start, *p, *token;
    TokenKind kind;
    char *text;           /* NAME, TEXT, SYMBOL: its content */
    bool quoted;          /* NAME in double quotes: never a keyword */
    Fact number;
    Selector *s;
    unsigned depth;
    GError *error;
} Parser;

/* ---- tokens ---- */

static void fail(Parser *p, const char *what)
{
    if (p->error == NULL)
        g_set_error(&p->error, SELECTOR_ERROR, SELECTOR_ERROR_SYNTAX, "selector: column %zu: %s", (size_t) (p->token - p->start) + 1, what);
    p->kind = T_BAD;
}

static void read_quoted(Parser *p, char quote)
{
    GString *text = g_string_new(NULL);

    for (p->p++;; p->p++) {
        if (*p->p == '\0') {
            g_string_free(text, true);
            fail(p, "quote is not closed");
            return;
        }
        if (*p->p == quote && *++p->p != quote)
            break;
        g_string_append_c(text, *p->p);
    }
    p->text = g_string_free(text, false);
    p->kind = quote == '\'' ? T_TEXT : T_NAME;
    p->quoted = quote == '"';
}

static void read_number(Parser *p)
{
    char *end_int, *end_real;
    int64_t i = g_ascii_strtoll(p->p, &end_int, g_ascii_strncasecmp(p->p, "0x", 2) == 0 ? 16 : 10);
    double f = g_ascii_strtod(p->p, &end_real);

    if (end_real > end_int && g_ascii_strncasecmp(p->p, "0x", 2) != 0) {
        p->number = (Fact){.type = FACT_DOUBLE, .f64 = f};
        p->p = end_real;
    } else {
        p->number = (Fact){.type = FACT_INT, .i64 = i, .f64 = (double) i};
        p->p = end_int;
    }
    while (strchr("lLdDfF", *p->p) != NULL && *p->p != '\0')
        p->p++;
    p->kind = T_NUMBER;
}

static bool name_char(char c, bool first)
{
    return g_ascii_isalpha(c) || c == '_' || c == '$' || (unsigned char) c >= 0x80 || (!first && (g_ascii_isdigit(c) || c == '.' || c == '-'));
}

static void next(Parser *p)
{
    static const char *const symbols[] = {"<>", "<=", ">=", "!=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/"};
    const char *from;

    g_clear_pointer(&p->text, g_free);
    p->quoted = false;
    if (p->kind == T_BAD)
        return;
    while (g_ascii_isspace(*p->p))
        p->p++;
    p->token = from = p->p;
    if (*from == '\0') {
        p->kind = T_END;
    } else if (*from == '\'' || *from == '"') {
        read_quoted(p, *from);
    } else if (g_ascii_isdigit(*from) || (*from == '.' && g_ascii_isdigit(from[1]))) {
        read_number(p);
    } else if (name_char(*from, true)) {
        while (name_char(*p->p, false))
            p->p++;
        p->text = g_strndup(from, (gsize) (p->p - from));
        p->kind = T_NAME;
    } else {
        for (size_t i = 0; i < G_N_ELEMENTS(symbols); i++)
            if (g_str_has_prefix(from, symbols[i])) {
                p->text = g_strdup(symbols[i]);
                p->p += strlen(symbols[i]);
                p->kind = T_SYMBOL;
                return;
            }
        fail(p, "character not expected");
    }
}

static bool is_word(const Parser *p, const char *word)
{
    return p->kind == T_NAME && !p->quoted && g_ascii_strcasecmp(p->text, word) == 0;
}

static bool take_word(Parser *p, const char *word)
{
    bool is = is_word(p, word);

    if (is)
        next(p);
    return is;
}

static bool take_symbol(Parser *p, const char *symbol)
{
    bool is = p->kind == T_SYMBOL && strcmp(p->text, symbol) == 0;

    if (is)
        next(p);
    return is;
}

/* ---- grammar ---- */

static int add(Parser *p, SNode node)
{
    if (p->s->nodes->len >= NODES_MAX) {
        g_clear_error(&p->error);
        g_set_error(&p->error, SELECTOR_ERROR, SELECTOR_ERROR_LIMIT, "selector: more than %d terms", NODES_MAX);
        p->kind = T_BAD;
    }
    g_array_append_val(p->s->nodes, node);
    return (int) p->s->nodes->len - 1;
}

static int add_op(Parser *p, Op op, int left, int right)
{
    return add(p, (SNode){.op = op, .left = left, .right = right});
}

static int add_const(Parser *p, Fact value)
{
    return add(p, (SNode){.op = OP_CONST, .left = -1, .right = -1, .value = value});
}

static int parse_or(Parser *p);

static int parse_name(Parser *p)
{
    int n;

    if (is_word(p, "TRUE") || is_word(p, "FALSE"))
        n = add_const(p, (Fact){.type = FACT_BOOL, .i64 = is_word(p, "TRUE")});
    else if (is_word(p, "NULL"))
        n = add_const(p, (Fact){.type = FACT_NULL});
    else
        n = add(p, (SNode){.op = OP_NAME, .left = -1, .right = -1, .text = g_strdup(p->text)});
    next(p);
    return n;
}

static int parse_primary(Parser *p)
{
    int n;

    if (p->kind == T_NUMBER) {
        n = add_const(p, p->number);
        next(p);
        return n;
    }
    if (p->kind == T_TEXT) {
        n = add(p, (SNode){.op = OP_CONST, .left = -1, .right = -1, .text = g_strdup(p->text)});
        next(p);
        return n;
    }
    if (p->kind == T_NAME)
        return parse_name(p);
    if (take_symbol(p, "(")) {
        n = parse_or(p);
        if (!take_symbol(p, ")"))
            fail(p, "want )");
        return n;
    }
    fail(p, p->kind == T_END ? "ends too early" : "want a value");
    return add_const(p, (Fact){.type = FACT_NULL});
}

static int parse_unary(Parser *p)
{
    int n;

    if (++p->depth > DEPTH_MAX)
        fail(p, "nested too deep");
    if (p->kind != T_BAD && take_symbol(p, "-"))
        n = add_op(p, OP_NEG, parse_unary(p), -1);
    else if (p->kind != T_BAD && take_symbol(p, "+"))
        n = parse_unary(p);
    else
        n = parse_primary(p);
    p->depth--;
    return n;
}

static int parse_product(Parser *p)
{
    int n = parse_unary(p);

    for (;;) {
        if (take_symbol(p, "*"))
            n = add_op(p, OP_MUL, n, parse_unary(p));
        else if (take_symbol(p, "/"))
            n = add_op(p, OP_DIV, n, parse_unary(p));
        else
            return n;
    }
}

static int parse_sum(Parser *p)
{
    int n = parse_product(p);

    for (;;) {
        if (take_symbol(p, "+"))
            n = add_op(p, OP_ADD, n, parse_product(p));
        else if (take_symbol(p, "-"))
            n = add_op(p, OP_SUB, n, parse_product(p));
        else
            return n;
    }
}

static int parse_in(Parser *p, int left)
{
    int list = -1;

    if (!take_symbol(p, "("))
        fail(p, "want ( after IN");
    do
        list = add_op(p, OP_LIST, parse_sum(p), list);
    while (take_symbol(p, ","));
    if (!take_symbol(p, ")"))
        fail(p, "want ) after the list");
    return add_op(p, OP_IN, left, list);
}

static int parse_like(Parser *p, int left)
{
    SNode n = {.op = OP_LIKE, .left = left, .right = -1};

    if (p->kind != T_TEXT) {
        fail(p, "want a pattern in quotes after LIKE");
        return left;
    }
    n.text = g_strdup(p->text);
    next(p);
    if (take_word(p, "ESCAPE")) {
        if (p->kind != T_TEXT || strlen(p->text) != 1)
            fail(p, "want one character in quotes after ESCAPE");
        else
            n.escape = p->text[0];
        next(p);
    }
    return add(p, n);
}

static int parse_between(Parser *p, int left)
{
    int low = parse_sum(p), high;

    if (!take_word(p, "AND"))
        fail(p, "want AND after BETWEEN");
    high = parse_sum(p);
    return add_op(p, OP_AND, add_op(p, OP_GE, left, low), add_op(p, OP_LE, left, high));
}

static int parse_comparison(Parser *p)
{
    static const struct { const char *symbol; Op op; } ops[] = {{"=", OP_EQ}, {"<>", OP_NE}, {"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE},
                                                                {"<", OP_LT}, {">", OP_GT}};
    int n = parse_sum(p);
    bool negated;

    for (size_t i = 0; i < G_N_ELEMENTS(ops); i++)
        if (take_symbol(p, ops[i].symbol))
            return add_op(p, ops[i].op, n, parse_sum(p));
    if (take_word(p, "IS")) {
        negated = take_word(p, "NOT");
        if (!take_word(p, "NULL"))
            fail(p, "want NULL after IS");
        n = add_op(p, OP_IS_NULL, n, -1);
        return negated ? add_op(p, OP_NOT, n, -1) : n;
    }
    negated = take_word(p, "NOT");
    if (take_word(p, "LIKE"))
        n = parse_like(p, n);
    else if (take_word(p, "IN"))
        n = parse_in(p, n);
    else if (take_word(p, "BETWEEN"))
        n = parse_between(p, n);
    else if (negated)
        fail(p, "want LIKE, IN or BETWEEN after NOT");
    return negated ? add_op(p, OP_NOT, n, -1) : n;
}

static int parse_not(Parser *p)
{
    int n;

    if (++p->depth > DEPTH_MAX)
        fail(p, "nested too deep");
    n = p->kind != T_BAD && take_word(p, "NOT") ? add_op(p, OP_NOT, parse_not(p), -1) : parse_comparison(p);
    p->depth--;
    return n;
}

static int parse_and(Parser *p)
{
    int n = parse_not(p);

    while (take_word(p, "AND"))
        n = add_op(p, OP_AND, n, parse_not(p));
    return n;
}

static int parse_or(Parser *p)
{
    int n;

    if (++p->depth > DEPTH_MAX) {
        fail(p, "nested too deep");
        p->depth--;
        return add_const(p, (Fact){.type = FACT_NULL});
    }
    n = parse_and(p);
    while (take_word(p, "OR"))
        n = add_op(p, OP_OR, n, parse_and(p));
    p->depth--;
    return n;
}

Selector *selector_parse(const char *text, GError **error)
{
    g_autoptr(Selector) s = g_new0(Selector, 1);
    Parser p = {.start = text, .p = text, .token = text, .s = s};

    s->nodes = g_array_new(false, true, sizeof(SNode));
    if (strlen(text) > TEXT_MAX) {
        g_set_error(error, SELECTOR_ERROR, SELECTOR_ERROR_LIMIT, "selector: longer than %d bytes", TEXT_MAX);
        return NULL;
    }
    next(&p);
    s->root = parse_or(&p);
    if (p.kind != T_END && p.kind != T_BAD)
        fail(&p, "not expected here");
    g_free(p.text);
    if (p.error != NULL) {
        g_propagate_error(error, p.error);
        return NULL;
    }
    return g_steal_pointer(&s);
}

void selector_free(Selector *s)
{
    if (s == NULL)
        return;
    for (guint i = 0; i < s->nodes->len; i++)
        g_free(g_array_index(s->nodes, SNode, i).text);
    g_array_unref(s->nodes);
    g_free(s);
}

/* ---- evaluation ---- */

static const Fact unknown = {.type = FACT_NULL};

static Fact text_fact(const Message *m, Span span)
{
    if (span.n_bytes == 0 && span.at == 0)
        return unknown;
    return (Fact){.type = FACT_TEXT, .text = message_text(m, span), .n_text = span.n_bytes};
}

static Fact field(const Message *m, const char *name)
{
    const struct { const char *name, *alias; const Span *span; } texts[] = {
        {"JMSMessageID", "amqp.message_id", &m->message_id}, {"JMSCorrelationID", "amqp.correlation_id", &m->correlation_id},
        {"JMSType", "amqp.subject", &m->subject},            {"JMSDestination", "amqp.to", &m->to},
        {"JMSReplyTo", "amqp.reply_to", &m->reply_to},       {"JMSXUserID", "amqp.user_id", &m->user_id},
        {"JMSXGroupID", "amqp.group_id", &m->group_id},      {"amqp.content_type", "amqp.content_type", &m->content_type},
    };

    if (strcmp(name, "JMSPriority") == 0 || strcmp(name, "amqp.priority") == 0)
        return (Fact){.type = FACT_INT, .i64 = m->priority, .f64 = m->priority};
    if (strcmp(name, "amqp.durable") == 0)
        return (Fact){.type = FACT_BOOL, .i64 = m->durable};
    if (strcmp(name, "JMSDeliveryMode") == 0)
        return (Fact){.type = FACT_TEXT, .text = m->durable ? "PERSISTENT" : "NON_PERSISTENT", .n_text = m->durable ? 10 : 14};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (strcmp(name, texts[i].name) == 0 || strcmp(name, texts[i].alias) == 0)
            return text_fact(m, *texts[i].span);
    return unknown;
}

static Fact name_value(const Message *m, const char *name)
{
    Fact f;

    if (g_str_has_prefix(name, "JMS") || g_str_has_prefix(name, "amqp."))
        return field(m, name);
    f = message_property(m, name, strlen(name));
    return f.type == FACT_ABSENT || f.type == FACT_OTHER ? unknown : f;
}

/* -2: cannot be compared. */
static int compare(Fact a, Fact b)
{
    if (a.type == FACT_TEXT && b.type == FACT_TEXT) {
        size_t n = MIN(a.n_text, b.n_text);
        int c = n > 0 ? memcmp(a.text, b.text, n) : 0;
        return c != 0 ? (c < 0 ? -1 : 1) : a.n_text == b.n_text ? 0 : a.n_text < b.n_text ? -1 : 1;
    }
    if (a.type == FACT_INT && b.type == FACT_INT)
        return a.i64 < b.i64 ? -1 : a.i64 > b.i64;
    if ((a.type == FACT_INT || a.type == FACT_DOUBLE) && (b.type == FACT_INT || b.type == FACT_DOUBLE))
        return a.f64 < b.f64 ? -1 : a.f64 > b.f64 ? 1 : a.f64 == b.f64 ? 0 : -2;
    if (a.type == FACT_BOOL && b.type == FACT_BOOL)
        return a.i64 == b.i64 ? 0 : -2 + 3 * (a.i64 > b.i64);
    return -2;
}

static Fact truth(bool value)
{
    return (Fact){.type = FACT_BOOL, .i64 = value};
}

static Fact compared(Op op, Fact a, Fact b)
{
    int c;

    if (a.type == FACT_NULL || b.type == FACT_NULL)
        return unknown;
    if (a.type == FACT_BOOL && b.type == FACT_BOOL)
        return op == OP_EQ ? truth(a.i64 == b.i64) : op == OP_NE ? truth(a.i64 != b.i64) : unknown;
    c = compare(a, b);
    if (c == -2) /* different types are different, and in no order */
        return op == OP_EQ ? truth(false) : op == OP_NE ? truth(true) : unknown;
    switch (op) {
    case OP_EQ: return truth(c == 0);
    case OP_NE: return truth(c != 0);
    case OP_LT: return truth(c < 0);
    case OP_LE: return truth(c <= 0);
    case OP_GT: return truth(c > 0);
    default: return truth(c >= 0);
    }
}

static Fact calculated(Op op, Fact a, Fact b)
{
    double f;

    if ((a.type != FACT_INT && a.type != FACT_DOUBLE) || (b.type != FACT_INT && b.type != FACT_DOUBLE))
        return unknown;
    if (a.type == FACT_INT && b.type == FACT_INT && (op != OP_DIV || (b.i64 != 0 && b.i64 != -1))) {
        uint64_t x = (uint64_t) a.i64, y = (uint64_t) b.i64;
        int64_t i = op == OP_ADD ? (int64_t) (x + y) : op == OP_SUB ? (int64_t) (x - y) : op == OP_MUL ? (int64_t) (x * y) : a.i64 / b.i64;
        return (Fact){.type = FACT_INT, .i64 = i, .f64 = (double) i};
    }
    if (op == OP_DIV && b.f64 == 0)
        return unknown;
    f = op == OP_ADD ? a.f64 + b.f64 : op == OP_SUB ? a.f64 - b.f64 : op == OP_MUL ? a.f64 * b.f64 : a.f64 / b.f64;
    return (Fact){.type = FACT_DOUBLE, .f64 = f};
}

/* '%' any run, '_' one byte; goes back to the last '%' only, so it is never worse than lengths multiplied. */
static bool like(const char *pattern, char escape, const char *text, size_t n)
{
    const char *end = text + n, *back = NULL, *text_back = NULL;

    while (text < end || *pattern != '\0') {
        bool literal = escape != '\0' && *pattern == escape && pattern[1] != '\0';
        if (!literal && *pattern == '%') {
            back = ++pattern;
            text_back = text;
        } else if (text < end && *pattern != '\0' && ((!literal && *pattern == '_') || pattern[literal] == *text)) {
            pattern += 1 + literal;
            text++;
        } else if (back != NULL && text_back < end) {
            pattern = back;
            text = ++text_back;
        } else {
            return false;
        }
    }
    return true;
}

static Fact eval(const Selector *s, int i, const Message *m);

static Fact eval_in(const Selector *s, const SNode *n, const Message *m)
{
    Fact have = eval(s, n->left, m), equal, result = truth(false);

    for (int i = n->right; i >= 0; i = g_array_index(s->nodes, SNode, i).right) {
        equal = compared(OP_EQ, have, eval(s, g_array_index(s->nodes, SNode, i).left, m));
        if (equal.type == FACT_NULL)
            result = unknown;
        else if (equal.i64 != 0)
            return equal;
    }
    return result;
}

static Fact eval_logic(const Selector *s, const SNode *n, const Message *m)
{
    bool decides = n->op == OP_OR; /* what settles it: TRUE for OR, FALSE for AND */
    Fact a = eval(s, n->left, m), b;

    if (a.type == FACT_BOOL && (a.i64 != 0) == decides)
        return a;
    b = eval(s, n->right, m);
    if (b.type == FACT_BOOL && (b.i64 != 0) == decides)
        return b;
    return a.type == FACT_BOOL && b.type == FACT_BOOL ? truth(!decides) : unknown;
}

static Fact eval(const Selector *s, int i, const Message *m)
{
    const SNode *n = &g_array_index(s->nodes, SNode, i);
    Fact a;

    switch (n->op) {
    case OP_CONST: return n->text != NULL ? (Fact){.type = FACT_TEXT, .text = n->text, .n_text = strlen(n->text)} : n->value;
    case OP_NAME: return name_value(m, n->text);
    case OP_AND: case OP_OR: return eval_logic(s, n, m);
    case OP_NOT:
        a = eval(s, n->left, m);
        return a.type == FACT_BOOL ? truth(a.i64 == 0) : unknown;
    case OP_EQ: case OP_NE: case OP_LT: case OP_LE: case OP_GT: case OP_GE:
        return compared(n->op, eval(s, n->left, m), eval(s, n->right, m));
    case OP_ADD: case OP_SUB: case OP_MUL: case OP_DIV: return calculated(n->op, eval(s, n->left, m), eval(s, n->right, m));
    case OP_NEG: return calculated(OP_SUB, (Fact){.type = FACT_INT}, eval(s, n->left, m));
    case OP_LIKE:
        a = eval(s, n->left, m);
        return a.type == FACT_TEXT ? truth(like(n->text, n->escape, a.text, a.n_text)) : unknown;
    case OP_IN: return eval_in(s, n, m);
    case OP_IS_NULL: return truth(eval(s, n->left, m).type == FACT_NULL);
    default: return unknown;
    }
}

bool selector_match(const Selector *s, const Message *m)
{
    Fact f = eval(s, s->root, m);

    return f.type == FACT_BOOL && f.i64 != 0;
}
