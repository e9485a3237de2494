/* A connection of our own, not the shared one: the shared one ends the process when the bus goes away, unless everybody remembers to say
 * otherwise. GDBus always calls back, so an ask that is forgotten is freed by its own reply. */
#include "agents/guest/matahari/dbus_link.h"

#include "lib/base/log.h"

#include <string.h>

#define RETRY_S 5 /* for signals; a call opens it at once */

struct DbusLink {
    char *address;
    GDBusConnection *connection; /* NULL: none */
    GCancellable *opening;       /* NULL: not at it */
    GList *waiting;              /* of DbusAsk, until it is open */
    GList *signals;              /* of DbusSignals */
    guint retry;
};

struct DbusAsk {
    DbusLink *link; /* NULL: sent */
    char *bus, *path, *interface, *method, *reply_type;
    GVariant *parameters;
    int timeout_ms;
    GCancellable *cancel;
    DbusReply done; /* NULL: forgotten */
    void *user;
};

struct DbusSignals {
    DbusLink *link;
    char *bus, *path, *interface, *argument0;
    DbusSignal on_signal;
    void *user;
    guint id; /* 0: not subscribed */
};

static void ask_free(DbusAsk *ask)
{
    g_free(ask->bus);
    g_free(ask->path);
    g_free(ask->interface);
    g_free(ask->method);
    g_free(ask->reply_type);
    g_clear_pointer(&ask->parameters, g_variant_unref);
    g_object_unref(ask->cancel);
    g_free(ask);
}

static void ask_end(DbusAsk *ask, GVariant *reply, const GError *error)
{
    DbusReply done = ask->done;
    void *user = ask->user;

    ask_free(ask);
    if (done != NULL)
        done(reply, error, user);
}

static void on_reply(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

    ask_end(user, reply, error);
}

static void send(DbusLink *link, DbusAsk *ask)
{
    ask->link = NULL;
    g_dbus_connection_call(link->connection, ask->bus, ask->path, ask->interface, ask->method, ask->parameters,
                           ask->reply_type != NULL ? G_VARIANT_TYPE(ask->reply_type) : NULL, G_DBUS_CALL_FLAGS_NONE, ask->timeout_ms, ask->cancel,
                           on_reply, ask);
}

/* ---- signals ---- */

static void on_signal(GDBusConnection *connection, const char *sender, const char *path, const char *interface, const char *member,
                      GVariant *arguments, void *user)
{
    DbusSignals *signals = user;

    signals->on_signal(member, arguments, signals->user);
}

static void subscribe(DbusSignals *s)
{
    s->id = g_dbus_connection_signal_subscribe(s->link->connection, s->bus, s->interface, NULL, s->path, s->argument0,
                                               G_DBUS_SIGNAL_FLAGS_NONE, on_signal, s, NULL);
}

/* ---- the connection ---- */

static void link_open(DbusLink *link);

static gboolean on_retry(void *user)
{
    DbusLink *link = user;

    link->retry = 0;
    link_open(link);
    return G_SOURCE_REMOVE;
}

static void open_later(DbusLink *link)
{
    if (link->signals != NULL && link->retry == 0)
        link->retry = g_timeout_add_seconds(RETRY_S, on_retry, link);
}

static void on_closed(GDBusConnection *connection, gboolean remote, GError *error, DbusLink *link);

static void drop(DbusLink *link)
{
    for (GList *i = link->signals; i != NULL; i = i->next) {
        DbusSignals *s = i->data;

        if (s->id != 0)
            g_dbus_connection_signal_unsubscribe(link->connection, s->id);
        s->id = 0;
    }
    if (link->connection != NULL)
        g_signal_handlers_disconnect_by_func(link->connection, on_closed, link);
    g_clear_object(&link->connection);
}

static void on_closed(GDBusConnection *connection, gboolean remote, GError *error, DbusLink *link)
{
    log_warning("the D-Bus bridge lost its bus: %s", error != NULL ? error->message : "closed");
    drop(link);
    open_later(link);
}

static void on_open(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_for_address_finish(result, &error);
    DbusLink *link = user;
    g_autoptr(GList) waiting = NULL;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the link is gone */
    g_clear_object(&link->opening);
    waiting = g_steal_pointer(&link->waiting);
    link->connection = connection;
    if (connection == NULL) {
        open_later(link);
        for (GList *i = waiting; i != NULL; i = i->next)
            ask_end(i->data, NULL, error);
        return;
    }
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), link);
    for (GList *i = link->signals; i != NULL; i = i->next)
        subscribe(i->data);
    for (GList *i = waiting; i != NULL; i = i->next)
        send(link, i->data);
}

static void link_open(DbusLink *link)
{
    g_autofree char *address = NULL;

    if (link->connection != NULL || link->opening != NULL)
        return;
    address = link->address != NULL ? g_strdup(link->address) : g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, NULL);
    link->opening = g_cancellable_new();
    g_dbus_connection_new_for_address(address != NULL ? address : "unix:path=/run/dbus/system_bus_socket",
                                      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
                                      link->opening, on_open, link);
}

DbusLink *dbus_link_new(const char *address)
{
    DbusLink *link = g_new0(DbusLink, 1);

    link->address = g_strdup(address);
    return link;
}

void dbus_link_free(DbusLink *link)
{
    if (link == NULL)
        return;
    g_assert(link->waiting == NULL && link->signals == NULL);
    g_clear_handle_id(&link->retry, g_source_remove);
    if (link->opening != NULL)
        g_cancellable_cancel(link->opening);
    g_clear_object(&link->opening);
    if (link->connection != NULL)
        g_dbus_connection_close(link->connection, NULL, NULL, NULL);
    drop(link);
    g_free(link->address);
    g_free(link);
}

DbusAsk *dbus_ask(DbusLink *link, const DbusRequest *request, DbusReply done, void *user)
{
    DbusAsk *ask = g_new0(DbusAsk, 1);

    *ask = (DbusAsk){.link = link, .bus = g_strdup(request->bus), .path = g_strdup(request->path), .interface = g_strdup(request->interface),
                     .method = g_strdup(request->method), .reply_type = g_strdup(request->reply_type),
                     .parameters = request->parameters != NULL ? g_variant_ref_sink(request->parameters) : NULL,
                     .timeout_ms = (int) CLAMP(request->timeout_us / US_PER_MS, 1, G_MAXINT32 / 2), .cancel = g_cancellable_new(), .done = done,
                     .user = user};
    if (link->connection != NULL) {
        send(link, ask);
    } else {
        link->waiting = g_list_append(link->waiting, ask);
        link_open(link);
    }
    return ask;
}

void dbus_ask_forget(DbusAsk *ask)
{
    if (ask == NULL)
        return;
    ask->done = NULL;
    if (ask->link == NULL) {
        g_cancellable_cancel(ask->cancel); /* its reply frees it */
        return;
    }
    ask->link->waiting = g_list_remove(ask->link->waiting, ask);
    ask_free(ask);
}

DbusSignals *dbus_signals(DbusLink *link, const char *bus, const char *path, const char *interface, const char *argument0, DbusSignal handler,
                          void *user)
{
    DbusSignals *s = g_new0(DbusSignals, 1);

    *s = (DbusSignals){.link = link, .bus = g_strdup(bus), .path = g_strdup(path), .interface = g_strdup(interface),
                       .argument0 = g_strdup(argument0), .on_signal = handler, .user = user};
    link->signals = g_list_prepend(link->signals, s);
    if (link->connection != NULL)
        subscribe(s);
    else
        link_open(link);
    return s;
}

void dbus_signals_free(DbusSignals *s)
{
    if (s == NULL)
        return;
    if (s->id != 0)
        g_dbus_connection_signal_unsubscribe(s->link->connection, s->id);
    s->link->signals = g_list_remove(s->link->signals, s);
    g_free(s->bus);
    g_free(s->path);
    g_free(s->interface);
    g_free(s->argument0);
    g_free(s);
}
