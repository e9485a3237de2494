/* One program kept running beside us: started, restarted with back-off when it ends, ended with us. */
#ifndef MEND_CHILD_H
#define MEND_CHILD_H

#include "lib/base/base.h"

typedef struct Child Child;

/* @argv: NULL-terminated, argv[0] a path; copied. Restarts after 100 ms, doubled up to 10 s, back to the first after a minute of
 * life. Its output is ours. In the thread-default main context. NULL: it could not be started even once. */
Child *child_new(const char *const *argv, GError **error);
/* SIGTERM, SIGKILL after @grace_us; blocks until it is gone. NULL is fine. */
void child_free(Child *child, int64_t grace_us);

#endif
