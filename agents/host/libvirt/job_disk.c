/* "All bytes copied" is not ready: the mirror must have told that it is in step, which stands in the domain's XML. Why a job is gone is
 * said nowhere but in an event, so a wait listens for it: an administrator's abort is no storage that failed. */
#include "agents/host/libvirt/job_disk.h"

#include "lib/base/clock.h"

#include <time.h>

#define LOOK_US (200 * US_PER_MS)
#define END_US (30 * US_PER_S) /* to end one is worth that, also after the deadline */
#define WORD_US US_PER_S       /* the event comes another way than the answer that the job is gone */
#define NO_WORD (-1)

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

typedef struct Ending { /* what libvirt says of the end of a job */
    gatomicrefcount refs;
    char *target;
    int status; /* atomic; virConnectDomainEventBlockJobStatus or NO_WORD */
} Ending;

static void ending_unref(void *user)
{
    Ending *ending = user;

    if (!g_atomic_ref_count_dec(&ending->refs))
        return;
    g_free(ending->target);
    g_free(ending);
}

static void on_job(virConnectPtr connection, virDomainPtr domain, const char *target, int type, int status, void *user)
{
    Ending *ending = user;

    if (status != VIR_DOMAIN_BLOCK_JOB_READY && g_strcmp0(target, ending->target) == 0)
        g_atomic_int_set(&ending->status, status);
}

static char *why_gone(const Ending *ending)
{
    int64_t until_us = clock_now_us() + WORD_US;

    while (g_atomic_int_get(&ending->status) == NO_WORD && clock_now_us() < until_us)
        g_usleep(US_PER_MS);
    switch (g_atomic_int_get(&ending->status)) {
    case VIR_DOMAIN_BLOCK_JOB_CANCELED: return g_strdup("it was ended by somebody else, through libvirt");
    case VIR_DOMAIN_BLOCK_JOB_COMPLETED: return g_strdup("it was brought to its end by somebody else, through libvirt");
    case VIR_DOMAIN_BLOCK_JOB_FAILED: return g_strdup("it failed: the disk could not be read, or the copy not written");
    default: return g_strdup("it has ended, and libvirt does not say why");
    }
}

static bool wait_listening(Action *action, const char *target, const Ending *ending, char **ret_why)
{
    for (;;) {
        switch (look(action, target)) {
        case DISK_READY: return true;
        case DISK_GONE: *ret_why = why_gone(ending); return false;
        case DISK_UNKNOWN: *ret_why = g_strdup("libvirtd has gone; it is ended when libvirtd is back"); return false;
        case DISK_COPIES: break;
        }
        if (!action_sleep(action, LOOK_US)) {
            *ret_why = g_strdup(action_left_us(action) == 0 ? "its time was over before it was in step" : "it was ended");
            return false;
        }
    }
}

bool job_disk_wait(Action *action, const char *target, char **ret_why)
{
    Ending *ending = g_new0(Ending, 1);
    int callback;
    bool ready;

    ending->target = g_strdup(target);
    ending->status = NO_WORD;
    g_atomic_ref_count_init(&ending->refs);
    g_atomic_ref_count_inc(&ending->refs);
    callback = virConnectDomainEventRegisterAny(action->connection, action->domain, VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
                                                VIR_DOMAIN_EVENT_CALLBACK(on_job), ending, ending_unref);
    if (callback < 0) { /* then the word is missing, and no more */
        virResetLastError();
        ending_unref(ending);
    }
    ready = wait_listening(action, target, ending, ret_why);
    if (callback >= 0)
        virConnectDomainEventDeregisterAny(action->connection, callback);
    ending_unref(ending);
    return ready;
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
