/* A plugin that is right in everything; each file of this folder breaks one thing by defining it before this is included. */
#ifndef TESTS_PLUGINS_BAD_H
#define TESTS_PLUGINS_BAD_H

#include "broker-plugin/plugin.h"

#include <stdlib.h>

#ifndef MAGIC
#define MAGIC MEND_MAGIC
#endif
#ifndef MAJOR
#define MAJOR MEND_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR MEND_ABI_MINOR
#endif
#ifndef SIZE
#define SIZE sizeof(mend_plugin)
#endif
#ifndef NEEDS
#define NEEDS 0
#endif
#ifndef SCHEMA
#define SCHEMA "{\"type\":\"object\"}"
#endif
#ifndef CREATE
#define CREATE good_create
#endif
#ifndef START
#define START good_start
#endif
#ifndef RELOAD
#define RELOAD good_reload
#endif
#ifndef DRAIN
#define DRAIN good_drain
#endif

typedef struct Self { mend_host *host; mend_id sub; mend_task_fn drained; void *drained_user; } Self;

__attribute__((unused)) static mend_rc good_create(mend_host *host, mend_str config, void **ret_self, mend_error *why)
{
    Self *self = calloc(1, sizeof *self);

    if (self == NULL)
        return MEND_ENOMEM;
    self->host = host;
    *ret_self = self;
    return MEND_OK;
}
__attribute__((unused)) static mend_rc good_start(void *self, mend_error *why) { return MEND_OK; }
__attribute__((unused)) static mend_rc good_reload(void *self, mend_str config, mend_error *why) { return MEND_OK; }
__attribute__((unused)) static void good_drain(void *self, mend_task_fn done, void *user) { done(user); }
static void good_destroy(void *self) { free(self); }

/* Subscribes @fn to the queue "work". */
__attribute__((unused)) static mend_rc listen_with(Self *self, int32_t mode, mend_message_fn fn)
{
    const mend_subscription wanted = { .size = sizeof wanted, .address = { "work", 4 }, .mode = mode, .window = 4 };

    return self->host->subscribe(self->host, &wanted, fn, self, &self->sub);
}

#define BAD_PLUGIN(NAME)                                                                                                  \
    const mend_plugin mend_plugin_v1 = { .magic = MAGIC, .abi_major = MAJOR, .abi_minor = MINOR, .size = SIZE, .name = NAME, \
        .version = "1", .config_schema = SCHEMA, .needs = NEEDS, .create = CREATE, .start = START, .reload = RELOAD,      \
        .drain = DRAIN, .destroy = good_destroy }

#endif
