/* Worlds written in a file, each with the end it must have: JSON, one object
 *   { "scenarios": [ { "name": TEXT, "hosts": N, "vms": N, "services": N, "racks": N, "seconds": N (with faults),
 *                      "leases": bool (of all VMs or of none; absent: of half of them), "power_management": bool (absent: true),
 *                      "faults": [ [KIND, AT, FOR, A, B], … ]  (seconds; A and B: numbers of whom it hits, as the seeds draw them)
 *                      "expect": { "vms": [one or more of "elsewhere" "here" "down"], "fenced": N, "told": bool } }, … ] }
 * "vms": where the highly available VMs of the host that the first fault hits may be when the faults end. Pure: no I/O. */
#ifndef MEND_POLICY_SIM_SCENARIO_FILE_H
#define MEND_POLICY_SIM_SCENARIO_FILE_H

#include "consumers/policy/sim/sim.h"

typedef struct ScenarioFile ScenarioFile;

/* NULL: @error says where. Flaws, policy and seed are the caller's. (transfer full) */
ScenarioFile *scenario_file_parse(const char *text, GError **error);
void scenario_file_free(ScenarioFile *file); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ScenarioFile, scenario_file_free)
unsigned scenario_file_count(const ScenarioFile *file);
/* Borrowed. */
const SimScenario *scenario_file_get(const ScenarioFile *file, unsigned i);
/* Whether world @i ended as it must; else false, and *@ret_why says how not (caller frees). */
bool scenario_file_holds(const ScenarioFile *file, unsigned i, const SimReport *report, char **ret_why);

#define SCENARIO_FILE_ERROR scenario_file_error_quark()
GQuark scenario_file_error_quark(void);
typedef enum { SCENARIO_FILE_ERROR_SYNTAX } ScenarioFileError;

#endif
