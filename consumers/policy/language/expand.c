/* A policy is written short and read long: before anything is read, variables get their values, things get what their templates and
 * defaults say, and rules get the steps of the ladder they name, all in the tree itself. So the readers know nothing of inheritance, a
 * mistake in a template is told where the template is written, and every node that was not written where it stands knows where it came
 * from, for `mend policy show`.
 *
 *   variables   ${name}; the whole value: of any kind; inside a text: its text. $${ is a plain ${. ${vm.…} is left for the engine.
 *   templates   template: NAME or [NAME, …] in any map: the map's own keys win, then later names, maps are merged deep
 *   defaults    site: step values, vm: {…}, service: {…}; application: VM keys, service: {…}; VM: service keys. The nearer wins
 *
 * Templates and variables may use others; a circle is refused with its path. What they can make out of a small file is bounded. */
#include "consumers/policy/language/loader.h"

#include "lib/base/settings.h"

#include <string.h>

#define NODES_MAX 100000
#define TEXT_MAX_BYTES 65536

typedef struct Expansion {
    Loader *l;
    YamlNode *root;
    const YamlNode *variables, *templates;
    GPtrArray *stack;  /* names at work, for circles; borrowed */
    GHashTable *done;  /* templates that are whole, names seen; borrowed */
    size_t nodes;      /* copied */
    bool stopped;
} Expansion;

static YamlNode *map_get(const YamlNode *map, const char *key)
{
    return (YamlNode *) yaml_get(map, key);
}

/* Before it is freed: another node may get its address. */
static void forget_origins(Loader *l, const YamlNode *node)
{
    g_hash_table_remove(l->origins, node);
    for (size_t i = 0; i < yaml_size(node); i++)
        forget_origins(l, yaml_at(node, i));
}

static void map_remove(Loader *l, YamlNode *map, const char *key)
{
    for (guint i = 0; i < map->items->len; i++)
        if (strcmp(yaml_key(map, i), key) == 0) {
            forget_origins(l, map->items->pdata[i]);
            g_ptr_array_remove_index(map->items, i);
            g_ptr_array_remove_index(map->keys, i);
            return;
        }
}

static void complain_unknown(Loader *l, const YamlNode *at, const char *what, const char *name, const YamlNode *known)
{
    g_autofree const char **names = g_new0(const char *, yaml_size(known) + 1);

    for (size_t i = 0; i < yaml_size(known); i++)
        names[i] = yaml_key(known, i);
    complain_word(l, at, what, name, names);
}

/* True, and complained: @name is being worked out already. */
static bool is_circle(Expansion *x, const YamlNode *at, const char *what, const char *name)
{
    for (guint i = 0; i < x->stack->len; i++) {
        if (strcmp(x->stack->pdata[i], name) != 0)
            continue;
        GString *path = g_string_new(NULL);
        for (; i < x->stack->len; i++)
            g_string_append_printf(path, "%s → ", (char *) x->stack->pdata[i]);
        complain(x->l, at, "%s stand in a circle: %s%s", what, path->str, name);
        g_string_free(path, true);
        return true;
    }
    return false;
}

static size_t node_count(const YamlNode *node)
{
    size_t n = 1;

    for (size_t i = 0; i < yaml_size(node); i++)
        n += node_count(yaml_at(node, i));
    return n;
}

/* NULL: too much has been made already. */
static YamlNode *copy_from(Expansion *x, const YamlNode *node, const char *origin)
{
    x->nodes += node_count(node);
    if (x->nodes > NODES_MAX && !x->stopped)
        complain(x->l, node, "templates and variables make more than %d values of this file", NODES_MAX);
    x->stopped |= x->nodes > NODES_MAX;
    if (x->stopped)
        return NULL;
    YamlNode *copy = yaml_node_copy(node);
    loader_origin(x->l, copy, origin);
    return copy;
}

/* --- variables --- */

static void expand_variables(Expansion *x, YamlNode *node);

/* Takes over what @from has and where it came from; @node stays where it is in its parent. */
static void node_become(Expansion *x, YamlNode *node, YamlNode *from)
{
    YamlNode old = *node;
    char *origin = NULL;

    if (g_hash_table_steal_extended(x->l->origins, from, NULL, (gpointer *) &origin))
        g_hash_table_insert(x->l->origins, node, origin);
    *node = *from;
    node->line = old.line;
    node->column = old.column;
    *from = old;
    yaml_node_free(from);
}

/* The variable's node, its own variables in it worked out. NULL: complained. */
static const YamlNode *variable_value(Expansion *x, const YamlNode *at, const char *name)
{
    YamlNode *value = map_get(x->variables, name);

    if (value == NULL) {
        complain_unknown(x->l, at, "variable", name, x->variables);
        return NULL;
    }
    if (g_hash_table_contains(x->done, value))
        return value;
    if (is_circle(x, at, "variables", name))
        return NULL;
    g_ptr_array_add(x->stack, (char *) name);
    expand_variables(x, value);
    g_ptr_array_set_size(x->stack, (int) x->stack->len - 1);
    g_hash_table_add(x->done, value);
    return value;
}

/* One ${name} at @text[*i]; appends its text. */
static void expand_reference(Expansion *x, const YamlNode *node, size_t *i, GString *out)
{
    const char *begin = node->text + *i + 2, *end = strchr(begin, '}');

    if (end == NULL) {
        complain_inside(x->l, node, *i, "${ without its }; a plain ${ is written $${");
        *i += 2;
        return;
    }
    g_autofree char *name = g_strndup(begin, (size_t) (end - begin));
    *i += (size_t) (end + 1 - (node->text + *i));
    if (g_str_has_prefix(name, "vm.")) { /* the engine's: known when the command leaves */
        g_string_append_printf(out, "${%s}", name);
        return;
    }
    const YamlNode *value = variable_value(x, node, name);
    if (value != NULL && value->kind != YAML_SCALAR)
        complain(x->l, node, "variable \"%s\" is a %s: it cannot stand inside a text", name, value->kind == YAML_MAP ? "map" : "list");
    else if (value != NULL)
        g_string_append(out, value->text);
}

static void expand_text(Expansion *x, YamlNode *node)
{
    g_autofree char *whole = NULL;
    size_t length = strlen(node->text);

    if (strstr(node->text, "${") == NULL)
        return;
    if (g_str_has_prefix(node->text, "${") && strchr(node->text, '}') == node->text + length - 1 && !g_str_has_prefix(node->text, "${vm.")) {
        whole = g_strndup(node->text + 2, length - 3);
        const YamlNode *value = variable_value(x, node, whole);
        g_autofree char *origin = g_strconcat("variables.", whole, NULL);
        YamlNode *copy = value == NULL ? NULL : copy_from(x, value, origin);

        if (copy != NULL)
            node_become(x, node, copy);
        return;
    }
    GString *out = g_string_new(NULL);
    for (size_t i = 0; i < length && out->len <= TEXT_MAX_BYTES;) {
        if (strncmp(node->text + i, "$${", 3) == 0) {
            g_string_append(out, "${");
            i += 3;
        } else if (strncmp(node->text + i, "${", 2) == 0) {
            expand_reference(x, node, &i, out);
        } else {
            g_string_append_c(out, node->text[i++]);
        }
    }
    if (out->len > TEXT_MAX_BYTES)
        complain(x->l, node, "variables make this text longer than 64 KiB");
    g_free(node->text);
    node->text = g_string_free(out, false);
}

static void expand_variables(Expansion *x, YamlNode *node)
{
    if (x->stopped)
        return;
    if (node->kind == YAML_SCALAR)
        expand_text(x, node);
    for (size_t i = 0; i < yaml_size(node); i++)
        expand_variables(x, (YamlNode *) yaml_at(node, i));
}

/* --- templates and defaults --- */

/* @map gets what @from has and it has not. @skip: keys left out, NULL at the end; may be NULL. */
static void merge_under(Expansion *x, YamlNode *map, const YamlNode *from, const char *const *skip, const char *origin)
{
    if (from == NULL || from->kind != YAML_MAP) /* complained of where it is read */
        return;
    for (size_t i = 0; i < yaml_size(from) && !x->stopped; i++) {
        const char *key = yaml_key(from, i);
        YamlNode *own = map_get(map, key);
        const YamlNode *theirs = yaml_at(from, i);

        if (skip != NULL && g_strv_contains(skip, key))
            continue;
        if (own != NULL && own->kind == YAML_MAP && theirs->kind == YAML_MAP)
            merge_under(x, own, theirs, NULL, origin);
        if (own != NULL)
            continue;
        const char *first = g_hash_table_lookup(x->l->origins, theirs); /* of a template in a template: where it is written */
        YamlNode *copy = copy_from(x, theirs, first != NULL ? first : origin);
        if (copy == NULL)
            return;
        g_ptr_array_add(map->keys, yaml_node_copy(from->keys->pdata[i]));
        g_ptr_array_add(map->items, copy);
    }
}

static void expand_templates(Expansion *x, YamlNode *node);

static void apply_template(Expansion *x, YamlNode *map, const YamlNode *name)
{
    if (name->kind != YAML_SCALAR) {
        complain(x->l, name, "template: a name or a list of names is wanted");
        return;
    }
    YamlNode *template = map_get(x->templates, name->text);
    if (template == NULL) {
        complain_unknown(x->l, name, "template", name->text, x->templates);
        return;
    }
    if (template->kind != YAML_MAP || is_circle(x, name, "templates", name->text))
        return;
    if (!g_hash_table_contains(x->done, template)) {
        g_ptr_array_add(x->stack, name->text);
        expand_templates(x, template);
        g_ptr_array_set_size(x->stack, (int) x->stack->len - 1);
        g_hash_table_add(x->done, template);
    }
    g_autofree char *origin = g_strconcat("templates.", name->text, NULL);
    merge_under(x, map, template, NULL, origin);
}

static void expand_templates(Expansion *x, YamlNode *node)
{
    YamlNode *named = node->kind == YAML_MAP ? map_get(node, "template") : NULL;

    if (x->stopped)
        return;
    if (named != NULL) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        YamlNode *kept = yaml_node_copy(named); /* the places of complaints outlive the key */

        map_remove(x->l, node, "template");
        if (kept->kind != YAML_LIST)
            g_ptr_array_add(names, kept);
        for (size_t i = yaml_size(kept); kept->kind == YAML_LIST && i > 0; i--)
            g_ptr_array_add(names, (YamlNode *) yaml_at(kept, i - 1));
        for (guint i = 0; i < names->len; i++)
            apply_template(x, node, names->pdata[i]);
        yaml_node_free(kept);
    }
    for (size_t i = 0; i < yaml_size(node); i++)
        if (node->kind != YAML_MAP || strcmp(yaml_key(node, i), "parameters") != 0) /* theirs may be called so */
            expand_templates(x, (YamlNode *) yaml_at(node, i));
}

static void check_templates(Expansion *x)
{
    for (size_t i = 0; i < yaml_size(x->templates); i++) {
        YamlNode *template = (YamlNode *) yaml_at(x->templates, i);

        if (template->kind != YAML_MAP)
            complain(x->l, template, "template %s is a map: {key: value, …} is wanted", yaml_key(x->templates, i));
        else if (!g_hash_table_contains(x->done, template))
            warn(x->l, x->templates->keys->pdata[i], "template %s is used by nothing", yaml_key(x->templates, i));
    }
}

/* "php" is short for {name: php}. */
static void service_whole(YamlNode *services, guint i)
{
    YamlNode *item = services->items->pdata[i];

    if (item->kind != YAML_SCALAR || item->text[0] == '\0')
        return;
    YamlNode *map = yaml_node_new(YAML_MAP, item), *key = yaml_node_new(YAML_SCALAR, item);
    key->text = g_strdup("name");
    g_ptr_array_add(map->keys, key);
    g_ptr_array_add(map->items, item);
    services->items->pdata[i] = map;
}

typedef struct Level { /* where defaults come from, the nearest first */
    const YamlNode *map;
    const char *origin;
} Level;

static void default_services(Expansion *x, YamlNode *vm, const Level *levels, size_t n_levels)
{
    YamlNode *services = map_get(vm, "services");

    for (guint i = 0; services != NULL && services->kind == YAML_LIST && i < services->items->len; i++) {
        service_whole(services, i);
        YamlNode *service = services->items->pdata[i];
        for (size_t k = 0; k < n_levels && service->kind == YAML_MAP; k++)
            merge_under(x, service, levels[k].map, NULL, levels[k].origin);
    }
}

static void default_application(Expansion *x, const YamlNode *application, size_t index)
{
    static const char *const no_vm_keys[] = { "service", NULL };
    const YamlNode *site = yaml_get(x->root, "defaults"), *own = yaml_get(application, "defaults");
    const YamlNode *vms = yaml_get(application, "vms"), *name = yaml_get(application, "name");
    g_autofree char *app = name != NULL && name->kind == YAML_SCALAR ? g_strdup(name->text) : g_strdup_printf("%zu", index);
    g_autofree char *from_app = g_strdup_printf("applications.%s.defaults", app);
    g_autofree char *from_app_service = g_strconcat(from_app, ".service", NULL);

    for (size_t i = 0; vms != NULL && vms->kind == YAML_LIST && i < yaml_size(vms); i++) {
        YamlNode *vm = (YamlNode *) yaml_at(vms, i);

        if (vm->kind != YAML_MAP)
            continue;
        merge_under(x, vm, own, no_vm_keys, from_app);
        merge_under(x, vm, yaml_get(site, "vm"), NULL, "defaults.vm");
        const YamlNode *vm_name = yaml_get(vm, "name");
        g_autofree char *from_vm = g_strdup_printf("applications.%s.%s.defaults", app, vm_name == NULL || vm_name->kind != YAML_SCALAR ? "?" : vm_name->text);
        default_services(x, vm, (Level[]){ { yaml_get(vm, "defaults"), from_vm }, { yaml_get(own, "service"), from_app_service },
                                           { yaml_get(site, "service"), "defaults.service" } }, 3);
    }
}

static void default_steps(Expansion *x, const YamlNode *ladder)
{
    static const char *const not_steps[] = { "vm", "service", NULL };
    const YamlNode *defaults = yaml_get(x->root, "defaults");

    for (size_t i = 0; ladder != NULL && ladder->kind == YAML_LIST && i < yaml_size(ladder); i++) {
        YamlNode *step = (YamlNode *) yaml_at(ladder, i);
        const YamlNode *what = yaml_get(step, "do");

        if (what == NULL || node_is_word(what, ACTION_NOTIFY) || node_is_word(what, ACTION_APPROVE))
            continue;
        bool had_state = yaml_get(yaml_get(step, "healed_when"), "state") != NULL;
        merge_under(x, step, defaults, not_steps, "defaults");
        YamlNode *healed = map_get(step, "healed_when");
        if (!had_state && healed != NULL && healed->kind == YAML_MAP && what->kind == YAML_SCALAR && g_str_has_prefix(what->text, "host."))
            map_remove(x->l, healed, "state"); /* that of services and VMs; a host that is fenced is healed when it is off */
    }
}

/* --- ladders --- */

static void expand_ladder(Expansion *x, YamlNode *rule)
{
    YamlNode *ladder = map_get(rule, "ladder");
    const YamlNode *ladders = yaml_get(x->root, "ladders");

    if (ladder == NULL || ladder->kind != YAML_SCALAR)
        return;
    const YamlNode *named = yaml_get(ladders, ladder->text);
    if (named == NULL) {
        complain_unknown(x->l, ladder, "ladder", ladder->text, ladders);
        return;
    }
    g_autofree char *origin = g_strconcat("ladders.", ladder->text, NULL);
    YamlNode *copy = copy_from(x, named, origin);
    if (copy != NULL)
        node_become(x, ladder, copy);
}

static void expand_rules(Expansion *x)
{
    const YamlNode *rules = yaml_get(x->root, "rules"), *ladders = yaml_get(x->root, "ladders");

    for (size_t i = 0; rules != NULL && rules->kind == YAML_LIST && i < yaml_size(rules); i++) {
        YamlNode *rule = (YamlNode *) yaml_at(rules, i);

        if (rule->kind == YAML_MAP)
            expand_ladder(x, rule);
        default_steps(x, yaml_get(rule, "ladder"));
    }
    for (size_t i = 0; ladders != NULL && ladders->kind == YAML_MAP && i < yaml_size(ladders); i++)
        default_steps(x, yaml_at(ladders, i));
}

static void expand_all(Expansion *x)
{
    static const char *const not_expanded[] = { "variables", "templates", NULL };
    const YamlNode *applications = yaml_get(x->root, "applications");

    for (size_t i = 0; i < yaml_size(x->variables); i++)
        variable_value(x, x->variables->keys->pdata[i], yaml_key(x->variables, i));
    for (size_t i = 0; i < yaml_size(x->root); i++)
        if (strcmp(yaml_key(x->root, i), "variables") != 0)
            expand_variables(x, (YamlNode *) yaml_at(x->root, i));
    for (size_t i = 0; i < yaml_size(x->root); i++)
        if (!g_strv_contains(not_expanded, yaml_key(x->root, i)))
            expand_templates(x, (YamlNode *) yaml_at(x->root, i));
    check_templates(x);
    for (size_t i = 0; applications != NULL && applications->kind == YAML_LIST && i < yaml_size(applications); i++)
        default_application(x, yaml_at(applications, i), i);
    expand_rules(x);
}

/* NULL: there is none, or it is no map. */
static const YamlNode *named_map(Loader *l, const char *key, const char *what)
{
    const YamlNode *node = yaml_get(l->file->root, key);

    if (node == NULL || node->kind == YAML_MAP)
        return node;
    complain(l, node, "%s", what);
    return NULL;
}

void policy_expand(Loader *l)
{
    g_autoptr(GPtrArray) stack = g_ptr_array_new();
    g_autoptr(GHashTable) done = g_hash_table_new(NULL, NULL);
    Expansion x = { .l = l, .root = l->file->root, .stack = stack, .done = done };

    x.variables = named_map(l, "variables", "variables is a map of names to values");
    x.templates = named_map(l, "templates", "templates is a map of names to maps");
    expand_all(&x);
}
