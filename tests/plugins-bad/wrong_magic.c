#define MAGIC 0x12345678u
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("wrong-magic");
