/* Both sides are taken apart by the same parser and compared in parts, so that no spelling of a URI looks allowed here and means another
 * place to the program that fetches it: hence also what is refused outright (users, backslashes, encoded or plain dot segments). */
#include "agents/guest/matahari/uri_list.h"

#include <string.h>

#define URI_BYTES_MAX 2048

static const struct {
    const char *scheme;
    int port;
} schemes[] = {{"http", 80}, {"https", 443}, {"ftp", 21}, {"file", -1}, {"puppet", 8140}};

static int default_port(const char *scheme)
{
    for (size_t i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (strcmp(schemes[i].scheme, scheme) == 0)
            return schemes[i].port;
    return -2;
}

static int port_of(GUri *uri)
{
    return g_uri_get_port(uri) >= 0 ? g_uri_get_port(uri) : default_port(g_uri_get_scheme(uri));
}

static bool host_is_plain(const char *host)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_:";

    return host != NULL && *host != '\0' && *host != '-' && strspn(host, letters) == strlen(host);
}

static bool path_is_plain(const char *path)
{
    g_auto(GStrv) segments = g_strsplit(path, "/", -1);

    for (char **segment = segments; *segment != NULL; segment++)
        if (strcmp(*segment, ".") == 0 || strcmp(*segment, "..") == 0 || strpbrk(*segment, "\\%") != NULL)
            return false;
    return *path == '\0' || *path == '/';
}

/* NULL: wrong. */
static GUri *parse(const char *text)
{
    g_autoptr(GUri) uri = NULL;
    g_autofree char *path = NULL; /* as it was given: the parser itself takes dot segments out */

    if (strlen(text) > URI_BYTES_MAX)
        return NULL;
    for (const char *c = text; *c != '\0'; c++)
        if (!g_ascii_isgraph(*c) || *c == '\\')
            return NULL;
    uri = g_uri_parse(text, G_URI_FLAGS_NONE, NULL);
    if (uri == NULL || !g_uri_split(text, G_URI_FLAGS_NONE, NULL, NULL, NULL, NULL, &path, NULL, NULL, NULL) || default_port(g_uri_get_scheme(uri)) == -2 || g_uri_get_userinfo(uri) != NULL || g_uri_get_fragment(uri) != NULL ||
        !path_is_plain(path))
        return NULL;
    if (strcmp(g_uri_get_scheme(uri), "file") == 0)
        return g_strcmp0(g_uri_get_host(uri), "") == 0 && g_uri_get_query(uri) == NULL && g_uri_get_port(uri) < 0 &&
                       strncmp(text + 5, "///", 3) == 0
                   ? g_steal_pointer(&uri)
                   : NULL;
    if (strcmp(g_uri_get_scheme(uri), "puppet") == 0 && (*g_uri_get_path(uri) != '\0' || g_uri_get_query(uri) != NULL || g_uri_get_port(uri) >= 0))
        return NULL;
    return host_is_plain(g_uri_get_host(uri)) ? g_steal_pointer(&uri) : NULL;
}

static bool is_below(GUri *uri, GUri *place)
{
    const char *path = g_uri_get_path(uri), *top = g_uri_get_path(place);
    size_t n = strlen(top);
    const char *host = g_uri_get_host(uri), *wanted = g_uri_get_host(place);

    while (n > 0 && top[n - 1] == '/')
        n--;
    return strcmp(g_uri_get_scheme(uri), g_uri_get_scheme(place)) == 0 &&
           g_ascii_strcasecmp(host != NULL ? host : "", wanted != NULL ? wanted : "") == 0 && port_of(uri) == port_of(place) &&
           strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

UriVerdict uri_check(const char *text, char *const *places)
{
    g_autoptr(GUri) uri = parse(text);

    if (uri == NULL)
        return URI_WRONG;
    for (; places != NULL && *places != NULL; places++) {
        g_autoptr(GUri) place = parse(*places);

        if (place != NULL && is_below(uri, place))
            return URI_ALLOWED;
    }
    return URI_DENIED;
}

bool uri_places_check(char *const *places, GError **error)
{
    for (; places != NULL && *places != NULL; places++) {
        g_autoptr(GUri) place = parse(*places);

        if (place == NULL) {
            g_set_error(error, G_URI_ERROR, G_URI_ERROR_FAILED,
                        "'%s' is no place: wanted is http://HOST/PATH, https://…, ftp://…, file:///PATH or puppet://HOST", *places);
            return false;
        }
    }
    return true;
}
