/* Both sides are read only while there is room for what they may bring: the stream while the port has taken all it was given, the port
 * while the stream has. So two buffers of one read each are all that is held, and whoever is slow slows the other one down.
 *
 * A port whose other end is away reads as "hung up" for ever; that ends the pipe. Everything called back is called from the sources below
 * and never from a call of the user's; each walk holds a reference, so that a callback may free the pipe. */
#include "lib/amqp/serial_pipe.h"

#include "lib/amqp/serial_session.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES SERIAL_PAYLOAD_MAX /* one read of the stream is one frame */
#define OUT_MAX (2 * SERIAL_CODED_MAX) /* a guest that asks and asks and does not read is not read either */
#define BURST_US (100 * US_PER_MS) /* of the bandwidth, at once */

typedef struct Side {
    int fd; /* -1: none */
    bool is_socket;
    GSource *source;
    GIOCondition wanted;
    int64_t allowed_at; /* monotonic: not read before, for bandwidth; 0: at once */
} Side;

struct SerialPipe {
    int refs;
    bool freed, walking, stream_ended;
    SerialPipeOptions options;
    GMainContext *context;
    Side port, stream;
    SerialSession session;
    GByteArray *in; /* for the stream */
    GSource *timer; /* repeats OPEN, lets the limited side be read again */
    uint64_t moved_bytes;
    bool was_asked, was_opened; /* to be told after the walk */
    char *closed, *gone;
};

static void pipe_settle(SerialPipe *pipe);

/* ---- hooks of the session: only note; told after the walk ---- */

static uint64_t new_number(void *user)
{
    uint64_t number = 0;

    while (number == 0)
        if (getrandom(&number, sizeof number, 0) != sizeof number)
            number = ((uint64_t) g_random_int() << 32) | g_random_int();
    return number;
}

static void on_asked(void *user)
{
    ((SerialPipe *) user)->was_asked = true;
}

static void on_opened(void *user)
{
    ((SerialPipe *) user)->was_opened = true;
}

static void on_data(const uint8_t *bytes, size_t n, void *user)
{
    SerialPipe *pipe = user;

    pipe->moved_bytes += n;
    g_byte_array_append(pipe->in, bytes, (guint) n); /* in the guest, maybe just before its stream is attached */
}

static void side_done(Side *side)
{
    if (side->source != NULL) {
        g_source_destroy(side->source);
        g_clear_pointer(&side->source, g_source_unref);
    }
    if (side->fd >= 0)
        close(side->fd);
    *side = (Side) { .fd = -1 };
}

static void session_close(SerialPipe *pipe, const char *why)
{
    if (pipe->options.raw)
        pipe->session.state = SERIAL_CLOSED; /* there are no words for it: its user ends the pipe */
    else
        serial_session_close(&pipe->session, why);
}

static void stream_done(SerialPipe *pipe)
{
    side_done(&pipe->stream);
    g_byte_array_set_size(pipe->in, 0);
    pipe->stream_ended = false;
}

static void on_closed(const char *why, void *user)
{
    SerialPipe *pipe = user;

    stream_done(pipe);
    pipe->was_asked = pipe->was_opened = false;
    g_free(pipe->closed);
    pipe->closed = g_strdup(why);
}

/* ---- bytes ---- */

static Side side_of(int fd)
{
    struct stat kind;

    g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    return (Side) { .fd = fd, .is_socket = fstat(fd, &kind) == 0 && S_ISSOCK(kind.st_mode) };
}

/* Takes what the side takes from @bytes. False: it is broken. */
static bool side_write(const Side *side, GByteArray *bytes)
{
    while (bytes->len > 0) {
        gssize n = side->is_socket ? send(side->fd, bytes->data, bytes->len, MSG_NOSIGNAL) : write(side->fd, bytes->data, bytes->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return true;
        g_byte_array_remove_range(bytes, 0, (guint) n);
    }
    return true;
}

static void limit(const SerialPipe *pipe, Side *side, size_t n)
{
    int64_t now = clock_now_us(), from = MAX(side->allowed_at, now - BURST_US);

    if (pipe->options.bytes_per_s > 0)
        side->allowed_at = from + (int64_t) (n * (uint64_t) US_PER_S / pipe->options.bytes_per_s);
}

static void port_gone(SerialPipe *pipe, const char *why)
{
    if (pipe->gone == NULL)
        pipe->gone = g_strdup(why);
}

static void port_read(SerialPipe *pipe)
{
    uint8_t bytes[READ_BYTES];
    gssize n = read(pipe->port.fd, bytes, sizeof bytes);

    if (n > 0) {
        limit(pipe, &pipe->port, (size_t) n);
        if (pipe->options.raw)
            on_data(bytes, (size_t) n, pipe);
        else
            serial_session_feed(&pipe->session, bytes, (size_t) n);
    } else if (n == 0) {
        port_gone(pipe, "nobody is at the other end of the port");
    } else if (errno != EAGAIN && errno != EINTR) {
        port_gone(pipe, g_strerror(errno));
    }
}

static void stream_read(SerialPipe *pipe)
{
    uint8_t bytes[READ_BYTES];
    gssize n = read(pipe->stream.fd, bytes, sizeof bytes);

    if (n > 0) {
        limit(pipe, &pipe->stream, (size_t) n);
        pipe->moved_bytes += (size_t) n;
        if (pipe->options.raw)
            g_byte_array_append(pipe->session.out, bytes, (guint) n);
        else
            serial_session_send(&pipe->session, bytes, (size_t) n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        pipe->stream_ended = true;
    }
}

/* ---- what to wait for ---- */

static bool may_read(const Side *side)
{
    return side->allowed_at == 0 || side->allowed_at <= clock_now_us();
}

static gboolean on_side(int fd, GIOCondition ready, void *user)
{
    SerialPipe *pipe = user;
    Side *side = fd == pipe->port.fd ? &pipe->port : &pipe->stream;

    pipe->refs++;
    pipe->walking = true;
    if (side == &pipe->port && (ready & G_IO_IN) != 0)
        port_read(pipe);
    else if (side == &pipe->port && (ready & (G_IO_HUP | G_IO_ERR)) != 0)
        port_gone(pipe, "nobody is at the other end of the port");
    else if (side == &pipe->stream && pipe->session.state == SERIAL_IS_OPEN && (ready & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0)
        stream_read(pipe);
    pipe_settle(pipe);
    return G_SOURCE_CONTINUE;
}

static void side_wait(SerialPipe *pipe, Side *side, GIOCondition wanted)
{
    if (side->fd < 0 || (side->source != NULL && side->wanted == wanted))
        return;
    if (side->source != NULL) {
        g_source_destroy(side->source);
        g_clear_pointer(&side->source, g_source_unref);
    }
    side->wanted = wanted;
    if (wanted == 0)
        return;
    side->source = g_unix_fd_source_new(side->fd, wanted);
    g_source_set_callback(side->source, G_SOURCE_FUNC(on_side), pipe, NULL);
    g_source_attach(side->source, pipe->context);
}

static gboolean on_timer(void *user)
{
    SerialPipe *pipe = user;

    pipe->refs++;
    pipe->walking = true;
    g_clear_pointer(&pipe->timer, g_source_unref);
    serial_session_tick(&pipe->session);
    pipe_settle(pipe);
    return G_SOURCE_REMOVE;
}

static void set_timer(SerialPipe *pipe, int64_t after_us)
{
    if (pipe->timer != NULL) {
        g_source_destroy(pipe->timer);
        g_clear_pointer(&pipe->timer, g_source_unref);
    }
    if (after_us < 0)
        return;
    pipe->timer = g_timeout_source_new((guint) (after_us / US_PER_MS + 1));
    g_source_set_callback(pipe->timer, on_timer, pipe, NULL);
    g_source_attach(pipe->timer, pipe->context);
}

static void wait_on(SerialPipe *pipe)
{
    bool port_room = pipe->session.out->len == 0, stream_room = pipe->in->len == 0;
    bool port_open = stream_room && pipe->session.out->len < OUT_MAX, read_port = port_open && may_read(&pipe->port);
    bool read_stream = port_room && !pipe->stream_ended && may_read(&pipe->stream);
    int64_t now = clock_now_us(), after_us = -1;

    side_wait(pipe, &pipe->port, (read_port ? G_IO_IN : 0) | (port_room ? 0 : G_IO_OUT));
    if (pipe->session.state == SERIAL_IS_OPEN)
        side_wait(pipe, &pipe->stream, pipe->stream_ended ? 0 : (read_stream ? G_IO_IN : 0) | (stream_room ? 0 : G_IO_OUT));
    if (pipe->session.state == SERIAL_OPENING)
        after_us = SERIAL_REPEAT_US;
    if (port_open && !read_port)
        after_us = MAX(0, pipe->port.allowed_at - now);
    if (pipe->stream.fd >= 0 && port_room && !pipe->stream_ended && !read_stream)
        after_us = after_us < 0 ? MAX(0, pipe->stream.allowed_at - now) : MIN(after_us, MAX(0, pipe->stream.allowed_at - now));
    set_timer(pipe, after_us);
}

static void pipe_unref(SerialPipe *pipe)
{
    if (--pipe->refs > 0)
        return;
    g_byte_array_unref(pipe->in);
    serial_session_done(&pipe->session);
    g_main_context_unref(pipe->context);
    g_free(pipe->closed);
    g_free(pipe->gone);
    g_free(pipe);
}

/* What the walk noted. Each callback may free the pipe or close its session. */
static void tell(SerialPipe *pipe)
{
    const SerialPipeOptions *o = &pipe->options;
    g_autofree char *closed = g_steal_pointer(&pipe->closed);

    if (closed != NULL && !pipe->freed && o->closed != NULL)
        o->closed(pipe, closed, o->user);
    if (pipe->gone != NULL && !pipe->freed) {
        g_autofree char *gone = g_strdup(pipe->gone);

        side_done(&pipe->port);
        stream_done(pipe);
        if (o->gone != NULL)
            o->gone(pipe, gone, o->user);
        return;
    }
    if (pipe->was_asked && !pipe->freed) {
        pipe->was_asked = false;
        o->asked(pipe, o->user);
    }
    if (pipe->was_opened && !pipe->freed) {
        pipe->was_opened = false;
        o->opened(pipe, o->user);
    }
}

static void move(SerialPipe *pipe)
{
    if (pipe->port.fd >= 0 && !side_write(&pipe->port, pipe->session.out))
        port_gone(pipe, g_strerror(errno));
    if (pipe->stream.fd >= 0 && pipe->session.state == SERIAL_IS_OPEN && !side_write(&pipe->stream, pipe->in))
        pipe->stream_ended = true;
    if (pipe->stream_ended && pipe->session.out->len == 0 && pipe->session.state == SERIAL_IS_OPEN) {
        session_close(pipe, "the stream ended");
        on_closed("the stream ended", pipe);
        side_write(&pipe->port, pipe->session.out);
    }
}

/* The end of each walk: writes, tells, waits. Takes the walk's reference. */
static void pipe_settle(SerialPipe *pipe)
{
    if (!pipe->freed)
        move(pipe);
    tell(pipe);
    pipe->walking = false;
    if (!pipe->freed && pipe->port.fd >= 0) {
        if (!side_write(&pipe->port, pipe->session.out))
            port_gone(pipe, g_strerror(errno)); /* told at the next walk: the port is readable then */
        wait_on(pipe);
    }
    pipe_unref(pipe);
}

/* After a call of the user's: within a walk its end does it. */
static void pipe_touched(SerialPipe *pipe)
{
    if (pipe->walking || pipe->port.fd < 0)
        return;
    side_write(&pipe->port, pipe->session.out);
    wait_on(pipe);
}

/* ---- the user's calls ---- */

SerialPipe *serial_pipe_new(int port, const SerialPipeOptions *options)
{
    SerialPipe *pipe = g_new0(SerialPipe, 1);
    const SerialHooks hooks = { new_number, on_asked, on_opened, on_data, on_closed, pipe };

    pipe->refs = 1;
    pipe->options = *options;
    pipe->context = g_main_context_ref_thread_default();
    pipe->port = side_of(port);
    pipe->stream = (Side) { .fd = -1 };
    pipe->in = g_byte_array_new();
    serial_session_init(&pipe->session, options->host, &hooks);
    if (options->raw) {
        g_byte_array_set_size(pipe->session.out, 0);
        pipe->session.state = SERIAL_ASKED;
    }
    pipe_touched(pipe);
    return pipe;
}

void serial_pipe_open(SerialPipe *pipe)
{
    serial_session_open(&pipe->session);
    pipe_touched(pipe);
}

void serial_pipe_attach(SerialPipe *pipe, int stream)
{
    if (pipe->session.state != SERIAL_ASKED && pipe->session.state != SERIAL_IS_OPEN) { /* it was given up meanwhile */
        close(stream);
        return;
    }
    pipe->stream = side_of(stream);
    if (pipe->options.raw)
        pipe->session.state = SERIAL_IS_OPEN;
    else if (pipe->session.state == SERIAL_ASKED)
        serial_session_accept(&pipe->session);
    pipe_touched(pipe);
}

void serial_pipe_close(SerialPipe *pipe, const char *why)
{
    stream_done(pipe);
    session_close(pipe, why);
    pipe_touched(pipe);
}

bool serial_pipe_is_open(const SerialPipe *pipe) { return pipe->session.state == SERIAL_IS_OPEN; }
uint64_t serial_pipe_moved_bytes(const SerialPipe *pipe) { return pipe->moved_bytes; }

void serial_pipe_free(SerialPipe *pipe)
{
    if (pipe == NULL)
        return;
    pipe->freed = true;
    session_close(pipe, NULL);
    if (pipe->port.fd >= 0)
        side_write(&pipe->port, pipe->session.out);
    set_timer(pipe, -1);
    side_done(&pipe->port);
    side_done(&pipe->stream);
    pipe_unref(pipe);
}
