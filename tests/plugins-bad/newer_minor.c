#define MINOR (MEND_ABI_MINOR + 7)
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("newer-minor");
