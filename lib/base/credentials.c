#include "lib/base/credentials.h"

#include "lib/base/file.h"
#include "lib/base/yaml.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK(mend-credentials-error-quark, credentials_error)

enum { LINE_MAX_BYTES = 1024 };

void credentials_free(Credentials *credentials)
{
    if (credentials == NULL)
        return;
    if (credentials->password != NULL)
        explicit_bzero(credentials->password, strlen(credentials->password));
    g_free(credentials->user);
    g_free(credentials->password);
    g_free(credentials->url);
    g_free(credentials->ca_file);
    g_free(credentials);
}

const char *credentials_folder(const char *folder)
{
    const char *named = g_getenv("MEND_DATA");

    if (folder != NULL && *folder != '\0')
        return folder;
    return named != NULL && *named != '\0' ? named : CREDENTIALS_FOLDER;
}

static bool password_read(const char *folder, const char *user, char **ret_password, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "credentials", user, NULL);
    g_autoptr(GError) local = NULL;

    if (strchr(user, '/') != NULL || *user == '.' || *user == '\0') {
        g_set_error(error, CREDENTIALS_ERROR, CREDENTIALS_ERROR_INVALID, "\"%s\" is no user name", user);
        return false;
    }
    *ret_password = file_read_line(path, LINE_MAX_BYTES, &local);
    if (*ret_password != NULL && **ret_password != '\0')
        return true;
    if (*ret_password != NULL)
        g_set_error(error, CREDENTIALS_ERROR, CREDENTIALS_ERROR_INVALID, "%s:1:1: there is no password in it; remove the file and start the broker again", path);
    else if (g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_ACCES) || g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_PERM))
        g_set_error(error, CREDENTIALS_ERROR, CREDENTIALS_ERROR_DENIED,
                    "%s: you may not read it; become root, or a member of the group mend (usermod -aG mend NAME, then log in again)", path);
    else if (g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        g_set_error(error, CREDENTIALS_ERROR, CREDENTIALS_ERROR_NONE,
                    "%s: not there; the broker makes it at its first start (another data folder: --data DIR or MEND_DATA=DIR)", path);
    else
        g_set_error(error, CREDENTIALS_ERROR, CREDENTIALS_ERROR_INVALID, "%s", local->message);
    g_clear_pointer(ret_password, g_free);
    return false;
}

Credentials *credentials_find(const char *user, const char *folder, GError **error)
{
    g_autoptr(Credentials) credentials = g_new0(Credentials, 1);
    g_autofree char *url = NULL, *ca = NULL, *lab = NULL;

    folder = credentials_folder(folder);
    lab = g_build_filename(folder, "run", CREDENTIALS_LAB, NULL);
    if (access(lab, F_OK) != 0) {
        if (!password_read(folder, user, &credentials->password, error))
            return NULL;
        credentials->user = g_strdup(user);
    }
    url = g_build_filename(folder, "run", "broker.url", NULL);
    credentials->url = file_read_line(url, LINE_MAX_BYTES, NULL);
    ca = g_build_filename(folder, "tls", "ca.pem", NULL);
    if (access(ca, R_OK) == 0)
        credentials->ca_file = g_steal_pointer(&ca);
    return g_steal_pointer(&credentials);
}

/* OpenSSL wants a file: the PEM goes beside, unless it is there already. */
static bool ca_write(const char *file, const char *pem, char **ret_ca_file, GError **error)
{
    g_autofree char *path = g_strconcat(file, ".ca", NULL), *before = NULL;

    if (!g_file_get_contents(path, &before, NULL, NULL) || strcmp(before, pem) != 0)
        if (!file_write(path, pem, strlen(pem), 0644, error))
            return false;
    *ret_ca_file = g_steal_pointer(&path);
    return true;
}

static bool text_take(const YamlFile *file, const char *key, bool needed, char **ret_text, GError **error)
{
    const YamlNode *node = yaml_get(file->root, key);

    if (node == NULL && !needed)
        return true;
    if (node == NULL || node->kind != YAML_SCALAR || *node->text == '\0')
        return yaml_error(file, node != NULL ? node : file->root, error, "\"%s\" is missing; a credentials file is what `mend enrol` prints", key);
    *ret_text = g_strdup(node->text);
    return true;
}

Credentials *credentials_read(const char *file, GError **error)
{
    g_autoptr(Credentials) credentials = g_new0(Credentials, 1);
    g_autofree char *ca = NULL;
    g_autoptr(YamlFile) yaml = yaml_read_file(file, error);

    if (yaml == NULL)
        return NULL;
    if (yaml->root == NULL) {
        g_set_error(error, CREDENTIALS_ERROR, CREDENTIALS_ERROR_INVALID, "%s:1:1: empty; a credentials file is what `mend enrol` prints", file);
        return NULL;
    }
    if (!text_take(yaml, "user", true, &credentials->user, error) || !text_take(yaml, "password", true, &credentials->password, error)
        || !text_take(yaml, "url", false, &credentials->url, error) || !text_take(yaml, "ca", false, &ca, error)
        || (ca != NULL && !ca_write(file, ca, &credentials->ca_file, error)))
        return NULL;
    return g_steal_pointer(&credentials);
}
