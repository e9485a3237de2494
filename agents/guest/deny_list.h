/* Members of classes nobody on the bus may use, by the names Matahari's polkit actions have: org.matahariproject.CLASS.MEMBER, * and ? as in a
 * shell. A member is a method or a property. Pure. Thread: any. */
#ifndef MEND_GUEST_DENY_LIST_H
#define MEND_GUEST_DENY_LIST_H

#include "lib/qmf/schema.h"

/* False: a name that no member of any class has (plug-ins' and D-Bus classes are not known yet: theirs pass); error names it. */
bool deny_list_check(char *const *names /* NULL-terminated, or NULL: none */, GError **error);
bool deny_list_has(char *const *names, const QmfClass *class, const char *member);

#endif
