/* Frames on a byte stream that has neither beginning nor end: a virtio-serial port outlives the programs at both its ends, and what one of
 * them left behind, half a frame too, is read by the next. docs/wire.md, "Serial ports", is the format.
 *
 * A frame is COBS-coded and ends with a zero byte, which occurs nowhere else: whatever came before, the next zero is the end of it. The
 * CRC-32 (that of Ethernet) tells what is whole. Pure: no I/O. Thread: any, one at a time. */
#ifndef MEND_AMQP_SERIAL_FRAME_H
#define MEND_AMQP_SERIAL_FRAME_H

#include "lib/base/base.h"

#include <glib.h>

#define SERIAL_VERSION     1
#define SERIAL_PAYLOAD_MAX 8192
#define SERIAL_HEADER      18 /* version kind to from */
#define SERIAL_PLAIN_MAX   (SERIAL_HEADER + SERIAL_PAYLOAD_MAX + 4)
#define SERIAL_CODED_MAX   (1 + SERIAL_PLAIN_MAX + SERIAL_PLAIN_MAX / 254 + 1 + 1) /* leading zero, code bytes, end */

typedef enum SerialKind {
    SERIAL_HELLO = 1, /* host: here I am, new; to is 0 */
    SERIAL_OPEN,      /* guest: a session, please; to is 0 */
    SERIAL_OPENED,    /* host: it is open */
    SERIAL_DATA,
    SERIAL_CLOSE,     /* either: it is over, or (to an OPEN) there will be none; the payload is a text for people */
    SERIAL_KIND_N
} SerialKind;

typedef struct SerialFrame {
    SerialKind kind;
    uint64_t to, from; /* numbers of sessions: the receiver's and the sender's own; 0: none */
    const uint8_t *bytes; /* borrowed */
    size_t n;             /* <= SERIAL_PAYLOAD_MAX */
} SerialFrame;

/* Appends the frame. What is no part of a stream yet (HELLO, OPEN) gets a zero before it, which ends whatever somebody left there. */
void serial_frame_put(GByteArray *out, const SerialFrame *frame);

typedef struct SerialReader {
    uint8_t coded[SERIAL_CODED_MAX];
    size_t n;
    bool skipping;    /* too long for a frame: everything up to the next zero goes */
    uint64_t damaged; /* pieces between zeros that were no frame */
} SerialReader;

/* Takes bytes up to and with the end of a frame; answers how many. *@ret_frame is a whole frame when *@ret_found; its payload lives in
 * @reader until the next call. Never fails: what is no frame is counted. */
size_t serial_reader_feed(SerialReader *reader, const uint8_t *bytes, size_t n, SerialFrame *ret_frame, bool *ret_found);

#endif
