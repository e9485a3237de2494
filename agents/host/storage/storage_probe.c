/* The probe alone, for tests of the part. */
#include "agents/host/storage/probe.h"

int main(int argc, char **argv) { return probe_main(argc - 1, argv + 1); }
