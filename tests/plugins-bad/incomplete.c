#define RELOAD NULL
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("incomplete");
