/* An entity is a thing with health, written as a path: host/ID, vm/ID, service/VM/NAME, app/NAME, storage/ID, agent/NAME. */
#ifndef MEND_MODEL_ENTITY_H
#define MEND_MODEL_ENTITY_H

#include "lib/base/base.h"

typedef enum { ENTITY_HOST, ENTITY_VM, ENTITY_SERVICE, ENTITY_APP, ENTITY_STORAGE, ENTITY_AGENT, ENTITY_KIND_N } EntityKind;

typedef struct Entity {
    EntityKind kind;
    char *id;   /* of a service: the VM's */
    char *name; /* of a service; else NULL */
} Entity;

#define ENTITY_ERROR entity_error_quark()
GQuark entity_error_quark(void);
typedef enum { ENTITY_ERROR_MALFORMED } EntityError;

/* "service/VM/NAME": NAME may hold slashes. NULL: error names what is wrong. */
Entity *entity_parse(const char *path, GError **error);
bool entity_is_path(const char *path); /* whether entity_parse would take it; allocates nothing */
char *entity_path(EntityKind kind, const char *id, const char *name); /* caller frees */
void entity_free(Entity *entity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Entity, entity_free)
const char *entity_kind_name(EntityKind kind);

/* Subject words: '.', '*', '#', '%', blanks and control characters become %XX, so that topic wildcards keep their meaning. */
char *subject_escape(const char *word);   /* caller frees */
char *subject_unescape(const char *word); /* caller frees */

#endif
