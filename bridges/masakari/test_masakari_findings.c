/* Which of the open incidents a Masakari is told, in what words, and when again. */
#include "bridges/masakari/masakari_findings.h"
#include "lib/base/json.h"

#define HOST "6f1a2b3c-0000-4000-8000-000000000001"
#define VM   "6f1a2b3c-0000-4000-8000-000000000009"

typedef struct Fixture {
    GHashTable *names;
    Findings *findings;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    f->names = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(f->names, (char *) HOST, (char *) "compute-1");
    f->findings = findings_new(f->names);
}

static void tear_down(Fixture *f, const void *unused)
{
    findings_free(f->findings);
    g_hash_table_unref(f->names);
}

static void take(Findings *findings, const char *text)
{
    g_autoptr(json_t) incidents = json_loads(text, 0, NULL);

    g_assert_nonnull(incidents);
    findings_take(findings, incidents);
}

static const char *next(Findings *findings, int64_t now_us)
{
    const char *entity = NULL;

    return findings_next(findings, now_us, &entity);
}

/* What is posted of @entity, as text; or why nothing is. (transfer full) */
static char *told_of(Fixture *f, const char *entity, const char *state, const char *data)
{
    g_autofree char *incidents = g_strdup_printf("[{\"id\": \"i\", \"entity\": \"%s\", \"state\": \"needs-human\"}]", entity);
    g_autoptr(json_t) given = json_loads(data, 0, NULL);
    const char *why = NULL;

    take(f->findings, "[]");
    take(f->findings, incidents);
    g_autoptr(json_t) body = findings_body(f->findings, "i", state, given, 1700000000 * US_PER_S, &why);
    return body != NULL ? json_text(json_object_get(json_object_get(body, "notification"), "payload")) : g_strdup(why);
}

static void check(Fixture *f, const char *entity, const char *state, const char *data, const char *wanted)
{
    g_autofree char *told = told_of(f, entity, state, data);

    g_assert_cmpstr(told, ==, wanted);
}

static void test_words_are_masakaris(Fixture *f, const void *unused)
{
    check(f, "host/" HOST, "off", "{}", "{\"cluster_status\":\"OFFLINE\",\"event\":\"STOPPED\",\"host_status\":\"NORMAL\"}");
    check(f, "host/" HOST, "dead", "{}", "that it is off is not certain");
    check(f, "vm/" VM, "crashed", "{\"host\": \"" HOST "\"}",
          "{\"event\":\"LIFECYCLE\",\"instance_uuid\":\"" VM "\",\"vir_domain_event\":\"STOPPED_FAILED\"}");
    check(f, "vm/" VM, "stopped", "{\"host\": \"" HOST "\", \"intent\": \"admin\"}", "its state is not one that Masakari acts on");
    check(f, "vm/" VM, "paused", "{\"host\": \"" HOST "\"}", "its state is not one that Masakari acts on");
    check(f, "vm/" VM, "crashed", "{\"host\": \"elsewhere\"}", "it is on no host of --hosts");
    check(f, "service/" HOST "/libvirtd", "failed", "{}", "{\"event\":\"STOPPED\",\"process_name\":\"libvirtd\"}");
    check(f, "service/" HOST "/libvirtd", "running", "{}", "its state is not one that Masakari acts on");
    check(f, "service/" VM "/nginx", "failed", "{}", "it is on no host of --hosts");
    check(f, "app/shop", "failed", "{}", "its state is not one that Masakari acts on");
}

static void test_only_what_is_given_up_once_and_no_more_when_it_is_well(Fixture *f, const void *unused)
{
    take(f->findings, "[{\"id\": \"a\", \"entity\": \"vm/" VM "\", \"state\": \"acting\"}, {\"id\": \"b\"}, 7]");
    g_assert_null(next(f->findings, 0));
    take(f->findings, "[{\"id\": \"a\", \"entity\": \"vm/" VM "\", \"state\": \"needs-human\"}]");
    g_assert_cmpstr(next(f->findings, 0), ==, "a");
    findings_failed(f->findings, "a", 0);
    g_assert_null(next(f->findings, 4 * US_PER_S));
    g_assert_cmpstr(next(f->findings, 5 * US_PER_S), ==, "a");
    findings_failed(f->findings, "a", 5 * US_PER_S);
    g_assert_null(next(f->findings, 14 * US_PER_S));
    findings_told(f->findings, "a");
    g_assert_null(next(f->findings, US_PER_HOUR));
    take(f->findings, "[{\"id\": \"a\", \"entity\": \"vm/" VM "\", \"state\": \"needs-human\"}]");
    g_assert_null(next(f->findings, US_PER_HOUR));
    take(f->findings, "[]");
    take(f->findings, "[{\"id\": \"c\", \"entity\": \"vm/" VM "\", \"state\": \"needs-human\"}]");
    g_assert_cmpstr(next(f->findings, US_PER_HOUR), ==, "c");
    take(f->findings, "[{\"id\": \"c\", \"entity\": \"vm/" VM "\", \"state\": \"acting\"}]"); /* somebody tries again */
    g_assert_null(next(f->findings, US_PER_HOUR));
}

static void test_a_restart_knows_what_was_told_and_when_the_rest_was_tried(Fixture *f, const void *unused)
{
    const char *two = "[{\"id\": \"a\", \"entity\": \"service/" HOST "/x\", \"state\": \"needs-human\"}, {\"id\": \"b\", \"entity\": \"service/" HOST
                      "/y\", \"state\": \"needs-human\"}]", *why;
    g_autoptr(Findings) again = findings_new(f->names);

    take(f->findings, two);
    g_autoptr(json_t) first = findings_body(f->findings, "b", "failed", NULL, 1700000000 * US_PER_S, &why);
    findings_told(f->findings, "a");
    g_autoptr(json_t) saved = findings_save(f->findings);
    findings_load(again, saved);
    take(again, two);
    g_assert_cmpstr(next(again, 0), ==, "b");
    g_autoptr(json_t) second = findings_body(again, "b", "failed", NULL, 1800000000 * US_PER_S, &why);
    g_assert_true(json_equal(first, second)); /* the same time: a duplicate for Masakari, should it have come */
    g_autoptr(json_t) broken = json_loads("{\"x\": 7, \"y\": {\"entity\": 3}, \"z\": {\"entity\": \"vm/" VM "\", \"at_us\": -5}}", 0, NULL);
    findings_load(again, broken);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/masakari/findings/words", Fixture, NULL, set_up, test_words_are_masakaris, tear_down);
    g_test_add("/masakari/findings/once", Fixture, NULL, set_up, test_only_what_is_given_up_once_and_no_more_when_it_is_well, tear_down);
    g_test_add("/masakari/findings/restart", Fixture, NULL, set_up, test_a_restart_knows_what_was_told_and_when_the_rest_was_tried, tear_down);
    return g_test_run();
}
