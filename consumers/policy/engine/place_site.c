/* What nobody told is no limit: a host of unknown size holds what the planner can count at most, and one that does not say which
 * storage it reaches reaches all. A copy that may run holds its room wherever it may be; the first is the VM, the others are stand-ins
 * that nobody may move. */
#include "consumers/policy/engine/place_site.h"

#include "consumers/policy/engine/engine_private.h"

#include <string.h>

#define SIZE_UNKNOWN  (UINT64_C(64) << 40)
#define PENALTY_DEGRADED 30
#define SEARCH_MAX 20000 /* a decision is to be made within a few milliseconds */

static gpointer own(PlaceSite *site, gpointer memory)
{
    g_ptr_array_add(site->owned, memory);
    return memory;
}

/* @list: JSON list of texts, or NULL; @more: of char *, or NULL. Borrows the texts. NULL: both are NULL or empty. */
static ClusterNames names_new(PlaceSite *site, const json_t *list, const GPtrArray *more)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    size_t i;
    json_t *item;

    json_array_foreach((json_t *) list, i, item)
        if (json_is_string(item))
            g_ptr_array_add(names, (gpointer) json_string_value(item));
    for (guint k = 0; more != NULL && k < more->len; k++)
        g_ptr_array_add(names, more->pdata[k]);
    if (names->len == 0)
        return NULL;
    g_ptr_array_add(names, NULL);
    return (ClusterNames) own(site, g_ptr_array_steal(names, NULL));
}

static const char *why_no_vms(Engine *engine, const EntityState *host)
{
    return !host_is_up(host)                                                    ? verdict_name(host->host->verdict)
           : host->host->agent == NULL                                          ? "its agent is not known"
           : quarantine_until_us(engine, host) != 0                             ? "in quarantine"
           : quiet_on_actions(engine, QUIET_MAINTENANCE, host, NULL) != NULL    ? "in maintenance"
                                                                                : NULL;
}

/* @names without those that @host has lost the path to. */
static ClusterNames names_reached(PlaceSite *site, ClusterNames names, const EntityState *host)
{
    const GPtrArray *storages = site->engine->storages;

    for (guint i = 0; i < storages->len && names != NULL; i++) {
        if (!storage_lost_path(storages->pdata[i], host))
            continue;
        GPtrArray *left = g_ptr_array_new();

        for (guint k = 0; names[k] != NULL; k++)
            if (strcmp(names[k], entity_id(storages->pdata[i])) != 0)
                g_ptr_array_add(left, (gpointer) names[k]);
        g_ptr_array_add(left, NULL);
        names = own(site, g_ptr_array_free(left, FALSE));
    }
    return names;
}

static void host_put(PlaceSite *site, guint number, ClusterNames all_storage)
{
    Engine *engine = site->engine;
    const EntityState *host = engine->hosts->pdata[number];
    const HostState *h = host->host;
    const HostInfo *info = policy_host(engine->policy, entity_id(host), host->hostname);
    ClusterHost *c = &site->hosts[number];

    c->id = entity_id(host);
    c->name = host->hostname != NULL ? host->hostname : info == NULL ? NULL : info->name;
    c->memory_bytes = h->memory_bytes != 0 ? h->memory_bytes : info == NULL ? 0 : info->memory_bytes;
    c->vcpus = h->vcpus != 0 ? h->vcpus : info == NULL ? 0 : info->vcpus;
    if (c->memory_bytes == 0)
        c->memory_bytes = SIZE_UNKNOWN;
    c->why_not = why_no_vms(engine, host);
    c->usable = c->why_not == NULL;
    c->penalty = h->verdict == VERDICT_DEGRADED ? PENALTY_DEGRADED : 0;
    c->labels = names_new(site, h->labels, info == NULL ? NULL : info->labels);
    c->storage = h->storage != NULL ? names_new(site, h->storage, NULL) : names_new(site, NULL, info == NULL ? NULL : info->storage);
    if (h->storage == NULL && c->storage == NULL)
        c->storage = all_storage;
    c->storage = names_reached(site, c->storage, host);
    c->domains[CLUSTER_RACK] = host_domain(engine, host, "rack");
    c->domains[CLUSTER_POWER] = host_domain(engine, host, "power");
    c->domains[CLUSTER_SWITCH] = host_domain(engine, host, "switch");
}

static const EntityState *copy_host(const EntityState *vm, guint i)
{
    return ((const Copy *) vm->vm->copies->pdata[i])->host;
}

static void vm_put(PlaceSite *site, guint number)
{
    Engine *engine = site->engine;
    const EntityState *vm = engine->vms->pdata[number];
    const AppVm *app_vm = app_vm_of(engine, vm, NULL);
    const Incident *incident = vm->incident;
    bool waits = incident != NULL && incident->state != INCIDENT_NEEDS_HUMAN && vm->vm->copies->len == 0;
    ClusterVm c = { .id = entity_id(vm), .name = vm->hostname, .host = CLUSTER_NONE, .prefers = CLUSTER_NONE, .movable = true };

    if (vm->vm->copies->len > 0)
        c.host = place_site_host(site, vm->vm->host != NULL && proof_copy(vm->vm, vm->vm->host) != NULL ? vm->vm->host : copy_host(vm, 0));
    else
        c.prefers = place_site_host(site, vm->vm->host);
    c.priority = CLAMP(vm_priority(engine, vm), 0, 100);
    c.since_us = waits ? MAX(1, incident->opened_us) : 0;
    c.memory_bytes = vm->vm->memory_bytes != 0 ? vm->vm->memory_bytes : app_vm == NULL ? 0 : app_vm->memory_bytes;
    c.vcpus = vm->vm->vcpus != 0 ? vm->vm->vcpus : app_vm == NULL ? 0 : app_vm->vcpus;
    c.ha = vm_is_ha(engine, vm) && (c.host != CLUSTER_NONE || waits); /* what somebody has stopped wants no place */
    c.storage = names_new(site, vm->vm->storage, app_vm == NULL ? NULL : app_vm->storage);
    g_array_append_val(site->vms, c);
}

static void further_copies_put(PlaceSite *site, guint number)
{
    const EntityState *vm = site->engine->vms->pdata[number];
    ClusterVm c = g_array_index(site->vms, ClusterVm, number);
    guint first = c.host;

    c.ha = c.movable = false;
    for (guint i = 0; vm->vm->copies->len > 1 && i < vm->vm->copies->len; i++) {
        c.host = place_site_host(site, copy_host(vm, i));
        if (c.host != first)
            g_array_append_val(site->vms, c);
    }
}

/* Every storage somebody needs, for hosts that do not tell. */
static ClusterNames storage_of_all(PlaceSite *site)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < site->vms->len; i++)
        for (ClusterNames name = g_array_index(site->vms, ClusterVm, i).storage; name != NULL && *name != NULL; name++)
            if (g_hash_table_add(seen, (gpointer) *name))
                g_ptr_array_add(all, (gpointer) *name);
    return names_new(site, NULL, all);
}

/* @names: "APP/VM" or "APP". */
static bool is_named(const GPtrArray *names, const Application *app, const AppVm *vm)
{
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i], *slash = strchr(name, '/');
        size_t length = slash == NULL ? strlen(name) : (size_t) (slash - name);

        if (strlen(app->name) == length && memcmp(app->name, name, length) == 0 && (slash == NULL || strcmp(slash + 1, vm->name) == 0))
            return true;
    }
    return false;
}

static ClusterDomain domain_of(const char *by)
{
    return g_strcmp0(by, "rack") == 0     ? CLUSTER_RACK
           : g_strcmp0(by, "power") == 0  ? CLUSTER_POWER
           : g_strcmp0(by, "switch") == 0 ? CLUSTER_SWITCH
                                          : CLUSTER_HOST;
}

static void rule_put(PlaceSite *site, const PlaceRule *rule)
{
    static const ClusterRuleKind kinds[] = { [PLACE_APART] = CLUSTER_APART, [PLACE_TOGETHER] = CLUSTER_TOGETHER, [PLACE_ON] = CLUSTER_ON,
                                             [PLACE_NEVER_ON] = CLUSTER_NEVER_ON };
    Engine *engine = site->engine;
    GArray *vms = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint i = 0; i < engine->vms->len; i++) {
        const EntityState *vm = engine->vms->pdata[i];
        const Application *app = NULL;
        const AppVm *app_vm = app_vm_of(engine, vm, &app);

        if (app_vm != NULL && is_named(rule->vms, app, app_vm))
            g_array_append_val(vms, i);
    }
    ClusterRule c = { .name = rule->name, .kind = kinds[rule->kind], .hard = rule->hard, .n_vms = vms->len, .by = domain_of(rule->by),
                      .at_most = 1, .label = rule->label };
    c.vms = own(site, g_array_free(vms, FALSE));
    g_array_append_val(site->rules, c);
}

PlaceSite *place_site_new(Engine *engine)
{
    const Placement *placement = &engine->policy->placement;
    PlaceSite *site = g_new0(PlaceSite, 1);

    site->engine = engine;
    site->owned = g_ptr_array_new_with_free_func(g_free);
    site->hosts = g_new0(ClusterHost, engine->hosts->len + 1);
    site->vms = g_array_new(FALSE, FALSE, sizeof(ClusterVm));
    site->rules = g_array_new(FALSE, FALSE, sizeof(ClusterRule));
    for (guint i = 0; i < engine->vms->len; i++)
        vm_put(site, i);
    for (guint i = 0; i < engine->vms->len; i++)
        further_copies_put(site, i);
    ClusterNames all_storage = storage_of_all(site);
    for (guint i = 0; i < engine->hosts->len; i++)
        host_put(site, i, all_storage);
    for (guint i = 0; i < placement->rules->len; i++)
        rule_put(site, placement->rules->pdata[i]);
    site->cluster = (Cluster){ .hosts = site->hosts, .n_hosts = engine->hosts->len,
                               .vms = (const ClusterVm *) (void *) site->vms->data, .n_vms = site->vms->len,
                               .rules = (const ClusterRule *) (void *) site->rules->data, .n_rules = site->rules->len,
                               .overcommit_memory = placement->overcommit_memory, .overcommit_vcpus = placement->overcommit_vcpus,
                               .reserve_hosts = placement->reserve_hosts, .reserve_percent = placement->reserve_percent,
                               .now_us = engine->now_us, .search_max = SEARCH_MAX };
    return site;
}

void place_site_free(PlaceSite *site)
{
    if (site == NULL)
        return;
    g_free(site->hosts);
    g_array_unref(site->vms);
    g_array_unref(site->rules);
    g_ptr_array_unref(site->owned);
    g_free(site);
}

static guint number_of(const GPtrArray *all, const EntityState *entity)
{
    guint low = 0, high = all->len;

    while (entity != NULL && low < high) {
        guint middle = low + (high - low) / 2;
        int order = strcmp(((const EntityState *) all->pdata[middle])->path, entity->path);

        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return CLUSTER_NONE;
}

guint place_site_vm(const PlaceSite *site, const EntityState *vm)
{
    return number_of(site->engine->vms, vm);
}

guint place_site_host(const PlaceSite *site, const EntityState *host)
{
    return number_of(site->engine->hosts, host);
}

void place_site_close(PlaceSite *site, const EntityState *host, const char *why)
{
    guint number = place_site_host(site, host);

    if (number == CLUSTER_NONE)
        return;
    site->hosts[number].usable = false;
    site->hosts[number].why_not = why;
}
