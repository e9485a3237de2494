/* The order of merge.h as one table: a row's place is its rank. A table of pairs says the same 400 times and can contradict itself. */
#include "consumers/policy/planner/merge.h"

#include <string.h>

static const char *const ranks[] = {
    "notify",
    /* run: by scope, then by how much is torn down */
    "service.start", "service.restart",
    "vm.extend", "vm.resume", "vm.start", "vm.set-memory", "vm.block-copy", "vm.migrate", "vm.reboot", "vm.reset", "vm.restart", "vm.relocate",
    "app.start", "app.restart",
    "host.evacuate",
    /* stop and hold */
    "service.stop",
    "vm.suspend", "vm.shutdown", "vm.stop",
    "app.stop",
    "host.fence",
};

unsigned action_rank(const char *action)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ranks); i++)
        if (strcmp(ranks[i], action) == 0)
            return i + 1;
    return 0;
}

bool action_holds(const char *action)
{
    return action_rank(action) >= action_rank("service.stop");
}

int action_compare(const Contender *a, const Contender *b)
{
    unsigned x = action_rank(a->action), y = action_rank(b->action);
    int names = strcmp(a->action, b->action); /* only unknown ones share a rank */

    if (x != y)
        return x < y ? -1 : 1;
    if (names != 0)
        return names < 0 ? -1 : 1;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    if (a->incident != b->incident)
        return a->incident > b->incident ? -1 : 1; /* the older one goes first */
    int targets = strcmp(b->target, a->target);
    return targets < 0 ? -1 : targets > 0;
}

const Contender *action_merge(const Contender *a, const Contender *b)
{
    return action_compare(a, b) >= 0 ? a : b;
}

/* "service/VM/NAME" is in "vm/VM". */
static bool service_is_in(const char *vm, const char *service)
{
    size_t length;

    if (!g_str_has_prefix(vm, "vm/") || !g_str_has_prefix(service, "service/"))
        return false;
    length = strlen(vm + 3);
    return strncmp(service + 8, vm + 3, length) == 0 && service[8 + length] == '/';
}

static bool holds_target(const char *outer, const char *inner, ActionContains contains, void *user)
{
    return service_is_in(outer, inner) || (contains != NULL && contains(user, outer, inner));
}

bool action_overlaps(const Contender *a, const Contender *b, ActionContains contains, void *user)
{
    if (strcmp(a->action, "notify") == 0 || strcmp(b->action, "notify") == 0)
        return false;
    return strcmp(a->target, b->target) == 0 || holds_target(a->target, b->target, contains, user) ||
           holds_target(b->target, a->target, contains, user);
}

static int compare_greatest_first(gconstpointer a, gconstpointer b, gpointer user)
{
    const Contender *contenders = user;
    guint x = *(const guint *) a, y = *(const guint *) b;
    int greater = action_compare(&contenders[y], &contenders[x]);

    return greater != 0 ? greater : x < y ? -1 : x > y;
}

void action_settle(const Contender *contenders, guint n_contenders, ActionContains contains, void *user, guint *ret_loses_to)
{
    g_autofree guint *order = g_new(guint, n_contenders + 1), *done = g_new(guint, n_contenders + 1);
    guint n_done = 0;

    for (guint i = 0; i < n_contenders; i++)
        order[i] = i;
    g_qsort_with_data(order, (gint) n_contenders, sizeof *order, compare_greatest_first, (gpointer) contenders);
    for (guint i = 0; i < n_contenders; i++) {
        guint own = order[i], winner = own;

        for (guint k = 0; k < n_done && winner == own; k++)
            if (action_overlaps(&contenders[own], &contenders[done[k]], contains, user))
                winner = done[k];
        ret_loses_to[own] = winner;
        if (winner == own)
            done[n_done++] = own;
    }
}
