/* One run of Sysconfig: fetches the document when it is a URI, and hands it to puppet or augeas, each step a child with a share of one
 * deadline. Thread: the owner's main loop. */
#ifndef MEND_GUEST_SYSCONFIG_RUN_H
#define MEND_GUEST_SYSCONFIG_RUN_H

#include "lib/base/base.h"

#define SYSCONFIG_DOCUMENT_BYTES 262144

typedef struct SysconfigRun SysconfigRun;

typedef struct SysconfigRunOptions { /* borrowed during the call */
    bool puppet;            /* else augeas */
    const char *uri;        /* checked by the caller; NULL: @text is the document */
    const char *text;       /* at most SYSCONFIG_DOCUMENT_BYTES */
    const char *augeas;     /* the helper program */
    const char *folder;     /* for the document while it is used */
    int64_t deadline_us;    /* monotonic */
} SysconfigRunOptions;

/* @status: "OK…" or "FAILED\nCODE…", as it is remembered; NULL: nothing ran, @text is the error's (Matahari's). Never inside start. The run
 * may be freed by it. */
typedef void (*SysconfigRunDone)(const char *status, const char *text, void *user);

SysconfigRun *sysconfig_run_start(const SysconfigRunOptions *options, SysconfigRunDone done, void *user);
void sysconfig_run_free(SysconfigRun *run); /* NULL is fine; kills what still runs and tells nothing */

#endif
