#define RELOAD failing_reload
#include "tests/plugins-bad/bad.h"

static mend_rc failing_reload(void *self, mend_str config, mend_error *why) { return 4711; /* no such code */ }
BAD_PLUGIN("reload-fails");
