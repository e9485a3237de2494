/* What the actions need to know of a domain's XML, libvirt's or one that came over the bus. Thread: any. */
#ifndef MEND_HOST_DOMAIN_XML_H
#define MEND_HOST_DOMAIN_XML_H

#include "lib/base/base.h"

#define DOMAIN_XML_BYTES_MAX ((size_t) 1024 * 1024)
#define DOMAIN_XML_DISKS_MAX 256

typedef struct DomainDisk {
    char *target;   /* "vda" */
    char *type;     /* of its source: "file" "block" "network" "volume" */
    char *device;   /* "disk" "cdrom" "floppy" "lun" */
    char *source;   /* file or device; NULL: a network disk, or an empty drive */
    char *format;   /* "qcow2" "raw"; NULL: not said */
    char *cache;    /* "none" "writeback" …; NULL: the hypervisor's default */
    char *backing;  /* file or device right below it; NULL: none, or not said */
    unsigned depth; /* images below it that are named */
    bool readonly;
    bool has_job;   /* a copy or an active commit is at work on it */
    bool job_ready; /* and is in step: a pivot may come */
    char *job_to;   /* file or device it copies to; NULL: none, or a commit */
} DomainDisk;

typedef struct DomainXml {
    char *uuid;     /* canonical; NULL: not said or no UUID */
    char *name;
    GPtrArray *disks; /* DomainDisk */
    bool has_agent;   /* a channel for the QEMU guest agent */
    bool agent_is_connected;
    char *on_poweroff, *on_crash;
    char *genid;      /* VM generation id; NULL: none */
    char *hwuuid;     /* what the guest sees as its UUID, where that is not its own; NULL: it is */
    bool has_balloon;
    unsigned stats_period_s; /* of the balloon; 0: it tells no statistics */
} DomainXml;

/* NULL: no domain XML, or over a limit above; @error says where. Unknown elements are passed over. */
DomainXml *domain_xml_parse(const char *text, GError **error);
void domain_xml_free(DomainXml *xml);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DomainXml, domain_xml_free)
/* Borrowed; NULL: no such target. */
const DomainDisk *domain_xml_disk(const DomainXml *xml, const char *target);

#endif
