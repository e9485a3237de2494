#include "bridges/ovirt/ovirt_model.h"

#include "lib/base/json.h"
#include "lib/base/uuid.h"

#include <string.h>

#define TEXT_MAX 4096 /* of what is kept */

G_DEFINE_QUARK(mend-ovirt-error, ovirt_error)

void ovirt_vm_free(OvirtVm *vm)
{
    if (vm == NULL)
        return;
    g_free(vm->id);
    g_free(vm->name);
    g_free(vm->status);
    g_free(vm->host);
    g_free(vm->cluster);
    g_free(vm->address);
    g_free(vm->stop_reason);
    g_free(vm->on_storage_error);
    g_free(vm);
}

void ovirt_host_free(OvirtHost *host)
{
    if (host == NULL)
        return;
    g_free(host->id);
    g_free(host->name);
    g_free(host->status);
    g_free(host->cluster);
    g_free(host);
}

void ovirt_event_free(OvirtEvent *event)
{
    g_free(event->text);
    g_free(event->vm);
    g_free(event->host);
    g_free(event->origin);
    g_free(event);
}

/* ---- values --------------------------------------------------------------------------------------------------------------------------- */

static char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_or(object, key, NULL);

    return text != NULL ? g_strndup(text, TEXT_MAX) : NULL;
}

static bool number_of(const json_t *object, const char *key, int64_t *ret)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_integer(value)) {
        *ret = json_integer_value(value);
        return true;
    }
    return json_is_string(value) && g_ascii_string_to_signed(json_string_value(value), 10, INT64_MIN, INT64_MAX, ret, NULL);
}

static int64_t number_or(const json_t *object, const char *key, int64_t fallback)
{
    int64_t number = fallback;

    number_of(object, key, &number);
    return number;
}

static bool truth_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_true(value) || (json_is_string(value) && strcmp(json_string_value(value), "true") == 0);
}

/* The id of what is linked; NULL: nothing is. */
static char *link_of(const json_t *object, const char *key)
{
    const char *id = json_string_or(json_object_get(object, key), "id", NULL);

    return id != NULL ? uuid_canonical(id) : NULL;
}

static unsigned vcpus_of(const json_t *object)
{
    const json_t *topology = json_object_get(json_object_get(object, "cpu"), "topology");
    int64_t cores = number_or(topology, "cores", 0), sockets = number_or(topology, "sockets", 1), threads = number_or(topology, "threads", 1);

    return cores < 1 || sockets < 1 || threads < 1 || cores > 4096 || sockets > 4096 || threads > 64 ? 0 : (unsigned) (cores * sockets * threads);
}

static bool malformed(GError **error, const char *what, const char *which)
{
    g_set_error(error, OVIRT_ERROR, OVIRT_ERROR_MALFORMED, "oVirt's answer is malformed: %s without %s", what, which);
    return false;
}

/* ---- objects -------------------------------------------------------------------------------------------------------------------------- */

OvirtVm *ovirt_vm_read(const json_t *body, GError **error)
{
    g_autoptr(OvirtVm) vm = g_new0(OvirtVm, 1);
    const char *id = json_string_or(body, "id", NULL);

    vm->id = id != NULL ? uuid_canonical(id) : NULL;
    vm->status = text_of(body, "status");
    if (vm->id == NULL || vm->status == NULL) {
        malformed(error, "a VM", vm->id == NULL ? "the UUID 'id'" : "'status'");
        return NULL;
    }
    vm->name = text_of(body, "name");
    vm->host = link_of(body, "host");
    vm->cluster = link_of(body, "cluster");
    vm->address = text_of(body, "fqdn");
    vm->stop_reason = text_of(body, "stop_reason");
    vm->on_storage_error = text_of(body, "storage_error_resume_behaviour");
    vm->ha = truth_of(json_object_get(body, "high_availability"), "enabled");
    vm->lease = json_is_object(json_object_get(json_object_get(body, "lease"), "storage_domain"));
    vm->memory_bytes = (uint64_t) MAX(0, number_or(body, "memory", 0));
    vm->vcpus = vcpus_of(body);
    return g_steal_pointer(&vm);
}

OvirtHost *ovirt_host_read(const json_t *body, GError **error)
{
    g_autoptr(OvirtHost) host = g_new0(OvirtHost, 1);
    const char *id = json_string_or(body, "id", NULL);

    host->id = id != NULL ? uuid_canonical(id) : NULL;
    host->status = text_of(body, "status");
    if (host->id == NULL || host->status == NULL) {
        malformed(error, "a host", host->id == NULL ? "the UUID 'id'" : "'status'");
        return NULL;
    }
    host->name = text_of(body, "name");
    host->cluster = link_of(body, "cluster");
    host->power = truth_of(json_object_get(body, "power_management"), "enabled");
    host->memory_bytes = (uint64_t) MAX(0, number_or(body, "memory", 0));
    host->vcpus = vcpus_of(body);
    return g_steal_pointer(&host);
}

static OvirtEvent *event_read(const json_t *body, GError **error)
{
    int64_t id, code;
    OvirtEvent *event;

    if (!number_of(body, "id", &id) || id < 0 || !number_of(body, "code", &code)) {
        malformed(error, "an event", "the numbers 'id' and 'code'");
        return NULL;
    }
    event = g_new0(OvirtEvent, 1);
    event->id = (uint64_t) id;
    event->code = (int) CLAMP(code, INT_MIN, INT_MAX);
    event->text = text_of(body, "description");
    event->vm = link_of(body, "vm");
    event->host = link_of(body, "host");
    event->origin = text_of(body, "origin");
    return event;
}

/* ---- lists ---------------------------------------------------------------------------------------------------------------------------- */

static gint by_vm(gconstpointer a, gconstpointer b) { return strcmp((*(OvirtVm *const *) a)->id, (*(OvirtVm *const *) b)->id); }
static gint by_host(gconstpointer a, gconstpointer b) { return strcmp((*(OvirtHost *const *) a)->id, (*(OvirtHost *const *) b)->id); }

static gint by_event(gconstpointer a, gconstpointer b)
{
    const OvirtEvent *one = *(OvirtEvent *const *) a, *other = *(OvirtEvent *const *) b;

    return one->id < other->id ? -1 : one->id > other->id;
}

/* An object with the list, or without anything: oVirt says {} for none. */
static GPtrArray *list_read(const json_t *body, const char *name, void *(*read)(const json_t *, GError **), GDestroyNotify free_fn, GCompareFunc by,
                            GError **error)
{
    const json_t *list = json_object_get(body, name);
    g_autoptr(GPtrArray) array = g_ptr_array_new_with_free_func(free_fn);
    size_t i;
    json_t *item;

    if (!json_is_object(body) || (list == NULL && json_object_size(body) > 0) || (list != NULL && !json_is_array(list)) ||
        json_array_size(list) > OVIRT_LIST_MAX) {
        malformed(error, "the answer", name);
        return NULL;
    }
    json_array_foreach((json_t *) list, i, item) {
        void *object = read(item, error);

        if (object == NULL)
            return NULL;
        g_ptr_array_add(array, object);
    }
    g_ptr_array_sort(array, by);
    return g_steal_pointer(&array);
}

static void *read_vm(const json_t *body, GError **error) { return ovirt_vm_read(body, error); }
static void *read_host(const json_t *body, GError **error) { return ovirt_host_read(body, error); }
static void *read_event(const json_t *body, GError **error) { return event_read(body, error); }

GPtrArray *ovirt_vms_read(const json_t *body, GError **error)
{
    return list_read(body, "vm", read_vm, (GDestroyNotify) ovirt_vm_free, by_vm, error);
}

GPtrArray *ovirt_hosts_read(const json_t *body, GError **error)
{
    return list_read(body, "host", read_host, (GDestroyNotify) ovirt_host_free, by_host, error);
}

GPtrArray *ovirt_events_read(const json_t *body, GError **error)
{
    return list_read(body, "event", read_event, (GDestroyNotify) ovirt_event_free, by_event, error);
}

const char *ovirt_power_status(const json_t *body)
{
    return json_string_or(json_object_get(body, "power_management"), "status", NULL);
}

bool ovirt_statistic(const json_t *body, const char *name, double *ret_value)
{
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(body, "statistic"), i, item) {
        const json_t *datum = json_object_get(json_array_get(json_object_get(json_object_get(item, "values"), "value"), 0), "datum");

        if (g_strcmp0(json_string_or(item, "name", NULL), name) != 0)
            continue;
        if (json_is_number(datum))
            *ret_value = json_number_value(datum);
        else if (json_is_string(datum))
            *ret_value = g_ascii_strtod(json_string_value(datum), NULL);
        return json_is_number(datum) || json_is_string(datum);
    }
    return false;
}
