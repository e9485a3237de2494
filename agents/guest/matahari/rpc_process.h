/* The Python process that RPC plug-ins live in: started when it is needed, one request at a time, lines of JSON over pipes. Thread: the
 * owner's main loop. */
#ifndef MEND_GUEST_RPC_PROCESS_H
#define MEND_GUEST_RPC_PROCESS_H

#include "lib/base/base.h"

#define RPC_LINE_BYTES 1200000 /* that it may say at once; then it is killed */

typedef struct RpcProcess RpcProcess;

/* One line it said. NULL: it is gone (ended, killed, said what is no JSON object, or too much) and @problem tells; nothing follows, and a
 * request that was open is lost. Never inside start or send. The process may be freed by it. */
typedef void (*RpcLine)(const json_t *line, const char *problem, void *user);

/* @user_name: whom it runs as; NULL: as we do. NULL: it did not start; error says why. */
RpcProcess *rpc_process_start(const char *folder, const char *user_name, RpcLine on_line, void *user, GError **error);
void rpc_process_send(RpcProcess *process, const json_t *request); /* after it is gone: nothing happens */
void rpc_process_free(RpcProcess *process); /* NULL is fine; kills its whole group */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcProcess, rpc_process_free)

/* False: @folder, one above it, or a plug-in in it is another's than root's or ours, or others may write to it; error says which. */
bool rpc_folder_check(const char *folder, GError **error);

#endif
