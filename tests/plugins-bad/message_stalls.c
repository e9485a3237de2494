#define START stalling_start
#include "tests/plugins-bad/bad.h"

#include <unistd.h>

static int32_t stall(void *user, mend_id delivery, const mend_msg *msg)
{
    usleep(30000);
    return MEND_ACCEPT;
}
static mend_rc stalling_start(void *self, mend_error *why) { return listen_with(self, MEND_CONSUME, stall); }
BAD_PLUGIN("message-stalls");
