/* Inside of domains: domains*.c only. */
#ifndef MEND_HOST_DOMAINS_PRIVATE_H
#define MEND_HOST_DOMAINS_PRIVATE_H

#include "agents/host/libvirt/domains.h"
#include "agents/host/libvirt/vm_record.h"
#include "agents/host/libvirt/vm_word.h"

typedef struct Vm {
    Domains *domains;
    char *id, *name;
    char *state, *intent, *reason, *to; /* as told; state NULL: nothing was */
    int64_t since_us;                   /* wall */
    VmPast past;
    DomainFacts *facts;                 /* NULL: not read yet */
    uint64_t told_facts;                /* a digest of those that went with the last state; 0: none */
    QmfObject *object, *definition;
    unsigned n_events;                  /* heard so far: facts read before the last one are old */
    bool reading, read_again, in_doubt; /* in_doubt: libvirt said otherwise than was told, once */
    guint doubt_source;
    char *kept_hash;                    /* of the definition in our folder; NULL: none is */
} Vm;

struct Domains {
    Host *host;
    Connection *connection;
    Intents *intents;
    DomainsOptions options;
    VmRecord *record;
    GHashTable *vms; /* UUID → Vm */
    bool known;
};

/* domains.c */
Vm *domains_vm(Domains *domains, const char *id, const char *name); /* made when new */
void domains_remove(Domains *domains, Vm *vm);
void vm_take_word(Vm *vm, const VmWord *word);
/* Facts that libvirt gave just now (transfer full). @sure: what they say is told at once; else when it is said twice. */
void vm_take_facts(Vm *vm, DomainFacts *facts, bool sure);

/* domains_tell.c */
void vm_tell(Vm *vm);         /* its state, with all that is known */
uint64_t vm_facts_digest(const Vm *vm); /* of what vm_tell() would say beside the state; never 0 */
void vm_show(Vm *vm);         /* its objects */
void vm_hide(Vm *vm);

/* domains_read.c */
void vm_read(Vm *vm);         /* its facts, in a thread; once at a time */
void vm_in_doubt(Vm *vm);     /* reads them again in a moment */

#endif
