#include "consumers/policy/language/loader.h"

#include "lib/base/settings.h"

#include <string.h>

#define LINE_MAX_COLUMNS 160

typedef struct Complaint {
    int line, column, width;
    char *text;
} Complaint;

static void complaint_free(void *data)
{
    g_free(((Complaint *) data)->text);
    g_free(data);
}

void loader_init(Loader *l, YamlFile *file, const char *text, Policy *policy)
{
    *l = (Loader){ .file = file, .policy = policy };
    g_autofree char *valid = g_utf8_make_valid(text, -1); /* what is refused for not being UTF-8 is shown, too */
    l->lines = g_strsplit(valid, "\n", -1);
    l->errors = g_ptr_array_new_with_free_func(complaint_free);
    l->warnings = g_ptr_array_new_with_free_func(complaint_free);
    l->origins = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    l->places = g_hash_table_new(NULL, NULL);
}

void loader_done(Loader *l)
{
    g_strfreev(l->lines);
    g_ptr_array_unref(l->errors);
    g_ptr_array_unref(l->warnings);
    g_hash_table_unref(l->origins);
    g_hash_table_unref(l->places);
}

/* How much of the line is meant: a text on one line is underlined whole. */
static int node_width(const YamlNode *node)
{
    if (node == NULL || node->kind != YAML_SCALAR || strchr(node->text, '\n') != NULL)
        return 1;
    return MAX(1, (int) g_utf8_strlen(node->text, -1) + (node->quoted ? 2 : 0));
}

/* One place, one complaint: the first is the cause of the others, or a template's mistake that each who uses it makes again. */
static void add_complaint(GPtrArray *complaints, int line, int column, int width, char *text)
{
    for (guint i = 0; i < complaints->len; i++) {
        const Complaint *c = complaints->pdata[i];

        if (c->line == line && c->column == column) {
            g_free(text);
            return;
        }
    }
    Complaint *c = g_new0(Complaint, 1);
    *c = (Complaint){ line, column, width, text };
    g_ptr_array_add(complaints, c);
}

bool complain(Loader *l, const YamlNode *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_complaint(l->errors, node == NULL ? 1 : node->line, node == NULL ? 1 : node->column, node_width(node), g_strdup_vprintf(format, args));
    va_end(args);
    return false;
}

/* On one line the place is exact; a folded text has only its beginning. */
bool complain_inside(Loader *l, const YamlNode *node, size_t offset, const char *format, ...)
{
    bool exact = strchr(node->text, '\n') == NULL && offset <= strlen(node->text);
    int column = node->column + (exact ? (int) g_utf8_strlen(node->text, (gssize) offset) + (node->quoted ? 1 : 0) : 0);
    va_list args;

    va_start(args, format);
    add_complaint(l->errors, node->line, column, 1, g_strdup_vprintf(format, args));
    va_end(args);
    return false;
}

bool complain_word(Loader *l, const YamlNode *node, const char *what, const char *word, const char *const *known)
{
    const char *near = nearest_word(word, known);

    if (near != NULL)
        return complain(l, node, "unknown %s \"%s\", did you mean \"%s\"?", what, word, near);
    if (*known == NULL)
        return complain(l, node, "unknown %s \"%s\": none is defined", what, word);
    g_autofree char *all = g_strjoinv(", ", (char **) known);
    return complain(l, node, "unknown %s \"%s\": one of %s is wanted", what, word, all);
}

void warn(Loader *l, const YamlNode *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_complaint(l->warnings, node == NULL ? 1 : node->line, node == NULL ? 1 : node->column, node_width(node), g_strdup_vprintf(format, args));
    va_end(args);
}

static int by_place(const void *a, const void *b)
{
    const Complaint *left = *(Complaint *const *) a, *right = *(Complaint *const *) b;

    return left->line != right->line ? left->line - right->line : left->column - right->column;
}

/* A line too long to read is cut around the place. */
static char *cut_line(const char *whole, int column, int *ret_shift)
{
    int length = (int) g_utf8_strlen(whole, -1), from = column > LINE_MAX_COLUMNS - 20 ? column - LINE_MAX_COLUMNS / 2 : 1;
    int to = MIN(length, from + LINE_MAX_COLUMNS - 1);

    if (from == 1 && length <= LINE_MAX_COLUMNS)
        to = length;
    g_autofree char *part = g_utf8_substring(whole, from - 1, to);
    *ret_shift = from == 1 ? 0 : from - 2;
    return g_strconcat(from == 1 ? "" : "…", part, to < length ? "…" : "", NULL);
}

static void append_complaint(const Loader *l, const Complaint *c, GString *text)
{
    int shift = 0;

    g_string_append_printf(text, "%s%s:%d:%d: %s", text->len == 0 ? "" : "\n", l->file->name, c->line, c->column, c->text);
    if (c->line > (int) g_strv_length(l->lines))
        return;
    g_autofree char *whole = g_strdelimit(g_strdup(l->lines[c->line - 1]), "\t\r", ' ');
    int length = (int) g_utf8_strlen(whole, -1);
    if (c->column > length)
        return;
    g_autofree char *line = cut_line(whole, c->column, &shift);
    int width = MIN(c->width, MIN(length - c->column + 1, LINE_MAX_COLUMNS / 2));
    g_string_append_printf(text, "\n%6d | %s\n       | %*s", c->line, line, c->column - shift, "^");
    for (int i = 1; i < width; i++)
        g_string_append_c(text, '~');
}

char *complaints_text(const Loader *l, GPtrArray *complaints)
{
    GString *text = g_string_new(NULL);

    if (complaints->len == 0)
        return g_string_free(text, true);
    g_ptr_array_sort(complaints, by_place);
    for (guint i = 0; i < MIN(complaints->len, COMPLAINTS_MAX); i++)
        append_complaint(l, complaints->pdata[i], text);
    if (complaints->len > COMPLAINTS_MAX)
        g_string_append_printf(text, "\nand %u more", complaints->len - COMPLAINTS_MAX);
    return g_string_free(text, false);
}

void loader_place(Loader *l, const void *thing, const YamlNode *node)
{
    g_hash_table_insert(l->places, (void *) thing, (void *) node);
}

const YamlNode *loader_place_of(const Loader *l, const void *thing)
{
    const YamlNode *node = g_hash_table_lookup(l->places, thing);

    return node == NULL ? l->file->root : node;
}

void loader_origin(Loader *l, const YamlNode *node, const char *where)
{
    g_hash_table_insert(l->origins, (void *) node, g_strdup(where));
    for (size_t i = 0; i < yaml_size(node); i++)
        loader_origin(l, yaml_at(node, i), where);
}
