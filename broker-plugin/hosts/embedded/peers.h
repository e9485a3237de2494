/* Who is connected: the facts about each peer, and those who want to hear of coming and going. Thread: any. */
#ifndef MEND_EMBEDDED_PEERS_H
#define MEND_EMBEDDED_PEERS_H

#include "broker-plugin/hosts/embedded/executor.h"
#include "broker-plugin/plugin.h"

typedef struct Peers Peers;
typedef struct Peer { /* immutable after peers_add(); counted */
    gint refs;
    uint64_t id;
    char *user, *role, *mechanism, *container_id, *address;
    int64_t opened_us;
    Executor *executor;      /* of its connection */
    void (*drop)(struct Peer *peer, const char *reason); /* any thread */
    uint64_t received, sent; /* atomic; messages */
} Peer;

Peers *peers_new(void);
void peers_free(Peers *peers);
uint64_t peers_next_id(Peers *peers);
Peer *peer_ref(Peer *peer);
void peer_unref(Peer *peer);
void peers_add(Peers *peers, Peer *peer);             /* told as OPENED */
void peers_remove(Peers *peers, Peer *peer, int32_t what); /* CLOSED or LOST */
Peer *peers_find(Peers *peers, uint64_t id);          /* (transfer full) or NULL */
GPtrArray *peers_all(Peers *peers);                   /* of Peer, counted. (transfer full) */
/* @fn is called with the table locked, in order; it only posts. Those here are told first. */
void peers_watch(Peers *peers, void *key, void (*fn)(void *user, Peer *peer, int32_t what), void *user);
void peers_unwatch(Peers *peers, void *key);
void peer_view(const Peer *peer, mend_peer *ret);     /* borrowed strings */

#endif
