/* The broker delivers a command again when its answer was lost, so a repeat is ordinary: while the command runs, the repeat waits for
 * the same answer; after it, the answer is given again from the ledger. The ledger is written before the method runs, so after a crash
 * in between the command counts as interrupted: it is for the policy to look what became of it, not for us to try again. */
#include "agents/common/command_gate.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>

#define ID_PROPERTY       "mend.command-id"
#define EPOCH_PROPERTY    "mend.epoch"
#define SHARD_PROPERTY    "mend.shard"
#define DEADLINE_PROPERTY "mend.deadline"

typedef struct Running {
    char *id;
    QmfCall *call;
    GPtrArray *repeats; /* of QmfCall */
    int64_t started_us;
    json_t *values;     /* of an answer made by command_gate_return */
} Running;

struct CommandGate {
    QmfAgent *agent;
    CommandLedger *ledger;
    GHashTable *by_id;   /* of Running */
    const LedgerAnswer *answer; /* being given now */
    bool stopping;
};

static void running_free(void *data)
{
    Running *running = data;

    g_free(running->id);
    g_ptr_array_unref(running->repeats);
    json_decref(running->values);
    g_free(running);
}

static const char *extra_text(const QmfCall *call, const char *name)
{
    return value_get_string(qmf_call_request(call)->extra, name);
}

static void copy_extra(QmfCall *call, const char *name)
{
    const char *text = extra_text(call, name);

    if (text != NULL)
        qmf_call_set_extra(call, name, value_string(text));
}

static void set_answer_extras(QmfCall *call, const LedgerAnswer *answer)
{
    static const char *const copied[] = {ID_PROPERTY, "mend.incident", "mend.entity"};

    for (size_t i = 0; i < G_N_ELEMENTS(copied); i++)
        copy_extra(call, copied[i]);
    qmf_call_set_extra(call, "mend.state", value_string(result_state_name(answer->state)));
    if (answer->error != NULL)
        qmf_call_set_extra(call, "mend.error", value_string(answer->error));
    if (answer->text != NULL)
        qmf_call_set_extra(call, "mend.text", value_string(answer->text));
    if (answer->started_us != 0)
        qmf_call_set_extra(call, "mend.started_us", value_int(VALUE_INT64, answer->started_us));
    if (answer->ended_us != 0)
        qmf_call_set_extra(call, "mend.ended_us", value_int(VALUE_INT64, answer->ended_us));
}

static Value *values_of(const LedgerAnswer *answer)
{
    return answer->values != NULL ? value_from_json(answer->values) : NULL;
}

static void give(CommandGate *gate, QmfCall *call, const LedgerAnswer *answer)
{
    gate->answer = answer;
    set_answer_extras(call, answer);
    if (answer->exception)
        qmf_call_raise(call, answer->text != NULL ? answer->text : "failed", values_of(answer));
    else
        qmf_call_return(call, values_of(answer));
    gate->answer = NULL;
}

static Running *running_of(const CommandGate *gate, const QmfCall *call)
{
    const char *id = extra_text(call, ID_PROPERTY);
    Running *running = id != NULL ? g_hash_table_lookup(gate->by_id, id) : NULL;

    return running != NULL && running->call == call ? running : NULL;
}

/* Ends the command: ledger first, then its repeats; the call itself is the caller's to answer. */
static void running_end(CommandGate *gate, Running *running, const LedgerAnswer *answer)
{
    g_autoptr(GPtrArray) repeats = g_ptr_array_ref(running->repeats);

    command_ledger_end(gate->ledger, running->id, answer);
    set_answer_extras(running->call, answer);
    for (guint i = 0; i < repeats->len; i++)
        give(gate, repeats->pdata[i], answer);
    g_hash_table_remove(gate->by_id, running->id);
}

static const char *error_of_dispatch(const CommandGate *gate, const char *text)
{
    if (gate->stopping || strcmp(text, "The agent stops") == 0)
        return COMMAND_ERROR_INTERRUPTED;
    if (g_str_has_prefix(text, "Invalid argument") || g_str_has_prefix(text, "You are not authorized"))
        return COMMAND_ERROR_ARGUMENT;
    return strstr(text, "object") != NULL ? COMMAND_ERROR_NOT_FOUND : COMMAND_ERROR_UNKNOWN;
}

/* Every answer passes here last; those not given through the gate are the agent's own refusals (unknown method, wrong argument). */
static void on_answer(QmfCall *call, const char *error_text, void *user)
{
    CommandGate *gate = user;
    Running *running = gate->answer == NULL ? running_of(gate, call) : NULL;
    LedgerAnswer answer = {.exception = error_text != NULL, .text = error_text};

    if (running == NULL)
        return;
    answer.error = error_text != NULL ? error_of_dispatch(gate, error_text) : NULL;
    answer.state = error_text == NULL                                        ? RESULT_DONE
                   : g_strcmp0(answer.error, COMMAND_ERROR_INTERRUPTED) == 0 ? RESULT_FAILED
                                                                             : RESULT_REFUSED;
    answer.started_us = running->started_us;
    answer.ended_us = clock_wall_us();
    running_end(gate, running, &answer);
}

static bool on_call(QmfCall *call, void *user)
{
    CommandGate *gate = user;
    const Value *extra = qmf_call_request(call)->extra;
    const char *given = extra_text(call, ID_PROPERTY);
    g_autofree char *id = given != NULL ? uuid_canonical(given) : NULL;
    const LedgerAnswer *answer = NULL;
    int64_t epoch = value_get_int(extra, EPOCH_PROPERTY, 0), shard = value_get_int(extra, SHARD_PROPERTY, SHARD_SITE);
    Running *running;

    if (given == NULL)
        return true;
    if (id == NULL || epoch < 0 || shard < 0 || shard > SHARDS_MAX || strcmp(id, given) != 0) {
        const LedgerAnswer refused = {.state = RESULT_REFUSED, .error = COMMAND_ERROR_ARGUMENT, .exception = true,
                                      .text = "mend.command-id must be a UUID in lower case, mend.epoch a number, mend.shard one of a shard"};
        give(gate, call, &refused);
        return false;
    }
    switch (command_ledger_begin(gate->ledger, id, (unsigned) shard, (uint64_t) epoch, value_get_int(extra, DEADLINE_PROPERTY, 0), clock_wall_us(), &answer)) {
    case LEDGER_RUNNING:
        running = g_hash_table_lookup(gate->by_id, id);
        g_ptr_array_add(running->repeats, call);
        return false;
    case LEDGER_ANSWERED:
        log_info("command %s %s: %s: %s", id, qmf_call_method(call), result_state_name(answer->state),
                 answer->error != NULL ? answer->error : "answered again");
        give(gate, call, answer);
        return false;
    case LEDGER_RUN: break;
    }
    running = g_new0(Running, 1);
    *running = (Running){.id = g_strdup(id), .call = call, .repeats = g_ptr_array_new(), .started_us = clock_wall_us()};
    g_hash_table_insert(gate->by_id, running->id, running);
    return true;
}

CommandGate *command_gate_new(QmfAgent *agent, CommandLedger *ledger)
{
    CommandGate *gate = g_new0(CommandGate, 1);

    gate->agent = agent;
    gate->ledger = ledger;
    gate->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, running_free);
    qmf_agent_set_filter(agent, on_call, gate);
    qmf_agent_on_answer(agent, on_answer, gate);
    return gate;
}

void command_gate_free(CommandGate *gate)
{
    if (gate == NULL)
        return;
    g_hash_table_unref(gate->by_id);
    g_free(gate);
}

void command_gate_return(CommandGate *gate, QmfCall *call, Value *outputs, const char *error, const char *text)
{
    Running *running = running_of(gate, call);
    g_autoptr(json_t) values = running != NULL && outputs != NULL ? value_to_json(outputs) : NULL;
    const LedgerAnswer answer = {.state = error == NULL ? RESULT_DONE : RESULT_FAILED, .error = error, .text = text, .values = values,
                                 .started_us = running != NULL ? running->started_us : 0, .ended_us = clock_wall_us()};

    if (running != NULL)
        running_end(gate, running, &answer);
    qmf_call_return(call, outputs);
}

static void raise_as(CommandGate *gate, QmfCall *call, bool refused, const char *error, const char *text)
{
    Running *running = running_of(gate, call);
    const LedgerAnswer answer = {.state = refused ? RESULT_REFUSED : RESULT_FAILED, .error = error, .text = text, .exception = true,
                                 .started_us = running != NULL ? running->started_us : 0, .ended_us = clock_wall_us()};

    if (running != NULL)
        running_end(gate, running, &answer);
    qmf_call_raise(call, text, NULL);
}

void command_gate_raise(CommandGate *gate, QmfCall *call, const char *error, const char *text)
{
    static const char *const refusals[] = { COMMAND_ERROR_UNKNOWN, COMMAND_ERROR_ARGUMENT, COMMAND_ERROR_NOT_FOUND, COMMAND_ERROR_UNSAFE, NULL };

    raise_as(gate, call, g_strv_contains(refusals, error), error, text);
}

void command_gate_decline(CommandGate *gate, QmfCall *call, const char *text) { raise_as(gate, call, true, COMMAND_ERROR_FAILED, text); }

void command_gate_raise_object(CommandGate *gate, QmfCall *call, const char *error, const QmfClass *class, Value *values, const char *text)
{
    Running *running = running_of(gate, call);
    g_autoptr(json_t) kept = running != NULL ? value_to_json(values) : NULL;
    const LedgerAnswer answer = {.state = RESULT_FAILED, .error = error, .text = text, .exception = true, .values = kept,
                                 .started_us = running != NULL ? running->started_us : 0, .ended_us = clock_wall_us()};

    if (running != NULL)
        running_end(gate, running, &answer);
    qmf_call_raise_object(call, class, values, text);
}

int64_t command_gate_deadline_us(const QmfCall *call, int64_t timeout_us)
{
    int64_t deadline_ms = value_get_int(qmf_call_request(call)->extra, DEADLINE_PROPERTY, 0), left_us = timeout_us;

    if (deadline_ms != 0)
        left_us = MIN(left_us, MAX(deadline_ms * US_PER_MS - clock_wall_us(), 0));
    return clock_now_us() + left_us;
}
