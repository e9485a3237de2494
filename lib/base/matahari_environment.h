/* What Matahari's own tools read of their environment: MATAHARI_BROKER (host), MATAHARI_PORT (49000). */
#ifndef MEND_MATAHARI_ENVIRONMENT_H
#define MEND_MATAHARI_ENVIRONMENT_H

#include "lib/base/base.h"

/* URL of the broker that is named there; (transfer full) NULL: none is. A port alone is one of this machine. */
char *matahari_environment_url(void);

#endif
