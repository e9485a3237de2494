/* Services of agents that know only QMF: what they are asked, when, and what they must never be asked twice. The host here is a clock, a
 * heap of timers, what was published, and what was kept. */
#include "broker-plugin/abi.h"
#include "broker-plugin/control/watch.h"
#include "broker-plugin/post.h"

#include <string.h>

#define AGENT    "matahariproject.org:service:1"
#define INTERVAL (10 * US_PER_S)

typedef struct Timer { mend_id id; int64_t due_us; mend_timer_fn fn; void *user; } Timer;

typedef struct World {
    mend_host host; /* first */
    Watch *watch;
    GArray *timers;
    GPtrArray *asked; /* of QmfMessage, oldest first */
    GHashTable *state;
    GString *told;    /* "SERVICE STATE RC;" */
    int64_t now_us;
    mend_id last_id;
    bool here, busy, full, forgets;
    unsigned how;
} World;

static World *world_of(mend_host *host) { return (World *) host; }
static uint64_t dice(mend_host *host) { return ++world_of(host)->last_id * UINT64_C(0x9e3779b97f4a7c15); }

static mend_rc timer_start(mend_host *host, int64_t delay_us, mend_timer_fn fn, void *user, mend_id *ret)
{
    World *w = world_of(host);
    const Timer timer = { ++w->last_id, w->now_us + delay_us, fn, user };

    g_array_append_val(w->timers, timer);
    *ret = timer.id;
    return MEND_OK;
}

static void timer_stop(mend_host *host, mend_id id)
{
    GArray *timers = world_of(host)->timers;

    for (guint i = 0; i < timers->len; i++)
        if (g_array_index(timers, Timer, i).id == id) {
            g_array_remove_index(timers, i);
            return;
        }
}

static mend_rc publish(mend_host *host, const mend_msg *msg, mend_published_fn done, void *user)
{
    World *w = world_of(host);

    if (w->full)
        return MEND_BUSY;
    g_ptr_array_add(w->asked, qmf_of_msg(msg, NULL));
    g_assert_nonnull(w->asked->pdata[w->asked->len - 1]);
    return MEND_OK;
}

static mend_rc state_put(mend_host *host, mend_str key, mend_str value)
{
    World *w = world_of(host);

    if (w->forgets)
        return MEND_LIMIT;
    g_hash_table_replace(w->state, str_dup(key), g_strndup(value.ptr, value.len));
    return MEND_OK;
}

static mend_rc state_get(mend_host *host, mend_str key, mend_str *ret)
{
    g_autofree char *name = str_dup(key);
    const char *found = g_hash_table_lookup(world_of(host)->state, name);

    *ret = str_of(found != NULL ? found : "");
    return found != NULL ? MEND_OK : MEND_NOT_FOUND;
}

static void on_state(const char *agent, const char *service, const char *state, int64_t rc, const char *text, void *user)
{
    g_string_append_printf(((World *) user)->told, "%s %s %" G_GINT64_FORMAT ";", service, state, rc);
}

static void on_how(const char *agent, const char *service, const char *standard, const char *provider, const char *type, const Value *parameters, void *user)
{
    ((World *) user)->how++;
}

static bool is_here(const char *agent, void *user) { return ((World *) user)->here; }
static bool is_busy(const char *agent, const char *service, void *user) { return ((World *) user)->busy; }

static void begin(World *w)
{
    w->watch = watch_new(&w->host, "direct-console.k", INTERVAL, &(WatchSink) { on_state, on_how, is_here, is_busy, w });
    watch_open(w->watch);
}

static World *world_new(void)
{
    World *w = g_new0(World, 1);

    w->host = (mend_host) { .size = sizeof(mend_host), .caps = MEND_CAP_STATE, .random = dice, .timer_start = timer_start, .timer_stop = timer_stop,
                            .publish = publish, .state_put = state_put, .state_get = state_get };
    w->timers = g_array_new(false, false, sizeof(Timer));
    w->asked = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_message_free);
    w->state = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    w->told = g_string_new(NULL);
    w->here = true;
    begin(w);
    return w;
}

static void world_free(World *w)
{
    watch_free(w->watch);
    g_assert_cmpuint(w->timers->len, ==, 0);
    g_array_unref(w->timers);
    g_ptr_array_unref(w->asked);
    g_hash_table_unref(w->state);
    g_string_free(w->told, TRUE);
    g_free(w);
}

static void advance(World *w, int64_t us)
{
    int64_t end = w->now_us + us;

    for (;;) {
        guint first = 0;

        for (guint i = 1; i < w->timers->len; i++)
            if (g_array_index(w->timers, Timer, i).due_us < g_array_index(w->timers, Timer, first).due_us)
                first = i;
        if (w->timers->len == 0 || g_array_index(w->timers, Timer, first).due_us > end)
            break;
        Timer timer = g_array_index(w->timers, Timer, first);

        g_array_remove_index(w->timers, first);
        w->now_us = timer.due_us;
        timer.fn(timer.user, w->now_us);
    }
    w->now_us = end;
}

static void set(World *w, const char *json)
{
    g_autoptr(json_t) list = json_loads(json, 0, NULL);
    g_autoptr(Value) services = value_from_json(list);
    g_autofree char *why = NULL;

    g_assert_true(watch_set(w->watch, services, &why));
}

static const QmfMessage *last(const World *w) { return w->asked->pdata[w->asked->len - 1]; }
static const char *method(const World *w) { return value_get_string(last(w)->body, "_method_name"); }
static const Value *argument(const World *w, const char *name) { return value_get(value_get(last(w)->body, "_arguments"), name); }

static bool answer(World *w, QmfOpcode opcode, int64_t rc)
{
    g_autoptr(QmfMessage) m = qmf_message_new(opcode);
    Value *arguments = value_map(), *values = value_map();

    m->agent = g_strdup(AGENT);
    m->correlation_id = g_strdup(last(w)->correlation_id);
    m->body = value_map();
    value_set(arguments, "rc", value_int(VALUE_INT32, rc));
    value_set(values, "error_text", value_string("Invalid argument"));
    value_set(m->body, opcode == QMF_METHOD_RESPONSE ? "_arguments" : "_values", opcode == QMF_METHOD_RESPONSE ? value_ref(arguments) : value_ref(values));
    value_unref(arguments);
    value_unref(values);
    return watch_answer(w->watch, m);
}

static void told(World *w, const char *expected)
{
    g_assert_cmpstr(w->told->str, ==, expected);
    g_string_truncate(w->told, 0);
}

#define WEB "[{\"hostname\": \"one\", \"name\": \"web\", \"standard\": \"lsb\"}]"
#define VIP "[{\"vm\": \"v1\", \"name\": \"vip\", \"standard\": \"ocf\", \"agent\": \"Dummy\", \"parameters\": {\"a\": \"b\"}}]"

static void test_service_is_asked_again_and_again(void)
{
    World *w = world_new();

    set(w, WEB);
    g_assert_cmpuint(watch_size(w->watch), ==, 0); /* its agent is not here */
    watch_agent(w->watch, AGENT, NULL, "two");
    g_assert_cmpuint(watch_size(w->watch), ==, 0);
    watch_agent(w->watch, AGENT, NULL, "one");
    g_assert_cmpuint(watch_size(w->watch), ==, 1);
    g_assert_cmpuint(w->how, ==, 1);
    advance(w, 1000);
    g_assert_cmpuint(w->asked->len, ==, 1);
    g_assert_cmpstr(method(w), ==, "status");
    g_assert_cmpint(value_type(argument(w, "timeout")), ==, VALUE_INT32);
    advance(w, INTERVAL); /* one look at a time */
    g_assert_cmpuint(w->asked->len, ==, 1);
    g_assert_true(answer(w, QMF_METHOD_RESPONSE, 0));
    g_assert_false(answer(w, QMF_METHOD_RESPONSE, 0)); /* told twice: not ours any more */
    told(w, "web running 0;");
    advance(w, INTERVAL);
    g_assert_cmpuint(w->asked->len, ==, 2);
    g_assert_true(answer(w, QMF_METHOD_RESPONSE, 0));
    told(w, ""); /* nothing new */
    advance(w, INTERVAL);
    g_assert_true(answer(w, QMF_METHOD_RESPONSE, 3));
    told(w, "web failed 3;");
    advance(w, INTERVAL);
    g_assert_true(answer(w, QMF_EXCEPTION, 0));
    told(w, "web unknown -1;");
    world_free(w);
}

static void test_silence_and_commands(void)
{
    World *w = world_new();

    set(w, WEB);
    watch_agent(w->watch, AGENT, NULL, "one");
    advance(w, 3 * (25 * US_PER_S + INTERVAL));
    told(w, "web unknown -1;"); /* three without an answer */
    w->busy = true; /* a command is at it: it is left alone, and what is seen is no state */
    advance(w, 30 * US_PER_S);
    guint asked = w->asked->len;
    advance(w, 10 * INTERVAL);
    g_assert_cmpuint(w->asked->len, ==, asked);
    w->busy = false;
    w->here = false; /* nobody to ask */
    advance(w, 10 * INTERVAL);
    g_assert_cmpuint(w->asked->len, ==, asked);
    w->here = true;
    w->full = true; /* the host has no room: later */
    advance(w, 3 * INTERVAL);
    w->full = false;
    advance(w, INTERVAL);
    g_assert_cmpuint(w->asked->len, ==, asked + 1);
    g_assert_true(answer(w, QMF_METHOD_RESPONSE, 0));
    told(w, "web running 0;");
    world_free(w);
}

/* Two recurring monitors of one resource, or a cancel, end an agent of 2012. */
static void test_recurring_monitor_is_begun_once(void)
{
    World *w = world_new();
    unsigned begun = 0;

    set(w, VIP);
    watch_agent(w->watch, AGENT, "v1", NULL);
    advance(w, 1000);
    g_assert_cmpstr(method(w), ==, "invoke");
    g_assert_cmpint(value_get_int(value_get(last(w)->body, "_arguments"), "interval", 0), ==, INTERVAL / US_PER_MS);
    g_assert_cmpstr(value_get_string(argument(w, "parameters"), "a"), ==, "b");
    g_assert_true(answer(w, QMF_METHOD_RESPONSE, 0));
    told(w, "vip running 0;");
    advance(w, 5 * INTERVAL); /* it tells by itself: looks are rare */
    g_assert_cmpuint(w->asked->len, ==, 1);
    watch_told(w->watch, AGENT, "vip", 7);
    advance(w, 6 * INTERVAL);
    g_assert_cmpuint(w->asked->len, ==, 2);
    g_assert_true(answer(w, QMF_METHOD_RESPONSE, 7));
    told(w, ""); /* the agent's own word was first */
    set(w, "[]");
    g_assert_cmpuint(watch_size(w->watch), ==, 0);
    set(w, VIP);
    advance(w, INTERVAL);
    watch_free(w->watch); /* the plugin starts again; the agent is the same */
    begin(w);
    watch_agent(w->watch, AGENT, "v1", NULL);
    g_assert_cmpuint(watch_size(w->watch), ==, 1); /* what was to be watched was kept */
    advance(w, INTERVAL);
    for (guint i = 0; i < w->asked->len; i++)
        begun += value_get_int(value_get(((QmfMessage *) w->asked->pdata[i])->body, "_arguments"), "interval", 0) > 0;
    g_assert_cmpuint(begun, ==, 1);
    watch_leave(w->watch, AGENT); /* its process ended, and the operation with it */
    watch_agent(w->watch, AGENT, "v1", NULL);
    advance(w, INTERVAL);
    g_assert_cmpint(value_get_int(value_get(last(w)->body, "_arguments"), "interval", 0), >, 0);
    world_free(w);
}

static void test_what_cannot_be_kept_is_not_begun(void)
{
    World *w = world_new();
    g_autofree char *why = NULL;
    g_autoptr(Value) none = value_list();

    set(w, VIP);
    w->forgets = true;
    watch_agent(w->watch, AGENT, "v1", NULL);
    advance(w, 1000);
    g_assert_cmpint(value_get_int(value_get(last(w)->body, "_arguments"), "interval", -1), ==, 0); /* a look only */
    g_assert_false(watch_set(w->watch, none, &why));
    g_assert_nonnull(strstr(why, "cannot keep"));
    g_assert_cmpuint(watch_size(w->watch), ==, 1);
    w->forgets = false;
    world_free(w);
}

static void test_refused_whole(void)
{
    static const struct { const char *json, *why; } bad[] = {
        { "{}", "a list" }, { "[{\"vm\": \"v1\"}]", "services[0]: name" }, { "[{\"name\": \"\", \"vm\": \"v1\"}]", "services[0]: name" },
        { "[{\"name\": \"a\", \"vm\": \"v1\"}, {\"name\": \"b\"}]", "services[1]: vm or hostname" },
    };
    World *w = world_new();

    set(w, WEB);
    watch_agent(w->watch, AGENT, NULL, "one");
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(json_t) json = json_loads(bad[i].json, 0, NULL);
        g_autoptr(Value) services = value_from_json(json);
        g_autofree char *why = NULL;

        g_assert_false(watch_set(w->watch, services, &why));
        g_assert_nonnull(strstr(why, bad[i].why));
        g_assert_cmpuint(watch_size(w->watch), ==, 1); /* as before */
    }
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/watch/service-is-asked-again-and-again", test_service_is_asked_again_and_again);
    g_test_add_func("/watch/silence-and-commands", test_silence_and_commands);
    g_test_add_func("/watch/recurring-monitor-is-begun-once", test_recurring_monitor_is_begun_once);
    g_test_add_func("/watch/what-cannot-be-kept-is-not-begun", test_what_cannot_be_kept_is_not_begun);
    g_test_add_func("/watch/refused-whole", test_refused_whole);
    return g_test_run();
}
