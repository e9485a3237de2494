/* What is true now is asked once (and again after each way back to the broker), then events tell what changes. Their consoles want three kinds of event, of the
 * deployable, the assembly, the service; each is told when its state is another than the one told before, so a state that was passed through between two
 * looks may be left out, and none is told twice. That an escalation is under way is seen at the incident's rule, whose name the importer made. */
#include "bridges/pacemaker-cloud/pcloud_site.h"

#include "lib/amqp/client.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define PACKAGE    "org.pacemakercloud"
#define VMS_MAX    100000
#define ESCALATES  " escalates"

typedef struct Entity {
    char *state, *name; /* name: of a VM; may be NULL */
} Entity;

struct PcloudWatch {
    PcloudSite *site;
    GHashTable *entities;       /* path → Entity: VMs and services */
    GHashTable *ids;            /* name of a VM → its id */
    GHashTable *human;          /* paths of which a human is needed */
    GHashTable *escalations;    /* ids of incidents that were told */
    AmqpReceiver *vms, *services;
    const QmfClass *deployable_event, *assembly_event, *service_event;
};

static void entity_free(void *data)
{
    Entity *entity = data;

    g_free(entity->state);
    g_free(entity->name);
    g_free(entity);
}

/* ---- events of theirs -------------------------------------------------------------------------------------------------------------------- */

static void raise_event(PcloudWatch *watch, const QmfClass *class, const PcloudApp *app, const char *assembly, const char *service, const char *state, const char *reason)
{
    const char *const texts[][2] = { { "deployable", app->name }, { "assembly", assembly }, { "service", service }, { "state", state }, { "reason", reason } };
    Value *values = value_map();

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i][1] != NULL)
            value_set(values, texts[i][0], value_string(texts[i][1]));
    log_info("%s%s%s%s%s is %s: %s", app->name, assembly != NULL ? " " : "", assembly != NULL ? assembly : "", service != NULL ? " " : "", service != NULL ? service : "",
             state, reason);
    qmf_agent_raise_event(bridge_agent_qmf(watch->site->agent), class, strcmp(state, "running") == 0 ? 6 : 4, values);
}

/* ---- what is what ------------------------------------------------------------------------------------------------------------------------ */

char *pcloud_watch_vm(const PcloudWatch *watch, const PcloudAssembly *assembly)
{
    char *id = pcloud_vm_id(assembly);

    return id != NULL ? id : g_strdup(g_hash_table_lookup(watch->ids, assembly->name));
}

static PcloudState state_of(const char *state)
{
    static const struct {
        const char *ours;
        PcloudState theirs;
    } states[] = { { "running", PCLOUD_RUNNING }, { "degraded", PCLOUD_RUNNING }, { "migrating", PCLOUD_RUNNING }, { "failed", PCLOUD_FAILED }, { "crashed", PCLOUD_FAILED },
                   { "panicked", PCLOUD_FAILED }, { "hung", PCLOUD_FAILED }, { "lost", PCLOUD_FAILED }, { "paused", PCLOUD_FAILED }, { "stopped", PCLOUD_STOPPED },
                   { "suspended", PCLOUD_STOPPED } };

    for (size_t i = 0; state != NULL && i < G_N_ELEMENTS(states); i++)
        if (strcmp(states[i].ours, state) == 0)
            return states[i].theirs;
    return PCLOUD_UNKNOWN;
}

/* On its way from one state to another: the next word counts. */
static bool is_passing(const char *state)
{
    static const char *const passing[] = { "starting", "stopping", "unknown", "rebooted", "reverted", NULL };

    return g_strv_contains(passing, state);
}

PcloudState pcloud_watch_state(const PcloudWatch *watch, const PcloudApp *app, const PcloudAssembly *assembly, const char *service)
{
    g_autofree char *id = pcloud_watch_vm(watch, assembly);
    g_autofree char *path = id == NULL ? NULL : service == NULL ? g_strconcat("vm/", id, NULL) : g_strconcat("service/", id, "/", service, NULL);
    const Entity *entity = path != NULL ? g_hash_table_lookup(watch->entities, path) : NULL;
    PcloudState state = entity != NULL ? state_of(entity->state) : PCLOUD_UNKNOWN;

    if (state != PCLOUD_RUNNING && path != NULL && !app->stopped && g_hash_table_contains(watch->human, path))
        return PCLOUD_UNRECOVERABLE;
    return state;
}

static const char *reason_of(PcloudState state, bool service)
{
    switch (state) {
    case PCLOUD_RUNNING:       return service ? "Started OK" : "All good";
    case PCLOUD_FAILED:        return service ? "monitor failed" : "Not reachable";
    case PCLOUD_STOPPED:       return "stopped";
    case PCLOUD_UNRECOVERABLE: return "a human is needed";
    default:                   return "not known";
    }
}

static PcloudState look(PcloudWatch *watch, PcloudApp *app, const PcloudAssembly *assembly, const char *service)
{
    g_autofree char *key = service == NULL ? g_strdup(assembly->name) : g_strconcat(assembly->name, "/", service, NULL);
    PcloudState now = pcloud_watch_state(watch, app, assembly, service), before = GPOINTER_TO_INT(g_hash_table_lookup(app->states, key));

    if (now == before)
        return now;
    g_hash_table_insert(app->states, g_strdup(key), GINT_TO_POINTER(now));
    raise_event(watch, service != NULL ? watch->service_event : watch->assembly_event, app, assembly->name, service, pcloud_state_name(now), reason_of(now, service != NULL));
    return now;
}

static void judge(PcloudWatch *watch, PcloudApp *app)
{
    guint running = 0, stopped = 0, human = 0, all = app->deployable->assemblies->len;
    PcloudState now;

    for (guint i = 0; i < all; i++) {
        const PcloudAssembly *assembly = app->deployable->assemblies->pdata[i];
        PcloudState state = look(watch, app, assembly, NULL);

        running += state == PCLOUD_RUNNING;
        stopped += state == PCLOUD_STOPPED;
        human += state == PCLOUD_UNRECOVERABLE;
        for (guint k = 0; k < assembly->services->len; k++)
            look(watch, app, assembly, ((const PcloudService *) assembly->services->pdata[k])->name);
    }
    now = app->stopped && running == 0 ? PCLOUD_STOPPED
          : human > 0                  ? PCLOUD_UNRECOVERABLE
          : running == all             ? PCLOUD_RUNNING
          : stopped == all             ? PCLOUD_STOPPED
                                       : PCLOUD_RECOVERING;
    if (now == app->told)
        return;
    app->told = now;
    raise_event(watch, watch->deployable_event, app, NULL, NULL, pcloud_state_name(now),
                now == PCLOUD_RUNNING ? "all assemblies active" : now == PCLOUD_STOPPED ? "stopped" : "change in assembly state");
}

void pcloud_watch_judge(PcloudWatch *watch)
{
    for (guint i = 0; i < watch->site->apps->len; i++)
        judge(watch, watch->site->apps->pdata[i]);
}

/* ---- the bus ------------------------------------------------------------------------------------------------------------------------------ */

static void hear(PcloudWatch *watch, const char *path, const char *state, const char *name)
{
    Entity *entity;
    bool is_vm = g_str_has_prefix(path, "vm/");

    if ((!is_vm && !g_str_has_prefix(path, "service/")) || is_passing(state))
        return;
    entity = g_hash_table_lookup(watch->entities, path);
    if (entity == NULL) {
        if (g_hash_table_size(watch->entities) >= VMS_MAX)
            return;
        entity = g_new0(Entity, 1);
        g_hash_table_insert(watch->entities, g_strdup(path), entity);
    }
    g_free(entity->state);
    entity->state = g_strdup(state);
    if (!is_vm || name == NULL || g_strcmp0(name, entity->name) == 0)
        return;
    g_free(entity->name);
    entity->name = g_strdup(name);
    g_hash_table_insert(watch->ids, g_strdup(name), g_strdup(path + strlen("vm/")));
}

/* "org.matahariproject.mend.vm.crashed.v1" → "crashed"; NULL: no state of a VM or service. (transfer full) */
static char *state_in(const char *type)
{
    static const char *const states[] = { "running", "failed", "stopped", "degraded", "crashed", "panicked", "hung", "paused", "suspended", "migrating", "lost", NULL };
    g_auto(GStrv) words = type != NULL ? g_strsplit(type, ".", -1) : NULL;
    guint n = words != NULL ? g_strv_length(words) : 0;

    return n >= 3 && g_strv_contains(states, words[n - 2]) ? g_strdup(words[n - 2]) : NULL;
}

static void on_message(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    PcloudWatch *watch = user;
    const char *path = amqp_message_property(message, "cloudEvents_subject");
    g_autofree char *state = state_in(amqp_message_property(message, "cloudEvents_type"));
    g_autoptr(json_t) data = NULL;
    gsize length = 0;
    const char *text = message->data != NULL ? g_bytes_get_data(message->data, &length) : NULL;

    if (state != NULL && path != NULL) {
        data = text != NULL ? json_parse(text, length, "event", NULL) : NULL;
        hear(watch, path, state, json_string_or(data, "name", NULL));
        pcloud_watch_judge(watch);
    }
    amqp_delivery_accept(delivery);
}

static void on_attached(AmqpReceiver *receiver, void *user)
{
    PcloudWatch *watch = user;

    if (receiver == watch->services) /* the second: what was said before is asked for */
        pcloud_policy_ask_entities(watch->site->policy);
}

static void on_error(AmqpReceiver *receiver, const GError *error, void *user) { log_warning("what VMs and services do is not heard of: %s", error->message); }

void pcloud_watch_entities(PcloudWatch *watch, const Value *entities)
{
    for (size_t i = 0; i < value_size(entities); i++) {
        const Value *object = value_at(entities, i), *values = value_get(object, "_values");
        const char *path = value_get_string(value_get(object, "_object_id"), "_object_name"), *state = value_get_string(values, "state");

        if (path != NULL && state != NULL)
            hear(watch, path, state, value_get_string(value_get(values, "data"), "name"));
    }
    pcloud_watch_judge(watch);
}

/* ---- incidents ------------------------------------------------------------------------------------------------------------------------------ */

static void tell_escalation(PcloudWatch *watch, const char *rule)
{
    for (guint i = 0; i < watch->site->apps->len; i++) {
        const PcloudApp *app = watch->site->apps->pdata[i];

        for (guint k = 0; k < app->deployable->assemblies->len; k++) {
            const PcloudAssembly *assembly = app->deployable->assemblies->pdata[k];
            g_autofree char *of_vm = g_strdup_printf("%s %s" ESCALATES, app->name, assembly->name), *of_service = g_strdup_printf("%s %s ", app->name, assembly->name);

            if (strcmp(rule, of_vm) == 0)
                raise_event(watch, watch->deployable_event, app, NULL, NULL, "recovering", "assembly failure escalated to deployable");
            else if (g_str_has_prefix(rule, of_service))
                raise_event(watch, watch->assembly_event, app, assembly->name, NULL, "recovering", "escalating service failure");
            else
                continue;
            return;
        }
    }
}

void pcloud_watch_incidents(PcloudWatch *watch, const json_t *incidents)
{
    g_autoptr(GHashTable) open = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    size_t i;
    json_t *incident;

    g_hash_table_remove_all(watch->human);
    json_array_foreach((json_t *) incidents, i, incident) {
        const char *id = json_string_or(incident, "id", ""), *rule = json_string_or(incident, "rule", "");

        if (strcmp(json_string_or(incident, "state", ""), "needs-human") == 0)
            g_hash_table_add(watch->human, g_strdup(json_string_or(incident, "entity", "")));
        if (!g_str_has_suffix(rule, ESCALATES))
            continue;
        if (!g_hash_table_contains(watch->escalations, id))
            tell_escalation(watch, rule);
        g_hash_table_add(open, g_strdup(id));
    }
    g_hash_table_unref(watch->escalations);
    watch->escalations = g_steal_pointer(&open);
    pcloud_watch_judge(watch);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------------------ */

static AmqpReceiver *receive(PcloudWatch *watch, AmqpClient *client, const char *filter)
{
    return amqp_receiver_new(client, &(AmqpReceiverOptions) { .address = "mend.events", .topic = true, .subject_filter = filter, .on_message = on_message,
                                                              .on_attached = on_attached, .on_error = on_error, .user = watch });
}

PcloudWatch *pcloud_watch_new(PcloudSite *site, AmqpClient *client)
{
    PcloudWatch *watch = g_new0(PcloudWatch, 1);
    const QmfSchema *schema = qmf_schema_builtin();

    watch->site = site;
    watch->entities = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entity_free);
    watch->ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    watch->human = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    watch->escalations = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    watch->deployable_event = qmf_schema_find(schema, PACKAGE, "deployable_state_change");
    watch->assembly_event = qmf_schema_find(schema, PACKAGE, "assembly_state_change");
    watch->service_event = qmf_schema_find(schema, PACKAGE, "service_state_change");
    const QmfClass *const events[] = { watch->deployable_event, watch->assembly_event, watch->service_event };
    for (size_t i = 0; i < G_N_ELEMENTS(events); i++)
        qmf_agent_add_class(bridge_agent_qmf(site->agent), events[i]);
    watch->vms = receive(watch, client, "vm.#");
    watch->services = receive(watch, client, "service.#");
    return watch;
}

void pcloud_watch_free(PcloudWatch *watch)
{
    if (watch == NULL)
        return;
    amqp_receiver_free(watch->vms);
    amqp_receiver_free(watch->services);
    g_hash_table_unref(watch->entities);
    g_hash_table_unref(watch->ids);
    g_hash_table_unref(watch->human);
    g_hash_table_unref(watch->escalations);
    g_free(watch);
}
