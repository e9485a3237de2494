#include "lib/model/entity.h"

#include <string.h>

G_DEFINE_QUARK(mend-entity-error-quark, entity_error)

static const char *const entity_kinds[] = { [ENTITY_HOST] = "host", [ENTITY_VM] = "vm",           [ENTITY_SERVICE] = "service",
                                            [ENTITY_APP] = "app",   [ENTITY_STORAGE] = "storage", [ENTITY_AGENT] = "agent" };
G_STATIC_ASSERT(G_N_ELEMENTS(entity_kinds) == ENTITY_KIND_N);

const char *entity_kind_name(EntityKind kind)
{
    return entity_kinds[kind];
}

static bool kind_parse(const char *text, size_t length, EntityKind *ret)
{
    for (size_t i = 0; i < ENTITY_KIND_N; i++)
        if (strlen(entity_kinds[i]) == length && strncmp(entity_kinds[i], text, length) == 0) {
            *ret = (EntityKind) i;
            return true;
        }
    return false;
}

Entity *entity_parse(const char *path, GError **error)
{
    const char *slash = strchr(path, '/');
    EntityKind kind = ENTITY_KIND_N;

    if (slash == NULL || !kind_parse(path, (size_t) (slash - path), &kind)) {
        g_set_error(error, ENTITY_ERROR, ENTITY_ERROR_MALFORMED,
                    "\"%s\" names no entity: host/ID, vm/ID, service/VM/NAME, app/NAME, storage/ID or agent/NAME is wanted", path);
        return NULL;
    }
    const char *rest = slash + 1, *name = kind == ENTITY_SERVICE ? strchr(rest, '/') : NULL;
    if (*rest == '\0' || (kind == ENTITY_SERVICE && (name == NULL || name == rest || name[1] == '\0'))) {
        g_set_error(error, ENTITY_ERROR, ENTITY_ERROR_MALFORMED, "\"%s\" is incomplete: %s is wanted", path,
                    kind == ENTITY_SERVICE ? "service/VM/NAME" : "a name after the slash");
        return NULL;
    }
    Entity *entity = g_new0(Entity, 1);
    entity->kind = kind;
    entity->id = name == NULL ? g_strdup(rest) : g_strndup(rest, (gsize) (name - rest));
    entity->name = name == NULL ? NULL : g_strdup(name + 1);
    return entity;
}

bool entity_is_path(const char *path)
{
    const char *slash = strchr(path, '/');
    EntityKind kind;

    if (slash == NULL || slash[1] == '\0' || !kind_parse(path, (size_t) (slash - path), &kind))
        return false;
    const char *name = kind == ENTITY_SERVICE ? strchr(slash + 1, '/') : NULL;
    return kind != ENTITY_SERVICE || (name != NULL && name != slash + 1 && name[1] != '\0');
}

char *entity_path(EntityKind kind, const char *id, const char *name)
{
    return name == NULL ? g_strdup_printf("%s/%s", entity_kinds[kind], id) : g_strdup_printf("%s/%s/%s", entity_kinds[kind], id, name);
}

void entity_free(Entity *entity)
{
    if (entity == NULL)
        return;
    g_free(entity->id);
    g_free(entity->name);
    g_free(entity);
}

char *subject_escape(const char *word)
{
    GString *text = g_string_new(NULL);

    for (const unsigned char *c = (const unsigned char *) word; *c != '\0'; c++)
        if (*c <= ' ' || *c == 0x7f || strchr(".*#%", *c) != NULL)
            g_string_append_printf(text, "%%%02X", *c);
        else
            g_string_append_c(text, (char) *c);
    return g_string_free(text, FALSE);
}

char *subject_unescape(const char *word)
{
    char *text = g_uri_unescape_string(word, NULL);

    return text == NULL ? g_strdup(word) : text;
}
