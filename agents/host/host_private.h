/* Host inside: its own sources and main.c only. */
#ifndef MEND_HOST_PRIVATE_H
#define MEND_HOST_PRIVATE_H

#include "agents/common/command_gate.h"
#include "agents/common/identity.h"
#include "agents/host/host.h"

typedef struct Telling Telling;
typedef struct Work Work;

struct Host {
    QmfAgent *agent;
    CommandGate *gate;
    const Identity *identity;
    char *data;
    QmfObject *object;      /* Hypervisor */
    GHashTable *methods;    /* name → Method */
    GPtrArray *on_online;   /* of OnlineFn */
    Telling *telling;
    GHashTable *facts;      /* argument → Value: of host_set_fact() */
    Value *last_up;         /* what the last host.up said beside them; NULL: none was told */
    Work *work;
    bool online;
};

/* All borrowed, but for @data, which is copied. The class Hypervisor and the events are added to @agent. */
Host *host_new(QmfAgent *agent, CommandGate *gate, const Identity *identity, const char *data);
void host_set_online(Host *host, bool online);
/* Waits a few seconds for work in other threads to end, without calling its done. NULL is fine. */
void host_free(Host *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

/* telling.c */
Telling *telling_new(QmfAgent *agent, const char *boot_id);
void telling_free(Telling *telling);
void telling_set_online(Telling *telling, bool online);

/* work.c */
Work *work_new(void);
void work_free(Work *work);
void work_add(Work *work, const char *lane, HostWorkFn fn, HostDoneFn done, HostDropFn drop, void *data);

/* calls.c */
void calls_attach(Host *host);

#endif
