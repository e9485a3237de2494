/* The journal holds inputs and what the engine said to each, in order. Lines of one entity are gathered into incidents: one begins with
 * the event that opened it (which stands just before) and ends when it is closed; what happens between belongs to it. */
#include "consumers/policy/story.h"

#include "consumers/policy/machine.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/model/event.h"

#include <string.h>

G_DEFINE_QUARK(mend-story-error-quark, story_error)

#define RECORDS_MAX 400
#define EVENTS_MAX 20
#define CANDIDATES_MAX 8
#define LINES_OF_AN_EVENT 8 /* what is told between an event and the incident it opens, at most: copies, proofs */

struct Teller {
    json_t *story;
    json_t *incidents, *events; /* arrays in it */
    json_t *open;               /* borrowed: the incident lines go to; NULL */
    GHashTable *told;           /* ids of events: one that came twice is told once */
};

static json_t *lines_of(Teller *t)
{
    return t->open != NULL ? json_object_get(t->open, "lines") : t->events;
}

static void put_line(json_t *lines, int64_t at_us, const char *what, const char *text)
{
    json_array_append_new(lines, json_pack("{s:I, s:s, s:s}", "at_us", (json_int_t) at_us, "what", what, "text", text));
}

static void put_event(Teller *t, const json_t *input, int64_t wall_us)
{
    g_autoptr(Event) event = event_from_json(json_object_get(input, "event"), NULL);
    bool asked = strcmp(json_string_or(input, "input", ""), "entity") == 0;

    if (event == NULL || !g_hash_table_add(t->told, g_strdup(event_fields(event)->id)))
        return;
    const EventFields *f = event_fields(event);
    int64_t occurred_us = json_int_or(event_data(event), "occurred_us", 0);
    const char *reason = event_data_string(event, "reason"), *intent = event_data_string(event, "intent");
    const char *dot = strchr(f->kind, '.'), *state = dot == NULL ? f->kind : dot + 1;
    bool more = reason != NULL && *reason != '\0' && strcmp(reason, state) != 0;
    g_autofree char *said = g_strdup_printf("%s%s%s", state, more ? ", " : "", more ? reason : "");
    g_autofree char *held = g_strdup_printf("%s%s%s, number %" G_GUINT64_FORMAT "%s", f->kind, intent == NULL ? "" : ", intent ",
                                            intent == NULL ? "" : intent, f->sequence, asked ? ", asked for" : "");
    if (occurred_us > 0)
        put_line(lines_of(t), occurred_us, "indication", said);
    put_line(lines_of(t), f->time_us, "event", held);
    put_line(lines_of(t), wall_us, "taken", "read by the policy engine");
}

/* The lines of the event that opens an incident were told as nobody's; they move into it. */
static json_t *take_last_event(Teller *t)
{
    json_t *lines = json_array();
    size_t from = json_array_size(t->events);

    while (from > 0 && json_array_size(t->events) - from < LINES_OF_AN_EVENT) {
        const char *what = json_string_or(json_array_get(t->events, from - 1), "what", "");

        from--;
        if (strcmp(what, "indication") == 0 ||
            (strcmp(what, "event") == 0 &&
             (from == 0 || strcmp(json_string_or(json_array_get(t->events, from - 1), "what", ""), "indication") != 0)))
            break;
    }
    while (json_array_size(t->events) > from) {
        json_array_append(lines, json_array_get(t->events, from));
        json_array_remove(t->events, from);
    }
    return lines;
}

static char *values_text(const json_t *data)
{
    GString *text = g_string_new(NULL);
    const char *name;
    json_t *value;

    json_object_foreach((json_t *) json_object_get(data, "values"), name, value) {
        g_autofree char *shown = json_dumps(value, JSON_ENCODE_ANY);

        g_string_append_printf(text, "%s%s = %s", text->len == 0 ? "" : ", ", name, shown);
    }
    return g_string_free(text, FALSE);
}

static void begin_incident(Teller *t, const json_t *record, const json_t *data, int64_t wall_us)
{
    const char *where = json_string_or(data, "where", NULL);
    size_t i;
    json_t *other;
    g_autofree char *values = values_text(data);
    g_autofree char *rule = where == NULL ? g_strdup_printf("%s applies", json_string_or(data, "rule", ""))
                                          : g_strdup_printf("%s applies: %s (%s)", json_string_or(data, "rule", ""), where, values);
    json_t *incident = json_pack("{s:s, s:s, s:s, s:i, s:I, s:o}", "id", json_string_or(record, "incident", ""), "rule",
                                 json_string_or(data, "rule", ""), "state", "open", "attempts", 0, "opened_us", (json_int_t) wall_us,
                                 "lines", take_last_event(t));

    json_array_append_new(t->incidents, incident);
    t->open = incident;
    put_line(lines_of(t), wall_us, "rule", rule);
    json_array_foreach(json_object_get(data, "not_asked"), i, other) {
        g_autofree char *text = g_strdup_printf("rule %s listens too, and was not asked: %s stands before it", json_string_value(other),
                                                json_string_or(data, "rule", ""));
        put_line(lines_of(t), wall_us, "not done", text);
    }
}

/* What was thought of and not done: what could have held it, other hosts, other rules, the other rungs. */
static void put_considered(Teller *t, const json_t *data, int64_t wall_us)
{
    GString *text = g_string_new(NULL);
    size_t i;
    json_t *item;
    const char *key;

    json_array_foreach(json_object_get(data, "gates"), i, item)
        g_string_append_printf(text, "%s%s%s%s%s", i == 0 ? "nothing holds it: " : ", ", json_string_or(item, "gate", ""),
                               json_object_get(item, "text") == NULL ? "" : " (", json_string_or(item, "text", ""),
                               json_object_get(item, "text") == NULL ? "" : ")");
    put_line(lines_of(t), wall_us, "considered", text->str);
    json_array_foreach(json_object_get(json_object_get(data, "considered"), "considered"), i, item) {
        g_autofree char *line = g_strdup_printf("%s: %s", json_string_or(item, "host", ""), json_string_or(item, "text", ""));
        put_line(lines_of(t), wall_us, "considered", line);
    }
    if (json_object_get(json_object_get(data, "considered"), "considered") == NULL)
        json_object_foreach((json_t *) json_object_get(data, "considered"), key, item) {
            g_autofree char *line = g_strdup_printf("%s: %s", key, json_string_value(item));
            put_line(lines_of(t), wall_us, "considered", line);
        }
    g_string_truncate(text, 0);
    json_array_foreach(json_object_get(data, "rungs"), i, item)
        g_string_append_printf(text, "%s%s%s%s: %s", i == 0 ? "" : "; ", json_string_or(item, "do", ""),
                               json_object_get(item, "to") == NULL ? "" : " ", json_string_or(item, "to", ""), json_string_or(item, "turn", ""));
    put_line(lines_of(t), wall_us, "ladder", text->str);
    g_string_free(text, TRUE);
}

/* A control rule's command has no incident: its numbers are its reason. */
/* Rules of MOM: what they set, and what that means. */
static void put_mom(Teller *t, const json_t *control, int64_t wall_us)
{
    g_autofree char *set = json_text(json_object_get(control, "set")), *arguments = json_text(json_object_get(control, "arguments"));
    g_autofree char *text = g_strdup_printf("%s: its rules set %s: %s", json_string_or(control, "rule", ""), set, arguments);

    put_line(lines_of(t), wall_us, "control", text);
}

static void put_control(Teller *t, const json_t *control, int64_t wall_us)
{
    g_autofree char *values = values_text(control);
    g_autofree char *text = g_strdup_printf("%s sets %" JSON_INTEGER_FORMAT ", from %" JSON_INTEGER_FORMAT ": average of %d samples %.17g, wanted %.17g%s%s",
                                            json_string_or(control, "rule", ""), (json_int_t) json_int_or(control, "value", 0),
                                            (json_int_t) json_int_or(control, "current", 0), (int) json_int_or(control, "samples", 0),
                                            json_number_value(json_object_get(control, "average")),
                                            json_number_value(json_object_get(control, "wanted")), *values == '\0' ? "" : ", ", values);

    put_line(lines_of(t), wall_us, "control", text);
}

static void put_command(Teller *t, const json_t *said, int64_t wall_us)
{
    const json_t *control = json_object_get(json_object_get(said, "data"), "control");
    const json_t *command = json_object_get(said, "command");
    bool again = json_bool_or(said, "again", false);
    g_autofree char *text = g_strdup_printf("%s%s, attempt %d, epoch %d, id %s", again ? "again: " : "", json_string_or(command, "action", ""),
                                            (int) json_int_or(said, "attempt", 0), (int) json_int_or(command, "epoch", 0),
                                            json_string_or(command, "id", ""));

    if (control != NULL && json_object_get(control, "set") != NULL)
        put_mom(t, control, wall_us);
    else if (control != NULL)
        put_control(t, control, wall_us);
    else if (!again)
        put_considered(t, json_object_get(said, "data"), wall_us);
    put_line(lines_of(t), wall_us, "command", text);
    if (t->open != NULL && control == NULL)
        json_object_set_new(t->open, "attempts", json_integer(json_int_or(said, "attempt", 0)));
}

static void put_result(Teller *t, const json_t *said, const json_t *data, int64_t wall_us)
{
    const json_t *values = json_object_get(data, "values");
    GString *text = g_string_new(json_string_or(data, "state", ""));
    const char *state = json_string_or(values, "state", NULL), *why = json_string_or(data, "text", NULL);

    if (json_string_or(data, "error", NULL) != NULL)
        g_string_append_printf(text, ", %s", json_string_or(data, "error", ""));
    if (why != NULL)
        g_string_append_printf(text, ": %s", why);
    if (state != NULL)
        g_string_append_printf(text, ", %s", state);
    if (json_int_or(values, "pid", 0) > 0)
        g_string_append_printf(text, ", pid %d", (int) json_int_or(values, "pid", 0));
    put_line(lines_of(t), wall_us, "result", text->str);
    g_string_free(text, TRUE);
}

static const struct {
    const char *record, *what;
} plain_lines[] = {
    { "incident.waits", "waits" },     { "attempt.failed", "failed" },          { "step.used-up", "step" },      { "step.skipped", "step" },
    { "plan", "plan" },                { "plan.item", "item" },
    { "seen-well", "seen well" },      { "incident.needs-human", "needs human" }, { "not-a-failure", "not done" }, { "rule.passed-over", "not done" },
    { "verdict", "verdict" },          { "proof", "proof" },                    { "copies", "copies" }, { "old-copy", "copies" },
    { "derived", "follows" },          { "suppressed", "kept back" },            { "result.late", "late" },
    { "approval", "approval" },        { "flapping", "flapping" },              { "flapping.ended", "flapping" }, { "incident.goes-on", "goes on" },
    { "job.begun", "job" },            { "job.ended", "job" },                  { "job.overdue", "job" },   { "quiet.begun", "quiet" },
    { "quiet.ended", "quiet" },        { "quarantine", "quarantine" },          { "quarantine.ended", "quarantine" },
    { "host.trouble", "trouble" },     { "quarantine.refused", "quarantine" },
    { "rule.fired", "rule" },          { "rule.suppressed", "not done" },       { "rule.not-taken", "not done" },
    { "control.none", "not done" },    { "control.would", "would" },            { "control.result", "result" },
    { "operator", "operator" },        { "operator.refused", "operator" },         { "eject", "eject" },      { "limit", "limit" },
};

static void put_said(Teller *t, const json_t *said, int64_t wall_us)
{
    const char *record = json_string_or(said, "record", ""), *text = json_string_or(said, "text", "");
    const json_t *data = json_object_get(said, "data");

    if (strcmp(record, "incident.open") == 0) {
        begin_incident(t, said, data, wall_us);
    } else if (json_object_get(said, "command") != NULL) {
        put_command(t, said, wall_us);
    } else if (strcmp(record, "result") == 0) {
        put_result(t, said, data, wall_us);
    } else if (strcmp(record, "incident.closed") == 0) {
        put_line(lines_of(t), wall_us, strcmp(json_string_or(data, "state", ""), "healed") == 0 ? "verified" : "closed", text);
        if (t->open != NULL)
            json_object_set_new(t->open, "state", json_string(json_string_or(data, "state", "")));
        t->open = NULL;
    } else if (json_object_get(said, "notice") != NULL) {
        g_autofree char *told = g_strdup_printf("%s: %s", json_string_or(said, "to", ""), text);
        put_line(lines_of(t), wall_us, "notice", told);
    }
    if (t->open != NULL && strcmp(record, "incident.needs-human") == 0)
        json_object_set_new(t->open, "state", json_string("needs-human"));
    for (size_t i = 0; i < G_N_ELEMENTS(plain_lines); i++)
        if (strcmp(record, plain_lines[i].record) == 0)
            put_line(lines_of(t), wall_us, plain_lines[i].what, text);
}

void teller_hear(Teller *t, bool input, const json_t *record, int64_t wall_us)
{
    const char *entity = input ? json_string_or(json_object_get(record, "event"), "subject", NULL) : json_string_or(record, "entity", NULL);

    if (g_strcmp0(entity, json_string_or(t->story, "entity", NULL)) != 0)
        return;
    if (input && json_object_get(record, "event") != NULL)
        put_event(t, record, wall_us);
    else if (!input)
        put_said(t, record, wall_us);
}

static bool tell(const JournalRecord *record, void *user)
{
    g_autoptr(json_t) json = machine_record_json(record, NULL);

    if (json != NULL && (record->kind == JOURNAL_INPUT || record->kind == JOURNAL_SAID))
        teller_hear(user, record->kind == JOURNAL_INPUT, json, record->wall_us);
    return true;
}

/* Milliseconds since the first line of each incident. */
static void set_ms(json_t *lines)
{
    int64_t first_us = json_int_or(json_array_get(lines, 0), "at_us", 0);
    size_t i;
    json_t *line;

    json_array_foreach(lines, i, line)
        json_object_set_new(line, "ms", json_real((double) (json_int_or(line, "at_us", 0) - first_us) / 1000));
}

static char *resolve(Journal *journal, const char *name, GError **error)
{
    g_auto(GStrv) names = journal_entities(journal, name, 1000, error);
    g_autofree char *end = g_strconcat("/", name, NULL);
    g_autoptr(GPtrArray) ending = g_ptr_array_new();

    if (names == NULL)
        return NULL;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0)
            return g_strdup(name);
        if (g_str_has_suffix(names[i], end))
            g_ptr_array_add(ending, names[i]);
    }
    if (ending->len == 1)
        return g_strdup(ending->pdata[0]);
    if (g_strv_length(names) == 1)
        return g_strdup(names[0]);
    if (names[0] == NULL) {
        g_set_error(error, STORY_ERROR, STORY_ERROR_UNKNOWN, "nothing is known of \"%s\"", name);
        return NULL;
    }
    if (g_strv_length(names) > CANDIDATES_MAX)
        g_clear_pointer(&names[CANDIDATES_MAX], g_free);
    g_autofree char *list = g_strjoinv("\n  ", names);
    g_set_error(error, STORY_ERROR, STORY_ERROR_AMBIGUOUS, "\"%s\" may be one of\n  %s", name, list);
    return NULL;
}

Teller *teller_new(const char *entity)
{
    Teller *t = g_new0(Teller, 1);

    t->story = json_pack("{s:s, s:[], s:[]}", "entity", entity, "incidents", "events");
    t->incidents = json_object_get(t->story, "incidents");
    t->events = json_object_get(t->story, "events");
    t->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return t;
}

json_t *teller_end(Teller *t)
{
    json_t *story = t->story, *incident;
    size_t i;

    while (json_array_size(t->events) > EVENTS_MAX)
        json_array_remove(t->events, 0);
    json_array_foreach(t->incidents, i, incident)
        set_ms(json_object_get(incident, "lines"));
    set_ms(t->events);
    g_hash_table_unref(t->told);
    g_free(t);
    return story;
}

json_t *story_of(Journal *journal, const char *name, GError **error)
{
    g_autofree char *entity = resolve(journal, name, error);

    if (entity == NULL)
        return NULL;
    Teller *t = teller_new(entity);
    bool fine = journal_story(journal, entity, RECORDS_MAX, tell, t, error);
    g_autoptr(json_t) story = teller_end(t);
    return fine ? g_steal_pointer(&story) : NULL;
}

static void text_lines(GString *text, const json_t *lines)
{
    size_t i;
    json_t *line;

    json_array_foreach(lines, i, line)
        g_string_append_printf(text, "  %10.1f ms  %-11s  %s\n", json_number_value(json_object_get(line, "ms")),
                               json_string_or(line, "what", ""), json_string_or(line, "text", ""));
}

static void text_incident(GString *text, const json_t *incident)
{
    const json_t *lines = json_object_get(incident, "lines");
    g_autofree char *time = time_format(json_int_or(json_array_get(lines, 0), "at_us", 0));

    g_string_append_printf(text, "\nincident %s  %s  %s, attempts: %d\n", json_string_or(incident, "id", ""), time,
                           json_string_or(incident, "state", ""), (int) json_int_or(incident, "attempts", 0));
    text_lines(text, lines);
}

char *story_text(const json_t *story)
{
    GString *text = g_string_new(json_string_or(story, "entity", ""));
    const json_t *incidents = json_object_get(story, "incidents"), *events = json_object_get(story, "events");
    size_t i;
    json_t *incident;

    g_string_append_c(text, '\n');
    json_array_foreach(incidents, i, incident)
        text_incident(text, incident);
    if (json_array_size(incidents) == 0)
        g_string_append(text, "no incident is known\n");
    if (json_array_size(events) > 0) {
        g_string_append(text, "\noutside of incidents\n");
        text_lines(text, events);
    }
    return g_string_free(text, FALSE);
}
