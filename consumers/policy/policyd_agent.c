/* What the engine answers when it is asked: the object "Policy" of class org.matahariproject.mend:Policy. */
#include "consumers/policy/policyd_private.h"

#include "consumers/policy/story.h"
#include "consumers/policy/why_not.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <string.h>

#define HEARTBEAT_S 10

static void answer_why(Policyd *p, QmfCall *call)
{
    const char *name = value_get_string(qmf_call_arguments(call), "entity");
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) story = name == NULL ? NULL : story_of(machine_journal(p->machine), name, &error);
    Value *outputs = value_map();

    if (story == NULL) {
        value_unref(outputs);
        qmf_call_raise(call, error == NULL ? "entity is missing" : error->message, NULL);
        return;
    }
    g_autofree char *text = story_text(story), *json = json_text(story);
    value_set(outputs, "text", value_string(text));
    value_set(outputs, "json", value_string(json));
    qmf_call_return(call, outputs);
}

static void answer_why_not(Policyd *p, QmfCall *call)
{
    const char *name = value_get_string(qmf_call_arguments(call), "entity");
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) answer = name == NULL ? NULL : why_not(machine_engine(p->machine), machine_journal(p->machine), name, &error);

    if (answer == NULL) {
        qmf_call_raise(call, error == NULL ? "entity is missing" : error->message, NULL);
        return;
    }
    g_autofree char *text = why_not_text(answer), *json = json_text(answer);
    Value *outputs = value_map();
    value_set(outputs, "text", value_string(text));
    value_set(outputs, "json", value_string(json));
    qmf_call_return(call, outputs);
}

static bool incident_told(Policyd *p, const char *entity, json_t *all)
{
    g_autoptr(json_t) story = story_of(machine_journal(p->machine), entity, NULL);
    json_t *incidents = json_object_get(story, "incidents");

    for (size_t i = 0; i < json_array_size(incidents); i++) {
        json_t *incident = json_array_get(incidents, i);

        json_object_del(incident, "lines");
        json_object_set_new(incident, "entity", json_string(entity));
        json_array_append(all, incident);
    }
    return story != NULL;
}

/* Those that ended are in the journal only. Bounded: the newest of at most 200 entities. */
static json_t *incidents_told(Policyd *p)
{
    g_auto(GStrv) entities = journal_entities(machine_journal(p->machine), "/", 200, NULL);
    json_t *all = json_array();

    for (size_t i = 0; entities != NULL && entities[i] != NULL; i++)
        incident_told(p, entities[i], all);
    return all;
}

static void answer_incidents(Policyd *p, QmfCall *call)
{
    bool open_only = false;
    Value *outputs = value_map();

    value_as_bool(value_get(qmf_call_arguments(call), "open_only"), &open_only);
    g_autoptr(json_t) incidents = open_only ? engine_incidents(machine_engine(p->machine)) : incidents_told(p);
    value_set(outputs, "incidents", value_from_json(incidents));
    qmf_call_return(call, outputs);
}

/* The open incident that is meant: by its entity's path, or by a part of it that only one has. (transfer full) */
static char *incident_meant(Policyd *p, const char *name)
{
    g_autoptr(json_t) incidents = engine_incidents(machine_engine(p->machine));
    const char *found = NULL;
    bool several = false;

    for (size_t i = 0; i < json_array_size(incidents); i++) {
        const char *entity = json_string_or(json_array_get(incidents, i), "entity", "");

        if (strcmp(entity, name) == 0)
            return g_strdup(name);
        if (strstr(entity, name) != NULL) {
            several = found != NULL;
            found = entity;
        }
    }
    return g_strdup(found == NULL || several ? name : found);
}

/* What the engine said to it: why it is refused, or what it has begun. */
static const char *answer_of(const EngineOutputs *outputs, guint from, bool *ret_refused)
{
    const char *text = "taken";

    *ret_refused = false;
    for (guint i = from; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];
        const char *record = output->kind == OUTPUT_RECORD ? json_string_or(output->json, "record", "") : "";

        *ret_refused = strcmp(record, "operator.refused") == 0;
        if (*ret_refused || g_str_has_prefix(record, "quiet.") || g_str_has_prefix(record, "asked.") || strcmp(record, "approval") == 0)
            text = json_string_or(output->json, "text", "");
        if (*ret_refused)
            break;
    }
    return text;
}

static void answer_operate(Policyd *p, QmfCall *call)
{
    static const char *const of_incident[] = { "retry", "close", "approve", "deny", NULL };
    const Value *given = qmf_call_arguments(call), *map = value_get(given, "arguments");
    const char *verb = value_get_string(given, "verb"), *entity = value_get_string(given, "entity");
    g_autoptr(json_t) arguments = map == NULL || value_type(map) != VALUE_MAP ? NULL : value_to_json(map);
    g_autofree char *target = entity == NULL || *entity == '\0' ? NULL
                              : verb != NULL && g_strv_contains(of_incident, verb) ? incident_meant(p, entity)
                                                                                   : g_strdup(entity);
    guint from = p->outputs->len;
    bool refused;

    policyd_feed(p, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = verb, .target = target, .who = value_get_string(given, "who"),
                                    .arguments = arguments },
                 NULL);
    g_autofree char *text = g_strdup(answer_of(p->outputs, from, &refused));
    policyd_commit(p);
    if (refused) {
        qmf_call_raise(call, text, NULL);
    } else {
        Value *outputs = value_map();

        value_set(outputs, "text", value_string(text));
        bus_relay(p->bus, "operate", given);
        qmf_call_return(call, outputs);
    }
}

/* @text (transfer full). */
static void answer_text(QmfCall *call, bool fine, char *text, const GError *error)
{
    Value *outputs = fine ? value_map() : NULL;

    if (fine) {
        value_set(outputs, "text", value_string(text));
        qmf_call_return(call, outputs);
    } else {
        qmf_call_raise(call, error->message, NULL);
    }
    g_free(text);
}

static void answer_load(Policyd *p, QmfCall *call)
{
    const Value *arguments = qmf_call_arguments(call);
    const char *name = value_get_string(arguments, "name"), *policy = value_get_string(arguments, "policy");
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    if (name == NULL || policy == NULL || *policy == '\0') {
        qmf_call_raise(call, "name and policy (a text that is not empty) are wanted", NULL);
        return;
    }
    bool fine = policyd_load(p, name, policy, value_get_string(arguments, "who"), &text, &error);
    if (fine)
        bus_relay(p->bus, "load", arguments);
    answer_text(call, fine, text, error);
}

static void answer_rollback(Policyd *p, QmfCall *call)
{
    const Value *arguments = qmf_call_arguments(call);
    g_autoptr(GError) error = NULL;
    char *text = NULL;
    bool fine = policyd_rollback(p, value_get_int(arguments, "number", 0), value_get_string(arguments, "who"), &text, &error);

    answer_text(call, fine, text, error);
}

static void answer_versions(Policyd *p, QmfCall *call)
{
    g_autoptr(json_t) versions = policyd_versions(p);
    Value *outputs = value_map();

    value_set(outputs, "versions", value_from_json(versions));
    qmf_call_return(call, outputs);
}

static void answer_version(Policyd *p, QmfCall *call)
{
    g_autofree char *name = NULL, *text = NULL;
    g_autoptr(GError) error = NULL;

    if (!policyd_version(p, value_get_int(qmf_call_arguments(call), "number", 0), &name, &text, &error)) {
        qmf_call_raise(call, error->message, NULL);
        return;
    }
    Value *outputs = value_map();
    value_set(outputs, "name", value_string(name));
    value_set(outputs, "policy", value_string(text));
    qmf_call_return(call, outputs);
}

static const struct {
    const char *method;
    void (*answer)(Policyd *, QmfCall *);
} policy_methods[] = { { "load", answer_load }, { "rollback", answer_rollback }, { "versions", answer_versions }, { "version", answer_version } };

static bool on_policy_method(QmfCall *call, Policyd *p)
{
    for (size_t i = 0; i < G_N_ELEMENTS(policy_methods); i++)
        if (strcmp(qmf_call_method(call), policy_methods[i].method) == 0) {
            policy_methods[i].answer(p, call);
            return true;
        }
    return false;
}

static void on_method(QmfCall *call, void *user)
{
    const char *method = qmf_call_method(call);

    if (on_policy_method(call, user))
        return;
    if (strcmp(method, "why") == 0) {
        answer_why(user, call);
    } else if (strcmp(method, "why_not") == 0) {
        answer_why_not(user, call);
    } else if (strcmp(method, "incidents") == 0) {
        answer_incidents(user, call);
    } else if (strcmp(method, "operate") == 0) {
        answer_operate(user, call);
    } else {
        g_autoptr(json_t) status = policyd_status(user);
        Value *outputs = value_map();

        value_set(outputs, "status", value_from_json(status));
        qmf_call_return(call, outputs);
    }
}

void policy_agent_start(Policyd *p, QmfSession *session)
{
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject.mend", "Policy");
    /* Its number of starts: seconds of the clock grow with each, and nothing has to be kept for it. */
    QmfAgent *agent = qmf_session_agent(session, &(QmfAgentOptions){ .vendor = "matahariproject.org", .product = "mend-policy",
                                                                     .instance = p->name, .epoch = (uint32_t) (p->base_wall_us / US_PER_S),
                                                                     .heartbeat_interval_s = HEARTBEAT_S });
    Value *values = value_map();

    g_assert(class != NULL); /* a schema of ours, compiled in */
    value_set(values, "name", value_string(p->name));
    value_set(values, "epoch", value_uint(VALUE_UINT64, engine_epoch(machine_engine(p->machine))));
    qmf_agent_add_class(agent, class);
    qmf_agent_add_object(agent, class, "Policy", values);
    qmf_agent_on_method(agent, class, on_method, p);
    qmf_session_agent_start(session);
}
