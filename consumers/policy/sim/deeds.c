/* Each deed looks at its own place only, as the agent that does it can. */
#include "consumers/policy/sim/deeds.h"

#include "lib/base/json.h"

#include <string.h>

#define LEASE_LOOK_US US_PER_S

typedef struct Deed {
    Agent *agent;
    Order *order;
    Vm *vm;
    Host *host; /* of the fence, or the one it is done on */
    unsigned life;
} Deed;

static void later(World *w, int64_t delay_us, AgendaFn fn, Agent *agent, Order *order, Vm *vm, Host *host)
{
    Deed *deed = g_new(Deed, 1);

    *deed = (Deed){ agent, order, vm, host, host->life };
    world_later_owned(w, delay_us, fn, deed, g_free);
}

static void fail(World *w, Agent *agent, Order *order, const char *why)
{
    (void) why;
    agent_answer(w, agent, order, RESULT_FAILED, COMMAND_ERROR_FAILED, NULL);
}

static Host *host_named(World *w, const char *id)
{
    for (unsigned i = 0; id != NULL && i < w->n_hosts; i++)
        if (strcmp(w->hosts[i].thing.id, id) == 0)
            return &w->hosts[i];
    return NULL;
}

static Vm *vm_named(World *w, const char *id)
{
    for (unsigned i = 0; id != NULL && i < w->n_vms; i++)
        if (strcmp(w->vms[i].thing.id, id) == 0)
            return &w->vms[i];
    return NULL;
}

static const char *start_hindrance(const World *w, const Vm *vm, const Host *host)
{
    if (!host_has_storage(w, host, vm->storage))
        return "its storage cannot be reached";
    return host_free_bytes(w, host) < vm->memory_bytes ? "no memory" : NULL;
}

static void on_start(World *w, void *subject, int64_t argument)
{
    g_autofree Deed *d = subject;
    const char *why = start_hindrance(w, d->vm, d->host);

    (void) argument;
    if (d->host->life != d->life || !host_lives(d->host))
        return;
    const Copy *copy = vm_copy(d->vm, d->host);
    bool taken = vm_lease_free(w, d->vm, d->host) || world_flaw(w, SIM_FLAW_NO_LEASE_TAKEN);
    if (copy == NULL && why == NULL && !taken && d->order->deadline_us >= agent_wall_us(w, d->agent)) {
        world_later_owned(w, LEASE_LOOK_US, on_start, g_steal_pointer(&d), g_free); /* it waits for the lease as long as it may */
        return;
    }
    why = why == NULL && !taken ? "its lease is held elsewhere" : why;
    if (copy != NULL && copy->state != COPY_RUNNING) {
        fail(w, d->agent, d->order, "it is there already, paused");
    } else if (copy != NULL) {
        agent_answer(w, d->agent, d->order, RESULT_DONE, NULL, "running");
    } else if (why != NULL || chance(w, &d->vm->dice, w->options->profile->slow_start)) {
        fail(w, d->agent, d->order, why);
    } else {
        vm_begin(w, d->vm, d->host, true);
        agent_answer(w, d->agent, d->order, RESULT_DONE, NULL, "running");
    }
}

static void do_start(World *w, Agent *agent, Order *order, Vm *vm)
{
    const json_t *arguments = order->command->arguments;
    Host *host = agent->host;
    bool here = g_strcmp0(json_string_or(arguments, "host", NULL), host->thing.id) == 0;
    bool now = g_strcmp0(json_string_or(arguments, "boot_id", NULL), host->boot_id) == 0;

    if (here && !now && world_flaw(w, SIM_FLAW_ANY_BOOT))
        world_fail(w, INVARIANT_ONCE, "%s runs a start of %s that was meant for an earlier life of its host", agent->thing.id, vm->thing.id);
    if (!here || !now)
        agent_answer(w, agent, order, RESULT_REFUSED, "refused", NULL);
    else
        later(w, random_between(&vm->dice, 300 * US_PER_MS, 3 * US_PER_S), on_start, agent, order, vm, host);
}

static void on_stop(World *w, void *subject, int64_t argument)
{
    g_autofree Deed *d = subject;

    (void) argument;
    if (d->host->life != d->life || !host_lives(d->host))
        return;
    g_strlcpy(d->vm->stopped_for, d->order->command->incident == NULL ? "" : d->order->command->incident, sizeof d->vm->stopped_for);
    vm_end(w, d->vm, d->host, "vm.stopped", "command", NULL, "command");
    agent_answer(w, d->agent, d->order, RESULT_DONE, NULL, "stopped");
}

static void do_migrate(World *w, Agent *agent, Order *order, Vm *vm, const Copy *copy)
{
    Host *to = host_named(w, json_string_or(order->command->arguments, "to", NULL));

    if (copy == NULL || to == NULL || to == agent->host || vm->moving_to != NULL)
        fail(w, agent, order, "it cannot move");
    else if (copy->state != COPY_RUNNING)
        agent_answer(w, agent, order, RESULT_REFUSED, "refused", NULL); /* as vdsm: what is paused does not move */
    else
        vm_migrate(w, vm, to, order);
}

static void do_restart(World *w, Agent *agent, Order *order, Vm *vm, const Copy *copy)
{
    bool soft = strcmp(order->command->action, "vm.reboot") == 0;

    if (copy == NULL || copy->state != COPY_RUNNING || (soft && vm->guest != GUEST_UP)) {
        fail(w, agent, order, "there is nothing that could boot");
        return;
    }
    vm_boot(w, vm);
    vm_tell(w, vm, agent->host, "vm.running", "none", NULL, NULL);
    agent_answer(w, agent, order, RESULT_DONE, NULL, "running");
}

static void do_vm(World *w, Agent *agent, Order *order)
{
    const char *verb = order->command->action + strlen("vm.");
    Vm *vm = vm_named(w, json_string_or(order->command->arguments, "name", NULL));
    Copy *copy = vm == NULL ? NULL : vm_copy(vm, agent->host);

    if (vm == NULL)
        agent_answer(w, agent, order, RESULT_REFUSED, COMMAND_ERROR_NOT_FOUND, NULL);
    else if (!agent->host->libvirt)
        fail(w, agent, order, "libvirt does not answer");
    else if (strcmp(verb, "start") == 0)
        do_start(w, agent, order, vm);
    else if (strcmp(verb, "stop") == 0)
        later(w, random_between(&vm->dice, 200 * US_PER_MS, 2 * US_PER_S), on_stop, agent, order, vm, agent->host);
    else if (strcmp(verb, "shutdown") == 0 && copy != NULL && vm->guest == GUEST_UP)
        later(w, random_between(&vm->dice, 3 * US_PER_S, 15 * US_PER_S), on_stop, agent, order, vm, agent->host);
    else if (strcmp(verb, "migrate") == 0)
        do_migrate(w, agent, order, vm, copy);
    else if (strcmp(verb, "reboot") == 0 || strcmp(verb, "reset") == 0)
        do_restart(w, agent, order, vm, copy);
    else if (strcmp(verb, "resume") == 0 && copy != NULL && vm_resume(w, vm))
        agent_answer(w, agent, order, RESULT_DONE, NULL, "running");
    else if (strcmp(verb, "extend") == 0)
        agent_answer(w, agent, order, RESULT_REFUSED, COMMAND_ERROR_UNKNOWN, NULL); /* no host here has a program for it */
    else if (strcmp(verb, "set-memory") == 0 && copy != NULL)
        agent_answer(w, agent, order, RESULT_DONE, NULL, NULL);
    else
        fail(w, agent, order, "it cannot");
}

static void do_service(World *w, Agent *agent, Order *order)
{
    const char *verb = order->command->action + strlen("service.");
    const char *name = json_string_or(order->command->arguments, "name", "");
    Service *service = NULL;

    for (guint i = 0; i < agent->vm->services->len; i++)
        if (strcmp(((Service *) agent->vm->services->pdata[i])->name, name) == 0)
            service = agent->vm->services->pdata[i];
    if (service == NULL) {
        agent_answer(w, agent, order, RESULT_REFUSED, COMMAND_ERROR_NOT_FOUND, NULL);
    } else if (strcmp(verb, "stop") == 0) {
        service->life++;
        service_set(w, service, "stopped", "command");
        agent_answer(w, agent, order, RESULT_DONE, NULL, "stopped");
    } else {
        service_start(w, service, order, random_between(&service->dice, 50 * US_PER_MS, 3 * US_PER_S));
    }
}

void deed_do(World *w, Agent *agent, Order *order)
{
    const char *action = order->command->action;

    world_say(w, "%s takes %s of %s", agent->thing.id, action, order->target->id);
    if (agent->vm != NULL && g_str_has_prefix(action, "service."))
        do_service(w, agent, order);
    else if (agent->host != NULL && g_str_has_prefix(action, "vm."))
        do_vm(w, agent, order);
    else if (agent->host != NULL && strcmp(action, "host.fence") == 0)
        fence_do(w, agent, order);
    else
        agent_answer(w, agent, order, RESULT_REFUSED, COMMAND_ERROR_UNKNOWN, NULL);
}
