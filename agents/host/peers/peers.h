/* What hosts see of each other on the network: every host asks its peers "are you there" over UDP, and tells the bus who answers and who
 * does not (host.evidence, channel "peer"). The engine takes that as one path of its own: a host its peers see is not dead, it is cut off
 * from the bus.
 *
 * Question, 28 bytes: "MendPeer", version 1, kind 1, two bytes 0, 16 bytes nonce. Answer: the same with kind 2, then 36 bytes of the
 * answering host's UUID and 36 of its boot id as text, then 32 bytes HMAC-SHA-256 of all before it with the site's peer key. Without a key
 * the last part is 0 bytes long: then only the nonce protects, against those who cannot see the network.
 * Thread: the main loop's. */
#ifndef MEND_HOST_PEERS_H
#define MEND_HOST_PEERS_H

#include "agents/host/host.h"

typedef struct Peers Peers;

#define PEERS_PORT 7610
#define PEERS_MAX  1024

typedef struct PeersOptions {
    const char *listen;       /* "ADDRESS:PORT"; NULL: 0.0.0.0 and PEERS_PORT */
    const char *const *peers; /* of "HOST=ADDRESS[:PORT]", HOST a UUID; NULL-terminated; this host itself is left out */
    const char *key_file;     /* the same on all hosts, not readable by others; NULL: none */
    int64_t interval_us;      /* from one question to the next */
    unsigned misses;          /* in a row: the peer is gone */
} PeersOptions;

#define PEERS_ERROR peers_error_quark()
GQuark peers_error_quark(void);
typedef enum { PEERS_ERROR_SETTING, PEERS_ERROR_KEY, PEERS_ERROR_SOCKET } PeersError;

/* NULL: error, which names the setting. */
Peers *peers_new(Host *host, const PeersOptions *options, GError **error);
void peers_free(Peers *peers); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Peers, peers_free)
uint16_t peers_port(const Peers *peers); /* listened on; for tests */

#endif
