/* The policy file: YAML 1.2 or JSON, read into a Policy. docs/policy-file.md describes it for people.
 * All or nothing: nothing of a file with a mistake is used. Every mistake is told, at most 20, in the order of the file:
 *
 *   FILE:LINE:COLUMN: what, and what is wanted
 *        7 | the line
 *          |     ^~~~ the place
 *
 * Thread: any. */
#ifndef MEND_POLICY_POLICY_FILE_H
#define MEND_POLICY_POLICY_FILE_H

#include "consumers/policy/engine/policy.h"

#define POLICY_ERROR policy_error_quark()
GQuark policy_error_quark(void);
typedef enum { POLICY_ERROR_FILE, POLICY_ERROR_CONTENT } PolicyError;

typedef struct PolicyReport {
    char *warnings;       /* as mistakes are written; NULL: none */
    GHashTable *origins;  /* place in policy_to_json() ("rules[0].ladder[1].within") -> "" (written there) or "templates.webvm"; what is not in it
                           * holds by default. NULL: not asked for */
} PolicyReport;
void policy_report_clear(PolicyReport *report);

typedef struct PolicyReading {
    int64_t now_us;       /* wall clock, for what has expired; 0: not looked at */
    bool trusted;         /* it was in force once (a journal has it): what only this version finds unsafe is a warning */
    PolicyReport *report; /* filled, also when the file is refused; may be NULL. policy_report_clear() */
} PolicyReading;

/* @name: as errors show it; made UTF-8. "" as @text gives the default policy. NULL: YAML_ERROR (not YAML) or POLICY_ERROR. */
Policy *policy_read(const char *name, const char *text, const PolicyReading *reading, GError **error);
Policy *policy_parse(const char *name, const char *text, GError **error);
/* A file that is about to be used or checked. */
Policy *policy_load(const char *path, GError **error);
/* Its text, as policy_read() wants it, with the rule files its `mom` names. Caller frees. */
char *policy_file_text(const char *path, GError **error);

#endif
