#include "lib/base/settings.h"

#include "lib/base/clock.h"
#include "lib/base/settings_rows.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

G_DEFINE_QUARK(mend-settings-error-quark, settings_error)

#define FIELD(target, row, type) (*(type *) (void *) ((char *) (target) + (row)->offset))

const Setting *settings_row(const Setting *rows, size_t n_rows, const char *name, const char *where, GError **error)
{
    g_autofree const char **names = g_new0(const char *, n_rows + 1);

    for (size_t i = 0; i < n_rows; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
        names[i] = rows[i].name;
    }
    const char *near = nearest_word(name, names);
    g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%sunknown setting \"%s\"%s%s%s", where, name,
                near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return NULL;
}

static bool bytes_parse(const char *text, int64_t *ret)
{
    static const struct {
        const char *suffix;
        int shift;
    } units[] = { { "", 0 }, { "B", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
    char *end;

    errno = 0;
    int64_t amount = g_ascii_strtoll(text, &end, 10);
    if (end == text || errno != 0 || amount < 0)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (strcmp(end, units[i].suffix) == 0 && amount <= (INT64_MAX >> units[i].shift)) {
            *ret = amount << units[i].shift;
            return true;
        }
    return false;
}

static bool integer_parse(const char *text, int64_t *ret)
{
    char *end;

    errno = 0;
    int64_t value = g_ascii_strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0)
        return false;
    *ret = value;
    return true;
}

static bool bool_parse(const char *text, bool *ret)
{
    static const char *const yes[] = { "true", "yes", "on", "1", NULL }, *const no[] = { "false", "no", "off", "0", NULL };

    if (!g_strv_contains(yes, text) && !g_strv_contains(no, text))
        return false;
    *ret = g_strv_contains(yes, text);
    return true;
}

static char *number_text(const Setting *row, int64_t value)
{
    return row->type == SETTING_DURATION ? duration_format(value) : g_strdup_printf("%" G_GINT64_FORMAT, value);
}

static bool number_put(const Setting *row, void *target, const char *text, const char *where, GError **error)
{
    static const char *const forms[] = { [SETTING_INTEGER] = "a whole number", [SETTING_DURATION] = "a duration such as 10s or 250ms",
                                         [SETTING_BYTES] = "a size such as 65536 or 16MiB" };
    int64_t value;
    bool ok = row->type == SETTING_DURATION ? duration_parse(text, &value)
              : row->type == SETTING_BYTES  ? bytes_parse(text, &value)
                                            : integer_parse(text, &value);

    if (!ok) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%s%s: \"%s\" is not %s", where, row->name, text, forms[row->type]);
        return false;
    }
    if (row->max > row->min && (value < row->min || value > row->max)) {
        g_autofree char *low = number_text(row, row->min), *high = number_text(row, row->max);

        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%s%s: %s is out of range, it may be %s to %s", where, row->name,
                    text, low, high);
        return false;
    }
    FIELD(target, row, int64_t) = value;
    return true;
}

static void list_append(const Setting *row, void *target, const char *text)
{
    char **list = FIELD(target, row, char **);
    size_t n = list == NULL ? 0 : g_strv_length(list);

    list = g_renew(char *, list, n + 2);
    list[n] = g_strdup(text);
    list[n + 1] = NULL;
    FIELD(target, row, char **) = list;
}

void settings_list_clear(const Setting *row, void *target)
{
    g_clear_pointer(&FIELD(target, row, char **), g_strfreev);
}

bool settings_put(const Setting *row, void *target, const char *text, const char *where, GError **error)
{
    switch (row->type) {
    case SETTING_STRING:
        g_free(FIELD(target, row, char *));
        FIELD(target, row, char *) = g_strdup(text);
        return true;
    case SETTING_LIST:
        list_append(row, target, text);
        return true;
    case SETTING_BOOL:
        if (bool_parse(text, &FIELD(target, row, bool)))
            return true;
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%s%s: \"%s\" is neither true nor false", where, row->name, text);
        return false;
    case SETTING_INTEGER:
    case SETTING_DURATION:
    case SETTING_BYTES:
        return number_put(row, target, text, where, error);
    }
    g_assert_not_reached();
}

void settings_defaults(const Setting *rows, size_t n_rows, void *target)
{
    for (size_t i = 0; i < n_rows; i++) {
        g_autoptr(GError) error = NULL;

        if (rows[i].fallback != NULL && !settings_put(&rows[i], target, rows[i].fallback, "", &error))
            g_error("default of a setting: %s", error->message); /* our table is wrong */
    }
}

void settings_done(const Setting *rows, size_t n_rows, void *target)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (rows[i].type == SETTING_STRING)
            g_clear_pointer(&FIELD(target, &rows[i], char *), g_free);
        if (rows[i].type == SETTING_LIST)
            settings_list_clear(&rows[i], target);
    }
}

typedef struct Options { /* one pass over argv */
    const Setting *rows;
    size_t n_rows;
    void *target;
    char **next;
    uint64_t seen_lists; /* bit i: the option of row i replaced what the file had */
} Options;

/* "--name=value", "--name value", "--flag", "--no-flag". */
static bool option_take(Options *o, const char *option, GError **error)
{
    const char *equals = strchr(option, '=');
    g_autofree char *name = equals == NULL ? g_strdup(option) : g_strndup(option, (gsize) (equals - option));
    bool negated = false;

    if (g_str_has_prefix(name, "no-") && equals == NULL)
        for (size_t i = 0; i < o->n_rows; i++)
            negated |= o->rows[i].type == SETTING_BOOL && strcmp(o->rows[i].name, name + 3) == 0;
    const Setting *row = settings_row(o->rows, o->n_rows, negated ? name + 3 : name, "", error);
    if (row == NULL)
        return false;
    const char *text = equals == NULL ? NULL : equals + 1;
    if (row->type == SETTING_BOOL && text == NULL)
        text = negated ? "false" : "true";
    if (text == NULL) {
        text = *o->next;
        if (text == NULL) {
            g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--%s needs a value", name);
            return false;
        }
        o->next++;
    }
    uint64_t bit = UINT64_C(1) << ((size_t) (row - o->rows) % 64);
    if (row->type == SETTING_LIST && !(o->seen_lists & bit)) {
        settings_list_clear(row, o->target);
        o->seen_lists |= bit;
    }
    return settings_put(row, o->target, text, "", error);
}

static bool options_read(Options *o, GPtrArray *rest, GError **error)
{
    while (*o->next != NULL) {
        const char *word = *o->next++;

        if (strcmp(word, "--") == 0) {
            while (*o->next != NULL)
                g_ptr_array_add(rest, g_strdup(*o->next++));
        } else if (strcmp(word, "--settings") == 0) {
            o->next += *o->next != NULL; /* read before */
        } else if (g_str_has_prefix(word, "--settings=")) {
            continue;
        } else if (!g_str_has_prefix(word, "--")) {
            g_ptr_array_add(rest, g_strdup(word));
        } else if (!option_take(o, word + 2, error)) {
            return false;
        }
    }
    return true;
}

static const char *settings_path(char **argv, GError **error)
{
    for (char **word = argv; *word != NULL && strcmp(*word, "--") != 0; word++) {
        if (g_str_has_prefix(*word, "--settings="))
            return *word + strlen("--settings=");
        if (strcmp(*word, "--settings") != 0)
            continue;
        if (word[1] == NULL)
            g_set_error_literal(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--settings needs a file");
        return word[1];
    }
    return NULL;
}

/* Everything goes into @target only if all is right: a scratch copy is filled and moved over at the end. */
bool settings_read(const Setting *rows, size_t n_rows, void *target, char **argv, char ***ret_rest, GError **error)
{
    size_t size = sizeof(int64_t);
    for (size_t i = 0; i < n_rows; i++)
        size = MAX(size, rows[i].offset + sizeof(int64_t));
    g_autofree void *scratch = g_malloc0(size);
    g_autoptr(GPtrArray) rest = g_ptr_array_new_with_free_func(g_free);
    GError *local = NULL;

    settings_defaults(rows, n_rows, scratch);
    char **words = *argv == NULL ? argv : argv + 1;
    const char *path = settings_path(words, &local);
    Options options = { rows, n_rows, scratch, words, 0 };
    if (local != NULL || (path != NULL && !settings_read_file(rows, n_rows, scratch, path, &local)) ||
        !options_read(&options, rest, &local)) {
        settings_done(rows, n_rows, scratch);
        g_propagate_error(error, local);
        return false;
    }
    settings_done(rows, n_rows, target);
    for (size_t i = 0; i < n_rows; i++) {
        size_t width = rows[i].type == SETTING_BOOL ? sizeof(bool) : sizeof(int64_t);

        memcpy((char *) target + rows[i].offset, (char *) scratch + rows[i].offset, width);
    }
    g_ptr_array_add(rest, NULL);
    *ret_rest = (char **) g_ptr_array_steal(rest, NULL);
    return true;
}

void settings_help(const Setting *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        const char *meaning = rows[i].meaning;
        size_t word = strcspn(meaning, " ");
        bool variable = word > 1 && rows[i].type != SETTING_BOOL && strcspn(meaning, "abcdefghijklmnopqrstuvwxyz") > word;
        g_autofree char *value = variable ? g_strndup(meaning, word) : g_strdup(rows[i].type == SETTING_BOOL ? "" : "VALUE");
        g_autofree char *option = g_strdup_printf("--%s %s", rows[i].name, value);

        printf("  %-34s %s%s%s%s\n", option, variable ? meaning + word + 1 : meaning, rows[i].fallback == NULL ? "" : " [",
               rows[i].fallback == NULL ? "" : rows[i].fallback, rows[i].fallback == NULL ? "" : "]");
    }
    printf("  %-34s %s\n", "--settings FILE", "read these from a file first (YAML: name: value)");
}

static void dump_value(GString *text, const Setting *row, const void *target)
{
    if (row->type == SETTING_LIST) {
        for (char **item = FIELD(target, row, char **); item != NULL && *item != NULL; item++)
            g_string_append_printf(text, "\n  - \"%s\"", *item);
    } else if (row->type == SETTING_STRING) {
        const char *value = FIELD(target, row, char *);

        g_string_append_printf(text, value == NULL ? " null" : " \"%s\"", value);
    } else if (row->type == SETTING_BOOL) {
        g_string_append(text, FIELD(target, row, bool) ? " true" : " false");
    } else {
        g_autofree char *value = number_text(row, FIELD(target, row, int64_t));

        g_string_append_printf(text, " %s", value);
    }
}

char *settings_dump(const Setting *rows, size_t n_rows, const void *target)
{
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < n_rows; i++) {
        g_string_append_printf(text, "# %s\n%s:", rows[i].meaning, rows[i].name);
        dump_value(text, &rows[i], target);
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}
