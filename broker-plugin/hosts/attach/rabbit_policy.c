/* A request of ten lines needs no HTTP library: one PUT, and of the answer only the status line is read. */
#include "broker-plugin/hosts/attach/rabbit_policy.h"

#include <gio/gio.h>
#include <string.h>

#define TIMEOUT_S   5
#define ANSWER_BYTES 512

static char *request(const char *host, const char *user, const char *password)
{
    g_autofree char *pattern = g_strescape(RABBIT_POLICY_PATTERN, NULL), *login = g_strconcat(user, ":", password, NULL);
    g_autofree char *basic = g_base64_encode((const guchar *) login, strlen(login));
    g_autofree char *body = g_strdup_printf("{\"pattern\":\"%s\",\"definition\":%s,\"priority\":0,\"apply-to\":\"queues\"}", pattern, RABBIT_POLICY_RULE);

    return g_strdup_printf("PUT /api/policies/%%2F/" RABBIT_POLICY_NAME " HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nConnection: close\r\n"
                           "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", host, basic, strlen(body), body);
}

bool rabbit_policy_set(const char *url, const char *user, const char *password, GError **error)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, error);
    g_autofree char *text = NULL;
    char answer[ANSWER_BYTES + 1] = "";
    gsize n_read = 0;
    int status = 0;

    if (uri == NULL)
        return false;
    g_socket_client_set_timeout(client, TIMEOUT_S);
    g_socket_client_set_tls(client, strcmp(g_uri_get_scheme(uri), "https") == 0);
    connection = g_socket_client_connect_to_uri(client, url, 15672, NULL, error);
    if (connection == NULL)
        return false;
    text = request(g_uri_get_host(uri), user, password);
    if (!g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), text, strlen(text), NULL, NULL, error) ||
        !g_input_stream_read_all(g_io_stream_get_input_stream(G_IO_STREAM(connection)), answer, ANSWER_BYTES, &n_read, NULL, error))
        return false;
    if (g_str_has_prefix(answer, "HTTP/1.1 "))
        status = (int) g_ascii_strtoll(answer + strlen("HTTP/1.1 "), NULL, 10);
    if (status >= 200 && status < 300)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s answers %.*s", url, (int) strcspn(answer, "\r\n"), answer);
    return false;
}
