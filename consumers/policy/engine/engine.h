/* The policy engine: a function of its state, one input and the time. No I/O, no clock, no dice, no globals: the same inputs give
 * the same outputs to the bit, whether they happen, are replayed from the journal, or are invented by a simulator.
 *
 * Time: now_us is the host's; it never goes back and is near the wall clock. The engine arms one timer: OUTPUT_TIMER says when it
 * wants INPUT_TIMER at the latest; earlier ones do no harm.
 * Thread: one, the owner's. */
#ifndef MEND_POLICY_ENGINE_H
#define MEND_POLICY_ENGINE_H

#include "consumers/policy/engine/incident.h"
#include "consumers/policy/engine/policy.h"
#include "lib/model/event.h"

typedef struct Engine Engine;

#define INPUT_KINDS(X)                                                                                              \
    X(START, "start")       /* the host (re)started: not acting, start-up guard begins */                           \
    X(EVENT, "event")       /* from mend.events */                                                                  \
    X(ENTITY, "entity")     /* what the plugin says is true now, asked because events may be missing: an Event too */ \
    X(RESULT, "result")                                                                                             \
    X(TIMER, "timer")                                                                                               \
    X(ACTING, "acting")     /* epoch > 0: ours to act, commands in flight leave again under it; 0: not ours any more */ \
    X(POLICY, "policy")                                                                                             \
    X(OPERATOR, "operator")
#define X(id, text) INPUT_##id,
typedef enum { INPUT_KINDS(X) INPUT_N } InputKind;
#undef X

/* pause, resume: the kill switch, kept over restarts. retry, close, approve, deny: @target's incident. maintain, silence, hold: a Quiet for @target
 * (arguments "until_us", "comment", "actions"); release: ends it. confirm-off: a person's word that @target (host or VM) is off.
 * unquarantine: @target takes VMs again. start, stop: the application app/NAME, which then stays so (asked.h). */
#define OPERATOR_VERBS_TEXT "pause resume retry close approve deny maintain silence hold release confirm-off unquarantine start stop"
#define OPERATOR_VERBS "pause", "resume", "retry", "close", "approve", "deny", "maintain", "silence", "hold", "release", "confirm-off", \
                       "unquarantine", "start", "stop"

typedef struct EngineInput { /* borrowed by engine_step */
    InputKind kind;
    Event *event;
    Result *result;
    uint64_t epoch;       /* acting */
    unsigned shard, shards; /* acting: whose epoch, 0: the site's; how many there are beside the site */
    Policy *policy;
    const char *verb;   /* operator: one of OPERATOR_VERBS */
    const char *target; /* entity path */
    const char *who;    /* operator, policy */
    json_t *arguments;  /* policy: {"from": "file", "load" or "rollback"}; operator: object or NULL: "until_us" "comment" "match" "name" … (docs/policy.md) */
} EngineInput;

typedef enum { OUTPUT_COMMAND, OUTPUT_NOTICE, OUTPUT_RECORD, OUTPUT_TIMER, OUTPUT_N } OutputKind;

/* Everything is in @json (docs/policy.md lists the forms); COMMAND has it as a Command too. */
typedef struct EngineOutput {
    OutputKind kind;
    json_t *json;       /* COMMAND NOTICE RECORD; TIMER: NULL */
    Command *command;
    int64_t at_us;      /* TIMER; NEVER_US: none is wanted */
} EngineOutput;

typedef GPtrArray EngineOutputs; /* of EngineOutput */
EngineOutputs *engine_outputs_new(void);
/* All outputs as one canonical JSON text, to compare. Caller frees. */
char *engine_outputs_text(const EngineOutputs *outputs);

Engine *engine_new(Policy *policy); /* takes its own reference */
void engine_free(Engine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Engine, engine_free)

/* Appends to @outputs. Wrong inputs (unknown verb, result nobody waits for) are recorded, never fatal. */
void engine_step(Engine *engine, const EngineInput *input, int64_t now_us, EngineOutputs *outputs);

/* The whole state, and back: engine_restore(engine_snapshot(e)) goes on exactly as e does. The policy is kept by the host. */
json_t *engine_snapshot(const Engine *engine);
Engine *engine_restore(const json_t *snapshot, Policy *policy, GError **error);

/* Reading. */
const Policy *engine_policy(const Engine *engine);
uint64_t engine_epoch(const Engine *engine); /* 0: not acting */
uint64_t engine_shard_epoch(const Engine *engine, unsigned shard); /* 0: not acting for it */
unsigned engine_shards(const Engine *engine);
bool engine_awaits(const Engine *engine, const char *command); /* it is in flight, by its id */
/* Nothing is started on @host (its path) for now: too much failed there. */
bool engine_excludes(Engine *engine, const char *host);
int64_t engine_due_us(const Engine *engine);
uint64_t engine_sequence(const Engine *engine); /* newest event's */
/* State of @path and the sequence it came with; false: never heard of. */
bool engine_entity(const Engine *engine, const char *path, const char **ret_state, uint64_t *ret_sequence);
/* VMs that may have to start where nobody knows them (highly available, or of the policy) and have told what they are made from, in the order
 * of their paths. @agent: who told; may be NULL. */
typedef void (*EngineDefinitionFn)(const char *path, const char *hash, const char *agent, void *user);
void engine_each_definition(const Engine *engine, EngineDefinitionFn fn, void *user);
/* Open incidents as objects, in the order they were opened. (transfer full) */
json_t *engine_incidents(const Engine *engine);
/* For `mend status`. (transfer full) */
json_t *engine_status(const Engine *engine);

#endif
