/* Reading is liberal, sending is strict: what peers were seen to send, and what they should not. */
#include "lib/qmf/message.h"

#include <string.h>

static AmqpMessage *message_new(const char *opcode)
{
    AmqpMessage *amqp = amqp_message_new();

    if (opcode != NULL)
        amqp_message_set_property(amqp, "qmf.opcode", value_bytes(VALUE_BINARY, opcode, strlen(opcode)));
    return amqp;
}

static void set_data(AmqpMessage *amqp, const Value *body)
{
    amqp->body_kind = AMQP_BODY_DATA;
    amqp->data = g_byte_array_free_to_bytes(qmf_0_10_encode(body));
}

static void refused(const AmqpMessage *amqp, const char *why)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(QmfMessage) message = qmf_message_from_amqp(amqp, &error);

    g_assert_null(message);
    g_assert_error(error, QMF_ERROR, QMF_ERROR_MALFORMED);
    g_assert_cmpstr(error->message, ==, why);
}

static void test_sent_form_is_the_one_all_peers_read(void)
{
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_METHOD_REQUEST);
    const char *key;
    const Value *item;

    message->subject = g_strdup("a:b:c");
    message->reply_to = g_strdup("qmf.default.topic/direct-console.1");
    message->correlation_id = g_strdup("7");
    message->body = value_map();
    message->extra = value_map();
    value_set(message->extra, "mend.epoch", value_uint(VALUE_UINT64, 3));
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_assert_cmpstr(amqp->subject, ==, "a:b:c");
    g_assert_cmpstr(amqp->content_type, ==, "amqp/map");
    g_assert_cmpint(amqp->body_kind, ==, AMQP_BODY_DATA);
    g_assert_null(amqp->user_id);
    g_assert_null(amqp->to);
    g_assert_cmpstr(amqp_message_property(amqp, "method"), ==, "request");
    g_assert_cmpstr(amqp_message_property(amqp, "qmf.opcode"), ==, "_method_request");
    g_assert_cmpstr(amqp_message_property(amqp, "x-amqp-0-10.app-id"), ==, "qmf2");
    g_assert_null(value_get(amqp->properties, "partial"));
    g_assert_cmpint(value_get_int(amqp->properties, "mend.epoch", 0), ==, 3);
    for (size_t i = 0; value_entry(amqp->properties, i, &key, &item); i++)
        g_assert_true(value_type(item) != VALUE_BINARY);
}

static void test_plain_form_is_a_value(void)
{
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_METHOD_RESPONSE), again = NULL;

    message->plain = true;
    message->body = value_map();
    value_set(message->body, "_arguments", value_map());
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_assert_cmpint(amqp->body_kind, ==, AMQP_BODY_VALUE);
    g_assert_cmpint(value_type(amqp->body), ==, VALUE_MAP);
    g_assert_null(amqp->data);
    again = qmf_message_from_amqp(amqp, NULL);
    g_assert_nonnull(value_get(again->body, "_arguments"));
    g_assert_false(again->plain); /* what is passed on goes in the form all peers read */
    qmf_amqp_as_data(amqp);       /* for a broker that cannot carry the other */
    g_assert_cmpint(amqp->body_kind, ==, AMQP_BODY_DATA);
    g_assert_null(amqp->body);
    qmf_amqp_as_data(amqp);
    g_autoptr(QmfMessage) as_data = qmf_message_from_amqp(amqp, NULL);
    g_assert_nonnull(value_get(as_data->body, "_arguments"));
}

static void test_partial_counts_by_being_there(void)
{
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_QUERY_RESPONSE), again = NULL;

    message->partial = true;
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_assert_cmpint(value_type(value_get(amqp->properties, "partial")), ==, VALUE_NULL);
    again = qmf_message_from_amqp(amqp, NULL);
    g_assert_true(again->partial);
}

static void test_locate_without_body_app_id_or_content_type(void)
{
    g_autoptr(AmqpMessage) amqp = message_new("_agent_locate_request");
    g_autoptr(GError) error = NULL;
    g_autoptr(QmfMessage) message = qmf_message_from_amqp(amqp, &error);

    g_assert_no_error(error);
    g_assert_cmpint(message->opcode, ==, QMF_AGENT_LOCATE_REQUEST);
    g_assert_null(message->body);
}

static void test_bodies_in_every_shape(void)
{
    g_autoptr(Value) map = value_map();
    g_autoptr(GByteArray) bytes = NULL;

    value_set(map, "_what", value_string("OBJECT"));
    bytes = qmf_0_10_encode(map);
    for (int shape = 0; shape < 4; shape++) {
        g_autoptr(AmqpMessage) amqp = message_new("_query_request");
        g_autoptr(GError) error = NULL;

        if (shape == 0) { /* a data section without content-type: the opcode says it is a map */
            set_data(amqp, map);
        } else {
            amqp->body_kind = AMQP_BODY_VALUE;
            amqp->body = shape == 1 ? value_ref(map) : value_bytes(VALUE_BINARY, bytes->data, bytes->len);
            amqp->content_type = shape == 3 ? g_strdup("amqp/map") : NULL;
        }
        g_autoptr(QmfMessage) message = qmf_message_from_amqp(amqp, &error);
        g_assert_no_error(error);
        g_assert_true(value_equal(message->body, map));
    }
}

static void test_further_properties_are_kept_and_ours_are_not(void)
{
    g_autoptr(AmqpMessage) amqp = message_new("_agent_locate_request");

    amqp_message_set_property(amqp, "app_id", value_string("qmf2"));
    amqp_message_set_property(amqp, "qpid.subject", value_string("x"));
    amqp_message_set_property(amqp, "mend.command-id", value_string("id"));
    g_autoptr(QmfMessage) message = qmf_message_from_amqp(amqp, NULL);
    g_assert_cmpuint(value_size(message->extra), ==, 1);
    g_assert_cmpstr(value_get_string(message->extra, "mend.command-id"), ==, "id");
}

static void test_what_is_refused_and_why(void)
{
    g_autoptr(Value) list = value_list(), map = value_map();
    g_autoptr(AmqpMessage) plain = message_new(NULL), unknown = message_new("_make_coffee"), foreign = message_new("_query_request"),
                           other = message_new("_query_request"), wrong = message_new("_query_request"),
                           empty = message_new("_method_request"), broken = message_new("_query_request");

    refused(plain, "no qmf.opcode: not a QMFv2 message");
    refused(unknown, "unknown qmf.opcode \"_make_coffee\"");
    amqp_message_set_property(foreign, "x-amqp-0-10.app-id", value_string("qmf1"));
    refused(foreign, "app-id \"qmf1\", want qmf2");
    set_data(other, map);
    other->content_type = g_strdup("text/plain");
    refused(other, "_query_request: content-type \"text/plain\", want amqp/map or amqp/list");
    set_data(wrong, list);
    wrong->content_type = g_strdup("amqp/list");
    refused(wrong, "_query_request with a list as body, want a map");
    refused(empty, "_method_request without a body, want a map");
    broken->body_kind = AMQP_BODY_DATA;
    broken->data = g_bytes_new_static("\0\0\0\5", 4);
    refused(broken, "_query_request: byte 4: 5 bytes announced, 0 there");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/message/sent form is the one all peers read", test_sent_form_is_the_one_all_peers_read);
    g_test_add_func("/message/plain form is a value", test_plain_form_is_a_value);
    g_test_add_func("/message/partial counts by being there", test_partial_counts_by_being_there);
    g_test_add_func("/message/locate without body, app-id or content-type", test_locate_without_body_app_id_or_content_type);
    g_test_add_func("/message/bodies in every shape", test_bodies_in_every_shape);
    g_test_add_func("/message/further properties are kept and ours are not", test_further_properties_are_kept_and_ours_are_not);
    g_test_add_func("/message/what is refused and why", test_what_is_refused_and_why);
    return g_test_run();
}
