/* The policy's text with our documents behind it (docs/policy-file.md, "Further documents"): each begins with a line of ours that names its application, so
 * that it is found again, replaced and taken out; what others wrote stays as it is, to the byte. Thread: any. */
#ifndef MEND_PACEMAKER_CLOUD_DOCUMENTS_H
#define MEND_PACEMAKER_CLOUD_DOCUMENTS_H

#include "lib/base/base.h"

/* @policy: its text, "" of the default one. All are (transfer full). */
char *pcloud_documents_without(const char *policy, const char *name);
char *pcloud_documents_with(const char *policy, const char *name, const char *document); /* replaced where it is, or put behind all */
char **pcloud_documents_names(const char *policy);

#endif
