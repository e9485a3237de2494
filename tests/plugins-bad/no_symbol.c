/* A shared object that is no plugin. */
int an_ordinary_library(void);
__attribute__((visibility("default"))) int an_ordinary_library(void) { return 1; }
