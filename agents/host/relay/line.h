/* One guest's line: its port or its vsock connection, and its connection to the broker. Thread: the main loop's. */
#ifndef MEND_HOST_RELAY_LINE_H
#define MEND_HOST_RELAY_LINE_H

#include "lib/base/base.h"

#include <gio/gio.h>

typedef struct Line Line;

typedef struct LineOptions { /* outlives the line */
    GSocketConnectable *broker;
    char *broker_name; /* for people */
    uint64_t bytes_per_s;
} LineOptions;

/* Over the port whose host's end is the UNIX socket @path: opened now and again until line_free(). */
Line *line_new_port(const LineOptions *options, const char *vm, const char *path);
const char *line_path(const Line *line); /* NULL for vsock */
/* Over a connection of vsock (consumed); one at a time: another one takes the place of the first. */
Line *line_new_vsock(const LineOptions *options, const char *vm);
void line_take_vsock(Line *line, int fd);
bool line_is_open(const Line *line);
void line_free(Line *line);

#endif
