/* How many ways lead to the disk under a folder, and how many of them work: those of a multipath device, from /sys. Asks the kernel's own
 * tables only, never the disk. */
#ifndef MEND_HOST_PATHS_H
#define MEND_HOST_PATHS_H

/* Both 0 where there is no multipath device. */
void paths_of(const char *folder, unsigned *ret_paths, unsigned *ret_up);
/* The same below a block device, a folder of /sys; adds to what is counted. */
void paths_below(const char *device, unsigned *paths, unsigned *up);

#endif
