/* The policy as the engine sees it: plain data, made by language/ from a file or by policy_default(). Immutable once made, counted.
 * Thread: any (counts are atomic). */
#ifndef MEND_POLICY_POLICY_H
#define MEND_POLICY_POLICY_H

#include "consumers/policy/language/expression.h"

#define ACTION_NOTIFY  "notify"
/* Rules of every policy beside those of its file: what an operator asked for is done by them (engine/asked.h). */
#define ASKED_START "(asked to start)"
#define ASKED_STOP  "(asked to stop)"
#define ACTION_APPROVE "approve" /* asks people, and goes on when one agrees */

typedef struct Schedule Schedule;     /* engine/schedule.h */
typedef struct MomSection MomSection; /* engine/mom_section.h */

typedef struct Step {
    char *action;            /* one of policy_actions, or "notify" or "approve" */
    char *to;                /* notify, approve: a target's name */
    Expression *when;        /* the step is passed over while this does not hold; NULL: always tried */
    unsigned attempts;       /* at most, in one incident and in any window of within_us over all incidents of the entity */
    int64_t within_us;
    int64_t backoff_first_us, backoff_max_us; /* before the second attempt; the first is immediate */
    double backoff_factor;
    char *healed_state;      /* of the incident's entity */
    int64_t healed_for_us;   /* the state must last so long; 0: seen once is enough */
    int64_t timeout_us;      /* for the answer; and after it again for the healed state to appear; approve: for a person */
    bool default_goes_on;    /* approve: without an answer in time the ladder goes on; else a human is needed */
} Step;

typedef struct Pattern {
    char *on;                /* "service.failed", "agent.*" */
    Expression *where;        /* NULL: always */
} Pattern;

/* When a rule fires: at once, at the COUNT-th match within @window_us, when after a match none of others[0] came within it, or when
 * the match and all of @others came in this order within it. */
typedef enum { TEMPORAL_ONCE, TEMPORAL_COUNT, TEMPORAL_ABSENT, TEMPORAL_SEQUENCE, TEMPORAL_N } TemporalKind;

typedef struct Rule {
    char *name;
    char *on;
    Expression *where;        /* NULL: always */
    TemporalKind temporal;
    unsigned count;
    int64_t window_us;
    GPtrArray *others;       /* of Pattern */
    GPtrArray *group_by;     /* of Expression: matches with the same values belong together; empty: by entity */
    int64_t once_within_us;  /* 0: no throttle */
    Schedule *during, *not_during; /* borrowed from Policy.calendars; NULL: always, never */
    int priority;            /* 0 to 100: who is served first when a budget is short; 50 */
    GPtrArray *ladder;       /* of Step */
    bool observe_only;
    bool asked;              /* ASKED_START, ASKED_STOP */
    int line;                /* in the file; 0: none */
} Rule;

typedef struct AppService {
    char *name, *standard;
    char *provider, *agent;  /* of an OCF service whose agent Mend has to tell; NULL: heartbeat, its name */
    GPtrArray *after, *needs;/* of char *: nodes, see Application */
    json_t *parameters;      /* object or NULL; texts may hold ${vm.NAME.address}, ${vm.NAME.hostname} of a VM of the application */
} AppService;

typedef struct AppVm {
    char *name;
    char *match_name, *match_id; /* at least one */
    GPtrArray *services;     /* of AppService; empty: every service of the VM */
    GPtrArray *after, *needs;
    bool ha;                 /* brought back when it is gone though nobody wanted that */
    int priority;            /* 0 to 100 */
    uint64_t memory_bytes;   /* 0: as its host agent says */
    unsigned vcpus;
    GPtrArray *storage;      /* of char *: ids it needs; besides those its host agent says */
    int64_t boot_grace_us;   /* after a start its silence says nothing for so long */
    char *on_io_error;       /* "auto_resume" "leave_paused" "kill", as oVirt's storage_error_resume_behaviour */
} AppVm;

/* Nodes of an application's graph are "VM" and "VM/SERVICE". A service is after its VM by itself. */
typedef struct Application {
    char *name;
    int priority;            /* of its VMs that say none */
    GPtrArray *vms;          /* of AppVm */
    GPtrArray *groups;       /* of char *: names to match by */
} Application;

/* Which things something is about. Every given field must match; * and ? are wildcards. */
typedef struct Matcher {
    char *entity;            /* path: "service/web/nginx", or with names instead of ids */
    char *kind, *app, *group, *vm, *host, *rack, *rule;
} Matcher;

typedef enum { QUIET_MAINTENANCE, QUIET_SILENCE, QUIET_HOLD, QUIET_N } QuietKind;

/* A reason not to act, not to speak, or both, for some things and some time: maintenance (both), silence (speak, and act when it says
 * so), hold (act). */
typedef struct Quiet {
    QuietKind kind;
    char *name;
    Matcher match;
    bool actions, notices;   /* what is kept back */
    int64_t from_us, until_us; /* INT64_MIN, NEVER_US: open */
    Schedule *schedule;      /* borrowed; NULL: all the time in between */
    char *author, *comment;
} Quiet;

#define BUDGET_SCOPES(X) \
    X(SITE, "site") X(APP, "app") X(VM, "vm") X(HOST, "host") X(RACK, "rack") X(POWER, "power") X(SWITCH, "switch") X(STORAGE, "storage")
#define X(id, text) SCOPE_##id,
typedef enum { BUDGET_SCOPES(X) SCOPE_N } BudgetScope;
#undef X

/* One bucket for each value of its scope: "rack" has one for each rack. */
typedef struct BudgetRule {
    char *name;
    BudgetScope scope;
    GPtrArray *actions;      /* of char *; "vm.*" for a kind */
    unsigned at_once;        /* 0: any */
    unsigned max;            /* in any per_us; 0: any */
    int64_t per_us;
    unsigned unhealthy_max_percent; /* of the scope's entities of the action's kind: above, nothing; 0: not looked at */
} BudgetRule;

typedef struct Flapping {    /* Icinga's, over the last 20 state changes or repetitions */
    bool on;
    double high_percent, low_percent;
} Flapping;

typedef struct Quarantine {  /* hosts on which VMs or the host itself fail often get no new VMs */
    bool on;
    unsigned failures;
    int64_t within_us, for_us;
    unsigned at_most_percent;/* of the hosts */
} Quarantine;

typedef struct Evidence {
    unsigned need;           /* independent channels that must agree before a host is dead */
    unsigned observer_percent; /* more of the hosts gone than this within observer_within_us: the observer is ill */
    int64_t observer_within_us;
    int64_t stale_us;        /* what a channel said longer ago counts as nothing */
} EvidencePolicy;

typedef struct HostInfo {    /* what the file knows of a host; its agent's word wins */
    char *name, *id;         /* at least one */
    char *rack, *power, *switch_name;
    GPtrArray *storage, *labels; /* of char * */
    uint64_t memory_bytes;
    unsigned vcpus;
} HostInfo;

typedef enum { PLACE_APART, PLACE_TOGETHER, PLACE_ON, PLACE_NEVER_ON, PLACE_N } PlaceKind;
typedef struct PlaceRule {
    char *name;
    PlaceKind kind;
    GPtrArray *vms;          /* of char *: "APP/VM" or "APP" */
    char *by;                /* APART, TOGETHER: "host" "rack" "power" "switch" */
    char *label;             /* ON, NEVER_ON: label, or host name */
    bool hard;
} PlaceRule;

typedef struct Placement {
    unsigned reserve_hosts;  /* room for so many hosts' failure is kept */
    unsigned reserve_percent;
    double overcommit_memory, overcommit_vcpus;
    GPtrArray *rules;        /* of PlaceRule */
} Placement;

/* A numeric control: every @every_us, for each entity of @kind that @where holds for, the smoothed @input is looked at, @target computed and,
 * within its limits, set by @action with {@argument: value}. */
typedef struct ControlRule {
    char *name, *kind;
    Expression *where;
    int64_t every_us;
    Expression *input, *target; /* numbers; @target sees "input" as window.average, window.last */
    unsigned samples;        /* average over so many */
    double min, max, step_percent, step, dead_band;
    char *action, *argument; /* "vm.set-memory", "memory_bytes" */
    bool observe_only;
} ControlRule;

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
    GPtrArray *asked;        /* of Rule: ASKED_START, ASKED_STOP */
    GPtrArray *quiets, *budgets, *hosts, *controls; /* of Quiet, BudgetRule, HostInfo, ControlRule */
    GHashTable *calendars;   /* name -> Schedule, owned */
    MomSection *mom;         /* rule files of MOM; NULL: none */
    Placement placement;
    Flapping flapping;
    Quarantine quarantine;
    EvidencePolicy evidence;
    bool inhibit;            /* what stands on something that is down waits for it */
    int64_t startup_guard_us;/* after a start nothing new is begun for so long */
    unsigned startup_seen_percent; /* nor before so many of the agents known before are heard again (at most ten guards long) */
    int64_t hold_max_us;     /* an incident that cannot act (agent gone, state unknown) waits so long for it, then a human is asked */
    int64_t job_max_us;      /* an automatic hold (migration, snapshot, …) lasts no longer */
} Policy;

/* What a step may do, NULL at the end; the part before the dot is the kind of thing it is done to. */
extern const char *const policy_actions[];
/* "service" "vm" "app" "host"; NULL: no such action. */
const char *action_kind(const char *action);

Policy *policy_new(const char *name, const char *text); /* empty: acts on nothing */
/* What holds without a file: every service.failed nobody wanted is restarted, 3 times in 10 minutes; VMs marked highly available come
 * back, with proof; a dead host is fenced; then a human is told. */
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

AppService *app_service_new(const char *name);
const AppService *app_vm_service(const AppVm *vm, const char *name); /* NULL: not written down */
void app_service_free(AppService *service);
Pattern *pattern_new(const char *on);
void pattern_free(Pattern *pattern);
Quiet *quiet_new(QuietKind kind, const char *name);
void quiet_free(Quiet *quiet);
BudgetRule *budget_rule_new(const char *name, BudgetScope scope);
void budget_rule_free(BudgetRule *budget);
HostInfo *host_info_new(const char *name);
void host_info_free(HostInfo *host);
PlaceRule *place_rule_new(const char *name, PlaceKind kind);
void place_rule_free(PlaceRule *rule);
ControlRule *control_rule_new(const char *name);
void control_rule_free(ControlRule *control);
const char *budget_scope_name(BudgetScope scope);
/* The budgets that hold when a file says none. */
void policy_add_default_budgets(Policy *policy);

const Rule *policy_rule(const Policy *policy, const char *name); /* also ASKED_START, ASKED_STOP; NULL: none */
const Target *policy_target(const Policy *policy, const char *name);
/* Does "service.failed" or "service.*" mean @kind? */
bool kind_matches(const char *on, const char *kind);
bool rule_listens(const Rule *rule, const char *kind);
/* Events that tell a fact and no state: "happened" in docs/wire.md. */
bool event_only_happened(const char *kind);
const Schedule *policy_calendar(const Policy *policy, const char *name);
const HostInfo *policy_host(const Policy *policy, const char *id, const char *name); /* either may be NULL */
/* The VM of an application by its id or host name; *ret_app (may be NULL) its application. NULL: in none. */
const AppVm *policy_vm(const Policy *policy, const char *vm_id, const char *hostname, const Application **ret_app);
/* The application a service (or, @service NULL, a VM) belongs to; its VM's name there in *ret_vm. NULL: none. */
const char *policy_application(const Policy *policy, const char *vm_id, const char *hostname, const char *service, const char **ret_vm);
/* "running" for services and VMs, "alive" for hosts, "up" for agents, "well" for the observer and storage; NULL: nothing counts as healthy. */
const char *healthy_state(const char *kind);

#endif
