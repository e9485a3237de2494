/* Session numbers need not be secret: who can write the port owns the guest or the host. They need only never repeat, also not in a VM that
 * was restored twice from one memory image; so they come from the kernel's randomness at the time, not from a generator in memory. */
#include "lib/amqp/serial_session.h"

#include <string.h>

void serial_session_init(SerialSession *session, bool host, const SerialHooks *hooks)
{
    *session = (SerialSession) { .host = host, .hooks = *hooks, .out = g_byte_array_new() };
    if (host)
        serial_frame_put(session->out, &(SerialFrame) { .kind = SERIAL_HELLO, .from = hooks->number(hooks->user) });
}

void serial_session_done(SerialSession *session)
{
    g_clear_pointer(&session->out, g_byte_array_unref);
}

static void put(SerialSession *session, SerialKind kind, const void *bytes, size_t n)
{
    serial_frame_put(session->out, &(SerialFrame) { kind, kind == SERIAL_OPEN ? 0 : session->peer, session->own, bytes, n });
}

static void over(SerialSession *session, const char *why)
{
    session->state = SERIAL_CLOSED;
    session->own = session->peer = 0;
    session->hooks.closed(why, session->hooks.user);
}

void serial_session_open(SerialSession *session)
{
    g_assert(!session->host && session->state == SERIAL_CLOSED);
    session->own = session->hooks.number(session->hooks.user);
    session->peer = 0;
    session->state = SERIAL_OPENING;
    put(session, SERIAL_OPEN, NULL, 0);
}

void serial_session_tick(SerialSession *session)
{
    if (session->state == SERIAL_OPENING && session->out->len == 0)
        put(session, SERIAL_OPEN, NULL, 0);
}

void serial_session_accept(SerialSession *session)
{
    g_assert(session->host && session->state == SERIAL_ASKED);
    session->state = SERIAL_IS_OPEN;
    put(session, SERIAL_OPENED, NULL, 0);
}

void serial_session_close(SerialSession *session, const char *why)
{
    if (session->state != SERIAL_CLOSED && session->peer != 0)
        put(session, SERIAL_CLOSE, why, why != NULL ? MIN(strlen(why), SERIAL_TEXT_MAX) : 0);
    session->state = SERIAL_CLOSED;
    session->own = session->peer = 0;
}

void serial_session_send(SerialSession *session, const uint8_t *bytes, size_t n)
{
    g_assert(session->state == SERIAL_IS_OPEN);
    if (n > 0)
        put(session, SERIAL_DATA, bytes, n);
}

/* ---- what comes ---- */

static void on_open(SerialSession *session, const SerialFrame *frame)
{
    if (!session->host || frame->from == 0)
        return;
    if (session->state != SERIAL_CLOSED && session->peer == frame->from) { /* repeated: our answer is on its way, or will be */
        if (session->state == SERIAL_IS_OPEN)
            put(session, SERIAL_OPENED, NULL, 0);
        return;
    }
    if (session->state != SERIAL_CLOSED)
        over(session, "the guest began anew");
    session->own = session->hooks.number(session->hooks.user);
    session->peer = frame->from;
    session->state = SERIAL_ASKED;
    session->hooks.asked(session->hooks.user);
}

static void on_opened(SerialSession *session, const SerialFrame *frame)
{
    if (session->host || session->state == SERIAL_CLOSED || frame->from == 0)
        return;
    if (session->state == SERIAL_IS_OPEN) {
        if (frame->from != session->peer)
            over(session, "another relay answered");
        return;
    }
    session->peer = frame->from;
    session->state = SERIAL_IS_OPEN;
    session->hooks.opened(session->hooks.user);
}

static void on_hello(SerialSession *session)
{
    if (session->host)
        return;
    if (session->state == SERIAL_IS_OPEN)
        over(session, "the host's relay began anew");
    else
        serial_session_tick(session);
}

static void on_close(SerialSession *session, const SerialFrame *frame)
{
    g_autofree char *why = g_utf8_make_valid((const char *) frame->bytes, (gssize) MIN(frame->n, SERIAL_TEXT_MAX));

    if (session->state == SERIAL_IS_OPEN ? frame->from == session->peer : session->state == SERIAL_OPENING)
        over(session, *why != '\0' ? g_strstrip(why) : "the other end closed it");
    else
        session->stale++;
}

static void on_frame(SerialSession *session, const SerialFrame *frame)
{
    if (frame->kind == SERIAL_OPEN) {
        on_open(session, frame);
    } else if (frame->kind == SERIAL_HELLO) {
        on_hello(session);
    } else if (session->own == 0 || frame->to != session->own) {
        session->stale++;
    } else if (frame->kind == SERIAL_OPENED) {
        on_opened(session, frame);
    } else if (frame->kind == SERIAL_CLOSE) {
        on_close(session, frame);
    } else if (session->state == SERIAL_IS_OPEN && frame->from == session->peer) {
        session->hooks.data(frame->bytes, frame->n, session->hooks.user);
    } else {
        session->stale++;
    }
}

void serial_session_feed(SerialSession *session, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        SerialFrame frame;
        bool found;
        size_t taken = serial_reader_feed(&session->reader, bytes, n, &frame, &found);

        bytes += taken;
        n -= taken;
        if (found)
            on_frame(session, &frame);
    }
}
