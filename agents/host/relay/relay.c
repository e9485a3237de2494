/* Which guests there are is told from outside; who a vsock connection belongs to says its address, which the hypervisor gave and no guest can
 * choose. A connection of an address nobody was told of is closed. */
#include "agents/host/relay/relay.h"

#include "agents/host/relay/line.h"
#include "lib/amqp/client.h"
#include "lib/amqp/vsock.h"
#include "lib/base/log.h"

#include <glib-unix.h>
#include <unistd.h>

struct Relay {
    LineOptions options;
    GHashTable *ports; /* UUID → Line */
    GHashTable *cids;  /* UUID → Line */
    GHashTable *by_cid; /* number → UUID, that of `cids`' key */
    int listener;      /* -1: none */
    guint source;
};

static gboolean on_connection(int listener, GIOCondition ready, void *user)
{
    Relay *relay = user;
    uint32_t cid;
    int fd;

    while ((fd = vsock_accept(listener, &cid)) >= 0) {
        const char *vm = g_hash_table_lookup(relay->by_cid, GUINT_TO_POINTER(cid));
        Line *line = vm != NULL ? g_hash_table_lookup(relay->cids, vm) : NULL;

        if (line != NULL) {
            line_take_vsock(line, fd);
        } else {
            log_debug("relay: vsock address %u is of no VM known here", cid);
            close(fd);
        }
    }
    return G_SOURCE_CONTINUE;
}

static void free_line(void *line) { line_free(line); }

Relay *relay_new(const RelayOptions *options, GError **error)
{
    g_autoptr(Relay) relay = g_new0(Relay, 1);

    relay->listener = -1;
    relay->ports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_line);
    relay->cids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_line);
    relay->by_cid = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    relay->options.bytes_per_s = options->bytes_per_s;
    relay->options.broker_name = g_strdup(options->broker);
    relay->options.broker = amqp_url_address(options->broker, error);
    if (relay->options.broker == NULL)
        return NULL;
    if (options->vsock_port != 0 && (relay->listener = vsock_listen(options->vsock_port, NULL, error)) < 0)
        return NULL;
    if (relay->listener >= 0)
        relay->source = g_unix_fd_add(relay->listener, G_IO_IN, on_connection, relay);
    return g_steal_pointer(&relay);
}

void relay_free(Relay *relay)
{
    if (relay == NULL)
        return;
    g_clear_handle_id(&relay->source, g_source_remove);
    if (relay->listener >= 0)
        close(relay->listener);
    g_hash_table_unref(relay->ports);
    g_hash_table_unref(relay->cids);
    g_hash_table_unref(relay->by_cid);
    g_clear_object(&relay->options.broker);
    g_free(relay->options.broker_name);
    g_free(relay);
}

void relay_set_channel(Relay *relay, const char *vm, const char *path)
{
    const Line *line = g_hash_table_lookup(relay->ports, vm);

    if (path == NULL)
        g_hash_table_remove(relay->ports, vm);
    else if (line == NULL || g_strcmp0(line_path(line), path) != 0)
        g_hash_table_replace(relay->ports, g_strdup(vm), line_new_port(&relay->options, vm, path));
}

static gboolean is_of_vm(void *cid, void *of, void *vm)
{
    return g_str_equal(of, vm);
}

void relay_set_cid(Relay *relay, const char *vm, uint32_t cid)
{
    if (relay->listener < 0 || (cid != 0 && g_strcmp0(g_hash_table_lookup(relay->by_cid, GUINT_TO_POINTER(cid)), vm) == 0))
        return;
    g_hash_table_foreach_remove(relay->by_cid, is_of_vm, (void *) vm);
    g_hash_table_remove(relay->cids, vm);
    if (cid == 0)
        return;
    g_hash_table_replace(relay->by_cid, GUINT_TO_POINTER(cid), g_strdup(vm));
    g_hash_table_replace(relay->cids, g_strdup(vm), line_new_vsock(&relay->options, vm));
}

static unsigned count_open(GHashTable *lines)
{
    GHashTableIter each;
    unsigned n = 0;
    void *line;

    g_hash_table_iter_init(&each, lines);
    while (g_hash_table_iter_next(&each, NULL, &line))
        n += line_is_open(line);
    return n;
}

unsigned relay_open_count(const Relay *relay)
{
    return count_open(relay->ports) + count_open(relay->cids);
}
