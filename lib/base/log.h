/* One log for every program: libraries return errors, mains and services log (a decision is one line). Goes to stderr, or to the
 * journal when stderr is the journal. Thread: any. */
#ifndef MEND_BASE_LOG_H
#define MEND_BASE_LOG_H

#include "lib/base/base.h"

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } LogLevel;

/* @program: name before every line, kept (static string). Lines above @level are dropped. */
void log_open(const char *program, LogLevel level);
/* "error" "warning" "notice" "info" "debug"; false: none of them. */
bool log_level_parse(const char *text, LogLevel *ret_level);
/* Where this code is a guest in somebody else's program: lines go to @sink, bare, instead of stderr. Static; before other threads log. */
void log_divert(void (*sink)(LogLevel level, const char *text));
void log_line(LogLevel level, const char *format, ...) G_GNUC_PRINTF(2, 3);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
