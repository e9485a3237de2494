/* Who tells of a VM is the host it runs on, or last ran on: only its word, in its same life, is a proof that the VM ended there. When that
 * host is not heard any more another one tells, and says of the copy there that its lease is released: while oVirt says "down" of a VM, or
 * "up" on another host, it has made sure that the old one is gone (fenced, or confirmed by a person, or its lease on storage is over).
 * That is oVirt's own lock on starting a VM twice, and the word Mend takes for it. */
#include "bridges/ovirt/ovirt_site.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

SiteVm *site_vm(const OvirtSite *site, const char *id) { return id != NULL ? g_hash_table_lookup(site->vms, id) : NULL; }

void site_vm_free(SiteVm *vm)
{
    ovirt_vm_free(vm->now);
    g_free(vm->id);
    g_free(vm->text);
    g_free(vm->state);
    g_free(vm->intent);
    g_free(vm->reason);
    g_free(vm->host);
    g_free(vm->to);
    g_free(vm);
}

static void put(char **slot, const char *text)
{
    if (g_strcmp0(*slot, text) == 0)
        return;
    g_free(*slot);
    *slot = g_strdup(text);
}

static SiteVm *vm_ensure(OvirtSite *site, const char *id)
{
    SiteVm *vm = site_vm(site, id);

    if (vm != NULL)
        return vm;
    vm = g_new0(SiteVm, 1);
    vm->site = site;
    vm->id = g_strdup(id);
    g_hash_table_insert(site->vms, vm->id, vm);
    return vm;
}

static gint by_text(gconstpointer a, gconstpointer b) { return strcmp(*(const char *const *) a, *(const char *const *) b); }

Value *site_vms_on(const OvirtSite *site, const char *host)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    Value *list = value_list();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SiteVm *vm = value;

        if (vm->now != NULL && g_strcmp0(vm->now->host, host) == 0 && ovirt_status_runs(vm->now->status))
            g_ptr_array_add(ids, vm->id);
    }
    g_ptr_array_sort(ids, by_text);
    for (guint i = 0; i < ids->len; i++)
        value_append(list, value_string(ids->pdata[i]));
    return list;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------------------------ */

static void say(Value *values, const char *key, const char *text)
{
    if (text != NULL && *text != '\0')
        value_set(values, key, value_string(text));
}

static Value *facts(const SiteVm *vm)
{
    const OvirtVm *now = vm->now;
    Value *values = value_map();

    say(values, "name", now->name);
    say(values, "hostname", now->name); /* policies know it by that */
    say(values, "address", now->address);
    if (now->memory_bytes > 0)
        value_set(values, "memory_bytes", value_uint(VALUE_UINT64, now->memory_bytes));
    if (now->vcpus > 0)
        value_set(values, "vcpus", value_uint(VALUE_UINT32, now->vcpus));
    value_set(values, "storage", site_reach_list(now->cluster));
    if (now->lease)
        value_set(values, "lease", value_bool(true));
    if (now->ha) /* what oVirt restarts by itself is not ours, unless the settings say so; of others the policy knows */
        value_set(values, "ha", value_bool(strcmp(vm->site->settings->ha, "mend") == 0));
    return values;
}

static SiteHost *teller_of(const SiteVm *vm)
{
    SiteHost *own = site_host(vm->site, vm->host);

    return own != NULL && own->host != NULL ? own : site_any_host(vm->site, NULL);
}

/* As it was last found, by @by. */
static void tell(SiteVm *vm, SiteHost *by)
{
    Value *values = facts(vm);

    if (vm->host == NULL || strcmp(vm->host, by->now->id) == 0) /* what is so on another host is not its to say */
        say(values, "host", by->now->id);
    say(values, "intent", vm->intent);
    say(values, "reason", vm->reason);
    say(values, "to", vm->to);
    if (strcmp(vm->state, "stopped") == 0)
        say(values, "text", vm->text);
    host_tell(by->host, "vm", vm->id, vm->state, values);
}

/* The copy on @host, which nobody hears, is gone: oVirt made sure. */
static void tell_released(SiteVm *vm, const char *host, SiteHost *by)
{
    Value *values = value_map();

    say(values, "channel", "lease");
    say(values, "says", "released");
    say(values, "host", host);
    say(values, "by", by->now->id);
    say(values, "name", vm->now->name);
    host_tell_happened(by->host, "vm", vm->id, "evidence", "lease", values);
}

/* It left @vm->host, where it was told to be: by itself, or by oVirt. */
static void tell_left(SiteVm *vm, const char *to)
{
    SiteHost *from = site_host(vm->site, vm->host), *by = from != NULL && from->host != NULL ? from : site_any_host(vm->site, NULL);

    if (by == from) {
        Value *values = facts(vm);

        say(values, "host", vm->host);
        say(values, "intent", "admin");
        say(values, "reason", "migrated");
        say(values, "to", to);
        host_tell(by->host, "vm", vm->id, "stopped", values);
    } else if (by != NULL) {
        tell_released(vm, vm->host, by);
    }
}

static void tell_job(SiteVm *vm, SiteHost *by, const char *says)
{
    Value *values = value_map();

    say(values, "job", "migration");
    say(values, "says", says);
    say(values, "host", vm->host);
    say(values, "to", vm->to);
    say(values, "name", vm->now->name);
    host_tell_happened(by->host, "vm", vm->id, "job", NULL, values);
}

/* True: it was told, or there is nothing to tell. */
static bool word_tell(SiteVm *vm, const OvirtWord *word)
{
    const char *now_on = word->runs ? vm->now->host : NULL;
    bool moved = now_on != NULL && vm->host != NULL && strcmp(vm->host, now_on) != 0, was_moving = g_strcmp0(vm->state, "migrating") == 0;
    SiteHost *by;

    if (site_any_host(vm->site, NULL) == NULL)
        return false;
    if (was_moving && strcmp(word->state, "migrating") != 0 && (by = teller_of(vm)) != NULL)
        tell_job(vm, by, "ended");
    if (moved && vm->state != NULL && strcmp(vm->state, "stopped") != 0)
        tell_left(vm, now_on);
    if (now_on != NULL)
        put(&vm->host, now_on);
    by = teller_of(vm);
    if (!word->runs && vm->host != NULL && g_strcmp0(by->now->id, vm->host) != 0)
        tell_released(vm, vm->host, by);
    vm->site->changed = true;
    put(&vm->state, word->state);
    put(&vm->intent, word->intent);
    put(&vm->reason, word->reason);
    if (strcmp(word->state, "migrating") != 0)
        g_clear_pointer(&vm->to, g_free);
    tell(vm, by);
    if (strcmp(word->state, "migrating") == 0 && !was_moving)
        tell_job(vm, by, "begun");
    return true;
}

/* ---- what lists and events say -------------------------------------------------------------------------------------------------------------- */

bool site_take_event(OvirtSite *site, const OvirtEvent *event)
{
    SiteVm *vm;

    if (g_strcmp0(event->origin, "oVirt") != 0 && event->origin != NULL) /* ours, or some monitor's */
        return false;
    if (event->vm != NULL) {
        OvirtPast before;

        vm = vm_ensure(site, event->vm);
        before = vm->past;
        ovirt_past_event(&vm->past, event, clock_now_us());
        if (memcmp(&before, &vm->past, sizeof(before)) != 0) {
            put(&vm->text, event->text);
            if (vm->hint_event == 0)
                vm->hint_event = event->id;
        }
    }
    return event->vm != NULL || event->host != NULL;
}

static bool facts_differ(const OvirtVm *a, const OvirtVm *b)
{
    return a == NULL || g_strcmp0(a->name, b->name) != 0 || a->ha != b->ha || a->lease != b->lease || a->memory_bytes != b->memory_bytes ||
           a->vcpus != b->vcpus || g_strcmp0(a->address, b->address) != 0;
}

void site_take_vms(OvirtSite *site, GPtrArray *vms)
{
    GHashTableIter iter;
    void *value;

    for (guint i = 0; i < vms->len; i++) {
        OvirtVm *now = vms->pdata[i];
        SiteVm *vm = vm_ensure(site, now->id);

        vm->stale = vm->stale || facts_differ(vm->now, now);
        ovirt_vm_free(vm->now);
        vm->now = now;
        vm->is_here = true;
    }
    g_ptr_array_set_free_func(vms, NULL);
    g_ptr_array_set_size(vms, 0);
    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SiteVm *vm = value;

        if (!vm->is_here && vm->now != NULL && vm->state != NULL) { /* removed: it is not, and that is no failure */
            SiteHost *by = teller_of(vm);

            put(&vm->state, "stopped");
            put(&vm->intent, "admin");
            put(&vm->reason, "removed");
            if (by != NULL)
                tell(vm, by);
        }
        site->changed = site->changed || !vm->is_here;
        if (!vm->is_here)
            g_hash_table_iter_remove(&iter);
        else
            vm->is_here = false;
    }
}

static bool word_is_new(const SiteVm *vm, const OvirtWord *word)
{
    if (vm->state == NULL || vm->stale || strcmp(vm->state, word->state) != 0)
        return true;
    if (word->runs)
        return g_strcmp0(vm->now->host, vm->host) != 0 || (strcmp(word->state, "paused") == 0 && strcmp(vm->reason, word->reason) != 0);
    return false; /* it is down, and why was said when it went down */
}

/* It was told to be down, and events say that it lived and ended since, or why it ended, which nobody knew. */
static bool ended_anew(const SiteVm *vm)
{
    return vm->past.end_intent != NULL && (vm->past.began || g_strcmp0(vm->intent, "unknown") == 0);
}

static void vm_judge(SiteVm *vm)
{
    int64_t now_us = clock_now_us();
    OvirtWord word = ovirt_word(vm->now->status, &vm->past, vm->state, now_us);
    bool was_down = vm->state != NULL && strcmp(vm->state, "stopped") == 0;

    if (word.state == NULL)
        return;
    if (word.runs && strcmp(word.state, "running") == 0) {
        ovirt_past_runs(&vm->past, now_us);
        if (vm->past.wish == NULL && vm->past.end_intent == NULL)
            vm->hint_event = 0;
    }
    if (!word.unsure || was_down)
        vm->unsure_us = 0;
    else if (vm->unsure_us == 0)
        vm->unsure_us = now_us;
    if (word.unsure && !was_down && now_us - vm->unsure_us < OVIRT_SETTLE_US)
        return;
    if (was_down && !word.runs && !ended_anew(vm)) { /* what was told of its end stays true */
        if (vm->stale && teller_of(vm) != NULL) {
            tell(vm, teller_of(vm));
            vm->stale = false;
        }
        return;
    }
    if ((!word_is_new(vm, &word) && !ended_anew(vm)) || !word_tell(vm, &word))
        return;
    vm->stale = false;
    vm->unsure_us = 0;
    if (!word.runs) {
        vm->past = (OvirtPast) { 0 };
        vm->hint_event = 0;
    }
}

void site_tell_vms(OvirtSite *site)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SiteVm *vm = value;

        if (vm->now != NULL)
            vm_judge(vm);
    }
}

void site_tell_again(OvirtSite *site, SiteHost *host)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        SiteVm *vm = value;

        if (vm->now != NULL && vm->state != NULL && teller_of(vm) == host)
            tell(vm, host);
    }
}

/* ---- over a restart -------------------------------------------------------------------------------------------------------------------------- */

json_t *site_vms_to_json(const OvirtSite *site)
{
    json_t *json = json_object();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SiteVm *vm = value;
        json_t *each = json_object();

        json_set_string(each, "state", vm->state);
        json_set_string(each, "intent", vm->intent);
        json_set_string(each, "reason", vm->reason);
        json_set_string(each, "host", vm->host);
        json_set_string(each, "text", vm->text);
        json_object_set_new(json, vm->id, each);
    }
    return json;
}

void site_vms_from_json(OvirtSite *site, const json_t *json)
{
    const char *id;
    json_t *each;

    json_object_foreach((json_t *) json, id, each) {
        SiteVm *vm = vm_ensure(site, id);

        vm->state = g_strdup(json_string_or(each, "state", NULL));
        vm->intent = g_strdup(json_string_or(each, "intent", NULL));
        vm->reason = g_strdup(json_string_or(each, "reason", NULL));
        vm->host = g_strdup(json_string_or(each, "host", NULL));
        vm->text = g_strdup(json_string_or(each, "text", NULL));
        vm->stale = true; /* whoever listens may not have heard */
    }
}
