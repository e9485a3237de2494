/* `mend up`: everything one machine needs, in one process: the bus with its plugin, the policy engine, and as children the guest agent and,
 * on a hypervisor, the host agent.
 *
 * The parts meet on the bus only, also here: the engine and the agent are AMQP clients with credentials of their own, so what runs in
 * one process today runs on three machines tomorrow without a change. */
#include "broker-plugin/hosts/embedded/site.h"
#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/machine.h"
#include "mend/bus.h"
#include "mend/child.h"
#include "mend/demo.h"
#include "mend/engine_thread.h"
#include "mend/foreground.h"
#include "mend/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AGENT_GRACE_US (5 * US_PER_S)
#define LIBVIRT_HERE "qemu:///system"

typedef struct UpSettings {
    BusSettings bus; /* first: its rows are ours too */
    char *policy, *log, *services_file, *libvirt_uri;
    char **services;
    int64_t keep_us, keep_bytes;
    bool no_agent, no_host_agent, stop_services, demo;
} UpSettings;

static const Setting own_rows[] = {
    { "policy", SETTING_STRING, offsetof(UpSettings, policy), 0, 0, NULL,
      "FILE with the policy; without one, every watched service that fails is restarted. SIGHUP reads it again" },
    { "keep", SETTING_DURATION, offsetof(UpSettings, keep_us), 0, RETENTION_MAX_US, "30d", "how long the policy engine's journal is kept; 0: for ever" },
    { "keep-bytes", SETTING_BYTES, offsetof(UpSettings, keep_bytes), 0, INT64_MAX, "1GiB", "how large that journal may grow; 0: as it will" },
    { "service", SETTING_LIST, offsetof(UpSettings, services), 0, 0, NULL,
      "SERVICE to watch on this machine (see mend-guest --help): systemd:nginx, process:web=/usr/sbin/nginx …" },
    { "services", SETTING_STRING, offsetof(UpSettings, services_file), 0, 0, NULL, "FILE of services to watch (YAML)" },
    { "no-agent", SETTING_BOOL, offsetof(UpSettings, no_agent), 0, 0, NULL, "no guest agent on this machine" },
    { "libvirt-uri", SETTING_STRING, offsetof(UpSettings, libvirt_uri), 0, 0, NULL,
      "URI of the libvirt whose VMs the host agent sees and moves; without it " LIBVIRT_HERE ", where that is there" },
    { "no-host-agent", SETTING_BOOL, offsetof(UpSettings, no_host_agent), 0, 0, NULL, "no host agent, also where libvirt is" },
    { "stop-services", SETTING_BOOL, offsetof(UpSettings, stop_services), 0, 0, NULL,
      "at the end, also end the processes the guest agent runs" },
    { "demo", SETTING_BOOL, offsetof(UpSettings, demo), 0, 0, NULL,
      "kill a service in a folder of its own, show what happens, end; exit status 0: it came back" },
    { "log", SETTING_STRING, offsetof(UpSettings, log), 0, 0, "info", "LEVEL error, warning, notice, info or debug" },
};

typedef struct Up {
    const UpSettings *settings;
    Bus *bus;
    EngineThread *engine;
    Child *agent, *host_agent;
} Up;

static EngineThread *start_engine(const UpSettings *settings, GError **error)
{
    g_autoptr(Credentials) credentials = credentials_find("engine", settings->bus.broker.data, error);

    if (credentials == NULL)
        return NULL;
    g_autofree char *folder = g_build_filename(credentials_folder(settings->bus.broker.data), "policy", NULL);
    const PolicydOptions options = { .url = credentials->url, .user = credentials->user, .password = credentials->password,
                                     .ca_file = credentials->ca_file, .data = folder, .policy_path = settings->policy,
                                     .keep = { settings->keep_us, settings->keep_bytes } };
    return engine_thread_new(&options, error);
}

/* An agent's program lies beside ours. @without: the option that does without it. */
static char *agent_program(const char *name, const char *without, GError **error)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", error);

    if (self == NULL)
        return NULL;
    g_autofree char *folder = g_path_get_dirname(self);
    char *path = g_build_filename(folder, name, NULL);
    if (access(path, X_OK) == 0)
        return path;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "%s is not there: install it, or use %s", path, without);
    g_free(path);
    return NULL;
}

/* The ID the site gave this machine where it has none of its own, as in a bare container; NULL: it has one. */
static char *given_id(const char *folder)
{
    g_autofree char *own = machine_uuid("/"), *path = g_build_filename(folder, SITE_MACHINE_FILE, NULL);

    return own == NULL ? file_read_line(path, 64, NULL) : NULL;
}

static void add_services(GPtrArray *argv, const UpSettings *settings)
{
    if (settings->services_file != NULL)
        g_ptr_array_add(argv, g_strdup_printf("--services=%s", settings->services_file));
    for (char **service = settings->services; service != NULL && *service != NULL; service++)
        g_ptr_array_add(argv, g_strdup_printf("--service=%s", *service));
}

/* The agent reads its services before anything starts: a child that cannot would be started again for ever. Any ID does, none is kept. */
static bool services_right(const UpSettings *settings, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    char *program = agent_program("mend-guest", "--no-agent", error);
    g_autofree char *said = NULL;
    int status;

    if (program == NULL)
        return false;
    g_ptr_array_add(argv, program);
    g_ptr_array_add(argv, g_strdup("--print-id"));
    g_ptr_array_add(argv, g_strdup("--id=00000000-0000-4000-8000-000000000000"));
    add_services(argv, settings);
    g_ptr_array_add(argv, NULL);
    if (!g_spawn_sync(NULL, (char **) argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &said, NULL, &status, error))
        return false;
    if (status == 0)
        return true;
    fputs(said, stderr);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the guest agent refuses its services; nothing was started");
    return false;
}

static void add_site(GPtrArray *argv, const UpSettings *settings, const char *data)
{
    const char *folder = credentials_folder(settings->bus.broker.data);
    g_autofree char *id = given_id(folder);

    g_ptr_array_add(argv, g_strdup_printf("--site=%s", folder));
    g_ptr_array_add(argv, g_strdup_printf("--data=%s/%s", folder, data));
    g_ptr_array_add(argv, g_strdup_printf("--log=%s", settings->log));
    if (id != NULL)
        g_ptr_array_add(argv, g_strdup_printf("--id=%s", id));
}

/* The socket of libvirtd, or of its part for QEMU where that is a daemon of its own. */
static bool libvirt_is_here(void)
{
    static const char *const sockets[] = { "/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock" };

    for (size_t i = 0; i < G_N_ELEMENTS(sockets); i++)
        if (access(sockets[i], F_OK) == 0)
            return true;
    return false;
}

/* *ret: NULL where none is wanted. */
static bool start_host_agent(const UpSettings *settings, Child **ret, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    char *program = NULL;

    *ret = NULL;
    if (settings->no_host_agent || (settings->libvirt_uri == NULL && !libvirt_is_here()))
        return true;
    program = agent_program("mend-host", "--no-host-agent", error);
    if (program == NULL)
        return false;
    g_ptr_array_add(argv, program);
    add_site(argv, settings, "host");
    g_ptr_array_add(argv, g_strdup_printf("--libvirt-uri=%s", settings->libvirt_uri != NULL ? settings->libvirt_uri : LIBVIRT_HERE));
    g_ptr_array_add(argv, NULL);
    *ret = child_new((const char *const *) argv->pdata, error);
    return *ret != NULL;
}

static Child *start_agent(const UpSettings *settings, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    char *program = agent_program("mend-guest", "--no-agent", error);

    if (program == NULL)
        return NULL;
    g_ptr_array_add(argv, program);
    add_site(argv, settings, "guest");
    if (settings->stop_services)
        g_ptr_array_add(argv, g_strdup("--stop-at-exit"));
    add_services(argv, settings);
    g_ptr_array_add(argv, NULL);
    return child_new((const char *const *) argv->pdata, error);
}

static void reload(void *user)
{
    Up *up = user;
    g_autoptr(GError) error = NULL;

    if (engine_thread_reload(up->engine, &error))
        log_notice("the policy was read again");
    else
        log_warning("the policy stays as it was: %s", error->message);
}

static void report(void *user)
{
    Up *up = user;
    g_autoptr(json_t) statistics = bus_statistics(up->bus);
    g_autofree char *text = json_pretty(statistics);

    fprintf(stderr, "%s\n", text);
}

static void stop(Up *up)
{
    child_free(up->host_agent, AGENT_GRACE_US);
    child_free(up->agent, AGENT_GRACE_US);
    engine_thread_free(up->engine);
    bus_stop(up->bus);
}

static bool start(Up *up, GError **error)
{
    if (!up->settings->no_agent && !services_right(up->settings, error))
        return false;
    up->bus = bus_start(&up->settings->bus, error);
    if (up->bus == NULL)
        return false;
    up->engine = start_engine(up->settings, error);
    if (up->engine == NULL)
        return false;
    if (!up->settings->no_agent && (up->agent = start_agent(up->settings, error)) == NULL)
        return false;
    return start_host_agent(up->settings, &up->host_agent, error);
}

static int run(const UpSettings *settings)
{
    g_autoptr(GError) error = NULL;
    Up up = { .settings = settings };

    if (!start(&up, &error)) {
        fprintf(stderr, "mend up: %s\n", error->message);
        stop(&up);
        return 1;
    }
    printf("mend up: listening on %s\n", bus_listening(up.bus));
    printf("mend up: site folder %s; try: mend status, mend events --follow, mend why SERVICE\n",
           credentials_folder(settings->bus.broker.data));
    fflush(stdout);
    foreground_run(reload, report, &up);
    stop(&up);
    return 0;
}

int verb_up(char **argv)
{
    g_autoptr(GArray) rows = bus_settings_rows(own_rows, G_N_ELEMENTS(own_rows));
    UpSettings settings = { 0 };
    LogLevel level = LOG_LEVEL_INFO;
    int status;

    if (!foreground_settings("up", "usage: mend up [options]\n\nRuns all of Mend for this machine in the foreground: message broker with "
                             "its plugin, policy engine,\nguest agent and, where libvirt is, host agent. SIGTERM or Ctrl-C ends it; watched services go on running.\n",
                             rows, &settings, argv, NULL, &status))
        return status;
    if (!log_level_parse(settings.log, &level)) {
        fprintf(stderr, "mend up: log: \"%s\" is none of error, warning, notice, info, debug\n", settings.log);
        status = 2;
    } else {
        log_open("mend up", level);
        status = settings.demo ? demo_run() : run(&settings);
    }
    settings_done((const Setting *) (const void *) rows->data, rows->len, &settings);
    return status;
}
