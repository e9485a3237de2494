/* One round: the list of instances; what changed is told. Deltacloud has no events and no reasons: that an instance stopped is seen, why is
 * not. So a stop that none of our commands asked for is of unknown intent, which no rule takes for a failure by itself; --stopped crashed
 * says that nobody stops instances of this cloud by hand. What was told of each is kept over a restart, for the same reason: an instance
 * found stopped by a bridge that never saw it run says nothing.
 *
 * States that pass (PENDING, STOPPING …) tell nothing of an instance that was told to run or to be down: a reboot is one, in many clouds. */
#include "bridges/deltacloud/deltacloud_site.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

struct DeltacloudWatch {
    DeltacloudSite *site;
    char *file;
    HttpCall *call;
    guint timer;
    char *away;   /* why the server is not reached; NULL: it is */
};

/* ---- telling ------------------------------------------------------------------------------------------------------------------------------- */

static void say(Value *values, const char *key, const char *text)
{
    if (text != NULL && *text != '\0')
        value_set(values, key, value_string(text));
}

/* A cloud's instance starts in that cloud only: Mend places a VM only where its storage is, so the cloud is told as a storage of both. */
static Value *reach_list(const DeltacloudSite *site)
{
    Value *list = value_list();

    value_append(list, value_string(site->id));
    return list;
}

static void tell(DeltacloudVm *vm)
{
    Value *values = value_map();

    if (vm->now != NULL) {
        say(values, "name", vm->now->name != NULL ? vm->now->name : vm->now->id);
        say(values, "hostname", vm->now->name);
        say(values, "address", vm->now->address);
    }
    say(values, "host", vm->site->id);
    say(values, "intent", vm->intent);
    say(values, "reason", vm->reason);
    value_set(values, "storage", reach_list(vm->site));
    host_tell(vm->site->host, "vm", vm->uuid, vm->state, values);
    vm->stale = false;
}

static gint by_text(gconstpointer a, gconstpointer b) { return strcmp(*(const char *const *) a, *(const char *const *) b); }

/* UUIDs of what was told to run, sorted. (transfer full) */
static Value *vms_here(const DeltacloudSite *site)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    Value *list = value_list();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (g_strcmp0(((DeltacloudVm *) value)->state, "running") == 0)
            g_ptr_array_add(ids, ((DeltacloudVm *) value)->uuid);
    g_ptr_array_sort(ids, by_text);
    for (guint i = 0; i < ids->len; i++)
        value_append(list, value_string(ids->pdata[i]));
    return list;
}

static void tell_up(DeltacloudSite *site, bool again)
{
    Value *values = value_map(), *labels = value_list();

    say(values, "hostname", site->name);
    say(values, "name", site->name);
    value_set(values, "memory_bytes", value_uint(VALUE_UINT64, DELTACLOUD_ROOM_BYTES)); /* whether there is room is the cloud's to say */
    value_append(labels, value_string("deltacloud"));
    value_set(values, "labels", labels);
    value_set(values, "storage", reach_list(site));
    value_set(values, "vms", vms_here(site));
    if (!again && site->told_up != NULL && value_equal(values, site->told_up)) {
        value_unref(values);
        return;
    }
    value_unref(site->told_up);
    site->told_up = value_ref(values);
    host_tell(site->host, "host", site->id, "up", values);
}

void deltacloud_tell_again(DeltacloudSite *site)
{
    GHashTableIter iter;
    void *value;

    if (!site->is_known)
        return;
    tell_up(site, true);
    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((DeltacloudVm *) value)->state != NULL)
            tell(value);
}

/* ---- judging ------------------------------------------------------------------------------------------------------------------------------- */

void deltacloud_vm_free(DeltacloudVm *vm)
{
    deltacloud_instance_free(vm->now);
    g_free(vm->intent);
    g_free(vm->reason);
    g_free(vm->wish);
    g_free(vm);
}

static void now_is(DeltacloudVm *vm, const char *state, const char *intent, const char *reason)
{
    if (g_strcmp0(vm->state, state) == 0 && g_strcmp0(vm->intent, intent) == 0 && g_strcmp0(vm->reason, reason) == 0 && !vm->stale)
        return;
    vm->site->changed = true;
    vm->state = state;
    vm->ran = strcmp(state, "running") == 0 || (vm->ran && strcmp(state, "unknown") == 0);
    g_free(vm->intent);
    vm->intent = g_strdup(intent);
    g_free(vm->reason);
    vm->reason = g_strdup(reason);
    tell(vm);
}

static void went_down(DeltacloudVm *vm)
{
    bool is_told = g_strcmp0(vm->state, "stopped") == 0 || g_strcmp0(vm->state, "crashed") == 0;

    if (vm->wish != NULL)
        now_is(vm, "stopped", vm->wish, "command");
    else if (is_told) /* what was told of its end stays true */
        now_is(vm, vm->state, vm->intent, vm->reason);
    else if (vm->ran && strcmp(vm->site->settings->stopped, "crashed") == 0)
        now_is(vm, "crashed", "none", "unknown");
    else
        now_is(vm, "stopped", "unknown", "unknown");
}

/* No list need have shown it: when it ends before the next one, that is not the end a command before this one asked for. */
void deltacloud_vm_started(DeltacloudVm *vm)
{
    g_clear_pointer(&vm->wish, g_free);
    now_is(vm, "running", "none", NULL);
}

static void judge(DeltacloudVm *vm)
{
    g_autofree char *word = g_ascii_strdown(vm->now->word, -1);

    switch (vm->now->state) {
    case DELTACLOUD_RUNS:
        if (deltacloud_is_ending(vm)) /* our stop has not shown yet */
            return;
        deltacloud_vm_started(vm);
        return;
    case DELTACLOUD_DOWN: went_down(vm); return;
    case DELTACLOUD_GONE: now_is(vm, "stopped", "admin", "removed"); return;
    case DELTACLOUD_BROKEN: case DELTACLOUD_ODD: now_is(vm, "unknown", "none", word); return;
    default:
        if (vm->state == NULL)
            now_is(vm, "unknown", "none", word);
        else if (vm->stale)
            tell(vm);
        return;
    }
}

static DeltacloudVm *vm_ensure(DeltacloudSite *site, const char *uuid)
{
    DeltacloudVm *vm = g_hash_table_lookup(site->vms, uuid);

    if (vm != NULL)
        return vm;
    vm = g_new0(DeltacloudVm, 1);
    vm->site = site;
    g_strlcpy(vm->uuid, uuid, sizeof(vm->uuid));
    g_hash_table_insert(site->vms, vm->uuid, vm);
    return vm;
}

static void forget_missing(DeltacloudSite *site)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        DeltacloudVm *vm = value;

        if (!vm->is_here) {
            now_is(vm, "stopped", "admin", "removed"); /* it is not, and that is no failure */
            site->changed = true;
            g_hash_table_iter_remove(&iter);
            continue;
        }
        vm->is_here = false;
    }
}

static bool facts_differ(const DeltacloudInstance *a, const DeltacloudInstance *b)
{
    return a == NULL || g_strcmp0(a->name, b->name) != 0 || g_strcmp0(a->address, b->address) != 0;
}

static void take(DeltacloudSite *site, GPtrArray *instances)
{
    GHashTableIter iter;
    void *value;

    for (guint i = 0; i < instances->len; i++) {
        DeltacloudInstance *now = instances->pdata[i];
        g_autofree char *canonical = uuid_canonical(now->id);
        char uuid[UUID_TEXT_SIZE];
        DeltacloudVm *vm;

        if (canonical != NULL)
            g_strlcpy(uuid, canonical, sizeof(uuid));
        else
            uuid_of_texts(site->id, now->id, uuid);
        vm = vm_ensure(site, uuid);
        vm->stale = vm->stale || facts_differ(vm->now, now);
        deltacloud_instance_free(vm->now);
        vm->now = now;
        vm->is_here = true;
    }
    g_ptr_array_set_free_func(instances, NULL);
    g_ptr_array_set_size(instances, 0);
    if (!site->is_known)
        log_notice("cloud %s (%s) has %u instances", site->name, site->id, g_hash_table_size(site->vms));
    site->is_known = true;
    if (site->told_up == NULL)
        tell_up(site, true); /* the host before its VMs */
    forget_missing(site);
    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        judge(value);
    tell_up(site, false);
}

/* ---- rounds -------------------------------------------------------------------------------------------------------------------------------- */

static void save(DeltacloudWatch *watch)
{
    g_autoptr(json_t) json = json_object();
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    GHashTableIter iter;
    void *value;

    if (!watch->site->changed)
        return;
    g_hash_table_iter_init(&iter, watch->site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const DeltacloudVm *vm = value;
        json_t *each = json_object();

        json_set_string(each, "state", vm->state);
        json_set_string(each, "intent", vm->intent);
        json_set_string(each, "reason", vm->reason);
        json_set_string(each, "wish", vm->wish);
        json_object_set_new(each, "ran", json_boolean(vm->ran));
        json_object_set_new(json, vm->uuid, each);
    }
    text = json_text(json);
    if (file_write(watch->file, text, strlen(text), 0600, &error))
        watch->site->changed = false;
    else
        log_warning("%s; after a restart it is not known why instances are stopped", error->message);
}

static bool load(DeltacloudWatch *watch, GError **error)
{
    static const char *const states[] = { "running", "stopped", "crashed", "unknown" };
    g_autofree char *text = NULL;
    g_autoptr(json_t) json = NULL;
    const char *uuid;
    json_t *each;
    gsize length;

    if (!g_file_test(watch->file, G_FILE_TEST_EXISTS))
        return true;
    if (!g_file_get_contents(watch->file, &text, &length, error) || (json = json_parse(text, length, watch->file, error)) == NULL)
        return false;
    json_object_foreach(json, uuid, each) {
        DeltacloudVm *vm;

        if (!g_uuid_string_is_valid(uuid))
            continue;
        vm = vm_ensure(watch->site, uuid);
        for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
            if (strcmp(json_string_or(each, "state", ""), states[i]) == 0)
                vm->state = states[i];
        vm->intent = g_strdup(json_string_or(each, "intent", NULL));
        vm->reason = g_strdup(json_string_or(each, "reason", NULL));
        vm->wish = g_strdup(json_string_or(each, "wish", NULL));
        vm->ran = json_is_true(json_object_get(each, "ran"));
        vm->stale = true; /* whoever listens may not have heard */
    }
    return true;
}

static gboolean on_timer(void *user);

static void round_over(DeltacloudWatch *watch, const char *trouble)
{
    if (trouble != NULL && watch->away == NULL)
        log_warning("the cloud is not reached: %s. What its instances do is not seen until then", trouble);
    else if (trouble == NULL && watch->away != NULL)
        log_notice("the cloud is reached again");
    g_free(watch->away);
    watch->away = g_strdup(trouble);
    bridge_agent_set_reach(watch->site->agent, trouble);
    save(watch);
    g_clear_handle_id(&watch->timer, g_source_remove);
    watch->timer = g_timeout_add((guint) (watch->site->settings->poll_us / US_PER_MS), on_timer, watch);
}

static void on_list(const HttpAnswer *answer, void *user)
{
    DeltacloudWatch *watch = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) body = http_command_error(answer) == NULL ? http_answer_json(answer, &error) : NULL;
    g_autoptr(GPtrArray) instances = body != NULL ? deltacloud_instances_read(body, &error) : NULL;
    g_autofree char *trouble = instances == NULL ? deltacloud_trouble(watch->site, answer, "GET /instances", error) : NULL;

    watch->call = NULL;
    deltacloud_heard(watch->site, answer);
    if (instances != NULL)
        take(watch->site, instances);
    round_over(watch, trouble);
}

static void ask(DeltacloudWatch *watch)
{
    g_autoptr(GError) error = NULL;

    watch->call = deltacloud_send(watch->site, "GET", "/instances", 0, on_list, watch, &error);
    if (watch->call == NULL)
        round_over(watch, error->message);
}

static gboolean on_timer(void *user)
{
    DeltacloudWatch *watch = user;

    watch->timer = 0;
    ask(watch);
    return G_SOURCE_REMOVE;
}

void deltacloud_watch_soon(DeltacloudWatch *watch)
{
    if (watch == NULL)
        return;
    http_drop(g_steal_pointer(&watch->call)); /* what it answers may be from before */
    g_clear_handle_id(&watch->timer, g_source_remove);
    watch->timer = g_idle_add(on_timer, watch);
}

DeltacloudWatch *deltacloud_watch_new(DeltacloudSite *site, const char *folder, GError **error)
{
    DeltacloudWatch *watch = g_new0(DeltacloudWatch, 1);

    watch->site = site;
    watch->file = g_build_filename(folder, "instances.json", NULL);
    if (!folder_make(folder, 0700, error) || !load(watch, error)) {
        deltacloud_watch_free(watch);
        return NULL;
    }
    watch->timer = g_idle_add(on_timer, watch);
    return watch;
}

void deltacloud_watch_free(DeltacloudWatch *watch)
{
    if (watch == NULL)
        return;
    http_drop(watch->call);
    g_clear_handle_id(&watch->timer, g_source_remove);
    g_free(watch->file);
    g_free(watch->away);
    g_free(watch);
}
