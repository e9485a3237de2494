/* Any text as a service's introspection, and its end as a text argument: what is taken has types that can be asked for. */
#include "agents/guest/matahari/dbus_introspection.h"
#include "agents/guest/matahari/dbus_value.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_arguments(GDBusArgInfo **arguments, const Value *value)
{
    for (; arguments != NULL && *arguments != NULL; arguments++) {
        GVariant *variant = variant_from_value(value, G_VARIANT_TYPE((*arguments)->signature), NULL);

        if (variant != NULL) {
            g_autoptr(Value) back = value_from_variant(g_variant_ref_sink(variant), NULL);

            g_assert_true(back != NULL || g_variant_n_children(variant) > 0);
            g_variant_unref(variant);
        }
        g_assert_cmpint(qmf_type_of_dbus((*arguments)->signature), !=, QMF_TYPE_VOID);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *xml = g_strndup((const char *) data, size);
    GDBusNodeInfo *node = dbus_node_parse(xml);
    g_autoptr(Value) text = value_string("/a"), list = value_list(), number = value_int(VALUE_INT64, size > 0 ? data[size - 1] : 0);

    value_append(list, value_ref(text));
    for (GDBusInterfaceInfo **info = node != NULL ? node->interfaces : NULL; info != NULL && *info != NULL; info++)
        for (GDBusMethodInfo **method = (*info)->methods; method != NULL && *method != NULL; method++) {
            try_arguments((*method)->in_args, text);
            try_arguments((*method)->in_args, list);
            try_arguments((*method)->out_args, number);
        }
    if (node != NULL)
        g_dbus_node_info_unref(node);
    return 0;
}
