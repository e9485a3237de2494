#ifndef MEND_BASE_UUID_H
#define MEND_BASE_UUID_H

#include "lib/base/base.h"

#define UUID_TEXT_SIZE 37 /* with the terminating 0 */

/* A new random UUID, lower case with dashes. Caller frees. */
char *uuid_new(void);
/* With or without dashes, any case, to the canonical form; NULL when it is no UUID. Caller frees. */
char *uuid_canonical(const char *text);
void uuid_from_bytes(const uint8_t bytes[16], char ret_text[UUID_TEXT_SIZE]);
/* The UUID that two texts always give: version 8, as RFC 9562 has it for one's own way of making them (SHA-256 of both, one after the other). */
void uuid_of_texts(const char *first, const char *second, char ret_text[UUID_TEXT_SIZE]);
bool uuid_to_bytes(const char *text, uint8_t ret_bytes[16]);

#endif
