/* A unit of systemd. What systemd shows becomes state and intent here:
 *
 *   active, reloading              running
 *   activating                     starting; so is auto-restart: systemd's own Restart= is at it, and two doctors are one too many
 *   deactivating                   stopping; but failed already, when the main process died, nobody asked for it and Restart=no
 *   inactive, Result=success       stopped: by a job of ours (command), of somebody else (admin; update when dpkg or rpm is at work),
 *                                  by the shutdown, or all by itself (intent unknown, unless clean_exit_fails makes it a failure)
 *   failed                         failed; unless a stop job led there: many daemons end with 143 on SIGTERM, and what an admin stopped
 *                                  stays stopped however badly it went
 *
 * Which job led to a stop is latched while the unit is deactivating with a job, because the job is gone when the end is shown. */
#include "agents/guest/services/later.h"
#include "agents/guest/services/systemd.h"

#include "lib/base/clock.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef enum { STOP_NOBODY, STOP_OURS, STOP_FOREIGN } StopBy;

typedef struct UnitBackend {
    Backend base;
    const ServiceSpec *spec;
    Systemd *systemd;
    char *unit;
    SystemdUnit *watch;
    BackendReport report;
    void *report_user;
    StopBy stop_by;
    bool seen, was_failed, by_systemd; /* by_systemd: an auto-restart was seen on the way */
    bool was_up;
    SystemdJob *job;
    int job_rc;
    char *job_text;      /* of a job that is done, and what it made of the unit is still being asked; NULL: none */
    SystemdUnit *glance; /* a monitor without a watch looks through its own */
    guint glance_deadline;
    ServiceReport last;
    Later *later;
    ActionDone done;
    void *user;
} UnitBackend;

static Backend *unit_create(const ServiceSpec *spec, const ServiceHost *host, GError **error)
{
    UnitBackend *b = g_new0(UnitBackend, 1);

    b->spec = spec;
    b->systemd = host->systemd;
    b->unit = systemd_unit_name(spec->agent);
    return &b->base;
}

static void unit_backend_free(Backend *backend)
{
    UnitBackend *b = (UnitBackend *) backend;

    systemd_unit_free(b->watch);
    systemd_unit_free(b->glance);
    g_clear_handle_id(&b->glance_deadline, g_source_remove);
    systemd_job_free(b->job);
    later_cancel(&b->later);
    service_report_done(&b->last);
    g_free(b->job_text);
    g_free(b->unit);
    g_free(b);
}

static char *error_text(const GError *error)
{
    g_autoptr(GError) bare = g_error_copy(error);

    g_dbus_error_strip_remote_error(bare);
    return g_strdup_printf("systemd: %s", bare->message);
}

/* Package managers hold these locks while they work; a service they stop or start is an update. Those of another machine are not seen. */
static bool update_in_progress(const UnitBackend *b)
{
    static const char *const locks[] = {"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock"};

    for (size_t i = 0; i < G_N_ELEMENTS(locks) && !systemd_is_foreign(b->systemd); i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(locks[i], O_RDWR | O_CLOEXEC);
        bool held = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;

        if (fd >= 0)
            close(fd);
        if (held)
            return true;
    }
    return false;
}

static ServiceIntent foreign_intent(const UnitBackend *b, const UnitFacts *facts)
{
    if (facts->shutting_down)
        return INTENT_SHUTDOWN;
    return update_in_progress(b) ? INTENT_UPDATE : INTENT_ADMIN;
}

static ServiceIntent start_intent(const UnitBackend *b, const UnitFacts *facts)
{
    return facts->our_job ? INTENT_COMMAND : facts->foreign_job ? foreign_intent(b, facts) : b->seen ? b->last.intent : INTENT_UNKNOWN;
}

/* "main process 1234 killed by signal 9 (KILL)" */
static char *end_text(const UnitFacts *facts)
{
    g_autofree char *how = NULL;
    int wait_status = facts->exec_code == 1 ? facts->exec_status << 8 : facts->exec_status | (facts->exec_code == 3 ? 0x80 : 0);

    if (facts->exec_code == 0 || facts->last_pid == 0)
        return g_strdup_printf("systemd says %s", *facts->result != '\0' ? facts->result : facts->active_state);
    how = wait_status_text(wait_status);
    if (strcmp(facts->result, "success") == 0 || strcmp(facts->result, "exit-code") == 0 || strcmp(facts->result, "signal") == 0 ||
        strcmp(facts->result, "core-dump") == 0)
        return g_strdup_printf("main process %" PRId64 " %s", facts->last_pid, how);
    return g_strdup_printf("%s: main process %" PRId64 " %s", facts->result, facts->last_pid, how);
}

static void set_end(ServiceReport *report, const UnitFacts *facts)
{
    if (facts->exec_code == 1)
        report->exit_status = facts->exec_status;
    else if (facts->exec_code != 0)
        report->signal = facts->exec_status;
}

static void judge_end(const UnitBackend *b, const UnitFacts *facts, ServiceReport *report)
{
    bool clean = strcmp(facts->active_state, "failed") != 0;
    g_autofree char *end = end_text(facts);

    if (b->stop_by == STOP_OURS || (clean && facts->our_job)) {
        service_report_set(report, SERVICE_STOPPED, INTENT_COMMAND, OCF_NOT_RUNNING, g_strdup_printf("stopped by command; %s", end));
    } else if (b->stop_by == STOP_FOREIGN || (clean && (facts->foreign_job || facts->shutting_down))) {
        ServiceIntent intent = foreign_intent(b, facts);

        service_report_set(report, SERVICE_STOPPED, intent, OCF_NOT_RUNNING,
                           g_strdup_printf("stopped by %s; %s", intent == INTENT_ADMIN ? "an admin" : service_intent_name(intent), end));
    } else if (!clean) {
        service_report_set(report, SERVICE_FAILED, INTENT_NONE, OCF_GENERIC, g_steal_pointer(&end));
    } else if (b->was_failed) {
        service_report_set(report, SERVICE_STOPPED, INTENT_ADMIN, OCF_NOT_RUNNING, g_strdup("the failure was reset by an admin"));
    } else if (!b->seen || !b->was_up) {
        ServiceIntent intent = b->seen ? b->last.intent : INTENT_UNKNOWN;

        service_report_set(report, SERVICE_STOPPED, intent, OCF_NOT_RUNNING, g_strdup("the unit is not active"));
    } else if (b->spec->clean_exit_fails) {
        service_report_set(report, SERVICE_FAILED, INTENT_NONE, OCF_NOT_RUNNING, g_strdup_printf("%s, and nobody asked for it", end));
    } else {
        service_report_set(report, SERVICE_STOPPED, INTENT_UNKNOWN, OCF_NOT_RUNNING,
                           g_strdup_printf("%s, by itself: no job asked for it", end));
    }
    set_end(report, facts);
}

static void judge_deactivating(const UnitBackend *b, const UnitFacts *facts, ServiceReport *report)
{
    bool died = strcmp(facts->result, "success") != 0 && *facts->result != '\0' && b->stop_by == STOP_NOBODY;
    g_autofree char *end = died ? end_text(facts) : NULL;

    if (died && (*facts->restart == '\0' || strcmp(facts->restart, "no") == 0)) {
        service_report_set(report, SERVICE_FAILED, INTENT_NONE, OCF_GENERIC, g_steal_pointer(&end));
        set_end(report, facts);
        return;
    }
    if (died) {
        service_report_set(report, SERVICE_STARTING, INTENT_UNKNOWN, OCF_PENDING, g_strdup_printf("%s; systemd restarts it", end));
        return;
    }
    service_report_set(report, SERVICE_STOPPING,
                       b->stop_by == STOP_OURS      ? INTENT_COMMAND
                       : b->stop_by == STOP_FOREIGN ? foreign_intent(b, facts)
                                                    : INTENT_UNKNOWN,
                       OCF_PENDING, g_strdup("being stopped"));
}

static void judge(const UnitBackend *b, const UnitFacts *facts, ServiceReport *report)
{
    const char *active = facts->active_state;

    if (strcmp(facts->load_state, "not-found") == 0 && strcmp(active, "inactive") == 0) {
        service_report_set(report, SERVICE_UNKNOWN, INTENT_UNKNOWN, OCF_INSTALLED, g_strdup_printf("there is no unit %s", b->unit));
    } else if (strcmp(active, "active") == 0 || strcmp(active, "reloading") == 0 || strcmp(active, "refreshing") == 0) {
        ServiceIntent intent = b->by_systemd ? INTENT_UNKNOWN : start_intent(b, facts);

        if (b->was_up && !b->by_systemd && b->last.state == SERVICE_RUNNING)
            intent = b->last.intent; /* a reload or a job that changed nothing */
        service_report_set(report, SERVICE_RUNNING, intent, OCF_OK,
                           g_strdup(b->by_systemd ? "running, restarted by systemd" : "running"));
        report->pid = facts->main_pid;
    } else if (strcmp(active, "activating") == 0) {
        bool again = strcmp(facts->sub_state, "auto-restart") == 0;
        g_autofree char *end = again ? end_text(facts) : NULL;

        service_report_set(report, SERVICE_STARTING, again || b->by_systemd ? INTENT_UNKNOWN : start_intent(b, facts), OCF_PENDING,
                           again ? g_strdup_printf("%s; systemd restarts it", end) : g_strdup("being started"));
        report->pid = facts->main_pid;
    } else if (strcmp(active, "deactivating") == 0) {
        judge_deactivating(b, facts, report);
    } else if (*facts->job != '\0' && (b->stop_by != STOP_NOBODY || facts->our_job || facts->foreign_job)) {
        service_report_set(report, SERVICE_STARTING, start_intent(b, facts), OCF_PENDING, g_strdup("waits to be started"));
    } else {
        judge_end(b, facts, report);
    }
}

static void latch(UnitBackend *b, const UnitFacts *facts)
{
    if (strcmp(facts->active_state, "deactivating") == 0) {
        if (facts->our_job)
            b->stop_by = STOP_OURS;
        else if (facts->foreign_job || facts->shutting_down)
            b->stop_by = STOP_FOREIGN;
    } else if (strcmp(facts->active_state, "inactive") != 0 && strcmp(facts->active_state, "failed") != 0) {
        b->stop_by = STOP_NOBODY;
    }
    if (strcmp(facts->sub_state, "auto-restart") == 0)
        b->by_systemd = true;
}

static void finish(UnitBackend *b, int rc, const char *text);

static void on_facts(const UnitFacts *facts, const GError *error, void *user)
{
    UnitBackend *b = user;
    ServiceReport report = {0};
    g_autofree char *text = NULL;

    if (facts == NULL) {
        service_report_set(&report, SERVICE_UNKNOWN, INTENT_UNKNOWN, OCF_OTHER, error_text(error));
    } else {
        latch(b, facts);
        judge(b, facts, &report);
        b->was_failed = strcmp(facts->active_state, "failed") == 0;
        if (report.state == SERVICE_RUNNING || report.state == SERVICE_STOPPED || report.state == SERVICE_FAILED) {
            b->was_up = report.state == SERVICE_RUNNING;
            b->by_systemd = false;
        }
        b->seen = true;
    }
    service_report_copy(&b->last, &report);
    b->report(&report, b->report_user);
    service_report_done(&report);
    text = g_steal_pointer(&b->job_text);
    if (text != NULL)
        finish(b, b->job_rc, text);
}

static void unit_watch(Backend *backend, BackendReport report, void *user)
{
    UnitBackend *b = (UnitBackend *) backend;

    b->report = report;
    b->report_user = user;
    b->watch = systemd_unit_watch(b->systemd, b->unit, on_facts, b);
}

static int facts_rc(const UnitFacts *facts)
{
    if (strcmp(facts->active_state, "active") == 0 || strcmp(facts->active_state, "reloading") == 0)
        return OCF_OK;
    if (strcmp(facts->active_state, "activating") == 0 || strcmp(facts->active_state, "deactivating") == 0)
        return OCF_PENDING;
    if (strcmp(facts->load_state, "not-found") == 0)
        return OCF_INSTALLED;
    return strcmp(facts->active_state, "failed") == 0 ? OCF_GENERIC : OCF_NOT_RUNNING;
}

static void finish(UnitBackend *b, int rc, const char *text)
{
    const UnitFacts *facts = b->watch != NULL ? systemd_unit_facts(b->watch) : NULL;
    const ActionResult result = {.rc = rc, .text = text, .pid = facts != NULL ? facts->main_pid : 0, .wait_status = -1, .output = ""};
    ActionDone done = g_steal_pointer(&b->done);

    done(&result, b->user);
}

/* Of another machine: the call was never sent. */
static bool not_there(const UnitBackend *b, const GError *error)
{
    return systemd_is_foreign(b->systemd) &&
           (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED) || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
            g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED));
}

static int error_rc(const UnitBackend *b, const GError *error)
{
    g_autofree char *name = g_dbus_error_get_remote_error(error);

    if (not_there(b, error))
        return OCF_CONNECTION_DIED;
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        return OCF_TIMEOUT;
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CLOSED)) /* on the way: what became of the job is not known */
        return OCF_CANCELLED;
    if (name != NULL && strstr(name, "NoSuchUnit") != NULL)
        return OCF_INSTALLED;
    if (g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED) ||
        (name != NULL && strstr(name, "InteractiveAuthorizationRequired") != NULL))
        return OCF_PERM;
    return OCF_GENERIC;
}

static void on_glance(const UnitFacts *facts, const GError *error, void *user)
{
    UnitBackend *b = user;
    SystemdUnit *glance = g_steal_pointer(&b->glance);
    int rc = facts != NULL ? facts_rc(facts) : OCF_OTHER;
    g_autofree char *text = facts != NULL ? g_strdup_printf("%s (%s)", facts->active_state, facts->sub_state)
                                          : error_text(error);

    systemd_unit_free(glance);
    g_clear_handle_id(&b->glance_deadline, g_source_remove);
    finish(b, rc, text);
}

static gboolean on_glance_deadline(void *user)
{
    UnitBackend *b = user;

    b->glance_deadline = 0;
    systemd_unit_free(g_steal_pointer(&b->glance));
    finish(b, OCF_TIMEOUT, "systemd did not answer in time");
    return G_SOURCE_REMOVE;
}

static void on_job(const char *job_result, const GError *error, void *user)
{
    UnitBackend *b = user;
    const UnitFacts *facts = b->watch != NULL ? systemd_unit_facts(b->watch) : NULL;
    g_autofree char *text = NULL, *end = NULL;
    int rc;

    b->job = NULL;
    if (job_result == NULL) {
        text = error_text(error);
        finish(b, error_rc(b, error), text);
        return;
    }
    rc = strcmp(job_result, "done") == 0       ? OCF_OK
         : strcmp(job_result, "timeout") == 0  ? OCF_TIMEOUT
         : strcmp(job_result, "canceled") == 0 ? OCF_CANCELLED
                                               : OCF_GENERIC;
    end = facts != NULL && rc == OCF_GENERIC ? end_text(facts) : NULL;
    text = end != NULL ? g_strdup_printf("job %s: %s", job_result, end) : g_strdup_printf("job %s", job_result);
    if (b->watch != NULL && systemd_unit_is_behind(b->watch)) {
        b->job_rc = rc;
        b->job_text = g_steal_pointer(&text);
        return;
    }
    finish(b, rc, text);
}

static void unit_act(Backend *backend, const char *action, int64_t deadline_us, ActionDone done, void *user)
{
    static const char *const methods[][2] = {
        {"start", "StartUnit"}, {"stop", "StopUnit"}, {"restart", "RestartUnit"}, {"reload", "ReloadUnit"}};
    UnitBackend *b = (UnitBackend *) backend;

    g_assert(b->done == NULL);
    b->done = done;
    b->user = user;
    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++)
        if (strcmp(action, methods[i][0]) == 0) {
            b->job = systemd_job(b->systemd, b->unit, methods[i][1], deadline_us, on_job, b);
            return;
        }
    if (strcmp(action, "monitor") == 0 || strcmp(action, "status") == 0) {
        b->glance = systemd_unit_watch(b->systemd, b->unit, on_glance, b);
        b->glance_deadline = g_timeout_add((guint) (MAX(deadline_us - clock_now_us(), 0) / US_PER_MS), on_glance_deadline, b);
        return;
    }
    b->done = NULL;
    later_answer(&b->later, OCF_UNIMPLEMENTED, "systemd knows start, stop, restart, reload, monitor and status", done, user);
}

const BackendClass backend_systemd = {.standard = "systemd", .watches = true, .controls = true, .restarts = true,
                                      .create = unit_create, .watch = unit_watch, .act = unit_act, .free = unit_backend_free};
