/* A compact binary form of texts, numbers and JSON values, for what is written often and read fast (the journal's inputs). Packed
 * blocks are self-contained: nothing outside of a block is needed to read it, so any of them may be cut out, kept or thrown away.
 *
 *   number   unsigned, 7 bits a byte, least first, the top bit says that more follow; at most 10 bytes
 *   signed   a number: 0 -1 1 -2 2 … are 0 1 2 3 4 …
 *   text     a number n, then
 *              n = 0      no text (NULL)
 *              n odd      (n - 1) / 2 bytes of UTF-8 and a 0
 *              n even     r = n / 2 - 1; r < 64: the word r of pack_words; else a text that began r - 64 bytes after the block's begin
 *   value    a byte, then what it says:  0 null  1 false  2 true  3 signed  4 eight bytes, IEEE 754, least first  5 text (never NULL)
 *            6 a number of values  7 a number of pairs: text, value (in the order of the object, which is kept)
 *
 * Every text in a block ends with a 0, so readers hand out pointers into it. Words are only ever appended to pack_words: what was
 * written stays readable. Thread: any. */
#ifndef MEND_BASE_PACK_H
#define MEND_BASE_PACK_H

#include "lib/base/base.h"

#define PACK_WORDS_MAX 64
#define PACK_DEPTH_MAX 2048 /* of values in values, as deep as jansson reads; deeper ones are packed as null */

#define PACK_ERROR pack_error_quark()
GQuark pack_error_quark(void);
typedef enum { PACK_ERROR_DAMAGED } PackError;

/* Writing: appends to @block. */
typedef struct Packer {
    GByteArray *block;
    guint begin;               /* of the block in the array */
    unsigned n_texts;
    struct { guint at, length; } texts[24]; /* those that later ones may refer to */
} Packer;

void pack_begin(Packer *packer, GByteArray *block);
void pack_number(Packer *packer, uint64_t number);
void pack_signed(Packer *packer, int64_t number);
void pack_real(Packer *packer, double number); /* eight bytes, without a byte before it */
void pack_text(Packer *packer, const char *text); /* NULL: no text */
void pack_value(Packer *packer, const json_t *value);

/* Reading: @at moves on. The block must outlive what points into it. After a failure everything fails; ask pack_failed() once at the end. */
typedef struct Unpacker {
    const uint8_t *begin, *at, *end;
    bool failed;
} Unpacker;

void unpack_begin(Unpacker *unpacker, const void *block, size_t size);
uint64_t unpack_number(Unpacker *unpacker);
int64_t unpack_signed(Unpacker *unpacker);
double unpack_real(Unpacker *unpacker);
/* NULL: no text, or failed. UTF-8, ends with 0. @ret_length may be NULL. */
const char *unpack_text(Unpacker *unpacker, size_t *ret_length);
const char *unpack_text_needed(Unpacker *unpacker); /* NULL fails */
json_t *unpack_value(Unpacker *unpacker);           /* NULL: failed. (transfer full) */
void unpack_skip(Unpacker *unpacker);               /* a value, which is checked all the same */
bool unpack_is_object(const Unpacker *unpacker);     /* the next value */
/* As unpack_skip(), of an object: notes where the values of the keys that are among the first PACK_PLACES words begin, counted from the
 * block's begin; 0: no such key. False: one does not fit, and @ret_places says nothing. */
#define PACK_PLACES 8
bool unpack_skip_noting(Unpacker *unpacker, uint16_t ret_places[PACK_PLACES]);
/* Which of @ret_places is that of @key; -1: none. */
int pack_place(const char *key);
/* At an object: the text under @key, or NULL; @at stays. */
const char *unpack_find_text(const Unpacker *unpacker, const char *key);
/* The text at a noted place; NULL: no text. */
const char *unpack_text_at(const Unpacker *unpacker, uint16_t place);
/* True, with an error naming @what and the place, when it failed or when bytes are left. */
bool unpack_failed(const Unpacker *unpacker, const char *what, GError **error);

#endif
