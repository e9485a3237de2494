#include "consumers/policy/language/expression.h"

#include <math.h>

static bool look_up(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    return expression_value_from(json_object_get(user, name->object), name, arena, ret_value);
}

static json_t *world(void)
{
    return json_pack("{s:{s:s, s:s, s:s, s:[s, s], s:i}, s:{s:s, s:i, s:b, s:s, s:f}, s:{s:f, s:f, s:i}, s:{s:f}}", "entity", "app", "shop", "name",
                     "it's", "kind", "service", "group", "gold", "web", "priority", 70, "event", "intent", "none", "rc", 7, "repaired", 0, "pid",
                     "seven", "cpu_percent", 91.5, "window", "average", 2.5, "last", 4.0, "count", 3, "vm", "memory_available_bytes", 1e9);
}

static ExpressionVerdict verdict(const char *text, json_t *values, char **ret_why)
{
    g_autoptr(json_t) facts = world();
    g_autoptr(GError) error = NULL;
    g_autoptr(Expression) expression = expression_parse(text, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, &error);

    g_assert_no_error(error);
    return expression_holds(expression, look_up, facts, values, ret_why);
}

static void test_what_holds_and_what_does_not(void)
{
    static const struct {
        const char *text;
        ExpressionVerdict verdict;
    } rows[] = {
        { "entity.app == \"shop\"", EXPRESSION_TRUE },
        { "entity.app != 'shop'", EXPRESSION_FALSE },
        { "entity.app == \"shop\" && event.intent != \"admin\"", EXPRESSION_TRUE },
        { "event.rc > 6 && event.rc <= 7 && !(event.rc < 7)", EXPRESSION_TRUE },
        { "event.rc in [0, 7, -3]", EXPRESSION_TRUE },
        { "event.intent in []", EXPRESSION_FALSE },
        { "event.repaired || true", EXPRESSION_TRUE },
        { "false || event.repaired", EXPRESSION_FALSE },
        { "entity.name == \"it\\'s\"", EXPRESSION_TRUE },
        { "true || false && false", EXPRESSION_TRUE },
        { "!event.repaired", EXPRESSION_TRUE },
        { "event.exit_status == 3", EXPRESSION_FAILED },                          /* absent */
        { "event.exit_status == 3 || entity.app == \"shop\"", EXPRESSION_TRUE },  /* the other side decides */
        { "event.exit_status == 3 && entity.app == \"other\"", EXPRESSION_FALSE },
        { "entity.app == \"shop\" && event.exit_status == 3", EXPRESSION_FAILED },
        { "!(event.exit_status == 3)", EXPRESSION_FAILED },
        { "has(event.exit_status)", EXPRESSION_FALSE },
        { "has(event.rc) && event.rc % 2 == 1", EXPRESSION_TRUE },
        { "\"gold\" in entity.group && entity.group.exists(g, g.startsWith(\"we\"))", EXPRESSION_TRUE },
        { "entity.group.all(g, g.size() == 4)", EXPRESSION_FALSE },
        { "event.cpu_percent > 90 && entity.priority >= 50", EXPRESSION_TRUE }, /* numbers of two kinds */
        { "entity.name.matches(\"^it.s$\") ? event.rc == 7 : false", EXPRESSION_TRUE },
        { "event.pid > 1", EXPRESSION_FAILED },                                   /* of another type than declared */
        { "timestamp(\"2026-11-23T08:00:00Z\").getHours(\"Europe/Berlin\") == 9", EXPRESSION_TRUE },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(verdict(rows[i].text, NULL, NULL), ==, rows[i].verdict);
    }
}

static void test_the_values_looked_at_are_kept(void)
{
    g_autoptr(json_t) values = json_object(), expected = json_pack("{s:s, s:n}", "event.intent", "none", "event.exit_status");

    verdict("event.intent == \"none\" && event.exit_status == 3 && entity.app == 'never asked for, since' && 1 > 2 || event.intent == 'x'", values, NULL);
    json_object_del(values, "entity.app");
    g_assert_true(json_equal(values, expected));
}

static void test_a_failure_says_why(void)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        { "event.exit_status == 3", "event.exit_status is absent" },
        { "event.pid == 3", "event.pid is not int but string" },
        { "event.rc / (event.rc - 7) == 1", "divide by zero" },
        { "int(entity.app) == 1", "int(\"shop\"): a whole number is wanted" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *why = NULL;

        g_assert_cmpint(verdict(rows[i].text, NULL, &why), ==, EXPRESSION_FAILED);
        g_assert_cmpstr(why, ==, rows[i].why);
    }
}

static void test_mistakes_are_named_with_their_place(void)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *message;
    } rows[] = {
        { "entity.ap == \"shop\"", 7, "entity has no field \"ap\", did you mean \"app\"?" },
        { "evnt.intent == \"none\"", 0, "\"evnt\" is unknown, did you mean \"event\"?" },
        { "shop", 0, "\"shop\" is unknown here: names begin with entity, event, vm, host" },
        { "event", 0, "event is not a value by itself: name one of its fields" },
        { "event.rc == \"7\"", 9, "a number cannot be compared with text" },
        { "event.rc == null", 9, "a number cannot be compared with null: has(a.b) asks whether a field is there" },
        { "event.rc", 0, "this gives int: true or false is wanted" },
        { "event.rc == 99999999999999999999", 12, "does not fit into 64 bits" },
        { "event.rc == -", 13, "the expression ends where a value is wanted" },
        { "event.rc == ", 12, "the expression ends where a value is wanted" },
        { "event.intent == \"none", 16, "this text has no closing \"" },
        { "event.intent == \"\\q\"", 17, "this is no escape: \\n \\t \\\\ \\\" \\' \\xHH \\uHHHH are" },
        { "(event.rc == 7", 14, "the expression ends where \")\" is wanted" },
        { "event.rc == 7 event.rc == 8", 14, "an operator or the end is wanted here, not \"event\"" },
        { "event.rc && true", 0, "&& wants true or false, this is a number" },
        { "event.rc in 7", 9, "a number cannot be in a number: a list or a map is wanted there" },
        { "event.intent in \"none\"", 13, "text cannot be in text: text.contains(part) looks inside a text" },
        { "event.rc = 7", 9, "\"==\" is wanted here" },
        { "#", 0, "\"#\" is not expected here" },
        { "event.intent.startWith(\"n\")", 13, "there is no function startWith(), did you mean \"startsWith\"?" },
        { "event.intent.matches(\"(\")", 21, NULL },
        { "event.intent.matches(event.text)", 21, "a pattern is written out here, so that what it costs is known" },
        { "event.rc + 1.5 > 2.0", 9, "+ cannot be applied to (int, double): numbers of one kind are wanted, such as 2.0 or double(x)" },
        { "duration(\"5x\") > duration(\"1s\")", 0, NULL },
        { "timestamp(event.occurred_us).getHours(event.text) == 1", 38, "a time zone is written out here, such as \"Europe/Berlin\"" },
        { "timestamp(event.occurred_us).getHours(\"Europe/Berlim\") == 1", 38, NULL },
        { "Message{a: 1}", 0, "messages are not supported: there is no protobuf here" },
        { "event.storage.exists(a, event.storage.exists(b, event.labels.exists(c, event.vms.exists(d, a + b == c + d))))", 14, NULL },
        { "window.average > 1.0", 0, "\"window\" is unknown here: names begin with entity, event, vm, host" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        size_t offset = 999;

        g_test_message("%s", rows[i].text);
        g_assert_null(expression_parse(rows[i].text, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), &offset, &error));
        if (rows[i].message != NULL)
            g_assert_cmpstr(error->message, ==, rows[i].message);
        g_assert_cmpuint(offset, ==, rows[i].offset);
    }
}

static void test_depth_and_length_are_bounded(void)
{
    g_autofree char *deep = g_strnfill(100000, '('), *nots = g_strnfill(3000, '!'), *longer = g_strnfill(50000, ' ');
    const char *const texts[] = { deep, nots, longer };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(expression_parse(texts[i], EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, &error));
        g_assert_error(error, CEL_PARSE_ERROR, CEL_PARSE_ERROR_SYNTAX);
    }
}

static void test_numbers_and_texts(void)
{
    g_autoptr(json_t) facts = world();
    g_autoptr(Expression) target = expression_parse("window.average * 1.5", EXPRESSION_NUMBER, expression_env(EXPRESSION_TARGET), NULL, NULL);
    g_autoptr(Expression) input = expression_parse("vm.memory_available_bytes", EXPRESSION_NUMBER, expression_env(EXPRESSION_CONTROL), NULL, NULL);
    g_autoptr(Expression) nothing = expression_parse("window.last / 0.0", EXPRESSION_NUMBER, expression_env(EXPRESSION_TARGET), NULL, NULL);
    g_autoptr(Expression) key = expression_parse("entity.app + \"/\" + string(event.rc)", EXPRESSION_TEXT, expression_env(EXPRESSION_RULE), NULL, NULL);
    g_autoptr(Expression) flag = expression_parse("event.repaired", EXPRESSION_TEXT, expression_env(EXPRESSION_RULE), NULL, NULL);
    g_autofree char *text = NULL, *other = NULL, *why = NULL;
    double number = 0;

    g_assert_true(expression_number(target, look_up, facts, NULL, &number, NULL));
    g_assert_cmpfloat(number, ==, 3.75);
    g_assert_true(expression_number(input, look_up, facts, NULL, &number, NULL));
    g_assert_cmpfloat(number, ==, 1e9);
    g_assert_false(expression_number(nothing, look_up, facts, NULL, &number, &why));
    g_assert_cmpstr(why, ==, "it has no finite value");
    g_assert_true(expression_string(key, look_up, facts, NULL, &text, NULL));
    g_assert_cmpstr(text, ==, "shop/7");
    g_assert_true(expression_string(flag, look_up, facts, NULL, &other, NULL));
    g_assert_cmpstr(other, ==, "false");
}

static bool is_known(const char *field, const char *literal, char **ret_why)
{
    g_autofree char *text = g_strdup_printf("event.%s == %s", field, literal);
    g_autoptr(GError) error = NULL;
    g_autoptr(Expression) expression = expression_parse(text, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, &error);

    *ret_why = error == NULL ? NULL : g_strdup(error->message);
    return expression != NULL;
}

static char *source_file(const char *name)
{
    g_autofree char *path = g_build_filename(g_getenv("MEND_SOURCE_DIR"), name, NULL);
    char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void test_every_field_of_the_schema_may_be_named(void)
{
    g_autofree char *schema = source_file("schemas/mend-guest.xml");
    g_autoptr(GRegex) arg = g_regex_new("<arg name=\"(\\w+)\" type=\"(\\w+)\"", 0, 0, NULL);
    g_autoptr(GMatchInfo) found = NULL;
    unsigned n = 0;

    *strstr(schema, "</eventArguments>") = '\0';
    for (g_regex_match(arg, schema, 0, &found); g_match_info_matches(found); g_match_info_next(found, NULL)) {
        g_autofree char *name = g_match_info_fetch(found, 1), *type = g_match_info_fetch(found, 2), *why = NULL;

        g_test_message("event.%s, %s", name, type);
        g_assert_true(is_known(name, strstr(type, "str") != NULL ? "'x'" : "1", &why));
        n++;
    }
    g_assert_cmpuint(n, >=, 15);
}

static void test_every_field_of_the_wire_may_be_named(void)
{
    g_autofree char *page = source_file("docs/wire.md");
    g_autoptr(GRegex) row = g_regex_new("^\\|[^|]*\\|[^|]*\\|([^|]*)\\|$", G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GRegex) inside = g_regex_new("\\([^)]*\\)|[^`]*\\bby name\\b", 0, 0, NULL), word = g_regex_new("[a-z_]+(?=[^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", 0, 0, NULL);
    g_autoptr(GMatchInfo) rows = NULL;
    const char *table = strstr(page, "| kind.state | entity |"), *end = strstr(table, "\n\n");
    unsigned n = 0;

    for (g_regex_match_full(row, table, end - table, 0, 0, &rows, NULL); g_match_info_matches(rows); g_match_info_next(rows, NULL)) {
        g_autofree char *cell = g_match_info_fetch(rows, 1), *fields = g_regex_replace_literal(inside, cell, -1, 0, "", 0, NULL);
        g_autoptr(GMatchInfo) words = NULL;

        for (g_regex_match(word, fields, 0, &words); g_match_info_matches(words); g_match_info_next(words, NULL)) {
            g_autofree char *field = g_match_info_fetch(words, 0), *text = g_strdup_printf("has(event.%s)", field);
            g_autoptr(GError) error = NULL;
            g_autoptr(Expression) expression = expression_parse(text, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, &error);

            g_assert_no_error(error);
            n++;
        }
    }
    g_assert_cmpuint(n, >=, 40);
}

static bool know_nothing(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    *ret_value = cel_error_at("not known", 0);
    return true;
}

static void test_what_is_not_known_is_neither_there_nor_absent(void)
{
    g_autoptr(Expression) has = expression_parse("has(event.rc)", EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, NULL);
    g_autoptr(Expression) either = expression_parse("has(event.rc) || true", EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, NULL);

    g_assert_cmpint(expression_holds(has, know_nothing, NULL, NULL, NULL), ==, EXPRESSION_FAILED);
    g_assert_cmpint(expression_holds(either, know_nothing, NULL, NULL, NULL), ==, EXPRESSION_TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/expression/holds", test_what_holds_and_what_does_not);
    g_test_add_func("/expression/values", test_the_values_looked_at_are_kept);
    g_test_add_func("/expression/why", test_a_failure_says_why);
    g_test_add_func("/expression/mistakes", test_mistakes_are_named_with_their_place);
    g_test_add_func("/expression/bounds", test_depth_and_length_are_bounded);
    g_test_add_func("/expression/numbers-and-texts", test_numbers_and_texts);
    g_test_add_func("/expression/schema", test_every_field_of_the_schema_may_be_named);
    g_test_add_func("/expression/wire", test_every_field_of_the_wire_may_be_named);
    g_test_add_func("/expression/not-known", test_what_is_not_known_is_neither_there_nor_absent);
    return g_test_run();
}
