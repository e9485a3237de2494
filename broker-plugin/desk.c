#include "broker-plugin/mend_plugin.h"

#include "broker-plugin/control/results.h"
#include "lib/model/entity.h"

#include <inttypes.h>
#include <string.h>

#define CAPABILITY_QUEUE "control-queue"
#define RC_NOT_RUNNING 3
#define SHARD_PATIENCE_US (10 * US_PER_S)
#define EXPIRY_SLACK_US (2 * US_PER_S) /* a result may be on its way */

typedef struct Refusal { Plugin *plugin; mend_id delivery; char *reason; } Refusal;

/* ---- the gate -------------------------------------------------------------------------------------------------------------- */

static void refusal_free(Refusal *refusal)
{
    g_free(refusal->reason);
    g_free(refusal);
}

static void settle_refusal(void *user)
{
    Refusal *refusal = user;
    Plugin *p = refusal->plugin;

    p->refusals = g_slist_remove(p->refusals, refusal);
    p->host->settle(p->host, refusal->delivery, MEND_REJECT, str_of(refusal->reason));
    refusal_free(refusal);
}

void desk_free(Plugin *p)
{
    g_slist_free_full(g_steal_pointer(&p->refusals), (GDestroyNotify) refusal_free);
}

/* A verdict has no room for a reason, a later settlement has. */
static int32_t refuse(Plugin *p, mend_id delivery, const char *reason)
{
    Refusal *refusal;

    count(p, METRIC_REFUSED, 1);
    if ((p->host->caps & MEND_CAP_SETTLE_LATER) == 0)
        return MEND_REJECT;
    refusal = g_new(Refusal, 1);
    *refusal = (Refusal) { p, delivery, g_strdup(reason) };
    if (p->host->post(p->host, settle_refusal, refusal) != MEND_OK) {
        refusal_free(refusal);
        return MEND_REJECT;
    }
    p->refusals = g_slist_prepend(p->refusals, refusal);
    return MEND_KEEP;
}

int32_t on_gate_PL(void *user, mend_id delivery, const mend_msg *msg)
{
    Plugin *p = plugin_from(user);
    const Peer *peer = peer_of(p, msg->peer);
    const GateSender sender = { msg->peer, peer != NULL ? peer->user : NULL, peer != NULL ? peer->role : NULL, !p->settings.check_identity };
    g_auto(GateCommand) command = { 0 };
    g_autofree char *reason = gate_refusal(p->seat, &sender, msg, p->host->wall_us(p->host), &command);

    if (reason == NULL && seat_shards(p->seat) > 0 && commands_of_others(p->commands, command.entity, command.shard))
        reason = g_strdup_printf("unsafe: the engine of another shard does something to %s", command.entity); /* their policies differ */
    if (reason != NULL) {
        host_log(p->host, MEND_LOG_WARNING, "command for %.*s from %s (%s) refused: %s", (int) MIN(msg->address.len, 300), msg->address.ptr,
                 peer != NULL && peer->user != NULL ? peer->user : "a peer without a user", peer != NULL ? peer->address : "?", reason);
        return refuse(p, delivery, reason);
    }
    host_log(p->host, MEND_LOG_INFO, "command %s for %s, %s", command.id, command.agent, command.entity != NULL ? command.entity : "no entity");
    count(p, METRIC_ADMITTED, 1);
    commands_admit(p->commands, &command);
    return MEND_ACCEPT;
}

/* NULL: @peer may sit where the engine does. Caller frees. */
static char *seat_refusal(Plugin *p, mend_id peer_id)
{
    const Peer *peer = peer_of(p, peer_id);
    const char *role = peer != NULL && peer->role != NULL ? peer->role : "";

    if (!p->settings.check_identity || (p->host->caps & MEND_CAP_PEERS) == 0 || strcmp(role, "engine") == 0 || strcmp(role, "operator") == 0)
        return NULL;
    return g_strdup_printf("a peer of role %s may not be the engine", role[0] != '\0' ? role : "unknown");
}

/* What the engine before has begun may end first: it is not to be done twice. NULL: it has. Caller frees. */
static char *shard_refusal(Plugin *p, unsigned shard, const char *engine)
{
    int64_t free_us;
    const char *before;

    if (shard > seat_shards(p->seat))
        return g_strdup_printf("Invalid argument: shard %u, there are %u", shard, seat_shards(p->seat));
    before = seat_before(p->seat, shard, &free_us);
    if (shard == SHARD_SITE || before == NULL || strcmp(before, engine) == 0 || p->host->now_us(p->host) >= free_us + SHARD_PATIENCE_US ||
        commands_of_shard(p->commands, shard) == 0)
        return NULL;
    return g_strdup_printf("commands of %s, who had shard %u, are not answered yet", before, shard);
}

uint64_t claim_PL(mend_id peer_id, unsigned shard, const char *engine, char **ret_why, void *user)
{
    Plugin *p = plugin_from(user);
    g_autofree char *refusal = seat_refusal(p, peer_id);
    g_autoptr(GError) error = NULL;
    uint64_t epoch;

    if (refusal != NULL) {
        *ret_why = g_steal_pointer(&refusal);
        host_log(p->host, MEND_LOG_WARNING, "claim of %s refused: %s", engine, *ret_why);
        return 0;
    }
    if ((*ret_why = shard_refusal(p, shard, engine)) != NULL)
        return 0;
    if (!seat_claim(p->seat, shard, engine, peer_id, &epoch, &error)) {
        *ret_why = g_strdup(error->message);
        return 0;
    }
    if (shard == SHARD_SITE)
        host_log(p->host, MEND_LOG_NOTICE, "%s is the acting engine, epoch %" PRIu64, engine, epoch);
    else
        host_log(p->host, MEND_LOG_NOTICE, "%s is the acting engine of shard %u, epoch %" PRIu64, engine, shard, epoch);
    show_site(p);
    return epoch;
}

/* ---- what became of commands -------------------------------------------------------------------------------------------------- */

static void tell_command(Plugin *p, const char *kind, const char *id, const char *incident, const char *entity, const char *agent,
                         const char *error, const char *text)
{
    g_autofree char *own = entity == NULL ? entity_path(ENTITY_AGENT, agent, NULL) : NULL;
    Fact *fact = fact_new(kind, entity != NULL ? entity : own, agent, p->host->wall_us(p->host), NULL);

    g_free(fact->key);
    fact->key = g_strdup_printf("command %s", id); /* each is told */
    fact_say(fact, "command", id);
    fact_say(fact, "incident", incident);
    fact_say(fact, "agent", agent);
    fact_say(fact, "error", error);
    fact_say(fact, "text", text);
    tell(p, fact);
}

static bool is_entity(const char *path)
{
    g_autoptr(Entity) entity = path != NULL ? entity_parse(path, NULL) : NULL;

    return entity != NULL;
}

static const char *either(const char *one, const char *other) { return one != NULL ? one : other; }

int32_t on_result_PL(void *user, mend_id delivery, const mend_msg *msg)
{
    Plugin *p = plugin_from(user);
    g_auto(ResultNote) note = { 0 };
    const GateCommand *command;
    const char *agent, *entity;

    if (!result_read(msg, &note, NULL) || note.state == RESULT_PROGRESS)
        return MEND_ACCEPT;
    command = commands_find(p->commands, note.command_id);
    agent = command != NULL ? command->agent : note.agent;
    if (agent == NULL || strlen(agent) > 255)
        return MEND_ACCEPT;
    if (p->settings.check_identity && msg->peer != 0 && identity_holder(p->identity, agent) != msg->peer) {
        quarantine(p, agent, "a result in its name from another connection");
        return MEND_ACCEPT;
    }
    entity = either(command != NULL ? command->entity : NULL, note.entity);
    tell_command(p, note.state == RESULT_DONE ? "command.done" : "command.failed", note.command_id,
                 either(command != NULL ? command->incident : NULL, note.incident), is_entity(entity) ? entity : NULL, agent, note.error, note.text);
    commands_done(p->commands, note.command_id);
    return MEND_ACCEPT;
}

static void on_expired(const GateCommand *command, void *user)
{
    Plugin *p = plugin_from(user);

    count(p, METRIC_EXPIRED, 1);
    tell_command(p, "command.expired", command->id, command->incident, is_entity(command->entity) ? command->entity : NULL, command->agent,
                 COMMAND_ERROR_DEADLINE, "no answer before its deadline");
}

int32_t on_dead_letter_PL(void *user, mend_id delivery, const mend_msg *msg)
{
    Plugin *p = plugin_from(user);
    const mend_prop *reason = msg_prop(msg, "mend.reason");
    g_auto(GateCommand) read = { 0 };
    g_autofree char *broken = gate_read(msg, &read), *why = reason != NULL ? str_dup(reason->str) : NULL;
    const GateCommand *command = broken == NULL ? commands_find(p->commands, read.id) : NULL;

    if (command == NULL) /* no command, or its end was told already */
        return MEND_ACCEPT;
    count(p, METRIC_EXPIRED, 1);
    tell_command(p, "command.expired", command->id, command->incident, is_entity(command->entity) ? command->entity : NULL, command->agent,
                 COMMAND_ERROR_UNREACHABLE, why);
    commands_done(p->commands, read.id);
    return MEND_ACCEPT;
}

/* ---- queues and adapters ------------------------------------------------------------------------------------------------------ */

void serve_agent(Plugin *p, const AgentRecord *r)
{
    bool own = record_has(r, CAPABILITY_QUEUE);
    bool adapted = !own && p->settings.legacy && strcmp(r->product, "service") == 0;
    g_autofree char *nobody = r->user == NULL && r->peer != 0 ? g_strdup_printf("peer:%" PRIu64, r->peer) : NULL;
    const char *owner = adapted ? "" : r->user != NULL ? r->user : nobody != NULL ? nobody : "";
    mend_rc rc;

    if (adapted && legacy_serves(p->legacy, r->name))
        watch_agent(p->watch, r->name, r->vm, r->hostname);
    if ((!own && !adapted) || (adapted && legacy_serves(p->legacy, r->name)) || g_strcmp0(r->served, owner) == 0)
        return;
    rc = control_queue_declare(p->host, r->name, owner);
    if (rc != MEND_OK && rc != MEND_UNSUPPORTED) {
        host_log(p->host, MEND_LOG_WARNING, "no control queue for %s: %s", r->name, rc_name(rc));
        return; /* with the next heartbeat again */
    }
    if (adapted && !legacy_serve(p->legacy, r->name))
        return;
    registry_set_served(p->registry, r->name, owner);
    if (adapted)
        watch_agent(p->watch, r->name, r->vm, r->hostname);
}

static void on_legacy_state(const char *agent, const char *service, bool running, const char *text, void *user)
{
    Plugin *p = plugin_from(user);
    const AgentRecord *r = registry_find(p->registry, agent);
    const char *intent = legacy_intent(p->legacy, agent, service);
    g_autofree char *entity = NULL;
    Fact *fact;

    if (r == NULL)
        return;
    watch_told(p->watch, agent, service, running ? 0 : RC_NOT_RUNNING);
    entity = entity_path(ENTITY_SERVICE, r->vm != NULL ? r->vm : agent, service);
    fact = fact_new(running ? "service.running" : intent != NULL ? "service.stopped" : "service.failed", entity, agent, p->host->wall_us(p->host), NULL);
    fact_say(fact, "name", service);
    fact_say(fact, "state", fact_state(fact));
    fact_say(fact, "intent", running || intent != NULL ? "command" : "none");
    fact_say(fact, "reason", text);
    fact_say(fact, "agent", agent);
    fact_say(fact, "vm", r->vm);
    fact_say(fact, "hostname", r->hostname);
    tell(p, fact);
}

static void on_watch_state(const char *agent, const char *service, const char *state, int64_t rc, const char *text, void *user)
{
    Plugin *p = plugin_from(user);
    const AgentRecord *r = registry_find(p->registry, agent);
    bool wanted = strcmp(state, "failed") == 0 && legacy_stopped(p->legacy, agent, service);
    g_autofree char *entity = NULL, *kind = g_strdup_printf("service.%s", wanted ? "stopped" : state);
    Fact *fact;

    if (r == NULL)
        return;
    entity = entity_path(ENTITY_SERVICE, r->vm != NULL ? r->vm : agent, service);
    fact = fact_new(kind, entity, agent, p->host->wall_us(p->host), NULL);
    fact_say(fact, "name", service);
    fact_say(fact, "state", fact_state(fact));
    fact_say(fact, "intent", wanted ? "command" : strcmp(state, "failed") == 0 ? "none" : "unknown");
    fact_say(fact, "reason", text);
    if (rc >= 0)
        json_object_set_new(fact->data, "rc", json_integer(rc));
    fact_say(fact, "agent", agent);
    fact_say(fact, "vm", r->vm);
    fact_say(fact, "hostname", r->hostname);
    tell(p, fact);
}

static void on_how(const char *agent, const char *service, const char *standard, const char *provider, const char *type, const Value *parameters,
                   void *user)
{
    legacy_learn(plugin_from(user)->legacy, agent, service, standard, provider, type, parameters);
}

static bool is_here(const char *agent, void *user) { return liveness_state(plugin_from(user)->liveness, agent) == LIVE_UP; }
static bool is_busy(const char *agent, const char *service, void *user) { return legacy_busy(plugin_from(user)->legacy, agent, service); }

WatchSink watch_sink(Plugin *p) { return (WatchSink) { on_watch_state, on_how, is_here, is_busy, p }; }

bool watch_PL(mend_id peer_id, const Value *services, char **ret_why, void *user)
{
    Plugin *p = plugin_from(user);
    g_autofree char *refusal = seat_refusal(p, peer_id);

    if (refusal != NULL) {
        *ret_why = g_steal_pointer(&refusal);
        return false;
    }
    return watch_set(p->watch, services, ret_why);
}

static uint64_t acting_epoch(unsigned shard, void *user)
{
    const Plugin *p = plugin_from(user);

    return shard <= seat_shards(p->seat) ? seat_epoch(p->seat, shard) : UINT64_MAX;
}

LegacySink legacy_sink(Plugin *p) { return (LegacySink) { acting_epoch, on_legacy_state, p }; }

static void forget_long_gone(Plugin *p)
{
    g_autoptr(GPtrArray) names = registry_gone_before(p->registry, p->host->wall_us(p->host) - p->settings.control_keep_us);

    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *object = g_strconcat("agent:", name, NULL);

        if (liveness_state(p->liveness, name) != LIVE_LOST)
            continue;
        legacy_leave(p->legacy, name);
        watch_leave(p->watch, name);
        control_queue_remove(p->host, name);
        liveness_forget(p->liveness, name);
        digest_forget(p->digest, name);
        rate_forget(p->rate, name);
        site_remove(p->site, object);
        registry_forget(p->registry, name);
    }
}

void desk_tick(Plugin *p)
{
    commands_tick(p->commands, p->host->wall_us(p->host), EXPIRY_SLACK_US, on_expired, p);
    forget_long_gone(p);
}
