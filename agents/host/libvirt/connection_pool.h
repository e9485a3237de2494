/* Connections to one libvirt for calls, each with one thread at a time: the daemon serves five calls of a connection at once and lets the
 * others wait, so a few that hang would hold up everything; and clients of libvirt before 10.3 corrupt their memory when threads share a
 * connection (CVE-2024-4418), or when it is kept alive during a long call.
 * Thread: any. Counted: work in threads holds it. */
#ifndef MEND_HOST_CONNECTION_POOL_H
#define MEND_HOST_CONNECTION_POOL_H

#include "lib/base/base.h"

#include <libvirt/libvirt.h>

#define CONNECTION_POOL_MAX 64
#define CONNECTION_POOL_SPARE 4 /* kept open for who cannot wait */

typedef struct ConnectionPool ConnectionPool;

/* Libvirt's drivers inside this process have a world for each connection: there all share @only (a reference is taken). @only NULL: a daemon. */
ConnectionPool *connection_pool_new(const char *uri, virConnectPtr only);
ConnectionPool *connection_pool_ref(ConnectionPool *pool);
void connection_pool_unref(ConnectionPool *pool); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConnectionPool, connection_pool_unref)
/* Nothing is given out any more; what was given out lives on. */
void connection_pool_end(ConnectionPool *pool);

/* A reference that nobody else uses, for virConnectClose(); opened when there is none, which may take as long as the daemon likes: not
 * in the main loop. NULL: libvirt's last error says why, or the pool has ended. */
virConnectPtr connection_pool_take(ConnectionPool *pool);
/* The same without waiting: one that nobody uses, or, when all are in use and CONNECTION_POOL_SPARE new ones are still being opened,
 * one that somebody else uses too. NULL: there is none at all. */
virConnectPtr connection_pool_take_now(ConnectionPool *pool);

#endif
