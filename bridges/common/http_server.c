/* libsoup's server. A body that is too large ends its connection while it comes; the token is compared in constant time and read anew for
 * each request, so that it can be changed. */
#include "bridges/common/http_server.h"

#include "bridges/common/http.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <libsoup/soup.h>
#include <openssl/crypto.h>
#include <string.h>

#define BODY_MAX (1 << 20)

struct HttpServer {
    SoupServer *soup;
    char *path, *token_file, *url;
    size_t max_body_bytes;
    HttpServerFn fn;
    void *user;
};

void http_reply_error(HttpReply *reply, unsigned status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    json_decref(reply->body);
    reply->status = status;
    reply->body = json_pack("{s:s}", "error", text);
}

/* ---- one request ------------------------------------------------------------------------------------------------------------------- */

static bool is_allowed(const HttpServer *server, SoupServerMessage *message, HttpReply *reply)
{
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);
    const char *bearer = soup_message_headers_get_one(headers, "Authorization"), *token = soup_message_headers_get_one(headers, "X-Auth-Token");
    g_autoptr(GError) error = NULL;
    char *wanted;
    bool same;

    if (server->token_file == NULL)
        return true;
    wanted = http_secret_read(server->token_file, &error);
    if (wanted == NULL) {
        log_error("%s", error->message);
        http_reply_error(reply, 500, "the token cannot be read here");
        return false;
    }
    if (bearer != NULL && g_ascii_strncasecmp(bearer, "Bearer ", 7) == 0)
        token = bearer + 7;
    same = token != NULL && strlen(token) == strlen(wanted) && CRYPTO_memcmp(token, wanted, strlen(wanted)) == 0;
    http_secret_free(wanted);
    if (!same)
        http_reply_error(reply, 401, token == NULL ? "a token is wanted: Authorization: Bearer …, or X-Auth-Token" : "not the token that is wanted");
    return same;
}

static void answer(HttpServer *server, SoupServerMessage *message, const char *path, HttpReply *reply)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) body = NULL;
    gsize length = 0;
    const char *text;

    if (strcmp(path, server->path) != 0) {
        http_reply_error(reply, 404, "there is only %s here", server->path);
        return;
    }
    if (soup_server_message_get_method(message) != SOUP_METHOD_POST) {
        http_reply_error(reply, 405, "POST is wanted");
        return;
    }
    if (!is_allowed(server, message, reply))
        return;
    bytes = soup_message_body_flatten(soup_server_message_get_request_body(message));
    text = g_bytes_get_data(bytes, &length);
    body = text != NULL ? json_parse(text, length, "body", &error) : NULL;
    if (body == NULL)
        http_reply_error(reply, 400, "%s", error != NULL ? error->message : "a body is wanted: JSON");
    else
        server->fn(path, body, reply, server->user);
}

static void on_request(SoupServer *soup, SoupServerMessage *message, const char *path, GHashTable *query, void *user)
{
    HttpReply reply = { 0 };
    g_autofree char *text = NULL;

    if (soup_server_message_get_status(message) != 0)
        return; /* refused while it came */
    answer(user, message, path, &reply);
    soup_server_message_set_status(message, reply.status != 0 ? reply.status : 200, NULL);
    if (reply.status == 401)
        soup_message_headers_replace(soup_server_message_get_response_headers(message), "WWW-Authenticate", "Bearer");
    if (reply.body != NULL) {
        text = json_text(reply.body);
        soup_server_message_set_response(message, "application/json", SOUP_MEMORY_COPY, text, strlen(text));
    }
    json_decref(reply.body);
}

static void on_chunk(SoupServerMessage *message, GBytes *chunk, HttpServer *server)
{
    SoupMessageBody *body = soup_server_message_get_request_body(message);

    if ((size_t) body->length <= server->max_body_bytes || soup_server_message_get_status(message) != 0)
        return;
    soup_message_body_set_accumulate(body, FALSE);
    soup_message_body_truncate(body);
    soup_server_message_set_status(message, SOUP_STATUS_REQUEST_ENTITY_TOO_LARGE, NULL);
    soup_message_headers_replace(soup_server_message_get_response_headers(message), "Connection", "close");
}

static void on_started(SoupServer *soup, SoupServerMessage *message, HttpServer *server)
{
    g_signal_connect(message, "got-chunk", G_CALLBACK(on_chunk), server);
}

/* ---- life -------------------------------------------------------------------------------------------------------------------------- */

/* NULL: error. */
static GSocketAddress *address_of(const char *listen, GError **error)
{
    g_autoptr(GSocketConnectable) name = g_network_address_parse(listen, 0, error);
    GNetworkAddress *parsed = name != NULL ? G_NETWORK_ADDRESS(name) : NULL;
    GSocketAddress *address = parsed != NULL ? g_inet_socket_address_new_from_string(g_network_address_get_hostname(parsed), g_network_address_get_port(parsed)) : NULL;

    if (parsed != NULL && address == NULL)
        g_set_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS, "--listen: '%s' must be ADDRESS:PORT, such as 127.0.0.1:9095 or [::]:9095", listen);
    return address;
}

static bool listen_on(HttpServer *server, GSocketAddress *address, bool tls, GError **error)
{
    GSList *uris;

    if (!soup_server_listen(server->soup, address, tls ? SOUP_SERVER_LISTEN_HTTPS : 0, error))
        return false;
    uris = soup_server_get_uris(server->soup);
    if (uris != NULL) {
        g_autofree char *whole = g_uri_to_string(uris->data);

        if (g_str_has_suffix(whole, "/"))
            whole[strlen(whole) - 1] = '\0';
        server->url = g_strconcat(whole, server->path, NULL);
    }
    g_slist_free_full(uris, (GDestroyNotify) g_uri_unref);
    return true;
}

HttpServer *http_server_new(const HttpServerOptions *o, GError **error)
{
    g_autoptr(GSocketAddress) address = address_of(o->listen, error);
    g_autoptr(GTlsCertificate) certificate = NULL;
    g_autoptr(HttpServer) server = NULL;
    bool here;

    if (address == NULL)
        return NULL;
    here = g_inet_address_get_is_loopback(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)));
    if (!here && o->token_file == NULL) {
        g_set_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS, "--listen %s is open to other machines: --token-file is needed, so that not everybody can say what is ill", o->listen);
        return NULL;
    }
    if (o->certificate != NULL && (certificate = g_tls_certificate_new_from_files(o->certificate, o->key != NULL ? o->key : o->certificate, error)) == NULL)
        return NULL;
    server = g_new0(HttpServer, 1);
    server->soup = soup_server_new("server-header", "mend-bridge", NULL);
    server->path = g_strdup(o->path);
    server->token_file = g_strdup(o->token_file);
    server->max_body_bytes = o->max_body_bytes != 0 ? o->max_body_bytes : BODY_MAX;
    server->fn = o->fn;
    server->user = o->user;
    if (certificate != NULL)
        soup_server_set_tls_certificate(server->soup, certificate);
    g_signal_connect(server->soup, "request-started", G_CALLBACK(on_started), server);
    soup_server_add_handler(server->soup, NULL, on_request, server, NULL);
    return listen_on(server, address, certificate != NULL, error) ? g_steal_pointer(&server) : NULL;
}

void http_server_free(HttpServer *server)
{
    if (server == NULL)
        return;
    soup_server_disconnect(server->soup);
    g_object_unref(server->soup);
    g_free(server->path);
    g_free(server->token_file);
    g_free(server->url);
    g_free(server);
}

const char *http_server_url(const HttpServer *server) { return server->url != NULL ? server->url : server->path; }
