/* Values between D-Bus and QMF, as Matahari's bridge turned them: what has no equal in QMF becomes a list. Pure. Thread: any. */
#ifndef MEND_GUEST_DBUS_VALUE_H
#define MEND_GUEST_DBUS_VALUE_H

#include "lib/qmf/schema.h"

#include <gio/gio.h>

#define DBUS_VALUE_BYTES  1048576 /* of texts and numbers in one value */
#define DBUS_VALUE_ITEMS  20000
#define DBUS_VALUE_LEVELS 16

/* Integers and reals in their width, texts (paths and signatures too) as strings, variants as what they hold; arrays, structs and
 * dictionaries as lists, a dictionary's entries as lists of two. (transfer full). NULL: above the limits, or a file handle; error. */
Value *value_from_variant(GVariant *variant, GError **error);
/* The other way, as @type wants it: any integer that fits, a real from any number, a dictionary from a map (keys that are texts) or from a
 * list of pairs, an array of bytes from a list or from binary. A variant takes the value's own type; lists in it are av, maps a{sv}. Floating.
 * NULL: it does not fit; error names what was wanted. */
GVariant *variant_from_value(const Value *value, const GVariantType *type, GError **error);
QmfType qmf_type_of_dbus(const char *signature);

#endif
