/* Which peer may speak as which agent.
 *
 * An authenticated agent's user (agent-ID) owns the names that end in its ID, but those of the product mend-host, which belong to host-ID. The engine owns names of the product mend-policy. A peer without a
 * user owns the first name it uses, for as long as it is connected, unless somebody else is known to own it. What the host cannot
 * say (no peer) is not held against anyone. */
#ifndef MEND_INGRESS_IDENTITY_H
#define MEND_INGRESS_IDENTITY_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"

typedef struct Identity Identity;

typedef struct IdentityPeer { mend_id id; const char *user, *role; } IdentityPeer; /* NULL: not known */

Identity *identity_new(void);
void identity_free(Identity *identity);
/* NULL: it may. Else why not, for people; caller frees. @owner: the user the agent is known to belong to; NULL or "": nobody's. */
char *identity_refusal(Identity *identity, const char *agent, const IdentityPeer *peer, const char *owner);
/* The same for what a peer left behind when it went: nothing is taken into possession. @spoke: the name it used; NULL: none. */
char *identity_refusal_gone(const char *agent, const IdentityPeer *peer, const char *spoke);
/* What is left when nothing is to be checked: who speaks as whom. */
void identity_take(Identity *identity, const char *agent, mend_id peer);
/* Names that live peer speaks as; borrowed, NULL: none. */
const GPtrArray *identity_names(const Identity *identity, mend_id peer);
void identity_peer_gone(Identity *identity, mend_id peer);
/* The live peer that speaks as @agent; 0: none. */
mend_id identity_holder(const Identity *identity, const char *agent);

#endif
