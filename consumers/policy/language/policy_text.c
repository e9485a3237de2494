/* The policy in force as a file a person reads: short things on one line, each line with where its value came from. */
#include "consumers/policy/language/policy_show.h"

#include "lib/base/json.h"

#include <string.h>

#define FLOW_MAX 90
#define MARK_COLUMN 64

typedef struct Writer {
    GString *out;
    GHashTable *origins;
} Writer;

static bool is_plain(const char *text)
{
    static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "~", NULL };

    if (!g_ascii_isalnum(*text) && *text != '/' && *text != '_')
        return false;
    for (const char *c = text; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && strchr("_./%*- @+:", *c) == NULL)
            return false;
    size_t length = strlen(text);
    return strstr(text, ": ") == NULL && text[length - 1] != ' ' && text[length - 1] != ':' && !g_strv_contains(words, text) &&
           strspn(text, "0123456789.eE+-") != length;
}

static void append_text(GString *out, const char *text)
{
    if (is_plain(text)) {
        g_string_append(out, text);
        return;
    }
    bool printable = true;
    for (const char *c = text; *c != '\0'; c++)
        printable = printable && !g_ascii_iscntrl(*c);
    if (printable) {
        g_auto(GStrv) parts = g_strsplit(text, "'", -1);
        g_autofree char *doubled = g_strjoinv("''", parts);

        g_string_append_printf(out, strchr(text, '"') != NULL || strchr(text, '\\') != NULL ? "'%s'" : "\"%s\"",
                               strchr(text, '"') != NULL || strchr(text, '\\') != NULL ? doubled : text);
        return;
    }
    g_autoptr(json_t) json = json_string(text);
    g_autofree char *quoted = json_text(json);
    g_string_append(out, quoted);
}

/* "on" is a text in YAML 1.2 and stays bare as a key, as people write it. */
static void append_key(GString *out, const char *key)
{
    if (strcmp(key, "on") == 0)
        g_string_append(out, key);
    else
        append_text(out, key);
}

static void append_flow(GString *out, const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_string(json)) {
        append_text(out, json_string_value(json));
    } else if (json_is_object(json)) {
        g_string_append_c(out, '{');
        json_object_foreach((json_t *) json, key, value) {
            if (out->str[out->len - 1] != '{')
                g_string_append(out, ", ");
            append_key(out, key);
            g_string_append(out, ": ");
            append_flow(out, value);
        }
        g_string_append_c(out, '}');
    } else if (json_is_array(json)) {
        g_string_append_c(out, '[');
        json_array_foreach(json, i, value) {
            if (i > 0)
                g_string_append(out, ", ");
            append_flow(out, value);
        }
        g_string_append_c(out, ']');
    } else {
        g_autofree char *text = json_text(json);
        g_string_append(out, text);
    }
}

static char *path_key(const char *path, const char *key)
{
    return g_strconcat(path, *path == '\0' ? "" : ".", key, NULL);
}

static char *path_item(const char *path, size_t i)
{
    return g_strdup_printf("%s[%zu]", path, i);
}

/* "" written there; NULL: holds by default. */
static const char *origin_of(const Writer *w, const char *path)
{
    return g_hash_table_lookup(w->origins, path);
}

/* Whether everything in @json came from where @path came from. */
static bool is_of_one_origin(const Writer *w, const json_t *json, const char *path, const char *origin)
{
    const char *key;
    json_t *value;
    size_t i;

    if (w->origins == NULL)
        return true;
    if (!json_is_object(json) && !json_is_array(json))
        return g_strcmp0(origin_of(w, path), origin) == 0;
    json_object_foreach((json_t *) json, key, value) {
        g_autofree char *inner = path_key(path, key);
        if (!is_of_one_origin(w, value, inner, origin))
            return false;
    }
    json_array_foreach(json, i, value) {
        g_autofree char *inner = path_item(path, i);
        if (!is_of_one_origin(w, value, inner, origin))
            return false;
    }
    return true;
}

/* The origin all of @json has, in *ret; false: there are several. */
static bool common_origin(const Writer *w, const json_t *json, const char *path, const char **ret)
{
    const char *key;
    json_t *value;
    bool first = true;

    *ret = w->origins == NULL ? NULL : origin_of(w, path);
    if (json_is_object(json) && w->origins != NULL)
        json_object_foreach((json_t *) json, key, value) { /* a map may stand in the file with nothing of its own in it */
            g_autofree char *inner = path_key(path, key);
            if (first)
                *ret = json_is_object(value) || json_is_array(value) ? *ret : origin_of(w, inner);
            first = false;
        }
    return is_of_one_origin(w, json, path, *ret);
}

static void end_line(Writer *w, size_t line, const char *path, const char *origin, const char *mark)
{
    size_t length = (size_t) g_utf8_strlen(w->out->str + line, -1);

    if (w->origins != NULL && (mark != NULL || origin == NULL || *origin != '\0')) {
        g_string_append_printf(w->out, "%*s", (int) (length < MARK_COLUMN ? MARK_COLUMN - length : 2), "");
        if (mark != NULL)
            g_string_append_printf(w->out, "# %s", mark);
        else if (origin == NULL)
            g_string_append(w->out, "# default");
        else
            g_string_append_printf(w->out, "# from %s", origin);
    }
    g_string_append_c(w->out, '\n');
}

/* What is there without anybody's word: the last step of a ladder, the priority of a VM. */
static const char *special_mark(const Writer *w, const char *path)
{
    const char *ladder = strstr(path, "].ladder["), *vm = strstr(path, "].vms[");

    if (w->origins == NULL || origin_of(w, path) != NULL)
        return NULL;
    if (g_str_has_prefix(path, "rules[") && ladder != NULL) {
        g_autofree char *rule = g_strndup(path, (size_t) (ladder + 1 - path));
        const char *end = strchr(ladder + 9, ']');

        if (origin_of(w, rule) != NULL && end != NULL && end[1] == '\0')
            return "added: a ladder ends with a person";
    }
    if (vm != NULL && g_str_has_suffix(path, ".priority")) {
        g_autofree char *application = g_strndup(path, (size_t) (vm + 1 - path)), *own = path_key(application, "priority");

        return origin_of(w, own) != NULL ? "from its application" : NULL;
    }
    return NULL;
}

static bool is_long_list(const json_t *json)
{
    return json_is_array(json) && json_is_object(json_array_get(json, 0));
}

/* Writes @json after "key:" or "-", on the same line when it is short. */
static void write_value(Writer *w, const json_t *json, const char *path, int indent, size_t line);

static bool write_flow(Writer *w, const json_t *json, const char *path, size_t line)
{
    const char *origin, *key, *mark = special_mark(w, path);
    json_t *value;
    bool nested = is_long_list(json);
    size_t before = w->out->len;

    json_object_foreach((json_t *) json, key, value)
        nested = nested || is_long_list(value);
    if (nested || (!common_origin(w, json, path, &origin) && mark == NULL))
        return false;
    g_string_append_c(w->out, ' ');
    append_flow(w->out, json);
    if ((json_is_object(json) || json_is_array(json)) && w->out->len - line > FLOW_MAX) {
        g_string_truncate(w->out, before);
        return false;
    }
    end_line(w, line, path, origin, mark);
    return true;
}

static void write_map(Writer *w, const json_t *json, const char *path, int indent, size_t line)
{
    const char *key;
    json_t *value;
    bool first = true;

    json_object_foreach((json_t *) json, key, value) {
        g_autofree char *inner = path_key(path, key);

        if (!first || indent == 0) {
            line = w->out->len;
            g_string_append_printf(w->out, "%*s", indent, "");
        }
        first = false;
        append_key(w->out, key);
        g_string_append_c(w->out, ':');
        write_value(w, value, inner, indent + 2, line);
    }
}

static void write_list(Writer *w, const json_t *json, const char *path, int indent)
{
    size_t i;
    json_t *value;

    json_array_foreach(json, i, value) {
        g_autofree char *inner = path_item(path, i);
        size_t line = w->out->len;

        g_string_append_printf(w->out, "%*s-", indent, "");
        if (write_flow(w, value, inner, line))
            continue;
        g_string_append_c(w->out, ' ');
        write_map(w, value, inner, indent + 2, line);
    }
}

static void write_value(Writer *w, const json_t *json, const char *path, int indent, size_t line)
{
    if (write_flow(w, json, path, line))
        return;
    g_string_append_c(w->out, '\n');
    if (json_is_array(json)) {
        write_list(w, json, path, indent);
        return;
    }
    line = w->out->len;
    g_string_append_printf(w->out, "%*s", indent, "");
    write_map(w, json, path, indent, line);
}

char *policy_to_text(const Policy *policy, const json_t *json, GHashTable *origins)
{
    Writer w = { .out = g_string_new(NULL), .origins = origins };

    g_string_append_printf(w.out, "# %s, version %s\n", policy->name, policy->version);
    write_map(&w, json, "", 0, w.out->len);
    return g_string_free(w.out, false);
}
