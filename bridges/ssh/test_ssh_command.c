/* The text for the shell there, run by this machine's shell; and what ssh says, in words that help. */
#include "bridges/ssh/ssh_link.h"

#include "lib/base/clock.h"

#include <string.h>
#include <sys/wait.h>

#define MARK "mend-end-0"

/* Runs the text as sshd would; returns the program's exit status, -1: no mark. */
static int run(const char *const *argv, int64_t timeout_us, char **ret_output)
{
    static const char *const environment[] = { "PATH=/usr/bin:/bin", "WITH=it's \"$HOME\"", NULL };
    const ChildOptions options = { .argv = (char **) argv, .environment = (char **) environment };
    g_autofree char *text = ssh_command_text(&options, NULL, timeout_us, MARK), *output = NULL;
    const char *shell[] = { "/bin/sh", "-c", text, NULL };
    g_autoptr(GError) error = NULL;
    size_t bytes;
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **) shell, NULL, 0, NULL, NULL, &output, NULL, NULL, &error));
    g_assert_no_error(error);
    if (!ssh_command_end(output, strlen(output), MARK, &bytes, &status))
        return -1;
    *ret_output = g_strndup(output, bytes);
    return status;
}

static void test_words_stay_words(void)
{
    const char *argv[] = { "/bin/sh", "-c", "printf '%s|' \"$WITH\" \"$HOME\" \"$1\"; exit 190", "-", "a'b $(id) *", NULL };
    g_autofree char *output = NULL;

    g_assert_cmpint(run(argv, US_PER_S, &output), ==, 190);
    g_assert_cmpstr(output, ==, "it's \"$HOME\"||a'b $(id) *|");
}

static void test_its_deadline_holds_there(void)
{
    const char *argv[] = { "/bin/sleep", "20", NULL };
    int64_t begun_us = clock_now_us();
    g_autofree char *output = NULL;

    g_assert_cmpint(run(argv, US_PER_S / 2, &output), ==, 124); /* whole seconds */
    g_assert_cmpint(clock_now_us() - begun_us, <, 10 * US_PER_S);
}

static void test_missing_and_not_executable(void)
{
    const char *none[] = { "/no/such/program", NULL }, *data[] = { "/etc/passwd", NULL };
    g_autofree char *first = NULL, *second = NULL;

    g_assert_cmpint(run(none, US_PER_S, &first), ==, 127);
    g_assert_cmpint(run(data, US_PER_S, &second), ==, 126);
}

static void test_the_end_must_be_there(void)
{
    static const char whole[] = "a\nmend-end-0 1\nb\nmend-end-0 7\n";
    size_t bytes;
    int status;

    g_assert_true(ssh_command_end(whole, strlen(whole), MARK, &bytes, &status));
    g_assert_cmpint(status, ==, 7); /* the last one: what a program prints does not end it */
    g_assert_cmpuint(bytes, ==, strlen("a\nmend-end-0 1\nb"));
    for (size_t cut = 16; cut < strlen(whole); cut++)
        g_assert_false(ssh_command_end(whole, cut, MARK, &bytes, &status) && status == 7);
    g_assert_false(ssh_command_end("mend-end-0 7\n", 13, MARK, &bytes, &status));
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
    explains("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "has changed");
    explains("root@10.0.0.5: Permission denied (publickey).", "does not let root in with /k");
    explains("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @", "chmod 600");
    explains("ssh: connect to host 10.0.0.5 port 2222: Connection refused", "Connection refused");
    explains("", "without a word");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ssh/command/words", test_words_stay_words);
    g_test_add_func("/ssh/command/deadline", test_its_deadline_holds_there);
    g_test_add_func("/ssh/command/missing", test_missing_and_not_executable);
    g_test_add_func("/ssh/command/end", test_the_end_must_be_there);
    g_test_add_func("/ssh/explained", test_ssh_is_explained);
    return g_test_run();
}
