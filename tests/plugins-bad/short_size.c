#define SIZE offsetof(mend_plugin, drain)
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("short-size");
