#include "consumers/policy/crash.h"

#include "lib/base/base.h"

#include <signal.h>
#include <string.h>

static const char *const points[] = { [CRASH_EVENT_TAKEN] = "event-taken",   [CRASH_JOURNALED] = "journaled",
                                      [CRASH_COMMAND_SENT] = "command-sent", [CRASH_RESULT_TAKEN] = "result-taken",
                                      [CRASH_RESULT_JOURNALED] = "result-journaled" };
G_STATIC_ASSERT(G_N_ELEMENTS(points) == CRASH_N);

void crash_at(CrashPoint point)
{
    static unsigned passed[CRASH_N];
    const char *wanted = g_getenv("MEND_CRASH_AT");
    size_t length = strlen(points[point]);

    if (G_LIKELY(wanted == NULL) || strncmp(wanted, points[point], length) != 0 || (wanted[length] != '\0' && wanted[length] != ':'))
        return;
    guint64 nth = wanted[length] == ':' ? g_ascii_strtoull(wanted + length + 1, NULL, 10) : 1;
    if (++passed[point] >= nth)
        raise(SIGKILL);
}
