/* Fence agents that are shell scripts of this test: what reaches them, and what becomes of how they end. */
#include "agents/host/fence/device.h"
#include "lib/base/clock.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#define SECRET "c0rrect-horse"
#define META                                                                                                                              \
    "<resource-agent name=\"fence_test\" shortdesc=\"t\"><parameters><parameter name=\"action\" required=\"1\"/>"                        \
    "<parameter name=\"ip\" required=\"1\"/><parameter name=\"mode\"/><parameter name=\"password\" obsoletes=\"passwd\"/>"               \
    "<parameter name=\"passwd\" deprecated=\"1\"/><parameter name=\"plug\"/></parameters>"                                               \
    "<actions><action name=\"off\"/><action name=\"on\"/><action name=\"status\"/></actions></resource-agent>"

typedef struct World {
    char *folder, *agent;
    FencingFile *file;
    FenceDevices *devices;
    unsigned answers;
    FenceSays says;
    bool hopeless;
    char *text;
} World;

/* @script: what the agent does after its metadata. @more: of the device. */
static World *world_new(const char *script, const char *more)
{
    World *world = g_new0(World, 1);
    g_autofree char *text = NULL, *whole = NULL;
    g_autoptr(GError) error = NULL;

    world->folder = g_dir_make_tmp("fence-XXXXXX", &error);
    world->agent = g_build_filename(world->folder, "fence_test", NULL);
    whole = g_strdup_printf("#!/bin/sh\ncd %s\n[ \"$1$2\" = -ometadata ] && { echo m >> runs; echo '%s'; exit 0; }\ncat > in\n"
                            "cat /proc/$$/cmdline /proc/$PPID/cmdline > seen\n%s\n", world->folder, META, script);
    g_file_set_contents(world->agent, whole, -1, &error);
    g_assert_no_error(error);
    g_chmod(world->agent, 0700);
    text = g_strdup_printf("fencing: 1\ndevices: [{name: d, agent: %s, parameters: {ip: 10.0.0.1%s}, plugs: {h: '3', g: '4'}, timeout: 1s%s}]\n"
                           "hosts: [{name: h, levels: [d]}, {name: g, levels: [d]}]\n", world->agent,
                           strstr(more, "password") != NULL ? "" : ", password: " SECRET, more);
    world->file = fencing_file_parse("f", text, strlen(text), &error);
    g_assert_no_error(error);
    world->devices = fence_devices_new(world->file, world->folder);
    return world;
}

static char *read_in(World *world, const char *name)
{
    g_autofree char *path = g_build_filename(world->folder, name, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static void remove_in(World *world, const char *name)
{
    g_autofree char *path = g_build_filename(world->folder, name, NULL);

    g_remove(path);
}

static void world_free(World *world)
{
    fence_devices_free(world->devices);
    fencing_file_free(world->file);
    remove_in(world, "fence_test");
    remove_in(world, "in");
    remove_in(world, "seen");
    remove_in(world, "runs");
    remove_in(world, "pid");
    g_rmdir(world->folder);
    g_free(world->folder);
    g_free(world->agent);
    g_free(world->text);
    g_free(world);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static void on_answer(const FenceAnswer *answer, void *user)
{
    World *world = user;

    world->answers++;
    world->says = answer->says;
    world->hopeless = answer->hopeless;
    g_free(world->text);
    world->text = g_strdup(answer->text);
}

static void ask(World *world, const char *host, FenceAction action)
{
    FenceAsker asker = fence_devices_asker(world->devices);

    asker.ask(asker.self, world->file->devices->pdata[0], fencing_file_host(world->file, host, NULL), action, clock_now_us() + 20 * US_PER_S,
              on_answer, world);
}

static void ask_and_wait(World *world, FenceAction action)
{
    unsigned answers = world->answers;

    ask(world, "h", action);
    while (world->answers == answers)
        g_main_context_iteration(NULL, TRUE);
}

static void assert_says(const char *script, FenceAction action, FenceSays says, const char *text)
{
    g_autoptr(World) world = world_new(script, "");

    ask_and_wait(world, action);
    g_assert_cmpstr(world->text, ==, text);
    g_assert_cmpint(world->says, ==, says);
}

static void test_exit_statuses(void)
{
    g_autoptr(World) killed = world_new("kill -9 $$", "");

    ask_and_wait(killed, FENCE_ON);
    g_assert_true(g_str_has_suffix(killed->text, " was ended by signal 9"));
    assert_says("exit 0", FENCE_OFF, FENCE_SAYS_DONE, NULL);
    assert_says("echo 'Status: ON'; exit 0", FENCE_STATUS, FENCE_SAYS_ON, NULL);
    assert_says("echo 'Status: OFF'; exit 2", FENCE_STATUS, FENCE_SAYS_OFF, NULL);
    assert_says("exit 2", FENCE_OFF, FENCE_SAYS_FAILED, "it failed and did not say why");
    assert_says("echo 'x ERROR: no such plug' >&2; exit 1", FENCE_OFF, FENCE_SAYS_FAILED, "no such plug");

}

/* "Off" lets a VM start elsewhere: a shell that cannot read a script ends with 2 as well. */
static void test_off_must_be_said(void)
{
    g_autoptr(World) silent = world_new("exit 2", ""), both = world_new("echo Status: OFF; exit 0", ""), word = world_new("echo offline; exit 2", "");

    ask_and_wait(silent, FENCE_STATUS);
    g_assert_cmpint(silent->says, ==, FENCE_SAYS_FAILED);
    g_assert_true(g_str_has_suffix(silent->text, "ended with 2, which says off, and said nothing of OFF: neither is believed"));
    ask_and_wait(both, FENCE_STATUS);
    g_assert_cmpint(both->says, ==, FENCE_SAYS_FAILED);
    ask_and_wait(word, FENCE_STATUS);
    g_assert_cmpint(word->says, ==, FENCE_SAYS_FAILED);
}

static void test_what_it_is_told(void)
{
    g_autoptr(World) world = world_new("exit 0", "");
    g_autofree char *in = NULL, *seen = NULL, *runs = NULL;

    ask_and_wait(world, FENCE_OFF);
    in = read_in(world, "in");
    g_assert_cmpstr(in, ==, "action=off\nplug=3\nip=10.0.0.1\npassword=" SECRET "\n");
    ask_and_wait(world, FENCE_OFF);
    runs = read_in(world, "runs");
    g_assert_cmpstr(runs, ==, "m\n"); /* its metadata was asked for once */
    seen = read_in(world, "seen");
    g_assert_null(strstr(seen, SECRET));
}

static void test_secrets_stay_inside(void)
{
    g_autoptr(World) world = world_new("cat in >&2; echo; cat in; exit 1", "");
    g_autoptr(World) unknown = world_new("exit 0", ", secrets: {pasword: /none/" SECRET "}");

    ask_and_wait(world, FENCE_OFF);
    g_assert_cmpstr(world->text, ==, "password=[secret]");
    ask_and_wait(unknown, FENCE_OFF);
    g_assert_true(unknown->hopeless);
    g_assert_nonnull(strstr(unknown->text, "has no parameter 'pasword'; did you mean password"));
}

/* The beginning of what was said is lost, and the secret may have begun there. */
static void test_half_a_secret_is_not_shown(void)
{
    g_autoptr(World) world = world_new("head -c 3000 /dev/zero | tr '\\0' x >&2; printf '%s' " SECRET " >&2; exit 1", "");
    g_autoptr(World) half = world_new("printf '" SECRET "%1018s' '' | tr ' ' y >&2; exit 1", "");

    ask_and_wait(world, FENCE_OFF);
    g_assert_cmpstr(world->text, ==, "(it said too much to show)");
    ask_and_wait(half, FENCE_OFF);
    g_assert_null(strstr(half->text, "horse"));
}

static void test_a_hanging_agent_is_ended_with_all_it_started(void)
{
    g_autoptr(World) world = world_new("sleep 100 & echo $! > pid; wait", "");
    int64_t began_us = clock_now_us();
    g_autofree char *pid = NULL;

    ask_and_wait(world, FENCE_OFF);
    g_assert_cmpint(world->says, ==, FENCE_SAYS_FAILED);
    g_assert_nonnull(strstr(world->text, "no answer in time to 'off'"));
    g_assert_cmpint(clock_now_us() - began_us, <, 10 * US_PER_S);
    pid = read_in(world, "pid");
    g_assert_cmpint(atoi(pid), >, 1);
    for (unsigned i = 0; i < 100 && kill(atoi(pid), 0) == 0; i++) { /* its new parent has yet to reap it */
        g_autofree char *path = g_strdup_printf("/proc/%d/stat", atoi(pid)), *stat = NULL;

        if (g_file_get_contents(path, &stat, NULL, NULL) && strstr(stat, ") Z ") != NULL)
            break;
        g_assert_cmpuint(i, <, 99);
        g_usleep(20 * US_PER_MS);
    }
}

static void test_one_at_a_time(void)
{
    g_autoptr(World) world = world_new("[ -e pid ] && { echo 'x ERROR: two at once' >&2; exit 1; }; echo 1 > pid; sleep 0.05; rm pid; exit 0", "");

    for (unsigned i = 0; i < 4; i++)
        ask(world, i % 2 ? "h" : "g", FENCE_ON);
    while (world->answers < 4) {
        g_main_context_iteration(NULL, TRUE);
        g_assert_cmpint(world->says == FENCE_SAYS_DONE || world->answers == 0, ==, true);
    }
}

static void test_forget(void)
{
    g_autoptr(World) world = world_new("sleep 5", "");
    FenceAsker asker = fence_devices_asker(world->devices);
    World other = { 0 };

    asker.ask(asker.self, world->file->devices->pdata[0], world->file->hosts->pdata[0], FENCE_ON, clock_now_us() + US_PER_S / 5, on_answer, &other);
    ask(world, "h", FENCE_OFF);
    g_main_context_iteration(NULL, TRUE);
    asker.forget(asker.self, world);
    while (other.answers == 0)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(world->answers, ==, 0);
    g_free(other.text);
}

static void test_files_that_do_not_fit(void)
{
    g_autoptr(World) same = world_new("exit 0", ", plug_parameter: mode"), missing = world_new("exit 0", "");
    g_autoptr(World) secret = world_new("exit 0", ", password_file: nowhere");

    g_free(((FencePlug *) ((FenceDevice *) same->file->devices->pdata[0])->plugs->pdata[1])->plug);
    ((FencePlug *) ((FenceDevice *) same->file->devices->pdata[0])->plugs->pdata[1])->plug = g_strdup("3");
    ask_and_wait(same, FENCE_OFF);
    g_assert_true(same->hopeless);
    g_assert_nonnull(strstr(same->text, "has the same plug '3' for h and g"));
    g_remove(missing->agent);
    ask_and_wait(missing, FENCE_OFF);
    g_assert_true(missing->hopeless);
    ask_and_wait(secret, FENCE_OFF);
    g_assert_cmpstr(secret->text, ==, "./nowhere: No such file or directory");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/device/exit-statuses", test_exit_statuses);
    g_test_add_func("/fence/device/off-must-be-said", test_off_must_be_said);
    g_test_add_func("/fence/device/what-it-is-told", test_what_it_is_told);
    g_test_add_func("/fence/device/secrets", test_secrets_stay_inside);
    g_test_add_func("/fence/device/half-a-secret", test_half_a_secret_is_not_shown);
    g_test_add_func("/fence/device/hanging", test_a_hanging_agent_is_ended_with_all_it_started);
    g_test_add_func("/fence/device/one-at-a-time", test_one_at_a_time);
    g_test_add_func("/fence/device/forget", test_forget);
    g_test_add_func("/fence/device/do-not-fit", test_files_that_do_not_fit);
    return g_test_run();
}
