/* One interface of one D-Bus object as a class and an object of QMF, its signals as events. Thread: the owner's main loop. */
#ifndef MEND_GUEST_DBUS_OBJECT_H
#define MEND_GUEST_DBUS_OBJECT_H

#include "agents/guest/classes.h"
#include "agents/guest/matahari/dbus_link.h"

typedef struct DbusObject DbusObject;

typedef struct DbusObjectOptions { /* borrowed; context, link and rules outlive the object */
    const ClassContext *context;
    DbusLink *link;
    char *const *rules;           /* dbus_rules.h: which signals are listened to, and whether properties are shown */
    const char *bus, *path;
    GDBusInterfaceInfo *info;
    QmfMethodFn on_method;
    void *method_user;
    bool (*may_raise)(void *user); /* before each event; false: dropped */
    void *user;
} DbusObjectOptions;

/* bus@path@interface. Caller frees. */
char *dbus_object_name(const char *bus, const char *path, const char *interface);
/* NULL: more members than a schema may have. */
DbusObject *dbus_object_new(const DbusObjectOptions *options);
void dbus_object_free(DbusObject *object);
const char *dbus_object_bus(const DbusObject *object);
const char *dbus_object_path(const DbusObject *object);
const GDBusInterfaceInfo *dbus_object_info(const DbusObject *object);
const char *dbus_object_qmf_name(const DbusObject *object);
/* @properties: a{sv}, as GetAll and PropertiesChanged give it; those the interface does not declare are left out. */
void dbus_object_show(DbusObject *object, GVariant *properties);
/* What an argument that comes out is called: its name, with _out when one that goes in has the same. Caller frees. */
char *dbus_output_name(const GDBusMethodInfo *method, size_t i);

#endif
