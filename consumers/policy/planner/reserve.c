/* Room for the next failure. Counting slots or adding up free memory says yes where a large VM finds no host and no where rules would be
 * kept; so every set of failing hosts is played through with the same search that would have to cope with it. */
#include "consumers/policy/planner/room.h"

#include <string.h>

typedef struct Check {
    Room *room;
    PlacementReserve *reserve;
    const guint *waiting;
    guint n_waiting, tries;
    guint64 left;      /* tries for all sets */
    GArray *down;      /* of guint: VMs to be placed in this scenario */
    guint *first, *on; /* VMs by host: on[first[host]] up to on[first[host + 1]] */
    guint *failing;
} Check;

static void list_by_host(Check *check)
{
    const Room *room = check->room;
    guint n_hosts = room->cluster->n_hosts, n_vms = room->cluster->n_vms;
    g_autofree guint *next = NULL;

    check->first = g_new0(guint, n_hosts + 2);
    check->on = g_new(guint, n_vms + 1);
    for (guint v = 0; v < n_vms; v++)
        if (room->at[v] != CLUSTER_NONE)
            check->first[room->at[v] + 1]++;
    for (guint h = 0; h < n_hosts; h++)
        check->first[h + 1] += check->first[h];
    next = g_memdup2(check->first, (n_hosts + 1) * sizeof *next);
    for (guint v = 0; v < n_vms; v++)
        if (room->at[v] != CLUSTER_NONE)
            check->on[next[room->at[v]]++] = v;
}

/* Not even on an empty host, were all others as usable as they are. */
static bool is_pinned(Room *room, guint vm)
{
    return memchr(room_allowed(room, vm), 1, room->cluster->n_hosts) == NULL;
}

static void fail_host(Check *check, guint host)
{
    check->room->failed[host] = true;
    for (guint i = check->first[host]; i < check->first[host + 1]; i++) {
        guint vm = check->on[i];

        if (check->room->cluster->vms[vm].ha && !is_pinned(check->room, vm))
            g_array_append_val(check->down, vm);
        room_take(check->room, vm);
    }
}

static void restore_hosts(Check *check, guint n_failing)
{
    for (guint i = 0; i < n_failing; i++) {
        check->room->failed[check->failing[i]] = false;
        for (guint k = check->first[check->failing[i]]; k < check->first[check->failing[i] + 1]; k++)
            room_put(check->room, check->on[k], check->failing[i]);
    }
}

static char *failure_text(const Check *check, guint n_failing, guint vm)
{
    const Cluster *cluster = check->room->cluster;
    GString *text = g_string_new(n_failing == 0 ? NULL : "the failure of ");

    for (guint i = 0; i < n_failing; i++)
        g_string_append_printf(text, "%s%s", i == 0 ? "" : i + 1 == n_failing ? " and " : ", ", HOST_NAME(cluster, check->failing[i]));
    if (n_failing == 0)
        g_string_append_printf(text, "%s has no host even now", VM_NAME(cluster, vm));
    else
        g_string_append_printf(text, " would leave %s down", VM_NAME(cluster, vm));
    return g_string_free(text, FALSE);
}

/* Who of the VMs that are down finds no place: the first one that a plan leaves. */
static void note_failure(Check *check, guint n_failing)
{
    PlacementReserve *reserve = check->reserve;
    g_autoptr(PlacementPlan) plan = placement_plan_new();

    check->room->tries = check->tries;
    room_plan(check->room, (const guint *) (void *) check->down->data, check->down->len, plan);
    for (guint i = 0; i < plan->moves->len; i++)
        room_take(check->room, g_array_index(plan->moves, PlacementMove, i).vm);
    reserve->vm = plan->left->len > 0 ? ((const PlacementChoice *) plan->left->pdata[0])->vm : CLUSTER_NONE;
    g_array_append_vals(reserve->failure, check->failing, n_failing);
    reserve->text = reserve->vm == CLUSTER_NONE ? g_strdup("the search was given up") : failure_text(check, n_failing, reserve->vm);
}

static bool survives(Check *check, guint n_failing)
{
    guint tries = (guint) MIN(check->tries, check->left);
    SearchResult result;

    check->room->tries = tries;
    g_array_set_size(check->down, 0);
    g_array_append_vals(check->down, check->waiting, check->n_waiting);
    for (guint i = 0; i < n_failing; i++)
        fail_host(check, check->failing[i]);
    result = room_search(check->room, (const guint *) (void *) check->down->data, check->down->len, tries, NULL);
    check->left -= MIN(check->left, tries - check->room->tries + check->down->len + 1);
    if (result != SEARCH_FOUND) {
        check->reserve->proven = result == SEARCH_NONE;
        note_failure(check, n_failing);
    }
    restore_hosts(check, n_failing);
    return result == SEARCH_FOUND;
}

/* The next set of @n hosts in order; false: that was the last. */
static bool next_set(guint *failing, guint n, guint n_hosts)
{
    guint i = n;

    while (i-- > 0)
        if (failing[i] < n_hosts - n + i) {
            failing[i]++;
            for (guint k = i + 1; k < n; k++)
                failing[k] = failing[k - 1] + 1;
            return true;
        }
    return false;
}

static bool survives_all(Check *check, guint n_failing)
{
    guint n_hosts = check->room->cluster->n_hosts;

    if (n_failing > n_hosts)
        return true;
    for (guint i = 0; i < n_failing; i++)
        check->failing[i] = i;
    do {
        if (check->left == 0) {
            check->reserve->proven = false;
            check->reserve->text = g_strdup_printf("too many sets of %u failing hosts to look through", n_failing);
            return false;
        }
        if (!survives(check, n_failing))
            return false;
    } while (next_set(check->failing, n_failing, n_hosts));
    return true;
}

static bool percent_is_free(const Room *room, unsigned percent, PlacementReserve *reserve)
{
    const char *const names[] = { "memory", "vCPUs" };
    double holds[2] = { 0, 0 }, free[2] = { 0, 0 };

    for (guint h = 0; h < room->cluster->n_hosts; h++) {
        if (!room->cluster->hosts[h].usable)
            continue;
        holds[0] += (double) room->memory_holds[h];
        free[0] += (double) room->memory_free[h];
        if (room->vcpus_holds[h] != INT64_MAX) {
            holds[1] += (double) room->vcpus_holds[h];
            free[1] += (double) room->vcpus_free[h];
        }
    }
    for (unsigned i = 0; i < 2; i++)
        if (percent > 0 && free[i] * 100 < holds[i] * percent) {
            reserve->text = g_strdup_printf("%s: %d %% free of %u %% to be kept", names[i], (int) (MAX(free[i], 0) * 100 / holds[i]), percent);
            return false;
        }
    return true;
}

static void note_pinned(Check *check)
{
    const Cluster *cluster = check->room->cluster;

    for (guint v = 0; v < cluster->n_vms; v++)
        if (cluster->vms[v].ha && is_pinned(check->room, v))
            g_array_append_val(check->reserve->pinned, v);
}

static PlacementReserve *reserve_new(void)
{
    PlacementReserve *reserve = g_new0(PlacementReserve, 1);

    reserve->proven = true;
    reserve->vm = CLUSTER_NONE;
    reserve->failure = g_array_new(FALSE, FALSE, sizeof(guint));
    reserve->pinned = g_array_new(FALSE, FALSE, sizeof(guint));
    return reserve;
}

/* *ret_survives: hosts that may fail; -1: not even none. */
static PlacementReserve *look_at(const Cluster *cluster, unsigned hosts, unsigned percent, int *ret_survives)
{
    g_autoptr(Room) room = room_new(cluster);
    g_autoptr(GArray) down = g_array_new(FALSE, FALSE, sizeof(guint)), waiting = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autofree guint *failing = g_new(guint, cluster->n_hosts + 1);
    Check check = { .room = room, .reserve = reserve_new(), .down = down, .failing = failing, .tries = room->tries,
                    .left = (guint64) room->tries * CLUSTER_RESERVE_SEARCHES };
    bool kept = true;

    list_by_host(&check);
    note_pinned(&check);
    for (guint v = 0; v < cluster->n_vms; v++)
        if (cluster->vms[v].ha && room->at[v] == CLUSTER_NONE && !is_pinned(room, v))
            g_array_append_val(waiting, v);
    check.waiting = (const guint *) (void *) waiting->data;
    check.n_waiting = waiting->len;
    *ret_survives = -1;
    for (guint n = 0; n <= hosts && kept; n++) {
        kept = survives_all(&check, n);
        *ret_survives += kept;
    }
    check.reserve->kept = kept && percent_is_free(room, percent, check.reserve);
    if (check.reserve->text == NULL)
        check.reserve->text = g_strdup("kept");
    g_free(check.first);
    g_free(check.on);
    return check.reserve;
}

PlacementReserve *placement_reserve(const Cluster *cluster)
{
    int survives;

    return look_at(cluster, cluster->reserve_hosts, cluster->reserve_percent, &survives);
}

int placement_spare_hosts(const Cluster *cluster, unsigned most)
{
    int survives = 0;
    g_autoptr(PlacementReserve) reserve = look_at(cluster, most, 0, &survives);

    return survives;
}

void placement_reserve_free(PlacementReserve *reserve)
{
    if (reserve == NULL)
        return;
    g_array_unref(reserve->failure);
    g_array_unref(reserve->pinned);
    g_free(reserve->text);
    g_free(reserve);
}

/* The cluster as it would be after the plan. */
static PlacementReserve *reserve_after(const Cluster *cluster, const PlacementPlan *plan)
{
    g_autofree ClusterVm *vms = g_memdup2(cluster->vms, cluster->n_vms * sizeof *vms);
    Cluster after = *cluster;

    for (guint i = 0; i < plan->moves->len; i++)
        vms[g_array_index(plan->moves, PlacementMove, i).vm].host = g_array_index(plan->moves, PlacementMove, i).to;
    after.vms = vms;
    return placement_reserve(&after);
}

static char *admission_text(const Cluster *cluster, const PlacementAdmission *admission, const PlacementReserve *after)
{
    const PlacementChoice *left = admission->plan->left->len > 0 ? admission->plan->left->pdata[0] : NULL;
    g_autofree char *choice = left == NULL ? NULL : placement_choice_text(cluster, left);

    if (left != NULL)
        return g_strdup_printf("%s: %s", VM_NAME(cluster, left->vm), choice);
    if (admission->reserve_after)
        return g_strdup("fits, and the reserve is kept");
    return g_strdup_printf("fits, but then the reserve %s kept: %s", admission->reserve_before ? "would not be" : "is not", after->text);
}

PlacementAdmission *placement_admits(const Cluster *cluster, const guint *vms, guint n_vms)
{
    PlacementAdmission *admission = g_new0(PlacementAdmission, 1);
    g_autoptr(PlacementReserve) before = placement_reserve(cluster), after = NULL;

    admission->plan = placement_plan(cluster, vms, n_vms);
    admission->fits = admission->plan->left->len == 0;
    admission->reserve_before = before->kept;
    if (admission->fits) {
        after = reserve_after(cluster, admission->plan);
        admission->reserve_after = after->kept;
    }
    admission->admitted = admission->fits && admission->reserve_after;
    admission->text = admission_text(cluster, admission, after);
    return admission;
}

void placement_admission_free(PlacementAdmission *admission)
{
    if (admission == NULL)
        return;
    placement_plan_free(admission->plan);
    g_free(admission->text);
    g_free(admission);
}
