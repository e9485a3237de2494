#include "consumers/policy/sim/world.h"

#include <string.h>

static const struct {
    const char *name, *meaning;
} invariants[] = {
#define X(id, name, meaning) [INVARIANT_##id] = { name, meaning },
    INVARIANTS(X)
#undef X
};

const char *invariant_name(Invariant invariant)
{
    return invariants[invariant].name;
}

const char *invariant_meaning(Invariant invariant)
{
    return invariants[invariant].meaning;
}

const char *sim_flaw_name(SimFlaw flaw)
{
    static const char *const names[] = {
#define X(id, name, meaning) [SIM_FLAW_##id] = name,
        SIM_FLAWS(X)
#undef X
    };

    return names[flaw];
}

void sim_report_clear(SimReport *report)
{
    g_free(report->what);
    g_free(report->story);
    *report = (SimReport){ .broken = INVARIANT_N };
}

void sim_run(const SimOptions *options, SimReport *ret)
{
    World *w = world_new(options, ret);

    world_play(w);
    world_free(w);
}

void sim_policy_furnish(Policy *policy)
{
    for (unsigned i = 0; i < SIM_VMS_MAX; i += SIM_VMS_PER_APPLICATION) {
        g_autofree char *name = g_strdup_printf("app%u", i / SIM_VMS_PER_APPLICATION);
        Application *application = application_new(name);

        application->priority = 50;
        for (unsigned k = i; k < i + SIM_VMS_PER_APPLICATION; k++) {
            g_autofree char *id = g_strdup_printf("vm%u", k);
            AppVm *vm = app_vm_new(id);

            g_free(vm->match_name);
            vm->match_name = NULL;
            g_free(vm->match_id);
            vm->match_id = g_strdup(id);
            vm->ha = k % 4 != 3;
            vm->priority = 50;
            g_ptr_array_add(application->vms, vm);
        }
        g_ptr_array_add(policy->applications, application);
    }
}
