/* One round: events after the cursor; where they touch us, or it is time, the lists of hosts and VMs, and then the events once more: what a
 * list shows has been logged by then, so that a VM that is down is told with the reason it went down for. At most one request is out.
 *
 * Nothing is lost and nothing is told twice over a restart: what was told of each VM, and the cursor, are on the disk; the cursor stands
 * before the first event whose VM has not yet been told of with it, so that such events are read again. Events only leave marks (OvirtPast)
 * and lists only states, hence reading one again changes nothing.
 *
 * Events are asked for oldest first, but sorted here: not every release heeds that together with `from`. So a full page is not used; a
 * larger one is asked for instead. */
#include "bridges/ovirt/ovirt_site.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define PAGE_FIRST 1000
#define PAGE_MAX   16000
#define SAVE_US    (10 * US_PER_S) /* the cursor alone: reading events again changes nothing, where no state was told since */

typedef enum { NEWEST, EVENTS, HOSTS, VMS, EVENTS_AGAIN } Stage;

struct OvirtWatch {
    OvirtSite *site;
    char *file, *kept;       /* what the file holds */
    int64_t saved_us;
    Stage stage;
    OvirtCall *call;
    guint timer;
    bool soon;               /* another round is wanted at once */
    bool fresh;              /* the cursor was compared with the engine's newest event since it was last away */
    bool has_cursor;
    uint64_t cursor;         /* events up to here were taken */
    unsigned page;
    bool touched;            /* an event was about us: lists are to be read */
    int64_t lists_us;        /* when they were last read; 0: never */
};

static void ask(OvirtWatch *watch, Stage stage);

static void save(OvirtWatch *watch)
{
    uint64_t cursor = watch->cursor;
    g_autoptr(json_t) json = NULL, boots = json_object();
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    GHashTableIter iter;
    void *key, *value;

    if (!watch->site->changed && clock_now_us() - watch->saved_us < SAVE_US)
        return;
    watch->saved_us = clock_now_us();
    watch->site->changed = false;
    g_hash_table_iter_init(&iter, watch->site->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SiteVm *vm = value;

        if (vm->hint_event != 0)
            cursor = MIN(cursor, vm->hint_event - 1);
    }
    g_hash_table_iter_init(&iter, watch->site->boots);
    while (g_hash_table_iter_next(&iter, &key, &value))
        json_set_string(boots, key, value);
    json = json_pack("{s:I, s:O, s:o}", "cursor", (json_int_t) cursor, "boots", boots, "vms", site_vms_to_json(watch->site));
    text = json_text(json);
    if (g_strcmp0(text, watch->kept) == 0)
        return;
    if (!file_write(watch->file, text, strlen(text), 0600, &error)) {
        log_warning("%s; after a restart events may be told again", error->message);
        watch->site->changed = true;
        return;
    }
    g_free(watch->kept);
    watch->kept = g_steal_pointer(&text);
}

static gboolean on_timer(void *user)
{
    OvirtWatch *watch = user;

    watch->timer = 0;
    watch->soon = false;
    ask(watch, watch->fresh ? EVENTS : NEWEST);
    return G_SOURCE_REMOVE;
}

static void rest(OvirtWatch *watch)
{
    int64_t poll_us = watch->soon ? 0 : watch->site->settings->poll_us;

    g_clear_handle_id(&watch->timer, g_source_remove);
    watch->timer = g_timeout_add((guint) (poll_us / US_PER_MS), on_timer, watch);
}

static void round_over(OvirtWatch *watch)
{
    site_set_reach(watch->site, NULL);
    site_tell_vms(watch->site);
    site_tell_hosts(watch->site);
    save(watch);
    rest(watch);
}

static void round_failed(OvirtWatch *watch, const char *why)
{
    watch->fresh = false;
    watch->lists_us = 0;
    watch->soon = false;
    site_set_reach(watch->site, why);
    rest(watch);
}

void ovirt_watch_soon(OvirtWatch *watch)
{
    if (watch == NULL) /* the site ends */
        return;
    watch->touched = watch->soon = true;
    if (watch->call == NULL)
        rest(watch);
}

/* ---- answers -------------------------------------------------------------------------------------------------------------------------------- */

static void take_newest(OvirtWatch *watch, const GPtrArray *events)
{
    uint64_t newest = events->len > 0 ? ((const OvirtEvent *) events->pdata[events->len - 1])->id : 0;

    watch->fresh = true;
    if (watch->has_cursor && newest < watch->cursor)
        log_warning("oVirt's newest event is %" G_GUINT64_FORMAT ", ours %" G_GUINT64_FORMAT ": its database is another one; events since are not known",
                    newest, watch->cursor);
    if (!watch->has_cursor || newest < watch->cursor)
        watch->cursor = newest;
    watch->has_cursor = true;
    ask(watch, EVENTS);
}

static void take_events(OvirtWatch *watch, const GPtrArray *events)
{
    if (events->len >= watch->page && watch->page < PAGE_MAX) {
        watch->page = MIN(watch->page * 4, PAGE_MAX);
        ask(watch, watch->stage);
        return;
    }
    if (events->len >= watch->page)
        log_warning("%u events of oVirt at once: older ones may be missing; states are read anew", events->len);
    watch->page = PAGE_FIRST;
    for (guint i = 0; i < events->len; i++) {
        const OvirtEvent *event = events->pdata[i];

        if (event->id <= watch->cursor)
            continue;
        watch->cursor = event->id;
        if (site_take_event(watch->site, event))
            watch->touched = true;
    }
    if (watch->stage == EVENTS && (watch->touched || clock_now_us() - watch->lists_us >= watch->site->settings->inventory_us || watch->lists_us == 0))
        ask(watch, HOSTS);
    else
        round_over(watch);
}

static GPtrArray *read_answer(Stage stage, const json_t *body, GError **error)
{
    switch (stage) {
    case HOSTS: return ovirt_hosts_read(body, error);
    case VMS: return ovirt_vms_read(body, error);
    default: return ovirt_events_read(body, error);
    }
}

static void on_answer(const OvirtAnswer *answer, void *user)
{
    OvirtWatch *watch = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) list = answer->error == NULL ? read_answer(watch->stage, answer->body, &error) : NULL;

    watch->call = NULL;
    if (list == NULL) {
        round_failed(watch, answer->error != NULL ? answer->text : error->message);
        return;
    }
    switch (watch->stage) {
    case NEWEST: take_newest(watch, list); return;
    case HOSTS:
        watch->touched = false; /* what comes from here on, the next round reads */
        site_take_hosts(watch->site, list);
        ask(watch, VMS);
        return;
    case VMS:
        site_take_vms(watch->site, list);
        watch->lists_us = clock_now_us();
        ask(watch, EVENTS_AGAIN);
        return;
    default: take_events(watch, list); return;
    }
}

static void ask(OvirtWatch *watch, Stage stage)
{
    g_autofree char *path = NULL;

    watch->stage = stage;
    switch (stage) {
    case NEWEST: path = g_strdup("/events?max=1"); break;
    case HOSTS: path = g_strdup("/hosts"); break;
    case VMS: path = g_strdup("/vms"); break;
    default:
        path = g_strdup_printf("/events?from=%" G_GUINT64_FORMAT "&max=%u&search=sortby%%20time%%20asc", watch->cursor, watch->page);
        break;
    }
    watch->call = ovirt_api_get(watch->site->api, path, 0, on_answer, watch);
}

/* ---- life ----------------------------------------------------------------------------------------------------------------------------------- */

static bool load(OvirtWatch *watch, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(json_t) json = NULL;
    const char *id;
    json_t *boot;
    gsize length;

    if (!g_file_test(watch->file, G_FILE_TEST_EXISTS))
        return true;
    if (!g_file_get_contents(watch->file, &text, &length, error) || (json = json_parse(text, length, watch->file, error)) == NULL)
        return false;
    watch->has_cursor = json_object_get(json, "cursor") != NULL;
    watch->cursor = (uint64_t) MAX(0, json_int_or(json, "cursor", 0));
    json_object_foreach(json_object_get(json, "boots"), id, boot)
        if (json_is_string(boot))
            g_hash_table_insert(watch->site->boots, g_strdup(id), g_strdup(json_string_value(boot)));
    site_vms_from_json(watch->site, json_object_get(json, "vms"));
    return true;
}

OvirtWatch *ovirt_watch_new(OvirtSite *site, const char *folder, GError **error)
{
    OvirtWatch *watch = g_new0(OvirtWatch, 1);

    watch->site = site;
    watch->page = PAGE_FIRST;
    watch->file = g_build_filename(folder, "site.json", NULL);
    if (!folder_make(folder, 0700, error) || !load(watch, error)) {
        ovirt_watch_free(watch);
        return NULL;
    }
    ask(watch, NEWEST);
    return watch;
}

void ovirt_watch_free(OvirtWatch *watch)
{
    if (watch == NULL)
        return;
    ovirt_call_drop(watch->call);
    g_clear_handle_id(&watch->timer, g_source_remove);
    g_free(watch->file);
    g_free(watch->kept);
    g_free(watch);
}
