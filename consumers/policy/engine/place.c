/* Who comes first gets the best place only where that takes none from somebody who is served before: all that wait and come before are
 * placed together with it. Where nobody could be hurt, which one look at the numbers tells, that is spared. */
#include "consumers/policy/engine/place.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/place_site.h"

#include <string.h>

#define AHEAD_MAX 64 /* of those before it so many are placed with it */

static EntityState *chosen(const PlaceSite *site, guint vm, json_t **ret_considered, char **ret_why)
{
    g_autoptr(PlacementChoice) choice = placement_choose(&site->cluster, vm);

    *ret_considered = placement_choice_to_json(&site->cluster, choice);
    if (choice->host != CLUSTER_NONE)
        return site->engine->hosts->pdata[choice->host];
    *ret_why = placement_choice_text(&site->cluster, choice);
    return NULL;
}

/* Waits for a place, or is about to. */
static bool is_waiting(const Engine *engine, const EntityState *vm)
{
    const Incident *incident = vm->incident;
    const Step *step = incident == NULL || incident->state != INCIDENT_OPEN ? NULL : incident_step(engine, incident);

    return step != NULL && vm->vm->located && vm->vm->copies->len == 0 && action_starts(step->action);
}

/* Those served before @vm, and @vm at the end. (transfer full) */
static GArray *served_with(const PlaceSite *site, guint vm)
{
    const Engine *engine = site->engine;
    GArray *all = g_array_new(FALSE, FALSE, sizeof(guint));
    guint ahead = 0;

    for (guint i = 0; i < engine->vms->len; i++)
        if (i == vm || is_waiting(engine, engine->vms->pdata[i]))
            g_array_append_val(all, i);
    placement_order(&site->cluster, (guint *) (void *) all->data, all->len);
    while (ahead < all->len && g_array_index(all, guint, ahead) != vm)
        ahead++;
    g_array_set_size(all, ahead + 1);
    if (ahead > AHEAD_MAX) {
        g_array_index(all, guint, AHEAD_MAX) = vm;
        g_array_set_size(all, AHEAD_MAX + 1);
    }
    return all;
}

static EntityState *chosen_beside(const PlaceSite *site, const GArray *with, guint vm, json_t **ret_considered, char **ret_why)
{
    g_autoptr(PlacementPlan) plan = placement_plan(&site->cluster, (const guint *) (void *) with->data, with->len);
    const PlacementMove *move = placement_plan_move(plan, vm);

    if (move != NULL) {
        json_object_set_new(*ret_considered, "host", json_string(site->hosts[move->to].id));
        json_object_set_new(*ret_considered, "beside", json_integer(with->len - 1));
        return site->engine->hosts->pdata[move->to];
    }
    for (guint i = 0; i < plan->left->len; i++) {
        const PlacementChoice *left = plan->left->pdata[i];

        if (left->vm != vm)
            continue;
        json_decref(*ret_considered);
        *ret_considered = placement_choice_to_json(&site->cluster, left);
        g_autofree char *text = placement_choice_text(&site->cluster, left), *conflict = placement_conflict_text(&site->cluster, plan);
        *ret_why = g_strdup_printf("%s%s%s; %u that come before it keep theirs", text, conflict == NULL ? "" : "; ", conflict == NULL ? "" : conflict,
                                   with->len - 1);
        return NULL;
    }
    *ret_why = g_strdup("those that come before it need what there is");
    return NULL;
}

/* The host still has room for all of @with, and no rule binds anybody. */
static bool hurts_nobody(const PlaceSite *site, const GArray *with, const EntityState *host)
{
    const ClusterHost *to = &site->hosts[place_site_host(site, host)];
    double memory = (double) to->memory_bytes * site->cluster.overcommit_memory, vcpus = to->vcpus * site->cluster.overcommit_vcpus;

    for (guint i = 0; i < site->vms->len; i++) {
        const ClusterVm *vm = &g_array_index(site->vms, ClusterVm, i);

        if (vm->host != CLUSTER_NONE && &site->hosts[vm->host] == to) {
            memory -= (double) vm->memory_bytes;
            vcpus -= vm->vcpus;
        }
    }
    for (guint i = 0; i < with->len; i++) {
        const ClusterVm *vm = &g_array_index(site->vms, ClusterVm, g_array_index(with, guint, i));

        memory -= (double) vm->memory_bytes;
        vcpus -= vm->vcpus;
    }
    return site->cluster.n_rules == 0 && memory >= 0 && (to->vcpus == 0 || vcpus >= 0);
}

EntityState *place_choose(Engine *engine, EntityState *vm, const EntityState *not_on, json_t **ret_considered, char **ret_why)
{
    g_autoptr(PlaceSite) site = place_site_new(engine);
    guint number = place_site_vm(site, vm);

    place_site_close(site, not_on, "it shall leave this one");
    EntityState *host = chosen(site, number, ret_considered, ret_why);
    if (host == NULL)
        return NULL;
    g_autoptr(GArray) with = served_with(site, number);
    if (with->len == 1 || hurts_nobody(site, with, host))
        return host;
    return chosen_beside(site, with, number, ret_considered, ret_why);
}

/* What runs is not moved to where memory is short, or would be then. A start is another matter: better there than nowhere. */
static void close_the_short(PlaceSite *site, const EntityState *vm)
{
    const GPtrArray *hosts = site->engine->hosts;

    for (guint i = 0; i < hosts->len; i++)
        if (hosts->pdata[i] != vm->vm->host && mom_is_short(site->engine, hosts->pdata[i], vm->vm->memory_bytes))
            place_site_close(site, hosts->pdata[i], "it would be short of memory");
}

EntityState *place_move(Engine *engine, EntityState *vm, json_t **ret_considered, char **ret_why)
{
    g_autoptr(PlaceSite) site = place_site_new(engine);
    guint number = place_site_vm(site, vm);

    close_the_short(site, vm);
    EntityState *host = chosen(site, number, ret_considered, ret_why);
    if (host == NULL || (site->cluster.reserve_hosts == 0 && site->cluster.reserve_percent == 0))
        return host;
    g_autoptr(PlacementAdmission) admission = placement_admits(&site->cluster, &number, 1);
    const PlacementMove *move = placement_plan_move(admission->plan, number);
    if (move != NULL && (admission->reserve_after || !admission->reserve_before)) /* a reserve that is gone already is no reason to leave it ill */
        return engine->hosts->pdata[move->to];
    *ret_why = g_strdup_printf("it is left where it is: %s", admission->text);
    return NULL;
}
