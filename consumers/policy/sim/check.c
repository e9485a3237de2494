/* The safety rules, held against what is true in the world, and, where a rule is about what the engine may know, against what it was told:
 * an engine is not to blame for what has not reached it. Nothing of the engine's own state is believed. */
#include "consumers/policy/sim/world.h"

#include "lib/base/json.h"

#include <string.h>

static bool is_one_of(const char *text, const char *const *list)
{
    return text != NULL && g_strv_contains(list, text);
}

/* --- what it was told --- */

static void knows_host_evidence(Knows *knows, const Event *event, int64_t now_us)
{
    const char *channel = event_data_string(event, "channel"), *says = event_data_string(event, "says");
    unsigned c = g_strcmp0(channel, "storage") == 0 ? SEEN_STORAGE : g_strcmp0(channel, "bmc") == 0 ? SEEN_BMC : SEEN_NETWORK;
    bool off = g_strcmp0(says, "off") == 0, gone = off || g_strcmp0(says, "gone") == 0;

    if (g_strcmp0(channel, "kdump") == 0) /* says neither that it lives nor that it is gone */
        return;
    knows->gone_us[c] = gone ? now_us : 0;
    if (c == SEEN_BMC && (off || g_strcmp0(says, "alive") == 0)) /* a BMC that does not answer takes nothing back */
        knows->off = off;
}

static void knows_session(World *w, Seat *seat, const Thing *thing, const char *state, int64_t now_us)
{
    const Agent *agent = (const Agent *) (const void *) thing;
    Knows *host;

    (void) w;
    if (agent->host == NULL)
        return;
    host = &seat->knows[agent->host->thing.number];
    if (strcmp(state, "lost") == 0 || strcmp(state, "closed") == 0)
        host->gone_us[SEEN_SESSION] = now_us;
    else if (strcmp(state, "up") == 0)
        host->gone_us[SEEN_SESSION] = 0;
}

static void knows_event(World *w, Seat *seat, const Event *event)
{
    static const char *const purposes[] = { "admin", "update", "shutdown", NULL }, *const reasons[] = { "io-error", "enospc", "eperm", NULL };
    static const char *const downs[] = { "stopped", "stopping", "failed", NULL };
    static const char *const happened[] = { "vm.evidence", "vm.rebooted", "vm.sample", "agent.restarted", NULL };
    const EventFields *f = event_fields(event);
    Thing *thing = thing_find(w, f->entity);
    int64_t now_us = seat_now_us(w, seat);

    if (thing == NULL || g_str_has_prefix(f->kind, "command."))
        return;
    Knows *knows = &seat->knows[thing->number];
    const char *state = strchr(f->kind, '.') + 1;
    if (strcmp(f->kind, "vm.job") == 0) {
        knows->job_us = g_strcmp0(event_data_string(event, "says"), "begun") == 0 ? now_us : 0;
        knows->boot = g_str_hash(f->boot_id == NULL ? "" : f->boot_id);
    } else if (strcmp(f->kind, "vm.evidence") == 0 && g_strcmp0(event_data_string(event, "channel"), "lease") == 0) {
        knows->lease_expired = g_strcmp0(event_data_string(event, "says"), "expired") == 0;
    } else if (strcmp(f->kind, "host.evidence") == 0) {
        knows_host_evidence(knows, event, now_us);
    } else if (is_one_of(f->kind, happened)) {
        return;
    } else if (f->sequence > knows->sequence) {
        knows->sequence = f->sequence;
        if (strcmp(state, "stopped") == 0 || strcmp(state, "crashed") == 0 ||
            (thing->kind == THING_VM && knows->boot != g_str_hash(f->boot_id == NULL ? "" : f->boot_id)))
            knows->job_us = 0; /* no job outlives the copy it is done to */
        knows->unknown = strcmp(state, "unknown") == 0;
        knows->stopped_on_purpose = is_one_of(state, downs) && is_one_of(event_data_string(event, "intent"), purposes);
        knows->full = strcmp(state, "running") != 0 && (knows->full || g_strcmp0(event_data_string(event, "reason"), "enospc") == 0);
        knows->paused_by_storage = strcmp(state, "paused") == 0 && is_one_of(event_data_string(event, "reason"), reasons);
        if (thing->kind == THING_VM && (strcmp(state, "stopped") == 0 || strcmp(state, "crashed") == 0))
            knows->job_us = 0; /* what was in progress ended with it */
        if (thing->kind == THING_AGENT)
            knows_session(w, seat, thing, state, now_us);
        if (strcmp(f->kind, "host.up") == 0) {
            guint boot = g_str_hash(f->boot_id == NULL ? "" : f->boot_id);

            knows->gone_us[SEEN_SESSION] = 0;
            knows->off = false;
            if (boot != knows->boot) /* what was said is of another life */
                memset(knows->gone_us, 0, sizeof knows->gone_us);
            knows->boot = boot;
        }
    }
}

void check_input(World *w, Seat *seat, const EngineInput *input)
{
    if (input->kind == INPUT_EVENT || input->kind == INPUT_ENTITY)
        knows_event(w, seat, input->event);
    if (input->kind == INPUT_OPERATOR && g_strcmp0(input->verb, "confirm-off") == 0 && thing_find(w, input->target) != NULL) {
        Knows *knows = &seat->knows[thing_find(w, input->target)->number];

        knows->off |= knows->gone_us[SEEN_SESSION] != 0; /* of a host that is still heard it is refused */
    }
    if (input->kind == INPUT_RESULT && input->result->state == RESULT_DONE &&
        g_strcmp0(json_string_or(input->result->values, "state", NULL), "off") == 0)
        for (guint i = w->orders->len; i-- > 0;) {
            const Order *order = w->orders->pdata[i];
            Knows *knows = &seat->knows[order->target->number];

            if (strcmp(order->command->id, input->result->command_id) == 0) {
                /* Late, nobody waits for it any more; of a host that has been heard since, it may be from before that life. */
                bool own = order->command->epoch == engine_epoch(seat->engine); /* another engine's is nothing it waits for */

                if (own && seat_now_us(w, seat) <= order->command->deadline_ms * US_PER_MS && knows->gone_us[SEEN_SESSION] != 0)
                    knows->off = true;
                break;
            }
        }
}

/* --- what it says --- */

static const Host *host_of(const Order *order)
{
    const Thing *thing = order->target;

    return thing->kind == THING_HOST ? (const Host *) (const void *) thing
           : thing->kind == THING_VM ? ((const Vm *) (const void *) thing)->home
                                     : NULL;
}

static bool budget_counts(const BudgetRule *budget, const char *action)
{
    for (guint i = 0; i < budget->actions->len; i++) {
        const char *pattern = budget->actions->pdata[i];
        size_t length = strlen(pattern);

        if (strcmp(pattern, action) == 0 ||
            (length > 1 && strcmp(pattern + length - 2, ".*") == 0 && strncmp(pattern, action, length - 1) == 0))
            return true;
    }
    return false;
}

/* How many in any window: for the scopes whose bucket nobody can read in two ways. */
static void check_budgets(World *w, Seat *seat, const Order *order)
{
    const Policy *policy = engine_policy(seat->engine);
    const Issue issue = { seat_now_us(w, seat), order->command->action, order->target, host_of(order), seat->number,
                          g_str_hash(order->command->incident == NULL ? "" : order->command->incident) * 1000 + (guint) order->attempt };
    const Issue *last = NULL;

    for (guint k = w->issues->len; last == NULL && k-- > 0;)
        if (g_array_index(w->issues, Issue, k).attempt == issue.attempt)
            last = &g_array_index(w->issues, Issue, k);
    if (last != NULL)
        return;

    for (guint i = 0; i < policy->budgets->len; i++) {
        const BudgetRule *budget = policy->budgets->pdata[i];
        unsigned n = 1;

        if (budget->max == 0 || !budget_counts(budget, issue.action) ||
            !(budget->scope == SCOPE_SITE || (budget->scope == SCOPE_RACK && order->target->kind == THING_HOST)))
            continue;
        for (guint k = w->issues->len; k-- > 0;) {
            const Issue *other = &g_array_index(w->issues, Issue, k);

            if (other->seat == seat->number && other->at_us > issue.at_us - budget->per_us && budget_counts(budget, other->action) &&
                (budget->scope == SCOPE_SITE || (other->host != NULL && other->host->rack == issue.host->rack)))
                n++;
        }
        if (n > budget->max)
            world_fail(w, INVARIANT_BUDGETS, "%s of %s is number %u; budget %s allows %u", issue.action, order->target->id, n,
                       budget->name, budget->max);
    }
    g_array_append_val(w->issues, issue);
}

static void check_office(World *w, Seat *seat, const Order *order, bool again)
{
    const char *action = order->command->action;

    if (engine_epoch(seat->engine) == 0)
        world_fail(w, INVARIANT_OFFICE, "%s of %s by an engine that does not act", action, order->target->id);
    if (!again && seat_now_us(w, seat) < seat->guard_us)
        world_fail(w, INVARIANT_OFFICE, "%s of %s in the start-up guard", action, order->target->id);
    if (seat->paused)
        world_fail(w, INVARIANT_OFFICE, "%s of %s while the engine is paused", action, order->target->id);
}

static void check_intent(World *w, const Knows *knows, const Order *order)
{
    static const char *const starts[] = { "service.start", "service.restart", "vm.start", "vm.reboot", "vm.reset", "vm.resume", NULL };
    const char *action = order->command->action;

    if (knows->stopped_on_purpose && g_strv_contains(starts, action))
        world_fail(w, INVARIANT_INTENT, "%s of %s, which was stopped on purpose, and the engine was told", action, order->target->id);
    if (knows->unknown && order->target->kind != THING_HOST)
        world_fail(w, INVARIANT_INTENT, "%s of %s, which is unknown", action, order->target->id);
}

static void check_job(World *w, Seat *seat, const Order *order)
{
    const Thing *thing = order->target;
    const Vm *vm = thing->kind == THING_VM        ? (const Vm *) (const void *) thing
                   : thing->kind == THING_SERVICE ? ((const Service *) (const void *) thing)->vm
                                                  : NULL;
    int64_t job_us = vm == NULL ? 0 : seat->knows[vm->thing.number].job_us;

    if (vm != NULL && strcmp(order->command->action, "vm.start") == 0) { /* what is to be started does not run: its job ended with it */
        seat->knows[vm->thing.number].job_us = 0;
        return;
    }
    /* Told, and true: the end of a job may be lost with the host that would tell it. */
    if (job_us != 0 && vm->job_kind != NULL && seat_now_us(w, seat) - job_us < engine_policy(seat->engine)->job_max_us)
        world_fail(w, INVARIANT_JOBS, "%s of %s while a job is under way on %s", order->command->action, thing->id, vm->thing.id);
}

/* Since @since_us; -1: not at all. */
static int seconds(int64_t now_us, int64_t since_us)
{
    return since_us == 0 ? -1 : (int) ((now_us - since_us) / US_PER_S);
}

static void check_fence(World *w, Seat *seat, const Order *order)
{
    const Host *host = (const Host *) (const void *) order->target;
    const Knows *knows = &seat->knows[host->thing.number];
    int64_t now_us = seat_now_us(w, seat);
    unsigned gone = knows->gone_us[SEEN_SESSION] != 0;

    for (unsigned c = SEEN_NETWORK; c <= SEEN_BMC; c++)
        gone += knows->gone_us[c] != 0; /* gone is gone until somebody says otherwise */
    if (gone < 2)
        world_fail(w, INVARIANT_EVIDENCE, "%s is fenced on the word of %u channels (silent for %d s, network %d s, storage %d s, BMC %d s)",
                   host->thing.id, gone, seconds(now_us, knows->gone_us[0]), seconds(now_us, knows->gone_us[1]),
                   seconds(now_us, knows->gone_us[2]), seconds(now_us, knows->gone_us[3]));
    /* Somebody had the time to see that it lives. */
    if (host_lives(host) && w->now_us - host->up_us > US_PER_MINUTE && host->nic && host->storage && host->agent.running && w->storages[0].works &&
        !w->switches[host->rack])
        world_fail(w, INVARIANT_EVIDENCE, "%s is fenced, and nothing is wrong with it but its switch", host->thing.id);
    if (knows->off)
        world_fail(w, INVARIANT_FENCING, "%s is fenced, and the engine was told that it is off", host->thing.id);
}

/* Stopped because its storage is full, a VM stays: elsewhere the storage is as full. A host that is no longer heard, is excluded, or has
 * lost the VM's lease is a reason of its own. */
static void check_full_stays(World *w, Seat *seat, const Order *order)
{
    const Vm *vm = (const Vm *) (const void *) order->target;
    const char *to = json_string_or(order->command->arguments, "host", "");

    if (order->target->kind != THING_VM || strcmp(order->command->action, "vm.start") != 0 || !vm->was_full ||
        !seat->knows[vm->thing.number].full || !w->storages[vm->storage].full ||
        strcmp(to, vm->home->thing.id) == 0 || seat->knows[vm->home->thing.number].gone_us[SEEN_SESSION] != 0 ||
        seat->knows[vm->thing.number].lease_expired || engine_excludes(seat->engine, vm->home->thing.path))
        return;
    if (order->command->incident != NULL && strcmp(vm->stopped_for, order->command->incident) == 0)
        world_fail(w, INVARIANT_PAUSED_STAYS, "%s was paused since its storage is full, and is to move from %s to %s", vm->thing.id,
                   vm->home->thing.id, to);
}

static void check_issued_once(World *w, Seat *seat, const Order *order)
{
    g_autofree char *key = g_strdup_printf("%s %s %s %" G_GINT64_FORMAT, order->command->incident, order->command->entity,
                                           order->command->action, w->now_us);
    const char *id = seat->issued == NULL ? NULL : g_hash_table_lookup(seat->issued, key);

    if (seat->issued == NULL)
        seat->issued = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (id != NULL && strcmp(id, order->command->id) != 0)
        world_fail(w, INVARIANT_ONCE, "%s of %s left twice, under two ids", order->command->action, order->target->id);
    g_hash_table_insert(seat->issued, g_steal_pointer(&key), order->command->id);
}

void check_command(World *w, Seat *seat, Order *order, bool again)
{
    const Knows *knows = &seat->knows[order->target->number];

    check_office(w, seat, order, again);
    check_intent(w, knows, order);
    if (knows->paused_by_storage && strcmp(order->command->action, "vm.migrate") == 0)
        world_fail(w, INVARIANT_PAUSED_STAYS, "%s is paused by its storage, and is to migrate", order->target->id);
    if (again)
        return;
    check_issued_once(w, seat, order);
    check_budgets(w, seat, order);
    check_job(w, seat, order);
    check_full_stays(w, seat, order);
    if (order->target->kind == THING_HOST && strcmp(order->command->action, "host.fence") == 0)
        check_fence(w, seat, order);
}

/* --- what is done --- */

void check_run(World *w, Agent *agent, Order *order)
{
    guint times = GPOINTER_TO_UINT(g_hash_table_lookup(w->executed, order->command->id)) + 1;

    w->report->executed++;
    g_hash_table_insert(w->executed, order->command->id, GUINT_TO_POINTER(times));
    if (times > 1)
        world_fail(w, INVARIANT_ONCE, "%s runs command %s (%s) for the %u. time", agent->thing.id, order->command->id,
                   order->command->action, times);
    if (order->command->epoch < agent->epoch)
        world_fail(w, INVARIANT_ONCE, "%s runs a command of epoch %" G_GUINT64_FORMAT " and has seen %" G_GUINT64_FORMAT,
                   agent->thing.id, order->command->epoch, agent->epoch);
}

void check_copies(World *w, Vm *vm)
{
    if (vm->n_copies > 1)
        world_fail(w, INVARIANT_ONE_COPY, "%s runs on %s and on %s", vm->thing.id, vm->copies[0].host->thing.id,
                   vm->copies[vm->n_copies - 1].host->thing.id);
}

void check_lease_taken(World *w, const Vm *vm, const Host *host)
{
    if (vm->lease_host != NULL && vm->lease_host != host && vm->handed_to != host && vm->lease_until_us > w->now_us)
        world_fail(w, INVARIANT_LEASES, "%s takes the lease of %s, which %s holds", host->thing.id, vm->thing.id, vm->lease_host->thing.id);
}

void check_lease_expiry(World *w, Vm *vm)
{
    const Copy *copy = vm_copy(vm, vm->lease_host);

    if (copy != NULL && !vm->lease_host->hung)
        world_fail(w, INVARIANT_LEASES, "%s is still there on %s when its lease expires", vm->thing.id, vm->lease_host->thing.id);
}

void check_fenced(World *w, const Host *host)
{
    w->report->fenced++;
    if (host->dump_until_us > w->now_us)
        world_fail(w, INVARIANT_DUMPS, "%s is switched off while it writes a crash dump", host->thing.id);
}

/* --- in the end --- */

static bool told_of(const World *w, const Vm *vm, const Thing *thing)
{
    return g_hash_table_contains(w->notices, thing->path) || g_hash_table_contains(w->notices, vm->thing.path) ||
           g_hash_table_contains(w->notices, vm->home->thing.path);
}

/* Or of what it stands on: what a parent's notice covers is not told again. */
static bool told_of_path(World *w, const char *path)
{
    const Thing *thing = thing_find(w, path);

    if (thing != NULL && thing->kind == THING_VM)
        return told_of(w, (const Vm *) (const void *) thing, thing);
    if (thing != NULL && thing->kind == THING_SERVICE)
        return told_of(w, ((const Service *) (const void *) thing)->vm, thing);
    return g_hash_table_contains(w->notices, path);
}

static void check_incidents(World *w, const Seat *seat)
{
    g_autoptr(json_t) incidents = engine_incidents(seat->engine);
    size_t i;
    json_t *incident;

    json_array_foreach(incidents, i, incident) {
        const char *state = json_string_or(incident, "state", ""), *entity = json_string_or(incident, "entity", "");
        int64_t wait = json_int_or(incident, "wait", 0);

        if (strcmp(state, "needs-human") == 0) {
            if (!told_of_path(w, entity))
                world_fail(w, INVARIANT_ENDS, "%s needs a human, and nobody was told", entity);
        } else if (wait != WAIT_OBSERVE_ONLY) {
            world_fail(w, INVARIANT_ENDS, "the incident of %s is still %s, waiting for %s", entity, state,
                       incident_wait_text((IncidentWait) CLAMP(wait, 0, WAIT_N - 1)));
        }
    }
}

static bool policy_listens(const Policy *policy, const char *kind)
{
    for (guint i = 0; i < policy->rules->len; i++)
        if (rule_listens(policy->rules->pdata[i], kind))
            return true;
    return false;
}

static void check_service(World *w, const Policy *policy, Service *service)
{
    Vm *vm = service->vm;

    if (!service->wanted || service->thing.dropped || strcmp(service->state, "running") == 0 || !vm_runs(vm) || vm->guest != GUEST_UP)
        return;
    if (strcmp(service->state, "failed") == 0 && strcmp(service->intent, "none") == 0 && policy_listens(policy, "service.failed") &&
        !told_of(w, vm, &service->thing))
        world_fail(w, INVARIANT_HEALS, "%s is failed, and nobody was told", service->thing.path);
}

static void check_vm(World *w, const Policy *policy, Vm *vm)
{
    const char *kind = vm->n_copies > 0 && vm->copies[0].state == COPY_PAUSED ? "vm.paused"
                       : vm->guest == GUEST_HUNG                              ? "vm.hung"
                       : vm->guest == GUEST_PANICKED                          ? "vm.panicked"
                       : vm->n_copies == 0 && !host_lives(vm->home)           ? "vm.lost"
                       : vm->n_copies == 0                                    ? "vm.crashed"
                                                                              : NULL;

    if (vm->thing.dropped || !vm->wanted || kind == NULL || (!vm->ha && strcmp(kind, "vm.paused") != 0) ||
        g_strcmp0(vm->ended, "vm.stopped") == 0 || !policy_listens(policy, kind))
        return;
    if (!told_of(w, vm, &vm->thing))
        world_fail(w, INVARIANT_HEALS, "%s should run and does not (%s), and nobody was told", vm->thing.id, kind);
}

void check_victims(World *w)
{
    for (unsigned i = 0; i < w->n_vms; i++) {
        const Vm *vm = &w->vms[i];

        if (vm->victim_of == NULL || !vm->ha)
            continue;
        w->report->victims++;
        w->report->victims_told |= told_of(w, vm, &vm->thing) || g_hash_table_contains(w->notices, vm->victim_of->thing.path);
        if (!vm_runs(vm))
            w->report->victims_down++;
        else if (vm->copies[0].host == vm->victim_of)
            w->report->victims_here++;
        else
            w->report->victims_elsewhere++;
    }
}

void check_end(World *w)
{
    const Policy *policy = w->options->policy;

    if (w->options->only_safety)
        return;
    for (unsigned i = 0; i < w->n_seats; i++)
        if (w->seats[i].engine != NULL && w->broker.acting == &w->seats[i])
            check_incidents(w, &w->seats[i]);
    for (unsigned i = 0; i < w->n_services; i++)
        check_service(w, policy, &w->services[i]);
    bool somebody = false; /* who could say what became of a host */
    for (unsigned i = 0; i < w->n_hosts; i++)
        somebody |= w->hosts[i].agent.link == LINK_UP;
    for (unsigned i = 0; somebody && i < w->n_vms; i++)
        check_vm(w, policy, &w->vms[i]);
}
