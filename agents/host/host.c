#include "agents/host/host_private.h"

#include "lib/base/log.h"

typedef struct OnlineFn {
    void (*fn)(void *user);
    void *user;
} OnlineFn;

Host *host_new(QmfAgent *agent, CommandGate *gate, const Identity *identity, const char *data)
{
    Host *host = g_new0(Host, 1);

    host->agent = agent;
    host->gate = gate;
    host->identity = identity;
    host->data = g_strdup(data);
    host->on_online = g_ptr_array_new_with_free_func(g_free);
    host->telling = telling_new(agent, identity->boot_id);
    host->facts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) value_unref);
    host->work = work_new();
    calls_attach(host);
    return host;
}

void host_free(Host *host)
{
    if (host == NULL)
        return;
    work_free(host->work);
    telling_free(host->telling);
    g_hash_table_unref(host->facts);
    value_unref(host->last_up);
    g_hash_table_unref(host->methods);
    g_ptr_array_unref(host->on_online);
    g_free(host->data);
    g_free(host);
}

void host_on_online(Host *host, void (*fn)(void *user), void *user)
{
    OnlineFn *entry = g_new(OnlineFn, 1);

    *entry = (OnlineFn) { fn, user };
    g_ptr_array_add(host->on_online, entry);
}

void host_set_online(Host *host, bool online)
{
    host->online = online;
    for (guint i = 0; online && i < host->on_online->len; i++) {
        const OnlineFn *entry = host->on_online->pdata[i];

        entry->fn(entry->user);
    }
    telling_set_online(host->telling, online);
}

bool host_is_online(const Host *host) { return host->online; }
const char *host_id(const Host *host) { return host->identity->id; }
const char *host_boot_id(const Host *host) { return host->identity->boot_id; }
const char *host_name(const Host *host) { return host->identity->hostname; }
const char *host_data(const Host *host) { return host->data; }
QmfAgent *host_agent(const Host *host) { return host->agent; }

void host_work(Host *host, const char *lane, HostWorkFn work, HostDoneFn done, HostDropFn drop, void *data)
{
    work_add(host->work, lane, work, done, drop, data);
}
