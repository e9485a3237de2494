/* org.freedesktop.systemd1 over D-Bus: units seen by signals (nothing is polled), jobs with a deadline. One connection, opened when
 * first needed, opened again after it broke (the system bus; where there is none, systemd's private socket, which only root may use).
 * Thread: the owner's main loop. */
#ifndef MEND_GUEST_SYSTEMD_H
#define MEND_GUEST_SYSTEMD_H

#include "agents/guest/services/backend.h"

#include <gio/gio.h>

/* @address: D-Bus address; NULL: the system bus. */
Systemd *systemd_new(const char *address);
/* The systemd behind @address is another machine's. */
void systemd_set_foreign(Systemd *systemd);
bool systemd_is_foreign(const Systemd *systemd);
/* There may be a way now: tried at once instead of at the next time. */
void systemd_try_now(Systemd *systemd);
void systemd_free(Systemd *systemd); /* every watch and job must be gone; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Systemd, systemd_free)
/* Is systemd the manager of this machine (/run/systemd/system), or was an address given? */
bool systemd_here(const Systemd *systemd);

typedef struct UnitFacts {       /* strings borrowed, never NULL */
    const char *load_state;      /* "loaded" "not-found" … */
    const char *active_state;    /* "active" "inactive" "failed" "activating" "deactivating" "reloading" … */
    const char *sub_state;       /* "running" "auto-restart" "dead" … */
    const char *result;          /* of a .service: "success" "exit-code" "signal" …; "" of other units */
    const char *restart;         /* its Restart= : "no" "always" … */
    const char *type;            /* its Type= : "simple" "oneshot" … */
    int exec_code, exec_status;  /* CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3 of the last main process, and its status or signal */
    int64_t main_pid, last_pid;  /* now; of the last main process */
    const char *job;             /* path of the job in progress, "" when none */
    bool foreign_job;            /* somebody else queued a job for it since the last job of anybody was removed */
    bool our_job;                /* a job in progress, or the last one seen in progress, is ours */
    bool shutting_down;          /* the machine goes down */
} UnitFacts;

typedef struct SystemdUnit SystemdUnit;
/* @changed: facts after each change, first soon after the watch; facts NULL: systemd cannot be asked, @error says why. */
typedef void (*UnitChanged)(const UnitFacts *facts, const GError *error, void *user);
SystemdUnit *systemd_unit_watch(Systemd *systemd, const char *unit, UnitChanged changed, void *user);
void systemd_unit_free(SystemdUnit *watch);
const UnitFacts *systemd_unit_facts(const SystemdUnit *watch); /* NULL: not known (yet) */
bool systemd_unit_is_behind(const SystemdUnit *watch); /* more is being asked, and told once it is here */

typedef struct SystemdJob SystemdJob;
/* @result: systemd's words: "done" "failed" "timeout" "canceled" "dependency" "skipped"; NULL with an error. After it the watches
 * of the unit have seen what the job did. */
typedef void (*JobDone)(const char *result, const GError *error, void *user);
/* @method: "StartUnit" "StopUnit" "RestartUnit" "ReloadUnit". A failed unit is reset first, so that a start limit does not refuse what was
 * decided. Not at all answered by @deadline_us: G_IO_ERROR_TIMED_OUT (systemd goes on by its own limits). */
SystemdJob *systemd_job(Systemd *systemd, const char *unit, const char *method, int64_t deadline_us, JobDone done, void *user);
void systemd_job_free(SystemdJob *job); /* forgets it; NULL is fine */

/* Any method of the manager. @parameters: floating or NULL. @done gets the reply (borrowed) or an error. */
typedef void (*SystemdReply)(GVariant *reply, const GError *error, void *user);
void systemd_call(Systemd *systemd, const char *method, GVariant *parameters, SystemdReply done, void *user);

typedef struct SystemdList SystemdList;
/* The names of all services that could be started, without ".service", sorted; empty when systemd cannot be asked. @done: once, never from
 * inside the call; the list is gone before it runs. */
SystemdList *systemd_list_services(Systemd *systemd, void (*done)(char *const *names, void *user), void *user);
void systemd_list_free(SystemdList *list); /* asks no more; NULL is fine */

/* "nginx" -> "nginx.service"; names with a unit suffix stay. Caller frees. */
char *systemd_unit_name(const char *name);

#endif
