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
#define ADMISSIONS_MAX 100
#define TOKEN_WANTED "a token is wanted: Authorization: Bearer …, or X-Auth-Token"

struct HttpServer {
    SoupServer *soup;
    char *path, *token_file, *login, *url;
    size_t max_body_bytes;
    bool gets;
    HttpServerFn fn;
    HttpServerRawFn raw;
    HttpAdmitFn admit;
    GPtrArray *admissions; /* of HttpAdmission: requests that wait */
    void *user;
};

struct HttpAdmission {
    HttpServer *server;    /* NULL: it is gone */
    SoupServerMessage *message;
    char *path;
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

static const char *token_of(SoupServerMessage *message)
{
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);
    const char *bearer = soup_message_headers_get_one(headers, "Authorization");

    return bearer != NULL && g_ascii_strncasecmp(bearer, "Bearer ", 7) == 0 ? bearer + 7 : soup_message_headers_get_one(headers, "X-Auth-Token");
}

static bool is_same(const char *given, const char *wanted)
{
    return given != NULL && strlen(given) == strlen(wanted) && CRYPTO_memcmp(given, wanted, strlen(wanted)) == 0;
}

/* "Basic …" of the login and the token. */
static bool is_basic(const HttpServer *server, SoupServerMessage *message, const char *secret)
{
    const char *given = soup_message_headers_get_one(soup_server_message_get_request_headers(message), "Authorization");
    char *wanted = server->login != NULL ? http_basic(server->login, secret) : NULL;
    bool same = wanted != NULL && is_same(given, wanted);

    http_secret_free(wanted);
    return same;
}

static bool is_allowed(const HttpServer *server, SoupServerMessage *message, const char *token, HttpReply *reply)
{
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
    same = is_same(token, wanted) || is_basic(server, message, wanted);
    http_secret_free(wanted);
    if (!same && server->login != NULL) /* a browser asks for it then */
        soup_message_headers_append(soup_server_message_get_response_headers(message), "WWW-Authenticate", "Basic realm=\"mend\"");
    if (!same)
        http_reply_error(reply, 401, token == NULL ? TOKEN_WANTED : "not the token that is wanted");
    return same;
}

static bool is_ours(const HttpServer *server, const char *path)
{
    return g_str_has_suffix(server->path, "/") ? g_str_has_prefix(path, server->path) : strcmp(path, server->path) == 0;
}

/* Once it is known that it may. */
static void answer(HttpServer *server, SoupServerMessage *message, const char *path, HttpReply *reply)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) body = NULL;
    gsize length = 0;
    const char *text;

    bytes = soup_message_body_flatten(soup_server_message_get_request_body(message));
    text = g_bytes_get_data(bytes, &length);
    body = text != NULL ? json_parse(text, length, "body", &error) : NULL;
    if (body == NULL)
        http_reply_error(reply, 400, "%s", error != NULL ? error->message : "a body is wanted: JSON");
    else
        server->fn(path, body, reply, server->user);
}

static void answer_raw(HttpServer *server, SoupServerMessage *message, const char *path, HttpReply *reply)
{
    g_autoptr(GBytes) bytes = soup_message_body_flatten(soup_server_message_get_request_body(message));
    gsize length = 0;
    const char *data = g_bytes_get_data(bytes, &length);
    g_autofree char *body = g_strndup(data != NULL ? data : "", length);
    const HttpAsked asked = { soup_server_message_get_method(message), path, body, strlen(body) };

    server->raw(&asked, reply, server->user);
}

static void send_reply(SoupServerMessage *message, HttpReply *reply)
{
    g_autofree char *text = NULL;

    soup_server_message_set_status(message, reply->status != 0 ? reply->status : 200, NULL);
    if (reply->status == 401)
        soup_message_headers_append(soup_server_message_get_response_headers(message), "WWW-Authenticate", "Bearer");
    if (reply->body != NULL || reply->text != NULL) {
        text = reply->body != NULL ? json_text(reply->body) : g_steal_pointer(&reply->text);
        soup_server_message_set_response(message, reply->body == NULL && reply->content_type != NULL ? reply->content_type : "application/json", SOUP_MEMORY_COPY, text, strlen(text));
    }
    json_decref(reply->body);
    g_free(reply->text);
}

static void ask_admission(HttpServer *server, SoupServerMessage *message, const char *path, const char *token)
{
    HttpAdmission *admission = g_new0(HttpAdmission, 1);

    *admission = (HttpAdmission) { server, g_object_ref(message), g_strdup(path) };
    g_ptr_array_add(server->admissions, admission);
    soup_server_message_pause(message);
    server->admit(admission, token, server->user);
}

void http_admission_answer(HttpAdmission *admission, unsigned status, const char *why)
{
    HttpReply reply = { 0 };

    if (admission->server != NULL) {
        g_ptr_array_remove_fast(admission->server->admissions, admission);
        if (why != NULL)
            http_reply_error(&reply, status, "%s", why);
        else
            answer(admission->server, admission->message, admission->path, &reply);
        send_reply(admission->message, &reply);
        soup_server_message_unpause(admission->message);
    }
    g_object_unref(admission->message);
    g_free(admission->path);
    g_free(admission);
}

static void on_request(SoupServer *soup, SoupServerMessage *message, const char *path, GHashTable *query, void *user)
{
    HttpServer *server = user;
    const char *token = token_of(message), *method = soup_server_message_get_method(message);
    HttpReply reply = { 0 };

    if (soup_server_message_get_status(message) != 0)
        return; /* refused while it came */
    if (server->raw != NULL) {
        if (is_allowed(server, message, token, &reply))
            answer_raw(server, message, path, &reply);
    } else if (!is_ours(server, path)) {
        http_reply_error(&reply, 404, "there is only %s here", server->path);
    } else if (server->gets && method == SOUP_METHOD_GET) {
        server->fn(path, NULL, &reply, server->user);
    } else if (method != SOUP_METHOD_POST) {
        http_reply_error(&reply, 405, "POST is wanted");
    } else if (server->admit != NULL && token != NULL && server->admissions->len < ADMISSIONS_MAX) {
        ask_admission(server, message, path, token);
        return;
    } else if (server->admit != NULL) {
        http_reply_error(&reply, token == NULL ? 401 : 503, token == NULL ? TOKEN_WANTED : "too many requests wait to be let in");
    } else if (is_allowed(server, message, token, &reply)) {
        answer(server, message, path, &reply);
    }
    send_reply(message, &reply);
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
    if (!here && o->token_file == NULL && o->admit == NULL) {
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
    server->gets = o->gets;
    server->fn = o->fn;
    server->raw = o->raw;
    server->login = g_strdup(o->login);
    server->admit = o->admit;
    server->admissions = g_ptr_array_new();
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
    for (guint i = 0; i < server->admissions->len; i++)
        ((HttpAdmission *) server->admissions->pdata[i])->server = NULL; /* whoever was asked answers yet */
    g_ptr_array_unref(server->admissions);
    soup_server_disconnect(server->soup);
    g_object_unref(server->soup);
    g_free(server->path);
    g_free(server->token_file);
    g_free(server->login);
    g_free(server->url);
    g_free(server);
}

const char *http_server_url(const HttpServer *server) { return server->url != NULL ? server->url : server->path; }
