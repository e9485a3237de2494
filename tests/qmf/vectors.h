/* The captured messages of tests/vectors: bytes as they were on the wire, the values a proven decoder found in them, with and
 * without their exact types. */
#ifndef MEND_TESTS_QMF_VECTORS_H
#define MEND_TESTS_QMF_VECTORS_H

#include "lib/qmf/message.h"

typedef struct Vector {
    char *name;      /* file and number */
    GBytes *bytes;
    const json_t *plain;   /* properties, application-properties, body; borrowed from ->file */
    const json_t *body;    /* with exact types: [type, value]; NULL: no body */
    bool form_b;           /* ->body is in AMQP 0-10 types */
    json_t *file;
} Vector;

void vector_free(Vector *vector);
/* All of tests/vectors/qmf2, or those whose name begins with @prefix. (transfer full) elements Vector. */
GPtrArray *vectors_load(const char *prefix);
/* tests/vectors/matahari/NAME: bytes from hex. */
GBytes *vector_hex(const char *path);
char *vectors_path(const char *rest);
/* Fails the test and names the place where @value is not what @plain says. */
void vector_check_plain(const char *name, const Value *value, const json_t *plain);
void vector_check_typed(const char *name, const Value *value, const json_t *typed, bool form_b);

#endif
