/* `mend broker`: the bus alone, in the foreground. */
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "mend/bus.h"
#include "mend/foreground.h"
#include "mend/verbs.h"

#include <stdio.h>

static void report(void *user)
{
    g_autoptr(json_t) statistics = bus_statistics(user);
    g_autofree char *text = json_pretty(statistics);

    fprintf(stderr, "%s\n", text);
}

static int run(const BusSettings *settings)
{
    g_autoptr(GError) error = NULL;
    Bus *bus = bus_start(settings, &error);

    if (bus == NULL) {
        fprintf(stderr, "mend broker: %s\n", error->message);
        return 1;
    }
    printf("mend broker: listening on %s\n", bus_listening(bus));
    fflush(stdout);
    foreground_run(NULL, report, bus);
    bus_stop(bus);
    return 0;
}

int verb_broker(char **argv)
{
    g_autoptr(GArray) rows = bus_settings_rows(NULL, 0);
    BusSettings settings = { 0 };
    int status;

    log_open("mend broker", LOG_LEVEL_NOTICE);
    if (!foreground_settings("broker", "usage: mend broker [options]\n\nRuns the message broker with its plugin. SIGTERM stops it; SIGUSR1 "
                             "prints its statistics to stderr.\n", rows, &settings, argv, NULL, &status))
        return status;
    status = run(&settings);
    settings_done((const Setting *) (const void *) rows->data, rows->len, &settings);
    return status;
}
