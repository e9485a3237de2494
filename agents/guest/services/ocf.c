#include "agents/guest/services/ocf.h"

#include <string.h>
#include <sys/stat.h>

static const struct {
    int code;
    const char *text;
    OcfClass class;
} codes[] = {
#define X(id, value, words, kind) {value, words, OCF_CLASS_##kind},
    OCF_CODES(X)
#undef X
};

const char *ocf_code_text(int rc)
{
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].code == rc)
            return codes[i].text;
    return "unknown code";
}

OcfClass ocf_code_class(int rc)
{
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i].code == rc)
            return codes[i].class;
    return OCF_CLASS_SOFT;
}

ServiceState ocf_monitor_state(int rc)
{
    switch (rc) {
    case OCF_OK:
    case OCF_PROMOTED: return SERVICE_RUNNING;
    case OCF_DEGRADED:
    case OCF_DEGRADED_PROMOTED: return SERVICE_DEGRADED;
    case OCF_NOT_RUNNING: return SERVICE_STOPPED;
    case OCF_PENDING: return SERVICE_STARTING;
    case OCF_CONNECTION_DIED:
    case OCF_CANCELLED: return SERVICE_UNKNOWN;
    default: return SERVICE_FAILED;
    }
}

int ocf_from_lsb_status(int status)
{
    return status == 0 ? OCF_OK : status >= 1 && status <= 3 ? OCF_NOT_RUNNING : OCF_GENERIC;
}

bool safe_component(const char *name)
{
    if (name == NULL || *name == '\0' || *name == '.' || strlen(name) > 128)
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-")] == '\0';
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Names in @folder that are folders (@want_folders) or executable files. */
static char **list_names(const char *folder, bool want_folders)
{
    GPtrArray *names = g_ptr_array_new();
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat st;

        if (!safe_component(name) || stat(path, &st) != 0)
            continue;
        if (want_folders ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0)
            g_ptr_array_add(names, g_strdup(name));
    }
    qsort(names->pdata, names->len, sizeof(void *), by_name);
    g_ptr_array_add(names, NULL);
    return (char **) g_ptr_array_free(names, FALSE);
}

char **ocf_list_providers(const char *ocf_root)
{
    g_autofree char *folder = g_build_filename(ocf_root, "resource.d", NULL);

    return list_names(folder, true);
}

char **ocf_list_agents(const char *ocf_root, const char *provider)
{
    g_autofree char *folder = safe_component(provider) ? g_build_filename(ocf_root, "resource.d", provider, NULL) : g_strdup("");

    return list_names(folder, false);
}

char **lsb_list_scripts(const char *init_dir)
{
    return list_names(init_dir, false);
}
