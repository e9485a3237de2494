#define CREATE failing_create
#include "tests/plugins-bad/bad.h"

#include <string.h>

static mend_rc failing_create(mend_host *host, mend_str config, void **ret_self, mend_error *why)
{
    memset(why->text, 'x', sizeof why->text); /* and forgets the terminating 0 */
    return MEND_ECONFIG;
}
BAD_PLUGIN("create-fails");
