/* Right in itself; the tests give it configurations it must refuse. */
#define SCHEMA "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"site\"],\"properties\":{" \
    "\"site\":{\"type\":\"string\"},\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10},"             \
    "\"mode\":{\"enum\":[\"fixed\",\"phi\"]},"                                                                 \
    "\"classes\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\",\"properties\":{\"threshold\":{\"type\":\"number\"}}}}}}"
#include "tests/plugins-bad/bad.h"
BAD_PLUGIN("picky-config");
