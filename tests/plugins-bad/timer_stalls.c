#define START stalling_start
#include "tests/plugins-bad/bad.h"

#include <unistd.h>

static void stall(void *user, int64_t now_us) { usleep(30000); }
static mend_rc stalling_start(void *user, mend_error *why)
{
    Self *self = user;
    mend_id timer;

    return self->host->timer_start(self->host, 1000, stall, self, &timer);
}
BAD_PLUGIN("timer-stalls");
