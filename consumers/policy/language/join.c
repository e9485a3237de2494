/* A policy of several documents: the first is the site's own, and may say everything; each further one brings applications and rules of somebody
 * else (an importer, a bridge), and can be taken out again as it was put in, without a touch to what people wrote. Their rules stand before those of
 * the first: what is about one application is asked before what is about all. */
#include "consumers/policy/language/loader.h"

#include <string.h>

static YamlNode *list_of(YamlNode *root, const char *key)
{
    YamlNode *list = (YamlNode *) yaml_get(root, key), *name;

    if (list != NULL)
        return list;
    list = yaml_node_new(YAML_LIST, root);
    name = yaml_node_new(YAML_SCALAR, root);
    name->text = g_strdup(key);
    g_ptr_array_add(root->keys, name);
    g_ptr_array_add(root->items, list);
    return list;
}

/* A file without rules has the default ones, and keeps them behind those that come. */
static YamlNode *rules_of(YamlNode *root)
{
    bool had = yaml_get(root, "rules") != NULL;
    YamlNode *rules = list_of(root, "rules"), *word;

    if (had)
        return rules;
    word = yaml_node_new(YAML_SCALAR, root);
    word->text = g_strdup("default");
    g_ptr_array_add(rules->items, word);
    return rules;
}

/* The items of @from go into @to, before its @at-th; returns how many. */
static guint move_items(Loader *l, YamlNode *to, guint at, YamlNode *from, const char *key)
{
    guint n = 0;

    if (!read_is_list(l, from, key) || to->kind != YAML_LIST)
        return 0;
    for (; from->items->len > 0; n++)
        g_ptr_array_insert(to->items, (int) (at + n), g_ptr_array_steal_index(from->items, 0));
    return n;
}

static bool keys_are_known(Loader *l, const YamlNode *part)
{
    static const char *const known[] = { "mend", "applications", "rules", NULL };
    bool fine = true;

    for (size_t i = 0; i < yaml_size(part); i++)
        if (!g_strv_contains(known, yaml_key(part, i)))
            fine = complain(l, part->keys->pdata[i], "\"%s\" belongs into the first document: a further one has mend, applications and rules", yaml_key(part, i));
    return fine;
}

void policy_join(Loader *l)
{
    YamlNode *root = l->file->root;
    guint rules = 0;

    for (guint i = 0; i < l->file->more->len; i++) {
        YamlNode *part = l->file->more->pdata[i], *own;

        if (part->kind != YAML_MAP) {
            complain(l, part, "a further document is a map, too: mend, applications, rules");
            continue;
        }
        policy_check_version(l, part);
        if (!keys_are_known(l, part))
            continue;
        if ((own = (YamlNode *) yaml_get(part, "applications")) != NULL) {
            YamlNode *to = list_of(root, "applications");

            move_items(l, to, (guint) yaml_size(to), own, "applications");
        }
        if ((own = (YamlNode *) yaml_get(part, "rules")) != NULL)
            rules += move_items(l, rules_of(root), rules, own, "rules");
    }
}
