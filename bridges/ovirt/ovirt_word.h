/* What a VM's status in oVirt, and the events about it, mean for policy: the state, intent and reason of a vm_state event (docs/wire.md).
 * oVirt's REST API says that a VM is down, and not why: that is in its events. Both come at different times, so what events said is kept
 * until a status answers to it. Pure: no I/O, the time is given. */
#ifndef MEND_OVIRT_WORD_H
#define MEND_OVIRT_WORD_H

#include "bridges/ovirt/ovirt_model.h"

#define OVIRT_WISH_HOLDS_US (10 * US_PER_MINUTE) /* a guest may take its time to shut down */
#define OVIRT_END_HOLDS_US  US_PER_MINUTE        /* between the event of a VM's end and its status */
#define OVIRT_SETTLE_US     (10 * US_PER_S)      /* how long a VM that is down waits for the event that says why */

/* What is remembered of a VM's events. Zero-initialised: nothing. Static strings only. */
typedef struct OvirtPast {
    const char *wish;    /* intent of who wants it stopped or suspended: "admin", or what Mend itself was told; NULL: nobody */
    int64_t wish_us;     /* when (monotonic) */
    bool wish_is_ours;   /* said by ovirt_past_wish(): the event of the same act does not change it */
    const char *end_intent, *end_reason; /* how it ended; NULL: no event said so */
    int64_t end_us;
    const char *pause;   /* reason of a pause: "io-error" "enospc" "eperm" "user"; NULL */
    int64_t watchdog_us; /* when it fired; 0: not */
    bool began;          /* another life of it began */
} OvirtPast;

/* An event about this VM, in the order of their ids. */
void ovirt_past_event(OvirtPast *past, const OvirtEvent *event, int64_t now_us);
/* Mend itself is about to stop or suspend it. @intent: "admin" "command" "user" "update" (anything else: "command"). */
void ovirt_past_wish(OvirtPast *past, const char *intent, int64_t now_us);
/* That was not done after all. */
void ovirt_past_unwish(OvirtPast *past);
/* It runs, as a status says that was asked for after @past's events were read: what is over is forgotten. */
void ovirt_past_runs(OvirtPast *past, int64_t now_us);

typedef struct OvirtWord { /* static strings, or @status's own where it is not known */
    const char *state, *intent, *reason;
    bool runs;           /* it has a process on a host */
    bool unsure;         /* it is down and no event said why yet: wait OVIRT_SETTLE_US, then say it */
} OvirtWord;
/* @was: the state it was last told in; NULL: none. */
OvirtWord ovirt_word(const char *status, const OvirtPast *past, const char *was, int64_t now_us);
/* Whether a VM with this status has, or may have, a process on its host. */
bool ovirt_status_runs(const char *status);

typedef enum {
    OVIRT_HEARD,   /* oVirt talks with it */
    OVIRT_WAITED,  /* it may be a hiccup: connecting */
    OVIRT_SILENT,  /* oVirt does not reach it: what runs there is not known */
    OVIRT_DUMPING, /* its kernel crashed and writes its memory */
    OVIRT_OFF,     /* its power is off: oVirt turned it off, or was told so by a person */
    OVIRT_ABSENT,  /* not in service: installing, not approved */
} OvirtReach;
OvirtReach ovirt_host_reach(const char *status);

#endif
