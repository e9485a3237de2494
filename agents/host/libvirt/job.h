/* Long work on a VM, told as vm.job so that the policy engine holds back while it is at work: begun with how long it may take, progress,
 * ended. And a note of it on disk, so that the agent's next life knows what an earlier one left behind. */
#ifndef MEND_HOST_JOB_H
#define MEND_HOST_JOB_H

#include "agents/host/host.h"

typedef struct Job Job;

/* ---- telling; main loop, but for job_progress() */
/* @to: where it goes to (a host), or NULL. @deadline_us: monotonic. Nothing is told before job_begin(). */
Job *job_new(Host *host, const char *vm, const char *name, const char *to, int64_t deadline_us);
Job *job_ref(Job *job);
void job_unref(Job *job); /* NULL is fine; a job must have ended before its last reference goes */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_unref)
/* Told about once a second while it changes. Thread: any. @left_bytes: what is still to do, may grow again. */
void job_progress(Job *job, uint64_t done_bytes, uint64_t left_bytes, uint64_t total_bytes);
/* Asks @poll in a thread of its own once a second, one at a time, for what it then says with job_progress(). @free runs when nothing of
 * it can run any more. */
void job_watch(Job *job, void (*poll)(Job *job, void *user), void *user, void (*free)(void *user));
void job_begin(Job *job); /* Tells "begun"; once more when another of its name has told its end. */
bool job_is_begun(const Job *job);
void job_end(Job *job);   /* Tells "ended" of one that has begun; more than once does nothing. */
void job_drop(Job *job); /* No more is told of it: it goes on without this agent. */
const char *job_name(const Job *job);

/* ---- notes on disk: FOLDER/jobs/VM.NAME.json; thread: any, one at a time for one VM and name */
/* @note: (transfer full) object; "vm" and "job" are added. */
bool job_note_write(const char *folder, const char *vm, const char *name, json_t *note, GError **error);
void job_note_remove(const char *folder, const char *vm, const char *name);
/* All notes of the folder; what cannot be read is removed with a warning. (transfer full) list of objects */
json_t *job_notes(const char *folder);

#endif
