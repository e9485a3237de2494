/* The table plugin.h asks for, over a BrokerPort. The port already keeps most of its promises (one context, completions later, a
 * window); what is added here is the flat view of messages, timers, what survives in files, and the runner that watches every call.
 *
 * When a plugin gives up, its gates stay and let nothing in: commands that nobody checks are worse than none. Everything else of it
 * is ended. */
#include "broker-plugin/hosts/embedded/plugin_host.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/bridge.h"
#include "broker-plugin/host_state.h"
#include "broker-plugin/loader.h"
#include "broker-plugin/runner.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define CAPS (MEND_CAP_SETTLE_LATER | MEND_CAP_TAP | MEND_CAP_GATE | MEND_CAP_DURABLE_OUT | MEND_CAP_PEERS | MEND_CAP_DECLARE | \
              MEND_CAP_STATE | MEND_CAP_PEER_DROP)
#define DRAIN_US        (5 * US_PER_S)
#define IN_FLIGHT_MAX   16384
#define TIMERS_MAX      65536

typedef struct HostTimer { PluginHost *host; mend_id id; mend_timer_fn fn; void *user; GSource *source; } HostTimer;
typedef struct HostSub { PluginHost *host; unsigned refs; mend_id id, port_id; int32_t mode; char *name; mend_message_fn fn; void *user; } HostSub;
typedef struct HostTask { PluginHost *host; mend_task_fn fn; void *user; } HostTask;
typedef struct HostPublish { PluginHost *host; mend_published_fn fn; void *user; } HostPublish;

struct PluginHost {
    mend_host table; /* first: the plugin's pointer is ours */
    Broker *broker;
    BrokerPort *port;
    const mend_plugin *plugin;
    Runner *runner;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    char *config, *failure;
    HostState *state;
    GHashTable *timers, *subs;  /* id -> HostTimer, HostSub */
    GHashTable *tasks;          /* set of HostTask waiting */
    GMutex lock;                /* tasks and failure: posted from any thread */
    mend_id last_id;
    mend_peer_fn watcher;
    void *watcher_user;
    unsigned in_flight;
    int64_t *metrics;           /* atomic */
    bool ended;                 /* nothing is handed over any more */
};

G_DEFINE_QUARK(mend-plugin-host-error-quark, plugin_host_error)

static PluginHost *host_of(mend_host *table) { return (PluginHost *) table; }
static bool is_live(const PluginHost *h) { return h->runner != NULL && !h->ended; }

/* ---- time ------------------------------------------------------------------------------------------------------------------- */

static int64_t host_now_us(mend_host *table) { return clock_now_us(); }
static int64_t host_wall_us(mend_host *table) { return clock_wall_us(); }
static uint64_t host_random(mend_host *table) { return (uint64_t) g_random_int() << 32 | g_random_int(); }

static void timer_free(gpointer data)
{
    HostTimer *t = data;

    g_source_destroy(t->source);
    g_source_unref(t->source);
    g_free(t);
}

static gboolean timer_fire(gpointer user)
{
    HostTimer *t = user, fired = *t;

    g_hash_table_remove(fired.host->timers, &fired.id);
    if (is_live(fired.host)) {
        runner_timer(fired.host->runner, fired.fn, fired.user, clock_now_us());
        runner_dispatch(fired.host->runner);
    }
    return G_SOURCE_REMOVE;
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer user) { return callback(user); }
static GSourceFuncs timer_funcs = { NULL, NULL, source_dispatch, NULL, NULL, NULL };

static mend_rc host_timer_start(mend_host *table, int64_t delay_us, mend_timer_fn fn, void *user, mend_id *ret)
{
    PluginHost *h = host_of(table);
    HostTimer *t;

    if (g_hash_table_size(h->timers) >= TIMERS_MAX)
        return MEND_LIMIT;
    t = g_new0(HostTimer, 1);
    *t = (HostTimer) { h, ++h->last_id, fn, user, g_source_new(&timer_funcs, sizeof(GSource)) };
    g_source_set_callback(t->source, timer_fire, t, NULL);
    g_source_set_ready_time(t->source, clock_now_us() + MAX(delay_us, 0));
    g_source_attach(t->source, h->context);
    g_hash_table_insert(h->timers, &t->id, t);
    *ret = t->id;
    return MEND_OK;
}

static void host_timer_stop(mend_host *table, mend_id id) { g_hash_table_remove(host_of(table)->timers, &id); }

static gboolean task_run(gpointer user)
{
    HostTask *task = user, taken = *task;
    bool here;

    g_mutex_lock(&taken.host->lock);
    here = g_hash_table_remove(taken.host->tasks, task);
    g_mutex_unlock(&taken.host->lock);
    g_free(task);
    if (here && is_live(taken.host)) {
        runner_task(taken.host->runner, taken.fn, taken.user);
        runner_dispatch(taken.host->runner);
    }
    return G_SOURCE_REMOVE;
}

static mend_rc host_post(mend_host *table, mend_task_fn fn, void *user)
{
    PluginHost *h = host_of(table);
    HostTask *task = g_new(HostTask, 1);
    GSource *source = g_idle_source_new();

    *task = (HostTask) { h, fn, user };
    g_mutex_lock(&h->lock);
    g_hash_table_add(h->tasks, task);
    g_mutex_unlock(&h->lock);
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, task_run, task, NULL);
    g_source_attach(source, h->context);
    g_source_unref(source);
    return MEND_OK;
}

/* ---- messages --------------------------------------------------------------------------------------------------------------- */

static void sub_free(gpointer data)
{
    HostSub *s = data;

    if (--s->refs > 0) /* its callback is on the stack and unsubscribed itself */
        return;
    g_free(s->name);
    g_free(s);
}

static int32_t on_delivery(void *user, const BrokerDelivery *d)
{
    HostSub *s = user;
    PluginHost *h = s->host;
    g_autoptr(AmqpMessage) message = NULL;
    g_auto(MsgView) view = { 0 };
    int32_t verdict;

    if (!is_live(h) || !runner_is_running(h->runner))
        return s->mode == MEND_GATE ? MEND_REJECT : MEND_RELEASE;
    message = amqp_message_decode(d->bytes, d->n_bytes, NULL);
    if (message == NULL)
        return MEND_REJECT; /* not AMQP inside: nobody could read it */
    msg_view_init(&view, message, d->address, d->peer);
    view.msg.delivery_count = d->delivery_count;
    s->refs++;
    verdict = runner_message(h->runner, s->name, s->mode, s->fn, s->user, d->id, &view.msg);
    sub_free(s);
    runner_dispatch(h->runner);
    return verdict;
}

static mend_rc host_subscribe(mend_host *table, const mend_subscription *wanted, mend_message_fn fn, void *user, mend_id *ret)
{
    static const char *const modes[] = { "?", "consume", "browse", "tap", "gate" };
    PluginHost *h = host_of(table);
    HostSub *s = g_new0(HostSub, 1);
    mend_rc rc;

    *s = (HostSub) { .host = h, .refs = 1, .id = ++h->last_id, .mode = wanted->mode, .fn = fn, .user = user };
    s->name = g_strdup_printf("%s %.*s %.*s", modes[CLAMP(wanted->mode, 0, 4)], (int) wanted->address.len, wanted->address.ptr,
                              (int) wanted->subject.len, wanted->subject.ptr);
    rc = broker_port_subscribe(h->port, wanted, on_delivery, s, &s->port_id);
    if (rc != MEND_OK) {
        sub_free(s);
        return rc;
    }
    g_hash_table_insert(h->subs, &s->id, s);
    *ret = s->id;
    return MEND_OK;
}

static void host_unsubscribe(mend_host *table, mend_id id)
{
    PluginHost *h = host_of(table);
    HostSub *s = g_hash_table_lookup(h->subs, &id);

    if (s == NULL)
        return;
    broker_port_unsubscribe(h->port, s->port_id);
    g_hash_table_remove(h->subs, &id);
}

static mend_rc host_settle(mend_host *table, mend_id delivery, int32_t verdict, mend_str reason)
{
    return broker_port_settle(host_of(table)->port, delivery, verdict, reason);
}

static void on_published(void *user, int32_t verdict)
{
    HostPublish *publish = user, done = *publish;

    g_free(publish);
    done.host->in_flight--;
    if (done.host->runner == NULL)
        return;
    runner_published(done.host->runner, done.fn, done.user, verdict);
    runner_dispatch(done.host->runner);
}

static mend_rc host_publish(mend_host *table, const mend_msg *msg, mend_published_fn fn, void *user)
{
    PluginHost *h = host_of(table);
    g_autofree char *address = str_dup(msg->address);
    g_autoptr(AmqpMessage) message = NULL;
    g_autoptr(GBytes) bytes = NULL;
    HostPublish *publish = NULL;
    mend_rc rc;

    if (address == NULL || h->in_flight >= IN_FLIGHT_MAX)
        return address == NULL ? MEND_NOT_FOUND : MEND_BUSY;
    message = amqp_from_msg(msg, NULL);
    if (message == NULL)
        return MEND_EFAULT; /* its body is no AMQP value: our own plugin's mistake */
    bytes = amqp_message_encode(message);
    if (fn != NULL) {
        publish = g_new(HostPublish, 1);
        *publish = (HostPublish) { h, fn, user };
        h->in_flight++;
    }
    rc = broker_port_publish(h->port, address, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), fn != NULL ? on_published : NULL, publish);
    if (rc != MEND_OK && publish != NULL) {
        h->in_flight--;
        g_free(publish);
    }
    return rc;
}

static mend_rc host_declare(mend_host *table, const mend_node *node) { return broker_port_declare(host_of(table)->port, node); }

static mend_rc host_undeclare(mend_host *table, mend_str name)
{
    g_autofree char *address = str_dup(name);

    return address != NULL ? broker_port_undeclare(host_of(table)->port, address) : MEND_NOT_FOUND;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------------ */

static void host_log_line(mend_host *table, int32_t level, mend_str text, const mend_prop *fields, size_t n_fields)
{
    static const LogLevel levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING,
                                       LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
    g_autofree char *valid = g_utf8_make_valid(text.ptr, (gssize) text.len);

    g_strdelimit(valid, "\r\n", ' '); /* what peers chose may be in it: one line stays one line */
    log_line(levels[CLAMP(level, 0, 7)], "plugin %s: %s", host_of(table)->plugin->name, valid);
}

static void host_count(mend_host *table, uint32_t metric, int64_t delta)
{
    PluginHost *h = host_of(table);

    if (metric < h->plugin->n_metrics)
        __atomic_add_fetch(&h->metrics[metric], delta, __ATOMIC_RELAXED);
}

static void end_instance(PluginHost *h, bool keep_gates);

static gboolean on_failed(gpointer user)
{
    end_instance(user, true);
    return G_SOURCE_REMOVE;
}

static void host_failed(mend_host *table, const mend_error *why)
{
    PluginHost *h = host_of(table);
    GSource *source;
    bool first;

    g_mutex_lock(&h->lock);
    first = h->failure == NULL;
    if (first)
        h->failure = g_strndup(why->text, sizeof why->text);
    g_mutex_unlock(&h->lock);
    if (!first)
        return;
    log_error("plugin %s gave up: %s; its gates are shut", h->plugin->name, h->failure);
    h->ended = true;
    source = g_idle_source_new(); /* not inside its own call */
    g_source_set_callback(source, on_failed, h, NULL);
    g_source_attach(source, h->context);
    g_source_unref(source);
}

/* ---- peers -------------------------------------------------------------------------------------------------------------------- */

static void on_peer(void *user, const mend_peer *peer, int32_t what)
{
    PluginHost *h = user;

    if (!is_live(h) || h->watcher == NULL || !runner_is_running(h->runner))
        return;
    runner_peer(h->runner, h->watcher, h->watcher_user, peer, what);
    runner_dispatch(h->runner);
}

static mend_rc host_peers_watch(mend_host *table, mend_peer_fn fn, void *user)
{
    PluginHost *h = host_of(table);

    h->watcher = fn;
    h->watcher_user = user;
    broker_port_watch_peers(h->port, fn != NULL ? on_peer : NULL, h);
    return MEND_OK;
}

static mend_rc host_peer_get(mend_host *table, mend_id peer, mend_peer *ret) { return broker_port_peer(host_of(table)->port, peer, ret); }

static mend_rc host_peer_drop(mend_host *table, mend_id peer, mend_str reason)
{
    g_autofree char *text = str_dup(reason);

    return broker_port_drop_peer(host_of(table)->port, peer, text != NULL ? text : "");
}

/* ---- what survives -------------------------------------------------------------------------------------------------------------- */

static mend_rc keep(mend_host *table, mend_str key, mend_str value)
{
    PluginHost *h = host_of(table);

    return host_state_put(h->state, h->plugin->name, key, value);
}

static mend_rc kept(mend_host *table, mend_str key, mend_str *ret) { return host_state_get(host_of(table)->state, key, ret); }

static const mend_host host_table = {
    .size = sizeof host_table, .abi_major = MEND_ABI_MAJOR, .abi_minor = MEND_ABI_MINOR, .caps = CAPS, .kind = "embedded",
    .now_us = host_now_us, .wall_us = host_wall_us, .random = host_random, .timer_start = host_timer_start,
    .timer_stop = host_timer_stop, .post = host_post, .subscribe = host_subscribe, .unsubscribe = host_unsubscribe,
    .settle = host_settle, .publish = host_publish, .log = host_log_line, .count = host_count, .failed = host_failed,
    .peers_watch = host_peers_watch, .peer_get = host_peer_get, .peer_drop = host_peer_drop, .declare = host_declare,
    .undeclare = host_undeclare, .state_put = keep, .state_get = kept,
};

/* ---- life ----------------------------------------------------------------------------------------------------------------------- */

/* As plugin.h promises before destroy: no timer, task, subscription left, every publish completed. */
static void end_instance(PluginHost *h, bool keep_gates)
{
    GHashTableIter i;
    HostSub *s;

    if (h->runner == NULL)
        return;
    h->ended = true;
    g_hash_table_remove_all(h->timers);
    g_mutex_lock(&h->lock);
    g_hash_table_remove_all(h->tasks); /* their sources free them when they come up */
    g_mutex_unlock(&h->lock);
    broker_port_watch_peers(h->port, NULL, NULL);
    g_hash_table_iter_init(&i, h->subs);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &s)) {
        if (keep_gates && s->mode == MEND_GATE)
            continue;
        broker_port_unsubscribe(h->port, s->port_id);
        g_hash_table_iter_remove(&i);
    }
    if (!keep_gates)
        g_clear_pointer(&h->port, broker_port_free); /* completes what was published */
    while (keep_gates && h->in_flight > 0) /* the broker still answers: let it */
        g_main_context_iteration(h->context, TRUE);
    g_hash_table_remove_all(h->timers);
    g_clear_pointer(&h->runner, runner_free);
}

typedef struct Start { PluginHost *host; GMutex lock; GCond cond; bool done, ok; GError *error; } Start;

static bool start_instance(PluginHost *h, GError **error)
{
    h->port = broker_port_new(h->broker, h->context);
    h->runner = runner_new(h->plugin, &h->table, RUNNER_LIMITS);
    if (runner_create(h->runner, h->config, error) && runner_start(h->runner, error))
        return true;
    end_instance(h, false);
    return false;
}

static gpointer thread_main(gpointer user)
{
    Start *start = user;
    PluginHost *h = start->host;
    bool ok;

    g_main_context_push_thread_default(h->context);
    ok = start_instance(h, &start->error);
    g_mutex_lock(&start->lock);
    start->ok = ok;
    start->done = true;
    g_cond_signal(&start->cond);
    g_mutex_unlock(&start->lock); /* start is gone from here on */
    if (ok)
        g_main_loop_run(h->loop);
    end_instance(h, false);
    g_clear_pointer(&h->port, broker_port_free);
    while (g_main_context_iteration(h->context, FALSE))
        ;
    g_main_context_pop_thread_default(h->context);
    return NULL;
}

static bool start_thread(PluginHost *h, GError **error)
{
    Start start = { .host = h };

    g_mutex_init(&start.lock);
    g_cond_init(&start.cond);
    h->thread = g_thread_new("plugin", thread_main, &start);
    g_mutex_lock(&start.lock);
    while (!start.done)
        g_cond_wait(&start.cond, &start.lock);
    g_mutex_unlock(&start.lock);
    g_mutex_clear(&start.lock);
    g_cond_clear(&start.cond);
    if (!start.ok)
        g_propagate_error(error, start.error);
    return start.ok;
}

PluginHost *plugin_host_new(Broker *broker, const PluginHostOptions *options, GError **error)
{
    const LoaderHost offer = { MEND_ABI_MINOR, CAPS };
    const mend_plugin *plugin = loader_open(options->path, &offer, options->config_json, error);
    PluginHost *h;

    if (plugin == NULL)
        return NULL;
    h = g_new0(PluginHost, 1);
    h->table = host_table;
    h->broker = broker;
    h->plugin = plugin;
    h->config = g_strdup(options->config_json != NULL ? options->config_json : "{}");
    h->context = g_main_context_new();
    h->loop = g_main_loop_new(h->context, FALSE);
    h->state = host_state_new(options->state_folder, error);
    h->timers = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, timer_free);
    h->subs = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, sub_free);
    h->tasks = g_hash_table_new(NULL, NULL);
    h->metrics = g_new0(int64_t, plugin->n_metrics + 1);
    g_mutex_init(&h->lock);
    if (h->state == NULL || !start_thread(h, error)) {
        plugin_host_free(h);
        return NULL;
    }
    return h;
}

static void on_drained(void *user) { g_main_loop_quit(((PluginHost *) user)->loop); }

static gboolean on_drain_deadline(gpointer user)
{
    PluginHost *h = user;

    log_warning("plugin %s did not drain in time", h->plugin->name);
    g_main_loop_quit(h->loop);
    return G_SOURCE_REMOVE;
}

static gboolean drain(gpointer user)
{
    PluginHost *h = user;
    GSource *deadline;

    if (!is_live(h) || !runner_is_running(h->runner)) {
        g_main_loop_quit(h->loop);
        return G_SOURCE_REMOVE;
    }
    deadline = g_timeout_source_new(DRAIN_US / US_PER_MS);
    g_source_set_callback(deadline, on_drain_deadline, h, NULL);
    g_source_attach(deadline, h->context);
    g_source_unref(deadline);
    runner_drain(h->runner, on_drained, h);
    runner_dispatch(h->runner);
    return G_SOURCE_REMOVE;
}

void plugin_host_free(PluginHost *h)
{
    if (h == NULL)
        return;
    if (h->thread != NULL) {
        g_main_context_invoke_full(h->context, G_PRIORITY_DEFAULT, drain, h, NULL);
        g_thread_join(h->thread);
    }
    g_hash_table_unref(h->timers);
    g_hash_table_unref(h->subs);
    g_hash_table_unref(h->tasks);
    host_state_free(h->state);
    g_main_loop_unref(h->loop);
    g_main_context_unref(h->context);
    g_mutex_clear(&h->lock);
    g_free(h->metrics);
    g_free(h->config);
    g_free(h->failure);
    g_free(h);
}

/* ---- from outside ------------------------------------------------------------------------------------------------------------------ */

typedef struct Errand { /* something to be done on the plugin's thread while we wait */
    PluginHost *host;
    void (*run)(struct Errand *errand);
    const char *config;
    json_t *json;
    bool ok, done;
    GError *error;
    GMutex lock;
    GCond cond;
} Errand;

static gboolean errand_run(gpointer user)
{
    Errand *errand = user;

    errand->run(errand);
    g_mutex_lock(&errand->lock);
    errand->done = true;
    g_cond_signal(&errand->cond);
    g_mutex_unlock(&errand->lock);
    return G_SOURCE_REMOVE;
}

static void errand_send(Errand *errand)
{
    g_mutex_init(&errand->lock);
    g_cond_init(&errand->cond);
    g_main_context_invoke_full(errand->host->context, G_PRIORITY_DEFAULT, errand_run, errand, NULL);
    g_mutex_lock(&errand->lock);
    while (!errand->done)
        g_cond_wait(&errand->cond, &errand->lock);
    g_mutex_unlock(&errand->lock);
    g_mutex_clear(&errand->lock);
    g_cond_clear(&errand->cond);
}

static void reload_here(Errand *errand)
{
    PluginHost *h = errand->host;

    if (is_live(h))
        errand->ok = runner_reload(h->runner, errand->config, &errand->error);
    else
        g_set_error(&errand->error, PLUGIN_HOST_ERROR, PLUGIN_HOST_ERROR_PLUGIN, "plugin %s gave up", h->plugin->name);
}

bool plugin_host_reload(PluginHost *host, const char *config_json, GError **error)
{
    const LoaderHost offer = { MEND_ABI_MINOR, CAPS };
    Errand errand = { .host = host, .run = reload_here, .config = config_json };

    if (!loader_check(host->plugin, host->plugin->name, &offer, config_json, error))
        return false;
    errand_send(&errand);
    if (!errand.ok)
        g_propagate_error(error, errand.error);
    return errand.ok;
}

static void statistics_here(Errand *errand)
{
    PluginHost *h = errand->host;
    json_t *metrics = json_object();

    for (size_t i = 0; i < h->plugin->n_metrics; i++)
        json_object_set_new(metrics, h->plugin->metrics[i].name, json_integer(__atomic_load_n(&h->metrics[i], __ATOMIC_RELAXED)));
    errand->json = json_pack("{s:s, s:s, s:o, s:b}", "name", h->plugin->name, "version", h->plugin->version, "metrics", metrics, "running",
                             is_live(h));
    if (h->runner != NULL) {
        const RunnerStats *s = runner_stats(h->runner);

        json_object_set_new(errand->json, "calls", json_pack("{s:I, s:I, s:I, s:I, s:I, s:s}", "count", (json_int_t) s->calls, "slow",
                            (json_int_t) s->slow, "stalls", (json_int_t) s->stalls, "bad_verdicts", (json_int_t) s->bad_verdicts,
                            "longest_us", (json_int_t) s->longest_us, "longest", s->longest));
    }
}

json_t *plugin_host_statistics(PluginHost *host)
{
    Errand errand = { .host = host, .run = statistics_here };

    errand_send(&errand);
    return errand.json;
}

const char *plugin_host_failure(PluginHost *host)
{
    const char *failure;

    g_mutex_lock(&host->lock);
    failure = host->failure;
    g_mutex_unlock(&host->lock);
    return failure;
}
