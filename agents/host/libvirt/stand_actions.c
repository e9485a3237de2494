/* stand_actions URI [SETTING=VALUE…]: the actions on a real libvirt and a bus that only records, for the tests in tests/vm. A line in is
 * {"id": 1, "method": "vm_stop", "arguments": {…}} or {"quit": true}; a line out {"id": 1, "answer": {…}} or {"event": {…}}.
 * Settings: data=FOLDER (kept), shared=FOLDER, host=UUID=URI (where to migrate), post_copy=1, freeze_ms=N, evidence_bytes=N, evidence_per_vm=N,
 * lease=held|failed|late, storage=UUID=FOLDER (where copies go), from=UUID=FOLDER (where disks are). */
#include "agents/host/host_stand.h"
#include "agents/host/libvirt/actions.h"
#include "agents/host/libvirt/extend.h"
#include "agents/host/libvirt/freeze.h"
#include "agents/host/libvirt/libvirt.h"
#include "agents/host/libvirt/virt_error.h"

#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Stand {
    HostStand *host;
    Actions *actions;
    virConnectPtr connection;
    const char *uri, *lease, *storage, *from, *shared[2];
    GPtrArray *migrate_to;
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

static virConnectPtr connection_of(void *user)
{
    Stand *stand = user;

    if (stand->connection == NULL || virConnectIsAlive(stand->connection) != 1) {
        if (stand->connection != NULL)
            virConnectClose(stand->connection);
        stand->connection = virConnectOpen(stand->uri);
    }
    if (stand->connection != NULL)
        virConnectRef(stand->connection);
    return stand->connection;
}

static void lease_acquire(void *user, const char *vm, int64_t deadline_us, LeaseAnswerFn answer, void *answer_user)
{
    Stand *stand = user;

    say(json_pack("{s:{s:s, s:s}}", "event", "lease", "acquire", "vm", vm));
    if (g_strcmp0(stand->lease, "held") == 0)
        answer(answer_user, LEASE_HELD, "by host 2");
    else if (g_strcmp0(stand->lease, "failed") == 0)
        answer(answer_user, LEASE_FAILED, NULL);
    else
        answer(answer_user, LEASE_TAKEN, NULL);
}

static void lease_release(void *user, const char *vm) { say(json_pack("{s:{s:s, s:s}}", "event", "lease", "release", "vm", vm)); }

static void note(void *user, const char *vm, const char *what, const char *value)
{
    say(json_pack("{s:{s:s, s:s, s:s}}", "event", "note", what, "vm", vm, "value", value));
}

static char *storage_folder(void *user, const char *storage)
{
    const Stand *stand = user;
    size_t length = strlen(storage);

    return stand->storage != NULL && strncmp(stand->storage, storage, length) == 0 && stand->storage[length] == '=' ? g_strdup(stand->storage + length + 1) : NULL;
}

static char *storage_of(void *user, const char *path)
{
    const Stand *stand = user;
    g_auto(GStrv) from = stand->from == NULL ? NULL : g_strsplit(stand->from, "=", 2);

    return from != NULL && g_str_has_prefix(path, from[1]) ? g_strdup(from[0]) : NULL;
}

static char *storage_failover(void *user, const char *storage)
{
    const Stand *stand = user;

    return stand->storage == NULL ? NULL : g_strndup(stand->storage, strcspn(stand->storage, "="));
}

static void report(Stand *stand)
{
    for (; stand->told < stand->host->events->len; stand->told++)
        say(json_pack("{s:O}", "event", stand->host->events->pdata[stand->told]));
    for (; stand->answered < stand->host->answers->len; stand->answered++) {
        json_t *answer = stand->host->answers->pdata[stand->answered];
        const char *id = g_hash_table_lookup(stand->waiting, json_string_value(json_object_get(answer, "id")));

        say(json_pack("{s:s, s:O}", "id", id != NULL ? id : "?", "answer", answer));
    }
}

static gboolean on_tick(void *user)
{
    report(user);
    return G_SOURCE_CONTINUE;
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
    char *id = host_stand_begin(stand->host, json_string_value(json_object_get(line, "method")), json_incref(json_object_get(line, "arguments")));

    g_hash_table_insert(stand->waiting, id, g_strdup(json_string_value(json_object_get(line, "id"))));
    report(stand);
    g_data_input_stream_read_line_async(G_DATA_INPUT_STREAM(source), G_PRIORITY_DEFAULT, NULL, on_line, stand);
}

static void read_setting(Stand *stand, ActionsOptions *options, const char *setting)
{
    const char *value = strchr(setting, '=');

    value = value != NULL ? value + 1 : "";
    if (g_str_has_prefix(setting, "host="))
        g_ptr_array_insert(stand->migrate_to, 0, g_strdup(value));
    else if (g_str_has_prefix(setting, "shared="))
        stand->shared[0] = value;
    else if (g_str_has_prefix(setting, "post_copy="))
        options->post_copy = true;
    else if (g_str_has_prefix(setting, "freeze_ms="))
        options->freeze_max_us = atoi(value) * US_PER_MS;
    else if (g_str_has_prefix(setting, "evidence_bytes="))
        options->evidence_bytes_max = strtoull(value, NULL, 10);
    else if (g_str_has_prefix(setting, "evidence_per_vm="))
        options->evidence_per_vm = (unsigned) atoi(value);
    else if (g_str_has_prefix(setting, "lease="))
        stand->lease = value;
    else if (g_str_has_prefix(setting, "from="))
        stand->from = strchr(setting, '=') + 1;
    else if (g_str_has_prefix(setting, "storage="))
        stand->storage = value;
    else if (g_str_has_prefix(setting, "data=")) {
        g_free(stand->host->host->data);
        stand->host->host->data = g_strdup(value);
    }
}

static void *run_events(void *unused)
{
    for (;;)
        virEventRunDefaultImpl();
    return NULL;
}

static void on_timeout(int timer, void *user) { }

static void on_thawed(void *loop) { g_main_loop_quit(loop); }

/* stand_actions URI FOLDER freeze VM MAX_MS HOLD_MS: freezes, holds that long, thaws; says whether it was frozen until then. */
static int hold_frozen(char **argv)
{
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    virConnectPtr connection = virConnectOpen(argv[1]);
    virDomainPtr domain = virDomainLookupByUUIDString(connection, argv[4]);
    char *why = NULL;
    Freeze *freeze = freeze_begin(domain, argv[2], argv[4], atoi(argv[5]) * US_PER_MS, on_thawed, loop, &why);

    if (freeze != NULL) {
        puts("frozen");
        fflush(stdout);
        g_usleep((gulong) atoi(argv[6]) * 1000);
        puts(freeze_end(freeze) ? "until the end" : "the clock thawed it");
    } else {
        puts(why);
    }
    g_main_loop_run(loop);
    fflush(stdout);
    _Exit(0);
}

typedef struct Extending {
    Connection *connection;
    Extend *extend;
} Extending;

static void on_event(void *user, const DomainEvent *event) { extend_event(((Extending *) user)->extend, event); }
static void on_up(void *user, void *found) { extend_connected(((Extending *) user)->extend); }
static virConnectPtr extending_connection(void *user) { return connection_get(((Extending *) user)->connection); }

/* stand_actions URI FOLDER extend PROGRAM LOW_BYTES: extends disks until it is killed. */
static int keep_extending(char **argv)
{
    HostStand *host = host_stand_new();
    Extending all = {.connection = connection_new(host->host, argv[1])};
    const ExtendOptions options = {argv[4], strtoull(argv[5], NULL, 10), 20 * US_PER_S, extending_connection, &all};
    const LibvirtOptions sight = {.on_event = on_event, .user = &all};
    const ConnectionListener listener = {.up = on_up, .user = &all};

    libvirt_new(host->host, all.connection, intents_new(), &sight);
    all.extend = extend_new(host->host, &options);
    connection_listen(all.connection, &listener);
    connection_start(all.connection);
    g_main_loop_run(g_main_loop_new(NULL, FALSE));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[3], "extend") == 0)
        return keep_extending(argv);
    if (argc == 7 && strcmp(argv[3], "freeze") == 0)
        return hold_frozen(argv);
    Stand stand = {.uri = argc > 1 ? argv[1] : "qemu:///system", .host = host_stand_new(), .loop = g_main_loop_new(NULL, FALSE)};
    ActionsOptions options = {.connection = connection_of, .proc = "/proc", .lease_acquire = lease_acquire, .lease_release = lease_release,
                              .note = note, .storage_folder = storage_folder, .storage_of = storage_of, .storage_failover = storage_failover, .user = &stand};
    g_autoptr(GInputStream) raw = g_unix_input_stream_new(0, FALSE);
    g_autoptr(GDataInputStream) input = g_data_input_stream_new(raw);

    stand.waiting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    stand.migrate_to = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(stand.migrate_to, NULL);
    virt_error_quiet();
    virEventRegisterDefaultImpl();
    virEventAddTimeout(100, on_timeout, NULL, NULL); /* what is registered from other threads is seen */
    g_thread_unref(g_thread_new("libvirt events", run_events, NULL));
    for (int i = 2; i < argc; i++)
        read_setting(&stand, &options, argv[i]);
    options.migration_uris = (const char *const *) stand.migrate_to->pdata;
    options.shared_folders = stand.shared[0] != NULL ? stand.shared : NULL;
    stand.actions = actions_new(stand.host->host, &options);
    actions_connected(stand.actions);
    say(json_pack("{s:{s:s, s:s}}", "event", "up", STAND_HOST, "boot_id", host_boot_id(stand.host->host)));
    g_timeout_add(20, on_tick, &stand);
    g_data_input_stream_read_line_async(input, G_PRIORITY_DEFAULT, NULL, on_line, &stand);
    g_main_loop_run(stand.loop);
    actions_free(stand.actions);
    report(&stand);
    fflush(stdout);
    _Exit(0); /* what is at work in threads is not waited for */
}
