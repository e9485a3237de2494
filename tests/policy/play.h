/* Plays a story to the engine in virtual time: inputs at their moments, timers when they fall due in between. */
#ifndef MEND_TESTS_POLICY_PLAY_H
#define MEND_TESTS_POLICY_PLAY_H

#include "consumers/policy/engine/engine.h"

#define PLAY_BEGIN_US (INT64_C(1700000000) * US_PER_S) /* what a story calls 0s */

/* @folder: has events.json and, if it needs one, policy.yaml. @restore_each: the engine is taken apart and put together after every
 * step. Answers what happened, one JSON object per line in an array. Caller frees. */
char *play_case(const char *folder, bool restore_each);

#endif
