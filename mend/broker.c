/* `mend broker`: the embedded broker alone, in the foreground. */
#include "broker-plugin/hosts/embedded/broker.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "mend/verbs.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static gboolean on_stop(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_statistics(gpointer broker)
{
    g_autoptr(json_t) statistics = broker_statistics(broker);
    g_autofree char *text = json_pretty(statistics);

    fprintf(stderr, "%s\n", text);
    return G_SOURCE_CONTINUE;
}

/* Every peer is a descriptor: take all the system allows. */
static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(const BrokerSettings *settings)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, false);
    g_autoptr(Broker) broker = broker_new(settings, NULL, &error);

    if (broker == NULL || !broker_start(broker, &error)) {
        fprintf(stderr, "mend broker: %s\n", error->message);
        return 1;
    }
    g_unix_signal_add(SIGTERM, on_stop, loop);
    g_unix_signal_add(SIGINT, on_stop, loop);
    g_unix_signal_add(SIGUSR1, on_statistics, broker);
    printf("mend broker: listening on %s\n", broker_listening(broker));
    fflush(stdout);
    g_main_loop_run(loop);
    broker_stop(broker);
    return 0;
}

int verb_broker(char **argv)
{
    BrokerSettings settings = {0};
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) rest = NULL;
    int rc;

    for (char **arg = argv + 1; *arg != NULL; arg++)
        if (strcmp(*arg, "--help") == 0) {
            printf("usage: mend broker [options]\n\nRuns the message broker. SIGTERM stops it; SIGUSR1 prints its statistics to stderr.\n\n");
            settings_help(broker_settings_rows, n_broker_settings_rows);
            return 0;
        }
    log_open("mend broker", LOG_LEVEL_NOTICE);
    signal(SIGPIPE, SIG_IGN);
    raise_limits();
    broker_settings_init(&settings);
    if (!settings_read(broker_settings_rows, n_broker_settings_rows, &settings, argv, &rest, &error)) {
        fprintf(stderr, "mend broker: %s\n", error->message);
        return 2;
    }
    if (rest != NULL && rest[0] != NULL) {
        fprintf(stderr, "mend broker: not expected: \"%s\"\n", rest[0]);
        return 2;
    }
    rc = run(&settings);
    settings_done(broker_settings_rows, n_broker_settings_rows, &settings);
    return rc;
}
