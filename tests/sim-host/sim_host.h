/* A message host in memory, with time that stands still until a test moves it. It keeps the promises of broker-plugin/plugin.h to the
 * letter, above all the unpleasant ones: completions come later, timers in order, a full node says BUSY, and any call can be made
 * to fail.
 *
 * The test is the peers: it opens them, sends as them, reads what the plugin published. */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "broker-plugin/runner.h"

#define SIM_CAPS (MEND_CAP_SETTLE_LATER | MEND_CAP_TAP | MEND_CAP_GATE | MEND_CAP_DURABLE_OUT | MEND_CAP_PEERS | \
                  MEND_CAP_DECLARE | MEND_CAP_STATE | MEND_CAP_PEER_DROP)

typedef struct SimHost SimHost;

typedef struct SimMessage { /* a whole copy of a message */
    mend_msg msg;
    char *reason;           /* why it is among the dead letters; else NULL */
    int64_t expires_us;     /* monotonic; 0: never */
} SimMessage;

SimHost *sim_host_new(uint64_t seed);
void sim_host_free(SimHost *sim);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimHost, sim_host_free)
void sim_host_set_caps(SimHost *sim, uint64_t caps);           /* before load */
void sim_host_set_limits(SimHost *sim, RunnerLimits limits);   /* before load */

/* loader_check, create, start. False: nothing is left of the instance. */
bool sim_host_load(SimHost *sim, const mend_plugin *plugin, const char *config_json, GError **error);
/* drain (for at most @patience_us of virtual time), then destroy. True: drained in time. */
bool sim_host_unload(SimHost *sim, int64_t patience_us);
/* The broker dies: no drain, peers and topics gone; durable queues and state stay. */
void sim_host_crash(SimHost *sim);
Runner *sim_host_runner(SimHost *sim);                         /* NULL: nothing loaded */
const char *sim_host_failure(const SimHost *sim);              /* what mend_host.failed was told first, or NULL */
unsigned sim_host_failures(const SimHost *sim);

mend_id sim_host_peer_open(SimHost *sim, const char *user, const char *role, const char *address);
void sim_host_peer_close(SimHost *sim, mend_id peer, int32_t what);

/* As @msg->peer to @msg->address. MEND_ACCEPT, MEND_REJECT (reason below), or MEND_KEEP while a gate thinks. Runs what follows. */
int32_t sim_host_send(SimHost *sim, const mend_msg *msg);
const char *sim_host_reason(const SimHost *sim);               /* of the last rejection; "" */

int64_t sim_host_now_us(const SimHost *sim);
int64_t sim_host_wall_us(const SimHost *sim);
void sim_host_advance(SimHost *sim, int64_t us);               /* runs every timer on the way, in order */
void sim_host_run(SimHost *sim);                               /* what is due now: posts, completions, deliveries */

/* Everything the plugin published since the last clear, in order; of SimMessage. */
GPtrArray *sim_host_published(SimHost *sim);
void sim_host_clear(SimHost *sim);
/* Queues: declared by the plugin or made here. */
void sim_host_queue_new(SimHost *sim, const char *address);
bool sim_host_has_node(const SimHost *sim, const char *address);
const char *sim_host_node_owner(const SimHost *sim, const char *address);
size_t sim_host_queue_size(const SimHost *sim, const char *address);
SimMessage *sim_host_receive(SimHost *sim, const char *address); /* NULL: empty. (transfer full) */
SimMessage *sim_message_copy(const mend_msg *msg);
void sim_message_free(SimMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimMessage, sim_message_free)

/* publish() to @address (a prefix) answers BUSY as long as it is set. */
void sim_host_set_busy(SimHost *sim, const char *address_prefix);
/* The next publishes' completions say this; MEND_ACCEPT is ordinary. */
void sim_host_set_outcome(SimHost *sim, int32_t verdict);
/* The @nth (from 1) of the calls that may fail does fail, in the way that call can (BUSY, LIMIT …). 0: none. */
void sim_host_fail_call(SimHost *sim, unsigned nth);
const char *sim_host_failed_call(const SimHost *sim);          /* which call that was; NULL: none yet */

unsigned sim_host_timers(const SimHost *sim);
int64_t sim_host_counter(const SimHost *sim, const char *metric);
unsigned sim_host_logged(const SimHost *sim, int32_t level);   /* lines at least as grave */
const char *sim_host_state(const SimHost *sim, const char *key); /* NULL: none */

bool topic_matches(const char *pattern, const char *subject);  /* '*' one word, '#' any number */

#endif
