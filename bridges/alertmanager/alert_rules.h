/* Which alert of Alertmanager is about what: a YAML file.
 *
 *   vms: {web1: 6f1a2b3c-0000-4000-8000-000000000001, web2: …}   # names, as alerts have them, of the VMs that may be spoken of
 *   alerts:                                                      # the first that matches counts
 *     - {match: {alertname: Watchdog}, ignore: true}
 *     - match: {alertname: "Shop*", severity: critical}          # labels; * and ? as in a shell
 *       vm: "{host}"                                             # text with labels in braces; must be a name of vms
 *       service: "alert.{alertname}"                             # what the service is called on the bus
 *
 * Thread: any. */
#ifndef MEND_BRIDGES_ALERT_RULES_H
#define MEND_BRIDGES_ALERT_RULES_H

#include "lib/base/base.h"

typedef struct AlertRules AlertRules;

typedef struct AlertVmName {
    char *name, *id; /* id: canonical UUID */
} AlertVmName;

/* NULL: error that begins FILE:LINE:COLUMN. */
AlertRules *alert_rules_read(const char *path, GError **error);
void alert_rules_free(AlertRules *rules); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AlertRules, alert_rules_free)
const GPtrArray *alert_rules_vms(const AlertRules *rules); /* of AlertVmName */

typedef enum { ALERT_ABOUT, ALERT_IGNORED, ALERT_UNKNOWN } AlertWord;
/* What an alert with @labels (object of texts) is about. ABOUT: *@ret_vm (index in vms) and *@ret_service (transfer full). UNKNOWN: no rule has
 * it, or the rule leads to no VM or service; *@ret_why says so (transfer full). */
AlertWord alert_rules_ask(const AlertRules *rules, const json_t *labels, guint *ret_vm, char **ret_service, char **ret_why);

#endif
