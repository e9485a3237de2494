/* libfyaml's event stream is used and not its document tree: only events tell the place of every node through its public API. */
#include "lib/base/yaml.h"

#include <errno.h>
#include <libfyaml.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define YAML_MAX_BYTES (1 << 20)
#define YAML_MAX_DEPTH 64
#define YAML_MAX_NODES 100000

G_DEFINE_QUARK(mend-yaml-error-quark, yaml_error)

static void node_free(void *data)
{
    YamlNode *node = data;

    if (node == NULL)
        return;
    g_free(node->text);
    g_clear_pointer(&node->items, g_ptr_array_unref);
    g_clear_pointer(&node->keys, g_ptr_array_unref);
    g_free(node);
}

void yaml_node_free(YamlNode *node)
{
    node_free(node);
}

YamlNode *yaml_node_new(YamlKind kind, const YamlNode *place)
{
    YamlNode *node = g_new0(YamlNode, 1);

    *node = (YamlNode){ .kind = kind, .line = place->line, .column = place->column };
    if (kind != YAML_SCALAR)
        node->items = g_ptr_array_new_with_free_func(node_free);
    if (kind == YAML_MAP)
        node->keys = g_ptr_array_new_with_free_func(node_free);
    return node;
}

YamlNode *yaml_node_copy(const YamlNode *node)
{
    YamlNode *copy = yaml_node_new(node->kind, node);

    copy->text = g_strdup(node->text);
    copy->quoted = node->quoted;
    for (size_t i = 0; i < yaml_size(node); i++) {
        g_ptr_array_add(copy->items, yaml_node_copy(node->items->pdata[i]));
        if (node->kind == YAML_MAP)
            g_ptr_array_add(copy->keys, yaml_node_copy(node->keys->pdata[i]));
    }
    return copy;
}

void yaml_free(YamlFile *file)
{
    if (file == NULL)
        return;
    g_free(file->name);
    node_free(file->root);
    g_clear_pointer(&file->more, g_ptr_array_unref);
    g_free(file);
}

bool yaml_error(const YamlFile *file, const YamlNode *node, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, YAML_ERROR, YAML_ERROR_CONTENT, "%s:%d:%d: %s", file->name, node == NULL ? 1 : node->line,
                node == NULL ? 1 : node->column, what);
    return false;
}

typedef struct Reader {
    YamlFile *file;
    GPtrArray *open;   /* maps and lists being filled; borrowed */
    GPtrArray *keys;   /* parallel to open: the key waiting for its value, owned, or NULL */
    size_t n_nodes;
} Reader;

static YamlNode *node_new(YamlKind kind, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    YamlNode *node = g_new0(YamlNode, 1);

    node->kind = kind;
    node->line = mark == NULL ? 1 : mark->line + 1;
    node->column = mark == NULL ? 1 : mark->column + 1;
    if (kind != YAML_SCALAR)
        node->items = g_ptr_array_new_with_free_func(node_free);
    if (kind == YAML_MAP)
        node->keys = g_ptr_array_new_with_free_func(node_free);
    return node;
}

static bool limit_error(Reader *r, YamlNode *node, const char *what, GError **error)
{
    g_set_error(error, YAML_ERROR, YAML_ERROR_LIMIT, "%s:%d:%d: %s", r->file->name, node->line, node->column, what);
    node_free(node);
    return false;
}

/* Puts @node (transfer full) where it belongs: a key, a value, an item or the root. */
static bool reader_put(Reader *r, YamlNode *node, GError **error)
{
    if (++r->n_nodes > YAML_MAX_NODES)
        return limit_error(r, node, "more than 100000 values", error);
    if (r->open->len == 0 && r->file->root == NULL) {
        r->file->root = node;
        return true;
    }
    if (r->open->len == 0) {
        g_ptr_array_add(r->file->more, node);
        return true;
    }
    YamlNode *parent = g_ptr_array_index(r->open, r->open->len - 1);
    YamlNode **key = (YamlNode **) &g_ptr_array_index(r->keys, r->keys->len - 1);

    if (parent->kind == YAML_MAP && *key == NULL) {
        bool scalar = node->kind == YAML_SCALAR, twice = scalar && yaml_get(parent, node->text) != NULL;

        if (scalar && !twice) {
            *key = node;
            return true;
        }
        yaml_error(r->file, node, error, scalar ? "\"%s\" is here twice" : "a name is wanted here, not a list or mapping%s",
                   scalar ? node->text : "");
        node_free(node);
        return false;
    }
    if (parent->kind == YAML_MAP)
        g_ptr_array_add(parent->keys, g_steal_pointer(key));
    g_ptr_array_add(parent->items, node);
    return true;
}

static bool reader_open(Reader *r, YamlNode *node, GError **error)
{
    if (r->open->len >= YAML_MAX_DEPTH)
        return limit_error(r, node, "nested deeper than 64", error);
    if (!reader_put(r, node, error))
        return false;
    g_ptr_array_add(r->open, node);
    g_ptr_array_add(r->keys, NULL);
    return true;
}

static bool reader_scalar(Reader *r, struct fy_event *event, GError **error)
{
    YamlNode *node = node_new(YAML_SCALAR, event);
    size_t length = 0;
    const char *text = event->scalar.value == NULL ? "" : fy_token_get_text(event->scalar.value, &length);

    node->text = g_strndup(text == NULL ? "" : text, length);
    node->quoted = event->scalar.value != NULL && fy_token_scalar_style(event->scalar.value) != FYSS_PLAIN;
    if (node->quoted && text != NULL && fy_token_scalar_style(event->scalar.value) <= FYSS_DOUBLE_QUOTED)
        node->column--; /* the mark is behind the quote */
    if (strlen(node->text) != length) {
        yaml_error(r->file, node, error, "a NUL character in a value");
        node_free(node);
        return false;
    }
    return reader_put(r, node, error);
}

static bool reader_event(Reader *r, struct fy_event *event, GError **error)
{
    switch (event->type) {
    case FYET_SCALAR:
        return reader_scalar(r, event, error);
    case FYET_MAPPING_START:
        return reader_open(r, node_new(YAML_MAP, event), error);
    case FYET_SEQUENCE_START:
        return reader_open(r, node_new(YAML_LIST, event), error);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        g_ptr_array_set_size(r->open, (int) r->open->len - 1);
        g_ptr_array_set_size(r->keys, (int) r->keys->len - 1);
        return true;
    case FYET_ALIAS: {
        YamlNode *node = node_new(YAML_SCALAR, event);

        node->column--; /* the mark is behind the star */
        yaml_error(r->file, node, error, "an alias (*name); write the value out");
        node_free(node);
        return false;
    }
    case FYET_DOCUMENT_START:
        if (r->file->root == NULL || r->file->more != NULL)
            return true;
        g_set_error(error, YAML_ERROR, YAML_ERROR_SYNTAX, "%s: a second document; one file holds one", r->file->name);
        return false;
    default:
        return true;
    }
}

static void syntax_error(const char *name, struct fy_diag *diag, GError **error)
{
    void *iter = NULL;
    struct fy_diag_error *problem = fy_diag_errors_iterate(diag, &iter);

    g_set_error(error, YAML_ERROR, YAML_ERROR_SYNTAX, "%s:%d:%d: %s", name, problem == NULL ? 1 : problem->line,
                problem == NULL ? 1 : problem->column, problem == NULL ? "not YAML" : problem->msg);
}

static bool reader_run(Reader *r, const char *text, size_t length, GError **error)
{
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg config = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2, .diag = diag };
    struct fy_parser *parser = fy_parser_create(&config);
    bool ok = parser != NULL && fy_parser_set_string(parser, text, length) == 0;
    struct fy_event *event;

    while (ok && (event = fy_parser_parse(parser)) != NULL) {
        ok = reader_event(r, event, error);
        fy_parser_event_free(parser, event);
    }
    if (ok && (fy_diag_got_error(diag) || r->open->len > 0)) {
        syntax_error(r->file->name, diag, error);
        ok = false;
    }
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return ok;
}

static YamlFile *read_text(const char *name, const char *text, size_t length, bool documents, GError **error)
{
    g_autoptr(YamlFile) file = g_new0(YamlFile, 1);

    file->name = g_strdup(name);
    file->more = documents ? g_ptr_array_new_with_free_func(node_free) : NULL;
    if (length > YAML_MAX_BYTES || !g_utf8_validate(text, (gssize) length, NULL)) {
        g_set_error(error, YAML_ERROR, YAML_ERROR_LIMIT, "%s:1:1: %s", name, length > YAML_MAX_BYTES ? "larger than 1 MiB" : "not UTF-8 text");
        return NULL;
    }
    g_autoptr(GPtrArray) open = g_ptr_array_new(), keys = g_ptr_array_new_with_free_func(node_free);
    Reader reader = { .file = file, .open = open, .keys = keys };
    return reader_run(&reader, text, length, error) ? g_steal_pointer(&file) : NULL;
}

YamlFile *yaml_read(const char *name, const char *text, size_t length, GError **error)
{
    return read_text(name, text, length, false, error);
}

YamlFile *yaml_read_documents(const char *name, const char *text, size_t length, GError **error)
{
    return read_text(name, text, length, true, error);
}

YamlFile *yaml_read_file(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    size_t length;

    return g_file_get_contents(path, &text, &length, error) ? yaml_read(path, text, length, error) : NULL;
}

const YamlNode *yaml_get(const YamlNode *map, const char *key)
{
    if (map == NULL || map->kind != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->items->len; i++)
        if (strcmp(yaml_key(map, i), key) == 0)
            return g_ptr_array_index(map->items, i);
    return NULL;
}

size_t yaml_size(const YamlNode *node)
{
    return node == NULL || node->items == NULL ? 0 : node->items->len;
}

const YamlNode *yaml_at(const YamlNode *node, size_t i)
{
    return i < yaml_size(node) ? g_ptr_array_index(node->items, i) : NULL;
}

const char *yaml_key(const YamlNode *map, size_t i)
{
    return map == NULL || map->kind != YAML_MAP || i >= map->keys->len ? NULL : ((YamlNode *) g_ptr_array_index(map->keys, i))->text;
}

/* The core schema of YAML 1.2 (§10.3.2). */
static json_t *scalar_to_json(const YamlNode *node)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL }, *const falses[] = { "false", "False", "FALSE", NULL };
    char *end;

    if (node->quoted)
        return json_string(node->text);
    if (g_strv_contains(nulls, node->text))
        return json_null();
    if (g_strv_contains(trues, node->text) || g_strv_contains(falses, node->text))
        return json_boolean(g_strv_contains(trues, node->text));
    if (!g_ascii_isdigit(node->text[0]) && strchr("+-.", node->text[0]) == NULL)
        return json_string(node->text);
    errno = 0;
    int64_t whole = g_ascii_strtoll(node->text, &end, 10);
    if (*end == '\0' && errno == 0)
        return json_integer(whole);
    double real = g_ascii_strtod(node->text, &end);
    return *end == '\0' && isfinite(real) && strpbrk(node->text, "xXpP") == NULL ? json_real(real) : json_string(node->text);
}

json_t *yaml_to_json(const YamlNode *node)
{
    if (node == NULL)
        return json_null();
    if (node->kind == YAML_SCALAR)
        return scalar_to_json(node);
    json_t *json = node->kind == YAML_MAP ? json_object() : json_array();
    for (size_t i = 0; i < node->items->len; i++) {
        json_t *item = yaml_to_json(g_ptr_array_index(node->items, i));

        if (node->kind == YAML_MAP)
            json_object_set_new(json, yaml_key(node, i), item);
        else
            json_array_append_new(json, item);
    }
    return json;
}
