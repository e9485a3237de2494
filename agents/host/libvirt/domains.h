/* The VMs libvirt knows on this host: what each was last told to be, and what it has. Tells vm_state, and is the QMF objects Domain and
 * Definition. Thread: the main loop's. */
#ifndef MEND_HOST_DOMAINS_H
#define MEND_HOST_DOMAINS_H

#include "agents/host/libvirt/connection.h"
#include "agents/host/libvirt/domain_facts.h"
#include "agents/host/libvirt/events.h"
#include "agents/host/libvirt/intents.h"

typedef struct DomainsOptions {
    /* UUID of the storage domain that @path (file or device) lies in; NULL: in none. NULL: there are none. */
    const char *(*storage_of)(void *user, const char *path);
    /* @vm has its lease here. NULL: no VM has leases. */
    bool (*has_lease)(void *user, const char *vm);
    void (*on_active)(void *user); /* another VM runs here, or one fewer, or it is known again which */
    void *user;
} DomainsOptions;

typedef struct Domains Domains;

/* All borrowed; @options is copied. */
Domains *domains_new(Host *host, Connection *connection, Intents *intents, const DomainsOptions *options);
void domains_free(Domains *domains); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Domains, domains_free)

/* Each event, in order. */
void domains_event(Domains *domains, const DomainEvent *event);
/* What is so now, of every domain, (transfer full): differences to what was told are told. */
void domains_resync(Domains *domains, GPtrArray *all);
void domains_away(Domains *domains); /* libvirt is: nothing is known until the next resync */
/* Reads one again, soon. */
void domains_refresh(Domains *domains, const char *vm);
/* intents_note(), and what follows from it: a VM that is to move is migrating. */
void domains_note(Domains *domains, const char *vm, const char *what, const char *value);

bool domains_known(const Domains *domains); /* libvirt is there and was asked */
/* UUIDs of those that have a process here, sorted. (transfer full) list; NULL: not known. */
Value *domains_active(const Domains *domains);
bool domains_is_active(const Domains *domains, const char *vm);
/* Borrowed, until the next event; NULL: not known. */
const DomainFacts *domains_facts(const Domains *domains, const char *vm);
/* The last numbers of a VM, (transfer full) map, for its object. */
void domains_set_sample(Domains *domains, const char *vm, Value *sample);
/* Tells something that happened to a VM ("evidence", "sample" …); name, host and hostname are added. @values: (transfer full). */
void domains_tell_happened(Domains *domains, const char *vm, const char *state, const char *topic, Value *values);

#endif
