/* A callback only copies what it is given: libvirt calls it in the main loop and nothing here may wait.
 *
 * Callbacks of ids that have no name here have a signature nobody knows. What they have in common is the connection and the domain
 * in front; further arguments are passed over, which calling conventions of C programs allow. So such a callback cannot be given its
 * session, and finds it by the connection. */
#include "agents/host/libvirt/events.h"

#include "agents/host/libvirt/event_names.h"
#include "agents/host/libvirt/event_values.h"
#include "agents/host/libvirt/virt_error.h"
#include "lib/base/log.h"

#include <gio/gio.h>
#include <string.h>

typedef struct Early { /* an event that came before attach */
    char vm[VIR_UUID_STRING_BUFLEN];
    char *name, *reason;
    int id, kind, detail;
    Value *values;
} Early;

struct EventSession {
    gatomicrefcount count;
    int callbacks[EVENTS_ID_LIMIT]; /* libvirt's ids of the registrations; -1: none */
    /* main loop only */
    DomainEventFn fn;
    void *user;
    GQueue early; /* of Early */
    bool attached, overflow;
};

static GMutex unknown_lock;
static GHashTable *unknown_sessions; /* virConnectPtr → EventSession: of callbacks that cannot be given theirs */

static void early_free(Early *early)
{
    g_free(early->name);
    g_free(early->reason);
    value_unref(early->values);
    g_free(early);
}

static void session_unref(void *data)
{
    EventSession *session = data;

    if (!g_atomic_ref_count_dec(&session->count))
        return;
    g_queue_clear_full(&session->early, (GDestroyNotify) early_free);
    g_free(session);
}

static void keep_early(EventSession *session, const DomainEvent *event, Value *values)
{
    Early *early;

    if (session->early.length >= EVENTS_EARLY_MAX) {
        session->overflow = true;
        return;
    }
    early = g_new0(Early, 1);
    g_strlcpy(early->vm, event->vm, sizeof early->vm);
    early->name = g_strdup(event->name);
    early->reason = g_strdup(event->reason);
    early->id = event->id;
    early->kind = event->kind;
    early->detail = event->detail;
    early->values = value_ref(values);
    g_queue_push_tail(&session->early, early);
}

/* Local: UUID and name come with the event. */
static void came(EventSession *session, virDomainPtr domain, int id, int kind, int detail, const char *reason, Value *values /* (transfer full) */)
{
    char vm[VIR_UUID_STRING_BUFLEN] = "";
    g_autoptr(Value) owned = values != NULL ? values : value_map();
    DomainEvent event = { vm, virDomainGetName(domain), id, kind, detail, reason, owned };

    if (virDomainGetUUIDString(domain, vm) < 0)
        return;
    if (session->attached && session->fn != NULL)
        session->fn(session->user, &event);
    else if (!session->attached)
        keep_early(session, &event, owned);
}

static int on_lifecycle(virConnectPtr c, virDomainPtr domain, int type, int detail, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_LIFECYCLE, type, detail, NULL, NULL);
    return 0;
}

#define SIMPLE(fn, event_id)                                                                          \
    static void fn(virConnectPtr c, virDomainPtr domain, void *session)                               \
    {                                                                                                 \
        came(session, domain, event_id, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, NULL);                \
    }
SIMPLE(on_reboot, VIR_DOMAIN_EVENT_ID_REBOOT)
SIMPLE(on_control_error, VIR_DOMAIN_EVENT_ID_CONTROL_ERROR)

static void on_rtc_change(virConnectPtr c, virDomainPtr domain, long long offset_s, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_RTC_CHANGE, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, event_values_int("offset_s", offset_s));
}

static void on_watchdog(virConnectPtr c, virDomainPtr domain, int action, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_WATCHDOG, action, EVENT_WORD_NONE, NULL, NULL);
}

static void on_io_error(virConnectPtr c, virDomainPtr domain, const char *path, const char *device, int action, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_IO_ERROR, action, EVENT_WORD_NONE, NULL, event_values_texts("path", path, "device", device, NULL));
}

static void on_io_error_reason(virConnectPtr c, virDomainPtr domain, const char *path, const char *device, int action, const char *reason,
                               void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, action, EVENT_WORD_NONE, reason,
         event_values_texts("path", path, "device", device, "reason", reason, NULL));
}

static void on_graphics(virConnectPtr c, virDomainPtr domain, int phase, const virDomainEventGraphicsAddress *local,
                        const virDomainEventGraphicsAddress *remote, const char *scheme, const virDomainEventGraphicsSubject *subject, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_GRAPHICS, phase, EVENT_WORD_NONE, NULL, event_values_graphics(local, remote, scheme, subject));
}

static void on_block_job(virConnectPtr c, virDomainPtr domain, const char *path, int type, int status, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_BLOCK_JOB, type, status, NULL, event_values_texts("path", path, NULL));
}

static void on_block_job_2(virConnectPtr c, virDomainPtr domain, const char *target, int type, int status, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, type, status, NULL, event_values_texts("disk", target, NULL));
}

static void on_disk_change(virConnectPtr c, virDomainPtr domain, const char *before, const char *now, const char *device, int reason, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_DISK_CHANGE, reason, EVENT_WORD_NONE, NULL,
         event_values_texts("old_path", before, "new_path", now, "device", device, NULL));
}

static void on_tray_change(virConnectPtr c, virDomainPtr domain, const char *device, int reason, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, reason, EVENT_WORD_NONE, NULL, event_values_texts("device", device, NULL));
}

#define WITH_REASON(fn, event_id)                                                                                              \
    static void fn(virConnectPtr c, virDomainPtr domain, int reason, void *session)                                            \
    {                                                                                                                          \
        came(session, domain, event_id, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, event_values_int("reason", reason));           \
    }
WITH_REASON(on_pmwakeup, VIR_DOMAIN_EVENT_ID_PMWAKEUP)
WITH_REASON(on_pmsuspend, VIR_DOMAIN_EVENT_ID_PMSUSPEND)
WITH_REASON(on_pmsuspend_disk, VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK)

static void on_balloon_change(virConnectPtr c, virDomainPtr domain, unsigned long long kib, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, event_values_uint("balloon_bytes", kib * 1024));
}

#define WITH_DEVICE(fn, event_id)                                                                                                      \
    static void fn(virConnectPtr c, virDomainPtr domain, const char *device, void *session)                                            \
    {                                                                                                                                  \
        came(session, domain, event_id, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, event_values_texts("device", device, NULL));           \
    }
WITH_DEVICE(on_device_removed, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED)
WITH_DEVICE(on_device_added, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED)
WITH_DEVICE(on_device_removal_failed, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED)

static void on_tunable(virConnectPtr c, virDomainPtr domain, virTypedParameterPtr params, int n_params, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_TUNABLE, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, event_values_params(params, n_params));
}

static void on_agent_lifecycle(virConnectPtr c, virDomainPtr domain, int state, int reason, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, state, reason, NULL, NULL);
}

static void on_migration_iteration(virConnectPtr c, virDomainPtr domain, int iteration, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, event_values_int("iteration", iteration));
}

static void on_job_completed(virConnectPtr c, virDomainPtr domain, virTypedParameterPtr params, int n_params, void *session)
{
    int operation = EVENT_WORD_NONE, success = EVENT_WORD_NONE;

    virTypedParamsGetInt(params, n_params, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsGetBoolean(params, n_params, VIR_DOMAIN_JOB_SUCCESS, &success);
    came(session, domain, VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, operation, success, NULL, event_values_params(params, n_params));
}

static void on_metadata_change(virConnectPtr c, virDomainPtr domain, int type, const char *uri, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, type, EVENT_WORD_NONE, NULL, event_values_texts("uri", uri, NULL));
}

static void on_block_threshold(virConnectPtr c, virDomainPtr domain, const char *disk, const char *path, unsigned long long threshold,
                               unsigned long long excess, void *session)
{
    Value *values = event_values_texts("disk", disk, "path", path, NULL);

    value_set(values, "threshold_bytes", value_uint(VALUE_UINT64, threshold));
    value_set(values, "excess_bytes", value_uint(VALUE_UINT64, excess));
    came(session, domain, VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, values);
}

static void on_memory_failure(virConnectPtr c, virDomainPtr domain, int recipient, int action, unsigned flags, void *session)
{
    came(session, domain, VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE, recipient, action, NULL, event_values_uint("flags", flags));
}

static void on_memory_device_size_change(virConnectPtr c, virDomainPtr domain, const char *device, unsigned long long kib, void *session)
{
    Value *values = event_values_texts("device", device, NULL);

    value_set(values, "size_bytes", value_uint(VALUE_UINT64, kib * 1024));
    came(session, domain, VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, values);
}

static void on_unknown(virConnectPtr connection, virDomainPtr domain, int id)
{
    EventSession *session;

    g_mutex_lock(&unknown_lock);
    session = unknown_sessions == NULL ? NULL : g_hash_table_lookup(unknown_sessions, connection);
    if (session != NULL)
        g_atomic_ref_count_inc(&session->count);
    g_mutex_unlock(&unknown_lock);
    if (session == NULL)
        return;
    came(session, domain, id, EVENT_WORD_NONE, EVENT_WORD_NONE, NULL, NULL);
    session_unref(session);
}

#define UNKNOWN_IDS(X) X(27) X(28) X(29) X(30) X(31) X(32) X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) X(41) X(42) X(43) X(44) X(45) X(46) X(47)
#define X(id) static void on_unknown_##id(virConnectPtr connection, virDomainPtr domain, void *unused) { on_unknown(connection, domain, id); }
UNKNOWN_IDS(X)
#undef X

#define CALLBACK(id, fn) [VIR_DOMAIN_EVENT_ID_##id] = VIR_DOMAIN_EVENT_CALLBACK(fn)
#define X(id) [id] = VIR_DOMAIN_EVENT_CALLBACK(on_unknown_##id),
static const virConnectDomainEventGenericCallback callbacks[] = {
    CALLBACK(LIFECYCLE, on_lifecycle), CALLBACK(REBOOT, on_reboot), CALLBACK(RTC_CHANGE, on_rtc_change), CALLBACK(WATCHDOG, on_watchdog),
    CALLBACK(IO_ERROR, on_io_error), CALLBACK(GRAPHICS, on_graphics), CALLBACK(IO_ERROR_REASON, on_io_error_reason),
    CALLBACK(CONTROL_ERROR, on_control_error), CALLBACK(BLOCK_JOB, on_block_job), CALLBACK(DISK_CHANGE, on_disk_change),
    CALLBACK(TRAY_CHANGE, on_tray_change), CALLBACK(PMWAKEUP, on_pmwakeup), CALLBACK(PMSUSPEND, on_pmsuspend),
    CALLBACK(BALLOON_CHANGE, on_balloon_change), CALLBACK(PMSUSPEND_DISK, on_pmsuspend_disk), CALLBACK(DEVICE_REMOVED, on_device_removed),
    CALLBACK(BLOCK_JOB_2, on_block_job_2), CALLBACK(TUNABLE, on_tunable), CALLBACK(AGENT_LIFECYCLE, on_agent_lifecycle),
    CALLBACK(DEVICE_ADDED, on_device_added), CALLBACK(MIGRATION_ITERATION, on_migration_iteration), CALLBACK(JOB_COMPLETED, on_job_completed),
    CALLBACK(DEVICE_REMOVAL_FAILED, on_device_removal_failed), CALLBACK(METADATA_CHANGE, on_metadata_change),
    CALLBACK(BLOCK_THRESHOLD, on_block_threshold), CALLBACK(MEMORY_FAILURE, on_memory_failure),
    CALLBACK(MEMORY_DEVICE_SIZE_CHANGE, on_memory_device_size_change), UNKNOWN_IDS(X)
};
#undef X
G_STATIC_ASSERT(G_N_ELEMENTS(callbacks) == EVENTS_ID_LIMIT);

bool event_session_open(virConnectPtr connection, EventSession **ret_session, GError **error)
{
    EventSession *session = g_new0(EventSession, 1);

    g_atomic_ref_count_init(&session->count);
    g_queue_init(&session->early);
    *ret_session = session;
    g_mutex_lock(&unknown_lock);
    if (unknown_sessions == NULL)
        unknown_sessions = g_hash_table_new(NULL, NULL);
    g_hash_table_insert(unknown_sessions, connection, session);
    g_mutex_unlock(&unknown_lock);
    for (int id = 0; id < EVENTS_ID_LIMIT; id++) {
        g_atomic_ref_count_inc(&session->count);
        session->callbacks[id] = virConnectDomainEventRegisterAny(connection, NULL, id, callbacks[id], session, session_unref);
        if (session->callbacks[id] < 0)
            session_unref(session); /* this libvirt does not know the event: an older one, or there is none of this number */
    }
    if (session->callbacks[VIR_DOMAIN_EVENT_ID_LIFECYCLE] < 0) {
        g_autofree char *text = NULL;

        virt_error_take("asking for events", &text);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "%s", text);
        return false;
    }
    return true;
}

bool event_session_attach(EventSession *session, DomainEventFn fn, void *user)
{
    Early *early;

    session->fn = fn;
    session->user = user;
    session->attached = true;
    while ((early = g_queue_pop_head(&session->early)) != NULL) {
        DomainEvent event = { early->vm, early->name, early->id, early->kind, early->detail, early->reason, early->values };

        fn(user, &event);
        early_free(early);
    }
    return !session->overflow;
}

void event_session_detach(EventSession *session)
{
    session->fn = NULL;
    session->attached = true;
}

void event_session_close(virConnectPtr connection, EventSession *session)
{
    g_mutex_lock(&unknown_lock);
    g_hash_table_remove(unknown_sessions, connection);
    g_mutex_unlock(&unknown_lock);
    for (int id = 0; id < EVENTS_ID_LIMIT; id++)
        if (session->callbacks[id] >= 0)
            virConnectDomainEventDeregisterAny(connection, session->callbacks[id]);
    session_unref(session);
}

Value *domain_event_values(const DomainEvent *event)
{
    g_autofree char *name = event_id_name(event->id), *kind = event_kind_name(event->id, event->kind);
    g_autofree char *detail = event_detail_name(event->id, event->kind, event->detail);
    Value *values = value_map();

    value_set(values, "id", value_string(event->vm));
    value_set(values, "name", value_string(event->name));
    value_set(values, "event_id", value_int(VALUE_INT32, event->id));
    value_set(values, "event", value_string(name));
    value_set(values, "kind", value_string(kind));
    value_set(values, "detail", value_string(detail));
    value_set(values, "values", value_ref((Value *) event->values));
    return values;
}
