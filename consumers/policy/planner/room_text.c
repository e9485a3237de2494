/* What the planner says to people and to `mend why`. No floating point and no locale: the same bytes everywhere. */
#include "consumers/policy/planner/room.h"

/* "2.0 GiB", rounded up: what is short is short. */
static char *size_text(int64_t bytes)
{
    int64_t unit = INT64_C(1) << (bytes >= INT64_C(1) << 30 ? 30 : 20), tenths = (bytes * 10 + unit - 1) / unit;

    return g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT " %s", tenths / 10, tenths % 10,
                           unit == INT64_C(1) << 30 ? "GiB" : "MiB");
}

/* A member of the rule that is in the way, in the cluster's order; CLUSTER_NONE: none, or the VM itself only. */
static guint member_in_the_way(const Room *room, const ClusterRule *rule, guint vm, guint host)
{
    const guint *value = room->value[rule->by];

    for (guint v = 0; v < room->cluster->n_vms; v++) {
        bool member = false;

        for (guint i = 0; i < rule->n_vms && !member; i++)
            member = rule->vms[i] == v;
        if (!member || v == vm || room->at[v] == CLUSTER_NONE)
            continue;
        if ((value[room->at[v]] == value[host]) == (rule->kind == CLUSTER_APART))
            return v;
    }
    return CLUSTER_NONE;
}

static char *rule_text(const Room *room, guint vm, guint host, guint number)
{
    const ClusterRule *rule = &room->cluster->rules[number];
    guint other = member_in_the_way(room, rule, vm, host);

    if (!room->known[rule->by][host] && rule->kind == CLUSTER_APART)
        return g_strdup_printf("rule %s forbids it: its domain is not known", rule->name);
    if (other == CLUSTER_NONE)
        return g_strdup_printf("rule %s forbids it", rule->name);
    if (rule->kind == CLUSTER_APART && room->at[other] == host)
        return g_strdup_printf("rule %s forbids it: %s is there", rule->name, VM_NAME(room->cluster, other));
    return g_strdup_printf("rule %s forbids it: %s is on %s", rule->name, VM_NAME(room->cluster, other),
                           HOST_NAME(room->cluster, room->at[other]));
}

static char *refusal_text(const Room *room, guint vm, guint host, RoomVerdict verdict, int64_t detail)
{
    const Cluster *cluster = room->cluster;
    g_autofree char *size = NULL;

    switch (verdict) {
    case ROOM_UNUSABLE:
        return g_strdup(cluster->hosts[host].why_not != NULL ? cluster->hosts[host].why_not : "not usable");
    case ROOM_SAME:
        return g_strdup("it is there now");
    case ROOM_STORAGE:
        return g_strdup_printf("does not reach storage %s", cluster->vms[vm].storage[detail]);
    case ROOM_PIN:
        return g_strdup_printf("rule %s forbids it", cluster->rules[detail].name);
    case ROOM_FAILED:
        return g_strdup("assumed to fail");
    case ROOM_RULE:
        return rule_text(room, vm, host, (guint) detail);
    case ROOM_MEMORY_UNKNOWN:
        return g_strdup("its memory is not known");
    case ROOM_MEMORY:
        size = size_text(detail);
        return g_strdup_printf("memory %s short", size);
    case ROOM_VCPUS:
        return g_strdup_printf("%" G_GINT64_FORMAT " vCPU%s short", detail, detail == 1 ? "" : "s");
    case ROOM_FITS:
        break;
    }
    return g_strdup("fits");
}

static char *score_text(const Room *room, guint vm, guint host, int free, int soft)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "free %d %%", free / 10);
    if (room->cluster->hosts[host].penalty > 0)
        g_string_append_printf(text, ", penalty %u", MIN(room->cluster->hosts[host].penalty, 100));
    if (soft > 0)
        g_string_append_printf(text, ", breaks %d soft rule%s", soft, soft == 1 ? "" : "s");
    if (room->cluster->vms[vm].prefers == host)
        g_string_append(text, ", preferred");
    return g_string_free(text, FALSE);
}

static PlacementView view_of(const Room *room, guint vm, guint host)
{
    PlacementView view = { .host = host };
    int64_t detail = 0;
    int free, soft;
    RoomVerdict verdict = room_verdict(room, vm, host, &detail);

    if (room->at[vm] != CLUSTER_NONE) {
        view.text = g_strdup("it may not be moved");
        return view;
    }
    view.fits = verdict == ROOM_FITS;
    if (view.fits) {
        view.score = room_score(room, vm, host, &free, &soft);
        view.text = score_text(room, vm, host, free, soft);
    } else {
        view.text = refusal_text(room, vm, host, verdict, detail);
    }
    return view;
}

static int compare_views(gconstpointer a, gconstpointer b)
{
    const PlacementView *x = a, *y = b;

    if (x->fits != y->fits)
        return x->fits ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->host < y->host ? -1 : x->host > y->host;
}

static void view_done(gpointer data)
{
    g_free(((PlacementView *) data)->text);
}

PlacementChoice *room_choice(Room *room, guint vm, guint host)
{
    PlacementChoice *choice = g_new0(PlacementChoice, 1);

    choice->vm = vm;
    choice->host = host;
    choice->views = g_array_new(FALSE, FALSE, sizeof(PlacementView));
    g_array_set_clear_func(choice->views, view_done);
    for (guint h = 0; h < room->cluster->n_hosts; h++) {
        PlacementView view = view_of(room, vm, h);

        g_array_append_val(choice->views, view);
    }
    g_array_sort(choice->views, compare_views);
    return choice;
}

void placement_choice_free(PlacementChoice *choice)
{
    if (choice == NULL)
        return;
    g_array_unref(choice->views);
    g_free(choice);
}

char *placement_choice_text(const Cluster *cluster, const PlacementChoice *choice)
{
    GString *text = g_string_new(choice->host == CLUSTER_NONE ? "no host" : HOST_NAME(cluster, choice->host));
    bool refused = false;

    for (guint i = 0; i < choice->views->len; i++) {
        const PlacementView *view = &g_array_index(choice->views, PlacementView, i);

        if (view->fits && view->host == choice->host)
            g_string_append_printf(text, ": %s", view->text);
        if (view->fits)
            continue;
        g_string_append(text, refused ? "; " : choice->host == CLUSTER_NONE ? ": " : "; not ");
        g_string_append_printf(text, "%s: %s", HOST_NAME(cluster, view->host), view->text);
        refused = true;
    }
    if (choice->views->len == 0)
        g_string_append(text, ": there are none");
    return g_string_free(text, FALSE);
}

json_t *placement_choice_to_json(const Cluster *cluster, const PlacementChoice *choice)
{
    json_t *considered = json_array();

    for (guint i = 0; i < choice->views->len; i++) {
        const PlacementView *view = &g_array_index(choice->views, PlacementView, i);
        json_t *json = json_pack("{s:s, s:b, s:s}", "host", cluster->hosts[view->host].id, "fits", view->fits, "text", view->text);

        if (view->fits)
            json_object_set_new(json, "score", json_integer(view->score));
        json_array_append_new(considered, json);
    }
    return json_pack("{s:s, s:s?, s:o}", "vm", cluster->vms[choice->vm].id, "host",
                     choice->host == CLUSTER_NONE ? NULL : cluster->hosts[choice->host].id, "considered", considered);
}

#define LISTED_MAX 8 /* more names nobody reads */

static void append_listed(GString *text, guint i, guint n, const char *name)
{
    if (i < LISTED_MAX)
        g_string_append_printf(text, "%s%s", i == 0 ? "" : i + 1 == n ? " and " : ", ", name);
    else if (i == LISTED_MAX)
        g_string_append_printf(text, " and %u more", n - LISTED_MAX);
}

char *placement_conflict_text(const Cluster *cluster, const PlacementPlan *plan)
{
    GString *text;
    guint n = plan->conflict_vms->len;

    if (n == 0)
        return NULL;
    text = g_string_new(NULL);
    for (guint i = 0; i < n; i++)
        append_listed(text, i, n, VM_NAME(cluster, g_array_index(plan->conflict_vms, guint, i)));
    g_string_append(text, n == 1 ? " has no place" : n == 2 ? " cannot both be had" : " cannot all be had");
    for (guint i = 0; i < plan->conflict_rules->len; i++) {
        if (i == 0)
            g_string_append(text, plan->conflict_rules->len == 1 ? " with rule " : " with rules ");
        append_listed(text, i, plan->conflict_rules->len, cluster->rules[g_array_index(plan->conflict_rules, guint, i)].name);
    }
    return g_string_free(text, FALSE);
}

static json_t *conflict_to_json(const Cluster *cluster, const PlacementPlan *plan)
{
    json_t *vms = json_array(), *rules = json_array();

    for (guint i = 0; i < plan->conflict_vms->len; i++)
        json_array_append_new(vms, json_string(cluster->vms[g_array_index(plan->conflict_vms, guint, i)].id));
    for (guint i = 0; i < plan->conflict_rules->len; i++)
        json_array_append_new(rules, json_string(cluster->rules[g_array_index(plan->conflict_rules, guint, i)].name));
    return json_pack("{s:o, s:o, s:b}", "vms", vms, "rules", rules, "irreducible", plan->irreducible);
}

json_t *placement_plan_to_json(const Cluster *cluster, const PlacementPlan *plan)
{
    json_t *moves = json_array(), *left = json_array();

    for (guint i = 0; i < plan->moves->len; i++) {
        const PlacementMove *move = &g_array_index(plan->moves, PlacementMove, i);

        json_array_append_new(moves, json_pack("{s:s, s:s?, s:s, s:i}", "vm", cluster->vms[move->vm].id, "from",
                                               move->from == CLUSTER_NONE ? NULL : cluster->hosts[move->from].id, "to",
                                               cluster->hosts[move->to].id, "score", move->score));
    }
    for (guint i = 0; i < plan->left->len; i++)
        json_array_append_new(left, placement_choice_to_json(cluster, plan->left->pdata[i]));
    return json_pack("{s:o, s:o, s:o, s:b}", "moves", moves, "left", left, "conflict", conflict_to_json(cluster, plan), "proven",
                     plan->proven);
}
