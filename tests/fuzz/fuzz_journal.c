/* What a journal or its export may hold after a bad disk or a bad hand: packed inputs (first byte even) and lines (odd). Nothing is read past its
 * end, and what is taken can be written again and means the same. */
#include "consumers/policy/input.h"
#include "consumers/policy/transfer.h"
#include "lib/base/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_packed(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) once = g_byte_array_new(), twice = g_byte_array_new();
    EngineInput input = { 0 }, again = { 0 };
    bool taken = input_unpack(data, size, &input, &error);

    g_assert_true(taken == (error == NULL));
    if (!taken)
        return;
    g_autoptr(json_t) json = input_to_json(&input);
    g_autofree char *text = json_text(json);
    g_assert_true(g_utf8_validate(text, -1, NULL));
    input_pack(&input, once);
    g_assert_true(input_unpack(once->data, once->len, &again, &error));
    input_pack(&again, twice);
    g_assert_cmpmem(once->data, once->len, twice->data, twice->len);
    input_clear(&input);
    input_clear(&again);
}

static void take_lines(const uint8_t *data, size_t size)
{
    FILE *from = size == 0 ? NULL : fmemopen((void *) data, size, "r");
    g_autoptr(TransferReader) reader = from == NULL ? NULL : transfer_reader_new(from, "lines");
    bool end = from == NULL;

    while (!end) {
        g_autoptr(GError) error = NULL;
        TransferLine line;

        if (!transfer_next(reader, &line, &end, &error)) {
            g_assert_nonnull(error);
            break;
        }
        if (!end && (line.kind == LINE_RECORD || line.kind == LINE_SNAPSHOT))
            g_assert_cmpuint(line.record.body[line.record.body_bytes], ==, 0);
    }
    if (from != NULL)
        fclose(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        (data[0] % 2 == 0 ? take_packed : take_lines)(data + 1, size - 1);
    return 0;
}
