/* The binary form in which Python's console asks for a class, and what it reads of the answer. */
#include "lib/base/base.h"
#include "lib/qmf/qmf1.h"

#include <string.h>

static const QmfClass *class_at(size_t i, const void *user) { return qmf_schema_at(user, i); }

static GByteArray *request_for(const QmfClass *class)
{
    GByteArray *out = g_byte_array_new();
    uint8_t package = (uint8_t) strlen(class->package), name = (uint8_t) strlen(class->name);

    g_byte_array_append(out, (const uint8_t *) "AM2S\0\0\1\2", 8);
    g_byte_array_append(out, &package, 1);
    g_byte_array_append(out, (const uint8_t *) class->package, package);
    g_byte_array_append(out, &name, 1);
    g_byte_array_append(out, (const uint8_t *) class->name, name);
    g_byte_array_append(out, class->hash, sizeof class->hash);
    return out;
}

typedef struct Reading {
    const uint8_t *at, *end;
} Reading;

static uint64_t take(Reading *r, unsigned n_bytes)
{
    uint64_t number = 0;

    g_assert_cmpint(r->end - r->at, >=, n_bytes);
    for (; n_bytes > 0; n_bytes--)
        number = number << 8 | *r->at++;
    return number;
}

static void take_text(Reading *r, const char *text)
{
    g_assert_cmpuint(take(r, 1), ==, strlen(text));
    g_assert_cmpmem(r->at, strlen(text), text, strlen(text));
    r->at += strlen(text);
}

static Value *take_map(Reading *r)
{
    Reading size = *r;
    size_t n_bytes = 4 + take(&size, 4);
    GError *error = NULL;
    Value *map = qmf_0_10_decode(r->at, n_bytes, VALUE_MAP, &error);

    g_assert_no_error(error);
    r->at += n_bytes;
    return map;
}

static void check_property(Reading *r, const QmfProperty *p, bool event)
{
    g_autoptr(Value) map = take_map(r);

    g_assert_cmpstr(value_get_string(map, "name"), ==, p->name);
    g_assert_cmpint(value_get_int(map, "type", 0), >, 0);
    g_assert_true((value_get(map, "access") == NULL) == event);
    g_assert_cmpstr(value_get_string(map, "unit"), ==, p->unit);
}

static void check_method(Reading *r, const QmfMethod *m)
{
    g_autoptr(Value) map = take_map(r);

    g_assert_cmpstr(value_get_string(map, "name"), ==, m->name);
    g_assert_cmpint(value_get_int(map, "argCount", -1), ==, m->n_arguments);
    for (size_t i = 0; i < m->n_arguments; i++) {
        g_autoptr(Value) argument = take_map(r);
        const char *direction = m->arguments[i].direction == QMF_DIR_IN ? "I" : m->arguments[i].direction == QMF_DIR_OUT ? "O" : "IO";

        g_assert_cmpstr(value_get_string(argument, "name"), ==, m->arguments[i].name);
        g_assert_cmpstr(value_get_string(argument, "dir"), ==, direction);
    }
}

static void test_every_class_of_ours_is_told(void)
{
    const QmfSchema *schema = qmf_schema_builtin();
    const QmfClass *class;

    for (size_t n = 0; (class = qmf_schema_at(schema, n)) != NULL; n++) {
        g_autoptr(GByteArray) request = request_for(class);
        g_autoptr(GBytes) answer = qmf1_schema_answer(request->data, request->len, class_at, schema);
        gsize n_bytes;
        const uint8_t *bytes = g_bytes_get_data(answer, &n_bytes);
        Reading r = { bytes, bytes + n_bytes };

        g_assert_cmpmem(bytes, 8, "AM2s\0\0\1\2", 8);
        r.at += 8;
        g_assert_cmpuint(take(&r, 1), ==, class->event ? 2 : 1);
        take_text(&r, class->package);
        take_text(&r, class->name);
        g_assert_cmpmem(r.at, 16, class->hash, 16);
        r.at += 16;
        g_assert_cmpuint(take(&r, 2), ==, class->n_properties);
        if (!class->event) {
            g_assert_cmpuint(take(&r, 2), ==, 0);
            g_assert_cmpuint(take(&r, 2), ==, class->n_methods);
        }
        for (size_t i = 0; i < class->n_properties; i++)
            check_property(&r, &class->properties[i], class->event);
        for (size_t i = 0; !class->event && i < class->n_methods; i++)
            check_method(&r, &class->methods[i]);
        g_assert_true(r.at == r.end);
    }
}

static void test_what_is_cut_or_unknown_has_no_answer(void)
{
    const QmfSchema *schema = qmf_schema_builtin();
    g_autoptr(GByteArray) request = request_for(qmf_schema_at(schema, 0));

    for (guint n = 0; n < request->len; n++) {
        g_autofree uint8_t *cut = g_memdup2(request->data, n);

        g_assert_null(qmf1_schema_answer(cut, n, class_at, schema));
    }
    request->data[request->len - 1] ^= 1;
    g_assert_null(qmf1_schema_answer(request->data, request->len, class_at, schema));
}

static void test_it_is_known_by_its_first_bytes_only_without_an_opcode(void)
{
    g_autoptr(GByteArray) request = request_for(qmf_schema_at(qmf_schema_builtin(), 0));
    g_autoptr(AmqpMessage) amqp = amqp_message_new();

    amqp->reply_to = g_strdup("amq.direct/me");
    amqp->body_kind = AMQP_BODY_DATA;
    amqp->data = g_bytes_new(request->data, request->len);
    g_autoptr(QmfMessage) message = qmf_message_from_amqp(amqp, NULL);
    g_assert_nonnull(message);
    g_assert_cmpint(message->opcode, ==, QMF_V1_SCHEMA_REQUEST);
    g_assert_cmpstr(message->reply_to, ==, "amq.direct/me");
    amqp_message_set_property(amqp, "qmf.opcode", value_string("AM2S"));
    g_assert_null(qmf_message_from_amqp(amqp, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmf/qmf1/classes", test_every_class_of_ours_is_told);
    g_test_add_func("/qmf/qmf1/broken", test_what_is_cut_or_unknown_has_no_answer);
    g_test_add_func("/qmf/qmf1/message", test_it_is_known_by_its_first_bytes_only_without_an_opcode);
    return g_test_run();
}
