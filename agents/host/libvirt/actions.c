/* A command is answered once: by its work, or by the clock when the work does not come back. libvirt calls cannot be taken back, and one
 * that waits for a QEMU that hangs waits for ever; so the answer says "still at work", the late end is logged, and vm_stop, which libvirt
 * serves also then, does not stand in the same lane.
 *
 * Because vm_stop passes, it could pass a start: then its answer, which is a proof for the engine that no copy runs here, would be a lie.
 * Hence: a start that waits is taken back by a stop; behind one that has begun the stop waits; a start beside a stop is not begun. */
#include "agents/host/libvirt/action.h"

#include "agents/host/libvirt/evidence.h"
#include "agents/host/libvirt/job_resync.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>

#define AT_WORK_MAX 1000
#define GRACE_US (1 * US_PER_S) /* after the deadline, for work that ends by itself */
#define GRACE_JOB_US (10 * US_PER_S) /* and for a job, which is first ended */
#define FREEZE_MAX_US (10 * US_PER_S)
#define EVIDENCE_BYTES_MAX (UINT64_C(4) << 30)
#define EVIDENCE_PER_VM 5

struct Actions {
    int refs; /* main loop only */
    Host *host;
    ActionsOptions options;
    char *folder, *host_id, *boot_id;
    Resync *resync;
    GPtrArray *at_work; /* Action; borrowed: from its call until its work has ended */
    int closed; /* atomic */
};

static const ActionKind kinds[] = {
    { "vm_start", action_start, action_start_then, 60, NULL, ACTION_STARTS | ACTION_UNKNOWN },
    { "vm_shutdown", action_shutdown, NULL, 120, NULL, ACTION_INTENDS | ACTION_UNKNOWN },
    { "vm_stop", action_stop, action_stop_then, 60, NULL, ACTION_PASSES | ACTION_INTENDS | ACTION_UNKNOWN | ACTION_BESIDE },
    { "vm_reboot", action_reboot, NULL, 120, NULL, ACTION_INTENDS },
    { "vm_reset", action_reset, NULL, 30, NULL, 0 },
    { "vm_suspend", action_suspend, NULL, 30, NULL, ACTION_INTENDS | ACTION_BESIDE },
    { "vm_resume", action_resume, NULL, 30, NULL, ACTION_BESIDE },
    { "vm_migrate", action_migrate, action_migrate_then, 600, "migration", 0 },
    { "vm_abort_job", action_abort_job, NULL, 60, NULL, ACTION_PASSES | ACTION_BESIDE },
    { "vm_define", action_define, NULL, 30, NULL, ACTION_UNKNOWN },
    { "vm_undefine", action_undefine, NULL, 30, NULL, ACTION_UNKNOWN },
    { "vm_snapshot", action_snapshot, NULL, 120, "snapshot", 0 },
    { "vm_snapshot_commit", action_snapshot_commit, NULL, 3600, "copy", 0 },
    { "vm_block_copy", action_block_copy, NULL, 6 * 3600, "copy", 0 },
    { "vm_set_memory", action_set_memory, NULL, 30, NULL, 0 },
    { "vm_set_vcpus", action_set_vcpus, NULL, 30, NULL, 0 },
    { "vm_set_cpu_limit", action_set_cpu_limit, NULL, 30, NULL, 0 },
    { "vm_set_io_limit", action_set_io_limit, NULL, 30, NULL, 0 },
    { "vm_screenshot", action_screenshot, NULL, 30, NULL, 0 },
    { "vm_dump", action_dump, NULL, 600, "dump", 0 },
};

static void actions_unref(Actions *actions)
{
    if (--actions->refs > 0)
        return;
    g_strfreev((char **) actions->options.migration_uris);
    g_strfreev((char **) actions->options.shared_folders);
    g_free((char *) actions->options.proc);
    g_ptr_array_unref(actions->at_work);
    g_free(actions->folder);
    g_free(actions->host_id);
    g_free(actions->boot_id);
    g_free(actions);
}

static void action_free(Action *action)
{
    g_ptr_array_remove_fast(action->actions->at_work, action);
    if (action->timer != 0)
        g_source_remove(action->timer);
    job_unref(action->job);
    value_unref(action->arguments);
    value_unref(action->values);
    g_mutex_clear(&action->lock);
    g_cond_clear(&action->wake);
    actions_unref(action->actions);
    g_free(action->vm);
    g_free(action->text);
    g_free(action);
}

/* ---- answers ----------------------------------------------------------------------------------------------------------------------- */

static void answer(Action *action)
{
    HostCall *call = g_steal_pointer(&action->call);
    Value *values = g_steal_pointer(&action->values);

    log_notice("%s %s: %s%s%s", action->kind->method, action->vm, action->outcome == OUTCOME_DONE ? "done" :
               action->outcome == OUTCOME_REFUSED ? "refused" : "failed", action->text != NULL ? ": " : "", action->text != NULL ? action->text : "");
    if (call == NULL)
        value_unref(values);
    else if (action->outcome == OUTCOME_DONE)
        host_call_done(call, action->state, values, action->text);
    else if (action->outcome == OUTCOME_REFUSED)
        host_call_refused(call, action->error, action->text);
    else
        host_call_failed(call, action->error, values, action->text);
    if (action->outcome == OUTCOME_REFUSED && call != NULL)
        value_unref(values);
}

static void note_intent(const Action *action, const char *intent)
{
    const ActionsOptions *options = &action->actions->options;

    if (options->note != NULL)
        options->note(options->user, action->vm, "intent", intent);
}

static void end_job(Action *action)
{
    const GPtrArray *others = action->actions->at_work;
    bool begun = job_is_begun(action->job);

    job_end(action->job);
    for (guint i = 0; begun && i < others->len; i++) {
        Action *other = others->pdata[i];

        if (other != action && other->job != NULL && job_is_begun(other->job) && strcmp(other->vm, action->vm) == 0 && strcmp(job_name(other->job), job_name(action->job)) == 0)
            job_begin(other->job);
    }
}

static void on_ended(void *data)
{
    Action *action = data;

    if (action->outcome == OUTCOME_NONE)
        action_failed(action, COMMAND_ERROR_FAILED, "it ended without a result");
    if (action->kind->then != NULL && !actions_closed(action))
        action->kind->then(action);
    if ((action->kind->flags & ACTION_INTENDS) != 0 && action->outcome != OUTCOME_DONE && !actions_closed(action))
        note_intent(action, ""); /* what comes now was not meant */
    if (action->job != NULL && !actions_closed(action))
        end_job(action);
    answer(action);
    action_free(action);
}

/* The deadline is over and the work has not come back. What it finds later is only logged. */
static gboolean on_late(void *user)
{
    Action *action = user;
    g_autofree char *text = NULL;
    bool took_back;

    action->timer = 0;
    took_back = g_atomic_int_compare_and_exchange(&action->begun, 0, 2);
    g_mutex_lock(&action->lock);
    action->told_to_end = true;
    g_cond_broadcast(&action->wake);
    g_mutex_unlock(&action->lock);
    if (took_back)
        text = g_strdup("nothing was done: what came before it on this VM is still at work; vm_abort_job ends jobs, vm_stop waits for nothing");
    else
        text = g_strdup("libvirt has not answered in time and may still do it; when nothing else helps, vm_stop");
    log_warning("%s %s: %s", action->kind->method, action->vm, text);
    host_call_failed(g_steal_pointer(&action->call), COMMAND_ERROR_TIMEOUT, NULL, text);
    return G_SOURCE_REMOVE;
}

/* ---- work -------------------------------------------------------------------------------------------------------------------------- */

static void look_up_and_run(Action *action)
{
    action->domain = virDomainLookupByUUIDString(action->connection, action->vm);
    if (action->domain != NULL || (virt_error_is(VIR_ERR_NO_DOMAIN) && (action->kind->flags & ACTION_UNKNOWN) != 0))
        action->kind->run(action);
    else
        action_failed_by_libvirt(action, "cannot look at it");
}

static void work(void *data)
{
    Action *action = data;

    if (!g_atomic_int_compare_and_exchange(&action->begun, 0, 1))
        action_failed(action, COMMAND_ERROR_INTERRUPTED, "nothing was done: it was taken back before it began, by a vm_stop or by the clock");
    else if (action_left_us(action) == 0 && (action->kind->flags & ACTION_STARTS) == 0)
        action_refused(action, COMMAND_ERROR_DEADLINE, "its time was over before its turn came");
    else
        look_up_and_run(action);
    if (action->domain != NULL) /* here, since the last reference to a connection closes it, and that may take its time */
        virDomainFree(action->domain);
    virConnectClose(action->connection);
}

static gboolean on_thread_ended(void *action)
{
    on_ended(action);
    return G_SOURCE_REMOVE;
}

/* A stop does not even wait for one of the host agent's threads: when storage hangs, all of them may. */
static void *work_alone(void *action)
{
    work(action);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_thread_ended, action, NULL);
    return NULL;
}

/* What stands in the way of @kind for the VM, or NULL; behind what it must wait in @ret_in_lane. */
static const char *obstacle(Actions *actions, const ActionKind *kind, const char *vm, bool *ret_in_lane)
{
    bool is_stop = strcmp(kind->method, "vm_stop") == 0;

    for (guint i = 0; i < actions->at_work->len; i++) {
        Action *other = actions->at_work->pdata[i];

        if (strcmp(other->vm, vm) != 0)
            continue;
        if ((kind->flags & ACTION_STARTS) != 0 && strcmp(other->kind->method, "vm_stop") == 0)
            return "vm_stop";
        if (is_stop && (other->kind->flags & ACTION_STARTS) != 0 && !g_atomic_int_compare_and_exchange(&other->begun, 0, 2))
            *ret_in_lane |= g_atomic_int_get(&other->begun) == 1;
        if ((kind->flags & (ACTION_BESIDE | ACTION_STARTS)) == 0 && kind->job == NULL && other->kind->job != NULL &&
            strcmp(other->kind->job, "copy") != 0 && strcmp(other->kind->job, "snapshot") != 0)
            return other->kind->method;
    }
    return NULL;
}

static Action *action_new(Actions *actions, const ActionKind *kind, HostCall *call, char *vm, virConnectPtr connection)
{
    Action *action = g_new0(Action, 1);

    actions->refs++;
    g_mutex_init(&action->lock);
    g_cond_init(&action->wake);
    action->kind = kind;
    action->actions = actions;
    action->call = call;
    action->vm = vm;
    action->arguments = value_ref((Value *) host_call_arguments(call));
    action->connection = connection;
    action->deadline_us = host_call_limit_us(call, kind->timeout_s * US_PER_S);
    action->timer = g_timeout_add((guint) (MAX(action->deadline_us - clock_now_us() + (kind->job != NULL ? GRACE_JOB_US : GRACE_US), 0) / US_PER_MS), on_late, action);
    g_ptr_array_add(actions->at_work, action);
    return action;
}

static void begin(Action *action, bool in_lane)
{
    const Actions *actions = action->actions;
    const ActionKind *kind = action->kind;
    const char *intent = action_text(action, "intent");
    bool passes = (kind->flags & ACTION_PASSES) != 0 && !in_lane;
    g_autofree char *lane = g_strdup_printf("vm:%s%s", action->vm, kind->job != NULL ? ":job" : "");

    if ((kind->flags & ACTION_INTENDS) != 0)
        note_intent(action, intent != NULL ? intent : "command");
    if (kind->job != NULL)
        action->job = job_new(actions->host, action->vm, kind->job, action_text(action, "to"), action->deadline_us);
    if (passes)
        g_thread_unref(g_thread_new("vm-passes", work_alone, action));
    else
        host_work(actions->host, lane, work, on_ended, NULL, action);
}

static void on_call(HostCall *call, void *user)
{
    Actions *actions = user;
    const char *method = host_call_method(call), *other;
    const ActionKind *kind = kinds;
    g_autofree char *vm = uuid_canonical(host_call_name(call));
    virConnectPtr connection;
    bool in_lane = false;

    while (strcmp(kind->method, method) != 0)
        kind++;
    if (vm == NULL) {
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "Invalid argument: name: wants the UUID of a VM");
        return;
    }
    other = obstacle(actions, kind, vm, &in_lane);
    if (other != NULL) {
        g_autofree char *text = g_strdup_printf("nothing was done: %s of this VM is at work; %s", other, strcmp(other, "vm_stop") == 0 ?
                                                "wait for its answer" : "wait for its end, or end it with vm_abort_job");

        host_call_failed(call, COMMAND_ERROR_FAILED, NULL, text);
        return;
    }
    if (actions->at_work->len >= AT_WORK_MAX) {
        host_call_failed(call, COMMAND_ERROR_FAILED, NULL, "nothing was done: too many commands are at work on this host");
        return;
    }
    connection = actions->options.connection(actions->options.user);
    if (connection == NULL) {
        host_call_failed(call, COMMAND_ERROR_FAILED, NULL, "nothing was done: libvirtd does not answer on this host; start it, or fence the host");
        return;
    }
    begin(action_new(actions, kind, call, g_steal_pointer(&vm), connection), in_lane);
}

/* ---- outside ----------------------------------------------------------------------------------------------------------------------- */

static bool is_at_work(void *user, const char *vm)
{
    const Actions *actions = user;

    for (guint i = 0; i < actions->at_work->len; i++) {
        const Action *action = actions->at_work->pdata[i];

        if (action->kind->job != NULL && strcmp(action->vm, vm) == 0)
            return true;
    }
    return false;
}

static virConnectPtr connection_of(void *user)
{
    const Actions *actions = user;

    return actions->options.connection(actions->options.user);
}

Actions *actions_new(Host *host, const ActionsOptions *options)
{
    Actions *actions = g_new0(Actions, 1);

    virt_error_quiet();
    actions->refs = 1;
    actions->host = host;
    actions->options = *options;
    actions->options.proc = g_strdup(options->proc);
    actions->options.migration_uris = (const char *const *) g_strdupv((char **) options->migration_uris);
    actions->options.shared_folders = (const char *const *) g_strdupv((char **) options->shared_folders);
    actions->options.freeze_max_us = options->freeze_max_us > 0 ? options->freeze_max_us : FREEZE_MAX_US;
    actions->options.evidence_bytes_max = options->evidence_bytes_max > 0 ? options->evidence_bytes_max : EVIDENCE_BYTES_MAX;
    actions->options.evidence_per_vm = options->evidence_per_vm > 0 ? options->evidence_per_vm : EVIDENCE_PER_VM;
    actions->folder = g_strdup(host_data(host));
    actions->host_id = g_strdup(host_id(host));
    actions->boot_id = g_strdup(host_boot_id(host));
    actions->at_work = g_ptr_array_new();
    actions->resync = resync_new(host, actions->folder, connection_of, is_at_work, actions);
    evidence_tidy(actions->folder);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        host_on_method(host, kinds[i].method, on_call, actions);
    return actions;
}

void actions_free(Actions *actions)
{
    if (actions == NULL)
        return;
    g_atomic_int_set(&actions->closed, 1);
    g_clear_pointer(&actions->resync, resync_free);
    for (guint i = 0; i < actions->at_work->len; i++) {
        Action *action = actions->at_work->pdata[i];

        if (action->timer != 0)
            g_source_remove(action->timer);
        action->timer = 0;
        if (action->job != NULL)
            job_drop(action->job);
        action->call = NULL; /* the agent that goes answers it: interrupted */
        action_tell_to_end(action);
    }
    actions_unref(actions);
}

void actions_connected(Actions *actions) { resync_now(actions->resync); }

/* vm_abort_job came for @vm: what is at work ends itself, each kind in its own way. */
void actions_end_jobs(Action *by)
{
    for (guint i = 0; i < by->actions->at_work->len; i++) {
        Action *action = by->actions->at_work->pdata[i];

        if (action != by && action->kind->job != NULL && strcmp(action->vm, by->vm) == 0)
            action_tell_to_end(action);
    }
}

bool actions_closed(const Action *action) { return g_atomic_int_get(&action->actions->closed) != 0; }
const ActionsOptions *action_options(const Action *action) { return &action->actions->options; }
Host *action_host(const Action *action) { return action->actions->host; }
const char *action_folder(const Action *action) { return action->actions->folder; }
const char *action_host_id(const Action *action) { return action->actions->host_id; }
const char *action_boot_id(const Action *action) { return action->actions->boot_id; }
