/* Bytes from a serial port into a session; the first byte chooses the end and how large the pieces are in which the rest arrives. */
#include "lib/amqp/serial_session.h"

#include <stdlib.h>

typedef struct End {
    SerialSession session;
    uint64_t numbers;
    bool asked;
    size_t got;
} End;

static uint64_t on_number(void *user) { return ++((End *) user)->numbers; }
static void on_asked(void *user) { ((End *) user)->asked = true; }
static void on_opened(void *user) { }
static void on_closed(const char *why, void *user)
{
    ((End *) user)->asked = false;
    if (!g_utf8_validate(why, -1, NULL))
        abort();
}

static void on_data(const uint8_t *bytes, size_t n, void *user)
{
    End *end = user;

    if (end->session.state != SERIAL_IS_OPEN || n > SERIAL_PAYLOAD_MAX)
        abort();
    for (size_t i = 0; i < n; i++)
        end->got += bytes[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    End end = { 0 };
    size_t step;

    if (size == 0)
        return 0;
    step = (size_t) (data[0] >> 1) + 1;
    serial_session_init(&end.session, data[0] & 1, &(SerialHooks) { on_number, on_asked, on_opened, on_data, on_closed, &end });
    for (size_t at = 1; at < size; at += step) {
        if (!end.session.host && end.session.state == SERIAL_CLOSED)
            serial_session_open(&end.session);
        serial_session_feed(&end.session, data + at, MIN(step, size - at));
        if (end.asked && end.session.state == SERIAL_ASKED)
            serial_session_accept(&end.session);
        if (end.session.out->len > 20000)
            g_byte_array_set_size(end.session.out, 0);
    }
    serial_session_done(&end.session);
    return 0;
}
