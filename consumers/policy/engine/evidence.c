/* From what each channel says of a host to a verdict.
 *
 * A session that ended says that we do not hear the host, and no more. Dead needs `need` channels that do not share a path, and none that
 * shows life. Life on storage without life on the network is an isolated host; life its peers see is a partition between it and us.
 * When many hosts fall silent at once the silence says something about us: sessions then count for nobody, and what remains must
 * carry the verdict alone. That is how one host that is really dead is told from the forty that sit behind a switch. */
#include "consumers/policy/engine/engine_private.h"


#include <string.h>

#define LIFE_LAG_US (30 * US_PER_S)
#define MANY_AT_LEAST 3 /* of two hosts one is half the site, and proves nothing about the observer */

#define X(id, text) [CHANNEL_##id] = text,
static const char *const channel_names[] = { CHANNELS(X) };
#undef X

static const struct {
    const char *name, *state;
} verdicts[] = {
    [VERDICT_UNKNOWN] = { "unknown", "unknown" },
    [VERDICT_ALIVE] = { "alive", "alive" },
    [VERDICT_DEGRADED] = { "degraded", "degraded" },
    [VERDICT_ISOLATED] = { "isolated", "isolated" },
    [VERDICT_PARTITIONED] = { "partitioned", "partitioned" },
    [VERDICT_DEAD] = { "dead", "dead" },
    [VERDICT_OFF] = { "off", "off" },
    [VERDICT_OBSERVER_FAULT] = { "observer-fault", "unknown" },
};
G_STATIC_ASSERT(G_N_ELEMENTS(verdicts) == VERDICT_N);

static const char *const says_names[] = {
    [SAYS_NOTHING] = "nothing", [SAYS_ALIVE] = "alive", [SAYS_LATE] = "late", [SAYS_GONE] = "gone", [SAYS_OFF] = "off",
};
G_STATIC_ASSERT(G_N_ELEMENTS(says_names) == SAYS_N);

const char *verdict_name(Verdict verdict)
{
    return verdicts[verdict].name;
}

const char *channel_name(Channel channel)
{
    return channel_names[channel];
}

bool channel_parse(const char *text, Channel *ret)
{
    for (Channel c = 0; text != NULL && c < CHANNEL_N; c++)
        if (strcmp(channel_names[c], text) == 0) {
            *ret = c;
            return true;
        }
    return false;
}

/* The session lives as long as the connection. A sign of life is worth something only while it is fresh; that there is none lasts
 * until the host is heard again, if it was said about this silence and not about an earlier one. */
static Says says_now(const Engine *engine, const HostState *host, Channel c)
{
    const ChannelState *channel = &host->channel[c], *session = &host->channel[CHANNEL_SESSION];
    bool lasts = channel->says != SAYS_ALIVE && session->says == SAYS_GONE;
    int64_t since_us = lasts ? session->at_us : engine->now_us;
    bool stale = c != CHANNEL_SESSION && since_us - channel->at_us > engine->policy->evidence.stale_us;

    return stale ? SAYS_NOTHING : channel->says;
}

json_t *evidence_to_json(const Engine *engine, const EntityState *host)
{
    json_t *json = json_object();

    for (Channel c = 0; c < CHANNEL_N; c++)
        if (host->host->channel[c].says != SAYS_NOTHING) {
            bool stale = says_now(engine, host->host, c) != host->host->channel[c].says;
            g_autofree char *text = g_strdup_printf("%s%s", says_names[host->host->channel[c].says], stale ? " (stale)" : "");

            json_object_set_new(json, channel_names[c], json_string(text));
        }
    return json;
}

static bool session_is_gone(const EntityState *host)
{
    return host->host->channel[CHANNEL_SESSION].says == SAYS_GONE;
}

/* Many sessions ended at once; it lasts until most are back. */
static bool observer_is_ill(const Engine *engine)
{
    const EvidencePolicy *policy = &engine->policy->evidence;
    unsigned gone = 0, recent = 0;

    for (guint i = 0; i < engine->hosts->len; i++) {
        const EntityState *host = engine->hosts->pdata[i];

        if (!session_is_gone(host) || host->host->verdict == VERDICT_OFF)
            continue;
        gone++;
        recent += engine->now_us - host->host->channel[CHANNEL_SESSION].at_us <= policy->observer_within_us;
    }
    unsigned counted = engine->hosts_fault ? gone : recent;
    return counted >= MANY_AT_LEAST && counted * 100 > policy->observer_percent * engine->hosts->len;
}

typedef struct Tally {
    bool life_network, life_storage;
    unsigned gone, gone_independent; /* paths: session and peers end at the same network card */
} Tally;

static Tally tally(const Engine *engine, const HostState *host)
{
    Says peer = says_now(engine, host, CHANNEL_PEER), ping = says_now(engine, host, CHANNEL_PING);
    Says storage = says_now(engine, host, CHANNEL_STORAGE), bmc = says_now(engine, host, CHANNEL_BMC);
    Tally t = { .life_network = peer == SAYS_ALIVE || ping == SAYS_ALIVE, .life_storage = storage == SAYS_ALIVE };

    bool network = peer == SAYS_GONE || ping == SAYS_GONE;

    t.gone_independent = network + (storage == SAYS_GONE) + (bmc == SAYS_OFF);
    t.gone = t.gone_independent + (!network && host->channel[CHANNEL_SESSION].says == SAYS_GONE);
    return t;
}

/* Off is off until there is life, and a heartbeat is seen for some time after the last one was made. Being heard again clears it. */
static bool is_off(const HostState *host)
{
    static const Channel others[] = { CHANNEL_PEER, CHANNEL_PING, CHANNEL_STORAGE };
    int64_t off_us = host->channel[CHANNEL_BMC].at_us;

    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        if (host->channel[others[i]].says == SAYS_ALIVE && host->channel[others[i]].at_us > off_us + LIFE_LAG_US)
            return false;
    return host->channel[CHANNEL_BMC].says == SAYS_OFF;
}

/* Somebody saw it live after its session ended, or has not taken back since long that it does. */
static bool life_is_since(const Engine *engine, const HostState *host)
{
    int64_t gone_us = host->channel[CHANNEL_SESSION].at_us;

    if (engine->now_us > gone_us + LIFE_LAG_US)
        return true;
    for (Channel c = CHANNEL_SESSION + 1; c < CHANNEL_N; c++)
        if (says_now(engine, host, c) == SAYS_ALIVE && host->channel[c].at_us >= gone_us)
            return true;
    return false;
}

static Verdict judge(const Engine *engine, const EntityState *entity, bool *ret_independent)
{
    const HostState *host = entity->host;
    Says session = says_now(engine, host, CHANNEL_SESSION);
    const Tally t = tally(engine, host);
    unsigned need = MAX(1u, engine->policy->evidence.need);

    *ret_independent = t.gone_independent >= need;
    bool off = is_off(host), life = !off && (t.life_network || t.life_storage);

    if (session == SAYS_ALIVE)
        return t.gone_independent > 0 ? VERDICT_DEGRADED : VERDICT_ALIVE;
    bool nobody_is_lost = engine->observer_fault || engine->hosts_fault; /* the plugin waits while many are silent: others must tell */
    if (session == SAYS_LATE && (life || !*ret_independent || !nobody_is_lost))
        return VERDICT_DEGRADED;
    if (off)
        return VERDICT_OFF;
    if (session == SAYS_NOTHING)
        return VERDICT_UNKNOWN;
    if (t.life_network || t.life_storage) /* it may have been seen just before it fell silent: not dead, and no more is known yet */
        return !life_is_since(engine, host) ? VERDICT_UNKNOWN : t.life_network ? VERDICT_PARTITIONED : VERDICT_ISOLATED;
    if (engine->hosts_fault)
        return t.gone_independent >= need ? VERDICT_DEAD : VERDICT_OBSERVER_FAULT;
    return t.gone >= need ? VERDICT_DEAD : VERDICT_UNKNOWN;
}

static void stale_due(Engine *engine, HostState *host)
{
    int64_t lag_us = host->channel[CHANNEL_SESSION].at_us + LIFE_LAG_US + 1;
    bool waits = host->channel[CHANNEL_SESSION].says == SAYS_GONE && host->verdict == VERDICT_UNKNOWN && lag_us > engine->now_us;
    int64_t due_us = waits ? lag_us : NEVER_US;

    for (Channel c = CHANNEL_SESSION + 1; host->channel[CHANNEL_SESSION].says == SAYS_GONE && c < CHANNEL_N; c++) {
        int64_t stale_us = host->channel[c].at_us + engine->policy->evidence.stale_us + 1;

        if (host->channel[c].says == SAYS_ALIVE && stale_us > engine->now_us)
            due_us = MIN(due_us, stale_us);
    }
    due_set(&engine->due, &host->due, due_us);
}

static gint by_priority(gconstpointer a, gconstpointer b, gpointer engine)
{
    const EntityState *left = *(const EntityState *const *) a, *right = *(const EntityState *const *) b;
    int one = vm_priority(engine, left), other = vm_priority(engine, right);

    return one != other ? (one > other ? -1 : 1) : strcmp(left->path, right->path);
}

/* Whose priority is higher is told of first: what follows from it may be done at once. */
void evidence_lost(Stage *s, GPtrArray *vms, const EntityState *host, const char *why, const Event *event)
{
    g_ptr_array_sort_with_data(vms, by_priority, s->engine);
    for (guint i = 0; i < vms->len; i++) {
        EntityState *vm = vms->pdata[i];

        if (vm->vm->host != host || g_strcmp0(vm->state, "lost") == 0)
            continue;
        json_t *data = json_pack("{s:s, s:s, s:s}", "host", entity_id(host), "verdict", why, "intent",
                                 intent_is_wanted(vm->intent) && strcmp(vm->state, "stopping") == 0 ? vm->intent : "none");

        g_free(vm->vm->before_lost);
        vm->vm->before_lost = g_strdup(vm->state);
        vm->vm->down_us = s->engine->now_us;
        jobs_over(s, vm);
        event_derive(s, vm, "vm.lost", event, data);
    }
}

/* VMs of a host that is dead or off are lost until something else is said of them. */
static void vms_lost(Stage *s, EntityState *host, const Event *event)
{
    g_autoptr(GPtrArray) vms = g_ptr_array_new();

    for (guint i = 0; i < s->engine->vms->len; i++) {
        EntityState *vm = s->engine->vms->pdata[i];

        if (vm->vm->host == host && strcmp(vm->state, "stopped") != 0)
            g_ptr_array_add(vms, vm);
    }
    evidence_lost(s, vms, host, verdict_name(host->host->verdict), event);
}

/* The host is heard again in the same life: what may still run there is what it was. */
static void vms_found(Stage *s, EntityState *host, const Event *event)
{
    for (guint i = 0; i < s->engine->vms->len; i++) {
        EntityState *vm = s->engine->vms->pdata[i];

        if (vm->vm->host == host && strcmp(vm->state, "lost") == 0 && proof_copy(vm->vm, host) != NULL && vm->vm->before_lost != NULL) {
            g_autofree char *kind = g_strdup_printf("vm.%s", vm->vm->before_lost);

            const char *reason = vm->vm->reason == NULL ? "its host is heard again" : vm->vm->reason;

            vm->vm->down_us = 0; /* it ran all the time, and so did what is in it */
            if (vm->incident != NULL && vm->incident->state == INCIDENT_OPEN && strcmp(vm->vm->before_lost, "running") != 0)
                incident_close(s, vm->incident, INCIDENT_RESOLVED, "its host is heard again: it is not lost");
            event_derive(s, vm, kind, event, json_pack("{s:s, s:s}", "reason", reason, "intent", vm->intent == NULL ? "none" : vm->intent));
        }
    }
}

static void judge_one(Stage *s, EntityState *entity, const Event *event)
{
    HostState *host = entity->host;
    bool independent;
    Verdict verdict = judge(s->engine, entity, &independent);

    stale_due(s->engine, host);
    host->independent = independent || verdict == VERDICT_OFF;
    if (verdict == host->verdict)
        return;
    Verdict before = host->verdict;
    bool was_up = host_is_up(entity);
    host->verdict = verdict;
    s->wake |= WAKES(PROOF) | WAKES(PLACE) | WAKES(PARENT);
    put_record(s, "verdict", entity->incident, entity->path,
               json_pack("{s:s, s:s, s:o, s:b}", "verdict", verdict_name(verdict), "before", verdict_name(before), "channels",
                         evidence_to_json(s->engine, entity), "observer_ill", s->engine->hosts_fault),
               "%s is judged %s", entity->path, verdict_name(verdict));
    if (verdict == VERDICT_OFF)
        proof_host_gone(s, entity, NULL, "its host is off", event == NULL ? NULL : event_fields(event)->id, NULL);
    g_autofree char *kind = g_strdup_printf("host.%s", verdicts[verdict].state);
    event_derive(s, entity, kind, event, json_pack("{s:s, s:s}", "verdict", verdict_name(verdict), "before", verdict_name(before)));
    if (verdict == VERDICT_DEAD || verdict == VERDICT_OFF)
        vms_lost(s, entity, event);
    else if (!was_up && host_is_up(entity))
        vms_found(s, entity, event);
}

static void judge_all(Stage *s, const Event *event)
{
    for (guint i = 0; i < s->engine->hosts->len; i++)
        judge_one(s, s->engine->hosts->pdata[i], event);
}

void evidence_judge(Stage *s, EntityState *host, const Event *event)
{
    Engine *engine = s->engine;
    bool ill = observer_is_ill(engine);

    if (ill == engine->hosts_fault) {
        judge_one(s, host, event);
        return;
    }
    engine->hosts_fault = ill;
    put_record(s, ill ? "hosts.fault" : "hosts.well", NULL, NULL, NULL,
               ill ? "many hosts fell silent at once: their silence says nothing of them, the fault is between them and us"
                   : "most hosts are heard again");
    put_notice(s, "observer", "log", NULL, ill ? "many hosts fell silent at once: only what other channels say counts"
                                               : "most hosts are heard again");
    judge_all(s, event);
}

void evidence_due(Stage *s, EntityState *host)
{
    judge_one(s, host, NULL);
}

bool evidence_is_independent(Engine *engine, const EntityState *entity)
{
    const EntityState *host = host_of(engine, entity);

    return host != NULL && host->host->independent && (host->host->verdict == VERDICT_DEAD || host->host->verdict == VERDICT_OFF);
}

/* Since it hangs. What was said before says nothing of it; and a kernel that spins keeps its vCPUs busy while its watchdog fires. */
static bool gives_signs_again(const EntityState *entity)
{
    const VmState *vm = entity->vm;
    const ChannelState *channels[] = { &vm->agent, &vm->qga, g_strcmp0(vm->reason, "watchdog") == 0 ? NULL : &vm->progress };

    for (size_t i = 0; i < G_N_ELEMENTS(channels); i++)
        if (channels[i] != NULL && channels[i]->says == SAYS_ALIVE && channels[i]->at_us > entity->since_us)
            return true;
    return false;
}

/* An agent that is silent in a guest whose vCPUs work is a lost agent, not a hung guest. */
void evidence_judge_vm(Stage *s, EntityState *entity, const Event *event)
{
    const VmState *vm = entity->vm;
    bool silent = vm->agent.says == SAYS_GONE || vm->qga.says == SAYS_GONE;
    bool fresh = s->engine->now_us - vm->progress.at_us <= s->engine->policy->evidence.stale_us;
    bool works = vm->agent.says == SAYS_ALIVE || vm->qga.says == SAYS_ALIVE || vm->progress.says == SAYS_ALIVE;

    if (strcmp(entity->state, "hung") == 0 && gives_signs_again(entity)) {
        g_clear_pointer(&entity->vm->reason, g_free);
        event_derive(s, entity, "vm.running", event, json_pack("{s:s, s:s}", "intent", "none", "reason", "it gives signs again"));
        return;
    }
    if (strcmp(entity->state, "running") != 0 || !silent || works || vm->progress.says != SAYS_GONE || !fresh)
        return;
    event_derive(s, entity, "vm.hung", event, json_pack("{s:s, s:s}", "intent", "none", "reason", "neither its agent nor its vCPUs give a sign"));
}
