/* Monitors over the network: a TCP connect, or an HTTP/1.1 GET of which only the status line is read. Each probe is a connection of
 * its own, since what is asked is whether a stranger could get in now. */
#include "agents/guest/services/later.h"

#include "lib/base/clock.h"

#include <gio/gio.h>
#include <string.h>

#define STATUS_LINE_MAX_BYTES 1024

typedef struct Probe {
    Backend base;
    const ServiceSpec *spec;
    Later *later;
    GCancellable *cancel; /* of the attempt; a cancelled one belongs to nobody any more */
    guint deadline_source;
    ActionDone done;
    void *user;
    GSocketConnection *connection;
    char *request, *host;
    GString *answer;
    char buffer[STATUS_LINE_MAX_BYTES];
} Probe;

static Backend *probe_create(const ServiceSpec *spec, const ServiceHost *host, GError **error)
{
    Probe *probe = g_new0(Probe, 1);

    probe->spec = spec;
    return &probe->base;
}

static void probe_reset(Probe *probe)
{
    g_clear_handle_id(&probe->deadline_source, g_source_remove);
    g_clear_object(&probe->cancel);
    g_clear_object(&probe->connection); /* closes the socket */
    g_clear_pointer(&probe->request, g_free);
    g_clear_pointer(&probe->host, g_free);
    if (probe->answer != NULL)
        g_string_free(g_steal_pointer(&probe->answer), TRUE);
}

/* GIO's completions still come after a cancel, so a probe in flight is left to them. */
static void probe_free(Backend *backend)
{
    Probe *probe = (Probe *) backend;

    later_cancel(&probe->later);
    if (probe->cancel != NULL) {
        probe->done = NULL;
        g_clear_handle_id(&probe->deadline_source, g_source_remove);
        g_cancellable_cancel(probe->cancel);
        return;
    }
    g_free(probe);
}

G_GNUC_PRINTF(3, 4) static void probe_finish(Probe *probe, int rc, const char *format, ...)
{
    g_autofree char *text = NULL;
    ActionDone done = g_steal_pointer(&probe->done);
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    probe_reset(probe);
    const ActionResult result = {.rc = rc, .text = text, .wait_status = -1, .output = ""};
    done(&result, probe->user);
}

/* The service went away while the probe was out: @spec is gone too. */
static bool orphan(Probe *probe)
{
    if (probe->done != NULL)
        return false;
    probe_reset(probe);
    g_free(probe);
    return true;
}

static const char *probe_target(const Probe *probe)
{
    return probe->spec->address != NULL ? probe->spec->address : probe->spec->http;
}

static void probe_failed(Probe *probe, const GError *error)
{
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        g_autofree char *after = duration_format(probe->spec->timeout_us);

        probe_finish(probe, OCF_TIMEOUT, "%s: no answer within %s", probe_target(probe), after);
    } else {
        probe_finish(probe, OCF_NOT_RUNNING, "%s: %s", probe_target(probe), error->message);
    }
}

static gboolean on_deadline(void *user)
{
    Probe *probe = user;

    probe->deadline_source = 0;
    g_cancellable_cancel(probe->cancel);
    return G_SOURCE_REMOVE;
}

static void judge_status_line(Probe *probe)
{
    const char *line = probe->answer->str;
    gint64 status;

    probe->answer->str[strcspn(probe->answer->str, "\r\n")] = '\0';
    if (strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12) {
        probe_finish(probe, OCF_GENERIC, "%s: the answer is no HTTP", probe_target(probe));
        return;
    }
    status = g_ascii_strtoll(line + 9, NULL, 10);
    if (status == probe->spec->status)
        probe_finish(probe, OCF_OK, "%s: %d", probe_target(probe), (int) status);
    else
        probe_finish(probe, OCF_GENERIC, "%s: status %d, wanted %d", probe_target(probe), (int) status, (int) probe->spec->status);
}

static void on_read(GObject *source, GAsyncResult *result, void *user)
{
    Probe *probe = user;
    g_autoptr(GError) error = NULL;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(source), result, &error);

    if (orphan(probe))
        return;
    if (n < 0) {
        probe_failed(probe, error);
        return;
    }
    g_string_append_len(probe->answer, probe->buffer, n);
    if (n == 0 || strchr(probe->answer->str, '\n') != NULL || probe->answer->len >= STATUS_LINE_MAX_BYTES) {
        judge_status_line(probe);
        return;
    }
    g_input_stream_read_async(G_INPUT_STREAM(source), probe->buffer, sizeof probe->buffer, G_PRIORITY_DEFAULT, probe->cancel, on_read,
                              probe);
}

static void on_written(GObject *source, GAsyncResult *result, void *user)
{
    Probe *probe = user;
    g_autoptr(GError) error = NULL;
    bool written = g_output_stream_write_all_finish(G_OUTPUT_STREAM(source), result, NULL, &error);

    if (orphan(probe))
        return;
    if (!written) {
        probe_failed(probe, error);
        return;
    }
    probe->answer = g_string_new(NULL);
    g_input_stream_read_async(g_io_stream_get_input_stream(G_IO_STREAM(probe->connection)), probe->buffer, sizeof probe->buffer,
                              G_PRIORITY_DEFAULT, probe->cancel, on_read, probe);
}

static void on_connected(GObject *source, GAsyncResult *result, void *user)
{
    Probe *probe = user;
    g_autoptr(GError) error = NULL;

    probe->connection = g_socket_client_connect_to_host_finish(G_SOCKET_CLIENT(source), result, &error);
    if (orphan(probe))
        return;
    if (probe->connection == NULL) {
        probe_failed(probe, error);
        return;
    }
    if (probe->request == NULL) {
        probe_finish(probe, OCF_OK, "%s: open", probe_target(probe));
        return;
    }
    g_output_stream_write_all_async(g_io_stream_get_output_stream(G_IO_STREAM(probe->connection)), probe->request,
                                    strlen(probe->request), G_PRIORITY_DEFAULT, probe->cancel, on_written, probe);
}

/* Splits http://HOST[:PORT]/PATH. The path goes out as it was written. */
static void prepare_http(Probe *probe, guint16 *ret_port)
{
    const char *rest = probe->spec->http + strlen("http://"), *path = strchrnul(rest, '/');
    g_autofree char *authority = g_strndup(rest, (gsize) (path - rest));

    probe->request = g_strdup_printf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mend-guest\r\nConnection: close\r\n\r\n",
                                     *path != '\0' ? path : "/", authority);
    probe->host = g_steal_pointer(&authority);
    *ret_port = 80;
}

static void probe_act(Backend *backend, const char *action, int64_t deadline_us, ActionDone done, void *user)
{
    Probe *probe = (Probe *) backend;
    g_autoptr(GSocketClient) client = NULL;
    guint16 port = 0;

    if (strcmp(action, "monitor") != 0 && strcmp(action, "status") != 0) {
        later_answer(&probe->later, OCF_UNIMPLEMENTED, "a probe can look, not act: there is no start, stop or restart", done, user);
        return;
    }
    g_assert(probe->cancel == NULL && probe->later == NULL);
    probe->done = done;
    probe->user = user;
    probe->cancel = g_cancellable_new();
    if (probe->spec->http != NULL)
        prepare_http(probe, &port);
    else
        probe->host = g_strdup(probe->spec->address);
    client = g_socket_client_new();
    g_socket_client_set_enable_proxy(client, FALSE);
    probe->deadline_source = g_timeout_add((guint) (MAX(deadline_us - clock_now_us(), 0) / US_PER_MS), on_deadline, probe);
    g_socket_client_connect_to_host_async(client, probe->host, port, probe->cancel, on_connected, probe);
}

#define PROBE(name) {.standard = #name, .create = probe_create, .act = probe_act, .free = probe_free}
const BackendClass backend_tcp = PROBE(tcp);
const BackendClass backend_http = PROBE(http);
