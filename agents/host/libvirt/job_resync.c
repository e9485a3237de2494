#include "agents/host/libvirt/job_resync.h"

#include "agents/host/libvirt/action.h"
#include "agents/host/libvirt/freeze.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <glib/gstdio.h>
#include <string.h>

#define AGAIN_S 5
#define UNKNOWN_END_US (1 * US_PER_HOUR) /* of a job that somebody else began */

struct Resync {
    int refs; /* main loop only */
    Host *host;
    char *folder;
    virConnectPtr (*connection)(void *user);
    bool (*is_at_work)(void *user, const char *vm);
    void *user;
    guint timer;
    bool looking, closed;
    GPtrArray *found; /* Found */
};

typedef struct Found { /* a job that is not this life's; owned by its job's watch and by resync->found until it ends */
    gatomicrefcount refs;
    Resync *resync;
    char *vm;
    const char *name;
    virDomainPtr domain;
    Job *job;
    int64_t until_wall_us; /* 0: nobody said */
    int ended;             /* atomic */
} Found;

typedef struct Look { /* one pass over what there is, in a thread */
    Resync *resync;
    virConnectPtr connection;
    char *folder;
    json_t *notes;       /* those that nobody is at */
    GPtrArray *at_work;  /* Found without a job */
} Look;

/* ---- progress of what libvirt is at ----------------------------------------------------------------------------------------------------- */

static uint64_t number(virTypedParameterPtr stats, int n_stats, const char *name)
{
    unsigned long long value = 0;

    return virTypedParamsGetULLong(stats, n_stats, name, &value) == 1 ? value : 0;
}

/* Our name for it; NULL: one that is short, or told by the other host. */
static const char *name_of(int operation)
{
    switch (operation) {
    case VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT: return "migration";
    case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT:
    case VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT: return "snapshot";
    case VIR_DOMAIN_JOB_OPERATION_SAVE:
    case VIR_DOMAIN_JOB_OPERATION_DUMP: return "dump";
    case VIR_DOMAIN_JOB_OPERATION_BACKUP: return "backup";
    default: return NULL;
    }
}

/* False: no job is at work. @job: told how far it is; may be NULL. */
static bool progress(virDomainPtr domain, Job *job, const char **ret_name)
{
    virTypedParameterPtr stats = NULL;
    int type = VIR_DOMAIN_JOB_NONE, n_stats = 0, operation = 0;

    if (virDomainGetJobStats(domain, &type, &stats, &n_stats, 0) < 0 || type == VIR_DOMAIN_JOB_NONE) {
        virResetLastError();
        return false;
    }
    virTypedParamsGetInt(stats, n_stats, VIR_DOMAIN_JOB_OPERATION, &operation);
    *ret_name = name_of(operation);
    if (job != NULL)
        job_progress(job, number(stats, n_stats, VIR_DOMAIN_JOB_DATA_PROCESSED), number(stats, n_stats, VIR_DOMAIN_JOB_DATA_REMAINING),
                     number(stats, n_stats, VIR_DOMAIN_JOB_DATA_TOTAL));
    virTypedParamsFree(stats, n_stats);
    return true;
}

void job_poll_domain(Job *job, void *domain)
{
    const char *name;

    progress(domain, job, &name);
}

static void *free_domain(void *domain)
{
    virDomainFree(domain);
    return NULL;
}

/* In a thread: the last reference to a connection closes it, and that may take its time. */
void job_domain_free(void *domain) { g_thread_unref(g_thread_new("domain-free", free_domain, domain)); }

/* ---- jobs that go on ------------------------------------------------------------------------------------------------------------------- */

static void resync_unref(Resync *resync)
{
    if (--resync->refs > 0)
        return;
    g_ptr_array_unref(resync->found);
    g_free(resync->folder);
    g_free(resync);
}

static void found_unref(void *data)
{
    Found *found = data;

    if (!g_atomic_ref_count_dec(&found->refs))
        return;
    job_domain_free(found->domain);
    g_free(found->vm);
    g_free(found);
}

static Found *found_new(Resync *resync, const char *vm, const char *name, virDomainPtr domain)
{
    Found *found = g_new0(Found, 1);

    g_atomic_ref_count_init(&found->refs);
    virDomainRef(domain);
    found->resync = resync;
    found->vm = g_strdup(vm);
    found->name = name;
    found->domain = domain;
    return found;
}

static const Found *found_of(const Resync *resync, const char *vm)
{
    for (guint i = 0; i < resync->found->len; i++)
        if (strcmp(((const Found *) resync->found->pdata[i])->vm, vm) == 0)
            return resync->found->pdata[i];
    return NULL;
}

static gboolean on_found_ended(void *user)
{
    Found *found = user;
    Resync *resync = found->resync;

    if (!resync->closed) {
        job_note_remove(resync->folder, found->vm, found->name);
        job_end(found->job);
        job_unref(found->job);
        g_ptr_array_remove_fast(resync->found, found);
    }
    resync_unref(resync);
    found_unref(found);
    return G_SOURCE_REMOVE;
}

static void poll_found(Job *job, void *user)
{
    Found *found = user;
    const char *name = NULL;

    if (!progress(found->domain, job, &name) || g_strcmp0(name, found->name) != 0) {
        if (g_atomic_int_compare_and_exchange(&found->ended, 0, 1)) {
            g_atomic_ref_count_inc(&found->refs);
            g_idle_add_full(G_PRIORITY_DEFAULT, on_found_ended, found, NULL);
        }
    } else if (found->until_wall_us != 0 && clock_wall_us() > found->until_wall_us && virDomainAbortJob(found->domain) < 0) {
        virResetLastError();
    }
}

static void follow(Resync *resync, Found *found)
{
    int64_t left_us = found->until_wall_us != 0 ? found->until_wall_us - clock_wall_us() : UNKNOWN_END_US;

    if (found_of(resync, found->vm) != NULL || resync->is_at_work(resync->user, found->vm)) {
        found_unref(found);
        return;
    }
    log_notice("vm %s: a %s is at work that this agent has not begun", found->vm, found->name);
    resync->refs++;
    found->job = job_new(resync->host, found->vm, found->name, NULL, clock_now_us() + MAX(left_us, US_PER_S));
    job_begin(found->job);
    g_ptr_array_add(resync->found, found);
    g_atomic_ref_count_inc(&found->refs);
    job_watch(found->job, poll_found, found, found_unref);
}

/* ---- what notes say; in a thread --------------------------------------------------------------------------------------------------------- */

static virDomainPtr domain_of(const Look *look, const char *vm)
{
    virDomainPtr domain = virDomainLookupByUUIDString(look->connection, vm);

    return domain;
}

static DomainXml *xml_of(virDomainPtr domain)
{
    char *text = virDomainGetXMLDesc(domain, 0);
    DomainXml *xml = text != NULL ? domain_xml_parse(text, NULL) : NULL;

    free(text);
    return xml;
}

/* A copy or a merge that nobody waits for any more: ended, the VM goes on with what it had, the half-made file goes. */
static bool settle_disk(virDomainPtr domain, const json_t *note)
{
    const char *target = json_string_or(note, "disk", ""), *path = json_string_or(note, "path", NULL);
    g_autoptr(DomainXml) xml = domain != NULL ? xml_of(domain) : NULL;
    const DomainDisk *disk = xml != NULL ? domain_xml_disk(xml, target) : NULL;

    if (domain != NULL && xml == NULL)
        return false;
    if (disk != NULL && disk->has_job) {
        if (path == NULL || g_strcmp0(disk->job_to, path) == 0)
            virDomainBlockJobAbort(domain, target, 0);
        virResetLastError();
        return false; /* once more, to see that it is gone */
    }
    if (path != NULL && json_bool_or(note, "made", false) && disk != NULL && g_strcmp0(disk->source, path) != 0)
        g_unlink(path);
    return true;
}

static bool settle_migration(Look *look, virDomainPtr domain, const json_t *note)
{
    const char *name = NULL;
    Found *found;

    if (domain == NULL || !progress(domain, NULL, &name) || g_strcmp0(name, "migration") != 0)
        return true;
    found = found_new(look->resync, json_string_or(note, "vm", ""), name, domain);
    found->until_wall_us = json_int_or(note, "until_us", 0);
    g_ptr_array_add(look->at_work, found);
    return false;
}

static void settle(Look *look, const json_t *note)
{
    const char *job = json_string_or(note, "job", ""), *vm = json_string_or(note, "vm", "");
    virDomainPtr domain = domain_of(look, vm);
    bool known = domain != NULL || virt_error_is(VIR_ERR_NO_DOMAIN), settled;

    virResetLastError();
    if (!known)
        return;
    if (strcmp(job, "freeze") == 0)
        settled = domain == NULL || freeze_thaw_now(domain);
    else if (strcmp(job, "migration") == 0)
        settled = settle_migration(look, domain, note);
    else
        settled = settle_disk(domain, note);
    if (domain != NULL)
        virDomainFree(domain);
    if (settled) {
        log_notice("vm %s: the %s that was left at work is settled", vm, job);
        job_note_remove(look->folder, vm, job);
    }
}

static bool is_found(const Look *look, const char *vm)
{
    for (guint i = 0; i < look->at_work->len; i++)
        if (strcmp(((const Found *) look->at_work->pdata[i])->vm, vm) == 0)
            return true;
    return false;
}

/* Those that somebody else began. */
static void look_for_jobs(Look *look)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(look->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    for (int i = 0; i < n; i++) {
        char vm[VIR_UUID_STRING_BUFLEN] = "";
        const char *name = NULL;

        if (virDomainGetUUIDString(domains[i], vm) == 0 && !is_found(look, vm) && progress(domains[i], NULL, &name) && name != NULL)
            g_ptr_array_add(look->at_work, found_new(look->resync, vm, name, domains[i]));
        virDomainFree(domains[i]);
    }
    free(domains);
    virResetLastError();
}

static void do_look(void *data)
{
    Look *look = data;
    size_t i;
    json_t *note;

    json_array_foreach(look->notes, i, note)
        settle(look, note);
    look_for_jobs(look);
    virConnectClose(look->connection);
}

/* ---- when ---------------------------------------------------------------------------------------------------------------------------------- */

static gboolean on_again(void *user)
{
    resync_now(user);
    return G_SOURCE_CONTINUE;
}

static void look_free(void *data)
{
    Look *look = data;

    g_ptr_array_unref(look->at_work);
    json_decref(look->notes);
    g_free(look->folder);
    resync_unref(look->resync);
    g_free(look);
}

static void on_looked(void *data)
{
    Look *look = data;
    Resync *resync = look->resync;

    resync->looking = false;
    if (!resync->closed)
        g_ptr_array_set_free_func(look->at_work, NULL);
    for (guint i = 0; !resync->closed && i < look->at_work->len; i++)
        follow(resync, look->at_work->pdata[i]);
    look_free(look);
}

void resync_now(Resync *resync)
{
    g_autoptr(json_t) all = job_notes(resync->folder);
    virConnectPtr connection = resync->looking ? NULL : resync->connection(resync->user);
    Look *look;
    size_t i;
    json_t *note;

    if (connection == NULL)
        return;
    look = g_new0(Look, 1);
    *look = (Look){.resync = resync, .connection = connection, .folder = g_strdup(resync->folder), .notes = json_array(), .at_work = g_ptr_array_new_with_free_func(found_unref)};
    json_array_foreach(all, i, note) {
        const char *vm = json_string_or(note, "vm", "");

        if (found_of(resync, vm) == NULL && !resync->is_at_work(resync->user, vm))
            json_array_append(look->notes, note);
    }
    resync->looking = true;
    resync->refs++;
    host_work(resync->host, "vm-resync", do_look, on_looked, look_free, look);
}

Resync *resync_new(Host *host, const char *folder, virConnectPtr (*connection)(void *user), bool (*is_at_work)(void *user, const char *vm), void *user)
{
    Resync *resync = g_new0(Resync, 1);

    *resync = (Resync){.refs = 1, .host = host, .folder = g_strdup(folder), .connection = connection, .is_at_work = is_at_work, .user = user,
                       .found = g_ptr_array_new_with_free_func(found_unref)};
    resync->timer = g_timeout_add_seconds(AGAIN_S, on_again, resync);
    return resync;
}

void resync_free(Resync *resync)
{
    if (resync == NULL)
        return;
    resync->closed = true;
    g_source_remove(resync->timer);
    for (guint i = 0; i < resync->found->len; i++) {
        Found *found = resync->found->pdata[i];

        job_drop(found->job); /* nothing is told: it goes on */
        job_unref(found->job);
    }
    resync_unref(resync);
}
