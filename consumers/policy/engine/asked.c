/* A person's word weighs more than what was on purpose before: who starts an application wants all of it, also what somebody had stopped in it.
 * While its last plan still has something under way the other wish is refused: a VM that is on its way down looks as if it ran. */
#include "consumers/policy/engine/asked.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/id.h"
#include "lib/base/json.h"

#include <string.h>

#define ASKING_START "asked to start"
#define ASKING_STOP  "asked to stop"

void stopped_app_free(StoppedApp *app)
{
    if (app == NULL)
        return;
    g_free(app->name);
    g_free(app->who);
    g_free(app->comment);
    g_free(app);
}

static const Application *application_named(const Engine *engine, const char *name)
{
    for (guint i = 0; i < engine->policy->applications->len; i++)
        if (strcmp(((const Application *) engine->policy->applications->pdata[i])->name, name) == 0)
            return engine->policy->applications->pdata[i];
    return NULL;
}

static StoppedApp *stopped_named(const Engine *engine, const char *name)
{
    for (guint i = 0; i < engine->stopped->len; i++)
        if (strcmp(((const StoppedApp *) engine->stopped->pdata[i])->name, name) == 0)
            return engine->stopped->pdata[i];
    return NULL;
}

static const Application *application_of(Engine *engine, const EntityState *entity)
{
    const Application *app = NULL;

    return app_vm_of_any(engine, entity, &app) == NULL ? NULL : app;
}

const StoppedApp *stopped_app_of(Engine *engine, const EntityState *entity)
{
    const Application *app = engine->stopped->len == 0 ? NULL : application_of(engine, entity);

    return app == NULL ? NULL : stopped_named(engine, app->name);
}

bool incident_is_asked(const Engine *engine, const Incident *incident)
{
    const Rule *rule = policy_rule(engine->policy, incident->rule);

    return rule != NULL && rule->asked;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------------- */

static bool has_items_under_way(const Incident *incident)
{
    for (guint i = 0; incident->plan != NULL && i < incident->plan->items->len; i++)
        if (sequence_item(incident->plan, i)->state == ITEM_RUNNING)
            return true;
    return false;
}

/* NULL: *ret_why. */
static EntityState *app_asked_for(Stage *s, const char *target, const char *verb, const char *who, char **ret_why)
{
    EntityState *entity = NULL;

    if (target == NULL || !g_str_has_prefix(target, "app/"))
        *ret_why = g_strdup("app/NAME is wanted, an application of the policy");
    else if (application_named(s->engine, target + strlen("app/")) == NULL)
        *ret_why = g_strdup_printf("the policy has no %s", target);
    else if ((entity = entity_ensure(s->engine, target)) == NULL)
        *ret_why = g_strdup("there are too many entities");
    else if (s->engine->epoch != 0 && entity->incident != NULL && has_items_under_way(entity->incident)) { /* else another engine acts, and has agreed */
        *ret_why = g_strdup_printf("it is %s, and something of that is under way: ask again when it is through", entity->state);
        entity = NULL;
    }
    if (entity != NULL && entity->incident != NULL) {
        g_autofree char *why = g_strdup_printf("%s asks for a %s now", who == NULL ? "an operator" : who, verb);

        incident_close(s, entity->incident, INCIDENT_STOOD_DOWN, why);
    }
    return entity;
}

static int by_number(gconstpointer a, gconstpointer b)
{
    const Incident *left = *(const Incident *const *) a, *right = *(const Incident *const *) b;

    return left->number < right->number ? -1 : left->number > right->number;
}

static void incidents_end(Stage *s, const Application *app, const char *who)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    g_autofree char *why = g_strdup_printf("its application is stopped by %s", who == NULL ? "an operator" : who);

    for (GList *l = s->engine->incidents.head; l != NULL; l = l->next)
        if (application_of(s->engine, ((const Incident *) l->data)->entity) == app)
            g_ptr_array_add(all, l->data);
    g_ptr_array_sort(all, by_number);
    for (guint i = 0; i < all->len; i++)
        if (!incident_is_closed(all->pdata[i])) /* another's end may have closed it */
            incident_close(s, all->pdata[i], INCIDENT_STOOD_DOWN, why);
}

/* Nothing of it is down on purpose any more. */
static void all_is_wanted(Engine *engine, const Application *app)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, engine->entities);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        EntityState *entity = value;

        if (intent_is_wanted(entity->intent) && application_of(engine, entity) == app)
            text_set(&entity->intent, "command");
    }
}

/* Its VMs that no host agent has told of; "" if there are none. Caller frees. */
static char *not_known(Engine *engine, const Application *app)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < app->vms->len; i++)
        if (entity_of_app_vm(engine, app->vms->pdata[i]) == NULL)
            g_string_append_printf(text, "%s%s", text->len == 0 ? "; no host agent has told of " : ", ", ((const AppVm *) app->vms->pdata[i])->name);
    return g_string_free(text, FALSE);
}

static guint count_items(Stage *s, EntityState *entity, const Rule *rule)
{
    g_auto(Deed) deed = { .target = entity, .hopeless = NO_ITEM };
    Sequence *plan = plan_build(s, rule->ladder->pdata[0], &deed);
    guint n = plan == NULL ? 0 : plan->items->len;

    sequence_free(plan);
    return n;
}

static void begin(Stage *s, EntityState *entity, const Rule *rule, const char *verb)
{
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT, s->engine->now_us), *number = g_strdup_printf("%" G_GUINT64_FORMAT, s->engine->next_number);
    char id[UUID_TEXT_SIZE];
    EventFields fields = { .id = id, .kind = rule->on, .source = "mend-policy", .entity = entity->path, .time_us = s->engine->now_us, .severity = 5, .confidence = 1 };

    id_derive(id, "asked", verb, entity->path, now, number, NULL);
    g_autoptr(Event) event = event_new(&fields);
    incident_open(s, entity, rule, event, json_object());
}

static const Rule *rule_of(Stage *s, const char *verb)
{
    return policy_rule(s->engine->policy, strcmp(verb, "start") == 0 ? ASKED_START : ASKED_STOP);
}

/* @entity is as it is to be from now on. */
static void ask(Stage *s, EntityState *entity, const char *verb, const char *who, const char *comment)
{
    const Application *app = application_named(s->engine, entity_id(entity));
    const Rule *rule = rule_of(s, verb);
    g_autofree char *unknown = not_known(s->engine, app), *record = g_strdup_printf("asked.%s", verb);
    guint n = count_items(s, entity, rule);

    text_set(&entity->state, strcmp(verb, "start") == 0 ? ASKING_START : ASKING_STOP);
    entity->since_us = s->engine->now_us;
    if (s->engine->epoch == 0) {
        put_record(s, record, NULL, entity->path, json_pack("{s:s*, s:s*}", "who", who, "comment", comment), "%s is %s; the engine that acts does it",
                   entity->path, entity->state);
        return;
    }
    if (n == 0) {
        text_set(&entity->state, strcmp(verb, "start") == 0 ? "started" : "stopped");
        put_record(s, record, NULL, entity->path, json_pack("{s:s*, s:s*}", "who", who, "comment", comment), "%s is %s: nothing is left to do for that%s",
                   entity->path, entity->state, unknown);
        return;
    }
    put_record(s, record, NULL, entity->path, json_pack("{s:s*, s:s*, s:i}", "who", who, "comment", comment, "items", (int) n), "%s is %s: %u things to do%s",
               entity->path, entity->state, n, unknown);
    begin(s, entity, rule, verb);
}

bool asked_start(Stage *s, const char *target, const char *who, const json_t *arguments, char **ret_why)
{
    EntityState *entity = app_asked_for(s, target, "start", who, ret_why);
    guint index;

    if (entity == NULL)
        return false;
    if (g_ptr_array_find(s->engine->stopped, stopped_named(s->engine, entity_id(entity)), &index))
        g_ptr_array_remove_index(s->engine->stopped, index);
    all_is_wanted(s->engine, application_named(s->engine, entity_id(entity)));
    ask(s, entity, "start", who, json_string_or(arguments, "comment", NULL));
    return true;
}

bool asked_stop(Stage *s, const char *target, const char *who, const json_t *arguments, char **ret_why)
{
    EntityState *entity = app_asked_for(s, target, "stop", who, ret_why);
    const char *comment = json_string_or(arguments, "comment", NULL);
    StoppedApp *stopped = entity == NULL ? NULL : stopped_named(s->engine, entity_id(entity));

    if (entity == NULL)
        return false;
    if (stopped == NULL) {
        stopped = g_new0(StoppedApp, 1);
        stopped->name = g_strdup(entity_id(entity));
        stopped->since_us = s->engine->now_us;
        g_ptr_array_add(s->engine->stopped, stopped);
    }
    text_set(&stopped->who, who);
    text_set(&stopped->comment, comment);
    incidents_end(s, application_named(s->engine, stopped->name), who);
    ask(s, entity, "stop", who, comment);
    return true;
}

/* What the engine that acted before may have left half done. What is older has ended, and what has changed since may be meant so. */
void asked_taken_over(Stage *s)
{
    const Engine *engine = s->engine;

    for (guint i = 0; i < engine->policy->applications->len; i++) {
        g_autofree char *path = g_strconcat("app/", ((const Application *) engine->policy->applications->pdata[i])->name, NULL);
        EntityState *entity = entity_find(s->engine, path);
        const char *verb = entity == NULL ? NULL : g_strcmp0(entity->state, ASKING_START) == 0 ? "start" : g_strcmp0(entity->state, ASKING_STOP) == 0 ? "stop" : NULL;

        if (verb == NULL || entity->incident != NULL || engine->now_us - entity->since_us >= engine->policy->hold_max_us)
            continue;
        if (count_items(s, entity, rule_of(s, verb)) > 0)
            begin(s, entity, rule_of(s, verb), verb);
    }
}

void asked_done(Stage *s, Incident *incident)
{
    text_set(&incident->entity->state, strcmp(incident->rule, ASKED_START) == 0 ? "started" : "stopped");
    incident->entity->since_us = s->engine->now_us;
    incident_close(s, incident, INCIDENT_RESOLVED, "all of it is done, as it was asked for");
}

void asked_of_policy(Stage *s)
{
    for (guint i = s->engine->stopped->len; i-- > 0;)
        if (application_named(s->engine, ((const StoppedApp *) s->engine->stopped->pdata[i])->name) == NULL)
            g_ptr_array_remove_index(s->engine->stopped, i);
    for (GList *l = s->engine->incidents.head, *next; l != NULL; l = next) {
        Incident *incident = l->data;

        next = l->next;
        if (incident_is_asked(s->engine, incident) && application_named(s->engine, entity_id(incident->entity)) == NULL)
            incident_close(s, incident, INCIDENT_SUPERSEDED, "the policy has this application no more");
    }
}

/* ---- keeping ------------------------------------------------------------------------------------------------------------------------ */

json_t *stopped_apps_to_json(const Engine *engine)
{
    json_t *all = json_array();

    for (guint i = 0; i < engine->stopped->len; i++) {
        const StoppedApp *app = engine->stopped->pdata[i];

        json_array_append_new(all, json_pack("{s:s, s:s*, s:s*, s:I}", "name", app->name, "who", app->who, "comment", app->comment, "since_us",
                                             (json_int_t) app->since_us));
    }
    return all;
}

void stopped_apps_from_json(Engine *engine, const json_t *all)
{
    size_t i;
    json_t *json;

    json_array_foreach((json_t *) all, i, json) {
        StoppedApp *app = g_new0(StoppedApp, 1);

        app->name = g_strdup(json_string_or(json, "name", ""));
        app->who = g_strdup(json_string_or(json, "who", NULL));
        app->comment = g_strdup(json_string_or(json, "comment", NULL));
        app->since_us = json_int_or(json, "since_us", 0);
        g_ptr_array_add(engine->stopped, app);
    }
}
