/* libvirt's domain events by name: id, and the one or two words each carries (for a life-cycle event its type and the type's detail).
 * Names are those of the enumerators in libvirt/libvirt-domain.h of 9.0, in lower case with dashes. A number that has no name here is
 * "unknown-N": told, not dropped. Pure; thread: any. */
#ifndef MEND_HOST_EVENT_NAMES_H
#define MEND_HOST_EVENT_NAMES_H

#include "lib/base/base.h"

#define EVENT_NAMES_N 27   /* ids with a name: 0 to 26 */
#define EVENT_WORD_NONE -1 /* this event has no such word */

/* (transfer full) all three. @kind, @detail: the numbers, or EVENT_WORD_NONE, which gives "". */
char *event_id_name(int id);
char *event_kind_name(int id, int kind);
char *event_detail_name(int id, int kind, int detail);
/* virDomainJobOperation: "migration-out" … (transfer full) */
char *event_job_operation_name(int operation);

#endif
