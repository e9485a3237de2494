#include "consumers/policy/crash.h"

#include <signal.h>
#include <string.h>

static const char *const points[] = { [CRASH_EVENT_TAKEN] = "event-taken",   [CRASH_JOURNALED] = "journaled",
                                      [CRASH_COMMAND_SENT] = "command-sent", [CRASH_RESULT_TAKEN] = "result-taken",
                                      [CRASH_RESULT_JOURNALED] = "result-journaled", [CRASH_DECIDED] = "decided",
                                      [CRASH_SNAPSHOT] = "snapshot",         [CRASH_CUT] = "cut" };
G_STATIC_ASSERT(G_N_ELEMENTS(points) == CRASH_N);
static const char *const faults[] = { [FAULT_COMMIT] = "commit" };
G_STATIC_ASSERT(G_N_ELEMENTS(faults) == FAULT_N);

static bool is_due(const char *wanted, const char *point, unsigned *passed)
{
    size_t length = strlen(point);

    if (G_LIKELY(wanted == NULL) || strncmp(wanted, point, length) != 0 || (wanted[length] != '\0' && wanted[length] != ':'))
        return false;
    guint64 nth = wanted[length] == ':' ? g_ascii_strtoull(wanted + length + 1, NULL, 10) : 1;
    return ++*passed >= nth;
}

void crash_at(CrashPoint point)
{
    static unsigned passed[CRASH_N];

    if (is_due(g_getenv("MEND_CRASH_AT"), points[point], &passed[point]))
        raise(SIGKILL);
}

bool fault_at(FaultPoint point)
{
    static unsigned passed[FAULT_N];

    return is_due(g_getenv("MEND_FAIL_AT"), faults[point], &passed[point]);
}
