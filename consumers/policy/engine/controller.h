/* Control rules at work: samples come in with vm.sample and host.sample, every cycle each entity of the rule's kind is looked at, and what is to be set
 * leaves as a command of its own, without an incident: a number that is kept where it should be is no failure.
 *
 * One sample moves it once: after a setting the next sample is waited for. Hands off, whatever the numbers say, while another engine acts, the engine is paused, starts, or its observer is ill; while the entity is
 * quiet, has a job, an incident, or something is done to it; while it does not run or its agent is unknown. Why nothing is set is recorded when the
 * reason changes, not every cycle.
 *
 * The value in force is what the newest sample says under the argument's name (balloon_bytes for memory_bytes), else what was set last,
 * else what the host agent told of the VM. When nobody knows it, nothing is set. */
#ifndef MEND_POLICY_CONTROLLER_H
#define MEND_POLICY_CONTROLLER_H

#include "consumers/policy/engine/control.h"
#include "consumers/policy/engine/due.h"
#include "consumers/policy/engine/policy.h"
#include "lib/model/command.h"
#include "lib/model/event.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;

#define CONTROL_FLIGHTS_MAX 10000
#define CONTROL_TIMEOUT_US (30 * US_PER_S)  /* of a command */

typedef struct Controller {
    char *rule;
    guint index;               /* of the rule in the policy */
    DueTime due;               /* the next cycle; NEVER_US until a sample comes */
} Controller;
void controller_free(Controller *controller);

typedef struct ControlFlight { /* a command that is not answered */
    char *command, *rule, *entity;
    int64_t until_us;
} ControlFlight;
void control_flight_free(ControlFlight *flight);

/* Takes up the policy's controls; what they have averaged stays with those that keep their name. */
void controllers_of_policy(Engine *engine);
/* @event: vm.sample or host.sample. */
void controllers_sample(Stage *s, EntityState *entity, const Event *event);
void controller_due(Stage *s, Controller *controller);
/* For who else sets numbers. Why nothing may be set on @entity now, as a rule called @rule; NULL: it may. */
const char *controller_held(Engine *engine, const char *rule, const EntityState *entity);
/* Sends @action about @entity with @arguments and its name; @target is what the book is to have as set for @every_us. @part tells it from
 * others that @rule sends for @entity in the same cycle; NULL: there are none. @data: what decided. */
void controller_send(Stage *s, const char *rule, const EntityState *entity, const char *action, const json_t *arguments, const char *part,
                     const char *target, int64_t every_us, json_t *data);
/* False: the answer is to nothing of ours. */
bool controllers_answered(Stage *s, const Result *result);

json_t *controllers_to_json(const Engine *engine); /* (transfer full) */
void controllers_from_json(Engine *engine, const json_t *json);

#endif
