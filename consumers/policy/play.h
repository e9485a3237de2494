/* Plays a story to the engine in virtual time: inputs at their moments, timers when they fall due in between. The golden cases and
 * `mend policy test` are made of such stories.
 *
 * A case is a folder (events.json or events.yaml, commands.json, optionally policy.yaml) or one YAML file with "expect" (docs/policy.md).
 * Thread: any. Errors: PLAY_ERROR, naming the file and the item; also those of reading files and policies. */
#ifndef MEND_POLICY_PLAY_H
#define MEND_POLICY_PLAY_H

#include "consumers/policy/engine/engine.h"

#define PLAY_BEGIN_US (INT64_C(1700000000) * US_PER_S) /* what a story calls 0s */

#define PLAY_ERROR play_error_quark()
GQuark play_error_quark(void);
typedef enum { PLAY_ERROR_CASE } PlayError;

typedef struct PlayOptions {
    Policy *policy;    /* for cases without policy.yaml; NULL: the default policy */
    bool restore_each; /* the engine is taken apart and put together after every step */
    /* Hears every step; @input in its journal form. May be NULL. */
    void (*heard)(const json_t *input, const EngineOutputs *outputs, int64_t now_us, void *user);
    void *user;
} PlayOptions;

/* What happened, one JSON object per line in an array. Caller frees. NULL: error. */
char *play_case(const char *path, const PlayOptions *options, GError **error);
/* Plays it and compares with what it expects. *ret_difference (transfer full): NULL when it is met, else what differs, for people.
 * @accept: commands.json of a folder is written anew instead. False: error. */
bool play_check(const char *path, const PlayOptions *options, bool accept, char **ret_difference, GError **error);
/* The sentence a case tells, or NULL. Caller frees. */
char *play_story(const char *path);

#endif
