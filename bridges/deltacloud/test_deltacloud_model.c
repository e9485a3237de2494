/* What is read of Deltacloud's answers, and what is refused. */
#include "bridges/deltacloud/deltacloud_model.h"

#include "lib/base/json.h"

#include <string.h>

static GPtrArray *read_list(const char *text, GError **error)
{
    g_autoptr(json_t) body = json_parse(text, strlen(text), "test", NULL);

    g_assert_nonnull(body);
    return deltacloud_instances_read(body, error);
}

static void test_list(void)
{
    static const char text[] =
        "{\"instances\": [{\"id\": \"inst0\", \"name\": \"web\", \"state\": \"RUNNING\", \"actions\": [{\"rel\": \"stop\", \"method\": \"post\"},"
        " {\"rel\": \"reboot\"}, {\"rel\": \"run\"}], \"public_addresses\": [{\"address\": \"a.example\", \"type\": \"hostname\"},"
        " {\"address\": \"192.0.2.1\", \"type\": \"ipv4\"}]},"
        "{\"id\": \"inst0\", \"state\": \"STOPPED\"}, {\"id\": \"x\", \"state\": \"stopped\", \"actions\": [{\"rel\": \"start\"}, {\"rel\": \"destroy\"}],"
        " \"private_addresses\": [{\"address\": \"b.example\", \"type\": \"hostname\"}]}]}";
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) list = read_list(text, &error);
    const DeltacloudInstance *web, *other;

    g_assert_no_error(error);
    g_assert_cmpuint(list->len, ==, 2); /* each once */
    web = list->pdata[0];
    other = list->pdata[1];
    g_assert_cmpstr(web->id, ==, "inst0");
    g_assert_cmpstr(web->name, ==, "web");
    g_assert_cmpstr(web->address, ==, "192.0.2.1");
    g_assert_cmpint(web->state, ==, DELTACLOUD_RUNS);
    g_assert_cmpuint(web->offers, ==, DELTACLOUD_STOP | DELTACLOUD_REBOOT);
    g_assert_null(other->name);
    g_assert_cmpstr(other->address, ==, "b.example");
    g_assert_cmpint(other->state, ==, DELTACLOUD_DOWN);
    g_assert_cmpuint(other->offers, ==, DELTACLOUD_START | DELTACLOUD_DESTROY);
}

static void test_states(void)
{
    static const struct { const char *word; DeltacloudState state; } words[] = {
        { "START", DELTACLOUD_COMES }, { "PENDING", DELTACLOUD_COMES }, { "STOPPING", DELTACLOUD_GOES }, { "SHUTTING_DOWN", DELTACLOUD_GOES },
        { "FINISH", DELTACLOUD_GONE }, { "ERROR", DELTACLOUD_BROKEN }, { "UNKNOWN", DELTACLOUD_ODD },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(json_t) body = json_pack("{s:{s:s, s:s}}", "instance", "id", "a", "state", words[i].word);
        g_autoptr(DeltacloudInstance) instance = deltacloud_instance_read(body, NULL);

        g_assert_cmpint(instance->state, ==, words[i].state);
    }
}

static void test_malformed(void)
{
    static const char *const bad[] = { "[]", "{}", "{\"instances\": {}}", "{\"instances\": [1]}", "{\"instances\": [{\"id\": \"a\"}]}",
                                       "{\"instances\": [{\"id\": \"\", \"state\": \"RUNNING\"}]}",
                                       "{\"instances\": [{\"id\": \"a\", \"state\": \"RUNNING\"}, {\"id\": 4, \"state\": \"RUNNING\"}]}" };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) list = read_list(bad[i], &error);

        g_assert_null(list);
        g_assert_error(error, DELTACLOUD_ERROR, DELTACLOUD_ERROR_MALFORMED);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deltacloud/list", test_list);
    g_test_add_func("/deltacloud/states", test_states);
    g_test_add_func("/deltacloud/malformed", test_malformed);
    return g_test_run();
}
