/* Matahari's Sysconfig: configures the machine with puppet manifests or augeas commands, once for each key. Thread: the owner's main loop. */
#ifndef MEND_GUEST_SYSCONFIG_H
#define MEND_GUEST_SYSCONFIG_H

#include "agents/guest/classes.h"

typedef struct SysconfigClass SysconfigClass;

typedef struct SysconfigOptions { /* lists and texts are borrowed and outlive the class */
    char *const *allowed; /* of "puppet", "augeas", "query"; NULL: nothing runs */
    char *const *places;  /* run_uri fetches from (uri_list.h) */
    const char *keys;     /* folder of what is remembered */
    const char *augeas;   /* the helper program */
    int64_t timeout_us;   /* of one run */
} SysconfigOptions;

/* NULL: error: an unknown scheme or place, or the folder cannot be made. */
SysconfigClass *sysconfig_class_new(const ClassContext *context, const SysconfigOptions *options, GError **error);
void sysconfig_class_free(SysconfigClass *sysconfig); /* NULL is fine; what is under way is killed and answered as interrupted */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SysconfigClass, sysconfig_class_free)

#endif
