/* URIs Sysconfig may fetch from: places, and what lies below them. Thread: any. */
#ifndef MEND_GUEST_URI_LIST_H
#define MEND_GUEST_URI_LIST_H

#include "lib/base/base.h"

typedef enum { URI_ALLOWED, URI_DENIED, URI_WRONG } UriVerdict;

/* A place is http, https, ftp, file or puppet, a host (none for file), maybe a port, maybe a path. Below it is: the same scheme, host and
 * port, and a path that is the place's or goes on after it at a slash. A URI is wrong when it has a user, a fragment, dot segments, other
 * than printable ASCII, or more than 2048 bytes; a puppet URI is a host alone. */
UriVerdict uri_check(const char *uri, char *const *places /* NULL-terminated, or NULL: none */);
/* False: @places has one that is wrong; error names it. */
bool uri_places_check(char *const *places, GError **error);

#endif
