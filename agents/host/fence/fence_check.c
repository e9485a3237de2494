#include "agents/host/fence/fence_check.h"

#include "agents/host/fence/device.h"
#include "lib/base/clock.h"

#include <stdio.h>
#include <string.h>

typedef struct Check {
    FencingFile *file;
    FenceDevices *devices;
    GMainLoop *loop;
    GPtrArray *rows;   /* of Row, in the order of the file */
    unsigned waiting, wrong;
} Check;

typedef struct Row {
    Check *check;
    const FenceHost *host;
    unsigned level;
    const FenceDevice *device;
    FenceSays says;
    char *text;
    int64_t began_us, took_us;
} Row;

static void row_free(Row *row)
{
    g_free(row->text);
    g_free(row);
}

static void on_answer(const FenceAnswer *answer, void *user)
{
    Row *row = user;

    row->says = answer->says;
    row->text = g_strdup(answer->text);
    row->took_us = clock_now_us() - row->began_us;
    row->check->wrong += answer->says == FENCE_SAYS_FAILED;
    if (--row->check->waiting == 0)
        g_main_loop_quit(row->check->loop);
}

static void add_rows(Check *check, const FenceHost *host)
{
    for (unsigned level = 0; level < FENCE_LEVELS; level++)
        for (guint i = 0; host->levels[level] != NULL && i < host->levels[level]->len; i++) {
            Row *row = g_new0(Row, 1);

            *row = (Row) { check, host, level + 1, host->levels[level]->pdata[i], FENCE_SAYS_FAILED, NULL, clock_now_us(), 0 };
            g_ptr_array_add(check->rows, row);
        }
}

static void ask_all(Check *check)
{
    FenceAsker asker = fence_devices_asker(check->devices);

    check->waiting = check->rows->len;
    for (guint i = 0; i < check->rows->len; i++) {
        Row *row = check->rows->pdata[i];
        int64_t patience_us = row->device->timeout_us[FENCE_STATUS] + row->device->timeout_us[FENCE_METADATA];

        asker.ask(asker.self, row->device, row->host, FENCE_STATUS, clock_now_us() + patience_us * (int64_t) (check->rows->len + 1), on_answer, row);
    }
    if (check->waiting > 0)
        g_main_loop_run(check->loop);
}

static const char *says_text(const Row *row)
{
    return row->says == FENCE_SAYS_ON ? "on" : row->says == FENCE_SAYS_OFF ? "off" : "FAILED";
}

static void print_rows(const Check *check)
{
    const FenceHost *host = NULL;

    for (guint i = 0; i < check->rows->len; i++) {
        const Row *row = check->rows->pdata[i];
        g_autofree char *level = g_strdup_printf("level %u", row->level);
        bool same = i > 0 && row->host == host && ((const Row *) check->rows->pdata[i - 1])->level == row->level;

        if (row->host != host)
            printf("%s%s%s%s\n", fence_host_label(row->host), row->host->id != NULL && row->host->name != NULL ? "  " : "",
                   row->host->id != NULL && row->host->name != NULL ? row->host->id : "",
                   row->host->id == NULL ? "  (no id: what its devices say reaches no policy; 'mend-host --print-id' there says it)" : "");
        host = row->host;
        printf("  %-8s %-16s %-18s %s%s%s  (%.1f s)\n", same ? "and" : level, row->device->name, row->device->agent, says_text(row),
               row->text != NULL ? ": " : "", row->text != NULL ? row->text : "", (double) row->took_us / US_PER_S);
    }
}

/* What these agents give to the programs they run can be read by everybody on this machine, and nothing here can help it. */
static bool shows_secrets(const FenceDevices *devices, const FenceDevice *device)
{
    const FenceMetadata *metadata = fence_devices_metadata(devices, device);

    return metadata != NULL && fence_metadata_parameter(metadata, "snmp_version") != NULL;
}

static bool is_used(const Check *check, const FenceDevice *device)
{
    for (guint i = 0; i < check->rows->len; i++)
        if (((const Row *) check->rows->pdata[i])->device == device)
            return true;
    return false;
}

static void print_remarks(const Check *check)
{
    for (guint i = 0; i < check->file->devices->len; i++) {
        const FenceDevice *device = check->file->devices->pdata[i];

        if (!is_used(check, device))
            printf("note: device %s (line %d) is in no level of any host\n", device->name, device->line);
        if (shows_secrets(check->devices, device))
            printf("note: device %s: %s gives its community or password to net-snmp on a command line; use one that can do nothing else\n",
                   device->name, device->agent);
    }
}

int fence_check(const char *path, const char *helpers)
{
    g_autoptr(GError) error = NULL;
    Check check = { .file = fencing_file_read(path != NULL ? path : FENCING_FILE_DEFAULT, &error) };

    if (check.file == NULL) {
        printf("%s\n", error->message);
        return 1;
    }
    check.devices = fence_devices_new(check.file, helpers);
    check.loop = g_main_loop_new(NULL, FALSE);
    check.rows = g_ptr_array_new_with_free_func((GDestroyNotify) row_free);
    for (guint i = 0; i < check.file->hosts->len; i++)
        add_rows(&check, check.file->hosts->pdata[i]);
    ask_all(&check);
    print_rows(&check);
    print_remarks(&check);
    if (check.wrong == 0)
        printf("%u hosts, %u devices: all well\n", check.file->hosts->len, check.file->devices->len);
    else
        printf("%u hosts, %u devices: %u of %u answers are missing\n", check.file->hosts->len, check.file->devices->len, check.wrong, check.rows->len);
    g_ptr_array_unref(check.rows);
    fence_devices_free(check.devices);
    g_main_loop_unref(check.loop);
    fencing_file_free(check.file);
    return check.wrong == 0 ? 0 : 1;
}
