/* Mend's open incidents as alerts of Prometheus' Alertmanager (API version 2, POST /api/v2/alerts): which are there, since when, and which
 * have just ended. No I/O. Source: api/v2/openapi.yaml of prometheus/alertmanager 0.25 (postableAlerts).
 * Thread: the owner's. */
#ifndef MEND_BRIDGES_ALERTS_H
#define MEND_BRIDGES_ALERTS_H

#include "lib/base/base.h"

#define ALERT_NEEDS_HUMAN   "MendNeedsHuman"   /* severity critical */
#define ALERT_INCIDENT      "MendIncident"     /* severity warning: Mend is at it */
#define ALERT_POLICY_SILENT "MendPolicySilent" /* severity critical: nobody knows */
#define ALERTS_MAX 5000

typedef struct Alerts Alerts;

/* @labels: "NAME=VALUE" of every alert, NULL-terminated, or NULL; checked by alerts_check_labels(). */
Alerts *alerts_new(const char *const *labels);
void alerts_free(Alerts *alerts); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Alerts, alerts_free)
bool alerts_check_labels(const char *const *labels, GError **error);

/* What is open now: a list of maps as Policy.incidents answers it (entity, rule, state, opened_us, waits_for, id). What was there and is not
 * any more has ended at @now_us. */
void alerts_take(Alerts *alerts, const json_t *incidents, int64_t now_us);
/* The policy engine @name has not answered since @since_us; 0: it answers. */
void alerts_policy_silent(Alerts *alerts, const char *name, int64_t since_us, int64_t now_us);

/* One that needs a human and has no story yet: its entity; NULL: none. Borrowed. */
const char *alerts_without_story(const Alerts *alerts);
void alerts_set_story(Alerts *alerts, const char *entity, const char *text); /* "" counts */

/* The body: an array, empty when there is nothing to say. Those that are open end @lasts_us from now unless they are sent again. (transfer full) */
json_t *alerts_body(const Alerts *alerts, int64_t now_us, int64_t lasts_us);
/* The last body has arrived everywhere: what has ended is not sent again. */
void alerts_sent(Alerts *alerts);
unsigned alerts_open(const Alerts *alerts);

#endif
