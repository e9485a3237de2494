#define DRAIN drain_never
#include "tests/plugins-bad/bad.h"

static void drain_never(void *self, mend_task_fn done, void *user) { }
BAD_PLUGIN("never-drains");
