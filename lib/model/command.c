#include "lib/model/command.h"

#include "lib/base/json.h"

void command_free(Command *command)
{
    if (command == NULL)
        return;
    g_free(command->id);
    g_free(command->incident);
    g_free(command->entity);
    g_free(command->action);
    g_free(command->agent);
    g_free(command->group);
    json_decref(command->arguments);
    g_free(command);
}

static void set_text(json_t *json, const char *key, const char *text)
{
    if (text != NULL)
        json_object_set_new(json, key, json_string(text));
}

json_t *command_to_json(const Command *command)
{
    json_t *json = json_object();

    set_text(json, "id", command->id);
    set_text(json, "incident", command->incident);
    set_text(json, "entity", command->entity);
    set_text(json, "action", command->action);
    set_text(json, "agent", command->agent);
    json_object_set_new(json, "epoch", json_integer((json_int_t) command->epoch));
    if (command->shard != 0)
        json_object_set_new(json, "shard", json_integer(command->shard));
    set_text(json, "group", command->group);
    json_object_set_new(json, "deadline_ms", json_integer(command->deadline_ms));
    if (command->arguments != NULL)
        json_object_set(json, "arguments", command->arguments);
    return json;
}

Command *command_from_json(const json_t *json, GError **error)
{
    const char *id, *entity, *action, *agent;
    int64_t epoch, deadline_ms;

    if (!json_get_string(json, "id", &id, error) || !json_get_string(json, "entity", &entity, error) ||
        !json_get_string(json, "action", &action, error) || !json_get_string(json, "agent", &agent, error) ||
        !json_get_int(json, "epoch", &epoch, error) || !json_get_int(json, "deadline_ms", &deadline_ms, error))
        return NULL;
    Command *command = g_new0(Command, 1);
    command->id = g_strdup(id);
    command->incident = g_strdup(json_string_or(json, "incident", NULL));
    command->entity = g_strdup(entity);
    command->action = g_strdup(action);
    command->agent = g_strdup(agent);
    command->epoch = (uint64_t) epoch;
    command->shard = (unsigned) json_int_or(json, "shard", 0);
    command->group = g_strdup(json_string_or(json, "group", NULL));
    command->deadline_ms = deadline_ms;
    command->arguments = json_incref(json_object_get(json, "arguments"));
    return command;
}

static const char *const result_states[] = { [RESULT_DONE] = "done", [RESULT_FAILED] = "failed", [RESULT_REFUSED] = "refused",
                                             [RESULT_PROGRESS] = "progress" };
G_STATIC_ASSERT(G_N_ELEMENTS(result_states) == RESULT_STATE_N);

const char *result_state_name(ResultState state)
{
    return result_states[state];
}

bool result_state_parse(const char *text, ResultState *ret_state)
{
    for (size_t i = 0; i < RESULT_STATE_N; i++)
        if (g_strcmp0(text, result_states[i]) == 0) {
            *ret_state = (ResultState) i;
            return true;
        }
    return false;
}

void result_free(Result *result)
{
    if (result == NULL)
        return;
    g_free(result->command_id);
    g_free(result->incident);
    g_free(result->agent);
    g_free(result->error);
    g_free(result->text);
    json_decref(result->values);
    g_free(result);
}

json_t *result_to_json(const Result *result)
{
    json_t *json = json_object();

    set_text(json, "command_id", result->command_id);
    set_text(json, "incident", result->incident);
    set_text(json, "agent", result->agent);
    set_text(json, "state", result_states[result->state]);
    set_text(json, "error", result->error);
    set_text(json, "text", result->text);
    if (result->values != NULL)
        json_object_set(json, "values", result->values);
    return json;
}

Result *result_from_json(const json_t *json, GError **error)
{
    const char *id, *state_text;
    ResultState state;

    if (!json_get_string(json, "command_id", &id, error) || !json_get_string(json, "state", &state_text, error))
        return NULL;
    if (!result_state_parse(state_text, &state)) {
        g_set_error(error, JSON_ERROR, JSON_ERROR_TYPE, "\"state\" is \"%s\": done, failed, refused or progress is wanted", state_text);
        return NULL;
    }
    Result *result = g_new0(Result, 1);
    result->command_id = g_strdup(id);
    result->incident = g_strdup(json_string_or(json, "incident", NULL));
    result->agent = g_strdup(json_string_or(json, "agent", NULL));
    result->state = state;
    result->error = g_strdup(json_string_or(json, "error", NULL));
    result->text = g_strdup(json_string_or(json, "text", NULL));
    result->values = json_incref(json_object_get(json, "values"));
    return result;
}
