#include "consumers/policy/language/fields.h"

#include "consumers/policy/engine/mom_section.h"
#include "lib/model/event.h"

#include <string.h>

#define X(id, text) text,
const char *const event_kind_words[] = { EVENT_KINDS(X) "service.*", "agent.*",   "vm.*",      "host.*",
                                         "storage.*",           "observer.*", "command.*", NULL };
static const char *const scope_words[] = { BUDGET_SCOPES(X) NULL };
#undef X
/* What healed_when waits for: states of services, VMs, hosts, storage. */
const char *const service_state_words[] = { "running", "failed", "stopped", "starting", "stopping", "degraded", "unknown", "paused",
                                            "suspended", "alive",  "off",     "up",       "well",     NULL };
static const char *const standard_words[] = { "systemd", "ocf", "lsb", "exec", "process", "tcp", "http", "nagios", NULL };
static const char *const io_error_words[] = { "auto_resume", "leave_paused", "kill", NULL };
static const char *const domain_words[] = { "host", "rack", "power", "switch", NULL };
static const char *const otherwise_words[] = { "stop", "go-on", NULL };
static const char *const entity_kind_words[] = { "host", "vm", "service", "app", "storage", "agent", NULL };

#define DAY_US (24.0 * US_PER_HOUR)
#define HAND(name) { name, FIELD_HAND, .needed = false }
#define NEED(name) { name, FIELD_HAND, .needed = true }
#define AT(type, field) offsetof(type, field)
#define NAME(type) { "name", FIELD_TEXT, AT(type, name), .needed = true }
#define SECTION(id, text, ...)                                      \
    static const Field id##_fields[] = { __VA_ARGS__ };             \
    const Section section_##id = { text, id##_fields, G_N_ELEMENTS(id##_fields) }

SECTION(startup_guard, "startup_guard",
        { "for", FIELD_DURATION, AT(Policy, startup_guard_us), 0, US_PER_HOUR },
        { "seen", FIELD_PERCENT, AT(Policy, startup_seen_percent), 1, 100 });
SECTION(root, "a policy",
        NEED("mend"), HAND("variables"),
        HAND("startup_guard"),
        { "hold_max", FIELD_DURATION, AT(Policy, hold_max_us), US_PER_S, DAY_US },
        { "job_max", FIELD_DURATION, AT(Policy, job_max_us), US_PER_S, DAY_US },
        { "inhibit", FIELD_BOOL, AT(Policy, inhibit) },
        HAND("defaults"), HAND("notify"), HAND("calendars"), HAND("templates"), HAND("topology"), HAND("applications"), HAND("placement"),
        HAND("ladders"), HAND("rules"), HAND("maintenance"), HAND("silences"), HAND("holds"), HAND("budgets"), HAND("flapping"),
        HAND("quarantine"), HAND("evidence"), HAND("controls"), HAND("mom"), HAND("mom_files"));

SECTION(backoff, "backoff",
        { "first", FIELD_DURATION, AT(Step, backoff_first_us), 0, DAY_US },
        { "factor", FIELD_NUMBER, AT(Step, backoff_factor), 1, 100 },
        { "max", FIELD_DURATION, AT(Step, backoff_max_us), 0, DAY_US });
SECTION(healed_when, "healed_when",
        { "state", FIELD_WORD, AT(Step, healed_state), .words = service_state_words },
        { "for", FIELD_DURATION, AT(Step, healed_for_us), 0, DAY_US });
#define STEP_FIELDS                                                                    \
    { "attempts", FIELD_COUNT, AT(Step, attempts), 1, 100 },                           \
    { "within", FIELD_DURATION, AT(Step, within_us), US_PER_S, 30 * DAY_US },          \
    { "backoff", FIELD_MAP, .section = &section_backoff },                             \
    { "healed_when", FIELD_MAP, .section = &section_healed_when },                     \
    { "timeout", FIELD_DURATION, AT(Step, timeout_us), 100 * US_PER_MS, DAY_US }
SECTION(defaults, "defaults", STEP_FIELDS, HAND("vm"), HAND("service"));
SECTION(step, "a step", NEED("do"), STEP_FIELDS, HAND("when"));
SECTION(notify_step, "a notify step", NEED("do"), { "to", FIELD_TEXT, AT(Step, to), .needed = true }, HAND("when"));
SECTION(approve_step, "an approve step",
        NEED("do"), { "to", FIELD_TEXT, AT(Step, to), .needed = true },
        { "timeout", FIELD_DURATION, AT(Step, timeout_us), US_PER_S, 7 * DAY_US },
        { "otherwise", FIELD_CHOICE, AT(Step, default_goes_on), .words = otherwise_words }, HAND("when"));

SECTION(target, "a notify target", { "exec", FIELD_TEXT, AT(Target, command), .needed = true });
#define RANGE_FIELDS HAND("weekdays"), HAND("months"), HAND("times"), HAND("dates")
SECTION(calendar, "a calendar", HAND("zone"), RANGE_FIELDS, HAND("ranges"), HAND("except"));
SECTION(period, "a range of a calendar", RANGE_FIELDS);

SECTION(topology, "topology", HAND("hosts"));
SECTION(host, "a host",
        { "name", FIELD_TEXT, AT(HostInfo, name), .needed = true },
        { "id", FIELD_TEXT, AT(HostInfo, id) },
        { "rack", FIELD_TEXT, AT(HostInfo, rack) },
        { "power", FIELD_TEXT, AT(HostInfo, power) },
        { "switch", FIELD_TEXT, AT(HostInfo, switch_name) },
        { "storage", FIELD_TEXTS, AT(HostInfo, storage) },
        { "memory", FIELD_BYTES, AT(HostInfo, memory_bytes), 1 << 20, 1e15 },
        { "vcpus", FIELD_COUNT, AT(HostInfo, vcpus), 1, 65536 },
        { "labels", FIELD_TEXTS, AT(HostInfo, labels) });

SECTION(application, "an application",
        NAME(Application),
        { "priority", FIELD_WHOLE, AT(Application, priority), 0, 100 },
        { "groups", FIELD_TEXTS, AT(Application, groups) },
        HAND("defaults"), NEED("vms"));
SECTION(vm_match, "match", { "name", FIELD_TEXT, AT(AppVm, match_name) }, { "id", FIELD_TEXT, AT(AppVm, match_id) });
#define VM_FIELDS                                                                       \
    { "ha", FIELD_BOOL, AT(AppVm, ha) },                                                \
    { "priority", FIELD_WHOLE, AT(AppVm, priority), 0, 100 },                           \
    { "memory", FIELD_BYTES, AT(AppVm, memory_bytes), 1 << 20, 1e15 },                  \
    { "vcpus", FIELD_COUNT, AT(AppVm, vcpus), 1, 4096 },                                \
    { "storage", FIELD_TEXTS, AT(AppVm, storage) },                                     \
    { "boot_grace", FIELD_DURATION, AT(AppVm, boot_grace_us), 0, DAY_US },              \
    { "on_io_error", FIELD_WORD, AT(AppVm, on_io_error), .words = io_error_words },     \
    { "after", FIELD_TEXTS, AT(AppVm, after) },                                         \
    { "needs", FIELD_TEXTS, AT(AppVm, needs) },                                         \
    HAND("services")
SECTION(vm, "a VM", NAME(AppVm), { "match", FIELD_MAP, .section = &section_vm_match }, VM_FIELDS, HAND("defaults"));
SECTION(vm_defaults, "defaults of VMs", VM_FIELDS, HAND("service"));
SECTION(service, "a service",
        NAME(AppService),
        { "standard", FIELD_WORD, AT(AppService, standard), .words = standard_words },
        { "provider", FIELD_TEXT, AT(AppService, provider) },
        { "agent", FIELD_TEXT, AT(AppService, agent) },
        { "after", FIELD_TEXTS, AT(AppService, after) },
        { "needs", FIELD_TEXTS, AT(AppService, needs) },
        HAND("parameters"));

SECTION(reserve, "reserve",
        { "hosts", FIELD_COUNT, AT(Policy, placement.reserve_hosts), 0, 1000 },
        { "percent", FIELD_PERCENT, AT(Policy, placement.reserve_percent), 0, 90 });
SECTION(overcommit, "overcommit",
        { "memory", FIELD_NUMBER, AT(Policy, placement.overcommit_memory), 0.1, 10 },
        { "vcpus", FIELD_NUMBER, AT(Policy, placement.overcommit_vcpus), 0.1, 100 });
SECTION(placement, "placement",
        { "reserve", FIELD_MAP, .section = &section_reserve }, { "overcommit", FIELD_MAP, .section = &section_overcommit }, HAND("rules"));
SECTION(place_vms, "on and never_on",
        { "vms", FIELD_TEXTS, AT(PlaceRule, vms), .needed = true }, { "label", FIELD_TEXT, AT(PlaceRule, label), .needed = true });
SECTION(place_rule, "a placement rule",
        NAME(PlaceRule), HAND("apart"), HAND("together"), HAND("on"), HAND("never_on"),
        { "by", FIELD_WORD, AT(PlaceRule, by), .words = domain_words },
        { "hard", FIELD_BOOL, AT(PlaceRule, hard) });

SECTION(pattern, "a pattern", { "on", FIELD_WORD, AT(Pattern, on), .words = event_kind_words, .needed = true }, HAND("where"));
SECTION(rule, "a rule",
        NAME(Rule), { "on", FIELD_WORD, AT(Rule, on), .words = event_kind_words, .needed = true },
        HAND("where"),
        { "count", FIELD_COUNT, AT(Rule, count), 2, 1000 },
        { "within", FIELD_DURATION, AT(Rule, window_us), US_PER_S, 30 * DAY_US },
        HAND("absent"), HAND("sequence"), HAND("group_by"),
        { "once_within", FIELD_DURATION, AT(Rule, once_within_us), US_PER_S, 30 * DAY_US },
        HAND("during"), HAND("not_during"),
        { "priority", FIELD_WHOLE, AT(Rule, priority), 0, 100 },
        { "observe_only", FIELD_BOOL, AT(Rule, observe_only) },
        NEED("ladder"));

SECTION(match, "match",
        { "entity", FIELD_TEXT, AT(Quiet, match.entity) },
        { "kind", FIELD_WORD, AT(Quiet, match.kind), .words = entity_kind_words },
        { "app", FIELD_TEXT, AT(Quiet, match.app) },
        { "group", FIELD_TEXT, AT(Quiet, match.group) },
        { "vm", FIELD_TEXT, AT(Quiet, match.vm) },
        { "host", FIELD_TEXT, AT(Quiet, match.host) },
        { "rack", FIELD_TEXT, AT(Quiet, match.rack) },
        { "rule", FIELD_TEXT, AT(Quiet, match.rule) });
#define QUIET_FIELDS                                                    \
    NAME(Quiet), { "match", FIELD_MAP, .section = &section_match, .needed = true }, \
    { "from", FIELD_TIME, AT(Quiet, from_us) },                         \
    { "until", FIELD_TIME, AT(Quiet, until_us) },                       \
    HAND("schedule")
#define SIGNED_FIELDS { "author", FIELD_TEXT, AT(Quiet, author), .needed = true }, { "comment", FIELD_TEXT, AT(Quiet, comment), .needed = true }
SECTION(maintenance, "a maintenance", QUIET_FIELDS, SIGNED_FIELDS);
SECTION(silence, "a silence", QUIET_FIELDS, { "actions", FIELD_BOOL, AT(Quiet, actions) }, SIGNED_FIELDS);
SECTION(hold, "a hold", QUIET_FIELDS, SIGNED_FIELDS);

SECTION(budget, "a budget",
        { "name", FIELD_TEXT, AT(BudgetRule, name) }, { "scope", FIELD_ENUM, AT(BudgetRule, scope), .words = scope_words, .needed = true },
        { "actions", FIELD_TEXTS, AT(BudgetRule, actions), .needed = true },
        { "at_once", FIELD_COUNT, AT(BudgetRule, at_once), 1, 100000 },
        { "max", FIELD_COUNT, AT(BudgetRule, max), 1, 100000 },
        { "per", FIELD_DURATION, AT(BudgetRule, per_us), US_PER_S, 30 * DAY_US },
        { "stop_when_unhealthy", FIELD_PERCENT, AT(BudgetRule, unhealthy_max_percent), 1, 100 });
SECTION(flapping, "flapping",
        { "high", FIELD_SHARE, AT(Policy, flapping.high_percent), 1, 100 },
        { "low", FIELD_SHARE, AT(Policy, flapping.low_percent), 0, 100 });
SECTION(quarantine, "quarantine",
        { "failures", FIELD_COUNT, AT(Policy, quarantine.failures), 1, 1000 },
        { "within", FIELD_DURATION, AT(Policy, quarantine.within_us), US_PER_S, 30 * DAY_US },
        { "for", FIELD_DURATION, AT(Policy, quarantine.for_us), US_PER_S, 30 * DAY_US },
        { "at_most", FIELD_PERCENT, AT(Policy, quarantine.at_most_percent), 1, 100 });
SECTION(evidence, "evidence",
        { "need", FIELD_COUNT, AT(Policy, evidence.need), 2, 5 },
        { "observer", FIELD_PERCENT, AT(Policy, evidence.observer_percent), 1, 100 },
        { "observer_within", FIELD_DURATION, AT(Policy, evidence.observer_within_us), US_PER_S, US_PER_HOUR },
        { "stale", FIELD_DURATION, AT(Policy, evidence.stale_us), US_PER_S, US_PER_HOUR });

SECTION(control_set, "set",
        { "do", FIELD_TEXT, AT(ControlRule, action), .needed = true }, { "argument", FIELD_TEXT, AT(ControlRule, argument), .needed = true });
SECTION(control, "a control",
        NAME(ControlRule), { "kind", FIELD_WORD, AT(ControlRule, kind), .words = entity_kind_words, .needed = true },
        HAND("where"),
        { "every", FIELD_DURATION, AT(ControlRule, every_us), US_PER_S, DAY_US },
        NEED("input"),
        { "samples", FIELD_COUNT, AT(ControlRule, samples), 1, 64 },
        NEED("target"),
        { "min", FIELD_QUANTITY, AT(ControlRule, min), -1e18, 1e18 },
        { "max", FIELD_QUANTITY, AT(ControlRule, max), -1e18, 1e18 },
        HAND("step"),
        { "dead_band", FIELD_QUANTITY, AT(ControlRule, dead_band), 0, 1e18 },
        { "set", FIELD_MAP, .section = &section_control_set, .needed = true },
        { "observe_only", FIELD_BOOL, AT(ControlRule, observe_only) });

SECTION(mom_eject, "eject",
        { "floor", FIELD_BYTES, AT(MomSection, eject.floor_bytes), 1 << 20, 1e15, .needed = true },
        { "within", FIELD_DURATION, AT(MomSection, eject.within_us), US_PER_S, US_PER_HOUR });
SECTION(mom, "mom",
        { "files", FIELD_TEXTS, AT(MomSection, files), .needed = true },
        { "every", FIELD_DURATION, AT(MomSection, every_us), US_PER_S, US_PER_HOUR },
        { "history", FIELD_COUNT, AT(MomSection, history), 1, 100 },
        HAND("variables"), HAND("guests"),
        { "eject", FIELD_MAP, .section = &section_mom_eject },
        { "observe_only", FIELD_BOOL, AT(MomSection, observe_only) });
SECTION(mom_guest, "a guest of mom",
        { "vm", FIELD_TEXT, AT(MomGuestLimits, vm), .needed = true },
        { "memory_min", FIELD_BYTES, AT(MomGuestLimits, memory_min_bytes), 1 << 20, 1e15 },
        { "cpu_limit", FIELD_SHARE, AT(MomGuestLimits, cpu_limit_percent), 1, 100 },
        HAND("disks"));
#define X(id, name) { name, FIELD_QUANTITY, AT(MomDiskLimits, limits[MOM_LIMIT_##id]), 0, 1e15 },
SECTION(mom_disk, "a disk of mom", MOM_LIMIT_NAMES(X) { "disk", FIELD_TEXT, AT(MomDiskLimits, disk), .needed = true });
#undef X
SECTION(mom_file, "a rule file", { "name", FIELD_TEXT, AT(MomText, name), .needed = true }, NEED("text"));

#define X(name) { #name, &section_##name },
const NamedSection policy_sections[] = { POLICY_SECTIONS(X) { NULL, NULL } };
#undef X

const Field *section_field(const Section *section, const char *name)
{
    for (size_t i = 0; i < section->n_fields; i++)
        if (strcmp(section->fields[i].name, name) == 0)
            return &section->fields[i];
    return NULL;
}
