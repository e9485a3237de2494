/* What the conductor sends:
 *   <event><datetime>…</datetime><deployment id="…"><state>STARTED</state></deployment></event>      or instance instead of deployment
 * (Pacemaker Cloud's src/cpe_httpd.cpp; Aeolus' conductor wrote it.) Thread: any. */
#ifndef MEND_PACEMAKER_CLOUD_EVENT_H
#define MEND_PACEMAKER_CLOUD_EVENT_H

#include "lib/base/base.h"

#define PCLOUD_EVENT_ERROR pcloud_event_error_quark()
GQuark pcloud_event_error_quark(void);
typedef enum {
    PCLOUD_EVENT_ERROR_XML,     /* it is not well-formed, or too deep */
    PCLOUD_EVENT_ERROR_UNKNOWN, /* XML, but no event of a deployment or instance with id and state */
} PcloudEventError;

typedef enum { PCLOUD_SAYS_NOTHING /* it is on its way */, PCLOUD_SAYS_WELL, PCLOUD_SAYS_ILL } PcloudWord;

typedef struct PcloudEvent {
    bool of_deployment; /* else of an instance */
    char *id, *state;
    PcloudWord word;
} PcloudEvent;

PcloudEvent *pcloud_event_read(const char *xml, size_t bytes, GError **error); /* NULL: error */
void pcloud_event_free(PcloudEvent *event); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PcloudEvent, pcloud_event_free)

#endif
