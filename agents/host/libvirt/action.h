/* One method call at work, as the files action_*.c see it. They run in a thread: they may use the fields marked T, never Host.
 * Each is a function `void NAME(Action *)` that calls action_done, action_failed or action_refused once, as its last act. */
#ifndef MEND_HOST_ACTION_H
#define MEND_HOST_ACTION_H

#include "agents/host/libvirt/actions.h"
#include "agents/host/libvirt/domain_xml.h"
#include "agents/host/libvirt/job.h"
#include "agents/host/libvirt/virt_error.h"

#include <libvirt/virterror.h>

typedef struct Action Action;

typedef struct ActionKind {
    const char *method;
    void (*run)(Action *action);
    void (*then)(Action *action); /* main loop, after run and before the answer; or NULL */
    unsigned timeout_s;           /* of a call that names none */
    const char *job;              /* "migration": told while it is at work; its lane is the VM's other one. NULL: it is short */
    unsigned flags;
} ActionKind;

#define ACTION_PASSES   (1u << 0) /* waits behind nothing */
#define ACTION_STARTS   (1u << 1) /* makes the VM run: never beside a stop */
#define ACTION_BESIDE   (1u << 2) /* also while a migration or a dump is at work */
#define ACTION_INTENDS  (1u << 3) /* its argument "intent" is noted */
#define ACTION_UNKNOWN  (1u << 4) /* also without a domain: @domain may be NULL */

typedef enum { OUTCOME_NONE, OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_REFUSED } Outcome;

struct Action {
    const ActionKind *kind;   /* T */
    Actions *actions;         /* counted */
    HostCall *call;           /* NULL once answered */
    char *vm;                 /* T: canonical UUID */
    Value *arguments;         /* T */
    int64_t deadline_us;      /* T: monotonic */
    virConnectPtr connection; /* T */
    virDomainPtr domain;      /* T: looked up before run */
    Job *job;                 /* T: job_progress() only; NULL: none */
    guint timer;
    int begun;                /* atomic: 0 waits, 1 at work, 2 taken back before it began */
    Job *freeze_job;          /* T: only to be handed on */
    void *asking;             /* T: what waits for the lease, or for the main loop to look */
    bool lease_taken;         /* T */
    bool lease_goes_back;     /* T */

    GMutex lock;
    GCond wake;
    bool told_to_end;         /* under lock */

    Outcome outcome;          /* T: from here, the answer */
    const char *error;
    const char *state;
    char *text;
    Value *values;
};

/* ---- answers; T; @format is for people. The first of them stays. */
void action_done(Action *action, const char *state, const char *format, ...) G_GNUC_PRINTF(3, 4);
void action_failed(Action *action, const char *error, const char *format, ...) G_GNUC_PRINTF(3, 4);
void action_refused(Action *action, const char *error, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* Failed by the last libvirt error of this thread; @doing: "cannot start it". */
void action_failed_by_libvirt(Action *action, const char *doing);
void action_value(Action *action, const char *key, Value *value /* (transfer full) */); /* goes with the answer */

/* ---- waiting; T */
int64_t action_left_us(const Action *action);        /* until the deadline; 0 when it is over */
bool action_must_end(Action *action);                /* told to, or the deadline is over */
bool action_told_to_end(Action *action);
/* Sleeps, not beyond the deadline; false: it must end. */
bool action_sleep(Action *action, int64_t us);

/* ---- arguments; T. Absent: the fallback */
const char *action_text(const Action *action, const char *name);         /* NULL when absent or empty */
bool action_flag(const Action *action, const char *name, bool fallback);
uint64_t action_uint(const Action *action, const char *name);

/* ---- the domain; T */
/* VIR_DOMAIN_…; VIR_DOMAIN_SHUTOFF when the domain is unknown to libvirt, -1: libvirt does not say. */
int action_domain_state(const Action *action, int *ret_reason);
bool action_is_active(int state);
/* "running" "paused" "stopped" "crashed" "suspended": Mend's word for a libvirt state. */
const char *action_state_name(int state);
bool action_is_paused_by_storage(int state, int reason);
DomainXml *action_domain_xml(const Action *action, bool inactive);        /* NULL: libvirt's error stands */
char *action_disk_errors(const Action *action);                          /* "vdb: no space"; (transfer full); NULL: none */

/* ---- what there is (one file each) */
void action_start(Action *action);
void action_start_then(Action *action);
void action_stop(Action *action);
void action_stop_then(Action *action);
void action_shutdown(Action *action);
void action_reboot(Action *action);
void action_reset(Action *action);
void action_suspend(Action *action);
void action_resume(Action *action);
void action_migrate(Action *action);
void action_migrate_then(Action *action);
void action_abort_job(Action *action);
void action_define(Action *action);
void action_undefine(Action *action);
void action_snapshot(Action *action);
void action_snapshot_commit(Action *action);
void action_block_copy(Action *action);
void action_set_memory(Action *action);
void action_set_vcpus(Action *action);
void action_set_cpu_limit(Action *action);
void action_set_io_limit(Action *action);
void action_screenshot(Action *action);
void action_dump(Action *action);

/* ---- parts the files share */
void action_tell_to_end(Action *action);    /* any thread */
bool actions_closed(const Action *action);  /* T: the agent ends; what works without it may go on */
void actions_end_jobs(Action *by);          /* main loop: tells the jobs of its VM to end */
/* The note of its job may go, unless libvirt has gone away and may still be at it: then the resync looks. T */
void action_note_done(Action *action, const char *name);
/* Tells that its job has begun. False: it must not, and is answered. T */
bool action_begin_job(Action *action);
/* For job_watch: tells how far whatever job @domain has is. */
void job_poll_domain(Job *job, void *domain);
void job_domain_free(void *domain);
/* Runs @fn in the main loop and waits until it has run; false: the agent ends, it may not run. T */
bool action_on_main(Action *action, void (*fn)(Action *action));
/* What the guest needs to be off: libvirt says so and no process of it is left. T. @ret_why: (transfer full) when it is not. */
bool action_is_gone(Action *action, char **ret_why);
const ActionsOptions *action_options(const Action *action); /* T: the plain fields and proc, none of the functions */
Host *action_host(const Action *action);                    /* main loop */
const char *action_folder(const Action *action);            /* T: host_data() */
const char *action_host_id(const Action *action);           /* T */
const char *action_boot_id(const Action *action);           /* T */

#endif
