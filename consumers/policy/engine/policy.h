/* The policy as the engine sees it: plain data, made by language/ from a file or by policy_default(). Immutable once made, counted.
 * Thread: any (counts are atomic). */
#ifndef MEND_POLICY_POLICY_H
#define MEND_POLICY_POLICY_H

#include "consumers/policy/language/condition.h"

#define ACTION_NOTIFY "notify"

typedef struct Step {
    char *action;            /* "service.restart" "service.start" "service.stop", or "notify" */
    char *to;                /* notify: a target's name */
    unsigned attempts;       /* at most, in one incident and in any window of within_us over all incidents of the entity */
    int64_t within_us;
    int64_t backoff_first_us, backoff_max_us; /* before the second attempt; the first is immediate */
    double backoff_factor;
    char *healed_state;
    int64_t healed_for_us;   /* the state must last so long; 0: seen once is enough */
    int64_t timeout_us;      /* for the answer; and after it again for the healed state to appear */
} Step;

typedef struct Rule {
    char *name;
    char *on;                /* "service.failed", "agent.*" */
    Condition *where;        /* NULL: always */
    GPtrArray *ladder;       /* of Step */
    bool observe_only;
} Rule;

typedef struct AppVm {
    char *name;
    char *match_name, *match_id; /* at least one */
    GPtrArray *services;     /* of char *; empty: every service of the VM */
} AppVm;

typedef struct Application {
    char *name;
    GPtrArray *vms;          /* of AppVm */
} Application;

typedef enum { TARGET_LOG, TARGET_EXEC } TargetKind;
typedef struct Target {
    char *name;
    TargetKind kind;
    char *command;           /* EXEC: run with the notice as JSON on its standard input */
} Target;

typedef struct Policy {
    int refs;
    char *name;              /* file, or "default" */
    char *text;              /* as it was read; "" of the default */
    char *version;           /* UUID over the text */
    GPtrArray *applications, *rules, *targets;
    int64_t startup_guard_us;/* after a start nothing new is begun for so long */
    int64_t hold_max_us;     /* an incident that cannot act (agent gone, state unknown) waits so long for it, then a human is asked */
} Policy;

Policy *policy_new(const char *name, const char *text); /* empty: acts on nothing */
/* What holds without a file: every service.failed nobody wanted is restarted, 3 times in 10 minutes, then a human is told. */
Policy *policy_default(void);
Policy *policy_ref(Policy *policy);
void policy_unref(Policy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Policy, policy_unref)

/* A step with the defaults of @action ("notify" or an action). */
Step *step_new(const char *action);
Step *step_copy(const Step *step, const char *action);
void step_free(Step *step);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Step, step_free)
Rule *rule_new(const char *name, const char *on);
void rule_free(Rule *rule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rule, rule_free)
Application *application_new(const char *name);
void application_free(Application *application);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Application, application_free)
AppVm *app_vm_new(const char *name);
void app_vm_free(AppVm *vm);
Target *target_new(const char *name, TargetKind kind, const char *command);
void target_free(Target *target);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Target, target_free)

const Rule *policy_rule(const Policy *policy, const char *name); /* NULL: none */
const Target *policy_target(const Policy *policy, const char *name);
bool rule_listens(const Rule *rule, const char *kind);
/* The application a service (or, @service NULL, a VM) belongs to; its VM's name there in *ret_vm. NULL: none. */
const char *policy_application(const Policy *policy, const char *vm_id, const char *hostname, const char *service, const char **ret_vm);
/* What is in force, with every default written out. (transfer full) */
json_t *policy_to_json(const Policy *policy);

/* "running" for services, "up" for agents, "well" for the observer; NULL: nothing counts as healthy. */
const char *healthy_state(const char *kind);

#endif
