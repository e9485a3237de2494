#include "agents/common/identity.h"

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/machine.h"
#include "lib/base/uuid.h"

#include <string.h>
#include <unistd.h>

#define CUSTOM_MAX_BYTES 255
#define DATA_MODE        0711 /* services of other users reach the socket of sd_notify in it, and nothing else */

void identity_free(Identity *identity)
{
    if (identity == NULL)
        return;
    g_free(identity->id);
    g_free(identity->filesystem);
    g_free(identity->machine_id);
    g_free(identity->hardware);
    g_free(identity->reboot);
    g_free(identity->agent);
    g_free(identity->custom);
    g_free(identity->boot_id);
    g_free(identity->genid);
    g_free(identity->hostname);
    g_free(identity);
}

static char *read_under(const char *root, const char *path)
{
    g_autofree char *full = g_build_filename(root, path, NULL);

    return file_read_line(full, 4096, NULL);
}

static char *uuid_under(const char *root, const char *path)
{
    g_autofree char *text = read_under(root, path);

    return text != NULL ? uuid_canonical(text) : NULL;
}

static char *hardware_uuid(const char *root)
{
    static const char *const places[] = {"sys/class/dmi/id/product_uuid", "proc/device-tree/vm,uuid", "sys/hypervisor/uuid"};

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        char *uuid = uuid_under(root, places[i]);

        /* boards without a UUID have all zeros or all ones, and would all be one machine */
        if (uuid != NULL && strcmp(uuid, "00000000-0000-0000-0000-000000000000") != 0 &&
            strcmp(uuid, "ffffffff-ffff-ffff-ffff-ffffffffffff") != 0)
            return uuid;
        g_free(uuid);
    }
    return NULL;
}

/* A UUID kept in a file of the data folder; made the first time. */
static char *kept_uuid(const char *data, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(data, name, NULL), *text = file_read_line(path, 64, NULL);
    char *uuid = text != NULL ? uuid_canonical(text) : NULL;

    if (uuid != NULL)
        return uuid;
    uuid = uuid_new();
    if (file_write(path, uuid, strlen(uuid), 0600, error))
        return uuid;
    g_free(uuid);
    return NULL;
}

static bool count_epoch(Identity *identity, const char *data, GError **error)
{
    g_autofree char *path = g_build_filename(data, "epoch", NULL), *text = file_read_line(path, 32, NULL), *next = NULL;
    guint64 last = text != NULL ? g_ascii_strtoull(text, NULL, 10) : 0;

    identity->epoch = last < G_MAXUINT32 ? (uint32_t) last + 1 : 1;
    next = g_strdup_printf("%u\n", identity->epoch);
    return file_write(path, next, strlen(next), 0600, error);
}

static char *read_hostname(void)
{
    char name[256] = "";

    gethostname(name, sizeof name - 1);
    return g_strdup(*name != '\0' ? name : "localhost");
}

char *identity_id(const char *data, const char *given, const char *root, GError **error)
{
    char *id = given != NULL ? uuid_canonical(given) : machine_uuid(root);

    if (given != NULL && id == NULL) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "--id: '%s' is no UUID", given);
        return NULL;
    }
    if (id == NULL && folder_make(data, DATA_MODE, error))
        id = kept_uuid(data, "filesystem-uuid", error);
    return id;
}

Identity *identity_load(const char *data, const char *given_id, const char *root, GError **error)
{
    g_autoptr(Identity) identity = g_new0(Identity, 1);
    g_autofree char *custom = g_build_filename(data, "custom-uuid", NULL);

    if (!folder_make(data, DATA_MODE, error) || !count_epoch(identity, data, error))
        return NULL;
    identity->machine_id = read_under(root, "etc/machine-id");
    identity->filesystem = uuid_under(root, "etc/machine-id");
    if (identity->filesystem == NULL && (identity->filesystem = kept_uuid(data, "filesystem-uuid", error)) == NULL)
        return NULL;
    if (identity->machine_id == NULL || *identity->machine_id == '\0') {
        g_free(identity->machine_id);
        identity->machine_id = g_strdup(identity->filesystem);
    }
    identity->hardware = hardware_uuid(root);
    identity->boot_id = uuid_under(root, "proc/sys/kernel/random/boot_id");
    if (identity->boot_id == NULL)
        identity->boot_id = uuid_new();
    identity->reboot = g_strdup(identity->boot_id);
    identity->agent = uuid_new();
    identity->custom = file_read_line(custom, CUSTOM_MAX_BYTES + 1, NULL);
    identity->genid = uuid_under(root, "sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw");
    identity->hostname = read_hostname();
    identity->id = identity_id(data, given_id, root, error);
    return identity->id != NULL ? g_steal_pointer(&identity) : NULL;
}

Identity *identity_of_other(const char *data, const char *id, const char *hostname, GError **error)
{
    g_autoptr(Identity) identity = g_new0(Identity, 1);

    identity->id = uuid_canonical(id);
    if (identity->id == NULL) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "'%s' is no UUID", id);
        return NULL;
    }
    if (!folder_make(data, DATA_MODE, error) || !count_epoch(identity, data, error))
        return NULL;
    identity->filesystem = g_strdup(identity->id);
    identity->machine_id = g_strdup(identity->id);
    identity->hardware = g_strdup(identity->id);
    identity->agent = uuid_new();
    identity->hostname = g_strdup(hostname != NULL ? hostname : identity->id);
    return g_steal_pointer(&identity);
}

bool identity_set_custom(Identity *identity, const char *data, const char *uuid, GError **error)
{
    g_autofree char *path = g_build_filename(data, "custom-uuid", NULL);

    if (*uuid == '\0' || strlen(uuid) > CUSTOM_MAX_BYTES || !g_utf8_validate(uuid, -1, NULL)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "a custom UUID has 1 to %d bytes", CUSTOM_MAX_BYTES);
        return false;
    }
    if (!file_write(path, uuid, strlen(uuid), 0600, error))
        return false;
    g_free(identity->custom);
    identity->custom = g_strdup(uuid);
    return true;
}
