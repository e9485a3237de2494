#include "broker-plugin/events/normalise.h"

#include "lib/base/json.h"
#include "lib/model/entity.h"

#include <string.h>

#define NAME_MAX_BYTES 255

G_DEFINE_QUARK(mend-normalise-error-quark, normalise_error)

#define MALFORMED(...) (g_set_error(error, NORMALISE_ERROR, NORMALISE_ERROR_MALFORMED, __VA_ARGS__), false)

bool is_state_word(const char *word)
{
    size_t n = word != NULL ? strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;

    return n > 0 && n <= 32 && word[n] == '\0';
}

static const char *name_in(const Value *values, const char *key)
{
    const char *name = value_get_string(values, key);

    return name != NULL && name[0] != '\0' && strlen(name) <= NAME_MAX_BYTES ? name : NULL;
}

static const char *machine(const Origin *o) { return o->vm != NULL ? o->vm : o->agent; }

/* Of the agent's own machine, or of something in it; a host agent tells of others too. */
static bool is_of_machine(const char *entity, const char *id)
{
    const char *slash = strchr(entity, '/');
    size_t n = id != NULL ? strlen(id) : 0;

    return n > 0 && slash != NULL && strncmp(slash + 1, id, n) == 0 && (slash[1 + n] == '\0' || slash[1 + n] == '/');
}

static void add_origin(Fact *fact, const Origin *o, bool repaired)
{
    fact_say(fact, "agent", o->agent);
    if (is_of_machine(fact->entity, machine(o))) {
        fact_say(fact, "vm", o->vm);
        fact_say(fact, "hostname", o->hostname);
    }
    json_object_set_new(fact->data, "received_us", json_integer(o->received_us));
    json_object_set_new(fact->data, "repaired", json_boolean(repaired));
}

/* When it happened: as the agent says, unless its clock is plainly wrong. */
static int64_t plausible_us(int64_t said_us, int64_t received_us)
{
    return said_us > received_us - US_PER_HOUR && said_us < received_us + US_PER_MINUTE ? said_us : received_us;
}

/* JSON can say a NUL inside a text and most readers refuse it: one agent must not make its events unreadable. Texts end there. */
static void end_texts(json_t *json)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_string(json) && strlen(json_string_value(json)) != json_string_length(json))
        json_string_setn(json, json_string_value(json), strlen(json_string_value(json)));
    json_object_foreach(json, key, item)
        end_texts(item);
    json_array_foreach(json, i, item)
        end_texts(item);
}

/* A sample's numbers stand beside the rest: rules read event.balloon_bytes. */
static void spread_sample(json_t *data)
{
    g_autoptr(json_t) sample = json_incref(json_object_get(data, "sample"));
    const char *key;
    json_t *number;

    json_object_del(data, "sample");
    json_object_foreach(sample, key, number)
        if (json_is_number(number) && json_object_get(data, key) == NULL)
            json_object_set(data, key, number);
}

static Fact *fact_from(const Origin *o, const char *kind, const char *state, const char *entity, const Value *event, int64_t occurred_us)
{
    const Value *values = value_get(event, "_values");
    g_autofree char *word = g_strdup_printf("%s.%s", kind, state);
    Fact *fact = fact_new(word, entity, o->agent, plausible_us(occurred_us, o->received_us), value_to_json(values));
    int64_t severity = value_get_int(event, "_severity", -1);

    end_texts(fact->data);
    spread_sample(fact->data);
    fact->occurred_us = occurred_us;
    fact->source_sequence = (uint64_t) MAX(0, value_get_int(values, "sequence", 0));
    fact->boot_id = g_strdup(value_get_string(values, "boot_id") != NULL ? value_get_string(values, "boot_id") : o->boot_id);
    if (severity >= 0 && severity <= 7 && !fact_is_known(word))
        fact->severity = (int) severity;
    add_origin(fact, o, false);
    return fact;
}

/* KIND_state: of a service by its name on this machine, of anything else by "entity" or "id". */
static bool normalise_state(const Origin *o, const char *kind, const Value *event, Fact **ret, GError **error)
{
    const Value *values = value_get(event, "_values");
    const char *state = value_get_string(values, "state"), *name = name_in(values, "name"), *id = name_in(values, "id");
    const char *path = name_in(values, "entity");
    int64_t raised_us = value_get_int(event, "_timestamp", 0) / 1000; /* ns */
    g_autofree char *entity = NULL;
    g_autoptr(Entity) parsed = NULL;

    if (!is_state_word(state))
        return MALFORMED("%s_state.state is no word for a state", kind);
    if (strcmp(kind, "service") == 0)
        entity = name != NULL ? entity_path(ENTITY_SERVICE, machine(o), name) : NULL;
    else if (path != NULL)
        entity = g_strdup(path);
    else if (id != NULL)
        entity = g_strdup_printf("%s/%s", kind, id);
    if (entity == NULL)
        return MALFORMED("%s_state does not say of what (name, entity or id)", kind);
    parsed = entity_parse(entity, error);
    if (parsed == NULL)
        return false;
    *ret = fact_from(o, kind, state, entity, event, value_get_int(values, "occurred_us", raised_us > 0 ? raised_us : o->received_us));
    return true;
}

/* OCF return codes (resource agent API): 0 success, 7 not running, 8 running as promoted; all others are failures. */
static const char *state_of_op(const char *action, int64_t rc, int64_t expected)
{
    bool probe = strcmp(action, "monitor") == 0 || strcmp(action, "status") == 0;

    if (probe && (rc == 0 || rc == 8))
        return "running";
    if (probe && rc == 7)
        return expected == 7 ? "stopped" : "failed";
    if (strcmp(action, "start") == 0)
        return rc == 0 ? "running" : "failed";
    if (strcmp(action, "stop") == 0)
        return rc == 0 ? "stopped" : "failed";
    return probe ? "failed" : NULL;
}

static bool normalise_op(const Origin *o, const Value *event, Fact **ret, GError **error)
{
    const Value *values = value_get(event, "_values");
    const char *name = name_in(values, "name"), *action = value_get_string(values, "action"), *state, *intent = NULL;
    int64_t rc = value_get_int(values, "rc", -1), raised_us = value_get_int(event, "_timestamp", 0) / 1000; /* ns */
    g_autofree char *entity = NULL;

    if (name == NULL || action == NULL || rc < 0)
        return MALFORMED("resource_op without a name, an action or an rc");
    state = state_of_op(action, rc, value_get_int(values, "expected-rc", 0));
    if (state == NULL)
        return true;
    if (strcmp(state, "failed") == 0 && rc == 7 && o->intent != NULL)
        intent = o->intent(o->agent, name, o->user);
    if (intent != NULL)
        state = "stopped";
    entity = entity_path(ENTITY_SERVICE, machine(o), name);
    *ret = fact_from(o, "service", state, entity, event, raised_us > 0 ? raised_us : o->received_us);
    (*ret)->source_sequence = 0; /* the same for all repeats of an operation: no order in it */
    fact_say(*ret, "state", state);
    fact_say(*ret, "intent", intent != NULL ? intent : strcmp(state, "failed") == 0 ? "none" : "unknown");
    if (rc >= 194 && rc <= 199) { /* Matahari's own codes: how the operation ended */
        static const char *const reasons[] = { "signal", "not supported", "pending", "cancelled", "timeout", "could not be run" };

        fact_say(*ret, "reason", reasons[rc - 194]);
    }
    return true;
}

bool normalise_event(const Origin *origin, const Value *event, Fact **ret, GError **error)
{
    const char *class = value_get_string(value_get(event, "_schema_id"), "_class_name");
    g_autofree char *kind = NULL;

    *ret = NULL;
    if (class == NULL)
        return true;
    if (strcmp(class, "resource_op") == 0)
        return normalise_op(origin, event, ret, error);
    if (!g_str_has_suffix(class, "_state"))
        return true;
    kind = g_strndup(class, strlen(class) - strlen("_state"));
    if (!is_state_word(kind))
        return MALFORMED("\"%s\" is no word for a kind of entity", kind);
    return normalise_state(origin, kind, event, ret, error);
}

Fact *normalise_digest(const Origin *o, const char *service, const char *state)
{
    g_autofree char *entity = entity_path(ENTITY_SERVICE, machine(o), service);
    g_autofree char *kind = g_strdup_printf("service.%s", state);
    Fact *fact = fact_new(kind, entity, o->agent, o->received_us, NULL);

    fact->confidence = 0.9;
    fact->boot_id = g_strdup(o->boot_id);
    fact_say(fact, "name", service);
    fact_say(fact, "state", state);
    fact_say(fact, "intent", strcmp(state, "failed") == 0 ? "none" : "unknown");
    add_origin(fact, o, true);
    return fact;
}
