/* mom, and mom_files: what was in its files when the policy was loaded (rule_files.c puts it there), so that a policy is whole in its text, in
 * the journal, and after a rollback. A rule file with a mistake is left out with a warning; the others run. */
#include "consumers/policy/language/loader.h"

#include "consumers/policy/engine/mom_section.h"

#include <string.h>

static void read_disk(Loader *l, const YamlNode *node, MomGuestLimits *guest)
{
    MomDiskLimits *disk = mom_disk_limits_new();

    if (read_fields(l, node, &section_mom_disk, disk) && disk->disk != NULL)
        g_ptr_array_add(guest->disks, disk);
    else
        mom_disk_limits_free(disk);
}

static void read_guests(Loader *l, const YamlNode *list, MomSection *mom)
{
    if (list == NULL || !read_is_list(l, list, "guests"))
        return;
    for (size_t i = 0; i < yaml_size(list); i++) {
        const YamlNode *node = yaml_at(list, i), *disks = yaml_get(node, "disks");
        MomGuestLimits *guest = mom_guest_limits_new();

        if (!read_fields(l, node, &section_mom_guest, guest) || guest->vm == NULL) {
            mom_guest_limits_free(guest);
            continue;
        }
        if (disks != NULL && read_is_list(l, disks, "disks"))
            for (size_t k = 0; k < yaml_size(disks); k++)
                read_disk(l, yaml_at(disks, k), guest);
        g_ptr_array_add(mom->guests, guest);
    }
}

static bool is_name(const char *text)
{
    return g_ascii_isalpha(*text) && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(text);
}

static void read_variables(Loader *l, const YamlNode *map, MomSection *mom)
{
    if (map != NULL && map->kind != YAML_MAP)
        complain(l, map, "variables: a map is wanted: {balloonEnabled: 1}");
    for (size_t i = 0; map != NULL && map->kind == YAML_MAP && i < yaml_size(map); i++) {
        const YamlNode *node = yaml_at(map, i);
        g_autoptr(json_t) value = node->kind == YAML_SCALAR ? yaml_to_json(node) : NULL;

        if (value == NULL || json_is_null(value))
            complain(l, node, "%s: a number, a text, true or false is wanted", yaml_key(map, i));
        else if (!is_name(yaml_key(map, i)))
            complain(l, node, "%s: rules have no variable of such a name: letters, digits, _ and - are wanted", yaml_key(map, i));
        else
            json_object_set(mom->variables, yaml_key(map, i), value);
    }
}

static void read_texts_of(Loader *l, const YamlNode *list, MomSection *mom)
{
    for (size_t i = 0; i < yaml_size(list); i++) {
        const YamlNode *node = yaml_at(list, i), *content = yaml_get(node, "text");
        MomText *text = mom_text_new();
        g_autoptr(GError) error = NULL;

        if (!read_fields(l, node, &section_mom_file, text) || text->name == NULL || content == NULL || content->kind != YAML_SCALAR) {
            if (content != NULL && content->kind != YAML_SCALAR)
                complain(l, content, "text: a text is wanted");
            mom_text_free(text);
            continue;
        }
        text->text = g_strdup(content->text);
        if (!mom_rules_add(mom->rules, text->name, text->text, strlen(text->text), &error))
            warn(l, node, "this rule file is left out, the others run: %s", error->message);
        g_ptr_array_add(mom->texts, text);
    }
}

/* What cannot be right in any run is told, too; it is no reason not to run. */
static void check_rules(Loader *l, const YamlNode *at, const MomSection *mom)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);

    mom_rules_check(mom->rules, warnings);
    for (guint i = 0; i < MIN(warnings->len, 10); i++)
        warn(l, at, "%s", (const char *) warnings->pdata[i]);
    if (mom->texts->len > 0 && mom->rules->files->len == 0)
        complain(l, at, "mom: none of its rule files can be read");
}

/* Unless the file says itself what is to be done with the one that is to go. */
static void add_eject_rule(Loader *l)
{
    for (guint i = 0; i < l->policy->rules->len; i++)
        if (rule_listens(l->policy->rules->pdata[i], "vm.eject"))
            return;
    Rule *rule = rule_new("eject", "vm.eject");
    Step *move = step_new("vm.migrate"), *tell = step_new(ACTION_NOTIFY);
    move->attempts = 1;
    tell->to = g_strdup("log");
    g_ptr_array_add(rule->ladder, move);
    g_ptr_array_add(rule->ladder, tell);
    g_ptr_array_add(l->policy->rules, rule);
}

void read_mom(Loader *l, const YamlNode *root)
{
    const YamlNode *node = yaml_get(root, "mom"), *files = yaml_get(root, "mom_files");
    const char *name;
    json_t *value;

    if (node == NULL && files != NULL)
        complain(l, files, "mom_files belongs to mom, which is not there");
    if (node == NULL)
        return;
    MomSection *mom = l->policy->mom = mom_section_new();
    if (!read_fields(l, node, &section_mom, mom))
        return;
    read_variables(l, yaml_get(node, "variables"), mom);
    read_guests(l, yaml_get(node, "guests"), mom);
    json_object_foreach(mom->variables, name, value)
        mom_rules_set(mom->rules, name, value);
    if (mom->files->len == 0)
        complain(l, yaml_get(node, "files") != NULL ? yaml_get(node, "files") : node, "mom: files: at least one rule file is wanted");
    else if (files == NULL)
        complain(l, yaml_get(node, "files"), "the rule files are not in this text: `mend policy check`, `load` and `run` read them with the policy's file");
    else if (read_is_list(l, files, "mom_files"))
        read_texts_of(l, files, mom);
    if (files != NULL)
        check_rules(l, yaml_get(node, "files") != NULL ? yaml_get(node, "files") : node, mom);
    if (mom->eject.floor_bytes > 0)
        add_eject_rule(l);
}
