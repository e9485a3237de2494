/* The relay: carries the bytes of guests without a network to the broker and back, over a virtio-serial port (docs/wire.md, "Serial ports")
 * or vsock; one connection to the broker for each guest. It is a pipe: the guest says itself who it is (SASL, and TLS where it asks for it)
 * and the broker answers it, so a guest can do through the relay what its own name may do, and nothing as the host.
 * Thread: the main loop's. */
#ifndef MEND_HOST_RELAY_H
#define MEND_HOST_RELAY_H

#include "lib/base/base.h"

#include <glib.h>

#define RELAY_CHANNEL "io.mend.bus.0" /* name of the virtio-serial port */

typedef struct RelayOptions {
    const char *broker;   /* amqp://, amqps:// or amqp+unix://: only where it is matters */
    uint64_t bytes_per_s; /* of each guest, each way; 0: no limit */
    uint32_t vsock_port;  /* to listen on; 0: no vsock */
} RelayOptions;

typedef struct Relay Relay;

/* NULL: error (no such address; vsock is asked for and not there). */
Relay *relay_new(const RelayOptions *options /* copied */, GError **error);
void relay_free(Relay *relay); /* sessions are closed. NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Relay, relay_free)

/* The UNIX socket that is the host's end of @vm's port; NULL: it has none (any more). The socket may come later. */
void relay_set_channel(Relay *relay, const char *vm, const char *path);
/* Its vsock address; 0: it has none. */
void relay_set_cid(Relay *relay, const char *vm, uint32_t cid);
/* Guests that have a connection to the broker now. */
unsigned relay_open_count(const Relay *relay);

#endif
