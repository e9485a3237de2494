/* Mend's findings, posted to a real Masakari (POST URL/notifications): asked of the policy engine and the broker, posted one at a time, each until it is
 * heard. Thread: the main loop's. */
#ifndef MEND_MASAKARI_OUT_H
#define MEND_MASAKARI_OUT_H

#include "bridges/common/bridge.h"

typedef struct MasakariOutOptions { /* borrowed; outlive it */
    const char *url;         /* of Masakari's API, with the project: "https://masakari.example.org:15868/v1/PROJECT" */
    const char *ca_file;
    const char *token_file;  /* one token for always; or: */
    const char *login_file;  /* how Keystone is asked for one: url, and user password project …, or application-credential id and secret */
    const char *credentials; /* of the broker's user "operator"; NULL: those of the site */
    const char *policy;      /* name of the engine; NULL: whichever acts */
    int64_t interval_us;
    GHashTable *names;       /* host's UUID → name at Masakari */
    void (*trouble)(const char *why, void *user); /* it cannot be told; NULL: it can, again */
    void *user;
} MasakariOutOptions;

typedef struct MasakariOut MasakariOut;
MasakariOut *masakari_out_new(Bridge *bridge, const MasakariOutOptions *options, GError **error);
void masakari_out_free(MasakariOut *out); /* NULL is fine */

#endif
