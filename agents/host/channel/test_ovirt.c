/* ovirt-guest-agent's protocol: sessions as its API versions 0 to 3 speak, replayed; and guests that are wrong. */
#include "agents/host/channel/ovirt.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <jansson.h>
#include <string.h>

typedef struct Stage {
    OvirtGuest *guest;
    int64_t now;
    GString *sent, *facts, *happened;
    json_t *known; /* field → value */
    int alive;     /* last told; -1: never */
    int reply;     /* -1: none yet */
} Stage;

static void on_send(const char *line, size_t n, void *user)
{
    g_assert_cmpint(line[n - 1], ==, '\n');
    g_string_append_len(((Stage *) user)->sent, line, (gssize) n);
}

static void on_fact(const char *field, Value *value, int64_t fresh_us, void *user)
{
    g_assert_cmpint(fresh_us, >, 0);
    json_object_set_new(((Stage *) user)->known, field, value_to_json(value));
    value_unref(value);
}

static void on_happened(const char *what, void *user) { g_string_append_printf(((Stage *) user)->happened, "%s ", what); }
static void on_alive(bool alive, void *user) { ((Stage *) user)->alive = alive; }
static void on_reply(OvirtReply reply, void *user) { ((Stage *) user)->reply = (int) reply; }

static Stage *stage_new(void)
{
    Stage *stage = g_new0(Stage, 1);

    *stage = (Stage) { .now = US_PER_HOUR, .sent = g_string_new(NULL), .happened = g_string_new(NULL), .known = json_object(), .alive = -1, .reply = -1 };
    stage->guest = ovirt_guest_new(&(OvirtHooks) { on_fact, on_happened, on_alive, stage }, on_send, stage);
    ovirt_guest_begin(stage->guest, stage->now);
    return stage;
}

static void stage_free(Stage *stage)
{
    ovirt_guest_free(stage->guest);
    g_string_free(stage->sent, TRUE);
    g_string_free(stage->happened, TRUE);
    json_decref(stage->known);
    g_free(stage);
}

static void say(Stage *stage, const char *text) { ovirt_guest_feed(stage->guest, text, strlen(text), stage->now); }

static void assert_sent(Stage *stage, const char *lines)
{
    g_assert_cmpstr(stage->sent->str, ==, lines);
    g_string_truncate(stage->sent, 0);
}

static void assert_fact(const Stage *stage, const char *field, const char *json)
{
    g_autofree char *text = json_dumps(json_object_get(stage->known, field), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

    g_assert_cmpstr(text, ==, json);
}

#define REFRESH "{\"__name__\":\"refresh\",\"apiVersion\":3}\n"

/* A file of tests/vectors style: "< " lines come from the guest (a '~' splits the read there), "> " lines must be sent then, "= FIELD JSON"
 * must be known, "api N", "after SECONDS", "alive yes|no", "happened WORDS". */
static void replay_line(Stage *stage, const char *line, GString *expected)
{
    if (g_str_has_prefix(line, "< ")) {
        g_auto(GStrv) pieces = g_strsplit(line + 2, "~", -1);

        for (char **piece = pieces; *piece != NULL; piece++)
            say(stage, *piece);
        say(stage, "\n");
    } else if (g_str_has_prefix(line, "> ")) {
        g_string_printf(expected, "%s\n", line + 2);
        if (!g_str_has_prefix(stage->sent->str, expected->str))
            g_error("wanted %s, sent %s", expected->str, stage->sent->str);
        g_string_erase(stage->sent, 0, (gssize) expected->len);
    } else if (g_str_has_prefix(line, "= ")) {
        g_auto(GStrv) words = g_strsplit(line + 2, " ", 2);

        assert_fact(stage, words[0], words[1]);
    } else if (g_str_has_prefix(line, "api ")) {
        g_assert_cmpint(ovirt_guest_api(stage->guest), ==, (int) g_ascii_strtoll(line + 4, NULL, 10));
    } else if (g_str_has_prefix(line, "after ")) {
        stage->now += g_ascii_strtoll(line + 6, NULL, 10) * US_PER_S;
        ovirt_guest_tick(stage->guest, stage->now);
    } else if (g_str_has_prefix(line, "alive ")) {
        g_assert_cmpint(stage->alive, ==, strcmp(line + 6, "yes") == 0);
    } else if (g_str_has_prefix(line, "happened ")) {
        g_assert_cmpstr(g_strchomp(stage->happened->str), ==, line + 9);
    } else if (*line != '\0' && *line != '#') {
        g_error("what is \"%s\"?", line);
    }
}

static void replay(const void *name)
{
    const char *source = g_getenv("MEND_SOURCE_DIR");
    g_autofree char *path = g_build_filename(source != NULL ? source : ".", "agents/host/channel/sessions", (const char *) name, NULL), *text = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) expected = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;
    Stage *stage = stage_new();

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        replay_line(stage, *line, expected);
    assert_sent(stage, ""); /* nothing that was not expected */
    g_assert_cmpuint(ovirt_guest_dropped(stage->guest), ==, 0);
    stage_free(stage);
}

static void test_lifecycle(void)
{
    Stage *stage = stage_new();

    ovirt_guest_lifecycle(stage->guest, OVIRT_BEFORE_MIGRATION, stage->now, on_reply, stage);
    g_assert_cmpint(stage->reply, ==, OVIRT_REPLY_UNSUPPORTED); /* nobody is there */
    say(stage, "{\"__name__\":\"heartbeat\",\"free-ram\":\"512\",\"apiVersion\":2}\n");
    ovirt_guest_lifecycle(stage->guest, OVIRT_BEFORE_MIGRATION, stage->now, on_reply, stage);
    g_assert_cmpint(stage->reply, ==, OVIRT_REPLY_UNSUPPORTED); /* too old */
    say(stage, "{\"__name__\":\"heartbeat\",\"free-ram\":\"512\",\"apiVersion\":7}\n");
    g_string_truncate(stage->sent, 0);
    stage->reply = -1;
    ovirt_guest_lifecycle(stage->guest, OVIRT_BEFORE_MIGRATION, stage->now, on_reply, stage);
    assert_sent(stage, "{\"__name__\":\"lifecycle-event\",\"reply_id\":\"1\",\"type\":\"before_migration\"}\n");
    say(stage, "{\"__name__\":\"completion\",\"reply_id\":\"other\"}\n");
    g_assert_cmpint(stage->reply, ==, -1);
    say(stage, "{\"__name__\":\"completion\",\"reply_id\":\"1\"}\n");
    g_assert_cmpint(stage->reply, ==, OVIRT_REPLY_OK);
    ovirt_guest_lifecycle(stage->guest, OVIRT_AFTER_HIBERNATION, stage->now, on_reply, stage);
    say(stage, "{\"__name__\":\"completion\",\"reply_id\":\"2\",\"failure\":true}\n");
    g_assert_cmpint(stage->reply, ==, OVIRT_REPLY_FAILED);
    stage->reply = -1;
    ovirt_guest_lifecycle(stage->guest, OVIRT_AFTER_MIGRATION, stage->now, on_reply, stage);
    ovirt_guest_tick(stage->guest, stage->now + OVIRT_REPLY_US - 1);
    g_assert_cmpint(stage->reply, ==, -1);
    ovirt_guest_tick(stage->guest, stage->now + OVIRT_REPLY_US);
    g_assert_cmpint(stage->reply, ==, OVIRT_REPLY_TIMEOUT);
    say(stage, "{\"__name__\":\"completion\",\"reply_id\":\"3\"}\n"); /* too late: nobody waits */
    stage_free(stage);
}

static void test_commands(void)
{
    Stage *stage = stage_new();

    g_string_truncate(stage->sent, 0);
    g_assert_true(ovirt_guest_command(stage->guest, "shutdown", json_pack("{s:i, s:s, s:b}", "timeout", 30, "message", "na\xc3\xafve\n", "reboot", 0)));
    assert_sent(stage, "{\"__name__\":\"shutdown\",\"message\":\"na\\u00EFve\\n\",\"reboot\":false,\"timeout\":30}\n");
    g_assert_false(ovirt_guest_command(stage->guest, "set-number-of-cpus", json_pack("{s:i}", "count", 2)));
    g_assert_false(ovirt_guest_command(stage->guest, "format-disk", NULL));
    say(stage, "{\"__name__\":\"heartbeat\",\"apiVersion\":1}\n");
    g_string_truncate(stage->sent, 0);
    g_assert_true(ovirt_guest_command(stage->guest, "set-number-of-cpus", json_pack("{s:i}", "count", 2)));
    assert_sent(stage, "{\"__name__\":\"set-number-of-cpus\",\"count\":2}\n");
    stage_free(stage);
}

static void test_text(void)
{
    Stage *stage = stage_new();

    say(stage, "{\"__name__\":\"host-name\",\"name\":\"a\\u0001b\\u0000c\\u007fd\\u0085e\\u009ff\\ufffeg\\th\"}\n");
    assert_fact(stage, "hostname", "\"a\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xef\xbf\xbd" "d\xc2\x85" "e\xef\xbf\xbd" "f\xef\xbf\xbdg\\th\"");
    say(stage, "{\"__name__\":\"host-name\",\"name\":\"x\xff\x80y\x02z\"}\n"); /* no UTF-8, and raw */
    assert_fact(stage, "hostname", "\"x\xef\xbf\xbd\xef\xbf\xbdy\xef\xbf\xbdz\"");
    g_assert_cmpuint(ovirt_guest_dropped(stage->guest), ==, 0);
    stage_free(stage);
}

static void test_too_long(void)
{
    Stage *stage = stage_new();
    g_autofree char *chunk = g_strnfill(65536, 'x'), *fits = g_strnfill(OVIRT_LINE_MAX - 64, 'y');

    say(stage, "{\"__name__\":\"host-name\",\"name\":\"");
    for (int i = 0; i < 40; i++)
        say(stage, chunk);
    say(stage, "\"}\n{\"__name__\":\"host-name\",\"name\":\"after\"}\n");
    g_assert_cmpuint(ovirt_guest_dropped(stage->guest), ==, 1);
    assert_fact(stage, "hostname", "\"after\"");
    say(stage, "{\"__name__\":\"echo\",\"x\":\"");
    say(stage, fits);
    say(stage, "\"}\n");
    g_assert_cmpuint(ovirt_guest_dropped(stage->guest), ==, 1);
    stage_free(stage);
}

static void test_wrong(void)
{
    static const char *const wrong[] = { "{", "[]", "7", "nonsense", "{}", "{\"__name__\":7}", "{\"name\":\"x\"}", "\"{}\"", "{\"__name__\":\"x\"" };
    static const char *const odd[] = { "", "   ", "{\"__name__\":\"unknown-message\",\"x\":[[[[[[[[[[[[[[1]]]]]]]]]]]]]]}",
                                       "{\"__name__\":\"heartbeat\",\"memory-stat\":[],\"apiVersion\":\"3\"}",
                                       "{\"__name__\":\"heartbeat\",\"apiVersion\":99999999999999999999}",
                                       "{\"__name__\":\"applications\",\"applications\":{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}",
                                       "{\"__name__\":\"completion\",\"reply_id\":{}}", "{\"__name__\":\"disks-usage\"}" };
    Stage *stage = stage_new();

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        say(stage, wrong[i]);
        say(stage, "\n");
        g_assert_cmpuint(ovirt_guest_dropped(stage->guest), ==, i + 1);
    }
    g_assert_cmpint(stage->alive, ==, -1); /* noise is no sign of life */
    for (size_t i = 0; i < G_N_ELEMENTS(odd); i++) {
        say(stage, odd[i]);
        say(stage, "\n");
    }
    g_assert_cmpuint(ovirt_guest_dropped(stage->guest), <=, G_N_ELEMENTS(wrong) + 1); /* the number jansson has no room for */
    stage_free(stage);
}

static void test_half_line_of_an_earlier_life(void)
{
    Stage *stage = stage_new();

    say(stage, "{\"__name__\":\"host-name\",\"name\":\"ha");
    ovirt_guest_begin(stage->guest, stage->now);
    say(stage, "{\"__name__\":\"host-name\",\"name\":\"whole\"}\n");
    assert_fact(stage, "hostname", "\"whole\"");
    assert_sent(stage, REFRESH REFRESH);
    stage_free(stage);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/ovirt/session-api-0", "api-0.txt", replay);
    g_test_add_data_func("/ovirt/session-api-1", "api-1.txt", replay);
    g_test_add_data_func("/ovirt/session-api-2", "api-2.txt", replay);
    g_test_add_data_func("/ovirt/session-api-3", "api-3.txt", replay);
    g_test_add_func("/ovirt/lifecycle", test_lifecycle);
    g_test_add_func("/ovirt/commands", test_commands);
    g_test_add_func("/ovirt/text", test_text);
    g_test_add_func("/ovirt/too-long", test_too_long);
    g_test_add_func("/ovirt/wrong", test_wrong);
    g_test_add_func("/ovirt/half-line-of-an-earlier-life", test_half_line_of_an_earlier_life);
    return g_test_run();
}
