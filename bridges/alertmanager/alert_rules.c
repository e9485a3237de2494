#include "bridges/alertmanager/alert_rules.h"

#include "lib/base/json.h"
#include "lib/base/settings.h"
#include "lib/base/uuid.h"
#include "lib/base/yaml.h"

#include <string.h>

#define RULES_MAX   1000
#define VMS_MAX     1000
#define SERVICE_MAX 128

typedef struct Match {
    char *label, *pattern;
} Match;

typedef struct AlertRule {
    GPtrArray *matches; /* of Match */
    char *vm, *service; /* templates */
    bool ignore;
    int line;
} AlertRule;

struct AlertRules {
    GPtrArray *vms, *rules;
};

static void vm_free(void *data)
{
    AlertVmName *vm = data;

    g_free(vm->name);
    g_free(vm->id);
    g_free(vm);
}

static void match_free(void *data)
{
    Match *match = data;

    g_free(match->label);
    g_free(match->pattern);
    g_free(match);
}

static void rule_free(void *data)
{
    AlertRule *rule = data;

    g_ptr_array_unref(rule->matches);
    g_free(rule->vm);
    g_free(rule->service);
    g_free(rule);
}

void alert_rules_free(AlertRules *rules)
{
    if (rules == NULL)
        return;
    g_ptr_array_unref(rules->vms);
    g_ptr_array_unref(rules->rules);
    g_free(rules);
}

const GPtrArray *alert_rules_vms(const AlertRules *rules) { return rules->vms; }

/* ---- reading ----------------------------------------------------------------------------------------------------------------------- */

static bool read_vms(AlertRules *rules, const YamlFile *file, const YamlNode *map, GError **error)
{
    if (map->kind != YAML_MAP || yaml_size(map) > VMS_MAX)
        return yaml_error(file, map, error, "'vms' is a map of names to UUIDs, at most %d", VMS_MAX);
    for (size_t i = 0; i < yaml_size(map); i++) {
        const YamlNode *node = yaml_at(map, i);
        char *id = node->kind == YAML_SCALAR ? uuid_canonical(node->text) : NULL;
        AlertVmName *vm;

        if (id == NULL)
            return yaml_error(file, node, error, "'%s': the VM's UUID is wanted", yaml_key(map, i));
        for (guint k = 0; k < rules->vms->len; k++)
            if (strcmp(((AlertVmName *) rules->vms->pdata[k])->id, id) == 0) {
                g_free(id);
                return yaml_error(file, node, error, "this VM is \"%s\" above already", ((AlertVmName *) rules->vms->pdata[k])->name);
            }
        vm = g_new(AlertVmName, 1);
        *vm = (AlertVmName) { g_strdup(yaml_key(map, i)), id };
        g_ptr_array_add(rules->vms, vm);
    }
    return true;
}

static bool read_match(AlertRule *rule, const YamlFile *file, const YamlNode *map, GError **error)
{
    if (map->kind != YAML_MAP || yaml_size(map) == 0)
        return yaml_error(file, map, error, "'match' is a map of labels to texts, with one at least");
    for (size_t i = 0; i < yaml_size(map); i++) {
        const YamlNode *node = yaml_at(map, i);
        Match *match;

        if (node->kind != YAML_SCALAR)
            return yaml_error(file, node, error, "label '%s': a text is wanted", yaml_key(map, i));
        match = g_new(Match, 1);
        *match = (Match) { g_strdup(yaml_key(map, i)), g_strdup(node->text) };
        g_ptr_array_add(rule->matches, match);
    }
    return true;
}

static bool read_text(const YamlFile *file, const YamlNode *node, const char *key, char **slot, GError **error)
{
    if (node->kind != YAML_SCALAR || *node->text == '\0')
        return yaml_error(file, node, error, "'%s' must be a text", key);
    *slot = g_strdup(node->text);
    return true;
}

static bool read_ignore(AlertRule *rule, const YamlFile *file, const YamlNode *node, GError **error)
{
    if (node->kind != YAML_SCALAR || (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
        return yaml_error(file, node, error, "'ignore' must be true or false");
    rule->ignore = strcmp(node->text, "true") == 0;
    return true;
}

static bool read_key(AlertRule *rule, const YamlFile *file, const YamlNode *map, size_t i, GError **error)
{
    static const char *const known[] = { "match", "vm", "service", "ignore", NULL };
    const char *key = yaml_key(map, i), *near;
    const YamlNode *node = yaml_at(map, i);

    if (strcmp(key, "match") == 0)
        return read_match(rule, file, node, error);
    if (strcmp(key, "vm") == 0)
        return read_text(file, node, key, &rule->vm, error);
    if (strcmp(key, "service") == 0)
        return read_text(file, node, key, &rule->service, error);
    if (strcmp(key, "ignore") == 0)
        return read_ignore(rule, file, node, error);
    near = nearest_word(key, known);
    return yaml_error(file, map->keys->pdata[i], error, "a rule has no '%s'%s%s%s", key, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                      near != NULL ? "'?" : "");
}

static bool read_rule(AlertRules *rules, const YamlFile *file, const YamlNode *map, GError **error)
{
    AlertRule *rule = g_new0(AlertRule, 1);

    rule->matches = g_ptr_array_new_with_free_func(match_free);
    rule->line = map->line;
    g_ptr_array_add(rules->rules, rule);
    if (map->kind != YAML_MAP || rules->rules->len > RULES_MAX)
        return yaml_error(file, map, error, "a rule is a map with 'match', 'vm' and 'service'; at most %d of them", RULES_MAX);
    for (size_t i = 0; i < yaml_size(map); i++)
        if (!read_key(rule, file, map, i, error))
            return false;
    if (rule->matches->len == 0)
        return yaml_error(file, map, error, "a rule needs 'match'");
    if (!rule->ignore && (rule->vm == NULL || rule->service == NULL))
        return yaml_error(file, map, error, "a rule needs 'vm' and 'service', or 'ignore: true'");
    return true;
}

static bool read_all(AlertRules *rules, const YamlFile *file, GError **error)
{
    const YamlNode *vms = yaml_get(file->root, "vms"), *list = yaml_get(file->root, "alerts");

    if (vms == NULL || list == NULL || list->kind != YAML_LIST || yaml_size(file->root) != 2)
        return yaml_error(file, list != NULL ? list : file->root, error, "the file has 'vms', a map, and 'alerts', a list");
    if (!read_vms(rules, file, vms, error))
        return false;
    for (size_t i = 0; i < yaml_size(list); i++)
        if (!read_rule(rules, file, yaml_at(list, i), error))
            return false;
    return true;
}

AlertRules *alert_rules_read(const char *path, GError **error)
{
    g_autoptr(YamlFile) file = yaml_read_file(path, error);
    g_autoptr(AlertRules) rules = g_new0(AlertRules, 1);

    rules->vms = g_ptr_array_new_with_free_func(vm_free);
    rules->rules = g_ptr_array_new_with_free_func(rule_free);
    return file != NULL && read_all(rules, file, error) ? g_steal_pointer(&rules) : NULL;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------------ */

static bool matches(const AlertRule *rule, const json_t *labels)
{
    for (guint i = 0; i < rule->matches->len; i++) {
        const Match *match = rule->matches->pdata[i];

        if (!g_pattern_match_simple(match->pattern, json_string_or(labels, match->label, "")))
            return false;
    }
    return true;
}

/* @template with its {label}s filled in; NULL: the alert has no such label. Caller frees. */
static char *fill(const char *template, const json_t *labels)
{
    g_autoptr(GString) text = g_string_new(NULL);

    while (*template != '\0') {
        size_t plain = strcspn(template, "{");
        const char *end = template[plain] == '{' ? strchr(template + plain, '}') : NULL;

        if (end == NULL) {
            g_string_append(text, template);
            break;
        }
        g_autofree char *label = g_strndup(template + plain + 1, (size_t) (end - template) - plain - 1);
        const char *value = json_string_or(labels, label, NULL);

        if (value == NULL)
            return NULL;
        g_string_append_len(text, template, (gssize) plain);
        g_string_append(text, value);
        template = end + 1;
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static bool vm_named(const AlertRules *rules, const char *name, guint *ret)
{
    for (*ret = 0; *ret < rules->vms->len; (*ret)++)
        if (strcmp(((const AlertVmName *) rules->vms->pdata[*ret])->name, name) == 0)
            return true;
    return false;
}

/* Part of a path on the bus, and of a subject: no slash, nothing unprintable. */
static bool is_service_name(const char *name)
{
    if (*name == '\0' || strlen(name) > SERVICE_MAX || strchr(name, '/') != NULL || !g_utf8_validate(name, -1, NULL))
        return false;
    for (; *name != '\0'; name++)
        if ((unsigned char) *name < 0x20)
            return false;
    return true;
}

AlertWord alert_rules_ask(const AlertRules *rules, const json_t *labels, guint *ret_vm, char **ret_service, char **ret_why)
{
    const char *alertname = json_string_or(labels, "alertname", "");

    for (guint i = 0; i < rules->rules->len; i++) {
        const AlertRule *rule = rules->rules->pdata[i];

        if (!matches(rule, labels))
            continue;
        if (rule->ignore)
            return ALERT_IGNORED;
        g_autofree char *vm = fill(rule->vm, labels), *service = fill(rule->service, labels);

        if (vm != NULL && service != NULL && is_service_name(service) && vm_named(rules, vm, ret_vm)) {
            *ret_service = g_steal_pointer(&service);
            return ALERT_ABOUT;
        }
        *ret_why = g_strdup_printf("alert %s: the rule in line %d leads to %s \"%s\", which %s", alertname, rule->line, vm == NULL || service != NULL ? "the VM" : "the service",
                                   vm == NULL ? rule->vm : service == NULL ? rule->service : vm,
                                   vm == NULL || service == NULL ? "names a label that it has not" : "is not among vms, or to a service name that cannot be one");
        return ALERT_UNKNOWN;
    }
    *ret_why = g_strdup_printf("alert %s: no rule is about it", alertname);
    return ALERT_UNKNOWN;
}
