/* What became of Mend's commands (command.done, failed, expired on mend.events), shown where oVirt's people look: as events of origin "mend",
 * linked to the VM or host. Each has a custom_id made from the command's id, and oVirt takes a pair of origin and custom_id once: so one
 * whose answer was lost is sent again, and told "exists" (409) that is as good as done. One at a time, at a pace; when more come than
 * may go for long, the oldest are dropped and counted: people read the last page, and Mend's own journal has all. */
#include "bridges/ovirt/ovirt_site.h"

#include "lib/amqp/client.h"
#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/model/entity.h"

#include <string.h>

#define WAITING_MAX 200
#define AGAIN_US    (10 * US_PER_S) /* after a failure of the way there */
#define TEXT_MAX    900             /* of a description: oVirt keeps 4,000 bytes, people read a line */

struct OvirtSaid {
    OvirtSite *site;
    AmqpClient *client;
    AmqpReceiver *receiver;
    GQueue waiting;      /* of json_t: bodies of events */
    OvirtCall *call;     /* the first of them is on its way */
    guint timer;
    unsigned dropped;
};

static void send_next(OvirtSaid *said);

static gboolean on_timer(void *user)
{
    OvirtSaid *said = user;

    said->timer = 0;
    send_next(said);
    return G_SOURCE_REMOVE;
}

static void send_later(OvirtSaid *said, int64_t after_us)
{
    g_clear_handle_id(&said->timer, g_source_remove);
    said->timer = g_timeout_add((guint) (after_us / US_PER_MS), on_timer, said);
}

static void on_posted(const OvirtAnswer *answer, void *user)
{
    OvirtSaid *said = user;

    said->call = NULL;
    if (answer->error != NULL && answer->unreachable) {
        send_later(said, AGAIN_US);
        return;
    }
    if (answer->error != NULL && answer->status != 409)
        log_warning("oVirt does not take an event: %s", answer->text);
    json_decref(g_queue_pop_head(&said->waiting));
    send_later(said, US_PER_MINUTE / said->site->settings->tell_per_minute);
}

static void send_next(OvirtSaid *said)
{
    const json_t *body = g_queue_peek_head(&said->waiting);

    if (body != NULL && said->call == NULL && said->timer == 0)
        said->call = ovirt_api_post(said->site->api, "/events", json_deep_copy(body), true, 0, on_posted, said);
}

static void add(OvirtSaid *said, json_t *body /* (transfer full) */)
{
    if (said->waiting.length >= WAITING_MAX) { /* the first may be on its way */
        json_decref(g_queue_pop_nth(&said->waiting, 1));
        if (said->dropped++ == 0)
            log_warning("more is done than oVirt is told in time: the oldest is left out");
    } else if (said->waiting.length == 0) {
        said->dropped = 0;
    }
    g_queue_push_tail(&said->waiting, body);
    send_next(said);
}

/* 0 … 2^31-1, the same for the same command and end. */
static int custom_id(const char *command, const char *kind)
{
    g_autofree char *both = g_strdup_printf("%s %s", command, kind);
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, both, -1);

    hex[8] = '\0';
    return (int) (g_ascii_strtoull(hex, NULL, 16) & 0x7fffffff);
}

/* The VM or host of oVirt that @path is about; NULL: none. @ret_kind: "vm" "host". Borrowed. */
static const char *linked(const OvirtSite *site, const char *path, const char **ret_kind, const char **ret_name)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", 3);
    bool is_host = g_strcmp0(parts[0], "host") == 0, is_vm = g_strcmp0(parts[0], "vm") == 0 || g_strcmp0(parts[0], "service") == 0;
    const SiteVm *vm = is_vm ? site_vm(site, parts[1]) : NULL;
    const SiteHost *host = is_host ? site_host(site, parts[1]) : NULL;

    *ret_kind = is_host ? "host" : "vm";
    *ret_name = vm != NULL && vm->now != NULL ? vm->now->name : host != NULL ? host->now->name : NULL;
    return vm != NULL ? vm->id : host != NULL ? host->now->id : NULL;
}

static char *description(const char *kind, const char *path, const char *name, const json_t *data)
{
    const char *text = json_string_or(data, "text", ""), *incident = json_string_or(data, "incident", NULL);
    const char *end = strcmp(kind, "command.done") == 0 ? "done" : strcmp(kind, "command.failed") == 0 ? "failed" : "not answered in time";
    g_autofree char *whole = g_strdup_printf("Mend: %s (%s): %s%s%s%s%s%s", name != NULL ? name : path, path, end, *text != '\0' ? ": " : "", text,
                                             incident != NULL ? "; incident " : "", incident != NULL ? incident : "",
                                             incident != NULL ? ", mend why tells the rest" : "");

    if (strlen(whole) <= TEXT_MAX)
        return g_steal_pointer(&whole);
    *g_utf8_find_prev_char(whole, whole + TEXT_MAX) = '\0';
    return g_strdup(whole);
}

static void take(OvirtSaid *said, const char *kind, const char *path, const json_t *data)
{
    const char *type, *name, *command = json_string_or(data, "command", NULL), *id = linked(said->site, path, &type, &name);
    g_autofree char *text = NULL;

    if (id == NULL || command == NULL)
        return;
    text = description(kind, path, name, data);
    add(said, json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "origin", "mend", "severity", strcmp(kind, "command.done") == 0 ? "normal" : "warning",
                        "custom_id", custom_id(command, kind), "description", text, type, "id", id));
}

/* "org.matahariproject.mend.command.done.v1" → "command.done"; NULL: another. */
static const char *kind_of(const char *type)
{
    static const char *const kinds[] = { "command.done", "command.failed", "command.expired" };

    for (size_t i = 0; type != NULL && i < G_N_ELEMENTS(kinds); i++)
        if (strstr(type, kinds[i]) != NULL)
            return kinds[i];
    return NULL;
}

static void on_message(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    const char *kind = kind_of(amqp_message_property(message, "cloudEvents_type")), *path = amqp_message_property(message, "cloudEvents_subject");
    g_autoptr(json_t) data = NULL;
    gsize length = 0;
    const char *text = message->data != NULL ? g_bytes_get_data(message->data, &length) : NULL;

    if (kind != NULL && path != NULL && text != NULL && (data = json_parse(text, length, "event", NULL)) != NULL)
        take(user, kind, path, data);
    amqp_delivery_accept(delivery);
}

static void on_error(AmqpReceiver *receiver, const GError *error, void *user)
{
    log_warning("what Mend does is not heard of: %s", error->message);
}

static Credentials *find_credentials(const OvirtSite *site, GError **error)
{
    const BridgeSettings *settings = bridge_settings(site->bridge);

    if (site->settings->tell_credentials != NULL)
        return credentials_read(site->settings->tell_credentials, error);
    return credentials_find("observer", settings->site, error);
}

OvirtSaid *ovirt_said_new(OvirtSite *site, GError **error)
{
    const char *broker = bridge_settings(site->bridge)->broker;
    g_autoptr(Credentials) credentials = find_credentials(site, error);
    OvirtSaid *said;
    AmqpClientOptions client = { .reconnect = true };

    if (credentials == NULL)
        return NULL;
    client.url = broker != NULL ? broker : credentials->url != NULL ? credentials->url : "amqp://127.0.0.1:5672";
    client.user = credentials->user;
    client.password = credentials->password;
    client.ca_file = credentials->ca_file;
    said = g_new0(OvirtSaid, 1);
    said->site = site;
    g_queue_init(&said->waiting);
    said->client = amqp_client_new(&client);
    said->receiver = amqp_receiver_new(said->client, &(AmqpReceiverOptions) { .address = "mend.events", .topic = true, .subject_filter = "command.#",
                                                                              .on_message = on_message, .on_error = on_error, .user = said });
    return said;
}

void ovirt_said_free(OvirtSaid *said)
{
    json_t *body;

    if (said == NULL)
        return;
    amqp_receiver_free(said->receiver);
    amqp_client_free(said->client);
    ovirt_call_drop(said->call);
    g_clear_handle_id(&said->timer, g_source_remove);
    while ((body = g_queue_pop_head(&said->waiting)) != NULL)
        json_decref(body);
    g_free(said);
}
