#include "consumers/policy/engine/action.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/place.h"
#include "consumers/policy/engine/proxy.h"
#include "consumers/policy/engine/plan.h"
#include "lib/base/json.h"
#include "lib/model/entity.h"

#include <string.h>

#define KILL_PAUSED_US (80 * US_PER_S) /* oVirt's; a lease expires in as long */
#define PATH_LAG_US (10 * US_PER_S) /* until every host has looked at its paths */
#define SWITCH_LAG_US (15 * US_PER_S) /* three heartbeats */

void deed_clear(Deed *deed)
{
    g_clear_pointer(&deed->commands, g_ptr_array_unref);
    g_free(deed->why);
    json_decref(deed->considered);
    sequence_free(deed->plan);
    if (deed->items != NULL)
        g_array_unref(deed->items);
    *deed = (Deed){ 0 };
}

EntityState *action_target(Engine *engine, const EntityState *entity, const char *action)
{
    const char *kind = action_kind(action);

    if (g_strcmp0(kind, "service") == 0)
        return g_str_has_prefix(entity->path, "service/") ? (EntityState *) entity : NULL;
    if (g_strcmp0(kind, "vm") == 0)
        return vm_of(engine, entity);
    if (g_strcmp0(kind, "host") == 0)
        return host_of(engine, entity);
    return g_strcmp0(kind, "app") == 0 ? app_of(engine, entity) : NULL;
}

void deed_cannot(Deed *deed, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    deed->kind = DEED_CANNOT;
    deed->why = g_strdup_vprintf(format, args);
    va_end(args);
}

void deed_wait(Deed *deed, IncidentWait wait, char *why)
{
    deed->kind = DEED_WAIT;
    deed->wait = wait;
    deed->why = why;
}

Command *deed_command(Deed *deed, const char *action, const EntityState *target, const char *agent, json_t *arguments)
{
    Command *command = g_new0(Command, 1);

    command->entity = g_strdup(target->path);
    command->action = g_strdup(action);
    command->agent = g_strdup(agent);
    command->arguments = arguments;
    if (deed->commands == NULL)
        deed->commands = g_ptr_array_new_with_free_func((GDestroyNotify) command_free);
    g_ptr_array_add(deed->commands, command);
    deed->kind = DEED_COMMANDS;
    return command;
}

void deed_take(Deed *deed, Deed *one, guint item)
{
    if (deed->commands == NULL)
        deed->commands = g_ptr_array_new_with_free_func((GDestroyNotify) command_free);
    if (deed->items == NULL)
        deed->items = g_array_new(FALSE, FALSE, sizeof(guint));
    for (guint i = 0; i < one->commands->len; i++) {
        g_ptr_array_add(deed->commands, g_steal_pointer(&one->commands->pdata[i]));
        g_array_append_val(deed->items, item);
    }
    g_ptr_array_set_size(one->commands, 0);
    if (deed->considered == NULL)
        deed->considered = g_steal_pointer(&one->considered);
}

json_t *deed_arguments(const EntityState *target, const Step *step)
{
    return json_pack("{s:s, s:I}", "name", entity_id(target), "timeout_ms", (json_int_t) (step->timeout_us / US_PER_MS));
}

static void resolve_service(Engine *engine, const Step *step, Deed *deed)
{
    const char *slash = strchr(entity_id(deed->target), '/');
    json_t *arguments = json_pack("{s:s, s:I}", "name", slash == NULL ? "" : slash + 1, "timeout_ms", (json_int_t) (step->timeout_us / US_PER_MS));
    json_t *parameters;
    g_autofree char *missing = NULL;

    if (!service_parameters(engine, deed->target, &parameters, &missing)) {
        json_decref(arguments);
        deed_wait(deed, WAIT_REFERENCE, g_strdup_printf("%s is not known yet", missing));
        return;
    }
    if (parameters != NULL)
        json_object_set_new(arguments, "parameters", parameters);
    deed_command(deed, step->action, deed->target, deed->target->agent, arguments);
}

static void start_on(Deed *deed, EntityState *vm, const EntityState *host, const Step *step)
{
    json_t *arguments = deed_arguments(vm, step), *proofs = json_array();

    for (guint i = 0; i < vm->vm->proofs->len; i++)
        json_array_append_new(proofs, json_string(vm->vm->proofs->pdata[i]));
    json_object_set_new(arguments, "host", json_string(entity_id(host)));
    if (host->boot_id != NULL)
        json_object_set_new(arguments, "boot_id", json_string(host->boot_id));
    json_object_set_new(arguments, "proof", proofs);
    json_set_string(arguments, "definition_hash", vm->vm->definition); /* whoever sends it puts the text in its place */
    deed_command(deed, "vm.start", vm, host->host->agent, arguments);
}

/* A start goes where a copy may already be, or nowhere before the others are gone. */
static void resolve_start(Stage *s, const Step *step, const EntityState *not_on, Deed *deed)
{
    EntityState *vm = deed->target, *host = NULL;
    char *why = NULL;

    if (s->engine->now_us < s->engine->takeover_until_us) {
        deed_wait(deed, WAIT_BACKOFF, g_strdup("another engine acted before this one: a start it began is heard of first"));
        deed->until_us = s->engine->takeover_until_us;
        return;
    }
    if (vm->vm->copies->len == 1 && host_is_up(((const Copy *) vm->vm->copies->pdata[0])->host))
        host = ((const Copy *) vm->vm->copies->pdata[0])->host;
    if (!proof_allows(vm, host, &why)) {
        deed_wait(deed, WAIT_PROOF, why);
        return;
    }
    const EntityState *storage = host == NULL ? storage_ill_for(s->engine, vm, NULL) : NULL;
    if (storage != NULL && strcmp(storage->state, "failed") == 0) { /* it would not start anywhere */
        deed_wait(deed, WAIT_STORAGE, g_strdup_printf("%s is %s", storage->path, storage->state));
        return;
    }
    if (host == NULL && vm->vm->was_full && vm->vm->host != NULL && vm->vm->host != vm->vm->lingers && host_is_up(vm->vm->host) && quarantine_until_us(s->engine, vm->vm->host) == 0)
        host = vm->vm->host;
    if (host == NULL)
        host = place_choose(s->engine, vm, not_on == NULL ? vm->vm->lingers : not_on, &deed->considered, &why);
    if (host == NULL)
        deed_wait(deed, WAIT_PLACE, why);
    else
        start_on(deed, vm, host, step);
}

/* Elsewhere: what still answers is stopped first; that it stopped is the proof. */
static void resolve_relocate(Stage *s, const Step *step, Incident *incident, Deed *deed)
{
    EntityState *vm = deed->target, *from = vm->vm->host;

    if (incident->moved_from == NULL && from != NULL)
        incident->moved_from = g_strdup(from->path);
    EntityState *not_on = incident->moved_from == NULL ? NULL : entity_find(s->engine, incident->moved_from);
    for (guint i = 0; i < vm->vm->copies->len; i++) {
        const Copy *copy = vm->vm->copies->pdata[i];

        if (copy->host == not_on && host_is_up(copy->host)) {
            g_autofree char *why = NULL;
            EntityState *to = place_move(s->engine, vm, &deed->considered, &why);

            if (to == NULL) /* nothing is stopped before there is room for it elsewhere */
                deed_wait(deed, WAIT_PLACE, g_steal_pointer(&why));
            else
                deed_command(deed, "vm.stop", vm, copy->host->host->agent, deed_arguments(vm, step));
            return;
        }
    }
    resolve_start(s, step, not_on, deed);
}

/* A domain that fails may be told by one host first: nobody leaves for where it fails as well. */
static bool path_must_be_judged(Engine *engine, const EntityState *vm, const EntityState *from, Deed *deed)
{
    const EntityState *storage = storage_ill_for(engine, vm, from);

    if (storage == NULL || !storage_lost_path(storage, from))
        return false;
    int64_t until_us = storage_since_us(storage, from) + PATH_LAG_US;

    if (storage_ill_for(engine, vm, NULL) != NULL) {
        deed_cannot(deed, "%s serves nowhere", storage->path);
    } else if (engine->now_us < until_us) {
        deed_wait(deed, WAIT_STORAGE, g_strdup_printf("%s may have failed elsewhere too", storage->path));
        deed->until_us = until_us;
    } else {
        return false;
    }
    return true;
}

/* Only what serves can be copied; and where another host has it well it is the way there that is ill, which a copy would go too. */
static void resolve_block_copy(Engine *engine, const Step *step, Deed *deed)
{
    EntityState *vm = deed->target;
    const EntityState *host = vm->vm->host, *ill = storage_ill_for(engine, vm, host);
    const EntityState *storage = storage_degraded_for(engine, vm, host), *elsewhere = storage == NULL ? NULL : storage_well_at(engine, storage, host);
    int64_t until_us = storage == NULL ? 0 : storage_since_us(storage, host) + PATH_LAG_US;

    if (strcmp(vm->state, "running") != 0) {
        deed_cannot(deed, "%s is %s: only the disks of what runs are copied", vm->path, vm->state);
    } else if (ill != NULL && storage == NULL) {
        deed_cannot(deed, "%s is %s: only what still serves is copied", ill->path, ill->state);
    } else if (ill != NULL) { /* it may pause in the midst of it */
        deed_wait(deed, WAIT_STORAGE, g_strdup_printf("%s is %s", ill->path, ill->state));
    } else if (vm->vm->lease) {
        deed_cannot(deed, "%s has a lease on its storage, which would stay where it is", vm->path);
    } else if (storage == NULL) {
        deed->kind = DEED_DONE;
    } else if (engine->now_us < until_us) {
        deed_wait(deed, WAIT_STORAGE, g_strdup_printf("%s may be well again, or ill for one host only", storage->path));
        deed->until_us = until_us;
    } else if (elsewhere != NULL) {
        deed_cannot(deed, "%s has %s well: it is the path of %s", elsewhere->path, storage->path, host->path);
    } else {
        json_t *arguments = deed_arguments(vm, step);

        json_object_set_new(arguments, "from", json_string(entity_id(storage)));
        deed_command(deed, step->action, vm, host->host->agent, arguments);
    }
}

static void resolve_migrate(Stage *s, const Step *step, Deed *deed)
{
    EntityState *vm = deed->target, *from = vm->vm->host;
    char *why = NULL;

    if (from == NULL || !host_is_up(from)) {
        deed_cannot(deed, "only what runs on a host that is heard can migrate");
        return;
    }
    if (path_must_be_judged(s->engine, vm, from, deed))
        return;
    EntityState *to = place_move(s->engine, vm, &deed->considered, &why);
    if (to == NULL) {
        deed_wait(deed, WAIT_PLACE, why);
        return;
    }
    json_t *arguments = deed_arguments(vm, step);
    json_object_set_new(arguments, "to", json_string(entity_id(to)));
    deed_command(deed, "vm.migrate", vm, from->host->agent, arguments);
}

/* A VM of an application is not started before what it comes after. */
static bool start_must_wait(Engine *engine, const char *action, Deed *deed)
{
    bool starts = action_starts(action) && (strcmp(action, "vm.start") == 0 || deed->target->vm->copies->len == 0);
    char *why = starts && !deed->of_plan ? vm_comes_after(engine, deed->target) : NULL;

    if (why != NULL)
        deed_wait(deed, WAIT_AFTER, why);
    return why != NULL;
}

/* "kill" as oVirt has it: resumed while the pause is short, then stopped and started anew. What is full is not ill, and is waited for. */
static bool kill_is_meant(const Engine *engine, const EntityState *vm)
{
    return vm_paused_by_storage(vm) && strcmp(vm->vm->reason, "enospc") != 0 && strcmp(vm_on_io_error(engine, vm), "kill") == 0;
}

static int64_t kill_at_us(const EntityState *vm)
{
    return vm->vm->paused_us + KILL_PAUSED_US;
}

/* Resumed while its storage does not serve it would only pause again. */
static void resolve_resume(Engine *engine, const Step *step, Deed *deed)
{
    EntityState *vm = deed->target;
    const EntityState *host = vm->vm->host, *storage = storage_ill_for(engine, vm, host);
    bool kill = kill_is_meant(engine, vm);

    if (host == NULL || host->host->agent == NULL) {
        deed_cannot(deed, "no host agent knows %s", vm->path);
    } else if (vm->vm->located && vm->vm->copies->len == 0) { /* its lease is gone, and with it the right to write */
        deed_cannot(deed, "no copy of %s is left to resume", vm->path);
    } else if (kill && engine->now_us >= kill_at_us(vm)) {
        deed_cannot(deed, "%s is paused by its storage for longer than %d s: it is to be killed", vm->path, (int) (KILL_PAUSED_US / US_PER_S));
    } else if (storage != NULL) {
        deed_wait(deed, WAIT_STORAGE, g_strdup_printf("%s is %s", storage->path, storage->state));
        deed->until_us = kill ? kill_at_us(vm) : 0;
    } else {
        deed_command(deed, step->action, vm, host->host->agent, deed_arguments(vm, step));
    }
}

/* What still answers is stopped at once; then it starts where there is room for it, and that may be where it was. */
static void resolve_restart(Stage *s, const Step *step, Deed *deed)
{
    EntityState *vm = deed->target;

    if (kill_is_meant(s->engine, vm) && s->engine->now_us < kill_at_us(vm)) {
        deed_wait(deed, WAIT_STORAGE, g_strdup_printf("it is not killed before it was paused for %d s", (int) (KILL_PAUSED_US / US_PER_S)));
        deed->until_us = kill_at_us(vm);
        return;
    }
    for (guint i = 0; i < vm->vm->copies->len; i++) {
        const Copy *copy = vm->vm->copies->pdata[i];

        if (host_is_up(copy->host)) {
            deed_command(deed, "vm.stop", vm, copy->host->host->agent, deed_arguments(vm, step));
            return;
        }
    }
    resolve_start(s, step, NULL, deed);
}

bool action_starts(const char *action)
{
    return strcmp(action, "vm.start") == 0 || strcmp(action, "vm.restart") == 0 || strcmp(action, "vm.relocate") == 0;
}

static bool stopped_on_purpose(const EntityState *vm)
{
    return (strcmp(vm->state, "stopped") == 0 || strcmp(vm->state, "stopping") == 0) && intent_is_wanted(vm->intent);
}

/* Away from storage that is degraded only to where it is not. */
static bool goes_from_bad_to_bad(Stage *s, const Incident *incident, const EntityState *vm)
{
    const Rule *rule = policy_rule(s->engine->policy, incident->rule);
    const EntityState *host = vm->vm->host, *storage = storage_degraded_for(s->engine, vm, host);

    return rule != NULL && strcmp(rule->on, "vm.storage-degraded") == 0 && storage != NULL && storage_well_at(s->engine, storage, host) == NULL;
}

static void resolve_vm(Stage *s, Incident *incident, const Step *step, Deed *deed)
{
    EntityState *vm = deed->target;
    const char *action = step->action;
    bool moves = strcmp(action, "vm.migrate") == 0 || strcmp(action, "vm.relocate") == 0;
    static const char *const starting[] = { "vm.start", "vm.reboot", "vm.reset", "vm.resume", "vm.restart", "vm.relocate", NULL };

    if (stopped_on_purpose(vm) && g_strv_contains(starting, action)) {
        deed_cannot(deed, "%s is %s because of %s: it is not ours to start", vm->path, vm->state, vm->intent);
    } else if (moves && vm_paused_by_storage(vm)) {
        deed_cannot(deed, "%s is paused by its storage (%s): it is never moved", vm->path, vm->vm->reason);
    } else if (moves && goes_from_bad_to_bad(s, incident, vm)) {
        deed_cannot(deed, "no other host has the storage of %s well", vm->path);
    } else if (strcmp(action, "vm.resume") == 0) {
        resolve_resume(s->engine, step, deed);
    } else if (start_must_wait(s->engine, action, deed)) {
        return;
    } else if (strcmp(action, "vm.start") == 0) {
        resolve_start(s, step, NULL, deed);
    } else if (strcmp(action, "vm.restart") == 0) {
        resolve_restart(s, step, deed);
    } else if (strcmp(action, "vm.relocate") == 0) {
        resolve_relocate(s, step, incident, deed);
    } else if (strcmp(action, "vm.migrate") == 0) {
        resolve_migrate(s, step, deed);
    } else if (vm->vm->host == NULL || vm->vm->host->host->agent == NULL) {
        deed_cannot(deed, "no host agent knows %s", vm->path);
    } else if (strcmp(action, "vm.block-copy") == 0) {
        resolve_block_copy(s->engine, step, deed);
    } else if ((strcmp(action, "vm.reset") == 0 || strcmp(action, "vm.reboot") == 0) && vm->vm->located && vm->vm->copies->len == 0) {
        resolve_start(s, step, NULL, deed); /* it has ended meanwhile */
    } else {
        deed_command(deed, action, vm, vm->vm->host->host->agent, deed_arguments(vm, step));
    }
}

/* Life on storage without the network: the host is cut off, or its switch is gone, with everything behind it. Another host behind the same
 * switch that is heard, and of which no channel says otherwise, tells which. */
static bool switch_works(const Engine *engine, const EntityState *host)
{
    const char *name = host_domain(engine, host, "switch");

    for (guint i = 0; name != NULL && i < engine->hosts->len; i++) {
        const EntityState *other = engine->hosts->pdata[i];

        if (other != host && other->host->verdict == VERDICT_ALIVE && g_strcmp0(host_domain(engine, other, "switch"), name) == 0)
            return true;
    }
    return false;
}

/* No host is fenced for its switch: its peers must have said that they do not see it, and what shares its switch have had the time to fall
 * silent too. */
static bool isolated_alone(Engine *engine, const EntityState *host, Deed *deed)
{
    const HostState *h = host->host;

    if (h->channel[CHANNEL_PEER].says != SAYS_GONE && h->channel[CHANNEL_PING].says != SAYS_GONE) {
        deed_cannot(deed, "%s lives, and no peer has said that it does not see it", host->path);
    } else if (engine->now_us < host->since_us + SWITCH_LAG_US) {
        deed_wait(deed, WAIT_BACKOFF, g_strdup("what shares its switch may fall silent too"));
        deed->until_us = host->since_us + SWITCH_LAG_US;
    } else if (!switch_works(engine, host)) {
        deed_cannot(deed, "%s lives, and nothing behind its switch is heard: no host is fenced for its switch", host->path);
    } else {
        return true;
    }
    return false;
}

static void resolve_fence(Engine *engine, const Step *step, Deed *deed)
{
    EntityState *host = deed->target, *proxy;
    HostState *h = host->host;
    g_autofree char *why = NULL;
    int64_t until_us;

    if (h->verdict == VERDICT_OFF) { /* already off is off */
        deed->kind = DEED_DONE;
        return;
    }
    if (h->verdict != VERDICT_DEAD && h->verdict != VERDICT_ISOLATED) {
        deed_cannot(deed, "%s is judged %s: only a dead or isolated host is fenced", host->path, verdict_name(h->verdict));
        return;
    }
    if (h->verdict == VERDICT_ISOLATED && !isolated_alone(engine, host, deed))
        return;
    if ((until_us = proxy_dump_until_us(h, engine->now_us)) != 0) {
        deed_wait(deed, WAIT_BACKOFF, g_strdup("it writes a crash dump, which tells why it crashed"));
        deed->until_us = until_us;
        return;
    }
    if ((proxy = proxy_choose(engine, host, &why)) == NULL) {
        deed_wait(deed, WAIT_PLACE, g_steal_pointer(&why));
        return;
    }
    json_t *arguments = deed_arguments(host, step);
    json_object_set_new(arguments, "method", json_string("off"));
    json_set_string(arguments, "hostname", host->hostname);
    deed_command(deed, "host.fence", host, proxy->host->agent, arguments);
}

void action_resolve_on(Stage *s, Incident *incident, const Step *step, Deed *ret)
{
    const char *kind = action_kind(step->action);

    if (strcmp(kind, "service") == 0)
        resolve_service(s->engine, step, ret);
    else if (strcmp(kind, "vm") == 0)
        resolve_vm(s, incident, step, ret);
    else
        resolve_fence(s->engine, step, ret);
}

void action_resolve(Stage *s, Incident *incident, const Step *step, Deed *ret)
{
    const char *kind = action_kind(step->action);

    *ret = (Deed){ .target = action_target(s->engine, incident->entity, step->action), .hopeless = NO_ITEM };
    if (ret->target == NULL)
        deed_cannot(ret, "%s: nobody knows the %s of %s", step->action, kind, incident->entity->path);
    else if (strcmp(kind, "app") == 0 || strcmp(step->action, "host.evacuate") == 0)
        plan_resolve(s, incident, step, ret);
    else
        action_resolve_on(s, incident, step, ret);
}

static bool action_boots(const char *action)
{
    static const char *const boots[] = { "vm.start", "vm.reboot", "vm.reset", NULL };

    return g_strv_contains(boots, action);
}

void action_sent(Stage *s, const Command *command)
{
    const char *host_id = json_string_or(command->arguments, strcmp(command->action, "vm.migrate") == 0 ? "to" : "host", NULL);
    EntityState *vm = entity_find(s->engine, command->entity);

    if (vm != NULL && vm->vm != NULL && action_boots(command->action))
        boot_begun(s, vm);

    if (vm == NULL || vm->vm == NULL || host_id == NULL)
        return;
    g_autofree char *path = g_strdup_printf("host/%s", host_id);
    EntityState *host = entity_find(s->engine, path);
    if (host == NULL)
        return;
    bool known = proof_copy(vm->vm, host) != NULL;
    Copy *copy = proof_copy_add(vm->vm, host, host->boot_id, s->engine->sequence_high); /* what was said until now says nothing of it */
    g_free(copy->command);
    copy->command = g_strdup(command->id);
    copy->by_start = !known;
}

static void start_answered(Stage *s, EntityState *vm, const Result *result)
{
    for (guint i = vm->vm->copies->len; i-- > 0;) {
        Copy *copy = vm->vm->copies->pdata[i];

        if (g_strcmp0(copy->command, result->command_id) != 0)
            continue;
        g_clear_pointer(&copy->command, g_free);
        /* Refused: it did not run, so a copy that stood for nothing else is none. One that was there before is not gone for that. Failed, timed
         * out, interrupted: whether a copy came up is not known. */
        if (result->state == RESULT_REFUSED && copy->by_start)
            proof_copy_gone(s, vm, copy->host, "the start was refused", NULL);
    }
}

/* It runs there, though nobody has told of it yet: it is lost again when that host is. */
static void vm_started_by(Stage *s, EntityState *vm, const Command *command)
{
    static const char *const down[] = { "lost", "stopped", "crashed", NULL };
    EntityState *host = host_by_agent(s->engine, command->agent);

    if (host == NULL || !g_strv_contains(down, vm->state))
        return;
    vm->vm->host = host;
    text_set(&vm->state, "starting");
    text_set(&vm->intent, "none");
}

void action_answered(Stage *s, const Command *command, const Result *result)
{
    EntityState *target = command == NULL ? NULL : entity_find(s->engine, command->entity);
    const char *state = json_string_or(result->values, "state", NULL);
    bool done = result->state == RESULT_DONE;

    for (guint i = 0; command == NULL && i < s->engine->vms->len; i++) /* nobody waits for it, yet a copy may hang on it */
        start_answered(s, s->engine->vms->pdata[i], result);
    if (target == NULL)
        return;
    if (target->vm != NULL && !done && action_boots(command->action))
        boot_failed(s, target);
    if (strcmp(command->action, "vm.start") == 0 || strcmp(command->action, "vm.migrate") == 0) {
        start_answered(s, target, result);
        if (done && target->vm != NULL && strcmp(command->action, "vm.start") == 0 && g_strcmp0(state, "running") == 0)
            vm_started_by(s, target, command);
    } else if (strcmp(command->action, "vm.stop") == 0 && done && g_strcmp0(state, "stopped") == 0) {
        EntityState *host = host_by_agent(s->engine, command->agent);

        if (host != NULL && target->vm->lingers == host)
            target->vm->lingers = NULL;
        if (host != NULL)
            proof_copy_gone(s, target, host, "its host says that it stopped it", NULL);
    } else if (strcmp(command->action, "host.fence") == 0 && done && g_strcmp0(state, "off") == 0) {
        target->host->channel[CHANNEL_BMC] = (ChannelState){ SAYS_OFF, s->engine->now_us, target->host->channel[CHANNEL_BMC].sequence };
        evidence_judge(s, target, NULL);
    }
}
