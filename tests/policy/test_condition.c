#include "consumers/policy/language/condition.h"

static const json_t *lookup(const char *object, const char *field, void *user)
{
    return json_object_get(json_object_get(user, object), field);
}

static ConditionVerdict verdict(const char *text, json_t *values)
{
    g_autoptr(json_t) world = json_pack("{s:{s:s, s:s, s:s}, s:{s:s, s:i, s:b}}", "entity", "app", "shop", "name", "it's", "kind", "service",
                                        "event", "intent", "none", "rc", 7, "repaired", 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(Condition) condition = condition_parse(text, NULL, &error);

    g_assert_no_error(error);
    return condition_eval(condition, lookup, world, values, NULL);
}

static void test_what_holds_and_what_does_not(void)
{
    static const struct {
        const char *text;
        ConditionVerdict verdict;
    } rows[] = {
        { "entity.app == \"shop\"", CONDITION_TRUE },
        { "entity.app != 'shop'", CONDITION_FALSE },
        { "entity.app == \"shop\" && event.intent != \"admin\"", CONDITION_TRUE },
        { "event.rc > 6 && event.rc <= 7 && !(event.rc < 7)", CONDITION_TRUE },
        { "event.rc in [0, 7, -3]", CONDITION_TRUE },
        { "event.intent in []", CONDITION_FALSE },
        { "event.repaired || true", CONDITION_TRUE },
        { "false || event.repaired", CONDITION_FALSE },
        { "entity.name == \"it\\'s\"", CONDITION_TRUE },
        { "true || false && false", CONDITION_TRUE },
        { "!event.repaired", CONDITION_TRUE },
        { "event.pid == 3", CONDITION_FAILED },                            /* absent */
        { "event.pid == 3 || entity.app == \"shop\"", CONDITION_TRUE },    /* the other side decides */
        { "event.pid == 3 && entity.app == \"other\"", CONDITION_FALSE },
        { "entity.app == \"shop\" && event.pid == 3", CONDITION_FAILED },
        { "!(event.pid == 3)", CONDITION_FAILED },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(verdict(rows[i].text, NULL), ==, rows[i].verdict);
    }
}

static void test_the_values_looked_at_are_kept(void)
{
    g_autoptr(json_t) values = json_object(), expected = json_pack("{s:s, s:n}", "event.intent", "none", "event.pid");

    verdict("event.intent == \"none\" && event.pid == 3", values);
    g_assert_true(json_equal(values, expected));
}

static void test_mistakes_are_named_with_their_place(void)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *message;
    } rows[] = {
        { "entity.ap == \"shop\"", 0, "entity has no field \"ap\", did you mean \"app\"?" },
        { "evnt.intent == \"none\"", 0, "\"evnt.intent\" is unknown: names begin with entity. or event., did you mean event?" },
        { "shop", 0, "\"shop\" is unknown: names begin with entity. or event." },
        { "event.rc == \"7\"", 9, "a number cannot be compared with text" },
        { "event.rc", 0, "a condition is true or false, this is a number" },
        { "event.rc == 7.5", 12, "only whole numbers of 64 bits are understood here" },
        { "event.rc == 99999999999999999999", 12, "only whole numbers of 64 bits are understood here" },
        { "event.rc == -", 12, "only whole numbers of 64 bits are understood here" },
        { "event.rc == ", 12, "the condition ends where a value is wanted" },
        { "event.intent == \"none", 16, "this text has no closing \"" },
        { "event.intent == \"\\q\"", 17, "\"\\q\" is no escape: \\n \\r \\t \\\\ \\\" \\' are" },
        { "(event.rc == 7", 14, "\")\" is missing" },
        { "event.rc == 7 event.rc == 8", 14, "\"event.rc == 8\" is too much here: && or || is wanted" },
        { "event.rc && true", 0, "&& wants true or false on both sides" },
        { "(event.rc == 7) == true", 16, "only values are compared here, not conditions" },
        { "event.rc in 7", 9, "a number cannot be compared with a number" },
        { "event.rc = 7", 9, "\"= 7\" is too much here: && or || is wanted" },
        { "#", 0, "\"#\" is not expected here" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        size_t offset = 999;

        g_test_message("%s", rows[i].text);
        g_assert_null(condition_parse(rows[i].text, &offset, &error));
        g_assert_cmpstr(error->message, ==, rows[i].message);
        g_assert_cmpuint(offset, ==, rows[i].offset);
    }
}

static void test_depth_and_length_are_bounded(void)
{
    g_autofree char *deep = g_strnfill(100000, '('), *nots = g_strnfill(3000, '!'), *longer = g_strnfill(5000, ' ');
    const char *const texts[] = { deep, nots, longer };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(condition_parse(texts[i], NULL, &error));
        g_assert_error(error, CONDITION_ERROR, CONDITION_ERROR_SYNTAX);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/condition/holds", test_what_holds_and_what_does_not);
    g_test_add_func("/policy/condition/values", test_the_values_looked_at_are_kept);
    g_test_add_func("/policy/condition/mistakes", test_mistakes_are_named_with_their_place);
    g_test_add_func("/policy/condition/bounded", test_depth_and_length_are_bounded);
    return g_test_run();
}
