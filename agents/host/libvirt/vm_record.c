#include "agents/host/libvirt/vm_record.h"

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define WRITE_AFTER_MS 200

struct VmRecord {
    Host *host;
    char *path;
    json_t *vms;      /* id → {state, intent, reason, boot_id} */
    guint source;
    bool writing, dirty;
};

typedef struct Writing {
    VmRecord *record; /* main loop only */
    char *path, *text;
    GError *error;
} Writing;

static void write_soon(VmRecord *record);

static void write_work(void *data)
{
    Writing *writing = data;

    file_write(writing->path, writing->text, strlen(writing->text), 0600, &writing->error);
}

static void writing_free(void *data)
{
    Writing *writing = data;

    g_clear_error(&writing->error);
    free(writing->text);
    g_free(writing->path);
    g_free(writing);
}

static void write_done(void *data)
{
    Writing *writing = data;
    VmRecord *record = writing->record;

    if (writing->error != NULL)
        log_warning("what was told of VMs cannot be kept: %s", writing->error->message);
    record->writing = false;
    if (record->dirty)
        write_soon(record);
    writing_free(writing);
}

static gboolean on_write(void *user)
{
    VmRecord *record = user;
    Writing *writing = g_new0(Writing, 1);

    record->source = 0;
    record->dirty = false;
    record->writing = true;
    *writing = (Writing) { record, g_strdup(record->path), json_dumps(record->vms, JSON_INDENT(1) | JSON_SORT_KEYS), NULL };
    host_work(record->host, "vm-record", write_work, write_done, writing_free, writing);
    return G_SOURCE_REMOVE;
}

static void write_soon(VmRecord *record)
{
    record->dirty = true;
    if (record->source == 0 && !record->writing)
        record->source = g_timeout_add(WRITE_AFTER_MS, on_write, record);
}

VmRecord *vm_record_open(Host *host)
{
    VmRecord *record = g_new0(VmRecord, 1);
    json_error_t error;

    record->host = host;
    record->path = g_build_filename(host_data(host), "vms.json", NULL);
    record->vms = json_load_file(record->path, 0, &error);
    if (record->vms == NULL && g_file_test(record->path, G_FILE_TEST_EXISTS))
        log_warning("%s cannot be read (%s): what was told of VMs before is not known", record->path, error.text);
    if (!json_is_object(record->vms)) {
        json_decref(record->vms);
        record->vms = json_object();
    }
    return record;
}

void vm_record_close(VmRecord *record)
{
    g_autoptr(GError) error = NULL;
    char *text;

    if (record == NULL)
        return;
    g_clear_handle_id(&record->source, g_source_remove);
    if (record->dirty || record->writing) {
        text = json_dumps(record->vms, JSON_INDENT(1) | JSON_SORT_KEYS);
        if (!file_write(record->path, text, strlen(text), 0600, &error))
            log_warning("what was told of VMs cannot be kept: %s", error->message);
        free(text);
    }
    json_decref(record->vms);
    g_free(record->path);
    g_free(record);
}

bool vm_record_get(const VmRecord *record, const char *vm, VmRecordEntry *ret)
{
    const json_t *entry = json_object_get(record->vms, vm);

    if (!json_is_object(entry))
        return false;
    *ret = (VmRecordEntry) { json_string_or(entry, "state", NULL), json_string_or(entry, "intent", NULL), json_string_or(entry, "reason", NULL),
                             json_string_or(entry, "boot_id", NULL) };
    return ret->state != NULL;
}

void vm_record_put(VmRecord *record, const char *vm, const VmRecordEntry *entry)
{
    json_t *before = json_object_get(record->vms, vm);
    json_t *now = json_pack("{s:s, s:s?, s:s?, s:s?}", "state", entry->state, "intent", entry->intent, "reason", entry->reason, "boot_id",
                            entry->boot_id);

    if (now == NULL || json_equal(before, now)) {
        json_decref(now);
        return;
    }
    json_object_set_new(record->vms, vm, now);
    write_soon(record);
}

void vm_record_remove(VmRecord *record, const char *vm)
{
    if (json_object_del(record->vms, vm) == 0)
        write_soon(record);
}
