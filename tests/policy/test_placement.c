/* Placement against brute force over random small clusters; what it says to people; how long it takes over large ones. */
#include "consumers/policy/planner/room.h"
#include "tests/policy/small_cluster.h"

#include <string.h>
#include <time.h>

#define GIB (UINT64_C(1) << 30)

static const char *const web[] = { "web", NULL };

/* Three hosts of 8 GiB; web-1 on h2, and a rule that keeps web VMs apart. */
typedef struct Site {
    Cluster cluster;
    ClusterHost hosts[3];
    ClusterVm vms[6];
    ClusterRule rules[2];
    guint webs[6];
} Site;

static void site_init(Site *site)
{
    *site = (Site){ .cluster = { .hosts = site->hosts, .n_hosts = 3, .vms = site->vms, .rules = site->rules, .n_rules = 1 },
                    .hosts = { { .id = "h1", .memory_bytes = 8 * GIB, .vcpus = 8, .usable = true },
                               { .id = "h2", .memory_bytes = 8 * GIB, .vcpus = 8, .usable = true, .labels = web },
                               { .id = "h3", .memory_bytes = 8 * GIB, .vcpus = 8, .usable = true } },
                    .rules = { { .name = "web-apart", .kind = CLUSTER_APART, .hard = true, .by = CLUSTER_HOST, .vms = site->webs } } };
}

static guint site_vm(Site *site, const char *id, guint host, unsigned gib)
{
    guint vm = site->cluster.n_vms++;

    site->vms[vm] = (ClusterVm){ .id = id, .host = host, .prefers = CLUSTER_NONE, .memory_bytes = gib * GIB, .vcpus = 1, .ha = true, .movable = true };
    if (g_str_has_prefix(id, "web"))
        site->webs[site->rules[0].n_vms++] = vm;
    return vm;
}

static void assert_choice(const Site *site, guint vm, const char *expected)
{
    g_autoptr(PlacementChoice) choice = placement_choose(&site->cluster, vm);
    g_autofree char *text = placement_choice_text(&site->cluster, choice);

    g_assert_cmpstr(text, ==, expected);
}

static void test_every_host_has_its_reason(void)
{
    Site site;
    guint vm;

    site_init(&site);
    site_vm(&site, "big", 0, 7);
    site_vm(&site, "web-1", 1, 2);
    vm = site_vm(&site, "web-2", CLUSTER_NONE, 3);
    site.hosts[2].penalty = 20;
    assert_choice(&site, vm, "h3: free 62 %, penalty 20; not h1: memory 2.0 GiB short; h2: rule web-apart forbids it: web-1 is there");
    site.hosts[2].usable = false;
    site.hosts[2].why_not = "in quarantine";
    assert_choice(&site, vm, "no host: h1: memory 2.0 GiB short; h2: rule web-apart forbids it: web-1 is there; h3: in quarantine");
    site.vms[0].memory_bytes = 0;
    site.vms[0].vcpus = 8;
    assert_choice(&site, vm, "no host: h1: 1 vCPU short; h2: rule web-apart forbids it: web-1 is there; h3: in quarantine");
    site.vms[vm].storage = (const char *const[]){ "san", NULL };
    assert_choice(&site, vm, "no host: h1: does not reach storage san; h2: does not reach storage san; h3: in quarantine");
}

static void test_an_io_error_on_a_full_cluster_leaves_it_where_it_is(void)
{
    Site site;
    guint vm;
    g_autoptr(PlacementAdmission) admission = NULL, again = NULL;

    site_init(&site);
    vm = site_vm(&site, "db", 0, 4);
    site_vm(&site, "b", 1, 6);
    site_vm(&site, "c", 2, 7);
    admission = placement_admits(&site.cluster, &vm, 1);
    g_assert_false(admission->admitted);
    g_assert_false(admission->fits);
    g_assert_cmpstr(admission->text, ==, "db: no host: h1: it is there now; h2: memory 2.0 GiB short; h3: memory 3.0 GiB short");
    site.vms[1].memory_bytes = GIB;
    again = placement_admits(&site.cluster, &vm, 1);
    g_assert_true(again->admitted);
    g_assert_cmpuint(placement_plan_move(again->plan, vm)->to, ==, 1);
    g_assert_cmpstr(again->text, ==, "fits, and the reserve is kept");
}

static void test_the_reserve_is_what_would_really_fit(void)
{
    Site site;
    guint vm;
    g_autoptr(PlacementReserve) kept = NULL, broken = NULL, percent = NULL;
    g_autoptr(PlacementAdmission) admission = NULL;

    site_init(&site);
    site.cluster.reserve_hosts = 1;
    site_vm(&site, "a", 0, 6);
    site_vm(&site, "b", 1, 3);
    kept = placement_reserve(&site.cluster);
    g_assert_true(kept->kept && kept->proven);
    g_assert_cmpint(placement_spare_hosts(&site.cluster, 3), ==, 1); /* 9 GiB do not go on one host */
    vm = site_vm(&site, "new", CLUSTER_NONE, 5);
    admission = placement_admits(&site.cluster, &vm, 1);
    g_assert_true(admission->fits && admission->reserve_before && !admission->reserve_after && !admission->admitted);
    /* 5 + 3 GiB would be free then, and 6 are to be placed: by sums all would be well */
    g_assert_cmpstr(admission->text, ==, "fits, but then the reserve would not be kept: the failure of h1 would leave a down");
    site.vms[vm].host = 2;
    broken = placement_reserve(&site.cluster);
    g_assert_false(broken->kept);
    g_assert_true(broken->proven);
    g_assert_cmpuint(g_array_index(broken->failure, guint, 0), ==, 0);
    g_assert_cmpuint(broken->vm, ==, 0);
    site.cluster.reserve_hosts = 0;
    site.cluster.reserve_percent = 50;
    percent = placement_reserve(&site.cluster);
    g_assert_cmpstr(percent->text, ==, "memory: 41 % free of 50 % to be kept");
}

static void test_who_may_run_nowhere_else_is_no_matter_of_room(void)
{
    Site site;
    g_autoptr(PlacementReserve) reserve = NULL;

    site_init(&site);
    site.cluster.reserve_hosts = 1;
    site_vm(&site, "web-1", 1, 2);
    site.rules[0].kind = CLUSTER_ON;
    site.rules[0].label = "web";
    reserve = placement_reserve(&site.cluster);
    g_assert_true(reserve->kept);
    g_assert_cmpuint(reserve->pinned->len, ==, 1);
}

static void test_a_conflict_names_only_what_conflicts(void)
{
    Site site;
    g_autoptr(PlacementPlan) plan = NULL;
    g_autoptr(json_t) json = NULL;
    g_autofree char *text = NULL;
    guint vms[6];

    site_init(&site);
    site.cluster.n_hosts = 2;
    site.cluster.n_rules = 2;
    for (guint i = 0; i < 3; i++)
        vms[i] = site_vm(&site, ((const char *const[]){ "web-1", "web-2", "web-3" })[i], CLUSTER_NONE, 1);
    vms[3] = site_vm(&site, "other", CLUSTER_NONE, 1);
    site.rules[1] = (ClusterRule){ .name = "others", .kind = CLUSTER_NEVER_ON, .hard = true, .label = "web", .vms = vms + 3, .n_vms = 1 };
    plan = placement_plan(&site.cluster, vms, 4);
    g_assert_cmpuint(plan->moves->len, ==, 3);
    g_assert_cmpuint(plan->left->len, ==, 1);
    g_assert_true(plan->proven && plan->irreducible);
    text = placement_conflict_text(&site.cluster, plan);
    g_assert_cmpstr(text, ==, "web-1, web-2 and web-3 cannot all be had with rule web-apart");
    json = placement_plan_to_json(&site.cluster, plan);
    g_assert_cmpstr(json_string_value(json_object_get(json_array_get(json_object_get(json, "left"), 0), "vm")), ==, "web-3");
}

static void test_the_score_is_the_documented_one(void)
{
    Site site;
    guint vm;
    g_autoptr(PlacementChoice) choice = NULL;

    site_init(&site);
    site_vm(&site, "a", 0, 4);
    site_vm(&site, "web-1", 1, 2);
    vm = site_vm(&site, "web-2", CLUSTER_NONE, 2);
    site.rules[0].hard = false;
    site.hosts[0].vcpus = 2; /* both in use then: the scarcer counts */
    site.hosts[2].penalty = 20;
    site.vms[vm].prefers = 2;
    choice = placement_choose(&site.cluster, vm);
    g_assert_cmpint(g_array_index(choice->views, PlacementView, 0).score, ==, 750 - 200 + 100); /* h3 */
    g_assert_cmpint(g_array_index(choice->views, PlacementView, 1).score, ==, 0);               /* h1 */
    g_assert_cmpint(g_array_index(choice->views, PlacementView, 2).score, ==, 500 - 2000);      /* h2 */
    assert_choice(&site, vm, "h3: free 75 %, penalty 20, preferred");
}

static void test_a_member_named_twice_is_one_member(void)
{
    Site site;
    guint vm;
    g_autoptr(PlacementChoice) choice = NULL;

    site_init(&site);
    site.cluster.n_hosts = 1;
    site_vm(&site, "web-1", 0, 1);
    vm = site_vm(&site, "web-2", CLUSTER_NONE, 1);
    site.rules[0].at_most = 2;
    site.webs[site.rules[0].n_vms++] = 0;
    choice = placement_choose(&site.cluster, vm);
    g_assert_cmpuint(choice->host, ==, 0);
}

static void test_soft_rules_and_penalties_decide_in_plans(void)
{
    Site site;
    guint vms[3];
    g_autoptr(PlacementPlan) plan = NULL;

    site_init(&site);
    site.rules[0].hard = false;
    site.hosts[0].penalty = 90;
    for (guint i = 0; i < 3; i++)
        vms[i] = site_vm(&site, ((const char *const[]){ "web-1", "web-2", "web-3" })[i], CLUSTER_NONE, 1);
    plan = placement_plan(&site.cluster, vms, 3);
    for (guint i = 0; i < 3; i++) /* best first: h2, h3, and h1 only because the rule asks for it */
        g_assert_cmpuint(placement_plan_move(plan, vms[i])->to, ==, (i + 1) % 3);
}

static void test_a_large_vm_makes_others_give_way(void)
{
    Site site;
    g_autoptr(PlacementPlan) plan = NULL;
    guint vms[4];

    site_init(&site);
    site.cluster.n_hosts = 2; /* the three small ones are spread over both hosts before the large one comes */
    for (guint i = 0; i < 3; i++)
        vms[i] = site_vm(&site, ((const char *const[]){ "a", "b", "c" })[i], CLUSTER_NONE, 2);
    vms[3] = site_vm(&site, "large", CLUSTER_NONE, 8);
    for (guint i = 0; i < 3; i++)
        site.vms[i].priority = 50;
    plan = placement_plan(&site.cluster, vms, 4);
    g_assert_cmpuint(plan->left->len, ==, 0);
    g_assert_cmpuint(plan->moves->len, ==, 4);
}

static void test_nobody_waits_for_ever(void)
{
    Site site;
    guint vms[3] = { 0, 1, 2 };

    site_init(&site);
    site_vm(&site, "low", CLUSTER_NONE, 1);
    site_vm(&site, "high", CLUSTER_NONE, 1);
    site_vm(&site, "mid", CLUSTER_NONE, 1);
    site.vms[1].priority = 100;
    site.vms[2].priority = 50;
    site.cluster.now_us = 1000 * US_PER_S;
    placement_order(&site.cluster, vms, 3);
    g_assert_true(vms[0] == 1 && vms[1] == 2 && vms[2] == 0);
    site.vms[0].since_us = 400 * US_PER_S; /* 60 steps of 10 s */
    placement_order(&site.cluster, vms, 3);
    g_assert_true(vms[0] == 1 && vms[1] == 0 && vms[2] == 2);
    site.vms[0].deadline_us = 1001 * US_PER_S;
    placement_order(&site.cluster, vms, 3);
    g_assert_true(vms[0] == 1);
    site.cluster.now_us = 1001 * US_PER_S;
    placement_order(&site.cluster, vms, 3);
    g_assert_true(vms[0] == 0);
}

/* One place a second, and every second a newcomer of the highest priority: a low one with a deadline is served at it, and one without
 * when its age has made up for its priority. */
static void test_a_stream_of_the_important_does_not_starve_the_rest(void)
{
    for (int with_deadline = 0; with_deadline < 2; with_deadline++) {
        ClusterVm vms[2000] = { 0 };
        Cluster cluster = { .vms = vms, .n_vms = 1, .ageing_us = US_PER_S };
        GArray *queue = g_array_new(FALSE, FALSE, sizeof(guint));
        guint low = 0;
        int64_t second;

        vms[0] = (ClusterVm){ .id = "low", .host = CLUSTER_NONE, .since_us = US_PER_S, .deadline_us = with_deadline ? 31 * US_PER_S : 0 };
        g_array_append_val(queue, low);
        for (second = 1;; second++) {
            guint newcomer = cluster.n_vms++;

            g_assert_cmpuint(cluster.n_vms, <, 2000);
            vms[newcomer] = (ClusterVm){ .id = "high", .host = CLUSTER_NONE, .priority = 100, .since_us = second * US_PER_S };
            g_array_append_val(queue, newcomer);
            cluster.now_us = second * US_PER_S;
            placement_order(&cluster, (guint *) (void *) queue->data, queue->len);
            if (g_array_index(queue, guint, 0) == low)
                break;
            g_array_remove_index(queue, 0);
        }
        g_assert_cmpint(second, ==, with_deadline ? 31 : 101);
        g_array_unref(queue);
    }
}

static void take_moves(const PlacementPlan *plan, guint *vms, guint *hosts, guint *ret_n)
{
    *ret_n = plan->moves->len;
    for (guint i = 0; i < plan->moves->len; i++) {
        vms[i] = g_array_index(plan->moves, PlacementMove, i).vm;
        hosts[i] = g_array_index(plan->moves, PlacementMove, i).to;
    }
}

/* The best there is: each VM in its turn, if it can be had beside those before it. */
static void assert_same_as_greedy_brute_force(const Cluster *cluster, const PlacementPlan *plan, guint *vms, guint n)
{
    guint served[SMALL_VMS], n_served = 0;

    placement_order(cluster, vms, n);
    for (guint i = 0; i < n; i++) {
        served[n_served] = vms[i];
        if (!brute_can_place(cluster, served, n_served + 1)) {
            g_assert_null(placement_plan_move(plan, vms[i]));
            continue;
        }
        g_assert_nonnull(placement_plan_move(plan, vms[i]));
        n_served++;
    }
    g_assert_cmpuint(plan->moves->len, ==, n_served);
}

/* Without any one element the rest can be had; with all it cannot. */
static void assert_irreducible(const SmallCluster *small, const PlacementPlan *plan)
{
    ClusterRule rules[SMALL_RULES];
    Cluster cluster = small->cluster;
    guint n = plan->conflict_vms->len, n_rules = plan->conflict_rules->len, others[SMALL_VMS];
    const guint *vms = (const guint *) (void *) plan->conflict_vms->data;

    cluster.rules = rules;
    cluster.n_rules = n_rules;
    for (guint r = 0; r < n_rules; r++)
        rules[r] = small->rules[g_array_index(plan->conflict_rules, guint, r)];
    g_assert_false(brute_can_place(&cluster, vms, n));
    for (guint i = 0; i < n; i++) {
        for (guint k = 0, o = 0; k < n; k++)
            if (k != i)
                others[o++] = vms[k];
        g_assert_true(brute_can_place(&cluster, others, n - 1));
    }
    for (guint i = 0; i < n_rules; i++) {
        ClusterRule held = rules[i];

        rules[i].hard = false;
        g_assert_true(brute_can_place(&cluster, vms, n));
        rules[i] = held;
    }
}

static void test_plans_agree_with_brute_force(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(200);
    unsigned with_left = 0, without = 0;

    for (int round = 0; round < 2000; round++) {
        g_autofree SmallCluster *small = g_new0(SmallCluster, 1);
        g_autoptr(PlacementPlan) plan = NULL;
        guint asked[SMALL_VMS], vms[SMALL_VMS], hosts[SMALL_VMS], n = 0, n_moves;

        small_cluster_random(small, dice, 3);
        for (guint v = 0; v < small->cluster.n_vms; v++)
            if (small->vms[v].host == CLUSTER_NONE && n < 6)
                asked[n++] = v;
        plan = placement_plan(&small->cluster, asked, n);
        take_moves(plan, vms, hosts, &n_moves);
        g_assert_true(plan->proven);
        g_assert_true(brute_is_right(&small->cluster, vms, hosts, n_moves));
        assert_same_as_greedy_brute_force(&small->cluster, plan, asked, n);
        g_assert_cmpuint(plan->left->len + plan->moves->len, ==, n);
        if (plan->left->len > 0) {
            g_assert_true(plan->irreducible);
            assert_irreducible(small, plan);
            with_left++;
        } else {
            without++;
        }
    }
    g_test_message("%u plans placed all, %u did not", without, with_left);
    g_assert_cmpuint(with_left, >, 200);
    g_assert_cmpuint(without, >, 200);
}

/* VMs that run are moved: what cannot go stays where it is, and everything is right with that. */
static void test_moves_are_right_with_what_stays(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(201);
    unsigned moved = 0;

    for (int round = 0; round < 3000; round++) {
        g_autofree SmallCluster *small = g_new0(SmallCluster, 1);
        g_autoptr(PlacementPlan) plan = NULL, again = NULL;
        g_autoptr(json_t) one = NULL, two = NULL;
        guint asked[SMALL_VMS], vms[SMALL_VMS], hosts[SMALL_VMS], n = 0, n_moves;

        small_cluster_random(small, dice, 7);
        for (guint v = 0; v < small->cluster.n_vms; v++)
            if (g_rand_int_range(dice, 0, 3) != 0)
                asked[n++] = v;
        plan = placement_plan(&small->cluster, asked, n);
        again = placement_plan(&small->cluster, asked, n);
        take_moves(plan, vms, hosts, &n_moves);
        g_assert_true(brute_is_right(&small->cluster, vms, hosts, n_moves));
        for (guint i = 0; i < n_moves; i++) /* room for any part of the moves, in any order */
            g_assert_true(small->vms[vms[i]].host == CLUSTER_NONE || small->vms[vms[i]].movable);
        g_assert_cmpuint(plan->left->len + plan->moves->len, ==, n);
        one = placement_plan_to_json(&small->cluster, plan);
        two = placement_plan_to_json(&small->cluster, again);
        g_assert_true(json_equal(one, two));
        moved += n_moves;
    }
    g_assert_cmpuint(moved, >, 1000);
}

/* The exact search alone, without what usually makes it needless; hosts and VMs often alike, so that its short cuts are taken. */
static void test_searches_agree_with_brute_force(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(204);
    unsigned found = 0, none = 0;

    for (int round = 0; round < 20000; round++) {
        g_autofree SmallCluster *small = g_new0(SmallCluster, 1);
        g_autoptr(Room) room = NULL;
        guint vms[SMALL_VMS], hosts[SMALL_VMS], n;
        SearchResult result;

        small_cluster_alike(small, dice);
        n = small->cluster.n_vms;
        for (guint v = 0; v < n; v++)
            vms[v] = n - 1 - v;
        room = room_new(&small->cluster);
        result = room_search(room, vms, n, 1000000, hosts);
        g_assert_cmpint(result, ==, brute_can_place(&small->cluster, vms, n) ? SEARCH_FOUND : SEARCH_NONE);
        if (result == SEARCH_FOUND)
            g_assert_true(brute_is_right(&small->cluster, vms, hosts, n));
        found += result == SEARCH_FOUND;
        none += result == SEARCH_NONE;
    }
    g_test_message("%u found, %u proven impossible", found, none);
    g_assert_true(found > 2000 && none > 2000);
}

/* Full to the last byte: what goes first wherever it fits nearly never gets there, and a short cut too many misses the way. */
static void test_searches_find_the_way_that_there_is(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(205);

    for (int round = 0; round < 3000; round++) {
        g_autofree PackedCluster *packed = g_new0(PackedCluster, 1);
        g_autoptr(Room) room = NULL;
        guint vms[PACKED_VMS], hosts[PACKED_VMS], n;

        packed_cluster_random(packed, dice);
        n = packed->cluster.n_vms;
        for (guint v = 0; v < n; v++)
            vms[v] = v;
        room = room_new(&packed->cluster);
        g_assert_cmpint(room_search(room, vms, n, 10000000, hosts), ==, SEARCH_FOUND);
        g_assert_true(brute_is_right(&packed->cluster, vms, hosts, n));
    }
}

/* 150 VMs on 20 hosts, memory and vCPUs nearly used up: an exchange of two finds room where a search over all would be given up. */
static void test_a_full_site_is_filled(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(5);
    unsigned left = 0;

    for (int round = 0; round < 10; round++) {
        ClusterHost hosts[20];
        ClusterVm vms[150];
        guint numbers[150];
        Cluster cluster = { .hosts = hosts, .n_hosts = 20, .vms = vms, .n_vms = 150 };
        uint64_t memory = 0;
        unsigned vcpus = 0;
        g_autoptr(PlacementPlan) plan = NULL;

        for (guint v = 0; v < 150; v++) {
            numbers[v] = v;
            vms[v] = (ClusterVm){ .id = "v", .host = CLUSTER_NONE, .prefers = CLUSTER_NONE, .priority = g_rand_int_range(dice, 0, 100),
                                  .memory_bytes = (uint64_t) g_rand_int_range(dice, 1000, 9000), .vcpus = (unsigned) g_rand_int_range(dice, 1, 8) };
            memory += vms[v].memory_bytes;
            vcpus += vms[v].vcpus;
        }
        for (guint h = 0; h < 20; h++)
            hosts[h] = (ClusterHost){ .id = "h", .memory_bytes = memory * 106 / 2000, .vcpus = vcpus * 106 / 2000 + 1, .usable = true };
        plan = placement_plan(&cluster, numbers, 150);
        left += plan->left->len;
    }
    g_test_message("%u of 1,500 left", left);
    g_assert_cmpuint(left, <=, 10);
}

static void test_choices_agree_with_brute_force(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(202);

    for (int round = 0; round < 3000; round++) {
        g_autofree SmallCluster *small = g_new0(SmallCluster, 1);
        g_autoptr(PlacementChoice) choice = NULL;
        guint vm;
        int last = G_MAXINT;

        small_cluster_random(small, dice, 5);
        vm = (guint) g_rand_int_range(dice, 0, (gint32) small->cluster.n_vms);
        small->vms[vm].movable = true;
        choice = placement_choose(&small->cluster, vm);
        g_assert_cmpuint(choice->views->len, ==, small->cluster.n_hosts);
        for (guint i = 0; i < choice->views->len; i++) {
            const PlacementView *view = &g_array_index(choice->views, PlacementView, i);

            g_assert_true(view->fits == brute_is_right(&small->cluster, &vm, &view->host, 1));
            g_assert_true(!view->fits || view->score <= last);
            last = view->score;
        }
        g_assert_true((choice->host != CLUSTER_NONE) == g_array_index(choice->views, PlacementView, 0).fits);
        g_assert_true(choice->host == CLUSTER_NONE || choice->host == g_array_index(choice->views, PlacementView, 0).host);
    }
}

static void test_reserves_agree_with_brute_force(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(203);
    unsigned kept = 0, broken = 0;

    for (int round = 0; round < 1000; round++) {
        g_autofree SmallCluster *small = g_new0(SmallCluster, 1);
        g_autoptr(PlacementReserve) reserve = NULL;

        small_cluster_random(small, dice, 8);
        small->cluster.reserve_hosts = (unsigned) g_rand_int_range(dice, 0, 3);
        reserve = placement_reserve(&small->cluster);
        g_assert_true(reserve->proven);
        g_assert_true(reserve->kept == brute_survives(&small->cluster, small->cluster.reserve_hosts));
        g_assert_true(reserve->kept == (reserve->vm == CLUSTER_NONE));
        kept += reserve->kept;
        broken += !reserve->kept;
    }
    g_test_message("%u reserves kept, %u broken", kept, broken);
    g_assert_cmpuint(kept, >, 100);
    g_assert_cmpuint(broken, >, 100);
}

#define MANY_HOSTS 100
#define MANY_VMS   1000

typedef struct Large {
    Cluster cluster;
    ClusterHost hosts[MANY_HOSTS];
    ClusterVm vms[MANY_VMS];
    ClusterRule rules[50];
    guint members[50][4];
    char host_ids[MANY_HOSTS][8], vm_ids[MANY_VMS][8], racks[10][8];
} Large;

static Large *large_new(unsigned host_gib, bool placed)
{
    Large *l = g_new0(Large, 1);

    l->cluster = (Cluster){ .hosts = l->hosts, .n_hosts = MANY_HOSTS, .vms = l->vms, .n_vms = MANY_VMS, .rules = l->rules, .n_rules = 50 };
    for (guint h = 0; h < MANY_HOSTS; h++) {
        g_snprintf(l->host_ids[h], 8, "h%u", h);
        g_snprintf(l->racks[h % 10], 8, "r%u", h % 10);
        l->hosts[h] = (ClusterHost){ .id = l->host_ids[h], .memory_bytes = host_gib * GIB, .usable = true, .penalty = h % 7 };
        l->hosts[h].domains[CLUSTER_RACK] = l->racks[h % 10];
    }
    for (guint v = 0; v < MANY_VMS; v++) {
        g_snprintf(l->vm_ids[v], 8, "v%u", v);
        l->vms[v] = (ClusterVm){ .id = l->vm_ids[v], .host = placed ? v % MANY_HOSTS : CLUSTER_NONE, .prefers = CLUSTER_NONE,
                                 .priority = (int) (v * 7 % 100), .memory_bytes = (1 + v % 8) * GIB, .ha = true, .movable = true };
    }
    for (guint r = 0; r < 50; r++) {
        for (guint i = 0; i < 4; i++)
            l->members[r][i] = r * 4 + i;
        l->rules[r] = (ClusterRule){ .name = "apart", .kind = CLUSTER_APART, .hard = true, .by = r % 2 ? CLUSTER_RACK : CLUSTER_HOST,
                                     .vms = l->members[r], .n_vms = 4 };
    }
    return l;
}

static double plan_ms(const Large *l, guint *ret_left)
{
    guint vms[MANY_VMS];
    clock_t begin;
    g_autoptr(PlacementPlan) plan = NULL;

    for (guint v = 0; v < MANY_VMS; v++)
        vms[v] = v;
    begin = clock();
    plan = placement_plan(&l->cluster, vms, MANY_VMS);
    *ret_left = plan->left->len;
    return (double) (clock() - begin) * 1000 / CLOCKS_PER_SEC;
}

#ifdef __SANITIZE_ADDRESS__
#define SLOWER 30
#else
#define SLOWER 1
#endif

static void test_a_thousand_vms_on_a_hundred_hosts_in_time(void)
{
    g_autofree Large *roomy = large_new(64, false), *tight = large_new(46, false), *full = large_new(40, false);
    guint left;
    double ms = plan_ms(roomy, &left);

    g_test_message("1,000 VMs on 100 hosts: %.1f ms", ms);
    g_assert_cmpuint(left, ==, 0);
    g_assert_cmpfloat(ms, <, 100 * SLOWER);
    ms = plan_ms(tight, &left);
    g_test_message("98 %% full: %.1f ms, %u left", ms, left);
    g_assert_cmpfloat(ms, <, 500 * SLOWER);
    ms = plan_ms(full, &left);
    g_test_message("not enough for all: %.1f ms, %u left", ms, left);
    g_assert_cmpuint(left, >, 0);
    g_assert_cmpfloat(ms, <, 1000 * SLOWER);
}

static void test_a_hundred_hosts_keep_a_reserve_in_time(void)
{
    g_autofree Large *l = large_new(64, true);
    clock_t begin = clock();
    double ms;
    g_autoptr(PlacementReserve) one = NULL, two = NULL, four = NULL;

    l->cluster.reserve_hosts = 1;
    one = placement_reserve(&l->cluster);
    ms = (double) (clock() - begin) * 1000 / CLOCKS_PER_SEC;
    g_test_message("1,000 VMs on 100 hosts, N-1: %.1f ms: %s", ms, one->text);
    g_assert_true(one->proven);
    g_assert_cmpfloat(ms, <, 100 * SLOWER);
    begin = clock();
    l->cluster.reserve_hosts = 2;
    two = placement_reserve(&l->cluster);
    ms = (double) (clock() - begin) * 1000 / CLOCKS_PER_SEC;
    g_test_message("N-2, 4,950 pairs: %.1f ms: %s", ms, two->text);
    g_assert_true(two->proven);
    g_assert_cmpfloat(ms, <, 3000 * SLOWER);
    begin = clock();
    l->cluster.reserve_hosts = 4; /* four million sets: it says so, and in time */
    four = placement_reserve(&l->cluster);
    ms = (double) (clock() - begin) * 1000 / CLOCKS_PER_SEC;
    g_test_message("N-4: %.1f ms: %s", ms, four->text);
    g_assert_false(four->proven || four->kept);
    g_assert_cmpfloat(ms, <, 3000 * SLOWER);
}

/* Sizes without any order, and room for their sum by a hair: the search is given up, and nothing is claimed. */
static void test_a_search_without_end_is_given_up(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(1);
    Site site;
    ClusterHost hosts[12];
    ClusterVm vms[40];
    guint numbers[40];
    uint64_t sum = 0;
    clock_t begin;
    g_autoptr(PlacementPlan) plan = NULL;
    double ms;

    site_init(&site);
    site.cluster.hosts = hosts;
    site.cluster.vms = vms;
    site.cluster.n_hosts = 12;
    site.cluster.n_vms = 40;
    for (guint v = 0; v < 40; v++) {
        numbers[v] = v;
        vms[v] = (ClusterVm){ .id = "v", .host = CLUSTER_NONE, .prefers = CLUSTER_NONE,
                              .memory_bytes = (uint64_t) g_rand_int_range(dice, 100000, 500000) };
        sum += vms[v].memory_bytes;
    }
    for (guint h = 0; h < 12; h++)
        hosts[h] = (ClusterHost){ .id = "h", .memory_bytes = sum / 12 + 20 + h, .usable = true };
    begin = clock();
    plan = placement_plan(&site.cluster, numbers, 40);
    ms = (double) (clock() - begin) * 1000 / CLOCKS_PER_SEC;
    g_test_message("%u placed, %u left, proven %d: %.1f ms", plan->moves->len, plan->left->len, plan->proven, ms);
    g_assert_false(plan->proven);
    g_assert_cmpfloat(ms, <, 300 * SLOWER);
}

/* 13 large VMs for 12 hosts, all of different sizes: without the count of places a search over 12! ways. */
static void test_too_many_large_ones_are_proven_at_once(void)
{
    Site site;
    ClusterHost hosts[12];
    ClusterVm vms[20];
    guint numbers[20];
    g_autoptr(PlacementPlan) plan = NULL;

    site_init(&site);
    site.cluster.hosts = hosts;
    site.cluster.vms = vms;
    site.cluster.n_hosts = 12;
    site.cluster.n_vms = 20;
    for (guint h = 0; h < 12; h++)
        hosts[h] = (ClusterHost){ .id = "h", .memory_bytes = 1000 + h, .usable = true };
    for (guint v = 0; v < 20; v++) {
        numbers[v] = v;
        vms[v] = (ClusterVm){ .id = "v", .host = CLUSTER_NONE, .prefers = CLUSTER_NONE, .memory_bytes = v < 13 ? 510 + v : 10, .priority = v >= 13 };
    }
    plan = placement_plan(&site.cluster, numbers, 20);
    g_assert_true(plan->proven && plan->irreducible);
    g_assert_cmpuint(plan->left->len, ==, 1);
    g_assert_cmpuint(plan->conflict_vms->len, ==, 13);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/placement/every-host-has-its-reason", test_every_host_has_its_reason);
    g_test_add_func("/placement/an-io-error-on-a-full-cluster-leaves-it-where-it-is", test_an_io_error_on_a_full_cluster_leaves_it_where_it_is);
    g_test_add_func("/placement/the-reserve-is-what-would-really-fit", test_the_reserve_is_what_would_really_fit);
    g_test_add_func("/placement/who-may-run-nowhere-else-is-no-matter-of-room", test_who_may_run_nowhere_else_is_no_matter_of_room);
    g_test_add_func("/placement/a-conflict-names-only-what-conflicts", test_a_conflict_names_only_what_conflicts);
    g_test_add_func("/placement/a-large-vm-makes-others-give-way", test_a_large_vm_makes_others_give_way);
    g_test_add_func("/placement/nobody-waits-for-ever", test_nobody_waits_for_ever);
    g_test_add_func("/placement/a-stream-of-the-important-does-not-starve-the-rest", test_a_stream_of_the_important_does_not_starve_the_rest);
    g_test_add_func("/placement/plans-agree-with-brute-force", test_plans_agree_with_brute_force);
    g_test_add_func("/placement/moves-are-right-with-what-stays", test_moves_are_right_with_what_stays);
    g_test_add_func("/placement/choices-agree-with-brute-force", test_choices_agree_with_brute_force);
    g_test_add_func("/placement/reserves-agree-with-brute-force", test_reserves_agree_with_brute_force);
    g_test_add_func("/placement/a-thousand-vms-on-a-hundred-hosts-in-time", test_a_thousand_vms_on_a_hundred_hosts_in_time);
    g_test_add_func("/placement/a-hundred-hosts-keep-a-reserve-in-time", test_a_hundred_hosts_keep_a_reserve_in_time);
    g_test_add_func("/placement/searches-agree-with-brute-force", test_searches_agree_with_brute_force);
    g_test_add_func("/placement/searches-find-the-way-that-there-is", test_searches_find_the_way_that_there_is);
    g_test_add_func("/placement/a-full-site-is-filled", test_a_full_site_is_filled);
    g_test_add_func("/placement/the-score-is-the-documented-one", test_the_score_is_the_documented_one);
    g_test_add_func("/placement/a-member-named-twice-is-one-member", test_a_member_named_twice_is_one_member);
    g_test_add_func("/placement/soft-rules-and-penalties-decide-in-plans", test_soft_rules_and_penalties_decide_in_plans);
    g_test_add_func("/placement/too-many-large-ones-are-proven-at-once", test_too_many_large_ones_are_proven_at_once);
    g_test_add_func("/placement/a-search-without-end-is-given-up", test_a_search_without_end_is_given_up);
    return g_test_run();
}
