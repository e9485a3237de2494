/* Whatever an agent sends as an event: it is refused, or it becomes a CloudEvent that others can read. The first byte picks the form:
 * a data section (AMQP 0-10 list) or an amqp-value, an event or a heartbeat. */
#include "broker-plugin/abi.h"
#include "broker-plugin/events/cloudevent.h"
#include "broker-plugin/events/digest.h"
#include "broker-plugin/events/normalise.h"
#include "broker-plugin/ingress/indication.h"
#include "lib/base/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "12345678-1234-4123-8123-123456789abc"

static void publish(const Fact *f)
{
    const EventFields fields = { .id = ID, .kind = f->kind, .source = f->source, .entity = f->entity, .time_us = f->time_us, .sequence = 1,
                                 .severity = f->severity, .boot_id = f->boot_id, .confidence = f->confidence, .data = f->data };
    g_autoptr(Event) event = event_new(&fields);
    g_auto(CloudEvent) ce = { 0 };
    g_autoptr(json_t) body = NULL;

    cloudevent_init(&ce, event, "mend.events");
    body = json_parse(ce.msg.body.ptr, ce.msg.body.len, "body", NULL);
    g_assert_true(json_is_object(body));
    g_assert_cmpuint(ce.msg.body.len, <=, CLOUDEVENT_BODY_MAX);
    g_assert_true(g_utf8_validate(ce.subject, -1, NULL));
    g_assert_null(strpbrk(ce.subject, "*# \n"));
    g_assert_cmpuint(ce.msg.n_props, >=, 9);
}

static void take(const Indication *i)
{
    const Origin origin = { i->agent, ID, "host", NULL, INT64_C(1700000000) * US_PER_S, NULL, NULL };
    Entities *known = entities_new(100);
    Digest *digest = digest_new();

    for (guint k = 0; i->events != NULL && k < i->events->len; k++) {
        g_autoptr(Fact) fact = NULL;

        if (!normalise_event(&origin, g_ptr_array_index(i->events, k), &fact, NULL) || fact == NULL)
            continue;
        entities_take(known, fact);
        publish(fact);
    }
    for (int round = 0; i->attributes != NULL && round < 2; round++) {
        g_autoptr(GPtrArray) facts = digest_look(digest, &origin, value_get(i->attributes, "mend.services"), 0, known);

        for (guint k = 0; k < facts->len; k++)
            publish(facts->pdata[k]);
    }
    digest_free(digest);
    entities_free(known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool heartbeat = size > 0 && (data[0] & 1) != 0, value = size > 0 && (data[0] & 2) != 0;
    const mend_prop props[] = {
        { .key = str_of("x-amqp-0-10.app-id"), .type = MEND_T_STR, .str = str_of("qmf2") },
        { .key = str_of("qmf.opcode"), .type = MEND_T_STR, .str = str_of(heartbeat ? "_agent_heartbeat_indication" : "_data_indication") },
        { .key = str_of("qmf.content"), .type = MEND_T_STR, .str = str_of("_event") },
        { .key = str_of("qmf.agent"), .type = MEND_T_STR, .str = str_of("matahariproject.org:mend-guest:" ID) },
    };
    const mend_msg msg = { .size = sizeof msg, .address = str_of(QMF_TOPIC), .subject = str_of("agent.ind.event"),
                           .content_type = str_of(heartbeat ? "amqp/map" : "amqp/list"), .props = props, .n_props = G_N_ELEMENTS(props),
                           .body = { (const char *) data + (size > 0), size - (size > 0) },
                           .body_kind = value ? MEND_BODY_VALUE : MEND_BODY_DATA };
    g_autofree char *agent = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(Indication) i = indication_decode(&msg, qmf_schema_builtin(), 262144, &agent, &error);

    g_assert_true((i == NULL) == (error != NULL));
    if (i != NULL)
        take(i);
    return 0;
}
