/* Matahari's RPC: Python files in a folder, whose public functions are methods. Each file NAME.py is a class NAME of package
 * org.matahariproject.rpc.plugin with one object under a random name. Thread: the owner's main loop. */
#ifndef MEND_GUEST_RPC_H
#define MEND_GUEST_RPC_H

#include "agents/guest/classes.h"

typedef struct RpcClass RpcClass;

typedef struct RpcOptions { /* borrowed, outlives the class */
    const char *folder;
    const char *user;   /* whom plug-ins run as; NULL: as we do */
    int64_t timeout_us; /* of one call */
    int64_t idle_us;    /* without a call for so long, their process is ended; 0: never */
} RpcOptions;

/* The plug-ins appear on the bus once their process has read them. NULL: the folder is not root's (or ours) alone; error says what. */
RpcClass *rpc_class_new(const ClassContext *context, const RpcOptions *options, GError **error);
void rpc_class_free(RpcClass *rpc); /* NULL is fine; what is open is answered as interrupted */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcClass, rpc_class_free)

#endif
