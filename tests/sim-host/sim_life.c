#include "tests/sim-host/sim_internal.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/loader.h"

void sim_text_set(char **text, const char *to)
{
    char *copy = g_strdup(to);

    g_free(*text);
    *text = copy;
}

static void timer_free(gpointer timer) { g_free(timer); }
static void subscription_free(gpointer data)
{
    Subscription *s = data;

    g_free(s->address);
    g_free(s->subject);
    g_free(s);
}
static void queue_free(gpointer data)
{
    Queue *q = data;

    g_queue_free_full(q->messages, (GDestroyNotify) sim_message_free);
    g_free(q->address);
    g_free(q->dead_letter);
    g_free(q->owner);
    g_free(q);
}
static void kept_free(gpointer data)
{
    Kept *k = data;

    sim_message_free(k->message);
    g_free(k->queue);
    g_free(k);
}
static void peer_free(gpointer data)
{
    Peer *p = data;

    g_free(p->user);
    g_free(p->role);
    g_free(p->address);
    g_free(p->container);
    g_free(p);
}
void sim_step_free(Step *step)
{
    sim_message_free(step->message);
    g_free(step);
}

SimHost *sim_host_new(uint64_t seed)
{
    SimHost *sim = g_new0(SimHost, 1);

    sim->host = sim_host_table;
    sim->limits = RUNNER_LIMITS;
    sim->dice = seed;
    sim->now_us = 1000 * US_PER_S;
    sim->wall_offset_us = INT64_C(1700000000) * US_PER_S;
    sim->outcome = MEND_ACCEPT;
    sim->reason = g_strdup("");
    sim->timers = g_ptr_array_new_with_free_func(timer_free);
    sim->subscriptions = g_ptr_array_new_with_free_func(subscription_free);
    sim->kept = g_ptr_array_new_with_free_func(kept_free);
    sim->peers = g_ptr_array_new_with_free_func(peer_free);
    sim->published = g_ptr_array_new_with_free_func((GDestroyNotify) sim_message_free);
    sim->queues = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, queue_free);
    sim->state = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    sim->counters = g_hash_table_new(g_str_hash, g_str_equal);
    g_queue_init(&sim->steps);
    return sim;
}

static void forget_instance(SimHost *sim)
{
    Step *step;

    g_ptr_array_set_size(sim->timers, 0);
    sim->watcher = NULL;
    while (sim->subscriptions->len > 0)
        sim_unsubscribe(&sim->host, ((Subscription *) g_ptr_array_index(sim->subscriptions, 0))->id);
    g_ptr_array_set_size(sim->kept, 0);
    while ((step = g_queue_pop_head(&sim->steps)) != NULL) { /* publishes complete as released, as plugin.h promises */
        if (step->published != NULL)
            runner_published(sim->runner, step->published, step->user, MEND_RELEASE);
        sim_step_free(step);
    }
    g_clear_pointer(&sim->runner, runner_free);
}

void sim_host_free(SimHost *sim)
{
    if (sim == NULL)
        return;
    if (sim->runner != NULL)
        forget_instance(sim);
    g_ptr_array_unref(sim->timers);
    g_ptr_array_unref(sim->subscriptions);
    g_ptr_array_unref(sim->kept);
    g_ptr_array_unref(sim->peers);
    g_ptr_array_unref(sim->published);
    g_hash_table_unref(sim->queues);
    g_hash_table_unref(sim->state);
    g_hash_table_unref(sim->counters);
    g_free(sim->busy);
    g_free(sim->reason);
    g_free(sim->failure);
    g_free(sim->state_read);
    g_free(sim);
}

bool sim_host_load(SimHost *sim, const mend_plugin *plugin, const char *config_json, GError **error)
{
    const LoaderHost offer = { sim->host.abi_minor, sim->host.caps };

    g_assert(sim->runner == NULL);
    if (!loader_check(plugin, "sim", &offer, config_json, error))
        return false;
    sim->runner = runner_new(plugin, &sim->host, sim->limits);
    if (!runner_create(sim->runner, config_json, error) || !runner_start(sim->runner, error)) {
        forget_instance(sim);
        return false;
    }
    sim_host_run(sim);
    return true;
}

static void on_drained(void *user) { ((SimHost *) user)->drained = true; }

bool sim_host_unload(SimHost *sim, int64_t patience_us)
{
    sim->drained = false;
    runner_drain(sim->runner, on_drained, sim);
    runner_dispatch(sim->runner);
    if (!sim->drained)
        sim_host_advance(sim, patience_us);
    forget_instance(sim);
    return sim->drained;
}

void sim_host_crash(SimHost *sim)
{
    forget_instance(sim);
    g_ptr_array_set_size(sim->peers, 0);
}

mend_id sim_host_peer_open(SimHost *sim, const char *user, const char *role, const char *address)
{
    Peer *p = g_new0(Peer, 1);

    p->user = g_strdup(user);
    p->role = g_strdup(role);
    p->address = g_strdup(address);
    p->container = g_strdup("container");
    p->peer = (mend_peer) { .size = sizeof p->peer, .id = ++sim->next_id, .user = str_of(p->user), .role = str_of(p->role),
                            .address = str_of(p->address), .container_id = str_of(p->container), .opened_us = sim->now_us };
    g_ptr_array_add(sim->peers, p);
    if (sim->watcher != NULL)
        runner_peer(sim->runner, sim->watcher, sim->watcher_user, &p->peer, MEND_PEER_OPENED);
    sim_host_run(sim);
    return p->peer.id;
}

void sim_host_peer_close(SimHost *sim, mend_id id, int32_t what)
{
    Peer *p = sim_peer_find(sim, id);

    if (p == NULL)
        return;
    if (sim->watcher != NULL)
        runner_peer(sim->runner, sim->watcher, sim->watcher_user, &p->peer, what);
    g_ptr_array_remove(sim->peers, p);
    sim_host_run(sim);
}

void sim_host_queue_new(SimHost *sim, const char *address)
{
    Queue *q = g_new0(Queue, 1);

    q->address = g_strdup(address);
    q->messages = g_queue_new();
    q->shape.kind = MEND_NODE_QUEUE;
    g_hash_table_insert(sim->queues, q->address, q);
}

bool sim_host_has_node(const SimHost *sim, const char *address) { return g_hash_table_lookup(sim->queues, address) != NULL; }

const char *sim_host_node_owner(const SimHost *sim, const char *address)
{
    const Queue *q = g_hash_table_lookup(sim->queues, address);

    return q != NULL && q->owner != NULL ? q->owner : "";
}

size_t sim_host_queue_size(const SimHost *sim, const char *address)
{
    const Queue *q = g_hash_table_lookup(sim->queues, address);

    return q != NULL ? g_queue_get_length(q->messages) : 0;
}

SimMessage *sim_host_receive(SimHost *sim, const char *address)
{
    const Queue *q = g_hash_table_lookup(sim->queues, address);

    return q != NULL ? g_queue_pop_head(q->messages) : NULL;
}

GPtrArray *sim_host_published(SimHost *sim) { return sim->published; }
void sim_host_clear(SimHost *sim) { g_ptr_array_set_size(sim->published, 0); }
void sim_host_set_caps(SimHost *sim, uint64_t caps) { sim->host.caps = caps; }
void sim_host_set_limits(SimHost *sim, RunnerLimits limits) { sim->limits = limits; }
Runner *sim_host_runner(SimHost *sim) { return sim->runner; }
const char *sim_host_failure(const SimHost *sim) { return sim->failure; }
unsigned sim_host_failures(const SimHost *sim) { return sim->failures; }
const char *sim_host_reason(const SimHost *sim) { return sim->reason; }
void sim_host_set_outcome(SimHost *sim, int32_t verdict) { sim->outcome = verdict; }
const char *sim_host_failed_call(const SimHost *sim) { return sim->failed_call; }
unsigned sim_host_timers(const SimHost *sim) { return sim->timers->len; }
const char *sim_host_state(const SimHost *sim, const char *key) { return g_hash_table_lookup(sim->state, key); }

void sim_host_set_busy(SimHost *sim, const char *address_prefix)
{
    g_free(sim->busy);
    sim->busy = g_strdup(address_prefix);
}

void sim_host_fail_call(SimHost *sim, unsigned nth)
{
    sim->fail_nth = nth;
    sim->calls = 0;
    sim->failed_call = NULL;
}

int64_t sim_host_counter(const SimHost *sim, const char *metric)
{
    return GPOINTER_TO_INT(g_hash_table_lookup(sim->counters, metric));
}

unsigned sim_host_logged(const SimHost *sim, int32_t level)
{
    unsigned n = 0;

    for (int32_t i = 0; i <= level; i++)
        n += sim->logged[i];
    return n;
}
