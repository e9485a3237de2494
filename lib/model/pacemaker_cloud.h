/* An application of Pacemaker Cloud as a Mend policy. Its deployables were written by Aeolus or by its own shell; the format is that of
 * sdake/pacemaker-cloud bbc3f96 (src/cape.c, src/cf2pe.xsl, src/recover.c, src/pcloudsh/deployable.py):
 *
 *   deployable@name@uuid@monitor@username > assemblies > assembly@name@uuid@escalation_failures@escalation_period > services >
 *     service@name@class@type@provider@monitor_interval@escalation_failures@escalation_period > parameters > parameter@name > value | reference@assembly@parameter
 *   deployable > constraints > service_dependancy@id@first@then      first, then: rsc_ASSEMBLY_SERVICE
 *
 * A deployable becomes an application, an assembly a VM, a service a service; a dependency `after` and `needs`. Their escalation, the N-th
 * failure within P seconds restarts what is above instead, becomes a counting rule. All other rules are the default ones.
 * Thread: any. */
#ifndef MEND_MODEL_PACEMAKER_CLOUD_H
#define MEND_MODEL_PACEMAKER_CLOUD_H

#include "lib/base/base.h"

#define PCLOUD_MAX_BYTES (4 << 20)

#define PCLOUD_ERROR pcloud_error_quark()
GQuark pcloud_error_quark(void);
typedef enum { PCLOUD_ERROR_CONTENT } PcloudError;

typedef struct PcloudReference { /* a parameter's value that another assembly gives */
    char *assembly, *parameter;
} PcloudReference;

typedef struct PcloudParameter {
    char *name, *value;
    PcloudReference reference; /* assembly NULL: it is a value */
} PcloudParameter;

typedef struct PcloudEscalation {
    int64_t failures, period_s; /* either 0: never */
} PcloudEscalation;

typedef struct PcloudService {
    char *name, *class, *type, *provider;
    PcloudEscalation escalation;
    GPtrArray *parameters; /* of PcloudParameter */
    GPtrArray *after;      /* of char *: "SERVICE" or "VM/SERVICE" */
    int line;
} PcloudService;

typedef struct PcloudAssembly {
    char *name, *uuid;
    PcloudEscalation escalation;
    GPtrArray *services; /* of PcloudService */
    int line;
} PcloudAssembly;

typedef struct PcloudDeployable {
    char *name, *uuid;
    GPtrArray *assemblies; /* of PcloudAssembly */
    GPtrArray *notes;      /* of char *: "FILE:LINE: what has no counterpart, and what that means" */
} PcloudDeployable;

/* @name: as errors and notes show it. NULL: error, FILE:LINE:COLUMN and what is wrong. */
PcloudDeployable *pcloud_read(const char *name, const char *xml, size_t bytes, GError **error);
void pcloud_free(PcloudDeployable *deployable); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PcloudDeployable, pcloud_free)
/* A policy file of its own, with the default rules behind. Caller frees. */
char *pcloud_policy_text(const PcloudDeployable *const *deployables, size_t n);
/* A further document of one that is there (docs/policy-file.md), without the "---" before it. Caller frees. */
char *pcloud_document_text(const PcloudDeployable *deployable);

#endif
