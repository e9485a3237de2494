#include "agents/guest/deny_list.h"

#include <string.h>

bool deny_list_has(char *const *names, const QmfClass *class, const char *member)
{
    g_autofree char *name = g_strconcat(class->package, ".", class->name, ".", member, NULL);

    for (; names != NULL && *names != NULL; names++)
        if (g_pattern_match_simple(*names, name))
            return true;
    return false;
}

static bool is_known(const char *name)
{
    const QmfSchema *schema = qmf_schema_builtin();
    const char *const one[] = {name, NULL};
    char *const *names = (char *const *) one;

    for (size_t i = 0; i < qmf_schema_size(schema); i++) {
        const QmfClass *class = qmf_schema_at(schema, i);

        for (size_t k = 0; k < class->n_methods; k++)
            if (deny_list_has(names, class, class->methods[k].name))
                return true;
        for (size_t k = 0; k < class->n_properties; k++)
            if (deny_list_has(names, class, class->properties[k].name))
                return true;
    }
    return g_str_has_prefix(name, "org.matahariproject.rpc.plugin.") || strchr(name, '@') != NULL;
}

bool deny_list_check(char *const *names, GError **error)
{
    for (; names != NULL && *names != NULL; names++)
        if (!is_known(*names)) {
            g_set_error(error, QMF_ERROR, QMF_ERROR_UNKNOWN,
                        "--deny: no method or property is called '%s'; wanted is org.matahariproject.CLASS.MEMBER, for example "
                        "org.matahariproject.Host.reboot", *names);
            return false;
        }
    return true;
}
