/* Power fencing: a host's management controller first, then, where there is one, its outlet; a proxy that reaches them; off only when it was
 * seen to be off. While the host writes a crash dump the proxy leaves it alone, as long as the order lasts. */
#include "consumers/policy/sim/deeds.h"

#include "lib/base/json.h"

#include <string.h>

#define DUMP_LOOK_US US_PER_S

typedef struct Try {
    Agent *agent;
    Order *order;
    Host *victim;
    unsigned level;
} Try;

static const char *const levels[FENCE_LEVELS] = { "BMC", "outlet" };

static bool level_works(const World *w, const Host *victim, unsigned level)
{
    if ((victim->power_management >> level & 1) == 0 || !w->feeds[victim->feed])
        return false;
    return level == FENCE_BMC ? victim->bmc && !victim->bmc_locked : victim->outlet;
}

bool fence_reaches(const Host *proxy, const Host *victim)
{
    return !victim->fence_in_rack || proxy->rack == victim->rack;
}

static void on_try(World *w, void *subject, int64_t argument);

static void answer_off(World *w, Try *t)
{
    t->victim->fenced_off_us = w->now_us;
    agent_answer(w, t->agent, t->order, RESULT_DONE, NULL, "off");
    if (t->victim->powered)
        world_fail(w, INVARIANT_FENCING, "%s was told as off, and is on", t->victim->thing.id);
}

static void try_later(World *w, Try *t, int64_t delay_us)
{
    Try *next = g_new(Try, 1);

    *next = *t;
    world_later_owned(w, delay_us, on_try, next, g_free);
}

static void on_try(World *w, void *subject, int64_t argument)
{
    g_autofree Try *t = subject;
    Host *victim = t->victim;

    (void) argument;
    if (world_flaw(w, SIM_FLAW_FENCE_UNVERIFIED)) {
        answer_off(w, t);
    } else if (t->order->deadline_us < agent_wall_us(w, t->agent)) {
        agent_answer(w, t->agent, t->order, RESULT_FAILED, COMMAND_ERROR_TIMEOUT, NULL);
    } else if (victim->dump_until_us > w->now_us && !world_flaw(w, SIM_FLAW_KDUMP_DEAF)) {
        try_later(w, t, DUMP_LOOK_US);
    } else if (level_works(w, victim, t->level)) {
        check_fenced(w, victim);
        host_power_off(w, victim, "fenced");
        answer_off(w, t);
    } else if (t->level + 1 < FENCE_LEVELS) {
        if ((victim->power_management >> t->level & 1) != 0)
            world_say(w, "%s: the %s of %s does not answer", t->agent->thing.id, levels[t->level], victim->thing.id);
        t->level++;
        try_later(w, t, random_between(&t->agent->dice, US_PER_S, 3 * US_PER_S));
    } else {
        agent_answer(w, t->agent, t->order, RESULT_FAILED, COMMAND_ERROR_FAILED, NULL);
    }
}

void fence_do(World *w, Agent *agent, Order *order)
{
    const char *id = json_string_or(order->command->arguments, "name", "");
    Try t = { .agent = agent, .order = order };

    for (unsigned i = 0; i < w->n_hosts; i++)
        if (strcmp(w->hosts[i].thing.id, id) == 0)
            t.victim = &w->hosts[i];
    if (t.victim == NULL || t.victim == agent->host)
        agent_answer(w, agent, order, RESULT_REFUSED, COMMAND_ERROR_ARGUMENT, NULL);
    else if (t.victim->power_management == 0 || !fence_reaches(agent->host, t.victim))
        agent_answer(w, agent, order, RESULT_REFUSED, COMMAND_ERROR_NOT_FOUND, NULL); /* its file has no device for it */
    else
        try_later(w, &t, random_between(&agent->dice, US_PER_S, 8 * US_PER_S));
}
