/* A thread of its own owns each freeze and alone thaws it, so nothing that hangs (the snapshot, libvirt, the one who froze) keeps the file
 * systems frozen. Commands go through virDomainQemuAgentCommand, since virDomainFSFreeze waits for its answer for ever. */
#include "agents/host/libvirt/freeze.h"

#include "agents/host/libvirt/job.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

#define PING_S 2
#define THAW_S 5
#define THAW_AGAIN_US (1 * US_PER_S)
#define END_WAITS_US (6 * US_PER_S)

struct Freeze {
    gatomicrefcount refs;
    virDomainPtr domain;
    char *folder, *vm;
    int64_t until_us;
    void (*thawed)(void *user);
    void *user;
    GMutex lock;
    GCond wake;
    bool end, is_thawed, by_clock; /* under lock */
};

static bool ask_agent(virDomainPtr domain, const char *command, int timeout_s)
{
    g_autofree char *text = g_strdup_printf("{\"execute\":\"%s\"}", command);
    char *answer = virDomainQemuAgentCommand(domain, text, timeout_s, 0);
    bool answered = answer != NULL;

    free(answer);
    return answered;
}

static void freeze_unref(Freeze *freeze)
{
    if (!g_atomic_ref_count_dec(&freeze->refs))
        return;
    g_mutex_clear(&freeze->lock);
    g_cond_clear(&freeze->wake);
    g_free(freeze->folder);
    g_free(freeze->vm);
    g_free(freeze);
}

bool freeze_thaw_now(virDomainPtr domain)
{
    bool thawed = ask_agent(domain, "guest-fsfreeze-thaw", THAW_S) || virDomainIsActive(domain) == 0;

    virResetLastError();
    return thawed;
}

static gboolean on_thawed(void *user)
{
    Freeze *freeze = user;

    freeze->thawed(freeze->user);
    freeze_unref(freeze);
    return G_SOURCE_REMOVE;
}

static void *keep(void *user)
{
    Freeze *freeze = user;

    g_mutex_lock(&freeze->lock);
    while (!freeze->end && clock_now_us() < freeze->until_us)
        g_cond_wait_until(&freeze->wake, &freeze->lock, freeze->until_us);
    freeze->by_clock = !freeze->end;
    g_mutex_unlock(&freeze->lock);
    bool thawed = freeze_thaw_now(freeze->domain);

    if (!thawed)
        log_warning("%s: its file systems may be frozen and its guest agent does not answer; it is asked on", freeze->vm);
    while (!thawed && virConnectIsAlive(virDomainGetConnect(freeze->domain)) == 1) { /* else its note is for the next connection */
        g_usleep(THAW_AGAIN_US);
        thawed = freeze_thaw_now(freeze->domain);
    }
    if (thawed)
        job_note_remove(freeze->folder, freeze->vm, "freeze");
    g_mutex_lock(&freeze->lock);
    freeze->is_thawed = true;
    g_cond_broadcast(&freeze->wake);
    g_mutex_unlock(&freeze->lock);
    virDomainFree(freeze->domain);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_thawed, freeze, NULL);
    return NULL;
}

Freeze *freeze_begin(virDomainPtr domain, const char *folder, const char *vm, int64_t max_us, void (*thawed)(void *user), void *user, char **ret_why)
{
    Freeze *freeze = g_new0(Freeze, 1);
    g_autoptr(GError) error = NULL;

    virDomainRef(domain);
    *freeze = (Freeze){.domain = domain, .folder = g_strdup(folder), .vm = g_strdup(vm), .until_us = clock_now_us() + max_us, .thawed = thawed, .user = user};
    g_atomic_ref_count_init(&freeze->refs);
    g_mutex_init(&freeze->lock);
    g_cond_init(&freeze->wake);
    if (!ask_agent(domain, "guest-ping", PING_S)) {
        *ret_why = g_strdup("its guest agent does not answer");
    } else if (!job_note_write(folder, vm, "freeze", json_object(), &error)) {
        *ret_why = g_strdup_printf("that it is frozen could not be noted: %s", error->message); /* a life that ends now would leave it frozen */
    } else {
        g_atomic_ref_count_inc(&freeze->refs);
        g_thread_unref(g_thread_new("thaw", keep, freeze));
        if (ask_agent(domain, "guest-fsfreeze-freeze", (int) MAX(max_us / US_PER_S, 1)))
            return freeze;
        *ret_why = g_strdup_printf("its guest agent did not freeze it: %s", virGetLastErrorMessage());
        freeze_end(freeze);
        return NULL;
    }
    virDomainFree(freeze->domain);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_thawed, freeze, NULL);
    return NULL;
}

bool freeze_end(Freeze *freeze)
{
    int64_t until_us = clock_now_us() + END_WAITS_US;

    g_mutex_lock(&freeze->lock);
    bool in_time = !freeze->by_clock && clock_now_us() < freeze->until_us;
    freeze->end = true;
    g_cond_broadcast(&freeze->wake);
    while (!freeze->is_thawed && g_cond_wait_until(&freeze->wake, &freeze->lock, until_us))
        continue;
    g_mutex_unlock(&freeze->lock);
    freeze_unref(freeze);
    return in_time;
}
