/* GMarkup and a few fields: the metadata has no names or entities that would need more. Unknown elements are passed over, since agents
 * add their own; an action twice (an agent that fences from several hosts lists "on" twice) is one action. */
#include "agents/host/fence/metadata.h"

#include <string.h>

#define PARAMETERS_MAX 500
#define ACTIONS_MAX    100
#define TEXT_MAX_BYTES 400

G_DEFINE_QUARK(mend-fence-metadata-error-quark, fence_metadata_error)

typedef struct Reading {
    FenceMetadata *metadata;
    FenceParameter *parameter; /* the one we are in, or NULL */
    GString *text;             /* of a shortdesc inside it, or NULL */
} Reading;

static void parameter_free(FenceParameter *parameter)
{
    g_free(parameter->name);
    g_free(parameter->type);
    g_free(parameter->fallback);
    g_free(parameter->meaning);
    g_free(parameter->obsoletes);
    g_free(parameter);
}

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return values[i];
    return NULL;
}

static bool is_set(const char *text)
{
    return g_strcmp0(text, "1") == 0 || g_strcmp0(text, "true") == 0;
}

static void begin_parameter(Reading *r, const char **names, const char **values, GError **error)
{
    const char *name = attribute(names, values, "name");

    if (name == NULL || *name == '\0') {
        g_set_error(error, FENCE_METADATA_ERROR, FENCE_METADATA_ERROR_MALFORMED, "a parameter has no name");
        return;
    }
    if (r->metadata->parameters->len >= PARAMETERS_MAX) {
        g_set_error(error, FENCE_METADATA_ERROR, FENCE_METADATA_ERROR_MALFORMED, "more than %d parameters", PARAMETERS_MAX);
        return;
    }
    r->parameter = g_new0(FenceParameter, 1);
    r->parameter->name = g_strdup(name);
    r->parameter->type = g_strdup("string");
    r->parameter->meaning = g_strdup("");
    r->parameter->obsoletes = g_strdup(attribute(names, values, "obsoletes"));
    r->parameter->required = is_set(attribute(names, values, "required"));
    r->parameter->deprecated = is_set(attribute(names, values, "deprecated"));
    g_ptr_array_add(r->metadata->parameters, r->parameter);
}

static void begin_content(FenceParameter *parameter, const char **names, const char **values)
{
    const char *type = attribute(names, values, "type");

    if (type != NULL) {
        g_free(parameter->type);
        parameter->type = g_strdup(type);
    }
    g_free(parameter->fallback);
    parameter->fallback = g_strdup(attribute(names, values, "default"));
}

static void begin_action(Reading *r, const char *name, GError **error)
{
    if (name == NULL || fence_metadata_can(r->metadata, name))
        return;
    if (r->metadata->actions->len >= ACTIONS_MAX)
        g_set_error(error, FENCE_METADATA_ERROR, FENCE_METADATA_ERROR_MALFORMED, "more than %d actions", ACTIONS_MAX);
    else
        g_ptr_array_add(r->metadata->actions, g_strdup(name));
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names, const char **values, void *user, GError **error)
{
    Reading *r = user;

    if (strcmp(element, "resource-agent") == 0 && r->metadata->name == NULL) {
        r->metadata->name = g_strdup(attribute(names, values, "name"));
        g_free(r->metadata->shortdesc); /* of one before it that had no name */
        r->metadata->shortdesc = g_strdup(attribute(names, values, "shortdesc"));
    } else if (strcmp(element, "parameter") == 0) {
        begin_parameter(r, names, values, error);
    } else if (strcmp(element, "content") == 0 && r->parameter != NULL) {
        begin_content(r->parameter, names, values);
    } else if (strcmp(element, "shortdesc") == 0 && r->parameter != NULL && r->text == NULL) {
        r->text = g_string_new(NULL);
    } else if (strcmp(element, "action") == 0) {
        begin_action(r, attribute(names, values, "name"), error);
    }
}

static void on_end(GMarkupParseContext *context, const char *element, void *user, GError **error)
{
    Reading *r = user;

    if (strcmp(element, "parameter") == 0) {
        r->parameter = NULL;
    } else if (strcmp(element, "shortdesc") == 0 && r->text != NULL) {
        if (r->parameter != NULL) {
            g_free(r->parameter->meaning);
            r->parameter->meaning = g_strstrip(g_strdup(r->text->str));
        }
        g_string_free(g_steal_pointer(&r->text), TRUE);
    }
}

static void on_text(GMarkupParseContext *context, const char *text, gsize n_bytes, void *user, GError **error)
{
    Reading *r = user;

    if (r->text != NULL && r->text->len + n_bytes <= TEXT_MAX_BYTES)
        g_string_append_len(r->text, text, (gssize) n_bytes);
}

void fence_metadata_free(FenceMetadata *metadata)
{
    if (metadata == NULL)
        return;
    g_free(metadata->name);
    g_free(metadata->shortdesc);
    g_ptr_array_unref(metadata->parameters);
    g_ptr_array_unref(metadata->actions);
    g_free(metadata);
}

static bool is_whole(const FenceMetadata *metadata, GError **error)
{
    const char *missing = metadata->name == NULL ? "no resource-agent with a name" : metadata->actions->len == 0 ? "no action" : NULL;

    if (missing != NULL)
        g_set_error(error, FENCE_METADATA_ERROR, FENCE_METADATA_ERROR_MALFORMED, "%s in what should be a fence agent's metadata", missing);
    return missing == NULL;
}

FenceMetadata *fence_metadata_parse(const char *xml, size_t n_bytes, GError **error)
{
    static const GMarkupParser parser = { on_start, on_end, on_text, NULL, NULL };
    g_autoptr(FenceMetadata) metadata = g_new0(FenceMetadata, 1);
    const char *begin = n_bytes > 0 ? memchr(xml, '<', n_bytes) : NULL;
    Reading reading = { .metadata = metadata };
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, &reading, NULL);
    bool read;

    metadata->parameters = g_ptr_array_new_with_free_func((GDestroyNotify) parameter_free);
    metadata->actions = g_ptr_array_new_with_free_func(g_free);
    if (begin == NULL || n_bytes > FENCE_METADATA_MAX_BYTES) {
        g_set_error(error, FENCE_METADATA_ERROR, FENCE_METADATA_ERROR_MALFORMED, begin == NULL ? "no XML" : "more than %d bytes of metadata",
                    FENCE_METADATA_MAX_BYTES);
        return NULL;
    }
    read = g_markup_parse_context_parse(context, begin, (gssize) (n_bytes - (size_t) (begin - xml)), error) &&
           g_markup_parse_context_end_parse(context, error);
    if (reading.text != NULL)
        g_string_free(reading.text, TRUE);
    return read && is_whole(metadata, error) ? g_steal_pointer(&metadata) : NULL;
}

const FenceParameter *fence_metadata_parameter(const FenceMetadata *metadata, const char *name)
{
    for (guint i = 0; i < metadata->parameters->len; i++) {
        const FenceParameter *parameter = metadata->parameters->pdata[i];

        if (strcmp(parameter->name, name) == 0)
            return parameter;
    }
    return NULL;
}

bool fence_metadata_can(const FenceMetadata *metadata, const char *action)
{
    for (guint i = 0; i < metadata->actions->len; i++)
        if (strcmp(metadata->actions->pdata[i], action) == 0)
            return true;
    return false;
}

const FenceParameter *fence_metadata_plug(const FenceMetadata *metadata)
{
    const FenceParameter *plug = fence_metadata_parameter(metadata, "plug");

    return plug != NULL ? plug : fence_metadata_parameter(metadata, "port");
}

const char **fence_metadata_names(const FenceMetadata *metadata)
{
    const char **names = g_new0(const char *, metadata->parameters->len + 1);

    for (guint i = 0; i < metadata->parameters->len; i++)
        names[i] = ((const FenceParameter *) metadata->parameters->pdata[i])->name;
    return names;
}

bool fence_name_is_secret(const char *parameter)
{
    static const char *const words[] = { "passw", "secret", "token", "api_key", "apikey", "community", "hexadecimal_kg", "private_key", NULL };
    static const char *const places[] = { "_script", "_file", "_path", "-script", "-file", "-path", "_timeout", NULL };
    g_autofree char *name = g_ascii_strdown(parameter, -1);

    for (size_t i = 0; places[i] != NULL; i++)
        if (g_str_has_suffix(name, places[i]))
            return false;
    for (size_t i = 0; words[i] != NULL; i++)
        if (strstr(name, words[i]) != NULL)
            return true;
    return false;
}
