/* Each file is made whole or not at all, and made again when it is missing, so a first start that was cut off is finished by the next.
 * A local user has a password file and a verifier; if only one of them is there, the other is made to fit. */
#include "broker-plugin/hosts/embedded/site.h"

#include "broker-plugin/hosts/embedded/access.h"
#include "broker-plugin/hosts/embedded/certificate.h"
#include "broker-plugin/hosts/embedded/sasl.h"
#include "lib/base/credentials.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/machine.h"
#include "lib/base/uuid.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(mend-site-error-quark, site_error)

enum { PASSWORD_BYTES = 20, SECRET_BYTES = 32, CA_DAYS = 20 * 365, SERVER_DAYS = 10 * 365, CLIENT_DAYS = 5 * 365 };

/* Beside broker.url: how other machines reach it. */
#define ELSEWHERE_FILE "broker.elsewhere.url"

struct Site {
    char *folder, *id, *users, *store, *ca, *ca_key, *cert, *key;
    bool has_group;
    gid_t group; /* mend */
};

void site_free(Site *site)
{
    if (site == NULL)
        return;
    g_free(site->folder);
    g_free(site->id);
    g_free(site->users);
    g_free(site->store);
    g_free(site->ca);
    g_free(site->ca_key);
    g_free(site->cert);
    g_free(site->key);
    g_free(site);
}

const char *site_folder(const Site *site) { return site->folder; }
const char *site_id(const Site *site) { return site->id; }
const char *site_users_file(const Site *site) { return site->users; }
const char *site_store_folder(const Site *site) { return site->store; }
const char *site_ca_file(const Site *site) { return site->ca; }
const char *site_cert_file(const Site *site) { return site->cert; }
const char *site_key_file(const Site *site) { return site->key; }

/* ---- Files ------------------------------------------------------------------------------------------------------------------ */

static bool io_fail(GError **error, const char *path, const char *what)
{
    int code = errno;

    g_set_error(error, SITE_ERROR, SITE_ERROR_IO, "%s: %s: %s", path, what, g_strerror(code));
    return false;
}

/* What the group mend may read belongs to it; without the group, to root alone. */
static bool give_to_group(const Site *site, const char *path, GError **error)
{
    if (!site->has_group || geteuid() != 0 || lchown(path, (uid_t) -1, site->group) == 0)
        return true;
    return io_fail(error, path, "cannot give it to the group mend");
}

static bool folder_ready(const Site *site, const char *path, unsigned mode, GError **error)
{
    struct stat info;

    if (!folder_make(path, mode, error))
        return false;
    if (lstat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return io_fail(error, path, "is no folder");
    if (geteuid() == 0 && info.st_uid != 0) {
        g_set_error(error, SITE_ERROR, SITE_ERROR_IO, "%s: belongs to another user, who could change what is in it; chown root %s", path, path);
        return false;
    }
    if ((info.st_mode & 07777) != mode && chmod(path, mode) != 0)
        return io_fail(error, path, "cannot set its mode");
    return give_to_group(site, path, error);
}

static bool secret_file_write(const Site *site, const char *path, const char *text, unsigned mode, GError **error)
{
    return file_write(path, text, strlen(text), mode, error) && (!(mode & 040) || give_to_group(site, path, error));
}

/* (transfer full) NULL: no randomness. */
static char *random_hex(size_t n_bytes, GError **error)
{
    uint8_t bytes[SECRET_BYTES];
    char *text = g_malloc0(2 * n_bytes + 1);

    g_assert(n_bytes <= sizeof bytes);
    if (RAND_bytes(bytes, (int) n_bytes) != 1) {
        g_set_error(error, SITE_ERROR, SITE_ERROR_CRYPTO, "no randomness from the system");
        g_free(text);
        return NULL;
    }
    for (size_t i = 0; i < n_bytes; i++)
        g_snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    explicit_bzero(bytes, sizeof bytes);
    return text;
}

static bool exists(const char *path)
{
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* ---- Users ------------------------------------------------------------------------------------------------------------------- */

/* `mend enrol` and the broker may be at it at once. Returns a descriptor to close, -1: error. */
static int users_lock(const Site *site, GError **error)
{
    g_autofree char *path = g_strconcat(site->users, ".lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        io_fail(error, path, "cannot lock");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static bool line_is_of(const char *line, const char *user)
{
    size_t n = strlen(user);

    return strncmp(line, user, n) == 0 && line[n] == ':';
}

/* Lock held. @verifier NULL: removes. */
static bool users_change(const Site *site, const char *user, const char *verifier, bool *ret_was_there, GError **error)
{
    g_autofree char *before = NULL;
    g_autoptr(GError) local = NULL;
    g_autoptr(GString) after = g_string_new(NULL);

    *ret_was_there = false;
    if (!g_file_get_contents(site->users, &before, NULL, &local) && !g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    g_auto(GStrv) lines = g_strsplit(before != NULL ? before : "# USER:SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER", "\n", -1);
    for (unsigned i = 0; lines[i] != NULL; i++) {
        if (line_is_of(lines[i], user))
            *ret_was_there = true;
        else if (*lines[i] != '\0')
            g_string_append_printf(after, "%s\n", lines[i]);
    }
    if (verifier != NULL)
        g_string_append_printf(after, "%s:%s\n", user, verifier);
    return file_write(site->users, after->str, after->len, 0600, error);
}

static bool user_set(const Site *site, const char *user, const char *password, GError **error)
{
    g_autofree char *verifier = sasl_verifier_new(password, error);
    bool was_there;
    int lock = verifier != NULL ? users_lock(site, error) : -1;

    if (lock < 0)
        return false;
    bool ok = users_change(site, user, verifier, &was_there, error);
    close(lock);
    return ok;
}

static bool user_is_known(const Site *site, const char *user)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(site->users, &text, NULL, NULL))
        return false;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i] != NULL; i++)
        if (line_is_of(lines[i], user))
            return true;
    return false;
}

static char *password_file(const Site *site, const char *user)
{
    return g_build_filename(site->folder, "credentials", user, NULL);
}

static bool local_user_ready(const Site *site, const char *user, GError **error)
{
    g_autofree char *path = password_file(site, user), *password = NULL;

    if (exists(path) && user_is_known(site, user))
        return give_to_group(site, path, error);
    if (exists(path))
        password = file_read_line(path, 1024, NULL);
    if (password != NULL && *password != '\0')
        return user_set(site, user, password, error);
    g_free(password);
    password = random_hex(PASSWORD_BYTES, error);
    return password != NULL && secret_file_write(site, path, password, 0640, error) && user_set(site, user, password, error);
}

/* ---- The first start ---------------------------------------------------------------------------------------------------------- */

static bool id_ready(Site *site, GError **error)
{
    g_autofree char *path = g_build_filename(site->folder, "site", NULL), *text = NULL;

    if (!exists(path)) {
        site->id = uuid_new();
        return file_write(path, site->id, strlen(site->id), 0644, error);
    }
    text = file_read_line(path, 64, error);
    if (text == NULL)
        return false;
    site->id = uuid_canonical(text);
    if (site->id != NULL)
        return true;
    g_set_error(error, SITE_ERROR, SITE_ERROR_DAMAGED, "%s:1:1: not a UUID; restore it, the site's agents know it by this name", path);
    return false;
}

static bool secret_ready(const Site *site, GError **error)
{
    g_autofree char *path = g_build_filename(site->folder, "secret", NULL), *secret = NULL;

    if (exists(path))
        return true;
    secret = random_hex(SECRET_BYTES, error);
    return secret != NULL && secret_file_write(site, path, secret, 0640, error);
}

static bool pair_write(const char *cert_path, const char *cert, const char *key_path, const char *key, GError **error)
{
    return file_write(key_path, key, strlen(key), 0600, error) && file_write(cert_path, cert, strlen(cert), 0644, error);
}

static bool ca_ready(const Site *site, GError **error)
{
    g_autofree char *cert = NULL, *key = NULL, *name = g_strconcat("Mend site ", site->id, NULL);
    const CertificateWish wish = { .name = name, .ca = true, .days = CA_DAYS };

    if (exists(site->ca) && exists(site->ca_key))
        return true;
    if (exists(site->ca)) { /* the certificate is written last: the key was there */
        g_set_error(error, SITE_ERROR, SITE_ERROR_DAMAGED, "%s: the CA's key is gone; restore it, or remove %s to make a new CA (every client "
                    "must then get the new one)", site->ca_key, site->ca);
        return false;
    }
    return certificate_make(&wish, &cert, &key, error) && pair_write(site->ca, cert, site->ca_key, key, error);
}

static bool issue(const Site *site, CertificateWish *wish, char **ret_cert, char **ret_key, GError **error)
{
    g_autofree char *ca = NULL, *ca_key = NULL;

    if (!g_file_get_contents(site->ca, &ca, NULL, error) || !g_file_get_contents(site->ca_key, &ca_key, NULL, error))
        return false;
    wish->issuer_cert = ca;
    wish->issuer_key = ca_key;
    return certificate_make(wish, ret_cert, ret_key, error);
}

/* A certificate for the names every server has, and @more (may be NULL). */
static bool server_certify(const Site *site, const char *const *more, GError **error)
{
    g_autofree char *cert = NULL, *key = NULL;
    g_autoptr(GPtrArray) hosts = g_ptr_array_new();
    CertificateWish wish = { .name = g_get_host_name(), .server = true, .days = SERVER_DAYS };
    const char *const always[] = { "localhost", "127.0.0.1", "::1", g_get_host_name() };

    for (size_t i = 0; i < G_N_ELEMENTS(always); i++)
        g_ptr_array_add(hosts, (char *) always[i]);
    for (; more != NULL && *more != NULL; more++)
        g_ptr_array_add(hosts, (char *) *more);
    g_ptr_array_add(hosts, NULL);
    wish.hosts = (const char *const *) hosts->pdata;
    return issue(site, &wish, &cert, &key, error) && pair_write(site->cert, cert, site->key, key, error);
}

static bool server_ready(const Site *site, GError **error)
{
    return (exists(site->cert) && exists(site->key)) || server_certify(site, NULL, error);
}

bool site_answer_to(const Site *site, const char *const *names, GError **error)
{
    g_autofree char *cert = NULL;
    bool covered = true;

    if (!g_file_get_contents(site->cert, &cert, NULL, error))
        return false;
    for (const char *const *name = names; *name != NULL; name++)
        covered = covered && certificate_covers(cert, *name);
    if (covered)
        return true;
    log_notice("%s: made anew, so that it names every address to listen on", site->cert);
    return server_certify(site, names, error);
}

/* A machine without any UUID of its own (a bare container) gets one here, and keeps it as long as the site. */
static char *own_machine(const Site *site, GError **error)
{
    g_autofree char *path = g_build_filename(site->folder, SITE_MACHINE_FILE, NULL), *text = file_read_line(path, 64, NULL);
    char *id = machine_uuid("/");

    if (id == NULL && text != NULL)
        id = uuid_canonical(text);
    if (id != NULL)
        return id;
    id = uuid_new();
    if (file_write(path, id, strlen(id), 0644, error))
        return id;
    g_free(id);
    return NULL;
}

static bool users_ready(const Site *site, GError **error)
{
    static const char *const users[] = { "engine", "operator", "observer" }, *const agents[] = { "agent-", "host-" };
    g_autofree char *machine = own_machine(site, error);

    for (size_t i = 0; machine != NULL && i < G_N_ELEMENTS(users); i++)
        if (!local_user_ready(site, users[i], error))
            return false;
    for (size_t i = 0; machine != NULL && i < G_N_ELEMENTS(agents); i++) {
        g_autofree char *user = g_strconcat(agents[i], machine, NULL);

        if (!local_user_ready(site, user, error))
            return false;
    }
    return machine != NULL;
}

static bool folders_ready(const Site *site, GError **error)
{
    static const struct { const char *name; unsigned mode; } folders[] = { { "credentials", 0750 }, { "tls", 0755 }, { "run", 0755 } };

    if (!folder_ready(site, site->folder, 0750, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(site->folder, folders[i].name, NULL);

        if (!folder_ready(site, path, folders[i].mode, error))
            return false;
    }
    return true;
}

Site *site_open(const char *folder, GError **error)
{
    g_autoptr(Site) site = g_new0(Site, 1);
    struct group *group = getgrnam("mend");

    site->folder = g_canonicalize_filename(credentials_folder(folder), NULL);
    site->users = g_build_filename(site->folder, "users", NULL);
    site->store = g_build_filename(site->folder, "store", NULL);
    site->ca = g_build_filename(site->folder, "tls", "ca.pem", NULL);
    site->ca_key = g_build_filename(site->folder, "tls", "ca.key", NULL);
    site->cert = g_build_filename(site->folder, "tls", "server.pem", NULL);
    site->key = g_build_filename(site->folder, "tls", "server.key", NULL);
    site->has_group = group != NULL;
    site->group = group != NULL ? group->gr_gid : 0;
    if (!folders_ready(site, error) || !id_ready(site, error) || !secret_ready(site, error) || !ca_ready(site, error)
        || !server_ready(site, error) || !users_ready(site, error))
        return NULL;
    return g_steal_pointer(&site);
}

/* ---- Afterwards --------------------------------------------------------------------------------------------------------------- */

/* As other machines reach it; else as this one does. */
static char *url_of(const Site *site)
{
    static const char *const names[] = { ELSEWHERE_FILE, "broker.url" };
    char *url = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(names) && url == NULL; i++) {
        g_autofree char *path = g_build_filename(site->folder, "run", names[i], NULL);

        url = file_read_line(path, 1024, NULL);
    }
    return url;
}

char *site_user_new(Site *site, const char *user, GError **error)
{
    g_autofree char *password = NULL, *ca = NULL, *url = url_of(site), *path = password_file(site, user);

    if (access_role(user) < ROLE_AGENT || strpbrk(user, ":/\n\r ") != NULL) {
        g_set_error(error, SITE_ERROR, SITE_ERROR_NAME, "\"%s\": users are agent-ID, host-ID, observer, operator and engine", user);
        return NULL;
    }
    if (!g_file_get_contents(site->ca, &ca, NULL, error) || (password = random_hex(PASSWORD_BYTES, error)) == NULL
        || (exists(path) && !secret_file_write(site, path, password, 0640, error)) || !user_set(site, user, password, error))
        return NULL;
    GString *text = g_string_new("# Credentials for one Mend agent or tool. Whoever can read this file can act as it.\n");
    g_string_append_printf(text, "user: %s\npassword: \"%s\"\n", user, password);
    if (url != NULL && *url != '\0')
        g_string_append_printf(text, "url: \"%s\"\n", url);
    g_string_append(text, "ca: |\n");
    g_auto(GStrv) lines = g_strsplit(g_strchomp(ca), "\n", -1);
    for (unsigned i = 0; lines[i] != NULL; i++)
        g_string_append_printf(text, "  %s\n", lines[i]);
    return g_string_free(text, FALSE);
}

char *site_enrol(Site *site, const char *id, bool host, GError **error)
{
    g_autofree char *canonical = uuid_canonical(id), *user = canonical != NULL ? g_strconcat(host ? "host-" : "agent-", canonical, NULL) : NULL;

    if (user == NULL) {
        g_set_error(error, SITE_ERROR, SITE_ERROR_NAME, "\"%s\" is no UUID; on the machine itself `mend-%s --print-id` says it", id,
                    host ? "host" : "guest");
        return NULL;
    }
    return site_user_new(site, user, error);
}

bool site_certificate(Site *site, const char *user, char **ret_cert_pem, char **ret_key_pem, GError **error)
{
    CertificateWish wish = { .name = user, .days = CLIENT_DAYS };

    if (!user_is_known(site, user)) {
        g_set_error(error, SITE_ERROR, SITE_ERROR_NAME, "there is no user \"%s\"; enrol it first", user);
        return false;
    }
    return issue(site, &wish, ret_cert_pem, ret_key_pem, error);
}

bool site_revoke(Site *site, const char *user, GError **error)
{
    g_autofree char *path = password_file(site, user);
    bool was_there = false;
    int lock = users_lock(site, error);

    if (lock < 0)
        return false;
    bool ok = users_change(site, user, NULL, &was_there, error);
    close(lock);
    if (ok && was_there && strchr(user, '/') == NULL)
        g_unlink(path);
    if (ok && !was_there)
        g_set_error(error, SITE_ERROR, SITE_ERROR_NAME, "there is no user \"%s\"", user);
    return ok && was_there;
}

static bool run_file(Site *site, const char *name, const char *text, GError **error)
{
    g_autofree char *path = g_build_filename(site->folder, "run", name, NULL);

    if (text != NULL)
        return file_write(path, text, strlen(text), 0644, error);
    return g_unlink(path) == 0 || errno == ENOENT || io_fail(error, path, "cannot remove");
}

bool site_announce(Site *site, const char *url, const char *elsewhere, bool lab, GError **error)
{
    return run_file(site, CREDENTIALS_LAB, lab ? "no authentication\n" : NULL, error) && run_file(site, "broker.url", url, error) &&
           run_file(site, ELSEWHERE_FILE, elsewhere, error);
}
