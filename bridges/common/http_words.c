/* What HTTP's answers mean to whoever gave the command, and the small texts that go with requests. */
#include "bridges/common/http.h"

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/model/command.h"

#include <libsoup/soup.h>
#include <string.h>
#include <sys/stat.h>

#define SECRET_MAX 4096

bool http_url_is_private(const char *url)
{
    g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
    const char *host = uri != NULL ? g_uri_get_host(uri) : NULL;

    if (host == NULL || g_ascii_strcasecmp(g_uri_get_scheme(uri), "http") != 0)
        return true;
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || (g_str_has_prefix(host, "127.") && g_hostname_is_ip_address(host));
}

static const char *status_error(unsigned status)
{
    switch (status) {
    case 400: case 405: case 411: case 413: case 415: case 422: return COMMAND_ERROR_ARGUMENT;
    case 404: case 410: return COMMAND_ERROR_NOT_FOUND;
    default: return COMMAND_ERROR_FAILED;
    }
}

const char *http_command_error(const HttpAnswer *answer)
{
    if (answer->error == NULL)
        return answer->status >= 200 && answer->status < 300 ? NULL : status_error(answer->status);
    if (g_error_matches(answer->error, HTTP_ERROR, HTTP_ERROR_MALFORMED) || g_error_matches(answer->error, HTTP_ERROR, HTTP_ERROR_TOO_LARGE))
        return COMMAND_ERROR_FAILED;
    return answer->sent ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_UNREACHABLE;
}

char *http_answer_text(const HttpAnswer *answer, const char *what)
{
    if (answer->error != NULL)
        return g_strdup_printf("%s: %s", what, answer->error->message);
    return g_strdup_printf("%s: %u %s", what, answer->status, soup_status_get_phrase(answer->status));
}

json_t *http_answer_json(const HttpAnswer *answer, GError **error)
{
    return json_parse(answer->body != NULL ? answer->body : "", answer->body_bytes, "answer", error);
}

char *http_secret_read(const char *file, GError **error)
{
    struct stat info;
    char *text;

    if (stat(file, &info) == 0 && (info.st_mode & S_IRWXO) != 0) {
        g_set_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS, "%s: everybody on this machine can read it: chmod o= %s", file, file);
        return NULL;
    }
    text = file_read_line(file, SECRET_MAX, error);
    if (text != NULL && *text == '\0') {
        g_set_error(error, HTTP_ERROR, HTTP_ERROR_SETTINGS, "%s: it is empty", file);
        g_clear_pointer(&text, g_free);
    }
    return text;
}

void http_secret_free(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

char *http_basic(const char *user, const char *password)
{
    g_autofree char *both = g_strdup_printf("%s:%s", user, password);
    g_autofree char *coded = g_base64_encode((const guchar *) both, strlen(both));
    char *value = g_strconcat("Basic ", coded, NULL);

    explicit_bzero(both, strlen(both));
    explicit_bzero(coded, strlen(coded));
    return value;
}

char *http_form(const char *const *fields)
{
    GString *form = g_string_new(NULL);

    for (size_t i = 0; fields[i] != NULL; i += 2) {
        g_autofree char *name = g_uri_escape_string(fields[i], NULL, FALSE), *value = g_uri_escape_string(fields[i + 1], NULL, FALSE);

        g_string_append_printf(form, "%s%s=%s", i > 0 ? "&" : "", name, value);
        explicit_bzero(value, strlen(value));
    }
    return g_string_free(form, FALSE);
}
