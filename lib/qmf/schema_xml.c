/* GMarkup reads the text and tells what it found, but not where: its position is that of the next thing to read. So this file walks the
 * same text beside it. GMarkup reports start tags in the order of the text; for each report tag_find() moves to the next start tag,
 * over comments and the like, and that is the place of the element. An attribute's place is looked up in the tag when there is
 * something to complain about.
 *
 * Everything a schema may say is in three tables: the elements with their parents and attributes, the types, and the words for
 * severities, accesses and directions. What is not in a table is an error that names the nearest thing that is. */
#include "lib/qmf/schema_xml.h"

#include "lib/base/settings.h"

#include <string.h>

#define CLASSES_MAX 1000
#define MEMBERS_MAX 1000 /* properties, methods, arguments of one thing */

typedef struct Loader {
    const char *text, *end, *file;
    const char *scan;      /* everything before was reported */
    const char *tag;       /* '<' of the element being started */
    char *package;
    GPtrArray *classes;    /* QmfClass, finished */
    QmfClass *class;       /* open <class>, or NULL */
    GArray *properties, *methods, *arguments, *event_arguments;
    QmfMethod method;      /* open <method>, without its arguments */
} Loader;

/* --- places and errors --- */

static const char *skip_past(const Loader *l, const char *at, const char *what)
{
    const char *found = g_strstr_len(at, l->end - at, what);

    return found == NULL ? l->end : found + strlen(what);
}

/* From inside a start tag to behind its '>'. */
static const char *tag_end(const Loader *l, const char *at)
{
    char quote = '\0';

    for (; at < l->end; at++) {
        if (quote != '\0')
            quote = *at == quote ? '\0' : quote;
        else if (*at == '"' || *at == '\'')
            quote = *at;
        else if (*at == '>')
            return at + 1;
    }
    return l->end;
}

static void tag_find(Loader *l)
{
    const char *at = l->scan;

    while (at < l->end && (at = memchr(at, '<', (size_t) (l->end - at))) != NULL) {
        size_t left = (size_t) (l->end - at);

        if (left >= 4 && strncmp(at, "<!--", 4) == 0)
            at = skip_past(l, at, "-->");
        else if (left >= 9 && strncmp(at, "<![CDATA[", 9) == 0)
            at = skip_past(l, at, "]]>");
        else if (left >= 2 && at[1] == '?')
            at = skip_past(l, at, "?>");
        else if (left >= 2 && (at[1] == '!' || at[1] == '/'))
            at = skip_past(l, at, ">");
        else {
            l->tag = at;
            l->scan = tag_end(l, at);
            return;
        }
    }
}

static void fail_at(const Loader *l, const char *at, GError **error, QmfErrorCode code, const char *what)
{
    unsigned line = 1;
    const char *start = l->text;

    for (const char *p = l->text; p < at; p++)
        if (*p == '\n') {
            line++;
            start = p + 1;
        }
    g_set_error(error, QMF_ERROR, (int) code, "%s:%u:%ld: %s", l->file, line, g_utf8_strlen(start, at - start) + 1, what);
}

static bool fail_tag(const Loader *l, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool fail_tag(const Loader *l, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fail_at(l, l->tag, error, QMF_ERROR_SCHEMA, what);
    return false;
}

/* Where @attribute stands in the current tag; the tag itself when it is not there. */
static const char *attribute_place(const Loader *l, const char *attribute)
{
    const char *at = l->tag, *end = tag_end(l, at);
    size_t length = strlen(attribute);

    while (at < end && !g_ascii_isspace(*at))
        at++;
    while (at < end) {
        char quote;

        while (at < end && g_ascii_isspace(*at))
            at++;
        if ((size_t) (end - at) > length && strncmp(at, attribute, length) == 0 && (at[length] == '=' || g_ascii_isspace(at[length])))
            return at;
        while (at < end && *at != '"' && *at != '\'')
            at++;
        if (at == end)
            break;
        quote = *at++;
        while (at < end && *at != quote)
            at++;
        at++;
    }
    return l->tag;
}

static bool fail_attribute(const Loader *l, const char *attribute, GError **error, const char *format, ...) G_GNUC_PRINTF(4, 5);
static bool fail_attribute(const Loader *l, const char *attribute, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fail_at(l, attribute_place(l, attribute), error, QMF_ERROR_SCHEMA, what);
    return false;
}

/* "; did you mean \"x\"?" or "". Caller frees. */
static char *suggestion(const char *word, const char *const *known)
{
    const char *near = strlen(word) > 2 ? nearest_word(word, known) : NULL; /* of two letters everything is near */

    return near == NULL ? g_strdup("") : g_strdup_printf("; did you mean \"%s\"?", near);
}

/* --- words --- */

typedef struct TypeRow {
    const char *name;
    QmfType type;
    ValueType wire;
    const char *subtype;
} TypeRow;

static const TypeRow types[] = {
    { "sstr", QMF_TYPE_STRING, VALUE_STRING, NULL },      { "lstr", QMF_TYPE_STRING, VALUE_STRING, NULL },
    { "bool", QMF_TYPE_BOOL, VALUE_BOOL, NULL },          { "map", QMF_TYPE_MAP, VALUE_MAP, NULL },
    { "list", QMF_TYPE_LIST, VALUE_LIST, NULL },          { "uuid", QMF_TYPE_UUID, VALUE_UUID, NULL },
    { "float", QMF_TYPE_FLOAT, VALUE_FLOAT, NULL },       { "double", QMF_TYPE_FLOAT, VALUE_DOUBLE, NULL },
    { "uint8", QMF_TYPE_INT, VALUE_UINT8, NULL },         { "uint16", QMF_TYPE_INT, VALUE_UINT16, NULL },
    { "uint32", QMF_TYPE_INT, VALUE_UINT32, NULL },       { "uint64", QMF_TYPE_INT, VALUE_UINT64, NULL },
    { "int8", QMF_TYPE_INT, VALUE_INT8, NULL },           { "int16", QMF_TYPE_INT, VALUE_INT16, NULL },
    { "int32", QMF_TYPE_INT, VALUE_INT32, NULL },         { "int64", QMF_TYPE_INT, VALUE_INT64, NULL },
    { "count8", QMF_TYPE_INT, VALUE_UINT8, NULL },        { "count16", QMF_TYPE_INT, VALUE_UINT16, NULL },
    { "count32", QMF_TYPE_INT, VALUE_UINT32, NULL },      { "count64", QMF_TYPE_INT, VALUE_UINT64, NULL },
    { "absTime", QMF_TYPE_INT, VALUE_UINT64, "abstime" }, { "deltaTime", QMF_TYPE_INT, VALUE_UINT64, "deltatime" },
    { "objId", QMF_TYPE_MAP, VALUE_MAP, "reference" },
};

/* In the order of their numbers. */
static const char *const severities[] = { "emerg", "alert", "crit", "error", "warn", "notice", "inform", "debug", NULL };
static const char *const accesses[] = { "RO", "RW", "RC", NULL };
static const char *const directions[] = { "I", "O", "IO", NULL };

static bool word_index(const Loader *l, const char *attribute, const char *word, const char *const *known, int *ret, GError **error)
{
    for (int i = 0; known[i] != NULL; i++)
        if (strcmp(known[i], word) == 0) {
            *ret = i;
            return true;
        }
    g_autofree char *near = suggestion(word, known), *list = g_strjoinv(" ", (char **) known);
    return fail_attribute(l, attribute, error, "%s=\"%s\" is none of: %s%s", attribute, word, list, near);
}

static bool type_find(const Loader *l, const char *name, QmfProperty *property, GError **error)
{
    const char *known[G_N_ELEMENTS(types) + 1] = { NULL };

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        known[i] = types[i].name;
        if (strcmp(types[i].name, name) == 0) {
            property->type = types[i].type;
            property->wire = types[i].wire;
            property->subtype = g_strdup(types[i].subtype);
            return true;
        }
    }
    g_autofree char *near = suggestion(name, known);
    return fail_attribute(l, "type", error, "unknown type \"%s\"%s", name, near);
}

/* --- elements --- */

typedef struct Attributes {
    const char **names, **values;
} Attributes;

static const char *attribute(const Attributes *a, const char *name)
{
    for (size_t i = 0; a->names[i] != NULL; i++)
        if (strcmp(a->names[i], name) == 0)
            return a->values[i];
    return NULL;
}

static bool yes(const char *text)
{
    return text != NULL && (*text == 'y' || *text == 'Y' || *text == '1' || *text == 't');
}

static GArray *properties_new(void)
{
    GArray *array = g_array_new(FALSE, TRUE, sizeof(QmfProperty));

    g_array_set_clear_func(array, (GDestroyNotify) schema_property_done);
    return array;
}

/* Hands the elements over and leaves an empty array. */
static void *take_all(GArray *array, size_t *ret_n)
{
    void *copy = g_memdup2(array->data, array->len * g_array_get_element_size(array));

    *ret_n = array->len;
    if (array->len == 0)
        return NULL;
    memset(array->data, 0, array->len * g_array_get_element_size(array)); /* so that clearing frees nothing */
    g_array_set_size(array, 0);
    return copy;
}

static bool member_fits(const Loader *l, const GArray *array, size_t name_offset, const char *name, GError **error)
{
    for (guint i = 0; i < array->len; i++)
        if (strcmp(G_STRUCT_MEMBER(char *, array->data + i * g_array_get_element_size((GArray *) array), name_offset), name) == 0)
            return fail_attribute(l, "name", error, "\"%s\" is declared twice", name);
    if (array->len >= MEMBERS_MAX)
        return fail_tag(l, error, "more than %d of these", MEMBERS_MAX);
    return true;
}

static bool member_add(Loader *l, GArray *array, const Attributes *a, GError **error)
{
    QmfProperty property = { .direction = QMF_DIR_IN, .index = yes(attribute(a, "index")), .optional = yes(attribute(a, "optional")) };
    const char *name = attribute(a, "name"), *access = attribute(a, "access"), *direction = attribute(a, "dir");
    int word = 0;

    if (!member_fits(l, array, G_STRUCT_OFFSET(QmfProperty, name), name, error))
        return false;
    if (access != NULL) {
        if (!word_index(l, "access", access, accesses, &word, error))
            return false;
        property.access = (QmfAccess) word;
    }
    if (direction != NULL) {
        if (!word_index(l, "dir", direction, directions, &word, error))
            return false;
        property.direction = (QmfDirection) (word + 1);
    }
    if (!type_find(l, attribute(a, "type"), &property, error))
        return false;
    property.name = g_strdup(name);
    property.unit = g_strdup(attribute(a, "unit"));
    property.description = g_strdup(attribute(a, "desc"));
    g_array_append_val(array, property);
    return true;
}

static bool start_schema(Loader *l, const Attributes *a, GError **error)
{
    if (l->package != NULL)
        return fail_tag(l, error, "a second <schema>; one file has one");
    l->package = g_strdup(attribute(a, "package"));
    return true;
}

static QmfClass *class_new(Loader *l, const Attributes *a, GError **error)
{
    const char *name = attribute(a, "name");
    QmfClass *class;

    for (guint i = 0; i < l->classes->len; i++)
        if (strcmp(((const QmfClass *) l->classes->pdata[i])->name, name) == 0)
            return fail_attribute(l, "name", error, "\"%s\" is declared twice", name), NULL;
    if (l->classes->len >= CLASSES_MAX)
        return fail_tag(l, error, "more than %d classes", CLASSES_MAX), NULL;
    class = g_new0(QmfClass, 1);
    class->package = g_strdup(l->package);
    class->name = g_strdup(name);
    class->description = g_strdup(attribute(a, "desc"));
    class->severity = -1;
    return class;
}

static bool start_class(Loader *l, const Attributes *a, GError **error)
{
    l->class = class_new(l, a, error);
    return l->class != NULL;
}

static bool start_property(Loader *l, const Attributes *a, GError **error)
{
    return member_add(l, l->properties, a, error);
}

static bool start_method(Loader *l, const Attributes *a, GError **error)
{
    if (!member_fits(l, l->methods, G_STRUCT_OFFSET(QmfMethod, name), attribute(a, "name"), error))
        return false;
    l->method.name = g_strdup(attribute(a, "name"));
    l->method.description = g_strdup(attribute(a, "desc"));
    return true;
}

static bool start_arg(Loader *l, const Attributes *a, GError **error)
{
    bool of_method = l->method.name != NULL;

    if (of_method && attribute(a, "dir") == NULL)
        return fail_tag(l, error, "<arg name=\"%s\"> of a method needs dir= (I, O or IO)", attribute(a, "name"));
    return member_add(l, of_method ? l->arguments : l->event_arguments, a, error);
}

static bool start_nothing(Loader *l, const Attributes *a, GError **error)
{
    return true;
}

static bool event_argument_add(Loader *l, GArray *properties, const char *name, GError **error)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (guint i = 0; i < l->event_arguments->len; i++) {
        const QmfProperty *from = &g_array_index(l->event_arguments, QmfProperty, i);
        QmfProperty copy = *from;

        g_ptr_array_add(known, from->name);
        if (strcmp(from->name, name) != 0)
            continue;
        if (!member_fits(l, properties, G_STRUCT_OFFSET(QmfProperty, name), name, error))
            return false;
        copy.name = g_strdup(from->name);
        copy.unit = g_strdup(from->unit);
        copy.description = g_strdup(from->description);
        copy.subtype = g_strdup(from->subtype);
        g_array_append_val(properties, copy);
        return true;
    }
    g_ptr_array_add(known, NULL);
    g_autofree char *near = suggestion(name, (const char *const *) known->pdata);
    return fail_attribute(l, "args", error, "\"%s\" is not in <eventArguments> above%s", name, near);
}

static bool start_event(Loader *l, const Attributes *a, GError **error)
{
    const char *severity = attribute(a, "sev");
    g_auto(GStrv) names = g_strsplit(attribute(a, "args"), ",", MEMBERS_MAX + 1);
    g_autoptr(GArray) properties = properties_new();
    QmfClass *event;
    int word = 6;

    if (severity != NULL && !word_index(l, "sev", severity, severities, &word, error))
        return false;
    for (size_t i = 0; names[i] != NULL; i++)
        if (*g_strstrip(names[i]) != '\0' && !event_argument_add(l, properties, names[i], error))
            return false;
    event = class_new(l, a, error);
    if (event == NULL)
        return false;
    event->event = true;
    event->severity = word;
    event->properties = take_all(properties, &event->n_properties);
    g_ptr_array_add(l->classes, event);
    return true;
}

#define ATTRIBUTES_MAX 14
typedef struct ElementRow {
    const char *name, *parents; /* space separated; "" is the top */
    unsigned needed;            /* how many of the attributes must be there */
    const char *attributes[ATTRIBUTES_MAX];
    bool (*start)(Loader *l, const Attributes *a, GError **error);
} ElementRow;

static const ElementRow elements[] = {
    { "schema", "", 1, { "package" }, start_schema },
    { "eventArguments", "schema", 0, { NULL }, start_nothing },
    { "event", "schema", 2, { "name", "args", "sev", "desc" }, start_event },
    { "class", "schema", 1, { "name", "desc" }, start_class },
    { "property", "class", 2, { "name", "type", "access", "unit", "desc", "index", "optional", "references", "parentRef", "min", "max",
                                "maxlen" }, start_property },
    { "statistic", "class", 2, { "name", "type", "unit", "desc", "assign" }, start_property },
    { "method", "class", 1, { "name", "desc" }, start_method },
    { "arg", "method eventArguments", 2, { "name", "type", "dir", "unit", "desc", "default", "references", "min", "max", "maxlen" },
      start_arg },
};

static const ElementRow *element_find(const Loader *l, const char *name, GError **error)
{
    const char *known[G_N_ELEMENTS(elements) + 1] = { NULL };

    for (size_t i = 0; i < G_N_ELEMENTS(elements); i++) {
        known[i] = elements[i].name;
        if (strcmp(elements[i].name, name) == 0)
            return &elements[i];
    }
    g_autofree char *near = suggestion(name, known);
    fail_tag(l, error, "unknown element <%s>%s", name, near);
    return NULL;
}

static bool parent_right(const Loader *l, const ElementRow *row, const char *parent, GError **error)
{
    g_auto(GStrv) parents = g_strsplit(row->parents, " ", 0);

    if (*row->parents == '\0' ? *parent == '\0' : g_strv_contains((const char *const *) parents, parent))
        return true;
    if (*parent == '\0')
        return fail_tag(l, error, "<%s> at the top, want <schema>", row->name);
    if (*row->parents == '\0')
        return fail_tag(l, error, "<%s> inside <%s>, want it at the top", row->name, parent);
    g_autofree char *wanted = g_strjoinv("> or <", parents);
    return fail_tag(l, error, "<%s> inside <%s>, want it inside <%s>", row->name, parent, wanted);
}

static bool attributes_right(const Loader *l, const ElementRow *row, const Attributes *a, GError **error)
{
    for (size_t i = 0; a->names[i] != NULL; i++) {
        if (!g_strv_contains(row->attributes, a->names[i])) {
            g_autofree char *near = suggestion(a->names[i], row->attributes);
            return fail_attribute(l, a->names[i], error, "<%s> has no attribute \"%s\"%s", row->name, a->names[i], near);
        }
    }
    for (unsigned i = 0; i < row->needed; i++) {
        const char *value = attribute(a, row->attributes[i]);

        if (value == NULL)
            return fail_tag(l, error, "<%s> needs %s=", row->name, row->attributes[i]);
        if (*value == '\0' && strcmp(row->attributes[i], "args") != 0)
            return fail_attribute(l, row->attributes[i], error, "%s= is empty", row->attributes[i]);
        if (strlen(value) > UINT8_MAX && strcmp(row->attributes[i], "args") != 0)
            return fail_attribute(l, row->attributes[i], error, "%s= is longer than 255 bytes", row->attributes[i]);
    }
    return true;
}

static void on_start(GMarkupParseContext *context, const char *name, const char **names, const char **values, void *user,
                     GError **error)
{
    Loader *l = user;
    const GSList *stack = g_markup_parse_context_get_element_stack(context);
    const char *parent = stack == NULL || stack->next == NULL ? "" : stack->next->data;
    Attributes attributes = { names, values };
    const ElementRow *row;

    tag_find(l);
    row = element_find(l, name, error);
    if (row != NULL && parent_right(l, row, parent, error) && attributes_right(l, row, &attributes, error))
        row->start(l, &attributes, error);
}

static void on_end(GMarkupParseContext *context, const char *name, void *user, GError **error)
{
    Loader *l = user;

    if (strcmp(name, "method") == 0) {
        l->method.arguments = take_all(l->arguments, &l->method.n_arguments);
        g_array_append_val(l->methods, l->method);
        memset(&l->method, 0, sizeof l->method);
    } else if (strcmp(name, "class") == 0) {
        l->class->properties = take_all(l->properties, &l->class->n_properties);
        l->class->methods = take_all(l->methods, &l->class->n_methods);
        g_ptr_array_add(l->classes, g_steal_pointer(&l->class));
    }
}

static void on_text(GMarkupParseContext *context, const char *text, gsize length, void *user, GError **error)
{
    Loader *l = user;

    for (gsize i = 0; i < length; i++)
        if (!g_ascii_isspace(text[i])) {
            const char *at = g_strstr_len(l->scan, l->end - l->scan, (char[]) { text[i], '\0' });

            fail_at(l, at == NULL ? l->scan : at, error, QMF_ERROR_SCHEMA, "text between elements, want elements only");
            return;
        }
}

/* GMarkup's own errors begin with its idea of the place; ours is in our form. */
static void restate(const Loader *l, GMarkupParseContext *context, GError *problem, GError **error)
{
    int line, column;
    const char *what = strstr(problem->message, ": ");

    if (problem->domain == QMF_ERROR) {
        g_propagate_error(error, problem);
        return;
    }
    g_markup_parse_context_get_position(context, &line, &column);
    g_set_error(error, QMF_ERROR, QMF_ERROR_SCHEMA, "%s:%d:%d: not XML: %s", l->file, line, column,
                what == NULL ? problem->message : what + 2);
    g_error_free(problem);
}

static void loader_done(Loader *l)
{
    if (l->class != NULL)
        qmf_class_free(l->class);
    schema_method_done(&l->method);
    g_free(l->package);
    g_clear_pointer(&l->properties, g_array_unref);
    g_clear_pointer(&l->methods, g_array_unref);
    g_clear_pointer(&l->arguments, g_array_unref);
    g_clear_pointer(&l->event_arguments, g_array_unref);
    g_clear_pointer(&l->classes, g_ptr_array_unref);
}

GPtrArray *schema_xml_parse(const char *text, size_t length, const char *file, GError **error)
{
    static const GMarkupParser parser = { on_start, on_end, on_text, NULL, NULL };
    Loader l = { .text = text, .end = text + length, .file = file, .scan = text, .tag = text,
                 .classes = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_class_free),
                 .properties = properties_new(), .arguments = properties_new(), .event_arguments = properties_new(),
                 .methods = g_array_new(FALSE, TRUE, sizeof(QmfMethod)) };
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, G_MARKUP_DEFAULT_FLAGS, &l, NULL);
    GPtrArray *classes = NULL;
    GError *problem = NULL;

    g_array_set_clear_func(l.methods, (GDestroyNotify) schema_method_done);
    if (length > QMF_SCHEMA_BYTES_MAX)
        fail_at(&l, text, error, QMF_ERROR_LIMIT, "schema is larger than 1 MiB");
    else if (!g_markup_parse_context_parse(context, text, (gssize) length, &problem) ||
             !g_markup_parse_context_end_parse(context, &problem))
        restate(&l, context, problem, error);
    else
        classes = g_steal_pointer(&l.classes);
    g_markup_parse_context_free(context);
    loader_done(&l);
    return classes;
}
