/* Serial ports: frames, sessions, and the pipe on streams that outlive its ends. */
#include "lib/amqp/serial_connect.h"
#include "lib/amqp/serial_pipe.h"
#include "lib/amqp/serial_session.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* ---- frames ---- */

static SerialFrame read_one(SerialReader *reader, const GByteArray *bytes, size_t step)
{
    SerialFrame frame = { 0 };
    bool found = false;

    for (size_t at = 0; at < bytes->len;) {
        size_t taken = serial_reader_feed(reader, bytes->data + at, MIN(step, bytes->len - at), &frame, &found);
        g_assert_cmpuint(taken, >, 0);
        at += taken;
        if (found)
            g_assert_cmpuint(at, ==, bytes->len);
    }
    g_assert_true(found);
    return frame;
}

static void test_frames(void)
{
    static const size_t sizes[] = { 0, 1, 2, 231, 232, 233, 253, 254, 255, 508, 509, 4096, SERIAL_PAYLOAD_MAX };
    g_autofree SerialReader *reader = g_new0(SerialReader, 1);
    uint8_t payload[SERIAL_PAYLOAD_MAX];

    for (int filling = 0; filling < 4; filling++)
        for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
            g_autoptr(GByteArray) out = g_byte_array_new();
            SerialFrame frame;

            for (size_t k = 0; k < sizeof payload; k++)
                payload[k] = filling == 0 ? 0 : filling == 1 ? 0xff : filling == 2 ? (uint8_t) k : (uint8_t) g_random_int();
            serial_frame_put(out, &(SerialFrame) { SERIAL_DATA, 0x0102030405060708, UINT64_MAX, payload, sizes[i] });
            g_assert_cmpuint(out->len, <=, SERIAL_CODED_MAX);
            g_assert_true(memchr(out->data, 0, out->len) == out->data + out->len - 1);
            frame = read_one(reader, out, i % 2 == 0 ? 7 : SIZE_MAX);
            g_assert_cmpint(frame.kind, ==, SERIAL_DATA);
            g_assert_cmphex(frame.to, ==, 0x0102030405060708);
            g_assert_cmphex(frame.from, ==, UINT64_MAX);
            g_assert_cmpmem(frame.bytes, frame.n, payload, sizes[i]);
        }
    g_assert_cmpuint(reader->damaged, ==, 0);
}

/* The bytes of docs/wire.md. */
static void test_bytes_of_a_hello(void)
{
    static const uint8_t want[] = { 0x00, 0x03, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
                                    0x01, 0x01, 0x06, 0x2a, 0xd4, 0x54, 0x7b, 0x39, 0x00 };
    g_autoptr(GByteArray) out = g_byte_array_new();

    serial_frame_put(out, &(SerialFrame) { .kind = SERIAL_HELLO, .from = 42 });
    g_assert_cmpmem(out->data, out->len, want, sizeof want);
}

static void test_damage_costs_one_frame(void)
{
    g_autofree SerialReader *reader = g_new0(SerialReader, 1);

    for (guint cut = 1; cut < 60; cut++) { /* a writer that ended in the middle, then another one */
        g_autoptr(GByteArray) out = g_byte_array_new();
        uint64_t damaged = reader->damaged;
        SerialFrame frame;

        serial_frame_put(out, &(SerialFrame) { SERIAL_DATA, 1, 2, (const uint8_t *) "0123456789012345678901234567890123456789", 40 });
        g_byte_array_set_size(out, MIN(cut, out->len - 1));
        serial_frame_put(out, &(SerialFrame) { .kind = SERIAL_OPEN, .from = 7 });
        frame = read_one(reader, out, cut);
        g_assert_cmpint(frame.kind, ==, SERIAL_OPEN);
        g_assert_cmpuint(reader->damaged, ==, damaged + 1);
    }
}

static void test_too_long(void)
{
    g_autofree SerialReader *reader = g_new0(SerialReader, 1);
    g_autoptr(GByteArray) out = g_byte_array_new();

    g_byte_array_set_size(out, 5 * SERIAL_CODED_MAX);
    memset(out->data, 0x55, out->len);
    serial_frame_put(out, &(SerialFrame) { .kind = SERIAL_OPEN, .from = 7 });
    g_assert_cmpint(read_one(reader, out, 1000).kind, ==, SERIAL_OPEN);
    g_assert_cmpuint(reader->damaged, ==, 1);
}

/* ---- sessions ---- */

typedef struct End {
    SerialSession session;
    GString *got;
    char *closed;
    uint64_t numbers;
    unsigned asked, opened;
} End;

static uint64_t end_number(void *user) { return ++((End *) user)->numbers; }
static void end_asked(void *user) { ((End *) user)->asked++; }
static void end_opened(void *user) { ((End *) user)->opened++; }
static void end_data(const uint8_t *bytes, size_t n, void *user) { g_string_append_len(((End *) user)->got, (const char *) bytes, (gssize) n); }

static void end_closed(const char *why, void *user)
{
    End *end = user;

    g_free(end->closed);
    end->closed = g_strdup(why);
}

static void end_init(End *end, bool host, uint64_t numbers)
{
    *end = (End) { .numbers = numbers, .got = g_string_new(NULL) };
    serial_session_init(&end->session, host, &(SerialHooks) { end_number, end_asked, end_opened, end_data, end_closed, end });
}

static void end_done(End *end)
{
    serial_session_done(&end->session);
    g_string_free(end->got, TRUE);
    g_free(end->closed);
}

static void carry(End *from, End *to)
{
    g_autoptr(GByteArray) bytes = g_steal_pointer(&from->session.out);

    from->session.out = g_byte_array_new();
    serial_session_feed(&to->session, bytes->data, bytes->len);
}

static void open_both(End *guest, End *host)
{
    serial_session_open(&guest->session);
    carry(guest, host);
    g_assert_cmpint(host->session.state, ==, SERIAL_ASKED);
    serial_session_accept(&host->session);
    carry(host, guest);
    g_assert_cmpint(guest->session.state, ==, SERIAL_IS_OPEN);
}

static void send_text(End *end, const char *text) { serial_session_send(&end->session, (const uint8_t *) text, strlen(text)); }

static void test_session(void)
{
    End guest, host;

    end_init(&guest, false, 100);
    end_init(&host, true, 200);
    open_both(&guest, &host);
    send_text(&guest, "to the host");
    carry(&guest, &host);
    send_text(&host, "to the guest");
    carry(&host, &guest);
    g_assert_cmpstr(host.got->str, ==, "to the host");
    g_assert_cmpstr(guest.got->str, ==, "to the guest");
    serial_session_close(&host.session, "the broker is away");
    carry(&host, &guest);
    g_assert_cmpstr(guest.closed, ==, "the broker is away");
    open_both(&guest, &host);
    serial_session_close(&guest.session, NULL);
    carry(&guest, &host);
    g_assert_cmpstr(host.closed, ==, "the other end closed it");
    serial_session_open(&guest.session); /* refused */
    carry(&guest, &host);
    serial_session_close(&host.session, "not now");
    carry(&host, &guest);
    g_assert_cmpstr(guest.closed, ==, "not now");
    g_assert_cmpuint(guest.session.stale + host.session.stale, ==, 0);
    end_done(&guest);
    end_done(&host);
}

/* What an earlier life of either end left on the line is never news. */
static void test_earlier_lives(void)
{
    End guest, guest2, host, host2;

    end_init(&guest, false, 100);
    end_init(&host, true, 200);
    open_both(&guest, &host);
    send_text(&guest, "old, to the host");
    send_text(&host, "old, to the guest");
    end_init(&guest2, false, 300); /* the agent restarted; half a frame of the old one is on the line */
    g_byte_array_set_size(guest.session.out, guest.session.out->len - 9);
    serial_session_open(&guest2.session);
    carry(&host, &guest2);
    g_assert_cmpuint(guest2.session.stale, ==, 1);
    carry(&guest, &host);
    carry(&guest2, &host);
    g_assert_cmpstr(host.got->str, ==, "");
    g_assert_cmpuint(host.session.reader.damaged, ==, 1);
    g_assert_cmpstr(host.closed, ==, "the guest began anew");
    g_assert_cmpuint(host.asked, ==, 2);
    serial_session_accept(&host.session);
    carry(&host, &guest2);
    g_assert_cmpint(guest2.session.state, ==, SERIAL_IS_OPEN);
    send_text(&host, "from the old relay");
    send_text(&guest2, "to the old relay");
    end_init(&host2, true, 400); /* now the relay */
    carry(&guest2, &host2);
    g_assert_cmpuint(host2.session.stale, ==, 1);
    carry(&host2, &guest2);
    g_assert_cmpstr(guest2.closed, ==, "the host's relay began anew");
    carry(&host, &guest2);
    g_assert_cmpstr(guest2.got->str, ==, "");
    open_both(&guest2, &host2);
    end_done(&guest);
    end_done(&guest2);
    end_done(&host);
    end_done(&host2);
}

static void test_open_is_repeated(void)
{
    End guest, host;

    end_init(&guest, false, 100);
    serial_session_open(&guest.session);
    g_byte_array_set_size(guest.session.out, 0); /* nobody heard it */
    serial_session_tick(&guest.session);
    end_init(&host, true, 200);
    carry(&guest, &host);
    serial_session_tick(&guest.session);
    carry(&guest, &host); /* twice the same */
    g_assert_cmpuint(host.asked, ==, 1);
    serial_session_accept(&host.session);
    serial_session_tick(&guest.session);
    carry(&guest, &host);
    carry(&host, &guest); /* two answers */
    g_assert_cmpuint(guest.opened, ==, 1);
    g_assert_null(guest.closed);
    end_done(&guest);
    end_done(&host);
}

/* ---- the pipe ---- */

typedef struct Wire { /* one end of a line with a pipe, and the plain stream behind it */
    SerialPipe *pipe;
    int stream; /* the test's end; -1 */
    char *closed, *gone;
    bool refuse;
} Wire;

static void wire_attach(SerialPipe *pipe, void *user)
{
    Wire *wire = user;
    int ends[2];

    if (wire->refuse) {
        serial_pipe_close(pipe, "no broker");
        return;
    }
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
    g_unix_set_fd_nonblocking(ends[0], TRUE, NULL);
    if (wire->stream >= 0)
        close(wire->stream);
    wire->stream = ends[0];
    serial_pipe_attach(pipe, ends[1]);
}

static void wire_closed(SerialPipe *pipe, const char *why, void *user)
{
    g_free(((Wire *) user)->closed);
    ((Wire *) user)->closed = g_strdup(why);
}

static void wire_gone(SerialPipe *pipe, const char *why, void *user)
{
    Wire *wire = user;

    wire->gone = g_strdup(why);
    g_clear_pointer(&wire->pipe, serial_pipe_free);
}

static void wire_start(Wire *wire, bool host, int port, uint64_t bytes_per_s)
{
    SerialPipeOptions options = { host, false, bytes_per_s, wire_attach, wire_attach, wire_closed, wire_gone, wire };

    wire->pipe = serial_pipe_new(dup(port), &options);
    if (!host)
        serial_pipe_open(wire->pipe);
}

static void wire_done(Wire *wire)
{
    serial_pipe_free(wire->pipe);
    if (wire->stream >= 0)
        close(wire->stream);
    g_free(wire->closed);
    g_free(wire->gone);
    *wire = (Wire) { .stream = -1 };
}

#define UNTIL(condition)                                     \
    do {                                                     \
        int64_t until_ = clock_now_us() + 20 * US_PER_S;     \
        while (!(condition)) {                               \
            g_assert_cmpint(clock_now_us(), <, until_);      \
            g_main_context_iteration(NULL, FALSE);           \
        }                                                    \
    } while (0)

static bool echo_once(int from, GByteArray *got, size_t at_most)
{
    uint8_t bytes[3000];
    gssize n = read(from, bytes, MIN(sizeof bytes, at_most));

    if (n > 0)
        g_byte_array_append(got, bytes, (guint) n);
    return n > 0;
}

static void pass(int from, int to, size_t n)
{
    g_autofree uint8_t *bytes = g_malloc(n);
    g_autoptr(GByteArray) got = g_byte_array_new();
    size_t sent = 0;

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t) (g_random_int() & 3 ? g_random_int() : 0);
    while (got->len < n) {
        gssize w = sent < n ? write(from, bytes + sent, n - sent) : 0;
        if (w > 0)
            sent += (size_t) w;
        g_main_context_iteration(NULL, FALSE);
        echo_once(to, got, SIZE_MAX);
    }
    g_assert_cmpmem(got->data, got->len, bytes, n);
}

static bool both_open(const Wire *a, const Wire *b) { return a->stream >= 0 && b->stream >= 0 && serial_pipe_is_open(a->pipe) && serial_pipe_is_open(b->pipe); }

static void test_pipe(void)
{
    Wire guest = { .stream = -1 }, host = { .stream = -1 };
    int line[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, line), ==, 0);
    wire_start(&host, true, line[0], 0);
    wire_start(&guest, false, line[1], 0);
    UNTIL(both_open(&guest, &host));
    pass(guest.stream, host.stream, 3000000);
    pass(host.stream, guest.stream, 3000000);
    g_assert_cmpuint(serial_pipe_moved_bytes(host.pipe), ==, 6000000);
    close(guest.stream); /* its last bytes arrive, then the end */
    guest.stream = -1;
    UNTIL(guest.closed != NULL && host.closed != NULL);
    serial_pipe_open(guest.pipe);
    UNTIL(both_open(&guest, &host));
    close(line[0]);
    close(line[1]);
    wire_done(&host);
    UNTIL(guest.gone != NULL);
    wire_done(&guest);
}

/* Both ends come and go in the middle of traffic, the line stays: whatever is on it, the next session is a clean one. */
static void test_restarts_in_the_middle(void)
{
    Wire guest = { .stream = -1 }, host = { .stream = -1 };
    int line[2], size = 4096;
    uint8_t noise[5000];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, line), ==, 0);
    setsockopt(line[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(line[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    memset(noise, 1, sizeof noise);
    wire_start(&host, true, line[0], 0);
    wire_start(&guest, false, line[1], 0);
    for (int round = 0; round < 40; round++) {
        UNTIL(both_open(&guest, &host));
        pass(guest.stream, host.stream, 20000);
        for (int i = 0; i < 20; i++) { /* nobody reads: full up to here */
            g_assert_true(write(guest.stream, noise, sizeof noise) > 0 || errno == EAGAIN);
            g_assert_true(write(host.stream, noise, sizeof noise) > 0 || errno == EAGAIN);
            g_main_context_iteration(NULL, FALSE);
        }
        if (round % 3 != 1) {
            wire_done(&host);
            wire_start(&host, true, line[0], 0);
        }
        if (round % 3 != 0) {
            wire_done(&guest);
            wire_start(&guest, false, line[1], 0);
        } else {
            UNTIL(guest.closed != NULL);
            g_clear_pointer(&guest.closed, g_free);
            serial_pipe_open(guest.pipe);
        }
    }
    wire_done(&guest);
    wire_done(&host);
    close(line[0]);
    close(line[1]);
}

static void test_refused(void)
{
    Wire guest = { .stream = -1 }, host = { .stream = -1, .refuse = true };
    int line[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, line), ==, 0);
    wire_start(&guest, false, line[1], 0);
    wire_start(&host, true, line[0], 0);
    UNTIL(guest.closed != NULL);
    g_assert_cmpstr(guest.closed, ==, "no broker");
    wire_done(&guest);
    wire_done(&host);
    close(line[0]);
    close(line[1]);
}

/* A reader that takes nothing holds the writer, and not memory of ours. */
static void test_back_pressure(void)
{
    Wire guest = { .stream = -1 }, host = { .stream = -1 };
    uint8_t bytes[8192] = { 1 };
    size_t sent = 0;
    int line[2], idle = 0;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, line), ==, 0);
    wire_start(&host, true, line[0], 0);
    wire_start(&guest, false, line[1], 0);
    UNTIL(both_open(&guest, &host));
    while (idle < 2000) {
        gssize n = write(guest.stream, bytes, sizeof bytes);
        sent += n > 0 ? (size_t) n : 0;
        idle = n > 0 || g_main_context_iteration(NULL, FALSE) ? 0 : idle + 1;
        g_assert_cmpuint(sent, <, 4000000); /* what three socket buffers hold, not more */
    }
    wire_done(&guest);
    wire_done(&host);
    close(line[0]);
    close(line[1]);
}

static void test_bandwidth(void)
{
    Wire guest = { .stream = -1 }, host = { .stream = -1 };
    int64_t begun;
    int line[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, line), ==, 0);
    wire_start(&host, true, line[0], 500000);
    wire_start(&guest, false, line[1], 0);
    UNTIL(both_open(&guest, &host));
    begun = clock_now_us();
    pass(guest.stream, host.stream, 200000);
    g_assert_cmpint(clock_now_us() - begun, >, 200 * US_PER_MS);
    g_assert_cmpint(clock_now_us() - begun, <, 4 * US_PER_S);
    wire_done(&guest);
    wire_done(&host);
    close(line[0]);
    close(line[1]);
}

/* Over vsock: bytes as they are. */
static void test_raw(void)
{
    Wire host = { .stream = -1 };
    SerialPipeOptions options = { .host = true, .raw = true, .closed = wire_closed, .gone = wire_gone, .user = &host };
    int line[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, line), ==, 0);
    g_unix_set_fd_nonblocking(line[1], TRUE, NULL);
    host.pipe = serial_pipe_new(line[0], &options);
    wire_attach(host.pipe, &host);
    pass(line[1], host.stream, 500000);
    pass(host.stream, line[1], 500000);
    close(host.stream);
    host.stream = -1;
    UNTIL(host.closed != NULL);
    wire_done(&host);
    g_assert_cmpint(read(line[1], &(char) { 0 }, 1), ==, 0); /* nothing was said, it just ended */
    close(line[1]);
}

/* A hostile guest: random bytes and a flood of OPENs. */
static void test_hostile_guest(void)
{
    Wire host = { .stream = -1 };
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    int line[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, line), ==, 0);
    g_unix_set_fd_nonblocking(line[1], TRUE, NULL);
    wire_start(&host, true, line[0], 0);
    for (uint64_t i = 1; i < 4000; i++) {
        uint8_t junk[64];

        g_byte_array_set_size(bytes, 0);
        for (size_t k = 0; k < sizeof junk; k++)
            junk[k] = (uint8_t) g_random_int();
        if (i % 2 == 0)
            g_byte_array_append(bytes, junk, (guint) (i % sizeof junk));
        serial_frame_put(bytes, &(SerialFrame) { .kind = SERIAL_OPEN, .from = i / 3 + 1 });
        serial_frame_put(bytes, &(SerialFrame) { SERIAL_DATA, i, i, junk, sizeof junk });
        if (write(line[1], bytes->data, bytes->len) < 0) /* it does not read what we answer, so we are not read either */
            break;
        g_main_context_iteration(NULL, FALSE);
    }
    wire_done(&host);
    close(line[0]);
    close(line[1]);
}

/* ---- connecting, on a terminal as the port ---- */

typedef struct Answer {
    GIOStream *stream;
    GError *error;
    bool done;
} Answer;

static void on_answer(GObject *object, GAsyncResult *result, gpointer user)
{
    Answer *answer = user;

    answer->stream = g_task_propagate_pointer(G_TASK(result), &answer->error);
    answer->done = true;
}

static int open_terminal(char **ret_path)
{
    struct termios raw;
    int port = posix_openpt(O_RDWR | O_NOCTTY);

    g_assert_cmpint(port, >=, 0);
    g_assert_true(grantpt(port) == 0 && unlockpt(port) == 0);
    *ret_path = g_strdup(ptsname(port));
    tcgetattr(port, &raw);
    cfmakeraw(&raw);
    tcsetattr(port, TCSANOW, &raw);
    return port;
}

static void test_connect(void)
{
    g_autofree char *path = NULL;
    int port = open_terminal(&path);
    Wire host = { .stream = -1 };
    Answer answer = { 0 };

    wire_start(&host, true, port, 0);
    serial_connect(path, NULL, on_answer, &answer);
    UNTIL(answer.done);
    g_assert_no_error(answer.error);
    UNTIL(host.stream >= 0 && serial_pipe_is_open(host.pipe));
    pass(g_socket_get_fd(g_socket_connection_get_socket(G_SOCKET_CONNECTION(answer.stream))), host.stream, 100000);
    serial_pipe_close(host.pipe, "the broker is away");
    UNTIL(g_object_get_data(G_OBJECT(answer.stream), "mend-why") != NULL);
    g_assert_cmpstr(g_object_get_data(G_OBJECT(answer.stream), "mend-why"), ==, "the broker is away");
    g_object_unref(answer.stream);
    wire_done(&host);
    close(port);
}

static void test_connect_fails(void)
{
    g_autofree char *path = NULL;
    int port = open_terminal(&path);
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    Answer missing = { 0 }, silent = { 0 };

    serial_connect("/nonexistent/port", NULL, on_answer, &missing);
    UNTIL(missing.done);
    g_assert_error(missing.error, G_IO_ERROR, G_IO_ERROR_FAILED);
    g_assert_nonnull(strstr(missing.error->message, "/nonexistent/port"));
    serial_connect(path, cancel, on_answer, &silent);
    g_main_context_iteration(NULL, FALSE);
    g_cancellable_cancel(cancel);
    UNTIL(silent.done);
    g_assert_error(silent.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&missing.error);
    g_clear_error(&silent.error);
    close(port);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/serial/frames", test_frames);
    g_test_add_func("/serial/bytes-of-a-hello", test_bytes_of_a_hello);
    g_test_add_func("/serial/damage-costs-one-frame", test_damage_costs_one_frame);
    g_test_add_func("/serial/too-long", test_too_long);
    g_test_add_func("/serial/session", test_session);
    g_test_add_func("/serial/earlier-lives", test_earlier_lives);
    g_test_add_func("/serial/open-is-repeated", test_open_is_repeated);
    g_test_add_func("/serial/pipe", test_pipe);
    g_test_add_func("/serial/restarts-in-the-middle", test_restarts_in_the_middle);
    g_test_add_func("/serial/refused", test_refused);
    g_test_add_func("/serial/back-pressure", test_back_pressure);
    g_test_add_func("/serial/bandwidth", test_bandwidth);
    g_test_add_func("/serial/raw", test_raw);
    g_test_add_func("/serial/hostile-guest", test_hostile_guest);
    g_test_add_func("/serial/connect", test_connect);
    g_test_add_func("/serial/connect-fails", test_connect_fails);
    return g_test_run();
}
