#include "agents/guest/services/systemd_private.h"

#include "lib/base/clock.h"

#include <string.h>

struct SystemdJob {
    Systemd *systemd;
    char *unit, *method, *path; /* path: NULL until systemd answered */
    GCancellable *cancel;
    guint deadline_source;
    JobDone done;
    void *user;
};

void systemd_job_free(SystemdJob *job)
{
    if (job == NULL)
        return;
    g_cancellable_cancel(job->cancel);
    g_clear_object(&job->cancel);
    g_clear_handle_id(&job->deadline_source, g_source_remove);
    job->systemd->jobs = g_list_remove(job->systemd->jobs, job);
    g_free(job->unit);
    g_free(job->method);
    g_free(job->path);
    g_free(job);
}

static void job_finish(SystemdJob *job, const char *result, const GError *error)
{
    JobDone done = job->done;
    void *user = job->user;

    systemd_job_free(job);
    done(result, error, user);
}

bool job_is_ours(const Systemd *systemd, const char *unit, const char *path)
{
    for (GList *i = systemd->jobs; i != NULL; i = i->next) {
        const SystemdJob *job = i->data;

        if (strcmp(job->unit, unit) == 0 && (job->path == NULL || strcmp(job->path, path) == 0))
            return true;
    }
    return false;
}

bool job_removed(SystemdJob *job, const char *path, const char *result)
{
    if (g_strcmp0(job->path, path) != 0)
        return false;
    job_finish(job, result, NULL);
    return true;
}

void job_lost(SystemdJob *job, const GError *why)
{
    job_finish(job, NULL, why);
}

static void on_queued(GVariant *reply, const GError *error, void *user)
{
    SystemdJob *job = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the job was freed */
    if (reply == NULL || !g_variant_is_of_type(reply, G_VARIANT_TYPE("(o)"))) {
        job_finish(job, NULL, error);
        return;
    }
    g_variant_get(reply, "(o)", &job->path);
    for (size_t i = 0; i < SYSTEMD_JOBS_REMEMBERED; i++)
        if (g_strcmp0(job->systemd->removed[i].path, job->path) == 0) {
            g_autofree char *result = g_strdup(job->systemd->removed[i].result);

            job_finish(job, result, NULL);
            return;
        }
}

static void on_reset(GVariant *reply, const GError *error, void *user)
{
    SystemdJob *job = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    systemd_invoke(job->systemd, SYSTEMD_PATH, SYSTEMD_MANAGER, job->method, g_variant_new("(ss)", job->unit, "replace"), job->cancel,
                   on_queued, job);
}

static gboolean on_deadline(void *user)
{
    SystemdJob *job = user;
    g_autoptr(GError) error = g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "%s of %s did not finish in time; systemd still tries",
                                          job->method, job->unit);

    job->deadline_source = 0;
    job_finish(job, NULL, error);
    return G_SOURCE_REMOVE;
}

SystemdJob *systemd_job(Systemd *systemd, const char *unit, const char *method, int64_t deadline_us, JobDone done, void *user)
{
    SystemdJob *job = g_new0(SystemdJob, 1);

    *job = (SystemdJob){.systemd = systemd, .unit = g_strdup(unit), .method = g_strdup(method), .done = done, .user = user};
    job->cancel = g_cancellable_new();
    job->deadline_source = g_timeout_add((guint) (MAX(deadline_us - clock_now_us(), 0) / US_PER_MS), on_deadline, job);
    systemd->jobs = g_list_prepend(systemd->jobs, job);
    if (strcmp(method, "StopUnit") == 0)
        on_reset(NULL, NULL, job);
    else
        systemd_invoke(systemd, SYSTEMD_PATH, SYSTEMD_MANAGER, "ResetFailedUnit", g_variant_new("(s)", unit), job->cancel, on_reset, job);
    return job;
}
