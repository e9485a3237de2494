/* VMs: where copies of them run, what their guests do, their leases. A VM is a set of copies, since that is what the first safety rule is
 * about; as long as it holds there is one at most, and the guest's state is that copy's. */
#include "consumers/policy/sim/world.h"

#include <string.h>

Copy *vm_copy(Vm *vm, const Host *host)
{
    for (unsigned i = 0; i < vm->n_copies; i++)
        if (vm->copies[i].host == host)
            return &vm->copies[i];
    return NULL;
}

bool vm_runs(const Vm *vm)
{
    return vm->n_copies == 1 && vm->copies[0].state == COPY_RUNNING && !vm->copies[0].host->hung;
}

void vm_tell(World *w, Vm *vm, Host *host, const char *kind, const char *intent, const char *reason, const Host *to)
{
    Fact fact = { .kind = kind, .intent = intent, .reason = reason, .host = host, .to = to };

    g_strlcpy(fact.boot_id, host->boot_id, sizeof fact.boot_id);
    agent_say(w, &host->agent, &vm->thing, &fact);
}

static void tell_happened(World *w, Vm *vm, Host *host, Fact fact)
{
    fact.host = host;
    g_strlcpy(fact.boot_id, host->boot_id, sizeof fact.boot_id);
    agent_say(w, &host->agent, &vm->thing, &fact);
}

void vm_job_end(World *w, Vm *vm, Host *host)
{
    if (vm->job_kind == NULL)
        return;
    tell_happened(w, vm, host, (Fact){ .kind = "vm.job", .job = vm->job_kind, .says = "ended" });
    vm->job_kind = NULL;
}

void vm_guest_down(World *w, Vm *vm, GuestState to)
{
    vm->life++;
    vm->guest = to;
    agent_stop(w, &vm->agent, false);
    if (to != GUEST_HUNG)
        services_down(w, vm);
}

static void on_guest_agent(World *w, void *subject, int64_t life)
{
    Vm *vm = subject;

    if (vm->life == life && vm->guest == GUEST_UP)
        agent_start(w, &vm->agent);
}

static void on_guest_up(World *w, void *subject, int64_t life)
{
    Vm *vm = subject;

    if (vm->life != life || vm->guest != GUEST_BOOTING || vm->n_copies == 0)
        return;
    if (!vm_runs(vm)) { /* paused in the middle of it */
        world_later(w, 5 * US_PER_S, on_guest_up, vm, life);
        return;
    }
    vm->guest = GUEST_UP;
    g_snprintf(vm->boot_id, sizeof vm->boot_id, "%s.b%u", vm->thing.id, ++vm->boot);
    for (guint i = 0; i < vm->services->len; i++) {
        Service *service = vm->services->pdata[i];

        if (service->wanted)
            service_start(w, service, NULL, random_between(&vm->dice, 200 * US_PER_MS, 4 * US_PER_S));
    }
    world_later(w, random_between(&vm->dice, US_PER_S, 5 * US_PER_S), on_guest_agent, vm, life);
}

void vm_boot(World *w, Vm *vm)
{
    vm_guest_down(w, vm, GUEST_BOOTING);
    if (vm->broken || chance(w, &vm->dice, w->options->profile->slow_start / 4))
        return; /* it hangs while it boots */
    world_later(w, random_between(&vm->dice, 4 * US_PER_S, 40 * US_PER_S), on_guest_up, vm, vm->life);
}

void vm_begin(World *w, Vm *vm, Host *host, bool boot)
{
    if (vm->n_copies < COPIES_MAX)
        vm->copies[vm->n_copies++] = (Copy){ .host = host };
    check_copies(w, vm);
    vm_lease_take(w, vm, host);
    vm->home = host;
    if (boot) {
        world_say(w, "%s starts on %s", vm->thing.id, host->thing.id);
        vm->wanted = true;
        vm_boot(w, vm);
        vm_tell(w, vm, host, "vm.running", "none", NULL, NULL);
    }
}

void vm_end(World *w, Vm *vm, Host *host, const char *kind, const char *intent, const char *reason, const char *cause)
{
    Copy *copy = vm_copy(vm, host);

    if (copy == NULL)
        return;
    if (strcmp(cause, "agent") == 0 && host->agent.link == LINK_DOWN)
        world_fail(w, INVARIANT_ALONE, "the agent of %s, alone, ended %s", host->thing.id, vm->thing.id);
    if (strcmp(cause, "migrated") != 0)
        world_say(w, "%s on %s ends: %s", vm->thing.id, host->thing.id, reason == NULL ? cause : reason);
    vm->was_full = vm->was_full && strcmp(cause, "command") == 0;
    *copy = vm->copies[--vm->n_copies];
    if (vm->n_copies == 0) {
        vm->moving_to = NULL;
        vm->ended = kind;
        vm->ended_intent = intent;
        vm_guest_down(w, vm, GUEST_OFF);
    }
    vm_job_end(w, vm, host);
    if (!vm_lease_release(w, vm, host))
        vm_lease_look(w, vm);
    vm_tell(w, vm, host, kind, intent, reason, NULL);
}

void vm_pause(World *w, Vm *vm, const char *reason)
{
    if (!vm_runs(vm) || vm->guest == GUEST_PANICKED) /* its vCPUs stand still: nothing is written */
        return;
    vm->copies[0].state = COPY_PAUSED;
    vm->copies[0].reason = reason;
    vm->was_full = strcmp(reason, "enospc") == 0;
    world_say(w, "%s on %s is paused: %s", vm->thing.id, vm->copies[0].host->thing.id, reason);
    agent_relink(w, &vm->agent);
    vm_tell(w, vm, vm->copies[0].host, "vm.paused", "none", reason, NULL);
}

bool vm_resume(World *w, Vm *vm)
{
    Copy *copy = &vm->copies[0];

    if (vm->n_copies != 1 || copy->state == COPY_RUNNING)
        return vm->n_copies == 1;
    if (!host_has_storage(w, copy->host, vm->storage) || w->storages[vm->storage].full)
        return false;
    copy->state = COPY_RUNNING;
    vm->was_full = false;
    world_say(w, "%s on %s goes on", vm->thing.id, copy->host->thing.id);
    agent_relink(w, &vm->agent);
    vm_tell(w, vm, copy->host, "vm.running", "none", NULL, NULL);
    return true;
}

static void on_job_end(World *w, void *subject, int64_t number)
{
    Vm *vm = subject;

    if (vm->job == number && vm->n_copies > 0)
        vm_job_end(w, vm, vm->copies[0].host);
}

void vm_job(World *w, Vm *vm, const char *kind, int64_t for_us)
{
    if (vm->n_copies != 1 || vm->job_kind != NULL)
        return;
    vm->job++;
    vm->job_kind = kind;
    world_say(w, "a %s of %s begins", kind, vm->thing.id);
    tell_happened(w, vm, vm->copies[0].host, (Fact){ .kind = "vm.job", .job = kind, .says = "begun" });
    if (for_us > 0)
        world_later(w, for_us, on_job_end, vm, vm->job);
}

static void on_io_error(World *w, void *subject, int64_t life)
{
    Vm *vm = subject;

    if (vm->life != life || !vm_runs(vm))
        return;
    if (!host_has_storage(w, vm->copies[0].host, vm->storage))
        vm_pause(w, vm, "io-error");
    else if (w->storages[vm->storage].full)
        vm_pause(w, vm, "enospc");
}

void vm_storage_changed(World *w)
{
    for (unsigned i = 0; i < w->n_vms; i++) {
        Vm *vm = &w->vms[i];

        vm_lease_look(w, vm);
        if (vm_runs(vm) && (!host_has_storage(w, vm->copies[0].host, vm->storage) || w->storages[vm->storage].full) &&
            random_chance(&vm->dice, 0.7))
            world_later(w, random_between(&vm->dice, US_PER_S, 10 * US_PER_S), on_io_error, vm, vm->life);
    }
}
