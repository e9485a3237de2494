#include "agents/guest/matahari/schema_made.h"

#include <string.h>

SchemaMade schema_made(const char *package, const char *name, bool event)
{
    SchemaMade schema = {value_map(), value_list(), value_list()};
    Value *id = value_map();

    value_set(id, "_package_name", value_string(package));
    value_set(id, "_class_name", value_string(name));
    value_set(id, "_type", value_string(event ? "_event" : "_data"));
    value_set(schema.map, "_schema_id", id);
    return schema;
}

void schema_add(Value *list, const char *name, QmfType type, const char *direction, const char *access, const char *description)
{
    Value *property = value_map();

    value_set(property, "_name", value_string(name));
    value_set(property, "_type", value_string(qmf_type_name(type)));
    value_set(property, "_dir", value_string(direction));
    value_set(property, "_access", value_string(access));
    if (description != NULL)
        value_set(property, "_desc", value_string(description));
    value_append(list, property);
}

void schema_add_method(SchemaMade *schema, const char *name, const char *description, Value *arguments)
{
    Value *method = value_map();

    value_set(method, "_name", value_string(name));
    if (description != NULL)
        value_set(method, "_desc", value_string(description));
    value_set(method, "_arguments", arguments);
    value_append(schema->methods, method);
}

const QmfClass *schema_end(SchemaMade *schema, const ClassContext *context)
{
    QmfClass *class;

    value_set(schema->map, "_properties", schema->properties);
    value_set(schema->map, "_methods", schema->methods);
    class = qmf_class_from_map(schema->map, NULL);
    g_clear_pointer(&schema->map, value_unref);
    if (class == NULL)
        return NULL;
    for (guint i = 0; i < context->own_classes->len; i++) {
        QmfClass *known = context->own_classes->pdata[i];

        if (strcmp(known->package, class->package) == 0 && strcmp(known->name, class->name) == 0 &&
            memcmp(known->hash, class->hash, sizeof class->hash) == 0) {
            qmf_class_free(class);
            return known;
        }
    }
    g_ptr_array_add(context->own_classes, class);
    return class;
}
