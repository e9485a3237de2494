#include "agents/host/channel/qga.h"

#include "lib/base/clock.h"

#include <string.h>

#define INFO "{\"return\":{\"version\":\"7.2.0\",\"supported_commands\":[{\"name\":\"guest-ping\",\"enabled\":true},{\"name\":\"guest-fsfreeze-status\",\"enabled\":%s}," \
             "{\"name\":\"guest-get-host-name\",\"enabled\":true},{\"name\":\"guest-get-users\",\"enabled\":true},{\"name\":\"guest-exec\",\"enabled\":false}]}}"

typedef struct Stage {
    Qga *qga;
    int64_t now;
    GString *story; /* states and facts */
} Stage;

static void on_fact(const char *field, Value *value, int64_t fresh_us, void *user)
{
    g_string_append_printf(((Stage *) user)->story, "%s=%s ", field, value_as_string(value) != NULL ? value_as_string(value) : "…");
    value_unref(value);
}

static void on_state(QgaState state, void *user) { g_string_append_printf(((Stage *) user)->story, "[%s] ", qga_state_name(state)); }

static Stage *stage_new(void)
{
    Stage *stage = g_new0(Stage, 1);

    stage->story = g_string_new(NULL);
    stage->now = 1000 * US_PER_S;
    stage->qga = qga_new(&(QgaHooks) { on_fact, on_state, stage });
    qga_set_connected(stage->qga, true, stage->now);
    return stage;
}

static void stage_free(Stage *stage)
{
    qga_free(stage->qga);
    g_string_free(stage->story, TRUE);
    g_free(stage);
}

/* Waits for a question, checks that it is @command, answers it. */
static void answer(Stage *stage, const char *command, QgaOutcome outcome, const char *text)
{
    const char *asked = NULL;
    int limit_s;

    for (int i = 0; i < 1300 && (asked = qga_next(stage->qga, stage->now, &limit_s)) == NULL; i++)
        stage->now += US_PER_S;
    g_assert_nonnull(asked);
    if (strstr(asked, command) == NULL)
        g_error("asked %s, not %s", asked, command);
    g_assert_null(qga_next(stage->qga, stage->now, &limit_s)); /* one at a time */
    qga_answer(stage->qga, outcome, text, stage->now);
}

static void begin(Stage *stage, bool status)
{
    g_autofree char *info = g_strdup_printf(INFO, status ? "true" : "false");

    answer(stage, "guest-info", QGA_ANSWERED, info);
}

static void test_asks_what_it_can(void)
{
    Stage *stage = stage_new();

    begin(stage, true);
    g_assert_true(qga_can(stage->qga, "guest-ping"));
    g_assert_false(qga_can(stage->qga, "guest-exec"));
    answer(stage, "guest-fsfreeze-status", QGA_ANSWERED, "{\"return\":\"thawed\"}");
    answer(stage, "guest-get-host-name", QGA_ANSWERED, "{\"return\":{\"host-name\":\"web\"}}");
    answer(stage, "guest-get-users", QGA_ANSWERED, "{\"return\":[]}");
    answer(stage, "guest-fsfreeze-status", QGA_ANSWERED, "{\"return\":\"thawed\"}"); /* 5 s later; never what it cannot */
    g_assert_cmpstr(stage->story->str, ==, "[alive] qga_version=7.2.0 hostname=web users=… ");
    stage_free(stage);
}

static void test_disabled_is_no_error_loop(void)
{
    Stage *stage = stage_new();

    begin(stage, false);
    answer(stage, "guest-ping", QGA_ANSWERED, "{\"return\":{}}");
    answer(stage, "guest-get-host-name", QGA_REFUSED, "Command guest-get-host-name has been disabled");
    answer(stage, "guest-get-users", QGA_REFUSED, "The command guest-get-users has not been found");
    for (int i = 0; i < 100; i++)
        answer(stage, "guest-ping", QGA_ANSWERED, "{\"return\":{}}");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_ALIVE);
    stage_free(stage);
}

static void test_silence(void)
{
    Stage *stage = stage_new();

    begin(stage, true);
    answer(stage, "status", QGA_ANSWERED, "{\"return\":\"thawed\"}");
    for (int i = 0; i < QGA_SILENCES; i++) {
        g_assert_cmpint(qga_state(stage->qga), ==, QGA_ALIVE);
        answer(stage, "guest-", QGA_SILENT, "timeout");
    }
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_GONE);
    answer(stage, "status", QGA_NOT_ASKED, "libvirt is away");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_GONE);
    answer(stage, "status", QGA_ANSWERED, "{\"return\":\"thawed\"}");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_ALIVE);
    for (int i = 0; i < 4; i++) /* paused */
        answer(stage, "guest-", QGA_NOT_ASKED, "the domain is not running");
    stage->now += QGA_SILENCES * QGA_PING_US;
    answer(stage, "guest-", QGA_NOT_ASKED, "the domain is not running");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_UNKNOWN);
    answer(stage, "status", QGA_ANSWERED, "{\"return\":\"thawed\"}");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_ALIVE);
    qga_set_connected(stage->qga, false, stage->now); /* its port is closed in the guest: nobody to ask */
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_UNKNOWN);
    g_assert_null(qga_next(stage->qga, stage->now + US_PER_HOUR, &(int) { 0 }));
    qga_set_connected(stage->qga, true, stage->now);
    for (int i = 0; i < 10; i++) /* never heard in this life: not gone */
        answer(stage, "guest-info", QGA_SILENT, "timeout");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_UNKNOWN);
    stage_free(stage);
}

static void test_frozen(void)
{
    Stage *stage = stage_new();

    begin(stage, true);
    answer(stage, "status", QGA_ANSWERED, "{\"return\":\"frozen\"}");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_FROZEN);
    for (int i = 0; i < 20; i++) /* asked nothing else, and silence is no death */
        answer(stage, "status", QGA_SILENT, "timeout");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_FROZEN);
    answer(stage, "status", QGA_ANSWERED, "{\"return\":\"thawed\"}");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_ALIVE);
    qga_freezing(stage->qga, stage->now + US_PER_MINUTE); /* announced: it hangs in the freeze itself */
    answer(stage, "guest-", QGA_SILENT, "timeout");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_FROZEN);
    while (qga_state(stage->qga) == QGA_FROZEN) /* not for ever */
        answer(stage, "guest-", QGA_SILENT, "timeout");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_GONE);
    answer(stage, "guest-", QGA_REFUSED, "Command guest-x has been disabled: the agent is in frozen state");
    g_assert_cmpint(qga_state(stage->qga), ==, QGA_FROZEN);
    stage_free(stage);
}

static void test_odd_answers(void)
{
    static const char *const odd[] = { "", "{", "[]", "{\"return\":null}", "{\"return\":{\"supported_commands\":7}}",
                                       "{\"return\":{\"supported_commands\":[1,{},{\"name\":3,\"enabled\":true}]}}" };

    for (size_t i = 0; i < G_N_ELEMENTS(odd); i++) {
        Stage *stage = stage_new();
        answer(stage, "guest-info", QGA_ANSWERED, odd[i]);
        g_assert_cmpint(qga_state(stage->qga), ==, QGA_ALIVE);
        qga_answer(stage->qga, QGA_ANSWERED, "nobody asked", stage->now);
        stage_free(stage);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qga/asks-what-it-can", test_asks_what_it_can);
    g_test_add_func("/qga/disabled-is-no-error-loop", test_disabled_is_no_error_loop);
    g_test_add_func("/qga/silence", test_silence);
    g_test_add_func("/qga/frozen", test_frozen);
    g_test_add_func("/qga/odd-answers", test_odd_answers);
    return g_test_run();
}
