/* COBS and not an escape character: AMQP is full of zeros and of everything else, and the cost here is one byte in 254, whatever is in it.
 * Nothing a sender can put into a payload looks like the end of a frame, so no message can reset a session or forge a frame.
 * zlib's crc32 is what everybody has. */
#include "lib/amqp/serial_frame.h"

#include <string.h>
#include <zlib.h>

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t big;

    memcpy(&big, at, sizeof big);
    return GUINT64_FROM_BE(big);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    uint64_t big = GUINT64_TO_BE(value);

    memcpy(at, &big, sizeof big);
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t big;

    memcpy(&big, at, sizeof big);
    return GUINT32_FROM_BE(big);
}

/* ---- COBS: a code byte says how far the next zero is (255: 254 bytes, and no zero) ---- */

static void cobs_put(GByteArray *out, const uint8_t *plain, size_t n)
{
    guint code_at = out->len;
    uint8_t code = 1;

    g_byte_array_set_size(out, out->len + 1);
    for (size_t i = 0; i < n; i++) {
        if (plain[i] != 0) {
            g_byte_array_append(out, &plain[i], 1);
            code++;
        }
        if (plain[i] == 0 || code == 0xff) {
            out->data[code_at] = code;
            code = 1;
            code_at = out->len;
            g_byte_array_set_size(out, out->len + 1);
        }
    }
    out->data[code_at] = code;
}

/* In place: what is decoded is never longer than what it came from. False: not COBS. */
static bool cobs_get(uint8_t *bytes, size_t n, size_t *ret_n)
{
    size_t in = 0, out = 0;

    while (in < n) {
        uint8_t code = bytes[in++];

        if (code == 0 || (size_t) (code - 1) > n - in)
            return false;
        memmove(bytes + out, bytes + in, (size_t) (code - 1));
        in += (size_t) (code - 1);
        out += (size_t) (code - 1);
        if (code != 0xff && in < n)
            bytes[out++] = 0;
    }
    *ret_n = out;
    return true;
}

/* ---- frames ---- */

void serial_frame_put(GByteArray *out, const SerialFrame *frame)
{
    static const uint8_t zero;
    uint8_t plain[SERIAL_PLAIN_MAX];
    size_t n = SERIAL_HEADER + frame->n;
    uint32_t crc;

    g_assert(frame->n <= SERIAL_PAYLOAD_MAX);
    plain[0] = SERIAL_VERSION;
    plain[1] = (uint8_t) frame->kind;
    put_u64(plain + 2, frame->to);
    put_u64(plain + 10, frame->from);
    if (frame->n > 0)
        memcpy(plain + SERIAL_HEADER, frame->bytes, frame->n);
    crc = GUINT32_TO_BE((uint32_t) crc32(0, plain, (uInt) n));
    memcpy(plain + n, &crc, sizeof crc);
    if (frame->to == 0)
        g_byte_array_append(out, &zero, 1);
    cobs_put(out, plain, n + sizeof crc);
    g_byte_array_append(out, &zero, 1);
}

static bool frame_take(uint8_t *coded, size_t n, SerialFrame *ret_frame)
{
    size_t plain;

    if (!cobs_get(coded, n, &plain) || plain < SERIAL_HEADER + 4 || plain > SERIAL_PLAIN_MAX ||
        get_u32(coded + plain - 4) != (uint32_t) crc32(0, coded, (uInt) (plain - 4)) || coded[0] != SERIAL_VERSION || coded[1] == 0 ||
        coded[1] >= SERIAL_KIND_N)
        return false;
    *ret_frame = (SerialFrame) { (SerialKind) coded[1], get_u64(coded + 2), get_u64(coded + 10), coded + SERIAL_HEADER,
                                 plain - SERIAL_HEADER - 4 };
    return true;
}

size_t serial_reader_feed(SerialReader *reader, const uint8_t *bytes, size_t n, SerialFrame *ret_frame, bool *ret_found)
{
    const uint8_t *zero = n > 0 ? memchr(bytes, 0, n) : NULL;
    size_t piece = zero != NULL ? (size_t) (zero - bytes) : n;

    *ret_found = false;
    if (piece > sizeof reader->coded - reader->n)
        reader->skipping = true;
    if (!reader->skipping && piece > 0) {
        memcpy(reader->coded + reader->n, bytes, piece);
        reader->n += piece;
    }
    if (zero == NULL)
        return n;
    if (reader->skipping || (reader->n > 0 && !frame_take(reader->coded, reader->n, ret_frame)))
        reader->damaged++;
    else
        *ret_found = reader->n > 0;
    reader->n = 0;
    reader->skipping = false;
    return piece + 1;
}
