/* A node: what an address names. A queue, or a topic (subjects and patterns) or direct node (equal subjects) that copies what it is
 * given into the queues bound to it. Thread: any. */
#ifndef MEND_EMBEDDED_NODE_H
#define MEND_EMBEDDED_NODE_H

#include "broker-plugin/hosts/embedded/queue.h"

typedef enum { NODE_QUEUE, NODE_TOPIC, NODE_DIRECT } NodeKind;
/* When a node goes away by itself (AMQP 1.0 part 3, §3.5.10-13); ON_CLOSE: with the link that made it. */
typedef enum { LIFETIME_MANUAL, LIFETIME_ON_CLOSE, LIFETIME_NO_LINKS, LIFETIME_NO_MESSAGES, LIFETIME_NO_LINKS_OR_MESSAGES } Lifetime;

typedef struct Binding Binding;
typedef struct Node Node;

/* Decides what enters: takes the message over (true) or lets it pass (false). */
typedef struct Gate Gate;

struct Node {
    gint refs, links;        /* links: attached now */
    char *address;
    char *owner;             /* locked: user or "peer:ID" who alone may receive; NULL: by the rules */
    NodeKind kind;
    Lifetime lifetime;
    bool quiet;              /* a receiver without a key gets nothing (the QMF exchanges) */
    bool made_by_attach;     /* may be swept when unused */
    bool fixed;              /* the broker's own: is not removed */
    bool durable;            /* the definition survives a restart */
    bool deleted;            /* atomic: links find out */
    struct Budget *budget;   /* whose queue it is */
    uint64_t maker;          /* peer that made it; 0: this process */
    int64_t unused_since_us; /* monotonic */
    Queue *queue;            /* QUEUE only */
    Gate *gate;              /* written locked, atomic to look; NULL: none */
    void (*gate_unref)(Gate *gate);
    gint taps;               /* atomic: number of bindings that watch a queue node */
    uint64_t routed, unrouted; /* atomic */
    pthread_rwlock_t lock;   /* the bindings */
    GHashTable *exact;       /* key → GPtrArray of Binding */
    GPtrArray *patterns;     /* of Pattern */
};

struct Binding {
    Node *node;              /* counted */
    Queue *queue;            /* counted */
    char *key;
    bool pattern;
    bool (*wants)(void *user, const Message *message); /* NULL: all */
    void *user;
    guint place;             /* in its array */
};

Node *node_new(const char *address, NodeKind kind);
Node *node_ref(Node *node);
void node_unref(Node *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_unref)

void node_set_owner(Node *node, const char *owner);
char *node_owner(Node *node); /* (transfer full) or NULL */

/* @key: pattern on topics, subject on direct nodes. (transfer full) */
Binding *node_bind(Node *node, Queue *queue, const char *key, bool (*wants)(void *, const Message *), void *user);
/* Copies of what enters any kind of node; @key is a pattern. (transfer full) */
Binding *node_tap(Node *node, Queue *queue, const char *key);
void node_unbind(Binding *binding); /* NULL is fine */

/* Routes by @subject. For a queue node: into the queue, with its outcomes; else QUEUE_TAKEN. */
void node_put(Node *node, QueuePut *puts, size_t n, const char *subject, size_t n_subject);
static inline bool node_is_gone(const Node *node)
{
    return __atomic_load_n(&node->deleted, __ATOMIC_ACQUIRE);
}

#endif
