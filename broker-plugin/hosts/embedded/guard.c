/* assert() ends in a libc function that shared libraries reach through the dynamic linker, so the program's own definition comes first.
 * Rejected: looking at every frame before proton does, which cannot see into TLS; a proton of our own. */
#include "broker-plugin/hosts/embedded/guard.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local jmp_buf *armed;
static _Thread_local char reason[200];

bool guard_run(void (*work)(void *user), void *user)
{
    jmp_buf here;

    g_assert(armed == NULL);
    if (setjmp(here) != 0) {
        armed = NULL;
        return false;
    }
    armed = &here;
    work(user);
    armed = NULL;
    return true;
}

const char *guard_reason(void)
{
    return reason;
}

G_NORETURN void assertion_failed(const char *expression, const char *file, unsigned line, const char *function) asm("__assert_fail");

__attribute__((visibility("default"))) void assertion_failed(const char *expression, const char *file, unsigned line, const char *function)
{
    g_snprintf(reason, sizeof reason, "%s:%u: %s: %s", file, line, function, expression);
    if (armed != NULL)
        longjmp(*armed, 1);
    fprintf(stderr, "%s: assertion failed\n", reason);
    abort();
}
