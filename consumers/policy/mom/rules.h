/* A set of named rule files, and running them. Files are run in the order of their names, in one world: what one defines, the next ones
 * use. Two kinds of wrong file stop nobody else: one that cannot be read is left out when it is added, and one that fails while it runs is
 * undone, what it set and what it defined, and the others go on. (MOM sets nothing at all in a cycle in which anything fails.)
 * Thread: adding, one; running a finished set, any. */
#ifndef MEND_POLICY_MOM_RULES_H
#define MEND_POLICY_MOM_RULES_H

#include "consumers/policy/mom/entity.h"
#include "consumers/policy/mom/parse.h"

#define MOM_FILES_MAX     64
#define MOM_DEPTH_MAX     1000  /* of evaluation; Python ends at about 300 */
#define MOM_STEPS         200000
#define MOM_STEPS_A_GUEST 20000

typedef struct MomRules {
    int refs;
    MomNames *names;
    GPtrArray *files;        /* of MomFile, in the order of their names without ".policy", as MOM has it; owned */
    GArray *presets;         /* of MomPreset */
    guint host, guests, abs, debug; /* numbers of these names */
} MomRules;

typedef struct MomPreset {
    guint symbol;
    json_t *value;
} MomPreset;

MomRules *mom_rules_new(void);
MomRules *mom_rules_ref(MomRules *rules);
void mom_rules_unref(MomRules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MomRules, mom_rules_unref)
/* False: the file is left out, and one that had its name before stays; MOM_ERROR_SYNTAX says where and why. */
bool mom_rules_add(MomRules *rules, const char *name, const char *text, gsize length, GError **error);
/* A variable that is there before the first file: a defvar of that name in a file changes nothing, as vdsm's parameters overrule its defaults.
 * Numbers, texts, booleans. */
void mom_rules_set(MomRules *rules, const char *name, const json_t *value);
/* What cannot be right in any run: names nobody defines, wrong counts of arguments. As "FILE:LINE:COLUMN: …". */
void mom_rules_check(const MomRules *rules, GPtrArray *warnings /* of char *, owned */);

/* One cycle. @guests: of MomEntity. Controls and variables are in the entities. @troubles: of char *, owned: one for each file that failed,
 * "FILE:LINE:COLUMN: what, and what to do". The same input gives the same result on every machine. */
void mom_step(const MomRules *rules, MomEntity *host, GPtrArray *guests, GPtrArray *troubles);

#endif
