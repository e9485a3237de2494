/* mend-bridge ovirt-engine: the hosts and VMs of an oVirt engine on the bus, through its REST API (docs/bridge-ovirt.md). */
#include "bridges/ovirt/ovirt_site.h"

#include "bridges/common/http.h"
#include "lib/base/log.h"

#include <string.h>

#define AT(field) offsetof(OvirtSettings, field)
static const Setting rows[] = {
    { "url", SETTING_STRING, AT(url), 0, 0, NULL, "URL of the engine: https://engine.example.org/ovirt-engine" },
    { "ca", SETTING_STRING, AT(ca_file), 0, 0, NULL, "FILE with the engine's CA certificate (PEM); without: whom this machine trusts" },
    { "user", SETTING_STRING, AT(user), 0, 0, "admin@internal", "USER@PROFILE of oVirt; wants the role UserVmManager on the VMs, HostAdmin to fence" },
    { "password-file", SETTING_STRING, AT(password_file), 0, 0, NULL, "FILE with its password, not readable by others; read at each login" },
    { "basic", SETTING_BOOL, AT(basic), 0, 0, NULL, "send name and password with each request, for engines without single sign-on" },
    { "timeout", SETTING_DURATION, AT(timeout_us), US_PER_S / 10, 10 * US_PER_MINUTE, "30s", "how long one request may take" },
    { "poll", SETTING_DURATION, AT(poll_us), US_PER_S / 10, US_PER_MINUTE, "2s", "time between two questions for new events" },
    { "inventory", SETTING_DURATION, AT(inventory_us), US_PER_S / 10, US_PER_HOUR, "30s", "the lists of hosts and VMs are read this often, and after events" },
    { "requests-per-second", SETTING_INTEGER, AT(per_s), 1, 1000, "20", "at most so many, further ones wait" },
    { "ha", SETTING_STRING, AT(ha), 0, 0, "ovirt", "WHO restarts VMs that are highly available in oVirt: ovirt or mend" },
    { "fence", SETTING_STRING, AT(fence), 0, 0, "ovirt", "WHO fences oVirt's hosts: ovirt or mend" },
    { "tell", SETTING_BOOL, AT(tell), 0, 0, "true", "show in oVirt, as its events, what Mend did to its VMs and hosts" },
    { "tell-credentials", SETTING_STRING, AT(tell_credentials), 0, 0, NULL, "FILE with the broker's user 'observer', to know of it; without: those of --site" },
    { "tell-per-minute", SETTING_INTEGER, AT(tell_per_minute), 1, 6000, "30", "such events at most; further ones wait, very many are dropped" },
};

static void site_free(OvirtSite *site)
{
    ovirt_commands_end(site, NULL, "the bridge ends");
    ovirt_fence_end(site, NULL, "the bridge ends");
    g_clear_pointer(&site->watch, ovirt_watch_free);
    g_clear_pointer(&site->said, ovirt_said_free);
    g_hash_table_unref(site->hosts);
    g_hash_table_unref(site->vms);
    g_hash_table_unref(site->deeds);
    g_hash_table_unref(site->boots);
    g_ptr_array_unref(site->fencings);
    ovirt_api_free(site->api);
    g_free(site->away);
    g_free(site);
}

static bool settings_are_good(const OvirtSettings *s, GError **error)
{
    const struct { const char *name, *value; } words[] = { { "ha", s->ha }, { "fence", s->fence } }, needed[] = { { "url", s->url }, { "password-file", s->password_file } };

    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++)
        if (needed[i].value == NULL) {
            g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--%s is missing (mend-bridge ovirt-engine --help)", needed[i].name);
            return false;
        }
    if (!http_url_is_private(s->url)) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--url: %s would send the password in the clear: https wanted", s->url);
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i].value, "ovirt") != 0 && strcmp(words[i].value, "mend") != 0) {
            g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--%s: '%s' is neither ovirt nor mend", words[i].name, words[i].value);
            return false;
        }
    return true;
}

static void start_telling(OvirtSite *site)
{
    g_autoptr(GError) error = NULL;

    if (site->settings->tell && (site->said = ovirt_said_new(site, &error)) == NULL)
        log_notice("oVirt is not told what Mend does: %s", error->message);
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    const OvirtSettings *s = settings;
    const OvirtApiOptions options = { .url = s->url, .ca_file = s->ca_file, .user = s->user, .password_file = s->password_file, .basic = s->basic,
                                      .timeout_us = s->timeout_us, .per_s = (unsigned) s->per_s };
    OvirtApi *api = settings_are_good(s, error) ? ovirt_api_new(&options, error) : NULL;
    OvirtSite *site;

    if (api == NULL)
        return NULL;
    site = g_new0(OvirtSite, 1);
    site->bridge = bridge;
    site->settings = s;
    site->api = api;
    site->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) site_host_free);
    site->vms = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) site_vm_free);
    site->deeds = g_hash_table_new(NULL, NULL);
    site->boots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    site->fencings = g_ptr_array_new();
    site->watch = ovirt_watch_new(site, bridge_data(bridge), error);
    if (site->watch == NULL) {
        site_free(site);
        return NULL;
    }
    start_telling(site);
    return site;
}

static void end(void *state)
{
    OvirtSite *site = state;
    GHashTableIter iter;
    void *host;

    g_clear_pointer(&site->watch, ovirt_watch_free);
    g_clear_pointer(&site->said, ovirt_said_free);
    ovirt_commands_end(site, NULL, "the bridge was told to end");
    ovirt_fence_end(site, NULL, "the bridge was told to end");
    g_hash_table_iter_init(&iter, site->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &host)) {
        ovirt_call_drop(g_steal_pointer(&((SiteHost *) host)->boot_call));
        if (((SiteHost *) host)->agent != NULL)
            bridge_agent_close(((SiteHost *) host)->agent);
    }
}

static void stop(void *state) { site_free(state); }

const BridgeSystem bridge_ovirt = { .name = "ovirt-engine", .about = "an oVirt engine: its hosts and virtual machines", .rows = rows,
                                    .n_rows = G_N_ELEMENTS(rows), .settings_bytes = sizeof(OvirtSettings), .start = start, .close = end, .stop = stop };
