#include "lib/qmf/predicate.h"

#include "tests/qmf/memory_bus.h"

static void test_meaning_is_libqmf2s(void)
{
    g_autoptr(Value) attributes = value_of("{'host':'node1','memory':2000,'load':1.5,'five':'5','up':true}");
    static const struct { const char *predicate; bool matches; } rows[] = {
        { "[]", true },
        { "['true']", true },
        { "['false']", false },
        { "['eq','host',['quote','node1']]", true },
        { "['eq','host',['quote','node2']]", false },
        { "['ne','host',['quote','node2']]", true },
        { "['eq','five',['quote',5]]", true },           /* as text */
        { "['gt','memory',['quote',1000]]", true },
        { "['gt','memory',['quote',2000]]", false },
        { "['ge','memory',['quote',2000]]", true },
        { "['lt','memory',['quote',10000]]", true },     /* as numbers: not "2000" < "10000" */
        { "['le','load',['quote',1.5]]", true },
        { "['lt','load',['quote',2]]", true },
        { "['lt','host',['quote','node2']]", true },
        { "['exists','up']", true },
        { "['exists','down']", false },
        { "['eq','up',['quote','True']]", true },
        { "['eq','absent',['quote','x']]", false },
        { "['ne','absent',['quote','x']]", false },      /* a missing attribute makes every comparison false */
        { "['eq',['quote','node1'],'host']", true },
        { "['eq','host','host']", true },
        { "['re_match','host',['quote','.*']]", false }, /* never */
        { "['and']", true },
        { "['or']", false },
        { "['not']", true },
        { "['and',['true'],['exists','host']]", true },
        { "['and',['true'],['false']]", false },
        { "['or',['false'],['exists','host']]", true },
        { "['not',['false'],['false']]", true },         /* none of them */
        { "['not',['false'],['true']]", false },
        { "['and',['eq','host',['quote','node1']],['not',['gt','memory',['quote',9999]]]]", true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Value) predicate = value_of(rows[i].predicate);
        g_autoptr(GError) error = NULL;

        g_assert_true(predicate_check(predicate, &error));
        g_assert_no_error(error);
        if (predicate_matches(predicate, attributes) != rows[i].matches)
            g_error("%s should be %s", rows[i].predicate, rows[i].matches ? "true" : "false");
    }
}

static void test_names_may_be_binary(void)
{
    g_autoptr(Value) attributes = value_map(), predicate = value_list();
    Value *quote = value_list();

    value_set(attributes, "uuid", value_bytes(VALUE_BINARY, "1234", 4));
    value_append(quote, value_bytes(VALUE_BINARY, "quote", 5));
    value_append(quote, value_string("1234"));
    value_append(predicate, value_bytes(VALUE_BINARY, "eq", 2));
    value_append(predicate, value_bytes(VALUE_BINARY, "uuid", 4));
    value_append(predicate, quote);
    g_assert_true(predicate_check(predicate, NULL));
    g_assert_true(predicate_matches(predicate, attributes));
}

static void test_what_cannot_be_read_is_refused_and_why(void)
{
    static const struct { const char *predicate, *why; } rows[] = {
        { "{}", "predicate: a map where a list belongs" },
        { "'eq'", "predicate: a string where a list belongs" },
        { "['equals','a','b']", "predicate: unknown operator \"equals\"" },
        { "[5]", "predicate: unknown operator \"\"" },
        { "['eq','a']", "predicate: \"eq\" has 1 operands, want 2" },
        { "['eq','a',['quote',1],'b']", "predicate: \"eq\" has 3 operands, want 2" },
        { "['exists']", "predicate: \"exists\" has 0 operands, want 1" },
        { "['gt','memory',1000]", "predicate: operand 2 of \"gt\" is neither a name nor [\"quote\", literal]" },
        { "['gt','memory',['quote']]", "predicate: operand 2 of \"gt\" is neither a name nor [\"quote\", literal]" },
        { "['and','a']", "predicate: a string where a list belongs" },
        { "['not',['or',['eq']]]", "predicate: \"eq\" has 0 operands, want 2" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Value) predicate = value_of(rows[i].predicate);
        g_autoptr(GError) error = NULL;

        g_assert_false(predicate_check(predicate, &error));
        g_assert_error(error, QMF_ERROR, QMF_ERROR_MALFORMED);
        g_assert_cmpstr(error->message, ==, rows[i].why);
    }
}

static void test_size_is_limited(void)
{
    g_autoptr(Value) wide = value_list(), deep = value_of("['true']");
    g_autoptr(GError) error = NULL;

    value_append(wide, value_string("and"));
    for (int i = 0; i < 2000; i++)
        value_append(wide, value_of("['true']"));
    g_assert_false(predicate_check(wide, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_LIMIT);
    g_clear_error(&error);
    for (int i = 0; i < 100; i++) {
        Value *outer = value_list();

        value_append(outer, value_string("not"));
        value_append(outer, g_steal_pointer(&deep));
        deep = outer;
    }
    g_assert_false(predicate_check(deep, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_LIMIT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/predicate/meaning is libqmf2's", test_meaning_is_libqmf2s);
    g_test_add_func("/predicate/names may be binary", test_names_may_be_binary);
    g_test_add_func("/predicate/what cannot be read is refused and why", test_what_cannot_be_read_is_refused_and_why);
    g_test_add_func("/predicate/size is limited", test_size_is_limited);
    return g_test_run();
}
