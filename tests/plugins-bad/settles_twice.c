#define START settling_start
#include "tests/plugins-bad/bad.h"

static void settle_twice(void *user, int64_t now_us)
{
    Self *self = user;

    for (int i = 0; i < 2; i++)
        self->host->settle(self->host, self->sub, MEND_ACCEPT, (mend_str) { "", 0 });
    self->host->settle(self->host, 987654321, MEND_ACCEPT, (mend_str) { "", 0 });
}
static int32_t keep(void *user, mend_id delivery, const mend_msg *msg)
{
    Self *self = user;
    mend_id timer;

    self->sub = delivery;
    self->host->timer_start(self->host, 1, settle_twice, self, &timer);
    return MEND_KEEP;
}
static mend_rc settling_start(void *self, mend_error *why) { return listen_with(self, MEND_CONSUME, keep); }
BAD_PLUGIN("settles-twice");
