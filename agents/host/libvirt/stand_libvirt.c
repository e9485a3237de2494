/* stand_libvirt URI [SETTING=VALUE…]: what the host agent sees and does through libvirt, on a real libvirt and a bus that only records,
 * for the tests in tests/vm (standagent.py). A line in is {"id": "1", "method": "vm_stop", "arguments": {…}}, {"note": [VM, WHAT, VALUE]} or
 * {"quit": true}; a line out {"id": "1", "answer": {…}} or {"event": {…}}.
 * Settings: data=FOLDER (kept), sample_ms=N, still=N, storage=UUID=FOLDER. */
#include "agents/host/host_stand.h"
#include "agents/host/libvirt/actions.h"
#include "agents/host/libvirt/libvirt.h"

#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Stand {
    HostStand *host;
    Intents *intents;
    Connection *connection;
    Libvirt *libvirt;
    Actions *actions;
    char *storage, *storage_folder;
    GHashTable *waiting; /* command id → our id, both text */
    GMainLoop *loop;
    guint told, answered;
} Stand;

static void say(json_t *line)
{
    g_autofree char *text = json_dumps(line, JSON_COMPACT);

    puts(text);
    fflush(stdout);
    json_decref(line);
}

static gboolean report(void *user)
{
    Stand *stand = user;

    for (; stand->told < stand->host->events->len; stand->told++)
        say(json_pack("{s:O}", "event", stand->host->events->pdata[stand->told]));
    for (; stand->answered < stand->host->answers->len; stand->answered++) {
        json_t *answer = stand->host->answers->pdata[stand->answered];
        const char *id = g_hash_table_lookup(stand->waiting, json_string_value(json_object_get(answer, "id")));

        say(json_pack("{s:s, s:O}", "id", id != NULL ? id : "?", "answer", answer));
    }
    return G_SOURCE_CONTINUE;
}

static void on_command(Stand *stand, const json_t *line)
{
    const json_t *noted = json_object_get(line, "note");
    char *id;

    if (noted != NULL) {
        libvirt_note(stand->libvirt, json_string_value(json_array_get(noted, 0)), json_string_value(json_array_get(noted, 1)),
                     json_string_value(json_array_get(noted, 2)));
        return;
    }
    id = host_stand_begin(stand->host, json_string_value(json_object_get(line, "method")), json_incref(json_object_get(line, "arguments")));
    g_hash_table_insert(stand->waiting, id, g_strdup(json_string_value(json_object_get(line, "id"))));
}

static void on_line(GObject *source, GAsyncResult *result, void *user)
{
    Stand *stand = user;
    g_autofree char *text = g_data_input_stream_read_line_finish(G_DATA_INPUT_STREAM(source), result, NULL, NULL);
    g_autoptr(json_t) line = text != NULL ? json_loads(text, 0, NULL) : NULL;

    if (line == NULL || json_is_true(json_object_get(line, "quit"))) {
        g_main_loop_quit(stand->loop);
        return;
    }
    on_command(stand, line);
    report(stand);
    g_data_input_stream_read_line_async(G_DATA_INPUT_STREAM(source), G_PRIORITY_DEFAULT, NULL, on_line, stand);
}

static virConnectPtr connection_of(void *user) { return connection_get(((Stand *) user)->connection); }
static void note(void *user, const char *vm, const char *what, const char *value) { libvirt_note(((Stand *) user)->libvirt, vm, what, value); }
static void on_up(void *user, void *found) { actions_connected(((Stand *) user)->actions); }

static const char *storage_of(void *user, const char *path)
{
    const Stand *stand = user;

    return stand->storage_folder != NULL && g_str_has_prefix(path, stand->storage_folder) ? stand->storage : NULL;
}

static void read_setting(Stand *stand, LibvirtOptions *options, const char *setting)
{
    const char *value = strchr(setting, '=') != NULL ? strchr(setting, '=') + 1 : "";

    if (g_str_has_prefix(setting, "sample_ms="))
        options->sample_period_us = atoi(value) * US_PER_MS;
    else if (g_str_has_prefix(setting, "still="))
        options->still_periods = (unsigned) atoi(value);
    else if (g_str_has_prefix(setting, "storage=") && strchr(value, '=') != NULL) {
        stand->storage = g_strndup(value, strcspn(value, "="));
        stand->storage_folder = g_strdup(strchr(value, '=') + 1);
    } else if (g_str_has_prefix(setting, "data=")) {
        g_free(stand->host->host->data);
        stand->host->host->data = g_strdup(value);
    }
}

int main(int argc, char **argv)
{
    Stand stand = { .host = host_stand_new(), .loop = g_main_loop_new(NULL, FALSE), .intents = intents_new() };
    LibvirtOptions options = { .balloon_period_s = 1, .storage_of = storage_of, .user = &stand };
    const ActionsOptions actions = { .connection = connection_of, .proc = "/proc", .note = note, .user = &stand };
    const ConnectionListener listener = { .up = on_up, .user = &stand };
    g_autoptr(GInputStream) raw = g_unix_input_stream_new(0, FALSE);
    g_autoptr(GDataInputStream) input = g_data_input_stream_new(raw);

    stand.waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (int i = 2; i < argc; i++)
        read_setting(&stand, &options, argv[i]);
    stand.connection = connection_new(stand.host->host, argc > 1 ? argv[1] : "qemu:///system");
    stand.libvirt = libvirt_new(stand.host->host, stand.connection, stand.intents, &options);
    stand.actions = actions_new(stand.host->host, &actions);
    connection_listen(stand.connection, &listener);
    connection_start(stand.connection);
    say(json_pack("{s:{s:s, s:s}}", "event", "up", STAND_HOST, "boot_id", host_boot_id(stand.host->host)));
    g_timeout_add(20, report, &stand);
    g_data_input_stream_read_line_async(input, G_PRIORITY_DEFAULT, NULL, on_line, &stand);
    g_main_loop_run(stand.loop);
    actions_free(stand.actions);
    libvirt_free(stand.libvirt);
    connection_free(stand.connection);
    report(&stand);
    fflush(stdout);
    _Exit(0); /* what is at work in threads is not waited for */
}
