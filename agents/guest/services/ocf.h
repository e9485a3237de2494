/* The OCF resource agent API (exit codes of version 1.1, and those that Pacemaker adds: 189, and above 193), and what lies on
 * this machine under OCF_ROOT and /etc/init.d. */
#ifndef MEND_GUEST_OCF_H
#define MEND_GUEST_OCF_H

#include "agents/guest/services/report.h"

/* What a code asks of a policy: SOFT try again here, HARD move away, FATAL do not try at all. */
#define OCF_CODES(X)                                                      \
    X(OK, 0, "ok", GOOD)                                                  \
    X(GENERIC, 1, "generic error", SOFT)                                  \
    X(ARGS, 2, "wrong arguments", HARD)                                   \
    X(UNIMPLEMENTED, 3, "action not implemented", HARD)                   \
    X(PERM, 4, "not permitted", HARD)                                     \
    X(INSTALLED, 5, "not installed", HARD)                                \
    X(CONFIGURED, 6, "not configured", FATAL)                             \
    X(NOT_RUNNING, 7, "not running", SOFT)                                \
    X(PROMOTED, 8, "running (promoted)", GOOD)                            \
    X(FAILED_PROMOTED, 9, "failed (promoted)", SOFT)                      \
    X(DEGRADED, 190, "degraded", GOOD)                                    \
    X(DEGRADED_PROMOTED, 191, "degraded (promoted)", GOOD)                \
    X(CONNECTION_DIED, 189, "no connection to its machine", SOFT)         \
    X(SIGNAL, 194, "killed by a signal", SOFT)                            \
    X(UNSUPPORTED, 195, "not supported for this standard", HARD)          \
    X(PENDING, 196, "still pending", SOFT)                                \
    X(CANCELLED, 197, "cancelled", SOFT)                                  \
    X(TIMEOUT, 198, "timed out", SOFT)                                    \
    X(OTHER, 199, "could not be run", HARD)
typedef enum { OCF_CLASS_GOOD, OCF_CLASS_SOFT, OCF_CLASS_HARD, OCF_CLASS_FATAL } OcfClass;
#define X(id, code, text, class) OCF_##id = code,
typedef enum { OCF_CODES(X) } OcfCode;
#undef X

const char *ocf_code_text(int rc); /* never NULL: "unknown code 42" classes as "unknown code" */
OcfClass ocf_code_class(int rc);   /* an unknown code is SOFT */
/* What a monitor's answer says about the service. NOT_RUNNING gives STOPPED: whether that is a failure is the caller's to know. */
ServiceState ocf_monitor_state(int rc);
/* LSB status to OCF: 0 → 0; 1, 2, 3 → 7; anything else → 1. */
int ocf_from_lsb_status(int status);

/* Sorted, NULL-terminated names; empty when the folder is missing. Caller frees with g_strfreev. */
char **ocf_list_providers(const char *ocf_root);
char **ocf_list_agents(const char *ocf_root, const char *provider);
char **lsb_list_scripts(const char *init_dir); /* executable regular files, as Matahari lists them */
/* One path component of letters, digits and "._@+-", not starting with a dot: nothing a peer names leaves its folder. */
bool safe_component(const char *name);

#endif
