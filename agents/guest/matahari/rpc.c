/*   no process --start--> READING --first line--> IDLE <--answer-- BUSY
 *        ^                                         |  --send-------^ |
 *        +---- gone, or idle for too long ---------+-----------------+
 *
 * One call at a time, as in the original, whose plug-ins ran inside the agent. A call that takes too long costs the process; the next one
 * starts it again. Plug-ins keep what they remember as long as their process lives. */
#include "agents/guest/matahari/rpc.h"

#include "agents/guest/matahari/rpc_process.h"
#include "agents/guest/matahari/schema_made.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>

#define PACKAGE        "org.matahariproject.rpc.plugin"
#define WAITING_MAX    64
#define REQUEST_BYTES  262144
#define PLUGINS_MAX    64
#define PROCEDURES_MAX 200
#define READING_US     (30 * US_PER_S)

struct RpcClass {
    const ClassContext *context;
    RpcOptions options;
    const QmfClass *exception;
    RpcProcess *process; /* NULL: none */
    bool reading;        /* its first line has not come */
    bool known;          /* the plug-ins are on the bus */
    GPtrArray *objects;  /* of QmfObject */
    GQueue waiting;      /* of QmfCall */
    QmfCall *call;       /* the process is at; NULL: none */
    int64_t id;          /* of that request */
    guint timer;         /* of the call, of the reading, or of being idle */
};

static void next_call(RpcClass *rpc);

static void end_process(RpcClass *rpc)
{
    g_clear_handle_id(&rpc->timer, g_source_remove);
    g_clear_pointer(&rpc->process, rpc_process_free);
    rpc->reading = false;
}

/* The process is of no more use: the call it was at is answered, and those that waited for it to begin with. */
static void give_up(RpcClass *rpc, const char *error, const char *problem)
{
    g_autofree char *text = g_strdup_printf(MH_BACKEND ": the plug-ins' process %s", problem);
    QmfCall *call = g_steal_pointer(&rpc->call);
    bool never_began = rpc->reading;

    log_warning("rpc: the plug-ins' process %s", problem);
    end_process(rpc);
    if (call != NULL)
        command_gate_raise(rpc->context->gate, call, error, text);
    while (never_began && (call = g_queue_pop_head(&rpc->waiting)) != NULL)
        command_gate_raise(rpc->context->gate, call, error, text);
    next_call(rpc);
}

static gboolean on_time_over(void *user)
{
    RpcClass *rpc = user;

    rpc->timer = 0;
    if (rpc->call == NULL && !rpc->reading)
        end_process(rpc); /* idle */
    else
        give_up(rpc, COMMAND_ERROR_TIMEOUT, "took too long");
    return G_SOURCE_REMOVE;
}

static void set_timer(RpcClass *rpc, int64_t us)
{
    g_clear_handle_id(&rpc->timer, g_source_remove);
    if (us > 0)
        rpc->timer = g_timeout_add((guint) MIN(us / US_PER_MS + 1, G_MAXINT32), on_time_over, rpc);
}

/* ---- what plug-ins there are ---- */

static void on_method(QmfCall *call, void *user);

static void add_plugin(RpcClass *rpc, const char *name, const json_t *procedures)
{
    SchemaMade schema = schema_made(PACKAGE, name, false);
    g_autofree char *object = uuid_new();
    const QmfClass *class;

    for (size_t i = 0; i < MIN(json_array_size(procedures), PROCEDURES_MAX); i++) {
        const char *procedure = json_string_value(json_array_get(procedures, i));
        g_autofree char *description = g_strdup_printf("Invoke the %s function in the plugin.", procedure != NULL ? procedure : "");
        Value *arguments = value_list();

        schema_add(arguments, "args", QMF_TYPE_LIST, "I", "RW", "List of positional arguments in JSON format.");
        schema_add(arguments, "kwargs", QMF_TYPE_MAP, "I", "RW", "Map of named arguments in JSON format.");
        schema_add(arguments, "result", QMF_TYPE_STRING, "O", "RW", "Return value in JSON format.");
        schema_add_method(&schema, procedure != NULL ? procedure : "", description, arguments);
    }
    class = schema_end(&schema, rpc->context);
    if (class == NULL)
        return;
    qmf_agent_on_method(rpc->context->agent, class, on_method, rpc);
    g_ptr_array_add(rpc->objects, qmf_agent_add_object(rpc->context->agent, class, object, value_map()));
}

static void read_plugins(RpcClass *rpc, const json_t *line)
{
    const json_t *plugins = json_object_get(line, "plugins"), *failed = json_object_get(line, "failed");

    for (size_t i = 0; i < MIN(json_array_size(failed), PLUGINS_MAX) && !rpc->known; i++)
        log_warning("rpc: %s.py: %s", json_string_or(json_array_get(failed, i), "name", "?"),
                    json_string_or(json_array_get(failed, i), "error", "?"));
    for (size_t i = 0; i < MIN(json_array_size(plugins), PLUGINS_MAX) && !rpc->known; i++) {
        const char *name = json_string_or(json_array_get(plugins, i), "name", "");

        if (*name != '\0')
            add_plugin(rpc, name, json_object_get(json_array_get(plugins, i), "procedures"));
    }
    if (!rpc->known)
        log_info("rpc: %u plug-ins", rpc->objects->len);
    rpc->known = true;
}

/* ---- calls ---- */

static void answer(RpcClass *rpc, const json_t *line)
{
    QmfCall *call = g_steal_pointer(&rpc->call);
    const char *result = json_string_or(line, "result", NULL);
    const json_t *exception = json_object_get(line, "exception");
    CommandGate *gate = rpc->context->gate;

    if (result != NULL) {
        command_gate_return(gate, call, output("result", value_string(result)), NULL, NULL);
    } else {
        const char *type = json_string_or(exception, "type", "Exception"), *value = json_string_or(exception, "value", "");
        g_autofree char *text = g_strdup_printf("%s: %s", type, value);
        Value *values = value_map();

        value_set(values, "type", value_string(type));
        value_set(values, "value", value_string(value));
        value_set(values, "traceback", value_string(json_string_or(exception, "traceback", "")));
        command_gate_raise_object(gate, call, COMMAND_ERROR_FAILED, rpc->exception, values, text);
    }
}

static void on_line(const json_t *line, const char *problem, void *user)
{
    RpcClass *rpc = user;

    if (line == NULL) {
        give_up(rpc, COMMAND_ERROR_FAILED, problem);
        return;
    }
    if (rpc->reading)
        read_plugins(rpc, line);
    else if (rpc->call != NULL && json_int_or(line, "id", -1) == rpc->id)
        answer(rpc, line);
    else
        return;
    rpc->reading = false;
    set_timer(rpc, rpc->options.idle_us);
    next_call(rpc);
}

static bool start_process(RpcClass *rpc)
{
    g_autoptr(GError) error = NULL;

    if (rpc_folder_check(rpc->options.folder, &error)) /* it may have changed since */
        rpc->process = rpc_process_start(rpc->options.folder, rpc->options.user, on_line, rpc, &error);
    if (rpc->process == NULL) {
        log_warning("rpc: %s", error->message);
        return false;
    }
    rpc->reading = true;
    set_timer(rpc, READING_US);
    return true;
}

/* args and kwargs are texts, each a JSON value: the original's form. NULL: one of them is no text, or all together are too long. */
static json_t *request_new(const RpcClass *rpc, const QmfCall *call)
{
    const Value *args = value_get(qmf_call_arguments(call), "args"), *kwargs = value_get(qmf_call_arguments(call), "kwargs"), *item;
    const QmfObject *object = qmf_call_object(call);
    g_autoptr(json_t) list = json_array();
    g_autoptr(json_t) map = json_object();
    size_t n_bytes = 0;
    const char *key;

    for (size_t i = 0; i < value_size(args); i++) {
        const char *text = value_as_string(value_at(args, i));

        if (text == NULL || (n_bytes += strlen(text)) > REQUEST_BYTES || json_array_append_new(list, json_string(text)) != 0)
            return NULL;
    }
    for (size_t i = 0; value_entry(kwargs, i, &key, &item); i++) {
        const char *text = value_as_string(item);

        if (text == NULL || (n_bytes += strlen(text) + strlen(key)) > REQUEST_BYTES || json_object_set_new(map, key, json_string(text)) != 0)
            return NULL;
    }
    return json_pack("{s:I, s:s, s:s, s:O, s:O}", "id", (json_int_t) rpc->id, "plugin", qmf_object_class(object)->name, "procedure",
                     qmf_call_method(call), "args", list, "kwargs", map);
}

static void next_call(RpcClass *rpc)
{
    while (rpc->call == NULL && !rpc->reading && !g_queue_is_empty(&rpc->waiting)) {
        if (rpc->process == NULL) {
            if (start_process(rpc))
                return;
            command_gate_raise(rpc->context->gate, g_queue_pop_head(&rpc->waiting), COMMAND_ERROR_FAILED, MH_BACKEND);
            continue;
        }
        rpc->call = g_queue_pop_head(&rpc->waiting);
        rpc->id++;
        g_autoptr(json_t) request = request_new(rpc, rpc->call);
        if (request == NULL) {
            command_gate_raise(rpc->context->gate, g_steal_pointer(&rpc->call), COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
            continue;
        }
        rpc_process_send(rpc->process, request);
        set_timer(rpc, MAX(command_gate_deadline_us(rpc->call, rpc->options.timeout_us) - clock_now_us(), 1));
    }
}

static void on_method(QmfCall *call, void *user)
{
    RpcClass *rpc = user;

    if (g_queue_get_length(&rpc->waiting) >= WAITING_MAX) {
        command_gate_raise(rpc->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND ": too many calls wait");
        return;
    }
    g_queue_push_tail(&rpc->waiting, call);
    next_call(rpc);
}

RpcClass *rpc_class_new(const ClassContext *context, const RpcOptions *options, GError **error)
{
    RpcClass *rpc;

    if (!rpc_folder_check(options->folder, error)) {
        g_prefix_error(error, "--rpc-plugins: ");
        return NULL;
    }
    rpc = g_new0(RpcClass, 1);
    *rpc = (RpcClass){.context = context, .options = *options, .objects = g_ptr_array_new()};
    g_queue_init(&rpc->waiting);
    rpc->exception = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject.rpc", "PluginException");
    qmf_agent_add_class(context->agent, rpc->exception);
    start_process(rpc);
    return rpc;
}

void rpc_class_free(RpcClass *rpc)
{
    QmfCall *call;

    if (rpc == NULL)
        return;
    end_process(rpc);
    if (rpc->call != NULL)
        g_queue_push_head(&rpc->waiting, rpc->call);
    while ((call = g_queue_pop_head(&rpc->waiting)) != NULL)
        command_gate_raise(rpc->context->gate, call, COMMAND_ERROR_INTERRUPTED, "the agent stops");
    for (guint i = 0; i < rpc->objects->len; i++)
        qmf_agent_remove_object(rpc->context->agent, rpc->objects->pdata[i]);
    g_ptr_array_unref(rpc->objects);
    g_free(rpc);
}
