/* MOM's rule language: what MOM itself answered for rule files of ours (tests/policy/mom: NAME.mom and, beside it, cycles with MOM's answers) is answered here,
 * to the last digit; and what is wrong is told with its place, bounded, and alone. */
#include "consumers/policy/mom/play.h"
#include "lib/base/json.h"

#include <glib/gstdio.h>
#include <string.h>

#define FOLDER "tests/policy/mom"

static char *read_file(const char *name, gsize *ret_length)
{
    g_autofree char *path = g_build_filename(FOLDER, name, NULL);
    g_autoptr(GError) error = NULL;
    char *text;

    g_file_get_contents(path, &text, ret_length, &error);
    g_assert_no_error(error);
    return text;
}

static json_t *read_json(const char *name)
{
    gsize length;
    g_autofree char *text = read_file(name, &length);
    g_autoptr(GError) error = NULL;
    json_t *json = json_parse(text, length, name, &error);

    g_assert_no_error(error);
    return json;
}

static MomRules *rules_of(const char *name, const char *text)
{
    MomRules *rules = mom_rules_new();
    g_autoptr(GError) error = NULL;

    mom_rules_add(rules, name, text, strlen(text), &error);
    g_assert_no_error(error);
    return rules;
}

/* MOM takes its controllers one after the other, here all of a guest's come together. */
static json_t *in_order_of_mom(const json_t *actions)
{
    static const char *const order[] = { "vm.set-memory", "vm.set-cpu-limit", "vm.set-io-limit", "host.set-ksm" };
    json_t *sorted = json_array();

    for (guint k = 0; k < G_N_ELEMENTS(order); k++)
        for (size_t i = 0; i < json_array_size(actions); i++)
            if (strcmp(json_string_or(json_array_get(actions, i), "action", ""), order[k]) == 0)
                json_array_append(sorted, json_array_get(actions, i));
    return sorted;
}

static void assert_same(const char *name, size_t cycle, const char *what, json_t *ours, json_t *moms)
{
    g_autofree char *left = json_text(ours), *right = json_text(moms);

    if (strcmp(left, right) != 0)
        g_error("%s, cycle %zu, %s:\n  ours %s\n  MOM  %s", name, cycle, what, left, right);
}

static void test_recorded(gconstpointer data)
{
    const char *name = data;
    g_autofree char *answers = g_strdup_printf("%.*s.json", (int) (strlen(name) - 4), name);
    gsize length;
    g_autofree char *text = read_file(name, &length);
    g_autoptr(json_t) cycles = read_json(answers);
    g_autoptr(MomRules) rules = rules_of(name, text);
    g_autoptr(MomPlay) play = mom_play_new(rules);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);

    mom_rules_check(rules, warnings);
    g_assert_cmpuint(warnings->len, ==, 0);
    g_assert_cmpuint(json_array_size(cycles), >, 1);
    for (size_t i = 0; i < json_array_size(cycles); i++) {
        const json_t *one = json_array_get(cycles, i), *mom = json_object_get(one, "mom");
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) result = mom_play(play, json_object_get(one, "cycle"), &error);
        g_assert_no_error(error);
        g_autoptr(json_t) actions = in_order_of_mom(json_object_get(result, "actions"));

        g_assert_cmpuint(json_array_size(json_object_get(result, "errors")), ==, 0);
        assert_same(name, i, "host", json_object_get(result, "host"), json_object_get(mom, "host"));
        assert_same(name, i, "guests", json_object_get(result, "guests"), json_object_get(mom, "guests"));
        assert_same(name, i, "actions", actions, json_object_get(mom, "actions"));
    }
}

/* What MOM rejects is rejected, what fails there fails here, and nothing of it is set. */
static void test_wrong(void)
{
    g_autoptr(json_t) all = read_json("wrong.json"), cycle = json_pack("{s:{s:i}}", "host", "mem_free", 5);

    for (size_t i = 0; i < json_array_size(all); i++) {
        const char *text = json_string_or(json_array_get(all, i), "rules", ""), *mom = json_string_or(json_array_get(all, i), "mom", "");
        g_autoptr(MomRules) rules = mom_rules_new();
        g_autoptr(MomPlay) play = mom_play_new(rules);
        g_autoptr(GError) error = NULL;
        bool taken = mom_rules_add(rules, "w.policy", text, strlen(text), &error);
        g_autoptr(json_t) result = mom_play(play, cycle, NULL);
        const char *trouble = json_string_value(json_array_get(json_object_get(result, "errors"), 0));

        if (!taken && strcmp(mom, "runs") == 0)
            g_error("MOM runs it, here: %s: %s", text, error->message);
        if (taken && strcmp(mom, "rejects") == 0)
            g_error("MOM rejects it: %s", text);
        if (taken && (trouble != NULL) != (strcmp(mom, "fails") == 0))
            g_error("MOM %s it, here: %s: %s", mom, text, trouble);
        if (trouble != NULL) {
            g_assert_true(g_regex_match_simple("^w\\.policy:[0-9]+:[0-9]+: .{10}", trouble, 0, 0));
            g_assert_cmpuint(json_object_size(json_object_get(result, "host")), ==, 0);
        }
    }
}

typedef struct Place {
    const char *rules, *error;
} Place;

static void test_places(void)
{
    static const Place places[] = {
        { "(+ 1\n   (* 2 nil))\n", "f:2:4: * cannot take number 2 and nil: a sample lacks it; ask (valid …) first" },
        { "# comment\n(defvar threshold 1)\n(+ treshold 1)", "f:3:4: nobody has defined \"treshold\" here: did you mean \"threshold\"?" },
        { "(Host.StatAvg \"mem_fre\")", "f:1:2: the host has no field \"mem_fre\": did you mean \"mem_free\"?" },
        { "(def f (x) x)\n(f 1 2)", "f:2:1: f takes 1 argument, it got 2" },
        { "(defvar min 1)\n(min 1 2)", "f:2:2: \"min\" is number 1 here, nothing that can be called: a variable hides the word, rename it" },
        { "(def f () (f)) (f)", "f:1:11: more than 1000 calls in each other: is there an endless recursion?" },
        { "(+ 9223372036854775807 1)", "f:1:1: the number does not fit 64 bits" },
        { "(* \"ab\" 100000000)", "f:1:1: the rules use too much memory: 8 MiB are the most" },
        { "(with Host.mem_free x 1)", "f:1:7: with wants a list: it got number 5" },
        { "(defvar abc \"abc\") (Host.SetVar \"all\" (with abc c c))", "f:1:21: SetVar \"all\" takes a number or a text of at most 1024 bytes: it got a list of 3" },
    };
    static const Place texts[] = {
        { "(+ 1\n  2]", "f:2:4: ']' stands where ')' is wanted, for what is open since line 1 column 1" },
        { "\n  (if 1", "f:2:3: what begins here is never closed: ')' is missing" },
        { "(+ 1 2) % 5", "f:1:9: '%' means nothing here; comments begin with #" },
        { "(+ 1 05)", "f:1:6: no number looks like this: 5, -3, .5, 1e3, 0x1F and 0o17 do" },
        { "ü", "f:1:1: 'ü' means nothing here; comments begin with #" },
        { "(x \"ü\" \"", "f:1:8: the text that begins here has no end: \" is missing" },
        { "99999999999999999999", "f:1:1: 99999999999999999999 does not fit 64 bits: write it as 99999999999999999999.0, or smaller" },
        { "0o19", "f:1:1: 0o19 is no octal number: its digits are 0 to 7" },
        { "\xff", "f:1:1: this is not UTF-8 text" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(json_t) cycle = json_pack("{s:{s:i}}", "host", "mem_free", 5);
        g_autoptr(MomRules) rules = rules_of("f", places[i].rules);
        g_autoptr(MomPlay) play = mom_play_new(rules);
        g_autoptr(json_t) result = mom_play(play, cycle, NULL);

        g_assert_cmpstr(json_string_value(json_array_get(json_object_get(result, "errors"), 0)), ==, places[i].error);
    }
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(MomRules) rules = mom_rules_new();
        g_autoptr(GError) error = NULL;

        g_assert_false(mom_rules_add(rules, "f", texts[i].rules, strlen(texts[i].rules), &error));
        g_assert_cmpstr(error->message, ==, texts[i].error);
    }
}

/* Work and nesting are bounded, whatever is written. */
static void test_bounds(void)
{
    static const char *const slow[] = {
        "(defvar a20 \"aaaaaaaaaaaaaaaaaaaa\") (def f (n) (with a20 c (if n (f (- n 1)) 0))) (f 8)",
        "(defvar ab \"ab\") (defvar a (with ab c c)) (defvar b (with ab c c))"
        "(def twice (n) (if n { (set a (with ab c a)) (set b (with ab c b)) (twice (- n 1)) } 0)) (twice 60) (== a b)",
        "(def f (n) (if n { (set a (* 2 a)) (f (- n 1)) } 0)) (defvar a \"x\") (f 40)",
    };
    g_autoptr(GString) deep = g_string_new(NULL);
    g_autoptr(MomRules) none = mom_rules_new();
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(slow); i++) {
        g_autoptr(json_t) cycle = json_pack("{s:{s:i}}", "host", "mem_free", 5);
        g_autoptr(MomRules) rules = rules_of("f", slow[i]);
        g_autoptr(MomPlay) play = mom_play_new(rules);
        g_autoptr(json_t) result = mom_play(play, cycle, NULL);

        g_assert_cmpuint(json_array_size(json_object_get(result, "errors")), ==, 1);
    }
    for (guint i = 0; i < 100000; i++)
        g_string_append_c(deep, '(');
    g_assert_false(mom_rules_add(none, "deep", deep->str, deep->len, &error));
    g_assert_cmpstr(error->message, ==, "deep:1:201: more than 200 lists in each other");
}

/* Files run in the order of their names, a bad one stops nobody, and one that fails is undone. */
static void test_files(void)
{
    g_autoptr(MomRules) rules = mom_rules_new();
    g_autoptr(MomPlay) play = mom_play_new(rules);
    g_autoptr(json_t) cycle = json_pack("{s:{s:i}}", "host", "mem_free", 5), on = json_integer(1);
    g_autoptr(GError) error = NULL;

    mom_rules_set(rules, "balloonEnabled", on);
    g_assert_true(mom_rules_add(rules, "a-b.policy", "(defvar order (+ order \"2\"))", 28, NULL));
    g_assert_true(mom_rules_add(rules, "a.policy", "(defvar order \"1\") (defvar balloonEnabled 0)", 44, NULL));
    g_assert_false(mom_rules_add(rules, "b.policy", "(+ 1", 4, &error));
    g_assert_true(mom_rules_add(rules, "c.policy", "(set order \"lost\") (defvar lost 1) (def g () 1) (Host.Control \"lost\" 1) (Host.SetVar \"lost\" 1) (nobody)", 103, NULL));
    g_assert_true(mom_rules_add(rules, "d.policy", "(Host.Control \"order\" order) (Host.Control \"on\" balloonEnabled)", 63, NULL));
    g_assert_true(mom_rules_add(rules, "e.policy", "(Host.Control \"e\" lost)", 23, NULL));
    g_assert_true(mom_rules_add(rules, "f.policy", "(Host.Control \"f\" (valid (Host.GetVar \"lost\")))", 47, NULL));
    g_assert_false(mom_rules_add(rules, "d.policy", "(", 1, NULL)); /* the good one stays */
    g_autoptr(json_t) result = mom_play(play, cycle, NULL);
    g_autofree char *controls = json_text(json_object_get(result, "host")), *errors = json_text(json_object_get(result, "errors"));
    g_assert_cmpstr(controls, ==, "{\"f\":false,\"on\":1,\"order\":\"1\"}");
    g_assert_cmpstr(errors, ==, "[\"c.policy:1:97: there is no function \\\"nobody\\\": (def nobody (…) …) makes one\","
                                "\"e.policy:1:19: nobody has defined \\\"lost\\\" here: did you mean \\\"Host\\\"?\"]");
}

static void add_recorded(void)
{
    g_autoptr(GDir) folder = g_dir_open(FOLDER, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *path = g_strdup_printf("/mom/recorded/%s", name);

        if (g_str_has_suffix(name, ".mom"))
            g_test_add_data_func_full(path, g_strdup(name), test_recorded, g_free);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_recorded();
    g_test_add_func("/mom/wrong", test_wrong);
    g_test_add_func("/mom/places", test_places);
    g_test_add_func("/mom/bounds", test_bounds);
    g_test_add_func("/mom/files", test_files);
    return g_test_run();
}
