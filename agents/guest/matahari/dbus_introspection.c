/* A service on the bus may be anybody's, and its introspection is the one thing GDBus itself parses for us. GLib 2.74's parser reads through a
 * null pointer when elements stand where they do not belong (a node inside a method), and takes names and types for what they say they
 * are, which ends a program when they are used. So the nesting is checked before it, and names and types after it. */
#include "agents/guest/matahari/dbus_introspection.h"

#include <string.h>

#define NAME_BYTES 255 /* of D-Bus, and of a key in QMF */
#define LEVELS_MAX 32

/* ---- before: the nesting ---- */

static const struct {
    const char *name, *parents[6]; /* "": the document itself */
} elements[] = {
    {"node", {"", "node"}},    {"interface", {"node"}},     {"method", {"interface"}},
    {"signal", {"interface"}}, {"property", {"interface"}}, {"arg", {"method", "signal"}},
    {"annotation", {"interface", "method", "signal", "property", "arg", "annotation"}},
};

/* 0 … : a row of elements; -1: another (documentation). */
static int row_of(const char *element)
{
    for (size_t i = 0; i < G_N_ELEMENTS(elements); i++)
        if (strcmp(elements[i].name, element) == 0)
            return (int) i;
    return -1;
}

static bool belongs(const char *element, const char *parent)
{
    int row = row_of(element);

    if (row < 0)
        return *parent != '\0';
    for (size_t i = 0; i < G_N_ELEMENTS(elements[row].parents) && elements[row].parents[i] != NULL; i++)
        if (strcmp(elements[row].parents[i], parent) == 0)
            return true;
    return false;
}

static void on_element(GMarkupParseContext *context, const char *name, const char **names, const char **values, void *user, GError **error)
{
    const GSList *stack = g_markup_parse_context_get_element_stack(context);
    const char *parent = stack->next != NULL ? stack->next->data : "";

    if (g_slist_length((GSList *) stack) > LEVELS_MAX || !belongs(name, parent))
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "<%s> inside <%s>", name, parent);
}

static bool nesting_is_sane(const char *xml)
{
    static const GMarkupParser parser = {.start_element = on_element};
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, G_MARKUP_DEFAULT_FLAGS, NULL, NULL);

    return g_markup_parse_context_parse(context, xml, -1, NULL) && g_markup_parse_context_end_parse(context, NULL);
}

/* ---- after: names and types ---- */

static bool type_is_sane(const char *signature)
{
    return g_variant_is_signature(signature) && g_variant_type_string_is_valid(signature);
}

static bool arguments_are_sane(GDBusArgInfo **arguments)
{
    for (; arguments != NULL && *arguments != NULL; arguments++)
        if (strlen((*arguments)->name) > NAME_BYTES || !type_is_sane((*arguments)->signature))
            return false;
    return true;
}

static bool member_is_sane(const char *name)
{
    return strlen(name) <= NAME_BYTES && g_dbus_is_member_name(name);
}

static bool interface_is_sane(const GDBusInterfaceInfo *info)
{
    if (info->name == NULL || strlen(info->name) > NAME_BYTES || !g_dbus_is_interface_name(info->name))
        return false;
    for (GDBusMethodInfo **m = info->methods; m != NULL && *m != NULL; m++)
        if (!member_is_sane((*m)->name) || !arguments_are_sane((*m)->in_args) || !arguments_are_sane((*m)->out_args))
            return false;
    for (GDBusSignalInfo **s = info->signals; s != NULL && *s != NULL; s++)
        if (!member_is_sane((*s)->name) || !arguments_are_sane((*s)->args))
            return false;
    for (GDBusPropertyInfo **p = info->properties; p != NULL && *p != NULL; p++)
        if (!member_is_sane((*p)->name) || !type_is_sane((*p)->signature))
            return false;
    return true;
}

GDBusNodeInfo *dbus_node_parse(const char *xml)
{
    GDBusNodeInfo *node = strlen(xml) <= DBUS_XML_BYTES && nesting_is_sane(xml) ? g_dbus_node_info_new_for_xml(xml, NULL) : NULL;

    for (GDBusInterfaceInfo **info = node != NULL ? node->interfaces : NULL; info != NULL && *info != NULL; info++)
        if (!interface_is_sane(*info)) {
            g_clear_pointer(&node, g_dbus_node_info_unref);
            break;
        }
    return node;
}
