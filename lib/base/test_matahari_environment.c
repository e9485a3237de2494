#include "lib/base/matahari_environment.h"

static void expect(const char *broker, const char *port, const char *url)
{
    g_autofree char *found = NULL;

    g_unsetenv("MATAHARI_BROKER");
    g_unsetenv("MATAHARI_PORT");
    if (broker != NULL)
        g_setenv("MATAHARI_BROKER", broker, true);
    if (port != NULL)
        g_setenv("MATAHARI_PORT", port, true);
    found = matahari_environment_url();
    g_assert_cmpstr(found, ==, url);
}

static void test_as_mataharis_tools_read_it(void)
{
    expect(NULL, NULL, NULL);
    expect("", "", NULL);
    expect("bus.example", NULL, "amqp://bus.example:49000");
    expect("bus.example", "5672", "amqp://bus.example:5672");
    expect(NULL, "5672", "amqp://127.0.0.1:5672");
    expect("fd00::1", NULL, "amqp://[fd00::1]:49000");
    expect("amqp+srv://example", NULL, "amqp+srv://example");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/matahari-environment/as-mataharis-tools-read-it", test_as_mataharis_tools_read_it);
    return g_test_run();
}
