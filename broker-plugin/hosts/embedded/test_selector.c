#include "broker-plugin/hosts/embedded/selector.h"

#include <string.h>

/* priority 6; subject "a.b"; {color: "red", weight: 5, price: 1.5 (double), ok: true, "qmf.agent": binary "x:y:z", big: 2^40} */
static const uint8_t bytes[] = {
    0x00, 0x53, 0x70, 0xc0, 0x04, 0x02, 0x42, 0x50, 0x06,
    0x00, 0x53, 0x73, 0xc0, 0x09, 0x04, 0x40, 0x40, 0x40, 0xa1, 0x03, 'a', '.', 'b',
    0x00, 0x53, 0x74, 0xc1, 0x4c, 0x0c,
    0xa1, 0x05, 'c', 'o', 'l', 'o', 'r', 0xa1, 0x03, 'r', 'e', 'd',
    0xa1, 0x06, 'w', 'e', 'i', 'g', 'h', 't', 0x54, 0x05,
    0xa1, 0x05, 'p', 'r', 'i', 'c', 'e', 0x82, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0,
    0xa1, 0x02, 'o', 'k', 0x41,
    0xa1, 0x09, 'q', 'm', 'f', '.', 'a', 'g', 'e', 'n', 't', 0xa0, 0x05, 'x', ':', 'y', ':', 'z',
    0xa1, 0x03, 'b', 'i', 'g', 0x81, 0, 0, 1, 0, 0, 0, 0, 0,
    0x00, 0x53, 0x75, 0xa0, 0x01, 'x',
};

static void test_rows(void)
{
    static const struct { const char *text; bool matches; } rows[] = {
        {"color = 'red'", true},                 {"color = 'blue'", false},              {"color <> 'blue'", true},
        {"color <> 'red'", false},               {"weight = 5", true},                   {"weight > 4 AND weight < 6", true},
        {"weight >= 6", false},                  {"weight BETWEEN 1 AND 5", true},       {"weight NOT BETWEEN 1 AND 5", false},
        {"price = 1.5", true},                   {"price > 1", true},                    {"weight + 1 = 6", true},
        {"weight * 2 - 3 = 7", true},            {"-weight < 0", true},                  {"weight / 2 = 2", true},
        {"weight / 0 = 1", false},               {"ok", true},                           {"NOT ok", false},
        {"ok = TRUE", true},                     {"color IN ('blue', 'red')", true},     {"color NOT IN ('blue', 'red')", false},
        {"color LIKE 'r%'", true},               {"color LIKE '_ed'", true},             {"color LIKE '%x%'", false},
        {"color NOT LIKE 'b%'", true},           {"\"qmf.agent\" = 'x:y:z'", true},      {"qmf.agent LIKE 'x:%'", true},
        {"absent IS NULL", true},                {"color IS NULL", false},               {"color IS NOT NULL", true},
        {"absent = 'x'", false},                 {"NOT absent = 'x'", false},            {"absent = 'x' OR ok", true},
        {"absent = 'x' AND ok", false},          {"(color = 'blue' OR weight = 5) AND ok", true},
        {"JMSPriority = 6", true},               {"amqp.priority > 7", false},           {"amqp.subject = 'a.b'", true},
        {"JMSDeliveryMode = 'NON_PERSISTENT'", true}, {"big = 1099511627776", true},     {"big = 0x10000000000", true},
        {"color = 5", false},                    {"color <> 5", true},                   {"color > 5", false},
        {"'it''s' = 'it''s'", true},             {"color LIKE 'r!%' ESCAPE '!'", false}, {"1 = 1", true},
        {"color in ('red') and not (weight = 4)", true}, {"weight", false},
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(Message) m = message_new(bytes, sizeof bytes, &error);

    g_assert_no_error(error);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Selector) s = selector_parse(rows[i].text, &error);
        g_test_message("%s", rows[i].text);
        g_assert_no_error(error);
        g_assert_cmpint(selector_match(s, m), ==, rows[i].matches);
    }
}

static void test_refused(void)
{
    static const char *const rows[] = {"", "color =", "= 'red'", "color = 'red", "(color = 'red'", "color = 'red')", "color LIKE 5", "color IN ()",
                                       "a BETWEEN 1", "a NOT 5", "a IS 5", "a ; b", "a = 'x' ESCAPE", "color LIKE 'a' ESCAPE 'ab'", "1 +", "\"x"};

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Selector) s = selector_parse(rows[i], &error);
        g_test_message("%s", rows[i]);
        g_assert_null(s);
        g_assert_error(error, SELECTOR_ERROR, SELECTOR_ERROR_SYNTAX);
        g_assert_nonnull(strstr(error->message, "column"));
    }
}

static void test_limits(void)
{
    g_autoptr(GString) deep = g_string_new(NULL), wide = g_string_new("1=1"), minus = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < 1000; i++) {
        g_string_append(deep, "(");
        g_string_append(minus, "-");
        if (wide->len < 4000)
            g_string_append(wide, " OR 1=1");
    }
    g_string_append(deep, "1");
    g_string_append(minus, "1 = 1");
    g_assert_null(selector_parse(deep->str, NULL));
    g_assert_null(selector_parse(minus->str, NULL));
    g_assert_null(selector_parse(wide->str, &error));
    g_assert_error(error, SELECTOR_ERROR, SELECTOR_ERROR_LIMIT);
    g_string_set_size(deep, 0);
    for (int i = 0; i < 5000; i++)
        g_string_append_c(deep, 'a');
    g_clear_error(&error);
    g_assert_null(selector_parse(deep->str, &error));
    g_assert_error(error, SELECTOR_ERROR, SELECTOR_ERROR_LIMIT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/selector/rows", test_rows);
    g_test_add_func("/selector/refused", test_refused);
    g_test_add_func("/selector/limits", test_limits);
    return g_test_run();
}
