/* Why it cannot be done, in as few words as possible: from what conflicts, the VMs and the rules that do so alone. One element after the
 * other is found by halving: the shortest beginning of the candidates that conflicts with what is found already ends with an element that
 * no conflict among them can do without. That takes some searches per element found, not per element there is. First the VMs under all
 * rules, then the rules for these VMs: fewer rules forbid less, so the VMs stay irreducible.
 *
 * A search that was cut off counts as "can be had": then more is named than needed, but what is named does conflict. When all tries are
 * used up, the rest is named unseen. */
#include "consumers/policy/planner/room.h"

typedef struct Hunt {
    Room *room;
    guint vm;
    GArray *vms, *rules;          /* of guint: found */
    const guint *candidates;      /* VMs */
    GArray *rule_candidates;
    bool among_rules, cut;
} Hunt;

/* Do the found ones and the first @n candidates conflict? */
static bool conflicts(Hunt *hunt, guint n)
{
    g_autoptr(GArray) vms = g_array_new(FALSE, FALSE, sizeof(guint));
    SearchResult result;

    g_array_append_vals(vms, hunt->vms->data, hunt->vms->len);
    if (!hunt->among_rules)
        g_array_append_vals(vms, hunt->candidates, n);
    if (hunt->among_rules) {
        for (guint i = 0; i < hunt->rule_candidates->len; i++)
            room_rule_off(hunt->room, g_array_index(hunt->rule_candidates, guint, i), i >= n);
        for (guint i = 0; i < hunt->rules->len; i++)
            room_rule_off(hunt->room, g_array_index(hunt->rules, guint, i), false);
    }
    result = room_search(hunt->room, (const guint *) (void *) vms->data, vms->len, hunt->room->tries / 8 + 1, NULL);
    hunt->cut |= result == SEARCH_CUT;
    return result == SEARCH_NONE;
}

/* With all @n candidates they conflict: that is known. */
static guint shortest_beginning(Hunt *hunt, guint n)
{
    guint low = 0, high = n; /* low: they can be had; high: they cannot */

    while (high - low > 1) {
        guint middle = low + (high - low) / 2;

        if (conflicts(hunt, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

static void hunt_among(Hunt *hunt, guint n, GArray *found, const guint *candidates)
{
    while (!conflicts(hunt, 0) && n > 0) {
        n = shortest_beginning(hunt, n) - 1;
        g_array_append_val(found, candidates[n]);
        if (hunt->room->tries == 0 && n > 0) { /* no time left: all of them, which do conflict */
            g_array_append_vals(found, candidates, n);
            hunt->cut = true;
            return;
        }
    }
}

static bool has_member(const ClusterRule *rule, const GArray *vms)
{
    for (guint i = 0; i < rule->n_vms; i++)
        for (guint k = 0; k < vms->len; k++)
            if (rule->vms[i] == g_array_index(vms, guint, k))
                return true;
    return false;
}

static int compare_numbers(gconstpointer a, gconstpointer b)
{
    guint x = *(const guint *) a, y = *(const guint *) b;

    return x < y ? -1 : x > y;
}

void room_conflict(Room *room, guint vm, const guint *beside, guint n_beside, PlacementPlan *plan)
{
    g_autoptr(GArray) rule_candidates = g_array_new(FALSE, FALSE, sizeof(guint));
    Hunt hunt = { .room = room, .vm = vm, .vms = plan->conflict_vms, .rules = plan->conflict_rules, .candidates = beside,
                  .rule_candidates = rule_candidates };
    guint tries = room->tries;

    room->tries = room->cluster->search_max > 0 ? room->cluster->search_max : CLUSTER_SEARCH_MAX;
    g_array_append_val(hunt.vms, vm);
    hunt_among(&hunt, n_beside, hunt.vms, beside);
    for (guint r = 0; r < room->cluster->n_rules; r++)
        if (room->cluster->rules[r].hard && has_member(&room->cluster->rules[r], hunt.vms))
            g_array_append_val(rule_candidates, r);
    hunt.among_rules = true;
    hunt_among(&hunt, rule_candidates->len, hunt.rules, (const guint *) (void *) rule_candidates->data);
    for (guint i = 0; i < rule_candidates->len; i++)
        room_rule_off(room, g_array_index(rule_candidates, guint, i), false);
    g_array_sort(hunt.vms, compare_numbers);
    g_array_sort(hunt.rules, compare_numbers);
    plan->irreducible = !hunt.cut;
    room->tries = tries;
}
