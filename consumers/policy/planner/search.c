/* An exact search for places: depth first, the hardest VM first. Most calls end with the first descent. Where they do not, three things keep
 * a proof of "impossible" short, each without losing a solution:
 *
 *   - the room that is left, counting only hosts that can still take the smallest of what remains, must hold all that remains, and there
 *     must be as many places of that size; at the beginning this is asked for the largest of every number, too
 *   - of VMs that are alike, the later one stands on the same or a later host
 *   - of hosts that are alike at this moment, only the first is tried
 *
 * The last two hold together because VMs are taken in a fixed order with those alike side by side, and hosts in theirs: exchanging two
 * hosts that are alike turns a solution with the second into one with the first that obeys the order, too. */
#include "consumers/policy/planner/room.h"

#include <stdlib.h>
#include <string.h>

#define LOOKS_PER_TRY 8 /* a host looked at in passing costs so much less than one tried */

typedef struct Search {
    Room *room;
    guint n, n_hosts, tries;
    guint *vms;                /* hardest first, alike side by side */
    const uint8_t **allowed;   /* by place in vms */
    guint *n_allowed;
    guint *chosen;             /* by place */
    bool *like_last;           /* by place: alike with the one before */
    guint *previous;           /* by host: the nearest earlier one that always looks the same; CLUSTER_NONE */
    bool *wanted;              /* by host: allowed to any */
    bool matters[CLUSTER_DOMAIN_N]; /* a rule of these VMs asks for it */
    int64_t *rest_memory, *rest_vcpus, *least_memory, *least_vcpus; /* of the places from i on */
} Search;

static int compare_amounts(uint64_t a, uint64_t b)
{
    return a > b ? -1 : a < b; /* large first */
}

static int compare_rules(const Room *room, guint a, guint b)
{
    guint n = room->rules_first[a + 1] - room->rules_first[a], m = room->rules_first[b + 1] - room->rules_first[b];

    if (n != m)
        return n > m ? -1 : 1;
    return memcmp(room->rules_of + room->rules_first[a], room->rules_of + room->rules_first[b], n * sizeof *room->rules_of);
}

/* 0: alike. */
static int compare_vms(const Search *s, guint a, guint b)
{
    const ClusterVm *x = &s->room->cluster->vms[a], *y = &s->room->cluster->vms[b];
    int order = s->n_allowed[a] != s->n_allowed[b] ? (s->n_allowed[a] < s->n_allowed[b] ? -1 : 1) : 0;

    if (order == 0)
        order = compare_amounts(x->memory_bytes, y->memory_bytes);
    if (order == 0)
        order = compare_amounts(x->vcpus, y->vcpus);
    if (order == 0)
        order = compare_rules(s->room, a, b);
    return order != 0 ? order : memcmp(s->room->allowed[a], s->room->allowed[b], s->n_hosts);
}

static int compare_places(gconstpointer a, gconstpointer b, gpointer user)
{
    guint x = *(const guint *) a, y = *(const guint *) b;
    int order = compare_vms(user, x, y);

    return order != 0 ? order : x < y ? -1 : x > y;
}

static void search_done(Search *s)
{
    g_free(s->vms);
    g_free(s->allowed);
    g_free(s->n_allowed);
    g_free(s->chosen);
    g_free(s->like_last);
    g_free(s->previous);
    g_free(s->wanted);
    g_free(s->rest_memory);
    g_free(s->rest_vcpus);
    g_free(s->least_memory);
    g_free(s->least_vcpus);
}

static void search_begin(Search *s, const guint *vms)
{
    s->vms = g_memdup2(vms, s->n * sizeof *vms);
    s->allowed = g_new(const uint8_t *, s->n);
    s->n_allowed = g_new(guint, s->room->cluster->n_vms);
    s->chosen = g_new(guint, s->n);
    for (guint i = 0; i < s->n; i++) {
        const uint8_t *allowed = room_allowed(s->room, vms[i]);

        s->n_allowed[vms[i]] = 0;
        for (guint h = 0; h < s->n_hosts; h++)
            s->n_allowed[vms[i]] += allowed[h];
    }
    g_qsort_with_data(s->vms, (gint) s->n, sizeof *s->vms, compare_places, s);
    for (guint i = 0; i < s->n; i++)
        s->allowed[i] = room_allowed(s->room, s->vms[i]);
}

/* Each in its turn on the first host that takes it: what the search would try first, without its preparations. */
static bool first_descent(Search *s)
{
    guint placed = 0;

    for (guint i = 0; i < s->n && placed == i; i++)
        for (guint h = 0; h < s->n_hosts; h++) {
            if (s->tries == 0)
                break;
            s->tries--;
            if (!room_fits(s->room, s->vms[i], h, s->allowed[i]))
                continue;
            room_put(s->room, s->vms[i], h);
            s->chosen[i] = h;
            placed++;
            break;
        }
    for (guint i = placed; i-- > 0;)
        room_take(s->room, s->vms[i]);
    return placed == s->n;
}

static bool hosts_look_the_same(const Search *s, guint a, guint b)
{
    for (ClusterDomain domain = CLUSTER_HOST + 1; domain < CLUSTER_DOMAIN_N; domain++)
        if (s->matters[domain] && s->room->value[domain][a] != s->room->value[domain][b])
            return false;
    for (guint i = 0; i < s->n; i++)
        if (s->allowed[i][a] != s->allowed[i][b])
            return false;
    return true;
}

static void note_domains(Search *s)
{
    const Room *room = s->room;

    for (guint i = 0; i < s->n; i++)
        for (guint k = room->rules_first[s->vms[i]]; k < room->rules_first[s->vms[i] + 1]; k++)
            if (room->rules_of[k] != CLUSTER_NONE && room->rules[room->rules_of[k]].count != NULL)
                s->matters[room->rules[room->rules_of[k]].rule->by] = true;
}

/* Hosts by what never changes in the search. Compared by a sum first: nearly all differ or agree in it. */
static void sort_hosts(Search *s)
{
    g_autofree guint64 *sum = g_new(guint64, s->n_hosts + 1);

    s->previous = g_new(guint, s->n_hosts + 1);
    s->wanted = g_new0(bool, s->n_hosts + 1);
    note_domains(s);
    for (guint h = 0; h < s->n_hosts; h++) {
        sum[h] = G_GUINT64_CONSTANT(14695981039346656037);
        for (ClusterDomain domain = CLUSTER_HOST + 1; domain < CLUSTER_DOMAIN_N; domain++)
            sum[h] = (sum[h] ^ (s->matters[domain] ? s->room->value[domain][h] : 0)) * G_GUINT64_CONSTANT(1099511628211);
        for (guint i = 0; i < s->n; i++) {
            s->wanted[h] |= s->allowed[i][h] != 0;
            sum[h] = (sum[h] ^ s->allowed[i][h]) * G_GUINT64_CONSTANT(1099511628211);
        }
        s->previous[h] = CLUSTER_NONE;
        for (guint other = h; other-- > 0 && s->previous[h] == CLUSTER_NONE;)
            if (sum[other] == sum[h] && hosts_look_the_same(s, other, h))
                s->previous[h] = other;
    }
}

static void sum_up(Search *s)
{
    s->like_last = g_new0(bool, s->n);
    s->rest_memory = g_new0(int64_t, s->n + 1);
    s->rest_vcpus = g_new0(int64_t, s->n + 1);
    s->least_memory = g_new(int64_t, s->n + 1);
    s->least_vcpus = g_new(int64_t, s->n + 1);
    s->least_memory[s->n] = s->least_vcpus[s->n] = INT64_MAX;
    for (guint i = s->n; i-- > 0;) {
        int64_t memory = room_memory(s->room, s->vms[i]), vcpus = s->room->cluster->vms[s->vms[i]].vcpus;

        s->rest_memory[i] = s->rest_memory[i + 1] + memory;
        s->rest_vcpus[i] = s->rest_vcpus[i + 1] + vcpus;
        s->least_memory[i] = MIN(s->least_memory[i + 1], memory);
        s->least_vcpus[i] = MIN(s->least_vcpus[i + 1], vcpus);
        s->like_last[i] = i > 0 && compare_vms(s, s->vms[i - 1], s->vms[i]) == 0;
    }
}

static bool counts(const Search *s, guint host)
{
    return s->wanted[host] && !s->room->failed[host] && s->room->memory_holds[host] > 0;
}

static int compare_memory(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x > y ? -1 : x < y;
}

/* Of the @k largest each host takes no more than so many of the smallest of them, whatever k is. */
static bool every_size_may_fit(const Search *s)
{
    g_autofree int64_t *memory = g_new(int64_t, s->n);

    for (guint i = 0; i < s->n; i++)
        memory[i] = room_memory(s->room, s->vms[i]);
    qsort(memory, s->n, sizeof *memory, compare_memory);
    for (guint k = 0; k < s->n && memory[k] > 0; k++) {
        int64_t places = 0;

        if (k + 1 < s->n && memory[k + 1] == memory[k])
            continue;
        for (guint h = 0; h < s->n_hosts && places <= k; h++)
            if (counts(s, h) && s->room->memory_free[h] > 0)
                places += s->room->memory_free[h] / memory[k];
        if (places <= k)
            return false;
    }
    return true;
}

static bool rest_may_fit(const Search *s, guint i)
{
    int64_t memory = 0, vcpus = 0, places = 0;
    bool unlimited = s->rest_vcpus[i] == 0;

    for (guint h = 0; h < s->n_hosts; h++) {
        if (!counts(s, h) || s->room->memory_free[h] < s->least_memory[i] || s->room->vcpus_free[h] < s->least_vcpus[i])
            continue;
        memory += s->room->memory_free[h];
        places += s->least_memory[i] > 0 ? s->room->memory_free[h] / s->least_memory[i] : s->n;
        unlimited |= s->room->vcpus_holds[h] == INT64_MAX;
        vcpus += unlimited ? 0 : s->room->vcpus_free[h];
    }
    return places >= s->n - i && memory >= s->rest_memory[i] && (unlimited || vcpus >= s->rest_vcpus[i]);
}

static bool hosts_are_alike(const Search *s, guint a, guint b)
{
    const Room *room = s->room;

    if (room->memory_free[a] != room->memory_free[b] || room->memory_holds[a] != room->memory_holds[b] ||
        room->vcpus_free[a] != room->vcpus_free[b] || room->failed[a] != room->failed[b])
        return false;
    for (guint r = 0; r < room->cluster->n_rules; r++)
        if (room->rules[r].count != NULL && room->rules[r].rule->by == CLUSTER_HOST &&
            room->rules[r].count[a] != room->rules[r].count[b])
            return false;
    return true;
}

static bool tried_one_like(const Search *s, guint host, guint lowest)
{
    for (guint h = s->previous[host]; h != CLUSTER_NONE && h >= lowest; h = s->previous[h])
        if (hosts_are_alike(s, h, host))
            return true;
    return false;
}

/* So that a number of tries means a time, whatever it is spent on. */
static void pay(Search *s, guint tries)
{
    s->tries -= MIN(s->tries, tries);
}

static SearchResult descend(Search *s, guint i)
{
    guint lowest = i < s->n && s->like_last[i] ? s->chosen[i - 1] : 0;

    if (i == s->n)
        return SEARCH_FOUND;
    if (!rest_may_fit(s, i))
        return SEARCH_NONE;
    pay(s, s->n_hosts / LOOKS_PER_TRY);
    for (guint h = lowest; h < s->n_hosts; h++) {
        SearchResult result;

        if (s->tries == 0)
            return SEARCH_CUT;
        s->tries--;
        if (!room_fits(s->room, s->vms[i], h, s->allowed[i]) || tried_one_like(s, h, lowest))
            continue;
        room_put(s->room, s->vms[i], h);
        s->chosen[i] = h;
        result = descend(s, i + 1);
        room_take(s->room, s->vms[i]);
        if (result != SEARCH_NONE)
            return result;
    }
    return SEARCH_NONE;
}

/* Back to the caller's order. */
static void hand_out(const Search *s, const guint *vms, guint *ret_hosts)
{
    g_autofree guint *host_of = g_new(guint, s->room->cluster->n_vms);

    for (guint i = 0; i < s->n; i++)
        host_of[s->vms[i]] = s->chosen[i];
    for (guint i = 0; i < s->n; i++)
        ret_hosts[i] = host_of[vms[i]];
}

SearchResult room_search(Room *room, const guint *vms, guint n_vms, guint tries, guint *ret_hosts)
{
    Search s = { .room = room, .n = n_vms, .n_hosts = room->cluster->n_hosts, .tries = tries };
    SearchResult result;

    if (n_vms == 0)
        return SEARCH_FOUND;
    search_begin(&s, vms);
    if (first_descent(&s)) {
        result = SEARCH_FOUND;
    } else {
        pay(&s, s.n * s.n_hosts / LOOKS_PER_TRY);
        sort_hosts(&s);
        sum_up(&s);
        result = every_size_may_fit(&s) ? descend(&s, 0) : SEARCH_NONE;
    }
    if (result == SEARCH_FOUND && ret_hosts != NULL)
        hand_out(&s, vms, ret_hosts);
    room->tries -= MIN(room->tries, tries - s.tries);
    search_done(&s);
    return result;
}
