/* The program around a system: its settings, what it says when something is wrong, and an agent's whole life without a broker. */
#include "bridges/common/bridge.h"
#include "bridges/common/bridge_agent.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#define GUEST "6f1a2b3c-0000-4000-8000-000000000001"

typedef struct Own {
    char *colour;
    int64_t many;
} Own;

typedef struct State {
    Bridge *bridge;
    BridgeAgent *agent;
} State;

static const Setting own_rows[] = {
    { "colour", SETTING_STRING, offsetof(Own, colour), 0, 0, "red", "WORD of a system's own" },
    { "many", SETTING_INTEGER, offsetof(Own, many), 1, 10, "3", "a number of its own" },
};

static char *seen_colour, *seen_data;
static int64_t seen_many;
static uint32_t seen_epoch;
static int n_stopped;

static void on_online(bool online, void *user) {}

static gboolean end_soon(void *unused)
{
    raise(SIGTERM);
    return G_SOURCE_REMOVE;
}

static void *start(Bridge *bridge, const void *settings, GError **error)
{
    static const char *const capabilities[] = { "commands", NULL };
    const Own *own = settings;
    const BridgeAgentOptions options = { .product = "mend-test", .user_prefix = "agent-", .id = GUEST, .hostname = "far",
                                         .capabilities = capabilities, .on_online = on_online };
    BridgeAgent *agent = bridge_agent_new(bridge, &options, error);
    State *state;

    if (agent == NULL)
        return NULL;
    seen_colour = g_strdup(own->colour);
    seen_many = own->many;
    seen_data = g_strdup(bridge_agent_data(agent));
    seen_epoch = bridge_agent_identity(agent)->epoch;
    bridge_agent_set_life(agent, "boot-1", NULL);
    g_assert_cmpstr(bridge_agent_identity(agent)->boot_id, ==, "boot-1");
    g_assert_cmpstr(bridge_agent_identity(agent)->hostname, ==, "far");
    bridge_agent_set_reach(agent, "no route; is its address right?");
    bridge_agent_start(agent);
    state = g_new(State, 1);
    *state = (State) { bridge, agent };
    g_timeout_add(20, end_soon, NULL);
    return state;
}

static void close_state(void *state) { bridge_agent_close(((State *) state)->agent); }

static void stop(void *data)
{
    State *state = data;

    n_stopped++;
    bridge_agent_free(state->agent);
    g_free(state);
}

static const BridgeSystem far = { .name = "far", .about = "a system far away", .rows = own_rows, .n_rows = G_N_ELEMENTS(own_rows),
                                  .settings_bytes = sizeof(Own), .start = start, .close = close_state, .stop = stop };
static const BridgeSystem *const systems[] = { &far };

static int run(const char *line)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);

    g_clear_pointer(&seen_colour, g_free);
    g_clear_pointer(&seen_data, g_free);
    return bridge_main(systems, 1, argv);
}

static void test_lives(void)
{
    g_autofree char *data = g_dir_make_tmp("mend-bridge-XXXXXX", NULL);
    g_autofree char *line = g_strdup_printf("mend-bridge far --anonymous --broker amqp://127.0.0.1:1 --colour blue --data %s", data);
    g_autofree char *folder = g_build_filename(data, "far", GUEST, NULL), *rm = g_strdup_printf("rm -r '%s'", data);

    g_assert_cmpint(run(line), ==, 0);
    g_assert_cmpstr(seen_colour, ==, "blue");
    g_assert_cmpint(seen_many, ==, 3);
    g_assert_cmpstr(seen_data, ==, folder);
    g_assert_cmpuint(seen_epoch, ==, 1);
    g_assert_cmpint(n_stopped, ==, 1);
    g_assert_cmpint(run(line), ==, 0);
    g_assert_cmpuint(seen_epoch, ==, 2);
    g_assert_cmpint(system(rm), ==, 0);
}

static void says(const char *line, const char *text, int status)
{
    if (g_test_subprocess()) {
        exit(run(line));
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_assert_cmpint(status == 0 ? g_test_trap_has_passed() : !g_test_trap_has_passed(), ==, 1);
    g_test_trap_assert_stderr(text);
}

static void test_unknown_system(void) { says("mend-bridge fat", "*no system 'fat'; did you mean 'far'?*", 2); }
static void test_bad_setting(void) { says("mend-bridge far --many 11", "*many*11*", 1); }
static void test_no_credentials(void) { says("mend-bridge far --credentials /none --data /proc/none", "*mend-test far: *", 1); }

static void test_help(void)
{
    if (g_test_subprocess())
        exit(run("mend-bridge far --help"));
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
    g_test_trap_assert_stdout("*--credentials*--colour*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bridge/lives", test_lives);
    g_test_add_func("/bridge/unknown-system", test_unknown_system);
    g_test_add_func("/bridge/bad-setting", test_bad_setting);
    g_test_add_func("/bridge/no-credentials", test_no_credentials);
    g_test_add_func("/bridge/help", test_help);
    int status = g_test_run();

    g_free(seen_colour);
    g_free(seen_data);
    return status;
}
