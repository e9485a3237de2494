/* Between attach.c (life, time, the table), flow.c (messages) and crowd.c (peers) only. */
#ifndef MEND_ATTACH_PRIVATE_H
#define MEND_ATTACH_PRIVATE_H

#include "broker-plugin/host_state.h"
#include "broker-plugin/hosts/attach/attach.h"
#include "broker-plugin/hosts/attach/dialect.h"
#include "broker-plugin/runner.h"

typedef struct Flow Flow;
typedef struct Crowd Crowd;

struct Attach {
    mend_host table; /* first: the plugin's pointer is ours */
    AttachOptions options; /* its strings are ours */
    char **subscribers;
    AmqpClient *client;
    const AttachDialect *dialect; /* NULL: not connected yet */
    void *broker;                 /* the dialect's own; NULL: it needs none */
    AttachWay way;
    const mend_plugin *plugin;    /* NULL: not started yet */
    Runner *runner;
    HostState *state;
    Flow *flow;
    Crowd *crowd;
    GMainContext *context;
    GHashTable *timers;           /* id -> HostTimer */
    GHashTable *tasks;            /* set of HostTask waiting */
    GMutex lock;                  /* tasks, failure: posted from any thread */
    char *failure, *last_problem;
    GSource *deadline, *grace, *failing;
    mend_id last_id;
    int64_t blind_us;             /* all the time nobody could be heard */
    int64_t blind_since_us;       /* 0: we hear */
    int64_t heard_us;             /* when the broker was last heard, as far as it was counted */
    int64_t *metrics;
    void (*closed)(void *user);
    void *closed_user;
    bool ended, closing, draining;
    bool lab; /* the plugin does not check names */
};

static inline Attach *attach_of(mend_host *table) { return (Attach *) table; }
bool attach_is_live(const Attach *a); /* the plugin may be called */
void attach_dispatch(Attach *a);      /* after each call into it */

/* flow.c: the calls of plugin.h about messages and nodes. */
Flow *flow_new(Attach *attach);
void flow_free(Flow *flow); /* what was published and not answered completes as RELEASE first */
void flow_end(Flow *flow);  /* subscriptions only */
void flow_begin(Flow *flow); /* the plugin has started: once its first nodes are there, what it said leaves */
mend_rc flow_subscribe(mend_host *table, const mend_subscription *wanted, mend_message_fn fn, void *user, mend_id *ret);
void flow_unsubscribe(mend_host *table, mend_id id);
mend_rc flow_settle(mend_host *table, mend_id delivery, int32_t verdict, mend_str reason);
mend_rc flow_publish(mend_host *table, const mend_msg *msg, mend_published_fn done, void *user);
mend_rc flow_declare(mend_host *table, const mend_node *node);
mend_rc flow_undeclare(mend_host *table, mend_str address);
json_t *flow_json(const Flow *flow);

/* crowd.c: who is here. A peer is a user of the broker: that is all it vouches for. */
Crowd *crowd_new(Attach *attach);
void crowd_free(Crowd *crowd);
/* Whose message that is; 0: our own. @agent: in whose name it is, NULL: none. Makes a peer of whom is not known yet. */
mend_id crowd_speaker(Crowd *crowd, const char *user, const char *agent, bool own);
void crowd_opened(const char *key, const char *user, const char *where, void *attach);
void crowd_closed(const char *key, void *attach);
void crowd_named(const char *key, const char *agent, void *attach);
void crowd_unknown(void *attach);
mend_rc crowd_watch(mend_host *table, mend_peer_fn fn, void *user);
mend_rc crowd_get(mend_host *table, mend_id peer, mend_peer *ret);
mend_rc crowd_drop(mend_host *table, mend_id peer, mend_str reason);
void crowd_end(Crowd *crowd);

#endif
