#define MAJOR (MEND_ABI_MAJOR + 1)
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("wrong-major");
