/* mend-bridge deltacloud: the instances of a cloud behind a Deltacloud server on the bus (docs/bridge-deltacloud.md). */
#include "bridges/deltacloud/deltacloud_site.h"

#include "lib/base/log.h"

#include <string.h>

#define AT(field) offsetof(DeltacloudSettings, field)
static const Setting rows[] = {
    { "url", SETTING_STRING, AT(url), 0, 0, "http://127.0.0.1:3001/api", "URL of the server's API" },
    { "ca", SETTING_STRING, AT(ca_file), 0, 0, NULL, "FILE with the CA certificate of the server (PEM); without: whom this machine trusts" },
    { "user", SETTING_STRING, AT(user), 0, 0, NULL, "NAME to log in as: the cloud's own, for most drivers" },
    { "password-file", SETTING_STRING, AT(password_file), 0, 0, NULL, "FILE with its password, not readable by others; read at each request" },
    { "driver", SETTING_STRING, AT(driver), 0, 0, NULL, "NAME of the driver, where the server has several" },
    { "provider", SETTING_STRING, AT(provider), 0, 0, NULL, "NAME of the driver's provider (region)" },
    { "id", SETTING_STRING, AT(id), 0, 0, NULL, "UUID of the cloud as a host on the bus; without: made from --url, --driver and --provider" },
    { "name", SETTING_STRING, AT(name), 0, 0, NULL, "NAME of it, for people; without: the server's host name" },
    { "stopped", SETTING_STRING, AT(stopped), 0, 0, "unknown", "an instance that stops without Mend is taken as: unknown (a person may have) or crashed" },
    { "destroy", SETTING_BOOL, AT(destroy), 0, 0, NULL, "allow vm_undefine, which destroys an instance and its disks" },
    { "timeout", SETTING_DURATION, AT(timeout_us), US_PER_S / 10, 10 * US_PER_MINUTE, "30s", "how long one request may take" },
    { "poll", SETTING_DURATION, AT(poll_us), US_PER_S / 10, US_PER_HOUR, "5s", "time between two readings of the list of instances" },
    { "requests-per-second", SETTING_INTEGER, AT(per_s), 1, 1000, "10", "at most so many, further ones wait" },
};

static const char *const capabilities[] = { "control-queue", "commands", "hypervisor", NULL };

static void site_free(DeltacloudSite *site)
{
    g_clear_pointer(&site->watch, deltacloud_watch_free);
    deltacloud_commands_end(site, "the bridge ends");
    host_free(site->host);
    bridge_agent_free(site->agent);
    http_free(site->http);
    deltacloud_login_free(site->login);
    g_hash_table_unref(site->deeds);
    g_hash_table_unref(site->vms);
    value_unref(site->told_up);
    g_free(site->name);
    g_free(site);
}

static bool is_wrong(GError **error, const char *text)
{
    g_set_error_literal(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, text);
    return false;
}

static bool settings_are_good(const DeltacloudSettings *s, GError **error)
{
    g_autofree char *password = NULL;

    if (s->user == NULL)
        return is_wrong(error, "--user is missing (mend-bridge deltacloud --help)");
    if (s->password_file == NULL)
        return is_wrong(error, "--password-file is missing (mend-bridge deltacloud --help)");
    if (s->id != NULL && !g_uuid_string_is_valid(s->id))
        return is_wrong(error, "--id: a UUID wanted, as uuidgen prints one");
    if (strcmp(s->stopped, "unknown") != 0 && strcmp(s->stopped, "crashed") != 0)
        return is_wrong(error, "--stopped: unknown or crashed");
    if (!http_url_is_private(s->url))
        return is_wrong(error, "--url: http would send the password in the clear: https wanted, or the server on this machine");
    password = http_secret_read(s->password_file, error);
    return password != NULL;
}

/* ---- the host on the bus --------------------------------------------------------------------------------------------------------------------- */

static void on_online(bool online, void *user)
{
    DeltacloudSite *site = user;

    if (site->host != NULL)
        host_set_online(site->host, online);
}

static void on_host_online(void *user) { deltacloud_tell_again(user); }

static void name_site(DeltacloudSite *site)
{
    const DeltacloudSettings *s = site->settings;
    g_autoptr(GUri) url = g_uri_parse(s->url, G_URI_FLAGS_NONE, NULL);
    g_autofree char *what = g_strdup_printf("%s %s %s", s->url, s->driver != NULL ? s->driver : "", s->provider != NULL ? s->provider : "");
    g_autofree char *canonical = uuid_canonical(s->id);

    if (canonical != NULL)
        g_strlcpy(site->id, canonical, sizeof(site->id));
    else
        uuid_of_texts("deltacloud", what, site->id);
    site->name = g_strdup(s->name != NULL ? s->name : url != NULL && g_uri_get_host(url) != NULL ? g_uri_get_host(url) : "cloud");
}

/* A cloud has one life: its instances are not gone when its server starts anew. */
static bool join(DeltacloudSite *site, Bridge *bridge, GError **error)
{
    const BridgeAgentOptions options = { .product = "mend-host", .user_prefix = "host-", .id = site->id, .hostname = site->name,
                                         .capabilities = capabilities, .on_online = on_online, .user = site };
    char life[UUID_TEXT_SIZE];

    site->agent = bridge_agent_new(bridge, &options, error);
    if (site->agent == NULL) {
        g_prefix_error(error, "the cloud is host %s on the bus: ", site->id);
        return false;
    }
    uuid_of_texts(site->id, "life", life);
    bridge_agent_set_life(site->agent, life, site->name);
    site->host = host_new(bridge_agent_qmf(site->agent), bridge_agent_gate(site->agent), bridge_agent_identity(site->agent), bridge_agent_data(site->agent));
    host_on_online(site->host, on_host_online, site);
    deltacloud_commands_offer(site);
    return true;
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    const DeltacloudSettings *s = settings;
    const HttpOptions options = { .url = s->url, .ca_file = s->ca_file, .timeout_us = s->timeout_us, .per_s = (unsigned) s->per_s };
    Http *http = settings_are_good(s, error) ? http_new(&options, error) : NULL;
    DeltacloudSite *site;

    if (http == NULL)
        return NULL;
    site = g_new0(DeltacloudSite, 1);
    site->settings = s;
    site->http = http;
    site->login = deltacloud_login_new();
    site->vms = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) deltacloud_vm_free);
    site->deeds = g_hash_table_new(NULL, NULL);
    name_site(site);
    if (!join(site, bridge, error) || (site->watch = deltacloud_watch_new(site, bridge_data(bridge), error)) == NULL) {
        site_free(site);
        return NULL;
    }
    bridge_agent_start(site->agent);
    return site;
}

static void end(void *state)
{
    DeltacloudSite *site = state;

    g_clear_pointer(&site->watch, deltacloud_watch_free);
    deltacloud_commands_end(site, "the bridge was told to end");
    bridge_agent_close(site->agent);
}

static void stop(void *state) { site_free(state); }

const BridgeSystem bridge_deltacloud = { .name = "deltacloud", .about = "a cloud behind a Deltacloud server: its instances", .rows = rows,
                                         .n_rows = G_N_ELEMENTS(rows), .settings_bytes = sizeof(DeltacloudSettings), .start = start, .close = end,
                                         .stop = stop };
