/* What libvirt knows of a domain, read in one go. Thread: any; not changed after it is made. */
#ifndef MEND_HOST_DOMAIN_FACTS_H
#define MEND_HOST_DOMAIN_FACTS_H

#include "agents/host/libvirt/domain_xml.h"
#include "lib/base/uuid.h"

#include <libvirt/libvirt.h>

#define DEFINITION_BYTES_MAX 65535 /* what a QMF "lstr" holds */
#define DOMAINS_MAX 4096           /* of a host; beyond, they are not looked at */

typedef struct DomainFacts {
    char vm[UUID_TEXT_SIZE];
    char *name;
    int libvirt_id;                /* of this life of it; -1: it does not run */
    bool persistent, autostart;
    int state, reason;             /* virDomainGetState() */
    bool no_space;                 /* the error of one of its disks at least */
    GPtrArray *disk_errors;        /* of "vda=unspecified", "vdb=no-space" */
    uint64_t memory_bytes, memory_max_bytes;
    unsigned vcpus;
    DomainXml *xml;                /* as it runs, else as it would; NULL: not to be had */
    char *definition;              /* what virDomainDefineXML() makes it of, without secrets; NULL: none, or too long for the bus */
    char *definition_hash;         /* SHA-256 of it, in hex */
} DomainFacts;

/* NULL: the domain is gone, or libvirt is. Waits for libvirt: not in the main loop. */
DomainFacts *domain_facts_read(virDomainPtr domain);
void domain_facts_free(DomainFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DomainFacts, domain_facts_free)
/* All domains of the host, without disk errors: those are qemu's to tell, and one that hangs must not hide the others.
 * (transfer full) of DomainFacts; NULL: libvirt does not answer, @error. Not in the main loop. */
GPtrArray *domain_facts_read_all(virConnectPtr connection, GError **error);

#endif
