/* A notification of OpenStack's masakari-monitors, as plain data. What is taken and what is refused is what Masakari's API has
 * (masakari/api/openstack/ha/schemas: notifications.py, payload.py); the monitors' words are those of masakarimonitors
 * (objects/event_constants.py, instancemonitor/libvirt_handler/eventfilter_table.py). Thread: any. */
#ifndef MEND_MASAKARI_NOTICE_H
#define MEND_MASAKARI_NOTICE_H

#include "agents/host/libvirt/vm_word.h"
#include "lib/base/uuid.h"

typedef enum { MASAKARI_HOST, MASAKARI_PROCESS, MASAKARI_VM } MasakariType;

typedef struct MasakariNotice {
    MasakariType type;
    char *hostname;
    char *generated;          /* as it came */
    char *key;                /* two with the same are one that was sent twice */
    char *process;            /* of a process */
    bool stopped;             /* of a host or process: STOPPED, not STARTED */
    bool online;              /* of a host: its cluster has it (cluster_status ONLINE) */
    char vm[UUID_TEXT_SIZE];  /* of a VM, as all below */
    char *words;              /* "LIFECYCLE STOPPED_FAILED", for people */
    DomainEvent event;        /* id -1: a word that libvirt's events do not have */
} MasakariNotice;

#define MASAKARI_ERROR masakari_error_quark()
GQuark masakari_error_quark(void);
typedef enum { MASAKARI_ERROR_INVALID } MasakariError;

/* Of the body of POST …/notifications. NULL: error that names the attribute. */
MasakariNotice *masakari_notice_read(const json_t *body, GError **error);
void masakari_notice_free(MasakariNotice *notice); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MasakariNotice, masakari_notice_free)

#endif
