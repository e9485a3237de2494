#include "consumers/common/event_message.h"

#include "lib/qmf/message.h"

#include <string.h>

static AmqpMessage *event_message(const char *type, const char *body)
{
    AmqpMessage *message = amqp_message_new();

    amqp_message_set_property(message, "cloudEvents_specversion", value_string("1.0"));
    amqp_message_set_property(message, "cloudEvents_id", value_string("3e7c4b0e-0000-4000-8000-000000000001"));
    amqp_message_set_property(message, "cloudEvents_type", value_string(type));
    amqp_message_set_property(message, "cloudEvents_source", value_string("guest:web"));
    amqp_message_set_property(message, "cloudEvents_subject", value_string("service/web/nginx"));
    amqp_message_set_property(message, "cloudEvents_time", value_string("2026-01-02T03:04:05.000006Z"));
    amqp_message_set_property(message, "cloudEvents_sequence", value_string("18446744073709551615"));
    amqp_message_set_property(message, "cloudEvents_severity", value_string("3"));
    message->body_kind = AMQP_BODY_DATA;
    message->data = g_bytes_new(body, strlen(body));
    return message;
}

static void test_an_event_is_read(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AmqpMessage) message = event_message("org.matahariproject.mend.service.failed.v1", "{\"intent\": \"none\"}");
    g_autoptr(Event) event = event_from_message(message, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(event_fields(event)->kind, ==, "service.failed");
    g_assert_cmpuint(event_fields(event)->sequence, ==, UINT64_MAX);
    g_assert_cmpint(event_fields(event)->severity, ==, 3);
    g_assert_cmpstr(event_data_string(event, "intent"), ==, "none");
}

static void test_a_broken_event_is_an_error(void)
{
    g_autoptr(AmqpMessage) kind = event_message("something.else", "{}"), body = event_message("org.matahariproject.mend.a.b.v1", "{]"),
                           list = event_message("org.matahariproject.mend.a.b.v1", "[1]"), empty = amqp_message_new();
    const AmqpMessage *const wrong[] = { kind, body, list, empty };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(event_from_message(wrong[i], &error));
        g_assert_nonnull(error);
    }
}

static void test_results_in_both_forms(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(QmfMessage) answer = qmf_message_new(QMF_METHOD_RESPONSE), exception = qmf_message_new(QMF_EXCEPTION);

    answer->correlation_id = g_strdup("c1");
    answer->agent = g_strdup("guest:web");
    answer->body = value_map();
    Value *outputs = value_map();
    value_set(outputs, "state", value_string("running"));
    value_set(answer->body, "_arguments", outputs);
    g_autoptr(AmqpMessage) first = qmf_message_to_amqp(answer);
    g_autoptr(Result) done = result_from_message(first, &error);
    g_assert_no_error(error);
    g_assert_cmpint(done->state, ==, RESULT_DONE);
    g_assert_cmpstr(done->command_id, ==, "c1");
    g_assert_cmpstr(json_string_value(json_object_get(done->values, "state")), ==, "running");

    exception->body = value_map();
    Value *values = value_map();
    value_set(values, "error_text", value_string("no such service"));
    value_set(exception->body, "_values", values);
    exception->extra = value_map();
    value_set(exception->extra, "mend.command-id", value_string("c2"));
    value_set(exception->extra, "mend.state", value_string("refused"));
    value_set(exception->extra, "mend.error", value_string("not-found"));
    g_autoptr(AmqpMessage) second = qmf_message_to_amqp(exception);
    g_autoptr(Result) refused = result_from_message(second, &error);
    g_assert_no_error(error);
    g_assert_cmpint(refused->state, ==, RESULT_REFUSED);
    g_assert_cmpstr(refused->error, ==, "not-found");
    g_assert_cmpstr(refused->text, ==, "no such service");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/consumers/event", test_an_event_is_read);
    g_test_add_func("/consumers/event/broken", test_a_broken_event_is_an_error);
    g_test_add_func("/consumers/result", test_results_in_both_forms);
    return g_test_run();
}
