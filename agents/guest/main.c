/* mend-guest: watches the services of the machine it runs in, tells the bus, and acts on commands. One process, one main loop. It needs
 * the bus only to talk: without it services stay as they are, and what changed meanwhile is told when it is back. */
#include "agents/common/agent_bus.h"
#include "agents/guest/classes.h"
#include "agents/guest/deny_list.h"
#include "agents/guest/extras.h"
#include "agents/guest/guest_settings.h"
#include "agents/guest/services/memory.h"
#include "agents/guest/services/notify.h"
#include "agents/guest/services/systemd.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PRODUCT "mend-guest"
#define STOP_US (10 * US_PER_S)

typedef struct Guest {
    GuestSettings settings;
    GMainLoop *loop;
    Identity *identity;
    CommandLedger *ledger;
    ServiceHost host;
    Lanes *lanes;
    AgentBus *bus;
    ClassContext context;
    GuestClass *guest_class;
    HostClass *host_class;
    ServicesClass *services_class;
    ResourcesClass *resources_class;
    Extras *extras;
    bool stopping;
    unsigned stops; /* of processes, still to end */
} Guest;

/* ---- the bus ---- */

static void on_heartbeat(QmfAgent *agent, void *user)
{
    Guest *guest = user;

    if (guest->context.watched == NULL)
        return;
    qmf_agent_set_attribute(agent, "mend.services", watch_list_digest(guest->context.watched));
    qmf_agent_set_attribute(agent, "mend.event_sequence", value_uint(VALUE_UINT64, watch_list_event_sequence(guest->context.watched)));
}

static void on_online(bool online, void *user)
{
    Guest *guest = user;

    if (guest->context.watched == NULL)
        return;
    watch_list_set_online(guest->context.watched, online);
    host_class_set_online(guest->host_class, online);
    resources_class_set_online(guest->resources_class, online);
    extras_set_online(guest->extras, online);
}

static bool connect_bus(Guest *guest, GError **error)
{
    static const char *const capabilities[] = {"control-queue", "service-events", "commands", NULL};
    const GuestSettings *s = &guest->settings;
    const AgentBusOptions options = {.product = PRODUCT,
                                     .broker = s->broker,
                                     .credentials = s->credentials,
                                     .site = s->site,
                                     .user_prefix = "agent-",
                                     .anonymous = s->anonymous,
                                     .heartbeat_us = s->heartbeat_us,
                                     .capabilities = capabilities,
                                     .identity = guest->identity,
                                     .ledger = guest->ledger,
                                     .on_online = on_online,
                                     .on_heartbeat = on_heartbeat,
                                     .user = guest};

    guest->bus = agent_bus_new(&options, error);
    return guest->bus != NULL;
}

/* ---- start ---- */

static bool open_state(Guest *guest, GError **error)
{
    const GuestSettings *s = &guest->settings;
    g_autofree char *memory = g_build_filename(s->data, "services", NULL), *socket = g_build_filename(s->data, "notify", NULL);

    guest->identity = identity_load(s->data, s->id, "/", error);
    if (guest->identity == NULL)
        return false;
    guest->ledger = command_ledger_open(s->data, error);
    guest->host = (ServiceHost){.ocf_root = s->ocf_root, .init_dir = s->init_dir, .systemd = systemd_new(s->systemd_bus)};
    guest->lanes = lanes_new();
    return guest->ledger != NULL && (guest->host.memory = memory_new(memory, error)) != NULL &&
           (guest->host.notify = notify_socket_new(socket, error)) != NULL;
}

static bool is_denied(const QmfClass *class, const char *member, void *user)
{
    return deny_list_has(((const GuestSettings *) user)->deny, class, member);
}

static bool start_classes(Guest *guest, GPtrArray *specs, GError **error)
{
    const GuestSettings *s = &guest->settings;
    const WatchListOptions options = {agent_bus_agent(guest->bus), &guest->host, guest->lanes, s->data, guest->identity};

    guest->context = (ClassContext){.agent = agent_bus_agent(guest->bus), .gate = agent_bus_gate(guest->bus), .identity = guest->identity,
                                    .watched = watch_list_new(&options), .host = &guest->host, .lanes = guest->lanes, .data = s->data,
                                    .allow_power = s->allow_power, .allow_remote_commands = s->allow_remote_commands,
                                    .power_profiles = s->power_profiles,
                                    .update_interval_s = (uint32_t) (s->update_interval_us / US_PER_S),
                                    .writables = g_array_new(FALSE, FALSE, sizeof(Writable)),
                                    .own_classes = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_class_free)};
    if (s->deny != NULL && *s->deny != NULL)
        qmf_agent_deny(guest->context.agent, is_denied, MH_DENIED, &guest->settings);
    guest->guest_class = guest_class_new(&guest->context);
    guest->host_class = host_class_new(&guest->context);
    guest->services_class = services_class_new(&guest->context);
    guest->resources_class = resources_class_new(&guest->context);
    guest->extras = extras_new(&guest->context, s, error);
    if (guest->extras == NULL)
        return false;
    for (guint i = 0; i < specs->len; i++)
        if (!watch_list_add(guest->context.watched, g_steal_pointer(&specs->pdata[i]), false, error))
            return false;
    watch_list_load(guest->context.watched);
    agent_bus_start(guest->bus);
    return true;
}

/* ---- end ---- */

static void on_closed(void *user)
{
    g_main_loop_quit(((Guest *) user)->loop);
}

/* Open operations are answered as interrupted. */
static void finish(Guest *guest)
{
    g_clear_pointer(&guest->context.watched, watch_list_free);
    g_clear_pointer(&guest->extras, extras_free);
    g_clear_pointer(&guest->resources_class, resources_class_free);
    g_clear_pointer(&guest->services_class, services_class_free);
    g_clear_pointer(&guest->host_class, host_class_free);
    g_clear_pointer(&guest->guest_class, guest_class_free);
    agent_bus_close(guest->bus, on_closed, guest);
}

static void on_stopped(Service *service, int rc, const char *text, void *user)
{
    Guest *guest = user;

    if (rc != OCF_CANCELLED && --guest->stops == 0)
        finish(guest);
}

static void stop_processes(Guest *guest, GPtrArray *names)
{
    for (guint i = 0; i < names->len; i++) {
        Service *service = watch_list_find(guest->context.watched, names->pdata[i]);

        if (service != NULL && strcmp(service_spec(service)->standard, "process") == 0) {
            guest->stops++;
            service_act(service, "stop", INTENT_SHUTDOWN, clock_now_us() + STOP_US, on_stopped, guest);
        }
    }
}

static gboolean on_signal(void *user)
{
    Guest *guest = user;

    if (guest->stopping) {
        g_main_loop_quit(guest->loop);
        return G_SOURCE_CONTINUE;
    }
    guest->stopping = true;
    log_notice("told to end; services are left as they are%s", guest->settings.stop_at_exit ? ", but for our own processes" : "");
    if (guest->settings.stop_at_exit) {
        g_autoptr(GPtrArray) names = watch_list_all_names(guest->context.watched);

        stop_processes(guest, names);
    }
    if (guest->stops == 0)
        finish(guest);
    return G_SOURCE_CONTINUE;
}

static void guest_done(Guest *guest)
{
    watch_list_free(g_steal_pointer(&guest->context.watched));
    extras_free(guest->extras);
    resources_class_free(guest->resources_class);
    services_class_free(guest->services_class);
    host_class_free(guest->host_class);
    guest_class_free(guest->guest_class);
    agent_bus_free(guest->bus);
    g_clear_pointer(&guest->context.own_classes, g_ptr_array_unref);
    g_clear_pointer(&guest->context.writables, g_array_unref);
    lanes_free(guest->lanes);
    systemd_free(guest->host.systemd);
    notify_socket_free(guest->host.notify);
    memory_free(guest->host.memory);
    command_ledger_close(guest->ledger);
    identity_free(guest->identity);
    g_clear_pointer(&guest->loop, g_main_loop_unref);
    settings_done(guest_settings, n_guest_settings, &guest->settings);
}

static bool read_settings(Guest *guest, char **argv, GPtrArray **ret_specs, GError **error)
{
    g_auto(GStrv) rest = NULL;
    LogLevel level;

    if (!settings_read(guest_settings, n_guest_settings, &guest->settings, argv, &rest, error))
        return false;
    if (rest != NULL && *rest != NULL) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "'%s' is not understood; --help shows what is", *rest);
        return false;
    }
    if (!log_level_parse(guest->settings.log, &level)) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--log: '%s' is none of error, warning, notice, info, debug",
                    guest->settings.log);
        return false;
    }
    log_open("mend-guest", level);
    if (!deny_list_check(guest->settings.deny, error))
        return false;
    *ret_specs = guest_settings_services(&guest->settings, error);
    return *ret_specs != NULL;
}

static bool print_id(const GuestSettings *settings)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *id = identity_id(settings->data, settings->id, "/", &error);

    if (id != NULL)
        printf("%s\n", id);
    else
        log_error("%s", error->message);
    return id != NULL;
}

static bool help_wanted(char **argv)
{
    for (char **arg = argv + 1; *arg != NULL; arg++)
        if (strcmp(*arg, "--help") == 0 || strcmp(*arg, "-h") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    Guest guest = {0};
    g_autoptr(GPtrArray) specs = NULL;
    g_autoptr(GError) error = NULL;

    log_open("mend-guest", LOG_LEVEL_INFO);
    if (help_wanted(argv)) {
        printf("mend-guest [--settings FILE] [options]: watches the services of this machine for Mend\n\n");
        settings_help(guest_settings, n_guest_settings);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    guest.loop = g_main_loop_new(NULL, FALSE);
    if (read_settings(&guest, argv, &specs, &error) && guest.settings.print_id) {
        bool printed = print_id(&guest.settings);

        guest_done(&guest);
        return printed ? 0 : 1;
    }
    if (error != NULL || !open_state(&guest, &error) || !connect_bus(&guest, &error) ||
        !start_classes(&guest, specs, &error)) {
        log_error("%s", error->message);
        guest_done(&guest);
        return 1;
    }
    log_notice("%s, start %u, watches %u services", qmf_agent_name(agent_bus_agent(guest.bus)), guest.identity->epoch, specs->len);
    g_unix_signal_add(SIGTERM, on_signal, &guest);
    g_unix_signal_add(SIGINT, on_signal, &guest);
    g_main_loop_run(guest.loop);
    guest_done(&guest);
    return 0;
}
