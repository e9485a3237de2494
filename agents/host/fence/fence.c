/* Orders about one host come one after the other, and those that ask for the same are answered together: two engines, or an engine and a
 * person, that want a host off shall not make two agents fight over one BMC. Evidence is told by whoever sees it, an order or a look of
 * health.c; while the bus is away it is not kept, since power is a thing of the moment. */
#include "agents/host/fence/fence.h"

#include "agents/host/fence/device.h"
#include "agents/host/fence/health.h"
#include "agents/host/fence/kdump.h"
#include "agents/host/fence/order.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>

#define MARGIN_US      US_PER_S /* an answer has to travel before whoever waits gives up */
#define FIRST_CHECK_US (10 * US_PER_S)
#define KDUMP_LOOK_MS  250
#define RELOAD_LOOK_MS 250

typedef struct Task {
    HostCall *call;
    OrderKind kind;
    int64_t deadline_us;
    char *id; /* UUID it was asked by, or NULL */
} Task;

typedef struct Victim { /* a host that is, or was, asked about */
    Fence *fence;
    const FenceHost *host;
    GQueue tasks;           /* of Task; the head is at work */
    FenceOrder *order;
    guint source;           /* the head waits for the end of a crash dump, or its turn */
    char *reason, *text;    /* of the last look at its devices; text NULL: none yet */
} Victim;

struct Fence {
    Host *host;
    FenceOptions options;   /* with strings of its own */
    guint reload;           /* a new file waits for the orders at work */
    FencingFile *file;      /* NULL: */
    char *problem;          /* why */
    FenceDevices *devices;
    Health *health;
    Kdump *kdump;
    int64_t kdump_max_us;
    GHashTable *victims;    /* FenceHost → Victim */
};

static void begin_next(Victim *victim);

static void task_free(Task *task)
{
    g_free(task->id);
    g_free(task);
}

static void victim_free(Victim *victim)
{
    Task *task;

    g_clear_handle_id(&victim->source, g_source_remove);
    fence_order_free(victim->order);
    while ((task = g_queue_pop_head(&victim->tasks)) != NULL) {
        host_call_refused(task->call, COMMAND_ERROR_INTERRUPTED, "the host agent that was to do it ends");
        task_free(task);
    }
    g_free(victim->reason);
    g_free(victim->text);
    g_free(victim);
}

static Victim *victim_of(Fence *fence, const FenceHost *host)
{
    Victim *victim = g_hash_table_lookup(fence->victims, host);

    if (victim == NULL) {
        victim = g_new0(Victim, 1);
        victim->fence = fence;
        victim->host = host;
        g_queue_init(&victim->tasks);
        g_hash_table_insert(fence->victims, (gpointer) host, victim);
    }
    return victim;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------------------ */

static bool is_self(const Fence *fence, const FenceHost *host)
{
    return g_strcmp0(host->id, host_id(fence->host)) == 0;
}

static void tell_evidence(Fence *fence, const char *id, const char *channel, const char *says)
{
    Value *values = value_map();

    value_set(values, "channel", value_string(channel));
    value_set(values, "says", value_string(says));
    value_set(values, "by", value_string(host_id(fence->host)));
    if (id != NULL && host_is_online(fence->host) && strcmp(id, host_id(fence->host)) != 0)
        host_tell_happened(fence->host, "host", id, "evidence", channel, values);
    else
        value_unref(values);
}

static void tell_fenceable(const Victim *victim)
{
    Host *host = victim->fence->host;
    Value *values = value_map();

    value_set(values, "reason", value_string(victim->reason != NULL ? victim->reason : ""));
    value_set(values, "text", value_string(victim->text));
    value_set(values, "by", value_string(host_id(host)));
    if (victim->host->id != NULL && host_is_online(host))
        host_tell_happened(host, "host", victim->host->id, victim->reason != NULL ? "unfenceable" : "fenceable", "fenceable", values);
    else
        value_unref(values);
}

/* Our own devices must say that we have power. When they say off, the file has somebody else's for us, and ours for somebody else. */
static const char *reason_of(const Fence *fence, const HealthReport *report)
{
    return is_self(fence, report->host) && strcmp(report->says, "off") == 0 ? "wrong-device" : report->reason;
}

static void on_look(const HealthReport *report, void *user)
{
    Fence *fence = user;
    Victim *victim = victim_of(fence, report->host);
    const char *reason = reason_of(fence, report);
    bool first = victim->text == NULL, changed = g_strcmp0(victim->reason, reason) != 0;

    g_free(victim->reason);
    g_free(victim->text);
    victim->reason = g_strdup(reason);
    victim->text = g_strdup(g_strcmp0(reason, "wrong-device") == 0 ? "its fence devices say that it is off, and it runs: the fencing file has those of "
                                                                     "another machine for it" : report->text);
    if (reason != NULL && changed)
        log_warning("fencing of %s: %s", fence_host_label(report->host), victim->text);
    else if (changed || first)
        log_info("fencing of %s: %s", fence_host_label(report->host), victim->text);
    tell_evidence(fence, report->host->id, "bmc", report->says);
    if (changed || first)
        tell_fenceable(victim);
}

static void on_dump(const FenceHost *host, bool begun, void *user)
{
    tell_evidence(user, host->id, "kdump", begun ? "alive" : "none");
}

static void on_online(void *user)
{
    Fence *fence = user;
    GHashTableIter iter;
    void *victim;

    g_hash_table_iter_init(&iter, fence->victims);
    while (g_hash_table_iter_next(&iter, NULL, &victim))
        if (((const Victim *) victim)->text != NULL)
            tell_fenceable(victim);
}

static void tell_fences(Fence *fence)
{
    Value *fences = value_list();

    for (guint i = 0; fence->file != NULL && i < fence->file->hosts->len; i++) {
        const FenceHost *host = fence->file->hosts->pdata[i];

        if (!is_self(fence, host))
            value_append(fences, value_string(host->id != NULL ? host->id : host->name));
    }
    host_set_fact(fence->host, "fences", fences);
}

/* ---- orders ------------------------------------------------------------------------------------------------------------------------- */

static Value *result_values(const OrderResult *result)
{
    Value *values = value_map(), *devices = value_map();

    for (guint i = 0; i < result->reasons->len; i++) {
        const OrderReason *reason = result->reasons->pdata[i];

        value_set(devices, reason->device->name, value_string(reason->text));
    }
    value_set(values, "level", value_uint(VALUE_UINT32, result->level));
    value_set(values, "already", value_bool(result->already));
    value_set(values, "failed", devices);
    if (!result->done && result->state != NULL)
        value_set(values, "state", value_string(result->state));
    return values;
}

static void answer(Task *task, const OrderResult *result)
{
    if (result->done)
        host_call_done(task->call, result->state, result_values(result), result->text);
    else
        host_call_failed(task->call, result->late ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED, result_values(result), result->text);
    task_free(task);
}

/* Those behind it that want what is so now need not ask the devices again. */
static void answer_alike(Victim *victim, OrderKind kind, const OrderResult *result)
{
    for (GList *link = victim->tasks.head, *next; link != NULL; link = next) {
        Task *task = link->data;

        next = link->next;
        if (task->kind != kind || kind == ORDER_REBOOT)
            continue;
        g_queue_delete_link(&victim->tasks, link);
        answer(task, result);
    }
}

static void on_order_done(const OrderResult *result, void *user)
{
    Victim *victim = user;
    Task *task = g_queue_pop_head(&victim->tasks);
    OrderKind kind = task->kind;
    const char *id = victim->host->id != NULL ? victim->host->id : task->id;

    victim->order = NULL;
    log_line(result->done ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERROR, "fencing, %s: %s", order_names[kind], result->text);
    tell_evidence(victim->fence, id, "bmc", g_strcmp0(result->state, "off") == 0 ? "off" : result->state != NULL ? "alive" : "unknown");
    answer(task, result);
    if (result->done)
        answer_alike(victim, kind, result);
    if (!result->done || kind != ORDER_STATUS)
        health_look(victim->fence->health, victim->host);
    begin_next(victim);
}

static gboolean on_turn(void *user)
{
    Victim *victim = user;

    victim->source = 0;
    begin_next(victim);
    return G_SOURCE_REMOVE;
}

/* A host that writes its crash dump is left alone for a while: what it writes tells why it crashed. */
static bool dump_is_waited_for(const Victim *victim, const Task *task)
{
    const Fence *fence = victim->fence;
    int64_t now_us = clock_now_us(), since_us = fence->kdump != NULL ? kdump_since_us(fence->kdump, victim->host) : 0;

    return since_us != 0 && (task->kind == ORDER_OFF || task->kind == ORDER_REBOOT) && now_us < since_us + fence->kdump_max_us;
}

static void late(Victim *victim, const char *why)
{
    Task *task = g_queue_pop_head(&victim->tasks);

    host_call_failed(task->call, COMMAND_ERROR_TIMEOUT, NULL, why);
    task_free(task);
    begin_next(victim);
}

static void begin_next(Victim *victim)
{
    const Task *task = g_queue_peek_head(&victim->tasks);
    bool dump;

    if (task == NULL || victim->order != NULL || victim->source != 0)
        return;
    dump = dump_is_waited_for(victim, task);
    if (clock_now_us() >= task->deadline_us) {
        late(victim, dump ? "it writes a crash dump, and was left alone; fence it again when the dump is done or took too long"
                          : "there was no time left: other orders about this host came first");
    } else if (dump) {
        victim->source = g_timeout_add(KDUMP_LOOK_MS, on_turn, victim);
    } else {
        const FenceAsker asker = fence_devices_asker(victim->fence->devices);

        health_yield(victim->fence->health);
        log_notice("fencing, %s: %s begins", order_names[task->kind], fence_host_label(victim->host));
        victim->order = fence_order_new(&asker, victim->host, task->kind, task->deadline_us, on_order_done, victim);
    }
}

/* NULL: @call was refused. */
static const FenceHost *host_asked(Fence *fence, HostCall *call)
{
    const char *id = host_call_name(call), *name = value_get_string(host_call_arguments(call), "hostname");
    const FenceHost *host = fence->file == NULL ? NULL : fencing_file_host(fence->file, id, name);
    g_autofree char *text = NULL;

    if (g_ascii_strcasecmp(id, host_id(fence->host)) == 0 || (host != NULL && is_self(fence, host))) {
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "a host does not fence itself: ask another one's agent");
        return NULL;
    }
    if (host != NULL)
        return host;
    if (fence->file == NULL)
        text = g_strdup_printf("%s cannot fence any host: %s", host_name(fence->host), fence->problem);
    else
        text = g_strdup_printf("%s has no device for host %s%s%s: add it under hosts in %s there, and reload mend-host (SIGHUP)", host_name(fence->host),
                               id, name != NULL && *name != '\0' ? ", " : "", name != NULL ? name : "", fence->file->path);
    host_call_refused(call, COMMAND_ERROR_NOT_FOUND, text);
    return NULL;
}

static void take(Fence *fence, HostCall *call, const char *word)
{
    const FenceHost *host;
    OrderKind kind;
    Task *task;

    if (!order_parse(word, &kind)) {
        g_autofree char *text = g_strdup_printf("method '%s' is none of off, on, reboot, status", word);

        host_call_refused(call, COMMAND_ERROR_ARGUMENT, text);
        return;
    }
    if ((host = host_asked(fence, call)) == NULL)
        return;
    task = g_new(Task, 1);
    *task = (Task) { call, kind, host_call_deadline_us(call), uuid_canonical(host_call_name(call)) };
    task->deadline_us = MAX(task->deadline_us - MARGIN_US, clock_now_us() + (task->deadline_us - clock_now_us()) / 2);
    g_queue_push_tail(&victim_of(fence, host)->tasks, task);
    begin_next(victim_of(fence, host));
}

static void on_fence(HostCall *call, void *user)
{
    const char *word = value_get_string(host_call_arguments(call), "method");

    take(user, call, word != NULL ? word : "");
}

static void on_status(HostCall *call, void *user)
{
    take(user, call, "status");
}

/* ---- life --------------------------------------------------------------------------------------------------------------------------- */

static const char *path_of(const Fence *fence) { return fence->options.file != NULL ? fence->options.file : FENCING_FILE_DEFAULT; }

static void read_file(Fence *fence, const FenceOptions *options)
{
    const char *path = path_of(fence);
    g_autoptr(GError) error = NULL;

    fence->file = fencing_file_read(path, &error);
    if (fence->file != NULL)
        return;
    if (options->file == NULL && g_error_matches(error, FENCING_ERROR, FENCING_ERROR_MISSING)) {
        fence->problem = g_strdup_printf("it has no file %s", path);
        return;
    }
    fence->problem = g_strdup(error->message);
    log_error("no host can be fenced from here: %s", error->message);
}

static void start_health(Fence *fence, const FenceOptions *options)
{
    FenceAsker asker;

    if (fence->file == NULL)
        return;
    fence->devices = fence_devices_new(fence->file, options->helpers);
    asker = fence_devices_asker(fence->devices);
    fence->health = health_new(fence->file, &asker, options->first_check_us != 0 ? options->first_check_us : FIRST_CHECK_US, options->check_us,
                               on_look, fence);
    log_info("%u hosts can be fenced by %u devices (%s)", fence->file->hosts->len, fence->file->devices->len, fence->file->path);
}

static bool start_kdump(Fence *fence, GError **error)
{
    if (fence->options.kdump)
        fence->kdump = kdump_new(fence->file, fence->options.kdump_address, fence->options.kdump_port, 0, on_dump, fence, error);
    return !fence->options.kdump || fence->kdump != NULL;
}

static bool is_at_work(const Fence *fence)
{
    GHashTableIter iter;
    void *victim;

    g_hash_table_iter_init(&iter, fence->victims);
    while (g_hash_table_iter_next(&iter, NULL, &victim))
        if (!g_queue_is_empty(&((Victim *) victim)->tasks))
            return true;
    return false;
}

static void take_file(Fence *fence, FencingFile *file /* (transfer full) */)
{
    g_autoptr(GError) error = NULL;

    g_hash_table_remove_all(fence->victims);
    g_clear_pointer(&fence->health, health_free);
    g_clear_pointer(&fence->kdump, kdump_free);
    g_clear_pointer(&fence->devices, fence_devices_free);
    g_clear_pointer(&fence->problem, g_free);
    fencing_file_free(fence->file);
    fence->file = file;
    start_health(fence, &fence->options);
    if (!start_kdump(fence, &error))
        log_error("crash dumps are not heard of any more: %s", error->message);
    tell_fences(fence);
}

static gboolean on_reload(void *user)
{
    Fence *fence = user;
    g_autoptr(GError) error = NULL;
    FencingFile *file;

    if (is_at_work(fence))
        return G_SOURCE_CONTINUE;
    fence->reload = 0;
    file = fencing_file_read(path_of(fence), &error);
    if (file != NULL)
        take_file(fence, file);
    else
        log_error("the fencing file was not taken, what held before holds on: %s", error->message);
    return G_SOURCE_REMOVE;
}

void fence_reload(Fence *fence)
{
    g_clear_handle_id(&fence->reload, g_source_remove);
    if (on_reload(fence) == G_SOURCE_CONTINUE)
        fence->reload = g_timeout_add(RELOAD_LOOK_MS, on_reload, fence);
}

Fence *fence_new(Host *host, const FenceOptions *options, GError **error)
{
    Fence *fence = g_new0(Fence, 1);

    fence->host = host;
    fence->options = *options;
    fence->options.file = g_strdup(options->file);
    fence->options.kdump_address = g_strdup(options->kdump_address);
    fence->options.helpers = g_strdup(options->helpers);
    fence->victims = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify) victim_free);
    fence->kdump_max_us = options->kdump_max_us;
    read_file(fence, options);
    start_health(fence, options);
    if (!start_kdump(fence, error)) {
        fence_free(fence);
        return NULL;
    }
    tell_fences(fence);
    host_on_online(host, on_online, fence);
    host_on_method(host, "host_fence", on_fence, fence);
    host_on_method(host, "host_status", on_status, fence);
    return fence;
}

void fence_free(Fence *fence)
{
    if (fence == NULL)
        return;
    g_clear_handle_id(&fence->reload, g_source_remove);
    g_hash_table_unref(fence->victims);
    health_free(fence->health);
    kdump_free(fence->kdump);
    fence_devices_free(fence->devices);
    fencing_file_free(fence->file);
    g_free(fence->problem);
    g_free((char *) fence->options.file);
    g_free((char *) fence->options.kdump_address);
    g_free((char *) fence->options.helpers);
    g_free(fence);
}

uint16_t fence_kdump_port(const Fence *fence) { return fence->kdump != NULL ? kdump_port(fence->kdump) : 0; }
