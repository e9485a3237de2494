/* What can be said of conditions without an event: asked with little known, and compared part by part. */
#include "consumers/policy/language/check.h"

#include "lib/model/event.h"

#include <string.h>

#define X(id, text) text,
const char *const event_kinds_known[] = { EVENT_KINDS(X) NULL };
#undef X

typedef struct Asking {
    const Known *known;
    json_t *held;
} Asking;

static const json_t *lookup_known(const char *object, const char *field, void *user)
{
    Asking *asking = user;
    const Known *known = asking->known;
    const char *text = NULL;

    if (strcmp(object, "event") != 0)
        return NULL;
    if (strcmp(field, "kind") == 0)
        text = known->kind;
    else if (strcmp(field, "state") == 0 && known->kind != NULL)
        text = strchr(known->kind, '.') + 1;
    else if (strcmp(field, "reason") == 0)
        text = known->reason;
    else if (strcmp(field, "intent") == 0)
        text = known->intent;
    if (text == NULL)
        return NULL;
    json_array_append_new(asking->held, json_string(text));
    return json_array_get(asking->held, json_array_size(asking->held) - 1);
}

bool may_hold(const Condition *where, const Known *known)
{
    g_autoptr(json_t) held = json_array();
    Asking asking = { .known = known, .held = held };

    return where == NULL || condition_eval(where, lookup_known, &asking, NULL, NULL) != CONDITION_FALSE;
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
static GPtrArray *parts_of(const Condition *where)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(g_free);
    const char *text = where == NULL ? "" : condition_text(where);
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

WhereRelation where_compare(const Condition *first, const Condition *second)
{
    g_autoptr(GPtrArray) a = parts_of(first), b = parts_of(second);
    bool a_has_b = holds_all(a, b), b_has_a = holds_all(b, a);

    if (a_has_b && b_has_a)
        return WHERE_SAME;
    for (guint i = 0; i < a->len; i++)
        for (guint k = 0; k < b->len; k++)
            if (parts_exclude(a->pdata[i], b->pdata[k]) || parts_exclude(b->pdata[k], a->pdata[i]))
                return WHERE_DISJOINT;
    return a_has_b ? WHERE_FIRST_IS_NARROWER : b_has_a ? WHERE_SECOND_IS_NARROWER : WHERE_OVERLAP;
}
