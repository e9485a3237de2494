/* One bucket for each value of a budget's scope: "rack-fence rack r1". What is not known (a host without rack) has no bucket, and the wider
 * budgets hold. Unhealthy are the things a verdict or their own state says are down; what an ill observer does not see is not counted, so
 * one host that is really dead is mended while forty are only out of sight. */
#include "consumers/policy/engine/spend.h"

#include "consumers/policy/engine/engine_private.h"
#include "lib/base/json.h"

#include <string.h>

#define SERVE_MAX 100000 /* more than can wait */

typedef struct Claims {
    BudgetClaim claim[BUDGET_CLAIMS_MAX];
    guint n;
    GPtrArray *names; /* of char *: what the claims borrow */
} Claims;

static bool draws_on(const BudgetRule *budget, const GateAsk *ask)
{
    for (guint i = 0; i < budget->actions->len; i++) {
        if (g_pattern_match_simple(budget->actions->pdata[i], ask->step->action))
            return true;
        for (guint k = 0; ask->deed->kind == DEED_COMMANDS && k < ask->deed->commands->len; k++)
            if (g_pattern_match_simple(budget->actions->pdata[i], ((const Command *) ask->deed->commands->pdata[k])->action))
                return true;
    }
    return false;
}

static bool is_unhealthy(const EntityState *entity)
{
    static const char *const ill[] = { "failed", "crashed", "panicked", "hung", "lost", "dead", "isolated", "off", NULL };

    return g_strv_contains(ill, entity->state) || (strcmp(entity->state, "stopped") == 0 && g_strcmp0(entity->intent, "none") == 0);
}

static const char *scope_value(Engine *engine, BudgetScope scope, const EntityState *entity)
{
    static const char *const domains[] = { [SCOPE_RACK] = "rack", [SCOPE_POWER] = "power", [SCOPE_SWITCH] = "switch" };
    const EntityState *host = host_of(engine, entity), *vm = vm_of(engine, entity);
    const Application *app = NULL;

    switch (scope) {
    case SCOPE_SITE: return "";
    case SCOPE_APP:
        if (g_str_has_prefix(entity->path, "app/"))
            return entity_id(entity);
        app_vm_of_any(engine, entity, &app);
        return app == NULL ? NULL : app->name;
    case SCOPE_VM:   return vm == NULL ? NULL : entity_id(vm);
    case SCOPE_HOST: return host == NULL ? NULL : entity_id(host);
    default:         return scope >= SCOPE_STORAGE || host == NULL ? NULL : host_domain(engine, host, domains[scope]);
    }
}

/* Of the things of the action's kind in the scope. */
static void count_unhealthy(Engine *engine, const GateAsk *ask, BudgetScope scope, const char *value, BudgetClaim *claim)
{
    bool hosts = g_str_has_prefix(ask->step->action, "host.");
    const GPtrArray *all = hosts ? engine->hosts : engine->vms;

    for (guint i = 0; i < all->len; i++) {
        const EntityState *entity = all->pdata[i];

        if (scope != SCOPE_SITE && g_strcmp0(scope_value(engine, scope, entity), value) != 0)
            continue;
        claim->total++;
        claim->unhealthy += is_unhealthy(entity);
    }
}

/* Stop here, start there: two commands, and both are counted before the first, for what was stopped is not left to wait for a budget. */
static bool takes_two(const GateAsk *ask)
{
    const Command *first = ask->deed->kind == DEED_COMMANDS ? ask->deed->commands->pdata[0] : NULL;

    return first != NULL && action_starts(ask->step->action) && strcmp(first->action, "vm.stop") == 0;
}

static void claim_add(Claims *claims, const GateAsk *ask, const BudgetRule *budget, const char *value)
{
    if (value == NULL || claims->n >= BUDGET_CLAIMS_MAX)
        return;
    BudgetClaim *claim = &claims->claim[claims->n++];
    char *name = budget->scope == SCOPE_SITE ? g_strdup(budget->name) : g_strdup_printf("%s of %s %s", budget->name, budget_scope_name(budget->scope), value);

    g_ptr_array_add(claims->names, name);
    *claim = (BudgetClaim){ .bucket = name, .limits = { budget->at_once, budget->max, budget->per_us, budget->unhealthy_max_percent } };
    if (takes_two(ask)) {
        claim->limits.at_once -= budget->at_once > 1;
        claim->limits.max -= budget->max > 1;
    }
    if (budget->unhealthy_max_percent > 0)
        count_unhealthy(ask->stage->engine, ask, budget->scope, value, claim);
}

static const EntityState *place_of(const GateAsk *ask)
{
    const EntityState *to = gate_goes_to(ask);

    return to != NULL ? to : ask->deed->target;
}

static void claims_find(const GateAsk *ask, Claims *claims)
{
    Engine *engine = ask->stage->engine;
    const EntityState *target = ask->deed->target, *vm = target == NULL ? NULL : vm_of(engine, target);

    *claims = (Claims){ .names = g_ptr_array_new_with_free_func(g_free) };
    for (guint i = 0; target != NULL && i < engine->policy->budgets->len; i++) {
        const BudgetRule *budget = engine->policy->budgets->pdata[i];
        bool placed = budget->scope == SCOPE_HOST || budget->scope == SCOPE_RACK || budget->scope == SCOPE_POWER || budget->scope == SCOPE_SWITCH;
        size_t k;
        json_t *id;

        if (!draws_on(budget, ask))
            continue;
        if (budget->scope != SCOPE_STORAGE)
            claim_add(claims, ask, budget, scope_value(engine, budget->scope, placed ? place_of(ask) : target));
        else if (vm != NULL)
            json_array_foreach(vm->vm->storage, k, id)
                claim_add(claims, ask, budget, json_string_value(id));
    }
}

static void claims_clear(Claims *claims)
{
    g_ptr_array_unref(claims->names);
}

static BudgetAsk ask_of(const GateAsk *ask, const Claims *claims)
{
    return (BudgetAsk){ ask->incident->number, ask->incident->due.priority, claims->claim, claims->n };
}

void spend_would(const GateAsk *ask, BudgetAnswer *ret)
{
    Claims claims;

    *ret = (BudgetAnswer){ .verdict = BUDGET_GRANTED };
    claims_find(ask, &claims);
    BudgetAsk wanted = ask_of(ask, &claims);
    /* Taken and given back: a look without effect would need a copy of all buckets. Who is refused is in the queue now, and leaves it in spend_settle(). */
    if (claims.n > 0 && budget_ask(ask->stage->engine->budgets, &wanted, ask->stage->engine->now_us, ret))
        budget_give_back(ask->stage->engine->budgets, ask->incident->number, ask->stage->engine->now_us);
    claims_clear(&claims);
}

void spend_wait(const GateAsk *ask)
{
    BudgetAnswer answer = { 0 };
    Claims claims;

    claims_find(ask, &claims);
    BudgetAsk wanted = ask_of(ask, &claims);
    if (budget_ask(ask->stage->engine->budgets, &wanted, ask->stage->engine->now_us, &answer)) /* it was told otherwise: not used */
        budget_give_back(ask->stage->engine->budgets, ask->incident->number, ask->stage->engine->now_us);
    ask->stage->engine->budgets_touched = true;
    budget_answer_clear(&answer);
    claims_clear(&claims);
}

void spend_charge(const GateAsk *ask)
{
    Engine *engine = ask->stage->engine;
    BudgetAnswer answer = { 0 };
    Claims claims;

    claims_find(ask, &claims);
    BudgetAsk wanted = ask_of(ask, &claims);
    if (claims.n > 0 && !budget_ask(engine->budgets, &wanted, engine->now_us, &answer))
        budget_charge(engine->budgets, &wanted, engine->now_us);
    if (claims.n > 0 && takes_two(ask))
        budget_charge(engine->budgets, &wanted, engine->now_us);
    engine->budgets_touched = engine->budgets_touched || claims.n > 0;
    budget_answer_clear(&answer);
    claims_clear(&claims);
}

void spend_again(const GateAsk *ask)
{
    Engine *engine = ask->stage->engine;
    Claims claims;

    claims_find(ask, &claims);
    BudgetAsk wanted = ask_of(ask, &claims);
    if (claims.n > 0 && budget_is_running(engine->budgets, ask->incident->number))
        budget_charge(engine->budgets, &wanted, engine->now_us);
    claims_clear(&claims);
}

void spend_return(Stage *s, const Incident *incident)
{
    if (!budget_is_running(s->engine->budgets, incident->number))
        return;
    budget_return(s->engine->budgets, incident->number, s->engine->now_us);
    s->engine->budgets_touched = true;
}

void spend_settle(Stage *s, const Incident *incident)
{
    if ((incident->state == INCIDENT_OPEN && incident->wait == WAIT_BUDGET) || !budget_is_waiting(s->engine->budgets, incident->number))
        return;
    budget_withdraw(s->engine->budgets, incident->number);
    s->engine->budgets_touched = true;
}

/* Each that is asked takes its token or leaves the queue, so this ends. */
void spend_serve(Stage *s)
{
    Engine *engine = s->engine;

    for (unsigned served = 0; engine->budgets_touched && served < SERVE_MAX; served++) {
        engine->budgets_touched = false;
        if (budget_n_waiting(engine->budgets) == 0)
            break;
        g_autoptr(GArray) ready = budget_ready(engine->budgets, engine->now_us);
        if (ready->len == 0)
            break;
        uint64_t number = g_array_index(ready, uint64_t, 0);
        Incident *incident = g_hash_table_lookup(engine->numbers, &number);

        if (incident != NULL && incident->state == INCIDENT_OPEN && incident->wait == WAIT_BUDGET)
            ladder_decide(s, incident);
        else
            budget_withdraw(engine->budgets, number);
        engine->budgets_touched = true;
        if (incident != NULL && incident->state == INCIDENT_OPEN && incident->wait == WAIT_BUDGET)
            break; /* said to be ready, and refused: its next time is asked for below */
    }
    engine->budgets_touched = false;
    due_set(&engine->due, &engine->budget_due, budget_n_waiting(engine->budgets) == 0 ? NEVER_US : budget_due_us(engine->budgets, engine->now_us));
}
