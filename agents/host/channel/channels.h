/* Second sources for what is inside of VMs: the QEMU guest agent and ovirt-guest-agent, each field with its source and its age, as QMF
 * objects of class VmFacts named facts:VM; and of the first one vm.evidence, channel qga. Thread: the main loop's. */
#ifndef MEND_HOST_CHANNEL_CHANNELS_H
#define MEND_HOST_CHANNEL_CHANNELS_H

#include "agents/host/channel/ovirt.h"
#include "agents/host/channel/qga.h"
#include "agents/host/host.h"

#define CHANNELS_ASKING_MAX 8 /* questions to guest agents at a time, of all VMs */

/* In the main loop, exactly once, not inside the call that asked. @answer: borrowed; JSON, or an error's text. */
typedef void (*ChannelsAnswerFn)(QgaOutcome outcome, const char *answer, void *data);
/* Asks @vm's QEMU guest agent. */
typedef void (*ChannelsAskFn)(void *user, const char *vm, const char *command, int limit_s, ChannelsAnswerFn done, void *data);

typedef struct Channels Channels;

Channels *channels_new(Host *host, ChannelsAskFn ask, void *user);
void channels_free(Channels *channels); /* answers may still come. NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Channels, channels_free)

/* What @vm has: a port for the QEMU guest agent, open in the guest or not; the socket of ovirt-guest-agent's port, or NULL. With none of
 * them it is forgotten. */
void channels_set(Channels *channels, const char *vm, bool agent, bool agent_connected, const char *ovirt_path);
/* Its file systems are being frozen: the agent's silence until then is no death. */
void channels_freezing(Channels *channels, const char *vm, int64_t until_us);
/* Lets the guest's ovirt-guest-agent run its hooks for it; at once OVIRT_REPLY_UNSUPPORTED where there is none. @done once, by OVIRT_REPLY_US. */
void channels_lifecycle(Channels *channels, const char *vm, OvirtLifecycle what, void (*done)(OvirtReply reply, void *user), void *user);

#endif
