/* The text for the shell there, run by this machine's shell; and what ssh says, in words that help. */
#include "bridges/ssh/ssh_gate.h"

#include "lib/base/clock.h"

#include <string.h>
#include <sys/wait.h>

#define MARK "mend-0"

/* Runs the text as sshd would; returns the program's exit status, -1: not begun, or no end. */
static int run(const char *const *argv, const char *become, int64_t timeout_us, char **ret_output)
{
    static const char *const environment[] = { "PATH=/usr/bin:/bin", "WITH=it's \"$HOME\"", NULL };
    const ChildOptions options = { .argv = (char **) argv, .environment = (char **) environment };
    g_autofree char *text = ssh_command_text(&options, become, timeout_us, MARK), *output = NULL, *words = NULL;
    const char *shell[] = { "/bin/sh", "-c", text, NULL };
    g_autoptr(GError) error = NULL;
    SshAnswer answer;

    g_assert_true(g_spawn_sync(NULL, (char **) shell, NULL, 0, NULL, NULL, &output, &words, NULL, &error));
    g_assert_no_error(error);
    const ChildResult result = { .output = output, .output_bytes = strlen(output), .words = words, .last_words = "" };
    ssh_answer_read(&answer, &result, MARK);
    *ret_output = answer.begun ? g_strndup(answer.output, answer.bytes) : g_strdup(answer.last_words);
    ssh_answer_done(&answer);
    return answer.begun && answer.ended ? answer.status : -1;
}

static void test_words_stay_words(void)
{
    const char *argv[] = { "/bin/sh", "-c", "printf '%s|' \"$WITH\" \"$HOME\" \"$1\"; exit 190", "-", "a'b $(id) *", NULL };
    g_autofree char *output = NULL;

    g_assert_cmpint(run(argv, NULL, US_PER_S, &output), ==, 190);
    g_assert_cmpstr(output, ==, "it's \"$HOME\"||a'b $(id) *|");
}

static void test_its_deadline_holds_there(void)
{
    const char *argv[] = { "/bin/sleep", "20", NULL };
    int64_t begun_us = clock_now_us();
    g_autofree char *output = NULL;

    g_assert_cmpint(run(argv, NULL, US_PER_S / 2, &output), ==, 124); /* whole seconds */
    g_assert_cmpint(clock_now_us() - begun_us, <, 10 * US_PER_S);
}

static void test_missing_and_not_executable(void)
{
    const char *none[] = { "/no/such/program", NULL }, *data[] = { "/etc/passwd", NULL };
    g_autofree char *first = NULL, *second = NULL;

    g_assert_cmpint(run(none, NULL, US_PER_S, &first), ==, 127);
    g_assert_cmpint(run(data, NULL, US_PER_S, &second), ==, 126);
}

static void test_refused_is_not_run(void)
{
    const char *argv[] = { "/bin/true", NULL };
    g_autofree char *first = NULL, *second = NULL;

    g_assert_cmpint(run(argv, "sh -c 'echo not you >&2; exit 1' -", US_PER_S, &first), ==, -1);
    g_assert_cmpstr(first, ==, "not you");
    g_assert_cmpint(run(argv, "env", US_PER_S, &second), ==, 0);
}

static SshAnswer answer_of(const char *output, size_t bytes, const char *words)
{
    const ChildResult result = { .output = output, .output_bytes = bytes, .words = words, .last_words = "" };
    SshAnswer answer;

    ssh_answer_read(&answer, &result, MARK);
    return answer;
}

static void test_the_end_must_be_there(void)
{
    static const char whole[] = "first\nmend-0 1\nlast \033 words\n\nmend-0 7\n";
    SshAnswer answer = answer_of("", 0, whole);

    g_assert_true(answer.ended && !answer.begun);
    g_assert_cmpint(answer.status, ==, 7); /* the last one: what a program prints does not end it */
    g_assert_cmpstr(answer.last_words, ==, "last   words");
    ssh_answer_done(&answer);
    for (size_t cut = 0; cut < strlen(whole); cut++) {
        g_autofree char *part = g_strndup(whole, cut);

        answer = answer_of("", 0, part);
        g_assert_false(answer.ended && answer.status == 7);
        ssh_answer_done(&answer);
    }
    for (const char *const *bad = (const char *const[]){ "mend-0 7\n", "\nmend-0 -1\n", "\nmend-0 256\n", "\nmend-0 4294967296\n", "\nmend-0 99999999999999999999\n", "\nmend-0  7\n", "\nmend-0 +7\n", "\nmend-0 7x\n", "\nmend-0 \n", NULL }; *bad != NULL; bad++) {
        answer = answer_of("", 0, *bad);
        g_assert_false(answer.ended);
        ssh_answer_done(&answer);
    }
}

static void test_output_may_be_any_bytes(void)
{
    static const char output[] = "Welcome!\0 Last login…mend-0 begin\na\0b\xff\nmend-0 begin\n";
    SshAnswer answer = answer_of(output, sizeof output - 1, "\xff\xfe\nmend-0 0\n");

    g_assert_true(answer.begun && answer.ended);
    g_assert_cmpmem(answer.output, answer.bytes, "a\0b\xff\nmend-0 begin\n", sizeof "a\0b\xff\nmend-0 begin\n" - 1);
    g_assert_true(g_utf8_validate(answer.last_words, -1, NULL));
    ssh_answer_done(&answer);
}

static void explains(const char *words, const char *part)
{
    const SshLinkOptions options = { .name = "web", .host = "10.0.0.5", .port = 2222, .user = "root", .identity = "/k", .known_hosts = "/h" };
    g_autofree char *text = ssh_words_explained(words, words, &options);

    if (strstr(text, part) == NULL)
        g_error("'%s' has no '%s'", text, part);
}

static void test_ssh_is_explained(void)
{
    explains("No ED25519 host key is known for [10.0.0.5]:2222 and you have requested strict checking.", "ssh-keyscan -p 2222 10.0.0.5");
    explains("debug1: sshconnect.c:verify_host_key():1477 (pid=1): Server host key: ssh-ed25519 SHA256:w98A+3h/3ief\n"
             "No ED25519 host key is known for [10.0.0.5]:2222 and you have requested strict checking.",
             "is not known (SHA256:w98A+3h/3ief): compare");
    explains("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "has changed");
    explains("root@10.0.0.5: Permission denied (publickey).", "does not let root in with /k");
    explains("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @", "chmod 600");
    explains("ssh: connect to host 10.0.0.5 port 2222: Connection refused", "Connection refused");
    explains("", "without a word");
    explains("debug1: sshconnect.c:verify_host_key():1477 (pid=1): Server host key: ssh-ed25519 SHA256:w98A", "without a word");
    g_assert_false(ssh_words_refused("debug1: sshconnect.c:verify_host_key():1477 (pid=1): Server host key: ssh-ed25519 SHA256:w98A\nTimeout"));
    g_assert_true(ssh_words_refused("root@10.0.0.5: Permission denied (publickey)."));
}

static void test_no_session_is_not_run(void)
{
    const char *why;

    g_assert_true(ssh_words_no_session("mux_client_request_session: session request failed: Session open refused by peer", &why));
    g_assert_nonnull(strstr(why, "--sessions"));
    g_assert_false(ssh_words_no_session("client_loop: send disconnect: Broken pipe", &why));
}

static void note_turn(void *user) { ++*(int *) user; }

static void test_the_gate_lets_so_many_in(void)
{
    SshGate *gate = ssh_gate_new(2);
    SshPass passes[4] = { 0 };
    int turns[4] = { 0 };

    for (int i = 0; i < 4; i++)
        ssh_gate_enter(gate, &passes[i], note_turn, &turns[i]);
    g_assert_true(turns[0] == 1 && turns[1] == 1 && turns[2] == 0 && turns[3] == 0);
    ssh_gate_leave(gate, &passes[2]); /* while it waits */
    ssh_gate_leave(gate, &passes[0]);
    ssh_gate_leave(gate, &passes[0]); /* once only */
    g_assert_true(turns[2] == 0 && turns[3] == 1);
    ssh_gate_leave(gate, &passes[1]);
    ssh_gate_leave(gate, &passes[3]);
    ssh_gate_enter(gate, &passes[2], note_turn, &turns[2]);
    g_assert_cmpint(turns[2], ==, 1);
    ssh_gate_leave(gate, &passes[2]);
    ssh_gate_free(gate);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ssh/command/words", test_words_stay_words);
    g_test_add_func("/ssh/command/deadline", test_its_deadline_holds_there);
    g_test_add_func("/ssh/command/missing", test_missing_and_not_executable);
    g_test_add_func("/ssh/command/end", test_the_end_must_be_there);
    g_test_add_func("/ssh/command/refused", test_refused_is_not_run);
    g_test_add_func("/ssh/command/bytes", test_output_may_be_any_bytes);
    g_test_add_func("/ssh/command/no-session", test_no_session_is_not_run);
    g_test_add_func("/ssh/gate", test_the_gate_lets_so_many_in);
    g_test_add_func("/ssh/explained", test_ssh_is_explained);
    return g_test_run();
}
