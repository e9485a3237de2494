/* Sysconfig with a stand-in for puppet, a small HTTP server, curl, and augeas itself on a root folder of the test's own. */
#include "agents/guest/matahari/key_store.h"
#include "agents/guest/matahari/sysconfig.h"
#include "agents/guest/matahari/sysconfig_run.h"
#include "agents/guest/matahari/uri_list.h"
#include "agents/guest/test_bench.h"

#include <gio/gio.h>
#include <unistd.h>

static const char *const everything[] = {"puppet", "augeas", "query", NULL};

typedef struct Conf {
    Bench *b;
    SysconfigClass *sysconfig;
    SysconfigOptions options;
    char *keys, *augeas, *place;
    const char *places[4];
    GSocketService *server;
    unsigned served;
} Conf;

/* /good.pp is a document, /big one that is too long, anything else is not there, but for /moved, which is good.pp elsewhere. */
static gboolean on_request(GSocketService *server, GSocketConnection *connection, GObject *source, void *user)
{
    Conf *c = user;
    char request[1024] = "";
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    g_autofree char *big = g_strnfill(SYSCONFIG_DOCUMENT_BYTES + 1, '#'), *answer = NULL;

    g_input_stream_read(g_io_stream_get_input_stream(G_IO_STREAM(connection)), request, sizeof request - 1, NULL, NULL);
    c->served++;
    if (g_str_has_prefix(request, "GET /conf/good.pp "))
        answer = g_strdup("HTTP/1.0 200 OK\r\n\r\n# hello\n");
    else if (g_str_has_prefix(request, "GET /conf/big "))
        answer = g_strconcat("HTTP/1.0 200 OK\r\n\r\n", big, NULL);
    else if (g_str_has_prefix(request, "GET /conf/moved "))
        answer = g_strdup("HTTP/1.0 302 Found\r\nLocation: /conf/good.pp\r\n\r\nno");
    else
        answer = g_strdup("HTTP/1.0 404 Not Found\r\n\r\nno");
    g_output_stream_write_all(out, answer, strlen(answer), NULL, NULL, NULL);
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    return TRUE;
}

/* Keeps its manifests, fails as they say: "exit N". */
static const char puppet[] = "#!/bin/sh\n"
                             "case $1 in\n"
                             "--version) cat FOLDER/version;;\n"
                             "apply) cat $3 >>FOLDER/applied; . $3;;\n"
                             "agent) echo \"$@\" >>FOLDER/applied; exit 2;;\n"
                             "*) echo \"old $1\" >>FOLDER/applied;;\n"
                             "esac\n";

static void conf_open(Conf *c, char *const *allowed)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) parts = g_strsplit(puppet, "FOLDER", -1);
    g_autofree char *tool = NULL, *script = NULL, *path = NULL;
    guint16 port;

    c->b = bench_make();
    bench_open(c->b);
    script = g_strjoinv(c->b->world->folder, parts);
    world_write(c->b->world, "puppet", script);
    world_write(c->b->world, "version", "7.23.0\n");
    tool = g_build_filename(c->b->world->folder, "puppet", NULL);
    g_assert_cmpint(g_chmod(tool, 0755), ==, 0);
    path = g_strconcat(c->b->world->folder, ":/usr/bin:/bin", NULL);
    g_setenv("PATH", path, TRUE);
    c->server = g_socket_service_new();
    port = g_socket_listener_add_any_inet_port(G_SOCKET_LISTENER(c->server), NULL, &error);
    g_assert_no_error(error);
    g_signal_connect(c->server, "incoming", G_CALLBACK(on_request), c);
    c->place = g_strdup_printf("http://127.0.0.1:%u/conf", port);
    c->places[0] = c->place;
    c->places[1] = g_strconcat("file://", c->b->world->folder, "/given/", NULL);
    c->places[2] = "puppet://master.example.org";
    c->keys = g_build_filename(c->b->world->folder, "keys", NULL);
    c->augeas = g_build_filename(g_getenv("MEND_BUILD_DIR"), "bin/mend-guest-augeas", NULL);
    c->options = (SysconfigOptions){allowed, (char *const *) c->places, c->keys, c->augeas, 20 * US_PER_S};
    c->sysconfig = sysconfig_class_new(&c->b->context, &c->options, &error);
    g_assert_no_error(error);
}

static void conf_close(Conf *c)
{
    sysconfig_class_free(c->sysconfig);
    bench_close(c->b);
    bench_drop(c->b);
    g_socket_service_stop(c->server);
    g_object_unref(c->server);
    g_free(c->place);
    g_free((char *) c->places[1]);
    g_free(c->keys);
    g_free(c->augeas);
}

#define RUN(text, flags, scheme, key, said_)                                                                                     \
    CALL_IS("Sysconfig", "run_string",                                                                                           \
            "{\"text\": \"" text "\", \"flags\": " flags ", \"scheme\": \"" scheme "\", \"key\": \"" key "\"}", said_)

static void test_nothing_runs_unless_it_is_allowed(void)
{
    Conf c = {0};

    conf_open(&c, NULL);
    Bench *b = c.b;
    RUN("exit 0", "0", "puppet", "k", "! You are not authorized for specified action (mend-guest --sysconfig-allow)");
    RUN("exit 0", "1", "augeas", "k", "! You are not authorized for specified action (mend-guest --sysconfig-allow)");
    CALL_IS("Sysconfig", "query", "{\"text\": \"/files/etc/hosts/1/ipaddr\", \"flags\": 0, \"scheme\": \"augeas\"}",
            "! You are not authorized for specified action (mend-guest --sysconfig-allow)");
    CALL_IS("Sysconfig", "is_configured", "{\"key\": \"k\"}", "{\"status\":\"unknown\"}");
    g_assert_false(world_has(b->world, "applied"));
    conf_close(&c);
}

static void test_puppet_runs_once_for_a_key(void)
{
    Conf c = {0};
    g_autofree char *applied = NULL;

    conf_open(&c, (char *const *) everything);
    Bench *b = c.b;
    RUN("exit 0", "0", "puppet", "web", "{\"status\":\"OK\"}");
    RUN("exit 4", "0", "puppet", "web", "{\"status\":\"OK\"}");
    CALL_IS("Sysconfig", "is_configured", "{\"key\": \"web\"}", "{\"status\":\"OK\"}");
    RUN("echo no such thing >&2; exit 4", "1", "Puppet", "web", "{\"status\":\"FAILED\\n4\\nno such thing\"}");
    RUN("exit 0", "0", "puppet", "web", "{\"status\":\"FAILED\\n4\\nno such thing\"}");
    RUN("exit 2 # changed", "1", "puppet", "web", "{\"status\":\"OK\"}");
    RUN("kill -9 $$", "0", "puppet", "dies", "{\"status\":\"FAILED\\n194\"}");
    applied = world_read(b->world, "applied");
    g_assert_cmpstr(applied, ==, "exit 0echo no such thing >&2; exit 4exit 2 # changedkill -9 $$");
    RUN("exit 0", "0", "puppet", "", "! Invalid Arguments");
    RUN("exit 0", "0", "puppet", "../etc", "! Invalid Arguments");
    RUN("exit 0", "0", "puppet", ".hidden", "! Invalid Arguments");
    RUN("exit 0", "0", "ansible", "k", "! Invalid Arguments");
    g_assert_false(world_has(b->world, "keys/.document.pp"));
    world_write(b->world, "version", "what?");
    RUN("exit 0", "0", "puppet", "none", "! Error in backend");
    world_write(b->world, "version", "0.25.5\n");
    RUN("exit 0", "0", "puppet", "old", "{\"status\":\"OK\"}");
    world_remove(b->world, "puppet");
    RUN("exit 0", "0", "puppet", "none", "! Error in backend");
    CALL_IS("Sysconfig", "is_configured", "{\"key\": \"none\"}", "{\"status\":\"unknown\"}");
    conf_close(&c);
}

static void test_runs_wait_for_each_other(void)
{
    Conf c = {0};
    g_autofree char *applied = NULL, *first = NULL, *second = NULL, *overlong = NULL;

    conf_open(&c, (char *const *) everything);
    Bench *b = c.b;
#define ASK(text, key) ask(b, "Sysconfig", "run_string", "{\"text\": \"" text "\", \"flags\": 0, \"scheme\": \"puppet\", \"key\": \"" key "\"}", NULL)
    first = ASK("sleep 0.2; echo one >>%s/order", "k");
    second = ASK("echo two >>%s/order", "k"); /* never runs: the first one's answer is there */
    g_free(ASK("echo three >>%s/order", "l"));
    WAIT_FOR(b->answers->len == 3);
    applied = world_read(b->world, "order");
    g_assert_cmpstr(applied, ==, "one\nthree\n");
    g_assert_true(json_equal(json_object_get(answer_of(b, first), "body"), json_object_get(answer_of(b, second), "body")));
    sysconfig_class_free(c.sysconfig);
    c.options.timeout_us = 300 * US_PER_MS;
    c.sysconfig = sysconfig_class_new(&b->context, &c.options, NULL);
    RUN("sleep 600", "0", "puppet", "slow", "{\"status\":\"FAILED\\n198\"}");
    overlong = ASK("sleep 600", "open");
    sysconfig_class_free(c.sysconfig); /* an agent that ends answers what is open */
    g_assert_nonnull(answer_of(b, overlong));
    c.sysconfig = sysconfig_class_new(&b->context, &c.options, NULL);
    CALL_IS("Sysconfig", "is_configured", "{\"key\": \"open\"}", "{\"status\":\"unknown\"}");
    conf_close(&c);
}

static char *run_uri(Bench *b, const char *uri, const char *scheme, const char *key)
{
    g_autofree char *arguments = g_strdup_printf("{\"uri\": \"%s\", \"flags\": 1, \"scheme\": \"%s\", \"key\": \"%s\"}", uri, scheme, key);

    return call(b, "Sysconfig", "run_uri", arguments);
}

#define URI_IS(before, after, wanted)                                         \
    do {                                                                      \
        g_autofree char *uri_ = g_strconcat(before, after, NULL);             \
        g_autofree char *said_ = run_uri(b, uri_, "puppet", "u");             \
        g_assert_cmpstr(said_, ==, wanted);                                   \
    } while (0)
#define NOT_THERE "! You are not authorized for specified action (mend-guest --sysconfig-uri)"

static void test_documents_come_from_allowed_places_only(void)
{
    Conf c = {0};
    g_autofree char *applied = NULL, *given = NULL, *port = NULL;

    conf_open(&c, (char *const *) everything);
    Bench *b = c.b;
    given = g_build_filename(b->world->folder, "given", NULL);
    g_assert_cmpint(g_mkdir(given, 0755), ==, 0);
    world_write(b->world, "given/here.pp", "true\n");
    URI_IS(c.places[1], "here.pp", "{\"status\":\"OK\"}");
    URI_IS(c.places[1], "missing.pp", "! Unable to download file");
    URI_IS(c.places[1], "../keys/u", "! Invalid Arguments");
    URI_IS(c.places[1], "%2e%2e/keys/u", "! Invalid Arguments");
    URI_IS("file:///etc/passwd", "", NOT_THERE);
    URI_IS(c.place, "/good.pp", "{\"status\":\"OK\"}");
    g_assert_cmpuint(c.served, ==, 1);
    URI_IS(c.place, "/none.pp", "! Unable to download file");
    URI_IS(c.place, "/moved", "! Unable to download file");
    URI_IS(c.place, "/big", "! Unable to download file");
    g_assert_cmpuint(c.served, ==, 4);
    URI_IS(c.place, "ig/good.pp", NOT_THERE);
    URI_IS("http://127.0.0.1/conf/good.pp", "", NOT_THERE);
    URI_IS("ftp://127.0.0.1/conf/good.pp", "", NOT_THERE);
    URI_IS("gopher://127.0.0.1/", "", "! Invalid Arguments");
    URI_IS("--config=/etc/shadow", "", "! Invalid Arguments");
    URI_IS("", "", "! Invalid Arguments");
    g_assert_cmpuint(c.served, ==, 4);
    URI_IS("puppet://master.example.org", "", "{\"status\":\"OK\"}");
    URI_IS("puppet://other.example.org", "", NOT_THERE);
    URI_IS("puppet://master.example.org/x", "", "! Invalid Arguments");
    applied = world_read(b->world, "applied");
    g_assert_nonnull(strstr(applied, "true\n# hello\nagent --server master.example.org --test --color=false\n"));
    conf_close(&c);
}

static void test_places(void)
{
    const char *const list[] = {"https://conf.example.org/site/", "http://[::1]:8080", "file:///srv/conf", NULL};
    const char *const wrong[] = {"https://conf.example.org", "conf.example.org", NULL};
    char *const *places = (char *const *) list;
    g_autoptr(GError) error = NULL;
    const struct {
        const char *uri;
        UriVerdict verdict;
    } rows[] = {
        {"https://conf.example.org/site/a.pp", URI_ALLOWED},   {"HTTPS://CONF.example.org:443/site/a.pp?x=1", URI_ALLOWED},
        {"https://conf.example.org/site", URI_ALLOWED},        {"https://conf.example.org/sites/a.pp", URI_DENIED},
        {"http://conf.example.org/site/a.pp", URI_DENIED},     {"https://conf.example.org:444/site/a.pp", URI_DENIED},
        {"https://conf.example.org.evil.net/site/", URI_DENIED}, {"https://conf.example.org@evil.net/site/", URI_WRONG},
        {"https://evil.net\\@conf.example.org/site/", URI_WRONG}, {"https://conf.example.org/site/../x", URI_WRONG},
        {"https://conf.example.org/site/%2E%2E/x", URI_WRONG}, {"https://conf.example.org/site/%252e%252e/x", URI_WRONG},
        {"https://conf.example.org/site/a b", URI_WRONG},      {"https://conf.example.org/site/a#b", URI_WRONG},
        {"https:///site/a", URI_WRONG},                        {"https:site", URI_WRONG},
        {"http://[::1]:8080/anything", URI_ALLOWED},           {"http://[::1]/anything", URI_DENIED},
        {"file:///srv/conf/a", URI_ALLOWED},                   {"file:///srv/confidential", URI_DENIED},
        {"file://host/srv/conf/a", URI_WRONG},                 {"file:/srv/conf/a", URI_WRONG},
        {"file:////srv/conf/a", URI_DENIED},                   {"https://conf.example.org/site/\xc3\xa9", URI_WRONG},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (uri_check(rows[i].uri, places) != rows[i].verdict)
            g_error("%s: %d", rows[i].uri, (int) uri_check(rows[i].uri, places));
    g_assert_true(uri_places_check(places, &error));
    g_assert_false(uri_places_check((char *const *) wrong, &error));
    g_assert_nonnull(strstr(error->message, "'conf.example.org' is no place"));
    g_assert_cmpint(uri_check("https://conf.example.org/", NULL), ==, URI_DENIED);
}

static void test_augeas_sets_and_asks(void)
{
    Conf c = {0};
    g_autofree char *hosts = NULL, *root = NULL, *kept = NULL;

    conf_open(&c, (char *const *) everything);
    Bench *b = c.b;
    if (!g_file_test(c.augeas, G_FILE_TEST_EXISTS)) {
        RUN("print /files", "0", "augeas", "a", "! Not implemented");
        conf_close(&c);
        g_test_skip("built without augeas");
        return;
    }
    root = g_build_filename(b->world->folder, "root", NULL);
    hosts = g_build_filename(root, "etc", NULL);
    g_assert_cmpint(g_mkdir_with_parents(hosts, 0755), ==, 0);
    world_write(b->world, "root/etc/hosts", "127.0.0.1 localhost\n192.0.2.7 db\n");
    g_setenv("AUGEAS_ROOT", root, TRUE);
    CALL_IS("Sysconfig", "query", "{\"text\": \"/files/etc/hosts/2/canonical\", \"flags\": 0, \"scheme\": \"augeas\"}", "{\"data\":\"db\"}");
    CALL_IS("Sysconfig", "query", "{\"text\": \"/files/etc/hosts/9/canonical\", \"flags\": 0, \"scheme\": \"augeas\"}",
            "{\"data\":\"unknown\"}");
    CALL_IS("Sysconfig", "query", "{\"text\": \"/files\", \"flags\": 0, \"scheme\": \"puppet\"}", "{\"data\":\"unknown\"}");
    CALL_IS("Sysconfig", "query", "{\"text\": \"\", \"flags\": 0, \"scheme\": \"augeas\"}", "! Invalid Arguments");
    RUN("set /files/etc/hosts/2/ipaddr 192.0.2.8\\nsave\\nprint /files/etc/hosts/2/ipaddr", "0", "augeas", "move-db",
        "{\"status\":\"OK\\nSaved 1 file(s)\\n/files/etc/hosts/2/ipaddr = \\\"192.0.2.8\\\"\\n\"}");
    kept = world_read(b->world, "root/etc/hosts");
    g_assert_nonnull(strstr(kept, "192.0.2.8 db"));
    g_assert_true(world_has(b->world, "root/etc/hosts.augsave"));
    RUN("explode", "0", "augeas", "wrong", "{\"status\":\"FAILED\\n-1\\n\"}");
    CALL_IS("Sysconfig", "is_configured", "{\"key\": \"wrong\"}", "{\"status\":\"FAILED\\n-1\\n\"}");
    g_unsetenv("AUGEAS_ROOT");
    conf_close(&c);
}

static void test_postboot_and_keys_outlive_the_agent(void)
{
    Conf c = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) status = g_string_new(NULL);

    conf_open(&c, (char *const *) everything);
    Bench *b = c.b;
    g_assert_cmpint(value_get_int(qmf_object_values(qmf_agent_object(b->agent, "Sysconfig")), "is_postboot_configured", -1), ==, 0);
    b->guest = guest_class_new(&b->context);
    CALL_IS("Guest", "set_properties", "{\"object\": \"Sysconfig\", \"values\": {\"is_postboot_configured\": 1}}", "{}");
    RUN("true", "0", "puppet", "kept", "{\"status\":\"OK\"}");
    sysconfig_class_free(c.sysconfig);
    c.sysconfig = sysconfig_class_new(&b->context, &c.options, NULL);
    g_assert_cmpint(value_get_int(qmf_object_values(qmf_agent_object(b->agent, "Sysconfig")), "is_postboot_configured", -1), ==, 1);
    CALL_IS("Sysconfig", "is_configured", "{\"key\": \"kept\"}", "{\"status\":\"OK\"}");
    guest_class_free(b->guest);

    KeyStore *store = key_store_new(c.keys, &error);
    while (status->len < KEY_STORE_STATUS_BYTES + 10)
        g_string_append(status, "\xc3\xa9");
    g_string_prepend_c(status, 'x');
    g_assert_true(key_store_set(store, "long", status->str, &error));
    g_autofree char *cut = key_store_get(store, "long");
    g_assert_cmpuint(strlen(cut), ==, KEY_STORE_STATUS_BYTES - 1);
    g_assert_true(g_utf8_validate(cut, -1, NULL));
    for (int i = 0; i < KEY_STORE_KEYS_MAX - 2; i++) {
        g_autofree char *path = g_strdup_printf("%s/k%d", c.keys, i);
        g_assert_true(g_file_set_contents(path, "OK", -1, NULL));
    }
    g_assert_false(key_store_set(store, "one-more", "OK", &error));
    g_assert_nonnull(strstr(error->message, "holds 1000 keys"));
    g_clear_error(&error);
    g_assert_true(key_store_set(store, "long", "OK", &error));
    g_autofree char *link = g_build_filename(c.keys, "link", NULL);
    g_assert_cmpint(symlink("/etc/passwd", link), ==, 0);
    g_assert_null(key_store_get(store, "link"));
    key_store_free(store);
    conf_close(&c);
}

static void test_wrong_settings_are_said(void)
{
    static const char *const scheme[] = {"pupet", NULL}, *const place[] = {"/srv", NULL};
    Bench *b = bench_make();
    g_autoptr(GError) error = NULL;

    bench_open(b);
    const SysconfigOptions one = {.allowed = (char *const *) scheme, .keys = b->world->folder}, two = {.places = (char *const *) place, .keys = b->world->folder};
    g_assert_null(sysconfig_class_new(&b->context, &one, &error));
    g_assert_cmpstr(error->message, ==, "--sysconfig-allow: 'pupet' is none of puppet, augeas, query");
    g_clear_error(&error);
    g_assert_null(sysconfig_class_new(&b->context, &two, &error));
    g_assert_true(g_str_has_prefix(error->message, "--sysconfig-uri: '/srv' is no place"));
    bench_close(b);
    bench_drop(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sysconfig/nothing runs unless it is allowed", test_nothing_runs_unless_it_is_allowed);
    g_test_add_func("/sysconfig/puppet runs once for a key", test_puppet_runs_once_for_a_key);
    g_test_add_func("/sysconfig/runs wait for each other", test_runs_wait_for_each_other);
    g_test_add_func("/sysconfig/documents come from allowed places only", test_documents_come_from_allowed_places_only);
    g_test_add_func("/sysconfig/places", test_places);
    g_test_add_func("/sysconfig/augeas sets and asks", test_augeas_sets_and_asks);
    g_test_add_func("/sysconfig/postboot and keys outlive the agent", test_postboot_and_keys_outlive_the_agent);
    g_test_add_func("/sysconfig/wrong settings are said", test_wrong_settings_are_said);
    return g_test_run();
}
