#define NEEDS (MEND_CAP_TAP | MEND_CAP_GATE | UINT64_C(1) << 40)
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("needs-more");
