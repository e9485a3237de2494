/* libvirt's errors in our words. Thread: any; libvirt keeps the last error per thread. */
#ifndef MEND_HOST_VIRT_ERROR_H
#define MEND_HOST_VIRT_ERROR_H

#include "lib/base/base.h"
#include "lib/model/command.h"

/* The last error of this thread: its COMMAND_ERROR_… (static), and "DOING: libvirt's own words (what to do)" in @ret_text (transfer
 * full). Never NULL, also when libvirt says nothing. The error is taken: the next call finds none. */
const char *virt_error_take(const char *doing, char **ret_text);
/* Whether the last error of this thread has this number (VIR_ERR_…). It stays. */
bool virt_error_is(int code);
/* libvirt prints to stderr what it also returns; once at the start, it shall not. */
void virt_error_quiet(void);

#endif
