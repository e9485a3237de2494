/* Services in VMs. */
#include "consumers/policy/sim/world.h"

#include <string.h>

void service_set(World *w, Service *service, const char *state, const char *intent)
{
    Fact fact = { .intent = intent };
    static const struct { const char *state, *kind; } kinds[] = { { "running", "service.running" }, { "failed", "service.failed" },
        { "stopped", "service.stopped" }, { "starting", "service.starting" }, { "stopping", "service.stopping" } };

    service->state = state;
    service->intent = intent;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].state, state) == 0)
            fact.kind = kinds[i].kind;
    g_strlcpy(fact.boot_id, service->vm->boot_id, sizeof fact.boot_id);
    agent_say(w, &service->vm->agent, &service->thing, &fact);
}

static bool vm_works(const Vm *vm)
{
    return vm_runs(vm) && vm->guest == GUEST_UP;
}

void service_fail(World *w, Service *service)
{
    if (!vm_works(service->vm) || strcmp(service->state, "running") != 0)
        return;
    world_say(w, "%s dies", service->thing.path);
    service->life++;
    service_set(w, service, "failed", "none");
}

typedef struct Start {
    Service *service;
    Order *order;
    unsigned life, boot;
} Start;

static void on_started(World *w, void *subject, int64_t argument)
{
    g_autofree Start *start = subject;
    Service *service = start->service;

    (void) argument;
    if (service->life != start->life || service->vm->boot != start->boot || service->vm->guest != GUEST_UP)
        return;
    bool needed = service->needs == NULL || strcmp(service->needs->state, "running") == 0;
    bool fine = !service->broken && needed && !chance(w, &service->dice, w->options->profile->slow_start);
    service_set(w, service, fine ? "running" : "failed", "none");
    if (!fine)
        world_say(w, "%s does not start%s", service->thing.path, needed ? "" : ": what it needs does not run");
    if (start->order != NULL)
        agent_answer(w, &service->vm->agent, start->order, fine ? RESULT_DONE : RESULT_FAILED, fine ? NULL : COMMAND_ERROR_FAILED,
                     fine ? "running" : "failed");
}

void service_start(World *w, Service *service, Order *order, int64_t delay_us)
{
    Start *start = g_new(Start, 1);

    service->wanted = true;
    service_set(w, service, "starting", "none");
    *start = (Start){ service, order, ++service->life, service->vm->boot };
    world_later_owned(w, delay_us, on_started, start, g_free);
}

/* The guest ended: nobody is left to say so. */
void services_down(World *w, Vm *vm)
{
    (void) w;
    for (guint i = 0; i < vm->services->len; i++) {
        Service *service = vm->services->pdata[i];

        service->life++;
        service->state = "stopped";
    }
}
