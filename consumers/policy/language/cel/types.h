/* Types while a program is checked, inside this folder. */
#ifndef MEND_CEL_TYPES_H
#define MEND_CEL_TYPES_H

#include "consumers/policy/language/cel/node.h"

bool cel_type_is_dyn(const CelType *type);
/* dyn is of every kind. */
bool cel_type_is(const CelType *type, CelKind kind);
/* LIST or MAP, in the program's arena; @key: of a MAP. */
const CelType *cel_type_new(Compile *c, CelKind kind, const CelType *key, const CelType *item);
/* Of a constant. */
const CelType *cel_type_of_kind(CelKind kind);

/* The type of an operator or call whose arguments have theirs; patterns and zones that are written out are prepared. False: they do not fit. */
bool cel_check_types(Compile *c, Node *node);

#endif
