/* The engine's side of the bus: two receivers, one sender per control queue, and a QMF console to the plugin for the claim and for what
 * is true now.
 *
 * At each connect: find the plugin's agent, look who acts, claim if nobody else does, and only then ask for the entities; the answers
 * are fed as what is true. The same question follows a gap in the numbers of the events. While another engine acts this one stands
 * by and looks again now and then: two engines that take the seat from each other would help nobody. */
#include "consumers/policy/policyd_private.h"

#include "consumers/common/event_message.h"
#include "consumers/policy/crash.h"
#include "consumers/policy/engine/id.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/model/entity.h"
#include "lib/model/shard.h"

#include <string.h>

#define SENDERS_MAX 20000
#define ASK_TIMEOUT_US (5 * US_PER_S)
#define RETRY_MS 1000
#define SHARDS(bus) shards_count((bus)->p->shards)
#define ACTING(bus) (engine_epoch(machine_engine((bus)->p->machine)) != 0)
#define GUEST_OBJECT "Guest"
#define HOST_OBJECT  "Hypervisor"
#define MEND_PACKAGE "org.matahariproject.mend"

struct Bus {
    Policyd *p;
    AmqpClient *client;
    QmfSession *session;
    QmfConsole *console;
    AmqpReceiver *events, *results;
    AmqpReceiver *own_results; /* with shards: a copy for each engine, which takes those of its commands */
    GHashTable *senders;   /* agent -> AmqpSender */
    char *broker;          /* the plugin's agent; NULL: not found yet */
    char *last_problem;    /* told already; NULL: none */
    bool open, claiming, standing_by, asking, ask_again;
    GSource *retry;
};

static void claim(Bus *bus);

/* --- what is true now --- */

static const char *kind_prefix(const Entity *entity, const char *state)
{
    if (entity->kind == ENTITY_HOST && (strcmp(state, "fault") == 0 || strcmp(state, "well") == 0))
        return "observer";
    return entity_kind_name(entity->kind);
}

static void feed_entity(Bus *bus, const Value *object)
{
    const Value *values = value_get(object, "_values");
    const char *path = value_get_string(value_get(object, "_object_id"), "_object_name"), *state = value_get_string(values, "state");
    const char *known, *source = value_get_string(values, "source");
    uint64_t sequence = 0, known_sequence;
    char id[UUID_TEXT_SIZE];

    if (path == NULL || state == NULL || !value_as_uint(value_get(values, "sequence"), &sequence))
        return;
    if (engine_entity(machine_engine(bus->p->machine), path, &known, &known_sequence) &&
        (sequence < known_sequence || (sequence == known_sequence && strcmp(known, state) == 0)))
        return;
    g_autoptr(Entity) entity = entity_parse(path, NULL);
    if (entity == NULL || entity->kind == ENTITY_APP)
        return;
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, sequence);
    g_autofree char *kind = g_strdup_printf("%s.%s", kind_prefix(entity, state), state);
    g_autoptr(json_t) data = value_get(values, "data") == NULL ? json_object() : value_to_json(value_get(values, "data"));
    if (!json_is_object(data))
        return;
    id_derive(id, "entity", path, number, state, NULL);
    const EventFields fields = { .id = id, .kind = kind, .source = source == NULL ? bus->broker : source, .entity = path,
                                 .time_us = value_get_int(values, "since_us", policyd_wall_us(bus->p)), .sequence = sequence, .severity = 6,
                                 .boot_id = json_string_or(data, "boot_id", NULL), .confidence = 1, .data = data };
    g_autoptr(Event) made = event_new(&fields);
    g_autoptr(json_t) json = event_to_json(made);
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = event_from_json(json, &error); /* as the journal will read it: nothing enters that could not come back */
    if (event == NULL) {
        log_warning("policy: what is said of %s is broken: %s", path, error->message);
        return;
    }
    policyd_feed(bus->p, &(EngineInput){ .kind = INPUT_ENTITY, .event = event }, NULL);
}

static void ask(Bus *bus);

static void on_entities(const Value *answer, const GError *error, void *user)
{
    Bus *bus = user;

    bus->asking = false;
    if (error != NULL) {
        if (bus->open)
            log_warning("policy: what is true now could not be asked: %s", error->message);
        return;
    }
    for (size_t i = 0; i < value_size(answer); i++)
        feed_entity(bus, value_at(answer, i));
    if (bus->ask_again)
        ask(bus);
}

void bus_ask(Bus *bus)
{
    ask(bus);
}

static void ask(Bus *bus)
{
    bus->ask_again = bus->asking;
    if (bus->asking || bus->broker == NULL)
        return;
    bus->asking = true;
    qmf_console_query_objects(bus->console, bus->broker, MEND_PACKAGE, "Entity", NULL, ASK_TIMEOUT_US, on_entities, bus);
}

/* --- what is monitored by agents that know only QMF --- */

/* One that refers to another VM is known only when a command is made. */
static bool parameters_are_plain(const json_t *parameters)
{
    const char *name;
    const json_t *value;

    json_object_foreach((json_t *) parameters, name, value)
        if (json_is_string(value) && strstr(json_string_value(value), "${") != NULL)
            return false;
    return true;
}

static void add_text(Value *map, const char *key, const char *text)
{
    if (text != NULL)
        value_set(map, key, value_string(text));
}

static Value *watched(const AppVm *vm, const AppService *service)
{
    Value *map = value_map();

    add_text(map, "vm", vm->match_id);
    add_text(map, "hostname", vm->match_name);
    add_text(map, "name", service->name);
    add_text(map, "standard", service->standard);
    add_text(map, "provider", service->provider);
    add_text(map, "agent", service->agent);
    if (service->parameters != NULL)
        value_set(map, "parameters", value_from_json(service->parameters));
    return map;
}

static bool is_watchable(const AppService *service)
{
    static const char *const standards[] = { "systemd", "lsb", "ocf", NULL }; /* what Matahari has */

    return g_strv_contains(standards, service->standard) && parameters_are_plain(service->parameters);
}

static void on_watched(const Value *answer, const GError *error, void *user)
{
    const Bus *bus = user;

    if (error != NULL && bus->open)
        log_warning("policy: what Matahari's agents are to monitor could not be told: %s", error->message);
}

void bus_watch(Bus *bus)
{
    if (bus == NULL || !bus->open || bus->broker == NULL || !ACTING(bus))
        return;
    const GPtrArray *applications = engine_policy(machine_engine(bus->p->machine))->applications;
    g_autoptr(Value) site = qmf_object_id(bus->broker, "Site", 0), arguments = value_map();
    Value *services = value_list();

    for (guint i = 0; i < applications->len; i++) {
        const Application *application = applications->pdata[i];

        for (guint k = 0; k < application->vms->len; k++) {
            const AppVm *vm = application->vms->pdata[k];

            for (guint n = 0; n < vm->services->len; n++)
                if (is_watchable(vm->services->pdata[n]))
                    value_append(services, watched(vm, vm->services->pdata[n]));
        }
    }
    value_set(arguments, "services", services);
    qmf_console_call(bus->console, bus->broker, site, "watch", arguments, ASK_TIMEOUT_US, on_watched, bus);
}

/* --- the right to act --- */

static gboolean on_retry(gpointer user)
{
    Bus *bus = user;

    g_clear_pointer(&bus->retry, g_source_unref);
    if (!ACTING(bus) || SHARDS(bus) > 0)
        claim(bus);
    return G_SOURCE_REMOVE;
}

static void retry_later(Bus *bus)
{
    if (bus->retry != NULL || !bus->open)
        return;
    bus->retry = g_timeout_source_new(RETRY_MS);
    g_source_set_callback(bus->retry, on_retry, bus, NULL);
    g_source_attach(bus->retry, g_main_context_get_thread_default());
}

static void on_claimed(const Value *answer, const GError *error, void *user)
{
    Bus *bus = user;
    uint64_t epoch = 0;

    bus->claiming = bus->standing_by = false;
    if (!bus->open)
        return;
    if (error != NULL || !value_as_uint(value_get(answer, "epoch"), &epoch) || epoch == 0) {
        log_warning("policy: the right to act was not given: %s", error == NULL ? "the answer has no epoch" : error->message);
        retry_later(bus);
        return;
    }
    if (bus->retry != NULL) { /* one claim is enough: each ends the commands of the one before */
        g_source_destroy(bus->retry);
        g_clear_pointer(&bus->retry, g_source_unref);
    }
    log_notice("policy: %s acts, epoch %" G_GUINT64_FORMAT, bus->p->name, epoch);
    policyd_feed(bus->p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = epoch, .shards = SHARDS(bus) }, NULL);
    bus_watch(bus);
    ask(bus);
    if (SHARDS(bus) > 0)
        retry_later(bus);
}

static void on_result(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user);
static void on_receiver_error(AmqpReceiver *receiver, const GError *error, void *user);

static void look_at_shards(Bus *bus, const Value *site)
{
    shards_look(bus->p->shards, site);
    if (SHARDS(bus) == 0 || bus->own_results != NULL)
        return;
    g_autofree char *address = g_strdup_printf(RESULTS_ADDRESS ".policy-%s", bus->p->name);
    bus->own_results = amqp_receiver_new(bus->client, &(AmqpReceiverOptions){ .address = address, .credit = 500, .on_message = on_result,
                                                                              .on_error = on_receiver_error, .user = bus });
}

void bus_claim(Bus *bus, unsigned shard, QmfAnswerFn done, void *user)
{
    g_autoptr(Value) site = qmf_object_id(bus->broker, "Site", 0), arguments = value_map();

    value_set(arguments, "engine", value_string(bus->p->name));
    if (shard != SHARD_SITE)
        value_set(arguments, "shard", value_uint(VALUE_UINT32, shard));
    qmf_console_call(bus->console, bus->broker, site, "claim", arguments, ASK_TIMEOUT_US, done, user);
}

static void on_site(const Value *answer, const GError *error, void *user)
{
    Bus *bus = user;
    const Value *object = value_type(answer) == VALUE_LIST ? value_at(answer, 0) : answer;
    const char *engine = error != NULL ? NULL : value_get_string(value_get(object, "_values"), "engine");

    if (bus->open && error == NULL)
        look_at_shards(bus, value_get(object, "_values"));
    if (!bus->open) {
        bus->claiming = false;
    } else if (engine != NULL && *engine != '\0' && strcmp(engine, bus->p->name) != 0) {
        if (ACTING(bus)) /* it lost the seat and was not told */
            policyd_feed(bus->p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 0, .shards = SHARDS(bus) }, NULL);
        if (!bus->standing_by)
            log_notice("policy: %s acts, %s stands by", engine, bus->p->name);
        bus->claiming = false;
        bus->standing_by = true;
        retry_later(bus);
    } else if (SHARDS(bus) > 0 && ACTING(bus) && engine != NULL && *engine != '\0') {
        bus->claiming = false; /* a look at the shards only */
    } else {
        bus_claim(bus, SHARD_SITE, on_claimed, bus);
    }
    if (SHARDS(bus) > 0)
        retry_later(bus);
}

static void claim(Bus *bus)
{
    if (bus->claiming || !bus->open)
        return;
    if (bus->broker == NULL) {
        qmf_console_locate(bus->console, NULL);
        retry_later(bus);
        return;
    }
    bus->claiming = true;
    qmf_console_query_object(bus->console, bus->broker, "Site", ASK_TIMEOUT_US, on_site, bus);
}

static void on_agent_found(const char *agent, const Value *attributes, void *user)
{
    Bus *bus = user;

    if (!g_str_has_prefix(agent, BROKER_AGENT_PREFIX))
        return;
    if (g_strcmp0(bus->broker, agent) != 0) {
        g_free(bus->broker);
        bus->broker = g_strdup(agent);
    }
    if (!ACTING(bus))
        claim(bus);
}

static void on_agent_restarted(const char *agent, const Value *attributes, void *user)
{
    if (g_str_has_prefix(agent, BROKER_AGENT_PREFIX))
        claim(user);
}

static void on_ready(void *user)
{
    claim(user);
}

static void on_state(AmqpClient *client, AmqpState state, const GError *why, void *user)
{
    Bus *bus = user;
    bool was_open = bus->open;

    bus->open = state == AMQP_STATE_OPEN;
    keeper_use(bus->p->keeper, bus->open ? bus->console : NULL);
    if (bus->open) {
        g_clear_pointer(&bus->last_problem, g_free);
        qmf_session_when_ready(bus->session, on_ready, bus);
        return;
    }
    if (why != NULL && g_strcmp0(bus->last_problem, why->message) != 0) { /* once, not at each try */
        log_warning("policy: the broker is not there: %s", why->message);
        g_free(bus->last_problem);
        bus->last_problem = g_strdup(why->message);
    }
    if (was_open) {
        policyd_feed(bus->p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 0, .shards = engine_shards(machine_engine(bus->p->machine)) }, NULL);
        shards_leave(bus->p->shards);
    }
}

/* --- in --- */

static void on_event(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    Bus *bus = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(Event) event = event_from_message(message, &error);
    uint64_t before = engine_sequence(machine_engine(bus->p->machine));

    if (event == NULL) {
        log_warning("policy: an event is broken: %s", error->message);
        amqp_delivery_reject(delivery, "mend:broken-event", error->message);
        return;
    }
    if (g_str_has_prefix(event_fields(event)->kind, "service.failed"))
        crash_at(CRASH_EVENT_TAKEN);
    policyd_feed(bus->p, &(EngineInput){ .kind = INPUT_EVENT, .event = event }, delivery);
    if (g_str_has_prefix(event_fields(event)->kind, "vm."))
        keeper_event(bus->p->keeper, event);
    uint64_t after = engine_sequence(machine_engine(bus->p->machine));
    if (before != 0 && (after > before + 1 || after < before)) {
        log_info("policy: events %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " are missing: asking what is true", before + 1, after - 1);
        ask(bus);
    }
}

static void on_result(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    Bus *bus = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(Result) result = result_from_message(message, &error);

    if (result == NULL) {
        log_warning("policy: a result is broken: %s", error->message);
        amqp_delivery_reject(delivery, "mend:broken-result", error->message);
        return;
    }
    if (result->state != RESULT_PROGRESS)
        crash_at(CRASH_RESULT_TAKEN);
    /* With shards all results come to all engines, and those of mend.results a second time to the site's. */
    if (SHARDS(bus) > 0 && (receiver == bus->results || (!ACTING(bus) && !engine_awaits(machine_engine(bus->p->machine), result->command_id)))) {
        amqp_delivery_accept(delivery);
        return;
    }
    bool stale = result->state == RESULT_REFUSED && g_strcmp0(result->error, COMMAND_ERROR_STALE_EPOCH) == 0;
    policyd_feed(bus->p, &(EngineInput){ .kind = INPUT_RESULT, .result = result }, delivery);
    if (stale) /* on another broker the gate's word comes this way */
        retry_later(bus);
}

static void on_receiver_error(AmqpReceiver *receiver, const GError *error, void *user)
{
    log_warning("policy: %s", error->message);
}

/* --- out --- */

typedef struct Sent {
    Bus *bus;
    char *command, *incident, *agent;
} Sent;

/* The broker's word about a command it would not take stands for the agent's. */
static void refused(Bus *bus, const Sent *sent, const char *text)
{
    bool stale = strstr(text, COMMAND_ERROR_STALE_EPOCH) != NULL, late = strstr(text, COMMAND_ERROR_DEADLINE) != NULL;
    Result result = { .command_id = sent->command, .incident = sent->incident, .agent = sent->agent, .state = RESULT_REFUSED,
                      .error = (char *) (stale  ? COMMAND_ERROR_STALE_EPOCH
                                         : late ? COMMAND_ERROR_DEADLINE
                                                : COMMAND_ERROR_UNREACHABLE),
                      .text = (char *) text };

    policyd_feed(bus->p, &(EngineInput){ .kind = INPUT_RESULT, .result = &result }, NULL);
    if (stale)
        retry_later(bus);
}

static void on_sent(const GError *error, void *user)
{
    Sent *sent = user;

    if (error == NULL) {
        crash_at(CRASH_COMMAND_SENT);
    } else if (!g_error_matches(error, AMQP_ERROR, AMQP_ERROR_CANCELLED)) {
        log_warning("policy: command %s for %s: %s", sent->command, sent->agent, error->message);
        if (g_error_matches(error, AMQP_ERROR, AMQP_ERROR_REJECTED) || g_error_matches(error, AMQP_ERROR, AMQP_ERROR_DENIED))
            refused(sent->bus, sent, error->message);
    }
    g_free(sent->command);
    g_free(sent->incident);
    g_free(sent->agent);
    g_free(sent);
}

static void on_sender_error(AmqpSender *sender, const GError *error, void *user)
{
    log_info("policy: a control queue is not there: %s", error->message); /* the command's own deadline decides */
}

static AmqpSender *sender_to(Bus *bus, const char *agent)
{
    AmqpSender *sender = g_hash_table_lookup(bus->senders, agent);

    if (sender != NULL)
        return sender;
    if (g_hash_table_size(bus->senders) >= SENDERS_MAX)
        g_hash_table_remove_all(bus->senders);
    g_autofree char *address = g_strconcat(CONTROL_PREFIX, agent, NULL);
    sender = amqp_sender_new(bus->client, &(AmqpSenderOptions){ .address = address, .on_error = on_sender_error, .user = bus });
    g_hash_table_insert(bus->senders, g_strdup(agent), sender);
    return sender;
}

/* "service.restart" is the method "restart" of a guest agent, "vm.set-memory" is "vm_set_memory" of a host agent. Caller frees. */
static char *method_of(const Command *command, const char **ret_object)
{
    bool of_guest = g_str_has_prefix(command->action, "service.");

    *ret_object = of_guest ? GUEST_OBJECT : HOST_OBJECT;
    return g_strdelimit(g_strdup(command->action + (of_guest ? strlen("service.") : 0)), ".-", '_');
}

static bool has_argument(const QmfMethod *method, const char *name)
{
    for (size_t i = 0; i < method->n_arguments; i++)
        if (strcmp(method->arguments[i].name, name) == 0)
            return true;
    return false;
}

/* Its arguments in the widths the schema declares. */
static Value *request_body(const Bus *bus, const Command *command, GError **error)
{
    const char *object;
    g_autofree char *name = method_of(command, &object);
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), MEND_PACKAGE, object);
    const QmfMethod *method = class == NULL ? NULL : qmf_class_method(class, name);
    g_autoptr(json_t) filled = keeper_fill_in(bus->p->keeper, command->arguments);
    g_autoptr(Value) arguments = value_from_json(filled);

    if (method == NULL) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_UNKNOWN, "no method does %s", command->action);
        return NULL;
    }
    if (has_argument(method, "intent") && value_get(arguments, "intent") == NULL)
        value_set(arguments, "intent", value_string("command"));
    Value *conformed = qmf_values_conform(method->arguments, method->n_arguments, QMF_DIR_IN, arguments, error);
    if (conformed == NULL)
        return NULL;
    Value *body = value_map();
    value_set(body, "_object_id", qmf_object_id(command->agent, object, 0));
    value_set(body, "_method_name", value_string(name));
    value_set(body, "_arguments", conformed);
    return body;
}

static AmqpMessage *request_message(const Bus *bus, const Command *command, int64_t deadline_ms, int64_t left_us, GError **error)
{
    g_autoptr(QmfMessage) request = qmf_message_new(QMF_METHOD_REQUEST);

    request->body = request_body(bus, command, error);
    if (request->body == NULL)
        return NULL;
    request->subject = g_strdup(command->agent);
    request->reply_to = g_strdup(RESULTS_ADDRESS);
    request->correlation_id = g_strdup(command->id);
    request->extra = value_map();
    value_set(request->extra, "mend.command-id", value_string(command->id));
    value_set(request->extra, "mend.epoch", value_uint(VALUE_UINT64, command->epoch));
    if (command->shard != SHARD_SITE) {
        value_set(request->extra, "mend.shard", value_int(VALUE_INT64, command->shard));
        value_set(request->extra, "mend.group", value_string(command->group));
    }
    value_set(request->extra, "mend.deadline", value_int(VALUE_INT64, deadline_ms));
    value_set(request->extra, "mend.incident", value_string(command->incident));
    value_set(request->extra, "mend.entity", value_string(command->entity));
    AmqpMessage *message = qmf_message_to_amqp(request);
    message->durable = true;
    message->ttl_ms = (uint32_t) CLAMP(left_us / US_PER_MS, 1, G_MAXUINT32);
    return message;
}

void bus_send(Bus *bus, const Command *command)
{
    g_autoptr(GError) error = NULL;
    int64_t left_us = command->deadline_ms * US_PER_MS - policyd_wall_us(bus->p); /* in the engine's time, which is not the wall's */

    if (left_us <= 0)
        return; /* its deadline is at hand in the engine too */
    g_autoptr(AmqpMessage) message = request_message(bus, command, (clock_wall_us() + left_us) / US_PER_MS, left_us, &error);
    Sent *sent = g_new0(Sent, 1);
    *sent = (Sent){ bus, g_strdup(command->id), g_strdup(command->incident), g_strdup(command->agent) };
    if (message != NULL &&
        amqp_sender_send(sender_to(bus, command->agent), message, clock_now_us() + left_us, on_sent, sent, &error))
        return;
    on_sent(error, sent);
}

static void on_relayed(const Value *answer, const GError *error, void *user)
{
    g_autofree char *engine = user;

    if (error != NULL)
        log_warning("policy: what was asked of this engine could not be asked of %s, who acts for a shard: %s", engine, error->message);
}

void bus_relay(Bus *bus, const char *method, const Value *arguments)
{
    if (bus == NULL || !bus->open || SHARDS(bus) == 0 || !ACTING(bus))
        return;
    const GPtrArray *others = shards_others(bus->p->shards);
    for (guint i = 0; i < others->len; i++) {
        g_autofree char *agent = g_strconcat(POLICY_AGENT_PREFIX, others->pdata[i], NULL);
        g_autoptr(Value) object = qmf_object_id(agent, "Policy", 0);

        qmf_console_call(bus->console, agent, object, method, arguments, ASK_TIMEOUT_US, on_relayed, g_strdup(others->pdata[i]));
    }
}

/* --- life --- */

bool bus_is_open(const Bus *bus)
{
    return bus != NULL && bus->open;
}

static void open_receivers(Bus *bus)
{
    g_autofree char *subscription = g_strdup_printf("policy-%s", bus->p->name);

    bus->events = amqp_receiver_new(bus->client, &(AmqpReceiverOptions){ .name = subscription, .address = EVENTS_ADDRESS, .durable = true,
                                                                         .topic = true, .credit = 500, .on_message = on_event,
                                                                         .on_error = on_receiver_error, .user = bus });
}

void bus_settle(Bus *bus)
{
    if (ACTING(bus) && bus->results == NULL)
        bus->results = amqp_receiver_new(bus->client, &(AmqpReceiverOptions){ .address = RESULTS_ADDRESS, .credit = 500,
                                                                              .on_message = on_result, .on_error = on_receiver_error,
                                                                              .user = bus });
    else if (!ACTING(bus))
        g_clear_pointer(&bus->results, amqp_receiver_free);
}

Bus *bus_new(Policyd *p, const PolicydOptions *options)
{
    Bus *bus = g_new0(Bus, 1);
    g_autofree char *container = g_strdup_printf("mend-policy-%s", p->name);

    bus->p = p;
    bus->senders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) amqp_sender_free);
    bus->client = amqp_client_new(&(AmqpClientOptions){ .url = options->url, .container_id = container, .user = options->user,
                                                        .password = options->password, .ca_file = options->ca_file,
                                                        .backoff_max_us = 2 * US_PER_S, .reconnect = true, .on_state = on_state,
                                                        .state_user = bus });
    bus->session = qmf_session_new(bus->client);
    bus->console = qmf_session_console(bus->session, &(QmfConsoleEvents){ .agent_found = on_agent_found,
                                                                          .agent_restarted = on_agent_restarted, .user = bus });
    policy_agent_start(p, bus->session);
    open_receivers(bus);
    return bus;
}

void bus_free(Bus *bus)
{
    if (bus == NULL)
        return;
    bus->open = false;
    keeper_use(bus->p->keeper, NULL);
    if (bus->retry != NULL) {
        g_source_destroy(bus->retry);
        g_source_unref(bus->retry);
    }
    qmf_session_free(bus->session);
    g_hash_table_unref(bus->senders);
    amqp_receiver_free(bus->events);
    amqp_receiver_free(bus->results);
    amqp_receiver_free(bus->own_results);
    amqp_client_free(bus->client);
    g_free(bus->broker);
    g_free(bus->last_problem);
    g_free(bus);
}
