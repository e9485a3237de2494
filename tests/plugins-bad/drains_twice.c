#define DRAIN drain_twice
#include "tests/plugins-bad/bad.h"

static void drain_twice(void *self, mend_task_fn done, void *user)
{
    done(user);
    done(user);
}
BAD_PLUGIN("drains-twice");
