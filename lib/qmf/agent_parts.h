/* What the files of the agent role share; nobody else includes this. agent.c: identity, objects, methods, events. agent_query.c: locate
 * and queries. subscription.c: pushed data. */
#ifndef MEND_QMF_AGENT_PARTS_H
#define MEND_QMF_AGENT_PARTS_H

#include "lib/qmf/agent.h"

#define OBJECTS_PER_MESSAGE 8 /* as libqmf2 */

typedef struct AgentClass {
    const QmfClass *class;
    Value *id;               /* schema id map, shared by all its objects' data */
    QmfMethodFn handler;
    void *user;
} AgentClass;

struct QmfObject {
    QmfAgent *agent;
    AgentClass *class;
    char *name;
    Value *id;               /* object id map */
    Value *values;           /* never leaves: messages get copies, so it may be set later */
    uint64_t changed;        /* agent's change counter at the last change */
};

typedef struct Subscriptions Subscriptions;

struct QmfAgent {
    const QmfBus *bus;
    char *name, *vendor, *product, *direct_key, *heartbeat_subject;
    uint32_t epoch, heartbeat_interval_s;
    Value *attributes;       /* what locate predicates see */
    int64_t schema_updated_us;
    QmfBinding bindings[4];
    GPtrArray *classes;      /* AgentClass */
    GPtrArray *objects;      /* QmfObject, owned, oldest first */
    GHashTable *by_name;     /* name -> QmfObject */
    uint64_t changes;
    GHashTable *calls;       /* set of QmfCall not yet answered */
    bool (*filter)(QmfCall *call, void *user);
    void *filter_user;
    void (*answered)(QmfCall *call, const char *error_text, void *user);
    void *answered_user;
    bool (*denied)(const QmfClass *class, const char *member, void *user);
    const char *denied_text;
    void *denied_user;
    Subscriptions *subscriptions;
};

/* agent.c */
/* @answer gets the request's correlation id and goes to its reply-to; without one it goes nowhere. Frees @answer. */
void agent_reply(QmfAgent *agent, const QmfMessage *request, QmfMessage *answer);
void agent_raise(QmfAgent *agent, const QmfMessage *request, const char *error_text);
QmfMessage *agent_message(const QmfAgent *agent, QmfOpcode opcode, const char *content);
Value *agent_object_to_map(const QmfObject *object);
Value *agent_heartbeat_body(const QmfAgent *agent);

/* agent_query.c */
typedef struct Query { /* a _what: OBJECT query, checked */
    const Value *where;
    const char *package, *class, *object_name;
    const uint8_t *hash;
    bool nowhere; /* names another agent: matches nothing */
} Query;
void agent_locate(QmfAgent *agent, const QmfMessage *request);
void agent_query(QmfAgent *agent, const QmfMessage *request);
void agent_query_v1(QmfAgent *agent, const QmfMessage *request);
/* Borrows from @map. False: @ret_problem says why, in libqmf2's words. */
bool query_read(const QmfAgent *agent, const Value *map, Query *ret, const char **ret_problem);
bool query_matches(const Query *query, const QmfObject *object);

/* subscription.c */
Subscriptions *qmf_subscriptions_new(QmfAgent *agent);
void qmf_subscriptions_free(Subscriptions *subscriptions);
void subscriptions_receive(Subscriptions *subscriptions, const QmfMessage *request);
void subscriptions_tick(Subscriptions *subscriptions, int64_t now_us);
/* Called before the object goes. */
void subscriptions_object_gone(Subscriptions *subscriptions, const QmfObject *object);

#endif
