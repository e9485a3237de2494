/* libsoup does HTTP; here stands what makes it fit for commands to machines: a deadline over everything, bounds, a pace, and above all
 * the knowledge whether a request may have been heard. libsoup tells when it begins to write a request ("starting"); what fails before
 * that never left. A request that may not be done twice gets a connection of its own: on one that was idle the server's goodbye and our
 * request can cross, and nobody could tell whether it was taken.
 *
 *   waiting ──▶ active ──▶ finished        waiting: for its turn (at_once) or a token (per_s)
 *      ▲           │                       active: one libsoup operation is out, and holds a reference
 *      └── paused ◀┘                       paused: before it is sent again
 *
 * The timer of the deadline may end a call in any state; its libsoup operation then comes home to a finished call, and is dropped.
 * libsoup's own ways to repeat a request with credentials, to follow redirections and to use proxies are off. */
#include "bridges/common/http.h"

#include "lib/base/clock.h"

#include <libsoup/soup.h>
#include <string.h>

#define TIMEOUT_US      (30 * US_PER_S)
#define ANSWER_MAX      (16 * 1024 * 1024)
#define PER_S           20
#define AT_ONCE         8
#define CHUNK           65536
#define FIRST_PAUSE_US  (250 * US_PER_MS)

typedef enum { WAITING, ACTIVE, PAUSED, FINISHED } CallState;

struct Http {
    SoupSession *session;
    GMainContext *context;
    char *url;
    int64_t timeout_us;
    size_t max_answer_bytes;
    unsigned per_s, at_once;
    GHashTable *calls;   /* all that are not finished; a reference each */
    GQueue waiting;      /* of HttpCall, borrowed */
    unsigned active;
    int64_t credit_us;   /* up to a second; a request costs a second / per_s */
    int64_t credited_us; /* when credit_us was last brought up to date */
    GSource *pump;       /* until the next token, or NULL */
};

struct HttpCall {
    int refs;
    Http *http;          /* NULL: freed */
    CallState state;
    char *method, *url, *content_type, *wanted_header;
    GStrv headers;
    GBytes *request_body;
    bool repeatable, sent;
    unsigned tries;
    int64_t deadline_us;
    HttpDone done;
    void *user;
    GSource *deadline, *pause;
    GCancellable *cancellable;
    SoupMessage *message;   /* of this try */
    GInputStream *stream;
    GString *body;
};

G_DEFINE_QUARK(mend-http-error, http_error)

static void pump(Http *http);

static void source_drop(GSource **source)
{
    if (*source != NULL)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static GSource *timer(GMainContext *context, int64_t after_us, GSourceFunc fn, void *user)
{
    GSource *source = g_timeout_source_new(after_us <= 0 ? 0 : (guint) MIN((after_us + US_PER_MS - 1) / US_PER_MS, G_MAXINT));

    g_source_set_callback(source, fn, user, NULL);
    g_source_attach(source, context);
    return source;
}

static void call_unref(HttpCall *call)
{
    if (--call->refs > 0)
        return;
    if (call->body != NULL)
        g_string_free(call->body, TRUE);
    g_clear_object(&call->stream);
    g_clear_object(&call->message);
    g_clear_object(&call->cancellable);
    g_clear_pointer(&call->request_body, g_bytes_unref);
    g_strfreev(call->headers);
    g_free(call->content_type);
    g_free(call->wanted_header);
    g_free(call->method);
    g_free(call->url);
    g_free(call);
}

/* Takes the call out of everything; its reference is the caller's now. */
static void call_leave(HttpCall *call)
{
    if (call->state == WAITING)
        g_queue_remove(&call->http->waiting, call);
    if (call->state == ACTIVE)
        call->http->active--;
    call->state = FINISHED;
    source_drop(&call->deadline);
    source_drop(&call->pause);
    g_hash_table_steal(call->http->calls, call);
    g_cancellable_cancel(call->cancellable);
}

static void call_finish(HttpCall *call, const HttpAnswer *answer)
{
    call_leave(call);
    pump(call->http); /* before the completion, which may free it */
    call->done(answer, call->user);
    call_unref(call);
}

static void call_fail(HttpCall *call, HttpError code, const char *text)
{
    g_autoptr(GError) error = g_error_new(HTTP_ERROR, code, "%s %s: %s", call->method, call->url, text);

    call_finish(call, &(HttpAnswer) { .error = error, .sent = call->sent });
}

void http_drop(HttpCall *call)
{
    Http *http;

    if (call == NULL)
        return;
    http = call->http;
    call_leave(call);
    call_unref(call);
    pump(http);
}

/* ---- one try -------------------------------------------------------------------------------------------------------------------------- */

static gboolean on_paused(void *user)
{
    HttpCall *call = user;

    source_drop(&call->pause);
    call->state = WAITING;
    g_queue_push_tail(&call->http->waiting, call);
    pump(call->http);
    return G_SOURCE_REMOVE;
}

/* Retry-After, in seconds or as a date; -1: it says nothing. */
static int64_t wished_pause_us(SoupMessage *message)
{
    const char *text = message != NULL ? soup_message_headers_get_one(soup_message_get_response_headers(message), "Retry-After") : NULL;
    guint64 seconds;
    g_autoptr(GDateTime) date = NULL;

    if (text == NULL)
        return -1;
    if (g_ascii_string_to_unsigned(text, 10, 0, 86400, &seconds, NULL))
        return (int64_t) seconds * US_PER_S;
    date = soup_date_time_new_from_http_string(text);
    return date != NULL ? MAX(g_date_time_to_unix(date) * US_PER_S - clock_wall_us(), 0) : -1;
}

/* Puts the call by, to be sent again later. False: it is not to be, or there is no time for it. */
static bool try_again(HttpCall *call, bool after_answer)
{
    int64_t pause_us = FIRST_PAUSE_US << (2 * (call->tries - 1)), wished_us = after_answer ? wished_pause_us(call->message) : -1;

    if (call->tries >= HTTP_TRIES || (!call->repeatable && call->sent))
        return false;
    pause_us += g_random_int_range(0, (gint32) (pause_us / 4)); /* many bridges, one server that comes back */
    pause_us = MAX(pause_us, wished_us);
    if (clock_now_us() + pause_us >= call->deadline_us)
        return false;
    call->http->active--;
    call->state = PAUSED;
    g_clear_object(&call->stream);
    g_clear_object(&call->message);
    g_string_truncate(call->body, 0);
    call->pause = timer(call->http->context, pause_us, on_paused, call);
    pump(call->http);
    return true;
}

static HttpError error_code(const GError *error, bool sent)
{
    if (g_error_matches(error, SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_PARSING) ||
        g_error_matches(error, SOUP_SESSION_ERROR, SOUP_SESSION_ERROR_ENCODING))
        return HTTP_ERROR_MALFORMED;
    if (sent)
        return HTTP_ERROR_LOST;
    return error->domain == G_TLS_ERROR ? HTTP_ERROR_TLS : HTTP_ERROR_UNREACHABLE;
}

static void on_error(HttpCall *call, const GError *error)
{
    HttpError code = error_code(error, call->sent);

    if (code == HTTP_ERROR_TLS || code == HTTP_ERROR_MALFORMED || !try_again(call, false))
        call_fail(call, code, error->message);
}

static void on_whole(HttpCall *call)
{
    unsigned status = soup_message_get_status(call->message);
    bool again = status == 429 || status == 502 || status == 503 || status == 504;
    HttpAnswer answer = { .sent = true, .status = status, .body = call->body->str, .body_bytes = call->body->len };

    if (again && try_again(call, true))
        return;
    answer.content_type = soup_message_headers_get_content_type(soup_message_get_response_headers(call->message), NULL);
    if (call->wanted_header != NULL)
        answer.wanted = soup_message_headers_get_one(soup_message_get_response_headers(call->message), call->wanted_header);
    call_finish(call, &answer);
}

static void on_read(GObject *source, GAsyncResult *result, void *user)
{
    HttpCall *call = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = g_input_stream_read_bytes_finish(G_INPUT_STREAM(source), result, &error);
    size_t n = bytes != NULL ? g_bytes_get_size(bytes) : 0;

    if (call->state == FINISHED) {
        call_unref(call);
        return;
    }
    if (bytes == NULL)
        on_error(call, error);
    else if (n == 0)
        on_whole(call);
    else if (call->body->len + n > call->http->max_answer_bytes)
        call_fail(call, HTTP_ERROR_TOO_LARGE, "the answer is larger than is taken");
    else {
        g_string_append_len(call->body, g_bytes_get_data(bytes, NULL), (gssize) n);
        g_input_stream_read_bytes_async(call->stream, CHUNK, G_PRIORITY_DEFAULT, call->cancellable, on_read, call);
        return;
    }
    call_unref(call);
}

static void on_headers(GObject *source, GAsyncResult *result, void *user)
{
    HttpCall *call = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GInputStream) stream = soup_session_send_finish(SOUP_SESSION(source), result, &error);

    if (call->state != FINISHED && stream != NULL) {
        call->stream = g_steal_pointer(&stream);
        g_input_stream_read_bytes_async(call->stream, CHUNK, G_PRIORITY_DEFAULT, call->cancellable, on_read, call);
        return;
    }
    if (call->state != FINISHED)
        on_error(call, error);
    call_unref(call);
}

static void on_starting(SoupMessage *message, void *user)
{
    (void) message;
    ((HttpCall *) user)->sent = true;
}

static void call_start(HttpCall *call)
{
    SoupMessage *message = soup_message_new(call->method, call->url); /* http_send() saw to it that it can be */
    SoupMessageHeaders *headers = soup_message_get_request_headers(message);

    call->state = ACTIVE;
    call->http->active++;
    call->tries++;
    call->message = message;
    soup_message_add_flags(message, SOUP_MESSAGE_NO_REDIRECT | SOUP_MESSAGE_DO_NOT_USE_AUTH_CACHE);
    if (!call->repeatable)
        soup_message_add_flags(message, SOUP_MESSAGE_NEW_CONNECTION);
    for (size_t i = 0; call->headers[i] != NULL; i += 2)
        soup_message_headers_replace(headers, call->headers[i], call->headers[i + 1]);
    if (call->request_body != NULL)
        soup_message_set_request_body_from_bytes(message, call->content_type, call->request_body);
    g_signal_connect(message, "starting", G_CALLBACK(on_starting), call);
    call->refs++;
    soup_session_send_async(call->http->session, message, G_PRIORITY_DEFAULT, call->cancellable, on_headers, call);
}

/* ---- turn and pace -------------------------------------------------------------------------------------------------------------------- */

static gboolean on_pump(void *user)
{
    Http *http = user;

    source_drop(&http->pump);
    pump(http);
    return G_SOURCE_REMOVE;
}

static void pump(Http *http)
{
    int64_t now_us = clock_now_us(), cost_us = US_PER_S / http->per_s;

    http->credit_us = MIN(http->credit_us + now_us - http->credited_us, US_PER_S);
    http->credited_us = now_us;
    while (http->waiting.length > 0 && http->active < http->at_once && http->credit_us >= cost_us) {
        http->credit_us -= cost_us;
        call_start(g_queue_pop_head(&http->waiting));
    }
    if (http->waiting.length > 0 && http->active < http->at_once && http->pump == NULL)
        http->pump = timer(http->context, cost_us - http->credit_us, on_pump, http);
}

static gboolean on_deadline(void *user)
{
    call_fail(user, HTTP_ERROR_TIMEOUT, "no answer in time");
    return G_SOURCE_REMOVE;
}

static gboolean on_busy(void *user)
{
    call_fail(user, HTTP_ERROR_BUSY, "too many requests wait already");
    return G_SOURCE_REMOVE;
}

static gboolean on_bad(void *user)
{
    call_fail(user, HTTP_ERROR_SETTINGS, "this is no URL");
    return G_SOURCE_REMOVE;
}

HttpCall *http_send(Http *http, const HttpRequest *request, HttpDone done, void *user)
{
    HttpCall *call = g_new0(HttpCall, 1);
    int64_t now_us = clock_now_us();
    g_autoptr(GUri) uri = NULL;

    *call = (HttpCall) { .refs = 1, .http = http, .state = PAUSED, .done = done, .user = user };
    call->method = g_strdup(request->method);
    call->url = g_strconcat(http->url, request->path, NULL);
    call->content_type = g_strdup(request->content_type != NULL ? request->content_type : "application/octet-stream");
    call->wanted_header = g_strdup(request->wanted_header);
    call->headers = request->headers != NULL ? g_strdupv((char **) request->headers) : g_new0(char *, 1);
    if (request->body != NULL)
        call->request_body = g_bytes_new(request->body, strlen(request->body));
    call->repeatable = request->repeatable || strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    call->deadline_us = request->deadline_us != 0 ? request->deadline_us : now_us + http->timeout_us;
    call->cancellable = g_cancellable_new();
    call->body = g_string_new(NULL);
    g_hash_table_add(http->calls, call);
    uri = g_uri_parse(call->url, SOUP_HTTP_URI_FLAGS, NULL);
    if (uri == NULL || http->waiting.length >= HTTP_WAITING_MAX) {
        call->deadline = timer(http->context, 0, uri == NULL ? on_bad : on_busy, call);
        return call;
    }
    call->deadline = timer(http->context, call->deadline_us - now_us, on_deadline, call);
    call->state = WAITING;
    g_queue_push_tail(&http->waiting, call);
    pump(http);
    return call;
}

/* ---- the client ----------------------------------------------------------------------------------------------------------------------- */

static bool url_is_good(const char *url, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GUri) uri = g_uri_parse(url != NULL ? url : "", SOUP_HTTP_URI_FLAGS, &why);
    const char *scheme = uri != NULL ? g_uri_get_scheme(uri) : NULL, *host = uri != NULL ? g_uri_get_host(uri) : NULL;

    if (uri == NULL || host == NULL || *host == '\0' || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        g_set_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS, "'%s' is no URL of the form https://HOST[:PORT][/PATH]", url != NULL ? url : "");
        return false;
    }
    if (g_uri_get_userinfo(uri) != NULL || g_uri_get_query(uri) != NULL || g_uri_get_fragment(uri) != NULL) {
        g_set_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS, "the URL of %s has a user, a query or a fragment: none belongs there", host);
        return false;
    }
    return true;
}

static SoupSession *session_new(const HttpOptions *options, GError **error)
{
    g_autoptr(GTlsDatabase) trust = NULL;
    SoupSession *session;

    if (options->ca_file != NULL) {
        g_autofree char *path = g_canonicalize_filename(options->ca_file, NULL);
        g_autoptr(GError) why = NULL;

        trust = g_tls_file_database_new(path, &why);
        if (trust == NULL) {
            g_set_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS, "%s: no certificates to trust: %s", path, why->message);
            return NULL;
        }
    }
    session = soup_session_new_with_options("user-agent", options->user_agent != NULL ? options->user_agent : "mend-bridge", "timeout", 0,
                                            "idle-timeout", 30, "max-conns", 64, "max-conns-per-host", 64, NULL);
    soup_session_set_proxy_resolver(session, NULL);
    soup_session_remove_feature_by_type(session, SOUP_TYPE_AUTH_MANAGER);
    if (trust != NULL)
        soup_session_set_tls_database(session, trust);
    return session;
}

Http *http_new(const HttpOptions *options, GError **error)
{
    SoupSession *session = url_is_good(options->url, error) ? session_new(options, error) : NULL;
    Http *http;
    size_t length;

    if (session == NULL)
        return NULL;
    http = g_new0(Http, 1);
    http->session = session;
    http->context = g_main_context_ref_thread_default();
    http->url = g_strdup(options->url);
    for (length = strlen(http->url); length > 0 && http->url[length - 1] == '/'; length--)
        http->url[length - 1] = '\0';
    http->timeout_us = options->timeout_us > 0 ? options->timeout_us : TIMEOUT_US;
    http->max_answer_bytes = options->max_answer_bytes > 0 ? options->max_answer_bytes : ANSWER_MAX;
    http->per_s = options->per_s > 0 ? options->per_s : PER_S;
    http->at_once = options->at_once > 0 ? MIN(options->at_once, 64) : AT_ONCE;
    http->calls = g_hash_table_new(NULL, NULL);
    http->credit_us = US_PER_S;
    http->credited_us = clock_now_us();
    g_queue_init(&http->waiting);
    return http;
}

void http_free(Http *http)
{
    GHashTableIter iter;
    void *key;

    if (http == NULL)
        return;
    while (g_hash_table_iter_init(&iter, http->calls), g_hash_table_iter_next(&iter, &key, NULL)) {
        HttpCall *call = key;

        call_leave(call);
        call->http = NULL;
        call_unref(call);
    }
    source_drop(&http->pump);
    soup_session_abort(http->session);
    g_object_unref(http->session);
    g_hash_table_unref(http->calls);
    g_main_context_unref(http->context);
    g_free(http->url);
    g_free(http);
}

const char *http_url(const Http *http) { return http->url; }
