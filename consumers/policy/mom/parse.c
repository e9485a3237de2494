/* MOM finds its tokens with one regular expression whose alternatives are tried in the order of their names, and the nesting with a general
 * grammar. Written by hand the same language needs neither: the first character says which token it is, but for numbers, whose rules are
 * in scan_number(). */
#include "consumers/policy/mom/parse.h"

#include <errno.h>
#include <string.h>

G_DEFINE_QUARK(mend-mom-error-quark, mom_error)

typedef struct Open { /* a list that is not closed yet */
    MomNode *node;
    GPtrArray *items;
    char close;
} Open;

typedef struct Parser {
    MomFile *file;
    MomNames *names;
    const char *at, *end;
    guint line, column;      /* of @at */
    GArray *open;            /* of Open */
    GError **error;
} Parser;

static const struct {
    const char *name, *op;
} builtins[] = {
#define X(id, name, op) { name, op },
    MOM_BUILTINS(X)
#undef X
};

MomOp mom_op(const char *name)
{
    for (MomOp op = 0; op < MOM_OP_NONE; op++)
        if (strcmp(builtins[op].name, name) == 0)
            return op;
    return MOM_OP_NONE;
}

const char *mom_op_text(MomOp op)
{
    return builtins[op].op == NULL ? builtins[op].name : builtins[op].op;
}

MomNames *mom_names_new(void)
{
    MomNames *names = g_new0(MomNames, 1);

    names->numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    names->texts = g_ptr_array_new();
    return names;
}

void mom_names_free(MomNames *names)
{
    g_hash_table_unref(names->numbers);
    g_ptr_array_unref(names->texts);
    g_free(names);
}

guint mom_names_number(MomNames *names, const char *name, gssize length)
{
    char *copy = length < 0 ? g_strdup(name) : g_strndup(name, (gsize) length);
    guint known = GPOINTER_TO_UINT(g_hash_table_lookup(names->numbers, copy));

    if (known != 0) {
        g_free(copy);
        return known - 1;
    }
    g_ptr_array_add(names->texts, copy);
    g_hash_table_insert(names->numbers, copy, GUINT_TO_POINTER(names->texts->len));
    return names->texts->len - 1;
}

static bool fail_at(Parser *p, guint line, guint column, const char *format, ...) G_GNUC_PRINTF(4, 5);
static bool fail_at(Parser *p, guint line, guint column, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(p->error, MOM_ERROR, MOM_ERROR_SYNTAX, "%s:%u:%u: %s", p->file->name, line, column, text);
    return false;
}

static void advance(Parser *p, gsize bytes)
{
    for (gsize i = 0; i < bytes; i++, p->at++) {
        if (*p->at == '\n') {
            p->line++;
            p->column = 1;
        } else if (((guchar) *p->at & 0xc0) != 0x80) {
            p->column++;
        }
    }
}

static MomNode *add_node(Parser *p, MomNodeKind kind)
{
    MomNode *node = g_new0(MomNode, 1);

    *node = (MomNode) { .kind = kind, .line = p->line, .column = p->column, .op = MOM_OP_NONE };
    g_ptr_array_add(p->file->nodes, node);
    if (p->open->len > 0)
        g_ptr_array_add(g_array_index(p->open, Open, p->open->len - 1).items, node);
    else
        g_ptr_array_add(p->file->top, node);
    return node;
}

static void name_node(Parser *p, MomNode *node, const char *name, gsize length)
{
    const char *dot = memchr(name, '.', length);

    node->symbol = mom_names_number(p->names, name, (gssize) length);
    node->name = p->names->texts->pdata[node->symbol];
    node->object = dot == NULL ? node->symbol : mom_names_number(p->names, name, dot - name);
    if (dot != NULL) {
        const char *rest = dot + 1, *end = memchr(rest, '.', (gsize) (name + length - rest));
        guint member = mom_names_number(p->names, rest, (end == NULL ? name + length : end) - rest);
        node->member = p->names->texts->pdata[member];
    }
    node->op = mom_op(node->name);
}

static gsize digits(const char *at, const char *end, const char *set)
{
    gsize n = 0;

    while (at + n < end && at[n] != '\0' && strchr(set, at[n]) != NULL)
        n++;
    return n;
}

#define DECIMAL "0123456789"

/* [Ee][+-]?[0-9]+, or 0. */
static gsize exponent(const char *at, const char *end)
{
    gsize sign = at + 1 < end && (at[1] == '+' || at[1] == '-'), n;

    if (at >= end || (*at != 'e' && *at != 'E'))
        return 0;
    n = digits(at + 1 + sign, end, DECIMAL);
    return n == 0 ? 0 : 1 + sign + n;
}

/* Length of the number at @at, 0: none begins here. A point makes it a float, digits before it are optional and may begin with zeros; an
 * exponent too; whole ones begin with 0 only when they are 0, 0x… or 0o…. */
static gsize scan_number(const char *at, const char *end, bool *ret_float, int *ret_base)
{
    gsize sign = at < end && *at == '-', n = digits(at + sign, end, DECIMAL), fraction;
    const char *rest = at + sign + n;

    *ret_float = false;
    *ret_base = 10;
    if (rest < end && *rest == '.' && (fraction = digits(rest + 1, end, DECIMAL)) > 0) {
        *ret_float = true;
        rest += 1 + fraction;
        return (gsize) (rest - at) + exponent(rest, end);
    }
    if (n == 0)
        return 0;
    if (n == 1 && at[sign] == '0' && rest < end && strchr("oXx", *rest) != NULL) {
        bool hex = *rest != 'o';
        gsize more = digits(rest + 1, end, hex ? DECIMAL "abcdefABCDEF" : DECIMAL);

        *ret_base = hex ? 16 : 8;
        return sign == 1 || more == 0 ? 0 : 2 + more;
    }
    if (n > 1 && at[sign] == '0')
        return 0;
    if (rest < end && (*rest == 'e' || *rest == 'E')) {
        gsize more = exponent(rest, end);

        *ret_float = true;
        return more == 0 ? 0 : sign + n + more;
    }
    return sign + n;
}

static bool read_number(Parser *p, gsize length, bool is_float, int base)
{
    g_autofree char *text = g_strndup(p->at, length);
    MomNode *node = add_node(p, MOM_NODE_VALUE);
    char *end;

    if (is_float) {
        node->value = mom_float(g_ascii_strtod(text, NULL));
    } else {
        errno = 0;
        node->value = mom_int(g_ascii_strtoll(base == 8 ? text + 2 : text, &end, base));
        if (errno != 0)
            return fail_at(p, node->line, node->column, "%s does not fit 64 bits: write it as %s.0, or smaller", text, text);
        if (*end != '\0')
            return fail_at(p, node->line, node->column, "%s is no octal number: its digits are 0 to 7", text);
    }
    advance(p, length);
    return true;
}

/* To the same quote that is not after a backslash; what is in between stands as it is, backslashes too. */
static bool read_text(Parser *p)
{
    const char *at = p->at + 1;

    while (at < p->end && *at != *p->at) {
        if (*at == '\\' && (at + 1 >= p->end || at[1] == '\n'))
            return fail_at(p, p->line, p->column, "a text may not have a backslash at the end of a line");
        at += *at == '\\' ? 2 : 1;
    }
    if (at >= p->end)
        return fail_at(p, p->line, p->column, "the text that begins here has no end: %c is missing", *p->at);
    MomNode *node = add_node(p, MOM_NODE_VALUE);
    node->value = mom_text_of(p->at + 1, (size_t) (at - p->at - 1));
    advance(p, (gsize) (at - p->at + 1));
    return true;
}

static bool open_list(Parser *p)
{
    MomNode *list = add_node(p, MOM_NODE_LIST);
    Open open = { list, g_ptr_array_new(), *p->at == '(' ? ')' : *p->at == '[' ? ']' : '}' };

    if (p->open->len >= MOM_NEST_MAX) {
        g_ptr_array_unref(open.items);
        return fail_at(p, list->line, list->column, "more than %u lists in each other", MOM_NEST_MAX);
    }
    g_array_append_val(p->open, open);
    if (open.close == '}')
        name_node(p, add_node(p, MOM_NODE_SYMBOL), "eval", 4);
    advance(p, 1);
    return true;
}

static bool close_list(Parser *p)
{
    if (p->open->len == 0)
        return fail_at(p, p->line, p->column, "'%c' closes nothing", *p->at);
    Open open = g_array_index(p->open, Open, p->open->len - 1);
    if (open.close != *p->at)
        return fail_at(p, p->line, p->column, "'%c' stands where '%c' is wanted, for what is open since line %u column %u", *p->at, open.close,
                       open.node->line, open.node->column);
    open.node->n = open.items->len;
    g_ptr_array_add(open.items, NULL);
    open.node->items = (MomNode *const *) g_ptr_array_free(open.items, FALSE);
    g_ptr_array_add(p->file->memory, (gpointer) open.node->items);
    g_array_set_size(p->open, p->open->len - 1);
    advance(p, 1);
    return true;
}

static gsize symbol_length(const char *at, const char *end)
{
    gsize n = 0;

    if (!g_ascii_isalpha(*at) && *at != '_')
        return 0;
    while (at + n < end && (g_ascii_isalnum(at[n]) || at[n] == '_' || at[n] == '-' || at[n] == '.'))
        n++;
    return n;
}

static gsize operator_length(const char *at, const char *end)
{
    static const char *const two[] = { "<=", ">=", "<<", ">>", "==", "!=" };

    for (gsize i = 0; i < G_N_ELEMENTS(two); i++)
        if (end - at >= 2 && memcmp(at, two[i], 2) == 0)
            return 2;
    return strchr("+-*/<>", *at) != NULL ? 1 : 0;
}

static void read_operator(Parser *p, gsize length)
{
    MomNode *node = add_node(p, MOM_NODE_OPERATOR);

    for (MomOp op = 0; op < MOM_OP_NONE; op++)
        if (builtins[op].op != NULL && strlen(builtins[op].op) == length && memcmp(p->at, builtins[op].op, length) == 0)
            name_node(p, node, builtins[op].name, strlen(builtins[op].name));
    advance(p, length);
}

static bool read_token(Parser *p)
{
    gsize length;
    bool is_float;
    int base;

    if (strchr("([{", *p->at) != NULL)
        return open_list(p);
    if (strchr(")]}", *p->at) != NULL)
        return close_list(p);
    if (*p->at == '"' || *p->at == '\'')
        return read_text(p);
    if ((length = scan_number(p->at, p->end, &is_float, &base)) > 0)
        return read_number(p, length, is_float, base);
    if ((length = symbol_length(p->at, p->end)) > 0) {
        name_node(p, add_node(p, MOM_NODE_SYMBOL), p->at, length);
        advance(p, length);
        return true;
    }
    if ((length = operator_length(p->at, p->end)) > 0) {
        read_operator(p, length);
        return true;
    }
    g_autofree char *seen = g_strndup(p->at, (gsize) (g_utf8_next_char(p->at) - p->at));
    if (g_ascii_isdigit(*p->at))
        return fail_at(p, p->line, p->column, "no number looks like this: 5, -3, .5, 1e3, 0x1F and 0o17 do");
    return fail_at(p, p->line, p->column, "'%s' means nothing here; comments begin with #", seen);
}

/* Length of white space or a comment; 0: a token begins. */
static gsize blank(const char *at, const char *end)
{
    if (*at == '#') {
        const char *line = memchr(at, '\n', (gsize) (end - at));
        return (gsize) ((line == NULL ? end : line) - at);
    }
    gunichar c = g_utf8_get_char(at);
    return g_unichar_isspace(c) || c == 0x0b || c == 0x85 || (c >= 0x1c && c <= 0x1f) ? (gsize) (g_utf8_next_char(at) - at) : 0;
}

static bool read_all(Parser *p)
{
    while (p->at < p->end) {
        gsize skip = blank(p->at, p->end);

        if (skip > 0)
            advance(p, skip);
        else if (!read_token(p))
            return false;
    }
    if (p->open->len > 0) {
        const Open *open = &g_array_index(p->open, Open, p->open->len - 1);
        return fail_at(p, open->node->line, open->node->column, "what begins here is never closed: '%c' is missing", open->close);
    }
    return true;
}

MomFile *mom_file_parse(const char *name, const char *text, gsize length, MomNames *names, GError **error)
{
    g_autoptr(MomFile) file = g_new0(MomFile, 1);
    Parser p = { .file = file, .names = names, .line = 1, .column = 1, .error = error };
    const char *bad;
    bool ok;

    file->name = g_utf8_make_valid(name, -1);
    file->nodes = g_ptr_array_new_with_free_func(g_free);
    file->memory = g_ptr_array_new_with_free_func(g_free);
    file->top = g_ptr_array_new();
    if (length > MOM_TEXT_MAX) {
        fail_at(&p, 1, 1, "longer than %u KiB", MOM_TEXT_MAX >> 10);
        return NULL;
    }
    p.open = g_array_new(FALSE, FALSE, sizeof(Open));
    p.at = file->text = g_strndup(text, length);
    p.end = p.at + length;
    if (!g_utf8_validate(text, (gssize) length, &bad)) {
        advance(&p, (gsize) (bad - text));
        ok = fail_at(&p, p.line, p.column, "this is not UTF-8 text");
    } else {
        ok = read_all(&p);
    }
    for (guint i = 0; i < p.open->len; i++)
        g_ptr_array_unref(g_array_index(p.open, Open, i).items);
    g_array_unref(p.open);
    return ok ? g_steal_pointer(&file) : NULL;
}

void mom_file_free(MomFile *file)
{
    if (file == NULL)
        return;
    g_clear_pointer(&file->nodes, g_ptr_array_unref);
    g_clear_pointer(&file->memory, g_ptr_array_unref);
    g_clear_pointer(&file->top, g_ptr_array_unref);
    g_free(file->name);
    g_free(file->text);
    g_free(file);
}
