/* One function per kind of node, each with its list of keys; the loader carries the place of everything, so that every complaint
 * names one. What the engine could not do safely (restart a service because an agent is silent, act on "unknown") is refused here,
 * where the author still sits in front of the file. */
#include "consumers/policy/language/policy_file.h"

#include "lib/base/clock.h"
#include "lib/base/settings.h"
#include "lib/base/yaml.h"
#include "lib/model/event.h"

#include <string.h>

G_DEFINE_QUARK(mend-policy-error-quark, policy_error)

#define FILE_MAX_BYTES (1u << 20)

typedef struct Loader {
    YamlFile *file;
    Policy *policy;
    Step *defaults;
    const YamlNode *ladders; /* map or NULL */
    GError **error;
} Loader;

static const char *const actions[] = { "service.restart", "service.start", "service.stop", ACTION_NOTIFY, NULL };
#define X(id, text) text,
static const char *const event_kinds[] = { EVENT_KINDS(X) "service.*", "agent.*", "vm.*", "observer.*", "command.*", NULL };
#undef X
static const char *const service_states[] = { "running", "failed", "stopped", "starting", "stopping", "degraded", "unknown", NULL };

static bool wrong_word(Loader *l, const YamlNode *node, const char *what, const char *word, const char *const *known)
{
    const char *near = nearest_word(word, known);
    g_autofree char *all = g_strjoinv(", ", (char **) known);

    if (near != NULL)
        return yaml_error(l->file, node, l->error, "unknown %s \"%s\", did you mean \"%s\"?", what, word, near);
    return yaml_error(l->file, node, l->error, "unknown %s \"%s\": one of %s is wanted", what, word, all);
}

/* A map with no other keys than @known. */
static bool check_map(Loader *l, const YamlNode *node, const char *what, const char *const *known)
{
    if (node->kind != YAML_MAP)
        return yaml_error(l->file, node, l->error, "%s is a map: {key: value, …} is wanted", what);
    for (size_t i = 0; i < yaml_size(node); i++) {
        const char *key = yaml_key(node, i);

        if (!g_strv_contains(known, key)) {
            g_autofree char *in = g_strdup_printf("key in %s", what);
            return wrong_word(l, node->keys->pdata[i], in, key, known);
        }
    }
    return true;
}

static bool check_list(Loader *l, const YamlNode *node, const char *what)
{
    return node->kind == YAML_LIST || yaml_error(l->file, node, l->error, "%s is a list: - … or [ … ] is wanted", what);
}

/* Absent: true and *ret untouched. The text is borrowed from the file. */
static bool get_text(Loader *l, const YamlNode *map, const char *key, const char **ret)
{
    const YamlNode *node = yaml_get(map, key);

    if (node == NULL)
        return true;
    if (node->kind != YAML_SCALAR || node->text[0] == '\0')
        return yaml_error(l->file, node, l->error, "%s: a text is wanted", key);
    *ret = node->text;
    return true;
}

static bool need_text(Loader *l, const YamlNode *map, const char *what, const char *key, const char **ret)
{
    *ret = NULL;
    if (!get_text(l, map, key, ret))
        return false;
    return *ret != NULL || yaml_error(l->file, map, l->error, "%s has no \"%s\"", what, key);
}

static bool get_duration(Loader *l, const YamlNode *map, const char *key, int64_t min_us, int64_t max_us, int64_t *ret_us)
{
    const char *text = NULL;
    int64_t us;

    if (!get_text(l, map, key, &text))
        return false;
    if (text == NULL)
        return true;
    if (!duration_parse(text, &us))
        return yaml_error(l->file, yaml_get(map, key), l->error, "%s: \"%s\" is no duration: 10s, 250ms, 1m30s is wanted", key, text);
    if (us < min_us || us > max_us) {
        g_autofree char *min = duration_format(min_us), *max = duration_format(max_us);
        return yaml_error(l->file, yaml_get(map, key), l->error, "%s: %s is not between %s and %s", key, text, min, max);
    }
    *ret_us = us;
    return true;
}

static bool get_number(Loader *l, const YamlNode *map, const char *key, double min, double max, bool whole, double *ret)
{
    const YamlNode *node = yaml_get(map, key);
    g_autoptr(json_t) json = node == NULL ? NULL : yaml_to_json(node);

    if (node == NULL)
        return true;
    if (!(whole ? json_is_integer(json) : json_is_number(json)) || json_number_value(json) < min || json_number_value(json) > max)
        return yaml_error(l->file, node, l->error, "%s: a %snumber between %g and %g is wanted", key, whole ? "whole " : "", min, max);
    *ret = json_number_value(json);
    return true;
}

static bool get_bool(Loader *l, const YamlNode *map, const char *key, bool *ret)
{
    const YamlNode *node = yaml_get(map, key);
    g_autoptr(json_t) json = node == NULL ? NULL : yaml_to_json(node);

    if (node != NULL && !json_is_boolean(json))
        return yaml_error(l->file, node, l->error, "%s: true or false is wanted", key);
    if (node != NULL)
        *ret = json_is_true(json);
    return true;
}

#define STEP_KEYS "attempts", "within", "backoff", "healed_when", "timeout"

static bool read_healed_when(Loader *l, const YamlNode *node, Step *step)
{
    static const char *const known[] = { "state", "for", NULL };
    const char *state = step->healed_state;

    if (!check_map(l, node, "healed_when", known) || !get_text(l, node, "state", &state) ||
        !get_duration(l, node, "for", 0, 24 * US_PER_HOUR, &step->healed_for_us))
        return false;
    if (!g_strv_contains(service_states, state))
        return wrong_word(l, yaml_get(node, "state"), "state", state, service_states);
    char *copy = g_strdup(state);
    g_free(step->healed_state);
    step->healed_state = copy;
    return true;
}

static bool read_backoff(Loader *l, const YamlNode *node, Step *step)
{
    static const char *const known[] = { "first", "factor", "max", NULL };

    if (!check_map(l, node, "backoff", known) ||
        !get_duration(l, node, "first", 0, 24 * US_PER_HOUR, &step->backoff_first_us) ||
        !get_number(l, node, "factor", 1, 100, false, &step->backoff_factor) ||
        !get_duration(l, node, "max", 0, 24 * US_PER_HOUR, &step->backoff_max_us))
        return false;
    if (step->backoff_max_us < step->backoff_first_us)
        return yaml_error(l->file, node, l->error, "backoff: max is less than first");
    return true;
}

/* The part that steps and defaults have in common. */
static bool read_step_values(Loader *l, const YamlNode *node, Step *step)
{
    const YamlNode *backoff = yaml_get(node, "backoff"), *healed = yaml_get(node, "healed_when");
    double attempts = step->attempts;

    if (!get_number(l, node, "attempts", 1, 100, true, &attempts) ||
        !get_duration(l, node, "within", US_PER_S, 30 * 24 * US_PER_HOUR, &step->within_us) ||
        !get_duration(l, node, "timeout", 100 * US_PER_MS, 24 * US_PER_HOUR, &step->timeout_us))
        return false;
    step->attempts = (unsigned) attempts;
    return (backoff == NULL || read_backoff(l, backoff, step)) && (healed == NULL || read_healed_when(l, healed, step));
}

static bool target_known(const Policy *policy, const char *name)
{
    return policy_target(policy, name) != NULL;
}

static bool read_notify_step(Loader *l, const YamlNode *node, Step *step)
{
    static const char *const known[] = { "do", "to", NULL };
    const char *to;

    if (!check_map(l, node, "a notify step", known) || !need_text(l, node, "a notify step", "to", &to))
        return false;
    if (!target_known(l->policy, to)) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();

        for (guint i = 0; i < l->policy->targets->len; i++)
            g_ptr_array_add(names, ((Target *) l->policy->targets->pdata[i])->name);
        g_ptr_array_add(names, NULL);
        return wrong_word(l, yaml_get(node, "to"), "notify target", to, (const char *const *) names->pdata);
    }
    step->to = g_strdup(to);
    return true;
}

static bool read_step(Loader *l, const YamlNode *node, GPtrArray *ladder)
{
    static const char *const known[] = { "do", STEP_KEYS, NULL };
    const char *action;

    if (node->kind != YAML_MAP)
        return yaml_error(l->file, node, l->error, "a step is a map: {do: service.restart, …} is wanted");
    if (!need_text(l, node, "a step", "do", &action))
        return false;
    if (!g_strv_contains(actions, action))
        return wrong_word(l, yaml_get(node, "do"), "action", action, actions);
    g_autoptr(Step) step = step_copy(l->defaults, action);
    if (strcmp(action, ACTION_NOTIFY) == 0 ? !read_notify_step(l, node, step)
                                           : !check_map(l, node, "a step", known) || !read_step_values(l, node, step))
        return false;
    g_ptr_array_add(ladder, g_steal_pointer(&step));
    return true;
}

static bool read_ladder(Loader *l, const YamlNode *node, GPtrArray *ladder)
{
    if (!check_list(l, node, "a ladder"))
        return false;
    if (yaml_size(node) == 0)
        return yaml_error(l->file, node, l->error, "a ladder without steps does nothing: at least one is wanted");
    for (size_t i = 0; i < yaml_size(node); i++)
        if (!read_step(l, yaml_at(node, i), ladder))
            return false;
    return true;
}

/* A ladder stands in the rule itself, or is named. */
static bool read_rule_ladder(Loader *l, const YamlNode *node, Rule *rule)
{
    if (node->kind != YAML_SCALAR)
        return read_ladder(l, node, rule->ladder);
    const YamlNode *named = yaml_get(l->ladders, node->text);
    if (named != NULL)
        return read_ladder(l, named, rule->ladder);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (size_t i = 0; l->ladders != NULL && i < yaml_size(l->ladders); i++)
        g_ptr_array_add(names, (char *) yaml_key(l->ladders, i));
    g_ptr_array_add(names, NULL);
    return wrong_word(l, node, "ladder", node->text, (const char *const *) names->pdata);
}

static bool read_where(Loader *l, const YamlNode *node, Rule *rule)
{
    g_autoptr(GError) local = NULL;
    size_t offset = 0;

    if (node->kind != YAML_SCALAR)
        return yaml_error(l->file, node, l->error, "where: a condition is wanted, as in event.intent == \"none\"");
    rule->where = condition_parse(node->text, &offset, &local);
    if (rule->where != NULL)
        return true;
    YamlNode place = *node; /* on one line the place is exact; a folded text has only its beginning */
    if (strchr(node->text, '\n') == NULL)
        place.column += (int) offset + (node->quoted ? 1 : 0);
    return yaml_error(l->file, &place, l->error, "where: %s", local->message);
}

/* What must not be done even if somebody asks for it. */
static bool check_rule(Loader *l, const YamlNode *node, const Rule *rule)
{
    static const char *const failures[] = { "service.failed", "service.stopped", "service.degraded", NULL };

    for (guint i = 0; i < rule->ladder->len; i++) {
        const Step *step = rule->ladder->pdata[i];

        if (strcmp(step->action, ACTION_NOTIFY) == 0 || g_strv_contains(failures, rule->on))
            continue;
        if (strcmp(rule->on, "service.unknown") == 0)
            return yaml_error(l->file, node, l->error, "rule %s: unknown is not a failure: only notify steps may follow it", rule->name);
        return yaml_error(l->file, node, l->error,
                          "rule %s: %s on %s: only service.failed, service.stopped and service.degraded say that a service is down; "
                          "here only notify steps may stand",
                          rule->name, step->action, rule->on);
    }
    return true;
}

static bool read_rule(Loader *l, const YamlNode *node)
{
    static const char *const known[] = { "name", "on", "where", "ladder", "observe_only", NULL };
    const char *name, *on;

    if (!check_map(l, node, "a rule", known) || !need_text(l, node, "a rule", "name", &name) || !need_text(l, node, "a rule", "on", &on))
        return false;
    if (policy_rule(l->policy, name) != NULL)
        return yaml_error(l->file, yaml_get(node, "name"), l->error, "a rule named \"%s\" stands above already", name);
    if (!g_strv_contains(event_kinds, on))
        return wrong_word(l, yaml_get(node, "on"), "event", on, event_kinds);
    g_autoptr(Rule) rule = rule_new(name, on);
    const YamlNode *where = yaml_get(node, "where"), *ladder = yaml_get(node, "ladder");
    if (ladder == NULL)
        return yaml_error(l->file, node, l->error, "rule %s has no \"ladder\": what shall be done?", name);
    if ((where != NULL && !read_where(l, where, rule)) || !read_rule_ladder(l, ladder, rule) ||
        !get_bool(l, node, "observe_only", &rule->observe_only) || !check_rule(l, node, rule))
        return false;
    g_ptr_array_add(l->policy->rules, g_steal_pointer(&rule));
    return true;
}

static bool read_service(Loader *l, const YamlNode *node, AppVm *vm)
{
    static const char *const known[] = { "name", "standard", NULL };
    static const char *const standards[] = { "systemd", "ocf", "lsb", "exec", "process", "tcp", "http", NULL };
    const char *name, *standard = "systemd";

    if (node->kind == YAML_SCALAR) {
        g_ptr_array_add(vm->services, app_service_new(node->text));
        return true;
    }
    if (!check_map(l, node, "a service", known) || !need_text(l, node, "a service", "name", &name) ||
        !get_text(l, node, "standard", &standard))
        return false;
    if (!g_strv_contains(standards, standard))
        return wrong_word(l, yaml_get(node, "standard"), "standard", standard, standards);
    AppService *service = app_service_new(name);
    g_ptr_array_add(vm->services, service);
    g_free(service->standard);
    service->standard = g_strdup(standard);
    return true;
}

static bool read_vm(Loader *l, const YamlNode *node, Application *application)
{
    static const char *const known[] = { "name", "match", "services", NULL }, *const matches[] = { "name", "id", NULL };
    const YamlNode *match = yaml_get(node, "match"), *services = yaml_get(node, "services");
    const char *name, *match_name = NULL, *match_id = NULL;

    if (!check_map(l, node, "a VM", known) || !need_text(l, node, "a VM", "name", &name))
        return false;
    if (match != NULL && (!check_map(l, match, "match", matches) || !get_text(l, match, "name", &match_name) ||
                          !get_text(l, match, "id", &match_id)))
        return false;
    AppVm *vm = app_vm_new(name);
    g_ptr_array_add(application->vms, vm);
    vm->match_name = g_strdup(match_name != NULL || match_id != NULL ? match_name : name);
    vm->match_id = g_strdup(match_id);
    if (services != NULL && !check_list(l, services, "services"))
        return false;
    for (size_t i = 0; services != NULL && i < yaml_size(services); i++)
        if (!read_service(l, yaml_at(services, i), vm))
            return false;
    return true;
}

static bool read_application(Loader *l, const YamlNode *node)
{
    static const char *const known[] = { "name", "vms", NULL };
    const YamlNode *vms = yaml_get(node, "vms");
    const char *name;

    if (!check_map(l, node, "an application", known) || !need_text(l, node, "an application", "name", &name))
        return false;
    if (vms == NULL)
        return yaml_error(l->file, node, l->error, "application %s has no \"vms\"", name);
    if (!check_list(l, vms, "vms"))
        return false;
    Application *application = application_new(name);
    g_ptr_array_add(l->policy->applications, application);
    for (size_t i = 0; i < yaml_size(vms); i++)
        if (!read_vm(l, yaml_at(vms, i), application))
            return false;
    return true;
}

static bool read_targets(Loader *l, const YamlNode *node)
{
    static const char *const known[] = { "exec", NULL };

    if (node->kind != YAML_MAP)
        return yaml_error(l->file, node, l->error, "notify is a map: {oncall: log, pager: {exec: COMMAND}} is wanted");
    for (size_t i = 0; i < yaml_size(node); i++) {
        const YamlNode *target = yaml_at(node, i);
        const char *command = NULL;

        if (target->kind == YAML_SCALAR && strcmp(target->text, "log") == 0) {
            g_ptr_array_add(l->policy->targets, target_new(yaml_key(node, i), TARGET_LOG, NULL));
            continue;
        }
        if (target->kind == YAML_SCALAR)
            return yaml_error(l->file, target, l->error, "notify %s: \"%s\": log or {exec: COMMAND} is wanted", yaml_key(node, i), target->text);
        if (!check_map(l, target, "a notify target", known) || !need_text(l, target, "a notify target", "exec", &command))
            return false;
        g_ptr_array_add(l->policy->targets, target_new(yaml_key(node, i), TARGET_EXEC, command));
    }
    return true;
}

static void add_usual_targets(Policy *policy)
{
    static const char *const usual[] = { "oncall", "log", NULL };

    for (size_t i = 0; usual[i] != NULL; i++)
        if (policy_target(policy, usual[i]) == NULL)
            g_ptr_array_add(policy->targets, target_new(usual[i], TARGET_LOG, NULL));
}

static bool read_list(Loader *l, const YamlNode *node, const char *what, bool (*read)(Loader *, const YamlNode *))
{
    if (node == NULL)
        return true;
    if (!check_list(l, node, what))
        return false;
    for (size_t i = 0; i < yaml_size(node); i++)
        if (!read(l, yaml_at(node, i)))
            return false;
    return true;
}

/* Ladders nobody names are read too: a mistake in one is found when it is made. */
static bool check_ladders(Loader *l)
{
    for (size_t i = 0; l->ladders != NULL && i < yaml_size(l->ladders); i++) {
        g_autoptr(GPtrArray) ladder = g_ptr_array_new_with_free_func((GDestroyNotify) step_free);

        if (!read_ladder(l, yaml_at(l->ladders, i), ladder))
            return false;
    }
    return true;
}

/* The rules of the default policy, with the defaults of this file. */
static void take_default_rules(Loader *l)
{
    g_autoptr(Policy) fallback = policy_default();

    while (fallback->rules->len > 0) {
        Rule *rule = g_ptr_array_steal_index(fallback->rules, 0);

        for (guint i = 0; i < rule->ladder->len; i++) {
            const Step *step = rule->ladder->pdata[i];

            if (strcmp(step->action, ACTION_NOTIFY) != 0) {
                Step *ours = step_copy(l->defaults, step->action);

                step_free(rule->ladder->pdata[i]);
                rule->ladder->pdata[i] = ours;
            }
        }
        g_ptr_array_add(l->policy->rules, rule);
    }
}

static bool check_version(Loader *l, const YamlNode *root)
{
    const YamlNode *version = yaml_get(root, "mend");

    if (version == NULL)
        return yaml_error(l->file, root, l->error, "a policy file begins with \"mend: 1\"");
    if (version->kind != YAML_SCALAR || strcmp(version->text, "1") != 0)
        return yaml_error(l->file, version, l->error, "mend: this program reads policies of version 1");
    return true;
}

static bool read_root(Loader *l, const YamlNode *root)
{
    static const char *const known[] = { "mend",  "applications", "rules",         "ladders", "defaults",
                                         "notify", "startup_guard", "hold_max", NULL };
    static const char *const step_keys[] = { STEP_KEYS, NULL };
    const YamlNode *defaults = yaml_get(root, "defaults"), *notify = yaml_get(root, "notify"), *rules = yaml_get(root, "rules");

    if (!check_map(l, root, "a policy", known) || !check_version(l, root))
        return false;
    l->ladders = yaml_get(root, "ladders");
    if (l->ladders != NULL && l->ladders->kind != YAML_MAP)
        return yaml_error(l->file, l->ladders, l->error, "ladders is a map of names to lists of steps");
    if (!get_duration(l, root, "startup_guard", 0, US_PER_HOUR, &l->policy->startup_guard_us) ||
        !get_duration(l, root, "hold_max", US_PER_S, 24 * US_PER_HOUR, &l->policy->hold_max_us) ||
        (notify != NULL && !read_targets(l, notify)))
        return false;
    add_usual_targets(l->policy);
    if (defaults != NULL && (!check_map(l, defaults, "defaults", step_keys) || !read_step_values(l, defaults, l->defaults)))
        return false;
    if (!read_list(l, yaml_get(root, "applications"), "applications", read_application) || !check_ladders(l) ||
        !read_list(l, rules, "rules", read_rule))
        return false;
    if (rules == NULL)
        take_default_rules(l);
    return true;
}

Policy *policy_parse(const char *name, const char *text, GError **error)
{
    g_autoptr(GError) local = NULL;

    if (text[0] == '\0')
        return policy_default();
    g_autoptr(YamlFile) file = yaml_read(name, text, strlen(text), error);
    if (file == NULL)
        return NULL;
    g_autoptr(Policy) policy = policy_new(name, text);
    g_autoptr(Step) defaults = step_new("service.restart");
    Loader loader = { .file = file, .policy = policy, .defaults = defaults, .error = &local };
    if (file->root == NULL) {
        g_set_error(error, YAML_ERROR, YAML_ERROR_CONTENT, "%s:1:1: the file is empty: a policy begins with \"mend: 1\"", name);
        return NULL;
    }
    if (!read_root(&loader, file->root)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return NULL;
    }
    return g_steal_pointer(&policy);
}

Policy *policy_load(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, error)) {
        g_prefix_error(error, "policy file: ");
        return NULL;
    }
    if (length > FILE_MAX_BYTES || strlen(text) != length) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "%s: %s", path,
                    length > FILE_MAX_BYTES ? "longer than 1 MiB" : "holds a 0 byte: a text is wanted");
        return NULL;
    }
    return policy_parse(path, length == 0 ? "\n" : text, error);
}
