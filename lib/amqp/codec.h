/* AMQP 1.0's type system as bytes (OASIS AMQP 1.0 part 1): what message.c and the client's link attributes are built from.
 * Thread: any. */
#ifndef MEND_AMQP_CODEC_H
#define MEND_AMQP_CODEC_H

#include "lib/amqp/value.h"

#define CODEC_DEPTH_MAX 32
#define CODEC_ITEMS_MAX 65536 /* values in one message, of all levels together */

typedef struct Reader {
    const uint8_t *bytes;
    size_t n_bytes, at;
    unsigned items;  /* decoded so far */
    unsigned depth;
} Reader;

/* The next value. Types without a counterpart: char becomes UINT32, decimals BINARY, arrays LIST; a map's key becomes its text.
 * Reads within the bounds only. NULL: error AMQP_MESSAGE_ERROR_*, with the offset. (transfer full) */
Value *codec_read(Reader *reader, GError **error);

/* The shortest form of @value. @symbol_keys: keys of the outermost map go as symbols. */
void codec_write(GByteArray *out, const Value *value, bool symbol_keys);
/* Descriptor of the next value: 0x00 and a small ulong. */
void codec_write_descriptor(GByteArray *out, uint8_t code);
void codec_write_bytes(GByteArray *out, ValueType type, const void *bytes, size_t n_bytes);
void codec_write_uint(GByteArray *out, ValueType type, uint64_t v);

/* A list or map under construction: begin, write the items, end with their number (keys and values both count). */
size_t codec_compound_begin(GByteArray *out);
void codec_compound_end(GByteArray *out, size_t begin, ValueType type, uint32_t count);

#endif
