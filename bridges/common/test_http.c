/* The client against a server that does what it is told by the path: answers, cuts, dawdles, lies. */
#include "bridges/common/http.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/model/command.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#define LONG_MS 20000

/* ---- the server ------------------------------------------------------------------------------------------------------------------------ */

typedef struct Server {
    GSocketService *service;
    guint16 port;
    GMutex lock;
    GCond changed;
    GPtrArray *requests; /* of char *: as they came */
    bool ending;
} Server;

static bool path_is(const char *request, const char *path)
{
    const char *space = strchr(request, ' ');

    return space != NULL && g_str_has_prefix(space + 1, path);
}

static unsigned times_asked(Server *server, const char *path)
{
    unsigned n = 0;

    g_mutex_lock(&server->lock);
    for (guint i = 0; i < server->requests->len; i++)
        n += path_is(server->requests->pdata[i], path);
    g_mutex_unlock(&server->lock);
    return n;
}

static char *server_read(GInputStream *in)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const char *end, *length;
    char piece[4096];
    gssize n;

    while ((end = strstr(text->str, "\r\n\r\n")) == NULL || ((length = strstr(text->str, "Content-Length: ")) != NULL && length < end &&
                                                             strlen(end + 4) < (size_t) atoi(length + 16))) {
        n = g_input_stream_read(in, piece, sizeof(piece), NULL, NULL);
        if (n <= 0)
            return NULL;
        g_string_append_len(text, piece, n);
    }
    return g_strdup(text->str);
}

static void server_wait(Server *server)
{
    g_mutex_lock(&server->lock);
    while (!server->ending)
        g_cond_wait(&server->changed, &server->lock);
    g_mutex_unlock(&server->lock);
}

static char *server_answer(Server *server, const char *request)
{
    static const struct { const char *path, *answer; } fixed[] = {
        { "/base/ok", "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 8\r\n\r\n{\"a\": 1}" },
        { "/base/conflict", "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno" },
        { "/base/login", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n" },
        { "/base/elsewhere", "HTTP/1.1 302 Found\r\nLocation: /base/ok\r\nContent-Length: 0\r\n\r\n" },
        { "/base/half", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this" },
        { "/base/noise", "what do you want\r\n\r\n" },
        { "/base/cut", NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
        if (path_is(request, fixed[i].path))
            return g_strdup(fixed[i].answer);
    if (path_is(request, "/base/tired"))
        return times_asked(server, "/base/tired") < HTTP_TRIES ? g_strdup("HTTP/1.1 503 Later\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
                                                              : g_strdup("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    if (path_is(request, "/base/big")) {
        g_autofree char *body = g_strnfill(200000, 'x');

        return g_strdup_printf("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n%s", body);
    }
    if (path_is(request, "/base/late"))
        server_wait(server);
    return NULL;
}

static gboolean on_connection(GThreadedSocketService *service, GSocketConnection *connection, GObject *source, void *user)
{
    Server *server = user;
    GInputStream *in = g_io_stream_get_input_stream(G_IO_STREAM(connection));
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    char *request;

    (void) service, (void) source;
    while ((request = server_read(in)) != NULL) {
        g_autofree char *answer = NULL;

        g_mutex_lock(&server->lock);
        g_ptr_array_add(server->requests, request);
        g_mutex_unlock(&server->lock);
        answer = server_answer(server, request);
        if (answer == NULL || !g_output_stream_write_all(out, answer, strlen(answer), NULL, NULL, NULL) || strstr(answer, "only this") != NULL)
            break;
    }
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    return TRUE;
}

static Server *server_new(void)
{
    Server *server = g_new0(Server, 1);

    g_mutex_init(&server->lock);
    g_cond_init(&server->changed);
    server->requests = g_ptr_array_new_with_free_func(g_free);
    server->service = g_threaded_socket_service_new(16);
    server->port = g_socket_listener_add_any_inet_port(G_SOCKET_LISTENER(server->service), NULL, NULL);
    g_signal_connect(server->service, "run", G_CALLBACK(on_connection), server);
    g_socket_service_start(server->service);
    return server;
}

/* The threads of its connections end with their clients; what they still use stays until the program's end. */
static Server *servers[32];
static unsigned n_servers;

static void server_end(Server *server)
{
    g_mutex_lock(&server->lock);
    server->ending = true;
    g_cond_broadcast(&server->changed);
    g_mutex_unlock(&server->lock);
    g_socket_service_stop(server->service);
    g_socket_listener_close(G_SOCKET_LISTENER(server->service));
    g_clear_object(&server->service);
    servers[n_servers++] = server;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Server, server_end)

/* ---- asking it ------------------------------------------------------------------------------------------------------------------------- */

typedef struct Outcome {
    bool done, sent;
    GError *error;
    unsigned status;
    char *body, *content_type;
    const char *command_error;
} Outcome;

static void outcome_clear(Outcome *outcome)
{
    g_clear_error(&outcome->error);
    g_free(outcome->body);
    g_free(outcome->content_type);
    *outcome = (Outcome) { 0 };
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)

static void on_done(const HttpAnswer *answer, void *user)
{
    Outcome *outcome = user;

    g_assert_false(outcome->done);
    *outcome = (Outcome) { .done = true, .sent = answer->sent, .status = answer->status, .body = g_strdup(answer->body),
                           .content_type = g_strdup(answer->content_type), .command_error = http_command_error(answer),
                           .error = answer->error != NULL ? g_error_copy(answer->error) : NULL };
}

static gboolean on_over(void *user)
{
    *(bool *) user = true;
    return G_SOURCE_CONTINUE;
}

static void await(const bool *done)
{
    bool over = false;
    guint timer = g_timeout_add(LONG_MS, on_over, &over);

    while (!*done && !over)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
    g_assert_true(*done);
}

static void settle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static Http *client(const Server *server, size_t max_bytes)
{
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/base/", server->port);
    g_autoptr(GError) error = NULL;
    Http *http = http_new(&(HttpOptions) { .url = url, .timeout_us = 10 * US_PER_S, .max_answer_bytes = max_bytes }, &error);

    g_assert_no_error(error);
    return http;
}

static Outcome ask(Http *http, const HttpRequest *request)
{
    Outcome outcome = { 0 };

    http_send(http, request, on_done, &outcome);
    g_assert_false(outcome.done);
    await(&outcome.done);
    return outcome;
}

static void test_answers(void)
{
    static const char *const headers[] = { "Authorization", "Bearer abc", "Accept", "application/json", NULL };
    g_autoptr(Server) server = server_new();
    g_autoptr(Http) http = client(server, 0);
    g_auto(Outcome) got = ask(http, &(HttpRequest) { .method = "POST", .path = "/ok?x=1", .headers = headers, .body = "{}",
                                                     .content_type = "application/json" });
    const char *seen = server->requests->pdata[0];

    g_assert_no_error(got.error);
    g_assert_cmpuint(got.status, ==, 200);
    g_assert_cmpstr(got.body, ==, "{\"a\": 1}");
    g_assert_cmpstr(got.content_type, ==, "application/json");
    g_assert_null(got.command_error);
    g_assert_true(g_str_has_prefix(seen, "POST /base/ok?x=1 HTTP/1.1\r\n"));
    g_assert_nonnull(strstr(seen, "Authorization: Bearer abc\r\n"));
    g_assert_nonnull(strstr(seen, "Accept: application/json\r\n"));
    g_assert_nonnull(strstr(seen, "Content-Type: application/json\r\n"));
    g_assert_true(g_str_has_suffix(seen, "\r\n\r\n{}"));
}

static void test_statuses(void)
{
    static const struct { const char *path; unsigned status; const char *error; } rows[] = {
        { "/conflict", 409, COMMAND_ERROR_FAILED }, { "/login", 401, COMMAND_ERROR_FAILED }, { "/elsewhere", 302, COMMAND_ERROR_FAILED } };
    g_autoptr(Server) server = server_new();
    g_autoptr(Http) http = client(server, 0);

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Outcome) got = ask(http, &(HttpRequest) { .method = "GET", .path = rows[i].path });

        g_assert_no_error(got.error);
        g_assert_cmpuint(got.status, ==, rows[i].status);
        g_assert_cmpstr(got.command_error, ==, rows[i].error);
    }
    g_assert_cmpuint(times_asked(server, "/base/"), ==, G_N_ELEMENTS(rows)); /* none was asked twice, none was followed */
    g_assert_cmpstr(http_command_error(&(HttpAnswer) { .status = 404, .sent = true }), ==, COMMAND_ERROR_NOT_FOUND);
    g_assert_cmpstr(http_command_error(&(HttpAnswer) { .status = 400, .sent = true }), ==, COMMAND_ERROR_ARGUMENT);
}

/* What was sent and not answered may have been done: a POST is not sent again, a GET is. */
static void test_cut(void)
{
    g_autoptr(Server) server = server_new();
    g_autoptr(Http) http = client(server, 0);
    g_auto(Outcome) post = ask(http, &(HttpRequest) { .method = "POST", .path = "/cut-post", .body = "{}" });
    g_auto(Outcome) get = ask(http, &(HttpRequest) { .method = "GET", .path = "/cut-get" });
    g_auto(Outcome) half = ask(http, &(HttpRequest) { .method = "POST", .path = "/half" });
    g_auto(Outcome) twice = ask(http, &(HttpRequest) { .method = "POST", .path = "/cut-may-be-twice", .body = "{}", .repeatable = true });

    g_assert_error(post.error, HTTP_ERROR, HTTP_ERROR_LOST);
    g_assert_true(post.sent);
    g_assert_cmpstr(post.command_error, ==, COMMAND_ERROR_TIMEOUT);
    g_assert_cmpuint(times_asked(server, "/base/cut-post"), ==, 1);
    g_assert_error(get.error, HTTP_ERROR, HTTP_ERROR_LOST);
    g_assert_cmpuint(times_asked(server, "/base/cut-get"), >=, HTTP_TRIES);
    g_assert_error(half.error, HTTP_ERROR, HTTP_ERROR_LOST);
    g_assert_cmpuint(times_asked(server, "/base/half"), ==, 1);
    g_assert_error(twice.error, HTTP_ERROR, HTTP_ERROR_LOST);
    g_assert_cmpuint(times_asked(server, "/base/cut-may-be-twice"), ==, HTTP_TRIES);
}

static void test_tired_server(void)
{
    g_autoptr(Server) server = server_new();
    g_autoptr(Http) http = client(server, 0);
    g_auto(Outcome) post = ask(http, &(HttpRequest) { .method = "POST", .path = "/tired", .body = "{}" });
    g_auto(Outcome) get = ask(http, &(HttpRequest) { .method = "GET", .path = "/tired" });

    g_assert_cmpuint(post.status, ==, 503);
    g_assert_cmpuint(get.status, ==, 200);
    g_assert_cmpuint(times_asked(server, "/base/tired"), ==, HTTP_TRIES);
}

static void test_nobody_there(void)
{
    g_autoptr(Server) server = server_new();
    g_autoptr(Http) http = client(server, 0);
    g_auto(Outcome) got = { 0 };

    g_socket_service_stop(server->service);
    g_socket_listener_close(G_SOCKET_LISTENER(server->service));
    got = ask(http, &(HttpRequest) { .method = "POST", .path = "/ok", .body = "{}" });
    g_assert_error(got.error, HTTP_ERROR, HTTP_ERROR_UNREACHABLE);
    g_assert_false(got.sent);
    g_assert_cmpstr(got.command_error, ==, COMMAND_ERROR_UNREACHABLE);
}

static void test_wrong_answers(void)
{
    g_autoptr(Server) server = server_new();
    g_autoptr(Http) http = client(server, 100000);
    g_auto(Outcome) big = ask(http, &(HttpRequest) { .method = "GET", .path = "/big" });
    g_auto(Outcome) noise = ask(http, &(HttpRequest) { .method = "POST", .path = "/noise" });
    g_auto(Outcome) late = ask(http, &(HttpRequest) { .method = "GET", .path = "/late", .deadline_us = clock_now_us() + 200 * US_PER_MS });

    g_assert_error(big.error, HTTP_ERROR, HTTP_ERROR_TOO_LARGE);
    g_assert_cmpstr(big.command_error, ==, COMMAND_ERROR_FAILED);
    g_assert_error(noise.error, HTTP_ERROR, HTTP_ERROR_MALFORMED);
    g_assert_cmpstr(noise.command_error, ==, COMMAND_ERROR_FAILED);
    g_assert_error(late.error, HTTP_ERROR, HTTP_ERROR_TIMEOUT);
    g_assert_true(late.sent);
    g_assert_cmpstr(late.command_error, ==, COMMAND_ERROR_TIMEOUT);
    settle();
}

static void on_never(const HttpAnswer *answer, void *user)
{
    (void) answer, (void) user;
    g_assert_not_reached();
}

static void test_pace_and_ends(void)
{
    g_autoptr(Server) server = server_new();
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/base", server->port);
    g_autoptr(GError) error = NULL;
    Http *http = http_new(&(HttpOptions) { .url = url, .per_s = 2, .at_once = 1 }, &error);
    Outcome outcomes[4] = { 0 };
    int64_t begun_us = clock_now_us();
    HttpCall *dropped;

    for (int i = 0; i < 4; i++)
        http_send(http, &(HttpRequest) { .method = "GET", .path = "/ok" }, on_done, &outcomes[i]);
    dropped = http_send(http, &(HttpRequest) { .method = "GET", .path = "/dropped" }, on_never, NULL);
    http_drop(dropped);
    await(&outcomes[3].done);
    g_assert_cmpint(clock_now_us() - begun_us, >=, 900 * US_PER_MS); /* two at once, then one each half second */
    for (int i = 0; i < 4; i++) {
        g_assert_cmpuint(outcomes[i].status, ==, 200);
        outcome_clear(&outcomes[i]);
    }
    http_send(http, &(HttpRequest) { .method = "GET", .path = "/late" }, on_never, NULL);
    http_free(http);
    settle();
}

static void test_too_many_wait(void)
{
    g_autoptr(Server) server = server_new();
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/base", server->port);
    g_autoptr(GError) error = NULL;
    g_autoptr(Http) http = http_new(&(HttpOptions) { .url = url, .per_s = 1, .at_once = 1 }, &error);
    g_auto(Outcome) last = { 0 };

    http_send(http, &(HttpRequest) { .method = "GET", .path = "/late" }, on_never, NULL);
    for (int i = 0; i < HTTP_WAITING_MAX; i++)
        http_send(http, &(HttpRequest) { .method = "GET", .path = "/late" }, on_never, NULL);
    http_send(http, &(HttpRequest) { .method = "GET", .path = "/late" }, on_done, &last);
    await(&last.done);
    g_assert_error(last.error, HTTP_ERROR, HTTP_ERROR_BUSY);
    g_assert_false(last.sent);
    g_clear_pointer(&http, http_free);
    settle();
}

static void test_settings(void)
{
    static const char *const bad[] = { "", "ftp://x/", "https://", "https://u:p@x/", "https://x/?a=1", "x" };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(http_new(&(HttpOptions) { .url = bad[i] }, &error));
        g_assert_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS);
    }
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(http_new(&(HttpOptions) { .url = "https://x", .ca_file = "/nonexistent.pem" }, &error));
        g_assert_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS);
        g_assert_nonnull(strstr(error->message, "/nonexistent.pem"));
    }
}

static void test_secrets(void)
{
    g_autofree char *folder = g_dir_make_tmp("mend-http-XXXXXX", NULL), *file = g_build_filename(folder, "password", NULL);
    g_autoptr(GError) error = NULL, open_error = NULL;
    char *secret, *basic, *form;

    g_assert_true(file_write(file, "s3cret\n", 7, 0640, &error));
    secret = http_secret_read(file, &error);
    g_assert_cmpstr(secret, ==, "s3cret");
    basic = http_basic("admin@internal", secret);
    g_assert_cmpstr(basic, ==, "Basic YWRtaW5AaW50ZXJuYWw6czNjcmV0");
    form = http_form((const char *const[]) { "username", "admin@internal", "password", "a&b=c d", NULL });
    g_assert_cmpstr(form, ==, "username=admin%40internal&password=a%26b%3Dc%20d");
    http_secret_free(secret);
    http_secret_free(basic);
    http_secret_free(form);
    g_assert_cmpint(g_chmod(file, 0644), ==, 0);
    g_assert_null(http_secret_read(file, &open_error));
    g_assert_error(open_error, HTTP_ERROR, HTTP_ERROR_SETTINGS);
    g_remove(file);
    g_rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http/answers", test_answers);
    g_test_add_func("/http/statuses", test_statuses);
    g_test_add_func("/http/cut", test_cut);
    g_test_add_func("/http/tired-server", test_tired_server);
    g_test_add_func("/http/nobody-there", test_nobody_there);
    g_test_add_func("/http/wrong-answers", test_wrong_answers);
    g_test_add_func("/http/pace-and-ends", test_pace_and_ends);
    g_test_add_func("/http/too-many-wait", test_too_many_wait);
    g_test_add_func("/http/settings", test_settings);
    g_test_add_func("/http/secrets", test_secrets);
    return g_test_run();
}
