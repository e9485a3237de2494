/* Classes made while the agent runs: a schema map piece by piece, then a class that lives as long as the agent. Thread: the owner's. */
#ifndef MEND_GUEST_SCHEMA_MADE_H
#define MEND_GUEST_SCHEMA_MADE_H

#include "agents/guest/classes.h"

typedef struct SchemaMade { /* used up by schema_end */
    Value *map, *properties, *methods;
} SchemaMade;

SchemaMade schema_made(const char *package, const char *name, bool event);
/* To @list, the properties or a list of arguments. @direction: "I" or "O"; @access: "RO" or "RW". @description may be NULL. */
void schema_add(Value *list, const char *name, QmfType type, const char *direction, const char *access, const char *description);
void schema_add_method(SchemaMade *schema, const char *name, const char *description, Value *arguments /* (transfer full) */);
/* The class, kept with the context's own; the same one when it was made before with the same content. NULL: more members than a schema may
 * have. */
const QmfClass *schema_end(SchemaMade *schema, const ClassContext *context);

#endif
