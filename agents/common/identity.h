/* Who this machine and this agent are: Matahari's five lifetimes of a UUID, the boot, and how often the agent started. */
#ifndef MEND_AGENTS_IDENTITY_H
#define MEND_AGENTS_IDENTITY_H

#include "lib/base/base.h"

typedef struct Identity { /* strings owned; NULL where there is none */
    char *id;          /* names the machine on the bus: machine_uuid(), what was given, or else filesystem */
    char *filesystem;  /* of the installation: /etc/machine-id, else one made and kept in the data folder */
    char *machine_id;  /* /etc/machine-id as Matahari says it: 32 digits, no dashes; filesystem's when there is no such file */
    char *hardware;    /* SMBIOS or device tree */
    char *reboot;      /* new with each boot: the kernel's boot id */
    char *agent;       /* new with each start */
    char *custom;      /* given by set_uuid */
    char *boot_id;
    char *genid;       /* VM generation id, where it can be read */
    char *hostname;
    uint32_t epoch;    /* number of this start of the agent, from 1; durable */
} Identity;

/* @data: folder, made when missing. @given_id: --id, or NULL. @root: "/" (tests: another tree). Counts the epoch up, on disk, before it
 * returns. NULL: error. */
Identity *identity_load(const char *data, const char *given_id, const char *root, GError **error);
/* Of a machine that the caller speaks for and does not run on: @id, its UUID, is also what Matahari's lifetimes say; @hostname may be NULL.
 * boot_id and reboot are NULL: who learns them says them. @data: a folder of this machine's own. NULL: error. */
Identity *identity_of_other(const char *data, const char *id, const char *hostname, GError **error);
void identity_free(Identity *identity);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Identity, identity_free)
/* Identity.id alone; starts are not counted. NULL: error. Caller frees. */
char *identity_id(const char *data, const char *given_id, const char *root, GError **error);
/* Kept in @data across restarts. False: error, unchanged. */
bool identity_set_custom(Identity *identity, const char *data, const char *uuid, GError **error);

#endif
