/* mend-bridge pacemaker-cloud: the consoles of Pacemaker Cloud, and its conductor, find what they knew: an agent with the objects cpe and dpe, its events, and
 * its REST paths. What is done is done by the policy engine; this only translates. */
#include "bridges/pacemaker-cloud/pcloud_site.h"

#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>

#define VENDOR  "pacemakercloud.org"
#define PACKAGE "org.pacemakercloud"

#define AT(field) offsetof(PcloudSettings, field)
static const Setting rows[] = {
    { "id", SETTING_STRING, AT(id), 0, 0, NULL, "UUID of its own (uuidgen), as 'mend enrol UUID' was given it" },
    { "name", SETTING_STRING, AT(name), 0, 0, "pacemaker-cloud", "NAME of it in lists" },
    { "folder", SETTING_STRING, AT(folder), 0, 0, "/var/lib/pacemaker-cloud", "FOLDER with the deployables, NAME.xml each" },
    { "interval", SETTING_DURATION, AT(interval_us), US_PER_S / 5, US_PER_HOUR, "2s", "the engine is asked this often whether its policy has changed and what it is at" },
    { "policy", SETTING_STRING, AT(policy), 0, 0, NULL, "NAME of the policy engine that does it; without: the one that acts" },
    { "operator-credentials", SETTING_STRING, AT(operator_credentials), 0, 0, NULL, "FILE with the broker's user 'operator', who may ask it; without: those of --site" },
    { "listen", SETTING_STRING, AT(listen), 0, 0, NULL, "ADDRESS:PORT of its REST interface, as 127.0.0.1:8888; without: none" },
    { "listen-token-file", SETTING_STRING, AT(token_file), 0, 0, NULL, "FILE with the token, or password, they must show; needed unless --listen is on loopback" },
    { "listen-user", SETTING_STRING, AT(login), 0, 0, NULL, "NAME that may log in with that as its password (basic authentication)" },
    { "certificate", SETTING_STRING, AT(certificate), 0, 0, NULL, "FILE with the certificate for --listen (PEM): then it speaks TLS" },
    { "key", SETTING_STRING, AT(key), 0, 0, NULL, "FILE with its key, when that is not in the same" },
    { "conductor", SETTING_STRING, AT(conductor), 0, 0, NULL, "URL of Aeolus' conductor (http://127.0.0.1:3000/conductor), which is told to send its events here" },
    { "conductor-user", SETTING_STRING, AT(conductor_user), 0, 0, NULL, "NAME to log in there, with --conductor-password-file" },
    { "conductor-password-file", SETTING_STRING, AT(conductor_password_file), 0, 0, NULL, "FILE with the password, not readable by others" },
    { "conductor-ca", SETTING_STRING, AT(conductor_ca), 0, 0, NULL, "FILE with its CA certificate (PEM); without: whom this machine trusts" },
    { "hook", SETTING_STRING, AT(hook), 0, 0, NULL, "URL the conductor is told to use; without: that of --listen" },
};

/* ---- methods ------------------------------------------------------------------------------------------------------------------------------ */

static void list(const PcloudSite *site, QmfCall *call)
{
    Value *outputs = value_map(), *names = value_list();

    for (guint i = 0; i < site->apps->len; i++)
        value_append(names, value_string(((const PcloudApp *) site->apps->pdata[i])->name));
    value_set(outputs, "deployables", names);
    qmf_call_return(call, outputs);
}

static void on_method(QmfCall *call, void *user)
{
    static const struct {
        const char *method;
        PcloudVerb verb;
    } verbs[] = { { "deployable_start", PCLOUD_START }, { "deployable_stop", PCLOUD_STOP }, { "deployable_reload", PCLOUD_RELOAD },
                  { "deployable_load", PCLOUD_LOAD },   { "deployable_unload", PCLOUD_UNLOAD } };
    PcloudSite *site = user;

    if (bridge_is_closing(site->bridge)) {
        qmf_call_raise(call, "it ends", NULL);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].method, qmf_call_method(call)) == 0) {
            pcloud_policy_do(site->policy, verbs[i].verb, call);
            return;
        }
    list(site, call);
}

static void on_online(bool online, void *user)
{
    PcloudSite *site = user;

    for (guint i = 0; online && i < site->apps->len; i++) { /* who listens now has not heard it */
        g_hash_table_remove_all(((PcloudApp *) site->apps->pdata[i])->states);
        ((PcloudApp *) site->apps->pdata[i])->told = PCLOUD_UNKNOWN;
    }
    if (online && site->watch != NULL)
        pcloud_watch_judge(site->watch);
}

/* ---- start and end ------------------------------------------------------------------------------------------------------------------------ */

static bool settings_are_good(const PcloudSettings *s, GError **error)
{
    g_autofree char *id = s->id != NULL ? uuid_canonical(s->id) : NULL;
    const char *wrong = id == NULL                                                    ? "--id UUID is wanted: one of its own (uuidgen)"
                        : s->conductor != NULL && s->listen == NULL                  ? "--conductor needs --listen: where its events come in"
                        : s->conductor_user != NULL && s->conductor_password_file == NULL ? "--conductor-user needs --conductor-password-file"
                        : s->login != NULL && s->token_file == NULL                  ? "--listen-user needs --listen-token-file: its password"
                                                                                       : NULL;

    if (wrong != NULL)
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "%s", wrong);
    return wrong == NULL;
}

static bool open_agent(PcloudSite *site, GError **error)
{
    static const char *const capabilities[] = { "bridge", NULL };
    g_autofree char *id = uuid_canonical(site->settings->id);
    const BridgeAgentOptions options = { .vendor = VENDOR, .product = "cpe", .user_prefix = "agent-", .id = id, .hostname = site->settings->name,
                                         .capabilities = capabilities, .on_online = on_online, .user = site };
    Value *values = value_map();
    QmfAgent *agent;

    site->agent = bridge_agent_new(site->bridge, &options, error);
    if (site->agent == NULL) {
        value_unref(values);
        return false;
    }
    agent = bridge_agent_qmf(site->agent);
    site->cpe = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "cpe");
    site->dpe = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "dpe");
    qmf_agent_add_class(agent, site->cpe);
    qmf_agent_add_class(agent, site->dpe);
    qmf_agent_on_method(agent, site->cpe, on_method, site);
    qmf_agent_on_method(agent, site->dpe, on_method, site);
    qmf_agent_add_object(agent, site->cpe, "cpe", value_map());
    value_set(values, "deployables", value_uint(VALUE_UINT32, 0));
    value_set(values, "assemblies", value_uint(VALUE_UINT32, 0));
    site->dpe_object = qmf_agent_add_object(agent, site->dpe, "dpe", values);
    return true;
}

static void stop(void *data)
{
    PcloudSite *site = data;

    pcloud_hook_free(site->hook);
    pcloud_rest_free(site->rest);
    pcloud_watch_free(site->watch);
    pcloud_policy_free(site->policy);
    bridge_agent_free(site->agent);
    g_ptr_array_unref(site->apps);
    g_free(site);
}

static bool start_rest(PcloudSite *site, GError **error)
{
    const PcloudSettings *s = site->settings;

    if (s->listen == NULL)
        return true;
    if ((site->rest = pcloud_rest_new(site, error)) == NULL)
        return false;
    if (s->conductor != NULL && (site->hook = pcloud_hook_new(site, s->hook != NULL ? s->hook : pcloud_rest_url(site->rest), error)) == NULL)
        return false;
    log_notice("REST at %s", pcloud_rest_url(site->rest));
    return true;
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    PcloudSite *site;

    if (!settings_are_good(settings, error))
        return NULL;
    site = g_new0(PcloudSite, 1);
    site->bridge = bridge;
    site->settings = settings;
    site->apps = g_ptr_array_new_with_free_func((GDestroyNotify) pcloud_app_free);
    if (!open_agent(site, error) || !pcloud_apps_load(site, error) || (site->policy = pcloud_policy_new(site, error)) == NULL) {
        stop(site);
        return NULL;
    }
    site->watch = pcloud_watch_new(site, pcloud_policy_client(site->policy));
    if (!start_rest(site, error)) {
        stop(site);
        return NULL;
    }
    bridge_agent_start(site->agent);
    log_notice("deployables of %s: %u are loaded", site->settings->folder, site->apps->len);
    return site;
}

static void end(void *data)
{
    PcloudSite *site = data;

    if (site->hook != NULL)
        pcloud_hook_close(site->hook);
    if (site->rest != NULL)
        pcloud_rest_close(site->rest);
    bridge_agent_close(site->agent);
}

const BridgeSystem bridge_pacemaker_cloud = { .name = "pacemaker-cloud", .about = "Pacemaker Cloud's consoles and conductor: deployables are applications of the policy",
                                              .rows = rows, .n_rows = G_N_ELEMENTS(rows), .settings_bytes = sizeof(PcloudSettings), .start = start, .close = end,
                                              .stop = stop };
