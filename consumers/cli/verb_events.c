/* mend events: what is true now, asked from the plugin; with --follow what happens, as any AMQP client would subscribe to it. */
#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/cli/verbs.h"
#include "consumers/common/event_message.h"
#include "lib/base/json.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct EventsOptions {
    WireOptions site;
    bool follow;
    char *subject;
    int64_t count;
} EventsOptions;

static const Setting rows[] = {
    { "follow", SETTING_BOOL, offsetof(EventsOptions, follow), 0, 0, NULL, "print events as they happen" },
    { "subject", SETTING_STRING, offsetof(EventsOptions, subject), 0, 0, NULL,
      "PATTERN of subjects to follow: words and * and #, as in service.failed.#" },
    { "count", SETTING_INTEGER, offsetof(EventsOptions, count), 0, INT64_MAX, "0", "end after so many; 0: never" },
    WIRE_ROWS(EventsOptions),
};

typedef struct Follow {
    const EventsOptions *options;
    int64_t printed;
    bool end;
    GError *error;
} Follow;

static json_t *row_of(const char *kind, const char *entity, int64_t time_us, const json_t *data)
{
    g_autofree char *time = show_time(time_us);
    const char *intent = json_string_or(data, "intent", ""), *reason = json_string_or(data, "reason", "");

    if (*reason == '\0')
        reason = json_string_or(data, "text", "");
    return json_pack("[s, s, s, s, s]", time, kind, entity, intent, reason);
}

static void on_message(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    static const size_t widths[] = { 12, 18, 56, 9, 0 };
    Follow *follow = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = event_from_message(message, &error);

    amqp_delivery_accept(delivery);
    if (event == NULL) {
        fprintf(stderr, "mend events: %s\n", error->message);
        return;
    }
    const EventFields *f = event_fields(event);
    g_autoptr(json_t) json = event_to_json(event), row = row_of(f->kind, f->entity, f->time_us, event_data(event));
    if (follow->options->site.json) {
        g_autofree char *text = json_text(json);
        puts(text);
    } else {
        show_row(row, widths, -1);
    }
    fflush(stdout);
    follow->printed++;
    if (follow->options->count > 0 && follow->printed >= follow->options->count)
        follow->end = true;
}

static void on_error(AmqpReceiver *receiver, const GError *error, void *user)
{
    Follow *follow = user;

    if (follow->error == NULL)
        follow->error = g_error_copy(error);
    follow->end = true;
}

static gboolean on_stop(gpointer end)
{
    *(bool *) end = true;
    return G_SOURCE_CONTINUE;
}

static bool follow_events(Wire *wire, const EventsOptions *options, GError **error)
{
    Follow follow = { .options = options };
    AmqpReceiver *receiver =
        amqp_receiver_new(wire_client(wire), &(AmqpReceiverOptions){ .address = EVENTS_ADDRESS, .topic = true, .credit = 200,
                                                                     .subject_filter = options->subject, .on_message = on_message,
                                                                     .on_error = on_error, .user = &follow });

    g_unix_signal_add(SIGINT, on_stop, &follow.end);
    g_unix_signal_add(SIGTERM, on_stop, &follow.end);
    bool fine = wire_wait(wire, &follow.end, 0, error);
    amqp_receiver_free(receiver);
    if (follow.error != NULL) {
        g_propagate_error(error, follow.error);
        return false;
    }
    return fine;
}

/* "service" and "failed" out of an entity's object. */
static json_t *object_row(const Value *object)
{
    const Value *values = value_get(object, "_values"), *data = value_get(values, "data");
    const char *entity = value_get_string(value_get(object, "_object_id"), "_object_name"), *state = value_get_string(values, "state");
    g_autoptr(json_t) json = data == NULL ? json_object() : value_to_json(data);

    if (entity == NULL || state == NULL)
        return NULL;
    g_autofree char *since = show_since(value_get_int(values, "since_us", 0));
    return json_pack("[s, s, s, s, s]", entity, state, since, json_string_or(json, "intent", ""), json_string_or(json, "reason", ""));
}

static bool print_now(Wire *wire, bool as_json, GError **error)
{
    g_autofree char *broker = wire_broker_agent(wire, error);
    g_autoptr(Value) objects = broker == NULL ? NULL : wire_objects(wire, broker, "Entity", error);
    g_autoptr(json_t) table = json_pack("[[s, s, s, s, s]]", "entity", "state", "since", "intent", "reason");

    if (objects == NULL)
        return false;
    if (as_json) {
        g_autoptr(json_t) json = value_to_json(objects);
        show_json(json);
        return true;
    }
    for (size_t i = 0; i < value_size(objects); i++) {
        json_t *row = object_row(value_at(objects, i));

        if (row != NULL)
            json_array_append_new(table, row);
    }
    show_table(table);
    return true;
}

int verb_events(char **argv)
{
    EventsOptions options = { 0 };
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (verb_begin("events [--follow] [--subject PATTERN] [--json]", rows, G_N_ELEMENTS(rows), &options, &options.site.help, argv, &rest,
                   &status)) {
        g_autoptr(Wire) wire = wire_open(&options.site, &error);
        bool fine = wire != NULL && (options.follow ? follow_events(wire, &options, &error) : print_now(wire, options.site.json, &error));

        status = fine ? EXIT_DONE : verb_fail("events", error);
    }
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
