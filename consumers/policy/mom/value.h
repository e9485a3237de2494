/* Values of MOM's rule language, and what its operators do with them. The language took its arithmetic, truth and comparison from Python 3, and
 * rules rely on it: / of two whole numbers is exact and gives a number with a point, "" 0 nil and empty lists are false, numbers and texts
 * do not compare, 3 * "ab" is "ababab". Whole numbers have 64 bits here and fail beyond; Python's have no bound.
 * Texts and lists live in an arena, which is what one evaluation may use. Thread: one per arena. */
#ifndef MEND_POLICY_MOM_VALUE_H
#define MEND_POLICY_MOM_VALUE_H

#include "lib/base/base.h"

typedef struct MomEntity MomEntity;
typedef struct MomDisk MomDisk;

typedef enum {
    MOM_NIL, MOM_BOOL, MOM_INT, MOM_FLOAT, MOM_TEXT, MOM_LIST,
    MOM_ENTITY, /* Host, a guest */
    MOM_DISK,   /* of a guest's io_tune */
    MOM_LIMITS, /* a disk's guaranteed, maximum, current */
    MOM_METHOD  /* something that can be called: guest.Control, abs */
} MomKind;

typedef struct MomValue {
    MomKind kind;
    uint32_t n;              /* TEXT: bytes; LIST: items; LIMITS: which; METHOD: a MomMethod */
    union {
        bool truth;
        int64_t i;
        double d;
        const char *text;    /* ends with 0, and may hold one */
        const struct MomValue *items;
        MomEntity *entity;
        MomDisk *disk;
    } as;
} MomValue;

typedef enum { MOM_FINE, MOM_TYPES, MOM_BY_ZERO, MOM_TOO_LARGE, MOM_NEGATIVE_SHIFT, MOM_NO_MEMORY, MOM_NO_TIME } MomFault;
const char *mom_fault_text(MomFault fault); /* for people, after "…: " */

#define MOM_ARENA_MAX (8u << 20)

typedef struct MomArena {
    GPtrArray *blocks;       /* owned memory */
    char *next;
    size_t left, used;
    uint64_t work;           /* steps that are left */
} MomArena;
void mom_arena_init(MomArena *arena, uint64_t work);
void mom_arena_clear(MomArena *arena);
void *mom_alloc(MomArena *arena, size_t size); /* NULL: MOM_ARENA_MAX reached */
bool mom_work(MomArena *arena, uint64_t steps); /* false: none are left */

#define MOM_NOTHING ((MomValue){ .kind = MOM_NIL })
MomValue mom_bool(bool truth);
MomValue mom_int(int64_t i);
MomValue mom_float(double d);
MomValue mom_text_of(const char *text, size_t n); /* borrows */
bool mom_text_is(MomValue value, const char *text);

typedef enum { MOM_ADD, MOM_SUB, MOM_MUL, MOM_DIV, MOM_SHL, MOM_SHR } MomArithmetic;
MomFault mom_arithmetic(MomArena *arena, MomArithmetic what, MomValue a, MomValue b, MomValue *ret);
typedef enum { MOM_LT, MOM_GT, MOM_LTE, MOM_GTE } MomOrder;
MomFault mom_order(MomArena *arena, MomOrder what, MomValue a, MomValue b, bool *ret);
MomFault mom_equal(MomArena *arena, MomValue a, MomValue b, bool *ret);
bool mom_truth(MomValue value);
MomFault mom_abs(MomValue value, MomValue *ret);
/* Whole, towards zero; nil, texts and what does not fit 64 bits: a fault. */
MomFault mom_whole(MomValue value, int64_t *ret);

/* "number 5", "nil", "text \"abc\"" for errors. Caller frees. */
char *mom_value_text(MomValue value);
/* Entities and methods have none: MOM_TYPES. Infinite numbers: MOM_TOO_LARGE. *ret (transfer full). */
MomFault mom_to_json(MomArena *arena, MomValue value, json_t **ret);
MomFault mom_from_json(MomArena *arena, const json_t *json, MomValue *ret);

#endif
