/* The process that touches leases: `mend-host lease-keeper STORAGE_FOLDER HOST FOLDER VALID_US IO_MAX_US BACK_END`, since the storage may let it hang
 * for ever. It renews what is held every eighth of VALID, writes each VM's time into the table (lease_table.h in FOLDER), and watches
 * the leases of all other VMs. It ends with its agent. Lines in:
 *   take VM · release VM · hand VM HOST (the lease is that host's from now on) · bound VM UNTIL_US (runs here without a lease: its guard ends it
 *   then) · forget VM (it does not run here any more, and has no lease) · again (tell everything seen anew)
 * Lines out:
 *   taken VM · held VM OWNER live|silent (live: it was seen to be renewed just now) · later VM TEXT (ask again) · failed VM TEXT · released VM · handed VM ·
 *   lost VM (not renewed in time) · seen VM held|expired|released OWNER (of other hosts) */
#ifndef MEND_HOST_LEASE_KEEPER_H
#define MEND_HOST_LEASE_KEEPER_H

#define LEASE_KEEPER_VERB "lease-keeper"

/* `mend-host lease-free STORAGE_FOLDER HOST FOLDER VALID_US IO_MAX_US BACK_END VM`: gives back the lease of a VM that the guard ended, when
 * no keeper is there to do it; others see it expired, not released, which would be for its agent to say. Ends by itself within a minute. */
#define LEASE_FREE_VERB "lease-free"

int lease_free_main(int argc, char **argv); /* @argv[0]: the verb */
int lease_keeper_main(int argc, char **argv); /* @argv[0]: the verb */

#endif
