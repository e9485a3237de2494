/* QEMU watches the highest offset written to the image. That is what fills a device under a qcow2, and the end of a qcow2 file; of a raw
 * image it says nothing. A file may grow while its file system has room, which other files use up as well: then it is ENOSPC that tells. */
#include "agents/host/libvirt/extend_disk.h"

#include "agents/host/libvirt/domain_xml.h"
#include "agents/host/libvirt/virt_error.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define FULL_EXTRA_PERCENT 2 /* a qcow2 may become larger than its disk by that: its tables */
#define RUNS_US 500000

void disk_room_free(DiskRoom *room)
{
    g_free(room->target);
    g_free(room->path);
    g_free(room->type);
    g_free(room->format);
    g_free(room);
}

static bool is_full(const virDomainDiskError *errors, int n, const char *target)
{
    for (int i = 0; i < n; i++)
        if (g_strcmp0(errors[i].disk, target) == 0 && errors[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE)
            return true;
    return false;
}

static bool measure(virDomainPtr domain, DiskRoom *room)
{
    virDomainBlockInfo info = {0};
    struct statvfs fs;
    bool is_block = strcmp(room->type, "block") == 0;

    if (virDomainGetBlockInfo(domain, room->target, &info, 0) < 0)
        return false;
    room->capacity_bytes = info.capacity;
    room->physical_bytes = info.physical;
    room->used_bytes = is_block ? info.allocation : info.physical;
    if (is_block)
        room->free_bytes = info.physical - MIN(info.allocation, info.physical);
    else if (statvfs(room->path, &fs) == 0)
        room->free_bytes = (uint64_t) fs.f_bavail * fs.f_frsize;
    room->can_grow = strcmp(room->format, "qcow2") == 0 && room->physical_bytes < info.capacity / 100 * (100 + FULL_EXTRA_PERCENT);
    return true;
}

/* NULL: none that could grow here. (transfer full) */
static DiskRoom *room_new(const DomainDisk *disk)
{
    const char *type = disk->type != NULL ? disk->type : "file";
    DiskRoom *room;

    if (disk->readonly || disk->source == NULL || disk->target == NULL || (strcmp(type, "file") != 0 && strcmp(type, "block") != 0))
        return NULL;
    room = g_new0(DiskRoom, 1);
    room->target = g_strdup(disk->target);
    room->path = g_strdup(disk->source);
    room->type = g_strdup(type);
    room->format = g_strdup(disk->format != NULL ? disk->format : "raw");
    return room;
}

GPtrArray *disk_rooms(virDomainPtr domain, char **ret_why)
{
    char *text = virDomainGetXMLDesc(domain, 0);
    g_autoptr(DomainXml) xml = text != NULL ? domain_xml_parse(text, NULL) : NULL;
    virDomainDiskError errors[DOMAIN_XML_DISKS_MAX];
    int n_errors = xml != NULL ? virDomainGetDiskErrors(domain, errors, G_N_ELEMENTS(errors), 0) : 0;
    g_autoptr(GPtrArray) rooms = g_ptr_array_new_with_free_func((GDestroyNotify) disk_room_free);
    bool known = xml != NULL;

    free(text);
    for (guint i = 0; known && i < xml->disks->len; i++) {
        DiskRoom *room = room_new(xml->disks->pdata[i]);

        if (room == NULL)
            continue;
        room->is_full = is_full(errors, n_errors, room->target);
        g_ptr_array_add(rooms, room);
        known = measure(domain, room);
    }
    for (int i = 0; i < n_errors; i++)
        free(errors[i].disk);
    if (!known)
        virt_error_take("what its disks have is not known", ret_why);
    virResetLastError();
    return known ? g_steal_pointer(&rooms) : NULL;
}

bool disk_room_watch(virDomainPtr domain, const DiskRoom *room, uint64_t low_bytes)
{
    uint64_t threshold = room->used_bytes + room->free_bytes - MIN(low_bytes, room->free_bytes);

    if (!room->can_grow)
        return true;
    if (room->free_bytes <= low_bytes)
        return false;
    if (threshold < room->capacity_bytes / 100 * (100 + FULL_EXTRA_PERCENT) && virDomainSetBlockThreshold(domain, room->target, threshold, 0) < 0)
        virResetLastError();
    return true;
}

bool disk_room_resume(virDomainPtr domain)
{
    int state = -1, reason = 0;

    if (virDomainGetState(domain, &state, &reason, 0) < 0 || state != VIR_DOMAIN_PAUSED || reason != VIR_DOMAIN_PAUSED_IOERROR) {
        virResetLastError();
        return true;
    }
    virDomainDiskError errors[DOMAIN_XML_DISKS_MAX];
    int n = virDomainGetDiskErrors(domain, errors, G_N_ELEMENTS(errors), 0);
    bool only_full = n > 0;

    for (int i = 0; i < n; i++) {
        only_full &= errors[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE;
        free(errors[i].disk);
    }
    if (!only_full || virDomainResume(domain) < 0) {
        virResetLastError();
        return false;
    }
    g_usleep(RUNS_US); /* QEMU tries, and stops again when it is still full */
    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_RUNNING;
}
