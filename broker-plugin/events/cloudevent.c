#include "broker-plugin/events/cloudevent.h"

#include "broker-plugin/abi.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <string.h>

static void put(CloudEvent *ce, const char *key, const char *text)
{
    if (text == NULL)
        return;
    g_assert(ce->msg.n_props < G_N_ELEMENTS(ce->props));
    ce->props[ce->msg.n_props++] = (mend_prop) { .key = str_of(key), .type = MEND_T_STR, .str = str_of(text) };
}

static char *body_text(json_t *data)
{
    static const char *const kept[] = { "agent", "vm", "hostname", "name", "state", "intent", "reason", "repaired", "command", "incident" };
    g_autofree char *whole = json_text(data);
    g_autoptr(json_t) rest = NULL;

    if (whole != NULL && strlen(whole) <= CLOUDEVENT_BODY_MAX)
        return g_steal_pointer(&whole);
    rest = json_object();
    json_object_set_new(rest, "truncated", json_true());
    for (size_t i = 0; i < G_N_ELEMENTS(kept); i++) {
        json_t *value = json_object_get(data, kept[i]);

        if (value != NULL && (!json_is_string(value) || json_string_length(value) <= 1024))
            json_object_set(rest, kept[i], value);
    }
    return json_text(rest);
}

void cloudevent_init(CloudEvent *ce, const Event *event, const char *address)
{
    const EventFields *f = event_fields(event);

    *ce = (CloudEvent) {
        .subject = event_subject(event), .type = g_strdup_printf("%s%s.v1", EVENT_TYPE_PREFIX, f->kind), .time = time_format(f->time_us),
        .sequence = g_strdup_printf("%" G_GUINT64_FORMAT, f->sequence), .severity = g_strdup_printf("%d", f->severity),
        .confidence = g_strdup_printf("%.2f", f->confidence), .body = body_text(event_data(event)),
    };
    ce->msg = (mend_msg) { .size = sizeof ce->msg, .address = str_of(address), .subject = str_of(ce->subject), .message_id = str_of(f->id),
                           .content_type = str_of("application/json"), .body = str_of(ce->body), .body_kind = MEND_BODY_DATA,
                           .created_us = f->time_us, .durable = 1, .priority = f->severity <= 4 ? 6 : 4, .props = ce->props };
    put(ce, "cloudEvents_specversion", "1.0");
    put(ce, "cloudEvents_id", f->id);
    put(ce, "cloudEvents_type", ce->type);
    put(ce, "cloudEvents_source", f->source);
    put(ce, "cloudEvents_subject", f->entity);
    put(ce, "cloudEvents_time", ce->time);
    put(ce, "cloudEvents_sequence", ce->sequence);
    put(ce, "cloudEvents_severity", ce->severity);
    put(ce, "cloudEvents_bootid", f->boot_id);
    put(ce, "cloudEvents_confidence", ce->confidence);
}

void cloudevent_done(CloudEvent *ce)
{
    g_clear_pointer(&ce->subject, g_free);
    g_clear_pointer(&ce->type, g_free);
    g_clear_pointer(&ce->time, g_free);
    g_clear_pointer(&ce->sequence, g_free);
    g_clear_pointer(&ce->severity, g_free);
    g_clear_pointer(&ce->confidence, g_free);
    g_clear_pointer(&ce->body, g_free);
}
