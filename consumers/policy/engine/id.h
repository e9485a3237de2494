/* Ids that follow from what they name: the same parts give the same UUID, after a crash too, so what is repeated is recognised. */
#ifndef MEND_POLICY_ID_H
#define MEND_POLICY_ID_H

#include "lib/base/base.h"
#include "lib/base/uuid.h"

/* UUID version 5 (RFC 4122 §4.3) in a name space of our own over @what and @parts, NULL-terminated. Parts are kept apart: ("ab","c")
 * is not ("a","bc"). */
void id_derive(char ret_text[UUID_TEXT_SIZE], const char *what, ...) G_GNUC_NULL_TERMINATED;

#endif
