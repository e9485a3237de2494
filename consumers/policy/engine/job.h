/* Automatic holds: while a VM migrates, is snapshotted, frozen, dumped, backed up or boots, its silence and the failures of what is in it
 * say little, and acting on it would do harm. Each hold has a cap: what is still ill then is acted on. */
#ifndef MEND_POLICY_JOB_H
#define MEND_POLICY_JOB_H

#include "consumers/policy/engine/due.h"
#include "lib/model/event.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;

typedef struct Job {
    EntityState *vm;
    char *name;            /* "migration" */
    int64_t begun_us, until_us;
    DueTime due;           /* at until_us */
} Job;

void job_free(Job *job);
/* "vm.job": begun or ended. */
void job_event(Stage *s, EntityState *vm, const Event *event);
void job_due(Stage *s, Job *job);
void jobs_over(Stage *s, EntityState *vm); /* it does not run any more, or its host is gone: nothing is in progress there */
/* The oldest one in progress on @entity's VM; NULL: none. */
const Job *job_on(Engine *engine, const EntityState *entity);
/* A boot is a job, too, of a VM whose agent was heard before: it lasts until the agent is heard again and has had time to say how things
 * are. Its cap is learned: 1.5 times what 95 % of its last BOOTS_KEPT boots took, at least the policy's boot_grace, which is also what
 * holds before BOOTS_TO_LEARN_FROM were seen. */
#define BOOTS_KEPT 20
#define BOOTS_TO_LEARN_FROM 3
void boot_begun(Stage *s, EntityState *vm);
void boot_over(Stage *s, EntityState *vm);   /* its agent is heard */
void boot_failed(Stage *s, EntityState *vm); /* the command that was to start it failed */
int64_t boot_grace_us(const Engine *engine, const EntityState *vm);

json_t *jobs_to_json(const Engine *engine); /* (transfer full) */
void jobs_from_json(Engine *engine, const json_t *json);

#endif
