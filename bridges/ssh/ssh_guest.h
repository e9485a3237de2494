/* One guest behind ssh: the agent it is on the bus, its services, and the way to it. Services are watched as mend-guest watches its own,
 * and answer the same methods (class Guest). Out of reach they are unknown, never failed.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_SSH_GUEST_H
#define MEND_BRIDGES_SSH_GUEST_H

#include "bridges/common/bridge.h"
#include "bridges/ssh/guests_file.h"
#include "bridges/ssh/ssh_link.h"

#define SSH_PRODUCT "mend-ssh"

typedef struct SshSettings {
    char *guests, *user, *identity, *known_hosts, *config, *ocf_root, *init_dir;
    int64_t connect_timeout_us, alive_us, sessions_max, connecting_max;
} SshSettings;

typedef struct SshGuest SshGuest;

/* @entry: (transfer full), also on failure. @settings: what it does not say; they and @gate outlive the guest. NULL: error. */
SshGuest *ssh_guest_new(Bridge *bridge, const SshSettings *settings, SshGate *gate, GuestEntry *entry, GError **error);
void ssh_guest_start(SshGuest *guest);
const GuestEntry *ssh_guest_entry(const SshGuest *guest); /* but its services: they are watched */
void ssh_guest_try_now(SshGuest *guest); /* when it is out of reach: somebody may have put it right */
void ssh_guest_close(SshGuest *guest); /* operations end as interrupted; the agent takes its leave */
void ssh_guest_free(SshGuest *guest);  /* NULL is fine */

#endif
