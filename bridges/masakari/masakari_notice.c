#include "bridges/masakari/masakari_notice.h"

#include "agents/host/libvirt/event_names.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <libvirt/libvirt.h>
#include <string.h>

#define HOSTNAME_MAX 255
#define WORD_MAX     255
#define PROCESS_MAX  128 /* there 4096; it is a service's name here */

G_DEFINE_QUARK(mend-masakari-error, masakari_error)

void masakari_notice_free(MasakariNotice *notice)
{
    if (notice == NULL)
        return;
    g_free(notice->hostname);
    g_free(notice->generated);
    g_free(notice->key);
    g_free(notice->process);
    g_free(notice->words);
    g_free(notice);
}

static bool invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool invalid(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, MASAKARI_ERROR, MASAKARI_ERROR_INVALID, "Invalid input for field/attribute %s", text);
    return false;
}

/* ---- the words of libvirt's events --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *event, *detail;
    int id, kind, word;
} words[] = {
    { "LIFECYCLE", "SUSPENDED_IOERROR", VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR },
    { "LIFECYCLE", "SUSPENDED_WATCHDOG", VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG },
    { "LIFECYCLE", "SUSPENDED_API_ERROR", VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR },
    { "LIFECYCLE", "STOPPED_SHUTDOWN", VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN },
    { "LIFECYCLE", "STOPPED_DESTROYED", VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_DESTROYED },
    { "LIFECYCLE", "STOPPED_FAILED", VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED },
    { "LIFECYCLE", "SHUTDOWN_FINISHED", VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED },
    { "REBOOT", "UNKNOWN", VIR_DOMAIN_EVENT_ID_REBOOT, EVENT_WORD_NONE, EVENT_WORD_NONE },
    { "WATCHDOG", "WATCHDOG_NONE", VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_WATCHDOG_NONE, EVENT_WORD_NONE },
    { "WATCHDOG", "WATCHDOG_PAUSE", VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_WATCHDOG_PAUSE, EVENT_WORD_NONE },
    { "WATCHDOG", "WATCHDOG_RESET", VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_WATCHDOG_RESET, EVENT_WORD_NONE },
    { "WATCHDOG", "WATCHDOG_POWEROFF", VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF, EVENT_WORD_NONE },
    { "WATCHDOG", "WATCHDOG_SHUTDOWN", VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN, EVENT_WORD_NONE },
    { "WATCHDOG", "WATCHDOG_DEBUG", VIR_DOMAIN_EVENT_ID_WATCHDOG, VIR_DOMAIN_EVENT_WATCHDOG_DEBUG, EVENT_WORD_NONE },
    { "IO_ERROR", "IO_ERROR_NONE", VIR_DOMAIN_EVENT_ID_IO_ERROR, VIR_DOMAIN_EVENT_IO_ERROR_NONE, EVENT_WORD_NONE },
    { "IO_ERROR", "IO_ERROR_PAUSE", VIR_DOMAIN_EVENT_ID_IO_ERROR, VIR_DOMAIN_EVENT_IO_ERROR_PAUSE, EVENT_WORD_NONE },
    { "IO_ERROR", "IO_ERROR_REPORT", VIR_DOMAIN_EVENT_ID_IO_ERROR, VIR_DOMAIN_EVENT_IO_ERROR_REPORT, EVENT_WORD_NONE },
    { "IO_ERROR_REASON", "UNKNOWN", VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, EVENT_WORD_NONE, EVENT_WORD_NONE },
    { "CONTROL_ERROR", "UNKNOWN", VIR_DOMAIN_EVENT_ID_CONTROL_ERROR, EVENT_WORD_NONE, EVENT_WORD_NONE },
};

static DomainEvent event_of(const char *event, const char *detail)
{
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i].event, event) == 0 && strcmp(words[i].detail, detail) == 0)
            return (DomainEvent) { .id = words[i].id, .kind = words[i].kind, .detail = words[i].word };
    return (DomainEvent) { .id = -1 };
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------------- */

/* True: @object has no keys but @known (NULL at the end). */
static bool only(const json_t *object, const char *where, const char *const *known, GError **error)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return invalid(error, "%s: an object is wanted", where);
    json_object_foreach((json_t *) object, key, value)
        if (!g_strv_contains(known, key))
            return invalid(error, "%s: additional properties are not allowed ('%.64s' was unexpected)", where, key);
    return true;
}

/* A text of 1 to @max bytes. NULL: error. Borrowed. */
static const char *text_of(const json_t *object, const char *key, size_t max, GError **error)
{
    const char *text = json_string_or(object, key, NULL);

    if (text == NULL)
        invalid(error, "%s: '%s' is a required property, a text", key, key);
    else if (*text == '\0' || strlen(text) > max)
        invalid(error, "%s: 1 to %zu bytes are wanted", key, max);
    else
        return text;
    return NULL;
}

/* One of @words (NULL at the end). NULL: error, or absent where it may be. */
static const char *word_of(const json_t *object, const char *key, const char *const *known, bool needed, GError **error)
{
    const char *text = json_string_or(object, key, NULL);
    g_autofree char *list = NULL;

    if (text == NULL && json_object_get(object, key) == NULL && !needed)
        return NULL;
    if (text != NULL && g_strv_contains(known, text))
        return text;
    list = g_strjoinv(", ", (char **) known);
    invalid(error, "%s: one of %s is wanted", key, list);
    return NULL;
}

static const char *const started_or_stopped[] = { "STARTED", "STOPPED", NULL };

static bool read_host(MasakariNotice *notice, const json_t *payload, GError **error)
{
    static const char *const known[] = { "event", "host_status", "cluster_status", NULL }, *const host[] = { "NORMAL", "UNKNOWN", NULL },
                      *const cluster[] = { "ONLINE", "OFFLINE", NULL };
    GError *wrong = NULL;
    const char *event = only(payload, "payload", known, error) ? word_of(payload, "event", started_or_stopped, true, error) : NULL, *status;

    if (event == NULL)
        return false;
    word_of(payload, "host_status", host, false, &wrong);
    status = wrong == NULL ? word_of(payload, "cluster_status", cluster, false, &wrong) : NULL;
    if (wrong != NULL) {
        g_propagate_error(error, wrong);
        return false;
    }
    notice->stopped = strcmp(event, "STOPPED") == 0;
    notice->online = g_strcmp0(status, "ONLINE") == 0;
    return true;
}

static bool read_process(MasakariNotice *notice, const json_t *payload, GError **error)
{
    static const char *const known[] = { "event", "process_name", NULL };
    const char *name = only(payload, "payload", known, error) ? text_of(payload, "process_name", PROCESS_MAX, error) : NULL;
    const char *event = name != NULL ? word_of(payload, "event", started_or_stopped, true, error) : NULL;

    if (event == NULL)
        return false;
    notice->process = g_strdup(name);
    notice->stopped = strcmp(event, "STOPPED") == 0;
    return true;
}

static bool read_vm(MasakariNotice *notice, const json_t *payload, GError **error)
{
    static const char *const known[] = { "event", "instance_uuid", "vir_domain_event", NULL };
    const char *uuid = only(payload, "payload", known, error) ? text_of(payload, "instance_uuid", WORD_MAX, error) : NULL;
    const char *event = uuid != NULL ? text_of(payload, "event", WORD_MAX, error) : NULL;
    const char *detail = event != NULL ? text_of(payload, "vir_domain_event", WORD_MAX, error) : NULL;
    g_autofree char *canonical = detail != NULL ? uuid_canonical(uuid) : NULL;

    if (detail == NULL)
        return false;
    if (canonical == NULL)
        return invalid(error, "instance_uuid: '%.64s' is not a 'uuid'", uuid);
    g_strlcpy(notice->vm, canonical, sizeof(notice->vm));
    notice->event = event_of(event, detail);
    notice->words = g_strdup_printf("%s %s", event, detail);
    return true;
}

static bool is_time(const char *text)
{
    g_autofree char *with_zone = g_strconcat(text, "Z", NULL), *with_t = g_strdup(with_zone);
    int64_t us;

    if (strlen(text) > 10 && with_t[10] == ' ')
        with_t[10] = 'T';
    return time_parse(text, &us) || time_parse(with_zone, &us) || time_parse(with_t, &us); /* Python's forms name no zone: UTC */
}

static bool read_payload(MasakariNotice *notice, const char *type, const json_t *payload, GError **error)
{
    if (strcmp(type, "COMPUTE_HOST") == 0) {
        notice->type = MASAKARI_HOST;
        return read_host(notice, payload, error);
    }
    notice->type = strcmp(type, "VM") == 0 ? MASAKARI_VM : MASAKARI_PROCESS;
    return notice->type == MASAKARI_VM ? read_vm(notice, payload, error) : read_process(notice, payload, error);
}

MasakariNotice *masakari_notice_read(const json_t *body, GError **error)
{
    static const char *const outer[] = { "notification", NULL }, *const inner[] = { "type", "hostname", "generated_time", "payload", NULL },
                      *const types[] = { "COMPUTE_HOST", "VM", "PROCESS", NULL };
    const json_t *inside = json_object_get(body, "notification");
    g_autoptr(MasakariNotice) notice = g_new0(MasakariNotice, 1);
    g_autofree char *payload = NULL;
    const char *type, *hostname, *generated;

    if (!only(body, "body", outer, error) || !only(inside, "notification", inner, error) || (type = word_of(inside, "type", types, true, error)) == NULL ||
        (hostname = text_of(inside, "hostname", HOSTNAME_MAX, error)) == NULL || (generated = text_of(inside, "generated_time", WORD_MAX, error)) == NULL)
        return NULL;
    if (!is_time(generated)) {
        invalid(error, "generated_time: '%.64s' is not a 'date-time'", generated);
        return NULL;
    }
    if (!read_payload(notice, type, json_object_get(inside, "payload"), error))
        return NULL;
    notice->hostname = g_strdup(hostname);
    notice->generated = g_strdup(generated);
    payload = json_text(json_object_get(inside, "payload"));
    notice->key = g_strdup_printf("%s %s %s %s", type, hostname, generated, payload);
    return g_steal_pointer(&notice);
}
