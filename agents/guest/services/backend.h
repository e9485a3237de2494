/* How one service of one standard is looked at and acted on. A backend knows nothing of queues, intervals and commands' ids: it does
 * one action at a time when told to, and tells what it sees. service.c is the only one that drives it over time; Resources.invoke
 * and Services use backends for single actions. */
#ifndef MEND_GUEST_BACKEND_H
#define MEND_GUEST_BACKEND_H

#include "agents/guest/services/elsewhere.h"
#include "agents/guest/services/ocf.h"
#include "agents/guest/services/report.h"
#include "agents/guest/services/spec.h"

typedef struct Systemd Systemd;
typedef struct NotifySocket NotifySocket;
typedef struct Memory Memory;

typedef struct ServiceHost { /* what backends share; borrowed, outlives them */
    const char *ocf_root;    /* "/usr/lib/ocf" */
    const char *init_dir;    /* "/etc/init.d" */
    Systemd *systemd;
    NotifySocket *notify;    /* may be NULL: no sd_notify */
    Memory *memory;          /* may be NULL: nothing is remembered */
    const Elsewhere *elsewhere; /* NULL: they are on this machine */
} ServiceHost;

typedef struct ActionResult { /* borrowed during the completion */
    int rc;                  /* OCF code */
    const char *text;        /* for people; never NULL, "" when there is nothing to say */
    int64_t pid;             /* main process, 0: none known */
    int wait_status;         /* of the program that was run; -1: none was */
    const char *output;      /* what it printed; never NULL */
    size_t output_bytes;
} ActionResult;
typedef void (*ActionDone)(const ActionResult *result, void *user);
typedef void (*BackendReport)(const ServiceReport *report, void *user);

typedef struct BackendClass BackendClass;
typedef struct Backend { /* first member of every backend */
    const BackendClass *class;
} Backend;

struct BackendClass {
    const char *standard;
    bool watches;  /* reports changes by itself: needs no recurring monitor */
    bool controls; /* has start and stop (a probe has not) */
    bool restarts; /* has "restart" of its own; else it is stop, then start */
    /* No I/O. @spec and @host are borrowed and outlive the backend. */
    Backend *(*create)(const ServiceSpec *spec, const ServiceHost *host, GError **error);
    /* Begins to report; the first report comes soon, never from inside the call. NULL when !watches. */
    void (*watch)(Backend *backend, BackendReport report, void *user);
    /* @action: "start" "stop" "restart" "monitor", and for scripts whatever they know. One at a time. @done: once, never from
     * inside the call, at the latest at @deadline_us (monotonic) with OCF_TIMEOUT. */
    void (*act)(Backend *backend, const char *action, int64_t deadline_us, ActionDone done, void *user);
    /* An action still running is abandoned: its group is killed, its completion does not run. The service itself is left alone. */
    void (*free)(Backend *backend);
};

extern const BackendClass backend_ocf, backend_lsb, backend_exec, backend_tcp, backend_http, backend_systemd, backend_process;

/* Whether it can be watched where ServiceHost.elsewhere is set: probes are made from here, and processes would be ours. False: error. */
bool backend_can_be_elsewhere(const ServiceSpec *spec, GError **error);
/* By the standard of @spec. NULL: error (a standard that does not exist, or not elsewhere). */
Backend *backend_new(const ServiceSpec *spec, const ServiceHost *host, GError **error);
void backend_free(Backend *backend); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Backend, backend_free)

#endif
