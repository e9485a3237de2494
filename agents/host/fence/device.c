/* Why an exit status of 2 is not enough for "off": a shell or an interpreter that cannot read the agent's script ends with 2 as well, and
 * "off" is what lets a VM start elsewhere. So the agent must also say the word; one that ends with 0 must not say it.
 *
 * An agent's metadata is asked for once and kept for all its devices; that it could not be read is not kept. */
#include "agents/host/fence/device.h"

#include "agents/common/child.h"
#include "agents/host/fence/request.h"
#include "agents/host/fence/scrub.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX_BYTES   300
#define WORDS_MAX_BYTES  1024 /* of stderr, as agents/common/child.c keeps it */

typedef struct Ask {
    const FenceHost *host;
    FenceAction action;
    int64_t deadline_us;
    FenceAnswerFn fn;
    void *user;
} Ask;

typedef struct Worker { /* of one device */
    FenceDevices *devices;
    const FenceDevice *device;
    GQueue asks;              /* of Ask; the head is the one at work */
    Child *child;
    FenceRequest *request;    /* of the agent at work */
    guint next_source;        /* to begin with the head */
} Worker;

struct FenceDevices {
    const FencingFile *file;
    char *folder;
    GHashTable *metadata; /* agent → FenceMetadata */
    GHashTable *workers;  /* FenceDevice → Worker */
};

static void begin_soon(Worker *worker);

static void worker_free(Worker *worker)
{
    g_clear_handle_id(&worker->next_source, g_source_remove);
    child_free(worker->child);
    fence_request_free(worker->request);
    g_queue_clear_full(&worker->asks, g_free);
    g_free(worker);
}

static char *own_folder(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);

    return self != NULL ? g_path_get_dirname(self) : g_strdup("/usr/bin");
}

FenceDevices *fence_devices_new(const FencingFile *file, const char *folder)
{
    FenceDevices *devices = g_new0(FenceDevices, 1);

    devices->file = file;
    devices->folder = folder != NULL ? g_strdup(folder) : own_folder();
    devices->metadata = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) fence_metadata_free);
    devices->workers = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify) worker_free);
    return devices;
}

void fence_devices_free(FenceDevices *devices)
{
    if (devices == NULL)
        return;
    g_hash_table_unref(devices->workers);
    g_hash_table_unref(devices->metadata);
    g_free(devices->folder);
    g_free(devices);
}

const FenceMetadata *fence_devices_metadata(const FenceDevices *devices, const FenceDevice *device)
{
    return g_hash_table_lookup(devices->metadata, device->agent);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------------ */

static void answer(Worker *worker, FenceSays says, bool hopeless, const char *text)
{
    Ask *ask = g_queue_pop_head(&worker->asks);
    const FenceAnswer its = { says, hopeless, text };

    g_clear_pointer(&worker->request, fence_request_free);
    log_debug("fence device %s, %s of %s: %s%s%s", worker->device->name, fence_action_names[ask->action], fence_host_label(ask->host),
              says == FENCE_SAYS_FAILED ? "failed" : says == FENCE_SAYS_DONE ? "done" : says == FENCE_SAYS_ON ? "on" : "off",
              text != NULL ? ": " : "", text != NULL ? text : "");
    begin_soon(worker);
    ask->fn(&its, ask->user);
    g_free(ask);
}

static void fail(Worker *worker, bool hopeless, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void fail(Worker *worker, bool hopeless, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    answer(worker, FENCE_SAYS_FAILED, hopeless, text);
}

/* The last line of what an agent said, without the date and the level before it. A line whose beginning is lost is not shown: half a secret
 * would not be found in it. */
static char *reason_of(const ChildResult *result, const GPtrArray *secrets)
{
    g_autofree char *words = g_strdup(result->words);
    bool cut = strlen(words) >= WORDS_MAX_BYTES;
    char *line, *text;

    g_strchomp(words);
    line = strrchr(words, '\n');
    if (line == NULL && cut)
        return g_strdup("(it said too much to show)");
    line = line != NULL ? line + 1 : words;
    text = strstr(line, "ERROR: ");
    return fence_scrub(text != NULL ? text + strlen("ERROR: ") : line, secrets, TEXT_MAX_BYTES);
}

static bool says_off(const ChildResult *result)
{
    g_autofree char *said = g_ascii_strup(result->output, -1);

    for (const char *at = strstr(said, "OFF"); at != NULL; at = strstr(at + 1, "OFF"))
        if ((at == said || !g_ascii_isalnum(at[-1])) && !g_ascii_isalnum(at[3]))
            return true;
    return false;
}

/* Agents that run ipmitool keep what it says to themselves. */
static const char *hint_of(const Worker *worker, const char *reason)
{
    bool by_ipmitool = fence_metadata_parameter(fence_devices_metadata(worker->devices, worker->device), "ipmitool_path") != NULL;

    return by_ipmitool && strstr(reason, "plug status") != NULL ? " (wrong user or password, or no BMC at that address)" : "";
}

static void on_action_done(const ChildResult *result, void *user)
{
    Worker *worker = user;
    const Ask *ask = g_queue_peek_head(&worker->asks);
    int status = WIFEXITED(result->wait_status) ? WEXITSTATUS(result->wait_status) : -1;
    bool asked = ask->action == FENCE_STATUS, off = asked && says_off(result), timed_out = result->timed_out;
    g_autofree char *reason = reason_of(result, worker->request->secrets);

    child_free(g_steal_pointer(&worker->child));
    if (timed_out)
        fail(worker, false, "no answer in time to '%s': %s was ended", fence_action_names[ask->action], worker->device->agent);
    else if (status == 0 && !asked)
        answer(worker, FENCE_SAYS_DONE, false, NULL);
    else if (status == 0 && !off)
        answer(worker, FENCE_SAYS_ON, false, NULL);
    else if (status == 2 && off)
        answer(worker, FENCE_SAYS_OFF, false, NULL);
    else if (asked && (status == 0 || status == 2))
        fail(worker, false, "%s ended with %d, which says %s, and said %s: neither is believed", worker->device->agent, status,
             status == 0 ? "on" : "off", off ? "OFF" : "nothing of OFF");
    else if (status < 0)
        fail(worker, false, "%s was ended by signal %d", worker->device->agent, WTERMSIG(result->wait_status));
    else
        fail(worker, false, "%s%s", *reason != '\0' ? reason : "it failed and did not say why", hint_of(worker, reason));
}

/* ---- questions ---------------------------------------------------------------------------------------------------------------------- */

/* Where fence agents are; a service's PATH may not have it. */
static char *agent_path(const char *agent)
{
    char *path = strchr(agent, '/') != NULL ? g_strdup(agent) : g_build_filename("/usr/sbin", agent, NULL);

    if (strchr(agent, '/') == NULL && access(path, X_OK) != 0) {
        g_free(path);
        path = g_find_program_in_path(agent);
    }
    return path;
}

static bool start(Worker *worker, const char *option, const char *word, FenceAction timeout_of, ChildDone done)
{
    const Ask *ask = g_queue_peek_head(&worker->asks);
    g_autofree char *path = agent_path(worker->device->agent);
    char *argv[] = { path, (char *) option, (char *) word, NULL };
    g_autoptr(GError) error = NULL;
    const ChildOptions options = { .argv = argv,
                                   .environment = worker->request != NULL ? worker->request->environment : NULL,
                                   .input = worker->request != NULL ? worker->request->input : NULL,
                                   .max_output_bytes = FENCE_METADATA_MAX_BYTES,
                                   .deadline_us = MIN(ask->deadline_us, clock_now_us() + worker->device->timeout_us[timeout_of]) };

    if (path != NULL && (worker->child = child_start(&options, done, worker, &error)) != NULL)
        return true;
    fail(worker, true, "%s: %s", worker->device->agent,
         error != NULL ? error->message : "no such fence agent on this machine; Debian has it in the package fence-agents");
    return false;
}

static void begin_action(Worker *worker)
{
    const Ask *ask = g_queue_peek_head(&worker->asks);
    g_autoptr(GError) error = NULL;

    if (!fence_request_new(worker->devices->file, worker->device, ask->host, ask->action, fence_devices_metadata(worker->devices, worker->device),
                           worker->devices->folder, &worker->request, &error)) {
        fail(worker, true, "%s", error->message);
        return;
    }
    start(worker, NULL, NULL, ask->action, on_action_done);
}

static void on_metadata(const ChildResult *result, void *user)
{
    Worker *worker = user;
    g_autoptr(GError) error = NULL;
    FenceMetadata *metadata = result->timed_out ? NULL : fence_metadata_parse(result->output, result->output_bytes, &error);
    g_autofree char *reason = metadata != NULL ? NULL : reason_of(result, NULL);

    child_free(g_steal_pointer(&worker->child));
    if (metadata == NULL) {
        fail(worker, false, "%s does not say what it can: %s%s%s", worker->device->agent, error != NULL ? error->message : "no answer in time",
             *reason != '\0' ? "; " : "", reason);
        return;
    }
    g_hash_table_replace(worker->devices->metadata, g_strdup(worker->device->agent), metadata);
    begin_action(worker);
}

static gboolean on_next(void *user)
{
    Worker *worker = user;
    const Ask *ask = g_queue_peek_head(&worker->asks);

    worker->next_source = 0;
    if (ask->deadline_us <= clock_now_us())
        fail(worker, false, "there was no time left to ask it");
    else if (fence_devices_metadata(worker->devices, worker->device) != NULL)
        begin_action(worker);
    else
        start(worker, "-o", "metadata", FENCE_METADATA, on_metadata);
    return G_SOURCE_REMOVE;
}

static void begin_soon(Worker *worker)
{
    if (!g_queue_is_empty(&worker->asks) && worker->child == NULL && worker->next_source == 0)
        worker->next_source = g_idle_add(on_next, worker);
}

static void ask_device(void *self, const FenceDevice *device, const FenceHost *host, FenceAction action, int64_t deadline_us, FenceAnswerFn fn, void *user)
{
    FenceDevices *devices = self;
    Worker *worker = g_hash_table_lookup(devices->workers, device);
    Ask *ask = g_new(Ask, 1);

    if (worker == NULL) {
        worker = g_new0(Worker, 1);
        worker->devices = devices;
        worker->device = device;
        g_queue_init(&worker->asks);
        g_hash_table_insert(devices->workers, (gpointer) device, worker);
    }
    *ask = (Ask) { host, action, deadline_us, fn, user };
    g_queue_push_tail(&worker->asks, ask);
    begin_soon(worker);
}

static void forget_in(Worker *worker, const void *user)
{
    for (GList *link = worker->asks.head, *next; link != NULL; link = next) {
        next = link->next;
        if (((const Ask *) link->data)->user != user)
            continue;
        if (link == worker->asks.head) {
            child_free(g_steal_pointer(&worker->child));
            g_clear_pointer(&worker->request, fence_request_free);
            g_clear_handle_id(&worker->next_source, g_source_remove);
        }
        g_free(link->data);
        g_queue_delete_link(&worker->asks, link);
    }
    begin_soon(worker);
}

static void forget(void *self, void *user)
{
    GHashTableIter iter;
    void *worker;

    g_hash_table_iter_init(&iter, ((FenceDevices *) self)->workers);
    while (g_hash_table_iter_next(&iter, NULL, &worker))
        forget_in(worker, user);
}

FenceAsker fence_devices_asker(FenceDevices *devices) { return (FenceAsker) { ask_device, forget, devices, 0 }; }
