/* mend-host fence-check: every device of the fencing file is asked now, before the night in which it is needed. Runs its own main loop. */
#ifndef MEND_HOST_FENCE_FENCE_CHECK_H
#define MEND_HOST_FENCE_FENCE_CHECK_H

/* Prints hosts, levels, devices and what each says, to stdout. @file NULL: the default. @helpers: folder of mend-ipmitool; NULL: beside this
 * program. Answers the exit status: 0 all is well, 1 something is not. */
int fence_check(const char *file, const char *helpers);

#endif
