#include "lib/model/event.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/pack.h"
#include "lib/base/uuid.h"
#include "lib/model/entity.h"

#include <string.h>

G_DEFINE_QUARK(mend-event-error-quark, event_error)

#define TIME_END_US (INT64_C(253402300800) * US_PER_S) /* the year 10000, which no timestamp can say */

/* What it needs is in one allocation: the struct, then @block, which the strings point into. A packed event keeps its block whole, so that
 * its data can be found there, or built from there by the first who asks; two who ask at once build it twice and keep one. */
struct Event {
    EventFields fields; /* its data is NULL */
    int refs;           /* atomic */
    uint32_t size;      /* of @block */
    uint32_t data_at;   /* in @block; 0: not packed */
    bool noted;         /* @places says where the usual values are */
    uint16_t places[PACK_PLACES];
    json_t *data;       /* atomic; NULL: not built yet */
    char block[];
};

static Event *event_alloc(size_t size)
{
    Event *event = g_malloc(sizeof *event + size);

    memset(event, 0, sizeof *event);
    event->refs = 1;
    event->size = (uint32_t) size;
    return event;
}

/* What a peer sent may end up in here: never let it break a later encoding. */
static const char *text_valid(const char *text, char **ret_made)
{
    if (text == NULL || g_utf8_validate(text, -1, NULL))
        return text;
    return *ret_made = g_utf8_make_valid(text, -1);
}

Event *event_new(const EventFields *fields)
{
    g_autofree char *id = fields->id == NULL ? uuid_new() : NULL;
    const char *texts[] = { id == NULL ? fields->id : id, fields->kind, fields->source, fields->entity, fields->boot_id };
    char *made[G_N_ELEMENTS(texts)] = { NULL };
    size_t size = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        texts[i] = text_valid(texts[i], &made[i]);
        size += texts[i] == NULL ? 0 : strlen(texts[i]) + 1;
    }
    Event *event = event_alloc(size);
    char *at = event->block;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        size_t length = texts[i] == NULL ? 0 : strlen(texts[i]) + 1;

        if (length > 0)
            texts[i] = memcpy(at, texts[i], length);
        at += length;
        g_free(made[i]);
    }
    event->fields = *fields;
    event->fields.id = texts[0];
    event->fields.kind = texts[1];
    event->fields.source = texts[2];
    event->fields.entity = texts[3];
    event->fields.boot_id = texts[4];
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
    json_decref(event->data);
    g_free(event);
}

const EventFields *event_fields(const Event *event)
{
    return &event->fields;
}

/* At the packed data. */
static Unpacker unpacker_at_data(const Event *event)
{
    Unpacker unpacker;

    unpack_begin(&unpacker, event->block, event->size);
    unpacker.at += event->data_at;
    return unpacker;
}

json_t *event_data(const Event *event)
{
    json_t **slot = (json_t **) &event->data, *data = g_atomic_pointer_get(slot);

    if (data != NULL)
        return data;
    Unpacker unpacker = unpacker_at_data(event);
    data = unpack_value(&unpacker);
    g_assert(data != NULL); /* it was looked through when the event was unpacked */
    if (g_atomic_pointer_compare_and_exchange(slot, NULL, data))
        return data;
    json_decref(data);
    return g_atomic_pointer_get(slot);
}

const char *event_data_string(const Event *event, const char *key)
{
    if (event->data_at == 0)
        return json_string_or(event->data, key, NULL);
    Unpacker unpacker = unpacker_at_data(event);
    int place = event->noted ? pack_place(key) : -1;
    if (place >= 0)
        return event->places[place] == 0 ? NULL : unpack_text_at(&unpacker, event->places[place]);
    return unpack_find_text(&unpacker, key);
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
                             "sequence", sequence, "severity", f->severity, "confidence", f->confidence, "data", event_data(event));

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

#define FORM 1

void event_pack(const Event *event, GByteArray *to)
{
    const EventFields *f = &event->fields;
    const guint8 form = FORM, sure = f->confidence == 1.0;
    Packer packer;

    pack_begin(&packer, to);
    g_byte_array_append(to, &form, 1);
    pack_text(&packer, f->id);
    pack_text(&packer, f->kind);
    pack_text(&packer, f->source);
    pack_text(&packer, f->entity);
    pack_text(&packer, f->boot_id);
    pack_signed(&packer, f->time_us);
    pack_number(&packer, f->sequence);
    pack_signed(&packer, f->severity);
    g_byte_array_append(to, &sure, 1);
    if (!sure)
        pack_real(&packer, f->confidence);
    pack_value(&packer, event_data(event));
}

/* False: it is no event, though it may be packed well. */
static bool fields_are_fine(const EventFields *f, const Unpacker *at_data)
{
    return f->id != NULL && f->kind != NULL && f->source != NULL && f->entity != NULL && entity_is_path(f->entity) && f->time_us >= 0 &&
           f->time_us < TIME_END_US && f->confidence - f->confidence == 0 && unpack_is_object(at_data);
}

Event *event_unpack(const void *block, size_t size, GError **error)
{
    Unpacker u;

    if (size < 2 || size > UINT32_MAX || *(const guint8 *) block != FORM) {
        g_set_error(error, EVENT_ERROR, EVENT_ERROR_MALFORMED, "a packed event of form 1 is wanted");
        return NULL;
    }
    g_autoptr(Event) event = event_alloc(size);
    EventFields *f = &event->fields;
    memcpy(event->block, block, size);
    unpack_begin(&u, event->block, size);
    u.at++;
    f->id = unpack_text(&u, NULL);
    f->kind = unpack_text(&u, NULL);
    f->source = unpack_text(&u, NULL);
    f->entity = unpack_text(&u, NULL);
    f->boot_id = unpack_text(&u, NULL);
    f->time_us = unpack_signed(&u);
    f->sequence = unpack_number(&u);
    f->severity = (int) unpack_signed(&u);
    f->confidence = unpack_number(&u) == 1 ? 1.0 : unpack_real(&u);
    event->data_at = (uint32_t) (u.at - u.begin);
    bool fine = fields_are_fine(f, &u);
    event->noted = unpack_skip_noting(&u, event->places);
    if (unpack_failed(&u, "a packed event", error))
        return NULL;
    if (!fine) {
        g_set_error(error, EVENT_ERROR, EVENT_ERROR_MALFORMED, "a packed event lacks what an event has");
        return NULL;
    }
    return g_steal_pointer(&event);
}
