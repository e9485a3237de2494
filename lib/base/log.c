/* Lines are written with one write(2) each, so lines of several threads and processes do not mix. Under systemd the priority
 * goes before the line as sd-daemon(3) has it; on a terminal or in a file the time does. */
#include "lib/base/log.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *program;
    LogLevel level;
    bool journal;
    void (*sink)(LogLevel level, const char *text);
} log_to = { "mend", LOG_LEVEL_INFO, false, NULL };

static const struct {
    const char *name;
    int syslog;
} log_levels[] = {
    [LOG_LEVEL_ERROR] = { "error", 3 }, [LOG_LEVEL_WARNING] = { "warning", 4 }, [LOG_LEVEL_NOTICE] = { "notice", 5 },
    [LOG_LEVEL_INFO] = { "info", 6 },   [LOG_LEVEL_DEBUG] = { "debug", 7 },
};

void log_open(const char *program, LogLevel level)
{
    log_to.program = program;
    log_to.level = level;
    log_to.journal = g_getenv("JOURNAL_STREAM") != NULL;
}

void log_divert(void (*sink)(LogLevel level, const char *text)) { log_to.sink = sink; }

bool log_level_parse(const char *text, LogLevel *ret_level)
{
    for (size_t i = 0; i < G_N_ELEMENTS(log_levels); i++)
        if (g_strcmp0(text, log_levels[i].name) == 0) {
            *ret_level = (LogLevel) i;
            return true;
        }
    return false;
}

void log_line(LogLevel level, const char *format, ...)
{
    va_list arguments;

    if (level > log_to.level)
        return;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    /* What a peer sent may be in the text: no line breaks, no terminal control. */
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char) *c < ' ' || *c == 0x7f)
            *c = ' ';
    if (log_to.sink != NULL) {
        log_to.sink(level, text);
        return;
    }

    g_autofree char *time = log_to.journal ? g_strdup_printf("<%d>", log_levels[level].syslog) : time_format(clock_wall_us());
    g_autofree char *line = g_strdup_printf("%s%s%s: %s%s%s\n", time, log_to.journal ? "" : " ", log_to.program,
                                            level <= LOG_LEVEL_WARNING ? log_levels[level].name : "",
                                            level <= LOG_LEVEL_WARNING ? ": " : "", text);
    if (write(STDERR_FILENO, line, strlen(line)) < 0)
        return; /* nowhere left to say so */
}
