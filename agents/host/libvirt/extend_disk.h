/* What a disk has, what it wants, and the threshold that tells of it in time. Thread: any but the main loop's; may block. */
#ifndef MEND_HOST_EXTEND_DISK_H
#define MEND_HOST_EXTEND_DISK_H

#include "lib/base/base.h"

#include <libvirt/libvirt.h>

typedef struct DiskRoom {
    char *target, *path, *type, *format;
    uint64_t capacity_bytes; /* as the guest sees it */
    uint64_t physical_bytes; /* its image: length of the file, size of the device */
    uint64_t used_bytes;     /* of the image */
    uint64_t free_bytes;     /* what it may still grow: of the file system, or of the device */
    bool can_grow;           /* a qcow2 that is not as large as it can become */
    bool is_full;            /* QEMU stopped for it: no space */
} DiskRoom;

void disk_room_free(DiskRoom *room);
/* The disks that are written to and lie in files or on devices. (transfer full) of DiskRoom. NULL: of one of them, or of all, libvirt does not
 * say it now; @ret_why (transfer full) has what it says instead. */
GPtrArray *disk_rooms(virDomainPtr domain, char **ret_why);
/* QEMU tells once that the image grows beyond what leaves @low_bytes. False: it is beyond already. One that cannot grow: true, nothing set. */
bool disk_room_watch(virDomainPtr domain, const DiskRoom *room, uint64_t low_bytes);
/* Lets a VM run that stands for want of space, when no other disk of it fails. True: it runs, or did not stand. */
bool disk_room_resume(virDomainPtr domain);

#endif
