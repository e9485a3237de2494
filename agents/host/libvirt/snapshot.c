/* Snapshots are external and without libvirt's metadata: an overlay "IMAGE.mend-TIME" above each disk, which the commit merges back and
 * removes. Metadata would outlive the merge and keep libvirt from forgetting the VM. Their name says whose they are; others are left. */
#include "agents/host/libvirt/action.h"
#include "agents/host/libvirt/freeze.h"
#include "agents/host/libvirt/job_disk.h"

#include "lib/base/clock.h"

#include <glib/gstdio.h>
#include <string.h>

#define MARK ".mend-"
#define CHAIN_MAX 16 /* images below a disk; each makes reading slower */

/* ---- taking one ----------------------------------------------------------------------------------------------------------------------- */

static bool takes_part(const DomainDisk *disk)
{
    return !disk->readonly && (strcmp(disk->device, "disk") == 0 || strcmp(disk->device, "lun") == 0);
}

/* "web.qcow2.mend-T1" -> "web.qcow2.mend-T2" */
static char *overlay_of(const char *source, const char *stamp)
{
    const char *mark = g_strrstr(source, MARK);

    return g_strdup_printf("%.*s" MARK "%s", mark != NULL ? (int) (mark - source) : (int) strlen(source), source, stamp);
}

/* The snapshot's XML; NULL: answered. A disk that must be left out would make it half a snapshot. */
static char *describe(Action *action, const DomainXml *xml, const char *stamp, Value *ret_overlays)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_append_printf(text, "<domainsnapshot><name>mend-%s</name><disks>", stamp);
    for (guint i = 0; i < xml->disks->len; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];
        g_autofree char *overlay = disk->source != NULL ? overlay_of(disk->source, stamp) : NULL;
        g_autofree char *words = NULL;

        if (!takes_part(disk)) {
            g_string_append_printf(text, "<disk name='%s' snapshot='no'/>", disk->target);
            continue;
        }
        if (overlay == NULL || g_strcmp0(disk->type, "file") != 0) {
            action_refused(action, COMMAND_ERROR_ARGUMENT, "its disk %s is no file: its storage must take the snapshot", disk->target);
            return NULL;
        }
        if (disk->depth >= CHAIN_MAX) {
            action_refused(action, COMMAND_ERROR_ARGUMENT, "its disk %s stands on %u images already: vm_snapshot_commit before", disk->target, disk->depth);
            return NULL;
        }
        words = g_markup_printf_escaped("<disk name='%s' snapshot='external'><driver type='qcow2'/><source file='%s'/></disk>", disk->target, overlay);
        g_string_append(text, words);
        value_set(ret_overlays, disk->target, value_string(overlay));
    }
    g_string_append(text, "</disks></domainsnapshot>");
    if (value_size(ret_overlays) > 0)
        return g_string_free(g_steal_pointer(&text), FALSE);
    action_refused(action, COMMAND_ERROR_ARGUMENT, "it has no disk");
    return NULL;
}

static bool overlays_in_use(const Action *action, const Value *overlays)
{
    g_autoptr(DomainXml) xml = action_domain_xml(action, false);
    const char *target;
    const Value *path;

    for (size_t i = 0; xml != NULL && value_entry(overlays, i, &target, &path); i++) {
        const DomainDisk *disk = domain_xml_disk(xml, target);

        if (disk == NULL || g_strcmp0(disk->source, value_as_string(path)) != 0)
            return false;
    }
    return xml != NULL;
}

static void on_thawed(void *user)
{
    Job *job = user;

    job_end(job);
    job_unref(job);
}

static void tell_freeze(Action *action)
{
    action->freeze_job = job_new(action_host(action), action->vm, "freeze", NULL, clock_now_us() + action_options(action)->freeze_max_us);
    job_begin(action->freeze_job);
}

static Freeze *freeze(Action *action, char **ret_why)
{
    if (!action_flag(action, "quiesce", false)) {
        *ret_why = g_strdup("nobody asked for it");
        return NULL;
    }
    if (!action_on_main(action, tell_freeze)) {
        *ret_why = g_strdup("it was told to end");
        return NULL;
    }
    return freeze_begin(action->domain, action_folder(action), action->vm, action_options(action)->freeze_max_us, on_thawed, action->freeze_job, ret_why);
}

static void take(Action *action, const char *xml, const Value *overlays)
{
    g_autofree char *why = NULL;
    Freeze *frozen = freeze(action, &why);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(action->domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
                                                               VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA);
    bool quiesced = false;

    if (snapshot == NULL)
        action_failed_by_libvirt(action, "no snapshot was taken");
    else
        virDomainSnapshotFree(snapshot);
    if (frozen != NULL && !(quiesced = freeze_end(frozen)))
        why = g_strdup("the snapshot took so long that its file systems were thawed before its end");
    action_value(action, "disks", value_ref((Value *) overlays));
    action_value(action, "quiesced", value_bool(quiesced));
    if (!overlays_in_use(action, overlays))
        action_failed(action, COMMAND_ERROR_FAILED, "libvirt says that it took the snapshot, and not all disks stand on it");
    else if (quiesced)
        action_done(action, NULL, "taken with its file systems frozen");
    else
        action_done(action, NULL, "taken as after a power cut, its file systems were not frozen: %s", why);
}

void action_snapshot(Action *action)
{
    g_autofree char *stamp = job_disk_stamp(), *text = NULL;
    g_autoptr(Value) overlays = value_map();
    int reason = 0, state = action_domain_state(action, &reason);
    g_autoptr(DomainXml) xml = action_is_active(state) ? action_domain_xml(action, false) : NULL;

    if (action_is_paused_by_storage(state, reason))
        action_refused(action, COMMAND_ERROR_UNSAFE, "it is paused by an I/O error: vm_resume when its storage is back");
    else if (!action_is_active(state))
        action_failed(action, COMMAND_ERROR_FAILED, "it is %s: copy its images instead", action_state_name(state));
    else if (xml == NULL)
        action_failed_by_libvirt(action, "cannot read its definition");
    else if ((text = describe(action, xml, stamp, overlays)) != NULL && action_begin_job(action))
        take(action, text, overlays);
}

/* ---- merging the last one back ----------------------------------------------------------------------------------------------------------- */

static bool merge(Action *action, const DomainDisk *disk, char **ret_why)
{
    json_t *note = json_pack("{s:s}", "disk", disk->target);

    job_note_write(action_folder(action), action->vm, "commit", note, NULL);
    if (virDomainBlockCommit(action->domain, disk->target, NULL, NULL, 0, VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | VIR_DOMAIN_BLOCK_COMMIT_SHALLOW) < 0) {
        virt_error_take("the merge did not begin", ret_why);
    } else if (job_disk_wait(action, disk->target, ret_why) && job_disk_pivot(action, disk->target, disk->backing, ret_why)) {
        action_note_done(action, "commit");
        return true;
    } else {
        job_disk_end(action, disk->target);
    }
    action_note_done(action, "commit");
    return false;
}

void action_snapshot_commit(Action *action)
{
    g_autoptr(DomainXml) xml = action_is_active(action_domain_state(action, NULL)) ? action_domain_xml(action, false) : NULL;
    g_autoptr(Value) merged = value_list();
    g_autofree char *why = NULL;
    bool begun = false;

    for (guint i = 0; xml != NULL && i < xml->disks->len && why == NULL; i++) {
        const DomainDisk *disk = xml->disks->pdata[i];

        if (disk->source == NULL || strstr(disk->source, MARK) == NULL || (!begun && !(begun = action_begin_job(action))))
            continue;
        if (merge(action, disk, &why)) {
            value_append(merged, value_string(disk->target));
            g_unlink(disk->source); /* what is in it is below it now */
        }
    }
    bool any = value_size(merged) > 0;

    action_value(action, "disks", g_steal_pointer(&merged));
    if (xml == NULL)
        action_failed(action, COMMAND_ERROR_FAILED, "it does not run: only a running VM's snapshot is merged");
    else if (why != NULL)
        action_failed(action, action_left_us(action) == 0 ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED, "%s; its snapshot stays and can be merged again", why);
    else
        action_done(action, NULL, any ? "merged; the snapshot is gone" : "it has no snapshot of ours");
}
