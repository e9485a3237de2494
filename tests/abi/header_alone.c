#include "broker-plugin/plugin.h"

int header_alone_c(void);
int header_alone_c(void) { return (int) sizeof(mend_host); }
