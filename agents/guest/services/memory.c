#include "agents/guest/services/memory.h"

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX_BYTES 65536

struct Memory {
    char *folder;
    char *boot; /* NULL: this machine's */
};

const char *boot_id(void)
{
    static char *id;

    if (id == NULL && (id = file_read_line("/proc/sys/kernel/random/boot_id", 64, NULL)) == NULL)
        id = g_strdup("unknown");
    return id;
}

Memory *memory_new(const char *folder, GError **error)
{
    Memory *memory;

    if (!folder_make(folder, 0700, error))
        return NULL;
    memory = g_new0(Memory, 1);
    memory->folder = g_strdup(folder);
    return memory;
}

void memory_free(Memory *memory)
{
    if (memory == NULL)
        return;
    g_free(memory->folder);
    g_free(memory->boot);
    g_free(memory);
}

static char *record_path(const Memory *memory, const char *name)
{
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE); /* no '/', and "." becomes no path of its own below */
    g_autofree char *file = g_strconcat("s-", escaped, ".json", NULL);

    if (strlen(file) > 250) { /* a name of many escaped bytes: its digest names it as well */
        g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);

        return g_strdup_printf("%s/h-%s.json", memory->folder, sum);
    }
    return g_build_filename(memory->folder, file, NULL);
}

json_t *memory_load(const Memory *memory, const char *name)
{
    g_autofree char *path = memory != NULL ? record_path(memory, name) : NULL;
    g_autofree char *text = path != NULL ? file_read_line(path, RECORD_MAX_BYTES, NULL) : NULL;
    json_t *record = text != NULL ? json_parse(text, strlen(text), path, NULL) : NULL;

    if (json_is_object(record))
        return record;
    json_decref(record);
    return json_object();
}

static const char *boot_of(const Memory *memory)
{
    return memory != NULL && memory->boot != NULL ? memory->boot : boot_id();
}

bool memory_same_boot(const Memory *memory, const json_t *record)
{
    return g_strcmp0(json_string_value(json_object_get(record, "boot_id")), boot_of(memory)) == 0;
}

void memory_set_boot(Memory *memory, const char *id)
{
    g_free(memory->boot);
    memory->boot = g_strdup(id);
}

static bool write_whole(const char *path, const char *text, GError **error)
{
    g_autofree char *beside = g_strconcat(path, ".new", NULL);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t) n;

    ok = ok && rename(beside, path) == 0;
    if (!ok)
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", path, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

void memory_change(const Memory *memory, const char *name, json_t *change)
{
    g_autoptr(json_t) record = memory_load(memory, name), owned = change;
    g_autofree char *text = NULL, *path = NULL;
    g_autoptr(GError) error = NULL;
    const char *key;
    json_t *value;

    if (memory == NULL)
        return;
    json_object_foreach(owned, key, value) {
        if (json_is_null(value))
            json_object_del(record, key);
        else
            json_object_set(record, key, value);
    }
    json_object_set_new(record, "boot_id", json_string(boot_of(memory)));
    text = json_text(record);
    path = record_path(memory, name);
    if (!write_whole(path, text, &error))
        log_warning("cannot remember %s: %s", name, error->message);
}

void memory_forget(const Memory *memory, const char *name)
{
    g_autofree char *path = memory != NULL ? record_path(memory, name) : NULL;

    if (path != NULL)
        unlink(path);
}
