/* The host's side of ovirt-guest-agent's protocol, API versions 0 to 3: one JSON object per line, its name in "__name__". Pure: bytes in,
 * bytes out by a hook, the caller's clock. Nothing a guest sends is an error: what is wrong is counted and dropped.
 * From the source of ovirt-guest-agent 1.0.16 and vdsm 4.50: guest's messages and the version each needs in ovirt.c.
 * Thread: any, one at a time. Hooks run inside the calls. */
#ifndef MEND_HOST_CHANNEL_OVIRT_H
#define MEND_HOST_CHANNEL_OVIRT_H

#include "lib/amqp/value.h"

#include <glib.h>

#define OVIRT_API_MAX          3
#define OVIRT_API_NONE         (-1) /* the guest's heartbeat names no version */
#define OVIRT_LINE_MAX         ((size_t) 1024 * 1024)
#define OVIRT_SILENT_US        (30 * US_PER_S)
#define OVIRT_REPLY_US         (10 * US_PER_S)
#define OVIRT_WAITING_MAX      16

typedef enum { OVIRT_BEFORE_MIGRATION, OVIRT_AFTER_MIGRATION, OVIRT_BEFORE_HIBERNATION, OVIRT_AFTER_HIBERNATION, OVIRT_LIFECYCLE_N } OvirtLifecycle;
typedef enum { OVIRT_REPLY_OK, OVIRT_REPLY_FAILED /* its hooks said so */, OVIRT_REPLY_TIMEOUT, OVIRT_REPLY_UNSUPPORTED } OvirtReply;

typedef struct OvirtHooks {
    void (*fact)(const char *field, Value *value /* (transfer full) */, int64_t fresh_us, void *user);
    void (*happened)(const char *what, void *user); /* session-lock …, uninstalled */
    void (*alive)(bool alive, void *user);          /* it changed */
    void *user;
} OvirtHooks;

typedef struct OvirtGuest OvirtGuest;
/* @send: a line with its newline. */
OvirtGuest *ovirt_guest_new(const OvirtHooks *hooks, void (*send)(const char *line, size_t n, void *user), void *send_user);
void ovirt_guest_free(OvirtGuest *guest); /* waiting replies time out. NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OvirtGuest, ovirt_guest_free)

/* The port is open (again): nothing of the stream before counts; asks for everything. */
void ovirt_guest_begin(OvirtGuest *guest, int64_t now_us);
void ovirt_guest_feed(OvirtGuest *guest, const char *bytes, size_t n, int64_t now_us);
/* At least once a second: silence, replies that do not come. */
void ovirt_guest_tick(OvirtGuest *guest, int64_t now_us);

int ovirt_guest_api(const OvirtGuest *guest); /* in common with it; OVIRT_API_NONE */
bool ovirt_guest_is_alive(const OvirtGuest *guest);
uint64_t ovirt_guest_dropped(const OvirtGuest *guest); /* lines that were no message, or too long */

/* Runs the guest's hooks for it; @done once, by OVIRT_REPLY_US, maybe inside this call. */
void ovirt_guest_lifecycle(OvirtGuest *guest, OvirtLifecycle what, int64_t now_us, void (*done)(OvirtReply reply, void *user), void *user);
/* Commands of the protocol, their arguments as it names them: "lock-screen" "log-off" "login" "shutdown" "hibernate" "echo" "refresh"
 * "set-number-of-cpus". @arguments: (transfer full) JSON object or NULL. False: the guest's version does not know it, or no such command. */
bool ovirt_guest_command(OvirtGuest *guest, const char *name, json_t *arguments);

#endif
