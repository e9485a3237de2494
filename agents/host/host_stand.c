#include "agents/host/host_stand.h"

#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <glib/gstdio.h>
#include <string.h>

static const char *text_of(const Value *map, const char *key)
{
    const char *text = value_get_string(map, key);

    return text != NULL ? text : "";
}

static void keep_answer(HostStand *stand, const QmfMessage *message)
{
    const Value *values = value_get(message->body, message->opcode == QMF_EXCEPTION ? "_values" : "_arguments");

    g_ptr_array_add(stand->answers,
                    json_pack("{s:s, s:s, s:o, s:s, s:s}", "id", message->correlation_id != NULL ? message->correlation_id : "",
                              "opcode", qmf_opcode_name(message->opcode), "values", values != NULL ? value_to_json(values) : json_object(),
                              "state", text_of(message->extra, "mend.state"), "error", text_of(message->extra, "mend.error")));
}

static void on_send(void *user, const char *node, const QmfMessage *message)
{
    HostStand *stand = user;
    const Value *event = value_at(message->body, 0);

    if (message->opcode == QMF_DATA_INDICATION)
        g_ptr_array_add(stand->events, json_pack("{s:s, s:o}", "class", text_of(value_get(event, "_schema_id"), "_class_name"), "values",
                                                 value_to_json(value_get(event, "_values"))));
    else if (message->opcode == QMF_METHOD_RESPONSE || message->opcode == QMF_EXCEPTION)
        keep_answer(stand, message);
}

static int64_t on_wall(void *user) { return clock_wall_us(); }

HostStand *host_stand_new(void)
{
    const QmfAgentOptions options = { "matahariproject.org", "mend-host", STAND_HOST, 1, 5 };
    HostStand *stand = g_new0(HostStand, 1);
    g_autoptr(GError) error = NULL;

    stand->folder = g_dir_make_tmp("mend-host-XXXXXX", &error);
    g_assert_no_error(error);
    stand->events = g_ptr_array_new_with_free_func((GDestroyNotify) json_decref);
    stand->answers = g_ptr_array_new_with_free_func((GDestroyNotify) json_decref);
    stand->bus = (QmfBus) { on_send, on_wall, stand };
    stand->agent = qmf_agent_new(&stand->bus, &options);
    stand->ledger = command_ledger_open(stand->folder, &error);
    g_assert_no_error(error);
    stand->gate = command_gate_new(stand->agent, stand->ledger);
    stand->identity = identity_load(stand->folder, STAND_HOST, "/", &error);
    g_assert_no_error(error);
    stand->host = host_new(stand->agent, stand->gate, stand->identity, stand->folder);
    host_set_online(stand->host, true);
    return stand;
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *inside = g_build_filename(path, name, NULL);

        remove_tree(inside);
    }
    g_remove(path);
}

void host_stand_free(HostStand *stand)
{
    host_free(stand->host);
    qmf_agent_free(stand->agent);
    command_gate_free(stand->gate);
    command_ledger_close(stand->ledger);
    identity_free(stand->identity);
    g_ptr_array_unref(stand->events);
    g_ptr_array_unref(stand->answers);
    remove_tree(stand->folder);
    g_free(stand->folder);
    g_free(stand);
}

char *host_stand_begin(HostStand *stand, const char *method, json_t *arguments)
{
    g_autoptr(QmfMessage) request = qmf_message_new(QMF_METHOD_REQUEST);
    const QmfMethod *known = qmf_class_method(qmf_schema_find(qmf_schema_builtin(), "org.matahariproject.mend", "Hypervisor"), method);
    g_autoptr(Value) raw = value_from_json(arguments);
    g_autoptr(GError) error = NULL;
    char *id = uuid_new();

    g_assert_nonnull(known);
    request->body = value_map();
    value_set(request->body, "_object_id", qmf_object_id(qmf_agent_name(stand->agent), "Hypervisor", 0));
    value_set(request->body, "_method_name", value_string(method));
    value_set(request->body, "_arguments", qmf_values_conform(known->arguments, known->n_arguments, QMF_DIR_IN, raw, &error));
    g_assert_no_error(error);
    json_decref(arguments);
    request->subject = g_strdup(qmf_agent_name(stand->agent));
    request->reply_to = g_strdup("mend.results");
    request->correlation_id = g_strdup(id);
    request->extra = value_map();
    value_set(request->extra, "mend.command-id", value_string(id));
    qmf_agent_receive(stand->agent, request);
    return id;
}

typedef struct Answer {
    HostStand *stand;
    const char *id;
    json_t *found;
} Answer;

static bool is_answered(void *user)
{
    Answer *answer = user;

    for (guint i = 0; i < answer->stand->answers->len && answer->found == NULL; i++)
        if (strcmp(json_string_value(json_object_get(answer->stand->answers->pdata[i], "id")), answer->id) == 0)
            answer->found = json_incref(answer->stand->answers->pdata[i]);
    return answer->found != NULL;
}

json_t *host_stand_end(HostStand *stand, const char *id, unsigned timeout_ms)
{
    Answer answer = { stand, id, NULL };

    host_stand_until(is_answered, &answer, timeout_ms);
    return answer.found;
}

json_t *host_stand_call(HostStand *stand, const char *method, json_t *arguments, unsigned timeout_ms)
{
    g_autofree char *id = host_stand_begin(stand, method, arguments);

    return host_stand_end(stand, id, timeout_ms);
}

typedef struct Search {
    HostStand *stand;
    guint index;
    const char *class, *key, *value;
} Search;

static bool is_told(void *user)
{
    Search *search = user;

    for (; search->index < search->stand->events->len; search->index++) {
        const json_t *event = search->stand->events->pdata[search->index];
        const char *value = search->key != NULL ? json_string_value(json_object_get(json_object_get(event, "values"), search->key)) : NULL;

        if (strcmp(json_string_value(json_object_get(event, "class")), search->class) == 0 &&
            (search->key == NULL || g_strcmp0(value, search->value) == 0))
            return true;
    }
    return false;
}

guint host_stand_wait(HostStand *stand, guint from, const char *class, const char *key, const char *value, unsigned timeout_ms)
{
    Search search = { stand, from, class, key, value };

    host_stand_until(is_told, &search, timeout_ms);
    return search.index;
}

const json_t *host_stand_event(const HostStand *stand, guint index)
{
    return json_object_get(stand->events->pdata[index], "values");
}

static gboolean on_over(void *user)
{
    *(bool *) user = true;
    return G_SOURCE_CONTINUE;
}

void host_stand_until(bool (*done)(void *user), void *user, unsigned timeout_ms)
{
    bool over = false;
    guint timer = g_timeout_add(timeout_ms, on_over, &over);

    while (!done(user) && !over)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
    if (!done(user))
        g_error("not within %u ms", timeout_ms);
}
