/* A small world around the plugin: guests that heartbeat and raise events, an engine, an operator; all in the sim host's time. */
#ifndef TESTS_PLUGIN_WORLD_H
#define TESTS_PLUGIN_WORLD_H

#include "broker-plugin/plugin.h"
#include "lib/qmf/message.h"
#include "tests/sim-host/sim_host.h"

typedef struct World {
    SimHost *sim;
    GPtrArray *guests;     /* of Guest */
    mend_id engine;        /* peer */
    guint read;            /* of sim_host_published, already looked at */
    GPtrArray *events;     /* "KIND ENTITY" of everything on mend.events since world_clear */
    GPtrArray *bodies;     /* their JSON, as json_t */
    GPtrArray *answers;    /* QmfMessages that came for "console-test" */
} World;

typedef struct Guest {
    World *world;
    char *id, *name, *hostname, *boot_id, *genid, *filesystem, *hardware;
    mend_id peer;
    uint64_t epoch, sequence, event_sequence;
    Value *services;       /* digest; NULL: none */
    bool answers;          /* to locate requests */
} Guest;

World *world_new(uint64_t seed, const char *config);
void world_free(World *world);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)
void world_restart(World *world, const char *config); /* the broker dies and comes back */
void world_advance(World *world, int64_t us);         /* in steps, answering questions on the way */
void world_pump(World *world);

/* A guest agent, connected; @n makes its id. */
Guest *world_guest(World *world, unsigned n);
void guest_connect(Guest *guest);
void guest_heartbeat(Guest *guest);
void guest_beat(Guest *guest, uint64_t sequence);      /* one particular number */
void guest_service(Guest *guest, const char *name, const char *state, const char *intent); /* event, and the digest follows */
void guest_raise(Guest *guest, const char *name, const char *state, uint64_t sequence, int64_t occurred_us); /* event only */
void guest_digest(Guest *guest, const char *name, const char *state);
QmfMessage *guest_heartbeat_message(const Guest *guest, uint64_t sequence);

/* As @peer to @address; the verdict. */
int32_t world_send(World *world, mend_id peer, const char *address, const QmfMessage *message);

bool world_has(const World *world, const char *event);       /* "agent.up agent/…" */
unsigned world_count(const World *world, const char *event_prefix);
const json_t *world_body(const World *world, const char *event); /* of its last occurrence */
void world_clear(World *world);

uint64_t world_claim(World *world, mend_id peer, char **ret_error);
uint64_t world_claim_shard(World *w, mend_id peer, const char *engine, unsigned shard, char **ret_error);
QmfMessage *world_command(const World *world, const char *agent, const char *id, uint64_t epoch, const char *method, const char *service);
/* Answer of the plugin's own agent to @method of Site, or a query; (transfer full) NULL: none came. */
QmfMessage *world_ask(World *world, mend_id peer, QmfMessage *request /* (transfer full) */);
QmfMessage *world_query(const char *class);
char *world_plugin_name(World *world);

#endif
