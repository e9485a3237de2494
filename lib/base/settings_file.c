/* The settings file: one flat YAML mapping. */
#include "lib/base/settings_rows.h"

#include "lib/base/yaml.h"

#include <string.h>

static bool put_scalar(const Setting *row, void *target, const YamlFile *file, const YamlNode *node, GError **error)
{
    g_autofree char *where = g_strdup_printf("%s:%d:%d: ", file->name, node->line, node->column);

    if (node->kind != YAML_SCALAR)
        return yaml_error(file, node, error, "%s: one value is wanted here", row->name);
    if (row->type == SETTING_STRING && !node->quoted && (strcmp(node->text, "null") == 0 || node->text[0] == '\0'))
        return true; /* as the default has it */
    return settings_put(row, target, node->text, where, error);
}

static bool put_node(const Setting *row, void *target, const YamlFile *file, const YamlNode *node, GError **error)
{
    if (row->type != SETTING_LIST)
        return put_scalar(row, target, file, node, error);
    settings_list_clear(row, target);
    if (node->kind != YAML_LIST)
        return put_scalar(row, target, file, node, error);
    for (size_t i = 0; i < yaml_size(node); i++)
        if (!put_scalar(row, target, file, yaml_at(node, i), error))
            return false;
    return true;
}

bool settings_read_file(const Setting *rows, size_t n_rows, void *target, const char *path, GError **error)
{
    g_autoptr(YamlFile) file = yaml_read_file(path, error);

    if (file == NULL)
        return false;
    if (file->root != NULL && file->root->kind != YAML_MAP)
        return yaml_error(file, file->root, error, "a mapping \"name: value\" is wanted");
    for (size_t i = 0; i < yaml_size(file->root); i++) {
        const YamlNode *key = g_ptr_array_index(file->root->keys, i);
        g_autofree char *where = g_strdup_printf("%s:%d:%d: ", path, key->line, key->column);
        const Setting *row = settings_row(rows, n_rows, key->text, where, error);

        if (row == NULL || !put_node(row, target, file, yaml_at(file->root, i), error))
            return false;
    }
    return true;
}
