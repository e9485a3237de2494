/* What a copy and an active commit of a disk have in common: wait until it is in step, then end it either way. Thread: T, see action.h. */
#ifndef MEND_HOST_JOB_DISK_H
#define MEND_HOST_JOB_DISK_H

#include "agents/host/libvirt/action.h"

/* Waits until the job of @target is ready for its pivot. False: it must end, or it has failed; @ret_why (transfer full). */
bool job_disk_wait(Action *action, const char *target, char **ret_why);
/* The VM goes on with what it was copied to, which is then the source of @target: @expected (NULL: whatever it is). */
bool job_disk_pivot(Action *action, const char *target, const char *expected, char **ret_why);
/* The VM goes on with what it had; waits until the job is gone. */
bool job_disk_end(Action *action, const char *target);
/* "20260213T083000125Z": a part of file names. (transfer full) */
char *job_disk_stamp(void);

#endif
