/* "All bytes copied" is not ready: the mirror must have told that it is in step, which stands in the domain's XML. */
#include "agents/host/libvirt/job_disk.h"

#include "lib/base/clock.h"

#include <time.h>

#define LOOK_US (200 * US_PER_MS)
#define END_US (30 * US_PER_S) /* to end one is worth that, also after the deadline */

typedef enum { DISK_COPIES, DISK_READY, DISK_GONE, DISK_UNKNOWN } DiskJob;

static DiskJob look(Action *action, const char *target)
{
    virDomainBlockJobInfo info = {0};
    g_autoptr(DomainXml) xml = NULL;
    const DomainDisk *disk;
    int known = virDomainGetBlockJobInfo(action->domain, target, &info, 0);

    virResetLastError();
    if (known == 0)
        return DISK_GONE;
    if (known < 0 && virConnectIsAlive(action->connection) != 1)
        return DISK_UNKNOWN;
    if (known < 0)
        return action_is_active(action_domain_state(action, NULL)) ? DISK_COPIES : DISK_GONE;
    job_progress(action->job, info.cur, info.end - MIN(info.cur, info.end), info.end);
    if (info.cur < info.end)
        return DISK_COPIES;
    xml = action_domain_xml(action, false);
    disk = xml != NULL ? domain_xml_disk(xml, target) : NULL;
    if (disk != NULL && !disk->has_job)
        return DISK_GONE;
    return disk != NULL && disk->job_ready ? DISK_READY : DISK_COPIES;
}

bool job_disk_wait(Action *action, const char *target, char **ret_why)
{
    for (;;) {
        switch (look(action, target)) {
        case DISK_READY: return true;
        case DISK_GONE: *ret_why = g_strdup("it ended by itself: the disk could not be read, or the copy not written"); return false;
        case DISK_UNKNOWN: *ret_why = g_strdup("libvirtd has gone; it is ended when libvirtd is back"); return false;
        case DISK_COPIES: break;
        }
        if (!action_sleep(action, LOOK_US)) {
            *ret_why = g_strdup(action_left_us(action) == 0 ? "its time was over before it was in step" : "it was ended");
            return false;
        }
    }
}

bool job_disk_end(Action *action, const char *target)
{
    int64_t until_us = clock_now_us() + END_US;

    if (virDomainBlockJobAbort(action->domain, target, 0) < 0)
        virResetLastError();
    for (DiskJob job; (job = look(action, target)) != DISK_GONE;) {
        if (job == DISK_UNKNOWN || clock_now_us() > until_us)
            return false;
        g_usleep((gulong) LOOK_US);
    }
    return true;
}

bool job_disk_pivot(Action *action, const char *target, const char *expected, char **ret_why)
{
    g_autoptr(DomainXml) xml = NULL;
    const DomainDisk *disk;

    if (virDomainBlockJobAbort(action->domain, target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) < 0) {
        virt_error_take("the switch failed", ret_why);
        return false;
    }
    xml = action_domain_xml(action, false);
    disk = xml != NULL ? domain_xml_disk(xml, target) : NULL;
    if (disk == NULL || disk->has_job || (expected != NULL && g_strcmp0(disk->source, expected) != 0)) {
        *ret_why = g_strdup_printf("libvirt says that it switched, and its disk is %s", disk != NULL && disk->source != NULL ? disk->source : "not known");
        return false;
    }
    return true;
}

char *job_disk_stamp(void)
{
    int64_t now_us = clock_wall_us();
    time_t now = (time_t) (now_us / US_PER_S);
    struct tm utc;
    char text[32];

    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "%Y%m%dT%H%M%S", &utc);
    return g_strdup_printf("%s%03dZ", text, (int) (now_us % US_PER_S / US_PER_MS));
}
