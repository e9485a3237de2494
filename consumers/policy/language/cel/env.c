/* What may be named. An object ("event") is nothing but the names that begin with it and a dot, so that a field costs one answer and no value for
 * the whole object is ever made. */
#include "consumers/policy/language/cel/node.h"

#include "lib/base/settings.h"

G_DEFINE_QUARK(mend-cel-parse-error-quark, cel_parse_error)

#define SCALAR(id, k) const CelType cel_##id = { .shape = CEL_TYPE_SCALAR, .kind = CEL_##k }
const CelType cel_dyn = { .shape = CEL_TYPE_DYN };
SCALAR(null_type, NULL);
SCALAR(bool_type, BOOL);
SCALAR(int_type, INT);
SCALAR(uint_type, UINT);
SCALAR(double_type, DOUBLE);
SCALAR(string_type, STRING);
SCALAR(bytes_type, BYTES);
SCALAR(timestamp_type, TIMESTAMP);
SCALAR(duration_type, DURATION);
SCALAR(type_type, TYPE);
#undef SCALAR
const CelType cel_list_of_dyn = { .shape = CEL_TYPE_LIST, .kind = CEL_LIST, .item = &cel_dyn };
const CelType cel_list_of_string = { .shape = CEL_TYPE_LIST, .kind = CEL_LIST, .item = &cel_string_type };
const CelType cel_map_of_dyn = { .shape = CEL_TYPE_MAP, .kind = CEL_MAP, .key = &cel_string_type, .item = &cel_dyn };

typedef struct Object {
    GPtrArray *fields;      /* of const char *, borrowed from the names */
    const CelType *open;    /* of what is not declared; NULL: nothing else is there */
    int open_tag;
} Object;

struct CelEnv {
    gint refs;
    bool checked;
    GHashTable *names;      /* label → CelName, owned */
    GHashTable *objects;    /* "event" → Object, owned; "" has the names without a dot and the objects */
};

static void name_free(void *user)
{
    CelName *name = user;

    g_free((char *) name->label);
    g_free((char *) name->object);
    g_free((char *) name->field);
    g_free(name);
}

static void object_free(void *user)
{
    Object *object = user;

    g_ptr_array_unref(object->fields);
    g_free(object);
}

CelEnv *cel_env_new(bool checked)
{
    CelEnv *env = g_new0(CelEnv, 1);

    env->refs = 1;
    env->checked = checked;
    env->names = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, name_free);
    env->objects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, object_free);
    return env;
}

CelEnv *cel_env_ref(CelEnv *env)
{
    g_atomic_int_inc(&env->refs);
    return env;
}

void cel_env_unref(CelEnv *env)
{
    if (env == NULL || !g_atomic_int_dec_and_test(&env->refs))
        return;
    g_hash_table_unref(env->names);
    g_hash_table_unref(env->objects);
    g_free(env);
}

static Object *object_of(CelEnv *env, const char *name)
{
    Object *object = g_hash_table_lookup(env->objects, name);

    if (object == NULL) {
        object = g_new0(Object, 1);
        object->fields = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_insert(env->objects, g_strdup(name), object);
        if (*name != '\0')
            g_ptr_array_add(object_of(env, "")->fields, g_strdup(name));
    }
    return object;
}

void cel_env_add(CelEnv *env, const char *label, const CelType *type, int tag)
{
    const char *dot = strrchr(label, '.');
    CelName *name = g_new0(CelName, 1);

    name->label = g_strdup(label);
    name->object = dot == NULL ? g_strdup("") : g_strndup(label, (gsize) (dot - label));
    name->field = g_strdup(dot == NULL ? label : dot + 1);
    name->type = type;
    name->tag = tag;
    g_hash_table_replace(env->names, (char *) name->label, name);
    g_ptr_array_add(object_of(env, name->object)->fields, g_strdup(name->field));
}

void cel_env_size(CelEnv *env, const char *label, size_t bytes, size_t items)
{
    CelName *name = g_hash_table_lookup(env->names, label);

    g_return_if_fail(name != NULL);
    name->bytes = bytes;
    name->items = items;
}

void cel_env_add_open(CelEnv *env, const char *object, const CelType *type, int tag)
{
    Object *o = object_of(env, object);

    o->open = type;
    o->open_tag = tag;
}

bool cel_env_checked(const CelEnv *env)
{
    return env->checked;
}

const CelName *cel_env_find(const CelEnv *env, const char *label, CelArena *arena)
{
    const CelName *known = g_hash_table_lookup(env->names, label);
    const char *dot = strrchr(label, '.');

    if (known != NULL || dot == NULL)
        return known;
    g_autofree char *prefix = g_strndup(label, (gsize) (dot - label));
    const Object *object = g_hash_table_lookup(env->objects, prefix);
    if (object == NULL || object->open == NULL)
        return NULL;
    CelName *name = cel_alloc(arena, sizeof *name);
    *name = (CelName){ .label = cel_alloc_text(arena, label, strlen(label)), .object = cel_alloc_text(arena, prefix, strlen(prefix)),
                       .type = object->open, .tag = object->open_tag };
    name->field = name->label + (dot - label) + 1;
    return name;
}

bool cel_env_is_object(const CelEnv *env, const char *object)
{
    return *object != '\0' && g_hash_table_contains(env->objects, object);
}

const char *cel_env_nearest(const CelEnv *env, const char *object, const char *field)
{
    const Object *o = g_hash_table_lookup(env->objects, object);

    if (o == NULL)
        return NULL;
    g_autofree const char **known = g_new0(const char *, o->fields->len + 1);
    memcpy(known, o->fields->pdata, o->fields->len * sizeof *known);
    return nearest_word(field, known);
}

char *cel_env_beginnings(const CelEnv *env)
{
    const Object *o = g_hash_table_lookup(env->objects, "");
    GString *text = g_string_new(NULL);

    for (guint i = 0; o != NULL && i < o->fields->len && text->len < 60; i++)
        g_string_append_printf(text, "%s%s", i == 0 ? "" : ", ", (const char *) o->fields->pdata[i]);
    return g_string_free(text, FALSE);
}
