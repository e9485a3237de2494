/* One validator for every way in: YAML, the short form and Guest.monitor all become the same JSON object, and a table of keys
 * says which standard knows which, of what kind, and what is needed. So an error is the same sentence everywhere. */
#include "agents/guest/services/spec.h"

#include "agents/guest/services/ocf.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/settings.h"
#include "lib/base/yaml.h"

#include <string.h>

G_DEFINE_QUARK(mend-spec-error-quark, spec_error)

#define NAME_MAX_BYTES 200

enum { SYSTEMD = 1, OCF = 2, LSB = 4, EXEC = 8, PROCESS = 16, TCP = 32, HTTP = 64, ALL = 127 };
#define SCRIPTS  (OCF | LSB | EXEC)
#define PROBES   (TCP | HTTP)
#define CONTROLS (SCRIPTS | SYSTEMD | PROCESS)

static const struct {
    const char *name;
    unsigned bit;
} standards[] = {{"systemd", SYSTEMD}, {"ocf", OCF}, {"lsb", LSB}, {"exec", EXEC}, {"process", PROCESS}, {"tcp", TCP}, {"http", HTTP}};

typedef enum { KEY_TEXT, KEY_COMMAND, KEY_DURATION, KEY_INTEGER, KEY_BOOL, KEY_STRINGS, KEY_PROBE } KeyKind;

static const struct Key {
    const char *name;
    KeyKind kind;
    size_t offset;
    unsigned known, needed;
    int64_t min, max;
} keys[] = {
#define AT(field) offsetof(ServiceSpec, field)
    {"name", KEY_TEXT, AT(name), ALL, ALL},
    {"standard", KEY_TEXT, AT(standard), ALL, ALL},
    {"provider", KEY_TEXT, AT(provider), OCF, 0},
    {"agent", KEY_TEXT, AT(agent), SYSTEMD | OCF | LSB, 0},
    {"command", KEY_COMMAND, AT(command), PROCESS, PROCESS},
    {"start", KEY_COMMAND, AT(start), EXEC, EXEC},
    {"stop", KEY_COMMAND, AT(stop), EXEC, EXEC},
    {"restart", KEY_COMMAND, AT(restart), EXEC, 0},
    {"monitor", KEY_COMMAND, AT(monitor), EXEC, EXEC},
    {"address", KEY_TEXT, AT(address), TCP, TCP},
    {"http", KEY_TEXT, AT(http), HTTP, HTTP},
    {"status", KEY_INTEGER, AT(status), HTTP, 0, 100, 599},
    {"user", KEY_TEXT, AT(user), PROCESS, 0},
    {"folder", KEY_TEXT, AT(folder), PROCESS, 0},
    {"log", KEY_TEXT, AT(log), PROCESS, 0},
    {"parameters", KEY_STRINGS, AT(parameters), OCF, 0},
    {"environment", KEY_STRINGS, AT(environment), PROCESS | EXEC, 0},
    {"interval", KEY_DURATION, AT(interval_us), SCRIPTS | PROBES, 0, 10 * US_PER_MS, 24 * US_PER_HOUR},
    {"timeout", KEY_DURATION, AT(timeout_us), ALL, 0, US_PER_MS, US_PER_HOUR},
    {"start_timeout", KEY_DURATION, AT(start_timeout_us), CONTROLS, 0, US_PER_MS, 24 * US_PER_HOUR},
    {"stop_timeout", KEY_DURATION, AT(stop_timeout_us), CONTROLS, 0, US_PER_MS, 24 * US_PER_HOUR},
    {"watchdog", KEY_DURATION, AT(watchdog_us), PROCESS, 0, 10 * US_PER_MS, US_PER_HOUR},
    {"grace", KEY_DURATION, AT(grace_us), ALL, 0, 0, US_PER_HOUR},
    {"failures", KEY_INTEGER, AT(failures), SCRIPTS | PROBES, 0, 1, 1000},
    {"notify", KEY_BOOL, AT(notify), PROCESS, 0},
    {"clean_exit_fails", KEY_BOOL, AT(clean_exit_fails), SYSTEMD | PROCESS, 0},
    {"probe", KEY_PROBE, AT(probe), CONTROLS, 0},
#undef AT
};

void service_spec_free(ServiceSpec *spec)
{
    if (spec == NULL)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        void **field = (void **) ((char *) spec + keys[i].offset);

        if (keys[i].kind == KEY_TEXT)
            g_free(*field);
        else if (keys[i].kind == KEY_COMMAND)
            g_strfreev(*field);
        else if (keys[i].kind == KEY_STRINGS)
            json_decref(*field);
    }
    service_spec_free(spec->probe);
    json_decref(spec->json);
    g_free(spec);
}

G_GNUC_PRINTF(2, 3) static bool wrong(GError **error, const char *format, ...)
{
    va_list args;
    g_autofree char *text = NULL;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, SPEC_ERROR, SPEC_ERROR_INVALID, text);
    return false;
}

static bool read_command(const json_t *value, char ***ret, GError **error)
{
    g_autoptr(GPtrArray) words = NULL;
    g_autoptr(GError) local = NULL;
    int n;

    if (json_is_string(value)) {
        if (g_shell_parse_argv(json_string_value(value), &n, ret, &local))
            return true;
        return wrong(error, "is no command: %s", local->message);
    }
    if (!json_is_array(value) || json_array_size(value) == 0)
        return wrong(error, "must be a command: a text, or a list of words");
    words = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *word = json_array_get(value, i);

        if (json_is_integer(word))
            g_ptr_array_add(words, g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(word)));
        else if (json_is_string(word))
            g_ptr_array_add(words, g_strdup(json_string_value(word)));
        else
            return wrong(error, "word %zu must be a text (quote it)", i + 1);
    }
    g_ptr_array_add(words, NULL);
    *ret = (char **) g_ptr_array_free(g_steal_pointer(&words), FALSE);
    return true;
}

static char *scalar_text(const json_t *value)
{
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_integer(value))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_boolean(value))
        return g_strdup(json_is_true(value) ? "true" : "false");
    return json_is_real(value) ? g_strdup_printf("%g", json_real_value(value)) : NULL;
}

static bool read_strings(json_t *value, json_t **ret, GError **error)
{
    g_autoptr(json_t) strings = json_object();
    const char *key;
    json_t *item;

    if (!json_is_object(value))
        return wrong(error, "must be a map of names to texts");
    json_object_foreach(value, key, item) {
        g_autofree char *text = scalar_text(item);

        if (text == NULL)
            return wrong(error, "'%s' must be a text or a number", key);
        if (*key == '\0' || strpbrk(key, "= \t\n") != NULL)
            return wrong(error, "'%s' is no name of a parameter", key);
        json_object_set_new(strings, key, json_string(text));
    }
    *ret = g_steal_pointer(&strings);
    return true;
}

static bool read_duration(const json_t *value, const struct Key *key, int64_t *ret, GError **error)
{
    int64_t us;

    if (!json_is_string(value) || !duration_parse(json_string_value(value), &us))
        return wrong(error, "must be a duration such as 500ms, 10s or 2m");
    if (us < key->min || us > key->max) {
        g_autofree char *low = duration_format(key->min), *high = duration_format(key->max);

        return wrong(error, "'%s' is out of range, %s to %s", json_string_value(value), low, high);
    }
    *ret = us;
    return true;
}

static bool read_text(const json_t *value, char **ret, GError **error)
{
    char *text = scalar_text(value);

    if (text == NULL || *text == '\0') {
        g_free(text);
        return wrong(error, "must be a text that is not empty");
    }
    *ret = text;
    return true;
}

/* A probe is written without name and standard: which of tcp and http it is tells them. */
static bool read_probe(json_t *value, const ServiceSpec *spec, ServiceSpec **ret, GError **error)
{
    g_autoptr(json_t) full = json_is_object(value) ? json_copy(value) : NULL;
    const json_t *tcp = json_object_get(full, "tcp");

    if (full == NULL || (tcp == NULL) == (json_object_get(full, "http") == NULL))
        return wrong(error, "must be a map with either 'tcp: HOST:PORT' or 'http: URL'");
    json_object_set_new(full, "name", json_string(spec->name));
    json_object_set_new(full, "standard", json_string(tcp != NULL ? "tcp" : "http"));
    if (tcp != NULL) {
        json_object_set(full, "address", (json_t *) tcp);
        json_object_del(full, "tcp");
    }
    *ret = service_spec_from_json(full, NULL, error);
    return *ret != NULL;
}

static bool read_key(ServiceSpec *spec, const struct Key *key, json_t *value, GError **error)
{
    void *field = (char *) spec + key->offset;

    switch (key->kind) {
    case KEY_TEXT: return read_text(value, field, error);
    case KEY_COMMAND: return read_command(value, field, error);
    case KEY_DURATION: return read_duration(value, key, field, error);
    case KEY_STRINGS: return read_strings(value, field, error);
    case KEY_PROBE: return read_probe(value, spec, field, error);
    case KEY_BOOL:
        if (!json_is_boolean(value))
            return wrong(error, "must be true or false");
        *(bool *) field = json_is_true(value);
        return true;
    case KEY_INTEGER:
        if (!json_is_integer(value) || json_integer_value(value) < key->min || json_integer_value(value) > key->max)
            return wrong(error, "must be a number, %" PRId64 " to %" PRId64, key->min, key->max);
        *(int64_t *) field = json_integer_value(value);
        return true;
    }
    g_assert_not_reached();
}

static bool standard_of(const json_t *object, unsigned *ret_bit, GError **error)
{
    const char *names[G_N_ELEMENTS(standards) + 1] = {NULL}, *near;
    const char *name = json_string_value(json_object_get(object, "standard"));

    for (size_t i = 0; i < G_N_ELEMENTS(standards); i++) {
        names[i] = standards[i].name;
        if (g_strcmp0(name, names[i]) == 0) {
            *ret_bit = standards[i].bit;
            return true;
        }
    }
    if (name == NULL)
        return wrong(error, "a service needs a standard: systemd, ocf, lsb, exec, process, tcp or http");
    near = nearest_word(name, names);
    return wrong(error, "no standard '%s'; there are systemd, ocf, lsb, exec, process, tcp and http%s%s%s", name,
                 near != NULL ? " (did you mean " : "", near != NULL ? near : "", near != NULL ? "?)" : "");
}

static const struct Key *find_key(const char *name, unsigned standard)
{
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (strcmp(keys[i].name, name) == 0 && (keys[i].known & standard) != 0)
            return &keys[i];
    return NULL;
}

static bool unknown_key(const char *name, unsigned standard, const char *standard_name, GError **error)
{
    const char *known[G_N_ELEMENTS(keys) + 1] = {NULL}, *near;
    size_t n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if ((keys[i].known & standard) != 0)
            known[n++] = keys[i].name;
    near = nearest_word(name, known);
    return wrong(error, "%s knows no '%s'%s%s%s", standard_name, name, near != NULL ? " (did you mean " : "",
                 near != NULL ? near : "", near != NULL ? "?)" : "");
}

/* No standard, but a key nobody knows: that is more likely the fault. */
static void mistyped_standard(json_t *object, const char **ret_key, GError **error)
{
    const char *name;
    json_t *value;

    if (json_object_get(object, "standard") != NULL)
        return;
    json_object_foreach(object, name, value)
        if (find_key(name, ALL) == NULL) {
            g_clear_error(error);
            *ret_key = name;
            unknown_key(name, ALL, "a service", error);
            return;
        }
}

static void spec_defaults(ServiceSpec *spec)
{
    spec->interval_us = 10 * US_PER_S;
    spec->timeout_us = 20 * US_PER_S;
    spec->start_timeout_us = spec->stop_timeout_us = 60 * US_PER_S;
    spec->grace_us = 5 * US_PER_S;
    spec->failures = 1;
    spec->status = 200;
}

static bool name_valid(const char *name)
{
    if (strlen(name) > NAME_MAX_BYTES || !g_utf8_validate(name, -1, NULL))
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c) || *c == ' ')
            return false;
    return true;
}

static bool spec_complete(ServiceSpec *spec, unsigned standard, const char **ret_key, GError **error)
{
    *ret_key = "name";
    if (!name_valid(spec->name))
        return wrong(error, "'%s' is no name: at most %d bytes, no blanks", spec->name, NAME_MAX_BYTES);
    if (spec->provider == NULL)
        spec->provider = g_strdup(standard == OCF ? "heartbeat" : "");
    if (spec->agent == NULL && (standard & (SYSTEMD | OCF | LSB)) != 0)
        spec->agent = g_strdup(spec->name);
    *ret_key = "provider";
    if (standard == OCF && !safe_component(spec->provider))
        return wrong(error, "'%s' is no provider", spec->provider);
    *ret_key = "agent";
    if ((standard & (OCF | LSB)) != 0 && !safe_component(spec->agent))
        return wrong(error, "'%s' is no agent: letters, digits and ._@+- only", spec->agent);
    *ret_key = "address";
    if (standard == TCP && strrchr(spec->address, ':') == NULL)
        return wrong(error, "'%s' must be HOST:PORT", spec->address);
    *ret_key = "http";
    if (standard == HTTP && !g_str_has_prefix(spec->http, "http://"))
        return wrong(error, "'%s' must begin with http:// (for https use exec with a command)", spec->http);
    return true;
}

ServiceSpec *service_spec_from_json(json_t *object, const char **ret_key, GError **error)
{
    g_autoptr(ServiceSpec) spec = g_new0(ServiceSpec, 1);
    const char *at = "standard", *name;
    unsigned standard = 0;
    json_t *value;

    if (ret_key == NULL)
        ret_key = &at;
    *ret_key = "standard";
    spec_defaults(spec);
    if (!standard_of(object, &standard, error)) {
        mistyped_standard(object, ret_key, error);
        return NULL;
    }
    json_object_foreach(object, name, value) {
        const struct Key *key = find_key(name, standard);

        *ret_key = name;
        if (key == NULL) {
            unknown_key(name, standard, json_string_value(json_object_get(object, "standard")), error);
            return NULL;
        }
        if (key->kind != KEY_PROBE && !read_key(spec, key, value, error)) {
            g_prefix_error(error, "%s: ", name);
            return NULL;
        }
    }
    *ret_key = "";
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if ((keys[i].needed & standard) != 0 && json_object_get(object, keys[i].name) == NULL) {
            wrong(error, "a %s service needs '%s'", spec->standard, keys[i].name);
            return NULL;
        }
    *ret_key = "probe";
    value = json_object_get(object, "probe");
    if (value != NULL && !read_key(spec, find_key("probe", standard), value, error)) {
        g_prefix_error(error, "probe: ");
        return NULL;
    }
    if (!spec_complete(spec, standard, ret_key, error))
        return NULL;
    spec->json = json_incref(object);
    return g_steal_pointer(&spec);
}

/* "?a=b&c=d" of the short form; what is no key of ours is the OCF agent's. */
static bool read_query(json_t *object, const char *query, unsigned standard, GError **error)
{
    g_auto(GStrv) pairs = g_strsplit(query, "&", -1);
    g_autoptr(json_t) parameters = json_object();

    for (char **pair = pairs; *pair != NULL; pair++) {
        char *equals = strchr(*pair, '=');
        g_autofree char *value = NULL;
        const struct Key *key;

        if (equals == NULL || (value = g_uri_unescape_string(equals + 1, NULL)) == NULL)
            return wrong(error, "'%s' must be KEY=VALUE", *pair);
        *equals = '\0';
        key = find_key(*pair, standard);
        if (key == NULL && standard == OCF)
            json_object_set_new(parameters, *pair, json_string(value));
        else if (key != NULL && key->kind == KEY_INTEGER)
            json_object_set_new(object, *pair, json_integer(g_ascii_strtoll(value, NULL, 10)));
        else if (key != NULL && key->kind == KEY_BOOL)
            json_object_set_new(object, *pair, json_boolean(strcmp(value, "true") == 0));
        else
            json_object_set_new(object, *pair, json_string(value));
    }
    if (json_object_size(parameters) > 0)
        json_object_set(object, "parameters", parameters);
    return true;
}

static bool read_target(json_t *object, char *rest, unsigned standard, GError **error)
{
    char *equals = strchr(rest, '=');
    g_auto(GStrv) parts = NULL;
    guint n;

    if ((standard & (PROCESS | PROBES)) != 0) {
        if (equals == NULL || equals == rest || equals[1] == '\0')
            return wrong(error, "needs NAME=%s", standard == PROCESS ? "COMMAND" : standard == TCP ? "HOST:PORT" : "URL");
        json_object_set_new(object, "name", json_stringn(rest, (size_t) (equals - rest)));
        json_object_set_new(object, standard == PROCESS ? "command" : standard == TCP ? "address" : "http", json_string(equals + 1));
        return true;
    }
    if (standard == EXEC)
        return wrong(error, "exec has three commands: write it in the services file");
    if (standard != OCF) {
        json_object_set_new(object, "name", json_string(rest));
        return true;
    }
    parts = g_strsplit(rest, ":", 3);
    n = g_strv_length(parts);
    if (n < 2)
        return wrong(error, "must be ocf:PROVIDER:AGENT or ocf:PROVIDER:AGENT:NAME");
    json_object_set_new(object, "provider", json_string(parts[0]));
    json_object_set_new(object, "agent", json_string(parts[1]));
    json_object_set_new(object, "name", json_string(parts[n - 1]));
    return true;
}

ServiceSpec *service_spec_parse(const char *text, GError **error)
{
    g_autofree char *copy = g_strdup(text);
    g_autoptr(json_t) object = json_object();
    char *rest = strchr(copy, ':'), *query;
    ServiceSpec *spec = NULL;
    unsigned standard;

    if (rest == NULL) {
        wrong(error, "'%s' must be STANDARD:NAME, such as systemd:nginx", text);
        return NULL;
    }
    *rest++ = '\0';
    json_object_set_new(object, "standard", json_string(copy));
    if (!standard_of(object, &standard, error)) {
        g_prefix_error(error, "'%s': ", text);
        return NULL;
    }
    query = (standard & (PROCESS | HTTP)) == 0 ? strchr(rest, '?') : NULL;
    if (query != NULL)
        *query++ = '\0';
    if (read_target(object, rest, standard, error) && (query == NULL || read_query(object, query, standard, error)))
        spec = service_spec_from_json(object, NULL, error);
    if (spec == NULL)
        g_prefix_error(error, "'%s': ", text);
    return spec;
}

/* The place of an error: at the key where the fault is, else at the service. */
static bool fault_at(const YamlFile *file, const YamlNode *node, const char *key, GError *fault, GError **error)
{
    const YamlNode *at = node;

    for (size_t i = 0; *key != '\0' && node->kind == YAML_MAP && i < yaml_size(node); i++)
        if (strcmp(yaml_key(node, i), key) == 0)
            at = node->keys->pdata[i];
    return yaml_error(file, at, error, "%s", fault->message);
}

static bool load_one(const YamlFile *file, const YamlNode *node, GPtrArray *specs, GError **error)
{
    g_autoptr(json_t) object = node->kind == YAML_MAP ? yaml_to_json(node) : NULL;
    g_autoptr(GError) fault = NULL;
    g_autoptr(ServiceSpec) spec = NULL;
    const char *key = "";

    if (node->kind == YAML_SCALAR)
        spec = service_spec_parse(node->text, &fault);
    else if (object != NULL)
        spec = service_spec_from_json(object, &key, &fault);
    else
        return yaml_error(file, node, error, "a service is a map, or a text such as systemd:nginx");
    if (spec == NULL)
        return fault_at(file, node, key, fault, error);
    for (guint i = 0; i < specs->len; i++)
        if (strcmp(((ServiceSpec *) specs->pdata[i])->name, spec->name) == 0)
            return yaml_error(file, node, error, "there is a service '%s' above already", spec->name);
    g_ptr_array_add(specs, g_steal_pointer(&spec));
    return true;
}

bool service_specs_read(const YamlFile *file, const YamlNode *list, GPtrArray *specs, GError **error)
{
    if (list->kind != YAML_LIST)
        return yaml_error(file, list, error, "'services' must be a list");
    for (size_t i = 0; i < yaml_size(list); i++)
        if (!load_one(file, yaml_at(list, i), specs, error))
            return false;
    return true;
}

GPtrArray *service_specs_load(const char *path, GError **error)
{
    g_autoptr(YamlFile) file = yaml_read_file(path, error);
    g_autoptr(GPtrArray) specs = g_ptr_array_new_with_free_func((GDestroyNotify) service_spec_free);
    const YamlNode *list;

    if (file == NULL)
        return NULL;
    if (file->root == NULL)
        return g_steal_pointer(&specs);
    for (size_t i = 0; file->root->kind == YAML_MAP && i < yaml_size(file->root); i++)
        if (strcmp(yaml_key(file->root, i), "services") != 0) {
            yaml_error(file, file->root->keys->pdata[i], error, "the services file has one key, 'services'; not '%s'",
                       yaml_key(file->root, i));
            return NULL;
        }
    list = yaml_get(file->root, "services");
    return service_specs_read(file, list != NULL ? list : file->root, specs, error) ? g_steal_pointer(&specs) : NULL;
}

const char *service_spec_agent(const ServiceSpec *spec)
{
    if (spec->agent != NULL)
        return spec->agent;
    if (spec->address != NULL)
        return spec->address;
    if (spec->http != NULL)
        return spec->http;
    return spec->command != NULL ? spec->command[0] : spec->monitor[0];
}
