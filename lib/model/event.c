#include "lib/model/event.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/uuid.h"
#include "lib/model/entity.h"

#include <string.h>

G_DEFINE_QUARK(mend-event-error-quark, event_error)

#define TIME_END_US (INT64_C(253402300800) * US_PER_S) /* the year 10000, which no timestamp can say */

struct Event {
    EventFields fields; /* its strings are owned, data is NULL */
    json_t *data;
    int refs;           /* atomic */
};

/* What a peer sent may end up in here: never let it break a later encoding. */
static char *text_copy(const char *text)
{
    return text == NULL ? NULL : g_utf8_make_valid(text, -1);
}

Event *event_new(const EventFields *fields)
{
    Event *event = g_new0(Event, 1);

    event->refs = 1;
    event->fields = *fields;
    event->fields.id = fields->id == NULL ? uuid_new() : text_copy(fields->id);
    event->fields.kind = text_copy(fields->kind);
    event->fields.source = text_copy(fields->source);
    event->fields.entity = text_copy(fields->entity);
    event->fields.boot_id = text_copy(fields->boot_id);
    event->fields.data = NULL;
    event->data = fields->data == NULL ? json_object() : json_incref(fields->data);
    return event;
}

Event *event_ref(Event *event)
{
    g_atomic_int_inc(&event->refs);
    return event;
}

void event_unref(Event *event)
{
    if (event == NULL || !g_atomic_int_dec_and_test(&event->refs))
        return;
    g_free((char *) event->fields.id);
    g_free((char *) event->fields.kind);
    g_free((char *) event->fields.source);
    g_free((char *) event->fields.entity);
    g_free((char *) event->fields.boot_id);
    json_decref(event->data);
    g_free(event);
}

const EventFields *event_fields(const Event *event)
{
    return &event->fields;
}

json_t *event_data(const Event *event)
{
    return event->data;
}

const char *event_data_string(const Event *event, const char *key)
{
    return json_string_or(event->data, key, NULL);
}

char *event_subject(const Event *event)
{
    g_autoptr(Entity) entity = entity_parse(event->fields.entity, NULL);
    GString *text = g_string_new(event->fields.kind);

    for (int i = 0; entity != NULL && i < 2; i++) {
        const char *word = i == 0 ? entity->id : entity->name;
        g_autofree char *escaped = word == NULL ? NULL : subject_escape(word);

        if (escaped != NULL)
            g_string_append_printf(text, ".%s", escaped);
    }
    return g_string_free(text, FALSE);
}

/* CloudEvents 1.0.2, JSON event format; sequence is a string as its sequence extension has it. */
json_t *event_to_json(const Event *event)
{
    const EventFields *f = &event->fields;
    g_autofree char *time = time_format(f->time_us), *type = g_strdup_printf("%s%s.v1", EVENT_TYPE_PREFIX, f->kind);
    g_autofree char *sequence = g_strdup_printf("%" G_GUINT64_FORMAT, f->sequence);
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:O}", "specversion", "1.0", "id", f->id, "type", type,
                             "source", f->source, "subject", f->entity, "time", time, "datacontenttype", "application/json",
                             "sequence", sequence, "severity", f->severity, "confidence", f->confidence, "data", event->data);

    g_assert(json != NULL); /* strings were UTF-8 when the event was made */
    if (f->boot_id != NULL)
        json_object_set_new(json, "bootid", json_string(f->boot_id));
    return json;
}

static bool kind_from_type(const char *type, char **ret_kind, GError **error)
{
    if (!g_str_has_prefix(type, EVENT_TYPE_PREFIX) || !g_str_has_suffix(type, ".v1") ||
        strlen(type) <= strlen(EVENT_TYPE_PREFIX) + strlen(".v1")) {
        g_set_error(error, EVENT_ERROR, EVENT_ERROR_MALFORMED, "type \"%s\" is not %sKIND.STATE.v1", type, EVENT_TYPE_PREFIX);
        return false;
    }
    const char *kind = type + strlen(EVENT_TYPE_PREFIX);
    *ret_kind = g_strndup(kind, strlen(kind) - strlen(".v1"));
    return true;
}

Event *event_from_json(const json_t *json, GError **error)
{
    EventFields f = { .severity = (int) json_int_or(json, "severity", 6), .boot_id = json_string_or(json, "bootid", NULL),
                      .data = json_object_get(json, "data") };
    const char *type, *time;
    const json_t *confidence = json_object_get(json, "confidence");
    g_autofree char *kind = NULL;
    g_autoptr(Entity) entity = NULL;

    if (!json_get_string(json, "type", &type, error) || !json_get_string(json, "id", &f.id, error) ||
        !json_get_string(json, "source", &f.source, error) || !json_get_string(json, "subject", &f.entity, error) ||
        !json_get_string(json, "time", &time, error) || !kind_from_type(type, &kind, error) ||
        (entity = entity_parse(f.entity, error)) == NULL)
        return NULL;
    bool timely = time_parse(time, &f.time_us) && f.time_us >= 0 && f.time_us < TIME_END_US;
    if (!timely || (f.data != NULL && !json_is_object(f.data))) {
        g_set_error(error, EVENT_ERROR, EVENT_ERROR_MALFORMED, f.data != NULL && !json_is_object(f.data)
                    ? "data is not an object" : "time \"%s\" is not RFC 3339 from 1970 on", time);
        return NULL;
    }
    f.kind = kind;
    f.sequence = g_ascii_strtoull(json_string_or(json, "sequence", "0"), NULL, 10);
    f.confidence = json_is_number(confidence) ? json_number_value(confidence) : 1.0;
    return event_new(&f);
}
