/* GMarkup and the path of open elements are enough: what is read stands at a fixed depth, but for the chain of backing images, which
 * nests. A disk's own source, its backingStore's and its mirror's have the same element name, so the path decides whose it is. */
#include "agents/host/libvirt/domain_xml.h"

#include "lib/base/uuid.h"

#include <string.h>

#define DEPTH_MAX 64

typedef struct Reader {
    DomainXml *xml;
    GString *path;     /* "domain/devices/disk/source" of what is open */
    DomainDisk *disk;  /* inside <disk> */
    unsigned open, roots;
} Reader;

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (; *names != NULL; names++, values++)
        if (strcmp(*names, name) == 0)
            return *values;
    return NULL;
}

static const char *source_of(const char **names, const char **values)
{
    const char *file = attribute(names, values, "file");

    return file != NULL ? file : attribute(names, values, "dev");
}

static void replace(char **slot, const char *text)
{
    if (text != NULL) {
        g_free(*slot);
        *slot = g_strdup(text);
    }
}

static void disk_free(DomainDisk *disk)
{
    g_free(disk->target);
    g_free(disk->type);
    g_free(disk->device);
    g_free(disk->source);
    g_free(disk->format);
    g_free(disk->cache);
    g_free(disk->backing);
    g_free(disk->job_to);
    g_free(disk);
}

/* @at: the path below <disk>. */
static void disk_part(DomainDisk *disk, const char *at, const char **names, const char **values)
{
    if (strcmp(at, "/target") == 0) {
        replace(&disk->target, attribute(names, values, "dev"));
    } else if (strcmp(at, "/source") == 0) {
        replace(&disk->source, source_of(names, values));
    } else if (strcmp(at, "/driver") == 0) {
        replace(&disk->format, attribute(names, values, "type"));
        replace(&disk->cache, attribute(names, values, "cache"));
    } else if (strcmp(at, "/readonly") == 0) {
        disk->readonly = true;
    } else if (strcmp(at, "/backingStore/source") == 0) {
        replace(&disk->backing, source_of(names, values));
    } else if (strcmp(at, "/mirror") == 0) {
        disk->has_job = true;
        disk->job_ready = g_strcmp0(attribute(names, values, "ready"), "yes") == 0;
    } else if (strcmp(at, "/mirror/source") == 0) {
        replace(&disk->job_to, source_of(names, values));
    }
    if (g_str_has_suffix(at, "/backingStore/source") && g_str_has_prefix(at, "/backingStore"))
        disk->depth++;
}

static void on_start(GMarkupParseContext *context, const char *name, const char **names, const char **values, void *user, GError **error)
{
    Reader *r = user;

    if (++r->open > DEPTH_MAX) {
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "elements are nested deeper than %d", DEPTH_MAX);
        return;
    }
    if (r->open == 1 && (strcmp(name, "domain") != 0 || r->roots++ > 0)) {
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "<%s> where one <domain> belongs", name);
        return;
    }
    g_string_append_printf(r->path, "/%s", name);
    const char *path = r->path->str;

    if (strcmp(path, "/domain/devices/disk") == 0) {
        if (r->xml->disks->len >= DOMAIN_XML_DISKS_MAX) {
            g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "more than %d disks", DOMAIN_XML_DISKS_MAX);
            return;
        }
        r->disk = g_new0(DomainDisk, 1);
        replace(&r->disk->type, attribute(names, values, "type"));
        r->disk->device = g_strdup("disk");
        replace(&r->disk->device, attribute(names, values, "device"));
        g_ptr_array_add(r->xml->disks, r->disk);
    } else if (r->disk != NULL) {
        disk_part(r->disk, path + strlen("/domain/devices/disk"), names, values);
    } else if (strcmp(path, "/domain/devices/channel/target") == 0 &&
               g_strcmp0(attribute(names, values, "name"), "org.qemu.guest_agent.0") == 0) {
        r->xml->has_agent = true;
        r->xml->agent_is_connected = g_strcmp0(attribute(names, values, "state"), "connected") == 0;
    } else if (strcmp(path, "/domain/devices/memballoon") == 0) {
        r->xml->has_balloon = g_strcmp0(attribute(names, values, "model"), "none") != 0;
    } else if (strcmp(path, "/domain/devices/memballoon/stats") == 0) {
        const char *period = attribute(names, values, "period");

        r->xml->stats_period_s = period == NULL ? 0 : (unsigned) MIN(g_ascii_strtoull(period, NULL, 10), 86400);
    }
}

static void on_end(GMarkupParseContext *context, const char *name, void *user, GError **error)
{
    Reader *r = user;

    if (strcmp(r->path->str, "/domain/devices/disk") == 0)
        r->disk = NULL;
    g_string_truncate(r->path, r->path->len - strlen(name) - 1);
    r->open--;
}

static void on_text(GMarkupParseContext *context, const char *text, gsize length, void *user, GError **error)
{
    Reader *r = user;
    const char *path = r->path->str;
    g_autofree char *word = NULL;

    if (strcmp(path, "/domain/uuid") == 0) {
        word = g_strstrip(g_strndup(text, length));
        g_free(r->xml->uuid);
        r->xml->uuid = uuid_canonical(word);
    } else if (strcmp(path, "/domain/name") == 0) {
        word = g_strndup(text, length);
        replace(&r->xml->name, word);
    } else if (strcmp(path, "/domain/on_poweroff") == 0) {
        word = g_strndup(text, length);
        replace(&r->xml->on_poweroff, word);
    } else if (strcmp(path, "/domain/on_crash") == 0) {
        word = g_strndup(text, length);
        replace(&r->xml->on_crash, word);
    } else if (strcmp(path, "/domain/genid") == 0 || strcmp(path, "/domain/hwuuid") == 0) {
        char **slot = path[strlen("/domain/")] == 'g' ? &r->xml->genid : &r->xml->hwuuid;

        word = g_strstrip(g_strndup(text, length));
        g_free(*slot);
        *slot = uuid_canonical(word);
    }
}

DomainXml *domain_xml_parse(const char *text, GError **error)
{
    static const GMarkupParser parser = {.start_element = on_start, .end_element = on_end, .text = on_text};
    g_autoptr(DomainXml) xml = g_new0(DomainXml, 1);
    Reader reader = {.xml = xml, .path = g_string_new(NULL)};
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &reader, NULL);
    size_t length = strlen(text);

    xml->disks = g_ptr_array_new_with_free_func((GDestroyNotify) disk_free);
    if (length > DOMAIN_XML_BYTES_MAX)
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "%zu bytes of XML, at most %zu", length, DOMAIN_XML_BYTES_MAX);
    bool good = length <= DOMAIN_XML_BYTES_MAX && g_markup_parse_context_parse(context, text, (gssize) length, error) &&
                g_markup_parse_context_end_parse(context, error);
    g_markup_parse_context_free(context);
    g_string_free(reader.path, TRUE);
    return good ? g_steal_pointer(&xml) : NULL;
}

void domain_xml_free(DomainXml *xml)
{
    if (xml == NULL)
        return;
    g_clear_pointer(&xml->disks, g_ptr_array_unref);
    g_free(xml->uuid);
    g_free(xml->name);
    g_free(xml->on_poweroff);
    g_free(xml->on_crash);
    g_free(xml->genid);
    g_free(xml->hwuuid);
    g_free(xml);
}

const DomainDisk *domain_xml_disk(const DomainXml *xml, const char *target)
{
    for (guint i = 0; i < xml->disks->len; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];

        if (g_strcmp0(disk->target, target) == 0)
            return disk;
    }
    return NULL;
}
