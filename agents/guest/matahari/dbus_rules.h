/* What the D-Bus bridge may reach: rules BUS/INTERFACE.MEMBER, * and ? as in a shell. A member is a method, a signal, or Get and Set for the
 * properties. Pure. Thread: any. */
#ifndef MEND_GUEST_DBUS_RULES_H
#define MEND_GUEST_DBUS_RULES_H

#include "lib/base/base.h"

/* False: a rule has no slash, or nothing on a side of it; error names it. */
bool dbus_rules_check(char *const *rules /* NULL-terminated, or NULL: none */, GError **error);
bool dbus_rules_allow(char *const *rules, const char *bus, const char *interface, const char *member);
/* Does any rule speak of that bus name? Then it may be looked at: its paths and interfaces. */
bool dbus_rules_know(char *const *rules, const char *bus);

#endif
