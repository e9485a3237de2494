/* Agents as the real ones are: outbound only, a connection that may stall before it breaks, everything said on it in order until the tail
 * is lost; a digest with the first words on a new one. A command id runs at most once, also over a restart of the agent; older epochs and
 * passed deadlines are refused; what was under way when the agent died is answered as interrupted. */
#include "consumers/policy/sim/deeds.h"
#include "consumers/policy/sim/world.h"

#include "lib/base/json.h"

#include <string.h>

#define STALL_US (10 * US_PER_S) /* then a silent connection is given up */

void agent_init(World *w, Agent *agent, Host *host, Vm *vm)
{
    const char *id = host != NULL ? host->thing.id : vm->thing.id;

    agent->host = host;
    agent->vm = vm;
    agent->ran = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    agent->busy = g_ptr_array_new();
    g_queue_init(&agent->outbox);
    g_queue_init(&agent->control);
    agent->dice = random_new(w->options->seed, host != NULL ? "host-agent" : "guest-agent", (host != NULL ? &host->thing : &vm->thing)->number);
    g_snprintf(agent->thing.id, sizeof agent->thing.id, "%s-%s", host != NULL ? "host" : "guest", id);
    g_snprintf(agent->thing.path, sizeof agent->thing.path, "agent/matahariproject.org:mend-%s:%s", host != NULL ? "host" : "guest", id);
}

static void ran_free_result(gpointer key, gpointer value, gpointer user)
{
    (void) key;
    (void) user;
    result_free(((Ran *) value)->result);
}

void agent_done(Agent *agent)
{
    if (agent->ran == NULL)
        return;
    g_hash_table_foreach(agent->ran, ran_free_result, NULL);
    g_hash_table_unref(agent->ran);
    g_ptr_array_unref(agent->busy);
    g_queue_clear_full(&agent->outbox, (GDestroyNotify) message_free);
    g_queue_clear(&agent->control);
}

int64_t agent_wall_us(const World *w, const Agent *agent)
{
    return WALL_BEGIN_US + w->now_us + agent->clock_us;
}

/* --- the link --- */

static bool path_works(const World *w, const Agent *agent)
{
    const Vm *vm = agent->vm;

    if (!w->broker.up || !agent->running)
        return false;
    return agent->host != NULL ? host_has_network(w, agent->host)
                               : vm_runs(vm) && vm->guest == GUEST_UP && host_has_network(w, vm->copies[0].host);
}

static void on_pump(World *w, void *subject, int64_t link)
{
    Agent *agent = subject;

    while (agent->link == LINK_UP && agent->link_number == link && agent->outbox.head != NULL) {
        Message *message = agent->outbox.head->data;

        if (message->at_us > w->now_us)
            return;
        g_queue_pop_head(&agent->outbox);
        hub_take(w, agent, message);
        message_free(message);
    }
}

static void send_message(World *w, Agent *agent, Message *message)
{
    int64_t delay_us = random_between(&agent->dice, 200, 3 * US_PER_MS);

    if (chance(w, &agent->dice, w->options->profile->late))
        delay_us += random_between(&agent->dice, 0, 2 * US_PER_S);
    message->link = agent->link_number;
    message->generation = agent->generation;
    message->at_us = agent->outbox_us = MAX(agent->outbox_us, w->now_us + delay_us);
    g_queue_push_tail(&agent->outbox, message);
    world_later(w, message->at_us - w->now_us, on_pump, agent, agent->link_number);
}

static void digest_vm(const Host *host, Vm *vm, GArray *digest)
{
    Told told = { .thing = &vm->thing, .fact = { .intent = "none", .host = host } };
    const Copy *copy = vm_copy(vm, host);

    if (copy == NULL && (vm->home != host || vm->n_copies > 0))
        return;
    told.fact.kind = copy == NULL ? vm->ended : copy->state == COPY_PAUSED ? "vm.paused" : vm->moving_to != NULL ? "vm.migrating" : "vm.running";
    if (copy == NULL)
        told.fact.intent = vm->ended_intent;
    else if (copy->state == COPY_PAUSED)
        told.fact.reason = copy->reason;
    else
        told.fact.to = vm->moving_to;
    if (vm->guest == GUEST_PANICKED && copy != NULL && copy->state == COPY_RUNNING)
        told.fact.kind = "vm.panicked";
    g_strlcpy(told.fact.boot_id, host->boot_id, sizeof told.fact.boot_id);
    if (told.fact.kind != NULL)
        g_array_append_val(digest, told);
}

static void digest_host(World *w, Host *host, GArray *digest)
{
    Told told = { .thing = &host->thing, .fact = { .kind = "host.up", .intent = "none", .host = host, .vms = json_array() } };

    g_strlcpy(told.fact.boot_id, host->boot_id, sizeof told.fact.boot_id);
    for (unsigned i = 0; i < w->n_vms; i++)
        if (vm_copy(&w->vms[i], host) != NULL)
            json_array_append_new(told.fact.vms, json_string(w->vms[i].thing.id));
    g_array_append_val(digest, told);
    for (unsigned i = 0; i < w->n_vms; i++)
        digest_vm(host, &w->vms[i], digest);
}

static void send_digest(World *w, Agent *agent, bool hello)
{
    Message *message = g_new0(Message, 1);

    message->kind = hello ? MESSAGE_HELLO : MESSAGE_DIGEST;
    message->digest = g_array_new(FALSE, TRUE, sizeof(Told));
    if (agent->host != NULL) {
        g_strlcpy(message->boot_id, agent->host->boot_id, sizeof message->boot_id);
        digest_host(w, agent->host, message->digest);
    } else {
        g_strlcpy(message->boot_id, agent->vm->boot_id, sizeof message->boot_id);
        for (guint i = 0; i < agent->vm->services->len; i++) {
            Service *service = agent->vm->services->pdata[i];
            Told told = { .thing = &service->thing, .fact = { .intent = service->intent } };
            static const char *const states[] = { "service.running", "service.failed", "service.stopped", "service.starting", "service.stopping" };

            for (size_t k = 0; k < G_N_ELEMENTS(states); k++)
                if (strcmp(states[k] + strlen("service."), service->state) == 0)
                    told.fact.kind = states[k];
            g_strlcpy(told.fact.boot_id, agent->vm->boot_id, sizeof told.fact.boot_id);
            g_array_append_val(message->digest, told);
        }
    }
    send_message(w, agent, message);
}

static void on_connect(World *w, void *subject, int64_t number)
{
    Agent *agent = subject;

    if (agent->link != LINK_DOWN || agent->link_number != number || !path_works(w, agent))
        return;
    agent->link = LINK_UP;
    agent->link_number++;
    agent->dirty = false;
    agent->outbox_us = w->now_us;
    send_digest(w, agent, true);
    for (guint i = 0; i < agent->busy->len;) { /* of a life before */
        Order *order = agent->busy->pdata[i];

        if (order->arrived)
            i++;
        else
            agent_answer(w, agent, order, RESULT_REFUSED, COMMAND_ERROR_INTERRUPTED, NULL);
    }
    hub_serve(w, agent);
}

static void link_down(World *w, Agent *agent)
{
    agent->link = LINK_DOWN;
    agent->link_number++;
    g_queue_clear_full(&agent->outbox, (GDestroyNotify) message_free);
    for (unsigned i = 0; agent->host != NULL && world_flaw(w, SIM_FLAW_MEDDLING) && i < w->n_vms; i++)
        vm_end(w, &w->vms[i], agent->host, "vm.stopped", "none", "alone", "agent");
}

static void on_stalled(World *w, void *subject, int64_t number)
{
    Agent *agent = subject;

    if (agent->link != LINK_STALLED || agent->link_number != number)
        return;
    link_down(w, agent);
    agent_relink(w, agent);
}

void agent_relink(World *w, Agent *agent)
{
    bool works = path_works(w, agent);

    if (agent->link == LINK_UP && !works) {
        if (!w->broker.up) {
            link_down(w, agent);
            return;
        }
        agent->link = LINK_STALLED;
        hub_agent_silent(w, agent);
        world_later(w, STALL_US, on_stalled, agent, agent->link_number);
    } else if (agent->link == LINK_STALLED && works) {
        agent->link = LINK_UP;
        hub_agent_heard(w, agent);
        world_later(w, random_between(&agent->dice, 0, US_PER_S), on_pump, agent, agent->link_number);
        hub_serve(w, agent);
    } else if (agent->link == LINK_STALLED && !w->broker.up) {
        link_down(w, agent);
    } else if (agent->link == LINK_DOWN && works) {
        world_later(w, random_between(&agent->dice, 100 * US_PER_MS, 3 * US_PER_S), on_connect, agent, agent->link_number);
    }
}

/* What a host agent does besides talking: it answers its peers, writes heartbeats, renews leases. */
static void agent_lives(World *w, Agent *agent)
{
    if (agent->host != NULL && agent->running)
        agent->host->up_us = w->now_us;
    if (agent->host != NULL && host_lives(agent->host))
        host_changed(w, agent->host);
}

void agent_start(World *w, Agent *agent)
{
    if (agent->running)
        return;
    agent->running = true;
    agent->generation++;
    agent_lives(w, agent);
    for (guint i = 0; i < agent->busy->len; i++)
        ((Order *) agent->busy->pdata[i])->arrived = false; /* found in its ledger: interrupted */
    agent_relink(w, agent);
}

void agent_stop(World *w, Agent *agent, bool politely)
{
    LinkState before = agent->link;

    if (!agent->running)
        return;
    agent->running = false;
    link_down(w, agent);
    if (before == LINK_UP && w->broker.up && politely)
        hub_agent_gone(w, agent, true);
    else if (before == LINK_UP && w->broker.up)
        hub_agent_silent(w, agent);
    agent_lives(w, agent);
}

static void on_beat(World *w, void *subject, int64_t link)
{
    Agent *agent = subject;

    if (!agent->dirty || agent->link_number != link)
        return;
    if (agent->link == LINK_UP) {
        agent->dirty = false;
        send_digest(w, agent, false);
    } else {
        world_later(w, HEARTBEAT_US, on_beat, agent, link);
    }
}

void agent_tell_all(World *w, Agent *agent)
{
    if (agent->link == LINK_UP && !agent->dirty)
        world_later(w, US_PER_S, on_beat, agent, agent->link_number);
    agent->dirty = true;
}

void agent_say(World *w, Agent *agent, Thing *thing, const Fact *fact)
{
    bool blind = agent->host != NULL && !agent->host->libvirt && thing->kind == THING_VM && g_strcmp0(fact->channel, "lease") != 0;

    if (!agent->running || agent->link == LINK_DOWN || blind)
        return; /* the digest tells it when there is a connection again, or libvirt */
    if (chance(w, &agent->dice, w->options->profile->fact_lost)) {
        if (!agent->dirty)
            world_later(w, HEARTBEAT_US, on_beat, agent, agent->link_number);
        agent->dirty = true;
        return;
    }
    Message *message = g_new0(Message, 1);
    message->kind = MESSAGE_FACT;
    message->thing = thing;
    message->fact = *fact;
    g_strlcpy(message->boot_id, fact->boot_id, sizeof message->boot_id);
    send_message(w, agent, message);
}

/* --- commands --- */

static Result *result_make(const Agent *agent, const Order *order, ResultState state, const char *error, const char *value)
{
    Result *result = g_new0(Result, 1);

    result->command_id = g_strdup(order->command->id);
    result->incident = g_strdup(order->command->incident);
    result->agent = g_strdup(strchr(agent->thing.path, '/') + 1);
    result->state = state;
    result->error = g_strdup(error);
    if (value != NULL)
        result->values = json_pack("{s:s, s:i}", "state", value, "rc", state == RESULT_DONE ? 0 : 1);
    return result;
}

static void send_result(World *w, Agent *agent, Order *order, const Result *result)
{
    Message *message = g_new0(Message, 1);

    if (agent->link == LINK_DOWN || chance(w, &agent->dice, w->options->profile->result_lost)) {
        g_free(message);
        return;
    }
    message->kind = MESSAGE_RESULT;
    message->order = order;
    message->result = g_new0(Result, 1);
    *message->result = (Result){ g_strdup(result->command_id), g_strdup(result->incident), g_strdup(result->agent), result->state,
                                 g_strdup(result->error), g_strdup(result->text), json_incref(result->values) };
    send_message(w, agent, message);
}

void agent_answer(World *w, Agent *agent, Order *order, ResultState state, const char *error, const char *value)
{
    Ran *ran = g_hash_table_lookup(agent->ran, order->command->id);

    if (!agent->running || !g_ptr_array_remove(agent->busy, order))
        return; /* it died over it: interrupted, when it is back */
    world_say(w, "%s answers %s of %s: %s%s%s", agent->thing.id, order->command->action, order->target->id, result_state_name(state),
              error == NULL ? "" : ", ", error == NULL ? "" : error);
    if (ran == NULL)
        return;
    result_free(ran->result);
    ran->result = result_make(agent, order, state, error, value);
    send_result(w, agent, order, ran->result);
}

static void refuse(World *w, Agent *agent, Order *order, const char *error)
{
    Result *result = result_make(agent, order, RESULT_REFUSED, error, NULL);

    world_say(w, "%s refuses %s of %s: %s", agent->thing.id, order->command->action, order->target->id, error);
    send_result(w, agent, order, result);
    result_free(result);
}

void agent_take(World *w, Agent *agent, Order *order)
{
    Ran *ran = g_hash_table_lookup(agent->ran, order->command->id);

    if (ran != NULL && !world_flaw(w, SIM_FLAW_FORGETFUL)) {
        if (ran->result != NULL)
            send_result(w, agent, order, ran->result);
        return;
    }
    if (order->command->epoch < agent->epoch && !world_flaw(w, SIM_FLAW_OLD_EPOCHS)) {
        refuse(w, agent, order, COMMAND_ERROR_STALE_EPOCH);
        return;
    }
    if (order->deadline_us < agent_wall_us(w, agent)) {
        refuse(w, agent, order, COMMAND_ERROR_DEADLINE);
        return;
    }
    check_run(w, agent, order);
    agent->epoch = MAX(agent->epoch, order->command->epoch);
    if (ran == NULL) {
        ran = g_new0(Ran, 1);
        g_hash_table_insert(agent->ran, order->command->id, ran);
    }
    ran->order = order;
    order->arrived = true;
    g_ptr_array_add(agent->busy, order);
    deed_do(w, agent, order);
}
