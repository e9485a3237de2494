/* What goes wrong, planned from the seed before the world begins, so that a single fault can be left out and the rest stay as they are. */
#include "consumers/policy/sim/world.h"

#include <string.h>

#define FIRST_US (60 * US_PER_S) /* the site is up by then */

static bool is_dropped(const World *w, unsigned number)
{
    char name[16];

    g_snprintf(name, sizeof name, "f%u", number);
    for (guint i = 0; w->options->drop != NULL && i < w->options->drop->len; i++)
        if (strcmp(w->options->drop->pdata[i], name) == 0)
            return true;
    return false;
}

static FaultKind draw_kind(const SimProfile *profile, Random *dice)
{
    unsigned weights[FAULT_N], sum = 0, any = 0, at;

    for (FaultKind k = 0; k < FAULT_N; k++)
        any += profile->only[k];
    for (FaultKind k = 0; k < FAULT_N; k++)
        sum += weights[k] = any == 0 || profile->only[k] ? fault_weight(k) : 0;
    at = random_below(dice, sum);
    for (FaultKind k = 0; k < FAULT_N; k++) {
        if (at < weights[k])
            return k;
        at -= weights[k];
    }
    return FAULT_SERVICE_CRASH;
}

static void on_begin(World *w, void *subject, int64_t number);

static void plan_scenario(World *w, const SimScenario *scenario)
{
    for (unsigned i = 0; i < scenario->n_events; i++) {
        const SimEvent *event = &scenario->events[i];
        const Fault fault = { .kind = event->kind, .dropped = is_dropped(w, i), .at_us = event->at_us, .for_us = event->for_us, .a = event->a,
                              .b = event->b };

        g_array_append_val(w->faults, fault);
    }
}

void faults_plan(World *w)
{
    const SimProfile *profile = w->options->profile;
    Random dice = random_new(w->options->seed, "faults", 0);
    unsigned n = (unsigned) random_between(&dice, profile->faults[0], profile->faults[1]);

    w->faults = g_array_new(FALSE, TRUE, sizeof(Fault));
    if (w->options->scenario != NULL)
        plan_scenario(w, w->options->scenario);
    for (unsigned i = 0; w->options->scenario == NULL && i < n; i++) {
        Fault fault = { .kind = draw_kind(profile, &dice), .dropped = is_dropped(w, i) };

        fault.at_us = random_between(&dice, FIRST_US, MAX(FIRST_US, w->quiet_us - 30 * US_PER_S));
        fault.for_us = random_chance(&dice, 0.5) ? random_between(&dice, 2 * US_PER_S, 40 * US_PER_S)
                                                 : random_between(&dice, 40 * US_PER_S, 8 * US_PER_MINUTE);
        fault.a = (unsigned) random_next(&dice);
        fault.b = (unsigned) random_next(&dice);
        g_array_append_val(w->faults, fault);
    }
    for (guint i = 0; i < w->faults->len; i++)
        if (!g_array_index(w->faults, Fault, i).dropped)
            agenda_put(&w->agenda, (AgendaItem){ .at_us = g_array_index(w->faults, Fault, i).at_us, .fn = on_begin, .argument = i });
}

/* --- whom it hits --- */

static Host *host_of(World *w, unsigned n)
{
    return &w->hosts[n % w->n_hosts];
}

static Vm *vm_of(World *w, unsigned n)
{
    return &w->vms[n % w->n_vms];
}

static Service *service_of(World *w, unsigned n)
{
    return &w->services[n % w->n_services];
}

static bool vm_is_up(const Vm *vm)
{
    return vm_runs(vm) && vm->guest == GUEST_UP;
}

/* --- single kinds --- */

typedef struct Again {
    Agent *agent;
    unsigned life;
} Again;

static void on_agent_again(World *w, void *subject, int64_t argument)
{
    g_autofree Again *again = subject;
    Agent *agent = again->agent;

    (void) argument;
    if (agent->vm != NULL ? agent->vm->life == again->life && agent->vm->guest == GUEST_UP
                          : agent->host->life == again->life && host_lives(agent->host))
        agent_start(w, agent);
}

static void agent_dies(World *w, Agent *agent, int64_t for_us)
{
    Again *again;

    if (!agent->running)
        return;
    again = g_new(Again, 1);
    *again = (Again){ agent, agent->vm != NULL ? agent->vm->life : agent->host->life };
    world_say(w, "%s dies", agent->thing.id);
    agent_stop(w, agent, true);
    if (w->options->scenario == NULL)
        for_us = MIN(for_us, 60 * US_PER_S);
    world_later_owned(w, for_us, on_agent_again, again, g_free);
}

static void hang_seen(World *w, void *subject, int64_t life)
{
    Vm *vm = subject;

    if (vm->life != life || vm->guest != GUEST_HUNG || vm->n_copies == 0)
        return;
    Fact fact = { .kind = "vm.evidence", .channel = "qga", .says = "gone", .host = vm->copies[0].host };
    agent_say(w, &vm->copies[0].host->agent, &vm->thing, &fact);
    fact.channel = "progress";
    agent_say(w, &vm->copies[0].host->agent, &vm->thing, &fact);
    world_later(w, 30 * US_PER_S, hang_seen, vm, life);
}

static void guest_hang(World *w, Vm *vm)
{
    if (!vm_is_up(vm))
        return;
    world_say(w, "the guest of %s hangs", vm->thing.id);
    vm_guest_down(w, vm, GUEST_HUNG);
    world_later(w, 15 * US_PER_S, hang_seen, vm, vm->life);
}

static void guest_panic(World *w, Vm *vm)
{
    if (!vm_is_up(vm))
        return;
    world_say(w, "the kernel in %s panics", vm->thing.id);
    vm_guest_down(w, vm, GUEST_PANICKED);
    vm_tell(w, vm, vm->copies[0].host, "vm.panicked", "none", NULL, NULL);
}

static void guest_reboot(World *w, Vm *vm)
{
    if (!vm_is_up(vm))
        return;
    world_say(w, "somebody boots %s anew, from inside", vm->thing.id);
    for (guint i = 0; i < vm->services->len; i++)
        service_set(w, vm->services->pdata[i], "stopped", "shutdown");
    vm_boot(w, vm);
}

static void on_guest_watchdog(World *w, void *subject, int64_t life)
{
    Vm *vm = subject;

    if (vm->life != life || vm->guest != GUEST_HUNG || !vm_runs(vm))
        return;
    world_say(w, "the watchdog of %s resets it", vm->thing.id);
    vm_boot(w, vm);
    Fact fact = { .kind = "vm.rebooted", .reason = "watchdog", .host = vm->copies[0].host };
    g_strlcpy(fact.boot_id, vm->copies[0].host->boot_id, sizeof fact.boot_id);
    agent_say(w, &vm->copies[0].host->agent, &vm->thing, &fact);
}

static void on_copied(World *w, void *subject, int64_t to)
{
    Vm *vm = subject;
    Storage *storage = &w->storages[to];

    if (g_strcmp0(vm->job_kind, "copy") != 0 || vm->n_copies != 1)
        return;
    bool fine = vm_runs(vm) && host_has_storage(w, vm->copies[0].host, vm->storage) && host_has_storage(w, vm->copies[0].host, (unsigned) to) &&
                !storage->full && !w->storages[vm->storage].full && !vm->lease;
    world_say(w, "the copy of %s's disk to %s %s", vm->thing.id, storage->thing.id, fine ? "is done: it goes on there" : "ends; it stays");
    if (fine)
        vm->storage = (unsigned) to;
    vm_job_end(w, vm, vm->copies[0].host);
    if (fine)
        vm_tell(w, vm, vm->copies[0].host, "vm.running", "none", "copied", NULL);
}

/* Away from storage that is slow, while it serves. */
static void block_copy(World *w, Vm *vm, unsigned to, int64_t for_us)
{
    if (!vm_runs(vm) || vm->job_kind != NULL || vm->moving_to != NULL || to == vm->storage)
        return;
    vm_job(w, vm, "copy", 0);
    world_later(w, for_us, on_copied, vm, to);
}

/* Somebody goes there, pulls the plug, and says so. */
static void person_says_off(World *w, Host *host)
{
    if (host->thing.dropped || host_has_network(w, host))
        return;
    host_power_off(w, host, "a person pulls its plugs");
    seat_operate(w, "confirm-off", host->thing.path, json_pack("{s:s}", "comment", "I stand before it"));
}

static void service_stop(World *w, Service *service)
{
    if (!vm_is_up(service->vm) || strcmp(service->state, "running") != 0)
        return;
    world_say(w, "somebody stops %s", service->thing.path);
    service->wanted = false;
    service->life++;
    service_set(w, service, "stopping", "admin");
    service_set(w, service, "stopped", "admin");
}

static void vm_stop(World *w, Vm *vm, bool inside)
{
    if (!vm_is_up(vm) || vm->moving_to != NULL)
        return;
    world_say(w, "somebody stops %s", vm->thing.id);
    vm->wanted = false;
    vm_end(w, vm, vm->copies[0].host, "vm.stopped", inside ? "shutdown" : "admin", NULL, "operator");
}

/* A person starts only what is nowhere. */
static void vm_start_by_hand(World *w, Vm *vm)
{
    if (vm->thing.dropped || vm->wanted || vm->n_copies > 0 || !host_has_storage(w, vm->home, vm->storage) || !vm_lease_free(w, vm, vm->home) ||
        host_free_bytes(w, vm->home) < vm->memory_bytes)
        return;
    vm_begin(w, vm, vm->home, true);
}

static void storage_is(World *w, Storage *storage)
{
    const char *kind = !storage->works ? "storage.failed" : storage->full ? "storage.full" : storage->slow ? "storage.degraded" : "storage.well";

    world_say(w, "%s: %s", storage->thing.id, kind);
    witness_storage(w, storage, kind, NULL, NULL);
    for (unsigned i = 0; i < w->n_hosts; i++)
        host_changed(w, &w->hosts[i]);
    vm_storage_changed(w);
}

static void clock_step(World *w, const Fault *fault)
{
    int64_t by_us = (int64_t) (fault->b % 7200) * US_PER_S - US_PER_HOUR;

    world_say(w, "a clock is set by %d s", (int) (by_us / US_PER_S));
    switch (fault->a % 4) {
    case 0: w->broker.clock_us += by_us;                              break;
    case 1: w->seats[fault->b % w->n_seats].clock_us += by_us;        break;
    case 2: host_of(w, fault->a / 4)->agent.clock_us += by_us;        break;
    default: vm_of(w, fault->a / 4)->agent.clock_us += by_us;         break;
    }
}

static void migration(World *w, Vm *vm, Host *to)
{
    if (vm_is_up(vm) && vm->moving_to == NULL && vm->job_kind == NULL && vm->copies[0].host != to && host_lives(to) &&
        host_lives(vm->copies[0].host))
        vm_migrate(w, vm, to, NULL);
}

static void control_loss(World *w)
{
    world_say(w, "the broker loses what waits in its control queues");
    for (unsigned i = 0; i < w->n_hosts; i++)
        g_queue_clear(&w->hosts[i].agent.control);
    for (unsigned i = 0; i < w->n_vms; i++)
        g_queue_clear(&w->vms[i].agent.control);
}

static void maintain(World *w, const Host *host, bool on)
{
    if (on)
        seat_operate(w, "maintain", host->thing.path, json_pack("{s:I, s:s}", "until_us", (json_int_t) (WALL_BEGIN_US + w->quiet_us), "comment", "sim"));
    else
        seat_operate(w, "release", host->thing.path, json_object());
}

static void switch_is(World *w, unsigned rack, bool works)
{
    w->switches[rack] = works;
    world_say(w, "the switch of rack r%u %s", rack, works ? "works again" : "fails");
    for (unsigned i = 0; i < w->n_hosts; i++)
        if (w->hosts[i].rack == rack)
            host_changed(w, &w->hosts[i]);
}

static void feed_is(World *w, unsigned feed, bool works)
{
    w->feeds[feed] = works;
    world_say(w, "power feed p%u %s", feed, works ? "is back" : "fails");
    for (unsigned i = 0; i < w->n_hosts; i++)
        if (w->hosts[i].feed == feed && !w->hosts[i].thing.dropped) {
            if (works)
                host_power_on(w, &w->hosts[i]);
            else
                host_power_off(w, &w->hosts[i], "its feed failed");
        }
}

static void host_part(World *w, Host *host, bool *part, bool works, const char *name)
{
    if (host->thing.dropped)
        return;
    *part = works;
    host->up_us = works ? w->now_us : host->up_us;
    world_say(w, "the %s of %s %s", name, host->thing.id, works ? "works again" : "fails");
    host_changed(w, host);
}

static void host_storage_is(World *w, Host *host, bool works)
{
    host_part(w, host, &host->storage, works, "storage path");
    for (unsigned i = 0; i < w->n_storages; i++)
        witness_storage(w, &w->storages[i], works ? "storage.well" : "storage.failed", host, "path");
    vm_storage_changed(w);
}

static void host_wakes(World *w, Host *host)
{
    if (!host->hung)
        return;
    world_say(w, "%s works again", host->thing.id);
    host->hung = false;
    host->up_us = w->now_us;
    host->life++;
    host_agent_start(w, host);
    host_changed(w, host);
}

/* --- on and off --- */

static void on_end(World *w, void *subject, int64_t number);

static void fault_on(World *w, Fault *fault)
{
    Host *host = host_of(w, fault->a);
    Vm *vm = vm_of(w, fault->a);
    Service *service = service_of(w, fault->a);
    Storage *storage = &w->storages[fault->a % w->n_storages];

    switch (fault->kind) {
    case FAULT_SERVICE_CRASH: service_fail(w, service); break;
    case FAULT_SERVICE_BREAK: service->broken = true; service_fail(w, service); break;
    case FAULT_AGENT_RESTART: agent_dies(w, &vm->agent, fault->for_us); break;
    case FAULT_HOST_AGENT: agent_dies(w, &host->agent, fault->for_us); break;
    case FAULT_GUEST_CRASH: if (vm_runs(vm)) vm_end(w, vm, vm->copies[0].host, "vm.crashed", "none", "crash", "crash"); break;
    case FAULT_GUEST_HANG: guest_hang(w, vm); break;
    case FAULT_GUEST_PANIC: guest_panic(w, vm); break;
    case FAULT_GUEST_REBOOT: guest_reboot(w, vm); break;
    case FAULT_HOST_POWER:
        if (fault->b % 3 == 0)
            host->bmc = false;
        host_power_off(w, host, "power loss");
        break;
    case FAULT_HOST_CRASH: host_crash(w, host); break;
    case FAULT_HOST_HANG: host_hang(w, host); break;
    case FAULT_HOST_NIC: host_part(w, host, &host->nic, false, "NIC"); break;
    case FAULT_HOST_BMC: host_part(w, host, &host->bmc, false, "BMC"); break;
    case FAULT_HOST_STORAGE: host_storage_is(w, host, false); break;
    case FAULT_RACK_SWITCH: switch_is(w, fault->a % w->n_racks, false); break;
    case FAULT_FEED_POWER: feed_is(w, fault->a % w->n_feeds, false); break;
    case FAULT_STORAGE_FAIL: storage->works = false; storage_is(w, storage); break;
    case FAULT_STORAGE_FULL: storage->full = true; storage_is(w, storage); break;
    case FAULT_STORAGE_SLOW: storage->slow = true; storage_is(w, storage); break;
    case FAULT_CLOCK_STEP: clock_step(w, fault); break;
    case FAULT_BROKER_RESTART: hub_stop(w); break;
    case FAULT_ENGINE_KILL: seat_kill(w, &w->seats[fault->a % w->n_seats]); break;
    case FAULT_OPERATOR_STOP: service_stop(w, service); break;
    case FAULT_OPERATOR_START:
        if (vm_is_up(service->vm) && strcmp(service->state, "running") != 0)
            service_start(w, service, NULL, US_PER_S);
        break;
    case FAULT_OPERATOR_PAUSE: seat_operate(w, "pause", NULL, NULL); break;
    case FAULT_OPERATOR_MAINTAIN: maintain(w, host, true); break;
    case FAULT_MIGRATION: migration(w, vm, host_of(w, fault->b)); break;
    case FAULT_SNAPSHOT: vm_job(w, vm, fault->b % 2 == 0 ? "snapshot" : "freeze", MIN(fault->for_us, 90 * US_PER_S)); break;
    case FAULT_VM_STOP: vm_stop(w, vm, fault->b % 2 == 0); break;
    case FAULT_CONTROL_LOSS: control_loss(w); break;
    case FAULT_HOST_KDUMP: host_dump(w, host, MIN(fault->for_us, 4 * US_PER_MINUTE)); break;
    case FAULT_BMC_PASSWORD: host->bmc_locked = true; break;
    case FAULT_HOST_LIBVIRT: host_libvirt(w, host, false); break;
    case FAULT_GUEST_WATCHDOG:
        guest_hang(w, vm);
        world_later(w, 30 * US_PER_S, on_guest_watchdog, vm, vm->life);
        break;
    case FAULT_BLOCK_COPY: block_copy(w, vm, fault->b % w->n_storages, MIN(fault->for_us, 3 * US_PER_MINUTE)); break;
    case FAULT_PERSON_WORD: person_says_off(w, host); break;
    case FAULT_N: break;
    }
}

static void fault_off(World *w, Fault *fault)
{
    Host *host = host_of(w, fault->a);
    Storage *storage = &w->storages[fault->a % w->n_storages];

    switch (fault->kind) {
    case FAULT_SERVICE_BREAK: if (fault->b % 2 == 0) service_of(w, fault->a)->broken = false; break;
    case FAULT_HOST_POWER:
        host->bmc = !host->thing.dropped;
        if (!host->thing.dropped && fault->b % 2 == 0)
            host_power_on(w, host);
        break;
    case FAULT_HOST_HANG: host_wakes(w, host); break;
    case FAULT_HOST_NIC: host_part(w, host, &host->nic, true, "NIC"); break;
    case FAULT_HOST_BMC: host_part(w, host, &host->bmc, true, "BMC"); break;
    case FAULT_HOST_STORAGE: host_storage_is(w, host, true); break;
    case FAULT_RACK_SWITCH: switch_is(w, fault->a % w->n_racks, true); break;
    case FAULT_FEED_POWER: feed_is(w, fault->a % w->n_feeds, true); break;
    case FAULT_STORAGE_FAIL: storage->works = true; storage_is(w, storage); break;
    case FAULT_STORAGE_FULL: storage->full = false; storage_is(w, storage); break;
    case FAULT_STORAGE_SLOW: storage->slow = false; storage_is(w, storage); break;
    case FAULT_BROKER_RESTART: if (!w->broker.up) hub_start(w); break;
    case FAULT_ENGINE_KILL: seat_start(w, &w->seats[fault->a % w->n_seats], false); break;
    case FAULT_OPERATOR_STOP:
        if (fault->b % 2 == 0 && vm_is_up(service_of(w, fault->a)->vm) && !service_of(w, fault->a)->wanted)
            service_start(w, service_of(w, fault->a), NULL, US_PER_S);
        break;
    case FAULT_OPERATOR_PAUSE: seat_operate(w, "resume", NULL, NULL); break;
    case FAULT_OPERATOR_MAINTAIN: maintain(w, host, false); break;
    case FAULT_BMC_PASSWORD: host->bmc_locked = false; break;
    case FAULT_HOST_LIBVIRT: host_libvirt(w, host, true); break;
    case FAULT_PERSON_WORD: if (!host->thing.dropped) host_power_on(w, host); break;
    case FAULT_VM_STOP: if (fault->b % 4 < 2) vm_start_by_hand(w, vm_of(w, fault->a)); break;
    default: break;
    }
}

static void on_begin(World *w, void *subject, int64_t number)
{
    Fault *fault = &g_array_index(w->faults, Fault, number);
    bool is_short = fault->kind == FAULT_BROKER_RESTART || fault->kind == FAULT_ENGINE_KILL;

    (void) subject;
    fault->on = true;
    for (unsigned i = 0; w->options->scenario != NULL && number == 0 && i < w->n_vms; i++)
        if (vm_copy(&w->vms[i], host_of(w, fault->a)) != NULL)
            w->vms[i].victim_of = host_of(w, fault->a);
    fault_on(w, fault);
    world_later(w, is_short ? fault->for_us % (30 * US_PER_S) + US_PER_S : fault->for_us, on_end, NULL, number);
}

static void on_end(World *w, void *subject, int64_t number)
{
    Fault *fault = &g_array_index(w->faults, Fault, number);

    (void) subject;
    if (!fault->on)
        return;
    fault->on = false;
    fault_off(w, fault);
}

/* Everything is repaired but what is broken for good: services that do not start, hosts whose power is gone. */
void faults_end(World *w)
{
    for (guint i = 0; i < w->faults->len; i++)
        on_end(w, NULL, i);
    for (unsigned i = 0; i < w->n_hosts; i++) {
        host_wakes(w, &w->hosts[i]);
        host_agent_start(w, &w->hosts[i]);
    }
    for (unsigned i = 0; i < w->n_vms; i++)
        w->vms[i].agent.clock_us = 0;
    w->broker.clock_us = 0;
}
