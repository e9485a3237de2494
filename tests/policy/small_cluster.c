#include "tests/policy/small_cluster.h"

#include <string.h>

static const char *const racks[] = { "r1", "r2", "r3" };
static const char *const only_fast[] = { "fast", NULL }, *const san[] = { "san", NULL };

static void random_hosts(SmallCluster *c, GRand *dice)
{
    c->cluster.n_hosts = (guint) g_rand_int_range(dice, 1, SMALL_HOSTS + 1);
    for (guint h = 0; h < c->cluster.n_hosts; h++) {
        ClusterHost *host = &c->hosts[h];

        g_snprintf(c->host_ids[h], sizeof c->host_ids[h], "h%u", h);
        host->id = c->host_ids[h];
        host->memory_bytes = (uint64_t) g_rand_int_range(dice, 2, 9);
        host->vcpus = (unsigned) (g_rand_int_range(dice, 0, 4) == 0 ? 0 : g_rand_int_range(dice, 2, 9));
        host->usable = g_rand_int_range(dice, 0, 6) != 0;
        host->why_not = "in quarantine";
        host->penalty = (unsigned) g_rand_int_range(dice, 0, 30);
        host->labels = g_rand_boolean(dice) ? only_fast : NULL;
        host->storage = g_rand_int_range(dice, 0, 4) != 0 ? san : NULL;
        host->domains[CLUSTER_RACK] = g_rand_int_range(dice, 0, 6) == 0 ? NULL : racks[g_rand_int_range(dice, 0, 3)];
    }
}

static void random_vms(SmallCluster *c, GRand *dice)
{
    c->cluster.n_vms = (guint) g_rand_int_range(dice, 1, SMALL_VMS + 1);
    for (guint v = 0; v < c->cluster.n_vms; v++) {
        ClusterVm *vm = &c->vms[v];

        g_snprintf(c->vm_ids[v], sizeof c->vm_ids[v], "v%u", v);
        vm->id = c->vm_ids[v];
        vm->host = CLUSTER_NONE;
        vm->prefers = g_rand_int_range(dice, 0, 3) == 0 ? (guint) g_rand_int_range(dice, 0, (gint32) c->cluster.n_hosts) : CLUSTER_NONE;
        vm->priority = g_rand_int_range(dice, 0, 4);
        vm->memory_bytes = (uint64_t) g_rand_int_range(dice, 1, 5);
        vm->vcpus = (unsigned) g_rand_int_range(dice, 0, 4);
        vm->ha = g_rand_int_range(dice, 0, 4) != 0;
        vm->movable = g_rand_int_range(dice, 0, 5) != 0;
        vm->storage = g_rand_int_range(dice, 0, 3) == 0 ? san : NULL;
    }
}

static void random_rules(SmallCluster *c, GRand *dice)
{
    c->cluster.n_rules = (guint) g_rand_int_range(dice, 0, SMALL_RULES + 1);
    for (guint r = 0; r < c->cluster.n_rules; r++) {
        ClusterRule *rule = &c->rules[r];

        g_snprintf(c->rule_names[r], sizeof c->rule_names[r], "rule%u", r);
        rule->name = c->rule_names[r];
        rule->kind = (ClusterRuleKind) (g_rand_int_range(dice, 0, 10) < 5 ? 0 : g_rand_int_range(dice, 0, 4));
        rule->hard = g_rand_int_range(dice, 0, 4) != 0;
        rule->by = g_rand_boolean(dice) ? CLUSTER_HOST : CLUSTER_RACK;
        rule->at_most = (unsigned) g_rand_int_range(dice, 0, 3);
        rule->label = g_rand_boolean(dice) ? "fast" : c->host_ids[0];
        rule->vms = c->members[r];
        for (guint v = 0; v < c->cluster.n_vms; v++)
            if (g_rand_int_range(dice, 0, 5) < (rule->kind == CLUSTER_TOGETHER ? 1 : 2))
                c->members[r][rule->n_vms++] = v;
    }
}

void small_cluster_random(SmallCluster *c, GRand *dice, int running)
{
    memset(c, 0, sizeof *c);
    c->cluster.hosts = c->hosts;
    c->cluster.vms = c->vms;
    c->cluster.rules = c->rules;
    random_hosts(c, dice);
    random_vms(c, dice);
    random_rules(c, dice);
    c->cluster.overcommit_memory = g_rand_int_range(dice, 0, 3) == 0 ? 1.5 : 0;
    c->cluster.overcommit_vcpus = g_rand_int_range(dice, 0, 3) == 0 ? 2 : 0;
    for (guint v = 0; v < c->cluster.n_vms; v++) {
        guint h = (guint) g_rand_int_range(dice, 0, (gint32) c->cluster.n_hosts);

        if (g_rand_int_range(dice, 0, 10) < running && (g_rand_int_range(dice, 0, 8) == 0 || brute_is_right(&c->cluster, &v, &h, 1)))
            c->vms[v].host = h; /* now and then where it should not be */
    }
}

void small_cluster_alike(SmallCluster *c, GRand *dice)
{
    uint64_t size = (uint64_t) g_rand_int_range(dice, 4, 9);

    small_cluster_random(c, dice, 0);
    for (guint h = 0; h < c->cluster.n_hosts; h++) {
        c->hosts[h].memory_bytes = size + (g_rand_int_range(dice, 0, 4) == 0);
        c->hosts[h].vcpus = 0;
        c->hosts[h].usable = true;
        c->hosts[h].labels = h % 2 == 0 ? only_fast : NULL;
    }
    c->cluster.n_vms = MIN(c->cluster.n_vms, 8);
    for (guint v = 0; v < c->cluster.n_vms; v++)
        c->vms[v].memory_bytes = (uint64_t) g_rand_int_range(dice, 1, 4) * (size > 6 ? 2 : 1);
    for (guint r = 0; r < c->cluster.n_rules; r++) {
        while (c->rules[r].n_vms > 0 && c->members[r][c->rules[r].n_vms - 1] >= c->cluster.n_vms)
            c->rules[r].n_vms--;
    }
}

/* Hosts are cut into VMs; a rule joins VMs of one host, or some of which no two are on one host or in one rack; labels follow what is there. */
static void packed_rules(PackedCluster *c, GRand *dice, const guint *home)
{
    c->cluster.n_rules = (guint) g_rand_int_range(dice, 0, PACKED_RULES + 1);
    for (guint r = 0; r < c->cluster.n_rules; r++) {
        ClusterRule *rule = &c->rules[r];
        guint seen = 0, chosen = (guint) g_rand_int_range(dice, 0, (gint32) c->cluster.n_hosts);

        *rule = (ClusterRule){ .name = "r", .kind = (ClusterRuleKind) g_rand_int_range(dice, 0, 4), .hard = true, .vms = c->members[r],
                               .by = g_rand_boolean(dice) ? CLUSTER_HOST : CLUSTER_RACK, .label = "fast" };
        for (guint v = 0; v < c->cluster.n_vms; v++) {
            guint domain = rule->by == CLUSTER_HOST ? home[v] : home[v] % 2;
            bool may = rule->kind == CLUSTER_APART      ? (seen >> domain & 1) == 0
                       : rule->kind == CLUSTER_TOGETHER ? home[v] == chosen
                                                        : (c->hosts[home[v]].labels != NULL) == (rule->kind == CLUSTER_ON);

            if (!may || g_rand_int_range(dice, 0, 3) == 0)
                continue;
            seen |= 1u << domain;
            c->members[r][rule->n_vms++] = v;
        }
    }
}

void packed_cluster_random(PackedCluster *c, GRand *dice)
{
    uint64_t size = (uint64_t) g_rand_int_range(dice, 12, 40);
    guint home[PACKED_VMS];

    memset(c, 0, sizeof *c);
    c->cluster = (Cluster){ .hosts = c->hosts, .vms = c->vms, .rules = c->rules, .n_hosts = (guint) g_rand_int_range(dice, 2, PACKED_HOSTS + 1) };
    for (guint h = 0; h < c->cluster.n_hosts; h++) {
        uint64_t left = size + (uint64_t) g_rand_int_range(dice, 0, 2);
        guint parts = (guint) g_rand_int_range(dice, 2, 4);

        c->hosts[h] = (ClusterHost){ .id = "h", .memory_bytes = left, .usable = true, .labels = g_rand_boolean(dice) ? only_fast : NULL };
        c->hosts[h].domains[CLUSTER_RACK] = racks[h % 2];
        for (guint i = 0; i < parts; i++) {
            uint64_t part = i + 1 == parts ? left : (uint64_t) g_rand_int_range(dice, 1, (gint32) (left - (parts - 1 - i)));

            home[c->cluster.n_vms] = h;
            c->vms[c->cluster.n_vms++] = (ClusterVm){ .id = "v", .host = CLUSTER_NONE, .prefers = CLUSTER_NONE, .memory_bytes = part };
            left -= part;
        }
    }
    packed_rules(c, dice, home);
}

static bool names(ClusterNames list, const char *name)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

/* Where @v counts for rules: where it is placed, else where it runs. One that is asked for and not placed counts nowhere. */
static guint place_of(const Cluster *cluster, guint v, const guint *vms, const guint *hosts, guint n)
{
    for (guint i = 0; i < n; i++)
        if (vms[i] == v)
            return hosts[i];
    return cluster->vms[v].host;
}

static bool member(const ClusterRule *rule, guint v)
{
    for (guint i = 0; i < rule->n_vms; i++)
        if (rule->vms[i] == v)
            return true;
    return false;
}

static bool may_share(const Cluster *cluster, ClusterDomain by, guint a, guint b, bool when_unknown)
{
    const char *x = cluster->hosts[a].domains[by], *y = cluster->hosts[b].domains[by];

    if (a == b)
        return true;
    if (by == CLUSTER_HOST)
        return false;
    return x == NULL || y == NULL ? when_unknown : strcmp(x, y) == 0;
}

/* How many members can at worst be in one domain together with @host: those whose domain is not known are wherever it hurts. */
static guint worst_company(const Cluster *cluster, const ClusterRule *rule, guint host, const guint *vms, const guint *hosts, guint n)
{
    guint worst = 0;

    for (guint pivot = 0; pivot < cluster->n_hosts; pivot++) { /* the domain they would share is that of pivot */
        guint count = 0;

        if (!may_share(cluster, rule->by, pivot, host, true) || (cluster->hosts[pivot].domains[rule->by] == NULL && pivot != host))
            continue;
        for (guint v = 0; v < cluster->n_vms; v++) {
            guint place = member(rule, v) ? place_of(cluster, v, vms, hosts, n) : CLUSTER_NONE;

            if (place == CLUSTER_NONE)
                continue;
            if (rule->by == CLUSTER_HOST ? place == pivot
                                         : place == pivot || cluster->hosts[place].domains[rule->by] == NULL ||
                                               may_share(cluster, rule->by, pivot, place, false))
                count++;
        }
        worst = MAX(worst, count);
    }
    return worst;
}

static bool rule_holds(const Cluster *cluster, const ClusterRule *rule, guint host, const guint *vms, const guint *hosts, guint n)
{
    bool labelled = names(cluster->hosts[host].labels, rule->label) || strcmp(cluster->hosts[host].id, rule->label) == 0;

    if (rule->kind == CLUSTER_ON || rule->kind == CLUSTER_NEVER_ON)
        return labelled == (rule->kind == CLUSTER_ON);
    if (rule->kind == CLUSTER_APART)
        return worst_company(cluster, rule, host, vms, hosts, n) <= MAX(rule->at_most, 1);
    for (guint v = 0; v < cluster->n_vms; v++) {
        guint place = member(rule, v) ? place_of(cluster, v, vms, hosts, n) : CLUSTER_NONE;

        if (place != CLUSTER_NONE && !may_share(cluster, rule->by, host, place, false))
            return false;
    }
    return true;
}

static bool has_room(const Cluster *cluster, guint host, const guint *vms, const guint *hosts, guint n)
{
    double memory = 0, vcpus = 0, factor = cluster->overcommit_memory > 0 ? cluster->overcommit_memory : 1;
    double vcpu_factor = cluster->overcommit_vcpus > 0 ? cluster->overcommit_vcpus : 1;

    for (guint v = 0; v < cluster->n_vms; v++) {
        guint place = place_of(cluster, v, vms, hosts, n);
        /* one that moves keeps its old room until all is done */
        unsigned times = (unsigned) (place == host) + (cluster->vms[v].host == host && place != host);

        memory += times * (double) cluster->vms[v].memory_bytes;
        vcpus += times * (double) cluster->vms[v].vcpus;
    }
    return memory <= (double) (uint64_t) ((double) cluster->hosts[host].memory_bytes * factor) &&
           (cluster->hosts[host].vcpus == 0 || vcpus <= (double) (uint64_t) (cluster->hosts[host].vcpus * vcpu_factor));
}

bool brute_is_right(const Cluster *cluster, const guint *vms, const guint *hosts, guint n)
{
    for (guint i = 0; i < n; i++) {
        const ClusterVm *vm = &cluster->vms[vms[i]];

        if (hosts[i] == CLUSTER_NONE)
            continue;
        if (!cluster->hosts[hosts[i]].usable || vm->host == hosts[i] || (vm->host != CLUSTER_NONE && !vm->movable))
            return false;
        for (guint s = 0; vm->storage != NULL && vm->storage[s] != NULL; s++)
            if (!names(cluster->hosts[hosts[i]].storage, vm->storage[s]))
                return false;
        if (!has_room(cluster, hosts[i], vms, hosts, n))
            return false;
        for (guint r = 0; r < cluster->n_rules; r++)
            if (cluster->rules[r].hard && member(&cluster->rules[r], vms[i]) &&
                !rule_holds(cluster, &cluster->rules[r], hosts[i], vms, hosts, n))
                return false;
    }
    return true;
}

/* A part that is wrong stays wrong, whatever is added: nothing here gets better by more VMs. */
static bool place_from(const Cluster *cluster, const guint *vms, guint *hosts, guint n, guint i)
{
    if (i == n)
        return true;
    for (guint h = 0; h < cluster->n_hosts; h++) {
        hosts[i] = h;
        if (brute_is_right(cluster, vms, hosts, n) && place_from(cluster, vms, hosts, n, i + 1))
            return true;
    }
    hosts[i] = CLUSTER_NONE;
    return false;
}

bool brute_can_place(const Cluster *cluster, const guint *vms, guint n)
{
    guint hosts[SMALL_VMS];

    for (guint i = 0; i < n; i++)
        hosts[i] = CLUSTER_NONE;
    return place_from(cluster, vms, hosts, n, 0);
}

/* Allowed on no usable host were it empty: rules of company left out. */
static bool is_pinned(const Cluster *cluster, guint v)
{
    for (guint h = 0; h < cluster->n_hosts; h++) {
        const ClusterVm *vm = &cluster->vms[v];
        bool may = cluster->hosts[h].usable && vm->host != h;

        for (guint s = 0; vm->storage != NULL && vm->storage[s] != NULL; s++)
            may &= names(cluster->hosts[h].storage, vm->storage[s]);
        for (guint r = 0; r < cluster->n_rules; r++) {
            const ClusterRule *rule = &cluster->rules[r];

            if (rule->hard && member(rule, v) && (rule->kind == CLUSTER_ON || rule->kind == CLUSTER_NEVER_ON))
                may &= rule_holds(cluster, rule, h, NULL, NULL, 0);
        }
        if (may)
            return false;
    }
    return true;
}

static bool survives(const Cluster *cluster, guint failing)
{
    ClusterHost hosts[SMALL_HOSTS];
    ClusterVm vms[SMALL_VMS];
    guint down[SMALL_VMS], n = 0;
    Cluster after = *cluster;

    memcpy(hosts, cluster->hosts, cluster->n_hosts * sizeof *hosts);
    memcpy(vms, cluster->vms, cluster->n_vms * sizeof *vms);
    after.hosts = hosts;
    after.vms = vms;
    for (guint h = 0; h < cluster->n_hosts; h++)
        hosts[h].usable &= (failing >> h & 1) == 0;
    for (guint v = 0; v < cluster->n_vms; v++) {
        if (vms[v].host != CLUSTER_NONE && (failing >> vms[v].host & 1) == 0)
            continue;
        if (vms[v].ha && !is_pinned(cluster, v))
            down[n++] = v;
        vms[v].host = CLUSTER_NONE;
    }
    return brute_can_place(&after, down, n);
}

bool brute_survives(const Cluster *cluster, unsigned hosts)
{
    for (guint failing = 0; failing < 1u << cluster->n_hosts; failing++)
        if ((unsigned) __builtin_popcount(failing) <= hosts && !survives(cluster, failing))
            return false;
    return true;
}
