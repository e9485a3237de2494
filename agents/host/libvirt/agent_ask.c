#include "agents/host/libvirt/agent_ask.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <stdlib.h>

typedef struct Ask {
    virConnectPtr connection; /* NULL: away */
    char *vm, *command, *answer;
    int limit_s;
    AgentAskOutcome outcome;
    AgentAskFn done;
    void *user;
} Ask;

/* Of the thread's last error: what it says of the agent. */
static AgentAskOutcome outcome_of_error(void)
{
    switch (virGetLastErrorCode()) {
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
        return AGENT_ASK_SILENT;
    case VIR_ERR_INTERNAL_ERROR: /* with the agent's own words */
    case VIR_ERR_OPERATION_UNSUPPORTED:
        return AGENT_ASK_REFUSED;
    default: /* a job holds the domain, it is off, libvirt went away … */
        return AGENT_ASK_NOT_ASKED;
    }
}

static void ask_work(void *data)
{
    Ask *ask = data;
    virDomainPtr domain = ask->connection != NULL ? virDomainLookupByUUIDString(ask->connection, ask->vm) : NULL;
    char *answer = domain != NULL ? virDomainQemuAgentCommand(domain, ask->command, ask->limit_s, 0) : NULL;

    ask->outcome = answer != NULL ? AGENT_ASK_ANSWERED : domain != NULL ? outcome_of_error() : AGENT_ASK_NOT_ASKED;
    ask->answer = g_strdup(answer != NULL ? answer : virGetLastErrorMessage());
    virResetLastError();
    free(answer);
    if (domain != NULL)
        virDomainFree(domain);
    if (ask->connection != NULL)
        virConnectClose(ask->connection);
}

static void ask_free(void *data)
{
    Ask *ask = data;

    g_free(ask->answer);
    g_free(ask->command);
    g_free(ask->vm);
    g_free(ask);
}

static void ask_done(void *data)
{
    Ask *ask = data;

    ask->done(ask->outcome, ask->answer, ask->user);
    ask_free(ask);
}

void agent_ask(Host *host, Connection *connection, const char *vm, const char *command, int limit_s, AgentAskFn done, void *user)
{
    g_autofree char *lane = g_strconcat("agent:", vm, NULL);
    Ask *ask = g_new0(Ask, 1);

    *ask = (Ask) { .connection = connection_get(connection), .vm = g_strdup(vm), .command = g_strdup(command), .limit_s = limit_s,
                   .done = done, .user = user };
    host_work(host, lane, ask_work, ask_done, ask_free, ask);
}
