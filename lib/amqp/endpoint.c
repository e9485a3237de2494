/* From a url (or the caller's own function) to a stream.
 *
 * A socket of the kinds GLib knows is its matter; vsock it does not know, and a serial port is no stream at all: serial_connect() makes one
 * of it. The brokers of a domain are found as Matahari's agents find them, by SRV records, in their order; the certificate must carry the
 * domain's name, not that of the host a name server answered: else who can forge the answer is the broker. TLS works over each of them: it is a layer of proton's transport, and the name the certificate must carry is the broker's,
 * whoever carries the bytes. */
#include "lib/amqp/client_private.h"

#include "lib/amqp/serial_connect.h"
#include "lib/amqp/vsock.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>

#define PORT_AMQP  5672
#define PORT_AMQPS 5671
#define SRV_SERVICE "matahari"

static const struct {
    const char *scheme;
    EndpointKind kind;
    uint16_t port;
} schemes[] = {
    { "amqp", ENDPOINT_TCP, PORT_AMQP },
    { "amqps", ENDPOINT_TCP, PORT_AMQPS },
    { "amqp+srv", ENDPOINT_SRV, 0 },
    { "amqps+srv", ENDPOINT_SRV, 0 },
    { "amqp+unix", ENDPOINT_UNIX, 0 },
    { "vsock", ENDPOINT_VSOCK, PORT_AMQP },
    { "virtio-serial", ENDPOINT_SERIAL, 0 },
};

/* ?tls=NAME: TLS to the broker called so, end to end over whatever is in between. sasl=PLAIN, dialect=NAME: see client.h. */
static bool take_query(const char *query, Endpoint *ret)
{
    g_autoptr(GHashTable) parameters = query != NULL ? g_uri_parse_params(query, -1, "&", G_URI_PARAMS_NONE, NULL) : NULL;
    const char *tls, *sasl, *dialect;

    if (query == NULL)
        return true;
    if (parameters == NULL || g_hash_table_size(parameters) == 0)
        return false;
    tls = g_hash_table_lookup(parameters, "tls");
    sasl = g_hash_table_lookup(parameters, "sasl");
    dialect = g_hash_table_lookup(parameters, "dialect");
    if (g_hash_table_size(parameters) != (guint) ((tls != NULL) + (sasl != NULL) + (dialect != NULL)) ||
        (tls != NULL && *tls == '\0') || (sasl != NULL && strcmp(sasl, "PLAIN") != 0))
        return false;
    ret->dialect = dialect != NULL ? amqp_dialect_named(dialect) : NULL;
    if (dialect != NULL && ret->dialect == NULL)
        return false;
    ret->tls = g_strdup(tls);
    ret->mechanisms = g_strdup(sasl);
    return true;
}

static bool take_endpoint(const char *url, Endpoint *ret_endpoint)
{
    g_autofree char *scheme = NULL, *host = NULL, *path = NULL, *query = NULL;
    Endpoint endpoint = { 0 };
    size_t i = 0;
    int port = -1;
    bool by_path;
    const char *where;

    if (url == NULL || !g_uri_split(url, G_URI_FLAGS_NONE, &scheme, NULL, &host, &port, &path, &query, NULL, NULL) || scheme == NULL)
        return false;
    while (i < G_N_ELEMENTS(schemes) && strcmp(scheme, schemes[i].scheme) != 0)
        i++;
    if (i == G_N_ELEMENTS(schemes) || port == 0 || (schemes[i].kind == ENDPOINT_SRV && port > 0))
        return false;
    by_path = schemes[i].kind == ENDPOINT_UNIX || schemes[i].kind == ENDPOINT_SERIAL;
    where = by_path ? path : host;
    if (where == NULL || *where == '\0' || (schemes[i].kind == ENDPOINT_VSOCK && !vsock_cid_parse(where, NULL)) || !take_query(query, &endpoint))
        return false;
    endpoint.secure_service = strcmp(scheme, "amqps+srv") == 0;
    if ((strcmp(scheme, "amqps") == 0 || endpoint.secure_service) && endpoint.tls == NULL)
        endpoint.tls = g_strdup(host);
    endpoint.kind = schemes[i].kind;
    endpoint.host = g_strdup(where);
    endpoint.port = port > 0 ? (uint16_t) port : schemes[i].port;
    *ret_endpoint = endpoint;
    return true;
}

bool endpoint_parse(const char *url, Endpoint *ret_endpoint, GError **error)
{
    if (take_endpoint(url, ret_endpoint))
        return true;
    g_set_error(error, AMQP_ERROR, AMQP_ERROR_CONNECT,
                "\"%s\" is no address; wanted: amqp://HOST:PORT, amqps://HOST:PORT, amqp+unix:///path/to/socket, amqp+srv://DOMAIN, amqps+srv://DOMAIN, "
                "vsock://CID:PORT (2: the host) or "
                "virtio-serial:///dev/virtio-ports/NAME; after them ?tls=BROKER asks for TLS, sasl=PLAIN shows the password without it, and "
                "dialect=native, rabbitmq, qpidd, artemis or generic says what the broker does not", url == NULL ? "" : url);
    return false;
}

void endpoint_done(Endpoint *endpoint)
{
    g_clear_pointer(&endpoint->host, g_free);
    g_clear_pointer(&endpoint->tls, g_free);
    g_clear_pointer(&endpoint->mechanisms, g_free);
    endpoint->dialect = NULL;
}

static GSocketConnectable *socket_address(const Endpoint *endpoint)
{
    if (endpoint->kind == ENDPOINT_SRV)
        return g_network_service_new(SRV_SERVICE, endpoint->secure_service ? "tls" : "tcp", endpoint->host);
    return endpoint->kind == ENDPOINT_UNIX ? G_SOCKET_CONNECTABLE(g_unix_socket_address_new(endpoint->host))
                                           : g_network_address_new(endpoint->host, endpoint->port);
}

GSocketConnectable *amqp_url_address(const char *url, GError **error)
{
    GSocketConnectable *address = NULL;
    Endpoint endpoint = { 0 };

    if (!endpoint_parse(url, &endpoint, error))
        return NULL;
    if (endpoint.kind == ENDPOINT_TCP || endpoint.kind == ENDPOINT_SRV || endpoint.kind == ENDPOINT_UNIX)
        address = socket_address(&endpoint);
    else
        g_set_error(error, AMQP_ERROR, AMQP_ERROR_CONNECT, "%s: wanted here: amqp://, amqps://, amqp+srv://, amqps+srv:// or amqp+unix://", url);
    endpoint_done(&endpoint);
    return address;
}

/* ---- connecting ---- */

typedef struct Attempt {
    AmqpClient *client; /* a reference */
    GCancellable *cancel;
} Attempt;

static void attempt_done(Attempt *attempt, GIOStream *stream, GError *error)
{
    AmqpClient *client = attempt->client;

    if (client->cancel == attempt->cancel && !client->freed && !g_cancellable_is_cancelled(attempt->cancel)) {
        client->cancel = NULL;
        if (stream != NULL) {
            stream_adopt(client, stream);
        } else {
            client_lost(client, g_error_new(AMQP_ERROR, AMQP_ERROR_CONNECT, "%s", error->message));
        }
        client_run(client);
    } else {
        if (client->cancel == attempt->cancel)
            client->cancel = NULL;
        if (stream != NULL)
            g_io_stream_close(stream, NULL, NULL);
    }
    g_clear_object(&stream);
    g_clear_error(&error);
    g_object_unref(attempt->cancel);
    client_unref(client);
    g_free(attempt);
}

static void on_socket(GObject *object, GAsyncResult *result, gpointer user)
{
    GError *error = NULL;
    GSocketConnection *connection = g_socket_client_connect_finish(G_SOCKET_CLIENT(object), result, &error);

    attempt_done(user, (GIOStream *) connection, error);
}

static void on_custom(GObject *object, GAsyncResult *result, gpointer user)
{
    GError *error = NULL;
    GIOStream *stream = g_task_propagate_pointer(G_TASK(result), &error);

    if (stream == NULL && error == NULL)
        error = g_error_new_literal(AMQP_ERROR, AMQP_ERROR_CONNECT, "no stream");
    attempt_done(user, stream, error);
}

void stream_connect(AmqpClient *client)
{
    Attempt *attempt = g_new0(Attempt, 1);
    const Endpoint *endpoint = &client->endpoint;
    g_autoptr(GSocketClient) sockets = NULL;
    g_autoptr(GSocketConnectable) to = NULL;

    attempt->client = client_ref(client);
    attempt->cancel = g_cancellable_new();
    client->cancel = attempt->cancel;
    if (endpoint->kind == ENDPOINT_CUSTOM) {
        client->options.connect(attempt->cancel, on_custom, attempt);
        return;
    }
    if (endpoint->kind == ENDPOINT_SERIAL || endpoint->kind == ENDPOINT_VSOCK) {
        if (endpoint->kind == ENDPOINT_SERIAL)
            serial_connect(endpoint->host, attempt->cancel, on_custom, attempt);
        else
            vsock_connect(endpoint->host, endpoint->port, attempt->cancel, on_custom, attempt);
        return;
    }
    sockets = g_socket_client_new();
    g_socket_client_set_enable_proxy(sockets, FALSE);
    to = socket_address(endpoint);
    g_socket_client_connect_async(sockets, to, attempt->cancel, on_socket, attempt);
}
