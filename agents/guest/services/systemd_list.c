#include "agents/guest/services/systemd_private.h"

#include <string.h>

struct SystemdList {
    GCancellable *cancel;
    void (*done)(char *const *names, void *user);
    void *user;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static char **service_names(GVariant *reply)
{
    GPtrArray *names = g_ptr_array_new();
    g_autoptr(GVariantIter) files = NULL;
    const char *path;

    if (reply != NULL && g_variant_is_of_type(reply, G_VARIANT_TYPE("(a(ss))"))) {
        g_variant_get(reply, "(a(ss))", &files);
        while (g_variant_iter_next(files, "(&s&s)", &path, NULL)) {
            const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;

            if (g_str_has_suffix(name, ".service") && strchr(name, '@') == NULL) /* templates name no service yet */
                g_ptr_array_add(names, g_strndup(name, strlen(name) - strlen(".service")));
        }
    }
    if (names->len > 0)
        qsort(names->pdata, names->len, sizeof(void *), by_name);
    g_ptr_array_add(names, NULL);
    return (char **) g_ptr_array_free(names, FALSE);
}

void systemd_list_free(SystemdList *list)
{
    if (list == NULL)
        return;
    g_cancellable_cancel(list->cancel);
    g_object_unref(list->cancel);
    g_free(list);
}

static void on_files(GVariant *reply, const GError *error, void *user)
{
    SystemdList *list = user;
    void (*done)(char *const *names, void *user);
    g_auto(GStrv) names = NULL;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the list is gone */
    done = list->done;
    user = list->user;
    names = service_names(reply);
    systemd_list_free(list);
    done(names, user);
}

SystemdList *systemd_list_services(Systemd *systemd, void (*done)(char *const *names, void *user), void *user)
{
    SystemdList *list = g_new0(SystemdList, 1);

    *list = (SystemdList){g_cancellable_new(), done, user};
    systemd_invoke(systemd, SYSTEMD_PATH, SYSTEMD_MANAGER, "ListUnitFiles", NULL, list->cancel, on_files, list);
    return list;
}
