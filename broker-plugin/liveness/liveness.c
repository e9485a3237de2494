/*               heard                          late x interval            threshold x interval
 *   UNKNOWN -------------> UP <----------------------------- LATE -----------------------------> LOST
 *      |                   ^ |  ------------------------------^  heard: UP from everywhere         ^
 *      |                   | | connection ended                  connection ended: CLOSED          |
 *      |                   | +---------------> CLOSED -----------------------------------------------+
 *      +-- grace over ---------------------------------------------------------------------------->+
 *
 * LATE asks the agent (a second channel: an answer is a sign of life) and asks again every half interval, so one lost heartbeat on a
 * line that works is settled by a question, not by waiting. Nothing here stops for that: LOST comes when its time has come.
 *
 * Observer's fault. Heartbeats of many agents come at different moments, so when our own line is cut, the first one reaches its
 * threshold while the others have only just become late. Therefore late counts as silent: when somebody is about to be lost, those
 * who were heard after the suspect's last sign of life are the witnesses, those silent since are the silent, and each machine counts
 * once. Agents whose interval is not over yet prove nothing and are not counted. Too large a share of silence: a fault is declared and nobody is
 * lost until most are heard again; who is still silent then gets a whole threshold anew. The one who is silent alone is lost as ever.
 *
 * All agents are looked at on every tick: 10,000 of them are a tenth of a millisecond, and no queue of deadlines has to be kept right. */
#include "broker-plugin/liveness/liveness.h"

#include "broker-plugin/liveness/pulse.h"

typedef struct Agent {
    char *name, *domain;
    LivenessRules rules;
    Pulse pulse;
    LiveState state;
    int64_t since_us; /* of the state */
    int64_t asked_us;
} Agent;

struct Liveness {
    LivenessSettings settings;
    LivenessSink sink;
    GHashTable *agents;
    int64_t fault_us; /* since; 0: none */
    bool suspicion;   /* this tick has judged already: what it found */
    bool judged;
};

#define TO(s) (1u << LIVE_##s)
static const struct { const char *name; uint32_t to; } states[] = {
    [LIVE_UNKNOWN] = { "unknown", TO(UP) | TO(LOST) | TO(CLOSED) },
    [LIVE_UP]      = { "up",      TO(LATE) | TO(CLOSED) | TO(LOST) },
    [LIVE_LATE]    = { "late",    TO(UP) | TO(LOST) | TO(CLOSED) },
    [LIVE_LOST]    = { "lost",    TO(UP) },
    [LIVE_CLOSED]  = { "closed",  TO(UP) | TO(LOST) },
};
#undef TO
_Static_assert(G_N_ELEMENTS(states) == LIVE_N, "every state has a row");

static void agent_free(Agent *a)
{
    g_free(a->name);
    g_free(a->domain);
    g_free(a);
}

static void agent_move(Liveness *l, Agent *a, LiveState to, const char *reason, int64_t now_us)
{
    LiveState from = a->state;

    g_assert(states[from].to & (1u << to)); /* an illegal move is our bug, never input's */
    a->state = to;
    a->since_us = now_us;
    l->sink.moved(a->name, from, to, reason, l->sink.user);
}

Liveness *liveness_new(const LivenessSettings *settings, const LivenessSink *sink)
{
    Liveness *l = g_new0(Liveness, 1);

    l->settings = *settings;
    l->sink = *sink;
    l->agents = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) agent_free);
    return l;
}

void liveness_free(Liveness *l)
{
    if (l == NULL)
        return;
    g_hash_table_unref(l->agents);
    g_free(l);
}

void liveness_configure(Liveness *l, const LivenessSettings *settings) { l->settings = *settings; }
const char *live_state_name(LiveState state) { return states[state].name; }
static Agent *find(const Liveness *l, const char *agent) { return g_hash_table_lookup(l->agents, agent); }

void liveness_track(Liveness *l, const char *name, const char *domain, const LivenessRules *rules, int64_t interval_us, int64_t now_us)
{
    Agent *a = find(l, name);

    if (a == NULL) {
        a = g_new0(Agent, 1);
        a->name = g_strdup(name);
        a->since_us = now_us;
        a->pulse.last_us = now_us;
        g_hash_table_insert(l->agents, a->name, a);
    }
    if (g_strcmp0(a->domain, domain) != 0) {
        g_free(a->domain);
        a->domain = g_strdup(domain);
    }
    a->rules = *rules;
    a->pulse.interval_us = MAX(interval_us, US_PER_MS);
}

bool liveness_beat(Liveness *l, const char *name, uint64_t sequence, int64_t now_us)
{
    Agent *a = find(l, name);

    if (a == NULL)
        return false;
    if (a->state == LIVE_CLOSED || a->state == LIVE_LOST)
        pulse_restart(&a->pulse);
    if (!pulse_beat(&a->pulse, sequence, now_us))
        return false;
    if (a->state != LIVE_UP)
        agent_move(l, a, LIVE_UP, "heard", now_us);
    return true;
}

void liveness_restarted(Liveness *l, const char *name)
{
    Agent *a = find(l, name);

    if (a != NULL)
        pulse_restart(&a->pulse);
}

void liveness_closed(Liveness *l, const char *name, const char *reason, int64_t now_us)
{
    Agent *a = find(l, name);

    if (a != NULL && a->state != LIVE_CLOSED && a->state != LIVE_LOST)
        agent_move(l, a, LIVE_CLOSED, reason, now_us);
}

void liveness_forget(Liveness *l, const char *name) { g_hash_table_remove(l->agents, name); }

/* ---- judgement ------------------------------------------------------------------------------------------------------------ */

static bool is_silent(const Agent *a, int64_t now_us)
{
    return a->state == LIVE_LATE || (double) (now_us - a->pulse.last_us) > (double) a->pulse.interval_us * a->rules.late;
}

/* @since_us: whoever was heard after it is a witness. */
static bool judge(Liveness *l, int64_t since_us, int64_t now_us, unsigned *ret_silent, unsigned *ret_total)
{
    g_autoptr(GHashTable) heard = g_hash_table_new(g_str_hash, g_str_equal), silent = g_hash_table_new(g_str_hash, g_str_equal);
    int64_t window_us = l->settings.fault_window_us;
    GHashTableIter i;
    gpointer domain;
    Agent *a;

    g_hash_table_iter_init(&i, l->agents);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &a)) {
        bool went = (a->state == LIVE_LOST || a->state == LIVE_CLOSED) && now_us - a->since_us <= window_us;

        if (went || ((a->state == LIVE_UP || a->state == LIVE_LATE || a->state == LIVE_UNKNOWN) && is_silent(a, now_us)))
            g_hash_table_add(silent, a->domain);
        else if (a->state == LIVE_UP && a->pulse.last_us >= since_us)
            g_hash_table_add(heard, a->domain);
    }
    g_hash_table_iter_init(&i, heard);
    while (g_hash_table_iter_next(&i, &domain, NULL)) /* one agent of a machine is heard: the machine is there */
        g_hash_table_remove(silent, domain);
    *ret_silent = g_hash_table_size(silent);
    *ret_total = *ret_silent + g_hash_table_size(heard);
    return *ret_silent >= l->settings.fault_agents && (double) *ret_silent >= l->settings.fault_share * (double) *ret_total;
}

static bool suspect_self(Liveness *l, const Agent *a, int64_t now_us)
{
    unsigned silent, total;

    if (l->fault_us != 0)
        return true;
    if (!l->judged) { /* once a tick: all who would be lost in it are judged alike */
        l->judged = true;
        l->suspicion = judge(l, a->pulse.last_us, now_us, &silent, &total);
        if (l->suspicion) {
            l->fault_us = now_us;
            l->sink.fault(true, silent, total, l->sink.user);
        }
    }
    return l->suspicion;
}

static void end_fault(Liveness *l, int64_t now_us)
{
    unsigned silent, total;
    GHashTableIter i;
    Agent *a;

    if (l->fault_us == 0 || judge(l, l->fault_us, now_us, &silent, &total) || total == 0 ||
        (double) silent >= l->settings.fault_share / 2 * (double) total)
        return;
    l->fault_us = 0;
    g_hash_table_iter_init(&i, l->agents);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &a)) {
        if (a->state == LIVE_CLOSED || a->state == LIVE_UNKNOWN)
            a->since_us = now_us;
        if (a->state == LIVE_LATE)
            a->pulse.last_us = now_us;
    }
    l->sink.fault(false, silent, total, l->sink.user);
}

static void lose(Liveness *l, Agent *a, const char *reason, int64_t now_us)
{
    if (!suspect_self(l, a, now_us))
        agent_move(l, a, LIVE_LOST, reason, now_us);
}

static void ask(Liveness *l, Agent *a, int64_t now_us)
{
    if (now_us - a->asked_us < a->pulse.interval_us / 2)
        return;
    a->asked_us = now_us;
    l->sink.ask(a->name, l->sink.user);
}

static bool is_over(const Agent *a, int64_t now_us)
{
    double silent = (double) (now_us - a->pulse.last_us) / (double) a->pulse.interval_us;

    if (a->rules.phi)
        return pulse_phi(&a->pulse, now_us) >= a->rules.phi_lost;
    return silent >= pulse_patience(&a->pulse, a->rules.threshold);
}

static void look_at(Liveness *l, Agent *a, int64_t now_us)
{
    double silent = (double) (now_us - a->pulse.last_us) / (double) a->pulse.interval_us;

    switch (a->state) {
    case LIVE_UNKNOWN:
        if (now_us - a->since_us >= MAX(l->settings.restart_grace_us, (int64_t) (a->rules.threshold * (double) a->pulse.interval_us)))
            lose(l, a, "not heard since the start", now_us);
        break;
    case LIVE_UP:
        if (silent >= a->rules.late)
            agent_move(l, a, LIVE_LATE, "no heartbeat", now_us);
        break;
    case LIVE_LATE:
        ask(l, a, now_us);
        if (is_over(a, now_us))
            lose(l, a, "no heartbeat", now_us);
        break;
    case LIVE_CLOSED:
        if ((double) (now_us - a->since_us) >= a->rules.threshold * (double) a->pulse.interval_us)
            lose(l, a, "closed and did not come back", now_us);
        break;
    case LIVE_LOST:
    case LIVE_N:
        break;
    }
}

void liveness_tick(Liveness *l, int64_t now_us)
{
    GHashTableIter i;
    Agent *a;

    l->judged = false;
    end_fault(l, now_us);
    g_hash_table_iter_init(&i, l->agents);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &a))
        look_at(l, a, now_us);
}

bool liveness_is_tracked(const Liveness *l, const char *name) { return find(l, name) != NULL; }

LiveState liveness_state(const Liveness *l, const char *name)
{
    const Agent *a = find(l, name);

    return a != NULL ? a->state : LIVE_UNKNOWN;
}

int64_t liveness_silent_us(const Liveness *l, const char *name, int64_t now_us)
{
    const Agent *a = find(l, name);

    return a != NULL ? now_us - a->pulse.last_us : 0;
}

bool liveness_fault(const Liveness *l) { return l->fault_us != 0; }
size_t liveness_size(const Liveness *l) { return g_hash_table_size(l->agents); }
