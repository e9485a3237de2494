/* Within the bridge: one call of a console on its way through D-Bus, in steps. Thread: the owner's main loop. */
#ifndef MEND_GUEST_DBUS_JOB_H
#define MEND_GUEST_DBUS_JOB_H

#include "agents/guest/matahari/dbus_bridge.h"
#include "agents/guest/matahari/dbus_link.h"
#include "agents/guest/matahari/dbus_object.h"

#define DBUS_JOB_US    (25 * US_PER_S)

struct DbusBridge {
    const ClassContext *context;
    DbusBridgeOptions options;
    QmfObject *object;
    DbusLink *link;
    GList *jobs;        /* of DbusJob */
    GPtrArray *objects; /* of DbusObject */
    bool online;
    int64_t window_us;  /* when the present window of events began */
    unsigned n_events, n_dropped;
};

typedef struct DbusJob DbusJob;
typedef void (*DbusStep)(DbusJob *job, GVariant *reply);

struct DbusJob {
    DbusBridge *bridge;
    QmfCall *call;
    DbusAsk *ask;
    DbusStep step;         /* what comes after the reply */
    DbusStep failed;       /* instead, when there is an error; NULL: the call is raised with @problem and the error */
    char *problem;         /* "Unable to introspect: BUS PATH: " */
    int64_t deadline_us;
    const char *bus, *path, *interface; /* borrowed from the call or the object */
    DbusObject *object;    /* of a bridged one */
    GQueue paths;          /* list_object_paths: to be looked at */
    GPtrArray *found;      /* of char *: paths, names */
    GPtrArray *infos;      /* of GDBusInterfaceInfo: to be added */
    size_t i;              /* of infos, or of values to be set */
    unsigned n_asked;
};

/* NULL: too many at once, and the call is answered. */
DbusJob *dbus_job_new(DbusBridge *bridge, QmfCall *call);
void dbus_job_free(DbusJob *job);
/* Asks, then goes on with @step. @parameters: floating or NULL. @problem: (transfer full), stands before the error's text. */
void dbus_job_ask(DbusJob *job, const DbusRequest *request, DbusStep step, char *problem);
void dbus_job_introspect(DbusJob *job, const char *path, DbusStep step);
/* As dbus_node_parse; @reply: (s). */
GDBusNodeInfo *dbus_job_node(GVariant *reply);
/* These answer and free the job. */
void dbus_job_return(DbusJob *job, Value *outputs);
void dbus_job_raise(DbusJob *job, const char *error, const char *text);
/* The answer of a method as a list; NULL: raised, the job is gone. */
Value *dbus_job_results(DbusJob *job, GVariant *reply);
/* Calls a method with arguments of a list (@by_name NULL) or of a map. */
void dbus_job_call_method(DbusJob *job, const GDBusMethodInfo *method, const Value *list, const Value *by_name, DbusStep step);

/* dbus_add.c: the methods add_dbus_object and those of bridged objects. */
void dbus_add_start(DbusJob *job);
void dbus_on_object_method(QmfCall *call, void *user);

#endif
