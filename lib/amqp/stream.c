/* Bytes between a stream and proton's connection driver.
 *
 * Any GIOStream that can be polled will do; reads and writes are non-blocking and done from the loop, no thread and no copy of ours
 * between the stream and proton's buffers. Writing is tried at once after every batch of events; the source for "writable" exists
 * only while the peer does not take what we have. TLS and SASL are layers of proton's transport, so the stream stays plain. */
#include "lib/amqp/client_private.h"

#include "lib/base/clock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define READS_IN_A_ROW 16 /* then others in the loop have their turn */


/* ---- reading and writing ---- */

static bool would_block(const GError *error)
{
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static void drop_source(GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static void stream_fail(AmqpClient *client, const char *what)
{
    client->stream_lost = true;
    client_lost(client, g_error_new(AMQP_ERROR, AMQP_ERROR_CLOSED, "connection lost: %s", what));
}

/* False: nothing more to read now. */
static bool stream_read_once(AmqpClient *client)
{
    pn_rwbytes_t room = pn_connection_driver_read_buffer(&client->driver);
    g_autoptr(GError) error = NULL;
    const char *why;
    gssize n;

    if (room.size == 0) { /* proton is full, or done reading; stream_pump starts the source again */
        drop_source(&client->readable);
        return false;
    }
    n = g_pollable_input_stream_read_nonblocking(client->input, room.start, room.size, NULL, &error);
    if (n > 0) {
        pn_connection_driver_read_done(&client->driver, (size_t) n);
        client->heard_at = clock_now_us();
        return (size_t) n == room.size;
    }
    if (n == 0) {
        pn_connection_driver_read_close(&client->driver);
        why = g_object_get_data(G_OBJECT(client->stream), ENDPOINT_WHY);
        stream_fail(client, why != NULL ? why : "the peer closed the stream");
    } else if (!would_block(error)) {
        pn_connection_driver_read_close(&client->driver);
        stream_fail(client, error->message);
    }
    return false;
}

static gboolean on_readable(GObject *object, gpointer user)
{
    AmqpClient *client = user;

    client_ref(client);
    for (int i = 0; i < READS_IN_A_ROW && client->connected && !client->freed; i++) {
        bool more = stream_read_once(client);
        client_run(client);
        if (!more)
            break;
    }
    client_unref(client);
    return G_SOURCE_CONTINUE; /* destroyed with the stream, which makes this answer void */
}

static gboolean on_writable(GObject *object, gpointer user)
{
    AmqpClient *client = user;

    drop_source(&client->writable);
    client_run(client);
    return G_SOURCE_REMOVE;
}

static void stream_read_on(AmqpClient *client)
{
    if (client->readable != NULL)
        return;
    client->readable = g_pollable_input_stream_create_source(client->input, NULL);
    g_source_set_callback(client->readable, G_SOURCE_FUNC(on_readable), client, NULL);
    g_source_attach(client->readable, client->context);
}

/* True: everything is written. */
static bool stream_write(AmqpClient *client)
{
    for (;;) {
        pn_bytes_t bytes = pn_connection_driver_write_buffer(&client->driver);
        g_autoptr(GError) error = NULL;
        gssize n;

        if (bytes.size == 0)
            return true;
        if (client->writable != NULL)
            return false;
        n = g_pollable_output_stream_write_nonblocking(client->output, bytes.start, bytes.size, NULL, &error);
        if (n > 0) {
            pn_connection_driver_write_done(&client->driver, (size_t) n);
        } else if (n < 0 && would_block(error)) {
            client->writable = g_pollable_output_stream_create_source(client->output, NULL);
            g_source_set_callback(client->writable, G_SOURCE_FUNC(on_writable), client, NULL);
            g_source_attach(client->writable, client->context);
            return false;
        } else {
            pn_connection_driver_write_close(&client->driver);
            stream_fail(client, error != NULL ? error->message : "the stream takes nothing");
            return true;
        }
    }
}

static void stream_tick(AmqpClient *client)
{
    int64_t now_ms = clock_now_us() / US_PER_MS;
    int64_t next_ms = pn_transport_tick(client->driver.transport, now_ms);

    client->tick_at = next_ms == 0 ? NEVER : next_ms * US_PER_MS;
}

static void stream_events(AmqpClient *client)
{
    pn_event_t *event;

    while (!client->freed && client->connected && (event = pn_connection_driver_next_event(&client->driver)) != NULL)
        connection_event(client, event);
}

static void stream_flush_senders(AmqpClient *client)
{
    for (GList *l = client->senders.head, *next; l != NULL && !client->freed && client->connected; l = next) {
        AmqpSender *sender = l->data;
        sender->refs++;
        sender_flush(sender);
        next = l->next; /* NULL when it was freed: freeing wakes, so the walk is repeated */
        sender_unref(sender);
    }
}

void stream_pump(AmqpClient *client)
{
    bool written;

    do {
        stream_events(client);
        stream_flush_senders(client);
        if (client->freed || !client->connected)
            return;
        stream_tick(client);
        written = stream_write(client);
        stream_events(client);
    } while (written && !client->freed && client->connected && pn_connection_driver_has_event(&client->driver));
    if (!client->freed && client->connected && (client->stream_lost || pn_connection_driver_finished(&client->driver)))
        client_lost(client, g_error_new_literal(AMQP_ERROR, AMQP_ERROR_CLOSED, "the peer closed the connection"));
    else if (!client->freed && client->connected && client->readable == NULL &&
             pn_connection_driver_read_buffer(&client->driver).size > 0)
        stream_read_on(client);
}

void stream_adopt(AmqpClient *client, GIOStream *stream)
{
    GInputStream *input = g_io_stream_get_input_stream(stream);
    GOutputStream *output = g_io_stream_get_output_stream(stream);

    if (!G_IS_POLLABLE_INPUT_STREAM(input) || !G_IS_POLLABLE_OUTPUT_STREAM(output) ||
        !g_pollable_input_stream_can_poll(G_POLLABLE_INPUT_STREAM(input)) ||
        !g_pollable_output_stream_can_poll(G_POLLABLE_OUTPUT_STREAM(output))) {
        client_lost(client, g_error_new_literal(AMQP_ERROR, AMQP_ERROR_CONNECT, "this kind of stream cannot be polled"));
        return;
    }
    if (G_IS_TCP_CONNECTION(stream))
        g_socket_set_option(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream)), IPPROTO_TCP, TCP_NODELAY, 1, NULL);
    client->stream = g_object_ref(stream);
    client->input = G_POLLABLE_INPUT_STREAM(input);
    client->output = G_POLLABLE_OUTPUT_STREAM(output);
    client->stream_lost = false;
    stream_read_on(client);
    connection_begin(client);
}

void stream_close(AmqpClient *client)
{
    drop_source(&client->readable);
    drop_source(&client->writable);
    connection_end(client);
    client->input = NULL;
    client->output = NULL;
    if (client->stream != NULL)
        g_io_stream_close(client->stream, NULL, NULL);
    g_clear_object(&client->stream);
}
