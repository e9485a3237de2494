/* What people ask of a whole application: that it starts, or that it stops and stays so. Either is one incident of app/NAME with a rule of its own
 * (policy_rule() knows it, no file has it), so that it waits, goes on, fails and is explained as all else. An application that is stopped has no
 * failures until somebody starts it, whatever its VMs do: not a hold, which would keep incidents open and call people. */
#ifndef MEND_POLICY_ASKED_H
#define MEND_POLICY_ASKED_H

#include "consumers/policy/engine/incident.h"
#include "consumers/policy/engine/policy.h"

typedef struct Engine Engine;
typedef struct Stage Stage;

typedef struct StoppedApp {
    char *name, *who, *comment; /* who and comment may be NULL */
    int64_t since_us;
} StoppedApp;

void stopped_app_free(StoppedApp *app); /* NULL is fine */

/* @target: "app/NAME". False: *ret_why (transfer full) says why not, and nothing was done. */
bool asked_start(Stage *s, const char *target, const char *who, const json_t *arguments, char **ret_why);
bool asked_stop(Stage *s, const char *target, const char *who, const json_t *arguments, char **ret_why);

/* The stopped application that @entity is of; NULL: none, or it is not stopped. */
const StoppedApp *stopped_app_of(Engine *engine, const EntityState *entity);
/* It was asked for, so what keeps Mend from acting by itself (maintenance, holds, silences) does not keep it. */
bool incident_is_asked(const Engine *engine, const Incident *incident);
/* This engine acts now, after another. */
void asked_taken_over(Stage *s);
/* All of it is done. */
void asked_done(Stage *s, Incident *incident);
/* The policy has changed: what it has no more is forgotten. */
void asked_of_policy(Stage *s);

json_t *stopped_apps_to_json(const Engine *engine); /* (transfer full) */
void stopped_apps_from_json(Engine *engine, const json_t *json);

#endif
