#include "broker-plugin/hosts/embedded/sasl.h"
#include "broker-plugin/hosts/embedded/certificate.h"
#include "broker-plugin/hosts/embedded/site.h"
#include "lib/amqp/scram.h"
#include "lib/base/credentials.h"

#include <glib/gstdio.h>
#include <grp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID "11111111-2222-3333-4444-555555555555"

static char *folder_new(void)
{
    char *folder = g_dir_make_tmp("mend-site-XXXXXX", NULL);

    g_assert_nonnull(folder);
    return folder;
}

static void folder_remove(char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);

    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        char *path = g_build_filename(folder, name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
            folder_remove(path);
        } else {
            g_remove(path);
            g_free(path);
        }
    }
    if (dir != NULL)
        g_dir_close(dir);
    g_rmdir(folder);
    g_free(folder);
}

static Site *must_open(const char *folder)
{
    g_autoptr(GError) error = NULL;
    Site *site = site_open(folder, &error);

    g_assert_no_error(error);
    return site;
}

static char *contents(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static unsigned mode_of(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    struct stat info;

    g_assert_cmpint(lstat(path, &info), ==, 0);
    if (getgrnam("mend") == NULL || geteuid() != 0)
        g_assert_cmpuint(info.st_gid, ==, getegid());
    return info.st_mode & 07777;
}

static bool fits(const Site *site, const char *user, const char *password)
{
    g_autofree char *text = contents(site_folder(site), "users");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *start = g_strconcat(user, ":", NULL);
    ScramVerifier verifier;

    for (unsigned i = 0; lines[i] != NULL; i++)
        if (g_str_has_prefix(lines[i], start))
            return scram_verifier_parse(lines[i] + strlen(start), &verifier) && scram_verifier_matches(&verifier, password);
    return false;
}

static void test_the_first_start_makes_the_site(void)
{
    char *folder = folder_new();
    static const struct { const char *name; unsigned mode; } files[] = {
        { ".", 0750 }, { "site", 0644 }, { "secret", 0640 }, { "users", 0600 }, { "credentials", 0750 }, { "credentials/engine", 0640 },
        { "credentials/operator", 0640 }, { "credentials/observer", 0640 }, { "tls/ca.pem", 0644 }, { "tls/ca.key", 0600 },
        { "tls/server.pem", 0644 }, { "tls/server.key", 0600 }, { "run", 0755 },
    };
    g_autoptr(Site) site = must_open(folder);

    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_test_message("%s", files[i].name);
        g_assert_cmpuint(mode_of(folder, files[i].name), ==, files[i].mode);
    }
    g_assert_cmpuint(strlen(site_id(site)), ==, 36);
    g_autoptr(GError) error = NULL;
    g_autoptr(Credentials) engine = credentials_find("engine", folder, &error), operator = credentials_find("operator", folder, NULL);
    g_assert_no_error(error);
    g_assert_cmpuint(strlen(engine->password), ==, 40);
    g_assert_cmpstr(engine->password, !=, operator->password);
    g_assert_true(fits(site, "engine", engine->password));
    g_assert_false(fits(site, "engine", operator->password));
    g_assert_null(engine->url);
    g_assert_cmpstr(engine->ca_file, ==, site_ca_file(site));
    g_autofree char *users = contents(folder, "users");
    g_assert_null(strstr(users, engine->password));
    folder_remove(folder);
}

static void test_the_next_start_changes_nothing_and_mends_what_is_missing(void)
{
    char *folder = folder_new();
    g_autofree char *path = g_build_filename(folder, "credentials", "operator", NULL), *users_path = g_build_filename(folder, "users", NULL);
    site_free(must_open(folder));
    g_autofree char *users = contents(folder, "users"), *id = contents(folder, "site"), *ca = contents(folder, "tls/ca.pem");

    site_free(must_open(folder));
    g_autofree char *users_2 = contents(folder, "users"), *id_2 = contents(folder, "site"), *ca_2 = contents(folder, "tls/ca.pem");
    g_assert_cmpstr(users, ==, users_2);
    g_assert_cmpstr(id, ==, id_2);
    g_assert_cmpstr(ca, ==, ca_2);

    g_remove(path); /* the verifier alone is of no use here */
    g_autoptr(Site) third = must_open(folder);
    g_autofree char *password = contents(folder, "credentials/operator");
    g_assert_true(fits(third, "operator", password));

    g_remove(users_path); /* the passwords stay what they were */
    g_autoptr(Site) fourth = must_open(folder);
    g_assert_true(fits(fourth, "operator", password));
    folder_remove(folder);
}

static void test_enrolling_gives_one_file_that_works(void)
{
    char *folder = folder_new();
    g_autofree char *file = g_build_filename(folder, "agent.yaml", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Site) site = must_open(folder);

    g_assert_true(site_announce(site, "amqp://127.0.0.1:5672", "amqps://192.0.2.7:5672", false, &error));
    g_autofree char *text = site_enrol(site, "11111111222233334444555555555555", false, &error);
    g_assert_no_error(error);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    g_autoptr(Credentials) read = credentials_read(file, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(read->user, ==, "agent-" ID);
    g_assert_cmpstr(read->url, ==, "amqps://192.0.2.7:5672");
    g_assert_true(fits(site, read->user, read->password));
    g_autofree char *ca = contents(folder, "tls/ca.pem"), *ca_read = NULL;
    g_assert_true(g_file_get_contents(read->ca_file, &ca_read, NULL, NULL));
    g_assert_cmpstr(ca, ==, ca_read);

    g_autofree char *again = site_enrol(site, ID, false, &error); /* the old password ends */
    g_assert_nonnull(again);
    g_assert_false(fits(site, read->user, read->password));
    g_assert_true(site_revoke(site, "agent-" ID, &error));
    g_assert_false(site_revoke(site, "agent-" ID, &error));
    g_assert_error(error, SITE_ERROR, SITE_ERROR_NAME);
    g_clear_error(&error);
    g_assert_null(site_enrol(site, "no uuid", false, &error));
    g_assert_error(error, SITE_ERROR, SITE_ERROR_NAME);
    g_assert_true(site_announce(site, NULL, NULL, false, NULL));
    g_assert_true(site_announce(site, NULL, NULL, false, NULL));
    folder_remove(folder);
}

static void test_a_laboratory_knows_no_users(void)
{
    char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Site) site = must_open(folder);

    g_assert_true(site_announce(site, "amqp://127.0.0.1:5672", NULL, true, &error));
    g_autoptr(Credentials) in_lab = credentials_find("operator", folder, &error);
    g_assert_no_error(error);
    g_assert_null(in_lab->user);
    g_assert_null(in_lab->password);
    g_assert_cmpstr(in_lab->url, ==, "amqp://127.0.0.1:5672");
    g_assert_true(site_announce(site, "amqp://127.0.0.1:5672", NULL, false, &error)); /* also what a killed one left goes */
    g_autoptr(Credentials) after = credentials_find("operator", folder, &error);
    g_assert_cmpstr(after->user, ==, "operator");
    g_assert_nonnull(after->password);
    folder_remove(folder);
}

/* A broker that listens on another address than loopback is called by it: the certificate must name it, and is kept when it does. */
static void test_certificate_names_where_it_listens(void)
{
    char *folder = folder_new();
    const char *const names[] = { "192.0.2.7", "broker.example", "2001:db8::7", NULL };
    g_autoptr(GError) error = NULL;
    g_autoptr(Site) site = must_open(folder);
    g_autofree char *before = contents(folder, "tls/server.pem");

    g_assert_true(certificate_covers(before, "127.0.0.1"));
    g_assert_false(certificate_covers(before, "192.0.2.7"));
    g_assert_true(site_answer_to(site, names, &error));
    g_assert_no_error(error);
    g_autofree char *after = contents(folder, "tls/server.pem");
    for (size_t i = 0; names[i] != NULL; i++)
        g_assert_true(certificate_covers(after, names[i]));
    g_assert_true(certificate_covers(after, "localhost"));
    g_assert_true(site_answer_to(site, names, &error));
    g_autofree char *again = contents(folder, "tls/server.pem");
    g_assert_cmpstr(after, ==, again);
    folder_remove(folder);
}

static X509 *pem_read(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    g_assert_nonnull(cert);
    return cert;
}

static int verify(const char *ca_pem, const char *pem, int purpose, const char *host)
{
    X509 *ca = pem_read(ca_pem), *cert = pem_read(pem);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, cert, NULL);
    X509_STORE_CTX_set_purpose(context, purpose);
    if (host != NULL)
        X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(context), host, 0);
    X509_verify_cert(context);
    int code = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(cert);
    return code;
}

static void test_certificates_stand_up_to_openssl(void)
{
    char *folder = folder_new();
    g_autofree char *client = NULL, *client_key = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(Site) site = must_open(folder);
    g_autofree char *ca = contents(folder, "tls/ca.pem"), *server = contents(folder, "tls/server.pem");

    g_assert_cmpint(verify(ca, server, X509_PURPOSE_SSL_SERVER, "localhost"), ==, X509_V_OK);
    g_assert_cmpint(verify(ca, server, X509_PURPOSE_SSL_SERVER, "elsewhere.example"), ==, X509_V_ERR_HOSTNAME_MISMATCH);
    g_assert_cmpint(verify(ca, server, X509_PURPOSE_SSL_CLIENT, NULL), !=, X509_V_OK);
    g_assert_true(site_certificate(site, "engine", &client, &client_key, &error));
    g_assert_cmpint(verify(ca, client, X509_PURPOSE_SSL_CLIENT, NULL), ==, X509_V_OK);
    g_assert_cmpint(verify(ca, client, X509_PURPOSE_SSL_SERVER, NULL), !=, X509_V_OK);
    g_assert_nonnull(strstr(client_key, "PRIVATE KEY"));
    g_assert_false(site_certificate(site, "nobody", &client, &client_key, &error));
    g_assert_error(error, SITE_ERROR, SITE_ERROR_NAME);
    folder_remove(folder);
}

static void test_what_is_wrong_is_said(void)
{
    char *folder = folder_new();
    g_autofree char *id = g_build_filename(folder, "site", NULL), *key = g_build_filename(folder, "tls", "ca.key", NULL),
                    *file = g_build_filename(folder, "mine.yaml", NULL);
    g_autoptr(GError) damaged = NULL, keyless = NULL, missing = NULL, bad = NULL, path = NULL, none = NULL;

    site_free(must_open(folder));
    g_assert_null(credentials_find("../secret", folder, &path));
    g_assert_error(path, CREDENTIALS_ERROR, CREDENTIALS_ERROR_INVALID);
    g_assert_null(credentials_find("agent-" ID, folder, &missing));
    g_assert_error(missing, CREDENTIALS_ERROR, CREDENTIALS_ERROR_NONE);
    g_assert_true(g_file_set_contents(file, "user: engine\n", -1, NULL));
    g_assert_null(credentials_read(file, &bad));
    g_assert_nonnull(strstr(bad->message, "mine.yaml:1:1: \"password\""));
    g_assert_null(site_open("/proc/no-such-place", &none));
    g_assert_nonnull(none);
    g_remove(key);
    g_assert_null(site_open(folder, &keyless));
    g_assert_error(keyless, SITE_ERROR, SITE_ERROR_DAMAGED);
    g_assert_true(g_file_set_contents(id, "rubbish", -1, NULL));
    g_assert_null(site_open(folder, &damaged));
    g_assert_error(damaged, SITE_ERROR, SITE_ERROR_DAMAGED);
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/site/first", test_the_first_start_makes_the_site);
    g_test_add_func("/site/next", test_the_next_start_changes_nothing_and_mends_what_is_missing);
    g_test_add_func("/site/enrol", test_enrolling_gives_one_file_that_works);
    g_test_add_func("/site/laboratory", test_a_laboratory_knows_no_users);
    g_test_add_func("/site/certificate-names", test_certificate_names_where_it_listens);
    g_test_add_func("/site/certificates", test_certificates_stand_up_to_openssl);
    g_test_add_func("/site/wrong", test_what_is_wrong_is_said);
    return g_test_run();
}
