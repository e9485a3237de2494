#include "bridges/ssh/ssh_guest.h"

#include "agents/guest/classes.h"
#include "agents/guest/services/memory.h"
#include "agents/guest/services/systemd.h"
#include "bridges/common/bridge_agent.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#include <gio/gio.h>
#include <string.h>

#define SOCKET_PATH_MAX (107 - 17) /* ssh's own suffix while it makes it */

struct SshGuest {
    GuestEntry *entry;
    BridgeAgent *agent;
    SshLink *link;
    ServiceHost host;
    Lanes *lanes;
    ClassContext context;
    GuestClass *guest_class;
};

static void on_online(bool online, void *user)
{
    SshGuest *guest = user;

    if (guest->context.watched != NULL)
        watch_list_set_online(guest->context.watched, online);
}

static void on_heartbeat(QmfAgent *agent, void *user)
{
    SshGuest *guest = user;

    if (guest->context.watched == NULL)
        return;
    qmf_agent_set_attribute(agent, "mend.services", watch_list_digest(guest->context.watched));
    qmf_agent_set_attribute(agent, "mend.event_sequence", value_uint(VALUE_UINT64, watch_list_event_sequence(guest->context.watched)));
}

static void on_reach(const char *why, const char *boot_id, void *user)
{
    SshGuest *guest = user;

    bridge_agent_set_reach(guest->agent, why);
    if (why != NULL || guest->context.watched == NULL)
        return;
    if (boot_id != NULL)
        memory_set_boot(guest->host.memory, boot_id);
    bridge_agent_set_life(guest->agent, boot_id, NULL);
}

static void on_bus_brought(void *user) { systemd_try_now(((SshGuest *) user)->host.systemd); }

static bool any_of(const SshGuest *guest, const char *standard)
{
    for (guint i = 0; i < guest->entry->services->len; i++)
        if (strcmp(((const ServiceSpec *) guest->entry->services->pdata[i])->standard, standard) == 0)
            return true;
    return false;
}

static bool open_link(SshGuest *guest, const SshSettings *s, SshGate *gate, GError **error)
{
    const GuestEntry *e = guest->entry;
    const char *folder = bridge_agent_data(guest->agent);
    g_autofree char *bus = g_build_filename(folder, "bus", NULL), *address = NULL, *escaped = NULL;
    const SshLinkOptions options = { .name = e->name, .host = e->host, .port = e->port, .user = e->user != NULL ? e->user : s->user,
                                     .identity = e->identity != NULL ? e->identity : s->identity,
                                     .known_hosts = e->known_hosts != NULL ? e->known_hosts : s->known_hosts,
                                     .become = e->become, .config = s->config, .folder = folder,
                                     .connect_timeout_us = s->connect_timeout_us, .alive_us = s->alive_us,
                                     .gate = gate, .sessions_max = (unsigned) s->sessions_max, .changed = on_reach, .user_data = guest };

    if (strlen(bus) > SOCKET_PATH_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NAMETOOLONG, "--data: sockets in %s have too long a path; at most %d characters", folder,
                    SOCKET_PATH_MAX - 4);
        return false;
    }
    guest->link = ssh_link_new(&options);
    if (any_of(guest, "systemd"))
        ssh_link_bring(guest->link, e->systemd_bus, bus, on_bus_brought);
    escaped = g_dbus_address_escape_value(bus);
    address = g_strconcat("unix:path=", escaped, NULL);
    guest->host.systemd = systemd_new(address);
    systemd_set_foreign(guest->host.systemd);
    return true;
}

static bool open_services(SshGuest *guest, const SshSettings *s, GError **error)
{
    const char *data = bridge_agent_data(guest->agent);
    g_autofree char *memory = g_build_filename(data, "services", NULL);
    const WatchListOptions options = { bridge_agent_qmf(guest->agent), &guest->host, guest->lanes, data, bridge_agent_identity(guest->agent) };

    guest->host.ocf_root = s->ocf_root;
    guest->host.init_dir = s->init_dir;
    guest->host.elsewhere = ssh_link_elsewhere(guest->link);
    guest->host.memory = memory_new(memory, error);
    if (guest->host.memory == NULL)
        return false;
    memory_set_boot(guest->host.memory, "not known yet");
    guest->context = (ClassContext) { .agent = options.agent, .gate = bridge_agent_gate(guest->agent), .identity = bridge_agent_identity(guest->agent),
                                      .watched = watch_list_new(&options), .host = &guest->host, .lanes = guest->lanes, .data = data,
                                      .writables = g_array_new(FALSE, FALSE, sizeof(Writable)) };
    guest->guest_class = guest_class_new(&guest->context);
    for (guint i = 0; i < guest->entry->services->len; i++)
        if (!watch_list_add(guest->context.watched, g_steal_pointer(&guest->entry->services->pdata[i]), false, error))
            return false;
    watch_list_load(guest->context.watched);
    return true;
}

SshGuest *ssh_guest_new(Bridge *bridge, const SshSettings *settings, SshGate *gate, GuestEntry *entry, GError **error)
{
    static const char *const capabilities[] = { "control-queue", "service-events", "commands", "bridge", NULL };
    SshGuest *guest = g_new0(SshGuest, 1);
    const BridgeAgentOptions options = { .product = SSH_PRODUCT, .user_prefix = "agent-", .id = entry->id, .hostname = entry->name,
                                         .capabilities = capabilities, .on_online = on_online, .on_heartbeat = on_heartbeat, .user = guest };

    guest->entry = entry;
    guest->lanes = lanes_new();
    guest->agent = bridge_agent_new(bridge, &options, error);
    if (guest->agent != NULL && open_link(guest, settings, gate, error) && open_services(guest, settings, error))
        return guest;
    ssh_guest_free(guest);
    return NULL;
}

void ssh_guest_start(SshGuest *guest)
{
    bridge_agent_start(guest->agent);
    ssh_link_start(guest->link);
}

const GuestEntry *ssh_guest_entry(const SshGuest *guest) { return guest->entry; }
void ssh_guest_try_now(SshGuest *guest) { ssh_link_try_now(guest->link); }

/* Open operations are answered as interrupted. */
static void end_services(SshGuest *guest)
{
    g_clear_pointer(&guest->context.watched, watch_list_free);
    g_clear_pointer(&guest->guest_class, guest_class_free);
}

void ssh_guest_close(SshGuest *guest)
{
    end_services(guest);
    bridge_agent_close(guest->agent);
}

void ssh_guest_free(SshGuest *guest)
{
    if (guest == NULL)
        return;
    end_services(guest);
    bridge_agent_free(guest->agent);
    g_clear_pointer(&guest->context.writables, g_array_unref);
    lanes_free(guest->lanes);
    systemd_free(guest->host.systemd);
    ssh_link_free(guest->link);
    memory_free(guest->host.memory);
    guest_entry_free(guest->entry);
    g_free(guest);
}
