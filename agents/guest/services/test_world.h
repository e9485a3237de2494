/* A temporary machine for the tests of the services: folders, memory, lanes, the main loop, and what was reported. */
#ifndef MEND_GUEST_TEST_WORLD_H
#define MEND_GUEST_TEST_WORLD_H

#include "agents/guest/services/lanes.h"
#include "agents/guest/services/memory.h"
#include "agents/guest/services/notify.h"
#include "agents/guest/services/service.h"
#include "agents/guest/services/systemd.h"
#include "lib/base/clock.h"

#include <glib/gstdio.h>

typedef struct World {
    char *folder, *ocf_root, *init_dir;
    ServiceHost host;
    Lanes *lanes;
    Service *service;
    GString *story;  /* "state/intent " of every change */
    int rc;          /* of the last operation; -1: none ended */
    char *text;
} World;

static inline World *world_new(const char *bus_address)
{
    World *w = g_new0(World, 1);
    const char *source = g_getenv("MEND_SOURCE_DIR");
    g_autofree char *data = NULL, *socket = NULL;

    w->folder = g_dir_make_tmp("mend-XXXXXX", NULL);
    w->ocf_root = g_build_filename(source, "tests/agents/ocf", NULL);
    w->init_dir = g_build_filename(source, "tests/agents/init.d", NULL);
    data = g_build_filename(w->folder, "data", NULL);
    socket = g_build_filename(w->folder, "notify", NULL);
    w->host = (ServiceHost){.ocf_root = w->ocf_root, .init_dir = w->init_dir, .systemd = systemd_new(bus_address),
                            .notify = notify_socket_new(socket, NULL), .memory = memory_new(data, NULL)};
    g_assert_nonnull(w->host.notify);
    g_assert_nonnull(w->host.memory);
    w->lanes = lanes_new();
    w->story = g_string_new(NULL);
    w->rc = -1;
    return w;
}

static inline void world_changed(Service *service, void *user)
{
    World *w = user;
    const ServiceReport *report = service_report(service);

    g_string_append_printf(w->story, "%s/%s ", service_state_name(report->state), service_intent_name(report->intent));
}

/* @json: long form; %s stands for the world's folder, as often as it appears. */
static inline void world_watch(World *w, const char *json)
{
    g_auto(GStrv) parts = g_strsplit(json, "%s", -1);
    g_autofree char *text = g_strjoinv(w->folder, parts);
    g_autoptr(json_t) object = json_loads(text, 0, NULL);
    g_autoptr(GError) error = NULL;
    ServiceSpec *spec;

    g_assert_nonnull(object);
    spec = service_spec_from_json(object, NULL, &error);
    g_assert_no_error(error);
    w->service = service_new(spec, &w->host, w->lanes, world_changed, w, &error);
    g_assert_no_error(error);
    service_watch(w->service);
}

static inline void world_restart_agent(World *w) /* as a new agent would find it */
{
    g_clear_pointer(&w->service, service_free);
    g_string_truncate(w->story, 0);
}

static inline void world_free(World *w)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", w->folder);

    service_free(w->service);
    lanes_free(w->lanes);
    systemd_free(w->host.systemd);
    notify_socket_free(w->host.notify);
    memory_free(w->host.memory);
    g_string_free(w->story, TRUE);
    g_assert_cmpint(system(command), ==, 0);
    g_free(w->folder);
    g_free(w->ocf_root);
    g_free(w->init_dir);
    g_free(w->text);
    g_free(w);
}

/* Turns the loop until @condition; 20 s without it fails the test. */
#define WAIT_FOR(condition)                                                       \
    do {                                                                          \
        int64_t until_us = clock_now_us() + 20 * US_PER_S;                        \
        guint waker = g_timeout_add(20, (GSourceFunc) world_tick, NULL);          \
        while (!(condition)) {                                                    \
            if (clock_now_us() > until_us)                                        \
                g_error("%s:%d: never true: %s", __FILE__, __LINE__, #condition); \
            g_main_context_iteration(NULL, TRUE);                                 \
        }                                                                         \
        g_source_remove(waker);                                                   \
    } while (0)

static inline gboolean world_tick(void *unused)
{
    return G_SOURCE_CONTINUE;
}

static inline void world_acted(Service *service, int rc, const char *text, void *user)
{
    World *w = user;

    w->rc = rc;
    g_free(w->text);
    w->text = g_strdup(text);
}

static inline int world_act(World *w, const char *action, int64_t timeout_us)
{
    w->rc = -1;
    service_act(w->service, action, INTENT_COMMAND, clock_now_us() + timeout_us, world_acted, w);
    WAIT_FOR(w->rc != -1);
    return w->rc;
}

static inline bool world_is(const World *w, ServiceState state, ServiceIntent intent)
{
    const ServiceReport *report = service_report(w->service);

    return report->state == state && report->intent == intent;
}

static inline void world_write(const World *w, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(w->folder, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static inline bool world_has(const World *w, const char *name)
{
    g_autofree char *path = g_build_filename(w->folder, name, NULL);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static inline char *world_read(const World *w, const char *name)
{
    g_autofree char *path = g_build_filename(w->folder, name, NULL);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    return text != NULL ? text : g_strdup("");
}

static inline void world_remove(const World *w, const char *name)
{
    g_autofree char *path = g_build_filename(w->folder, name, NULL);

    g_unlink(path);
}

#endif
