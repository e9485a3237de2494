#include "broker-plugin/control/results.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/post.h"

void result_note_clear(ResultNote *n)
{
    g_clear_pointer(&n->command_id, g_free);
    g_clear_pointer(&n->incident, g_free);
    g_clear_pointer(&n->entity, g_free);
    g_clear_pointer(&n->agent, g_free);
    g_clear_pointer(&n->error, g_free);
    g_clear_pointer(&n->text, g_free);
}

static char *text_of(const Value *map, const char *key)
{
    const char *text = value_get_string(map, key);

    return text != NULL && text[0] != '\0' ? g_strndup(text, 1024) : NULL;
}

bool result_read(const mend_msg *msg, ResultNote *ret, GError **error)
{
    g_autoptr(QmfMessage) message = qmf_of_msg(msg, error);
    const char *state, *id;

    if (message == NULL)
        return false;
    state = value_get_string(message->extra, "mend.state");
    id = value_get_string(message->extra, "mend.command-id");
    if (state == NULL || id == NULL || !result_state_parse(state, &ret->state)) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "a result without mend.command-id or a known mend.state");
        return false;
    }
    ret->command_id = text_of(message->extra, "mend.command-id");
    ret->incident = text_of(message->extra, "mend.incident");
    ret->entity = text_of(message->extra, "mend.entity");
    ret->error = text_of(message->extra, "mend.error");
    ret->agent = g_strdup(message->agent);
    ret->text = text_of(value_get(message->body, "_values"), "error_text");
    if (ret->text == NULL)
        ret->text = text_of(value_get(message->body, "_arguments"), "text");
    return true;
}

static void say(Value *extra, const char *key, const char *text)
{
    if (text != NULL)
        value_set(extra, key, value_string(text));
}

QmfMessage *result_message(const GateCommand *command, ResultState state, const char *code, const char *text, Value *values,
                           int64_t started_us, int64_t ended_us)
{
    bool done = state == RESULT_DONE;
    QmfMessage *m = qmf_message_new(done ? QMF_METHOD_RESPONSE : QMF_EXCEPTION);
    Value *outputs = values != NULL ? values : value_map();

    m->agent = g_strdup(command->agent);
    m->correlation_id = g_strdup(command->id);
    m->body = value_map();
    m->extra = value_map();
    if (!done)
        value_set(outputs, "error_text", value_string(text != NULL ? text : code));
    else if (text != NULL)
        value_set(outputs, "text", value_string(text));
    value_set(m->body, done ? "_arguments" : "_values", outputs);
    say(m->extra, "mend.command-id", command->id);
    say(m->extra, "mend.incident", command->incident);
    say(m->extra, "mend.entity", command->entity);
    say(m->extra, "mend.state", result_state_name(state));
    say(m->extra, "mend.error", code);
    value_set(m->extra, "mend.started_us", value_int(VALUE_INT64, started_us));
    value_set(m->extra, "mend.ended_us", value_int(VALUE_INT64, ended_us));
    return m;
}
