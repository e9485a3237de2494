/* Recursive descent over RE2's syntax: https://github.com/google/re2/wiki/Syntax. What RE2 refuses because it cannot be matched in linear
 * time (\1, lookaround) is refused here, by name. Groups keep nothing: only whether a text matches is asked. */
#include "consumers/policy/language/cel/regex_private.h"

#include <string.h>

G_DEFINE_QUARK(mend-regex-error-quark, regex_error)

#define PATTERN_MAX_BYTES 4096
#define DEPTH_MAX 200
#define REPEAT_MAX 1000
#define WORK_MAX 5000000 /* about 500 times \pL */

typedef struct Parser {
    const char *begin, *at, *end;
    unsigned depth;
    bool fold, lines, dot_all; /* i, m, s; U changes nothing about whether it matches */
    bool quoted;               /* between \Q and \E */
    GHashTable *names;         /* of groups */
    uint64_t work;             /* so far, in steps of about 10 ns */
    GError **error;
} Parser;

static RegexNode *parse_alternation(Parser *p);

static gpointer wrong(Parser *p, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gpointer wrong(Parser *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (p->error != NULL && *p->error == NULL)
        g_set_error(p->error, REGEX_ERROR, 0, "regular expression, character %u: %s", (unsigned) (p->at - p->begin) + 1, text);
    return NULL;
}

/* For a class that was made, before it goes on. */
static bool count_class(Parser *p, const RuneClass *set)
{
    p->work += (uint64_t) set->len * (p->fold ? 30 : 10);
    return p->work <= WORK_MAX || wrong(p, "too many large classes of characters") != NULL;
}

static RegexNode *node_new(RegexNodeKind kind)
{
    RegexNode *node = g_new0(RegexNode, 1);

    node->kind = kind;
    node->times = 1;
    if (kind == NODE_CLASS)
        node->set = rune_class_new();
    if (kind == NODE_CONCAT || kind == NODE_ALTERNATE || kind == NODE_REPEAT)
        node->children = g_ptr_array_new_with_free_func((GDestroyNotify) regex_node_free);
    return node;
}

void regex_node_free(RegexNode *node)
{
    if (node == NULL)
        return;
    g_clear_pointer(&node->set, g_array_unref);
    g_clear_pointer(&node->children, g_ptr_array_unref);
    g_free(node);
}

static void add_child(RegexNode *node, RegexNode *child)
{
    g_ptr_array_add(node->children, child);
    node->times = MAX(node->times, child->times);
}

static bool next_is(const Parser *p, const char *text)
{
    return (size_t) (p->end - p->at) >= strlen(text) && memcmp(p->at, text, strlen(text)) == 0;
}

static bool take(Parser *p, const char *text)
{
    if (!next_is(p, text))
        return false;
    p->at += strlen(text);
    return true;
}

static uint32_t take_rune(Parser *p)
{
    uint32_t rune = g_utf8_get_char(p->at);

    p->at = g_utf8_next_char(p->at);
    return rune;
}

static RegexNode *rune_node(const Parser *p, uint32_t rune)
{
    RegexNode *node = node_new(NODE_CLASS);

    rune_class_add(node->set, rune, rune);
    if (p->fold)
        rune_class_fold(node->set);
    return node;
}

static RegexNode *assert_node(RegexAssert assert)
{
    RegexNode *node = node_new(NODE_ASSERT);

    node->assert = assert;
    return node;
}

/* --- escapes --- */

static bool take_hex(Parser *p, uint32_t *ret)
{
    bool braces = take(p, "{");
    unsigned digits = 0;

    *ret = 0;
    for (; p->at < p->end && g_ascii_isxdigit(*p->at) && digits < (braces ? 6 : 2); p->at++, digits++)
        *ret = *ret * 16 + (uint32_t) g_ascii_xdigit_value(*p->at);
    return digits > 0 && (braces || digits == 2) && (!braces || take(p, "}")) && *ret <= RUNE_MAX;
}

/* A character written as an escape; false: an error is set. After the backslash. */
static bool take_escaped_rune(Parser *p, uint32_t *ret)
{
    static const char letters[] = "afnrtv", meanings[] = "\a\f\n\r\t\v";
    const char *letter;
    char c = p->at < p->end ? *p->at : '\0';

    if (c == '\0')
        return wrong(p, "a backslash at the end escapes nothing") != NULL;
    if (c == 'x') {
        p->at++;
        return take_hex(p, ret) || wrong(p, "\\x7F or \\x{10FFFF} is wanted") != NULL;
    }
    if ((c >= '1' && c <= '7' && p->end - p->at >= 2 && p->at[1] >= '0' && p->at[1] <= '7') || c == '0') {
        for (*ret = 0, letter = p->at; p->at < p->end && p->at - letter < 3 && *p->at >= '0' && *p->at <= '7'; p->at++)
            *ret = *ret * 8 + (uint32_t) (*p->at - '0');
        return true;
    }
    if (g_ascii_isdigit(c))
        return wrong(p, "\\%c: references to groups cannot be matched in bounded time", c) != NULL;
    if ((letter = strchr(letters, c)) != NULL) {
        p->at++;
        *ret = (uint32_t) meanings[letter - letters];
        return true;
    }
    if (g_ascii_isalnum(c))
        return wrong(p, "\\%c is no escape", c) != NULL;
    *ret = take_rune(p);
    return true;
}

/* After "\p" or "\P". */
static bool take_unicode_class(Parser *p, bool negated, RuneClass *set)
{
    const char *name = p->at, *end;

    if (!take(p, "{")) {
        if (p->at >= p->end)
            return wrong(p, "\\p wants a name: \\pL, \\p{Greek}") != NULL;
        end = p->at = g_utf8_next_char(p->at);
    } else {
        if (take(p, "^"))
            negated = !negated;
        name = p->at;
        end = memchr(p->at, '}', (size_t) (p->end - p->at));
        if (end == NULL)
            return wrong(p, "\\p{ is not closed") != NULL;
        p->at = end + 1;
    }
    g_autoptr(GArray) found = rune_class_new();
    if (!rune_class_unicode(found, name, (size_t) (end - name)))
        return wrong(p, "%.*s is no class of characters known here", (int) (end - name), name) != NULL;
    if (!count_class(p, found))
        return false;
    if (p->fold)
        rune_class_fold(found);
    if (negated)
        rune_class_negate(found);
    rune_class_add_class(set, found);
    return true;
}

/* \d \pL and their like; *ret_taken: it was one. False: an error is set. */
static bool take_class_escape(Parser *p, RuneClass *set, bool *ret_taken)
{
    char c = p->end - p->at >= 2 ? p->at[1] : '\0';
    g_autoptr(GArray) perl = rune_class_new();

    *ret_taken = true;
    if (rune_class_perl(perl, c)) {
        p->at += 2;
        rune_class_add_class(set, perl);
        return true;
    }
    if (c == 'p' || c == 'P') {
        p->at += 2;
        return take_unicode_class(p, c == 'P', set);
    }
    *ret_taken = false;
    return true;
}

static RegexNode *parse_escape(Parser *p)
{
    static const struct {
        const char *text;
        RegexAssert assert;
    } asserts[] = { { "\\A", ASSERT_TEXT_BEGIN }, { "\\z", ASSERT_TEXT_END }, { "\\b", ASSERT_WORD }, { "\\B", ASSERT_NOT_WORD } };
    g_autoptr(RegexNode) node = NULL;
    uint32_t rune;
    bool taken;

    for (size_t i = 0; i < G_N_ELEMENTS(asserts); i++)
        if (take(p, asserts[i].text))
            return assert_node(asserts[i].assert);
    node = node_new(NODE_CLASS);
    if (!take_class_escape(p, node->set, &taken))
        return NULL;
    if (taken)
        return g_steal_pointer(&node);
    p->at++;
    return take_escaped_rune(p, &rune) ? rune_node(p, rune) : NULL;
}

/* --- classes in brackets --- */

static bool take_class_rune(Parser *p, uint32_t *ret)
{
    if (take(p, "\\"))
        return take_escaped_rune(p, ret);
    *ret = take_rune(p);
    return true;
}

static bool take_posix(Parser *p, RuneClass *set, bool *ret_taken)
{
    const char *end = next_is(p, "[:") ? g_strstr_len(p->at + 2, p->end - p->at - 2, ":]") : NULL;

    *ret_taken = end != NULL;
    if (end == NULL)
        return true;
    const char *name = p->at + 2;
    bool negated = *name == '^';
    g_autoptr(GArray) found = rune_class_new();
    name += negated;
    if (strncmp(name, "perl-", 5) == 0 || !rune_class_posix(found, name, (size_t) (end - name)))
        return wrong(p, "[:%.*s:] is no class of characters", (int) (end - name), name) != NULL;
    p->at = end + 2;
    if (negated)
        rune_class_negate(found);
    rune_class_add_class(set, found);
    return true;
}

static bool take_class_item(Parser *p, RuneClass *set)
{
    uint32_t low, high;
    bool taken;

    if (!take_posix(p, set, &taken) || (!taken && *p->at == '\\' && !take_class_escape(p, set, &taken)))
        return false;
    if (taken)
        return true;
    if (!take_class_rune(p, &low))
        return false;
    high = low;
    if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
        p->at++;
        if (!take_class_rune(p, &high))
            return false;
    }
    if (high < low)
        return wrong(p, "a range ends before it begins") != NULL;
    rune_class_add(set, low, high);
    return true;
}

static RegexNode *parse_class(Parser *p)
{
    g_autoptr(RegexNode) node = node_new(NODE_CLASS);
    bool first = true;

    p->at++;
    bool negated = take(p, "^");
    for (; first || !take(p, "]"); first = false) {
        if (p->at >= p->end)
            return wrong(p, "[ is not closed");
        if (!take_class_item(p, node->set))
            return NULL;
    }
    if (!count_class(p, node->set))
        return NULL;
    if (p->fold)
        rune_class_fold(node->set);
    if (negated)
        rune_class_negate(node->set);
    return g_steal_pointer(&node);
}

/* --- groups --- */

/* "i-s:" or "i)": false: an error is set. *ret_group: a group follows. */
static bool take_flags(Parser *p, bool *ret_group)
{
    bool on = true, any = false;

    for (; p->at < p->end; p->at++) {
        switch (*p->at) {
        case 'i': p->fold = on; break;
        case 'm': p->lines = on; break;
        case 's': p->dot_all = on; break;
        case 'U': break;
        case '-':
            if (!on)
                return wrong(p, "one - is enough") != NULL;
            on = false;
            any = false;
            continue;
        case ':':
        case ')':
            if (!any && !on)
                return wrong(p, "a flag is wanted after -") != NULL;
            *ret_group = *p->at++ == ':';
            return true;
        default:
            return wrong(p, "(?%c is not known here: i, m, s, U, a name or : is wanted", *p->at) != NULL;
        }
        any = true;
    }
    return wrong(p, "( is not closed") != NULL;
}

static bool take_name(Parser *p)
{
    const char *begin = p->at;

    while (p->at < p->end && (g_ascii_isalnum(*p->at) || *p->at == '_'))
        p->at++;
    g_autofree char *name = g_strndup(begin, (gsize) (p->at - begin));
    if (p->at == begin || !take(p, ">"))
        return wrong(p, "a group's name is of letters, digits and _, and ends with >") != NULL;
    return g_hash_table_add(p->names, g_steal_pointer(&name)) || wrong(p, "a second group of this name") != NULL;
}

static RegexNode *parse_group_body(Parser *p)
{
    g_autoptr(RegexNode) node = parse_alternation(p);

    if (node != NULL && !take(p, ")"))
        return wrong(p, "( is not closed");
    return g_steal_pointer(&node);
}

static RegexNode *parse_group(Parser *p)
{
    static const char *const refused[] = { "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?#", "(?|" };
    bool fold = p->fold, lines = p->lines, dot_all = p->dot_all, group = true;

    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++)
        if (next_is(p, refused[i]))
            return wrong(p, "%s is not supported: what looks around, never goes back or comments is not in RE2", refused[i]);
    p->at++;
    if (take(p, "?P<") || take(p, "?<")) {
        if (!take_name(p))
            return NULL;
    } else if (take(p, "?") && !take_flags(p, &group)) {
        return NULL;
    }
    if (!group)
        return node_new(NODE_EMPTY); /* flags for the rest of the group around it */
    RegexNode *node = parse_group_body(p);
    p->fold = fold;
    p->lines = lines;
    p->dot_all = dot_all;
    return node;
}

/* --- the rest --- */

static RegexNode *parse_dot(Parser *p)
{
    RegexNode *node = node_new(NODE_CLASS);

    p->at++;
    if (!p->dot_all)
        rune_class_add(node->set, '\n', '\n');
    rune_class_negate(node->set);
    return node;
}

static RegexNode *parse_atom(Parser *p)
{
    switch (*p->at) {
    case '(': return parse_group(p);
    case '[': return parse_class(p);
    case '.': return parse_dot(p);
    case '\\': return parse_escape(p);
    case '^': p->at++; return assert_node(p->lines ? ASSERT_LINE_BEGIN : ASSERT_TEXT_BEGIN);
    case '$': p->at++; return assert_node(p->lines ? ASSERT_LINE_END : ASSERT_TEXT_END);
    case '*':
    case '+':
    case '?': return wrong(p, "%c repeats nothing", *p->at);
    default: return rune_node(p, take_rune(p));
    }
}

static bool take_number(const char **at, const char *end, unsigned *ret)
{
    const char *begin = *at;

    for (*ret = 0; *at < end && g_ascii_isdigit(**at); ++*at)
        *ret = MIN(*ret * 10 + (unsigned) (**at - '0'), REPEAT_MAX + 1);
    return *at > begin;
}

/* "{2}" "{2,}" "{2,5}"; anything else in braces is text. */
static bool take_braces(Parser *p, unsigned *ret_min, unsigned *ret_max)
{
    const char *at = p->at + 1;

    if (!next_is(p, "{") || !take_number(&at, p->end, ret_min))
        return false;
    *ret_max = *ret_min;
    if (at < p->end && *at == ',') {
        at++;
        if (!take_number(&at, p->end, ret_max))
            *ret_max = UINT_MAX;
    }
    if (at >= p->end || *at != '}')
        return false;
    p->at = at + 1;
    return true;
}

static bool take_repeat(Parser *p, unsigned *ret_min, unsigned *ret_max)
{
    *ret_min = next_is(p, "+");
    *ret_max = next_is(p, "?") ? 1 : UINT_MAX;
    return take(p, "*") || take(p, "+") || take(p, "?") || take_braces(p, ret_min, ret_max);
}

/* @node is taken. */
static RegexNode *parse_repeat(Parser *p, RegexNode *atom)
{
    g_autoptr(RegexNode) node = atom;
    unsigned min, max;

    if (node == NULL || !take_repeat(p, &min, &max))
        return g_steal_pointer(&node);
    if (node->kind == NODE_EMPTY)
        return wrong(p, "flags cannot be repeated");
    if (min > REPEAT_MAX || (max != UINT_MAX && max > REPEAT_MAX))
        return wrong(p, "at most %u repetitions", REPEAT_MAX);
    if (max < min)
        return wrong(p, "{%u,%u}: the first is more than the second", min, max);
    take(p, "?"); /* rather few: whether it matches is the same */
    if (take_repeat(p, &(unsigned){ 0 }, &(unsigned){ 0 }))
        return wrong(p, "a repetition repeats a repetition: put it into ( )");
    unsigned times = MAX(max == UINT_MAX ? min : max, 1);
    if (node->times * times > REPEAT_MAX)
        return wrong(p, "repetitions in repetitions come to %u, more than %u", node->times * times, REPEAT_MAX);
    RegexNode *repeat = node_new(NODE_REPEAT);
    repeat->min = min;
    repeat->max = max;
    add_child(repeat, g_steal_pointer(&node));
    repeat->times *= times;
    return repeat;
}

/* A character between \Q and \E; the last may be repeated after \E. */
static RegexNode *parse_quoted(Parser *p)
{
    RegexNode *node = rune_node(p, take_rune(p));

    p->quoted = !take(p, "\\E");
    return p->quoted ? node : parse_repeat(p, node);
}

static RegexNode *parse_concatenation(Parser *p)
{
    g_autoptr(RegexNode) all = node_new(NODE_CONCAT);

    while (p->at < p->end && (p->quoted || (*p->at != '|' && *p->at != ')'))) {
        if (take(p, p->quoted ? "\\E" : "\\Q")) {
            p->quoted = !p->quoted;
            continue;
        }
        RegexNode *node = p->quoted ? parse_quoted(p) : parse_repeat(p, parse_atom(p));

        if (node == NULL)
            return NULL;
        add_child(all, node);
    }
    return g_steal_pointer(&all);
}

static RegexNode *parse_alternation(Parser *p)
{
    g_autoptr(RegexNode) all = node_new(NODE_ALTERNATE);

    if (++p->depth > DEPTH_MAX)
        return wrong(p, "groups are nested deeper than %u", DEPTH_MAX);
    do {
        RegexNode *node = parse_concatenation(p);

        if (node == NULL)
            return NULL;
        add_child(all, node);
    } while (take(p, "|"));
    p->depth--;
    return g_steal_pointer(&all);
}

RegexNode *regex_parse(const char *pattern, size_t length, uint64_t *ret_work, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Parser p = { .begin = pattern, .at = pattern, .end = pattern + length, .names = names, .error = error };

    *ret_work = 200;
    if (length > PATTERN_MAX_BYTES)
        return wrong(&p, "longer than %u bytes", PATTERN_MAX_BYTES);
    if (memchr(pattern, '\0', length) != NULL || !g_utf8_validate(pattern, (gssize) length, NULL))
        return wrong(&p, "not UTF-8");
    g_autoptr(RegexNode) node = parse_alternation(&p);
    *ret_work += p.work + 64 * (uint64_t) length;
    if (node != NULL && p.at < p.end)
        return wrong(&p, ") closes nothing");
    return g_steal_pointer(&node);
}
