/* Classes as agents declare them: from Matahari's schema XML (schemas/), from a schema map on the wire, and to both.
 * Immutable and counted after loading. Thread: any. */
#ifndef MEND_QMF_SCHEMA_H
#define MEND_QMF_SCHEMA_H

#include "lib/qmf/message.h"

typedef enum { QMF_TYPE_VOID, QMF_TYPE_BOOL, QMF_TYPE_INT, QMF_TYPE_FLOAT, QMF_TYPE_STRING, QMF_TYPE_MAP, QMF_TYPE_LIST,
               QMF_TYPE_UUID, QMF_TYPE_N } QmfType;
typedef enum { QMF_DIR_IN = 1, QMF_DIR_OUT = 2, QMF_DIR_IN_OUT = 3 } QmfDirection;
typedef enum { QMF_ACCESS_READ_ONLY, QMF_ACCESS_READ_WRITE, QMF_ACCESS_READ_CREATE } QmfAccess;

typedef struct QmfProperty { /* of a class, or an argument of a method */
    char *name, *unit, *description, *subtype;
    QmfType type;
    ValueType wire;      /* what we send: uint32 -> VALUE_UINT32 … */
    QmfAccess access;
    QmfDirection direction;
    bool index, optional;
} QmfProperty;

typedef struct QmfMethod {
    char *name, *description;
    QmfProperty *arguments;
    size_t n_arguments;
} QmfMethod;

typedef struct QmfClass {
    char *package, *name, *description;
    bool event;
    int severity;        /* default of an event, 0 … 7 */
    uint8_t hash[16];    /* over the content; stable */
    QmfProperty *properties;
    size_t n_properties;
    QmfMethod *methods;
    size_t n_methods;
} QmfClass;

typedef struct QmfSchema QmfSchema; /* the classes of one or more files */

QmfSchema *qmf_schema_new(void);
QmfSchema *qmf_schema_ref(QmfSchema *schema);
void qmf_schema_unref(QmfSchema *schema);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmfSchema, qmf_schema_unref)
/* Adds the classes of one XML text; on error "file:line:column: what" and @schema is unchanged. */
bool qmf_schema_add_xml(QmfSchema *schema, const char *text, size_t length, const char *file, GError **error);
bool qmf_schema_add_file(QmfSchema *schema, const char *path, GError **error);
/* All of schemas/, compiled into the program. The same object every time. Borrowed. */
const QmfSchema *qmf_schema_builtin(void);
const QmfClass *qmf_schema_find(const QmfSchema *schema, const char *package /* NULL: any */, const char *name);
size_t qmf_schema_size(const QmfSchema *schema);
const QmfClass *qmf_schema_at(const QmfSchema *schema, size_t i);

const QmfMethod *qmf_class_method(const QmfClass *class, const char *name);
const QmfProperty *qmf_class_property(const QmfClass *class, const char *name);
Value *qmf_class_id(const QmfClass *class);     /* schema id map */
Value *qmf_class_to_map(const QmfClass *class); /* as a SCHEMA query answers it */
QmfClass *qmf_class_from_map(const Value *map, GError **error);
void qmf_class_free(QmfClass *class);

/* Kinds of types, as libqmf2 checks: any integer satisfies INT, string/binary/symbol satisfy STRING … */
bool qmf_type_accepts(QmfType type, const Value *value);
const char *qmf_type_name(QmfType type); /* "TYPE_INT" */
/* @values as the class declares them, each in its declared wire type; unknown names and wrong kinds are errors. (transfer full) */
Value *qmf_values_conform(const QmfProperty *properties, size_t n_properties, unsigned directions, const Value *values, GError **error);

#endif
