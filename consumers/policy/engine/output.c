/* What the engine says: one JSON form for the journal, the golden cases and people. */
#include "consumers/policy/engine/engine_private.h"

#include "lib/base/json.h"

static void output_free(EngineOutput *output)
{
    json_decref(output->json);
    command_free(output->command);
    g_free(output);
}

EngineOutputs *engine_outputs_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify) output_free);
}

static EngineOutput *put(Stage *s, OutputKind kind, json_t *json)
{
    EngineOutput *output = g_new0(EngineOutput, 1);

    output->kind = kind;
    output->json = json;
    g_ptr_array_add(s->outputs, output);
    return output;
}

static void set_incident(json_t *json, const Incident *incident)
{
    if (incident != NULL) {
        json_object_set_new(json, "incident", json_string(incident->id));
        json_object_set_new(json, "entity", json_string(incident->entity->path));
    }
}

void put_record(Stage *s, const char *kind, const Incident *incident, const char *entity, json_t *data, const char *format, ...)
{
    va_list args;
    json_t *json = json_pack("{s:s}", "record", kind);

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    set_incident(json, incident);
    if (incident == NULL && entity != NULL)
        json_object_set_new(json, "entity", json_string(entity));
    json_object_set_new(json, "text", json_string(text));
    if (data != NULL)
        json_object_set_new(json, "data", data);
    put(s, OUTPUT_RECORD, json);
}

static void notice_say(Stage *s, const char *kind, const char *to, Incident *incident, json_t *entities, const char *text)
{
    if (incident != NULL && quiet_keeps_notice(s, incident, kind, to, entities, text))
        return;
    if (incident != NULL) {
        json_decref(incident->muted);
        incident->muted = NULL;
    }
    json_t *json = json_pack("{s:s, s:s}", "notice", kind, "to", to);
    set_incident(json, incident);
    json_object_set_new(json, "text", json_string(text));
    if (entities != NULL)
        json_object_set(json, "entities", entities);
    put(s, OUTPUT_NOTICE, json);
}

void put_notice(Stage *s, const char *kind, const char *to, Incident *incident, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    notice_say(s, kind, to, incident, NULL, text);
}

void put_notice_about(Stage *s, const char *kind, const char *to, Incident *incident, json_t *entities, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    notice_say(s, kind, to, incident, entities, text);
    json_decref(entities);
}

static Command *command_copy(const Command *command)
{
    g_autoptr(json_t) json = command_to_json(command);

    return command_from_json(json, NULL);
}

static void put_command_record(Stage *s, const Incident *incident, const Command *command, const char *record, json_t *data)
{
    json_t *json = json_pack("{s:s, s:o, s:s, s:i, s:i, s:b}", "record", record, "command", command_to_json(command), "rule", incident->rule, "step",
                             (int) incident->step + 1, "attempt", (int) incident->attempts, "again", data == NULL);

    set_incident(json, incident);
    if (data != NULL)
        json_object_set_new(json, "data", data);
    EngineOutput *output = put(s, OUTPUT_COMMAND, json);
    output->command = command_copy(command);
}

void put_command(Stage *s, const Incident *incident, const Command *command, json_t *considered, json_t *gates, json_t *rungs)
{
    put_command_record(s, incident, command, "command", json_pack("{s:O, s:O*, s:O}", "gates", gates, "considered", considered, "rungs", rungs));
}

void put_command_again(Stage *s, const Incident *incident, const Command *command)
{
    put_command_record(s, incident, command, "command.again", NULL);
}

void put_control(Stage *s, const char *control, const Command *command, json_t *data)
{
    EngineOutput *output = put(s, OUTPUT_COMMAND, json_pack("{s:s, s:o, s:s, s:s, s:b, s:O}", "record", "command", "command",
                                                            command_to_json(command), "rule", control, "entity", command->entity, "again", 0,
                                                            "data", data));

    output->command = command_copy(command);
}

int64_t engine_due_us(const Engine *engine)
{
    const DueTime *first = due_first(&engine->due);

    return first == NULL ? NEVER_US : first->at_us;
}

void put_timer(Stage *s)
{
    int64_t due_us = engine_due_us(s->engine);

    if (due_us == s->engine->timer_us)
        return;
    s->engine->timer_us = due_us;
    put(s, OUTPUT_TIMER, NULL)->at_us = due_us;
}

char *engine_outputs_text(const EngineOutputs *outputs)
{
    g_autoptr(json_t) all = json_array();

    for (guint i = 0; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];

        if (output->kind == OUTPUT_TIMER)
            json_array_append_new(all, json_pack("{s:I}", "timer", (json_int_t) output->at_us));
        else
            json_array_append(all, output->json);
    }
    return json_text(all);
}
