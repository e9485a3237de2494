/* The verbs of `mend`. @argv: as main has it, argv[0] is the verb. Returns the exit status. */
#ifndef MEND_VERBS_H
#define MEND_VERBS_H

#include "lib/base/base.h"
#include "lib/base/settings.h"

typedef struct Verb {
    const char *name;
    int (*run)(char **argv);
    const char *meaning;
} Verb;

int verb_broker(char **argv);

#endif
