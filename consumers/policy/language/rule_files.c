#include "consumers/policy/language/rule_files.h"

#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/mom/rules.h"
#include "lib/base/json.h"
#include "lib/base/yaml.h"

#include <string.h>

void rule_file_free(RuleFile *file)
{
    g_free(file->name);
    g_free(file->text);
    g_free(file);
}

static bool read_one(const char *path, GPtrArray *ret, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, error)) {
        g_prefix_error(error, "rule file: ");
        return false;
    }
    if (length > MOM_TEXT_MAX || ret->len >= MOM_FILES_MAX) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, length > MOM_TEXT_MAX ? "%s: longer than %u KiB" : "%s: more than %u rule files", path,
                    length > MOM_TEXT_MAX ? MOM_TEXT_MAX >> 10 : MOM_FILES_MAX);
        return false;
    }
    RuleFile *file = g_new0(RuleFile, 1);
    *file = (RuleFile) { g_path_get_basename(path), g_steal_pointer(&text), length };
    g_ptr_array_add(ret, file);
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool read_folder(const char *path, GPtrArray *ret, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *folder = g_dir_open(path, 0, error);
    const char *name;
    bool fine = true;

    if (folder == NULL)
        return false;
    while ((name = g_dir_read_name(folder)) != NULL)
        if (name[0] != '.' && g_str_has_suffix(name, ".policy"))
            g_ptr_array_add(names, g_build_filename(path, name, NULL));
    g_dir_close(folder);
    g_ptr_array_sort(names, by_text);
    for (guint i = 0; fine && i < names->len; i++)
        fine = read_one(names->pdata[i], ret, error);
    if (names->len > 0)
        return fine;
    g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "%s: no rule file in this folder: their names end in .policy", path);
    return false;
}

bool rule_files_read(const char *path, const char *beside, GPtrArray *ret, GError **error)
{
    g_autofree char *whole = beside == NULL || g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(beside, path, NULL);

    return g_file_test(whole, G_FILE_TEST_IS_DIR) ? read_folder(whole, ret, error) : read_one(whole, ret, error);
}

/* The names that `mom` gives; NULL: none, or the text is not one that a policy can be. */
static GPtrArray *names_of(const char *path, const char *text, bool *ret_flow)
{
    g_autoptr(YamlFile) file = yaml_read(path, text, strlen(text), NULL);
    const YamlNode *root = file == NULL ? NULL : file->root, *files = yaml_get(yaml_get(root, "mom"), "files");

    if (files == NULL || files->kind != YAML_LIST || yaml_get(root, "mom_files") != NULL)
        return NULL;
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < yaml_size(files); i++)
        if (yaml_at(files, i)->kind == YAML_SCALAR)
            g_ptr_array_add(names, g_strdup(yaml_at(files, i)->text));
    *ret_flow = text[strspn(text, " \t\r\n")] == '{';
    return names;
}

/* A rule file's text as a JSON string that is a YAML one, too, and that no variable of the policy is put into. */
static json_t *file_to_json(const RuleFile *file)
{
    g_autofree char *valid = g_utf8_validate(file->text, (gssize) file->length, NULL) ? g_strndup(file->text, file->length) : NULL;
    g_auto(GStrv) parts = valid == NULL ? NULL : g_strsplit(valid, "${", -1);
    g_autofree char *text = parts == NULL ? NULL : g_strjoinv("$${", parts);

    return text == NULL ? NULL : json_pack("{s:s, s:s}", "name", file->name, "text", text);
}

char *rule_files_embed(const char *path, const char *text, GError **error)
{
    bool flow = false;
    g_autoptr(GPtrArray) names = names_of(path, text, &flow), files = g_ptr_array_new_with_free_func((GDestroyNotify) rule_file_free);
    g_autofree char *beside = g_path_get_dirname(path);
    g_autoptr(GString) whole = g_string_new(text);

    if (names == NULL)
        return g_string_free(g_steal_pointer(&whole), FALSE);
    for (guint i = 0; i < names->len; i++)
        if (!rule_files_read(names->pdata[i], beside, files, error))
            return NULL;
    const char *end = flow ? strrchr(text, '}') : NULL; /* JSON: the text ends with it */
    g_autofree char *after = g_strdup(end);
    if (end != NULL)
        g_string_truncate(whole, (gsize) (end - text));
    g_string_append(whole, flow ? ",\n\"mom_files\": [" : "\n# What was in the rule files when this policy was loaded.\nmom_files:\n");
    for (guint i = 0; i < files->len; i++) {
        g_autoptr(json_t) json = file_to_json(files->pdata[i]);
        g_autofree char *line = json == NULL ? NULL : json_text(json);

        if (json == NULL) {
            g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "%s: this is not UTF-8 text", ((const RuleFile *) files->pdata[i])->name);
            return NULL;
        }
        g_string_append_printf(whole, "%s%s\n", !flow ? "  - " : i > 0 ? ", " : " ", line);
    }
    if (flow)
        g_string_append_printf(whole, "]%s", after);
    return g_string_free(g_steal_pointer(&whole), FALSE);
}
