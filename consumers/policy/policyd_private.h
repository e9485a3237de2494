/* Between policyd.c, policyd_bus.c and policyd_agent.c only. */
#ifndef MEND_POLICY_POLICYD_PRIVATE_H
#define MEND_POLICY_POLICYD_PRIVATE_H

#include "consumers/policy/machine.h"
#include "consumers/policy/notify.h"
#include "consumers/policy/policyd.h"
#include "consumers/policy/policyd_definitions.h"
#include "lib/qmf/session.h"

typedef struct Bus Bus;
typedef struct Shards Shards;

struct Policyd {
    char *name, *policy_path;
    void (*on_failed)(const GError *error, void *user);
    void *failed_user;
    Machine *machine;
    Notifier *notifier;
    Keeper *keeper;
    Bus *bus;
    Shards *shards;
    int64_t base_wall_us, base_mono_us; /* the engine's clock: the wall's at the start, then monotonic */
    EngineOutputs *outputs;             /* written, not yet committed */
    GPtrArray *deliveries;              /* of AmqpDelivery, borrowed: to accept after the commit */
    unsigned inputs;                    /* since the commit */
    bool result_waits;                  /* one of them is a result */
    int64_t gathered_since_us;          /* monotonic: when the first of them came */
    int64_t took_us[1024];              /* of the last commands: from the input to their leaving */
    uint64_t n_took;
    Retention keep;
    GSource *commit, *timer, *keeping;
    bool failed;
};

/* policyd.c. @delivery is accepted after the commit; NULL: none. The commit follows soon, by itself. */
void policyd_feed(Policyd *p, const EngineInput *input, AmqpDelivery *delivery);
/* What is written is committed now: before somebody is told that it is taken. */
void policyd_commit(Policyd *p);
int64_t policyd_wall_us(const Policyd *p);

/* policyd_policy.c. The file at @path, its warnings told; NULL: the default policy. */
Policy *policy_of_file(const char *path, GError **error);
/* At the start: @policy is the file's. One that was loaded or gone back to since that file was read stays. */
bool policy_begin(Policyd *p, Policy *policy, GError **error);

/* policyd_bus.c */
Bus *bus_new(Policyd *p, const PolicydOptions *options);
void bus_free(Bus *bus);
void bus_send(Bus *bus, const Command *command);
/* Tells the plugin what the policy in force wants monitored where no agent of ours is. NULL: no bus yet. */
void bus_watch(Bus *bus);
/* After a commit, when no delivery waits: only the acting engine takes results, which are one queue for all. */
void bus_settle(Bus *bus);
bool bus_is_open(const Bus *bus);
/* Asks the plugin for the seat of @shard. */
void bus_claim(Bus *bus, unsigned shard, QmfAnswerFn done, void *user);
void bus_ask(Bus *bus); /* what is true now */
/* What people asked the site's engine for holds for those of the shards, too: they are asked the same. Nothing to do where there are none. */
void bus_relay(Bus *bus, const char *method, const Value *arguments);

/* policyd_shards.c: @own has bit N - 1 for each shard N it is to take first. */
Shards *shards_new(Policyd *p, uint64_t own);
void shards_free(Shards *shards);
void shards_look(Shards *shards, const Value *site); /* properties of the plugin's Site */
void shards_leave(Shards *shards); /* the connection went */
unsigned shards_count(const Shards *shards); /* at the last look */
const GPtrArray *shards_others(const Shards *shards); /* of char *: engines of shards but this one, then */

/* policyd_agent.c: the object "Policy" on the QMF side. */
void policy_agent_start(Policyd *p, QmfSession *session);

#endif
