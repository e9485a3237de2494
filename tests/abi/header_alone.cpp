#include "broker-plugin/plugin.h"

extern "C" int header_alone_cpp(void);
extern "C" int header_alone_cpp(void) { return (int) sizeof(mend_host); }
