/* One input at a time goes in, and what follows from it comes out. Nothing else changes the engine.
 *
 * Events come at least once and not always in order. A number seen with the same id is a repetition; a number not above the
 * entity's newest is old news; a number that is known under another id means that the plugin began to count anew, and then the
 * old numbers say nothing any more. */
#include "consumers/policy/engine/engine_private.h"

#include "consumers/policy/engine/id.h"
#include "lib/base/json.h"

#include <string.h>


Engine *engine_new(Policy *policy)
{
    Engine *engine = g_new0(Engine, 1);

    engine->policy = policy_ref(policy);
    engine->policy_round = 1;
    engine->entities = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) entity_free_state);
    engine->hosts = g_ptr_array_new();
    engine->vms = g_ptr_array_new();
    engine->storages = g_ptr_array_new();
    engine->host_agents = g_hash_table_new(g_str_hash, g_str_equal);
    engine->commands = g_hash_table_new(g_str_hash, g_str_equal);
    g_queue_init(&engine->incidents);
    due_heap_init(&engine->due);
    engine->closed = g_ptr_array_new_with_free_func((GDestroyNotify) incident_free);
    engine->quiets = g_ptr_array_new_with_free_func((GDestroyNotify) quiet_state_free);
    engine->stopped = g_ptr_array_new_with_free_func((GDestroyNotify) stopped_app_free);
    engine->jobs = g_ptr_array_new_with_free_func((GDestroyNotify) job_free);
    engine->budgets = budgets_new();
    engine->numbers = g_hash_table_new(g_int64_hash, g_int64_equal);
    due_init(&engine->budget_due, DUE_BUDGET);
    due_init(&engine->mom_due, DUE_MOM);
    engine->troubles = g_ptr_array_new_with_free_func((GDestroyNotify) trouble_free);
    engine->timer_us = NEVER_US;
    engine->waits = UINT32_MAX; /* not known: also after a restore */
    engine->plans = true;
    engine->next_number = 1;
    quiets_of_policy(engine);
    watches_of_policy(engine);
    engine->controls = control_book_new();
    engine->control_flights = g_ptr_array_new_with_free_func((GDestroyNotify) control_flight_free);
    controllers_of_policy(engine);
    return engine;
}

void engine_free(Engine *engine)
{
    if (engine == NULL)
        return;
    g_hash_table_unref(engine->commands);
    g_ptr_array_unref(engine->watches);
    g_ptr_array_unref(engine->controllers);
    g_ptr_array_unref(engine->control_flights);
    control_book_free(engine->controls);
    due_heap_clear(&engine->due);
    g_ptr_array_unref(engine->closed);
    g_ptr_array_unref(engine->quiets);
    g_ptr_array_unref(engine->stopped);
    g_ptr_array_unref(engine->jobs);
    g_ptr_array_unref(engine->troubles);
    budgets_free(engine->budgets);
    g_hash_table_unref(engine->numbers);
    g_free(engine->paused_by);
    g_free(engine->paused_why);
    g_queue_clear_full(&engine->incidents, (GDestroyNotify) incident_free);
    g_hash_table_unref(engine->host_agents);
    g_ptr_array_unref(engine->hosts);
    g_ptr_array_unref(engine->vms);
    g_ptr_array_unref(engine->storages);
    g_hash_table_unref(engine->entities);
    policy_unref(engine->policy);
    g_free(engine);
}

static uint64_t text_hash(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char) *text) * UINT64_C(0x100000001b3);
    return hash;
}

static void numbering_restart(Stage *s, uint64_t sequence)
{
    Engine *engine = s->engine;
    GHashTableIter iter;
    gpointer entity;

    g_hash_table_iter_init(&iter, engine->entities);
    while (g_hash_table_iter_next(&iter, NULL, &entity))
        facts_numbers_anew(entity);
    memset(engine->seen, 0, sizeof engine->seen);
    engine->sequence_high = 0;
    put_record(s, "numbering", NULL, NULL, json_pack("{s:I}", "sequence", (json_int_t) sequence), "events are numbered anew");
}

/* False: seen before. */
static bool event_is_new(Stage *s, const EventFields *f)
{
    Engine *engine = s->engine;

    if (f->sequence == 0)
        return true;
    Seen *seen = &engine->seen[f->sequence % SEEN_N];
    uint64_t hash = text_hash(f->id);
    if (seen->sequence == f->sequence && seen->id_hash == hash)
        return false;
    if (seen->sequence == f->sequence || f->sequence + SEEN_N <= engine->sequence_high)
        numbering_restart(s, f->sequence);
    *seen = (Seen){ f->sequence, hash };
    engine->sequence_high = MAX(engine->sequence_high, f->sequence);
    return true;
}

/* NULL: the event is older than what is known, or says nothing of its state. */
static EntityState *entity_update(Stage *s, const Event *event)
{
    const EventFields *f = event_fields(event);
    const char *state = strchr(f->kind, '.'), *agent = event_data_string(event, "agent");
    const char *hostname = event_data_string(event, "hostname"), *name = event_data_string(event, "name");
    EntityState *entity = entity_ensure(s->engine, f->entity);

    if (entity == NULL) {
        put_record(s, "limit", NULL, f->entity, NULL, "more than %u entities: this one is not followed", ENTITIES_MAX);
        return NULL;
    }
    if (event_only_happened(f->kind))
        return entity;
    if (entity->vm != NULL && name != NULL)
        hostname = name; /* its host agent's hostname is that of the host */
    bool old = entity->storage != NULL ? !storage_hear(s->engine, entity, event) : f->sequence != 0 && f->sequence <= entity->sequence;
    if (old) { /* asked and heard before: what was judged since stands */
        s->engine->count.stale++;
        return NULL;
    }
    entity->sequence = entity->storage == NULL ? f->sequence : MAX(f->sequence, entity->sequence);
    if (entity->vm != NULL && facts_of_old_copy(s, entity, event))
        return NULL;
    entity->since_us = s->engine->now_us;
    if (entity->host == NULL) /* a host's state is its verdict */
        text_set(&entity->state, state == NULL ? f->kind : state + 1);
    text_set(&entity->intent, event_data_string(event, "intent"));
    text_set(&entity->agent, agent == NULL ? f->source : agent);
    text_set(&entity->boot_id, f->boot_id);
    if (hostname != NULL && text_set(&entity->hostname, hostname) && entity->vm != NULL)
        entity->vm->app.round = 0; /* it may be another one of the policy's */
    return entity;
}

static bool is_well(const Engine *engine, const Incident *incident, const char *kind)
{
    const Step *step = incident_step(engine, incident);
    const char *well = healthy_state(kind);

    if (g_strcmp0(incident->entity->state, well) == 0 && incident->entity->host != NULL)
        return true; /* it came back before it was off */
    if (step != NULL && strcmp(step->action, ACTION_NOTIFY) != 0)
        well = step->healed_state;
    return g_strcmp0(incident->entity->state, well) == 0;
}

/* Failed, paused by its storage, or stopped though nobody said so: what a step was to mend is there again. */
static bool is_ill(const EntityState *entity)
{
    static const char *const ill[] = { "failed", "lost", "fault", "crashed", "panicked", "hung", "dead", NULL };

    return g_strv_contains(ill, entity->state) || (entity->vm != NULL && vm_paused_by_storage(entity)) ||
           (strcmp(entity->state, "stopped") == 0 && g_strcmp0(entity->intent, "none") == 0);
}

static void incident_seen_well(Stage *s, Incident *incident)
{
    if ((incident->state == INCIDENT_OPEN || incident->state == INCIDENT_ACTING) && incident_is_of_what_happened(s->engine, incident))
        return; /* it was well all the time: what is under way ends with its answer */
    if (incident->state == INCIDENT_OPEN && incident->attempts == 0) {
        incident_close(s, incident, INCIDENT_RESOLVED, "well again before anything was done");
        return;
    }
    if (incident->state == INCIDENT_OPEN || incident->state == INCIDENT_ACTING)
        ladder_verify(s, incident);
    ladder_seen_well(s, incident);
}

static void incident_seen_otherwise(Stage *s, Incident *incident)
{
    bool ill = is_ill(incident->entity);

    switch (incident->state) {
    case INCIDENT_OPEN:
        ladder_decide(s, incident);
        break;
    case INCIDENT_VERIFYING:
        if (ill)
            ladder_attempt_failed(s, incident, "it failed again");
        else if (incident->healed_since_us != 0)
            ladder_verify_again(s, incident);
        break;
    case INCIDENT_NEEDS_HUMAN:
        s->speak = s->speak || (incident->healed_since_us != 0 && incident->muted != NULL);
        incident->healed_since_us = 0;
        incident_set_due(s->engine, incident, NEVER_US);
        break;
    default: /* ACTING: the answer or its deadline decides */
        break;
    }
}

/* A paused VM that crashes is not to be resumed any more; a host that a human was told of is fenced when it is dead. While a command is
 * out its answer is waited for. */
static bool another_rule_is_for(Stage *s, const Incident *incident, EntityState *entity, const Event *event)
{
    const Rule *now = policy_rule(s->engine->policy, incident->rule), *rule;
    bool worse = entity->vm != NULL ? is_ill(entity) : entity->host != NULL && (is_ill(entity) || incident->state == INCIDENT_NEEDS_HUMAN);

    if (!worse || incident->state == INCIDENT_ACTING || now == NULL || rule_listens(now, event_fields(event)->kind))
        return false;
    rule = rules_first(s, entity, event);
    return rule != NULL && rule != now;
}

static void incident_event(Stage *s, Incident *incident, EntityState *entity, const Event *event, Fired *fired)
{
    const char *kind = event_fields(event)->kind, *boot_id = event_fields(event)->boot_id;

    if (plan_is_under_way(incident) && incident->state != INCIDENT_NEEDS_HUMAN)
        return; /* plan_heard() is for it */
    if (incident_stands_aside(s->engine, incident)) {
        if (another_rule_is_for(s, incident, entity, event)) {
            incident_close(s, incident, INCIDENT_SUPERSEDED, "there is worse to tell of it now");
            rules_match(s, entity, event, fired);
        }
    } else if (is_well(s->engine, incident, kind)) {
        incident_seen_well(s, incident);
    } else if (intent_is_wanted(entity->intent) && (is_ill(entity) || g_str_has_prefix(entity->state, "stop"))) {
        g_autofree char *why = g_strdup_printf("%s because of %s: it is not ours to start", entity->state, entity->intent);
        incident_close(s, incident, INCIDENT_STOOD_DOWN, why);
    } else if (is_ill(entity) && entity->vm == NULL && boot_id != NULL && incident->boot_id != NULL && strcmp(boot_id, incident->boot_id) != 0) {
        incident_close(s, incident, INCIDENT_SUPERSEDED, "it failed again in a later boot");
        rules_match(s, entity, event, fired);
    } else if (another_rule_is_for(s, incident, entity, event)) {
        incident_close(s, incident, INCIDENT_SUPERSEDED, "it fails in another way now, and another rule is for that");
        rules_match(s, entity, event, fired);
    } else {
        incident_seen_otherwise(s, incident);
    }
}

void event_follow(Stage *s, EntityState *entity, const Event *event)
{
    Fired fired = watches_event(s, entity, event);

    bool open = entity->incident != NULL;

    if (!open)
        rules_match(s, entity, event, &fired);
    else if (!event_only_happened(event_fields(event)->kind))
        incident_event(s, entity->incident, entity, event, &fired);
    if (open || entity->incident != NULL)
        watch_take_over(s, entity, event, &fired);
    fired_clear(&fired);
}

static void observer_event(Stage *s, const Event *event)
{
    bool fault = strcmp(event_fields(event)->kind, "observer.fault") == 0;

    if (fault == s->engine->observer_fault)
        return;
    s->engine->observer_fault = fault;
    put_record(s, fault ? "hold" : "hold.released", NULL, event_fields(event)->entity, json_incref(event_data(event)),
               fault ? "too many are gone at once: the observer is ill" : "the observer is well again");
    if (fault)
        put_notice(s, "hold", "log", NULL, "the observer is ill: until it is well nothing is begun because of somebody's silence");
    else
        s->wake = UINT32_MAX;
}

static void command_failed(Stage *s, Incident *incident, Flight *flight, const char *error, const char *text);

/* What the plugin says about a command that never reached its agent. */
static void command_event(Stage *s, const Event *event)
{
    const char *id = event_data_string(event, "command"), *kind = event_fields(event)->kind;
    Incident *incident = id == NULL ? NULL : g_hash_table_lookup(s->engine->commands, id);

    Flight *flight = incident == NULL ? NULL : incident_flight(incident, id);

    if (flight != NULL && !flight->answered && (incident->state == INCIDENT_ACTING || incident->plan != NULL) && strcmp(kind, "command.done") != 0)
        command_failed(s, incident, flight, event_data_string(event, "error"), event_data_string(event, "text"));
}

/* What somebody does on purpose is no flapping. */
static void flapping_look(Stage *s, EntityState *entity, const char *kind)
{
    if (event_only_happened(kind) || intent_is_wanted(entity->intent))
        return;
    if (entity->flapper != NULL || is_ill(entity))
        flapping_seen(s, entity, is_ill(entity), g_strcmp0(entity->state, healthy_state(kind)) == 0);
}

static void step_event(Stage *s, const Event *event, bool asked)
{
    const char *kind = event_fields(event)->kind;

    s->engine->count.events++;
    if (!asked && !event_is_new(s, event_fields(event))) {
        s->engine->count.duplicates++;
        return;
    }
    if (g_str_has_prefix(kind, "command.")) {
        command_event(s, event);
        return;
    }
    if (strcmp(kind, "agent.up") == 0 && s->engine->start.known > 0)
        start_heard(s, entity_find(s->engine, event_fields(event)->entity)); /* also when it is no news */
    EntityState *entity = entity_update(s, event);
    if (entity == NULL)
        return;
    if (g_str_has_prefix(kind, "observer."))
        observer_event(s, event);
    if (g_str_has_prefix(kind, "agent.") && s->engine->incidents.length > 0)
        waiting_of_agent(s, entity_id(entity));
    if (entity->host != NULL || entity->vm != NULL || g_str_has_prefix(kind, "agent.") || g_str_has_prefix(kind, "storage."))
        facts_event(s, entity, event);
    if (strcmp(kind, "vm.sample") == 0 || strcmp(kind, "host.sample") == 0) {
        controllers_sample(s, entity, event);
        mom_sample(s->engine, entity, event);
    }
    if (entity->host != NULL) /* its state is the verdict, which has been told */
        return;
    if (entity->storage != NULL && !storage_follows(s->engine, entity, event))
        return;
    flapping_look(s, entity, kind);
    if (s->engine->policy->applications->len > 0 && strcmp(entity->state, "running") == 0)
        s->wake |= WAKES(AFTER);
    plan_heard(s, entity);
    event_follow(s, entity, event);
}

void event_derive(Stage *s, EntityState *entity, const char *kind, const Event *cause, json_t *data)
{
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT, s->engine->now_us);
    char id[UUID_TEXT_SIZE];
    EventFields fields = { .id = id, .kind = kind, .source = "mend-policy", .entity = entity->path, .time_us = s->engine->now_us, .severity = 3,
                           .boot_id = cause == NULL ? NULL : event_fields(cause)->boot_id, .confidence = 1, .data = data };

    id_derive(id, "derived", kind, entity->path, cause == NULL ? "" : event_fields(cause)->id, now, NULL);
    g_autoptr(Event) event = event_new(&fields);
    json_decref(data);
    if (!event_only_happened(kind)) {
        text_set(&entity->state, strchr(kind, '.') + 1);
        text_set(&entity->intent, event_data_string(event, "intent"));
        entity->since_us = s->engine->now_us;
    }
    put_record(s, "derived", entity->incident, entity->path, json_pack("{s:s, s:s, s:s*}", "event", id, "kind", kind, "cause",
                                                                       cause == NULL ? NULL : event_fields(cause)->id),
               "%s is %s", entity->path, strchr(kind, '.') + 1);
    plan_heard(s, entity);
    event_follow(s, entity, event);
}

/* An answer can be old, of a command that was sent again or was long on its way: what was heard of the entity since the attempt began is
 * worth more. And it is about what the command was done to, which may be another entity than the one that is to heal. */
static void command_done(Stage *s, Incident *incident, const Command *command, const Result *result)
{
    const char *state = json_string_or(result->values, "state", NULL);
    const Step *step = incident_step(s->engine, incident);
    EntityState *entity = incident->entity;

    if (!incident_is_answered(incident))
        return;
    if (incident->state == INCIDENT_ACTING)
        ladder_go_on(s, incident);
    if (state == NULL && incident_is_of_what_happened(s->engine, incident))
        state = entity->state; /* it was well all the time: the answer is what there was to wait for */
    if (state == NULL || step == NULL || incident->state != INCIDENT_VERIFYING || strcmp(command->entity, entity->path) != 0)
        return;
    bool ill_since = is_ill(entity) && entity->since_us > entity_window(entity, incident->rule, incident->step)->ended_us;
    if (ill_since && incident->healed_since_us == 0) {
        ladder_attempt_failed(s, incident, "it failed again");
    } else if (strcmp(state, step->healed_state) == 0) {
        ladder_seen_well(s, incident);
    } else if (strcmp(state, "failed") == 0 && incident->healed_since_us == 0) {
        ladder_attempt_failed(s, incident, "the agent did it, and it failed again");
    }
}

static void command_failed(Stage *s, Incident *incident, Flight *flight, const char *error, const char *text)
{
    static const char *const hopeless[] = { COMMAND_ERROR_UNKNOWN, COMMAND_ERROR_ARGUMENT, COMMAND_ERROR_NOT_FOUND, COMMAND_ERROR_UNSAFE,
                                            NULL };
    g_autofree char *why = g_strdup_printf("%s%s%s", error == NULL ? "failed" : error, text == NULL ? "" : ": ", text == NULL ? "" : text);

    if (g_strcmp0(error, COMMAND_ERROR_STALE_EPOCH) == 0) { /* it did not run; it leaves again when we are the acting engine again */
        unsigned shard = flight->command->shard;

        if (shard == SHARD_SITE)
            s->engine->epoch = 0;
        else
            s->engine->shard_epoch[MIN(shard, SHARDS_MAX)] = 0;
        put_notice(s, "not-acting", "log", incident, "another engine acts: this one stands by");
    } else if (incident->plan != NULL) {
        flight->answered = true;
        plan_answered(s, incident, flight, why);
    } else if (error != NULL && g_strv_contains(hopeless, error)) {
        ladder_skip_step(s, incident, why);
    } else {
        ladder_attempt_failed(s, incident, why);
    }
}

static void step_result(Stage *s, const Result *result)
{
    Incident *incident = g_hash_table_lookup(s->engine->commands, result->command_id);
    Flight *flight = incident == NULL ? NULL : incident_flight(incident, result->command_id);

    if (result->state != RESULT_PROGRESS)
        action_answered(s, flight == NULL ? NULL : flight->command, result);
    incident = g_hash_table_lookup(s->engine->commands, result->command_id); /* what the answer proves may have closed it */
    flight = incident == NULL ? NULL : incident_flight(incident, result->command_id);
    if (flight == NULL && controllers_answered(s, result))
        return;
    if (flight == NULL) {
        put_record(s, "result.late", NULL, NULL, json_pack("{s:s, s:s}", "command", result->command_id, "state",
                                                           result_state_name(result->state)),
                   "nobody waits for the answer to %s", result->command_id);
        return;
    }
    put_record(s, "result", incident, NULL,
               json_pack("{s:s, s:s, s:s*, s:s*, s:O*}", "command", result->command_id, "state", result_state_name(result->state), "error",
                         result->error, "text", result->text, "values", result->values),
               "%s answered %s%s%s", flight->command->action, result_state_name(result->state), result->error == NULL ? "" : ": ",
               result->error == NULL ? "" : result->error);
    if (result->state == RESULT_PROGRESS || flight->answered)
        return;
    /* A duplicate ran before and its result is forgotten: whether it helped is for the state to say. */
    if (result->state == RESULT_DONE || g_strcmp0(result->error, COMMAND_ERROR_DUPLICATE) == 0) {
        flight->answered = true;
        g_free(flight->state);
        flight->state = g_strdup(json_string_or(result->values, "state", NULL));
        if (incident->plan != NULL)
            plan_answered(s, incident, flight, NULL);
        else
            command_done(s, incident, flight->command, result);
    } else if (incident->state == INCIDENT_ACTING || incident->plan != NULL) {
        command_failed(s, incident, flight, result->error, result->text);
    }
}

static void step_timer(Stage *s)
{
    Engine *engine = s->engine;

    /* What becomes due again by being served is served with the next timer. */
    for (guint left = engine->due.all->len; left > 0; left--) {
        DueTime *due = due_first(&engine->due);

        if (due == NULL || due->at_us > engine->now_us)
            break;
        due_set(&engine->due, due, NEVER_US);
        switch (due->kind) {
        case DUE_HOST:       evidence_due(s, DUE_OWNER(due, HostState, due)->entity); break;
        case DUE_JOB:        job_due(s, DUE_OWNER(due, Job, due));                    break;
        case DUE_QUIET:      quiet_due(s, DUE_OWNER(due, QuietState, due));           break;
        case DUE_QUARANTINE: quarantine_due(s, DUE_OWNER(due, Trouble, due));         break;
        case DUE_FLAP:       flapping_due(s, DUE_OWNER(due, Flapper, due));           break;
        case DUE_BUDGET:     engine->budgets_touched = true;                          break;
        case DUE_PARENT:     parent_speaks(s, DUE_OWNER(due, Incident, speak_due));   break;
        case DUE_WATCH:      watch_due(s, DUE_OWNER(due, Watch, due));                break;
        case DUE_CONTROL:    controller_due(s, DUE_OWNER(due, Controller, due));      break;
        case DUE_MOM:        mom_due(s);                                              break;
        case DUE_INCIDENT:   ladder_due(s, DUE_OWNER(due, Incident, due));            break;
        }
    }
}

static bool is_paused_by_storage(Engine *engine, const char *path)
{
    const EntityState *vm = entity_find(engine, path);

    return vm != NULL && vm->vm != NULL && vm_paused_by_storage(vm);
}

/* Commands in flight under an epoch that is over; while an operator has paused the engine they wait as everything does. */
void commands_again(Stage *s)
{
    Engine *engine = s->engine;

    for (GList *l = engine->incidents.head; !engine->paused && l != NULL; l = l->next) {
        Incident *incident = l->data;
        g_autofree char *group = NULL;
        unsigned shard = incident->state == INCIDENT_ACTING ? incident_shard(engine, incident, &group) : SHARD_SITE;
        uint64_t epoch = engine_shard_epoch(engine, shard);

        for (guint i = 0; incident->state == INCIDENT_ACTING && epoch != 0 && i < incident->flights->len; i++) {
            const Flight *flight = incident->flights->pdata[i];

            if (flight->answered || flight->command->epoch == epoch)
                continue;
            if (strcmp(flight->command->action, "vm.migrate") == 0 && is_paused_by_storage(engine, flight->command->entity))
                continue; /* since it was sent; what became of it is answered, or the deadline ends it */
            flight->command->epoch = epoch;
            flight->command->shard = shard;
            g_free(flight->command->group);
            flight->command->group = g_strdup(group);
            put_command_again(s, incident, flight->command);
        }
    }
}

#define TAKEOVER_US (30 * US_PER_S) /* a start that is under way is heard of by then */

static void step_acting(Stage *s, const EngineInput *input)
{
    Engine *engine = s->engine;
    uint64_t epoch = input->epoch;

    step_acting_shard(s, input);
    if (input->shard != SHARD_SITE || epoch == engine->epoch)
        return;
    engine->epoch = epoch;
    put_record(s, "acting", NULL, NULL, json_pack("{s:I}", "epoch", (json_int_t) epoch), epoch == 0 ? "this engine does not act"
                                                                                                   : "this engine acts");
    if (epoch == 0)
        return;
    if (epoch > engine->own_epoch + 1) /* another engine acted before, and only it knows what it began */
        engine->takeover_until_us = engine->now_us + TAKEOVER_US;
    engine->own_epoch = epoch;
    commands_again(s);
    asked_taken_over(s);
    s->wake = UINT32_MAX;
}

/* Whatever fell due while nobody looked waits until what is queued has been heard. */
static void step_start(Stage *s)
{
    Engine *engine = s->engine;

    engine->epoch = 0;
    shards_forget(engine);
    engine->guard_until_us = engine->now_us + engine->policy->startup_guard_us;
    start_known_agents(engine);
    for (GList *l = engine->incidents.head; l != NULL; l = l->next) {
        Incident *incident = l->data;

        if (incident->due.at_us < engine->guard_until_us)
            incident_set_due(engine, incident, engine->guard_until_us);
    }
    put_record(s, "start", NULL, NULL, json_pack("{s:I, s:i}", "guard_us", (json_int_t) engine->policy->startup_guard_us, "open",
                                                 (int) engine->incidents.length),
               "the engine starts, %u incidents are open", engine->incidents.length);
}

static void step_policy(Stage *s, Policy *policy)
{
    Policy *old = s->engine->policy;

    s->engine->policy = policy_ref(policy);
    s->engine->policy_round++;
    quiets_of_policy(s->engine); /* before the old ones are gone */
    watches_of_policy(s->engine);
    controllers_of_policy(s->engine);
    mom_of_policy(s->engine);
    asked_of_policy(s);
    policy_unref(old);
    put_record(s, "policy", NULL, NULL, json_pack("{s:s, s:s}", "name", policy->name, "version", policy->version), "policy %s is in force",
               policy->name);
    for (GList *l = s->engine->incidents.head, *next; l != NULL; l = next) {
        Incident *incident = l->data;

        next = l->next;
        if (policy_rule(policy, incident->rule) == NULL)
            incident_close(s, incident, INCIDENT_SUPERSEDED, "the policy has its rule no more");
        else if (incident->state == INCIDENT_OPEN)
            ladder_decide(s, incident);
    }
}

void engine_step(Engine *engine, const EngineInput *input, int64_t now_us, EngineOutputs *outputs)
{
    Stage s = { .engine = engine, .outputs = outputs };
    guint before = outputs->len;

    if (engine->now_us == 0) { /* its first input */
        engine->now_us = now_us;
        quiets_arm(engine);
    }
    engine->now_us = MAX(engine->now_us, now_us);
    switch (input->kind) {
    case INPUT_START:    step_start(&s);                         break;
    case INPUT_EVENT:    step_event(&s, input->event, false);    break;
    case INPUT_ENTITY:   step_event(&s, input->event, true);     break;
    case INPUT_RESULT:   step_result(&s, input->result);         break;
    case INPUT_TIMER:    step_timer(&s);                         break;
    case INPUT_ACTING:   step_acting(&s, input);                 break;
    case INPUT_POLICY:   step_policy(&s, input->policy);         break;
    case INPUT_OPERATOR: step_operator(&s, input);               break;
    case INPUT_N:        break;
    }
    waiting_wake(&s);
    g_ptr_array_set_size(engine->closed, 0);
    /* Most events change nothing; the due times are looked through only when something was said, or an incident touched in silence. */
    if (outputs->len > before || input->kind != INPUT_EVENT || engine->timer_us != NEVER_US)
        put_timer(&s);
}
