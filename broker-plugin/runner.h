/* A plugin in the hands of a host: every call into it goes through here, so that the order of its life is kept, every call is timed,
 * and an answer that does not exist does no harm. Hosts of all kinds share it.
 *
 * Thread: the plugin loop. */
#ifndef MEND_PLUGIN_RUNNER_H
#define MEND_PLUGIN_RUNNER_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"

typedef struct Runner Runner;

typedef struct RunnerStats {
    uint64_t calls;
    uint64_t slow;            /* took longer than slow_us */
    uint64_t stalls;          /* took longer than stall_us; each is logged with the callback's name */
    uint64_t bad_verdicts;    /* answers plugin.h does not have, or not there */
    uint64_t bad_completions; /* drain completed twice, or from a call it may not */
    int64_t longest_us;
    const char *longest;      /* name of that callback */
} RunnerStats;

typedef struct RunnerLimits { int64_t slow_us, stall_us; } RunnerLimits;
#define RUNNER_LIMITS ((RunnerLimits) { 10 * US_PER_MS, US_PER_S })

#define RUNNER_ERROR runner_error_quark()
GQuark runner_error_quark(void);
typedef enum { RUNNER_ERROR_CREATE, RUNNER_ERROR_START, RUNNER_ERROR_RELOAD, RUNNER_ERROR_ORDER } RunnerError;

/* Both borrowed, and must outlive the runner. */
Runner *runner_new(const mend_plugin *plugin, mend_host *host, RunnerLimits limits);
void runner_free(Runner *runner); /* destroys the instance if it still is; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Runner, runner_free)

/* Errors carry the plugin's name, the callback and its own text. After a failed create or start only destroy remains. */
bool runner_create(Runner *runner, const char *config_json, GError **error);
bool runner_start(Runner *runner, GError **error);
bool runner_reload(Runner *runner, const char *config_json, GError **error);
/* @done runs at most once, from runner_dispatch; not at all when the plugin never answers: the owner has a deadline of its own. */
void runner_drain(Runner *runner, mend_task_fn done, void *user);
void runner_dispatch(Runner *runner); /* to be called when no plugin code is on the stack, after each thing handed over */
void runner_destroy(Runner *runner);

/* @name: what a log line calls the callback, borrowed and static. @mode: MEND_CONSUME … Always a verdict that fits the mode: a wrong
 * one becomes REJECT at a gate (nothing enters by mistake) and RELEASE of a consumer (nothing is lost by mistake). */
int32_t runner_message(Runner *runner, const char *name, int32_t mode, mend_message_fn fn, void *user, mend_id delivery, const mend_msg *msg);
void runner_timer(Runner *runner, mend_timer_fn fn, void *user, int64_t now_us);
void runner_task(Runner *runner, mend_task_fn fn, void *user);
void runner_published(Runner *runner, mend_published_fn fn, void *user, int32_t verdict);
void runner_peer(Runner *runner, mend_peer_fn fn, void *user, const mend_peer *peer, int32_t what);

bool runner_is_running(const Runner *runner); /* started, not draining: new things may be handed over */
bool runner_in_call(const Runner *runner);    /* plugin code is on the stack */
const RunnerStats *runner_stats(const Runner *runner);
const mend_plugin *runner_plugin(const Runner *runner);

#endif
