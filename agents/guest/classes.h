/* The classes this agent answers for, each in its own file: Mend's Guest, and Matahari's Host, Services, Resources and Agent with exactly
 * their names, texts and codes. Thread: the owner's main loop. */
#ifndef MEND_GUEST_CLASSES_H
#define MEND_GUEST_CLASSES_H

#include "agents/common/command_gate.h"
#include "agents/common/identity.h"
#include "agents/guest/watch_list.h"

typedef struct Writable { /* a property that is declared RW; all of Matahari's are numbers */
    const char *object, *property;
    uint32_t max;
    void (*set)(uint32_t value, void *user);
    void *user;
} Writable;

typedef struct ClassContext { /* borrowed, outlives every class */
    QmfAgent *agent;
    CommandGate *gate;
    Identity *identity;
    WatchList *watched;           /* NULL once it is gone */
    const ServiceHost *host;
    Lanes *lanes;
    const char *data;             /* folder */
    bool allow_power;             /* Host.shutdown and reboot are carried out */
    bool allow_remote_commands;   /* Guest.monitor may bring commands of its own (exec, process) */
    char *const *power_profiles;  /* Host.set_power_profile may choose, * and ? as in a shell; NULL: none */
    uint32_t update_interval_s;   /* of Host's heartbeat at the start; 0: none */
    GArray *writables;            /* of Writable: what Guest.set_properties may set */
    GPtrArray *own_classes;       /* of QmfClass: those made while it runs (plug-ins, D-Bus); freed after the agent */
} ClassContext;

/* All of them are freed after the watch list (whose open operations answer through them) and before the gate. */
typedef struct GuestClass GuestClass;
GuestClass *guest_class_new(const ClassContext *context);
void guest_class_free(GuestClass *guest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestClass, guest_class_free)

typedef struct HostClass HostClass;
HostClass *host_class_new(const ClassContext *context);
void host_class_free(HostClass *host);
void host_class_set_online(HostClass *host, bool online); /* offline: no heartbeat events are made */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostClass, host_class_free)

typedef struct ServicesClass ServicesClass;
ServicesClass *services_class_new(const ClassContext *context);
void services_class_free(ServicesClass *services);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ServicesClass, services_class_free)

typedef struct ResourcesClass ResourcesClass;
ResourcesClass *resources_class_new(const ClassContext *context);
void resources_class_free(ResourcesClass *resources);
void resources_class_set_online(ResourcesClass *resources, bool online);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ResourcesClass, resources_class_free)

/* Matahari's error texts. */
#define MH_NOT_IMPLEMENTED   "Not implemented"
#define MH_INVALID_ARGUMENTS "Invalid Arguments"
#define MH_BACKEND           "Error in backend"
#define MH_DOWNLOAD          "Unable to download file"
#define MH_DENIED            "You are not authorized for specified action"

/* The object NAME of org.matahariproject's class of that name, with uuid and hostname set; its methods go to @handler. */
QmfObject *matahari_object(const ClassContext *context, const char *name, QmfMethodFn handler, void *user);
const QmfClass *matahari_class(const char *name);
/* A list of strings from a NULL-terminated array. (transfer full) */
Value *value_strings(char *const *texts);
/* An output map with one item. (transfer full) */
Value *output(const char *name, Value *item /* (transfer full) */);

#endif
