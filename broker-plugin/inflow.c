/* From a message of an agent to what it means. Everything a peer chose has been checked when ingress is done with it; from there on
 * names, sizes and rates are ours. */
#include "broker-plugin/mend_plugin.h"

#include "broker-plugin/events/normalise.h"
#include "broker-plugin/ingress/authority.h"
#include "broker-plugin/ingress/indication.h"
#include "broker-plugin/post.h"
#include "lib/base/json.h"
#include "lib/model/entity.h"

#include <string.h>

#define INTERVAL_DEFAULT_MS 60000 /* libqmf2's */
#define MATAHARI_PACKAGE "org.matahariproject"
#define MATAHARI_PULSE_MS 5000    /* of its host agent's event "heartbeat" */
#define FAULT_KEY "observer.fault"
#define EARLY_EVENTS 16
#define EARLY_AGENTS 256

/* ---- who it is ------------------------------------------------------------------------------------------------------------- */

static LivenessRules rules_for(const Plugin *p, const char *product)
{
    const json_t *class = json_object_get(p->settings.classes, product), *value;
    LivenessRules rules = { p->settings.late, p->settings.threshold, p->settings.phi, p->settings.phi_lost };

    if ((value = json_object_get(class, "late")) != NULL)
        rules.late = json_number_value(value);
    if ((value = json_object_get(class, "threshold")) != NULL)
        rules.threshold = json_number_value(value);
    if ((value = json_object_get(class, "phi")) != NULL)
        rules.phi_lost = json_number_value(value);
    if ((value = json_object_get(class, "mode")) != NULL)
        rules.phi = strcmp(json_string_value(value), "phi") == 0;
    return rules;
}

void watch_record(Plugin *p, const AgentRecord *r)
{
    const LivenessRules rules = rules_for(p, r->product);
    const char *domain = r->vm != NULL ? r->vm : r->hostname != NULL ? r->hostname : r->name;
    uint32_t interval_ms = r->interval_ms != 0 ? r->interval_ms : INTERVAL_DEFAULT_MS;

    liveness_track(p->liveness, r->name, domain, &rules, interval_ms * US_PER_MS, p->host->now_us(p->host));
}

static uint32_t interval_of(const AgentRecord *r, const Value *attributes)
{
    int64_t due_ms = value_get_int(attributes, "mend.next_due_ms", 0);
    int64_t interval_s = value_get_int(attributes, "_heartbeat_interval", 0);

    if (r->interval_ms == MATAHARI_PULSE_MS && due_ms == 0)
        return r->interval_ms; /* known by its events, which come more often */
    if (due_ms <= 0)
        due_ms = interval_s > 0 ? interval_s * 1000 : INTERVAL_DEFAULT_MS;
    return (uint32_t) CLAMP(due_ms, 100, 3600 * 1000);
}

static Origin origin_of(Plugin *p, const AgentRecord *r);

static void tell_changes(Plugin *p, const AgentRecord *r, const Changes *c)
{
    g_autofree char *vm = r->vm != NULL ? entity_path(ENTITY_VM, r->vm, NULL) : NULL;

    if (c->reverted && vm != NULL) {
        Fact *fact = fact_new("vm.reverted", vm, r->name, p->host->wall_us(p->host), NULL);

        fact_say(fact, "boot_id", r->boot_id);
        fact_say(fact, "previous", c->previous_boot);
        tell(p, fact);
    } else if (c->rebooted && vm != NULL) {
        Fact *fact = fact_new("vm.rebooted", vm, r->name, p->host->wall_us(p->host), NULL);

        fact->boot_id = g_strdup(r->boot_id);
        fact_say(fact, "boot_id", r->boot_id);
        fact_say(fact, "previous", c->previous_boot);
        tell(p, fact);
    }
    if (c->restarted)
        tell(p, agent_fact(p, "agent.restarted", r->name, c->replaced != NULL ? "a new instance on the same machine" : "its epoch grew"));
    if (c->moved) {
        g_autofree char *reason = g_strdup_printf("from %s to %s", c->previous_address, r->address);

        tell(p, agent_fact(p, "agent.moved", r->name, reason));
    }
    if (c->cloned) {
        g_autofree char *here = g_strdup_printf("%s has the same identity on other hardware", c->clone);
        g_autofree char *there = g_strdup_printf("%s has the same identity on other hardware", r->name);

        tell(p, agent_fact(p, "agent.cloned", r->name, here));
        tell(p, agent_fact(p, "agent.cloned", c->clone, there));
    }
}

/* ---- signs of life --------------------------------------------------------------------------------------------------------- */

static void look_at_digest(Plugin *p, const AgentRecord *r, const Value *attributes)
{
    const Origin origin = origin_of(p, r);
    g_autoptr(GPtrArray) facts = digest_look(p->digest, &origin, value_get(attributes, "mend.services"),
                                             (uint64_t) value_get_int(attributes, "mend.event_sequence", 0), p->entities);

    for (guint i = 0; i < facts->len; i++) {
        count(p, METRIC_REPAIRED, 1);
        tell(p, g_steal_pointer(&facts->pdata[i]));
    }
}

static void replace(Plugin *p, const char *old)
{
    liveness_closed(p->liveness, old, "replaced by a new instance", p->host->now_us(p->host));
    registry_gone(p->registry, old, p->host->wall_us(p->host));
    legacy_leave(p->legacy, old);
    watch_leave(p->watch, old);
}

static void take_events(Plugin *p, const AgentRecord *r, const GPtrArray *events);

static void take_early(Plugin *p, const AgentRecord *r)
{
    g_autofree char *name = NULL;
    GPtrArray *waiting;

    if (!g_hash_table_steal_extended(p->early, r->name, (gpointer *) &name, (gpointer *) &waiting))
        return;
    for (guint i = 0; i < waiting->len; i++)
        take_events(p, r, ((Indication *) g_ptr_array_index(waiting, i))->events);
    g_ptr_array_unref(waiting);
}

static void take_alive(Plugin *p, const AgentRecord *r, const Indication *i, const Changes *changes)
{
    bool heartbeat = i->message->opcode == QMF_AGENT_HEARTBEAT_INDICATION;
    uint64_t sequence = heartbeat ? (uint64_t) value_get_int(i->attributes, "mend.sequence", 0) : 0;

    count(p, METRIC_HEARTBEATS, 1);
    registry_set_interval(p->registry, r->name, interval_of(r, i->attributes));
    watch_record(p, r);
    if (changes->restarted || changes->reverted) {
        liveness_restarted(p->liveness, r->name);
        digest_forget(p->digest, r->name);
    }
    if (changes->replaced != NULL)
        replace(p, changes->replaced);
    tell_changes(p, r, changes);
    if (!liveness_beat(p->liveness, r->name, sequence, p->host->now_us(p->host))) {
        count(p, METRIC_STALE, 1);
        return;
    }
    serve_agent(p, r);
    take_early(p, r);
    look_at_digest(p, r, i->attributes);
    show_record(p, r);
}

/* ---- events ---------------------------------------------------------------------------------------------------------------- */

static const char *intent_of(const char *agent, const char *service, void *user)
{
    return legacy_intent(plugin_from(user)->legacy, agent, service);
}

static Origin origin_of(Plugin *p, const AgentRecord *r)
{
    return (Origin) { r->name, r->vm, r->hostname, r->boot_id, p->host->wall_us(p->host), intent_of, p };
}

static bool is_pulse(const Value *event)
{
    const Value *id = value_get(event, "_schema_id");

    return g_strcmp0(value_get_string(id, "_class_name"), "heartbeat") == 0 &&
           g_strcmp0(value_get_string(id, "_package_name"), MATAHARI_PACKAGE) == 0;
}

static void take_pulse(Plugin *p, const AgentRecord *r, const Value *event)
{
    uint64_t sequence = (uint64_t) value_get_int(value_get(event, "_values"), "sequence", 0);

    registry_set_interval(p->registry, r->name, MATAHARI_PULSE_MS);
    watch_record(p, r);
    if (!liveness_beat(p->liveness, r->name, sequence, p->host->now_us(p->host)))
        count(p, METRIC_STALE, 1);
}

static bool may_tell(Plugin *p, const AgentRecord *r, const Fact *fact)
{
    const Claim claim = { r->name, r->vm, fact->entity, fact->kind, json_string_or(fact->data, "host", NULL) };
    g_autofree char *refusal = p->settings.check_identity ? authority_refusal(&claim) : NULL;

    if (refusal != NULL)
        quarantine(p, r->name, refusal);
    return refusal == NULL;
}

/* What Matahari's resource_op says of how a service is run. False: a command is at it, and that says what came of it. */
static bool learn_op(Plugin *p, const AgentRecord *r, const Value *values)
{
    const char *name = value_get_string(values, "name");

    legacy_learn(p->legacy, r->name, name, value_get_string(values, "standard"), value_get_string(values, "provider"),
                 value_get_string(values, "agent"), NULL);
    if (name != NULL && legacy_busy(p->legacy, r->name, name))
        return false;
    watch_told(p->watch, r->name, name, value_get_int(values, "rc", -1));
    return true;
}

static void take_event(Plugin *p, const AgentRecord *r, const Value *event)
{
    const Origin origin = origin_of(p, r);
    const Value *values = value_get(event, "_values");
    g_autoptr(GError) error = NULL;
    Fact *fact;

    if (is_pulse(event)) {
        take_pulse(p, r, event);
        return;
    }
    if (!normalise_event(&origin, event, &fact, &error)) {
        quarantine(p, r->name, error->message);
        return;
    }
    if (fact == NULL)
        return;
    if (!may_tell(p, r, fact)) {
        fact_free(fact);
        return;
    }
    if (fact->source_sequence != 0)
        digest_event(p->digest, r->name, fact->source_sequence);
    else if (!learn_op(p, r, values)) {
        fact_free(fact);
        return;
    }
    tell(p, fact);
}

static void take_events(Plugin *p, const AgentRecord *r, const GPtrArray *events)
{
    for (guint i = 0; i < events->len; i++)
        take_event(p, r, g_ptr_array_index(events, i));
}

/* An event of an agent that has not said yet on which machine it is: kept for the moment its answer takes. */
static void keep_early(Plugin *p, const AgentRecord *r, Indication *i)
{
    GPtrArray *waiting = g_hash_table_lookup(p->early, r->name);

    if (waiting == NULL) {
        if (g_hash_table_size(p->early) >= EARLY_AGENTS)
            g_hash_table_remove_all(p->early);
        waiting = g_ptr_array_new_with_free_func((GDestroyNotify) indication_free);
        g_hash_table_insert(p->early, g_strdup(r->name), waiting);
        locate(p, r->name);
    }
    if (waiting->len >= EARLY_EVENTS)
        g_ptr_array_remove_index(waiting, 0);
    g_ptr_array_add(waiting, i);
}

/* ---- the way in ------------------------------------------------------------------------------------------------------------- */

static bool is_gone(const Plugin *p, const mend_msg *msg, const Peer *peer)
{
    return msg->peer != 0 && (p->host->caps & MEND_CAP_PEERS) != 0 && (peer == NULL || peer->gone);
}

static char *refusal_of(Plugin *p, const char *agent, const mend_msg *msg)
{
    const Peer *peer = peer_of(p, msg->peer);
    const IdentityPeer speaker = { msg->peer, peer != NULL ? peer->user : NULL, peer != NULL ? peer->role : NULL };
    const AgentRecord *record = registry_find(p->registry, agent);
    char *refusal = NULL;

    if (!p->settings.check_identity && !is_gone(p, msg, peer))
        identity_take(p->identity, agent, msg->peer);
    else if (p->settings.check_identity && is_gone(p, msg, peer))
        refusal = identity_refusal_gone(agent, &speaker, peer != NULL ? peer->spoke : NULL);
    else if (p->settings.check_identity)
        refusal = identity_refusal(p->identity, agent, &speaker, record != NULL ? record->user : NULL);
    if (refusal == NULL && !rate_allows(p->rate, agent, p->host->now_us(p->host)))
        refusal = g_strdup("more messages than one agent may send (rate_per_s, rate_burst)");
    return refusal;
}

/* Said before it went, heard after: what happened still counts, that it is alive does not. */
static void take_late(Plugin *p, const Indication *i)
{
    const AgentRecord *r = registry_find(p->registry, i->agent);

    if (i->kind == INDICATION_EVENTS && r != NULL)
        take_events(p, r, i->events);
    else
        count(p, METRIC_STALE, 1);
}

static void take(Plugin *p, Indication *indication, const mend_msg *msg)
{
    g_autoptr(Indication) i = indication;
    const Peer *peer = peer_of(p, msg->peer);
    const Sighting sighting = { .agent = i->agent, .attributes = i->attributes, .peer = msg->peer,
                                .user = peer != NULL ? peer->user : NULL, .role = peer != NULL ? peer->role : NULL,
                                .address = peer != NULL ? peer->address : NULL, .wall_us = p->host->wall_us(p->host) };
    g_auto(Changes) changes = { 0 };
    g_autoptr(GError) error = NULL;
    const AgentRecord *r = registry_seen(p->registry, &sighting, &changes, &error);

    if (r == NULL) {
        quarantine(p, i->agent, error->message);
        return;
    }
    count(p, METRIC_INDICATIONS, 1);
    if (changes.stale) {
        count(p, METRIC_STALE, 1);
        return;
    }
    if (i->kind == INDICATION_ALIVE) {
        take_alive(p, r, i, &changes);
        return;
    }
    watch_record(p, r);
    if (r->vm == NULL && r->interval_ms == 0 && i->kind == INDICATION_EVENTS) {
        keep_early(p, r, g_steal_pointer(&i));
        return;
    }
    liveness_beat(p->liveness, r->name, 0, p->host->now_us(p->host));
    if (i->kind == INDICATION_EVENTS)
        take_events(p, r, i->events);
}

int32_t on_indication_PL(void *user, mend_id delivery, const mend_msg *msg)
{
    Plugin *p = plugin_from(user);
    g_autofree char *agent = NULL, *refusal = NULL;
    g_autoptr(GError) error = NULL;
    Indication *i = indication_decode(msg, qmf_schema_builtin(), (size_t) p->settings.max_message_bytes, &agent, &error);

    if (agent != NULL && strcmp(agent, site_name(p->site)) == 0 && msg->peer == 0) {
        indication_free(i); /* our own voice */
        return MEND_ACCEPT;
    }
    refusal = i != NULL ? refusal_of(p, agent, msg) : g_strdup(error->message);
    if (refusal == NULL && is_gone(p, msg, peer_of(p, msg->peer))) {
        take_late(p, i);
        indication_free(i);
    } else if (refusal == NULL) {
        take(p, i, msg);
    } else {
        indication_free(i);
        quarantine(p, agent != NULL ? agent : "(no name)", refusal);
    }
    return MEND_ACCEPT;
}

int32_t on_reply_PL(void *user, mend_id delivery, const mend_msg *msg)
{
    Plugin *p = plugin_from(user);
    const mend_prop *opcode = msg_prop(msg, "qmf.opcode");
    g_autoptr(QmfMessage) message = NULL;
    const AgentRecord *r;

    if (opcode != NULL && str_equal(opcode->str, "_agent_locate_response"))
        return on_indication_PL(user, delivery, msg);
    message = qmf_of_msg(msg, NULL);
    if (message == NULL)
        return MEND_ACCEPT;
    r = message->agent != NULL ? registry_find(p->registry, message->agent) : NULL;
    if (p->settings.check_identity && r != NULL && msg->peer != 0 && identity_holder(p->identity, r->name) != msg->peer)
        quarantine(p, r->name, "an answer in its name from another connection");
    else
        (void) (legacy_answer(p->legacy, message) || watch_answer(p->watch, message));
    return MEND_ACCEPT;
}

/* ---- liveness's findings ----------------------------------------------------------------------------------------------------- */

/* An engine that is silent for so long does not act, whether or not its end was seen: another may have the seat. */
static void vacate(Plugin *p, const char *agent)
{
    const char *mark = strstr(agent, ":mend-policy:");

    if (mark == NULL || !seat_engine_gone(p->seat, mark + strlen(":mend-policy:"), p->host->now_us(p->host)))
        return;
    host_log(p->host, MEND_LOG_NOTICE, "the acting engine is gone (no heartbeat)");
    show_site(p);
}

void agent_moved_PL(const char *agent, LiveState from, LiveState to, const char *reason, void *user)
{
    Plugin *p = plugin_from(user);
    g_autofree char *kind = g_strdup_printf("agent.%s", live_state_name(to));
    const AgentRecord *r;

    if (to == LIVE_LOST || to == LIVE_CLOSED)
        registry_gone(p->registry, agent, p->host->wall_us(p->host));
    if (to == LIVE_LOST)
        vacate(p, agent);
    registry_set_state(p->registry, agent, live_state_name(to));
    host_log(p->host, to == LIVE_UP ? MEND_LOG_INFO : MEND_LOG_NOTICE, "agent %s: %s -> %s (%s)", agent, live_state_name(from),
             live_state_name(to), reason);
    tell(p, agent_fact(p, kind, agent, reason));
    r = registry_find(p->registry, agent);
    if (r != NULL)
        show_record(p, r);
}

void locate(Plugin *p, const char *agent)
{
    g_autoptr(QmfMessage) m = qmf_message_new(QMF_AGENT_LOCATE_REQUEST);

    m->subject = g_strdup(agent != NULL ? agent : "console.request.agent_locate");
    m->reply_to = g_strconcat(QMF_TOPIC "/", p->reply_key, NULL);
    m->correlation_id = g_strdup("agent-locate");
    qmf_post(p->host, agent != NULL ? QMF_DIRECT : QMF_TOPIC, m, false, NULL, NULL); /* a question that is lost is asked again */
}

void agent_ask_PL(const char *agent, void *user) { locate(plugin_from(user), agent); }

static void tell_observer(Plugin *p, bool fault, unsigned silent, unsigned total)
{
    g_autofree char *entity = entity_path(ENTITY_HOST, p->site_id, NULL);
    Fact *fact = fact_new(fault ? "observer.fault" : "observer.well", entity, site_name(p->site), p->host->wall_us(p->host), NULL);

    json_object_set_new(fact->data, "lost", json_integer(silent));
    json_object_set_new(fact->data, "total", json_integer(total));
    tell(p, fact);
}

void observer_fault_PL(bool fault, unsigned silent, unsigned total, void *user)
{
    Plugin *p = plugin_from(user);

    host_log(p->host, fault ? MEND_LOG_ERROR : MEND_LOG_NOTICE, "%u of %u machines are silent: %s", silent, total,
             fault ? "the fault is taken to be here; nobody is declared lost" : "well again");
    if ((p->host->caps & MEND_CAP_STATE) != 0)
        p->host->state_put(p->host, str_of(FAULT_KEY), str_of(fault ? "1" : ""));
    tell_observer(p, fault, silent, total);
}

/* Who was told of a fault and then nothing, because we ended, would hold back for ever. */
void observer_begin(Plugin *p)
{
    mend_str kept;

    if ((p->host->caps & MEND_CAP_STATE) == 0 || p->host->state_get(p->host, str_of(FAULT_KEY), &kept) != MEND_OK)
        return;
    tell_observer(p, false, 0, (unsigned) registry_size(p->registry));
    p->host->state_put(p->host, str_of(FAULT_KEY), str_of(""));
}
