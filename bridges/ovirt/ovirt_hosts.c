/* Each host of oVirt that oVirt talks with is on the bus as the agent a mend-host there would be. When oVirt does not reach the host any
 * more the agent goes too, as it would: its session is one of the channels by which the policy engine judges a host, and no more than one.
 * When oVirt itself is not reached nothing of that is known: all agents stay, and say so (mend.reach).
 *
 * A host's life (boot id) is made from its id and when it booted, as its statistics say; that moment is computed from clocks, so that two
 * minutes more or less are the same boot. */
#include "bridges/ovirt/ovirt_site.h"

#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <stdlib.h>
#include <string.h>

#define SAME_BOOT_S 120

static const char *const capabilities[] = { "control-queue", "commands", "hypervisor", NULL };

SiteHost *site_host(const OvirtSite *site, const char *id) { return id != NULL ? g_hash_table_lookup(site->hosts, id) : NULL; }

SiteHost *site_any_host(const OvirtSite *site, const SiteHost *not)
{
    GHashTableIter iter;
    void *value;
    SiteHost *first = NULL;

    g_hash_table_iter_init(&iter, site->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SiteHost *host = value;

        if (host != not && host->host != NULL && (first == NULL || strcmp(host->now->id, first->now->id) < 0))
            first = host;
    }
    return first;
}

/* ---- inventory ---------------------------------------------------------------------------------------------------------------------------- */

static Value *fences(const OvirtSite *site, const SiteHost *host)
{
    Value *list = value_list();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, site->hosts);
    while (strcmp(site->settings->fence, "mend") == 0 && g_hash_table_iter_next(&iter, NULL, &value)) {
        const SiteHost *other = value;

        if (other != host && other->now->power)
            value_append(list, value_string(other->now->id));
    }
    return list;
}

Value *site_reach_list(const char *cluster)
{
    Value *list = value_list();

    if (cluster != NULL)
        value_append(list, value_string(cluster));
    return list;
}

static void tell_up(SiteHost *host, bool again)
{
    const OvirtHost *now = host->now;
    Value *values = value_map(), *labels = value_list();
    g_autofree char *label = now->cluster != NULL ? g_strconcat("ovirt-cluster:", now->cluster, NULL) : NULL;

    value_set(values, "hostname", value_string(now->name));
    value_set(values, "name", value_string(now->name));
    if (now->memory_bytes > 0) /* oVirt starts nothing on one that is in maintenance or the like: it has room for nothing */
        value_set(values, "memory_bytes", value_uint(VALUE_UINT64, strcmp(now->status, "up") == 0 ? now->memory_bytes : 1));
    if (now->vcpus > 0)
        value_set(values, "vcpus", value_uint(VALUE_UINT32, now->vcpus));
    if (label != NULL)
        value_append(labels, value_string(label));
    value_set(values, "labels", labels);
    value_set(values, "storage", site_reach_list(now->cluster));
    value_set(values, "fences", fences(host->site, host));
    value_set(values, "vms", site_vms_on(host->site, now->id));
    if (!again && host->told_up != NULL && value_equal(values, host->told_up)) {
        value_unref(values);
        return;
    }
    value_unref(host->told_up);
    host->told_up = value_ref(values);
    host_tell(host->host, "host", now->id, "up", values);
}

void site_tell_hosts(OvirtSite *site)
{
    GHashTableIter iter;
    void *host;

    g_hash_table_iter_init(&iter, site->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &host))
        if (((SiteHost *) host)->host != NULL)
            tell_up(host, false);
}

/* ---- on the bus --------------------------------------------------------------------------------------------------------------------------- */

static void on_online(bool online, void *user)
{
    SiteHost *host = user;

    if (host->host != NULL)
        host_set_online(host->host, online);
}

static void on_host_online(void *user)
{
    SiteHost *host = user;

    tell_up(host, true);
    site_tell_again(host->site, host);
}

static void host_leave(SiteHost *host, const char *why)
{
    if (host->agent == NULL)
        return;
    log_notice("host %s leaves the bus: %s", host->now->name, why);
    ovirt_commands_end(host->site, host, why);
    ovirt_fence_end(host->site, host, why);
    g_clear_pointer(&host->host, host_free);
    g_clear_pointer(&host->agent, bridge_agent_free);
    g_clear_pointer(&host->told_up, value_unref);
}

static void host_join(SiteHost *host, const char *boot)
{
    const BridgeAgentOptions options = { .product = "mend-host", .user_prefix = "host-", .id = host->now->id, .hostname = host->now->name,
                                         .capabilities = capabilities, .on_online = on_online, .user = host };
    g_autoptr(GError) error = NULL;
    char boot_id[UUID_TEXT_SIZE];

    host->agent = bridge_agent_new(host->site->bridge, &options, &error);
    if (host->agent == NULL) {
        if (g_strcmp0(host->refusal, error->message) != 0)
            log_warning("host %s stays off the bus: %s", host->now->name, error->message);
        g_free(host->refusal);
        host->refusal = g_strdup(error->message);
        return;
    }
    uuid_of_texts(host->now->id, boot, boot_id);
    bridge_agent_set_life(host->agent, boot_id, host->now->name);
    bridge_agent_set_reach(host->agent, host->site->away);
    host->host = host_new(bridge_agent_qmf(host->agent), bridge_agent_gate(host->agent), bridge_agent_identity(host->agent),
                          bridge_agent_data(host->agent));
    host_on_online(host->host, on_host_online, host);
    ovirt_commands_offer(host);
    ovirt_fence_offer(host);
    bridge_agent_start(host->agent);
    log_notice("host %s (%s) is on the bus", host->now->name, host->now->id);
    site_tell_hosts(host->site);
    site_tell_vms(host->site);
}

/* ---- lives -------------------------------------------------------------------------------------------------------------------------------- */

/* "0": oVirt does not say when it booted. Borrowed from site->boots. */
static const char *boot_known(SiteHost *host, const OvirtAnswer *answer, bool *ret_changed)
{
    const char *kept = g_hash_table_lookup(host->site->boots, host->now->id);
    double boot;

    *ret_changed = false;
    if (answer->error != NULL || !ovirt_statistic(answer->body, "boot.time", &boot) || boot < 1 || boot > 1e11)
        return kept != NULL ? kept : "0";
    if (kept != NULL && llabs(strtoll(kept, NULL, 10) - (long long) boot) <= SAME_BOOT_S)
        return kept;
    *ret_changed = kept != NULL;
    host->site->changed = true;
    g_hash_table_insert(host->site->boots, g_strdup(host->now->id), g_strdup_printf("%lld", (long long) boot));
    return g_hash_table_lookup(host->site->boots, host->now->id);
}

static void on_boot(const OvirtAnswer *answer, void *user)
{
    SiteHost *host = user;
    bool changed;
    const char *boot = boot_known(host, answer, &changed);

    host->boot_call = NULL;
    if (changed)
        host_leave(host, "it has booted anew");
    if (host->agent == NULL && ovirt_host_reach(host->now->status) == OVIRT_HEARD)
        host_join(host, boot);
}

static void ask_boot(SiteHost *host)
{
    g_autofree char *path = g_strdup_printf("/hosts/%s/statistics", host->now->id);

    if (host->boot_call == NULL)
        host->boot_call = ovirt_api_get(host->site->api, path, 0, on_boot, host);
}

static void tell_of(SiteHost *host, const char *channel, const char *says)
{
    SiteHost *by = site_any_host(host->site, host);
    Value *values;

    if (by == NULL)
        return;
    values = value_map();
    value_set(values, "channel", value_string(channel));
    value_set(values, "says", value_string(says));
    value_set(values, "by", value_string(by->now->id));
    value_set(values, "name", value_string(host->now->name));
    host_tell_happened(by->host, "host", host->now->id, "evidence", channel, values);
}

static void host_judge(SiteHost *host, const char *was)
{
    bool is_new = was == NULL || strcmp(was, host->now->status) != 0;
    g_autofree char *why = g_strdup_printf("oVirt says '%s' of it", host->now->status);

    switch (ovirt_host_reach(host->now->status)) {
    case OVIRT_HEARD:
        if (is_new || host->agent == NULL)
            ask_boot(host);
        return;
    case OVIRT_WAITED:
        return;
    case OVIRT_DUMPING:
        host_leave(host, why);
        tell_of(host, "kdump", "alive"); /* again each time it is seen: it holds for half a minute */
        return;
    case OVIRT_OFF:
        host_leave(host, why);
        if (is_new)
            tell_of(host, "bmc", "off");
        return;
    default:
        host_leave(host, why);
        return;
    }
}

void site_host_free(SiteHost *host)
{
    ovirt_call_drop(host->boot_call);
    host_free(host->host);
    bridge_agent_free(host->agent);
    value_unref(host->told_up);
    ovirt_host_free(host->now);
    g_free(host->refusal);
    g_free(host);
}

static void forget_missing(OvirtSite *site, const GHashTable *listed)
{
    GHashTableIter iter;
    void *key, *value;

    g_hash_table_iter_init(&iter, site->hosts);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (!g_hash_table_contains((GHashTable *) listed, key)) {
            host_leave(value, "oVirt does not have it any more");
            g_hash_table_iter_remove(&iter);
        }
}

void site_take_hosts(OvirtSite *site, GPtrArray *hosts)
{
    g_autoptr(GHashTable) listed = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) seen = g_ptr_array_new(), before = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < hosts->len; i++) {
        OvirtHost *now = hosts->pdata[i];
        SiteHost *host = site_host(site, now->id);

        if (g_hash_table_contains(listed, now->id)) {
            ovirt_host_free(now);
            continue;
        }
        if (host == NULL) {
            host = g_new0(SiteHost, 1);
            host->site = site;
            g_hash_table_insert(site->hosts, g_strdup(now->id), host);
        }
        g_ptr_array_add(seen, host);
        g_ptr_array_add(before, host->now != NULL ? g_strdup(host->now->status) : NULL);
        g_hash_table_add(listed, now->id);
        ovirt_host_free(host->now);
        host->now = now;
    }
    g_ptr_array_set_free_func(hosts, NULL);
    g_ptr_array_set_size(hosts, 0);
    forget_missing(site, listed);
    for (guint i = 0; i < seen->len; i++)
        host_judge(seen->pdata[i], before->pdata[i]);
}

void site_set_reach(OvirtSite *site, const char *why)
{
    GHashTableIter iter;
    void *value;

    if (g_strcmp0(site->away, why) == 0)
        return;
    if (why != NULL)
        log_warning("oVirt is not reached: %s. What its hosts and VMs do is not seen until then", why);
    else if (site->away != NULL)
        log_notice("oVirt is reached again");
    g_free(site->away);
    site->away = g_strdup(why);
    g_hash_table_iter_init(&iter, site->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SiteHost *host = value;
        QmfObject *object = host->host != NULL ? qmf_agent_object(host_agent(host->host), "Hypervisor") : NULL;

        if (host->agent != NULL)
            bridge_agent_set_reach(host->agent, why);
        if (object != NULL)
            qmf_object_set(object, "libvirt", value_string(why != NULL ? why : "up"));
    }
}
