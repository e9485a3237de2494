/* One round for a VM: look what each disk has (in a thread), ask the program for those that want more, one after the other, look again,
 * and let the VM run. What comes for the VM meanwhile begins another round; rounds that failed are repeated with growing pauses, which grow by
 * repetition only: a VM that stops, and is resumed and stops again, has its rounds besides. */
#include "agents/host/libvirt/extend.h"

#include "agents/common/child.h"
#include "agents/host/libvirt/extend_disk.h"
#include "agents/host/libvirt/virt_error.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <sys/wait.h>

#define RETRY_FIRST_S 5
#define RETRY_MAX_S 300

struct Extend {
    int refs; /* rounds in threads hold one */
    Host *host;
    ExtendOptions options;
    GHashTable *vms; /* UUID → Vm */
    bool closed;
};

typedef struct Vm { /* lives while something is to be done for it, or to be tried again */
    Extend *extend;
    char *vm;
    GHashTable *asked; /* disk → reason (static text): beside those that are found to want more */
    GPtrArray *calls;  /* HostCall that wait for the end of the round */
    bool busy, again, is_repeated; /* is_repeated: the round at work is one of those with pauses */
    unsigned failures;             /* of those, in a row */
    guint retry;
    Child *child;
    struct Round *round;
} Vm;

typedef struct Round { /* owned by the thread that looks, else by the main loop */
    Extend *extend;
    char *vm;
    virConnectPtr connection;
    GHashTable *asked;
    GPtrArray *rooms;   /* DiskRoom: before */
    GPtrArray *todo;    /* of them, borrowed */
    guint at;
    bool gone, known, ok; /* gone: it does not run here; known: what its disks have */
    GString *text;      /* for people, what went wrong or was done */
} Round;

static void begin(Vm *vm, bool is_repeated);

static void round_free(Round *round)
{
    g_clear_pointer(&round->rooms, g_ptr_array_unref);
    g_ptr_array_unref(round->todo);
    g_hash_table_unref(round->asked);
    g_string_free(round->text, TRUE);
    g_free(round->vm);
    g_free(round);
}

static void vm_free(void *data)
{
    Vm *vm = data;

    if (vm->retry != 0)
        g_source_remove(vm->retry);
    child_free(vm->child);
    g_clear_pointer(&vm->round, round_free);
    g_hash_table_unref(vm->asked);
    g_ptr_array_unref(vm->calls);
    g_free(vm->vm);
    g_free(vm);
}

static void extend_unref(Extend *extend)
{
    if (--extend->refs > 0)
        return;
    g_free((char *) extend->options.program);
    g_free(extend);
}

static void say(Round *round, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void say(Round *round, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (round->text->len > 0)
        g_string_append(round->text, "; ");
    g_string_append_vprintf(round->text, format, arguments);
    va_end(arguments);
}

/* ---- in a thread ----------------------------------------------------------------------------------------------------------------------- */

static const DiskRoom *room_of(const GPtrArray *rooms, const char *target)
{
    for (guint i = 0; i < rooms->len; i++)
        if (strcmp(((const DiskRoom *) rooms->pdata[i])->target, target) == 0)
            return rooms->pdata[i];
    return NULL;
}

/* A threshold is told twice for one image, and what a file system has left is not exact. */
static bool is_wanted(const Round *round, const DiskRoom *room)
{
    const char *reason = g_hash_table_lookup(round->asked, room->target);
    uint64_t low_bytes = round->extend->options.low_bytes;

    return reason != NULL && (strcmp(reason, "threshold") != 0 || room->free_bytes < low_bytes + low_bytes / 4);
}

static void look(Round *round, virDomainPtr domain)
{
    const char *disk;
    GHashTableIter each;
    g_autofree char *why = NULL;

    round->rooms = disk_rooms(domain, &why);
    round->known = round->rooms != NULL;
    if (!round->known)
        say(round, "%s", why);
    for (guint i = 0; round->known && i < round->rooms->len; i++) {
        DiskRoom *room = round->rooms->pdata[i];
        bool has_room = disk_room_watch(domain, room, round->extend->options.low_bytes);

        if (!has_room || room->is_full || is_wanted(round, room))
            g_ptr_array_add(round->todo, room);
    }
    g_hash_table_iter_init(&each, round->asked);
    while (round->known && g_hash_table_iter_next(&each, (void **) &disk, NULL)) {
        if (room_of(round->rooms, disk) == NULL) {
            say(round, "it has no disk %s that could be extended", disk);
            round->ok = false;
        }
    }
}

static void do_look(void *data)
{
    Round *round = data;
    virDomainPtr domain = virDomainLookupByUUIDString(round->connection, round->vm);
    int active = domain != NULL ? virDomainIsActive(domain) : -1;
    g_autofree char *why = NULL;

    round->ok = true;
    round->gone = active == 0 || (domain == NULL && virt_error_is(VIR_ERR_NO_DOMAIN));
    if (active == 1) {
        look(round, domain);
    } else if (round->gone) {
        say(round, "it does not run here");
    } else {
        virt_error_take("whether it runs is not known", &why);
        say(round, "%s", why);
    }
    if (domain != NULL)
        virDomainFree(domain);
    virConnectClose(round->connection);
    virResetLastError();
}

static void judge(Round *round, virDomainPtr domain)
{
    g_autofree char *why = NULL;
    g_autoptr(GPtrArray) now = disk_rooms(domain, &why);

    for (guint i = 0; now != NULL && i < round->todo->len; i++) {
        const DiskRoom *before = round->todo->pdata[i], *after = room_of(now, before->target);
        bool grew = after != NULL && (after->physical_bytes > before->physical_bytes || after->free_bytes > before->free_bytes);
        bool enough = grew || (after != NULL && after->free_bytes >= round->extend->options.low_bytes);

        if (grew)
            say(round, "%s has %" PRIu64 " bytes more", before->target, MAX(after->free_bytes, before->free_bytes) - before->free_bytes);
        else
            say(round, "%s has %s", before->target, enough ? "room" : "got no room");
        round->ok &= enough;
        if (after != NULL)
            disk_room_watch(domain, after, round->extend->options.low_bytes);
    }
    if (now == NULL || (round->ok && !disk_room_resume(domain))) { /* without more room it would only stop again */
        say(round, "it stands still");
        round->ok = false;
    }
}

static void do_judge(void *data)
{
    Round *round = data;
    virDomainPtr domain = virDomainLookupByUUIDString(round->connection, round->vm);

    if (domain != NULL)
        judge(round, domain);
    else
        round->ok = false;
    if (domain != NULL)
        virDomainFree(domain);
    virConnectClose(round->connection);
    virResetLastError();
}

/* ---- a round --------------------------------------------------------------------------------------------------------------------------- */

static gboolean on_retry(void *user)
{
    Vm *vm = user;

    vm->retry = 0;
    begin(vm, true);
    return G_SOURCE_REMOVE;
}

static void answer_calls(Vm *vm, const Round *round)
{
    for (guint i = 0; i < vm->calls->len; i++) {
        if (round->ok)
            host_call_done(vm->calls->pdata[i], NULL, NULL, round->text->len > 0 ? round->text->str : "nothing wants more room");
        else
            host_call_failed(vm->calls->pdata[i], COMMAND_ERROR_FAILED, NULL, round->text->str);
    }
    g_ptr_array_set_size(vm->calls, 0);
}

static void round_over(Vm *vm, Round *round)
{
    bool ok = round->ok, was_wanted = round->todo->len > 0 || !round->known, gone = round->gone;

    if (was_wanted && !gone)
        log_notice("vm %s: room for its disks: %s", vm->vm, round->text->str);
    answer_calls(vm, round);
    round_free(round);
    vm->busy = false;
    vm->failures = ok ? 0 : vm->is_repeated ? vm->failures + 1 : MAX(vm->failures, 1);
    if (vm->again) {
        begin(vm, false);
    } else if (!ok && was_wanted && !gone) { /* also when nothing is known: it may stand for want of space */
        vm->retry = g_timeout_add_seconds(MIN((unsigned) RETRY_FIRST_S << MIN(vm->failures - 1, 8), RETRY_MAX_S), on_retry, vm);
    } else {
        g_hash_table_remove(vm->extend->vms, vm->vm);
    }
}

static Vm *vm_of_round(Round *round)
{
    Extend *extend = round->extend;
    Vm *vm = extend->closed ? NULL : g_hash_table_lookup(extend->vms, round->vm);

    if (vm == NULL)
        round_free(round);
    extend_unref(extend);
    return vm;
}

static void on_judged(void *data)
{
    Round *round = data;
    Vm *vm = vm_of_round(round);

    if (vm != NULL)
        round_over(vm, round);
}

static void drop_round(void *data)
{
    Round *round = data;
    Extend *extend = round->extend;

    round_free(round);
    extend_unref(extend);
}

static void in_thread(Round *round, HostWorkFn work, HostDoneFn done)
{
    g_autofree char *lane = g_strdup_printf("extend:%s", round->vm);

    round->extend->refs++;
    host_work(round->extend->host, lane, work, done, drop_round, round);
}

static void ask_next(Vm *vm, Round *round);

static void on_asked(const ChildResult *result, void *user)
{
    Vm *vm = user;
    Round *round = g_steal_pointer(&vm->round);
    const DiskRoom *room = round->todo->pdata[round->at++];

    if (result->timed_out)
        say(round, "the extend hook for %s took too long and was ended", room->target);
    else if (!WIFEXITED(result->wait_status))
        say(round, "the extend hook for %s was killed", room->target);
    else if (WEXITSTATUS(result->wait_status) != 0)
        say(round, "the extend hook for %s failed (exit %d): %s", room->target, WEXITSTATUS(result->wait_status), result->last_words);
    g_clear_pointer(&vm->child, child_free);
    ask_next(vm, round);
}

static char **environment_of(const Round *round, const DiskRoom *room)
{
    const char *reason = g_hash_table_lookup(round->asked, room->target);
    char **all = g_get_environ();
    const struct { const char *name; uint64_t bytes; } sizes[] = { { "MEND_CAPACITY_BYTES", room->capacity_bytes },
                                                                   { "MEND_PHYSICAL_BYTES", room->physical_bytes },
                                                                   { "MEND_FREE_BYTES", room->free_bytes } };

    all = g_environ_setenv(all, "MEND_REASON", room->is_full ? "enospc" : reason != NULL ? reason : "threshold", TRUE);
    all = g_environ_setenv(all, "MEND_TYPE", room->type, TRUE);
    all = g_environ_setenv(all, "MEND_FORMAT", room->format, TRUE);
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = g_strdup_printf("%" PRIu64, sizes[i].bytes);

        all = g_environ_setenv(all, sizes[i].name, text, TRUE);
    }
    return all;
}

static int64_t deadline_us(const Vm *vm)
{
    int64_t until_us = clock_now_us() + vm->extend->options.timeout_us;

    for (guint i = 0; i < vm->calls->len; i++)
        until_us = MIN(until_us, host_call_deadline_us(vm->calls->pdata[i]));
    return until_us;
}

/* The next disk, or the end of the round. */
static void ask_next(Vm *vm, Round *round)
{
    Extend *extend = vm->extend;

    while (round->at < round->todo->len) {
        const DiskRoom *room = round->todo->pdata[round->at];
        char *argv[] = { (char *) extend->options.program, round->vm, room->target, room->path, NULL };
        g_auto(GStrv) environment = environment_of(round, room);
        const ChildOptions options = { .argv = argv, .environment = environment, .deadline_us = deadline_us(vm) };
        g_autoptr(GError) error = NULL;

        vm->child = child_start(&options, on_asked, vm, &error);
        if (vm->child != NULL) {
            vm->round = round;
            return;
        }
        say(round, "the extend hook cannot be run: %s", error->message);
        round->at++;
    }
    round->connection = round->todo->len > 0 ? extend->options.connection(extend->options.user) : NULL;
    if (round->connection != NULL) {
        in_thread(round, do_judge, on_judged);
        return;
    }
    round->ok &= round->todo->len == 0;
    round_over(vm, round);
}

static void on_looked(void *data)
{
    Round *round = data;
    Vm *vm = vm_of_round(round);

    if (vm == NULL)
        return;
    round->ok &= round->known;
    ask_next(vm, round);
}

static void begin(Vm *vm, bool is_repeated)
{
    Extend *extend = vm->extend;
    Round *round = g_new0(Round, 1);

    if (vm->retry != 0)
        g_source_remove(vm->retry);
    vm->retry = 0;
    vm->busy = true;
    vm->again = false;
    vm->is_repeated = is_repeated;
    *round = (Round){.extend = extend, .vm = g_strdup(vm->vm), .asked = g_steal_pointer(&vm->asked), .todo = g_ptr_array_new(), .text = g_string_new(NULL)};
    vm->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    round->connection = extend->options.connection(extend->options.user);
    if (round->connection != NULL) {
        in_thread(round, do_look, on_looked);
        return;
    }
    say(round, "libvirtd does not answer");
    round_over(vm, round);
}

/* Something of @id wants a look; @disk (may be NULL) wants more room in any case. */
static Vm *want(Extend *extend, const char *id, const char *disk, const char *reason)
{
    Vm *vm = g_hash_table_lookup(extend->vms, id);

    if (vm == NULL) {
        vm = g_new0(Vm, 1);
        *vm = (Vm){.extend = extend, .vm = g_strdup(id), .asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL), .calls = g_ptr_array_new()};
        g_hash_table_insert(extend->vms, vm->vm, vm);
    }
    if (disk != NULL)
        g_hash_table_replace(vm->asked, g_strdup(disk), (void *) reason);
    return vm;
}

static void begin_or_queue(Vm *vm)
{
    if (vm->busy)
        vm->again = true;
    else
        begin(vm, false);
}

/* ---- what comes ------------------------------------------------------------------------------------------------------------------------- */

static void on_call(HostCall *call, void *user)
{
    Extend *extend = user;
    const char *disk = value_get_string(host_call_arguments(call), "disk");
    g_autofree char *id = uuid_canonical(host_call_name(call));
    Vm *vm;

    if (id == NULL) {
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "Invalid argument: name: wants the UUID of a VM");
        return;
    }
    if (extend->options.program == NULL) {
        host_call_refused(call, COMMAND_ERROR_UNKNOWN, "this host has no program that could make room (setting extend-hook)");
        return;
    }
    vm = want(extend, id, disk != NULL && *disk != '\0' ? disk : NULL, "asked");
    if (vm->busy && disk != NULL && *disk != '\0') {
        host_call_failed(call, COMMAND_ERROR_FAILED, NULL, "it is being extended at this moment");
        return;
    }
    g_ptr_array_add(vm->calls, call);
    if (!vm->busy) /* else it is at it, for whatever needs it */
        begin(vm, false);
}

void extend_event(Extend *extend, const DomainEvent *event)
{
    const char *disk = event->id == VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD ? value_get_string(event->values, "disk") : NULL;
    g_autofree char *target = disk != NULL ? g_strndup(disk, strcspn(disk, "[")) : NULL;
    bool is_new = event->id == VIR_DOMAIN_EVENT_ID_LIFECYCLE && (event->kind == VIR_DOMAIN_EVENT_STARTED || event->kind == VIR_DOMAIN_EVENT_RESUMED);
    bool is_full = event->id == VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON && g_strcmp0(event->reason, "enospc") == 0;
    bool is_other = event->id == VIR_DOMAIN_EVENT_ID_DEVICE_ADDED || event->id == VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2; /* perhaps another image */

    if (extend->options.program != NULL && event->vm != NULL && (target != NULL || is_new || is_full || is_other))
        begin_or_queue(want(extend, event->vm, target, "threshold"));
}

typedef struct All {
    Extend *extend;
    virConnectPtr connection;
    GPtrArray *vms;
} All;

static void list_all(void *data)
{
    All *all = data;
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(all->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    for (int i = 0; i < n; i++) {
        char vm[VIR_UUID_STRING_BUFLEN] = "";

        if (virDomainGetUUIDString(domains[i], vm) == 0)
            g_ptr_array_add(all->vms, g_strdup(vm));
        virDomainFree(domains[i]);
    }
    free(domains);
    virResetLastError();
    virConnectClose(all->connection);
}

static void all_free(void *data)
{
    All *all = data;

    g_ptr_array_unref(all->vms);
    extend_unref(all->extend);
    g_free(all);
}

static void on_all_listed(void *data)
{
    All *all = data;

    for (guint i = 0; !all->extend->closed && i < all->vms->len; i++)
        begin_or_queue(want(all->extend, all->vms->pdata[i], NULL, NULL));
    all_free(all);
}

void extend_connected(Extend *extend)
{
    virConnectPtr connection = extend->options.program != NULL ? extend->options.connection(extend->options.user) : NULL;
    All *all;

    if (connection == NULL)
        return;
    all = g_new0(All, 1);
    *all = (All){extend, connection, g_ptr_array_new_with_free_func(g_free)};
    extend->refs++;
    host_work(extend->host, "extend", list_all, on_all_listed, all_free, all);
}

Extend *extend_new(Host *host, const ExtendOptions *options)
{
    Extend *extend = g_new0(Extend, 1);

    extend->refs = 1;
    extend->host = host;
    extend->options = *options;
    extend->options.program = options->program != NULL && *options->program != '\0' ? g_strdup(options->program) : NULL;
    extend->vms = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, vm_free);
    host_on_method(host, "vm_extend", on_call, extend);
    return extend;
}

void extend_free(Extend *extend)
{
    if (extend == NULL)
        return;
    extend->closed = true;
    g_clear_pointer(&extend->vms, g_hash_table_unref);
    extend_unref(extend);
}
