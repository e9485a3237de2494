#include "consumers/common/event_message.h"

#include "lib/base/json.h"
#include "lib/qmf/message.h"

#include <string.h>

#define STRUCTURED "application/cloudevents+json"

static json_t *body_json(const AmqpMessage *message, GError **error)
{
    gsize size = 0;
    const char *text = message->data == NULL ? value_as_string(message->body) : g_bytes_get_data(message->data, &size);

    if (message->data == NULL && text != NULL)
        size = strlen(text);
    if (text == NULL || size == 0)
        return json_object();
    return json_parse(text, size, "event data", error);
}

/* The binding writes "cloudEvents_" where a JMS reader must cope, "cloudEvents:" elsewhere; both are read. */
static const char *attribute(const AmqpMessage *message, const char *name)
{
    g_autofree char *jms = g_strconcat("cloudEvents_", name, NULL), *plain = g_strconcat("cloudEvents:", name, NULL);
    const char *value = amqp_message_property(message, jms);

    return value != NULL ? value : amqp_message_property(message, plain);
}

static Event *event_from_binary(const AmqpMessage *message, GError **error)
{
    static const char *const names[] = { "type", "id", "source", "subject", "time", "sequence", "bootid" };
    const char *severity = attribute(message, "severity"), *confidence = attribute(message, "confidence");
    g_autoptr(json_t) json = json_object();
    json_t *data = body_json(message, error);

    if (data == NULL)
        return NULL;
    json_object_set_new(json, "data", data);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *value = attribute(message, names[i]);

        if (value != NULL)
            json_object_set_new(json, names[i], json_string(value));
    }
    if (severity != NULL)
        json_object_set_new(json, "severity", json_integer(g_ascii_strtoll(severity, NULL, 10)));
    if (confidence != NULL)
        json_object_set_new(json, "confidence", json_real(g_ascii_strtod(confidence, NULL)));
    return event_from_json(json, error);
}

Event *event_from_message(const AmqpMessage *message, GError **error)
{
    if (message->content_type == NULL || !g_str_has_prefix(message->content_type, STRUCTURED))
        return event_from_binary(message, error);
    g_autoptr(json_t) json = body_json(message, error);
    return json == NULL ? NULL : event_from_json(json, error);
}

Result *result_from_message(const AmqpMessage *message, GError **error)
{
    const char *id = amqp_message_property(message, "mend.command-id"), *state = amqp_message_property(message, "mend.state");
    g_autoptr(QmfMessage) qmf = qmf_message_from_amqp(message, error);
    g_autoptr(json_t) json = json_object();

    if (qmf == NULL)
        return NULL;
    const Value *outputs = value_get(qmf->body, qmf->opcode == QMF_EXCEPTION ? "_values" : "_arguments");
    const char *text = amqp_message_property(message, "mend.text");
    if (id == NULL)
        id = message->correlation_id;
    if (state == NULL) /* an agent that knows only QMF says it by the opcode */
        state = qmf->opcode == QMF_EXCEPTION ? "failed" : "done";
    if (text == NULL && qmf->opcode == QMF_EXCEPTION)
        text = value_get_string(outputs, "error_text");
    g_autoptr(json_t) head =
        json_pack("{s:s*, s:s, s:s*, s:s*, s:s*, s:s*}", "command_id", id, "state", state, "incident",
                  amqp_message_property(message, "mend.incident"), "agent", qmf->agent, "error", amqp_message_property(message, "mend.error"),
                  "text", text);
    json_object_update(json, head);
    if (outputs != NULL)
        json_object_set_new(json, "values", value_to_json(outputs));
    return result_from_json(json, error);
}
