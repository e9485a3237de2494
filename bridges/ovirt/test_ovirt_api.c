/* The client against the strict engine of the tests (tests/engine.py): logins, tokens, faults, what may have been done and what not. */
#include "bridges/ovirt/ovirt_api.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/model/command.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#define LONG_MS  30000
#define VM       "11111111-0000-4000-8000-000000000001"
#define HOST     "aaaaaaaa-0000-4000-8000-00000000000a"
#define PASSWORD "pa ss&w\303\266rd"

typedef struct Bench {
    GSubprocess *engine;
    unsigned port;
    char *folder, *password_file;
    OvirtApi *api;
} Bench;

static char *read_line(GSubprocess *process)
{
    g_autoptr(GDataInputStream) in = g_data_input_stream_new(g_subprocess_get_stdout_pipe(process));

    return g_data_input_stream_read_line(in, NULL, NULL, NULL);
}

/* Tells the engine something: {"do": METHOD, …}, over a connection of its own. The answer's "result". (transfer full) */
static json_t *control(Bench *bench, const char *wish)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection = g_socket_client_connect_to_host(client, "127.0.0.1", (guint16) bench->port, NULL, NULL);
    g_autofree char *request = g_strdup_printf("POST /control HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(wish), wish);
    g_autoptr(GString) answer = g_string_new(NULL);
    g_autoptr(json_t) json = NULL;
    char piece[4096];
    gssize n;

    g_assert_nonnull(connection);
    g_assert_true(g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), request, strlen(request), NULL, NULL, NULL));
    while ((n = g_input_stream_read(g_io_stream_get_input_stream(G_IO_STREAM(connection)), piece, sizeof(piece), NULL, NULL)) > 0)
        g_string_append_len(answer, piece, n);
    g_assert_nonnull(strstr(answer->str, "\r\n\r\n"));
    json = json_loads(strstr(answer->str, "\r\n\r\n") + 4, 0, NULL);
    g_assert_nonnull(json);
    return json_incref(json_object_get(json, "result"));
}

static void tell(Bench *bench, const char *wish) { json_decref(control(bench, wish)); }

static size_t asked(Bench *bench, const char *word)
{
    g_autofree char *wish = g_strdup_printf("{\"do\": \"asked\", \"word\": \"%s\"}", word);
    g_autoptr(json_t) list = control(bench, wish);

    return json_array_size(list);
}

static void write_password(Bench *bench, const char *password)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(file_write(bench->password_file, password, strlen(password), 0600, &error));
}

static Bench *bench_new(bool basic)
{
    Bench *bench = g_new0(Bench, 1);
    g_autofree char *script = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "bridges/ovirt/tests/engine.py", NULL), *line = NULL, *url = NULL;
    g_autoptr(GError) error = NULL;

    bench->engine = g_subprocess_new(G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "/usr/bin/python3", script, NULL);
    g_assert_no_error(error);
    line = read_line(bench->engine);
    g_assert_nonnull(line);
    bench->port = (unsigned) g_ascii_strtoull(line, NULL, 10);
    bench->folder = g_dir_make_tmp("mend-ovirt-XXXXXX", NULL);
    bench->password_file = g_build_filename(bench->folder, "password", NULL);
    write_password(bench, PASSWORD);
    url = g_strdup_printf("http://127.0.0.1:%u/ovirt-engine", bench->port);
    bench->api = ovirt_api_new(&(OvirtApiOptions) { .url = url, .user = "admin@internal", .password_file = bench->password_file, .basic = basic,
                                                    .timeout_us = 20 * US_PER_S, .per_s = 100 },
                               &error);
    g_assert_no_error(error);
    tell(bench, "{\"do\": \"add_host\", \"id\": \"" HOST "\", \"name\": \"node-a\"}");
    tell(bench, "{\"do\": \"add_vm\", \"id\": \"" VM "\", \"name\": \"web\"}");
    return bench;
}

static void bench_free(Bench *bench)
{
    ovirt_api_free(bench->api);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_output_stream_close(g_subprocess_get_stdin_pipe(bench->engine), NULL, NULL); /* it ends by that */
    g_subprocess_wait(bench->engine, NULL, NULL);
    g_object_unref(bench->engine);
    g_remove(bench->password_file);
    g_rmdir(bench->folder);
    g_free(bench->password_file);
    g_free(bench->folder);
    g_free(bench);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bench, bench_free)

typedef struct Outcome {
    bool done, uncertain, unreachable;
    char *error, *text;
    unsigned status;
    json_t *body;
} Outcome;

static void outcome_clear(Outcome *outcome)
{
    g_free(outcome->error);
    g_free(outcome->text);
    json_decref(outcome->body);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)

static void on_done(const OvirtAnswer *answer, void *user)
{
    Outcome *outcome = user;

    g_assert_false(outcome->done);
    *outcome = (Outcome) { .done = true, .uncertain = answer->uncertain, .unreachable = answer->unreachable, .error = g_strdup(answer->error),
                           .text = g_strdup(answer->text), .status = answer->status, .body = json_deep_copy(answer->body) };
}

static gboolean on_over(void *user)
{
    g_error("not within %d ms", LONG_MS);
    return G_SOURCE_REMOVE;
}

static void await(const Outcome *outcome)
{
    guint timer = g_timeout_add(LONG_MS, on_over, NULL);

    g_assert_false(outcome->done);
    while (!outcome->done)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
}

static Outcome get(Bench *bench, const char *path)
{
    Outcome outcome = { 0 };

    ovirt_api_get(bench->api, path, 0, on_done, &outcome);
    await(&outcome);
    return outcome;
}

static Outcome post(Bench *bench, const char *path, const char *body, int64_t after_us)
{
    Outcome outcome = { 0 };

    ovirt_api_post(bench->api, path, json_loads(body, 0, NULL), false, after_us != 0 ? clock_now_us() + after_us : 0, on_done, &outcome);
    await(&outcome);
    return outcome;
}

static unsigned logins(Bench *bench)
{
    g_autoptr(json_t) shown = control(bench, "{\"do\": \"show\"}");

    return (unsigned) json_int_or(shown, "logins", 0);
}

static void test_one_login_for_all(void)
{
    g_autoptr(Bench) bench = bench_new(false);
    Outcome outcomes[5] = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(outcomes); i++)
        ovirt_api_get(bench->api, "/vms", 0, on_done, &outcomes[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(outcomes); i++) {
        if (!outcomes[i].done)
            await(&outcomes[i]);
        g_assert_cmpstr(outcomes[i].text, ==, NULL);
        g_assert_cmpuint(json_array_size(json_object_get(outcomes[i].body, "vm")), ==, 1);
        outcome_clear(&outcomes[i]);
    }
    g_assert_cmpuint(logins(bench), ==, 1);
}

static void test_token_that_ran_out(void)
{
    g_autoptr(Bench) bench = bench_new(false);
    g_auto(Outcome) first = get(bench, "/vms"), second = { 0 };

    g_assert_null(first.error);
    tell(bench, "{\"do\": \"expire\"}");
    second = post(bench, "/vms/" VM "/start", "{}", 0);
    g_assert_null(second.error);
    g_assert_cmpuint(logins(bench), ==, 2);
    g_assert_cmpuint(asked(bench, "/start"), ==, 2); /* the first was refused: it was not done */
}

static void test_refused_login(void)
{
    g_autoptr(Bench) bench = bench_new(false);
    g_auto(Outcome) first = { 0 }, second = { 0 }, third = { 0 };

    write_password(bench, "wrong");
    first = get(bench, "/vms");
    second = get(bench, "/vms");
    g_assert_cmpstr(first.error, ==, COMMAND_ERROR_FAILED);
    g_assert_true(first.unreachable);
    g_assert_nonnull(strstr(first.text, "was refused"));
    g_assert_null(strstr(first.text, "wrong"));
    g_assert_cmpstr(second.error, ==, COMMAND_ERROR_FAILED);
    g_assert_cmpuint(logins(bench), ==, 1); /* no second try so soon */
    write_password(bench, PASSWORD "\n");
    third = get(bench, "/vms");
    g_assert_null(third.error);
}

static void test_basic(void)
{
    g_autoptr(Bench) bench = bench_new(true);
    g_auto(Outcome) got = { 0 };

    tell(bench, "{\"do\": \"set_engine\", \"sso\": false}");
    got = get(bench, "/hosts");
    g_assert_null(got.error);
    g_assert_cmpuint(logins(bench), ==, 0);
}

static void test_faults(void)
{
    g_autoptr(Bench) bench = bench_new(false);
    g_auto(Outcome) nobody = get(bench, "/vms/22222222-0000-4000-8000-000000000002");
    g_auto(Outcome) conflict = post(bench, "/vms/" VM "/stop", "{}", 0);
    g_auto(Outcome) unknown_field = post(bench, "/vms/" VM "/start", "{\"hosts\": 1}", 0);
    g_auto(Outcome) no_event = post(bench, "/events", "{\"origin\": \"mend\"}", 0);

    g_assert_cmpstr(nobody.error, ==, COMMAND_ERROR_NOT_FOUND);
    g_assert_false(nobody.unreachable);
    g_assert_cmpuint(conflict.status, ==, 409);
    g_assert_cmpstr(conflict.error, ==, COMMAND_ERROR_FAILED);
    g_assert_false(conflict.uncertain);
    g_assert_nonnull(strstr(conflict.text, "VM is not running"));
    g_assert_cmpstr(unknown_field.error, ==, COMMAND_ERROR_ARGUMENT);
    g_assert_cmpstr(no_event.error, ==, COMMAND_ERROR_ARGUMENT);
    g_assert_nonnull(strstr(no_event.text, "[severity] required"));
}

static void test_uncertain(void)
{
    static const struct { const char *what, *error; } rows[] = { { "cut", COMMAND_ERROR_TIMEOUT }, { "late", COMMAND_ERROR_TIMEOUT },
                                                                 { "malformed", COMMAND_ERROR_FAILED }, { "status", COMMAND_ERROR_FAILED } };
    g_autoptr(Bench) bench = bench_new(false);
    g_auto(Outcome) login = get(bench, "/vms");

    g_assert_null(login.error);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *wish = g_strdup_printf("{\"do\": \"fault\", \"where\": \"/start\", \"what\": \"%s\", \"seconds\": 1.5}", rows[i].what);
        g_auto(Outcome) got = { 0 };
        size_t before = asked(bench, "/start");

        tell(bench, wish);
        got = post(bench, "/vms/" VM "/start", "{}", strcmp(rows[i].what, "late") == 0 ? 300 * US_PER_MS : 0);
        g_assert_cmpstr(got.error, ==, rows[i].error);
        g_assert_true(got.uncertain);
        g_assert_true(got.unreachable);
        g_assert_cmpuint(asked(bench, "/start"), ==, before + 1);
    }
}

static void test_dropped(void)
{
    g_autoptr(Bench) bench = bench_new(false);
    Outcome never = { 0 };
    g_auto(Outcome) other = { 0 };
    OvirtCall *call = ovirt_api_get(bench->api, "/vms", 0, on_done, &never); /* waits for the login */

    ovirt_call_drop(call);
    other = get(bench, "/hosts");
    g_assert_null(other.error);
    g_assert_false(never.done);
    ovirt_api_get(bench->api, "/vms", 0, on_done, &never); /* and ends with the client */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_file_test("/usr/bin/python3", G_FILE_TEST_IS_EXECUTABLE)) {
        g_print("skipped: the engine of the tests wants /usr/bin/python3\n");
        return 77;
    }
    g_test_add_func("/ovirt-api/one-login-for-all", test_one_login_for_all);
    g_test_add_func("/ovirt-api/token-that-ran-out", test_token_that_ran_out);
    g_test_add_func("/ovirt-api/refused-login", test_refused_login);
    g_test_add_func("/ovirt-api/basic", test_basic);
    g_test_add_func("/ovirt-api/faults", test_faults);
    g_test_add_func("/ovirt-api/uncertain", test_uncertain);
    g_test_add_func("/ovirt-api/dropped", test_dropped);
    return g_test_run();
}
