/* What an event of libvirt, or a state read from it, means for policy: the state, intent and reason of a vm_state event (docs/wire.md).
 * Pure: no libvirt call, no clock. */
#ifndef MEND_HOST_VM_WORD_H
#define MEND_HOST_VM_WORD_H

#include "agents/host/libvirt/events.h"

#define VM_WORDS_MAX 2

typedef enum {
    VM_WORD_STATE,    /* it is in @state */
    VM_WORD_REBOOTED, /* it happened: vm.rebooted; @state "rebooted" */
    VM_WORD_JOB,      /* @state is the job (dump migration), @says begun or ended */
    VM_WORD_EVIDENCE, /* @state is the channel (qga), @says alive or gone */
} VmWordKind;

typedef struct VmWord { /* all static strings, but for an intent that was noted, and a reason libvirt gave */
    VmWordKind kind;
    const char *state, *intent, *reason, *says;
} VmWord;

/* What earlier events of the same VM said and the next is read with. Zero-initialised for a VM not heard of. */
typedef struct VmPast {
    int64_t watchdog_us;    /* when it fired (monotonic); 0: never in this life */
    int watchdog_action;
    int64_t reboot_us;      /* when it was told: a firmware resets more than once */
    int64_t io_us;          /* when an I/O error paused it */
    bool io_paused;         /* it was told to be so: its reason may come after */
    char io_reason[16];     /* "enospc" …; "": not said */
    int shutdown;           /* detail of the shutdown that began, + 1; 0: none */
    bool panicked, crashloaded;
    bool migrating;         /* by somebody else than us */
    bool incoming;          /* it migrates here: it does not run yet, and may never */
} VmPast;

#define VM_PAST_HOLDS_US (10 * US_PER_S) /* between cause and effect: the watchdog fires, the VM stops */

/* @intent: what was noted for this VM (intents.h), or NULL. Answers how many words were put into @ret; none is no word for policy. */
unsigned vm_words_of_event(const DomainEvent *event, VmPast *past, const char *intent, int64_t now_us, VmWord ret[VM_WORDS_MAX]);

/* @state, @reason: as virDomainGetState() gives them. @no_space: virDomainGetDiskErrors() says so of one disk at least. */
VmWord vm_word_of_state(int state, int reason, bool no_space, const char *intent);
/* Whether a VM that was told to be in @told is so still, when libvirt says what @now says: "hung" is no state of libvirt's, and a
 * VM that is "stopping" still runs. */
bool vm_word_holds(const char *told, const char *told_reason, const VmWord *now);
/* Whether a VM told to be so has a process on this host. */
bool vm_state_is_active(const char *state);

#endif
