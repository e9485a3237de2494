#include "lib/base/machine.h"

#include "lib/base/file.h"
#include "lib/base/uuid.h"

#include <string.h>

static char *uuid_under(const char *root, const char *path)
{
    g_autofree char *full = g_build_filename(root, path, NULL), *text = file_read_line(full, 256, NULL);
    char *uuid = text != NULL ? uuid_canonical(text) : NULL;

    /* boards without a UUID have all zeros or all ones, and would all be one machine */
    if (uuid != NULL && (strspn(uuid, "0-") == strlen(uuid) || strspn(uuid, "f-") == strlen(uuid)))
        g_clear_pointer(&uuid, g_free);
    return uuid;
}

static bool in_container(const char *root)
{
    static const char *const marks[] = { "run/systemd/container", ".dockerenv", "run/.containerenv" };
    g_autofree char *path = g_build_filename(root, "proc/1/environ", NULL), *environment = NULL;
    gsize length = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(marks); i++) {
        g_autofree char *mark = g_build_filename(root, marks[i], NULL);

        if (g_file_test(mark, G_FILE_TEST_EXISTS))
            return true;
    }
    return g_file_get_contents(path, &environment, &length, NULL)
           && (g_str_has_prefix(environment, "container=") || memmem(environment, length, "\0container=", 11) != NULL);
}

char *machine_uuid(const char *root)
{
    static const char *const places[] = { "sys/class/dmi/id/product_uuid", "proc/device-tree/vm,uuid", "sys/hypervisor/uuid" };
    char *uuid = NULL;

    if (!in_container(root))
        for (size_t i = 0; uuid == NULL && i < G_N_ELEMENTS(places); i++)
            uuid = uuid_under(root, places[i]);
    return uuid != NULL ? uuid : uuid_under(root, "etc/machine-id");
}
