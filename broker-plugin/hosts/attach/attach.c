/* Life of the host: connect, find the dialect, start the plugin, and hold still while the broker is away.
 *
 * Blindness. While the connection is down nobody can be heard, and for a while afterwards those who have to come back, too, are still on
 * their way. Silence in that time is ours, not theirs: the plugin's clock stands still, so nobody becomes late or lost by it. A network that
 * is cut does not say so; but a broker that is there is heard every second or two (idle time-out), so the clock never runs ahead of its last
 * word by more than DEAF_US. Timers go on by real time: what has to be sent again is sent as soon as it can be. Rejected: ending the plugin at a loss and starting it anew, as a
 * restart of the embedded broker does; it would forget every entity that only an event told of, for the sake of a cut of a second. */
#include "broker-plugin/hosts/attach/attach_private.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/loader.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define CAPS       (MEND_CAP_SETTLE_LATER | MEND_CAP_TAP | MEND_CAP_GATE | MEND_CAP_DURABLE_OUT | MEND_CAP_STATE)
#define DRAIN_US   (5 * US_PER_S)
#define LINGER_US  (2 * US_PER_S)
#define GRACE_US   (15 * US_PER_S) /* an agent's longest back-off is 10 s */
#define IDLE_US    (5 * US_PER_S)
#define DEAF_US    (2500 * US_PER_MS)
#define TIMERS_MAX 65536

typedef struct HostTimer { Attach *attach; mend_id id; mend_timer_fn fn; void *user; GSource *source; } HostTimer;
typedef struct HostTask { Attach *attach; mend_task_fn fn; void *user; } HostTask;

G_DEFINE_QUARK(mend-attach-error-quark, attach_error)

bool attach_is_live(const Attach *a) { return a->runner != NULL && !a->ended; }

void attach_dispatch(Attach *a)
{
    if (a->runner != NULL)
        runner_dispatch(a->runner);
}

/* ---- time -------------------------------------------------------------------------------------------------------------------- */

/* Until when anything can be said of anybody. */
static int64_t seen_until_us(Attach *a)
{
    int64_t heard = amqp_client_heard_us(a->client);

    if (heard != a->heard_us && a->heard_us != 0)
        a->blind_us += MAX(heard - a->heard_us - DEAF_US, 0); /* a gap that is over */
    a->heard_us = heard;
    return MIN(clock_now_us(), heard + DEAF_US);
}

static int64_t plugin_now_us(Attach *a)
{
    return (a->blind_since_us != 0 ? a->blind_since_us : seen_until_us(a)) - a->blind_us;
}

static void blind_begin(Attach *a)
{
    if (a->grace != NULL) {
        g_source_destroy(a->grace);
        g_clear_pointer(&a->grace, g_source_unref);
    }
    if (a->blind_since_us == 0)
        a->blind_since_us = seen_until_us(a);
}

static gboolean blind_end(gpointer user)
{
    Attach *a = user;

    a->heard_us = amqp_client_heard_us(a->client);
    a->blind_us += MIN(clock_now_us(), a->heard_us + DEAF_US) - a->blind_since_us;
    a->blind_since_us = 0;
    g_clear_pointer(&a->grace, g_source_unref);
    return G_SOURCE_REMOVE;
}

static void blind_end_soon(Attach *a)
{
    if (a->blind_since_us == 0 || a->grace != NULL)
        return;
    a->grace = g_timeout_source_new(GRACE_US / US_PER_MS);
    g_source_set_callback(a->grace, blind_end, a, NULL);
    g_source_attach(a->grace, a->context);
}

static int64_t host_now_us(mend_host *table) { return plugin_now_us(attach_of(table)); }
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

    g_hash_table_remove(fired.attach->timers, &fired.id);
    if (attach_is_live(fired.attach)) {
        runner_timer(fired.attach->runner, fired.fn, fired.user, plugin_now_us(fired.attach));
        attach_dispatch(fired.attach);
    }
    return G_SOURCE_REMOVE;
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer user) { return callback(user); }
static GSourceFuncs timer_funcs = { NULL, NULL, source_dispatch, NULL, NULL, NULL };

static mend_rc host_timer_start(mend_host *table, int64_t delay_us, mend_timer_fn fn, void *user, mend_id *ret)
{
    Attach *a = attach_of(table);
    HostTimer *t;

    if (g_hash_table_size(a->timers) >= TIMERS_MAX)
        return MEND_LIMIT;
    t = g_new0(HostTimer, 1);
    *t = (HostTimer) { a, ++a->last_id, fn, user, g_source_new(&timer_funcs, sizeof(GSource)) };
    g_source_set_callback(t->source, timer_fire, t, NULL);
    g_source_set_ready_time(t->source, clock_now_us() + MAX(delay_us, 0));
    g_source_attach(t->source, a->context);
    g_hash_table_insert(a->timers, &t->id, t);
    *ret = t->id;
    return MEND_OK;
}

static void host_timer_stop(mend_host *table, mend_id id) { g_hash_table_remove(attach_of(table)->timers, &id); }

static gboolean task_run(gpointer user)
{
    HostTask *task = user, taken = *task;
    bool here;

    g_mutex_lock(&taken.attach->lock);
    here = g_hash_table_remove(taken.attach->tasks, task);
    g_mutex_unlock(&taken.attach->lock);
    if (here && attach_is_live(taken.attach)) {
        runner_task(taken.attach->runner, taken.fn, taken.user);
        attach_dispatch(taken.attach);
    }
    return G_SOURCE_REMOVE;
}

static GSource *in_loop(Attach *a, GSourceFunc fn, void *user, GDestroyNotify gone) /* (transfer full) */
{
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, fn, user, gone);
    g_source_attach(source, a->context);
    return source;
}

static mend_rc host_post(mend_host *table, mend_task_fn fn, void *user)
{
    Attach *a = attach_of(table);
    HostTask *task = g_new(HostTask, 1);

    *task = (HostTask) { a, fn, user };
    g_mutex_lock(&a->lock);
    g_hash_table_add(a->tasks, task);
    g_mutex_unlock(&a->lock);
    g_source_unref(in_loop(a, task_run, task, g_free));
    return MEND_OK;
}

/* ---- telling ----------------------------------------------------------------------------------------------------------------- */

static void host_log_line(mend_host *table, int32_t level, mend_str text, const mend_prop *fields, size_t n_fields)
{
    static const LogLevel levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING,
                                       LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
    g_autofree char *valid = g_utf8_make_valid(text.ptr, (gssize) text.len);

    g_strdelimit(valid, "\r\n", ' '); /* what peers chose may be in it: one line stays one line */
    log_line(levels[CLAMP(level, 0, 7)], "plugin %s: %s", attach_of(table)->plugin->name, valid);
}

static void host_count(mend_host *table, uint32_t metric, int64_t delta)
{
    Attach *a = attach_of(table);

    if (metric < a->plugin->n_metrics)
        a->metrics[metric] += delta;
}

static void end_instance(Attach *a);

static gboolean on_failed(gpointer user)
{
    Attach *a = user;

    end_instance(a);
    if (a->options.on_failed != NULL)
        a->options.on_failed(a->failure, a->options.callback_user);
    return G_SOURCE_REMOVE;
}

static void fail(Attach *a, const char *why)
{
    bool first;

    g_mutex_lock(&a->lock);
    first = a->failure == NULL;
    if (first)
        a->failure = g_strdup(why);
    g_mutex_unlock(&a->lock);
    if (!first)
        return;
    a->ended = true;
    a->failing = in_loop(a, on_failed, a, NULL); /* not inside its own call */
}

static void host_failed(mend_host *table, const mend_error *why)
{
    g_autofree char *text = g_strndup(why->text, sizeof why->text);

    log_error("plugin %s gave up: %s; no command is let in from here on", attach_of(table)->plugin->name, text);
    fail(attach_of(table), text);
}

/* ---- the table --------------------------------------------------------------------------------------------------------------- */

static mend_rc keep(mend_host *table, mend_str key, mend_str value)
{
    return host_state_put(attach_of(table)->state, attach_of(table)->plugin->name, key, value);
}

static mend_rc kept(mend_host *table, mend_str key, mend_str *ret) { return host_state_get(attach_of(table)->state, key, ret); }

static const mend_host host_table = {
    .size = sizeof host_table, .abi_major = MEND_ABI_MAJOR, .abi_minor = MEND_ABI_MINOR, .caps = CAPS, .kind = "attach",
    .now_us = host_now_us, .wall_us = host_wall_us, .random = host_random, .timer_start = host_timer_start,
    .timer_stop = host_timer_stop, .post = host_post, .subscribe = flow_subscribe, .unsubscribe = flow_unsubscribe,
    .settle = flow_settle, .publish = flow_publish, .log = host_log_line, .count = host_count, .failed = host_failed,
    .peers_watch = crowd_watch, .peer_get = crowd_get, .peer_drop = crowd_drop, .declare = flow_declare,
    .undeclare = flow_undeclare, .state_put = keep, .state_get = kept,
};

/* ---- the plugin -------------------------------------------------------------------------------------------------------------- */

/* As plugin.h promises before destroy: no timer, task, subscription left, every publish completed. */
static void end_instance(Attach *a)
{
    a->ended = true;
    g_hash_table_remove_all(a->timers);
    g_mutex_lock(&a->lock);
    g_hash_table_remove_all(a->tasks); /* their sources free them when they come up */
    g_mutex_unlock(&a->lock);
    crowd_end(a->crowd);
    if (a->runner == NULL)
        return;
    flow_free(a->flow); /* completes what was published */
    a->flow = flow_new(a);
    g_hash_table_remove_all(a->timers);
    g_clear_pointer(&a->runner, runner_free);
}

/* Where nobody vouches for names, checking them would only lock everybody out; the table at the start says so. */
static char *plugin_config(const Attach *a)
{
    const char *given = a->options.plugin_config != NULL ? a->options.plugin_config : "{}";
    g_autoptr(json_t) config = json_parse(given, strlen(given), "--plugin-config", NULL);

    if (!json_is_object(config) || (a->table.caps & MEND_CAP_PEERS) != 0 || json_object_get(config, "identity") != NULL)
        return g_strdup(given);
    json_object_set_new(config, "identity", json_string("off"));
    return json_text(config);
}

/* The plugin takes every name as it is said. */
static bool believes(const char *config)
{
    g_autoptr(json_t) told = json_parse(config, strlen(config), "--plugin-config", NULL);

    return g_strcmp0(json_string_value(json_object_get(told, "identity")), "off") == 0;
}

static bool start_plugin(Attach *a, GError **error)
{
    LoaderHost offer = { MEND_ABI_MINOR, CAPS | a->dialect->caps };
    g_autofree char *config = NULL;

    a->table.caps = offer.caps;
    config = plugin_config(a);
    a->lab = believes(config);
    a->plugin = loader_open(a->options.plugin_path, &offer, config, error);
    if (a->plugin == NULL)
        return false;
    a->metrics = g_new0(int64_t, a->plugin->n_metrics + 1);
    a->runner = runner_new(a->plugin, &a->table, RUNNER_LIMITS);
    return runner_create(a->runner, config, error) && runner_start(a->runner, error);
}

static bool begin(Attach *a, GError **error)
{
    const AmqpDialect *spoken = amqp_client_dialect(a->client);

    a->dialect = attach_dialect_named(spoken->name);
    if (a->dialect == NULL) {
        g_set_error(error, ATTACH_ERROR, ATTACH_ERROR_DIALECT, "what answers there does not say what broker it is; if it is Mend's own, its plugin is in "
                    "it already; for another one say --dialect generic");
        return false;
    }
    a->way = (AttachWay) { a->client, a->options.user, a->options.password, a->options.ca_file, a->options.management, crowd_opened, crowd_closed, crowd_named, crowd_unknown, a };
    if (a->dialect->open != NULL && (a->broker = a->dialect->open(&a->way, error)) == NULL)
        return false;
    if (a->dialect->connected != NULL)
        a->dialect->connected(a->broker, true);
    if (a->options.shards > 0 && a->dialect->results == NULL) {
        g_set_error(error, ATTACH_ERROR, ATTACH_ERROR_DIALECT, "shards cannot be had with dialect %s, only with rabbitmq", a->dialect->name);
        return false;
    }
    if (!start_plugin(a, error))
        return false;
    for (char **name = a->subscribers; name != NULL && *name != NULL && a->dialect->subscriber != NULL; name++) {
        a->dialect->subscriber(a->broker, *name);
        if (a->options.shards > 0)
            a->dialect->results(a->broker, *name);
    }
    flow_begin(a->flow);
    return true;
}

/* ---- the connection ---------------------------------------------------------------------------------------------------------- */

static void on_open(Attach *a)
{
    const char *product = amqp_client_product(a->client), *version = amqp_client_version(a->client);
    g_autofree char *broker = NULL, *table = NULL;
    g_autoptr(GError) error = NULL;

    g_clear_pointer(&a->last_problem, g_free);
    if (a->dialect != NULL) {
        log_notice("attach: %s is back", amqp_client_url(a->client));
        if (a->dialect->connected != NULL)
            a->dialect->connected(a->broker, false);
        blind_end_soon(a);
        return;
    }
    if (!begin(a, &error)) {
        fail(a, error->message);
        return;
    }
    broker = g_strdup_printf("%s (%s%s%s)", amqp_client_url(a->client), product != NULL ? product : "a broker without a name", version != NULL ? " " : "",
                             version != NULL ? version : "");
    table = attach_table(a->dialect->name);
    if (a->options.on_started != NULL)
        a->options.on_started(broker, a->dialect->name, table, a->options.callback_user);
}

static void on_state(AmqpClient *client, AmqpState state, const GError *why, void *user)
{
    Attach *a = user;

    if (a->closing)
        return;
    if (state == AMQP_STATE_OPEN) {
        on_open(a);
        return;
    }
    if (a->dialect != NULL)
        blind_begin(a);
    if (why != NULL && g_strcmp0(a->last_problem, why->message) != 0) { /* once, not at each try */
        log_warning("attach: the broker is not there: %s; nobody is judged meanwhile", why->message);
        g_free(a->last_problem);
        a->last_problem = g_strdup(why->message);
    }
    if (state == AMQP_STATE_CLOSED && why != NULL)
        fail(a, why->message);
}

/* ---- what callers see -------------------------------------------------------------------------------------------------------- */

static void options_copy(Attach *a, const AttachOptions *o)
{
    a->options = *o;
    a->options.url = g_strdup(o->url);
    a->options.user = g_strdup(o->user);
    a->options.password = g_strdup(o->password);
    a->options.ca_file = g_strdup(o->ca_file);
    a->options.management = g_strdup(o->management);
    a->options.plugin_path = g_strdup(o->plugin_path);
    a->options.plugin_config = g_strdup(o->plugin_config);
    a->options.dialect = a->options.state_folder = NULL;
    a->subscribers = g_strdupv((char **) o->subscribers);
}

Attach *attach_new(const AttachOptions *options, GError **error)
{
    const AmqpDialect *dialect = options->dialect != NULL ? amqp_dialect_named(options->dialect) : NULL;
    g_autoptr(Attach) a = g_new0(Attach, 1);

    a->table = host_table;
    a->context = g_main_context_ref_thread_default();
    options_copy(a, options);
    g_mutex_init(&a->lock);
    a->timers = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, timer_free);
    a->tasks = g_hash_table_new(NULL, NULL);
    a->crowd = crowd_new(a);
    a->flow = flow_new(a);
    if (options->dialect != NULL && (dialect == NULL || attach_dialect_named(options->dialect) == NULL)) {
        g_set_error(error, ATTACH_ERROR, ATTACH_ERROR_DIALECT, "dialect \"%s\": rabbitmq, qpidd, artemis or generic is wanted", options->dialect);
        return NULL;
    }
    a->state = host_state_new(options->state_folder, error);
    if (a->state == NULL)
        return NULL;
    a->client = amqp_client_new(&(AmqpClientOptions) { .url = options->url, .user = options->user, .password = options->password,
                                                       .ca_file = options->ca_file, .dialect = dialect, .idle_timeout_us = IDLE_US,
                                                       .backoff_max_us = 2 * US_PER_S,
                                                       .reconnect = true, .on_state = on_state, .state_user = a });
    return g_steal_pointer(&a);
}

static void on_client_closed(void *user)
{
    Attach *a = user;

    if (a->closed != NULL)
        a->closed(a->closed_user);
}

static void drained(void *user)
{
    Attach *a = user;

    if (!a->draining)
        return;
    a->draining = false;
    g_source_destroy(a->deadline);
    g_clear_pointer(&a->deadline, g_source_unref);
    a->closing = true;
    amqp_client_close(a->client, LINGER_US, on_client_closed, a);
}

static gboolean on_drain_deadline(gpointer user)
{
    log_warning("attach: the plugin did not drain in time");
    drained(user);
    return G_SOURCE_REMOVE;
}

void attach_close(Attach *a, void (*done)(void *user), void *user)
{
    a->closed = done;
    a->closed_user = user;
    if (!attach_is_live(a) || !runner_is_running(a->runner)) {
        a->closing = true;
        amqp_client_close(a->client, 0, on_client_closed, a);
        return;
    }
    a->draining = true;
    a->deadline = g_timeout_source_new(DRAIN_US / US_PER_MS);
    g_source_set_callback(a->deadline, on_drain_deadline, a, NULL);
    g_source_attach(a->deadline, a->context);
    runner_drain(a->runner, drained, a);
    attach_dispatch(a);
}

static void source_end(GSource **source)
{
    if (*source != NULL)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

void attach_free(Attach *a)
{
    if (a == NULL)
        return;
    a->closing = true;
    source_end(&a->deadline);
    source_end(&a->grace);
    source_end(&a->failing);
    end_instance(a);
    flow_free(a->flow);
    if (a->broker != NULL && a->dialect->close != NULL)
        a->dialect->close(a->broker);
    amqp_client_free(a->client);
    crowd_free(a->crowd);
    host_state_free(a->state);
    g_hash_table_unref(a->timers);
    g_hash_table_unref(a->tasks);
    g_main_context_unref(a->context);
    g_mutex_clear(&a->lock);
    g_strfreev(a->subscribers);
    g_free((char *) a->options.url);
    g_free((char *) a->options.user);
    g_free((char *) a->options.password);
    g_free((char *) a->options.ca_file);
    g_free((char *) a->options.management);
    g_free((char *) a->options.plugin_path);
    g_free((char *) a->options.plugin_config);
    g_free(a->metrics);
    g_free(a->failure);
    g_free(a->last_problem);
    g_free(a);
}

json_t *attach_statistics(Attach *a)
{
    json_t *metrics = json_object();

    for (size_t i = 0; a->plugin != NULL && i < a->plugin->n_metrics; i++)
        json_object_set_new(metrics, a->plugin->metrics[i].name, json_integer(a->metrics[i]));
    return json_pack("{s:s, s:s, s:b, s:I, s:o, s:o}", "broker", amqp_client_url(a->client) != NULL ? amqp_client_url(a->client) : "", "dialect",
                     a->dialect != NULL ? a->dialect->name : "", "connected", amqp_client_state(a->client) == AMQP_STATE_OPEN, "blind_us",
                     (json_int_t) (a->blind_us + (a->blind_since_us != 0 ? clock_now_us() - a->blind_since_us : 0)), "flow", flow_json(a->flow),
                     "metrics", metrics);
}

char *attach_table(const char *name)
{
    const AttachDialect *dialect = attach_dialect_named(name);
    g_autoptr(GString) text = g_string_new(NULL);

    if (dialect == NULL)
        return NULL;
    for (const AttachLack *lack = dialect->lacks; lack->what != NULL; lack++)
        g_string_append_printf(text, "  %s: %s\n", lack->what, lack->instead);
    return g_string_free(g_steal_pointer(&text), FALSE);
}
