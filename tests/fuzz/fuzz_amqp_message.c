/* Whatever the message decoder accepts survives a round trip, and its second form is the canonical one. */
#include "lib/amqp/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AmqpMessage) message = amqp_message_decode(data, size, &error);
    g_autoptr(Value) value = amqp_value_decode(data, size, NULL);

    g_assert((message == NULL) == (error != NULL));
    if (message != NULL) {
        g_autoptr(GBytes) once = amqp_message_encode(message);
        g_autoptr(AmqpMessage) again = amqp_message_decode(g_bytes_get_data(once, NULL), g_bytes_get_size(once), NULL);
        g_autoptr(GBytes) twice = NULL;

        g_assert_nonnull(again);
        twice = amqp_message_encode(again);
        g_assert_true(g_bytes_equal(once, twice));
    }
    if (value != NULL) {
        g_autoptr(json_t) json = value_to_json(value);
        g_autoptr(GByteArray) bytes = amqp_value_encode(value);
        g_autoptr(Value) again = amqp_value_decode(bytes->data, bytes->len, NULL);

        g_assert_true(json != NULL && value_equal(value, again));
    }
    return 0;
}
