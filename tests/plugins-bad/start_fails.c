#define START failing_start
#include "tests/plugins-bad/bad.h"

#include <stdio.h>

static mend_rc failing_start(void *self, mend_error *why)
{
    snprintf(why->text, sizeof why->text, "the moon is in the wrong place");
    return MEND_EFAULT;
}
BAD_PLUGIN("start-fails");
