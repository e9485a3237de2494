/* What the conformance data cannot show: limits, places of errors, declared names, the JSON forms, and that the price is never exceeded. */
#include "consumers/policy/language/cel/cel.h"
#include "consumers/policy/language/cel/json.h"
#include "lib/base/json.h"

static bool look_up(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    const json_t *json = json_object_get(user, name->label);

    if (json == NULL)
        return false;
    *ret_value = cel_from_json(json, arena);
    return true;
}

/* The value as typed JSON, or "error PLACE: TEXT". Names are those of @vars. Caller frees. */
static char *result_with(const char *text, const json_t *vars, const CelLimits *limits)
{
    g_autoptr(CelEnv) env = cel_env_new(false);
    g_autoptr(GError) error = NULL;
    const char *name;
    json_t *value;
    size_t offset = 0;
    CelArena arena;

    json_object_foreach((json_t *) vars, name, value) {
        cel_env_add(env, name, &cel_dyn, 0);
    }
    g_autoptr(CelProgram) program = cel_compile(text, strlen(text), env, limits, &offset, &error);
    if (program == NULL)
        return g_strdup_printf("error %zu: %s", offset, error->message);
    cel_arena_init(&arena, NULL, 0, limits->memory_bytes);
    CelValue v = cel_eval(program, &(CelInput){ .lookup = look_up, .user = (void *) vars }, &arena);
    g_autoptr(json_t) typed = cel_is_error(v) ? NULL : cel_to_typed(v);
    char *result = cel_is_error(v) ? g_strdup_printf("error %u: %s", v.extra, v.as.error) : json_text(typed);
    cel_arena_done(&arena);
    return result;
}

static void check(const char *text, const json_t *vars, const char *expected)
{
    g_autofree char *result = result_with(text, vars, &cel_limits_tool);

    g_test_message("%s", text);
    g_assert_cmpstr(result, ==, expected);
}

static void test_names(void)
{
    g_autoptr(json_t) vars = json_pack("{s:s, s:{s:s}, s:i, s:{s:i}}", "a.b.c", "longest", "a.b", "c", "short", "x", 3, "y", "z", 9);

    check("a.b.c", vars, "{\"string\":\"longest\"}");
    check("a.b['c']", vars, "{\"string\":\"short\"}");
    check("[1, 2].map(x, x + .x)", vars, "{\"list\":[{\"int\":\"4\"},{\"int\":\"5\"}]}");
    check("[1].map(x, [x + 1].map(x, x + 1))", vars, "{\"list\":[{\"list\":[{\"int\":\"3\"}]}]}");
    check("[10].map(y, y + x)", vars, "{\"list\":[{\"int\":\"13\"}]}");
    check("y.z + [[1]].map(l, l.map(y, y + x)[0])[0]", vars, "{\"int\":\"13\"}");
    check("has(y.z) && !has(y.q)", vars, "{\"bool\":true}");
    check("x.f", vars, "error 2: int has no fields (.f)");
    check("has(a.b.d)", vars, "{\"bool\":false}");
    check("a.q", vars, "error 0: undeclared reference: a is only part of a name");
    check("y.`z`", vars, "{\"int\":\"9\"}");
    check("type(x) == int && type(google.protobuf.Timestamp) == type", vars, "{\"bool\":true}");
}

static void test_errors_have_a_place(void)
{
    check("1 + 2 / 0", NULL, "error 6: divide by zero");
    check("[1, 2][5]", NULL, "error 6: invalid_argument: index out of bounds: the list has 2");
    check("{'a': 1}.b", NULL, "error 9: no such key: \"b\"");
    check("'x' * 2", NULL, "error 4: no matching overload: * applied to (string, int)");
    check("true && (1 < 'a')", NULL, "error 11: no matching overload: < applied to (int, string)");
    check("9223372036854775807 + 1", NULL, "error 20: + overflows");
    check("f(1) || g.h(2)", NULL, "error 0: unbound function: f() is unknown");
    check("size(1, 2)", NULL, "error 0: no matching overload: size() with 2 arguments");
    check("[1].all(1, true)", NULL, "error 8: a simple name, for each element in turn, is wanted here, not \"1\"");
    check("[1].map(x)", NULL, "error 9: \",\" after the name (map(x, …)) is wanted here, not \")\"");
    check("has(x)", NULL, "error 0: has() takes one field, such as has(a.b)");
    check("for + 1", NULL, "error 0: \"for\" is reserved: it cannot be a name");
    check("'\\ud800'", NULL, "error 1: U+D800 is no character");
    check("{1: 2, 1u: 3}", NULL, "error 0: the key 1 is there twice");
    check("a.b.C{x: 1}", NULL, "error 0: messages are not supported: there is no protobuf here");
}

static void test_an_absorbed_error_is_gone(void)
{
    check("1/0 == 1 || true", NULL, "{\"bool\":true}");
    check("true || 1/0 == 1", NULL, "{\"bool\":true}");
    check("[0, 1].exists(x, 1/x == 1)", NULL, "{\"bool\":true}");
    check("[0, 1].all(x, 1/x == 2)", NULL, "{\"bool\":false}");
    check("unknown || true", NULL, "{\"bool\":true}");
    check("false && 'text'", NULL, "{\"bool\":false}");
    check("true && 'text'", NULL, "error 5: no matching overload: && applied to (string)");
}

static void test_runaways_end_and_nothing_absorbs_that(void)
{
    static const char range[] = "[0,1,2,3,4,5,6,7,8,9]";
    g_autoptr(GString) text = g_string_new("true");
    CelLimits small = cel_limits_tool;

    for (int i = 0; i < 9; i++) {
        g_autofree char *inner = g_strdup(text->str);

        g_string_printf(text, "%s.all(v%d, %s)", range, i, inner);
    }
    g_string_append(text, " || true");
    small.cost = 100000;
    g_autofree char *result = result_with(text->str, NULL, &small);
    g_assert_true(g_str_has_suffix(result, "this takes longer than an expression may"));

    g_string_assign(text, "['0123456789']");
    for (int i = 0; i < 30; i++)
        g_string_append(text, ".map(x, x + x)");
    small = cel_limits_tool;
    small.memory_bytes = 1 << 20;
    g_autofree char *large = result_with(text->str, NULL, &small);
    g_assert_true(g_str_has_suffix(large, "this needs more memory than an expression may have"));
}

static void test_deep_and_long_expressions(void)
{
    static const struct {
        const char *open, *middle, *close;
    } shapes[] = { { "(", "1", ")" },       { "[", "1", "]" },  { "{1:", "1", "}" },       { "-", "1", "" },
                   { "!", "true", "" },     { "int(", "1", ")" }, { "true ? 1 : ", "1", "" }, { "1 + ", "1", "" },
                   { "[1].map(x, ", "1", ")" }, { "", "a", ".b" },  { "", "a", "[0]" },        { "true || ", "true", "" } };

    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++)
        for (int n = 24; n <= 100000; n *= 60) {
            g_autoptr(GString) text = g_string_new(NULL);

            for (int k = 0; k < n; k++)
                g_string_append(text, shapes[i].open);
            g_string_append(text, shapes[i].middle);
            for (int k = 0; k < n; k++)
                g_string_append(text, shapes[i].close);
            g_autofree char *result = result_with(text->str, NULL, &cel_limits_tool);
            g_assert_true(n > 24 || shapes[i].middle[0] == 'a' || g_str_has_prefix(result, "{")); /* what the specification promises */
        }
}

/* Every input as large as the limits let the price assume: evaluation never costs more than the price. */
static void test_the_price_is_never_exceeded(void)
{
    static const char *const texts[] = {
        "s == t", "s < t", "s in l", "l == m", "l.exists(x, x == s)", "l.map(x, x + s).exists(x, x == t)", "s.contains(t)", "s.matches('a+b|c')",
        "size(s + t) > 3", "l + m == l", "l.filter(x, x in m).all(x, x < s)", "{'a': s, s: t}[t] == s", "d.a == s", "s in d",
        "string(bytes(s)) == t", "d == d", "l.exists_one(x, x.startsWith(s) && x.endsWith(t))", "n > 3 ? s == t : l == m", "has(d.x) && s in d",
        "[s, t, s + t].exists(x, x in l)", "l.all(x, m.exists(y, x == y))",
    };
    g_autoptr(CelEnv) env = cel_env_new(true);
    g_autoptr(json_t) vars = json_object();
    CelLimits limits = { .text_bytes = 1000, .cost = UINT64_MAX, .memory_bytes = 64 << 20, .string_bytes = 500, .items = 40 };
    g_autofree char *longest = g_strnfill(500, 'a');
    json_t *list = json_array(), *map = json_object();

    for (int i = 0; i < 40; i++) {
        g_autofree char *key = g_strdup_printf("%03d%s", i, longest + 3);

        json_array_append_new(list, json_string(longest));
        json_object_set_new(map, key, json_string(longest));
    }
    json_object_set_new(vars, "s", json_string(longest));
    json_object_set_new(vars, "t", json_string(longest));
    json_object_set_new(vars, "l", list);
    json_object_set(vars, "m", list);
    json_object_set_new(vars, "d", map);
    json_object_set_new(vars, "n", json_integer(7));
    cel_env_add(env, "s", &cel_string_type, 0);
    cel_env_add(env, "t", &cel_string_type, 0);
    cel_env_add(env, "l", &cel_list_of_string, 0);
    cel_env_add(env, "m", &cel_list_of_string, 0);
    cel_env_add(env, "d", &cel_map_of_dyn, 0);
    cel_env_add(env, "n", &cel_int_type, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CelProgram) priced = cel_compile(texts[i], strlen(texts[i]), env, &limits, NULL, &error);
        CelLimits exact = limits;
        CelArena arena;

        g_assert_no_error(error);
        exact.cost = cel_program_cost(priced);
        g_autoptr(CelProgram) program = cel_compile(texts[i], strlen(texts[i]), env, &exact, NULL, &error);
        g_assert_no_error(error);
        cel_arena_init(&arena, NULL, 0, exact.memory_bytes);
        CelValue v = cel_eval(program, &(CelInput){ .lookup = look_up, .user = vars }, &arena);
        g_test_message("%s: %" PRIu64 ": %s", texts[i], exact.cost, cel_is_error(v) ? v.as.error : "fine");
        g_assert_false(cel_is_error(v) && g_str_has_suffix(v.as.error, "than an expression may"));
        cel_arena_done(&arena);
    }
}

static void test_too_dear_is_refused(void)
{
    g_autoptr(CelEnv) env = cel_env_new(true);
    g_autoptr(GError) error = NULL;
    size_t offset = 0;
    static const char text[] = "true && l.all(a, l.all(b, l.all(c, a == b || b == c)))";

    cel_env_add(env, "l", &cel_list_of_string, 0);
    g_assert_null(cel_compile(text, strlen(text), env, NULL, &offset, &error));
    g_assert_error(error, CEL_PARSE_ERROR, CEL_PARSE_ERROR_COST);
    g_assert_cmpuint(offset, ==, 10);
    g_clear_error(&error);
    cel_env_size(env, "l", 16, 8); /* a list that is known to be short */
    g_autoptr(CelProgram) program = cel_compile(text, strlen(text), env, NULL, &offset, &error);
    g_assert_no_error(error);
}

static void test_typed_json_loses_nothing(void)
{
    static const char *const values[] = {
        "{\"int\":\"-9223372036854775808\"}", "{\"uint\":\"18446744073709551615\"}", "{\"double\":1.5}", "{\"double\":\"NaN\"}",
        "{\"double\":\"-Infinity\"}", "{\"bool\":true}", "{\"string\":\"\\u0000\\u00e4\"}", "{\"bytes\":\"AP8=\"}", "{\"bytes\":\"\"}",
        "{\"null\":null}", "{\"list\":[{\"int\":\"1\"},{\"list\":[]}]}", "{\"map\":[[{\"bool\":true},{\"int\":\"1\"}],[{\"string\":\"k\"},{\"null\":null}]]}",
        "{\"timestamp\":\"2026-11-23T08:00:00.5Z\"}", "{\"duration\":\"-1.5s\"}", "{\"type\":\"google.protobuf.Duration\"}",
    };
    static const char *const wrong[] = {
        "1", "{}", "{\"int\":\"1\",\"uint\":\"1\"}", "{\"int\":\"1.5\"}", "{\"int\":\"\"}", "{\"int\":\"9223372036854775808\"}", "{\"uint\":\"-1\"}",
        "{\"double\":\"x\"}", "{\"bool\":1}", "{\"string\":1}", "{\"bytes\":\"!\"}", "{\"null\":0}", "{\"list\":{}}", "{\"map\":{}}", "{\"map\":[[1]]}",
        "{\"map\":[[{\"double\":1.0},{\"int\":\"1\"}]]}", "{\"timestamp\":\"yesterday\"}", "{\"duration\":\"1\"}", "{\"type\":\"float\"}", "{\"integer\":\"1\"}",
    };
    CelArena arena;

    cel_arena_init(&arena, NULL, 0, 1 << 20);
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autoptr(json_t) json = json_loads(values[i], JSON_ALLOW_NUL, NULL), back = NULL;
        CelValue v = cel_from_typed(json, &arena);

        g_test_message("%s", values[i]);
        g_assert_cmpstr(cel_is_error(v) ? v.as.error : NULL, ==, NULL);
        back = cel_to_typed(v);
        g_autofree char *text = json_text(back), *before = json_text(json);
        g_assert_cmpstr(text, ==, before);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(json_t) json = json_loads(wrong[i], JSON_DECODE_ANY, NULL);

        g_test_message("%s", wrong[i]);
        g_assert_nonnull(json);
        g_assert_true(cel_is_error(cel_from_typed(json, &arena)));
    }
    cel_arena_done(&arena);
}

static void test_plain_json(void)
{
    static const struct {
        const char *text, *line;
    } rows[] = {
        { "{'a': [1, 1.0, 0.1, 1e300, null], 'b': 9007199254740993}", "{\"a\": [1, 1.0, 0.1, 1e+300, null], \"b\": \"9007199254740993\"}" },
        { "{1: true, false: b'x', 2u: double('NaN')}", "{\"1\": true, \"false\": \"eA==\", \"2\": \"NaN\"}" },
        { "[timestamp(0), duration('90s'), type(1)]", "[\"1970-01-01T00:00:00Z\", \"90s\", \"int\"]" },
        { "-0.0", "-0.0" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(CelEnv) env = cel_env_new(false);
        g_autoptr(CelProgram) program = cel_compile(rows[i].text, strlen(rows[i].text), env, &cel_limits_tool, NULL, NULL);
        CelArena arena;

        cel_arena_init(&arena, NULL, 0, 1 << 20);
        g_autoptr(json_t) json = cel_to_json(cel_eval(program, &(CelInput){ .lookup = look_up }, &arena));
        g_autofree char *line = cel_json_line(json);
        g_assert_cmpstr(line, ==, rows[i].line);
        cel_arena_done(&arena);
    }
}

/* Many keys take the way through the table beside the map, few do not: both answer the same. */
static void test_large_maps(void)
{
    CelEntry entries[500];
    CelArena arena;

    cel_arena_init(&arena, NULL, 0, 1 << 20);
    for (int i = 0; i < 500; i++)
        entries[i] = (CelEntry){ i % 2 == 0 ? cel_int(i - 250) : cel_uint((uint64_t) i + 1000), cel_int(i) };
    CelValue map = cel_map(&arena, entries, 500);
    g_assert_cmpuint(map.kind, ==, CEL_MAP);
    for (int i = 0; i < 500; i++) {
        double same = i % 2 == 0 ? i - 250 : i + 1000;
        const CelValue *found = cel_map_get(map.as.map, cel_double(same));

        g_assert_nonnull(found);
        g_assert_cmpint(found->as.integer, ==, i);
        g_assert_null(cel_map_get(map.as.map, cel_double(same + 0.5)));
    }
    g_assert_null(cel_map_get(map.as.map, cel_string("1")));
    entries[499] = (CelEntry){ cel_uint(0), cel_int(0) }; /* is the key -250 + 250 */
    g_assert_true(cel_is_error(cel_map(&arena, entries, 500)));
    cel_arena_done(&arena);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cel/names", test_names);
    g_test_add_func("/cel/places", test_errors_have_a_place);
    g_test_add_func("/cel/absorbed", test_an_absorbed_error_is_gone);
    g_test_add_func("/cel/runaways", test_runaways_end_and_nothing_absorbs_that);
    g_test_add_func("/cel/deep", test_deep_and_long_expressions);
    g_test_add_func("/cel/price", test_the_price_is_never_exceeded);
    g_test_add_func("/cel/too-dear", test_too_dear_is_refused);
    g_test_add_func("/cel/typed", test_typed_json_loses_nothing);
    g_test_add_func("/cel/plain", test_plain_json);
    g_test_add_func("/cel/large-maps", test_large_maps);
    return g_test_run();
}
