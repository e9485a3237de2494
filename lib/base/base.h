/* What every part starts from: GLib, bool, sized integers, units, cleanup for jansson. */
#ifndef MEND_BASE_H
#define MEND_BASE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S  INT64_C(1000000)
#define US_PER_MINUTE (60 * US_PER_S)
#define US_PER_HOUR   (3600 * US_PER_S)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(json_t, json_decref)

#endif
