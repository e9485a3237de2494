/* Values of the Common Expression Language: sixteen bytes, passed by value, two registers. What does not fit (texts, lists, maps) is
 * borrowed: from the expression, from whoever answered a name, or from the arena of the evaluation, which ends all of it at once.
 * Nothing is counted and nothing is freed one by one. Thread: any; an arena belongs to one evaluation. */
#ifndef MEND_CEL_VALUE_H
#define MEND_CEL_VALUE_H

#include "lib/base/base.h"

#include <inttypes.h>
#include <string.h>

typedef enum {
    CEL_ERROR,     /* not a value of the language: what an expression gives that has none */
    CEL_NULL,
    CEL_BOOL,
    CEL_INT,
    CEL_UINT,
    CEL_DOUBLE,
    CEL_STRING,    /* UTF-8 */
    CEL_BYTES,
    CEL_LIST,
    CEL_MAP,
    CEL_TIMESTAMP, /* years 1 to 9999 */
    CEL_DURATION,  /* 64 bits of nanoseconds, about 292 years either way */
    CEL_TYPE,
    CEL_KIND_N,
} CelKind;

typedef struct CelList CelList;
typedef struct CelMap CelMap;

typedef struct CelValue {
    uint32_t kind;   /* CelKind */
    uint32_t extra;  /* STRING, BYTES: length in bytes; TIMESTAMP: nanoseconds, 0 … 999,999,999; ERROR: place in the expression */
    union {
        bool boolean;
        int64_t integer;
        uint64_t uinteger;
        double real;
        const char *text;      /* STRING, BYTES; not ended by 0 */
        const CelList *list;
        const CelMap *map;
        int64_t seconds;       /* TIMESTAMP: since 1970, UTC */
        int64_t ns;            /* DURATION */
        CelKind type;          /* TYPE */
        const char *error;     /* ERROR: for people, ended by 0 */
    } as;
} CelValue;

/* Values may be nested this deep: whoever walks them calls itself. */
#define CEL_VALUE_DEPTH_MAX 256

struct CelList {
    size_t n;
    const CelValue *items;
    uint32_t depth;            /* 1: no list or map is in it */
};

typedef struct CelEntry {
    CelValue key, value;
} CelEntry;

struct CelMap {
    size_t n;
    const CelEntry *entries;   /* in the order they were written */
    const uint32_t *index;     /* hash table of entry numbers + 1, or NULL: n is small */
    uint32_t mask;
    uint32_t depth;
};

/* ---- memory ---- */

typedef struct CelBlock CelBlock;
typedef struct CelArena {
    char *at, *end;
    CelBlock *blocks;          /* beyond the first, caller's one */
    size_t used_bytes, limit_bytes;
} CelArena;

/* @first: memory to begin with, usually on the stack; may be NULL. */
void cel_arena_init(CelArena *arena, void *first, size_t first_bytes, size_t limit_bytes);
void cel_arena_done(CelArena *arena);
void *cel_arena_more(CelArena *arena, size_t bytes);
/* Aligned for anything, not cleared. NULL: the arena's limit is reached. */
static inline void *cel_alloc(CelArena *arena, size_t bytes)
{
    size_t rounded = (bytes + (bytes == 0) + 15) & ~(size_t) 15;

    if (G_LIKELY(rounded >= bytes && rounded <= (size_t) (arena->end - arena->at))) {
        void *p = arena->at;

        arena->at += rounded;
        return p;
    }
    return cel_arena_more(arena, bytes);
}
/* Gives back what @p, the newest piece, does not need. */
static inline void cel_shrink(CelArena *arena, void *p, size_t bytes)
{
    arena->at = (char *) p + ((bytes + 15) & ~(size_t) 15);
}
/* Ended by 0. NULL as above. */
char *cel_alloc_text(CelArena *arena, const char *text, size_t length);

/* ---- making ---- */

static inline CelValue cel_null(void)
{
    return (CelValue){ .kind = CEL_NULL };
}
static inline CelValue cel_bool(bool value)
{
    return (CelValue){ .kind = CEL_BOOL, .as.uinteger = value };
}
static inline CelValue cel_int(int64_t value)
{
    return (CelValue){ .kind = CEL_INT, .as.integer = value };
}
static inline CelValue cel_uint(uint64_t value)
{
    return (CelValue){ .kind = CEL_UINT, .as.uinteger = value };
}
static inline CelValue cel_double(double value)
{
    return (CelValue){ .kind = CEL_DOUBLE, .as.real = value };
}
/* @text is borrowed, must be UTF-8, and shorter than 4 GiB. */
static inline CelValue cel_string_n(const char *text, size_t length)
{
    return (CelValue){ .kind = CEL_STRING, .extra = (uint32_t) length, .as.text = text };
}
static inline CelValue cel_string(const char *text)
{
    return cel_string_n(text, strlen(text));
}
static inline CelValue cel_bytes(const void *bytes, size_t length)
{
    return (CelValue){ .kind = CEL_BYTES, .extra = (uint32_t) length, .as.text = bytes };
}
static inline CelValue cel_timestamp(int64_t seconds, uint32_t ns)
{
    return (CelValue){ .kind = CEL_TIMESTAMP, .extra = ns, .as.seconds = seconds };
}
static inline CelValue cel_duration(int64_t ns)
{
    return (CelValue){ .kind = CEL_DURATION, .as.ns = ns };
}
static inline CelValue cel_type(CelKind kind)
{
    return (CelValue){ .kind = CEL_TYPE, .as.uinteger = kind };
}
static inline CelValue cel_error_at(const char *text, uint32_t place)
{
    return (CelValue){ .kind = CEL_ERROR, .extra = place, .as.error = text };
}
/* @items: borrowed. An ERROR when the arena is full or it would be nested too deep, here and below. */
CelValue cel_list(CelArena *arena, const CelValue *items, size_t n);
/* @entries: borrowed. ERROR too for a key that is no bool, int, uint or string, and for two equal ones (1 and 1u are). */
CelValue cel_map(CelArena *arena, const CelEntry *entries, size_t n);

/* ---- asking ---- */

static inline bool cel_is_error(CelValue value)
{
    return value.kind == CEL_ERROR;
}
static inline bool cel_is_number(CelValue value)
{
    return value.kind >= CEL_INT && value.kind <= CEL_DOUBLE;
}
/* "int" "null_type" "google.protobuf.Timestamp" … */
const char *cel_kind_name(CelKind kind);

/* Numbers of all three kinds lie on one line; values of different kinds are never equal otherwise; NaN equals nothing. */
bool cel_equal(CelValue a, CelValue b);
/* -1, 0, 1 in *ret_order. False: no order (kinds differ, kind without one, NaN). */
bool cel_compare(CelValue a, CelValue b, int *ret_order);
/* NULL: not there. */
const CelValue *cel_map_get(const CelMap *map, CelValue key);
/* Code points of a STRING. */
size_t cel_string_size(CelValue text);
/* Roughly what copying or comparing it costs, in units of one node; at most @limit is looked at, and what reaches it may be far more: parts
 * that are shared count each time. */
size_t cel_weight(CelValue value, size_t limit);

#endif
