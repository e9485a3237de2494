/* Mend's findings as notifications for a Masakari: which of the open incidents are to be told, in what words, when next, and which were told. No I/O.
 * Words: masakari/api/openstack/ha/schemas (notifications.py, payload.py), masakari/engine/instance_events.py. Thread: the owner's.
 *
 * Masakari acts on what it is told: it stops and starts the instance, takes the host out of scheduling, evacuates it. So it is told only what Mend has
 * given up (needs-human), so that no two act on one thing, and of a host only that it is off for certain. */
#ifndef MEND_MASAKARI_FINDINGS_H
#define MEND_MASAKARI_FINDINGS_H

#include "lib/base/base.h"

#define FINDINGS_MAX 5000 /* known at a time; further incidents wait */

typedef struct Findings Findings;

/* @names: host's UUID → its name at Masakari; borrowed, outlives it. */
Findings *findings_new(GHashTable *names);
void findings_free(Findings *findings); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Findings, findings_free)

/* What is open now: maps as Policy.incidents answers them (id, entity, state). What is not there any more is forgotten, told or not: nobody is to act
 * on what is healed. */
void findings_take(Findings *findings, const json_t *incidents);
/* The incident whose turn it is; NULL: none is due. Borrowed until the next take. */
const char *findings_next(Findings *findings, int64_t now_us, const char **ret_entity);
/* What @state and @data (host, intent) say of it now. NULL: it is not to be told (now): *@ret_why (static). @wall_us: of a finding's first try;
 * later tries have the same time. (transfer full) */
json_t *findings_body(Findings *findings, const char *id, const char *state, const json_t *data, int64_t wall_us, const char **ret_why);
void findings_told(Findings *findings, const char *id);
/* Again, further and further apart: 5 s … 10 min. */
void findings_failed(Findings *findings, const char *id, int64_t now_us);

/* What survives a restart: which are told, and with what time others were tried. (transfer full) */
json_t *findings_save(const Findings *findings);
void findings_load(Findings *findings, const json_t *saved); /* what is malformed is left out */

#endif
