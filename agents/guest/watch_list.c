#include "agents/guest/watch_list.h"

#include "agents/guest/services/memory.h"
#include "agents/guest/services/systemd.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define PACKAGE "org.matahariproject.mend"
#define KEPT_MAX_BYTES (1024 * 1024)
#define SERVICES_MAX   1000

typedef struct Watched {
    WatchList *list;
    Service *service;
    QmfObject *object;
    bool kept, untold; /* untold: changed while the bus was away */
    uint64_t sequence; /* of the event that told the last change */
} Watched;

struct WatchList {
    WatchListOptions options;
    const QmfClass *class, *event;
    GHashTable *by_name; /* of Watched */
    uint64_t sequence;
    bool online;
};

G_DEFINE_QUARK(mend-watch-error-quark, watch_error)

static Value *values_of(const Watched *watched)
{
    const ServiceSpec *spec = service_spec(watched->service);
    const ServiceReport *report = service_report(watched->service);
    Value *v = value_map();

    value_set(v, "name", value_string(spec->name));
    value_set(v, "standard", value_string(spec->standard));
    value_set(v, "provider", value_string(spec->provider));
    value_set(v, "agent", value_string(service_spec_agent(spec)));
    value_set(v, "state", value_string(service_state_name(report->state)));
    value_set(v, "previous", value_string(service_state_name(service_previous(watched->service))));
    value_set(v, "intent", value_string(service_intent_name(report->intent)));
    value_set(v, "reason", value_string(report->reason));
    value_set(v, "rc", value_int(VALUE_INT32, report->rc));
    value_set(v, "pid", value_uint(VALUE_UINT32, (uint64_t) report->pid));
    value_set(v, "exit_status", value_int(VALUE_INT32, report->exit_status));
    value_set(v, "signal", value_int(VALUE_INT32, report->signal));
    value_set(v, "sequence", value_uint(VALUE_UINT64, watched->sequence));
    if (watched->list->options.identity->boot_id != NULL)
        value_set(v, "boot_id", value_string(watched->list->options.identity->boot_id));
    value_set(v, "occurred_us", value_int(VALUE_INT64, service_since_us(watched->service)));
    return v;
}

static void tell(Watched *watched)
{
    WatchList *list = watched->list;
    ServiceState state = service_report(watched->service)->state;
    g_autoptr(Value) values = NULL;
    const char *key;
    const Value *item;

    watched->untold = false;
    watched->sequence = ++list->sequence;
    values = values_of(watched);
    for (size_t i = 0; value_entry(values, i, &key, &item); i++)
        qmf_object_set(watched->object, key, value_ref((Value *) item));
    qmf_agent_raise_event(list->options.agent, list->event, state == SERVICE_FAILED ? 3 : state == SERVICE_DEGRADED ? 4 : -1,
                          g_steal_pointer(&values));
}

static void on_changed(Service *service, void *user)
{
    Watched *watched = g_hash_table_lookup(((WatchList *) user)->by_name, service_spec(service)->name);
    const ServiceReport *report = service_report(service);

    log_line(report->state == SERVICE_FAILED ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, "%s: %s (%s): %s", service_spec(service)->name,
             service_state_name(report->state), service_intent_name(report->intent), report->reason);
    watched->untold = true;
    if (watched->list->online)
        tell(watched);
    else
        qmf_object_set(watched->object, "state", value_string(service_state_name(report->state)));
}

static void watched_free(void *data)
{
    Watched *watched = data;

    service_free(watched->service);
    qmf_agent_remove_object(watched->list->options.agent, watched->object);
    g_free(watched);
}

WatchList *watch_list_new(const WatchListOptions *options)
{
    WatchList *list = g_new0(WatchList, 1);

    list->options = *options;
    list->class = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "Service");
    list->event = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "service_state");
    list->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, watched_free);
    qmf_agent_add_class(options->agent, list->class);
    qmf_agent_add_class(options->agent, list->event);
    return list;
}

void watch_list_free(WatchList *list)
{
    if (list == NULL)
        return;
    list->online = false;
    g_hash_table_unref(list->by_name);
    g_free(list);
}

static char *kept_path(const WatchList *list)
{
    return g_build_filename(list->options.data, "monitors.json", NULL);
}

static void save_kept(const WatchList *list)
{
    g_autoptr(json_t) kept = json_array();
    g_autofree char *path = kept_path(list), *text = NULL;
    g_autoptr(GError) error = NULL;
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, list->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((Watched *) value)->kept)
            json_array_append(kept, service_spec(((Watched *) value)->service)->json);
    text = json_pretty(kept);
    if (!file_write(path, text, strlen(text), 0600, &error))
        log_warning("what is monitored is not kept: %s", error->message);
}

bool watch_list_add(WatchList *list, ServiceSpec *spec, bool kept, GError **error)
{
    g_autoptr(ServiceSpec) owned = spec;
    Watched *old = g_hash_table_lookup(list->by_name, spec->name), *watched;
    g_autofree char *object_name = g_strconcat("service:", spec->name, NULL);
    const char *name;
    Service *service;

    if (old != NULL && (!old->kept || !kept)) {
        g_set_error(error, WATCH_ERROR, WATCH_ERROR_REFUSED, "a service '%s' is in the settings already", spec->name);
        return false;
    }
    if (old == NULL && g_hash_table_size(list->by_name) >= SERVICES_MAX) {
        g_set_error(error, WATCH_ERROR, WATCH_ERROR_REFUSED, "%d services are watched; that is the limit", SERVICES_MAX);
        return false;
    }
    service = service_new(g_steal_pointer(&owned), list->options.host, list->options.lanes, on_changed, list, error);
    if (service == NULL)
        return false;
    name = service_spec(service)->name;
    if (old != NULL)
        g_hash_table_remove(list->by_name, name);
    watched = g_new0(Watched, 1);
    *watched = (Watched){.list = list, .service = service, .kept = kept};
    watched->object = qmf_agent_add_object(list->options.agent, list->class, object_name, values_of(watched));
    g_hash_table_insert(list->by_name, (char *) name, watched);
    service_watch(service);
    if (kept)
        save_kept(list);
    return true;
}

bool watch_list_remove(WatchList *list, const char *name, GError **error)
{
    Watched *watched = g_hash_table_lookup(list->by_name, name);

    if (watched == NULL || !watched->kept) {
        g_autofree char *names = watch_list_names(list);

        g_set_error(error, WATCH_ERROR, WATCH_ERROR_REFUSED, watched == NULL ? "no service '%s' is watched here; there are: %s"
                                                                   : "'%s' is in the settings; take it out there", name, names);
        return false;
    }
    if (strcmp(service_spec(watched->service)->standard, "process") != 0) /* its program goes on, and is found again if it comes back */
        memory_forget(list->options.host->memory, name);
    g_hash_table_remove(list->by_name, name);
    save_kept(list);
    return true;
}

void watch_list_load(WatchList *list)
{
    g_autofree char *path = kept_path(list), *text = file_read_line(path, KEPT_MAX_BYTES, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) kept = text != NULL ? json_parse(text, strlen(text), path, &error) : NULL;

    if (text != NULL && !json_is_array(kept))
        log_warning("what was monitored by command is lost: %s", error != NULL ? error->message : "not a list");
    for (size_t i = 0; i < json_array_size(kept); i++) {
        g_autoptr(GError) wrong = NULL;
        ServiceSpec *spec = service_spec_from_json(json_array_get(kept, i), NULL, &wrong);

        if (spec == NULL || (watch_list_find(list, spec->name) != NULL ? (service_spec_free(spec), false)
                                                                       : !watch_list_add(list, spec, true, &wrong)))
            log_warning("%s: entry %zu: %s", path, i + 1, wrong != NULL ? wrong->message : "the settings have a service of this name");
    }
}

Service *watch_list_find(const WatchList *list, const char *name)
{
    const Watched *watched = name != NULL ? g_hash_table_lookup(list->by_name, name) : NULL;

    return watched != NULL ? watched->service : NULL;
}

Service *watch_list_find_agent(const WatchList *list, const char *standard, const char *agent)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, list->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Service *service = ((Watched *) value)->service;
        const ServiceSpec *spec = service_spec(service);
        g_autofree char *wanted = systemd_unit_name(agent), *unit = spec->agent != NULL ? systemd_unit_name(spec->agent) : NULL;

        if (strcmp(spec->standard, standard) == 0 && g_strcmp0(unit, wanted) == 0)
            return service;
    }
    return NULL;
}

GPtrArray *watch_list_all_names(const WatchList *list)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *key;

    g_hash_table_iter_init(&iter, list->by_name);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_ptr_array_add(names, g_strdup(key));
    return names;
}

char *watch_list_names(const WatchList *list)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(list->by_name), (GCompareFunc) strcmp);
    GString *text = g_string_new(names == NULL ? "none" : NULL);

    for (GList *i = names; i != NULL && text->len < 500; i = i->next)
        g_string_append_printf(text, "%s%s", i == names ? "" : ", ", (const char *) i->data);
    return g_string_free(text, FALSE);
}

void watch_list_set_online(WatchList *list, bool online)
{
    GHashTableIter iter;
    void *value;

    list->online = online;
    g_hash_table_iter_init(&iter, list->by_name);
    while (online && g_hash_table_iter_next(&iter, NULL, &value))
        if (((Watched *) value)->untold)
            tell(value);
}

Value *watch_list_digest(const WatchList *list)
{
    Value *digest = value_map();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, list->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Service *service = ((Watched *) value)->service;

        value_set(digest, service_spec(service)->name, value_string(service_state_name(service_report(service)->state)));
    }
    return digest;
}

Value *watch_list_values(const WatchList *list)
{
    Value *all = value_list();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, list->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        value_append(all, values_of(value));
    return all;
}

uint64_t watch_list_event_sequence(const WatchList *list)
{
    return list->sequence;
}
