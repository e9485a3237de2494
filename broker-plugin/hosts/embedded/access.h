/* Who may do what on the bus. The rules are one table (access.c), the same as in docs/security.md; first match decides, no match is
 * no. Every no is counted and written to the log, one line with who, what and why, at most a few per second and peer.
 *
 * Roles come from the user name (docs/wire.md): agent-ID, engine, operator, observer; no user: anonymous. Thread: any. */
#ifndef MEND_EMBEDDED_ACCESS_H
#define MEND_EMBEDDED_ACCESS_H

#include "lib/base/base.h"

#define ACCESS_ROLES(X) X(NOBODY, "") X(ANONYMOUS, "anonymous") X(AGENT, "agent") X(OBSERVER, "observer") X(OPERATOR, "operator") \
                        X(ENGINE, "engine") X(PLUGIN, "plugin")
#define X(id, text) ROLE_##id,
typedef enum { ACCESS_ROLES(X) ROLE_N } Role;
#undef X

typedef enum {
    ACCESS_OK,
    ACCESS_OK_CHECK, /* attach as sender: ask access_send() for each message */
    ACCESS_DENIED,   /* amqp:unauthorized-access; the reason is for the peer and already audited */
    ACCESS_NOT_FOUND,/* .create only: it may attach, but not make the node: amqp:not-found */
    ACCESS_DISCARD,  /* .create, sender only: let it attach and accept, and drop what it sends (a reply address that is gone; 2012 Matahari
                      * agents die of a refusal) */
} AccessVerdict;

typedef enum { ACCESS_SEND, ACCESS_RECEIVE, ACCESS_BROWSE } AccessWhat;

typedef struct Access Access;
typedef struct AccessPeer AccessPeer; /* one connection */

/* @lab: everything is allowed to everybody. */
Access *access_new(bool lab);
void access_free(Access *access); /* after the last peer; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Access, access_free)

/* Who has a user of their own is not to be impersonated by an anonymous peer: @is_user says whether "agent-ID" exists. Before the first
 * peer. Without it, every name nobody uses is free for anonymous peers. */
void access_set_users(Access *access, bool (*is_user)(void *user_data, const char *user), void *user_data);

Role access_role(const char *user); /* NULL or "": ANONYMOUS; a name of no known form: NOBODY */
const char *role_name(Role role);

/* At the connection's open. @user NULL or "": anonymous. @id: the connection's mend_id, @where: its address, for people. */
AccessPeer *access_peer_new(Access *access, const char *user, uint64_t id, const char *where);
/* At its end: names an anonymous peer used become free. NULL is fine. */
void access_peer_free(AccessPeer *peer);
Role access_peer_role(const AccessPeer *peer);
/* User, or "peer:ID" when anonymous: what mend_node.owner says. Valid as long as the peer. */
const char *access_peer_owner(const AccessPeer *peer);

typedef struct AccessLink {
    AccessWhat what;
    const char *address;  /* NULL: anonymous terminus (sender only); each message is then checked with its own address */
    bool dynamic;         /* asks for a node of its own; address is ignored */
    bool create;          /* the node does not exist and would be made by this attach */
    bool durable;         /* asks for a durable subscription or node */
    const char *owner;    /* mend_node.owner of the existing node, or the peer that made it dynamically; NULL or "": none */
    const char *subject;  /* binding key from the filter, receivers on topics; NULL: everything */
} AccessLink;
/* @ret_reason (may be NULL) gets a text for the peer on DENIED, to be freed. */
AccessVerdict access_attach(AccessPeer *peer, const AccessLink *link, char **ret_reason);

typedef struct AccessText { const char *ptr; size_t n; } AccessText; /* n 0: absent; not terminated */
typedef struct AccessMessage {
    const char *address;      /* node it goes to: of the link, or the message's own `to` on the anonymous terminus */
    const char *owner;        /* as in AccessLink */
    bool create;              /* as in AccessLink (anonymous terminus) */
    AccessText subject;
    AccessText agent;         /* application property qmf.agent */
    AccessText opcode;        /* application property qmf.opcode */
    AccessText reply_to;
    AccessText user_id;       /* property user-id: empty or the authenticated user, else denied */
} AccessMessage;
/* For senders that got OK_CHECK, which every anonymous terminus gets. ACCESS_OK or ACCESS_DENIED (reject the message with
 * amqp:unauthorized-access, keep the link: 2012 agents die of a detach). ACCESS_NOT_FOUND, ACCESS_DISCARD: no such node; accept and drop. */
AccessVerdict access_send(AccessPeer *peer, const AccessMessage *message, char **ret_reason);

typedef struct AccessStats { uint64_t allowed, denied; } AccessStats;
AccessStats access_stats(const Access *access);

#endif
