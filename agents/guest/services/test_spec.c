#include "agents/guest/services/spec.h"

#include "lib/base/clock.h"

#include <glib/gstdio.h>
#include <string.h>

static void test_short_forms(void)
{
    static const struct {
        const char *text, *name, *standard, *agent;
    } rows[] = {
        {"systemd:nginx", "nginx", "systemd", "nginx"},
        {"lsb:old", "old", "lsb", "old"},
        {"ocf:heartbeat:Dummy", "Dummy", "ocf", "Dummy"},
        {"ocf:heartbeat:Dummy:d1?interval=1s&state=/run/a%20b", "d1", "ocf", "Dummy"},
        {"process:api=/usr/bin/api --port 80", "api", "process", "/usr/bin/api"},
        {"tcp:ssh=127.0.0.1:22?interval=5s", "ssh", "tcp", "127.0.0.1:22"},
        {"http:web=http://127.0.0.1/a?b=c", "web", "http", "http://127.0.0.1/a?b=c"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ServiceSpec) spec = service_spec_parse(rows[i].text, &error);

        g_assert_no_error(error);
        g_assert_cmpstr(spec->name, ==, rows[i].name);
        g_assert_cmpstr(spec->standard, ==, rows[i].standard);
        g_assert_cmpstr(service_spec_agent(spec), ==, rows[i].agent);
        if (strcmp(rows[i].name, "d1") == 0) {
            g_assert_cmpint(spec->interval_us, ==, US_PER_S);
            g_assert_cmpstr(json_string_value(json_object_get(spec->parameters, "state")), ==, "/run/a b");
        }
    }
}

static void test_wrong_short_forms_say_what_is_wanted(void)
{
    static const char *const rows[][2] = {
        {"nginx", "must be STANDARD:NAME"},
        {"sistemd:nginx", "did you mean systemd?"},
        {"ocf:Dummy", "ocf:PROVIDER:AGENT"},
        {"ocf:heartbeat:../../bin/sh", "is no agent"},
        {"systemd:a?interva=1s", "systemd knows no 'interva'"},
        {"tcp:x", "needs NAME=HOST:PORT"},
        {"tcp:x=127.0.0.1:1?interval=1", "must be a duration such as"},
        {"tcp:x=127.0.0.1:1?interval=1us2", "must be a duration"},
        {"tcp:x=127.0.0.1:1?interval=1ms", "out of range, 10ms to"},
        {"process:p=", "needs NAME=COMMAND"},
        {"process:p='unbalanced", "is no command"},
        {"http:w=https://127.0.0.1/", "must begin with http://"},
        {"exec:x", "in the services file"},
        {"systemd:", "not empty"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(ServiceSpec) spec = service_spec_parse(rows[i][0], &error);

        g_assert_null(spec);
        if (strstr(error->message, rows[i][1]) == NULL)
            g_error("%s: '%s' does not say '%s'", rows[i][0], error->message, rows[i][1]);
    }
}

static GPtrArray *load(const char *text, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("services-XXXXXX.yaml", &path, NULL);
    GPtrArray *specs;

    g_assert_cmpint(fd, >=, 0);
    g_assert_true(g_close(fd, NULL));
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    specs = service_specs_load(path, error);
    g_unlink(path);
    return specs;
}

static void test_the_services_file(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) specs = load("services:\n"
                                      "  - systemd:nginx\n"
                                      "  - {name: web, standard: systemd, agent: apache2, probe: {http: \"http://127.0.0.1/\", status: 204}}\n"
                                      "  - name: db\n"
                                      "    standard: ocf\n"
                                      "    agent: pgsql\n"
                                      "    parameters: {pgdata: /srv/db, port: 5432}\n"
                                      "    interval: 30s\n"
                                      "  - {name: api, standard: process, command: [api, --port, 80], watchdog: 10s, notify: true}\n",
                                      &error);
    const ServiceSpec *web, *db, *api;

    g_assert_no_error(error);
    g_assert_cmpuint(specs->len, ==, 4);
    web = specs->pdata[1];
    db = specs->pdata[2];
    api = specs->pdata[3];
    g_assert_cmpint(web->probe->status, ==, 204);
    g_assert_cmpstr(db->provider, ==, "heartbeat");
    g_assert_cmpstr(json_string_value(json_object_get(db->parameters, "port")), ==, "5432");
    g_assert_cmpint(db->interval_us, ==, 30 * US_PER_S);
    g_assert_cmpstr(api->command[2], ==, "80");
    g_assert_true(api->notify);
}

static void test_errors_have_a_place(void)
{
    static const char *const rows[][2] = {
        {"services:\n  - {name: a, standard: tpc, address: x}\n", ".yaml:2:15: no standard 'tpc'"},
        {"services:\n  - name: a\n    standard: tcp\n    address: \"h:1\"\n    intervall: 5s\n", ".yaml:5:5: tcp knows no 'intervall' (did you mean interval?)"},
        {"services:\n  - {name: a, standard: tcp}\n", ".yaml:2:5: a tcp service needs 'address'"},
        {"services:\n  - {name: web, standrad: systemd}\n", ".yaml:2:17: a service knows no 'standrad' (did you mean standard?)"},
        {"services:\n  - systemd:a\n  - lsb:a\n", ".yaml:3:5: there is a service 'a' above already"},
        {"services: nginx\n", "'services' must be a list"},
        {"service: []\n", ".yaml:1:1: the services file has one key"},
        {"services:\n  - {name: a, standard: lsb, interval: 5}\n", ".yaml:2:30: interval: must be a duration"},
        {"services:\n  - {name: a, standard: lsb, probe: {tcp: 1, http: 2}}\n", "probe: must be a map with either"},
        {"services:\n  - [a]\n", ".yaml:2:5: a service is a map, or a text"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) specs = load(rows[i][0], &error);

        g_assert_null(specs);
        if (strstr(error->message, rows[i][1]) == NULL)
            g_error("'%s' does not say '%s'", error->message, rows[i][1]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spec/short forms", test_short_forms);
    g_test_add_func("/spec/wrong short forms say what is wanted", test_wrong_short_forms_say_what_is_wanted);
    g_test_add_func("/spec/the services file", test_the_services_file);
    g_test_add_func("/spec/errors have a place", test_errors_have_a_place);
    return g_test_run();
}
