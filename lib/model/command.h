/* A step's decision on its way to an agent, and what the agent answered. Plain data; strings owned. */
#ifndef MEND_MODEL_COMMAND_H
#define MEND_MODEL_COMMAND_H

#include "lib/base/base.h"

/* Errors an agent or the plugin gives with a refused or failed command, in the property mend.error. */
#define COMMAND_ERROR_STALE_EPOCH "stale-epoch"
#define COMMAND_ERROR_DEADLINE    "deadline-passed"
#define COMMAND_ERROR_DUPLICATE   "duplicate"      /* ran already, and its result is no longer known */
#define COMMAND_ERROR_UNKNOWN     "unknown-method"
#define COMMAND_ERROR_ARGUMENT    "bad-argument"
#define COMMAND_ERROR_NOT_FOUND   "not-found"
#define COMMAND_ERROR_UNSAFE      "unsafe"         /* refused: it would do harm as things are, e.g. move a VM whose storage fails */
#define COMMAND_ERROR_FAILED      "failed"         /* it ran and did not succeed: rc and text tell */
#define COMMAND_ERROR_TIMEOUT     "timeout"
#define COMMAND_ERROR_INTERRUPTED "interrupted"    /* the agent restarted while it ran */
#define COMMAND_ERROR_UNREACHABLE "unreachable"    /* from the plugin: agent gone, queue expired it */

typedef struct Command {
    char *id;            /* UUID */
    char *incident;      /* UUID or NULL (an operator's own command) */
    char *entity;        /* "service/VM/NAME" */
    char *action;        /* "service.restart" "service.start" "service.stop" */
    char *agent;         /* QMF agent name */
    uint64_t epoch;
    unsigned shard;      /* whose engine's epoch it is; 0: the site's */
    char *group;         /* of a shard's command: what belongs to it by (lib/model/shard.h); else NULL */
    int64_t deadline_ms; /* wall clock, ms since 1970 */
    json_t *arguments;   /* object: what the QMF method takes */
} Command;

void command_free(Command *command);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Command, command_free)
json_t *command_to_json(const Command *command);
Command *command_from_json(const json_t *json, GError **error);

typedef enum { RESULT_DONE, RESULT_FAILED, RESULT_REFUSED, RESULT_PROGRESS, RESULT_STATE_N } ResultState;

typedef struct Result {
    char *command_id, *incident, *agent;
    ResultState state;
    char *error;         /* COMMAND_ERROR_… or NULL */
    char *text;          /* for people; may be NULL */
    json_t *values;      /* object: the method's outputs; may be NULL */
} Result;

void result_free(Result *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Result, result_free)
const char *result_state_name(ResultState state); /* "done" "failed" "refused" "progress" */
bool result_state_parse(const char *text, ResultState *ret_state);
json_t *result_to_json(const Result *result);
Result *result_from_json(const json_t *json, GError **error);

#endif
