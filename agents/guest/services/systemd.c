/* Why GDBus and not sd-bus: its main loop is ours, and libsystemd would be one more library in every guest. Why D-Bus at all and not
 * systemctl: a stopped service is known in milliseconds from a signal, and nothing runs while nothing happens.
 *
 * The manager's JobNew and JobRemoved are received for all units (GDBus cannot match their third argument); jobs are rare. Unit
 * properties are matched by object path, so other units do not wake us.
 *
 * Order that is relied on (systemd's dbus-unit.c and dbus-job.c promise it): PropertiesChanged of the Service interface, then of Unit,
 * then JobRemoved. */
#include "agents/guest/services/systemd_private.h"

#include "agents/guest/services/dbus_foreign.h"
#include "lib/base/log.h"

#include <string.h>
#include <unistd.h>

#define PRIVATE_ADDRESS "unix:path=/run/systemd/private"
#define RETRY_MAX_S     10

typedef struct Waiting {
    char *path, *interface, *method;
    GVariant *parameters;
    GCancellable *cancel;
    SystemdReply done;
    void *user;
} Waiting;

static void systemd_open(Systemd *systemd);

static void waiting_free(Waiting *call)
{
    g_free(call->path);
    g_free(call->interface);
    g_free(call->method);
    g_clear_pointer(&call->parameters, g_variant_unref);
    g_clear_object(&call->cancel);
    g_free(call);
}

Systemd *systemd_new(const char *address)
{
    Systemd *systemd = g_new0(Systemd, 1);

    systemd->address = g_strdup(address);
    systemd->cancel = g_cancellable_new();
    return systemd;
}

bool systemd_here(const Systemd *systemd)
{
    return systemd->address != NULL || access("/run/systemd/system", F_OK) == 0;
}

static void on_closed(GDBusConnection *connection, gboolean remote, GError *error, Systemd *systemd);

static void connection_drop(Systemd *systemd)
{
    if (systemd->connection == NULL)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(systemd->subscriptions); i++) {
        if (systemd->subscriptions[i] != 0)
            g_dbus_connection_signal_unsubscribe(systemd->connection, systemd->subscriptions[i]);
        systemd->subscriptions[i] = 0;
    }
    g_signal_handlers_disconnect_by_func(systemd->connection, on_closed, systemd);
    g_clear_object(&systemd->connection);
}

void systemd_free(Systemd *systemd)
{
    if (systemd == NULL)
        return;
    g_assert(systemd->units == NULL && systemd->jobs == NULL);
    g_cancellable_cancel(systemd->cancel);
    g_clear_object(&systemd->cancel);
    g_clear_handle_id(&systemd->retry_source, g_source_remove);
    g_list_free_full(systemd->waiting, (GDestroyNotify) waiting_free);
    connection_drop(systemd);
    for (size_t i = 0; i < SYSTEMD_JOBS_REMEMBERED; i++) {
        g_free(systemd->removed[i].path);
        g_free(systemd->removed[i].result);
    }
    g_free(systemd->address);
    g_free(systemd);
}

static gboolean on_retry(void *user)
{
    Systemd *systemd = user;

    systemd->retry_source = 0;
    systemd_open(systemd);
    return G_SOURCE_REMOVE;
}

/* Nobody can be asked: everyone who waits is told, and units are tried again. */
static void systemd_lost(Systemd *systemd, const GError *why)
{
    g_autoptr(GList) units = g_list_copy(systemd->units), jobs = g_list_copy(systemd->jobs);
    GList *waiting = g_steal_pointer(&systemd->waiting);

    connection_drop(systemd);
    for (GList *i = waiting; i != NULL; i = i->next) {
        Waiting *call = i->data;

        if (!g_cancellable_is_cancelled(call->cancel)) /* its user may be gone */
            call->done(NULL, why, call->user);
    }
    g_list_free_full(waiting, (GDestroyNotify) waiting_free);
    for (GList *i = jobs; i != NULL; i = i->next)
        if (g_list_find(systemd->jobs, i->data) != NULL)
            job_lost(i->data, why);
    for (GList *i = units; i != NULL; i = i->next)
        if (g_list_find(systemd->units, i->data) != NULL)
            unit_lost(i->data, why);
    if (systemd->units != NULL && systemd->retry_source == 0)
        systemd->retry_source = g_timeout_add_seconds(MIN(1u << MIN(systemd->retries++, 5u), RETRY_MAX_S), on_retry, systemd);
}

static void on_closed(GDBusConnection *connection, gboolean remote, GError *error, Systemd *systemd)
{
    g_autoptr(GError) why = error != NULL ? g_error_copy(error)
                                          : g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CLOSED, "the connection to systemd was closed");

    systemd_lost(systemd, why);
}

static void remember_removed(Systemd *systemd, const char *path, const char *result)
{
    RemovedJob *slot = &systemd->removed[systemd->next_removed++ % SYSTEMD_JOBS_REMEMBERED];

    g_free(slot->path);
    g_free(slot->result);
    *slot = (RemovedJob){g_strdup(path), g_strdup(result)};
}

static void on_job_signal(GDBusConnection *connection, const char *sender, const char *object, const char *interface,
                          const char *signal, GVariant *parameters, void *user)
{
    Systemd *systemd = user;
    bool is_new = strcmp(signal, "JobNew") == 0;
    const char *path, *unit, *result = "";

    if (is_new && g_variant_is_of_type(parameters, G_VARIANT_TYPE("(uos)")))
        g_variant_get(parameters, "(u&o&s)", NULL, &path, &unit);
    else if (!is_new && g_variant_is_of_type(parameters, G_VARIANT_TYPE("(uoss)")))
        g_variant_get(parameters, "(u&o&s&s)", NULL, &path, &unit, &result);
    else
        return;
    if (is_new && (strcmp(unit, "shutdown.target") == 0 || strcmp(unit, "umount.target") == 0))
        systemd->shutting_down = true;
    for (GList *i = systemd->units; i != NULL; i = i->next) {
        if (is_new)
            unit_job_new(i->data, unit, path);
        else
            unit_job_removed(i->data, unit, path);
    }
    if (is_new)
        return;
    remember_removed(systemd, path, result);
    for (GList *i = systemd->jobs, *next; i != NULL; i = next) {
        next = i->next;
        if (job_removed(i->data, path, result))
            break;
    }
}

static void on_subscribed(GVariant *reply, const GError *error, void *user)
{
    if (error != NULL && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        log_debug("systemd: Subscribe: %s", error->message); /* the private socket needs none and refuses it */
}

/* systemd came (again): what we knew of units is old. */
static void greet(Systemd *systemd)
{
    systemd_invoke(systemd, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", NULL, systemd->cancel, on_subscribed, systemd);
    for (GList *i = systemd->units; i != NULL; i = i->next)
        unit_attach(i->data);
}

static void on_owner_changed(GDBusConnection *connection, const char *sender, const char *object, const char *interface,
                             const char *signal, GVariant *parameters, void *user)
{
    const char *now;

    if (!g_variant_is_of_type(parameters, G_VARIANT_TYPE("(sss)")))
        return;
    g_variant_get(parameters, "(&s&s&s)", NULL, NULL, &now);
    if (*now != '\0')
        greet(user);
}

void systemd_set_foreign(Systemd *systemd) { systemd->foreign = true; }
bool systemd_is_foreign(const Systemd *systemd) { return systemd->foreign; }

void systemd_try_now(Systemd *systemd)
{
    systemd->retries = 0;
    if (systemd->retry_source != 0) {
        g_clear_handle_id(&systemd->retry_source, g_source_remove);
        systemd_open(systemd);
    }
}

static void systemd_opened(Systemd *systemd, GDBusConnection *connection)
{
    static const char *const signals[] = {"JobNew", "JobRemoved"};
    GList *waiting = g_steal_pointer(&systemd->waiting);

    systemd->connection = connection;
    systemd->peer = g_dbus_connection_get_unique_name(connection) != NULL ? SYSTEMD_NAME : NULL;
    systemd->retries = 0;
    g_dbus_connection_set_exit_on_close(connection, FALSE);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), systemd);
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        systemd->subscriptions[i] = g_dbus_connection_signal_subscribe(connection, systemd->peer, SYSTEMD_MANAGER, signals[i],
                                                                       SYSTEMD_PATH, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_job_signal,
                                                                       systemd, NULL);
    if (systemd->peer != NULL)
        systemd->subscriptions[2] = g_dbus_connection_signal_subscribe(
            connection, "org.freedesktop.DBus", "org.freedesktop.DBus", "NameOwnerChanged", "/org/freedesktop/DBus", SYSTEMD_NAME,
            G_DBUS_SIGNAL_FLAGS_NONE, on_owner_changed, systemd, NULL);
    greet(systemd);
    for (GList *i = waiting; i != NULL; i = i->next) {
        Waiting *call = i->data;

        if (!g_cancellable_is_cancelled(call->cancel))
            systemd_invoke(systemd, call->path, call->interface, call->method, call->parameters, call->cancel, call->done,
                           call->user);
    }
    g_list_free_full(waiting, (GDestroyNotify) waiting_free);
}

static void on_private_open(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_for_address_finish(result, &error);
    Systemd *systemd = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* systemd was freed */
    systemd->connecting = false;
    if (connection != NULL)
        systemd_opened(systemd, connection);
    else
        systemd_lost(systemd, error);
}

static void on_bus_open(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_for_address_finish(result, &error);
    Systemd *systemd = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* systemd was freed */
    if (connection == NULL && systemd->address == NULL && access("/run/systemd/private", F_OK) == 0) {
        g_dbus_connection_new_for_address(PRIVATE_ADDRESS, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, systemd->cancel,
                                          on_private_open, systemd);
        return;
    }
    systemd->connecting = false;
    if (connection != NULL)
        systemd_opened(systemd, connection);
    else
        systemd_lost(systemd, error);
}

static void on_foreign_open(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = dbus_foreign_open_finish(result, &error);
    Systemd *systemd = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* systemd was freed */
    systemd->connecting = false;
    if (connection != NULL)
        systemd_opened(systemd, connection);
    else
        systemd_lost(systemd, error);
}

static void systemd_open(Systemd *systemd)
{
    g_autofree char *address = systemd->address != NULL
                                   ? g_strdup(systemd->address)
                                   : g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, NULL);

    if (systemd->connection != NULL || systemd->connecting)
        return;
    systemd->connecting = true;
    if (systemd->foreign) {
        dbus_foreign_open(systemd->address, systemd->cancel, on_foreign_open, systemd);
        return;
    }
    g_dbus_connection_new_for_address(address != NULL ? address : "unix:path=/run/dbus/system_bus_socket",
                                      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                      NULL, systemd->cancel, on_bus_open, systemd);
}

typedef struct Invocation {
    SystemdReply done;
    void *user;
} Invocation;

static void on_reply(GObject *source, GAsyncResult *result, void *user)
{
    g_autofree Invocation *call = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

    call->done(reply, error, call->user);
}

void systemd_invoke(Systemd *systemd, const char *path, const char *interface, const char *method, GVariant *parameters,
                    GCancellable *cancel, SystemdReply done, void *user)
{
    Invocation *call;

    if (systemd->connection == NULL) {
        Waiting *wait = g_new0(Waiting, 1);

        *wait = (Waiting){.path = g_strdup(path), .interface = g_strdup(interface), .method = g_strdup(method),
                          .parameters = parameters != NULL ? g_variant_ref_sink(parameters) : NULL,
                          .cancel = cancel != NULL ? g_object_ref(cancel) : NULL, .done = done, .user = user};
        systemd->waiting = g_list_append(systemd->waiting, wait);
        systemd_open(systemd);
        return;
    }
    call = g_new0(Invocation, 1);
    *call = (Invocation){done, user};
    g_dbus_connection_call(systemd->connection, systemd->peer, path, interface, method, parameters, NULL, G_DBUS_CALL_FLAGS_NONE, -1,
                           cancel, on_reply, call);
}

void systemd_call(Systemd *systemd, const char *method, GVariant *parameters, SystemdReply done, void *user)
{
    systemd_invoke(systemd, SYSTEMD_PATH, SYSTEMD_MANAGER, method, parameters, NULL, done, user);
}

char *systemd_unit_name(const char *name)
{
    static const char *const suffixes[] = {".service", ".socket", ".target", ".timer", ".mount", ".path", ".slice", ".scope", ".swap"};

    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(name, suffixes[i]))
            return g_strdup(name);
    return g_strconcat(name, ".service", NULL);
}
