/* Values of a policy file by the type of their row. A wrong unit is the most common mistake and the most expensive one, so a number without a unit is never
 * guessed at: the complaint says what was probably meant. */
#include "consumers/policy/language/loader.h"

#include "lib/base/clock.h"
#include "lib/base/settings.h"

#include <math.h>
#include <string.h>

static bool scalar(Loader *l, const YamlNode *node, const char *key, const char *wanted)
{
    if (node->kind == YAML_SCALAR)
        return true;
    return complain(l, node, "%s: %s is wanted, not a %s", key, wanted, node->kind == YAML_MAP ? "map" : "list");
}

const char *read_text(Loader *l, const YamlNode *node, const char *key)
{
    if (!scalar(l, node, key, "a text"))
        return NULL;
    if (node->text[0] != '\0')
        return node->text;
    complain(l, node, "%s: a text is wanted", key);
    return NULL;
}

static bool only_digits(const char *text)
{
    return *text != '\0' && strspn(text, "0123456789.") == strlen(text);
}

/* "10 min" is meant as "10m". NULL: no idea. Caller frees. */
static char *with_unit(const char *text, const char *const *pairs)
{
    g_autofree char *number = g_strndup(text, strspn(text, "0123456789."));
    g_autofree char *unit = g_strstrip(g_ascii_strdown(text + strlen(number), -1));

    if (*number == '\0')
        return NULL;
    for (; *pairs != NULL; pairs += 2)
        if (strcmp(unit, pairs[0]) == 0)
            return g_strconcat(number, pairs[1], NULL);
    return NULL;
}

static void wrong_unit(Loader *l, const YamlNode *node, const char *key, const char *what, const char *const *pairs, const char *wanted)
{
    g_autofree char *meant = with_unit(node->text, pairs);

    if (meant != NULL)
        complain(l, node, "%s: \"%s\" is no %s, did you mean \"%s\"?", key, node->text, what, meant);
    else if (only_digits(node->text))
        complain(l, node, "%s: %s of what? Every %s has its unit: %s", key, node->text, what, wanted);
    else
        complain(l, node, "%s: \"%s\" is no %s: %s is wanted", key, node->text, what, wanted);
}

static void read_duration(Loader *l, const YamlNode *node, const Field *field, void *to)
{
    static const char *const pairs[] = { "sec", "s", "secs", "s", "second", "s", "seconds", "s", "min", "m", "mins", "m", "minute", "m",
                                         "minutes", "m", "hr", "h", "hour", "h", "hours", "h", "day", "d", "days", "d", "msec", "ms",
                                         "s", "s", "m", "m", "h", "h", "d", "d", "ms", "ms", NULL };
    int64_t us;

    if (!scalar(l, node, field->name, "a duration"))
        return;
    if (!duration_parse(node->text, &us)) {
        wrong_unit(l, node, field->name, "duration", pairs, "10s, 250ms, 1m30s");
        return;
    }
    if ((double) us < field->min || (double) us > field->max) {
        g_autofree char *min = duration_format((int64_t) field->min), *max = duration_format((int64_t) field->max);

        complain(l, node, "%s: %s is not between %s and %s", field->name, node->text, min, max);
        return;
    }
    *(int64_t *) to = us;
}

static bool bytes_parse(const char *text, double *ret)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = { { "KiB", 1024.0 }, { "MiB", 1048576.0 }, { "GiB", 1073741824.0 }, { "TiB", 1099511627776.0 } };
    char *end;
    double amount = g_ascii_strtod(text, &end);

    if (!g_ascii_isdigit(*text))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (strcmp(end, units[i].suffix) == 0) {
            *ret = floor(amount * units[i].factor);
            return true;
        }
    return false;
}

static const char *const byte_pairs[] = { "k", "KiB", "kb", "KiB", "kib", "KiB", "m", "MiB", "mb", "MiB", "mib", "MiB", "g", "GiB", "gb",
                                          "GiB", "gib", "GiB", "t", "TiB", "tb", "TiB", "tib", "TiB", NULL };

static void read_bytes(Loader *l, const YamlNode *node, const Field *field, void *to)
{
    double bytes;

    if (!scalar(l, node, field->name, "an amount of memory"))
        return;
    if (!bytes_parse(node->text, &bytes))
        wrong_unit(l, node, field->name, "amount", byte_pairs, "4GiB, 512MiB");
    else if (bytes < field->min || bytes > field->max)
        complain(l, node, "%s: %s is less than 1MiB or more than 900TiB", field->name, node->text);
    else
        *(uint64_t *) to = (uint64_t) bytes;
}

/* A number as JSON has it; quoted ones are texts. */
static bool number_of(const YamlNode *node, bool whole, double *ret)
{
    g_autoptr(json_t) json = node->kind == YAML_SCALAR ? yaml_to_json(node) : NULL;

    if (!(whole ? json_is_integer(json) : json_is_number(json)))
        return false;
    *ret = json_number_value(json);
    return true;
}

static bool read_number_value(Loader *l, const YamlNode *node, const Field *field, bool whole, double *ret)
{
    const char *what = whole ? "whole number" : "number";

    if (!scalar(l, node, field->name, whole ? "a whole number" : "a number"))
        return false;
    if (!number_of(node, whole, ret))
        return complain(l, node, "%s: \"%s\" is no %s: one between %g and %g is wanted%s", field->name, node->text, what, field->min, field->max,
                        node->quoted && only_digits(node->text) ? ", without quotes" : "");
    if (*ret < field->min || *ret > field->max)
        return complain(l, node, "%s: %s is not between %g and %g", field->name, node->text, field->min, field->max);
    return true;
}

static void read_quantity(Loader *l, const YamlNode *node, const Field *field, double *to)
{
    double value;

    if (!scalar(l, node, field->name, "a number"))
        return;
    if (number_of(node, false, &value) || bytes_parse(node->text, &value))
        *to = value;
    else
        wrong_unit(l, node, field->name, "number or amount", byte_pairs, "100, 0.5, 512MiB");
}

static bool percent_value(Loader *l, const YamlNode *node, const Field *field, bool whole, double *ret)
{
    char *end;

    if (!scalar(l, node, field->name, "a percentage"))
        return false;
    double value = g_ascii_strtod(node->text, &end);
    if (end == node->text || strcmp(end, "%") != 0)
        return only_digits(node->text) ? complain(l, node, "%s: %s of what? Did you mean \"%s%%\"?", field->name, node->text, node->text)
                                       : complain(l, node, "%s: \"%s\" is no percentage: 30%% is wanted", field->name, node->text);
    if (value < field->min || value > field->max || (whole && value != floor(value)))
        return complain(l, node, "%s: %s is not %s between %g%% and %g%%", field->name, node->text, whole ? "a whole percentage" : "one",
                        field->min, field->max);
    *ret = value;
    return true;
}

static void read_bool(Loader *l, const YamlNode *node, const Field *field, bool *to)
{
    g_autoptr(json_t) json = node->kind == YAML_SCALAR ? yaml_to_json(node) : NULL;
    bool yes = node_is_word(node, "yes") || node_is_word(node, "on"), no = node_is_word(node, "no") || node_is_word(node, "off");

    if (json_is_boolean(json))
        *to = json_is_true(json);
    else if (yes || no)
        complain(l, node, "%s: \"%s\" is a text in YAML 1.2, did you mean \"%s\"?", field->name, node->text, yes ? "true" : "false");
    else
        complain(l, node, "%s: true or false is wanted", field->name);
}

static void read_time(Loader *l, const YamlNode *node, const Field *field, int64_t *to)
{
    if (!scalar(l, node, field->name, "a time"))
        return;
    if (!time_parse(node->text, to))
        complain(l, node, "%s: \"%s\" is no time: 2026-11-24T20:00:00Z or 2026-11-24T21:00:00+01:00 is wanted", field->name, node->text);
}

/* Index in @field's words; -1: complained. */
static int read_word(Loader *l, const YamlNode *node, const Field *field)
{
    if (!scalar(l, node, field->name, "a word"))
        return -1;
    for (int i = 0; field->words[i] != NULL; i++)
        if (strcmp(node->text, field->words[i]) == 0)
            return i;
    complain_word(l, node, field->words == event_kind_words ? "event" : field->name, node->text, field->words);
    return -1;
}

void read_texts(Loader *l, const YamlNode *node, const char *key, GPtrArray *ret)
{
    if (node->kind == YAML_SCALAR)
        complain(l, node, "%s: a list is wanted, did you mean [%s]?", key, node->text);
    else if (node->kind == YAML_MAP)
        complain(l, node, "%s: a list is wanted, not a map", key);
    if (node->kind != YAML_LIST)
        return;
    g_ptr_array_set_size(ret, 0);
    for (size_t i = 0; i < yaml_size(node); i++) {
        const char *text = read_text(l, yaml_at(node, i), key);

        if (text != NULL && g_ptr_array_find_with_equal_func(ret, text, g_str_equal, NULL))
            complain(l, yaml_at(node, i), "%s: \"%s\" is here twice", key, text);
        else if (text != NULL)
            g_ptr_array_add(ret, g_strdup(text));
    }
}

static void replace_text(char **to, const char *text)
{
    if (text == NULL)
        return;
    g_free(*to);
    *to = g_strdup(text);
}

void read_field(Loader *l, const YamlNode *node, const Field *field, void *target)
{
    void *to = target;
    double value = 0;
    int word;

    if (field->type != FIELD_HAND) /* a section of these alone has no struct */
        to = (char *) target + field->offset;
    switch (field->type) {
    case FIELD_HAND: break;
    case FIELD_TEXT: replace_text(to, read_text(l, node, field->name)); break;
    case FIELD_TEXTS: read_texts(l, node, field->name, *(GPtrArray **) to); break;
    case FIELD_BOOL: read_bool(l, node, field, to); break;
    case FIELD_DURATION: read_duration(l, node, field, to); break;
    case FIELD_BYTES: read_bytes(l, node, field, to); break;
    case FIELD_TIME: read_time(l, node, field, to); break;
    case FIELD_QUANTITY: read_quantity(l, node, field, to); break;
    case FIELD_MAP: read_fields(l, node, field->section, target); break;
    case FIELD_WORD:
    case FIELD_ENUM:
    case FIELD_CHOICE:
        if ((word = read_word(l, node, field)) < 0)
            break;
        if (field->type == FIELD_WORD)
            replace_text(to, field->words[word]);
        else if (field->type == FIELD_ENUM)
            *(int *) to = word;
        else
            *(bool *) to = word == 1;
        break;
    case FIELD_COUNT:
        if (read_number_value(l, node, field, true, &value))
            *(unsigned *) to = (unsigned) value;
        break;
    case FIELD_WHOLE:
        if (read_number_value(l, node, field, true, &value))
            *(int *) to = (int) value;
        break;
    case FIELD_NUMBER:
        if (read_number_value(l, node, field, false, &value))
            *(double *) to = value;
        break;
    case FIELD_PERCENT:
        if (percent_value(l, node, field, true, &value))
            *(unsigned *) to = (unsigned) value;
        break;
    case FIELD_SHARE:
        if (percent_value(l, node, field, false, &value))
            *(double *) to = value;
        break;
    }
}

/* The known key that was probably meant, or NULL. */
static const char *unknown_key(Loader *l, const YamlNode *key, const Section *section)
{
    g_autofree const char **names = g_new0(const char *, section->n_fields + 1);
    g_autofree char *what = g_strdup_printf("key in %s", section->what);

    for (size_t i = 0; i < section->n_fields; i++)
        names[i] = section->fields[i].name;
    complain_word(l, key, what, key->text, names);
    return nearest_word(key->text, names);
}

static void complain_missing(Loader *l, const YamlNode *map, const Section *section, GPtrArray *meant)
{
    for (size_t i = 0; i < section->n_fields; i++) {
        const char *name = section->fields[i].name;

        if (section->fields[i].needed && yaml_get(map, name) == NULL && !g_ptr_array_find_with_equal_func(meant, name, g_str_equal, NULL))
            complain(l, map, "%s has no \"%s\"", section->what, name);
    }
}

static bool read_map(Loader *l, const YamlNode *map, const Section *section, void *target, bool whole)
{
    g_autoptr(GPtrArray) meant = g_ptr_array_new();
    const char *near;

    if (map->kind != YAML_MAP)
        return complain(l, map, "%s is a map: {%s: …} is wanted", section->what, section->fields[0].name);
    for (size_t i = 0; i < yaml_size(map); i++) {
        const Field *field = section_field(section, yaml_key(map, i));

        if (field != NULL)
            read_field(l, yaml_at(map, i), field, target);
        else if ((near = unknown_key(l, map->keys->pdata[i], section)) != NULL)
            g_ptr_array_add(meant, (char *) near);
    }
    if (whole)
        complain_missing(l, map, section, meant);
    return true;
}

bool read_fields(Loader *l, const YamlNode *map, const Section *section, void *target)
{
    return read_map(l, map, section, target, true);
}

bool read_some_fields(Loader *l, const YamlNode *map, const Section *section, void *target)
{
    return read_map(l, map, section, target, false);
}

bool read_is_list(Loader *l, const YamlNode *node, const char *what)
{
    return node->kind == YAML_LIST || complain(l, node, "%s is a list: - … or [ … ] is wanted", what);
}

void read_each(Loader *l, const YamlNode *node, const char *what, void (*read)(Loader *, const YamlNode *))
{
    if (node == NULL || !read_is_list(l, node, what))
        return;
    for (size_t i = 0; i < yaml_size(node); i++)
        read(l, yaml_at(node, i));
}

bool node_is_word(const YamlNode *node, const char *word)
{
    return node != NULL && node->kind == YAML_SCALAR && !node->quoted && strcmp(node->text, word) == 0;
}

bool read_expression(Loader *l, const YamlNode *node, const char *key, ExpressionWant want, ExpressionScope scope, Expression **ret)
{
    g_autoptr(GError) local = NULL;
    size_t offset = 0;

    if (node->kind != YAML_SCALAR)
        return complain(l, node, want == EXPRESSION_BOOL ? "%s: a condition is wanted, as in event.intent == \"none\"" : "%s: an expression is wanted", key);
    *ret = expression_parse(node->text, want, expression_env(scope), &offset, &local);
    return *ret != NULL || complain_inside(l, node, offset, "%s: %s", key, local->message);
}
