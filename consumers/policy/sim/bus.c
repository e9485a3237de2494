/* The broker with its plugin: what it does with what agents say (docs/wire.md), who is there, which numbers events get, which commands
 * may pass. */
#include "consumers/policy/sim/world.h"

#include "lib/base/json.h"

#include <string.h>

#define LATE_US (HEARTBEAT_US * 3 / 2)
#define LOST_US (HEARTBEAT_US * 3)
#define GRACE_US (30 * US_PER_S) /* after a start of the broker */
#define SLACK_US (2 * US_PER_S)
#define FAULT_PERCENT 40
#define FAULT_MACHINES 5

void fact_clear(Fact *fact)
{
    json_decref(fact->vms);
    *fact = (Fact){ 0 };
}

void message_free(Message *message)
{
    if (message == NULL)
        return;
    fact_clear(&message->fact);
    for (guint i = 0; message->digest != NULL && i < message->digest->len; i++)
        fact_clear(&g_array_index(message->digest, Told, i).fact);
    if (message->digest != NULL)
        g_array_unref(message->digest);
    result_free(message->result);
    g_free(message);
}

static void set(json_t *data, const char *key, const char *text)
{
    if (text != NULL)
        json_object_set_new(data, key, json_string(text));
}

static void host_data(const World *w, const Host *host, json_t *data)
{
    char name[16];

    g_snprintf(name, sizeof name, "r%u", host->rack);
    set(data, "rack", name);
    g_snprintf(name, sizeof name, "s%u", host->rack);
    set(data, "switch", name);
    g_snprintf(name, sizeof name, "p%u", host->feed);
    set(data, "power", name);
    json_object_set_new(data, "memory_bytes", json_integer((json_int_t) host->memory_bytes));
    json_object_set_new(data, "vcpus", json_integer(64));
    json_t *storage = json_array();
    for (unsigned i = 0; i < w->n_storages; i++)
        json_array_append_new(storage, json_string(w->storages[i].thing.id));
    json_object_set_new(data, "storage", storage);
    json_t *fences = json_array(); /* whom its fencing file has a device for that it reaches */
    for (unsigned i = 0; i < w->n_hosts; i++)
        if (&w->hosts[i] != host && w->hosts[i].power_management != 0 && fence_reaches(host, &w->hosts[i]))
            json_array_append_new(fences, json_string(w->hosts[i].thing.id));
    json_object_set_new(data, "fences", fences);
}

static void vm_data(const World *w, const Vm *vm, json_t *data)
{
    json_object_set_new(data, "memory_bytes", json_integer((json_int_t) vm->memory_bytes));
    json_object_set_new(data, "vcpus", json_integer(2));
    json_object_set_new(data, "storage", json_pack("[s]", w->storages[vm->storage].thing.id));
    json_object_set_new(data, "lease", json_boolean(vm->lease));
}

static void agent_data(const Agent *agent, json_t *data)
{
    set(data, "hostname", agent->host != NULL ? agent->host->thing.id : agent->vm->thing.id);
    if (agent->vm != NULL)
        set(data, "vm", agent->vm->thing.id);
    json_object_set_new(data, "epoch", json_integer(agent->generation));
    set(data, "boot_id", agent->host != NULL ? agent->host->boot_id : agent->vm->boot_id);
}

Event *thing_event(World *w, const Thing *thing, const Fact *fact, const char *source, uint64_t sequence, const char *id)
{
    g_autoptr(json_t) data = json_object();
    bool state = thing->kind != THING_AGENT && thing->kind != THING_SITE;

    set(data, "intent", fact->intent);
    set(data, "reason", fact->reason);
    set(data, "channel", fact->channel);
    set(data, "says", fact->says);
    set(data, "job", fact->job);
    set(data, "host", fact->host == NULL ? NULL : fact->host->thing.id);
    set(data, "to", fact->to == NULL ? NULL : fact->to->thing.id);
    set(data, "from", fact->from == NULL ? NULL : fact->from->thing.id);
    set(data, "by", fact->by == NULL ? NULL : fact->by->thing.id);
    if (state)
        set(data, "agent", source);
    if (thing->kind == THING_SERVICE) {
        set(data, "vm", ((const Service *) (const void *) thing)->vm->thing.id);
        set(data, "hostname", ((const Service *) (const void *) thing)->vm->thing.id);
        set(data, "standard", "systemd");
    } else if (thing->kind == THING_VM) {
        set(data, "hostname", thing->id);
        if (strcmp(fact->kind, "vm.sample") == 0)
            json_object_update_new(data, json_pack("{s:I, s:I}", "memory_available_bytes", (json_int_t) (sequence % 1024 << 20), "cpu_percent",
                                                   (json_int_t) (sequence % 100)));
        else if (fact->channel == NULL && fact->job == NULL)
            vm_data(w, (const Vm *) (const void *) thing, data);
    } else if (thing->kind == THING_HOST) {
        set(data, "hostname", thing->id);
        if (fact->vms != NULL) {
            host_data(w, (const Host *) (const void *) thing, data);
            json_object_set(data, "vms", fact->vms);
        }
    } else if (thing->kind == THING_AGENT) {
        agent_data((const Agent *) (const void *) thing, data);
    }
    const EventFields fields = { .id = id, .kind = fact->kind, .source = source, .entity = thing->path,
                                 .time_us = WALL_BEGIN_US + w->now_us + w->broker.clock_us, .sequence = sequence, .severity = 5,
                                 .boot_id = fact->boot_id[0] == '\0' ? NULL : fact->boot_id, .confidence = 1, .data = data };
    return event_new(&fields);
}

static void publish_event(World *w, Event *event)
{
    w->report->events++;
    for (unsigned i = 0; i < w->n_seats; i++)
        seat_deliver(w, &w->seats[i], event);
    event_unref(event);
}

void hub_publish(World *w, Thing *thing, const Fact *fact, const char *source, bool lasting)
{
    char id[40];

    w->broker.sequence++;
    g_snprintf(id, sizeof id, "event-%u-%" G_GUINT64_FORMAT, w->broker.number, w->broker.sequence);
    if (lasting) {
        json_t *vms = json_incref(fact->vms);

        fact_clear(&thing->told);
        thing->told = *fact;
        thing->told.vms = vms;
        thing->sequence = w->broker.sequence;
        thing->since_us = WALL_BEGIN_US + w->now_us + w->broker.clock_us;
        g_strlcpy(thing->told_by, source, sizeof thing->told_by);
    }
    if (w->options->story_events)
        world_say(w, "event %" G_GUINT64_FORMAT ": %s of %s%s%s%s%s, said by %s", w->broker.sequence, fact->kind, thing->id,
                  fact->channel == NULL ? "" : " ", fact->channel == NULL ? "" : fact->channel, fact->says == NULL ? "" : " ",
                  fact->says == NULL ? "" : fact->says, source);
    publish_event(w, thing_event(w, thing, fact, source, w->broker.sequence, id));
}

/* --- who is there --- */

static void agent_is(World *w, Agent *agent, LiveState state, const char *kind, const char *reason)
{
    Fact fact = { .kind = kind, .reason = reason };

    agent->live = state;
    agent->live_number++;
    g_strlcpy(fact.boot_id, agent->known_boot, sizeof fact.boot_id);
    hub_publish(w, &agent->thing, &fact, strchr(agent->thing.path, '/') + 1, true);
}

static unsigned machines_silent(const World *w)
{
    unsigned silent = 0;

    for (unsigned i = 0; i < w->n_hosts; i++)
        silent += w->hosts[i].agent.live > LIVE_UP;
    return silent;
}

static bool many_are_silent(const World *w)
{
    unsigned silent = machines_silent(w);

    return silent >= FAULT_MACHINES && silent * 100 >= FAULT_PERCENT * w->n_hosts;
}

static void fault_is(World *w, bool fault)
{
    if (w->broker.fault == fault)
        return;
    w->broker.fault = fault;
    world_say(w, "the plugin: %s", fault ? "observer.fault, too many are silent at once" : "observer.well");
    hub_publish(w, &w->site, &(Fact){ .kind = fault ? "observer.fault" : "observer.well" }, "matahariproject.org:mend-broker:sim", true);
}

static void on_lost(World *w, void *subject, int64_t number)
{
    Agent *agent = subject;

    if (agent->live_number != number || !w->broker.up || (agent->live != LIVE_LATE && agent->live != LIVE_CLOSED))
        return;
    if (many_are_silent(w)) {
        fault_is(w, true);
        world_later(w, LOST_US, on_lost, agent, number);
        return;
    }
    agent_is(w, agent, LIVE_LOST, "agent.lost", "silent");
    for (unsigned i = 0; agent->host != NULL && world_flaw(w, SIM_FLAW_FALSE_STOP) && i < w->n_vms; i++)
        if (w->vms[i].thing.told.host == agent->host) {
            Fact fact = { .kind = "vm.stopped", .intent = "none", .host = agent->host };

            g_strlcpy(fact.boot_id, agent->host->boot_id, sizeof fact.boot_id);
            hub_publish(w, &w->vms[i].thing, &fact, strchr(agent->thing.path, '/') + 1, true);
        }
}

static void on_late(World *w, void *subject, int64_t number)
{
    Agent *agent = subject;

    if (agent->live_number != number || !w->broker.up || agent->live != LIVE_UP)
        return;
    agent_is(w, agent, LIVE_LATE, "agent.late", "silent");
    world_later(w, LOST_US - LATE_US, on_lost, agent, agent->live_number);
}

void hub_agent_silent(World *w, Agent *agent)
{
    if (agent->live == LIVE_UP)
        world_later(w, LATE_US - random_between(&agent->dice, 0, HEARTBEAT_US), on_late, agent, agent->live_number);
}

void hub_agent_gone(World *w, Agent *agent, bool closed)
{
    (void) closed;
    if (agent->live == LIVE_LOST || agent->live == LIVE_CLOSED || agent->live == LIVE_NEVER)
        return;
    agent_is(w, agent, LIVE_CLOSED, "agent.closed", "its connection ended");
    world_later(w, LOST_US, on_lost, agent, agent->live_number);
}

void hub_agent_heard(World *w, Agent *agent)
{
    if (agent->live == LIVE_UP) {
        agent->live_number++; /* not late after all */
        return;
    }
    agent_is(w, agent, LIVE_UP, "agent.up", "heard");
    if (w->broker.fault && !many_are_silent(w) && machines_silent(w) * 100 < FAULT_PERCENT / 2 * w->n_hosts)
        fault_is(w, false);
}

static void joined(World *w, Agent *agent, const Message *message)
{
    bool known = agent->known_generation != 0, restarted = known && agent->known_generation != message->generation;
    bool rebooted = known && strcmp(agent->known_boot, message->boot_id) != 0;
    char previous[24];

    g_strlcpy(previous, agent->known_boot, sizeof previous);
    agent->known_generation = message->generation;
    g_strlcpy(agent->known_boot, message->boot_id, sizeof agent->known_boot);
    hub_agent_heard(w, agent);
    Fact fact = { .kind = "agent.restarted" };
    g_strlcpy(fact.boot_id, message->boot_id, sizeof fact.boot_id);
    if (restarted)
        hub_publish(w, &agent->thing, &fact, strchr(agent->thing.path, '/') + 1, false);
    fact.kind = "vm.rebooted";
    if (rebooted && agent->vm != NULL)
        hub_publish(w, &agent->vm->thing, &fact, strchr(agent->thing.path, '/') + 1, false);
}

/* --- what they say --- */

static bool fact_is_news(const Thing *thing, const Fact *fact)
{
    const Fact *told = &thing->told;

    return told->kind == NULL || strcmp(told->kind, fact->kind) != 0 || g_strcmp0(told->intent, fact->intent) != 0 ||
           g_strcmp0(told->reason, fact->reason) != 0 || told->host != fact->host || told->to != fact->to ||
           strcmp(told->boot_id, fact->boot_id) != 0;
}

static bool fact_happened(const Fact *fact)
{
    return strcmp(fact->kind, "vm.job") == 0 || strcmp(fact->kind, "vm.rebooted") == 0 || g_str_has_suffix(fact->kind, ".evidence");
}

static void take_fact(World *w, const Agent *agent, Thing *thing, const Fact *fact)
{
    const char *source = strchr(agent->thing.path, '/') + 1;

    if (fact_happened(fact))
        hub_publish(w, thing, fact, source, false);
    else if (fact->vms != NULL || fact_is_news(thing, fact))
        hub_publish(w, thing, fact, source, true);
}

static void on_result(World *w, Order *order, const Result *result)
{
    Fact fact = { .kind = result->state == RESULT_DONE ? "command.done" : "command.failed" };
    char id[40];

    if (!order->answered) {
        g_autoptr(json_t) data = json_pack("{s:s, s:s*, s:s, s:s*}", "command", result->command_id, "incident", result->incident, "agent",
                                           result->agent, "error", result->error);

        order->answered = true;
        w->broker.sequence++;
        g_snprintf(id, sizeof id, "event-%u-%" G_GUINT64_FORMAT, w->broker.number, w->broker.sequence);
        publish_event(w, event_new(&(EventFields){ .id = id, .kind = fact.kind, .source = result->agent, .entity = order->command->entity,
                                                   .time_us = WALL_BEGIN_US + w->now_us + w->broker.clock_us,
                                                   .sequence = w->broker.sequence, .severity = 6, .confidence = 1, .data = data }));
    }
    Result *copy = g_new0(Result, 1);
    *copy = (Result){ g_strdup(result->command_id), g_strdup(result->incident), g_strdup(result->agent), result->state,
                      g_strdup(result->error), g_strdup(result->text), json_incref(result->values) };
    Seat *to = w->broker.acting;
    if (to == NULL || !to->connected)
        g_queue_push_tail(&w->broker.results, copy);
    else
        seat_result(w, to, copy);
}

static void expired(World *w, Order *order, const char *error)
{
    const Result result = { .command_id = order->command->id, .incident = order->command->incident, .agent = order->command->agent,
                            .state = RESULT_FAILED, .error = (char *) error };
    g_autoptr(json_t) data = json_pack("{s:s, s:s*, s:s, s:s}", "command", result.command_id, "incident", result.incident, "agent",
                                       result.agent, "error", error);
    char id[40];

    order->answered = true;
    w->broker.sequence++;
    g_snprintf(id, sizeof id, "event-%u-%" G_GUINT64_FORMAT, w->broker.number, w->broker.sequence);
    publish_event(w, event_new(&(EventFields){ .id = id, .kind = "command.expired", .source = result.agent, .entity = order->command->entity,
                                               .time_us = WALL_BEGIN_US + w->now_us + w->broker.clock_us, .sequence = w->broker.sequence,
                                               .severity = 5, .confidence = 1, .data = data }));
}

void hub_take(World *w, Agent *agent, Message *message)
{
    if (message->kind == MESSAGE_HELLO)
        joined(w, agent, message);
    for (guint i = 0; message->digest != NULL && i < message->digest->len; i++)
        take_fact(w, agent, g_array_index(message->digest, Told, i).thing, &g_array_index(message->digest, Told, i).fact);
    if (message->kind == MESSAGE_FACT)
        take_fact(w, agent, message->thing, &message->fact);
    else if (message->kind == MESSAGE_RESULT)
        on_result(w, message->order, message->result);
}

/* --- commands --- */

static void on_control(World *w, void *subject, int64_t link)
{
    Agent *agent = subject;

    if (agent->link != LINK_UP || agent->link_number != link)
        return;
    Order *order = g_queue_pop_head(&agent->control);
    if (order == NULL)
        return;
    bool again = chance(w, &agent->dice, w->options->profile->twice); /* taken, and not settled: it comes again */
    agent_take(w, agent, order);
    if (again && agent->link == LINK_UP) {
        g_queue_push_tail(&agent->control, order);
        world_later(w, random_between(&agent->dice, US_PER_MS, US_PER_S), on_control, agent, agent->link_number);
    }
}

void hub_serve(World *w, Agent *agent)
{
    for (guint i = 0; i < agent->control.length; i++)
        world_later(w, random_between(&agent->dice, 300, 5 * US_PER_MS), on_control, agent, agent->link_number);
}

static void on_deadline(World *w, void *subject, int64_t slack)
{
    Order *order = subject;

    if (!w->broker.up || order->answered)
        return;
    if (slack == 0 && g_queue_remove(&order->agent->control, order))
        expired(w, order, COMMAND_ERROR_UNREACHABLE);
    else if (slack == 0)
        world_later(w, SLACK_US, on_deadline, order, 1);
    else
        expired(w, order, COMMAND_ERROR_DEADLINE);
}

static void reject(World *w, Seat *seat, const Order *order, const char *error)
{
    Result *result = g_new0(Result, 1);

    *result = (Result){ .command_id = g_strdup(order->command->id), .incident = g_strdup(order->command->incident),
                        .agent = g_strdup(order->command->agent), .state = RESULT_REFUSED, .error = g_strdup(error) };
    seat_result(w, seat, result);
}

void hub_order(World *w, Seat *seat, Order *order)
{
    int64_t left_us = order->deadline_us - (WALL_BEGIN_US + w->now_us + w->broker.clock_us);

    if ((w->broker.acting != seat || order->command->epoch != w->broker.epoch) && !world_flaw(w, SIM_FLAW_OLD_EPOCHS)) {
        reject(w, seat, order, COMMAND_ERROR_STALE_EPOCH);
    } else if (left_us <= 0) {
        reject(w, seat, order, COMMAND_ERROR_DEADLINE);
    } else if (order->agent == NULL) {
        return; /* no such queue: nobody answers */
    } else {
        g_queue_push_tail(&order->agent->control, order);
        world_later(w, left_us, on_deadline, order, 0);
        if (order->agent->link == LINK_UP)
            world_later(w, random_between(&order->agent->dice, 300, 5 * US_PER_MS), on_control, order->agent, order->agent->link_number);
    }
}

/* --- its own life --- */

static Agent *agent_number(World *w, unsigned i)
{
    return i < w->n_hosts ? &w->hosts[i].agent : &w->vms[i - w->n_hosts].agent;
}

void hub_stop(World *w)
{
    if (!w->broker.up)
        return;
    world_say(w, "the broker stops");
    w->broker.up = false;
    w->broker.acting = NULL;
    for (unsigned i = 0; i < w->n_hosts + w->n_vms; i++)
        agent_relink(w, agent_number(w, i));
    for (unsigned i = 0; i < w->n_seats; i++)
        seat_disconnect(w, &w->seats[i]);
}

static void on_grace(World *w, void *subject, int64_t number)
{
    Agent *agent = subject;

    if (agent->live_number == number && w->broker.up && agent->live == LIVE_LATE)
        on_lost(w, subject, number);
}

/* Numbers skip, since they are reserved in blocks; what is true is learned anew from digests. */
void hub_start(World *w)
{
    Broker *b = &w->broker;

    b->up = true;
    b->number++;
    b->sequence += (uint64_t) random_between(&b->dice, 1, 4096);
    b->fault = false;
    world_say(w, "the broker starts");
    for (guint i = 0; b->number > 1 && i < w->things->len; i++) {
        Thing *thing = w->things->pdata[i];

        fact_clear(&thing->told);
    }
    for (unsigned i = 0; i < w->n_hosts + w->n_vms; i++) {
        Agent *agent = agent_number(w, i);

        if (agent->live != LIVE_NEVER) {
            agent->live = LIVE_LATE; /* unknown: nothing is told until it is heard, or the grace is over */
            world_later(w, GRACE_US, on_grace, agent, ++agent->live_number);
        }
        agent_relink(w, agent);
    }
    for (unsigned i = 0; i < w->n_seats; i++)
        seat_look(w, &w->seats[i]);
}
