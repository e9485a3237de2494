/* Finds itself broken outside a call. */
#define START giving_start
#include "tests/plugins-bad/bad.h"

#include <stdio.h>

static void give_up(void *user, int64_t now_us)
{
    Self *self = user;
    mend_error why = { .size = sizeof why, .code = MEND_EFAULT };

    snprintf(why.text, sizeof why.text, "lost my way");
    self->host->failed(self->host, &why);
    self->host->failed(self->host, &why);
}
static mend_rc giving_start(void *user, mend_error *why)
{
    Self *self = user;
    mend_id timer;

    return self->host->timer_start(self->host, 1000, give_up, self, &timer);
}
BAD_PLUGIN("gives-up");
