/* Leans on a symbol of its host. */
#include "tests/plugins-bad/bad.h"

extern int a_function_of_some_host(void);
__attribute__((visibility("default"))) int use(void);
int use(void) { return a_function_of_some_host(); }
BAD_PLUGIN("unresolved");
