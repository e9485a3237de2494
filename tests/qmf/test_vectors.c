/* Every captured message, both directions. Form B bodies (0-10 encoding in a data section) must come out again byte for byte; form A
 * bodies are qpidd's translation, which nobody needs to write, so there the values must survive our own form. */
#include "tests/qmf/vectors.h"

#include <string.h>

static QmfMessage *decode(const char *name, GBytes *bytes)
{
    g_autoptr(GError) error = NULL;
    size_t n;
    const void *data = g_bytes_get_data(bytes, &n);
    g_autoptr(AmqpMessage) amqp = amqp_message_decode(data, n, &error);
    QmfMessage *message;

    if (amqp == NULL)
        g_error("%s: %s", name, error->message);
    message = qmf_message_from_amqp(amqp, &error);
    if (message == NULL)
        g_error("%s: %s", name, error->message);
    return message;
}

static void check_field(const char *name, const char *field, const char *is, const json_t *properties)
{
    const char *wanted = json_string_value(json_object_get(properties, field));

    if (g_strcmp0(is, wanted) != 0)
        g_error("%s: %s is \"%s\", want \"%s\"", name, field, is, wanted);
}

static void test_values_are_those_of_the_capture(void)
{
    g_autoptr(GPtrArray) vectors = vectors_load(NULL);

    g_assert_cmpuint(vectors->len, >, 110);
    for (guint i = 0; i < vectors->len; i++) {
        const Vector *v = vectors->pdata[i];
        g_autoptr(QmfMessage) message = decode(v->name, v->bytes);
        const json_t *properties = json_object_get(v->plain, "properties"), *body = json_object_get(v->plain, "body");
        const json_t *application = json_object_get(v->plain, "application-properties");

        check_field(v->name, "subject", message->subject, properties);
        check_field(v->name, "reply-to", message->reply_to, properties);
        check_field(v->name, "correlation-id", message->correlation_id, properties);
        check_field(v->name, "qmf.opcode", qmf_opcode_name(message->opcode), application);
        check_field(v->name, "qmf.agent", message->agent, application);
        check_field(v->name, "qmf.content", message->content, application);
        g_assert_true(message->partial == (json_object_get(application, "partial") != NULL));
        if (v->body == NULL) {
            g_assert_null(message->body);
            continue;
        }
        vector_check_plain(v->name, message->body, body);
        vector_check_typed(v->name, message->body, v->body, v->form_b);
    }
}

static void test_form_b_comes_out_byte_for_byte(void)
{
    g_autoptr(GPtrArray) vectors = vectors_load(NULL);
    unsigned checked = 0;

    for (guint i = 0; i < vectors->len; i++) {
        const Vector *v = vectors->pdata[i];
        g_autoptr(QmfMessage) message = decode(v->name, v->bytes);
        g_autoptr(GByteArray) again = NULL;
        size_t n;
        const uint8_t *data = g_bytes_get_data(v->bytes, &n);

        if (!v->form_b)
            continue;
        again = qmf_0_10_encode(message->body);
        if (again->len > n || memcmp(data + n - again->len, again->data, again->len) != 0) /* the data section is the last */
            g_error("%s: encoded anew it has other bytes", v->name);
        checked++;
    }
    g_assert_cmpuint(checked, >, 50);
}

static void assert_same(const char *name, const QmfMessage *a, const QmfMessage *b)
{
    if (a->opcode != b->opcode || g_strcmp0(a->subject, b->subject) != 0 || g_strcmp0(a->reply_to, b->reply_to) != 0 ||
        g_strcmp0(a->correlation_id, b->correlation_id) != 0 || g_strcmp0(a->agent, b->agent) != 0 ||
        g_strcmp0(a->content, b->content) != 0 || a->partial != b->partial)
        g_error("%s: a field changed on its way through our encoder", name);
    if (a->body != NULL && !value_equal(a->body, b->body))
        g_error("%s: the body changed on its way through our encoder", name);
    if ((a->extra == NULL) != (b->extra == NULL) || (a->extra != NULL && !value_equal(a->extra, b->extra)))
        g_error("%s: further properties changed on their way through our encoder", name);
}

static void test_our_encoder_keeps_every_value(void)
{
    g_autoptr(GPtrArray) vectors = vectors_load(NULL);

    for (guint i = 0; i < vectors->len; i++) {
        const Vector *v = vectors->pdata[i];
        g_autoptr(QmfMessage) message = decode(v->name, v->bytes), again = NULL;
        g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
        g_autoptr(GBytes) bytes = amqp_message_encode(amqp);

        g_assert_cmpint(amqp->body_kind, ==, AMQP_BODY_DATA);
        g_assert_cmpstr(amqp_message_property(amqp, "x-amqp-0-10.app-id"), ==, "qmf2");
        again = decode(v->name, bytes);
        assert_same(v->name, message, again);
    }
}

/* What the agents of 2012 said, through a qpidd (form A) and to a 1.0 broker (form B). */
static void test_real_matahari_messages(void)
{
    static const struct { const char *file; QmfOpcode opcode; const char *content; } rows[] = {
        { "agent_heartbeat", QMF_AGENT_HEARTBEAT_INDICATION, NULL }, { "exception", QMF_EXCEPTION, "_data" },
        { "heartbeat_event", QMF_DATA_INDICATION, "_event" },        { "list_ra", QMF_METHOD_RESPONSE, NULL },
        { "method_response", QMF_METHOD_RESPONSE, NULL },            { "query_host", QMF_QUERY_RESPONSE, "_data" },
        { "resource_op", QMF_DATA_INDICATION, "_event" },            { "schema_id", QMF_QUERY_RESPONSE, "_schema_id" },
        { "schema_services", QMF_QUERY_RESPONSE, "_schema" },
    };

    for (size_t i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
        bool form_b = i % 2 == 1;
        g_autofree char *rest = g_strdup_printf("matahari/%s.%s.hex", rows[i / 2].file, form_b ? "agent10" : "agent010");
        g_autofree char *path = vectors_path(rest);
        g_autoptr(GBytes) bytes = vector_hex(path);
        g_autoptr(QmfMessage) message = decode(rest, bytes);
        g_autoptr(GByteArray) body = qmf_0_10_encode(message->body);
        size_t n;
        const uint8_t *data = g_bytes_get_data(bytes, &n);

        g_assert_cmpint(message->opcode, ==, rows[i / 2].opcode);
        g_assert_cmpstr(message->content, ==, rows[i / 2].content);
        g_assert_nonnull(message->agent);
        if (form_b && (body->len > n || memcmp(data + n - body->len, body->data, body->len) != 0))
            g_error("%s: encoded anew it has other bytes", rest);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vectors/values are those of the capture", test_values_are_those_of_the_capture);
    g_test_add_func("/vectors/form B comes out byte for byte", test_form_b_comes_out_byte_for_byte);
    g_test_add_func("/vectors/our encoder keeps every value", test_our_encoder_keeps_every_value);
    g_test_add_func("/vectors/real Matahari messages", test_real_matahari_messages);
    return g_test_run();
}
