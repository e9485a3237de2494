#include "consumers/policy/language/rule_files.h"

#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/mom/rules.h"

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
