/* Migrations: the memory goes over while the VM runs; then, for a moment, it stands still on its source, the lease passes, and it goes on at its
 * destination. Either host may die in any of these moments. */
#include "consumers/policy/sim/world.h"

#include <string.h>

typedef struct Move {
    Vm *vm;
    Host *from, *to;
    unsigned job, to_life;
    Order *order;
} Move;

static void on_over(World *w, void *subject, int64_t argument);

static void answer(World *w, Move *m, bool fine)
{
    if (m->order != NULL)
        agent_answer(w, &m->from->agent, m->order, fine ? RESULT_DONE : RESULT_FAILED, fine ? NULL : COMMAND_ERROR_FAILED, fine ? "running" : NULL);
}

/* It stays where it is, as it is. */
static void move_failed(World *w, Move *m, Copy *copy)
{
    Vm *vm = m->vm;

    world_say(w, "the migration of %s to %s fails", vm->thing.id, m->to->thing.id);
    vm_tell(w, vm, m->from, copy->state != COPY_RUNNING ? "vm.paused" : vm->guest == GUEST_PANICKED ? "vm.panicked" : "vm.running", "none",
            copy->reason, NULL);
    answer(w, m, false);
}

static bool can_go_over(World *w, const Move *m, const Copy *copy)
{
    return host_has_network(w, m->to) && host_has_network(w, m->from) && host_has_storage(w, m->to, m->vm->storage) && m->to->libvirt &&
           copy->state == COPY_RUNNING && vm_copy(m->vm, m->to) == NULL && m->vm->guest != GUEST_PANICKED &&
           host_free_bytes(w, m->to) >= m->vm->memory_bytes && (!m->vm->lease || m->vm->lease_host == m->from);
}

/* The source stands still, and the destination has the lease. */
static void on_moved(World *w, void *subject, int64_t argument)
{
    g_autofree Move *m = subject;
    Vm *vm = m->vm;
    Copy *copy = vm_copy(vm, m->from);

    (void) argument;
    if (copy == NULL || vm->moving_to != m->to || vm->job != m->job) /* it ended meanwhile */
        return;
    if (!can_go_over(w, m, copy)) {
        vm->moving_to = NULL;
        vm_job_end(w, vm, m->from);
        move_failed(w, m, copy);
        return;
    }
    copy->state = COPY_SUSPENDED;
    vm->handed_to = m->to;
    vm_lease_take(w, vm, m->to);
    m->to_life = m->to->life;
    world_later_owned(w, random_between(&vm->dice, 20 * US_PER_MS, 900 * US_PER_MS), on_over, g_steal_pointer(&m), g_free);
}

/* The destination died in the middle: the source goes on if the lease comes back, else the VM ends. */
static void back(World *w, Move *m, Copy *copy)
{
    Vm *vm = m->vm;

    if (vm->lease && vm->lease_host == m->to && vm->lease_until_us > w->now_us) {
        vm_end(w, vm, m->from, "vm.crashed", "none", "lease-lost", "lease");
        answer(w, m, false);
        return;
    }
    copy->state = COPY_RUNNING;
    move_failed(w, m, copy);
}

static void on_over(World *w, void *subject, int64_t argument)
{
    g_autofree Move *m = subject;
    Vm *vm = m->vm;
    Copy *copy = vm_copy(vm, m->from);
    bool dest = host_lives(m->to) && m->to->life == m->to_life;

    (void) argument;
    if (vm->handed_to != m->to || vm->job != m->job)
        return;
    vm->handed_to = vm->moving_to = NULL;
    if (!dest) {
        vm_lease_look(w, vm);
        if (copy != NULL) {
            vm_job_end(w, vm, m->from);
            back(w, m, copy);
        }
        return;
    }
    if (copy == NULL) { /* its source is gone before it said "go on": what is here is thrown away */
        if (!vm_lease_release(w, vm, m->to))
            vm_lease_look(w, vm);
        return;
    }
    Fact fact = { .kind = "vm.running", .intent = "none", .reason = "migrated", .host = m->to, .from = m->from };
    vm_job_end(w, vm, m->from);
    *copy = vm->copies[--vm->n_copies];
    vm_begin(w, vm, m->to, false);
    world_say(w, "%s has migrated from %s to %s", vm->thing.id, m->from->thing.id, m->to->thing.id);
    g_strlcpy(fact.boot_id, m->to->boot_id, sizeof fact.boot_id);
    vm_tell(w, vm, m->from, "vm.stopped", "command", "migrated", m->to);
    agent_say(w, &m->to->agent, &vm->thing, &fact);
    agent_relink(w, &vm->agent);
    answer(w, m, true);
}

void vm_migrate(World *w, Vm *vm, Host *to, Order *order)
{
    Host *from = vm->copies[0].host;
    Move *m = g_new0(Move, 1);

    world_say(w, "%s migrates from %s to %s", vm->thing.id, from->thing.id, to->thing.id);
    vm_job(w, vm, "migration", 0);
    vm->moving_to = to;
    *m = (Move){ .vm = vm, .from = from, .to = to, .job = vm->job, .order = order };
    vm_tell(w, vm, from, "vm.migrating", "none", NULL, to);
    world_later_owned(w, random_between(&vm->dice, 3 * US_PER_S, 40 * US_PER_S), on_moved, m, g_free);
}
