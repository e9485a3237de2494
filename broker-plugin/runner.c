/* A plugin is somebody else's code in our process. It cannot be stopped from scribbling over memory, but everything short of that is
 * met here: it answers late (timed, counted, named), answers nonsense (replaced by the answer that does least harm), completes a
 * drain twice or never (the first counts, the rest is counted), calls out of order (refused).
 *
 *   LOADED --> CREATED --> STARTED --> DRAINING --> DRAINED --> GONE
 *      |          |           |                                 ^  ^
 *      +----------+-----------+---------------------------------+  +-- destroy, from anywhere
 *
 * Time is read with the real clock, not the host's: what is measured is this process, also under a simulated one. */
#include "broker-plugin/runner.h"

#include "broker-plugin/abi.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <inttypes.h>

typedef enum { LIFE_LOADED, LIFE_CREATED, LIFE_STARTED, LIFE_DRAINING, LIFE_DRAINED, LIFE_GONE, LIFE_N } Life;
#define TO(s) (1u << LIFE_##s)
static const struct { const char *name; uint32_t to; } lives[] = {
    [LIFE_LOADED]   = { "loaded",   TO(CREATED) | TO(GONE) },
    [LIFE_CREATED]  = { "created",  TO(STARTED) | TO(GONE) },
    [LIFE_STARTED]  = { "started",  TO(DRAINING) | TO(GONE) },
    [LIFE_DRAINING] = { "draining", TO(DRAINED) | TO(GONE) },
    [LIFE_DRAINED]  = { "drained",  TO(GONE) },
    [LIFE_GONE]     = { "gone",     0 },
};
#undef TO
_Static_assert(G_N_ELEMENTS(lives) == LIFE_N, "every state has a row");

struct Runner {
    const mend_plugin *plugin;
    mend_host *host;
    RunnerLimits limits;
    RunnerStats stats;
    Life life;
    void *self;
    unsigned depth;        /* of plugin calls on the stack */
    mend_task_fn drained;  /* to be told; NULL once it was */
    void *drained_user;
    bool drain_answered;   /* inside drain(): told at runner_dispatch */
};

G_DEFINE_QUARK(mend-runner-error-quark, runner_error)

static void life_move(Runner *r, Life to)
{
    g_assert(lives[r->life].to & (1u << to));
    r->life = to;
}

static int64_t call_begin(Runner *r)
{
    r->depth++;
    r->stats.calls++;
    return clock_now_us();
}

static void call_end(Runner *r, const char *name, int64_t began_us)
{
    int64_t took_us = clock_now_us() - began_us;

    r->depth--;
    if (took_us > r->stats.longest_us) {
        r->stats.longest_us = took_us;
        r->stats.longest = name;
    }
    if (took_us > r->limits.slow_us)
        r->stats.slow++;
    if (took_us > r->limits.stall_us) {
        r->stats.stalls++;
        log_warning("plugin %s: %s took %" PRId64 " ms", r->plugin->name, name, took_us / US_PER_MS);
    }
}

Runner *runner_new(const mend_plugin *plugin, mend_host *host, RunnerLimits limits)
{
    Runner *r = g_new0(Runner, 1);

    r->plugin = plugin;
    r->host = host;
    r->limits = limits;
    r->stats.longest = "";
    return r;
}

void runner_free(Runner *r)
{
    if (r == NULL)
        return;
    runner_destroy(r);
    g_free(r);
}

static bool refused(Runner *r, GError **error, RunnerError code, const char *what, mend_rc rc, const mend_error *why)
{
    g_autofree char *text = g_strndup(why->text, sizeof why->text); /* a plugin may forget the terminating 0 */

    g_set_error(error, RUNNER_ERROR, code, "plugin %s: %s answered %s%s%s", r->plugin->name, what, rc_name(rc), text[0] != '\0' ? ": " : "", text);
    return false;
}

static bool in_order(Runner *r, Life wanted, const char *what, GError **error)
{
    if (r->life == wanted)
        return true;
    g_set_error(error, RUNNER_ERROR, RUNNER_ERROR_ORDER, "plugin %s: %s asked for while %s", r->plugin->name, what, lives[r->life].name);
    return false;
}

bool runner_create(Runner *r, const char *config_json, GError **error)
{
    mend_error why = { .size = sizeof why };
    void *self = NULL;
    int64_t began_us;
    mend_rc rc;

    if (!in_order(r, LIFE_LOADED, "create", error))
        return false;
    began_us = call_begin(r);
    rc = r->plugin->create(r->host, str_of(config_json != NULL ? config_json : "{}"), &self, &why);
    call_end(r, "create", began_us);
    if (rc != MEND_OK)
        return refused(r, error, RUNNER_ERROR_CREATE, "create", rc, &why);
    r->self = self;
    life_move(r, LIFE_CREATED);
    return true;
}

bool runner_start(Runner *r, GError **error)
{
    mend_error why = { .size = sizeof why };
    int64_t began_us;
    mend_rc rc;

    if (!in_order(r, LIFE_CREATED, "start", error))
        return false;
    began_us = call_begin(r);
    rc = r->plugin->start(r->self, &why);
    call_end(r, "start", began_us);
    if (rc != MEND_OK)
        return refused(r, error, RUNNER_ERROR_START, "start", rc, &why);
    life_move(r, LIFE_STARTED);
    return true;
}

bool runner_reload(Runner *r, const char *config_json, GError **error)
{
    mend_error why = { .size = sizeof why };
    int64_t began_us;
    mend_rc rc;

    if (!in_order(r, LIFE_STARTED, "reload", error))
        return false;
    began_us = call_begin(r);
    rc = r->plugin->reload(r->self, str_of(config_json), &why);
    call_end(r, "reload", began_us);
    return rc == MEND_OK || refused(r, error, RUNNER_ERROR_RELOAD, "reload", rc, &why);
}

static void drain_done(void *user)
{
    Runner *r = user;

    if (r->life != LIFE_DRAINING || r->drained == NULL || r->drain_answered) {
        r->stats.bad_completions++;
        log_warning("plugin %s: drain completed again", r->plugin->name);
        return;
    }
    r->drain_answered = true; /* told by runner_dispatch: never inside a call */
}

void runner_drain(Runner *r, mend_task_fn done, void *user)
{
    int64_t began_us;

    g_assert(r->life == LIFE_STARTED && done != NULL);
    life_move(r, LIFE_DRAINING);
    r->drained = done;
    r->drained_user = user;
    began_us = call_begin(r);
    r->plugin->drain(r->self, drain_done, r);
    call_end(r, "drain", began_us);
}

void runner_dispatch(Runner *r)
{
    mend_task_fn done;

    if (r->life != LIFE_DRAINING || !r->drain_answered || r->depth > 0)
        return;
    life_move(r, LIFE_DRAINED);
    done = g_steal_pointer(&r->drained);
    done(r->drained_user);
}

void runner_destroy(Runner *r)
{
    int64_t began_us;

    if (r->life == LIFE_GONE)
        return;
    began_us = call_begin(r);
    if (r->life != LIFE_LOADED)
        r->plugin->destroy(g_steal_pointer(&r->self));
    call_end(r, "destroy", began_us);
    life_move(r, LIFE_GONE);
}

static bool verdict_fits(int32_t verdict, int32_t mode)
{
    if (mode == MEND_TAP || mode == MEND_BROWSE)
        return true; /* not looked at */
    if (mode == MEND_GATE)
        return verdict == MEND_ACCEPT || verdict == MEND_REJECT || verdict == MEND_KEEP;
    return verdict >= MEND_ACCEPT && verdict <= MEND_KEEP;
}

int32_t runner_message(Runner *r, const char *name, int32_t mode, mend_message_fn fn, void *user, mend_id delivery, const mend_msg *msg)
{
    int64_t began_us = call_begin(r);
    int32_t verdict = fn(user, delivery, msg);

    call_end(r, name, began_us);
    if (verdict_fits(verdict, mode))
        return verdict;
    r->stats.bad_verdicts++;
    log_warning("plugin %s: %s answered verdict %d, which does not exist there", r->plugin->name, name, verdict);
    return mode == MEND_GATE ? MEND_REJECT : MEND_RELEASE;
}

void runner_timer(Runner *r, mend_timer_fn fn, void *user, int64_t now_us)
{
    int64_t began_us = call_begin(r);

    fn(user, now_us);
    call_end(r, "a timer", began_us);
}

void runner_task(Runner *r, mend_task_fn fn, void *user)
{
    int64_t began_us = call_begin(r);

    fn(user);
    call_end(r, "a posted task", began_us);
}

void runner_published(Runner *r, mend_published_fn fn, void *user, int32_t verdict)
{
    int64_t began_us = call_begin(r);

    fn(user, verdict);
    call_end(r, "a publish completion", began_us);
}

void runner_peer(Runner *r, mend_peer_fn fn, void *user, const mend_peer *peer, int32_t what)
{
    int64_t began_us = call_begin(r);

    fn(user, peer, what);
    call_end(r, "the peer watcher", began_us);
}

bool runner_is_running(const Runner *r) { return r->life == LIFE_STARTED; }
bool runner_in_call(const Runner *r) { return r->depth > 0; }
const RunnerStats *runner_stats(const Runner *r) { return &r->stats; }
const mend_plugin *runner_plugin(const Runner *r) { return r->plugin; }
