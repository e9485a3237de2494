/* Against lib/amqp's client side, and proton's own where it can: two transports, their bytes carried by hand. */
#include "broker-plugin/hosts/embedded/sasl.h"

#include "lib/amqp/sasl_client.h"

#include <glib/gstdio.h>
#include <proton/connection.h>
#include <proton/sasl.h>
#include <string.h>

static bool protons_own;

typedef struct Pair {
    pn_connection_t *connections[2];
    pn_transport_t *transports[2]; /* client, server */
} Pair;

static char *users_file_new(const char *user, const char *password)
{
    g_autofree char *verifier = sasl_verifier_new(password, NULL), *line = g_strdup_printf("# made by a test\n%s:%s\n", user, verifier);
    char *path = NULL;
    int fd = g_file_open_tmp("mend-users-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, line, -1, NULL));
    return path;
}

static Pair pair_new(SaslServer *server, const char *user, const char *password, const char *mechanisms, bool private_stream)
{
    Pair pair;

    for (int i = 0; i < 2; i++) {
        pair.connections[i] = pn_connection();
        pair.transports[i] = pn_transport();
    }
    pn_transport_set_server(pair.transports[1]);
    sasl_server_attach(server, pair.transports[1], "192.0.2.1", private_stream);
    if (protons_own) {
        if (user != NULL)
            pn_connection_set_user(pair.connections[0], user);
        if (password != NULL)
            pn_connection_set_password(pair.connections[0], password);
    } else {
        sasl_client_attach(pair.transports[0], user, password, private_stream);
    }
    pn_connection_set_hostname(pair.connections[0], "site");
    if (mechanisms != NULL) {
        pn_sasl_allowed_mechs(pn_sasl(pair.transports[0]), mechanisms);
        pn_sasl_set_allow_insecure_mechs(pn_sasl(pair.transports[0]), true);
    }
    for (int i = 0; i < 2; i++) {
        pn_transport_bind(pair.transports[i], pair.connections[i]);
        pn_connection_open(pair.connections[i]);
    }
    return pair;
}

static bool carry(pn_transport_t *from, pn_transport_t *to)
{
    ssize_t n = pn_transport_pending(from), room = pn_transport_capacity(to);

    if (n <= 0)
        return false;
    if (room > 0) {
        n = MIN(n, room);
        memcpy(pn_transport_tail(to), pn_transport_head(from), (size_t) n);
        pn_transport_process(to, (size_t) n);
    }
    pn_transport_pop(from, (size_t) n);
    return true;
}

static void pair_run(Pair *pair)
{
    for (unsigned i = 0; i < 50; i++) {
        carry(pair->transports[0], pair->transports[1]);
        carry(pair->transports[1], pair->transports[0]);
    }
}

static void pair_free(Pair *pair)
{
    for (int i = 0; i < 2; i++) {
        pn_transport_unbind(pair->transports[i]);
        pn_transport_free(pair->transports[i]);
        pn_connection_free(pair->connections[i]);
    }
}

/* "user/mechanism", or "no" when the server did not let it in. */
static char *attempt(SaslServer *server, const char *user, const char *password, const char *mechanisms, bool private_stream)
{
    Pair pair = pair_new(server, user, password, mechanisms, private_stream);
    char *seen;

    pair_run(&pair);
    pn_transport_t *t = pair.transports[1];
    pn_sasl_outcome_t told = pn_sasl_outcome(pn_sasl(pair.transports[0]));
    pn_condition_t *why = pn_transport_condition(pair.transports[0]);
    if (pn_condition_is_set(why))
        g_test_message("client: %s: %s", pn_condition_get_name(why), pn_condition_get_description(why));
    bool in = pn_transport_is_authenticated(t) && (pn_connection_state(pair.connections[1]) & PN_REMOTE_ACTIVE);
    g_assert_cmpint(in, ==, told == PN_SASL_OK);
    seen = in ? g_strdup_printf("%s/%s", pn_transport_get_user(t), pn_sasl_get_mech(pn_sasl(t))) : g_strdup("no");
    pair_free(&pair);
    return seen;
}

typedef struct Case { const char *user, *password, *mechanisms; bool private_stream, anonymous; const char *want; } Case;

static void test_who_gets_in(void)
{
    static const Case cases[] = {
        { "engine", "sesame", NULL, false, false, "engine/SCRAM-SHA-256" },
        { "engine", "sesame", "SCRAM-SHA-256", false, false, "engine/SCRAM-SHA-256" },
        { "engine", "Sesame", NULL, false, false, "no" },
        { "engine", "", "SCRAM-SHA-256", false, false, "no" },
        { "nobody", "sesame", NULL, false, false, "no" },
        { "engine", "sesame", "PLAIN", false, false, "no" }, /* somebody could listen */
        { "engine", "sesame", "PLAIN", true, false, "engine/PLAIN" },
        { "engine", "wrong", "PLAIN", true, false, "no" },
        { "nobody", "sesame", "PLAIN", true, false, "no" },
        { "engine", "sesame", NULL, true, false, "engine/SCRAM-SHA-256" },
        { NULL, NULL, NULL, false, false, "no" },
        { NULL, NULL, NULL, false, true, "anonymous/ANONYMOUS" },
        { NULL, NULL, "ANONYMOUS", false, false, "no" },
        { NULL, NULL, "ANONYMOUS", false, true, "anonymous/ANONYMOUS" },
        { NULL, NULL, "EXTERNAL", false, true, "no" },
        { "engine", "sesame", NULL, false, true, "engine/SCRAM-SHA-256" },
    };

    g_autofree char *file = users_file_new("engine", "sesame");
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        g_autoptr(GError) error = NULL;
        g_autoptr(SaslServer) server = sasl_server_new(file, c->anonymous, &error);

        g_assert_no_error(error);
        g_test_message("case %u: %s %s", i, c->user, c->mechanisms);
        g_autofree char *seen = attempt(server, c->user, c->password, c->mechanisms, c->private_stream);
        g_assert_cmpstr(seen, ==, c->want);
    }
    g_remove(file);
}

static void test_clients_that_know_plain_only(void)
{
    g_autofree char *file = users_file_new("engine", "sesame");
    g_autoptr(SaslServer) server = sasl_server_new(file, true, NULL);

    protons_own = true;
    g_autofree char *plain = attempt(server, "engine", "sesame", "PLAIN", true), *wrong = attempt(server, "engine", "x", "PLAIN", true);
    g_autofree char *open = attempt(server, "engine", "sesame", "PLAIN", false), *nobody = attempt(server, NULL, NULL, "ANONYMOUS", false);
    protons_own = false;
    g_assert_cmpstr(plain, ==, "engine/PLAIN");
    g_assert_cmpstr(wrong, ==, "no");
    g_assert_cmpstr(open, ==, "no");
    g_assert_cmpstr(nobody, ==, "anonymous/ANONYMOUS");
    g_remove(file);
}

static void test_plain_again_is_quick_and_still_checked(void)
{
    g_autofree char *file = users_file_new("engine", "sesame");
    g_autoptr(SaslServer) server = sasl_server_new(file, false, NULL);

    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *right = attempt(server, "engine", "sesame", "PLAIN", true);
        g_autofree char *wrong = attempt(server, "engine", "sesamE", "PLAIN", true);
        g_assert_cmpstr(right, ==, "engine/PLAIN");
        g_assert_cmpstr(wrong, ==, "no");
    }
    g_remove(file);
}

static void test_failures_are_limited_and_lock_nobody_out(void)
{
    g_autofree char *file = users_file_new("engine", "sesame");
    g_autoptr(SaslServer) server = sasl_server_new(file, false, NULL);
    g_autofree char *first = attempt(server, "engine", "sesame", NULL, false);

    g_assert_cmpstr(first, ==, "engine/SCRAM-SHA-256");
    for (unsigned i = 0; i < 40; i++) {
        g_autofree char *seen = attempt(server, "operator", "guess", "SCRAM-SHA-256", false);
        g_assert_cmpstr(seen, ==, "no");
    }
    SaslStats stats = sasl_server_stats(server);
    g_assert_cmpuint(stats.failed, >=, 20);
    g_assert_cmpuint(stats.limited, >=, 15);
    g_autofree char *again = attempt(server, "engine", "sesame", NULL, false);
    g_assert_cmpstr(again, ==, "engine/SCRAM-SHA-256");
    g_remove(file);
}

static void test_users_come_and_go_while_it_runs(void)
{
    g_autofree char *file = users_file_new("engine", "sesame"), *other = users_file_new("agent-7", "open");
    g_autoptr(SaslServer) server = sasl_server_new(file, false, NULL);
    g_autofree char *before = attempt(server, "agent-7", "open", NULL, false);
    g_assert_cmpstr(before, ==, "no");

    g_assert_cmpint(g_rename(other, file), ==, 0);
    g_autofree char *after = attempt(server, "agent-7", "open", NULL, false), *gone = attempt(server, "engine", "sesame", NULL, false);
    g_assert_cmpstr(after, ==, "agent-7/SCRAM-SHA-256");
    g_assert_cmpstr(gone, ==, "no");

    g_assert_true(g_file_set_contents(file, "agent-7:half a line", -1, NULL)); /* the users known before stay */
    g_autofree char *still = attempt(server, "agent-7", "open", NULL, false);
    g_assert_cmpstr(still, ==, "agent-7/SCRAM-SHA-256");
    g_remove(file);
}

static void test_a_bad_users_file_names_its_line(void)
{
    g_autofree char *file = users_file_new("engine", "sesame");
    g_autoptr(GError) error = NULL, missing = NULL;

    g_assert_true(g_file_set_contents(file, "# users\n\nengine=secret\n", -1, NULL));
    g_assert_null(sasl_server_new(file, false, &error));
    g_assert_error(error, SASL_SERVER_ERROR, SASL_SERVER_ERROR_USERS);
    g_assert_nonnull(strstr(error->message, ":3:"));
    g_remove(file);
    g_assert_null(sasl_server_new(file, false, &missing));
    g_assert_nonnull(missing);
}

static void test_the_laboratory_takes_everybody(void)
{
    g_autoptr(SaslServer) server = sasl_server_new(NULL, false, NULL);
    g_autofree char *plain = attempt(server, "guest", "guest", "PLAIN", false), *nobody = attempt(server, NULL, NULL, "ANONYMOUS", false);

    g_assert_cmpstr(plain, ==, "guest/PLAIN");
    g_assert_cmpstr(nobody, ==, "anonymous/ANONYMOUS");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sasl/who", test_who_gets_in);
    g_test_add_func("/sasl/plain-only", test_clients_that_know_plain_only);
    g_test_add_func("/sasl/plain-again", test_plain_again_is_quick_and_still_checked);
    g_test_add_func("/sasl/limit", test_failures_are_limited_and_lock_nobody_out);
    g_test_add_func("/sasl/refresh", test_users_come_and_go_while_it_runs);
    g_test_add_func("/sasl/bad-file", test_a_bad_users_file_names_its_line);
    g_test_add_func("/sasl/lab", test_the_laboratory_takes_everybody);
    return g_test_run();
}
