#include "agents/host/libvirt/definitions.h"

#include "agents/host/libvirt/domain_xml.h"
#include "lib/base/file.h"

#include <string.h>

bool definition_keep(const char *folder, const char *vm, const char *xml, GError **error)
{
    g_autofree char *kept = g_build_filename(folder, "definitions", NULL), *path = g_strdup_printf("%s/%s.xml", kept, vm);

    return folder_make(kept, 0700, error) && file_write(path, xml, strlen(xml), 0600, error);
}

char *definition_kept(const char *folder, const char *vm)
{
    g_autofree char *path = g_strdup_printf("%s/definitions/%s.xml", folder, vm);
    char *xml = NULL;

    return g_file_get_contents(path, &xml, NULL, NULL) ? xml : NULL;
}

bool definition_check(const char *xml, const char *vm, GError **error)
{
    g_autoptr(DomainXml) parsed = domain_xml_parse(xml, error);

    if (parsed == NULL)
        return false;
    if (g_strcmp0(parsed->uuid, vm) != 0) {
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "its <uuid> is %s, not %s", parsed->uuid != NULL ? parsed->uuid : "absent", vm);
        return false;
    }
    return true;
}
