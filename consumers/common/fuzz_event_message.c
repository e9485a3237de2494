/* What consumers read from a bus: any bytes, taken for a message, give an event or a result that survives its JSON form, or an error. */
#include "consumers/common/event_message.h"

#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_event(const AmqpMessage *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = event_from_message(message, &error);

    g_assert((event == NULL) == (error != NULL));
    if (event == NULL)
        return;
    g_autoptr(json_t) json = event_to_json(event);
    g_autofree char *subject = event_subject(event);
    g_autoptr(Event) again = event_from_json(json, &error);
    g_assert(again != NULL && subject != NULL);
    g_autoptr(json_t) json_again = event_to_json(again);
    g_assert(json_equal(json, json_again));
}

static void read_result(const AmqpMessage *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Result) result = result_from_message(message, &error);

    g_assert((result == NULL) == (error != NULL));
    if (result == NULL)
        return;
    g_autoptr(json_t) json = result_to_json(result);
    g_autofree char *text = json_text(json);
    g_assert(text != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(AmqpMessage) message = amqp_message_decode(data, size, NULL);

    if (message != NULL) {
        read_event(message);
        read_result(message);
    }
    return 0;
}
