/* Which agent may tell of which entity. That a peer is who it says is identity's matter; this is what it may speak about: a guest of
 * itself, a host agent of hosts, VMs and storage. Else one guest's root could say that another VM is gone, and have it started twice. */
#ifndef MEND_INGRESS_AUTHORITY_H
#define MEND_INGRESS_AUTHORITY_H

#include "lib/base/base.h"

typedef struct Claim { /* borrowed; NULL: not told */
    const char *agent;  /* its name; what it may is in the product: mend-host or another */
    const char *vm;     /* the machine it runs on */
    const char *entity; /* what it tells of */
    const char *kind;   /* "host.up" */
    const char *host;   /* the host it says that is so on */
} Claim;

/* NULL: it may. Else why not, for people; caller frees. */
char *authority_refusal(const Claim *claim);

#endif
