/* Fence agents at work: one question to one device, answered once. A device answers one question at a time, others wait for it; a
 * question has a deadline, waiting included, at which its agent is killed with all it started. Thread: main loop. */
#ifndef MEND_HOST_FENCE_DEVICE_H
#define MEND_HOST_FENCE_DEVICE_H

#include "agents/host/fence/fencing_file.h"
#include "agents/host/fence/metadata.h"

typedef enum {
    FENCE_SAYS_FAILED, /* it did not do it, or did not say */
    FENCE_SAYS_DONE,   /* of off, on, monitor: the agent says that it did it. That is no proof: ask FENCE_STATUS */
    FENCE_SAYS_ON,     /* of FENCE_STATUS */
    FENCE_SAYS_OFF,
} FenceSays;

typedef struct FenceAnswer { /* borrowed during the call */
    FenceSays says;
    bool hopeless;           /* FAILED, and asking again cannot help: no such agent, a parameter it does not have, no password file */
    const char *text;        /* of FAILED: why, for people, without secrets */
} FenceAnswer;
typedef void (*FenceAnswerFn)(const FenceAnswer *answer, void *user);

/* What an order (order.h) asks through; a test has its own. Never answers before it returns. */
typedef struct FenceAsker {
    void (*ask)(void *self, const FenceDevice *device, const FenceHost *host, FenceAction action, int64_t deadline_us, FenceAnswerFn fn, void *user);
    void (*forget)(void *self, void *user); /* nothing is answered to @user any more; an agent at work for it is killed */
    void *self;
    int64_t poll_us; /* between two looks at a status; 0: a second */
} FenceAsker;

typedef struct FenceDevices FenceDevices;

/* @file is borrowed and outlives it. @folder: where helpers of agents are (mend-ipmitool); NULL: beside this program. */
FenceDevices *fence_devices_new(const FencingFile *file, const char *folder);
void fence_devices_free(FenceDevices *devices); /* NULL is fine; kills what runs, answers nothing */
FenceAsker fence_devices_asker(FenceDevices *devices);
/* What a device's agent says of itself, once it has been asked anything; NULL: not yet, or it does not say. */
const FenceMetadata *fence_devices_metadata(const FenceDevices *devices, const FenceDevice *device);

#endif
