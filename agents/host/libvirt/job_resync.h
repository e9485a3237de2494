/* What earlier lives (the agent's or libvirtd's) left at work, by their notes: file systems frozen are thawed, copies and merges that
 * nobody would end are ended and their files removed, migrations that go on are told as jobs until they end. And jobs that others began (a migration by hand, a backup) are told, too: they are
 * looked for every few seconds. Thread: the main loop's. */
#ifndef MEND_HOST_JOB_RESYNC_H
#define MEND_HOST_JOB_RESYNC_H

#include "agents/host/host.h"

#include <libvirt/libvirt.h>

typedef struct Resync Resync;

/* @connection: a new reference, or NULL. @is_at_work: a job of this life is at work on the VM: its notes are left alone. */
Resync *resync_new(Host *host, const char *folder, virConnectPtr (*connection)(void *user), bool (*is_at_work)(void *user, const char *vm), void *user);
void resync_free(Resync *resync); /* NULL is fine */
void resync_now(Resync *resync); /* libvirtd is there */

#endif
