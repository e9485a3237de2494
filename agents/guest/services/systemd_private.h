/* Between the files of systemd*.c only: the connection, the watches and the jobs it serves. */
#ifndef MEND_GUEST_SYSTEMD_PRIVATE_H
#define MEND_GUEST_SYSTEMD_PRIVATE_H

#include "agents/guest/services/systemd.h"

#define SYSTEMD_NAME          "org.freedesktop.systemd1"
#define SYSTEMD_PATH          "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER       "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT          "org.freedesktop.systemd1.Unit"
#define SYSTEMD_SERVICE       "org.freedesktop.systemd1.Service"
#define SYSTEMD_JOBS_REMEMBERED 32

typedef struct RemovedJob {
    char *path, *result;
} RemovedJob;

struct Systemd {
    char *address;
    GDBusConnection *connection; /* NULL: not open */
    const char *peer;            /* bus name to call; NULL on the private socket */
    bool connecting, shutting_down, foreign;
    GCancellable *cancel;
    guint retry_source, retries, subscriptions[3];
    GList *units, *jobs, *waiting; /* of SystemdUnit, SystemdJob, Waiting: calls made before the bus is open */
    RemovedJob removed[SYSTEMD_JOBS_REMEMBERED]; /* a reply may be dispatched after the signal that ends its job */
    guint next_removed;
};

/* One method call; waits for the connection when it is only being opened. @cancel: of the caller, NULL: never; once cancelled @done
 * does not run, or runs with G_IO_ERROR_CANCELLED and must not touch @user. */
void systemd_invoke(Systemd *systemd, const char *path, const char *interface, const char *method, GVariant *parameters,
                    GCancellable *cancel, SystemdReply done, void *user);

void unit_attach(SystemdUnit *watch); /* the connection is open (again): look and listen */
void unit_lost(SystemdUnit *watch, const GError *why);
void unit_job_new(SystemdUnit *watch, const char *unit, const char *path);
void unit_job_removed(SystemdUnit *watch, const char *unit, const char *path);
bool job_is_ours(const Systemd *systemd, const char *unit, const char *path);
/* True when @path is its job: it is done and may be gone. */
bool job_removed(SystemdJob *job, const char *path, const char *result);
void job_lost(SystemdJob *job, const GError *why);

#endif
