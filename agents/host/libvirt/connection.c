/* Opening and closing have threads of their own and not host_work()'s: a daemon that accepts and then says nothing holds virConnectOpen()
 * for ever (keep-alive begins after it), and the agent must be able to end meanwhile. What such a thread comes back with is dropped.
 *
 * The connection that is opened here is for events and for noticing that it is lost; calls are made on those of its pool.
 *
 * The close callback runs in whichever thread noticed the loss; it only tells the main loop. Each opening has a number, so that a late
 * word about an earlier connection is not taken for one about this. */
#include "agents/host/libvirt/connection.h"

#include "agents/host/libvirt/virt_error.h"
#include "lib/base/log.h"

#include <gio/gio.h>
#include <libvirt-glib/libvirt-glib-event.h>
#include <libvirt/virterror.h>
#include <string.h>

#define LISTENERS_MAX 8

/* Shared with threads and callbacks that may outlive the Connection; only the main loop looks at what it points to. */
typedef struct Link {
    gatomicrefcount count;
    Connection *connection; /* NULL: freed */
    GMainContext *context;
} Link;

struct Connection {
    Host *host;
    char *uri;
    Link *link;
    ConnectionListener listeners[LISTENERS_MAX];
    unsigned n_listeners;
    struct Opened *current; /* NULL: away */
    unsigned number;    /* of the opening that counts */
    int64_t retry_us;
    guint retry_source;
    char *why;
    bool told_away;
};

/* A connection with what its listeners found and registered: goes from the opening thread to the main loop to the closing thread. */
typedef struct Opened {
    Link *link;
    unsigned number;
    char *uri;
    virConnectPtr connection; /* NULL: it could not be opened */
    ConnectionListener listeners[LISTENERS_MAX];
    void *found[LISTENERS_MAX];
    unsigned n_listeners, n_prepared;
    ConnectionPool *pool;     /* for calls; NULL: it could not be opened */
    GError *error;
} Opened;

typedef struct Loss {
    Link *link;
    unsigned number;
    const char *why; /* static */
} Loss;

static Link *link_ref(Link *link)
{
    g_atomic_ref_count_inc(&link->count);
    return link;
}

static void link_unref(Link *link)
{
    if (!g_atomic_ref_count_dec(&link->count))
        return;
    g_main_context_unref(link->context);
    g_free(link);
}

/* Not g_main_context_invoke(): it runs the function right here when no loop happens to own the context, as before the main loop runs. */
static void in_main_loop(GMainContext *context, GSourceFunc fn, void *data, GDestroyNotify destroy)
{
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, fn, data, destroy);
    g_source_attach(source, context);
    g_source_unref(source);
}

static void *put_thread(void *reference)
{
    virConnectClose(reference);
    return NULL;
}

void connection_put(virConnectPtr reference)
{
    if (reference != NULL)
        g_thread_unref(g_thread_new("libvirt-close", put_thread, reference));
}

static void on_close(virConnectPtr unused, int reason, void *opaque);

/* libvirt's test driver is in this process: there is no daemon to lose or to keep alive, and a close callback would be taken, never
 * called and never freed. */
static bool is_inside(const char *uri) { return g_str_has_prefix(uri, "test:"); }

/* Callbacks hold the connection: it closes only when they are gone. */
static void *close_thread(void *data)
{
    Opened *opened = data;

    if (opened->pool != NULL)
        connection_pool_end(opened->pool);
    connection_pool_unref(opened->pool);
    for (unsigned i = 0; i < opened->n_prepared; i++)
        if (opened->listeners[i].release != NULL)
            opened->listeners[i].release(opened->connection, opened->found[i]);
    if (opened->connection != NULL) {
        if (!is_inside(opened->uri))
            virConnectUnregisterCloseCallback(opened->connection, on_close);
        virConnectClose(opened->connection);
    }
    link_unref(opened->link);
    g_clear_error(&opened->error);
    g_free(opened->uri);
    g_free(opened);
    return NULL;
}

static void opened_close(Opened *opened)
{
    if (opened != NULL)
        g_thread_unref(g_thread_new("libvirt-close", close_thread, opened));
}

static void loss_free(void *data)
{
    Loss *loss = data;

    link_unref(loss->link);
    g_free(loss);
}

static void begin_opening(Connection *connection);

static gboolean on_retry(void *user)
{
    Connection *connection = user;

    connection->retry_source = 0;
    begin_opening(connection);
    return G_SOURCE_REMOVE;
}

static void retry_later(Connection *connection)
{
    guint delay_ms = (guint) (connection->retry_us / US_PER_MS);

    connection->retry_source = g_timeout_add(delay_ms, on_retry, connection);
    connection->retry_us = MIN(connection->retry_us * 2, CONNECTION_RETRY_MAX_US);
}

static void go_away(Connection *connection, const char *why)
{
    bool news = !connection->told_away || g_strcmp0(connection->why, why) != 0;

    g_free(connection->why);
    connection->why = g_strdup(why);
    if (news)
        log_warning("no libvirt (%s): %s; VMs are left as they are, what happens to them is asked when it is back", connection->uri, why);
    for (unsigned i = 0; !connection->told_away && i < connection->n_listeners; i++)
        if (connection->listeners[i].away != NULL)
            connection->listeners[i].away(connection->listeners[i].user, why);
    connection->told_away = true;
    retry_later(connection);
}

static gboolean on_loss(void *data)
{
    const Loss *loss = data;
    Connection *connection = loss->link->connection;

    if (connection == NULL || loss->number != connection->number)
        return G_SOURCE_REMOVE;
    connection->number++;
    if (connection->current == NULL)
        return G_SOURCE_REMOVE; /* lost before it was taken up: on_opened() sees another number */
    opened_close(g_steal_pointer(&connection->current));
    go_away(connection, loss->why);
    return G_SOURCE_REMOVE;
}

static void on_close(virConnectPtr unused, int reason, void *opaque)
{
    static const char *const texts[] = {
        [VIR_CONNECT_CLOSE_REASON_ERROR] = "the connection broke",
        [VIR_CONNECT_CLOSE_REASON_EOF] = "it has ended",
        [VIR_CONNECT_CLOSE_REASON_KEEPALIVE] = "it does not answer",
        [VIR_CONNECT_CLOSE_REASON_CLIENT] = "closed",
    };
    const Loss *mine = opaque;
    Loss *loss = g_new(Loss, 1);

    *loss = (Loss) { link_ref(mine->link), mine->number, "it is gone" };
    if (reason >= 0 && reason < (int) G_N_ELEMENTS(texts))
        loss->why = texts[reason];
    in_main_loop(loss->link->context, on_loss, loss, loss_free);
}

static gboolean on_opened(void *data)
{
    Opened *opened = data;
    Connection *connection = opened->link->connection;

    if (opened->error == NULL && connection != NULL && opened->number != connection->number)
        g_set_error(&opened->error, G_IO_ERROR, G_IO_ERROR_CLOSED, "it ended at once");
    if (opened->error != NULL && connection != NULL)
        go_away(connection, opened->error->message);
    if (opened->error != NULL || connection == NULL) {
        opened_close(opened);
        return G_SOURCE_REMOVE;
    }
    connection->current = opened;
    connection->retry_us = CONNECTION_RETRY_FIRST_US;
    connection->told_away = false;
    log_info("libvirt (%s) is there", connection->uri);
    for (unsigned i = 0; i < connection->n_listeners; i++)
        if (connection->listeners[i].up != NULL)
            connection->listeners[i].up(connection->listeners[i].user, opened->found[i]);
    return G_SOURCE_REMOVE;
}

static void prepare(Opened *opened)
{
    bool good = true;

    while (good && opened->n_prepared < opened->n_listeners) {
        unsigned i = opened->n_prepared++;

        good = opened->listeners[i].prepare == NULL || opened->listeners[i].prepare(opened->connection, &opened->found[i], &opened->error);
    }
}

/* With one connection in it at least: connection_get() cannot wait. */
static void make_pool(Opened *opened)
{
    virConnectPtr first;

    if (opened->error != NULL)
        return;
    opened->pool = connection_pool_new(opened->uri, is_inside(opened->uri) ? opened->connection : NULL);
    first = connection_pool_take(opened->pool);
    if (first == NULL)
        g_set_error(&opened->error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s", virGetLastErrorMessage());
    else
        virConnectClose(first);
}

static void *open_thread(void *data)
{
    Opened *opened = data;
    Loss *loss;

    opened->connection = virConnectOpen(opened->uri[0] == '\0' ? NULL : opened->uri);
    if (opened->connection == NULL) {
        g_set_error(&opened->error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s", virGetLastErrorMessage());
    } else {
        if (!is_inside(opened->uri)) {
            loss = g_new(Loss, 1);
            *loss = (Loss) { link_ref(opened->link), opened->number, NULL };
            if (virConnectRegisterCloseCallback(opened->connection, on_close, loss, loss_free) < 0)
                loss_free(loss);
        }
        prepare(opened);
        make_pool(opened);
        virConnectSetKeepAlive(opened->connection, CONNECTION_KEEPALIVE_S, CONNECTION_KEEPALIVE_COUNT); /* last: no call is made on it from here on */
    }
    in_main_loop(opened->link->context, on_opened, opened, NULL);
    return NULL;
}

static void begin_opening(Connection *connection)
{
    Opened *opened = g_new0(Opened, 1);

    opened->link = link_ref(connection->link);
    opened->number = ++connection->number;
    opened->uri = g_strdup(connection->uri);
    memcpy(opened->listeners, connection->listeners, sizeof opened->listeners);
    opened->n_listeners = connection->n_listeners;
    g_thread_unref(g_thread_new("libvirt-open", open_thread, opened));
}

Connection *connection_new(Host *host, const char *uri)
{
    Connection *connection = g_new0(Connection, 1);

    gvir_event_register();
    virt_error_quiet();
    connection->host = host;
    connection->uri = g_strdup(uri != NULL ? uri : "");
    connection->why = g_strdup("not opened yet");
    connection->retry_us = CONNECTION_RETRY_FIRST_US;
    connection->link = g_new0(Link, 1);
    g_atomic_ref_count_init(&connection->link->count);
    connection->link->connection = connection;
    connection->link->context = g_main_context_ref_thread_default();
    return connection;
}

void connection_listen(Connection *connection, const ConnectionListener *listener)
{
    g_assert(connection->n_listeners < LISTENERS_MAX);
    connection->listeners[connection->n_listeners++] = *listener;
}

void connection_start(Connection *connection)
{
    begin_opening(connection);
}

void connection_free(Connection *connection)
{
    if (connection == NULL)
        return;
    g_clear_handle_id(&connection->retry_source, g_source_remove);
    connection->link->connection = NULL;
    opened_close(connection->current);
    link_unref(connection->link);
    g_free(connection->why);
    g_free(connection->uri);
    g_free(connection);
}

virConnectPtr connection_get(Connection *connection)
{
    return connection->current == NULL ? NULL : connection_pool_take_now(connection->current->pool);
}

ConnectionPool *connection_pool(Connection *connection)
{
    return connection->current == NULL ? NULL : connection_pool_ref(connection->current->pool);
}

bool connection_is_up(const Connection *connection) { return connection->current != NULL; }
const char *connection_uri(const Connection *connection) { return connection->uri; }
const char *connection_why(const Connection *connection) { return connection->current != NULL ? NULL : connection->why; }
