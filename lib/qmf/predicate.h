/* QMFv2 predicates: prefix lists evaluated over a map of attributes or properties.
 *
 *   predicate := [] | ["and"|"or"|"not", predicate…] | [OP, operand…]      OP: eq ne lt le gt ge (2) exists (1) true false (0) re_match (2)
 *   operand   := NAME (value of that attribute) | ["quote", literal]
 *
 * Pure. Thread: any. */
#ifndef MEND_QMF_PREDICATE_H
#define MEND_QMF_PREDICATE_H

#include "lib/qmf/message.h"

/* Refuses what could not be evaluated: unknown words, wrong number of operands, bare literals (QMF_ERROR_MALFORMED), too deep or too
 * large (QMF_ERROR_LIMIT). NULL, no list and the empty list are fine: they match everything. */
bool predicate_check(const Value *predicate, GError **error);
/* @predicate: one that predicate_check let pass. */
bool predicate_matches(const Value *predicate, const Value *attributes);

#endif
