/* Any text as a schema file: classes that go to the wire and come back the same, or an error that begins with a place. */
#include "lib/qmf/schema.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(QmfSchema) schema = qmf_schema_new();
    g_autoptr(GError) error = NULL;

    if (!qmf_schema_add_xml(schema, (const char *) data, size, "file", &error)) {
        g_assert_nonnull(error);
        g_assert_true(g_str_has_prefix(error->message, "file:"));
        g_assert_cmpuint(qmf_schema_size(schema), ==, 0);
    }
    for (size_t i = 0; i < qmf_schema_size(schema); i++) {
        const QmfClass *class = qmf_schema_at(schema, i);
        g_autoptr(Value) map = qmf_class_to_map(class), again = NULL;
        QmfClass *read = qmf_class_from_map(map, &error);

        g_assert_no_error(error);
        again = qmf_class_to_map(read);
        g_assert_true(value_equal(map, again));
        qmf_class_free(read);
    }
    return 0;
}
