#include "mend/child.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_US (100 * US_PER_MS)
#define BACKOFF_MAX_US   (10 * US_PER_S)
#define STEADY_US        (60 * US_PER_S)

struct Child {
    char **argv;
    GPid pid; /* 0: not running */
    unsigned watch, timer;
    int64_t started_us, backoff_us;
};

static bool child_start(Child *child, GError **error);

static void child_prepare(void *user)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* never outlive the program that would restart it a second time */
}

static gboolean child_again(void *user)
{
    Child *child = user;
    g_autoptr(GError) error = NULL;

    child->timer = 0;
    if (!child_start(child, &error)) {
        log_warning("%s", error->message);
        child->timer = g_timeout_add((unsigned) (BACKOFF_MAX_US / US_PER_MS), child_again, child);
    }
    return G_SOURCE_REMOVE;
}

static void child_ended(GPid pid, int status, void *user)
{
    Child *child = user;
    g_autoptr(GError) error = NULL;

    g_spawn_close_pid(pid);
    child->pid = 0;
    child->watch = 0;
    if (clock_now_us() - child->started_us > STEADY_US)
        child->backoff_us = BACKOFF_FIRST_US;
    g_spawn_check_wait_status(status, &error);
    g_autofree char *wait = duration_format(child->backoff_us);
    log_warning("%s ended (%s), starting it again in %s", child->argv[0], error == NULL ? "exit status 0" : error->message, wait);
    child->timer = g_timeout_add((unsigned) (child->backoff_us / US_PER_MS), child_again, child);
    child->backoff_us = MIN(2 * child->backoff_us, BACKOFF_MAX_US);
}

static bool child_start(Child *child, GError **error)
{
    if (!g_spawn_async(NULL, child->argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN, child_prepare, NULL,
                       &child->pid, error))
        return false;
    child->started_us = clock_now_us();
    child->watch = g_child_watch_add(child->pid, child_ended, child);
    return true;
}

Child *child_new(const char *const *argv, GError **error)
{
    Child *child = g_new0(Child, 1);

    child->argv = g_strdupv((char **) argv);
    child->backoff_us = BACKOFF_FIRST_US;
    if (child_start(child, error))
        return child;
    child_free(child, 0);
    return NULL;
}

static bool child_reap(Child *child, int64_t until_us)
{
    for (;;) {
        pid_t gone = waitpid(child->pid, NULL, until_us < 0 ? 0 : WNOHANG);

        if (gone == child->pid || (gone < 0 && errno != EINTR))
            return true;
        if (until_us >= 0 && clock_now_us() >= until_us)
            return false;
        g_usleep((gulong) (5 * US_PER_MS));
    }
}

void child_free(Child *child, int64_t grace_us)
{
    if (child == NULL)
        return;
    g_clear_handle_id(&child->watch, g_source_remove);
    g_clear_handle_id(&child->timer, g_source_remove);
    if (child->pid != 0) {
        kill(child->pid, SIGTERM);
        if (!child_reap(child, clock_now_us() + grace_us)) {
            log_warning("%s does not end, killing it", child->argv[0]);
            kill(child->pid, SIGKILL);
            child_reap(child, -1);
        }
    }
    g_strfreev(child->argv);
    g_free(child);
}
