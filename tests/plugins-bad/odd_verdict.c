#define START odd_start
#include "tests/plugins-bad/bad.h"

static int32_t odd(void *user, mend_id delivery, const mend_msg *msg) { return 99; }
static mend_rc odd_start(void *self, mend_error *why) { return listen_with(self, MEND_CONSUME, odd); }
BAD_PLUGIN("odd-verdict");
