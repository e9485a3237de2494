/* What a peer asks for in the source or target of an attach, read from proton's data into plain values. Includes what clients of
 * qpidd write: legacy binding filters with symbolic and numeric descriptors, node properties with symbol or string keys. */
#ifndef MEND_EMBEDDED_TERMINUS_H
#define MEND_EMBEDDED_TERMINUS_H

#include "broker-plugin/hosts/embedded/node.h"

#include <proton/terminus.h>

typedef struct Wish {
    char *address;      /* NULL: none */
    char *key;          /* binding key of a filter; NULL: none given */
    char *selector;     /* NULL: none */
    bool no_local, browse, dynamic, create, topic, durable, lasting, foreign_filter, shaped;
    int64_t timeout_us; /* of a lasting one after the peer has gone; INT64_MAX: for ever */
    QueueShape shape;   /* from node properties; strings owned */
    Lifetime lifetime;
    bool has_lifetime, self_destruct;
} Wish;

/* False: contradictory or wrong properties. */
bool wish_read(pn_terminus_t *terminus, Wish *ret_wish, GError **error);
void wish_done(Wish *wish);

#endif
