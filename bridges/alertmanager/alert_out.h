/* Mend's open incidents, told to Alertmanagers: asked of the policy engine, posted to each of them, again and again, for an alert that is
 * not repeated ends. Thread: the main loop's. */
#ifndef MEND_BRIDGES_ALERT_OUT_H
#define MEND_BRIDGES_ALERT_OUT_H

#include "bridges/common/bridge.h"

typedef struct AlertOutOptions { /* borrowed; outlive it */
    char *const *urls;          /* of Alertmanagers; NULL or empty: nothing is told */
    const char *ca_file, *user, *password_file, *token_file;
    const char *credentials;    /* of the broker's user "operator"; NULL: those of the site */
    const char *policy;         /* name of the engine */
    char *const *labels;
    int64_t interval_us;
    /* Whether all Alertmanagers and the engine are reached: NULL, or why not. */
    void (*reach)(const char *why, void *user);
    void *user_data;
} AlertOutOptions;

typedef struct AlertOut AlertOut;
AlertOut *alert_out_new(Bridge *bridge, const AlertOutOptions *options, GError **error);
void alert_out_free(AlertOut *out); /* NULL is fine */

#endif
