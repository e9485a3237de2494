/* Which agents are there: a state machine per agent, and one judgement over all of them: when many go silent at once, the one who
 * listens is the suspect. Pure: time is handed in; what it finds goes to the sink, at once. */
#ifndef MEND_LIVENESS_LIVENESS_H
#define MEND_LIVENESS_LIVENESS_H

#include "lib/base/base.h"

#define LIVE_STATES(X) X(UNKNOWN, "unknown") X(UP, "up") X(LATE, "late") X(LOST, "lost") X(CLOSED, "closed")
#define X(id, name) LIVE_##id,
typedef enum { LIVE_STATES(X) LIVE_N } LiveState;
#undef X

typedef struct LivenessRules { /* of a class of agents */
    double late, threshold;    /* in heartbeat intervals */
    bool phi;
    double phi_lost;
} LivenessRules;

typedef struct LivenessSettings {
    double fault_share;        /* this share of independent agents silent at once is the observer's fault */
    int64_t fault_agents;      /* but not fewer than these */
    int64_t fault_window_us;   /* what "at once" is, beyond an agent's own interval */
    int64_t restart_grace_us;  /* how long agents known before a start may stay away */
} LivenessSettings;

typedef struct LivenessSink { /* may ask, must not track or forget anybody */
    void (*moved)(const char *agent, LiveState from, LiveState to, const char *reason, void *user);
    void (*ask)(const char *agent, void *user); /* is silent: send it a question */
    void (*fault)(bool fault, unsigned silent, unsigned total, void *user);
    void *user;
} LivenessSink;

typedef struct Liveness Liveness;

Liveness *liveness_new(const LivenessSettings *settings, const LivenessSink *sink);
void liveness_free(Liveness *liveness);
void liveness_configure(Liveness *liveness, const LivenessSettings *settings);
const char *live_state_name(LiveState state);

/* Begins to watch: UNKNOWN, until it is heard or the grace is over. Known already: its rules and interval change.
 * @domain: what it stands or falls with (machine); counted once in the judgement over all. */
void liveness_track(Liveness *liveness, const char *agent, const char *domain, const LivenessRules *rules, int64_t interval_us, int64_t now_us);
/* A sign of life. @sequence: of a heartbeat, 0 of anything else. False: an old number, no sign. */
bool liveness_beat(Liveness *liveness, const char *agent, uint64_t sequence, int64_t now_us);
void liveness_restarted(Liveness *liveness, const char *agent);
/* Its connection ended. */
void liveness_closed(Liveness *liveness, const char *agent, const char *reason, int64_t now_us);
void liveness_forget(Liveness *liveness, const char *agent);
void liveness_tick(Liveness *liveness, int64_t now_us); /* some times a second */

bool liveness_is_tracked(const Liveness *liveness, const char *agent);
LiveState liveness_state(const Liveness *liveness, const char *agent); /* of one that is tracked */
int64_t liveness_silent_us(const Liveness *liveness, const char *agent, int64_t now_us);
bool liveness_fault(const Liveness *liveness);
size_t liveness_size(const Liveness *liveness);

#endif
