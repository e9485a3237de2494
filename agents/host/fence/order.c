/*   LOOK --> WAIT --> ACT --> VERIFY --> end; of a reboot, ACT once more for "on"
 *    |                 ^--------|  |
 *    +--> next level <-------------+          of any phase: a device that does not say, or the level's time is over
 *
 * LOOK asks every device of the level for its status: one that does not answer now will hardly power off, and one that is off already needs
 * nothing. WAIT is the devices' delay. ACT powers those that are not yet where they shall be; what they answer to that is only noted,
 * for some do it and then lose the connection. VERIFY asks for the status again, once a second, and decides. ACT is repeated when the
 * status does not change and the devices have retries left. Each level has its share of the time that is left, so that a first one that
 * hangs leaves some for the second. */
#include "agents/host/fence/order.h"

#include "lib/base/clock.h"

#include <string.h>

#define SETTLE_US        (30 * US_PER_S) /* from an agent's "done" to a status that says so */
#define SLOW_US          (10 * US_PER_S)
#define SETTLE_FAILED_US (5 * US_PER_S) /* the same when the agent said that it failed */

const char *const order_names[ORDER_N] = { "off", "on", "reboot", "status" };

typedef enum { LOOK, WAIT, ACT, VERIFY } Phase;

typedef struct Part { /* a device in the level at work */
    FenceOrder *order;
    const FenceDevice *device;
    FenceSays says;      /* of its last status */
    unsigned tries;      /* failed ones of this phase */
    unsigned acts;       /* how often it was told to act */
    bool waiting;        /* for its answer */
    int64_t asked_us;
    bool hopeless;       /* its last status failed for good */
    char *text;          /* why its last status failed; NULL: it did not */
    char *act_text;      /* the same of what it was told to do */
} Part;

struct FenceOrder {
    FenceAsker asker;
    const FenceHost *host;
    OrderKind kind;
    FenceSays goal;          /* ON or OFF; FAILED: any */
    Phase phase;
    unsigned level;          /* from 0; FENCE_LEVELS: none left */
    GPtrArray *parts;        /* of Part */
    int64_t deadline_us, level_us, settle_us;
    guint source;            /* the next step, later */
    bool acted, delayed, was_off;
    GPtrArray *reasons;
    OrderDone done;
    void *user;
};

static void reason_free(OrderReason *reason)
{
    g_free(reason->text);
    g_free(reason);
}

static void part_free(Part *part)
{
    part->order->asker.forget(part->order->asker.self, part);
    g_free(part->text);
    g_free(part->act_text);
    g_free(part);
}

bool order_parse(const char *word, OrderKind *ret)
{
    for (OrderKind k = 0; k < ORDER_N; k++)
        if (strcmp(order_names[k], *word != '\0' ? word : "off") == 0) {
            *ret = k;
            return true;
        }
    return false;
}

void fence_order_free(FenceOrder *order)
{
    if (order == NULL)
        return;
    g_clear_handle_id(&order->source, g_source_remove);
    g_ptr_array_unref(order->parts);
    g_ptr_array_unref(order->reasons);
    g_free(order);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------------ */

static char *reasons_text(const FenceOrder *order)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < order->reasons->len; i++) {
        const OrderReason *reason = order->reasons->pdata[i];

        g_string_append_printf(text, "%s%s (level %u): %s", i > 0 ? "; " : "", reason->device->name, reason->level, reason->text);
    }
    return g_string_free(text, FALSE);
}

static void finish(FenceOrder *order, bool done, const char *state)
{
    g_autofree char *reasons = reasons_text(order), *text = NULL;
    OrderResult result = { .done = done, .state = state, .already = done && !order->acted, .level = done ? order->level + 1 : 0,
                           .late = !done && clock_now_us() >= order->deadline_us - US_PER_S, .reasons = order->reasons };

    if (!done)
        text = g_strdup_printf("%s %s: %s", order->was_off ? "it is off, and did not come up again;" : "no device did it for",
                               fence_host_label(order->host), reasons);
    else
        text = g_strdup_printf("%s is %s%s by level %u%s%s", fence_host_label(order->host), state, result.already ? " already, verified" : ", verified",
                               result.level, order->reasons->len > 0 ? "; before that: " : "", reasons);
    result.text = text;
    order->done(&result, order->user);
    fence_order_free(order);
}

static const char *state_name(FenceSays says)
{
    return says == FENCE_SAYS_OFF ? "off" : says == FENCE_SAYS_ON ? "on" : NULL;
}

/* ---- levels ------------------------------------------------------------------------------------------------------------------------- */

static void step(FenceOrder *order);

static gboolean on_step(void *user)
{
    FenceOrder *order = user;

    order->source = 0;
    step(order);
    return G_SOURCE_REMOVE;
}

static void step_after(FenceOrder *order, int64_t us)
{
    if (order->source == 0)
        order->source = g_timeout_add((guint) (MAX(us, 0) / US_PER_MS), on_step, order);
}

static unsigned levels_from(const FenceOrder *order, unsigned level)
{
    unsigned n = 0;

    for (unsigned i = level; i < FENCE_LEVELS; i++)
        n += order->host->levels[i] != NULL;
    return n;
}

static void enter_level(FenceOrder *order, unsigned level)
{
    g_ptr_array_set_size(order->parts, 0);
    while (level < FENCE_LEVELS && order->host->levels[level] == NULL)
        level++;
    order->level = level;
    order->phase = LOOK;
    if (level == FENCE_LEVELS || clock_now_us() >= order->deadline_us) {
        finish(order, false, order->was_off ? "off" : NULL);
        return;
    }
    order->level_us = clock_now_us() + (order->deadline_us - clock_now_us()) / levels_from(order, level);
    for (guint i = 0; i < order->host->levels[level]->len; i++) {
        Part *part = g_new0(Part, 1);

        part->order = order;
        part->device = order->host->levels[level]->pdata[i];
        g_ptr_array_add(order->parts, part);
    }
    step_after(order, 0);
}

static void note_reason(FenceOrder *order, const Part *part, const char *text)
{
    OrderReason *reason = g_new(OrderReason, 1);

    *reason = (OrderReason) { part->device, order->level + 1, g_strdup(text) };
    g_ptr_array_add(order->reasons, reason);
}

/* Every device that is not where it shall be says why. */
static void level_failed(FenceOrder *order)
{
    for (guint i = 0; i < order->parts->len; i++) {
        const Part *part = order->parts->pdata[i];

        if (part->says != FENCE_SAYS_FAILED && (part->says == order->goal || part->acts == 0))
            continue; /* it did its part, or was not asked for it because of another one */
        g_autofree char *still = g_strdup_printf("it still says %s%s%s", part->says == FENCE_SAYS_ON ? "on" : "off",
                                                 part->act_text != NULL ? ": " : "", part->act_text != NULL ? part->act_text : "");
        note_reason(order, part, part->says != FENCE_SAYS_FAILED ? still : part->text != NULL ? part->text : "it did not answer in time");
    }
    if (order->was_off) /* it is down: another level would know nothing of how */
        finish(order, false, "off");
    else
        enter_level(order, order->level + 1);
}

/* ---- phases ------------------------------------------------------------------------------------------------------------------------- */

static bool all_are(const FenceOrder *order, FenceSays says)
{
    for (guint i = 0; i < order->parts->len; i++)
        if (((const Part *) order->parts->pdata[i])->says != says)
            return false;
    return true;
}

static bool any_is(const FenceOrder *order, FenceSays says)
{
    for (guint i = 0; i < order->parts->len; i++)
        if (((const Part *) order->parts->pdata[i])->says == says)
            return true;
    return false;
}

static bool is_waiting(const FenceOrder *order)
{
    for (guint i = 0; i < order->parts->len; i++)
        if (((const Part *) order->parts->pdata[i])->waiting)
            return true;
    return false;
}

/* A device that took long to fail is dead rather than unlucky: the next level, if there is one, is more likely to help than another try. */
static bool slow_failure(const Part *part)
{
    return clock_now_us() - part->asked_us > SLOW_US && levels_from(part->order, part->order->level + 1) > 0;
}

static void on_answer(const FenceAnswer *answer, void *user)
{
    Part *part = user;
    FenceOrder *order = part->order;
    bool failed = answer->says == FENCE_SAYS_FAILED;
    char **text = order->phase == ACT ? &part->act_text : &part->text;

    part->waiting = false;
    part->tries += failed ? slow_failure(part) ? part->device->retries + 1 : 1 : 0;
    g_free(*text);
    *text = failed ? g_strdup(answer->text) : NULL;
    if (order->phase != ACT) {
        part->says = answer->says;
        part->hopeless = answer->hopeless;
    }
    bool soon = order->phase == ACT || (order->phase == LOOK && !failed) || (order->phase == VERIFY && all_are(order, order->goal));
    if (!is_waiting(order))
        step_after(order, soon ? 0 : order->asker.poll_us);
}

static void ask_one(Part *part, FenceAction action)
{
    FenceOrder *order = part->order;

    part->waiting = true;
    part->asked_us = clock_now_us();
    order->asker.ask(order->asker.self, part->device, order->host, action, order->level_us, on_answer, part);
}

static void begin_act(FenceOrder *order)
{
    order->phase = ACT;
    order->acted = true;
    for (guint i = 0; i < order->parts->len; i++) {
        Part *part = order->parts->pdata[i];

        if (part->says == order->goal)
            continue;
        part->acts++;
        ask_one(part, order->goal == FENCE_SAYS_OFF ? FENCE_OFF : FENCE_ON);
    }
}

/* Also those that were there before are asked anew: what they said is old. */
static void begin_verify(FenceOrder *order)
{
    int64_t patience_us = SETTLE_FAILED_US;

    for (guint i = 0; i < order->parts->len; i++)
        if (((const Part *) order->parts->pdata[i])->act_text == NULL)
            patience_us = SETTLE_US;
    order->phase = VERIFY;
    order->settle_us = MIN(order->level_us, clock_now_us() + patience_us);
    for (guint i = 0; i < order->parts->len; i++)
        ask_one(order->parts->pdata[i], FENCE_STATUS);
}

static void goal_reached(FenceOrder *order)
{
    if (order->kind != ORDER_REBOOT || order->was_off) {
        finish(order, true, state_name(order->goal));
        return;
    }
    order->was_off = true;
    order->goal = FENCE_SAYS_ON;
    order->level_us = order->deadline_us;
    for (guint i = 0; i < order->parts->len; i++)
        ((Part *) order->parts->pdata[i])->acts = 0;
    begin_act(order);
}

/* False: nobody is left to be asked again, or one is hopeless. */
static bool look_again(FenceOrder *order)
{
    bool asked = false;

    for (guint i = 0; i < order->parts->len; i++) {
        const Part *part = order->parts->pdata[i];

        if (part->says == FENCE_SAYS_FAILED && (part->hopeless || part->tries > part->device->retries))
            return false;
    }
    for (guint i = 0; i < order->parts->len; i++) {
        Part *part = order->parts->pdata[i];

        if (part->says != FENCE_SAYS_FAILED)
            continue;
        ask_one(part, FENCE_STATUS);
        asked = true;
    }
    return asked;
}

static int64_t delay_of(const FenceOrder *order)
{
    int64_t delay_us = 0;

    for (guint i = 0; i < order->parts->len && order->goal == FENCE_SAYS_OFF && !order->delayed; i++)
        delay_us = MAX(delay_us, ((const Part *) order->parts->pdata[i])->device->delay_us);
    return delay_us;
}

static void look(FenceOrder *order)
{
    int64_t delay_us = delay_of(order);

    if (look_again(order))
        return;
    if (any_is(order, FENCE_SAYS_FAILED)) {
        level_failed(order);
    } else if (order->kind == ORDER_STATUS) {
        finish(order, true, any_is(order, FENCE_SAYS_ON) ? "on" : "off");
    } else if (all_are(order, order->goal)) {
        goal_reached(order);
    } else if (delay_us > 0) {
        order->delayed = true;
        order->phase = WAIT;
        step_after(order, delay_us);
    } else {
        begin_act(order);
    }
}

static bool may_act_again(const FenceOrder *order)
{
    for (guint i = 0; i < order->parts->len; i++) {
        const Part *part = order->parts->pdata[i];

        if (part->says != order->goal && (part->says == FENCE_SAYS_FAILED || part->acts > part->device->retries))
            return false;
    }
    return true;
}

static void verify(FenceOrder *order)
{
    bool late = clock_now_us() >= order->settle_us;

    if (all_are(order, order->goal)) {
        goal_reached(order);
        return;
    }
    if (late && may_act_again(order))
        begin_act(order);
    else if (late)
        level_failed(order);
    for (guint i = 0; !late && i < order->parts->len; i++) {
        Part *part = order->parts->pdata[i];

        if (part->says != order->goal)
            ask_one(part, FENCE_STATUS);
    }
}

static void step(FenceOrder *order)
{
    bool there = order->phase == VERIFY && all_are(order, order->goal);

    if (is_waiting(order))
        return;
    if (clock_now_us() >= order->level_us && !there) {
        level_failed(order);
        return;
    }
    switch (order->phase) {
    case LOOK:   look(order);         break;
    case WAIT:   begin_act(order);    break;
    case ACT:    begin_verify(order); break;
    case VERIFY: verify(order);       break;
    }
}

static gboolean on_begin(void *user)
{
    FenceOrder *order = user;

    order->source = 0;
    enter_level(order, 0);
    return G_SOURCE_REMOVE;
}

FenceOrder *fence_order_new(const FenceAsker *asker, const FenceHost *host, OrderKind kind, int64_t deadline_us, OrderDone done, void *user)
{
    FenceOrder *order = g_new0(FenceOrder, 1);

    order->asker = *asker;
    order->asker.poll_us = asker->poll_us != 0 ? asker->poll_us : US_PER_S;
    order->host = host;
    order->kind = kind;
    order->goal = kind == ORDER_ON ? FENCE_SAYS_ON : kind == ORDER_STATUS ? FENCE_SAYS_FAILED : FENCE_SAYS_OFF;
    order->deadline_us = deadline_us;
    order->parts = g_ptr_array_new_with_free_func((GDestroyNotify) part_free);
    order->reasons = g_ptr_array_new_with_free_func((GDestroyNotify) reason_free);
    order->done = done;
    order->user = user;
    order->source = g_idle_add(on_begin, order);
    return order;
}
