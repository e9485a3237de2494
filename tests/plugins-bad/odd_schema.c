#define SCHEMA "{\"type\":\"object\",\"patternProperties\":{}}"
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("odd-schema");
