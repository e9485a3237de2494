/* What can be said of conditions without an event: asked with little known, and compared part by part. */
#include "consumers/policy/language/check.h"

#include "lib/model/event.h"

#include <string.h>

#define X(id, text) text,
const char *const event_kinds_known[] = { EVENT_KINDS(X) NULL };
#undef X

/* What is not known is an error for has() too: so what is false then is false whatever the event says. */
static bool look_up_known(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    const Known *known = user;
    const char *text = NULL;

    if (name->tag == NAME_EVENT_KIND)
        text = known->kind;
    else if (name->tag == NAME_EVENT_STATE && known->kind != NULL)
        text = strchr(known->kind, '.') + 1;
    else if (strcmp(name->label, "event.reason") == 0)
        text = known->reason;
    else if (strcmp(name->label, "event.intent") == 0)
        text = known->intent;
    *ret_value = text == NULL ? cel_error_at("not known", 0) : cel_string(text);
    return true;
}

bool may_hold(const Expression *where, const Known *known)
{
    return where == NULL || expression_holds(where, look_up_known, (void *) known, NULL, NULL) != EXPRESSION_FALSE;
}

bool pattern_listens(const char *on, const char *kind)
{
    size_t length = strlen(on);

    return strcmp(on, kind) == 0 || (length > 1 && on[length - 1] == '*' && strncmp(on, kind, length - 1) == 0);
}

/* --- parts --- */

/* Blanks outside of quotes go. */
static void append_part(GPtrArray *parts, const char *from, size_t length)
{
    GString *part = g_string_new(NULL);
    char quote = 0;

    for (size_t i = 0; i < length; i++) {
        if (quote != 0 ? from[i] == quote : (from[i] == '"' || from[i] == '\''))
            quote = quote != 0 ? 0 : from[i];
        if (quote != 0 || !g_ascii_isspace(from[i]))
            g_string_append_c(part, from[i] == '\'' && quote != '"' ? '"' : from[i]);
    }
    g_ptr_array_add(parts, g_string_free(part, false));
}

/* What && joins at the top; one part when || stands there. "" is no part. */
GPtrArray *where_parts(const Expression *where)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(g_free);
    const char *text = where == NULL ? "" : expression_text(where);
    size_t begin = 0, length = strlen(text);
    int depth = 0;
    char quote = 0;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (quote != 0 || c == '"' || c == '\'')
            quote = quote == 0 ? c : c == quote && text[i - 1] != '\\' ? 0 : quote;
        else if (strchr("([{", c) != NULL || strchr(")]}", c) != NULL)
            depth += strchr("([{", c) != NULL ? 1 : -1;
        else if (depth == 0 && (strncmp(text + i, "||", 2) == 0 || c == '?')) {
            g_ptr_array_set_size(parts, 0);
            begin = 0;
            break;
        } else if (depth == 0 && strncmp(text + i, "&&", 2) == 0) {
            append_part(parts, text + begin, i - begin);
            begin = i + 2;
        }
    }
    if (length > 0)
        append_part(parts, text + begin, length - begin);
    return parts;
}

static bool holds_all(const GPtrArray *parts, const GPtrArray *others)
{
    for (guint i = 0; i < others->len; i++)
        if (!g_ptr_array_find_with_equal_func((GPtrArray *) parts, others->pdata[i], g_str_equal, NULL))
            return false;
    return true;
}

/* NAME=="TEXT": length of NAME; 0: another form. */
static size_t equality(const char *part, const char *operator)
{
    const char *at = strstr(part, operator);
    size_t name = at == NULL ? 0 : (size_t) (at - part);

    if (name == 0 || strspn(part, "abcdefghijklmnopqrstuvwxyz._") != name || at[2] != '"' || strchr(at + 3, '"') != part + strlen(part) - 1)
        return 0;
    return name;
}

static bool parts_exclude(const char *a, const char *b)
{
    size_t equal = equality(a, "=="), other = equality(b, "=="), unequal = equality(b, "!=");

    if (equal == 0)
        return false;
    if (other == equal && strncmp(a, b, equal) == 0)
        return strcmp(a, b) != 0;
    return unequal == equal && strncmp(a, b, equal) == 0 && strcmp(a + equal + 2, b + equal + 2) == 0;
}

WhereRelation parts_compare(const GPtrArray *a, const GPtrArray *b)
{
    bool a_has_b = holds_all(a, b), b_has_a = holds_all(b, a);

    if (a_has_b && b_has_a)
        return WHERE_SAME;
    for (guint i = 0; i < a->len; i++)
        for (guint k = 0; k < b->len; k++)
            if (parts_exclude(a->pdata[i], b->pdata[k]) || parts_exclude(b->pdata[k], a->pdata[i]))
                return WHERE_DISJOINT;
    return a_has_b ? WHERE_FIRST_IS_NARROWER : b_has_a ? WHERE_SECOND_IS_NARROWER : WHERE_OVERLAP;
}

WhereRelation where_compare(const Expression *first, const Expression *second)
{
    g_autoptr(GPtrArray) a = where_parts(first), b = where_parts(second);

    return parts_compare(a, b);
}
