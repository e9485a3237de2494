#include "agents/guest/services/test_world.h"

#include <gio/gio.h>
#include <string.h>

typedef struct Server { /* answers every connection with what a test says; "" closes, NULL stays silent */
    GSocketService *service;
    guint16 port;
    const char *answer;
    GPtrArray *silent;
} Server;

static gboolean on_incoming(GSocketService *service, GSocketConnection *connection, GObject *source, void *user)
{
    Server *server = user;

    if (server->answer == NULL)
        g_ptr_array_add(server->silent, g_object_ref(connection));
    else
        g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), server->answer, strlen(server->answer), NULL,
                                  NULL, NULL);
    return TRUE;
}

static void server_up(Server *server, guint16 port)
{
    g_autoptr(GSocketAddress) address = g_inet_socket_address_new_from_string("127.0.0.1", port), bound = NULL;
    g_autoptr(GError) error = NULL;

    server->service = g_socket_service_new();
    server->silent = g_ptr_array_new_with_free_func(g_object_unref);
    g_socket_listener_add_address(G_SOCKET_LISTENER(server->service), address, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &bound,
                                  &error);
    g_assert_no_error(error);
    server->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
    g_signal_connect(server->service, "incoming", G_CALLBACK(on_incoming), server);
}

static void server_down(Server *server)
{
    g_socket_service_stop(server->service);
    g_socket_listener_close(G_SOCKET_LISTENER(server->service));
    g_clear_object(&server->service);
    g_ptr_array_unref(server->silent);
}

static void watch(World *w, const char *format, guint16 port)
{
    g_autofree char *port_text = g_strdup_printf("%d", port);
    g_auto(GStrv) parts = g_strsplit(format, "PORT", -1);
    g_autofree char *json = g_strjoinv(port_text, parts);

    world_watch(w, json);
}

static void test_tcp_opens_or_not(void)
{
    World *w = world_new(NULL);
    Server server = {.answer = ""};
    guint16 port;

    server_up(&server, 0);
    port = server.port;
    watch(w, "{\"name\": \"t\", \"standard\": \"tcp\", \"address\": \"127.0.0.1:PORT\", \"interval\": \"20ms\"}", port);
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    server_down(&server);
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_nonnull(strstr(service_report(w->service)->reason, "refused"));
    g_assert_cmpint(world_act(w, "restart", US_PER_S), ==, OCF_UNIMPLEMENTED);
    g_assert_true(world_is(w, SERVICE_FAILED, INTENT_NONE));
    world_free(w);
}

static void test_http_wants_its_status_in_time(void)
{
    World *w = world_new(NULL);
    Server server = {.answer = "HTTP/1.1 200 OK\r\n\r\n"};

    server_up(&server, 0);
    watch(w, "{\"name\": \"h\", \"standard\": \"http\", \"http\": \"http://127.0.0.1:PORT/x?y=z\", \"interval\": \"20ms\", \"timeout\": \"200ms\"}",
          server.port);
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    server.answer = "HTTP/1.1 503 Busy\r\n\r\n";
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_nonnull(strstr(service_report(w->service)->reason, "status 503, wanted 200"));
    server.answer = "SSH-2.0\r\n";
    WAIT_FOR(strstr(service_report(w->service)->reason, "no HTTP") != NULL);
    server.answer = NULL;
    WAIT_FOR(service_report(w->service)->rc == OCF_TIMEOUT);
    g_assert_nonnull(strstr(service_report(w->service)->reason, "no answer within 200ms"));
    server.answer = "HTTP/1.1 200 OK\r\n\r\n";
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    server.answer = NULL;
    world_free(w); /* with a probe out */
    server_down(&server);
}

static void test_a_probe_doubts_what_runs_and_only_that(void)
{
    World *w = world_new(NULL);
    Server server = {.answer = "HTTP/1.1 200 OK\r\n\r\n"};
    static const char spec[] = "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"sleep 600\", \"grace\": \"5s\", "
                               "\"probe\": {\"http\": \"http://127.0.0.1:PORT/\", \"interval\": \"20ms\", \"timeout\": \"1s\", \"failures\": 2}}";
    guint16 port;

    server_up(&server, 0);
    port = server.port;
    server_down(&server);
    watch(w, spec, port);
    WAIT_FOR(world_is(w, SERVICE_STARTING, INTENT_BOOT) && strstr(service_report(w->service)->reason, "refused") != NULL);
    server_up(&server, port);
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_BOOT));
    server.answer = "HTTP/1.1 500 Broken\r\n\r\n";
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_true(g_str_has_prefix(service_report(w->service)->reason, "probe failed: "));
    g_assert_cmpint(service_report(w->service)->pid, >, 0);
    server.answer = "HTTP/1.1 200 OK\r\n\r\n";
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_BOOT));
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    g_string_truncate(w->story, 0);
    server_down(&server);
    for (int64_t until_us = clock_now_us() + 100 * US_PER_MS; clock_now_us() < until_us;)
        g_main_context_iteration(NULL, FALSE);
    g_assert_cmpstr(w->story->str, ==, "");
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/probe/tcp opens or not", test_tcp_opens_or_not);
    g_test_add_func("/probe/http wants its status in time", test_http_wants_its_status_in_time);
    g_test_add_func("/probe/it doubts what runs, and only that", test_a_probe_doubts_what_runs_and_only_that);
    return g_test_run();
}
