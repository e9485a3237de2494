/* Peer to peer: this host's libvirtd talks to the other one, so a migration neither needs this agent nor ends with it. A definition moves
 * along and goes from here: left behind, an autostart or a person would start the VM a second time; the agent keeps a copy.
 *
 * The call blocks for as long as the migration takes. The main loop's watch asks for progress and, when the deadline comes or
 * vm_abort_job, ends the job until libvirt knows of none: an abort that comes before the job has begun is lost. */
#include "agents/host/libvirt/action.h"
#include "agents/host/libvirt/definitions.h"

#include "lib/base/clock.h"

#include <string.h>

#define MIB UINT64_C(1048576)
#define END_AGAIN_US (200 * US_PER_MS)

typedef struct Ender { /* ends the migration when it must end; a thread of its own, since the call itself blocks */
    Action *action;
    GThread *thread;
    bool over; /* under the action's lock: the call has come back */
} Ender;

static bool ender_over(Ender *ender)
{
    g_mutex_lock(&ender->action->lock);
    bool over = ender->over;
    g_mutex_unlock(&ender->action->lock);
    return over;
}

/* Until it is over, must end, or it is @until_us. */
static void ender_wait(Ender *ender, int64_t until_us)
{
    Action *action = ender->action;

    g_mutex_lock(&action->lock);
    while (!ender->over && !action->told_to_end && clock_now_us() < until_us)
        g_cond_wait_until(&action->wake, &action->lock, until_us);
    g_mutex_unlock(&action->lock);
}

static void *end_when_due(void *user)
{
    Ender *ender = user;
    Action *action = ender->action;

    if (action_options(action)->post_copy) {
        ender_wait(ender, action->deadline_us - action_left_us(action) / 2);
        if (!ender_over(ender) && !action_told_to_end(action) && virDomainMigrateStartPostCopy(action->domain, 0) < 0)
            virResetLastError();
    }
    ender_wait(ender, action->deadline_us);
    while (!ender_over(ender) && !actions_closed(action)) { /* an agent that ends leaves it at work: libvirtd needs nobody for it */
        if (virDomainAbortJob(action->domain) < 0)
            virResetLastError();
        g_usleep(END_AGAIN_US);
    }
    return NULL;
}

/* ---- what it takes ------------------------------------------------------------------------------------------------------------------- */

static const char *uri_of(const Action *action, const char *to)
{
    const char *const *known = action_options(action)->migration_uris;
    size_t length = strlen(to);

    for (; known != NULL && *known != NULL; known++)
        if (g_ascii_strncasecmp(*known, to, length) == 0 && (*known)[length] == '=')
            return *known + length + 1;
    return NULL;
}

static bool may_move(Action *action, const char *to, const char *uri)
{
    int reason = 0, state = action_domain_state(action, &reason);

    if (to == NULL)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: to: a migration says to which host");
    else if (g_ascii_strcasecmp(to, action_host_id(action)) == 0)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: to: it is on that host, this one");
    else if (uri == NULL)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "no libvirt URI is known for host %s: name it in uri, or in the setting migrate-to", to);
    else if (action_is_paused_by_storage(state, reason)) {
        g_autofree char *disks = action_disk_errors(action);

        action_refused(action, COMMAND_ERROR_UNSAFE, "it is paused by an I/O error (%s): what it had in flight to its disks would be lost or written twice; "
                       "vm_resume when the storage is back, or vm_stop", disks != NULL ? disks : "no disk is named");
    } else if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_BLOCKED && !(state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_USER))
        action_refused(action, COMMAND_ERROR_UNSAFE, "it is %s: only a VM that runs, or that somebody paused, can move", action_state_name(state));
    else
        return true;
    return false;
}

static bool is_shared(const Action *action, const char *path)
{
    const char *const *folder = action_options(action)->shared_folders;

    for (; folder != NULL && *folder != NULL; folder++) {
        size_t length = strlen(*folder);

        if (path != NULL && length > 0 && strncmp(path, *folder, length) == 0 && ((*folder)[length - 1] == '/' || path[length] == '/'))
            return strstr(path, "/../") == NULL;
    }
    return false;
}

/* libvirt knows some shared file systems and calls a move of disks on any other unsafe. What the settings call shared is, for disks whose
 * writes no host keeps in its cache. */
static bool disks_are_shared(const Action *action)
{
    g_autoptr(DomainXml) xml = action_options(action)->shared_folders != NULL ? action_domain_xml(action, false) : NULL;
    bool shared = xml != NULL;

    for (guint i = 0; shared && i < xml->disks->len; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];

        shared = disk->readonly || (is_shared(action, disk->source) && (g_strcmp0(disk->cache, "none") == 0 || g_strcmp0(disk->cache, "directsync") == 0));
    }
    return shared;
}

static unsigned flags_of(const Action *action)
{
    unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_ABORT_ON_ERROR;

    if (virDomainIsPersistent(action->domain) == 1)
        flags |= VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE;
    if (action_flag(action, "copy_storage", false))
        flags |= VIR_MIGRATE_NON_SHARED_DISK;
    else if (disks_are_shared(action))
        flags |= VIR_MIGRATE_UNSAFE;
    if (action_options(action)->post_copy)
        flags |= VIR_MIGRATE_POSTCOPY;
    return flags;
}

static void keep_definition(const Action *action)
{
    char *xml = virDomainGetXMLDesc(action->domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);

    if (xml != NULL)
        definition_keep(action_folder(action), action->vm, xml, NULL);
    free(xml);
}

static int migrate(Action *action, const char *uri)
{
    Ender ender = {.action = action};
    virTypedParameterPtr parameters = NULL;
    int n_parameters = 0, room = 0, rc;
    uint64_t bandwidth_bytes = action_uint(action, "bandwidth_bytes");

    if (bandwidth_bytes > 0)
        virTypedParamsAddULLong(&parameters, &n_parameters, &room, VIR_MIGRATE_PARAM_BANDWIDTH, MAX(bandwidth_bytes / MIB, 1));
    ender.thread = g_thread_new("migration-end", end_when_due, &ender);
    rc = virDomainMigrateToURI3(action->domain, uri, parameters, (unsigned) n_parameters, flags_of(action));
    g_mutex_lock(&action->lock);
    ender.over = true;
    g_cond_broadcast(&action->wake);
    g_mutex_unlock(&action->lock);
    g_thread_join(ender.thread); /* libvirt's error is this thread's: it stays */
    virTypedParamsFree(parameters, n_parameters);
    return rc;
}

/* ---- how it went ---------------------------------------------------------------------------------------------------------------------- */

static void conclude(Action *action, int rc, const char *to)
{
    int reason = 0, state;
    char *text = NULL;

    if (rc < 0)
        virt_error_take("it did not get there", &text);
    g_autofree char *why = text;

    state = action_domain_state(action, &reason);
    if (rc == 0 && !action_is_active(state) && state != -1)
        action_done(action, "running", "it runs on host %s now", to);
    else if (rc == 0)
        action_failed(action, COMMAND_ERROR_FAILED, "libvirt says that it moved, and yet it is here and %s", action_state_name(state));
    else if (state == -1)
        action_failed(action, COMMAND_ERROR_FAILED, "%s; where it runs is not known, libvirt does not say: both hosts' events tell", why);
    else if (!action_is_active(state))
        action_failed(action, COMMAND_ERROR_FAILED, "%s; it does not run here now, and whether it runs there host %s must say", why, to);
    else if (state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
        action_failed(action, COMMAND_ERROR_FAILED, "%s; it broke in the middle and can run on neither host: vm_stop on both, then vm_start", why);
    else if (action_told_to_end(action) && action_left_us(action) > 0)
        action_failed(action, COMMAND_ERROR_FAILED, "it was ended by vm_abort_job; the VM is here and %s", action_state_name(state));
    else if (action_left_us(action) == 0)
        action_failed(action, COMMAND_ERROR_TIMEOUT, "it was ended, its time was over; the VM is here and %s; more time or less load on it helps", action_state_name(state));
    else
        action_failed(action, COMMAND_ERROR_FAILED, "%s; the VM is here and %s", why, action_state_name(state));
}

static void note_to(Action *action)
{
    const ActionsOptions *options = action_options(action);

    if (options->note != NULL)
        options->note(options->user, action->vm, "to", action_text(action, "to"));
    virDomainRef(action->domain);
    job_begin(action->job);
    job_watch(action->job, job_poll_domain, action->domain, job_domain_free);
}

void action_migrate(Action *action)
{
    const char *to = action_text(action, "to");
    const char *given = action_text(action, "uri"), *uri = given != NULL || to == NULL ? given : uri_of(action, to);
    json_t *note;
    int rc;

    if (!may_move(action, to, uri))
        return;
    if (!action_on_main(action, note_to)) {
        action_failed(action, COMMAND_ERROR_INTERRUPTED, "nothing was done: it was told to end");
        return;
    }
    keep_definition(action);
    note = json_pack("{s:s, s:I}", "to", to, "until_us", (json_int_t) (clock_wall_us() + action_left_us(action)));
    job_note_write(action_folder(action), action->vm, "migration", note, NULL);
    rc = migrate(action, uri);
    conclude(action, rc, to);
    action_note_done(action, "migration");
}

void action_migrate_then(Action *action)
{
    const ActionsOptions *options = action_options(action);

    if (action->outcome == OUTCOME_DONE && options->lease_release != NULL)
        options->lease_release(options->user, action->vm);
    if (action->outcome != OUTCOME_DONE && options->note != NULL)
        options->note(options->user, action->vm, "to", "");
}

/* ---- vm_abort_job ---------------------------------------------------------------------------------------------------------------------- */

/* Ends the jobs of its disks, @only one of them or all; false: none was there. */
static bool end_disk_jobs(const Action *action, const char *only)
{
    g_autoptr(DomainXml) xml = action_domain_xml(action, false);
    bool any = false;

    for (guint i = 0; xml != NULL && i < xml->disks->len; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];

        if (disk->has_job && (only == NULL || g_strcmp0(only, disk->target) == 0)) {
            any = true;
            if (virDomainBlockJobAbort(action->domain, disk->target, 0) < 0)
                virResetLastError();
        }
    }
    return any;
}

static bool end_domain_job(const Action *action)
{
    virDomainJobInfo job = {0};

    if (virDomainGetJobInfo(action->domain, &job) < 0 || job.type == VIR_DOMAIN_JOB_NONE || job.type == VIR_DOMAIN_JOB_COMPLETED) {
        virResetLastError();
        return false;
    }
    if (virDomainAbortJob(action->domain) < 0)
        virResetLastError();
    return true;
}

void action_abort_job(Action *action)
{
    const char *disk = action_text(action, "disk");
    bool any = false, left;

    if (disk == NULL)
        action_on_main(action, actions_end_jobs); /* our own: they tidy up after themselves */
    do {
        left = end_disk_jobs(action, disk);
        if (disk == NULL)
            left |= end_domain_job(action);
        any |= left;
    } while (left && action_sleep(action, END_AGAIN_US));
    if (left)
        action_failed(action, COMMAND_ERROR_TIMEOUT, "a job is still at work and does not end");
    else
        action_done(action, NULL, any ? "no job is at work any more" : "no job was at work");
}
