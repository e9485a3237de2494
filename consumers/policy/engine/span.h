/* A length of time for people: "10m", "1m30s", "250ms". Pure. */
#ifndef MEND_POLICY_SPAN_H
#define MEND_POLICY_SPAN_H

#include "lib/base/base.h"

char *span_text(int64_t us); /* caller frees */

#endif
