/* Commands on VMs. Each is the same walk, in which only what is wanted differs:
 *
 *   look ──▶ wanted already: done ── not possible: refused
 *     └────▶ act (POST) ──▶ watch: look again each second until it is as wanted (done), cannot become so (failed), or time is over
 *
 * The watch decides, not the answer to the POST: oVirt answers when it has begun. So an answer that was lost, late or malformed changes
 * nothing: what became of the action is read from the VM, and it is never sent twice. When a conflict is answered (409) the VM is looked
 * at as well: somebody may have done the same a moment before, then it is done.
 *
 * A start is refused only when the VM was looked at and has no copy here: that is what the policy engine takes a refusal for. */
#include "bridges/ovirt/ovirt_site.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define LOOK_US       US_PER_S
#define TAKES_US      (10 * US_PER_S) /* an accepted action shows by then */
#define LOST_US       (20 * US_PER_S) /* one whose answer was lost, and that does not show by then or in four time-outs, did not arrive */
#define MIGRATION_US  (30 * US_PER_MINUTE)

typedef enum { START, STOP, SHUTDOWN, REBOOT, RESET, SUSPEND, RESUME, MIGRATE, ABORT } Kind;

static const struct {
    const char *method, *action, *what;
    bool ends;                /* the VM stops: by somebody's wish */
} kinds[] = {
    [START] = { "vm_start", "start", "started", false },
    [STOP] = { "vm_stop", "stop", "stopped", true },
    [SHUTDOWN] = { "vm_shutdown", "shutdown", "shut down", true },
    [REBOOT] = { "vm_reboot", "reboot", "rebooted", false },
    [RESET] = { "vm_reset", "reset", "reset", false },
    [SUSPEND] = { "vm_suspend", "suspend", "suspended to disk", true },
    [RESUME] = { "vm_resume", "start", "resumed", false },
    [MIGRATE] = { "vm_migrate", "migrate", "moved", false },
    [ABORT] = { "vm_abort_job", "cancelmigration", "no migration is at work", false },
};

typedef struct Deed {
    OvirtSite *site;
    SiteHost *host;
    HostCall *call;
    Kind kind;
    char *vm, *to;
    OvirtCall *request, *progress;
    guint timer;
    int64_t deadline_us, posted_us; /* posted_us 0: nothing was sent yet */
    bool accepted;    /* oVirt said so */
    bool conflict;    /* 409: the next look decides */
    bool began;       /* it was seen to begin: launching, migrating, rebooting */
    char *trouble;    /* why it may not have been done, for people */
} Deed;

/* NOT_HERE: another host may do it, or this one later. */
typedef enum { LOOK_WAIT, LOOK_DONE, LOOK_REFUSE, LOOK_NOT_HERE, LOOK_FAIL, LOOK_ACT } Verdict;

static void look(Deed *deed);

static void deed_free(Deed *deed)
{
    ovirt_call_drop(deed->request);
    ovirt_call_drop(deed->progress);
    g_clear_handle_id(&deed->timer, g_source_remove);
    g_free(deed->vm);
    g_free(deed->to);
    g_free(deed->trouble);
    g_free(deed);
}

/* @error NULL: done. */
static void deed_end(Deed *deed, const char *error, const char *text, bool refused)
{
    SiteVm *vm = site_vm(deed->site, deed->vm);
    OvirtWatch *watch = deed->site->watch;

    log_notice("%s %s: %s%s%s", kinds[deed->kind].method, deed->vm, error == NULL ? "done" : refused ? "refused" : "failed", text != NULL ? ": " : "",
               text != NULL ? text : "");
    if (error != NULL && kinds[deed->kind].ends && vm != NULL && deed->posted_us == 0)
        ovirt_past_unwish(&vm->past);
    if (error == NULL)
        host_call_done(deed->call, kinds[deed->kind].ends ? "stopped" : "running", NULL, text);
    else if (refused && strcmp(error, COMMAND_ERROR_FAILED) == 0)
        host_call_declined(deed->call, text);
    else if (refused)
        host_call_refused(deed->call, error, text);
    else
        host_call_failed(deed->call, error, NULL, text);
    g_hash_table_remove(deed->site->deeds, deed);
    deed_free(deed);
    ovirt_watch_soon(watch);
}

/* ---- what is wanted ------------------------------------------------------------------------------------------------------------------------ */

static bool status_is(const OvirtVm *vm, const char *a, const char *b, const char *c)
{
    return g_strcmp0(vm->status, a) == 0 || g_strcmp0(vm->status, b) == 0 || g_strcmp0(vm->status, c) == 0;
}

static bool runs_well(const OvirtVm *vm) { return status_is(vm, "up", "powering_up", "reboot_in_progress"); }
static bool is_here(const Deed *deed, const OvirtVm *vm) { return g_strcmp0(vm->host, deed->host->now->id) == 0; }

static Verdict because(char **ret_why, Verdict verdict, const char *format, ...) G_GNUC_PRINTF(3, 4);
static Verdict because(char **ret_why, Verdict verdict, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    *ret_why = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return verdict;
}

static bool shows(const Deed *deed) { return deed->posted_us != 0 && clock_now_us() - deed->posted_us >= TAKES_US; }

static Verdict judge_start(Deed *deed, const OvirtVm *vm, char **ret_why)
{
    const char *elsewhere = vm->host != NULL && !is_here(deed, vm) ? vm->host : NULL;

    if (runs_well(vm) && elsewhere == NULL)
        return LOOK_DONE;
    if (elsewhere != NULL && ovirt_status_runs(vm->status))
        return because(ret_why, deed->posted_us == 0 ? LOOK_REFUSE : LOOK_FAIL, "it is %s on host %s", vm->status, elsewhere);
    if (status_is(vm, "wait_for_launch", "restoring_state", "migrating")) {
        deed->began = true;
        return LOOK_WAIT;
    }
    if (status_is(vm, "down", "suspended", NULL)) {
        if (deed->posted_us != 0)
            return deed->began || (deed->accepted && shows(deed)) ? because(ret_why, LOOK_FAIL, "oVirt began to start it, and it is %s again", vm->status)
                                                                  : LOOK_WAIT;
        if (strcmp(deed->host->now->status, "up") != 0)
            return because(ret_why, LOOK_NOT_HERE, "this host is '%s' in oVirt and takes no VM", deed->host->now->status);
        if (vm->ha && strcmp(deed->site->settings->ha, "mend") != 0)
            return because(ret_why, LOOK_REFUSE, "oVirt has it as highly available and restarts it by itself; --ha mend leaves that to Mend");
        return LOOK_ACT;
    }
    return because(ret_why, LOOK_FAIL, "it is %s%s", vm->status, status_is(vm, "paused", NULL, NULL) ? ": vm_resume" : "");
}

static Verdict judge_end(Deed *deed, const OvirtVm *vm, char **ret_why)
{
    if (deed->kind == SUSPEND && status_is(vm, "suspended", NULL, NULL))
        return LOOK_DONE;
    if (deed->kind == SUSPEND && deed->posted_us == 0 && !status_is(vm, "up", NULL, NULL))
        return because(ret_why, LOOK_REFUSE, "it is %s", vm->status);
    if (deed->kind == SUSPEND && status_is(vm, "down", NULL, NULL))
        return because(ret_why, LOOK_FAIL, "it is down instead");
    if (deed->kind != SUSPEND && status_is(vm, "down", "suspended", NULL))
        return LOOK_DONE;
    deed->began = deed->began || status_is(vm, "powering_down", "saving_state", NULL);
    if (deed->kind == SHUTDOWN && deed->posted_us == 0 && status_is(vm, "paused", NULL, NULL))
        return because(ret_why, LOOK_REFUSE, "it is paused and hears nothing: vm_stop, or vm_resume before");
    return deed->posted_us == 0 ? LOOK_ACT : LOOK_WAIT;
}

static Verdict judge_reboot(Deed *deed, const OvirtVm *vm, char **ret_why)
{
    if (deed->posted_us == 0)
        return status_is(vm, "up", "powering_up", NULL) ? LOOK_ACT : because(ret_why, LOOK_REFUSE, "it is %s", vm->status);
    if (status_is(vm, "reboot_in_progress", NULL, NULL)) {
        deed->began = true;
        return LOOK_WAIT;
    }
    if (status_is(vm, "up", "powering_up", NULL))
        return deed->began || (deed->accepted && shows(deed)) ? LOOK_DONE : LOOK_WAIT;
    return status_is(vm, "down", NULL, NULL) ? because(ret_why, LOOK_FAIL, "it is down") : LOOK_WAIT;
}

/* Paused by its storage, and oVirt is set to leave it so, or to kill it: not ours to undo. To resume it twice does no harm. */
static bool pause_is_ovirts(const Deed *deed, const OvirtVm *vm)
{
    const SiteVm *known = site_vm(deed->site, deed->vm);
    const char *pause = known != NULL ? known->past.pause : NULL;
    bool by_storage = pause != NULL && strcmp(pause, "user") != 0;

    return by_storage && status_is(vm, "paused", NULL, NULL) && strcmp(deed->site->settings->ha, "mend") != 0 && vm->on_storage_error != NULL &&
           strcmp(vm->on_storage_error, "auto_resume") != 0;
}

static Verdict judge_resume(const Deed *deed, const OvirtVm *vm, char **ret_why)
{
    if (runs_well(vm))
        return LOOK_DONE;
    if (deed->posted_us == 0 && pause_is_ovirts(deed, vm))
        return because(ret_why, LOOK_REFUSE, "its storage failed, and oVirt is set to '%s' it by itself; --ha mend leaves that to Mend", vm->on_storage_error);
    if (status_is(vm, "paused", "suspended", NULL))
        return deed->posted_us == 0 ? LOOK_ACT : shows(deed) && deed->accepted ? because(ret_why, LOOK_FAIL, "it is %s still", vm->status) : LOOK_WAIT;
    if (status_is(vm, "restoring_state", "wait_for_launch", NULL))
        return LOOK_WAIT;
    return because(ret_why, deed->posted_us == 0 ? LOOK_REFUSE : LOOK_FAIL, "it is %s", vm->status);
}

static Verdict judge_migrate(Deed *deed, const OvirtVm *vm, char **ret_why)
{
    const SiteVm *known = site_vm(deed->site, deed->vm);

    if (deed->to != NULL ? g_strcmp0(vm->host, deed->to) == 0 && runs_well(vm) : deed->began && !is_here(deed, vm) && runs_well(vm))
        return LOOK_DONE;
    if (status_is(vm, "migrating", NULL, NULL)) {
        deed->began = true;
        return LOOK_WAIT;
    }
    if (deed->posted_us != 0) {
        if (!ovirt_status_runs(vm->status))
            return because(ret_why, LOOK_FAIL, "it is %s", vm->status);
        return deed->began || (deed->accepted && shows(deed)) ? because(ret_why, LOOK_FAIL, "it did not move: it is %s on host %s", vm->status,
                                                                        vm->host != NULL ? vm->host : "?")
                                                              : LOOK_WAIT;
    }
    if (status_is(vm, "paused", NULL, NULL))
        return because(ret_why, LOOK_REFUSE, "it is paused (%s): what it had in flight to its disks would be lost or written twice",
                       known != NULL && known->past.pause != NULL ? known->past.pause : "unknown why");
    return status_is(vm, "up", "powering_up", NULL) ? LOOK_ACT : because(ret_why, LOOK_REFUSE, "it is %s", vm->status);
}

static Verdict judge(Deed *deed, const OvirtVm *vm, char **ret_why)
{
    switch (deed->kind) {
    case START: return judge_start(deed, vm, ret_why);
    case STOP: case SHUTDOWN: case SUSPEND: return judge_end(deed, vm, ret_why);
    case REBOOT: case RESET: return judge_reboot(deed, vm, ret_why);
    case RESUME: return judge_resume(deed, vm, ret_why);
    case MIGRATE: return judge_migrate(deed, vm, ret_why);
    default: return !status_is(vm, "migrating", NULL, NULL) ? LOOK_DONE : deed->posted_us == 0 ? LOOK_ACT : LOOK_WAIT;
    }
}

/* ---- the walk -------------------------------------------------------------------------------------------------------------------------------- */

static gboolean on_look(void *user)
{
    Deed *deed = user;

    deed->timer = 0;
    look(deed);
    return G_SOURCE_REMOVE;
}

/* Once more, unless time is over. */
static void look_later(Deed *deed)
{
    int64_t left_us = deed->deadline_us - clock_now_us();

    if (left_us > 0) {
        deed->timer = g_timeout_add((guint) (MIN(left_us + US_PER_MS, LOOK_US) / US_PER_MS), on_look, deed);
        return;
    }
    g_autofree char *text = g_strdup_printf("not so in time%s%s%s", deed->trouble != NULL ? ": " : "", deed->trouble != NULL ? deed->trouble : "",
                                            deed->posted_us == 0 ? "; nothing was sent" : "; whether it comes to be is not known");

    deed_end(deed, COMMAND_ERROR_TIMEOUT, text, false);
}

static void trouble(Deed *deed, const OvirtAnswer *answer)
{
    g_free(deed->trouble);
    deed->trouble = g_strdup(answer->text);
}

static void on_acted(const OvirtAnswer *answer, void *user)
{
    Deed *deed = user;

    deed->request = NULL;
    deed->accepted = answer->error == NULL;
    if (answer->error != NULL)
        trouble(deed, answer);
    deed->conflict = answer->status == 409;
    if (answer->error != NULL && !answer->uncertain && !deed->conflict) { /* it was not done */
        deed->posted_us = 0;
        deed_end(deed, answer->error, deed->trouble, false);
        return;
    }
    look(deed);
}

static json_t *body_of(const Deed *deed)
{
    const char *to = deed->kind == START ? deed->host->now->id : deed->to;

    if (deed->kind == START)
        return json_pack("{s:{s:{s:{s:[{s:s}]}}}}", "vm", "placement_policy", "hosts", "host", "id", to);
    if (deed->kind == MIGRATE && to != NULL)
        return json_pack("{s:{s:s}}", "host", "id", to);
    if (deed->kind == STOP || deed->kind == SHUTDOWN)
        return json_pack("{s:s}", "reason", "Mend");
    return json_object();
}

static void act(Deed *deed)
{
    SiteVm *vm = site_vm(deed->site, deed->vm);
    g_autofree char *path = g_strdup_printf("/vms/%s/%s", deed->vm, kinds[deed->kind].action);

    if (kinds[deed->kind].ends && vm != NULL) {
        const char *intent = value_get_string(host_call_arguments(deed->call), "intent");

        ovirt_past_wish(&vm->past, intent != NULL && *intent != '\0' ? intent : "command", clock_now_us());
    }
    if (deed->kind == MIGRATE && vm != NULL && deed->to != NULL) {
        g_free(vm->to);
        vm->to = g_strdup(deed->to);
    }
    deed->posted_us = clock_now_us();
    deed->request = ovirt_api_post(deed->site->api, path, body_of(deed), false, MIN(deed->deadline_us, deed->posted_us + deed->site->settings->timeout_us),
                                   on_acted, deed);
    ovirt_watch_soon(deed->site->watch);
}

static void on_progress(const OvirtAnswer *answer, void *user)
{
    Deed *deed = user;
    double percent;
    Value *values, *progress;

    deed->progress = NULL;
    if (answer->error != NULL || !ovirt_statistic(answer->body, "migration.progress", &percent) || percent < 0 || percent > 100)
        return;
    values = value_map();
    progress = value_map();
    value_set(progress, "percent", value_uint(VALUE_UINT32, (uint64_t) percent));
    value_set(values, "job", value_string("migration"));
    value_set(values, "says", value_string("progress"));
    value_set(values, "host", value_string(deed->host->now->id));
    value_set(values, "progress", progress);
    host_tell_happened(deed->host->host, "vm", deed->vm, "job", "migration-progress", values);
}

static void ask_progress(Deed *deed)
{
    g_autofree char *path = g_strdup_printf("/vms/%s/statistics", deed->vm);

    if (deed->kind == MIGRATE && deed->began && deed->progress == NULL)
        deed->progress = ovirt_api_get(deed->site->api, path, 0, on_progress, deed);
}

static void take_verdict(Deed *deed, const OvirtVm *vm)
{
    g_autofree char *why = NULL;
    Verdict verdict = judge(deed, vm, &why);
    const char *error = deed->kind == MIGRATE || (deed->kind == START && vm->ha) ? COMMAND_ERROR_UNSAFE : COMMAND_ERROR_ARGUMENT;

    if (deed->conflict && verdict == LOOK_WAIT && deed->began)
        deed->conflict = false; /* somebody else began the same */
    if (deed->conflict && verdict != LOOK_DONE) {
        deed_end(deed, COMMAND_ERROR_FAILED, deed->trouble, false);
        return;
    }
    switch (verdict) {
    case LOOK_DONE: deed_end(deed, NULL, kinds[deed->kind].what, false); return;
    case LOOK_ACT: act(deed); return;
    case LOOK_REFUSE: deed_end(deed, deed->kind == START || deed->kind == RESUME ? COMMAND_ERROR_UNSAFE : error, why, true); return;
    case LOOK_NOT_HERE: deed_end(deed, COMMAND_ERROR_FAILED, why, true); return;
    case LOOK_FAIL: deed_end(deed, COMMAND_ERROR_FAILED, why, false); return;
    default:
        if (deed->posted_us != 0 && !deed->accepted && !deed->began && clock_now_us() - deed->posted_us >= MIN(LOST_US, 4 * deed->site->settings->timeout_us)) {
            g_autofree char *text = g_strdup_printf("%s; it is %s still", deed->trouble, vm->status);

            deed_end(deed, COMMAND_ERROR_TIMEOUT, text, false);
            return;
        }
        ask_progress(deed);
        look_later(deed);
        return;
    }
}

static void on_looked(const OvirtAnswer *answer, void *user)
{
    Deed *deed = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(OvirtVm) vm = answer->error == NULL ? ovirt_vm_read(answer->body, &error) : NULL;

    deed->request = NULL;
    if (vm != NULL) {
        take_verdict(deed, vm);
    } else if (answer->status == 404) {
        deed_end(deed, COMMAND_ERROR_NOT_FOUND, answer->text, deed->posted_us == 0);
    } else if (deed->posted_us == 0) { /* nothing was done */
        bool is_login = answer->status == 401 || answer->status == 403 || answer->error == NULL;

        deed_end(deed, is_login || answer->status >= 500 ? COMMAND_ERROR_FAILED : COMMAND_ERROR_UNREACHABLE,
                 answer->error != NULL ? answer->text : error->message, false);
    } else {
        if (answer->error != NULL)
            trouble(deed, answer);
        look_later(deed);
    }
}

static void look(Deed *deed)
{
    g_autofree char *path = g_strdup_printf("/vms/%s", deed->vm);

    if (deed->posted_us != 0 && clock_now_us() >= deed->deadline_us) {
        look_later(deed); /* says that time is over */
        return;
    }
    deed->request = ovirt_api_get(deed->site->api, path, MIN(deed->deadline_us, clock_now_us() + deed->site->settings->timeout_us), on_looked, deed);
}

/* ---- methods ---------------------------------------------------------------------------------------------------------------------------------- */

static Deed *deed_of(const OvirtSite *site, const char *vm)
{
    GHashTableIter iter;
    void *deed;

    g_hash_table_iter_init(&iter, site->deeds);
    while (g_hash_table_iter_next(&iter, &deed, NULL))
        if (strcmp(((Deed *) deed)->vm, vm) == 0)
            return deed;
    return NULL;
}

/* True: refused. */
static bool is_wrong(SiteHost *host, HostCall *call, Kind kind, const char *vm)
{
    const char *wanted = value_get_string(host_call_arguments(call), "host"), *life = value_get_string(host_call_arguments(call), "boot_id");

    if (!g_uuid_string_is_valid(vm)) {
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "'name' is not the UUID of a VM");
        return true;
    }
    if (kind != START)
        return false;
    if (wanted != NULL && *wanted != '\0' && strcmp(wanted, host->now->id) != 0) {
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "it shall start on another host");
        return true;
    }
    if (life != NULL && *life != '\0' && strcmp(life, host_boot_id(host->host)) != 0) {
        host_call_refused(call, COMMAND_ERROR_UNSAFE, "it shall start in another life of this host");
        return true;
    }
    return false;
}

static void on_method(HostCall *call, void *user)
{
    SiteHost *host = user;
    const char *vm = host_call_name(call), *to = value_get_string(host_call_arguments(call), "to");
    Kind kind = START;
    Deed *deed, *other;

    while (strcmp(kinds[kind].method, host_call_method(call)) != 0)
        kind++;
    if (is_wrong(host, call, kind, vm))
        return;
    other = deed_of(host->site, vm);
    if (other != NULL && kind != STOP && kind != ABORT) {
        g_autofree char *text = g_strdup_printf("%s of it is at work", kinds[other->kind].method);

        host_call_failed(call, COMMAND_ERROR_FAILED, NULL, text);
        return;
    }
    if (other != NULL && other->kind == START)
        deed_end(other, COMMAND_ERROR_FAILED, "taken back by vm_stop", false);
    deed = g_new0(Deed, 1);
    *deed = (Deed) { .site = host->site, .host = host, .call = call, .kind = kind, .vm = g_strdup(vm) };
    deed->to = to != NULL && *to != '\0' ? g_strdup(to) : NULL;
    deed->deadline_us = kind == MIGRATE ? host_call_limit_us(call, MIGRATION_US) : host_call_deadline_us(call);
    g_hash_table_add(host->site->deeds, deed);
    look(deed);
}

void ovirt_commands_offer(SiteHost *host)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        host_on_method(host->host, kinds[i].method, on_method, host);
}

void ovirt_commands_end(OvirtSite *site, const SiteHost *host, const char *why)
{
    g_autoptr(GPtrArray) ended = g_ptr_array_new();
    GHashTableIter iter;
    void *key;

    g_hash_table_iter_init(&iter, site->deeds);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (host == NULL || ((Deed *) key)->host == host)
            g_ptr_array_add(ended, key);
    for (guint i = 0; i < ended->len; i++)
        deed_end(ended->pdata[i], COMMAND_ERROR_INTERRUPTED, why, false);
}
