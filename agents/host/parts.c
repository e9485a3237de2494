/* Parts do not know each other: what one needs of another goes through the small functions here. */
#include "agents/host/parts.h"

#include "agents/host/channel/channels.h"
#include "agents/host/fence/fence.h"
#include "agents/host/libvirt/actions.h"
#include "agents/host/libvirt/agent_ask.h"
#include "agents/host/libvirt/connection.h"
#include "agents/host/libvirt/extend.h"
#include "agents/host/libvirt/guest_channels.h"
#include "agents/host/libvirt/intents.h"
#include "agents/host/libvirt/libvirt.h"
#include "agents/host/memory/memory.h"
#include "agents/host/peers/peers.h"
#include "agents/host/relay/relay.h"
#include "agents/host/storage/leases.h"
#include "agents/host/storage/storage.h"
#include "agents/host/lease_eyes.h"

#include <string.h>

struct Parts {
    Host *host;
    Connection *connection;
    Intents *intents;
    Actions *actions;
    Libvirt *libvirt;
    GuestChannels *guest_channels;
    Channels *channels;
    Relay *relay; /* or NULL */
    Extend *extend;
    Fence *fence;
    Peers *peers; /* or NULL */
    Storage *storage;
    Leases *leases; /* or NULL */
    const char *lease_folder, *proc;
    Memory *memory;
};

/* ---- libvirt ---- */

static virConnectPtr actions_connection(void *user)
{
    return connection_get(((Parts *) user)->connection);
}

static void actions_note(void *user, const char *vm, const char *what, const char *value)
{
    Parts *parts = user;

    libvirt_note(parts->libvirt, vm, what, value);
    if (parts->leases != NULL && strcmp(what, "to") == 0)
        leases_moving(parts->leases, vm, value);
}

static const char *storage_of(void *user, const char *path)
{
    const Parts *parts = user;

    return parts->storage == NULL ? NULL : storage_of_path(parts->storage, path);
}

static bool has_lease(void *user, const char *vm)
{
    const Parts *parts = user;

    return parts->leases != NULL && leases_has(parts->leases, vm);
}

static void on_lease_changed(void *user, const char *vm) { libvirt_refresh(((Parts *) user)->libvirt, vm); }

static void add_numbers(void *user, const char *vm, Value *sample)
{
    memory_add_vm_numbers(((Parts *) user)->memory, vm, sample);
}

static char *actions_storage_folder(void *user, const char *id)
{
    const Parts *parts = user;

    return parts->storage == NULL ? NULL : g_strdup(storage_folder(parts->storage, id));
}

static char *actions_storage_of(void *user, const char *path)
{
    return g_strdup(storage_of(user, path));
}

static char *actions_storage_failover(void *user, const char *id)
{
    const Parts *parts = user;

    return parts->storage == NULL ? NULL : g_strdup(storage_failover(parts->storage, id));
}

static void on_domain_event(void *user, const DomainEvent *event)
{
    const Parts *parts = user;

    if (parts->extend != NULL)
        extend_event(parts->extend, event);
    if (parts->leases != NULL && event->id == VIR_DOMAIN_EVENT_ID_LIFECYCLE)
        leases_look(parts->leases);
}

static void on_libvirt_up(void *user, void *found)
{
    Parts *parts = user;

    actions_connected(parts->actions);
    extend_connected(parts->extend);
}

/* The answers of leases are those of actions, in the same order. */
G_STATIC_ASSERT((int) LEASES_TAKEN == (int) LEASE_TAKEN && (int) LEASES_NOT_NEEDED == (int) LEASE_NOT_NEEDED);
G_STATIC_ASSERT((int) LEASES_HELD == (int) LEASE_HELD && (int) LEASES_FAILED == (int) LEASE_FAILED);

typedef struct LeaseWish {
    LeaseAnswerFn answer;
    void *user;
} LeaseWish;

static void on_lease_answer(void *user, LeasesAnswer answer, const char *text)
{
    LeaseWish *wish = user;

    wish->answer(wish->user, (LeaseAnswer) answer, text);
    g_free(wish);
}

static void actions_lease_acquire(void *user, const char *vm, int64_t deadline_us, LeaseAnswerFn answer, void *answer_user)
{
    const Parts *parts = user;
    LeaseWish *wish;

    if (parts->leases == NULL) {
        answer(answer_user, LEASE_NOT_NEEDED, NULL);
        return;
    }
    wish = g_new(LeaseWish, 1);
    *wish = (LeaseWish) { answer, answer_user };
    leases_acquire(parts->leases, vm, deadline_us, on_lease_answer, wish);
}

static void actions_lease_release(void *user, const char *vm)
{
    const Parts *parts = user;

    if (parts->leases != NULL)
        leases_release(parts->leases, vm);
}

/* A storage domain is a folder that all hosts have: its disks need not travel. */
static char **shared_folders(const HostSettings *settings)
{
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();

    for (char **folder = settings->shared_folders; folder != NULL && *folder != NULL; folder++)
        g_strv_builder_add(all, *folder);
    for (char **domain = settings->storage; domain != NULL && *domain != NULL; domain++) {
        const char *equals = strchr(*domain, '=');
        g_autofree char *folder = equals != NULL ? g_strndup(equals + 1, strcspn(equals + 1, ",")) : NULL;

        if (folder != NULL && *folder == '/')
            g_strv_builder_add(all, folder);
    }
    return g_strv_builder_end(all);
}

/* QEMUs on this machine: "qemu:///system", "qemu+unix:///system?socket=…". */
static bool is_here(const char *uri)
{
    return g_str_has_prefix(uri, "qemu:///") || g_str_has_prefix(uri, "qemu+unix:///");
}

static void start_libvirt(Parts *parts, const HostSettings *settings)
{
    const LibvirtOptions sight = { .rack = settings->rack,
                                   .power = settings->power,
                                   .switch_name = settings->switch_name,
                                   .labels = (const char *const *) settings->labels,
                                   .sample_period_us = settings->sample_us,
                                   .balloon_period_s = (unsigned) (settings->balloon_stats_us / US_PER_S),
                                   .storage_of = storage_of,
                                   .has_lease = settings->lease_storage != NULL ? has_lease : NULL,
                                   .add_numbers = add_numbers,
                                   .on_event = on_domain_event,
                                   .user = parts };
    g_auto(GStrv) shared = shared_folders(settings);
    const ConnectionListener listener = { .up = on_libvirt_up, .user = parts };
    const ActionsOptions options = { .connection = actions_connection,
                                     .proc = is_here(settings->libvirt_uri) ? "/proc" : NULL,
                                     .lease_acquire = actions_lease_acquire,
                                     .lease_release = actions_lease_release,
                                     .note = actions_note,
                                     .user = parts,
                                     .migration_uris = (const char *const *) settings->migrate_to,
                                     .shared_folders = (const char *const *) shared,
                                     .storage_folder = actions_storage_folder,
                                     .storage_of = actions_storage_of,
                                     .storage_failover = actions_storage_failover,
                                     .copy_bytes_per_s = (uint64_t) settings->copy_bytes_per_s,
                                     .post_copy = settings->post_copy,
                                     .evidence_bytes_max = (uint64_t) settings->evidence_bytes,
                                     .evidence_per_vm = (unsigned) settings->evidence_per_vm,
                                     .freeze_max_us = settings->freeze_max_us };
    const ExtendOptions extend = { settings->extend_hook, (uint64_t) settings->extend_low_bytes, settings->extend_timeout_us, actions_connection, parts };

    parts->intents = intents_new();
    parts->connection = connection_new(parts->host, settings->libvirt_uri);
    parts->libvirt = libvirt_new(parts->host, parts->connection, parts->intents, &sight);
    parts->actions = actions_new(parts->host, &options);
    parts->extend = extend_new(parts->host, &extend);
    connection_listen(parts->connection, &listener);
}

/* ---- ways into the guests ---- */

typedef struct Asking {
    ChannelsAnswerFn done;
    void *data;
} Asking;

static void on_agent_answer(AgentAskOutcome outcome, const char *answer, void *user)
{
    static const QgaOutcome outcomes[] = { [AGENT_ASK_ANSWERED] = QGA_ANSWERED, [AGENT_ASK_SILENT] = QGA_SILENT,
                                           [AGENT_ASK_REFUSED] = QGA_REFUSED, [AGENT_ASK_NOT_ASKED] = QGA_NOT_ASKED };
    g_autofree Asking *asking = user;

    asking->done(outcomes[outcome], answer, asking->data);
}

static void ask_agent(void *user, const char *vm, const char *command, int limit_s, ChannelsAnswerFn done, void *data)
{
    Parts *parts = user;
    Asking *asking = g_new(Asking, 1);

    *asking = (Asking) { done, data };
    agent_ask(parts->host, parts->connection, vm, command, limit_s, on_agent_answer, asking);
}

static void on_guest_channel(const GuestChannel *now, void *user)
{
    Parts *parts = user;

    channels_set(parts->channels, now->vm, now->agent, now->agent_connected, now->ovirt_path);
    if (parts->relay != NULL) {
        relay_set_channel(parts->relay, now->vm, now->bus_path);
        relay_set_cid(parts->relay, now->vm, now->cid);
    }
}

static bool start_guest_channels(Parts *parts, const HostSettings *s, GError **error)
{
    const RelayOptions options = { s->broker, (uint64_t) s->relay_bytes_per_s, (uint32_t) s->relay_vsock };

    if (!s->no_relay && (parts->relay = relay_new(&options, error)) == NULL)
        return false;
    parts->channels = channels_new(parts->host, ask_agent, parts);
    parts->guest_channels = guest_channels_new(parts->host, parts->connection, on_guest_channel, parts);
    return true;
}

/* ---- fencing ---- */

static bool start_fence(Parts *parts, const HostSettings *settings, GError **error)
{
    const FenceOptions options = { .file = settings->fencing,
                                   .check_us = settings->fencing_check_us,
                                   .kdump = settings->kdump,
                                   .kdump_port = (uint16_t) settings->kdump_port,
                                   .kdump_max_us = settings->kdump_max_us };

    parts->fence = fence_new(parts->host, &options, error);
    return parts->fence != NULL;
}

void parts_reload(Parts *parts)
{
    fence_reload(parts->fence);
}

/* ---- other hosts ---- */

static bool start_peers(Parts *parts, const HostSettings *s, GError **error)
{
    const PeersOptions options = { s->peer_listen, (const char *const *) s->peers, s->peer_key, s->peer_interval_us, (unsigned) s->peer_misses };

    if (s->peer_listen == NULL && (s->peers == NULL || s->peers[0] == NULL))
        return true;
    parts->peers = peers_new(parts->host, &options, error);
    return parts->peers != NULL;
}

/* ---- storage ---- */

static bool start_storage(Parts *parts, const HostSettings *s, GError **error)
{
    const StorageOptions options = { .domains = (const char *const *) s->storage,
                                     .program = "/proc/self/exe",
                                     .interval_us = s->storage_interval_us,
                                     .gone_us = s->storage_gone_us,
                                     .silent_us = s->storage_silent_us,
                                     .slow_us = s->storage_slow_us,
                                     .outlive = true,
                                     .full_percent = (unsigned) s->storage_full_percent,
                                     .error_percent = (unsigned) s->storage_error_percent,
                                     .paths = (unsigned) s->storage_paths };

    parts->storage = storage_new(parts->host, &options, error);
    return parts->storage != NULL;
}

static void *lease_eyes(void *user)
{
    const Parts *parts = user;

    return lease_eyes_new(connection_get(parts->connection), parts->proc, parts->lease_folder);
}

static bool start_leases(Parts *parts, const HostSettings *s, GError **error)
{
    const LeasesOptions options = { .folder = s->lease_storage != NULL ? storage_folder_named(parts->storage, s->lease_storage) : NULL,
                                    .program = "/proc/self/exe",
                                    .back = s->lease_backend,
                                    .valid_us = s->lease_valid_us,
                                    .io_max_us = s->lease_io_us,
                                    .eyes = lease_eyes,
                                    .look = lease_eyes_look,
                                    .wanted = lease_eyes_wanted,
                                    .changed = on_lease_changed,
                                    .user = parts };

    if (s->lease_storage == NULL)
        return true;
    if (options.folder == NULL) {
        g_set_error(error, LEASES_ERROR, LEASES_ERROR_SETTING, "--lease-storage %s: no --storage has that name", s->lease_storage);
        return false;
    }
    parts->lease_folder = options.folder;
    parts->proc = is_here(s->libvirt_uri) ? "/proc" : NULL;
    parts->leases = leases_new(parts->host, &options, error);
    return parts->leases != NULL;
}

/* ---- memory ---- */

static void start_memory(Parts *parts, const HostSettings *s)
{
    const MemoryOptions options = { .interval_us = s->sample_us };

    parts->memory = memory_new(parts->host, &options);
}

/* ---- all ---- */

Parts *parts_start(Host *host, const HostSettings *settings, GError **error)
{
    g_autoptr(Parts) parts = g_new0(Parts, 1);

    parts->host = host;
    start_libvirt(parts, settings);
    start_memory(parts, settings);
    if (!start_guest_channels(parts, settings, error) || !start_fence(parts, settings, error) || !start_peers(parts, settings, error) ||
        !start_storage(parts, settings, error) || !start_leases(parts, settings, error))
        return NULL;
    connection_start(parts->connection); /* everybody listens by now */
    return g_steal_pointer(&parts);
}

void parts_stop(Parts *parts)
{
    if (parts == NULL)
        return;
    memory_free(g_steal_pointer(&parts->memory));
    fence_free(parts->fence);
    leases_free(g_steal_pointer(&parts->leases));
    storage_free(parts->storage);
    peers_free(parts->peers);
    actions_free(parts->actions);
    extend_free(g_steal_pointer(&parts->extend));
    libvirt_free(parts->libvirt);
    connection_free(parts->connection);
    guest_channels_free(parts->guest_channels);
    channels_free(parts->channels);
    relay_free(parts->relay);
    intents_free(parts->intents);
    g_free(parts);
}
