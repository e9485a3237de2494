/* The first byte says map or list. Whatever the 0-10 decoder accepts has a canonical form, and that form is stable. */
#include "lib/qmf/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ValueType type = size > 0 && data[0] % 2 == 0 ? VALUE_MAP : VALUE_LIST;
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = size == 0 ? NULL : qmf_0_10_decode(data + 1, size - 1, type, &error);

    if (value != NULL) {
        g_autoptr(GByteArray) once = qmf_0_10_encode(value), twice = NULL;
        g_autoptr(Value) again = qmf_0_10_decode(once->data, once->len, type, &error);

        g_assert_no_error(error);
        twice = qmf_0_10_encode(again);
        g_assert_cmpmem(once->data, once->len, twice->data, twice->len);
    }
    return 0;
}
