/* A connection is taken up in this order: events are asked for (and kept), everything is read, both in the opening thread; then, in the
 * main loop, what was read is compared with what was told, and the events kept meanwhile are taken up after it. An event that is older
 * than what was read may tell again how it was, but the last word is always the last event's. */
#include "agents/host/libvirt/libvirt.h"

#include "agents/host/libvirt/inventory.h"
#include "agents/host/libvirt/sampling.h"
#include "lib/base/log.h"

struct Libvirt {
    Host *host;
    Connection *connection;
    Intents *intents;
    LibvirtOptions options;
    Domains *domains;
    Inventory *inventory;
    Sampling *sampling;
    EventSession *session; /* of the current connection; NULL: away */
};

typedef struct Found { /* of one connection */
    EventSession *session;
    GPtrArray *domains; /* of DomainFacts */
    HostFacts facts;
} Found;

static bool prepare(virConnectPtr connection, void **ret_found, GError **error)
{
    Found *found = g_new0(Found, 1);

    *ret_found = found;
    if (!event_session_open(connection, &found->session, error))
        return false;
    host_facts_read(connection, &found->facts);
    found->domains = domain_facts_read_all(connection, error);
    return found->domains != NULL;
}

static void release(virConnectPtr connection, void *data)
{
    Found *found = data;

    if (found == NULL)
        return;
    if (found->session != NULL)
        event_session_close(connection, found->session);
    if (found->domains != NULL)
        g_ptr_array_unref(found->domains);
    g_free(found);
}

static void on_event(void *user, const DomainEvent *event)
{
    Libvirt *libvirt = user;

    host_raise(libvirt->host, "domain_event", -1, domain_event_values(event));
    domains_event(libvirt->domains, event);
    if (libvirt->options.on_event != NULL)
        libvirt->options.on_event(libvirt->options.user, event);
}

static void on_up(void *user, void *data)
{
    Libvirt *libvirt = user;
    Found *found = data;

    log_info("libvirt %s, %s %s: %u VMs are known to it", found->facts.libvirt_version, found->facts.hypervisor, found->facts.hypervisor_version,
             found->domains->len);
    inventory_libvirt(libvirt->inventory, connection_uri(libvirt->connection), &found->facts, NULL);
    domains_resync(libvirt->domains, g_steal_pointer(&found->domains));
    libvirt->session = found->session;
    if (!event_session_attach(found->session, on_event, libvirt))
        log_warning("more than %d events came while libvirt was asked what is so: some are not told, what is so now is", EVENTS_EARLY_MAX);
    sampling_now(libvirt->sampling);
}

static void on_away(void *user, const char *why)
{
    Libvirt *libvirt = user;

    if (libvirt->session != NULL)
        event_session_detach(g_steal_pointer(&libvirt->session));
    domains_away(libvirt->domains);
    inventory_libvirt(libvirt->inventory, connection_uri(libvirt->connection), NULL, why);
}

static void on_active(void *user) { inventory_changed(((Libvirt *) user)->inventory); }

static bool has_lease(void *user, const char *vm)
{
    const LibvirtOptions *options = &((Libvirt *) user)->options;

    return options->has_lease(options->user, vm);
}

static const char *storage_of(void *user, const char *path)
{
    const LibvirtOptions *options = &((Libvirt *) user)->options;

    return options->storage_of != NULL ? options->storage_of(options->user, path) : NULL;
}

static void add_classes(Host *host)
{
    static const char *const classes[] = { "Definition", "Domain", "Network", "StoragePool" };

    for (size_t i = 0; i < G_N_ELEMENTS(classes); i++) {
        const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject.mend", classes[i]);

        if (class != NULL)
            qmf_agent_add_class(host_agent(host), class);
    }
}

Libvirt *libvirt_new(Host *host, Connection *connection, Intents *intents, const LibvirtOptions *options)
{
    Libvirt *libvirt = g_new0(Libvirt, 1);
    const DomainsOptions domains = { storage_of, options->has_lease != NULL ? has_lease : NULL, on_active, libvirt };
    const InventoryOptions inventory = { options->rack, options->power, options->switch_name, options->labels, options->storages, options->user };
    const SamplingOptions sampling = { options->sample_period_us, options->still_periods, options->balloon_period_s, options->add_numbers, options->user };
    const ConnectionListener listener = { prepare, on_up, on_away, release, libvirt };

    libvirt->host = host;
    libvirt->connection = connection;
    libvirt->intents = intents;
    libvirt->options = *options;
    add_classes(host);
    libvirt->domains = domains_new(host, connection, intents, &domains);
    libvirt->inventory = inventory_new(host, libvirt->domains, &inventory);
    libvirt->sampling = sampling_new(host, connection, libvirt->domains, &sampling);
    inventory_libvirt(libvirt->inventory, connection_uri(connection), NULL, connection_why(connection));
    connection_listen(connection, &listener);
    return libvirt;
}

void libvirt_free(Libvirt *libvirt)
{
    if (libvirt == NULL)
        return;
    if (libvirt->session != NULL)
        event_session_detach(libvirt->session);
    sampling_free(libvirt->sampling);
    inventory_free(libvirt->inventory);
    domains_free(libvirt->domains);
    g_free(libvirt);
}

void libvirt_note(Libvirt *libvirt, const char *vm, const char *what, const char *value) { domains_note(libvirt->domains, vm, what, value); }
void libvirt_inventory_changed(Libvirt *libvirt) { inventory_changed(libvirt->inventory); }
void libvirt_refresh(Libvirt *libvirt, const char *vm) { domains_refresh(libvirt->domains, vm); }
