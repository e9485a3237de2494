/* What is known of a service at one moment: the nouns of docs/wire.md, as values. */
#ifndef MEND_GUEST_REPORT_H
#define MEND_GUEST_REPORT_H

#include "lib/base/base.h"

#include <inttypes.h>

#define SERVICE_STATES(X)                                                                                  \
    X(UNKNOWN, "unknown") X(RUNNING, "running") X(FAILED, "failed") X(STOPPED, "stopped")                  \
    X(STARTING, "starting") X(STOPPING, "stopping") X(DEGRADED, "degraded")
#define X(id, text) SERVICE_##id,
typedef enum { SERVICE_STATES(X) SERVICE_STATE_N } ServiceState;
#undef X

/* Why it is in that state. NONE: nobody wanted it, a failure. UNKNOWN is never treated as one. */
#define SERVICE_INTENTS(X)                                                                                 \
    X(NONE, "none") X(ADMIN, "admin") X(COMMAND, "command") X(UPDATE, "update")                            \
    X(BOOT, "boot") X(SHUTDOWN, "shutdown") X(UNKNOWN, "unknown")
#define X(id, text) INTENT_##id,
typedef enum { SERVICE_INTENTS(X) SERVICE_INTENT_N } ServiceIntent;
#undef X

typedef struct ServiceReport { /* @reason owned */
    ServiceState state;
    ServiceIntent intent;
    char *reason;    /* for people: "main process 1234 killed by signal 9 (KILL)"; never NULL once published */
    int rc;          /* OCF code, see ocf.h */
    int64_t pid;     /* 0: none known */
    int exit_status; /* of the process that ended; -1: none known */
    int signal;      /* that ended it; 0: none */
} ServiceReport;

const char *service_state_name(ServiceState state);
bool service_state_parse(const char *text, ServiceState *ret_state);
const char *service_intent_name(ServiceIntent intent);
bool service_intent_parse(const char *text, ServiceIntent *ret_intent);

/* Sets every field of @report; what it held is released. @reason is (transfer full). */
void service_report_set(ServiceReport *report, ServiceState state, ServiceIntent intent, int rc, char *reason);
void service_report_copy(ServiceReport *to, const ServiceReport *from);
void service_report_done(ServiceReport *report);
/* Same state, intent and process: nothing to tell. A new text alone is not a change. */
bool service_report_same(const ServiceReport *a, const ServiceReport *b);

/* "killed by signal 9 (KILL)", "exited with status 3". @wait_status as of waitpid. Caller frees. */
char *wait_status_text(int wait_status);

#endif
