/* The greedy part, which nearly always is the whole: in order of priority each VM takes the host that suits it best. Only when one finds
 * none is anything already given away reconsidered: first one exchange, then the exact search over all of them. Scores rule the greedy
 * part, proofs the search; after a search everybody may move to a host that suits better, which cannot break anything.
 *
 * Rejected: one search for the best sum of scores. Nobody could say afterwards why a VM is where it is. */
#include "consumers/policy/planner/room.h"

#include <string.h>

PlacementChoice *placement_choose(const Cluster *cluster, guint vm)
{
    g_autoptr(Room) room = room_new(cluster);

    if (room->at[vm] != CLUSTER_NONE)
        room_lift(room, vm);
    return room_choice(room, vm, room_best(room, vm));
}

static bool is_overdue(const Cluster *cluster, const ClusterVm *vm)
{
    return vm->deadline_us > 0 && vm->deadline_us <= cluster->now_us;
}

static int64_t aged_priority(const Cluster *cluster, const ClusterVm *vm)
{
    int64_t step_us = cluster->ageing_us > 0 ? cluster->ageing_us : CLUSTER_AGEING_US;
    int64_t waited_us = vm->since_us > 0 && cluster->now_us > vm->since_us ? cluster->now_us - vm->since_us : 0;

    return vm->priority + waited_us / step_us;
}

static int compare_turns(gconstpointer a, gconstpointer b, gpointer user)
{
    const Cluster *cluster = user;
    guint i = *(const guint *) a, k = *(const guint *) b;
    const ClusterVm *x = &cluster->vms[i], *y = &cluster->vms[k];
    bool x_overdue = is_overdue(cluster, x), y_overdue = is_overdue(cluster, y);
    int64_t x_priority = aged_priority(cluster, x), y_priority = aged_priority(cluster, y);
    int64_t x_since = x->since_us > 0 ? x->since_us : INT64_MAX, y_since = y->since_us > 0 ? y->since_us : INT64_MAX;

    if (x_overdue != y_overdue)
        return x_overdue ? -1 : 1;
    if (x_overdue && x->deadline_us != y->deadline_us)
        return x->deadline_us < y->deadline_us ? -1 : 1;
    if (x_priority != y_priority)
        return x_priority > y_priority ? -1 : 1;
    if (x_since != y_since)
        return x_since < y_since ? -1 : 1;
    return i < k ? -1 : i > k;
}

void placement_order(const Cluster *cluster, guint *vms, guint n_vms)
{
    g_qsort_with_data(vms, (gint) n_vms, sizeof *vms, compare_turns, (gpointer) cluster);
}

typedef struct Planning {
    Room *room;
    GArray *placed; /* of guint: VMs, in order; they count where they go */
    bool searched;
} Planning;

#define PLACED(p, i) g_array_index((p)->placed, guint, i)

/* No more than all the room there is. */
static bool volume_suffices(const Room *room, guint vm, const uint8_t *allowed)
{
    int64_t memory = 0, vcpus = 0;
    bool unlimited = room->cluster->vms[vm].vcpus == 0;

    for (guint h = 0; h < room->cluster->n_hosts; h++) {
        if (!room->cluster->hosts[h].usable || room->failed[h] || room->memory_holds[h] == 0)
            continue;
        memory += MAX(room->memory_free[h], 0);
        unlimited |= room->vcpus_holds[h] == INT64_MAX;
        vcpus += unlimited ? 0 : MAX(room->vcpus_free[h], 0);
    }
    return memory >= room_memory(room, vm) && (unlimited || vcpus >= (int64_t) room->cluster->vms[vm].vcpus) &&
           memchr(allowed, 1, room->cluster->n_hosts) != NULL;
}

/* @vm to @host in the place of @other, which finds another one. */
static bool exchange(Room *room, guint vm, guint host, guint other, const uint8_t *allowed)
{
    guint elsewhere;

    room->tries--;
    room_take(room, other);
    if (room_fits(room, vm, host, allowed)) {
        room_put(room, vm, host);
        room->tries -= MIN(room->tries, room->cluster->n_hosts / 4);
        elsewhere = room_best(room, other);
        if (elsewhere != CLUSTER_NONE) {
            room_put(room, other, elsewhere);
            return true;
        }
        room_take(room, vm);
    }
    room_put(room, other, host);
    return false;
}

static bool find_exchange(Planning *p, guint vm)
{
    Room *room = p->room;
    const uint8_t *allowed = room_allowed(room, vm);
    int64_t memory = room_memory(room, vm);

    for (guint i = 0; i < p->placed->len && room->tries > 0; i++) {
        guint other = PLACED(p, i), host = room->at[other];

        if (allowed[host] && room->memory_free[host] + room_memory(room, other) >= memory &&
            exchange(room, vm, host, other, allowed))
            return true;
    }
    return false;
}

/* All of the placed and @vm anew. */
static SearchResult search_all(Planning *p, guint vm)
{
    Room *room = p->room;
    guint n = p->placed->len + 1;
    g_autofree guint *vms = g_new(guint, n), *before = g_new(guint, n), *after = g_new(guint, n);
    SearchResult result;

    for (guint i = 0; i + 1 < n; i++) {
        vms[i] = PLACED(p, i);
        before[i] = room->at[vms[i]];
        room_take(room, vms[i]);
    }
    vms[n - 1] = vm;
    result = room_search(room, vms, n, (room->tries + 1) / 2, after);
    for (guint i = 0; i < n; i++)
        if (result == SEARCH_FOUND)
            room_put(room, vms[i], after[i]);
        else if (i + 1 < n)
            room_put(room, vms[i], before[i]);
    p->searched |= result == SEARCH_FOUND;
    return result;
}

static SearchResult place_one(Planning *p, guint vm)
{
    guint host = room_best(p->room, vm);

    if (host != CLUSTER_NONE) {
        room_put(p->room, vm, host);
        return SEARCH_FOUND;
    }
    if (!volume_suffices(p->room, vm, room_allowed(p->room, vm)))
        return SEARCH_NONE;
    if (find_exchange(p, vm))
        return SEARCH_FOUND;
    return p->room->tries > 0 ? search_all(p, vm) : SEARCH_CUT;
}

/* Everybody to where it suits best as the others are. Twice: what the first round left is taken in the second. */
static void settle(Planning *p)
{
    for (unsigned round = 0; round < 2; round++)
        for (guint i = 0; i < p->placed->len; i++) {
            room_take(p->room, PLACED(p, i));
            room_put(p->room, PLACED(p, i), room_best(p->room, PLACED(p, i)));
        }
}

static void note_moves(Planning *p, PlacementPlan *plan)
{
    Room *room = p->room;

    for (guint i = 0; i < p->placed->len; i++) {
        guint vm = PLACED(p, i), to = room->at[vm];
        PlacementMove move = { .vm = vm, .from = room->cluster->vms[vm].host, .to = to };

        room_take(room, vm);
        move.score = room_score(room, vm, to, NULL, NULL);
        room_put(room, vm, to);
        g_array_append_val(plan->moves, move);
    }
}

/* The first one left, with those served before it. */
static void note_conflict(Planning *p, guint vm, guint n_before, PlacementPlan *plan)
{
    g_autofree guint *hosts = g_new(guint, p->placed->len + 1);
    g_autofree guint *beside = g_memdup2(p->placed->data, n_before * sizeof *beside);

    if (p->room->at[vm] != CLUSTER_NONE) { /* it has to stay: that is all */
        g_array_append_val(plan->conflict_vms, vm);
        return;
    }
    for (guint i = 0; i < p->placed->len; i++) {
        hosts[i] = p->room->at[PLACED(p, i)];
        room_take(p->room, PLACED(p, i));
    }
    room_conflict(p->room, vm, beside, n_before, plan);
    for (guint i = 0; i < p->placed->len; i++)
        room_put(p->room, PLACED(p, i), hosts[i]);
}

void room_plan(Room *room, const guint *vms, guint n_vms, PlacementPlan *plan)
{
    g_autofree guint *order = g_memdup2(vms, n_vms * sizeof *vms);
    g_autoptr(GArray) placed = g_array_new(FALSE, FALSE, sizeof(guint));
    Planning p = { .room = room, .placed = placed };
    guint first_left = CLUSTER_NONE, before_it = 0;

    placement_order(room->cluster, order, n_vms);
    for (guint i = 0; i < n_vms; i++) {
        guint vm = order[i];
        SearchResult result = room->at[vm] != CLUSTER_NONE ? SEARCH_NONE : place_one(&p, vm);

        if (result == SEARCH_FOUND) {
            g_array_append_val(placed, vm);
            continue;
        }
        plan->proven &= result == SEARCH_NONE;
        if (plan->left->len == 0) {
            first_left = result == SEARCH_NONE ? vm : CLUSTER_NONE;
            before_it = placed->len;
        }
        g_ptr_array_add(plan->left, room_choice(room, vm, CLUSTER_NONE));
    }
    if (p.searched)
        settle(&p);
    note_moves(&p, plan);
    if (first_left != CLUSTER_NONE)
        note_conflict(&p, first_left, before_it, plan);
}

static void free_choice(gpointer data)
{
    placement_choice_free(data);
}

PlacementPlan *placement_plan_new(void)
{
    PlacementPlan *plan = g_new0(PlacementPlan, 1);

    plan->moves = g_array_new(FALSE, FALSE, sizeof(PlacementMove));
    plan->left = g_ptr_array_new_with_free_func(free_choice);
    plan->conflict_vms = g_array_new(FALSE, FALSE, sizeof(guint));
    plan->conflict_rules = g_array_new(FALSE, FALSE, sizeof(guint));
    plan->irreducible = plan->proven = true;
    return plan;
}

/* One round: those that @stay count where they are. */
static PlacementPlan *plan_round(const Cluster *cluster, const guint *vms, guint n_vms, const bool *stay)
{
    g_autoptr(Room) room = room_new(cluster);
    g_autoptr(GArray) asked = g_array_new(FALSE, FALSE, sizeof(guint));
    PlacementPlan *plan = placement_plan_new();

    for (guint i = 0; i < n_vms; i++) {
        if (stay[vms[i]])
            continue;
        g_array_append_val(asked, vms[i]);
        if (cluster->vms[vms[i]].host != CLUSTER_NONE && cluster->vms[vms[i]].movable)
            room_lift(room, vms[i]);
    }
    room_plan(room, (const guint *) (void *) asked->data, asked->len, plan);
    return plan;
}

/* Those that should move and have no place stay where they are, and the others have to live with that: their number. */
static guint note_stuck(const Cluster *cluster, PlacementPlan *plan, bool *stay, GPtrArray *stuck)
{
    guint before = stuck->len;

    for (guint i = plan->left->len; i-- > 0;) {
        guint vm = ((const PlacementChoice *) plan->left->pdata[i])->vm;

        if (cluster->vms[vm].host == CLUSTER_NONE || !cluster->vms[vm].movable)
            continue;
        stay[vm] = true;
        g_ptr_array_add(stuck, g_ptr_array_steal_index(plan->left, i));
    }
    return stuck->len - before;
}

static int compare_choices(gconstpointer a, gconstpointer b, gpointer user)
{
    const PlacementChoice *x = *(PlacementChoice *const *) a, *y = *(PlacementChoice *const *) b;

    return compare_turns(&x->vm, &y->vm, user);
}

PlacementPlan *placement_plan(const Cluster *cluster, const guint *vms, guint n_vms)
{
    g_autofree bool *stay = g_new0(bool, cluster->n_vms + 1);
    g_autoptr(GPtrArray) stuck = g_ptr_array_new();
    PlacementPlan *plan = plan_round(cluster, vms, n_vms, stay), *first = NULL;

    while (note_stuck(cluster, plan, stay, stuck) > 0) {
        if (first == NULL)
            first = plan;
        else
            placement_plan_free(plan);
        plan = plan_round(cluster, vms, n_vms, stay);
    }
    for (guint i = 0; i < stuck->len; i++)
        g_ptr_array_add(plan->left, stuck->pdata[i]);
    g_ptr_array_sort_with_data(plan->left, compare_choices, (gpointer) cluster);
    if (first != NULL) {
        plan->proven &= first->proven;
        plan->irreducible = first->irreducible;
        g_array_set_size(plan->conflict_vms, 0);
        g_array_append_vals(plan->conflict_vms, first->conflict_vms->data, first->conflict_vms->len);
        g_array_set_size(plan->conflict_rules, 0);
        g_array_append_vals(plan->conflict_rules, first->conflict_rules->data, first->conflict_rules->len);
        placement_plan_free(first);
    }
    return plan;
}

void placement_plan_free(PlacementPlan *plan)
{
    if (plan == NULL)
        return;
    g_array_unref(plan->moves);
    g_ptr_array_unref(plan->left);
    g_array_unref(plan->conflict_vms);
    g_array_unref(plan->conflict_rules);
    g_free(plan);
}

const PlacementMove *placement_plan_move(const PlacementPlan *plan, guint vm)
{
    for (guint i = 0; i < plan->moves->len; i++)
        if (g_array_index(plan->moves, PlacementMove, i).vm == vm)
            return &g_array_index(plan->moves, PlacementMove, i);
    return NULL;
}
