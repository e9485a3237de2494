/* mend-host: sees and moves the virtual machines of this host, fences others, watches storage and memory. One process, one main loop;
 * what blocks runs in threads. It needs the bus only to talk: without it VMs stay as they are. */
#include "agents/common/agent_bus.h"
#include "agents/host/fence/fence_check.h"
#include "agents/host/fence/fencing_import.h"
#include "agents/host/host_private.h"
#include "agents/host/libvirt/qemu_process.h"
#include "agents/host/parts.h"
#include "agents/host/storage/lease_guard.h"
#include "agents/host/storage/lease_keeper.h"
#include "agents/host/storage/probe.h"
#include "lib/base/log.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PRODUCT "mend-host"

typedef struct Program {
    HostSettings settings;
    bool fence_check;       /* the verb, instead of being an agent */
    GMainLoop *loop;
    Identity *identity;
    CommandLedger *ledger;
    AgentBus *bus;
    Host *host;
    Parts *parts;
    bool stopping;
} Program;

static void on_online(bool online, void *user)
{
    Program *program = user;

    if (program->host != NULL)
        host_set_online(program->host, online);
}

static bool open_bus(Program *program, GError **error)
{
    static const char *const capabilities[] = { "control-queue", "commands", "hypervisor", NULL };
    const HostSettings *s = &program->settings;
    AgentBusOptions options = { .product = PRODUCT,
                                .broker = s->broker,
                                .credentials = s->credentials,
                                .site = s->site,
                                .user_prefix = "host-",
                                .anonymous = s->anonymous,
                                .heartbeat_us = s->heartbeat_us,
                                .capabilities = capabilities,
                                .on_online = on_online,
                                .user = program };

    program->identity = identity_load(s->data, s->id, "/", error);
    if (program->identity == NULL || (program->ledger = command_ledger_open(s->data, error)) == NULL)
        return false;
    options.identity = program->identity;
    options.ledger = program->ledger;
    program->bus = agent_bus_new(&options, error);
    return program->bus != NULL;
}

static bool start_parts(Program *program, GError **error)
{
    program->host = host_new(agent_bus_agent(program->bus), agent_bus_gate(program->bus), program->identity, program->settings.data);
    if (program->settings.broker == NULL) /* the relay wants it, too */
        program->settings.broker = g_strdup(agent_bus_url(program->bus));
    program->parts = parts_start(program->host, &program->settings, error);
    if (program->parts == NULL)
        return false;
    agent_bus_start(program->bus);
    return true;
}

static void on_closed(void *user)
{
    g_main_loop_quit(((Program *) user)->loop);
}

static gboolean on_reload(void *user)
{
    parts_reload(((Program *) user)->parts);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(void *user)
{
    Program *program = user;

    if (program->stopping) {
        g_main_loop_quit(program->loop);
        return G_SOURCE_CONTINUE;
    }
    program->stopping = true;
    log_notice("told to end; VMs are left as they are");
    agent_bus_close(program->bus, on_closed, program);
    return G_SOURCE_CONTINUE;
}

static void program_done(Program *program)
{
    parts_stop(program->parts);
    g_clear_pointer(&program->host, host_free);
    agent_bus_free(program->bus);
    command_ledger_close(program->ledger);
    identity_free(program->identity);
    g_clear_pointer(&program->loop, g_main_loop_unref);
    settings_done(host_settings, n_host_settings, &program->settings);
}

static bool read_settings(Program *program, char **argv, GError **error)
{
    g_auto(GStrv) rest = NULL;
    LogLevel level;

    if (!settings_read(host_settings, n_host_settings, &program->settings, argv, &rest, error))
        return false;
    program->fence_check = rest != NULL && g_strcmp0(rest[0], "fence-check") == 0 && rest[1] == NULL;
    if (rest != NULL && *rest != NULL && !program->fence_check) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "'%s' is not understood; --help shows what is", *rest);
        return false;
    }
    if (!log_level_parse(program->settings.log, &level)) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--log: '%s' is none of error, warning, notice, info, debug",
                    program->settings.log);
        return false;
    }
    log_open(PRODUCT, level);
    return true;
}

static int print_id(const HostSettings *settings)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *id = identity_id(settings->data, settings->id, "/", &error);

    if (id != NULL)
        printf("%s\n", id);
    else
        log_error("%s", error->message);
    return id != NULL ? 0 : 1;
}

static int run(Program *program, char **argv)
{
    g_autoptr(GError) error = NULL;

    if (!read_settings(program, argv, &error)) {
        log_error("%s", error->message);
        return 1;
    }
    if (program->settings.print_id)
        return print_id(&program->settings);
    if (program->fence_check)
        return fence_check(program->settings.fencing, NULL);
    if (program->settings.fencing_import != NULL)
        return fencing_import_print(program->settings.fencing_import, program->settings.fencing_secrets);
    if (!open_bus(program, &error) || !start_parts(program, &error)) {
        log_error("%s", error->message);
        return 1;
    }
    log_notice("%s, start %u", qmf_agent_name(agent_bus_agent(program->bus)), program->identity->epoch);
    g_unix_signal_add(SIGHUP, on_reload, program);
    g_unix_signal_add(SIGTERM, on_signal, program);
    g_unix_signal_add(SIGINT, on_signal, program);
    g_main_loop_run(program->loop);
    return 0;
}

/* For the guard of leases. */
static bool kill_vm(const char *vm)
{
    pid_t pid = qemu_process_find("/proc", vm);

    if (pid > 0)
        qemu_process_kill("/proc", pid, vm);
    return pid == 0;
}

int main(int argc, char **argv)
{
    Program program = { 0 };
    int status;

    if (argc > 1 && strcmp(argv[1], PROBE_VERB) == 0)
        return probe_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], LEASE_KEEPER_VERB) == 0)
        return lease_keeper_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], LEASE_FREE_VERB) == 0)
        return lease_free_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], LEASE_GUARD_VERB) == 0)
        return lease_guard_main(argc - 1, argv + 1, kill_vm);
    log_open(PRODUCT, LOG_LEVEL_INFO);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("mend-host [--settings FILE] [options]: sees and moves the virtual machines of this host for Mend\n"
               "mend-host fence-check [--fencing FILE]: asks every fence device now; ends with 1 when one is not well\n\n");
        settings_help(host_settings, n_host_settings);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    program.loop = g_main_loop_new(NULL, FALSE);
    status = run(&program, argv);
    program_done(&program);
    return status;
}
