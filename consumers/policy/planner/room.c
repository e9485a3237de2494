/* One pass over the cluster; after that, whether a VM fits a host is a handful of comparisons and one count per rule it is in. Memory is
 * limited to 64 TiB a piece so that no sum of what peers claim can overflow. */
#include "consumers/policy/planner/room.h"

#include <string.h>

#define MEMORY_MAX (INT64_C(1) << 46)
#define VCPUS_MAX  (INT64_C(1) << 24)

static int64_t held(uint64_t amount, double factor, int64_t most)
{
    double value = (double) amount * (factor > 0 ? factor : 1);

    return value >= (double) most ? most : (int64_t) value;
}

static int64_t vm_vcpus(const Room *room, guint vm)
{
    return MIN((int64_t) room->cluster->vms[vm].vcpus, VCPUS_MAX + 1);
}

int64_t room_memory(const Room *room, guint vm)
{
    return (int64_t) MIN(room->cluster->vms[vm].memory_bytes, (uint64_t) MEMORY_MAX + 1);
}

static bool names_have(ClusterNames names, const char *name)
{
    for (; names != NULL && *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* The same text the same number; each unknown one its own, so that nothing is together with it but itself. */
static void number_domain(Room *room, ClusterDomain domain)
{
    const Cluster *cluster = room->cluster;
    g_autoptr(GHashTable) numbers = g_hash_table_new(g_str_hash, g_str_equal);

    room->value[domain] = g_new(guint, cluster->n_hosts + 1);
    room->known[domain] = g_new(bool, cluster->n_hosts + 1);
    for (guint h = 0; h < cluster->n_hosts; h++) {
        const char *text = cluster->hosts[h].domains[domain];
        gpointer first;

        room->known[domain][h] = domain == CLUSTER_HOST || text != NULL;
        room->value[domain][h] = h;
        if (domain == CLUSTER_HOST || text == NULL)
            continue;
        if (g_hash_table_lookup_extended(numbers, text, NULL, &first))
            room->value[domain][h] = GPOINTER_TO_UINT(first);
        else
            g_hash_table_insert(numbers, (char *) text, GUINT_TO_POINTER(h));
    }
}

static void load_hosts(Room *room)
{
    const Cluster *cluster = room->cluster;

    room->memory_free = g_new(int64_t, cluster->n_hosts + 1);
    room->memory_holds = g_new(int64_t, cluster->n_hosts + 1);
    room->vcpus_free = g_new(int64_t, cluster->n_hosts + 1);
    room->vcpus_holds = g_new(int64_t, cluster->n_hosts + 1);
    room->failed = g_new0(bool, cluster->n_hosts + 1);
    for (guint h = 0; h < cluster->n_hosts; h++) {
        const ClusterHost *host = &cluster->hosts[h];

        room->memory_free[h] = room->memory_holds[h] = held(host->memory_bytes, cluster->overcommit_memory, MEMORY_MAX);
        room->vcpus_free[h] = room->vcpus_holds[h] =
            host->vcpus == 0 ? INT64_MAX : held(host->vcpus, cluster->overcommit_vcpus, VCPUS_MAX);
    }
    for (ClusterDomain domain = 0; domain < CLUSTER_DOMAIN_N; domain++)
        number_domain(room, domain);
}

static void load_rule(Room *room, guint r)
{
    const Cluster *cluster = room->cluster;
    RoomRule *rule = &room->rules[r];

    rule->rule = &cluster->rules[r];
    if (rule->rule->kind == CLUSTER_APART || rule->rule->kind == CLUSTER_TOGETHER) {
        rule->count = g_new0(guint, cluster->n_hosts + 1);
        return;
    }
    rule->matches = g_new0(bool, cluster->n_hosts + 1);
    for (guint h = 0; h < cluster->n_hosts; h++) {
        const ClusterHost *host = &cluster->hosts[h];

        rule->matches[h] = rule->rule->label != NULL &&
                           (names_have(host->labels, rule->rule->label) || g_strcmp0(host->id, rule->rule->label) == 0 ||
                            g_strcmp0(host->name, rule->rule->label) == 0);
    }
}

/* Each VM's rules, in the rules' order, each once. */
static void load_rules(Room *room)
{
    const Cluster *cluster = room->cluster;
    g_autofree guint *fill = NULL, *last = g_new(guint, cluster->n_vms + 1);
    guint members = 0;

    room->rules = g_new0(RoomRule, cluster->n_rules + 1);
    room->rules_first = g_new0(guint, cluster->n_vms + 2);
    for (guint r = 0; r < cluster->n_rules; r++) {
        load_rule(room, r);
        members += cluster->rules[r].n_vms;
        for (guint i = 0; i < cluster->rules[r].n_vms; i++)
            room->rules_first[cluster->rules[r].vms[i] + 1]++;
    }
    for (guint v = 0; v < cluster->n_vms; v++)
        room->rules_first[v + 1] += room->rules_first[v];
    room->rules_of = g_new(guint, members + 1);
    fill = g_memdup2(room->rules_first, (cluster->n_vms + 1) * sizeof *fill);
    memset(last, 0xff, (cluster->n_vms + 1) * sizeof *last);
    for (guint r = 0; r < cluster->n_rules; r++)
        for (guint i = 0; i < cluster->rules[r].n_vms; i++) {
            guint vm = cluster->rules[r].vms[i];

            room->rules_of[fill[vm]++] = last[vm] == r ? CLUSTER_NONE : r; /* named twice: a hole */
            last[vm] = r;
        }
}

Room *room_new(const Cluster *cluster)
{
    Room *room = g_new0(Room, 1);

    room->cluster = cluster;
    room->tries = cluster->search_max > 0 ? cluster->search_max : CLUSTER_SEARCH_MAX;
    load_hosts(room);
    load_rules(room);
    room->allowed = g_new0(uint8_t *, cluster->n_vms + 1);
    room->at = g_new(guint, cluster->n_vms + 1);
    for (guint v = 0; v < cluster->n_vms; v++) {
        room->at[v] = CLUSTER_NONE;
        if (cluster->vms[v].host != CLUSTER_NONE)
            room_put(room, v, cluster->vms[v].host);
    }
    return room;
}

void room_free(Room *room)
{
    if (room == NULL)
        return;
    for (guint r = 0; r < room->cluster->n_rules; r++) {
        g_free(room->rules[r].count);
        g_free(room->rules[r].matches);
    }
    for (guint v = 0; v < room->cluster->n_vms; v++)
        g_free(room->allowed[v]);
    for (ClusterDomain domain = 0; domain < CLUSTER_DOMAIN_N; domain++) {
        g_free(room->value[domain]);
        g_free(room->known[domain]);
    }
    g_free(room->memory_free);
    g_free(room->memory_holds);
    g_free(room->vcpus_free);
    g_free(room->vcpus_holds);
    g_free(room->failed);
    g_free(room->rules);
    g_free(room->rules_first);
    g_free(room->rules_of);
    g_free(room->allowed);
    g_free(room->at);
    g_free(room);
}

static void count_in_rules(Room *room, guint vm, guint host, int change)
{
    for (guint i = room->rules_first[vm]; i < room->rules_first[vm + 1]; i++) {
        RoomRule *rule = room->rules_of[i] == CLUSTER_NONE ? NULL : &room->rules[room->rules_of[i]];

        if (rule == NULL || rule->count == NULL)
            continue;
        rule->count[room->value[rule->rule->by][host]] += (guint) change;
        rule->total += (guint) change;
        if (!room->known[rule->rule->by][host])
            rule->unknown += (guint) change;
    }
}

static void charge(Room *room, guint vm, guint host, int sign)
{
    room->memory_free[host] -= sign * room_memory(room, vm);
    if (room->vcpus_holds[host] != INT64_MAX)
        room->vcpus_free[host] -= sign * vm_vcpus(room, vm);
}

void room_put(Room *room, guint vm, guint host)
{
    g_assert(room->at[vm] == CLUSTER_NONE);
    charge(room, vm, host, 1);
    count_in_rules(room, vm, host, 1);
    room->at[vm] = host;
}

void room_take(Room *room, guint vm)
{
    charge(room, vm, room->at[vm], -1);
    room_lift(room, vm);
}

void room_lift(Room *room, guint vm)
{
    count_in_rules(room, vm, room->at[vm], -1);
    room->at[vm] = CLUSTER_NONE;
}

static bool pin_forbids(const RoomRule *rule, guint host)
{
    return rule->rule->kind == CLUSTER_ON ? !rule->matches[host] : rule->matches[host];
}

/* The reasons that hold however empty the host is. */
static RoomVerdict never_there(const Room *room, guint vm, guint host, int64_t *ret_detail)
{
    const ClusterHost *h = &room->cluster->hosts[host];
    const ClusterVm *v = &room->cluster->vms[vm];

    if (!h->usable)
        return ROOM_UNUSABLE;
    if (v->host == host)
        return ROOM_SAME;
    for (guint i = 0; v->storage != NULL && v->storage[i] != NULL; i++)
        if (!names_have(h->storage, v->storage[i])) {
            *ret_detail = i;
            return ROOM_STORAGE;
        }
    for (guint i = room->rules_first[vm]; i < room->rules_first[vm + 1]; i++) {
        const RoomRule *rule = room->rules_of[i] == CLUSTER_NONE ? NULL : &room->rules[room->rules_of[i]];

        if (rule != NULL && rule->matches != NULL && rule->rule->hard && !rule->off && pin_forbids(rule, host)) {
            *ret_detail = room->rules_of[i];
            return ROOM_PIN;
        }
    }
    return ROOM_FITS;
}

const uint8_t *room_allowed(Room *room, guint vm)
{
    if (room->allowed[vm] == NULL) {
        int64_t detail;

        room->allowed[vm] = g_new(uint8_t, room->cluster->n_hosts + 1);
        for (guint h = 0; h < room->cluster->n_hosts; h++)
            room->allowed[vm][h] = never_there(room, vm, h, &detail) == ROOM_FITS;
    }
    return room->allowed[vm];
}

void room_rule_off(Room *room, guint rule, bool off)
{
    const ClusterRule *r = room->rules[rule].rule;

    room->rules[rule].off = off;
    for (guint i = 0; i < r->n_vms; i++)
        g_clear_pointer(&room->allowed[r->vms[i]], g_free);
}

/* A host whose rack is not known may be in any: it counts for every rack, and every rack for it. */
static bool breaks_apart(const Room *room, const RoomRule *rule, guint host)
{
    const ClusterRule *r = rule->rule;
    guint most = 0, at_most = MAX(r->at_most, 1);

    if (room->known[r->by][host])
        return rule->count[room->value[r->by][host]] + rule->unknown >= at_most;
    for (guint h = 0; h < room->cluster->n_hosts; h++)
        if (room->known[r->by][h])
            most = MAX(most, rule->count[room->value[r->by][h]]);
    return most + rule->unknown >= at_most;
}

bool room_breaks(const Room *room, guint number, guint host)
{
    const RoomRule *rule = &room->rules[number];

    switch (rule->rule->kind) {
    case CLUSTER_APART:
        return breaks_apart(room, rule, host);
    case CLUSTER_TOGETHER:
        return rule->count[room->value[rule->rule->by][host]] != rule->total;
    case CLUSTER_ON:
    case CLUSTER_NEVER_ON:
        return pin_forbids(rule, host);
    }
    return false;
}

static guint broken_rule(const Room *room, guint vm, guint host)
{
    for (guint i = room->rules_first[vm]; i < room->rules_first[vm + 1]; i++) {
        guint r = room->rules_of[i];

        if (r != CLUSTER_NONE && room->rules[r].count != NULL && room->rules[r].rule->hard && !room->rules[r].off &&
            room_breaks(room, r, host))
            return r;
    }
    return CLUSTER_NONE;
}

bool room_fits(const Room *room, guint vm, guint host, const uint8_t *allowed)
{
    return allowed[host] && !room->failed[host] && room->memory_holds[host] > 0 &&
           room->memory_free[host] >= room_memory(room, vm) && room->vcpus_free[host] >= vm_vcpus(room, vm) &&
           broken_rule(room, vm, host) == CLUSTER_NONE;
}

RoomVerdict room_verdict(const Room *room, guint vm, guint host, int64_t *ret_detail)
{
    RoomVerdict never = never_there(room, vm, host, ret_detail);
    guint rule;

    if (never != ROOM_FITS)
        return never;
    if (room->failed[host])
        return ROOM_FAILED;
    rule = broken_rule(room, vm, host);
    if (rule != CLUSTER_NONE) {
        *ret_detail = rule;
        return ROOM_RULE;
    }
    if (room->memory_holds[host] == 0)
        return ROOM_MEMORY_UNKNOWN;
    *ret_detail = room_memory(room, vm) - room->memory_free[host];
    if (*ret_detail > 0)
        return ROOM_MEMORY;
    *ret_detail = vm_vcpus(room, vm) - room->vcpus_free[host];
    return *ret_detail > 0 ? ROOM_VCPUS : ROOM_FITS;
}

static int part_free(int64_t free, int64_t holds)
{
    return (int) (free * 1000 / holds);
}

int room_score(const Room *room, guint vm, guint host, int *ret_free, int *ret_soft)
{
    const ClusterHost *h = &room->cluster->hosts[host];
    int free = part_free(room->memory_free[host] - room_memory(room, vm), room->memory_holds[host]), soft = 0;

    if (room->vcpus_holds[host] != INT64_MAX && room->vcpus_holds[host] > 0)
        free = MIN(free, part_free(room->vcpus_free[host] - vm_vcpus(room, vm), room->vcpus_holds[host]));
    for (guint i = room->rules_first[vm]; i < room->rules_first[vm + 1]; i++) {
        guint r = room->rules_of[i];

        soft += r != CLUSTER_NONE && !room->rules[r].rule->hard && room_breaks(room, r, host);
    }
    if (ret_free != NULL)
        *ret_free = free;
    if (ret_soft != NULL)
        *ret_soft = soft;
    return free - 10 * (int) MIN(h->penalty, 100) - CLUSTER_SOFT_COST * soft +
           (room->cluster->vms[vm].prefers == host ? CLUSTER_PREFER_GAIN : 0);
}

guint room_best(Room *room, guint vm)
{
    const uint8_t *allowed = room_allowed(room, vm);
    guint best = CLUSTER_NONE;
    int best_score = 0;

    for (guint h = 0; h < room->cluster->n_hosts; h++) {
        int score;

        if (!room_fits(room, vm, h, allowed))
            continue;
        score = room_score(room, vm, h, NULL, NULL);
        if (best == CLUSTER_NONE || score > best_score) {
            best = h;
            best_score = score;
        }
    }
    return best;
}
