/* A program the agent runs itself, for machines without a service manager and for what nobody else supervises.
 *
 *   - It ends when its pidfd says so: no polling, no SIGCHLD. It is started again only by command; that is the policy's decision.
 *   - It has its own session, so all it started dies with it before it is started again: no worker keeps the port.
 *   - It outlives the agent. What is remembered (pid, start time in clock ticks, boot id) finds it again after a restart of the agent,
 *     and a pid that was given to another program is never taken for it. Adopted, it is watched by a pidfd as before; only its exit
 *     status is lost, since that goes to a parent.
 *   - With an sd_notify watchdog it is called failed while it still runs: hung is not running. What to do is again the policy's. */
#include "agents/common/child.h"
#include "agents/guest/services/later.h"
#include "agents/guest/services/memory.h"
#include "agents/guest/services/notify.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_TAKES_US (2 * US_PER_S)

typedef struct Process {
    Backend base;
    const ServiceSpec *spec;
    const ServiceHost *host;
    BackendReport report;
    void *report_user;
    pid_t pid; /* 0: does not run */
    int pidfd;
    bool ours; /* our child; else adopted */
    bool ready, hung, stop_wanted;
    int64_t start_ticks, beat_us, watchdog_us;
    NotifyListener *listener;
    guint exit_source, watchdog_source, first_source, deadline_source, kill_source;
    char *status; /* STATUS= */
    char *action; /* in progress; NULL: none */
    int64_t deadline_us;
    Later *later;
    ActionDone done;
    void *user;
} Process;

static Backend *process_create(const ServiceSpec *spec, const ServiceHost *host, GError **error)
{
    Process *p = g_new0(Process, 1);

    p->spec = spec;
    p->host = host;
    p->pidfd = -1;
    p->watchdog_us = spec->watchdog_us;
    return &p->base;
}

static void forget_process(Process *p)
{
    g_clear_handle_id(&p->exit_source, g_source_remove);
    g_clear_handle_id(&p->watchdog_source, g_source_remove);
    g_clear_handle_id(&p->kill_source, g_source_remove);
    g_clear_pointer(&p->listener, notify_listener_free);
    g_clear_pointer(&p->status, g_free);
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
    p->pid = 0;
    p->ready = p->hung = false;
    p->watchdog_us = p->spec->watchdog_us;
}

static void process_free(Backend *backend)
{
    Process *p = (Process *) backend;

    forget_process(p); /* the program goes on */
    g_clear_handle_id(&p->first_source, g_source_remove);
    g_clear_handle_id(&p->deadline_source, g_source_remove);
    later_cancel(&p->later);
    g_free(p->action);
    g_free(p);
}

/* Field 22 of /proc/PID/stat: when it started. 0: no such process, or a dead one nobody collected. */
static int64_t start_ticks(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int) pid), *text = NULL;
    g_auto(GStrv) fields = NULL;
    const char *after;

    text = file_read_line(path, 4096, NULL);
    after = text != NULL ? strrchr(text, ')') : NULL; /* the name may hold anything but ends with the last one */
    if (after == NULL || strlen(after) < 4 || after[2] == 'Z' || after[2] == 'X')
        return 0;
    fields = g_strsplit(after + 2, " ", 22);
    return g_strv_length(fields) > 19 ? g_ascii_strtoll(fields[19], NULL, 10) : 0;
}

/* @ended: why it does not run, to be told again by the next agent; NULL: it runs. */
static void remember(Process *p, const ServiceReport *ended)
{
    json_t *change = json_object();

    json_object_set_new(change, "failed", ended != NULL && ended->state == SERVICE_FAILED ? json_string(ended->reason) : json_null());
    json_object_set_new(change, "pid", p->pid != 0 ? json_integer(p->pid) : json_null());
    json_object_set_new(change, "start_ticks", p->pid != 0 ? json_integer(p->start_ticks) : json_null());
    memory_change(p->host->memory, p->spec->name, change);
}

static void tell(Process *p, ServiceState state, ServiceIntent intent, int rc, char *reason)
{
    ServiceReport report = {0};

    service_report_set(&report, state, intent, rc, reason);
    report.pid = p->pid;
    if (p->report != NULL)
        p->report(&report, p->report_user);
    service_report_done(&report);
}

static void tell_alive(Process *p, ServiceIntent intent)
{
    bool up = p->ready || !p->spec->notify;

    tell(p, up ? SERVICE_RUNNING : SERVICE_STARTING, intent, up ? OCF_OK : OCF_PENDING,
         p->status != NULL ? g_strdup(p->status) : g_strdup(up ? "running" : "has not said that it is ready yet"));
}

static void finish(Process *p, int rc, const char *text)
{
    const ActionResult result = {.rc = rc, .text = text, .pid = p->pid, .wait_status = -1, .output = ""};
    ActionDone done = g_steal_pointer(&p->done);

    g_clear_handle_id(&p->deadline_source, g_source_remove);
    g_clear_pointer(&p->action, g_free);
    if (done != NULL)
        done(&result, p->user);
}

/* For what is known inside the call: told in the next turn. */
static void answer_later(Process *p, int rc, const char *text)
{
    g_clear_handle_id(&p->deadline_source, g_source_remove);
    g_clear_pointer(&p->action, g_free);
    later_answer(&p->later, rc, text, g_steal_pointer(&p->done), p->user);
}

static bool acting(const Process *p, const char *action)
{
    return g_strcmp0(p->action, action) == 0;
}

/* ---- the watchdog ---- */

static gboolean on_watchdog(void *user);

static void watchdog_arm(Process *p)
{
    g_clear_handle_id(&p->watchdog_source, g_source_remove);
    p->beat_us = clock_now_us();
    if (p->watchdog_us > 0 && p->pid != 0)
        p->watchdog_source = g_timeout_add((guint) (p->watchdog_us / US_PER_MS) + 1, on_watchdog, p);
}

static void call_hung(Process *p, char *reason)
{
    g_clear_handle_id(&p->watchdog_source, g_source_remove);
    p->hung = true;
    tell(p, SERVICE_FAILED, INTENT_NONE, OCF_GENERIC, reason);
}

static gboolean on_watchdog(void *user)
{
    Process *p = user;
    g_autofree char *limit = duration_format(p->watchdog_us);

    p->watchdog_source = 0;
    call_hung(p, g_strdup_printf("watchdog: process %d said nothing for %s%s%s", (int) p->pid, limit,
                                 p->status != NULL ? "; its last status: " : "", p->status != NULL ? p->status : ""));
    return G_SOURCE_REMOVE;
}

static void heard_field(Process *p, const char *field)
{
    int64_t limit_us;

    if (strcmp(field, "READY=1") == 0 && !p->ready) {
        p->ready = true;
        tell_alive(p, p->action != NULL ? INTENT_COMMAND : INTENT_UNKNOWN);
        if (acting(p, "start"))
            finish(p, OCF_OK, "ready");
    } else if (strcmp(field, "STOPPING=1") == 0 && !p->stop_wanted) {
        tell(p, SERVICE_STOPPING, INTENT_UNKNOWN, OCF_PENDING, g_strdup("the program says it is stopping"));
    } else if (strcmp(field, "WATCHDOG=1") == 0) {
        bool back = p->hung;

        p->hung = false;
        watchdog_arm(p);
        if (back)
            tell_alive(p, INTENT_UNKNOWN);
    } else if (strcmp(field, "WATCHDOG=trigger") == 0) {
        call_hung(p, g_strdup_printf("process %d called its own watchdog", (int) p->pid));
    } else if (g_str_has_prefix(field, "WATCHDOG_USEC=")) {
        limit_us = g_ascii_strtoll(strchr(field, '=') + 1, NULL, 10);
        p->watchdog_us = CLAMP(limit_us, 0, US_PER_HOUR);
        watchdog_arm(p);
    } else if (g_str_has_prefix(field, "STATUS=") && g_utf8_validate(field, -1, NULL)) {
        g_free(p->status);
        p->status = g_strndup(strchr(field, '=') + 1, 200);
    }
}

static void on_notify(char *const *fields, void *user)
{
    Process *p = user;

    for (; *fields != NULL && p->pid != 0; fields++)
        heard_field(p, *fields);
}

/* ---- its life ---- */

static gboolean on_exit_ready(int fd, GIOCondition condition, void *user);

static void watch_process(Process *p, pid_t pid, int pidfd, bool ours)
{
    p->pid = pid;
    p->pidfd = pidfd;
    p->ours = ours;
    p->ready = !ours; /* adopted: it was ready long ago */
    p->stop_wanted = false;
    p->start_ticks = start_ticks(pid);
    p->exit_source = g_unix_fd_add(pidfd, G_IO_IN, on_exit_ready, p);
    if (p->host->notify != NULL)
        p->listener = notify_listen(p->host->notify, pid, on_notify, p);
    watchdog_arm(p);
    remember(p, NULL);
}

static char **process_environment(const Process *p)
{
    char **e = g_get_environ();
    const char *key;
    json_t *value;

    e = g_environ_unsetenv(e, "NOTIFY_SOCKET"); /* ours, if systemd runs us */
    e = g_environ_unsetenv(e, "WATCHDOG_USEC");
    e = g_environ_unsetenv(e, "WATCHDOG_PID");
    json_object_foreach(p->spec->environment, key, value)
        e = g_environ_setenv(e, key, json_string_value(value), TRUE);
    if (p->host->notify != NULL && (p->spec->notify || p->spec->watchdog_us > 0)) {
        g_autofree char *limit = g_strdup_printf("%" PRId64, p->spec->watchdog_us);

        e = g_environ_setenv(e, "NOTIFY_SOCKET", notify_socket_path(p->host->notify), TRUE);
        if (p->spec->watchdog_us > 0)
            e = g_environ_setenv(e, "WATCHDOG_USEC", limit, TRUE);
    }
    return e;
}

static bool process_start(Process *p, GError **error)
{
    g_auto(GStrv) environment = process_environment(p);
    int log = p->spec->log != NULL ? open(p->spec->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640) : -1;
    const SpawnOptions options = {.argv = p->spec->command, .environment = environment, .folder = p->spec->folder,
                                  .user = p->spec->user, .out_fd = log >= 0 ? log : STDERR_FILENO, .err_fd = log,
                                  .pid_variable = p->spec->watchdog_us > 0 ? "WATCHDOG_PID" : NULL};
    pid_t pid;
    int pidfd;
    bool started;

    if (p->spec->log != NULL && log < 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "log %s: %s", p->spec->log, g_strerror(errno));
        return false;
    }
    started = spawn(&options, &pid, &pidfd, error);
    if (log >= 0)
        close(log);
    if (started)
        watch_process(p, pid, pidfd, true);
    return started;
}

static void report_end(Process *p, pid_t pid, int wait_status, bool status_known)
{
    g_autofree char *how = status_known ? wait_status_text(wait_status) : g_strdup("ended (adopted, so its exit status is not known)");
    ServiceReport report = {0};
    bool clean = status_known && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;

    if (p->stop_wanted)
        service_report_set(&report, SERVICE_STOPPED, INTENT_COMMAND, OCF_NOT_RUNNING,
                           g_strdup_printf("stopped by command; process %d %s", (int) pid, how));
    else if (clean && !p->spec->clean_exit_fails)
        service_report_set(&report, SERVICE_STOPPED, INTENT_UNKNOWN, OCF_NOT_RUNNING,
                           g_strdup_printf("process %d %s, by itself", (int) pid, how));
    else
        service_report_set(&report, SERVICE_FAILED, INTENT_NONE, OCF_NOT_RUNNING, g_strdup_printf("main process %d %s", (int) pid, how));
    if (status_known && WIFSIGNALED(wait_status))
        report.signal = WTERMSIG(wait_status);
    else if (status_known)
        report.exit_status = WEXITSTATUS(wait_status);
    remember(p, &report);
    if (p->report != NULL)
        p->report(&report, p->report_user);
    if (p->stop_wanted)
        finish(p, OCF_OK, report.reason);
    else if (acting(p, "start"))
        finish(p, OCF_GENERIC, report.reason);
    service_report_done(&report);
}

static gboolean on_exit_ready(int fd, GIOCondition condition, void *user)
{
    Process *p = user;
    pid_t pid = p->pid;
    int wait_status = 0;
    bool known;

    if (p->ours)
        kill(-pid, SIGKILL); /* not collected yet, so the group's number is still its own: what it left behind goes too */
    known = p->ours && waitpid(pid, &wait_status, WNOHANG) == pid;
    p->exit_source = 0;
    forget_process(p);
    report_end(p, pid, wait_status, known);
    return G_SOURCE_REMOVE;
}

static bool adopt(Process *p, const json_t *record)
{
    pid_t pid = (pid_t) json_integer_value(json_object_get(record, "pid"));
    int64_t ticks = json_integer_value(json_object_get(record, "start_ticks"));
    int pidfd;

    if (pid <= 1 || ticks == 0 || !memory_same_boot(p->host->memory, record))
        return false;
    pidfd = pidfd_open(pid, 0);
    if (pidfd < 0)
        return false;
    if (start_ticks(pid) != ticks) { /* looked at after the pidfd holds it: cannot change any more */
        close(pidfd);
        return false;
    }
    log_info("%s: process %d still runs; it is watched again", p->spec->name, (int) pid);
    watch_process(p, pid, pidfd, false);
    return true;
}

/* The first look: adopt what still runs; start what was never started in this boot; leave alone what was stopped by command, and
 * report what ended while nobody looked. */
static gboolean on_first_look(void *user)
{
    Process *p = user;
    g_autoptr(json_t) record = memory_load(p->host->memory, p->spec->name);
    g_autoptr(GError) error = NULL;
    bool had_one = memory_same_boot(p->host->memory, record) && json_object_get(record, "pid") != NULL;
    const char *failed = memory_same_boot(p->host->memory, record) ? json_string_value(json_object_get(record, "failed")) : NULL;

    p->first_source = 0;
    if (p->pid != 0)
        return G_SOURCE_REMOVE;
    if (adopt(p, record)) {
        tell_alive(p, INTENT_UNKNOWN);
    } else if (g_strcmp0(json_string_value(json_object_get(record, "wanted")), "stopped") == 0) {
        tell(p, SERVICE_STOPPED, INTENT_COMMAND, OCF_NOT_RUNNING, g_strdup("stopped by command"));
    } else if (had_one || failed != NULL) {
        tell(p, SERVICE_FAILED, INTENT_NONE, OCF_NOT_RUNNING, g_strdup(had_one ? "ended while no agent watched it" : failed));
    } else if (memory_same_boot(p->host->memory, record) && json_is_true(json_object_get(record, "seen"))) {
        tell(p, SERVICE_STOPPED, INTENT_UNKNOWN, OCF_NOT_RUNNING, g_strdup("did not run when the agent started"));
    } else if (process_start(p, &error)) {
        tell_alive(p, INTENT_BOOT);
    } else {
        tell(p, SERVICE_FAILED, INTENT_NONE, OCF_INSTALLED, g_strdup(error->message));
    }
    memory_change(p->host->memory, p->spec->name, json_pack("{s:b}", "seen", 1));
    return G_SOURCE_REMOVE;
}

static void process_watch(Backend *backend, BackendReport report, void *user)
{
    Process *p = (Process *) backend;

    p->report = report;
    p->report_user = user;
    p->first_source = g_timeout_add(0, on_first_look, p);
}

/* ---- actions ---- */

static gboolean on_kill(void *user)
{
    Process *p = user;

    p->kill_source = 0;
    log_warning("%s: process %d does not end; it is killed", p->spec->name, (int) p->pid);
    kill(-p->pid, SIGKILL);
    return G_SOURCE_REMOVE;
}

static gboolean on_deadline(void *user)
{
    Process *p = user;
    bool stopping = acting(p, "stop");

    p->deadline_source = 0;
    if (!stopping && p->pid != 0)
        kill(-p->pid, SIGKILL); /* a start that never became ready is no start; its end is reported */
    finish(p, OCF_TIMEOUT, stopping ? "the program does not end, even killed" : "the program was not ready in time and was killed");
    return G_SOURCE_REMOVE;
}

static void act_start(Process *p)
{
    g_autoptr(GError) error = NULL;

    g_clear_handle_id(&p->first_source, g_source_remove);
    if (p->pid != 0) {
        answer_later(p, OCF_OK, "runs already");
        return;
    }
    if (!process_start(p, &error)) {
        int rc = g_error_matches(error, CHILD_ERROR, CHILD_ERROR_MISSING)      ? OCF_INSTALLED
                 : g_error_matches(error, CHILD_ERROR, CHILD_ERROR_PERMISSION) ? OCF_PERM
                                                                               : OCF_OTHER;
        answer_later(p, rc, error->message);
        return;
    }
    tell_alive(p, INTENT_COMMAND);
    if (!p->spec->notify)
        answer_later(p, OCF_OK, "started");
}

/* Half of the time for SIGTERM, at most stop_timeout; then SIGKILL. */
static void act_stop(Process *p)
{
    int64_t left_us = p->deadline_us - clock_now_us(), patience_us = MIN(p->spec->stop_timeout_us, left_us - KILL_TAKES_US);

    g_clear_handle_id(&p->first_source, g_source_remove);
    if (p->pid == 0) {
        answer_later(p, OCF_OK, "does not run");
        return;
    }
    p->stop_wanted = true;
    tell(p, SERVICE_STOPPING, INTENT_COMMAND, OCF_PENDING, g_strdup("being stopped"));
    kill(-p->pid, p->hung ? SIGKILL : SIGTERM); /* a hung program has had its time */
    p->kill_source = g_timeout_add((guint) (MAX(patience_us, left_us / 2) / US_PER_MS), on_kill, p);
}

static void process_act(Backend *backend, const char *action, int64_t deadline_us, ActionDone done, void *user)
{
    Process *p = (Process *) backend;

    g_assert(p->action == NULL && p->later == NULL);
    if (strcmp(action, "monitor") == 0 || strcmp(action, "status") == 0) {
        later_answer(&p->later, p->pid == 0 ? OCF_NOT_RUNNING : p->hung ? OCF_GENERIC : OCF_OK, p->pid != 0 ? "running" : "not running",
                     done, user);
        return;
    }
    if (strcmp(action, "start") != 0 && strcmp(action, "stop") != 0) {
        later_answer(&p->later, OCF_UNIMPLEMENTED, "process knows start, stop, restart and monitor", done, user);
        return;
    }
    p->action = g_strdup(action);
    p->done = done;
    p->user = user;
    p->deadline_us = deadline_us;
    p->deadline_source = g_timeout_add((guint) (MAX(deadline_us - clock_now_us(), 0) / US_PER_MS), on_deadline, p);
    if (strcmp(action, "start") == 0)
        act_start(p);
    else
        act_stop(p);
}

const BackendClass backend_process = {.standard = "process", .watches = true, .controls = true, .create = process_create,
                                      .watch = process_watch, .act = process_act, .free = process_free};
