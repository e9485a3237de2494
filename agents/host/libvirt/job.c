/* The engine gives every hold a cap from max_ms, so progress is told apart from "begun": telling that again would move the cap. */
#include "agents/host/libvirt/job.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <glib/gstdio.h>
#include <string.h>

#define NOTE_BYTES_MAX ((gsize) 64 * 1024)

struct Job {
    gatomicrefcount refs;
    Host *host;
    char *vm, *name, *to;
    int64_t deadline_us;
    guint timer;
    bool begun, ended;
    GMutex lock;
    uint64_t done_bytes, left_bytes, total_bytes; /* under lock */
    bool moved;
    void (*poll)(Job *job, void *user);
    void *poll_user;
    void (*poll_free)(void *user);
    bool polling;
};

static void tell(Job *job, const char *says)
{
    int64_t left_us = job->deadline_us - clock_now_us();
    bool ended = strcmp(says, "ended") == 0, progress = strcmp(says, "progress") == 0;
    g_autofree char *topic = g_strdup_printf("%s%s", job->name, progress ? ".progress" : "");
    Value *values = value_map();

    value_set(values, "job", value_string(job->name));
    value_set(values, "says", value_string(says));
    if (!ended)
        value_set(values, "max_ms", value_uint(VALUE_UINT32, (uint64_t) CLAMP(left_us / US_PER_MS, 1, INT32_MAX)));
    if (job->to != NULL)
        value_set(values, "to", value_string(job->to));
    g_mutex_lock(&job->lock);
    if (job->total_bytes > 0) {
        Value *numbers = value_map();

        value_set(numbers, "done_bytes", value_uint(VALUE_UINT64, job->done_bytes));
        value_set(numbers, "left_bytes", value_uint(VALUE_UINT64, job->left_bytes));
        value_set(numbers, "total_bytes", value_uint(VALUE_UINT64, job->total_bytes));
        value_set(values, "progress", numbers);
    }
    job->moved = false;
    g_mutex_unlock(&job->lock);
    host_tell_happened(job->host, "vm", job->vm, "job", topic, values);
}

static void on_polled(void *data)
{
    Job *job = data;

    job->polling = false;
    job_unref(job);
}

static void drop_polled(void *job) { job_unref(job); }

static void do_poll(void *data)
{
    Job *job = data;

    job->poll(job, job->poll_user);
}

static gboolean on_second(void *user)
{
    Job *job = user;

    g_mutex_lock(&job->lock);
    bool moved = job->moved;
    g_mutex_unlock(&job->lock);
    if (moved)
        tell(job, "progress");
    if (job->poll != NULL && !job->polling) {
        job->polling = true;
        host_work(job->host, NULL, do_poll, on_polled, drop_polled, job_ref(job));
    }
    return G_SOURCE_CONTINUE;
}

Job *job_new(Host *host, const char *vm, const char *name, const char *to, int64_t deadline_us)
{
    Job *job = g_new0(Job, 1);

    g_atomic_ref_count_init(&job->refs);
    g_mutex_init(&job->lock);
    job->host = host;
    job->vm = g_strdup(vm);
    job->name = g_strdup(name);
    job->to = to != NULL && *to != '\0' ? g_strdup(to) : NULL;
    job->deadline_us = deadline_us;
    return job;
}

void job_begin(Job *job)
{
    if (job->ended)
        return;
    if (!job->begun)
        job->timer = g_timeout_add_seconds(1, on_second, job);
    job->begun = true;
    tell(job, "begun");
}

bool job_is_begun(const Job *job) { return job->begun && !job->ended; }

Job *job_ref(Job *job)
{
    g_atomic_ref_count_inc(&job->refs);
    return job;
}

void job_unref(Job *job)
{
    if (job == NULL || !g_atomic_ref_count_dec(&job->refs))
        return;
    if (job->timer != 0)
        g_source_remove(job->timer);
    if (job->poll_free != NULL)
        job->poll_free(job->poll_user);
    g_mutex_clear(&job->lock);
    g_free(job->vm);
    g_free(job->name);
    g_free(job->to);
    g_free(job);
}

void job_progress(Job *job, uint64_t done_bytes, uint64_t left_bytes, uint64_t total_bytes)
{
    g_mutex_lock(&job->lock);
    job->moved |= job->done_bytes != done_bytes || job->left_bytes != left_bytes || job->total_bytes != total_bytes;
    job->done_bytes = done_bytes;
    job->left_bytes = left_bytes;
    job->total_bytes = total_bytes;
    g_mutex_unlock(&job->lock);
}

void job_watch(Job *job, void (*poll)(Job *job, void *user), void *user, void (*user_free)(void *user))
{
    g_assert(job->poll == NULL);
    job->poll = poll;
    job->poll_user = user;
    job->poll_free = user_free;
}

void job_drop(Job *job)
{
    if (job->ended)
        return;
    job->ended = true;
    if (job->timer != 0)
        g_source_remove(job->timer);
    job->timer = 0;
}

void job_end(Job *job)
{
    if (job->ended)
        return;
    job_drop(job);
    if (job->begun)
        tell(job, "ended");
}

const char *job_name(const Job *job) { return job->name; }

/* ---- notes ------------------------------------------------------------------------------------------------------------------------- */

static char *note_path(const char *folder, const char *vm, const char *name)
{
    return g_strdup_printf("%s/jobs/%s.%s.json", folder, vm, name);
}

bool job_note_write(const char *folder, const char *vm, const char *name, json_t *given, GError **error)
{
    g_autoptr(json_t) note = given;
    g_autofree char *path = note_path(folder, vm, name), *jobs = g_build_filename(folder, "jobs", NULL), *text = NULL;

    json_object_set_new(note, "vm", json_string(vm));
    json_object_set_new(note, "job", json_string(name));
    text = json_text(note);
    return folder_make(jobs, 0700, error) && file_write(path, text, strlen(text), 0600, error);
}

void job_note_remove(const char *folder, const char *vm, const char *name)
{
    g_autofree char *path = note_path(folder, vm, name);

    g_unlink(path);
}

static json_t *read_note(const char *path)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    gsize length = 0;
    json_t *note = NULL;

    if (g_file_get_contents(path, &text, &length, &error) && length <= NOTE_BYTES_MAX)
        note = json_parse(text, length, path, &error);
    if (note == NULL || json_string_or(note, "vm", NULL) == NULL || json_string_or(note, "job", NULL) == NULL) {
        log_warning("%s: %s: removed", path, error != NULL ? error->message : "no note of a job");
        json_decref(note);
        g_unlink(path);
        return NULL;
    }
    return note;
}

json_t *job_notes(const char *folder)
{
    g_autofree char *jobs = g_build_filename(folder, "jobs", NULL);
    g_autoptr(GDir) dir = g_dir_open(jobs, 0, NULL);
    const char *name;
    json_t *all = json_array();

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(jobs, name, NULL);
        json_t *note = g_str_has_suffix(name, ".json") ? read_note(path) : NULL;

        if (note != NULL)
            json_array_append_new(all, note);
    }
    return all;
}
