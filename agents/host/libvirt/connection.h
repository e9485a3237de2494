/* The connection to libvirt: opened again whenever it is lost, shared by all parts that speak to libvirt.
 *
 * No libvirt call that asks the daemon may be made in the main loop: it takes as long as the daemon likes. Take a reference in the main
 * loop, call in host_work(), give the reference back there. A reference outlives the loss of the connection; calls on it then
 * fail at once, so work in threads needs no lock and no check. That libvirtd says nothing any more is noticed after CONNECTION_DEAD_S
 * seconds; calls under way end then with libvirt 10.3 or later, with earlier ones when libvirtd ends or goes on.
 * Callbacks of libvirt (events) arrive in the main loop.
 * Thread: the main loop's. One Connection may be in a process at a time with each main context: libvirt's event loop is the process's. */
#ifndef MEND_HOST_CONNECTION_H
#define MEND_HOST_CONNECTION_H

#include "agents/host/host.h"
#include "agents/host/libvirt/connection_pool.h"

#include <libvirt/libvirt.h>

#define CONNECTION_KEEPALIVE_S 5
#define CONNECTION_KEEPALIVE_COUNT 3
#define CONNECTION_DEAD_S (CONNECTION_KEEPALIVE_S * (CONNECTION_KEEPALIVE_COUNT + 1))
#define CONNECTION_RETRY_FIRST_US (250 * US_PER_MS) /* doubled with every failure */
#define CONNECTION_RETRY_MAX_US (10 * US_PER_S)

typedef struct Connection Connection;

typedef struct ConnectionListener { /* all may be NULL */
    /* In the opening thread, of a connection that nobody has seen yet: register for events here, ask what is so. *@ret_found goes with
     * this connection from here on. False: @error; the connection is given up and opened anew later (release() is still called). */
    bool (*prepare)(virConnectPtr connection, void **ret_found, GError **error);
    void (*up)(void *user, void *found);        /* main loop; connection_get() answers it */
    void (*away)(void *user, const char *why);  /* main loop: lost, or the first one failed; what up() gave is soon released */
    void (*release)(virConnectPtr connection, void *found); /* in a thread: deregister, free. After away(), or connection_free() */
    void *user;                                 /* not used after connection_free() */
} ConnectionListener;

/* @uri: of libvirt; NULL: libvirt's own default. Listeners are called in the order in which they were added. */
Connection *connection_new(Host *host, const char *uri);
void connection_listen(Connection *connection, const ConnectionListener *listener /* copied */);
void connection_start(Connection *connection); /* opens; returns at once */
/* References given out live on; listeners are not called any more. Waits for nothing. NULL is fine. */
void connection_free(Connection *connection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Connection, connection_free)

/* A new reference, for virConnectClose() in another thread than the main loop's; NULL: libvirt is away. It is another connection than
 * the one events come by, and nobody else's as long as it is kept (connection_pool.h says why): take one for each piece of work, and
 * give it back when that is done. */
virConnectPtr connection_get(Connection *connection);
/* Where work in threads takes connections itself, as many as it likes. (transfer full); NULL: libvirt is away. */
ConnectionPool *connection_pool(Connection *connection);
/* Gives a reference back without blocking the main loop. NULL is fine. Any thread. */
void connection_put(virConnectPtr reference);
bool connection_is_up(const Connection *connection);
const char *connection_uri(const Connection *connection); /* never NULL; "" is libvirt's default */
/* Why it is away, for people; NULL: it is up. */
const char *connection_why(const Connection *connection);

#endif
