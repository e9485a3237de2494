/* What the guest says is text of somebody who may be hostile: a line is at most 1 MiB, an overlong one is passed over up to its newline,
 * bytes that are no UTF-8 and characters XML 1.1 does not like become U+FFFD (both sides of the protocol do that), and values keep to
 * the shape of facts (facts.h limits their size).
 *
 * Version: the guest's heartbeat names its highest; the smaller of both counts and is told by api-version whenever it changes. A heartbeat
 * without one is an old guest's: then no message carries a version, and only those of version 0 are sent. */
#include "agents/host/channel/ovirt.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <jansson.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

typedef struct Waiting {
    char id[24];
    int64_t until_us;
    void (*done)(OvirtReply reply, void *user);
    void *user;
} Waiting;

struct OvirtGuest {
    OvirtHooks hooks;
    void (*send)(const char *line, size_t n, void *user);
    void *send_user;
    GString *line;
    bool skipping; /* the rest of an overlong line */
    int api;
    bool alive;
    int64_t heard_us;
    uint64_t dropped, replies;
    GArray *waiting; /* of Waiting */
};

/* ---- text ---- */

static bool is_restricted(gunichar c)
{
    return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7f && c <= 0x84) || (c >= 0x86 && c <= 0x9f) || c == 0xfffe || c == 0xffff;
}

/* (transfer full) */
static char *clean(const char *text, size_t n)
{
    g_autofree char *valid = g_utf8_make_valid(text, (gssize) n);
    GString *out = g_string_sized_new(n);

    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        if (is_restricted(g_utf8_get_char(at)))
            g_string_append(out, REPLACEMENT);
        else
            g_string_append_len(out, at, g_utf8_next_char(at) - at);
    }
    return g_string_free(out, FALSE);
}

#define DEPTH_MAX 8

/* JSON as a value with clean texts; what is nested too deep becomes null. (transfer full) */
static Value *value_of(const json_t *json, int depth)
{
    g_autofree char *text = NULL;
    Value *value;
    const char *key;
    json_t *item;
    size_t i;

    if (depth > DEPTH_MAX)
        return value_null();
    if (json_is_string(json)) {
        text = clean(json_string_value(json), json_string_length(json));
        return value_string(text);
    }
    if (json_is_array(json)) {
        value = value_list();
        json_array_foreach(json, i, item)
            value_append(value, value_of(item, depth + 1));
        return value;
    }
    if (!json_is_object(json))
        return value_from_json(json);
    value = value_map();
    json_object_foreach((json_t *) json, key, item) {
        g_autofree char *name = clean(key, strlen(key));
        value_set(value, name, value_of(item, depth + 1));
    }
    return value;
}

/* ---- to the guest ---- */

static void send(OvirtGuest *guest, const char *name, json_t *arguments /* (transfer full), or NULL */)
{
    json_t *message = arguments != NULL ? arguments : json_object();
    g_autofree char *text = NULL, *line = NULL;

    json_object_set_new(message, "__name__", json_string(name));
    text = json_dumps(message, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_SORT_KEYS); /* ASCII: no newline and nothing restricted as it is */
    json_decref(message);
    if (text == NULL)
        return;
    line = g_strconcat(text, "\n", NULL);
    guest->send(line, strlen(line), guest->send_user);
}

static void send_versioned(OvirtGuest *guest, const char *name)
{
    int api = guest->api == OVIRT_API_NONE ? OVIRT_API_MAX : guest->api;

    send(guest, name, json_pack("{s:i}", "apiVersion", api));
}

bool ovirt_guest_command(OvirtGuest *guest, const char *name, json_t *arguments)
{
    static const struct {
        const char *name;
        int api;
    } commands[] = { { "lock-screen", 0 }, { "log-off", 0 }, { "login", 0 }, { "shutdown", 0 }, { "hibernate", 0 }, { "echo", 0 },
                     { "refresh", 0 }, { "set-number-of-cpus", 1 } };

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, name) == 0 && commands[i].api <= MAX(guest->api, 0)) {
            send(guest, name, arguments);
            return true;
        }
    json_decref(arguments);
    return false;
}

/* ---- from the guest ---- */

static void fact(OvirtGuest *guest, const char *field, const json_t *json, int64_t fresh_us)
{
    if (json != NULL && !json_is_null(json))
        guest->hooks.fact(field, value_of(json, 0), fresh_us, guest->hooks.user);
}

static void set_api(OvirtGuest *guest, int api)
{
    if (guest->api == api)
        return;
    guest->api = api;
    if (api != OVIRT_API_NONE)
        send_versioned(guest, "api-version");
}

static void on_heartbeat(OvirtGuest *guest, const json_t *message)
{
    static const struct {
        const char *key, *field;
    } memory[] = { { "mem_total", "memory_total_kib" }, { "mem_free", "memory_free_kib" }, { "mem_unused", "memory_unused_kib" },
                   { "mem_buffers", "memory_buffers_kib" }, { "mem_cached", "memory_cached_kib" }, { "swap_in", "swap_in" },
                   { "swap_out", "swap_out" }, { "swap_total", "swap_total_kib" }, { "swap_usage", "swap_used_kib" },
                   { "pageflt", "page_faults" }, { "majflt", "major_faults" } };
    const json_t *version = json_object_get(message, "apiVersion"), *stat = json_object_get(message, "memory-stat");

    if (version == NULL)
        set_api(guest, OVIRT_API_NONE);
    else
        set_api(guest, json_is_integer(version) ? (int) CLAMP(json_integer_value(version), 0, OVIRT_API_MAX) : 0);
    fact(guest, "memory_available_mib", json_object_get(message, "free-ram"), 3 * 5 * US_PER_S);
    for (size_t i = 0; i < G_N_ELEMENTS(memory); i++)
        fact(guest, memory[i].field, json_object_get(stat, memory[i].key), 3 * 5 * US_PER_S);
}

static void on_completion(OvirtGuest *guest, const json_t *message)
{
    const char *id = json_string_or(message, "reply_id", "");

    for (guint i = 0; i < guest->waiting->len; i++) {
        Waiting waiting = g_array_index(guest->waiting, Waiting, i);

        if (strcmp(waiting.id, id) != 0)
            continue;
        g_array_remove_index(guest->waiting, i);
        waiting.done(json_is_true(json_object_get(message, "failure")) || json_int_or(message, "failure", 0) != 0 ? OVIRT_REPLY_FAILED
                                                                                                                  : OVIRT_REPLY_OK,
                     waiting.user);
        return;
    }
}

static void on_happened(OvirtGuest *guest, const char *name)
{
    guest->hooks.happened(name, guest->hooks.user);
}

typedef struct Message {
    const char *name, *key, *field; /* @key: what becomes the fact @field; NULL: all of it */
    int64_t fresh_s;
    void (*fn)(OvirtGuest *guest, const json_t *message);
} Message;

/* Versions: number-of-cpus 1; os-info, timezone 2; completion, containers 3; all others 0. They are taken from any guest that sends them. */
static const Message messages[] = {
    { "active-user", "name", "users", 3 * 10, NULL },
    { "applications", "applications", "applications", 3 * 120, NULL },
    { "completion", NULL, NULL, 0, on_completion },
    { "containers", "list", "containers", 3 * 120, NULL },
    { "disks-usage", "disks", "filesystems", 3 * 300, NULL },
    { "echo", NULL, NULL, 0, NULL },
    { "fqdn", "fqdn", "fqdn", 3 * 120, NULL },
    { "heartbeat", NULL, NULL, 0, on_heartbeat },
    { "host-name", "name", "hostname", 3 * 120, NULL },
    { "memory-stats", NULL, NULL, 0, NULL },
    { "network-interfaces", "interfaces", "interfaces", 3 * 120, NULL },
    { "number-of-cpus", "count", "cpus", 3 * 60, NULL },
    { "os-info", NULL, "os", 3 * 3600, NULL },
    { "os-version", "version", "os_version", 3 * 3600, NULL },
    { "session-lock", NULL, NULL, 0, NULL },
    { "session-logoff", NULL, NULL, 0, NULL },
    { "session-logon", NULL, NULL, 0, NULL },
    { "session-shutdown", NULL, NULL, 0, NULL },
    { "session-startup", NULL, NULL, 0, NULL },
    { "session-unlock", NULL, NULL, 0, NULL },
    { "timezone", NULL, "timezone", 3 * 3600, NULL },
    { "uninstalled", NULL, NULL, 0, NULL },
};

static void hear(OvirtGuest *guest, int64_t now_us)
{
    guest->heard_us = now_us;
    if (guest->alive)
        return;
    guest->alive = true;
    guest->hooks.alive(true, guest->hooks.user);
}

static void take_message(OvirtGuest *guest, json_t *message, int64_t now_us)
{
    const char *name = json_string_or(message, "__name__", NULL);

    if (name == NULL) {
        guest->dropped++;
        return;
    }
    hear(guest, now_us);
    for (size_t i = 0; i < G_N_ELEMENTS(messages); i++) {
        const Message *m = &messages[i];

        if (strcmp(m->name, name) != 0)
            continue;
        if (m->fn != NULL)
            m->fn(guest, message);
        else if (g_str_has_prefix(name, "session-") || strcmp(name, "uninstalled") == 0)
            on_happened(guest, m->name);
        if (m->field != NULL && m->key == NULL)
            json_object_del(message, "__name__");
        if (m->field != NULL)
            fact(guest, m->field, m->key != NULL ? json_object_get(message, m->key) : message, m->fresh_s * US_PER_S);
        return;
    } /* one that a later version has: nothing to us */
}

static void take_line(OvirtGuest *guest, int64_t now_us)
{
    g_autofree char *text = clean(guest->line->str, guest->line->len);
    json_t *message;

    if (*g_strchug(text) == '\0')
        return;
    message = json_loads(text, JSON_ALLOW_NUL, NULL);
    if (json_is_object(message))
        take_message(guest, message, now_us);
    else
        guest->dropped++;
    json_decref(message);
}

void ovirt_guest_feed(OvirtGuest *guest, const char *bytes, size_t n, int64_t now_us)
{
    while (n > 0) {
        const char *newline = memchr(bytes, '\n', n);
        size_t piece = newline != NULL ? (size_t) (newline - bytes) : n;

        if (!guest->skipping && guest->line->len + piece > OVIRT_LINE_MAX) {
            guest->skipping = true;
            guest->dropped++;
            g_string_free(g_steal_pointer(&guest->line), TRUE);
            guest->line = g_string_new(NULL);
        }
        if (!guest->skipping)
            g_string_append_len(guest->line, bytes, (gssize) piece);
        if (newline != NULL) {
            if (!guest->skipping)
                take_line(guest, now_us);
            guest->skipping = false;
            g_string_truncate(guest->line, 0);
            piece++;
        }
        bytes += piece;
        n -= piece;
    }
}

/* ---- its life ---- */

OvirtGuest *ovirt_guest_new(const OvirtHooks *hooks, void (*send_line)(const char *line, size_t n, void *user), void *send_user)
{
    OvirtGuest *guest = g_new0(OvirtGuest, 1);

    *guest = (OvirtGuest) { .hooks = *hooks, .send = send_line, .send_user = send_user, .line = g_string_new(NULL) };
    guest->waiting = g_array_new(FALSE, FALSE, sizeof(Waiting));
    return guest;
}

static void time_out(OvirtGuest *guest, int64_t now_us)
{
    for (guint i = 0; i < guest->waiting->len;) {
        Waiting waiting = g_array_index(guest->waiting, Waiting, i);

        if (now_us < waiting.until_us) {
            i++;
            continue;
        }
        g_array_remove_index(guest->waiting, i);
        waiting.done(OVIRT_REPLY_TIMEOUT, waiting.user);
    }
}

void ovirt_guest_free(OvirtGuest *guest)
{
    if (guest == NULL)
        return;
    time_out(guest, INT64_MAX);
    g_array_unref(guest->waiting);
    g_string_free(guest->line, TRUE);
    g_free(guest);
}

void ovirt_guest_begin(OvirtGuest *guest, int64_t now_us)
{
    g_string_truncate(guest->line, 0);
    guest->skipping = false;
    guest->heard_us = now_us;
    guest->api = 0;
    send(guest, "refresh", json_pack("{s:i}", "apiVersion", OVIRT_API_MAX));
}

void ovirt_guest_tick(OvirtGuest *guest, int64_t now_us)
{
    time_out(guest, now_us);
    if (!guest->alive || now_us - guest->heard_us < OVIRT_SILENT_US)
        return;
    guest->alive = false;
    guest->hooks.alive(false, guest->hooks.user);
}

int ovirt_guest_api(const OvirtGuest *guest) { return guest->api; }
bool ovirt_guest_is_alive(const OvirtGuest *guest) { return guest->alive; }
uint64_t ovirt_guest_dropped(const OvirtGuest *guest) { return guest->dropped; }

void ovirt_guest_lifecycle(OvirtGuest *guest, OvirtLifecycle what, int64_t now_us, void (*done)(OvirtReply reply, void *user), void *user)
{
    static const char *const types[] = { "before_migration", "after_migration", "before_hibernation", "after_hibernation" };
    Waiting waiting = { .until_us = now_us + OVIRT_REPLY_US, .done = done, .user = user };

    if (!guest->alive || guest->api < 3 || guest->waiting->len >= OVIRT_WAITING_MAX) {
        done(OVIRT_REPLY_UNSUPPORTED, user);
        return;
    }
    g_snprintf(waiting.id, sizeof waiting.id, "%" G_GUINT64_FORMAT, ++guest->replies);
    g_array_append_val(guest->waiting, waiting);
    send(guest, "lifecycle-event", json_pack("{s:s, s:s}", "type", types[what], "reply_id", waiting.id));
}
