/* A copy of a disk while the VM writes to it. The mirror is a job that libvirt forgets with the VM (TRANSIENT_JOB): a persistent domain
 * can have no other. Until the pivot the source is what it was, so whatever goes wrong before ends the job and removes the copy; the pivot
 * itself is the storage's, both images are equal then. */
#include "agents/host/libvirt/action.h"
#include "agents/host/libvirt/job_disk.h"

#include "lib/base/clock.h"

#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

typedef struct Copy {
    const char *target, *source, *format;
    char *path;
    bool is_device, was_made; /* made by this copy: a failed one removes it */
} Copy;

typedef struct Wish { /* which disks, and where to */
    const DomainXml *xml;
    const char *from, *to; /* storage domains; NULL: not named */
    char *failover;        /* what @to is when it was not named */
    char *folder;          /* of @to; NULL: not known here */
    GPtrArray *targets;    /* of const char *: of the disks in @from */
    bool begun;
} Wish;

/* In the main loop, which knows the storage domains. */
static void look_up(Action *action)
{
    const ActionsOptions *options = action_options(action);
    Wish *wish = action->asking;

    if (options->storage_folder == NULL)
        return;
    if (wish->to == NULL && wish->from != NULL)
        wish->to = wish->failover = options->storage_failover(options->user, wish->from);
    wish->folder = wish->to == NULL ? NULL : options->storage_folder(options->user, wish->to);
    for (guint i = 0; wish->from != NULL && i < wish->xml->disks->len; i++) {
        const DomainDisk *disk = wish->xml->disks->pdata[i];
        g_autofree char *in = disk->source == NULL ? NULL : options->storage_of(options->user, disk->source);

        if (!disk->readonly && g_strcmp0(in, wish->from) == 0)
            g_ptr_array_add(wish->targets, disk->target);
    }
}

/* Where to; NULL: answered. */
static char *path_of(Action *action, const Wish *wish, const DomainDisk *disk, const char *format)
{
    const char *path = wish->from == NULL ? action_text(action, "path") : NULL;
    g_autofree char *stamp = job_disk_stamp();

    if (path == NULL && wish->folder != NULL)
        return g_strdup_printf("%s/%s-%s-%s.%s", wish->folder, action->vm, disk->target, stamp, format);
    if (path == NULL && wish->to != NULL)
        action_refused(action, COMMAND_ERROR_NOT_FOUND, "storage domain %s is not known on this host", wish->to);
    else if (path == NULL && wish->from != NULL)
        action_refused(action, COMMAND_ERROR_NOT_FOUND, "no storage is named, and that of %s has no other to fail over to (setting storage, failover=NAME)",
                       disk->target);
    else if (path == NULL)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: path or storage: where shall the copy go?");
    else if (!g_path_is_absolute(path) || strstr(path, "/../") != NULL)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: path: wants an absolute one, without ..");
    else
        return g_strdup(path);
    return NULL;
}

/* What it holds now must fit there. */
static bool fits(Action *action, const Copy *copy)
{
    g_autofree char *folder = g_path_get_dirname(copy->path);
    virDomainBlockInfo info = {0};
    struct statvfs room;

    if (statvfs(folder, &room) != 0) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: %s: there is no such folder", folder);
        return false;
    }
    if (virDomainGetBlockInfo(action->domain, copy->target, &info, 0) < 0) {
        virResetLastError();
        return true;
    }
    uint64_t free_bytes = (uint64_t) room.f_bavail * room.f_frsize;

    if (info.allocation <= free_bytes)
        return true;
    action_failed(action, COMMAND_ERROR_FAILED, "nothing was copied: %s holds %llu bytes, and %s has room for %" PRIu64, copy->target, info.allocation,
                  folder, free_bytes);
    return false;
}

static bool place(Action *action, Copy *copy)
{
    struct stat there;

    copy->is_device = stat(copy->path, &there) == 0 && S_ISBLK(there.st_mode);
    if (copy->is_device || g_lstat(copy->path, &there) != 0)
        return copy->is_device || fits(action, copy);
    action_refused(action, COMMAND_ERROR_ARGUMENT, "%s is there already: a copy overwrites nothing", copy->path);
    return false;
}

static bool may_copy(Action *action, const DomainDisk *disk, const char *target)
{
    int reason = 0, state = action_domain_state(action, &reason);
    g_autofree char *errors = action_disk_errors(action);

    if (!action_is_active(state))
        action_failed(action, COMMAND_ERROR_FAILED, "it is %s: copy its image instead", action_state_name(state));
    else if (disk == NULL)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: disk: it has none named %s", target != NULL ? target : "\"\"");
    else if (action_is_paused_by_storage(state, reason) || errors != NULL)
        action_refused(action, COMMAND_ERROR_UNSAFE, "its storage fails (%s): a copy of it would hold the holes; it can be copied while it still serves",
                       errors != NULL ? errors : "paused by an I/O error");
    else if (disk->readonly)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: disk: %s cannot be written to", target);
    else if (disk->has_job)
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was copied: another copy of %s is at work; vm_abort_job ends it", target);
    else
        return true;
    return false;
}

static bool begin(Action *action, Copy *copy)
{
    g_autofree char *xml = g_markup_printf_escaped("<disk type='%s'><driver name='qemu' type='%s'/><source %s='%s'/></disk>", copy->is_device ? "block" : "file",
                                                   copy->format, copy->is_device ? "dev" : "file", copy->path);
    unsigned flags = VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB;
    bool limited = value_get(action->arguments, "bandwidth_bytes") != NULL;
    uint64_t bandwidth_bytes = limited ? action_uint(action, "bandwidth_bytes") : action_options(action)->copy_bytes_per_s;
    virTypedParameterPtr parameters = NULL;
    int n_parameters = 0, room = 0, rc;
    g_autoptr(GError) error = NULL;

    if (!job_note_write(action_folder(action), action->vm, "copy",
                        json_pack("{s:s, s:s, s:b}", "disk", copy->target, "path", copy->path, "made", !copy->is_device), &error)) {
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was copied: it could not be noted: %s", error->message);
        return false;
    }
    if (bandwidth_bytes > 0)
        virTypedParamsAddULLong(&parameters, &n_parameters, &room, VIR_DOMAIN_BLOCK_COPY_BANDWIDTH, bandwidth_bytes);
    rc = virDomainBlockCopy(action->domain, copy->target, xml, parameters, n_parameters, flags);
    virTypedParamsFree(parameters, n_parameters);
    if (rc < 0)
        action_failed_by_libvirt(action, "the copy did not begin");
    copy->was_made = !copy->is_device;
    return rc == 0;
}

/* The definition the VM starts from next time must not be the old disk: it would go back in time. */
static bool is_kept(const Action *action, const Copy *copy)
{
    if (virDomainIsPersistent(action->domain) != 1)
        return true;
    g_autoptr(DomainXml) xml = action_domain_xml(action, true);
    const DomainDisk *disk = xml != NULL ? domain_xml_disk(xml, copy->target) : NULL;

    return disk != NULL && g_strcmp0(disk->source, copy->path) == 0;
}

/* What the VM goes on with, for people: the source, unless somebody else has switched. (transfer full) */
static char *used_now(Action *action, const Copy *copy)
{
    g_autoptr(DomainXml) xml = action_domain_xml(action, false);
    const DomainDisk *disk = xml != NULL ? domain_xml_disk(xml, copy->target) : NULL;

    return g_strdup(disk != NULL && disk->source != NULL ? disk->source : copy->source);
}

/* What became of it, for people (transfer full); NULL: it failed, and is answered. */
static char *finish(Action *action, Copy *copy)
{
    bool pivot = action_flag(action, "pivot", true);
    g_autofree char *why = NULL;

    if (!job_disk_wait(action, copy->target, &why)) {
        bool late = action_left_us(action) == 0, ended = job_disk_end(action, copy->target);
        g_autofree char *used = used_now(action, copy);

        action_failed(action, late ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED, "%s; the VM goes on with %s%s", why, used,
                      ended ? "" : ", and the copy has not ended yet");
        copy->was_made &= ended;
    } else if (!pivot) {
        bool ended = job_disk_end(action, copy->target);

        copy->was_made = false;
        return g_strdup_printf("copied as of now to %s; the VM goes on with %s%s", copy->path, copy->source, ended ? "" : ", and the copy has not ended yet");
    } else if (!job_disk_pivot(action, copy->target, copy->path, &why)) {
        copy->was_made &= job_disk_end(action, copy->target);
        action_failed(action, COMMAND_ERROR_FAILED, "%s; the VM goes on with %s", why, copy->source);
    } else {
        copy->was_made = false;
        if (is_kept(action, copy))
            return g_strdup_printf("the VM goes on with %s; %s is left as it was", copy->path, copy->source);
        action_failed(action, COMMAND_ERROR_FAILED, "the VM goes on with %s, but its definition still names %s: correct it with vm_define before it stops",
                      copy->path, copy->source);
    }
    return NULL;
}

/* A copy that failed is removed, unless the VM has come to use it all the same. */
static void tidy(Action *action, const Copy *copy)
{
    g_autoptr(DomainXml) xml = NULL;
    const DomainDisk *disk;

    if (!copy->was_made)
        return;
    xml = action_domain_xml(action, false);
    disk = xml != NULL ? domain_xml_disk(xml, copy->target) : NULL;
    if (disk != NULL && g_strcmp0(disk->source, copy->path) != 0 && g_strcmp0(disk->job_to, copy->path) != 0)
        g_unlink(copy->path);
}

/* As finish(). */
static char *copy_disk(Action *action, Wish *wish, const char *target)
{
    const char *format = action_text(action, "format");
    const DomainDisk *disk = target == NULL ? NULL : domain_xml_disk(wish->xml, target);
    Copy copy = {.target = target};
    char *text = NULL;

    if (!may_copy(action, disk, target))
        return NULL;
    copy.source = disk->source != NULL ? disk->source : "its network disk";
    copy.format = format != NULL ? format : disk->format != NULL ? disk->format : "raw";
    if (strcmp(copy.format, "qcow2") != 0 && strcmp(copy.format, "raw") != 0) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: format: qcow2 or raw, not %s", copy.format);
        return NULL;
    }
    copy.path = path_of(action, wish, disk, copy.format);
    if (copy.path != NULL && place(action, &copy)) {
        action_value(action, "path", value_string(copy.path));
        wish->begun = wish->begun || action_begin_job(action);
        if (wish->begun && begin(action, &copy))
            text = finish(action, &copy);
        tidy(action, &copy);
        action_note_done(action, "copy");
    }
    g_free(copy.path);
    return text;
}

/* One after the other: together they would share the bandwidth, and none would be ready. What went stays where it is when a later one fails. */
static void copy_all(Action *action, Wish *wish)
{
    g_autoptr(GString) said = g_string_new(NULL);

    for (guint i = 0; i < wish->targets->len; i++) {
        g_autofree char *text = copy_disk(action, wish, wish->targets->pdata[i]);

        if (text == NULL)
            return;
        g_string_append_printf(said, "%s%s", said->len == 0 ? "" : "; ", text);
    }
    action_done(action, NULL, "%s", wish->targets->len == 0 ? "no disk of it is there (any more)" : said->str);
}

void action_block_copy(Action *action)
{
    const char *target = action_text(action, "disk"), *from = target == NULL ? action_text(action, "from") : NULL;
    g_autoptr(DomainXml) xml = action_domain_xml(action, false);
    Wish wish = {.xml = xml, .from = from, .to = action_text(action, "storage"), .targets = g_ptr_array_new()};

    action->asking = &wish;
    if (xml == NULL) {
        action_failed_by_libvirt(action, "nothing was copied");
    } else if (!action_on_main(action, look_up)) {
        action_failed(action, COMMAND_ERROR_INTERRUPTED, "nothing was copied: it was told to end");
    } else {
        if (from == NULL)
            g_ptr_array_add(wish.targets, (char *) target);
        copy_all(action, &wish);
    }
    action->asking = NULL;
    g_ptr_array_unref(wish.targets);
    g_free(wish.failover);
    g_free(wish.folder);
}
