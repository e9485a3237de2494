/* The client on our own broker, as a program of its own: authentication, TLS, UNIX socket, and kill -9 under load. */
#include "lib/amqp/client.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US (20 * US_PER_S)

static char *folder;   /* data of the broker with users */
static char *lab;      /* data of the one without */

typedef struct BrokerProcess {
    GSubprocess *process;
    uint16_t port;
    char *unix_path;
} BrokerProcess;

static uint16_t free_port(void)
{
    g_autoptr(GSocketListener) probe = g_socket_listener_new();
    uint16_t port = g_socket_listener_add_any_inet_port(probe, NULL, NULL);

    g_socket_listener_close(probe);
    return port;
}

static void broker_start(BrokerProcess *b, const char *data, bool is_lab)
{
    g_autofree char *program = g_build_filename(g_getenv("MEND_BUILD_DIR") ? g_getenv("MEND_BUILD_DIR") : "build", "bin", "mend", NULL);
    g_autofree char *listen = g_strdup_printf("127.0.0.1:%u", b->port);
    g_autofree char *line = NULL;
    g_autoptr(GDataInputStream) output = NULL;
    g_autoptr(GError) error = NULL;

    b->process = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error, program, "broker", "--listen",
                                  listen, "--unix", b->unix_path, "--data", data, is_lab ? "--lab" : NULL, NULL);
    g_assert_no_error(error);
    output = g_data_input_stream_new(g_subprocess_get_stdout_pipe(b->process));
    line = g_data_input_stream_read_line(output, NULL, NULL, NULL); /* "listening": from here on it answers */
    g_assert_nonnull(line);
}

static void broker_kill(BrokerProcess *b)
{
    g_subprocess_send_signal(b->process, SIGKILL);
    g_subprocess_wait(b->process, NULL, NULL);
    g_clear_object(&b->process);
}

typedef struct Seen {
    int opens, losses, closed, accepted, refused, messages, attached;
    int code; /* of the last error */
    char *text;
    GHashTable *bodies;
} Seen;

static void on_state(AmqpClient *client, AmqpState state, const GError *why, void *user)
{
    Seen *seen = user;

    seen->opens += state == AMQP_STATE_OPEN;
    seen->losses += state == AMQP_STATE_WAITING;
    seen->closed += state == AMQP_STATE_CLOSED;
    if (why != NULL) {
        seen->code = why->code;
        g_free(seen->text);
        seen->text = g_strdup(why->message);
    }
}

static void on_done(const GError *error, void *user)
{
    Seen *seen = user;

    seen->accepted += error == NULL;
    seen->refused += error != NULL;
}

static void on_message(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    Seen *seen = user;

    seen->messages++;
    g_hash_table_add(seen->bodies, g_strdup(value_as_string(message->body)));
    amqp_delivery_accept(delivery);
}

static void on_attached(AmqpReceiver *receiver, void *user)
{
    ((Seen *) user)->attached++;
}

static gboolean on_tick(gpointer user)
{
    return G_SOURCE_CONTINUE; /* only wakes the loop */
}

static bool wait_for(const int *count, int at_least)
{
    int64_t until = clock_now_us() + PATIENCE_US;
    guint ticks = g_timeout_add(20, on_tick, NULL);

    while (*count < at_least && clock_now_us() < until)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(ticks);
    return *count >= at_least;
}

static void send_text(AmqpSender *sender, const char *text, Seen *seen)
{
    g_autoptr(AmqpMessage) message = amqp_message_new();

    message->durable = true;
    message->body_kind = AMQP_BODY_VALUE;
    message->body = value_string(text);
    g_assert_true(amqp_sender_send(sender, message, 0, on_done, seen, NULL));
}

static char *credential(const char *user)
{
    g_autofree char *path = g_build_filename(folder, "credentials", user, NULL);
    g_autoptr(GError) error = NULL;
    char *password = file_read_line(path, 256, &error);

    g_assert_no_error(error);
    return password;
}

/* Opens with these options and says how that ended; NULL: it opened. Caller frees. */
static char *try_open(const AmqpClientOptions *with, int *ret_code)
{
    AmqpClientOptions options = *with;
    Seen seen = { .code = -1 };
    AmqpClient *client;
    int64_t until = clock_now_us() + PATIENCE_US;

    options.on_state = on_state;
    options.state_user = &seen;
    client = amqp_client_new(&options);
    while (seen.opens + seen.closed == 0 && clock_now_us() < until)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpint(seen.opens + seen.closed, >, 0);
    *ret_code = seen.code;
    amqp_client_free(client);
    if (seen.opens > 0)
        g_clear_pointer(&seen.text, g_free);
    return seen.text;
}

static void test_authentication(void)
{
    BrokerProcess b = { .port = free_port(), .unix_path = g_build_filename(folder, "socket", NULL) };
    g_autofree char *url = g_strdup_printf("amqp://127.0.0.1:%u", b.port), *tls = g_strdup_printf("amqps://localhost:%u", b.port);
    g_autofree char *local = g_strconcat("amqp+unix://", b.unix_path, NULL), *ca = g_build_filename(folder, "tls", "ca.pem", NULL);
    g_autofree char *password = NULL;
    struct { AmqpClientOptions with; int code; } rows[] = { /* code -1: opens */
        { { .url = url, .user = "operator", .password = "P" }, -1 },
        { { .url = local, .user = "operator", .password = "P" }, -1 },
        { { .url = url, .user = "operator", .password = "wrong" }, AMQP_ERROR_AUTH },
        { { .url = url, .user = "nobody", .password = "P" }, AMQP_ERROR_AUTH },
        { { .url = url, .user = "operator", .password = "wrong", .mechanisms = "PLAIN" }, AMQP_ERROR_AUTH },
        { { .url = url }, AMQP_ERROR_AUTH }, /* anonymous, which nobody switched on */
        { { .url = tls, .ca_file = ca, .user = "operator", .password = "P" }, -1 },
        { { .url = tls, .user = "operator", .password = "P" }, AMQP_ERROR_CONNECT }, /* a CA the system does not know */
        { { .url = tls, .ca_file = "/nonexistent/ca.pem" }, AMQP_ERROR_CONNECT },
    };

    broker_start(&b, folder, false);
    password = credential("operator");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problem = NULL;
        int code;
        if (g_strcmp0(rows[i].with.password, "P") == 0)
            rows[i].with.password = password;
        problem = try_open(&rows[i].with, &code);
        g_test_message("row %zu: %d %s", i, code, problem == NULL ? "opened" : problem);
        g_assert_cmpint(problem == NULL ? -1 : code, ==, rows[i].code);
    }
    broker_kill(&b);
    g_free(b.unix_path);
}

/* A wrong password is not guessed again at once. */
static void test_wrong_password_waits(void)
{
    BrokerProcess b = { .port = free_port(), .unix_path = g_build_filename(folder, "socket", NULL) };
    g_autofree char *url = g_strdup_printf("amqp://127.0.0.1:%u", b.port);
    Seen seen = { 0 };
    AmqpClient *client;
    int64_t until;

    broker_start(&b, folder, false);
    client = amqp_client_new(&(AmqpClientOptions){ .url = url, .user = "operator", .password = "wrong", .reconnect = true,
                                                   .backoff_first_us = US_PER_MS, .backoff_max_us = US_PER_S, .on_state = on_state,
                                                   .state_user = &seen });
    g_assert_true(wait_for(&seen.losses, 1));
    g_assert_cmpint(seen.code, ==, AMQP_ERROR_AUTH);
    until = clock_now_us() + 300 * US_PER_MS;
    while (clock_now_us() < until)
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(1000);
    g_assert_cmpint(seen.losses, ==, 1);
    amqp_client_free(client);
    broker_kill(&b);
    g_free(seen.text);
    g_free(b.unix_path);
}

/* kill -9 in the middle of sending, three times: every message arrives. */
static void test_broker_killed(void)
{
    BrokerProcess b = { .port = free_port(), .unix_path = g_build_filename(lab, "socket", NULL) };
    g_autofree char *url = g_strdup_printf("amqp://127.0.0.1:%u", b.port);
    Seen seen = { .bodies = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
    AmqpClient *client;
    AmqpSender *sender;
    AmqpReceiver *receiver;
    int sent = 0;
    int64_t until;

    broker_start(&b, lab, true);
    client = amqp_client_new(&(AmqpClientOptions){ .url = url, .reconnect = true, .backoff_first_us = 5 * US_PER_MS,
                                                   .backoff_max_us = 50 * US_PER_MS, .on_state = on_state, .state_user = &seen });
    sender = amqp_sender_new(client, &(AmqpSenderOptions){ .address = "killed" });
    receiver = amqp_receiver_new(client, &(AmqpReceiverOptions){ .address = "killed", .on_message = on_message, .on_attached = on_attached,
                                                                 .credit = 10, .user = &seen });
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            g_autofree char *text = g_strdup_printf("%d", sent++);
            send_text(sender, text, &seen);
        }
        g_assert_true(wait_for(&seen.accepted, sent - 900));
        broker_kill(&b);
        g_assert_true(wait_for(&seen.losses, round + 1));
        broker_start(&b, lab, true);
        g_assert_true(wait_for(&seen.attached, round + 2));
    }
    g_assert_true(wait_for(&seen.accepted, sent));
    until = clock_now_us() + PATIENCE_US;
    while (g_hash_table_size(seen.bodies) < (guint) sent && clock_now_us() < until)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(g_hash_table_size(seen.bodies), ==, (guint) sent);
    g_assert_cmpint(seen.refused, ==, 0);
    amqp_receiver_free(receiver);
    amqp_sender_free(sender);
    amqp_client_free(client);
    broker_kill(&b);
    g_hash_table_unref(seen.bodies);
    g_free(seen.text);
    g_free(b.unix_path);
}

static void remove_folder(const char *path)
{
    g_autoptr(GSubprocess) rm = g_subprocess_new(G_SUBPROCESS_FLAGS_NONE, NULL, "rm", "-rf", "--", path, NULL);

    g_subprocess_wait(rm, NULL, NULL);
}

int main(int argc, char **argv)
{
    int failed;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("mend-client-XXXXXX", NULL);
    lab = g_dir_make_tmp("mend-client-XXXXXX", NULL);
    g_test_add_func("/client-on-broker/authentication", test_authentication);
    g_test_add_func("/client-on-broker/wrong-password-waits", test_wrong_password_waits);
    g_test_add_func("/client-on-broker/killed", test_broker_killed);
    failed = g_test_run();
    remove_folder(folder);
    remove_folder(lab);
    g_free(folder);
    g_free(lab);
    return failed;
}
