/* Runs one plugin beside an existing AMQP 1.0 broker: behind plugin.h stands a client, and for each kind of broker a dialect
 * (docs/attach.md). The plugin starts once the broker is reached for the first time and stays while it is away.
 *
 * Thread: that of the thread-default main context at creation; everything, the plugin and callbacks included, runs there. */
#ifndef MEND_ATTACH_H
#define MEND_ATTACH_H

#include "lib/base/base.h"

typedef struct Attach Attach;

typedef struct AttachOptions { /* copied */
    const char *url;                    /* one, or several separated by commas: tried in turn */
    const char *user, *password, *ca_file; /* NULL user: anonymous */
    const char *management;             /* RabbitMQ: URL of its HTTP API; NULL: policies are somebody else's */
    const char *dialect;                /* NULL: the url's, or found out by what the broker says of itself */
    const char *plugin_path, *plugin_config; /* plugin_config NULL: "{}" */
    const char *state_folder;           /* NULL: in memory only */
    unsigned shards;                    /* seats beside the site's; needs a dialect that gives each subscriber its own results; 0: none */
    const char *const *subscribers;     /* durable subscriptions of mend.events to be made; NULL-terminated; NULL: none */
    void (*on_started)(const char *broker, const char *dialect, const char *table, void *user); /* once */
    void (*on_failed)(const char *why, void *user); /* the plugin was refused or gave up, or this broker cannot be attached to; once */
    void *callback_user;
} AttachOptions;

#define ATTACH_ERROR attach_error_quark()
GQuark attach_error_quark(void);
typedef enum { ATTACH_ERROR_DIALECT, ATTACH_ERROR_STATE } AttachError;

/* Starts connecting, for ever. NULL: the options are wrong. */
Attach *attach_new(const AttachOptions *options, GError **error);
/* Lets the plugin drain for at most 5 s, and what it published leave; then @done. Not from a callback. */
void attach_close(Attach *attach, void (*done)(void *user), void *user);
void attach_free(Attach *attach); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Attach, attach_free)

/* Metrics of the plugin, its calls, the connection. (transfer full) */
json_t *attach_statistics(Attach *attach);

/* What cannot be had with @dialect and what is done instead, a line each; NULL: no such dialect. Caller frees. */
char *attach_table(const char *dialect);

#endif
