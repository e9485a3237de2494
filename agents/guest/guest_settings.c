#include "agents/guest/guest_settings.h"

#include "agents/common/agent_bus.h"
#include "lib/base/clock.h"

#include <string.h>

#define SERVICES_FILE "/etc/mend/services.yaml"

#define AT(field) offsetof(GuestSettings, field)
const Setting guest_settings[] = {
    {"broker", SETTING_STRING, AT(broker), 0, 0, NULL, "URL of the broker; from the credentials, or amqp://127.0.0.1:5672"},
    {"credentials", SETTING_STRING, AT(credentials), 0, 0, NULL,
     "FILE with user and password, as 'mend enrol' printed it; " AGENT_CREDENTIALS " when it exists"},
    {"site", SETTING_STRING, AT(site), 0, 0, NULL, "FOLDER of a broker on this machine, to find its credentials; $MEND_DATA or /var/lib/mend"},
    {"anonymous", SETTING_BOOL, AT(anonymous), 0, 0, NULL, "connect without a name (a broker must allow it)"},
    {"id", SETTING_STRING, AT(id), 0, 0, NULL, "UUID of this machine; its SMBIOS UUID, in a container its machine-id"},
    {"print-id", SETTING_BOOL, AT(print_id), 0, 0, NULL, "print the UUID this machine is known by, and end"},
    {"data", SETTING_STRING, AT(data), 0, 0, "/var/lib/mend-guest", "FOLDER for what must survive a restart"},
    {"service", SETTING_LIST, AT(services), 0, 0, NULL,
     "SERVICE to watch: systemd:UNIT, lsb:SCRIPT, ocf:PROVIDER:AGENT[:NAME][?KEY=VALUE&...], process:NAME=COMMAND, tcp:NAME=HOST:PORT, "
     "http:NAME=URL"},
    {"services", SETTING_STRING, AT(services_file), 0, 0, NULL, "FILE of services to watch (YAML); " SERVICES_FILE " when it exists"},
    {"heartbeat", SETTING_DURATION, AT(heartbeat_us), US_PER_S, US_PER_HOUR, "5s", "time between two heartbeats"},
    {"update-interval", SETTING_DURATION, AT(update_interval_us), 0, US_PER_HOUR, "5s",
     "time between two heartbeat events of Matahari's Host, and readings of its statistics; 0 stops them"},
    {"allow-power", SETTING_BOOL, AT(allow_power), 0, 0, NULL, "carry out Host.shutdown and Host.reboot"},
    {"allow-remote-commands", SETTING_BOOL, AT(allow_remote_commands), 0, 0, NULL,
     "let Guest.monitor bring programs of its own (exec, process)"},
    {"power-profile", SETTING_LIST, AT(power_profiles), 0, 0, NULL,
     "PROFILE of tuned that Host.set_power_profile may choose (* and ? as in a shell)"},
    {"network", SETTING_BOOL, AT(network), 0, 0, NULL, "have Matahari's class Network, which tells of the network interfaces"},
    {"network-allow", SETTING_LIST, AT(network_allow), 0, 0, NULL,
     "INTERFACE that Network.start and stop may bring up and down (* and ? as in a shell)"},
    {"network-allow-bus", SETTING_BOOL, AT(network_allow_bus), 0, 0, NULL,
     "let Network.stop take down even the interface the bus goes over"},
    {"sysconfig", SETTING_BOOL, AT(sysconfig), 0, 0, NULL, "have Matahari's class Sysconfig, which configures the machine once for each key"},
    {"sysconfig-allow", SETTING_LIST, AT(sysconfig_allow), 0, 0, NULL,
     "SCHEME that Sysconfig may use: puppet, augeas (both can do all that root can), query (reads the configuration by augeas)"},
    {"sysconfig-uri", SETTING_LIST, AT(sysconfig_uris), 0, 0, NULL,
     "PLACE that Sysconfig.run_uri may fetch from, and below it: https://HOST/PATH, http, ftp, file:///PATH, puppet://HOST"},
    {"sysconfig-keys", SETTING_STRING, AT(sysconfig_keys), 0, 0, NULL, "FOLDER of what Sysconfig remembers; sysconfig-keys in --data"},
    {"sysconfig-timeout", SETTING_DURATION, AT(sysconfig_timeout_us), US_PER_S, US_PER_HOUR, "10m", "time that one run may take"},
    {"rpc-plugins", SETTING_STRING, AT(rpc_plugins), 0, 0, NULL,
     "FOLDER of Python plug-ins whose public functions the bus may call; root's own, or there are none"},
    {"rpc-user", SETTING_STRING, AT(rpc_user), 0, 0, NULL, "USER the plug-ins run as; the agent's"},
    {"rpc-timeout", SETTING_DURATION, AT(rpc_timeout_us), US_PER_MS, US_PER_HOUR, "1m", "time that one call of a plug-in may take"},
    {"rpc-idle", SETTING_DURATION, AT(rpc_idle_us), 0, 24 * US_PER_HOUR, "10m", "time without a call after which the plug-ins' process is ended; 0: never"},
    {"dbus-bridge", SETTING_BOOL, AT(dbus_bridge), 0, 0, NULL, "have Matahari's class DBusBridge, which shows D-Bus services on the bus"},
    {"dbus-allow", SETTING_LIST, AT(dbus_allow), 0, 0, NULL,
     "BUS/INTERFACE.MEMBER that the bridge may call, hear (signals) or read and write (members Get, Set); * and ? as in a shell"},
    {"dbus-address", SETTING_STRING, AT(dbus_address), 0, 0, NULL, "ADDRESS of the D-Bus the bridge is for; the system bus"},
    {"deny", SETTING_LIST, AT(deny), 0, 0, NULL,
     "MEMBER nobody on the bus may use: org.matahariproject.CLASS.MEMBER, a method or property (* and ? as in a shell)"},
    {"stop-at-exit", SETTING_BOOL, AT(stop_at_exit), 0, 0, NULL, "stop the processes it runs when the agent is told to end"},
    {"ocf-root", SETTING_STRING, AT(ocf_root), 0, 0, "/usr/lib/ocf", "FOLDER of OCF agents"},
    {"init-dir", SETTING_STRING, AT(init_dir), 0, 0, "/etc/init.d", "FOLDER of LSB scripts"},
    {"systemd-bus", SETTING_STRING, AT(systemd_bus), 0, 0, NULL, "ADDRESS of the D-Bus systemd is on; the system bus"},
    {"log", SETTING_STRING, AT(log), 0, 0, "info", "LEVEL: error, warning, notice, info or debug"},
};
#undef AT
const size_t n_guest_settings = G_N_ELEMENTS(guest_settings);

static bool add_short_form(GPtrArray *specs, const char *text, GError **error)
{
    g_autoptr(ServiceSpec) spec = service_spec_parse(text, error);

    if (spec == NULL) {
        g_prefix_error(error, "--service: ");
        return false;
    }
    for (guint i = 0; i < specs->len; i++)
        if (strcmp(((ServiceSpec *) specs->pdata[i])->name, spec->name) == 0) {
            g_set_error(error, SPEC_ERROR, SPEC_ERROR_INVALID, "--service: '%s': there is a service '%s' already", text, spec->name);
            return false;
        }
    g_ptr_array_add(specs, g_steal_pointer(&spec));
    return true;
}

GPtrArray *guest_settings_services(const GuestSettings *settings, GError **error)
{
    const char *file = settings->services_file;
    g_autoptr(GPtrArray) specs = NULL;

    if (file == NULL && g_file_test(SERVICES_FILE, G_FILE_TEST_EXISTS))
        file = SERVICES_FILE;
    specs = file != NULL ? service_specs_load(file, error) : g_ptr_array_new_with_free_func((GDestroyNotify) service_spec_free);
    if (specs == NULL)
        return NULL;
    for (char **text = settings->services; text != NULL && *text != NULL; text++)
        if (!add_short_form(specs, *text, error))
            return NULL;
    return g_steal_pointer(&specs);
}
