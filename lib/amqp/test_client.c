/* The client against a peer nobody here wrote (test_peer.py, on python3-qpid-proton), behind a relay that cuts and mutes. */
#include "lib/amqp/client.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US (10 * US_PER_S)

typedef struct Peer {
    GSubprocess *process;
    GDataInputStream *output;
    char *url;
} Peer;

static Peer peer;

static char *peer_line(void)
{
    g_autoptr(GError) error = NULL;
    char *line = g_data_input_stream_read_line(peer.output, NULL, NULL, &error);

    g_assert_no_error(error);
    g_assert_nonnull(line);
    return line;
}

static bool peer_start(void)
{
    g_autofree char *script = g_build_filename(g_getenv("MEND_SOURCE_DIR") ? g_getenv("MEND_SOURCE_DIR") : ".", "lib/amqp/test_peer.py", NULL);
    g_autofree char *line = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) check = g_subprocess_new(G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error, "/usr/bin/python3", "-c", "import proton", NULL);

    if (check == NULL || !g_subprocess_wait_check(check, NULL, NULL))
        return false;
    peer.process = g_subprocess_new(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "/usr/bin/python3", script, NULL);
    g_assert_no_error(error);
    peer.output = g_data_input_stream_new(g_subprocess_get_stdout_pipe(peer.process));
    line = peer_line();
    g_assert_true(g_str_has_prefix(line, "PORT "));
    peer.url = g_strdup_printf("amqp://127.0.0.1:%s", line + 5);
    return true;
}

static char *peer_ask(const char *command)
{
    g_autofree char *line = g_strconcat(command, "\n", NULL);

    g_assert_true(g_output_stream_write_all(g_subprocess_get_stdin_pipe(peer.process), line, strlen(line), NULL, NULL, NULL));
    return peer_line();
}

static void peer_do(const char *command)
{
    g_autofree char *answer = peer_ask(command);

    g_assert_cmpstr(answer, ==, "ok");
}

/* ---- what callbacks saw ---- */

typedef struct Seen {
    int opens, losses, closed, accepted, failed, ready, attached, errors, messages;
    int last_code;
    AmqpState state;
    GPtrArray *bodies;
    GPtrArray *held; /* deliveries not settled yet, when `hold` */
    bool hold;
    AmqpClient *free_client;     /* freed from within the next message */
    AmqpReceiver *free_receiver;
} Seen;

static void seen_init(Seen *seen)
{
    *seen = (Seen){ .bodies = g_ptr_array_new_with_free_func(g_free), .held = g_ptr_array_new(), .last_code = -1 };
}

static void seen_done(Seen *seen)
{
    g_ptr_array_unref(seen->bodies);
    g_ptr_array_unref(seen->held);
}

static void on_state(AmqpClient *client, AmqpState state, const GError *why, void *user)
{
    Seen *seen = user;

    seen->state = state;
    seen->opens += state == AMQP_STATE_OPEN;
    seen->losses += state == AMQP_STATE_WAITING;
    if (why != NULL)
        seen->last_code = why->code;
    g_assert_cmpint(amqp_client_state(client), ==, state);
}

static void on_done(const GError *error, void *user)
{
    Seen *seen = user;

    seen->accepted += error == NULL;
    seen->failed += error != NULL;
    if (error != NULL)
        seen->last_code = error->code;
}

static void on_ready(AmqpSender *sender, void *user)
{
    ((Seen *) user)->ready++;
}

static void on_sender_error(AmqpSender *sender, const GError *error, void *user)
{
    ((Seen *) user)->errors++;
    ((Seen *) user)->last_code = error->code;
}

static void on_receiver_error(AmqpReceiver *receiver, const GError *error, void *user)
{
    ((Seen *) user)->errors++;
    ((Seen *) user)->last_code = error->code;
}

static void on_attached(AmqpReceiver *receiver, void *user)
{
    ((Seen *) user)->attached++;
}

static void on_message(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    Seen *seen = user;

    seen->messages++;
    g_ptr_array_add(seen->bodies, g_strdup(value_as_string(message->body)));
    if (seen->free_receiver != NULL) {
        amqp_receiver_free(g_steal_pointer(&seen->free_receiver));
        return;
    }
    if (seen->free_client != NULL) {
        amqp_client_free(g_steal_pointer(&seen->free_client));
        return;
    }
    if (seen->hold)
        g_ptr_array_add(seen->held, delivery);
    else
        amqp_delivery_accept(delivery);
}

static void on_closed(void *user)
{
    ((Seen *) user)->closed++;
}

static gboolean on_tick(gpointer user)
{
    return G_SOURCE_CONTINUE; /* only wakes the loop */
}

static bool wait_for(const int *count, int at_least)
{
    int64_t until = clock_now_us() + PATIENCE_US;

    while (*count < at_least && clock_now_us() < until) {
        g_autoptr(GSource) timer = g_timeout_source_new(20);
        g_source_set_callback(timer, on_tick, NULL, NULL);
        g_source_attach(timer, NULL);
        g_main_context_iteration(NULL, TRUE);
        g_source_destroy(timer);
    }
    return *count >= at_least;
}

static void run_for(int64_t us)
{
    int64_t until = clock_now_us() + us;

    while (clock_now_us() < until)
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(500);
}

static AmqpClient *client_new(Seen *seen, int64_t idle_us)
{
    return amqp_client_new(&(AmqpClientOptions){ .url = peer.url, .reconnect = true, .on_state = on_state, .state_user = seen,
                                                 .idle_timeout_us = idle_us, .backoff_first_us = 5 * US_PER_MS,
                                                 .backoff_max_us = 50 * US_PER_MS });
}

static AmqpSender *sender_new(AmqpClient *client, const char *address, Seen *seen)
{
    return amqp_sender_new(client, &(AmqpSenderOptions){ .address = address, .on_ready = on_ready, .on_error = on_sender_error,
                                                         .user = seen });
}

static AmqpReceiver *receiver_new(AmqpClient *client, const char *address, uint32_t credit, Seen *seen)
{
    return amqp_receiver_new(client, &(AmqpReceiverOptions){ .address = address, .credit = credit, .on_message = on_message,
                                                             .on_attached = on_attached, .on_error = on_receiver_error, .user = seen });
}

static bool send_text(AmqpSender *sender, const char *text, int64_t deadline_us, Seen *seen, GError **error)
{
    g_autoptr(AmqpMessage) message = amqp_message_new();

    message->body_kind = AMQP_BODY_VALUE;
    message->body = value_string(text);
    return amqp_sender_send(sender, message, deadline_us, on_done, seen, error);
}

static void send_number(AmqpSender *sender, int number, Seen *seen)
{
    g_autofree char *text = g_strdup_printf("%d", number);

    g_assert_true(send_text(sender, text, 0, seen, NULL));
}

/* ---- tests ---- */

static void test_send_and_receive(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;

    seen_init(&seen);
    client = client_new(&seen, 0);
    sender = sender_new(client, "plain", &seen);
    receiver = receiver_new(client, "plain", 7, &seen);
    for (int i = 0; i < 500; i++)
        send_number(sender, i, &seen);
    g_assert_cmpint(seen.accepted, ==, 0); /* nothing is called back from within the call */
    g_assert_cmpuint(amqp_sender_pending(sender), ==, 500);
    g_assert_true(wait_for(&seen.accepted, 500) && wait_for(&seen.messages, 500));
    for (int i = 0; i < 500; i++)
        g_assert_cmpint(atoi(g_ptr_array_index(seen.bodies, (guint) i)), ==, i);
    g_assert_cmpstr(amqp_receiver_address(receiver), ==, "plain");
    amqp_client_close(client, US_PER_S, on_closed, &seen);
    g_assert_true(wait_for(&seen.closed, 1));
    g_assert_cmpint(seen.state, ==, AMQP_STATE_CLOSED);
    amqp_client_free(client);
    amqp_sender_free(sender); /* after the client: allowed */
    amqp_receiver_free(receiver);
    seen_done(&seen);
}

static void test_close_lingers(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;

    seen_init(&seen);
    client = client_new(&seen, 0);
    sender = sender_new(client, "linger", &seen);
    for (int i = 0; i < 100; i++)
        send_number(sender, i, &seen);
    amqp_client_close(client, 5 * US_PER_S, on_closed, &seen); /* before it is even connected */
    g_assert_true(wait_for(&seen.closed, 1));
    g_assert_cmpint(seen.accepted, ==, 100);
    amqp_sender_free(sender);
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_outcomes(void)
{
    static const struct { const char *address; int code; } rows[] = {
        { "reject", AMQP_ERROR_REJECTED }, { "release", AMQP_ERROR_RELEASED }, { "modify", AMQP_ERROR_RELEASED },
    };
    Seen seen;
    AmqpClient *client;

    seen_init(&seen);
    client = client_new(&seen, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        AmqpSender *sender = sender_new(client, rows[i].address, &seen);
        g_assert_true(send_text(sender, "x", 0, &seen, NULL));
        g_assert_true(wait_for(&seen.failed, (int) i + 1));
        g_assert_cmpint(seen.last_code, ==, rows[i].code);
        amqp_sender_free(sender);
    }
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_anonymous_and_dynamic(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;
    g_autoptr(AmqpMessage) message = amqp_message_new();

    seen_init(&seen);
    client = client_new(&seen, 0);
    receiver = amqp_receiver_new(client, &(AmqpReceiverOptions){ .dynamic = true, .on_message = on_message, .on_attached = on_attached,
                                                                 .user = &seen });
    g_assert_null(amqp_receiver_address(receiver));
    g_assert_true(wait_for(&seen.attached, 1));
    sender = sender_new(client, NULL, &seen);
    message->to = g_strdup(amqp_receiver_address(receiver));
    message->body_kind = AMQP_BODY_VALUE;
    message->body = value_string("reply");
    g_assert_true(amqp_sender_send(sender, message, 0, on_done, &seen, NULL));
    g_assert_true(wait_for(&seen.messages, 1));
    g_assert_cmpstr(g_ptr_array_index(seen.bodies, 0), ==, "reply");
    amqp_receiver_free(receiver);
    amqp_sender_free(sender);
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_refused_attach(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;

    seen_init(&seen);
    client = client_new(&seen, 0);
    sender = sender_new(client, "refuse/a", &seen);
    receiver = receiver_new(client, "refuse/b", 1, &seen);
    g_assert_true(wait_for(&seen.errors, 6)); /* and asked again */
    g_assert_cmpint(seen.last_code, ==, AMQP_ERROR_NOT_FOUND);
    g_assert_cmpint(seen.ready + seen.attached, ==, 0);
    g_assert_true(send_text(sender, "x", clock_now_us() + 20 * US_PER_MS, &seen, NULL));
    g_assert_true(wait_for(&seen.failed, 1));
    amqp_receiver_free(receiver);
    amqp_sender_free(sender);
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_deadline_and_back_pressure(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    g_autofree char *kilobyte = g_strnfill(1000, 'k');
    g_autoptr(GError) error = NULL;
    int sent = 0;

    seen_init(&seen);
    peer_do("mute");
    client = client_new(&seen, 0);
    sender = amqp_sender_new(client, &(AmqpSenderOptions){ .address = "pressed", .max_pending_bytes = 10 * 1024, .on_ready = on_ready,
                                                           .user = &seen });
    while (send_text(sender, kilobyte, clock_now_us() + 30 * US_PER_MS, &seen, &error))
        g_assert_cmpint(++sent, <, 100);
    g_assert_error(error, AMQP_ERROR, AMQP_ERROR_LIMIT);
    g_assert_cmpint(sent, ==, 10);
    g_assert_true(wait_for(&seen.failed, sent));
    g_assert_cmpint(seen.last_code, ==, AMQP_ERROR_TIMEOUT);
    g_assert_true(wait_for(&seen.ready, 1)); /* room again */
    peer_do("unmute");
    g_assert_true(send_text(sender, "later", 0, &seen, NULL));
    g_assert_true(wait_for(&seen.accepted, 1));
    amqp_sender_free(sender);
    amqp_client_free(client);
    seen_done(&seen);
}

/* The relay is cut again and again under a stream of messages: each arrives, the first copies in order. */
static void test_nothing_is_lost_when_cut(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;
    int sent = 0, next = 0;

    seen_init(&seen);
    client = client_new(&seen, 0);
    sender = sender_new(client, "cut", &seen);
    receiver = receiver_new(client, "cut", 20, &seen);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 100; i++)
            send_number(sender, sent++, &seen);
        g_assert_true(wait_for(&seen.accepted, sent - 60));
        peer_do("cut");
        g_assert_true(wait_for(&seen.losses, round + 1));
    }
    g_assert_true(wait_for(&seen.accepted, sent));
    for (guint i = 0; next < sent; i++) {
        g_assert_true(wait_for(&seen.messages, (int) i + 1)); /* repetitions count too: the last one is the end */
        int number = atoi(g_ptr_array_index(seen.bodies, i));
        g_assert_cmpint(number, <=, next); /* a repetition, or the next one; never a gap */
        next = MAX(next, number + 1);
    }
    g_assert_cmpint(seen.failed, ==, 0);
    g_assert_cmpint(seen.opens, ==, 6);
    amqp_receiver_free(receiver);
    amqp_sender_free(sender);
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_peer_closes(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;

    seen_init(&seen);
    client = client_new(&seen, 0);
    sender = sender_new(client, "mortal", &seen);
    receiver = receiver_new(client, "mortal", 5, &seen);
    g_assert_true(wait_for(&seen.ready, 1) && wait_for(&seen.attached, 1));
    peer_do("kill mortal");
    g_assert_true(wait_for(&seen.errors, 2));
    g_assert_cmpint(seen.last_code, ==, AMQP_ERROR_CLOSED);
    g_assert_true(wait_for(&seen.ready, 2) && wait_for(&seen.attached, 2)); /* on the same connection */
    g_assert_cmpint(seen.opens, ==, 1);
    peer_do("close");
    g_assert_true(wait_for(&seen.opens, 2));
    g_assert_true(wait_for(&seen.ready, 3) && wait_for(&seen.attached, 3));
    send_number(sender, 1, &seen);
    g_assert_true(wait_for(&seen.messages, 1));
    amqp_receiver_free(receiver);
    amqp_sender_free(sender);
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_silent_peer(void)
{
    Seen seen;
    AmqpClient *client;

    seen_init(&seen);
    client = client_new(&seen, 500 * US_PER_MS);
    g_assert_true(wait_for(&seen.opens, 1));
    run_for(1200 * US_PER_MS); /* empty frames both ways keep it */
    g_assert_cmpint(seen.losses, ==, 0);
    peer_do("mute");
    g_assert_true(wait_for(&seen.losses, 1));
    g_assert_cmpint(seen.last_code, ==, AMQP_ERROR_TIMEOUT);
    g_assert_true(wait_for(&seen.losses, 2)); /* an attempt that nobody answers ends too */
    g_assert_cmpint(seen.last_code, ==, AMQP_ERROR_TIMEOUT);
    peer_do("unmute");
    g_assert_true(wait_for(&seen.opens, 2));
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_held_deliveries_hold_credit(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;

    seen_init(&seen);
    seen.hold = true;
    client = client_new(&seen, 0);
    sender = sender_new(client, "held", &seen);
    receiver = receiver_new(client, "held", 4, &seen);
    for (int i = 0; i < 20; i++)
        send_number(sender, i, &seen);
    g_assert_true(wait_for(&seen.accepted, 20) && wait_for(&seen.messages, 4));
    run_for(50 * US_PER_MS);
    g_assert_cmpint(seen.messages, ==, 4);
    amqp_delivery_accept(g_ptr_array_index(seen.held, 0));
    amqp_delivery_release(g_ptr_array_index(seen.held, 1));
    g_assert_true(wait_for(&seen.messages, 6));
    peer_do("cut");
    g_assert_true(wait_for(&seen.losses, 1));
    for (guint i = 2; i < 6; i++) /* of the lost connection: nothing happens, nothing leaks */
        amqp_delivery_reject(g_ptr_array_index(seen.held, i), "test:late", NULL);
    g_assert_true(wait_for(&seen.messages, 10));
    amqp_receiver_free(receiver); /* with four unsettled */
    amqp_sender_free(sender);
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_freed_from_callbacks(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;

    seen_init(&seen);
    client = client_new(&seen, 0);
    sender = sender_new(client, "suicide", &seen);
    seen.free_receiver = receiver_new(client, "suicide", 10, &seen);
    for (int i = 0; i < 10; i++)
        send_number(sender, i, &seen);
    g_assert_true(wait_for(&seen.messages, 1) && wait_for(&seen.accepted, 10));
    seen.free_client = client;
    receiver = receiver_new(client, "suicide", 10, &seen);
    send_number(sender, 10, &seen);
    g_assert_true(wait_for(&seen.messages, 2));
    g_assert_null(seen.free_client);
    g_assert_false(send_text(sender, "x", 0, &seen, NULL)); /* its client is gone */
    amqp_sender_free(sender);
    amqp_receiver_free(receiver);
    seen_done(&seen);
}

static void test_free_cancels(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpSender *sender;

    seen_init(&seen);
    client = client_new(&seen, 0);
    sender = sender_new(client, "cancel", &seen);
    send_number(sender, 1, &seen);
    send_number(sender, 2, &seen);
    amqp_client_free(client);
    g_assert_cmpint(seen.failed, ==, 2);
    g_assert_cmpint(seen.last_code, ==, AMQP_ERROR_CANCELLED);
    amqp_sender_free(sender);
    seen_done(&seen);
}

static void test_undecodable(void)
{
    Seen seen;
    AmqpClient *client;
    AmqpReceiver *receiver;

    seen_init(&seen);
    client = client_new(&seen, 0);
    receiver = receiver_new(client, "bytes/x", 1, &seen);
    g_assert_true(wait_for(&seen.errors, 1));
    g_assert_cmpint(seen.messages, ==, 0);
    amqp_receiver_free(receiver);
    amqp_client_free(client);
    seen_done(&seen);
}

static void assert_no_connection(const char *url, int code)
{
    Seen seen;
    AmqpClient *client;
    int64_t until = clock_now_us() + PATIENCE_US;

    seen_init(&seen);
    client = amqp_client_new(&(AmqpClientOptions){ .url = url, .on_state = on_state, .state_user = &seen });
    while (seen.state != AMQP_STATE_CLOSED && clock_now_us() < until)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpint(seen.state, ==, AMQP_STATE_CLOSED);
    g_assert_cmpint(seen.last_code, ==, code);
    amqp_client_free(client);
    seen_done(&seen);
}

static void test_no_connection(void)
{
    assert_no_connection("http://127.0.0.1:1", AMQP_ERROR_CONNECT);
    assert_no_connection("amqp://", AMQP_ERROR_CONNECT);
    assert_no_connection(NULL, AMQP_ERROR_CONNECT);
    assert_no_connection("amqp://127.0.0.1:1", AMQP_ERROR_CONNECT);
    assert_no_connection("amqp+unix:///nonexistent/socket", AMQP_ERROR_CONNECT);
}

/* Something that answers, but not in AMQP. */
static gboolean on_stranger(GSocketService *service, GSocketConnection *connection, GObject *source, gpointer user)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

    g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), text, strlen(text), NULL, NULL, NULL);
    g_object_set_data_full(G_OBJECT(service), "connection", g_object_ref(connection), g_object_unref);
    return TRUE;
}

static void test_stranger(void)
{
    g_autoptr(GSocketService) service = g_socket_service_new();
    uint16_t port = g_socket_listener_add_any_inet_port(G_SOCKET_LISTENER(service), NULL, NULL);
    g_autofree char *url = g_strdup_printf("amqp://127.0.0.1:%u", port);

    g_signal_connect(service, "incoming", G_CALLBACK(on_stranger), NULL);
    assert_no_connection(url, AMQP_ERROR_PROTOCOL);
    g_socket_service_stop(service);
}

int main(int argc, char **argv)
{
    int failed;

    g_test_init(&argc, &argv, NULL);
    if (!peer_start()) {
        printf("skipped: python3-qpid-proton is not installed\n");
        return 77;
    }
    g_test_add_func("/client/send-and-receive", test_send_and_receive);
    g_test_add_func("/client/close-lingers", test_close_lingers);
    g_test_add_func("/client/outcomes", test_outcomes);
    g_test_add_func("/client/anonymous-and-dynamic", test_anonymous_and_dynamic);
    g_test_add_func("/client/refused-attach", test_refused_attach);
    g_test_add_func("/client/deadline-and-back-pressure", test_deadline_and_back_pressure);
    g_test_add_func("/client/nothing-is-lost-when-cut", test_nothing_is_lost_when_cut);
    g_test_add_func("/client/peer-closes", test_peer_closes);
    g_test_add_func("/client/silent-peer", test_silent_peer);
    g_test_add_func("/client/held-deliveries-hold-credit", test_held_deliveries_hold_credit);
    g_test_add_func("/client/freed-from-callbacks", test_freed_from_callbacks);
    g_test_add_func("/client/free-cancels", test_free_cancels);
    g_test_add_func("/client/undecodable", test_undecodable);
    g_test_add_func("/client/no-connection", test_no_connection);
    g_test_add_func("/client/stranger", test_stranger);
    failed = g_test_run();
    g_subprocess_force_exit(peer.process);
    g_subprocess_wait(peer.process, NULL, NULL);
    g_object_unref(peer.output);
    g_object_unref(peer.process);
    g_free(peer.url);
    return failed;
}
