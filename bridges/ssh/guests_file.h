/* The guests that are reached over ssh, and what is watched on them: one YAML file.
 *
 *   guests:
 *     - id: 6f1a2b3c-0000-4000-8000-000000000001   # of the VM: its SMBIOS UUID, as libvirt or oVirt has it
 *       host: 10.0.0.5                             # or a name of ssh's own configuration
 *       name: web1                                 # for people; host when absent
 *       port: 22
 *       user: root
 *       become: sudo -n
 *       identity: /etc/mend/ssh/web1
 *       known-hosts: /etc/mend/ssh/known_hosts
 *       systemd-bus: /run/dbus/system_bus_socket
 *       services: [systemd:nginx, {name: db, standard: ocf, provider: heartbeat, agent: pgsql}]   # as in a services file
 *
 * Thread: any. */
#ifndef MEND_BRIDGES_GUESTS_FILE_H
#define MEND_BRIDGES_GUESTS_FILE_H

#include "agents/guest/services/spec.h"

#define SYSTEMD_BUS "/run/dbus/system_bus_socket"

typedef struct GuestEntry { /* strings owned; NULL: not given */
    char *id, *host, *name, *user, *become, *identity, *known_hosts, *systemd_bus;
    unsigned port;          /* 0: not given */
    GPtrArray *services;    /* of ServiceSpec */
    json_t *said;           /* as the file has it, to see what has changed */
} GuestEntry;
void guest_entry_free(GuestEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestEntry, guest_entry_free)

/* (transfer full): of GuestEntry. NULL: error that begins FILE:LINE:COLUMN; nothing is half read. */
GPtrArray *guests_file_read(const char *path, GError **error);

#endif
