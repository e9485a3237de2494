/* AMQP 0-10 map and list encoding (AMQP 0-10 specification, §3.3), as QMFv2 carries it in a data section. Pure. Thread: any.
 *
 * Written: strings as str16, binary as vbin16; longer than 65535 bytes both as vbin32; symbols as str16; every number in the width
 * it has. What 0-10 cannot say is left out or replaced: a described value by what it describes, an entry whose key is over
 * 255 bytes is left out.
 * Read: all fixed and variable types of 0-10's maps; strict about bounds. Arrays arrive as lists. */
#ifndef MEND_QMF_CODEC_H
#define MEND_QMF_CODEC_H

#include "lib/amqp/value.h"

/* One message makes us hold at most this much. */
#define QMF_DEPTH_MAX 32
#define QMF_ITEMS_MAX 100000

/* Without the outermost type byte. @map_or_list: MAP or LIST; NULL gives the empty one. (transfer full) */
GByteArray *qmf_0_10_encode(const Value *map_or_list);
/* @map_or_list: VALUE_MAP or VALUE_LIST, what the content-type says. NULL: QMF_ERROR_MALFORMED or QMF_ERROR_LIMIT with the offset
 * in @error. (transfer full) */
Value *qmf_0_10_decode(const void *bytes, size_t n_bytes, ValueType map_or_list, GError **error);

#endif
