/* Where the stages meet, and the one symbol a host looks up.
 *
 *   indication ▶ ingress ▶ registry ▶ liveness ▶ events ▶ mend.events
 *   command    ▶ gate ▶ control queue ▶ agent (or the adapter) ▶ mend.results ▶ events
 *
 * Everything runs on the host's plugin loop, so nothing here is locked. Whatever the host refuses for the moment (BUSY, LIMIT) is
 * tried again by the ticking; only what makes the plugin useless (it may not listen) stops it. */
#include "broker-plugin/mend_plugin.h"

#include "broker-plugin/post.h"

#include <string.h>

#define TICK_US (250 * US_PER_MS)
#define WINDOW  1024
#define SAVE_MOST 2    /* documents in one tick: each is on disk before the next message is looked at */
#define GONE_MAX 4096  /* peers remembered for the messages they left behind */
#define NOISE_PER_S 5 /* events about refusals: whoever is refused chooses how often */

void count(Plugin *p, Metric metric, int64_t delta) { p->host->count(p->host, metric, delta); }

/* ---- peers ------------------------------------------------------------------------------------------------------------------ */

static void peer_free(Peer *peer)
{
    g_free(peer->user);
    g_free(peer->role);
    g_free(peer->address);
    g_free(peer->spoke);
    g_free(peer);
}

const Peer *peer_of(const Plugin *p, mend_id id)
{
    Peer *peer = id != 0 ? g_hash_table_lookup(p->peers, &id) : NULL;
    mend_peer known = { .size = sizeof known };

    if (peer != NULL || id == 0 || (p->host->caps & MEND_CAP_PEERS) == 0)
        return peer;
    if (p->host->peer_get(p->host, id, &known) != MEND_OK)
        return NULL;
    peer = g_new0(Peer, 1); /* its first message was quicker than the news of its coming */
    *peer = (Peer) { .id = id, .user = str_dup(known.user), .role = str_dup(known.role), .address = str_dup(known.address) };
    g_hash_table_insert(p->peers, &peer->id, peer);
    return peer;
}

/* What it said last may still be on its way to us: it is remembered for a while, as gone. */
static void remember_gone(Plugin *p, mend_id id)
{
    Peer *peer = g_hash_table_lookup(p->peers, &id);

    if (peer == NULL || peer->gone)
        return;
    peer->gone = true;
    g_queue_push_tail(&p->gone, peer);
    if (g_queue_get_length(&p->gone) > GONE_MAX)
        g_hash_table_remove(p->peers, &((Peer *) g_queue_pop_head(&p->gone))->id);
}

static void peer_gone(Plugin *p, mend_id id, const char *reason)
{
    const GPtrArray *names = identity_names(p->identity, id);
    Peer *peer = g_hash_table_lookup(p->peers, &id);

    for (guint i = 0; names != NULL && i < names->len; i++)
        liveness_closed(p->liveness, g_ptr_array_index(names, i), reason, p->host->now_us(p->host));
    if (peer != NULL && names != NULL && names->len > 0)
        peer->spoke = g_strdup(g_ptr_array_index(names, 0));
    identity_peer_gone(p->identity, id);
    if (seat_peer_gone(p->seat, id, p->host->now_us(p->host))) {
        host_log(p->host, MEND_LOG_NOTICE, "an acting engine is gone (%s)", reason);
        show_site(p);
    }
    remember_gone(p, id);
}

static void on_peer_PL(void *user, const mend_peer *peer, int32_t what)
{
    Plugin *p = plugin_from(user);

    if (what == MEND_PEER_OPENED)
        peer_of(p, peer->id);
    else
        peer_gone(p, peer->id, what == MEND_PEER_CLOSED ? "said goodbye" : "connection lost");
}

/* ---- refusals ---------------------------------------------------------------------------------------------------------------- */

void quarantine(Plugin *p, const char *agent, const char *reason)
{
    g_autofree char *name = g_utf8_make_valid(agent, -1);

    count(p, METRIC_QUARANTINED, 1);
    if (!quarantine_note(p->quarantine, name, reason, p->host->wall_us(p->host)) || !rate_allows(p->noise, "", p->host->now_us(p->host)))
        return;
    host_log(p->host, MEND_LOG_WARNING, "quarantined: %s: %s", name, reason);
    tell(p, agent_fact(p, "agent.quarantined", name, reason));
}

/* ---- what survives ------------------------------------------------------------------------------------------------------------- */

static char *shard_key(unsigned shard) { return g_strdup_printf("registry.%02u", shard); }

void save_registry(Plugin *p, unsigned most)
{
    uint64_t dirty = (p->host->caps & MEND_CAP_STATE) != 0 ? registry_take_dirty(p->registry) : 0;

    for (unsigned i = 0, saved = 0, first = p->shard; i < REGISTRY_SHARDS; i++) {
        unsigned shard = (first + i) % REGISTRY_SHARDS; /* in turn: none waits for ever */
        g_autofree char *key = NULL, *text = NULL;

        if ((dirty & (UINT64_C(1) << shard)) == 0)
            continue;
        if (saved++ >= most) {
            registry_mark_dirty(p->registry, shard);
            continue;
        }
        p->shard = shard + 1;
        key = shard_key(shard);
        text = registry_shard_text(p->registry, shard);
        if (p->host->state_put(p->host, str_of(key), str_of(text)) == MEND_OK)
            continue;
        count(p, METRIC_STORE_FAILED, 1);
        registry_mark_dirty(p->registry, shard); /* in its next turn again */
    }
}

static void restore_one(const AgentRecord *record, void *user)
{
    Plugin *p = user;

    watch_record(p, record);
    registry_set_state(p->registry, record->name, live_state_name(LIVE_UNKNOWN));
    show_record(p, record);
}

static void load_registry(Plugin *p)
{
    for (unsigned shard = 0; shard < REGISTRY_SHARDS && (p->host->caps & MEND_CAP_STATE) != 0; shard++) {
        g_autofree char *key = shard_key(shard);
        mend_str text;

        if (p->host->state_get(p->host, str_of(key), &text) == MEND_OK)
            registry_load_shard(p->registry, text.ptr, text.len);
    }
    registry_foreach(p->registry, restore_one, p);
}

/* A small number of ours that grows by one with each start. */
static uint32_t next_start(Plugin *p)
{
    g_autofree char *before = NULL, *text = NULL;
    uint64_t start = 1;
    mend_str kept;

    if ((p->host->caps & MEND_CAP_STATE) == 0)
        return (uint32_t) (p->host->wall_us(p->host) / US_PER_S);
    if (p->host->state_get(p->host, str_of("site.starts"), &kept) == MEND_OK)
        before = str_dup(kept);
    if (before != NULL)
        start = g_ascii_strtoull(before, NULL, 10) + 1;
    text = g_strdup_printf("%" G_GUINT64_FORMAT, start);
    p->host->state_put(p->host, str_of("site.starts"), str_of(text));
    return (uint32_t) start;
}

static char *site_id(Plugin *p)
{
    g_autofree char *id = NULL;
    mend_str kept;

    if (p->settings.site != NULL)
        return g_strdup(p->settings.site);
    if ((p->host->caps & MEND_CAP_STATE) != 0 && p->host->state_get(p->host, str_of("site.id"), &kept) == MEND_OK)
        id = str_dup(kept);
    if (id == NULL) {
        id = host_uuid(p->host);
        if ((p->host->caps & MEND_CAP_STATE) != 0)
            p->host->state_put(p->host, str_of("site.id"), str_of(id));
    }
    return g_steal_pointer(&id);
}

/* ---- the ticking --------------------------------------------------------------------------------------------------------------- */

static void on_tick_PL(void *user, int64_t now_us);

static bool arm_tick(Plugin *p)
{
    mend_rc rc = MEND_LIMIT;

    for (int i = 0; i < 3 && rc != MEND_OK; i++)
        rc = p->host->timer_start(p->host, TICK_US, on_tick_PL, p, &p->tick);
    return rc == MEND_OK;
}

/* Beside another broker the first question may leave before its answers have a way back; who is seldom heard would stay unknown till then. */
static void ask_again(Plugin *p, int64_t now_us)
{
    static const int64_t after_us[] = { 5 * US_PER_S, 20 * US_PER_S };

    if (p->asked >= G_N_ELEMENTS(after_us) || now_us - p->started_us < after_us[p->asked])
        return;
    p->asked++;
    locate(p, NULL);
}

static void on_tick_PL(void *user, int64_t now_us)
{
    Plugin *p = plugin_from(user);
    mend_error why = { .size = sizeof why };

    p->tick = 0;
    liveness_tick(p->liveness, now_us);
    outbox_tick(p->outbox);
    save_registry(p, SAVE_MOST);
    if (now_us - p->second_us >= US_PER_S) {
        p->second_us = now_us;
        desk_tick(p);
        show_site(p);
        site_tick(p->site, now_us);
        ask_again(p, now_us);
    }
    if (now_us - p->heartbeat_us >= p->settings.heartbeat_us) {
        p->heartbeat_us = now_us;
        site_heartbeat(p->site);
    }
    if (!arm_tick(p)) {
        error_fill(&why, MEND_EFAULT, "the host gives no timer");
        p->host->failed(p->host, &why);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------ */

static int32_t on_request_PL(void *user, mend_id delivery, const mend_msg *msg)
{
    Plugin *p = plugin_from(user);
    g_autoptr(QmfMessage) message = qmf_of_msg(msg, NULL);

    if (message != NULL && !(msg->peer == 0 && message->opcode == QMF_AGENT_LOCATE_REQUEST)) /* our own question to all */
        site_receive(p->site, message, msg->peer);
    return MEND_ACCEPT;
}

static LivenessSettings liveness_settings(const PluginSettings *s)
{
    return (LivenessSettings) { s->fault_share, s->fault_agents, s->fault_window_us, s->restart_grace_us };
}

static mend_rc plugin_create(mend_host *host, mend_str config, void **ret_self, mend_error *ret)
{
    Plugin *p = g_new0(Plugin, 1);
    const LivenessSink findings = { agent_moved_PL, agent_ask_PL, observer_fault_PL, p };
    g_autoptr(GError) error = NULL;
    LivenessSettings liveness;
    OutboxSink outbox;

    p->magic = PLUGIN_MAGIC;
    p->host = host;
    if (!plugin_settings_parse(config.ptr, config.len, &p->settings, &error)) {
        g_free(p);
        return error_fill(ret, MEND_ECONFIG, "%s", error->message);
    }
    liveness = liveness_settings(&p->settings);
    outbox = outbox_sink(p);
    g_queue_init(&p->gone);
    p->peers = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) peer_free);
    p->identity = identity_new();
    p->quarantine = quarantine_new((size_t) p->settings.max_quarantine, show_quarantine, p);
    p->rate = rate_new(p->settings.rate_per_s, p->settings.rate_burst, (size_t) p->settings.max_agents);
    p->noise = rate_new(NOISE_PER_S, NOISE_PER_S * 4, 1);
    p->registry = registry_new((size_t) p->settings.max_agents);
    p->liveness = liveness_new(&liveness, &findings);
    p->entities = entities_new((size_t) p->settings.max_entities);
    p->digest = digest_new();
    p->outbox = outbox_new(host, EVENTS_ADDRESS, (size_t) p->settings.max_entities, &outbox);
    p->seat = seat_new(host, (unsigned) p->settings.shards);
    p->commands = commands_new((size_t) p->settings.max_commands);
    p->early = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
    p->subscriptions = g_array_new(false, false, sizeof(mend_id));
    *ret_self = p;
    return MEND_OK;
}

static bool subscribe(Plugin *p, const char *address, const char *subject, int32_t mode, mend_message_fn fn, mend_error *ret)
{
    const mend_subscription wanted = { .size = sizeof wanted, .address = str_of(address), .subject = str_of(subject), .mode = mode, .window = WINDOW };
    mend_id id;
    mend_rc rc = p->host->subscribe(p->host, &wanted, fn, p, &id);

    if (rc != MEND_OK) {
        error_fill(ret, MEND_EFAULT, "cannot listen to %s %s: %s", address, subject, rc_name(rc));
        return false;
    }
    g_array_append_val(p->subscriptions, id);
    return true;
}

static bool listen(Plugin *p, mend_error *ret)
{
    const struct { const char *address, *subject; int32_t mode; mend_message_fn fn; } ears[] = {
        { QMF_TOPIC, "agent.ind.#", MEND_TAP, on_indication_PL },
        { QMF_TOPIC, p->reply_key, MEND_TAP, on_reply_PL },
        { CONTROL_PREFIX "#", "", MEND_GATE, on_gate_PL },
        { RESULTS_ADDRESS, "", MEND_TAP, on_result_PL },
        { DEADLETTER_ADDRESS, "", MEND_TAP, on_dead_letter_PL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(ears); i++)
        if (!subscribe(p, ears[i].address, ears[i].subject, ears[i].mode, ears[i].fn, ret))
            return false;
    for (const QmfBinding *b = site_bindings(p->site); b->node != NULL; b++)
        if (!subscribe(p, b->node, b->key, MEND_TAP, on_request_PL, ret))
            return false;
    return true;
}

static uint64_t newest_event(void *user) { return outbox_sequence(plugin_from(user)->outbox); }

static bool open_stages(Plugin *p, mend_error *ret)
{
    const SiteSink sink = { claim_PL, watch_PL, newest_event, p };
    const LegacySink legacy = legacy_sink(p);
    const WatchSink watch = watch_sink(p);
    g_autoptr(GError) error = NULL;

    p->site_id = site_id(p);
    p->reply_key = g_strconcat("direct-console.mend-", p->site_id, NULL);
    p->site = site_new(p->host, p->site_id, next_start(p), (uint32_t) (p->settings.heartbeat_us / US_PER_S), &sink, &error);
    if (p->site == NULL) {
        error_fill(ret, MEND_EFAULT, "%s", error->message);
        return false;
    }
    p->legacy = legacy_new(p->host, p->reply_key, &legacy);
    p->watch = watch_new(p->host, p->reply_key, p->settings.watch_interval_us, &watch);
    seat_open(p->seat);
    outbox_open(p->outbox);
    legacy_open(p->legacy);
    watch_open(p->watch);
    load_registry(p);
    show_site(p);
    return true;
}

static mend_rc plugin_start(void *self, mend_error *ret)
{
    Plugin *p = plugin_from(self);
    mend_rc rc = control_nodes_declare(p->host);

    if (rc != MEND_OK)
        return error_fill(ret, MEND_EFAULT, "cannot make mend.results, mend.deadletter and mend.events: %s", rc_name(rc));
    if (!open_stages(p, ret) || !listen(p, ret))
        return MEND_EFAULT;
    if ((p->host->caps & MEND_CAP_PEERS) != 0)
        p->host->peers_watch(p->host, on_peer_PL, p);
    p->started_us = p->second_us = p->heartbeat_us = p->host->now_us(p->host);
    if (!arm_tick(p))
        return error_fill(ret, MEND_EFAULT, "the host gives no timer");
    site_heartbeat(p->site);
    observer_begin(p);
    locate(p, NULL);
    return MEND_OK;
}

static void rewatch(const AgentRecord *record, void *user) { watch_record(user, record); }

static mend_rc plugin_reload(void *self, mend_str config, mend_error *ret)
{
    Plugin *p = plugin_from(self);
    g_autoptr(GError) error = NULL;
    LivenessSettings liveness;
    PluginSettings next;

    if (!plugin_settings_parse(config.ptr, config.len, &next, &error))
        return error_fill(ret, MEND_ECONFIG, "%s", error->message); /* what runs was not touched */
    plugin_settings_done(&p->settings);
    p->settings = next;
    liveness = liveness_settings(&next);
    liveness_configure(p->liveness, &liveness);
    rate_set(p->rate, next.rate_per_s, next.rate_burst);
    registry_foreach(p->registry, rewatch, p);
    return MEND_OK;
}

static void on_flushed(void *user)
{
    Plugin *p = plugin_from(user);

    save_registry(p, REGISTRY_SHARDS);
    outbox_close(p->outbox);
    if (p->host->post(p->host, p->drained, p->drained_user) != MEND_OK)
        p->drained(p->drained_user);
}

static void plugin_drain(void *self, mend_task_fn done, void *user)
{
    Plugin *p = plugin_from(self);

    p->drained = done;
    p->drained_user = user;
    outbox_flush(p->outbox, on_flushed, p);
}

static void plugin_destroy(void *self)
{
    Plugin *p = self;

    if (p == NULL)
        return;
    if (p->tick != 0)
        p->host->timer_stop(p->host, p->tick);
    watch_free(p->watch);
    legacy_free(p->legacy);
    desk_free(p);
    site_free(p->site);
    outbox_free(p->outbox);
    commands_free(p->commands);
    seat_free(p->seat);
    digest_free(p->digest);
    entities_free(p->entities);
    liveness_free(p->liveness);
    registry_free(p->registry);
    rate_free(p->rate);
    rate_free(p->noise);
    quarantine_free(p->quarantine);
    identity_free(p->identity);
    g_hash_table_unref(p->early);
    g_queue_clear(&p->gone);
    g_hash_table_unref(p->peers);
    g_array_unref(p->subscriptions);
    plugin_settings_done(&p->settings);
    g_free(p->reply_key);
    g_free(p->site_id);
    p->magic = 0;
    g_free(p);
}

#define X(id, name, unit, help) [METRIC_##id] = { name, unit, help },
static const mend_metric metrics[] = { METRICS(X) };
#undef X

const mend_plugin mend_plugin_v1 = {
    .magic = MEND_MAGIC, .abi_major = MEND_ABI_MAJOR, .abi_minor = 0, .size = sizeof mend_plugin_v1,
    .name = "mend", .version = MEND_VERSION, .config_schema = plugin_config_schema, .needs = MEND_CAP_TAP | MEND_CAP_GATE,
    .metrics = metrics, .n_metrics = METRIC_N,
    .create = plugin_create, .start = plugin_start, .reload = plugin_reload, .drain = plugin_drain, .destroy = plugin_destroy,
};
