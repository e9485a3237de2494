#include "agents/host/fence/kdump.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <string.h>

#define MAGIC      0x1B302A40u
#define VERSION    1u
#define TELL_US    (10 * US_PER_S)
#define AT_ONCE    100 /* messages read before others have their turn */

typedef struct Dump {
    Kdump *kdump;
    const FenceHost *host;
    int64_t since_us, told_us, heard_us; /* monotonic; 0: none */
    guint source;                        /* its end by silence */
} Dump;

struct Kdump {
    GSocket *socket;
    GSource *source;
    GHashTable *by_address; /* text → Dump */
    GPtrArray *dumps;       /* of Dump, one for each host with addresses */
    int64_t silence_us;
    uint16_t port;
    KdumpFn fn;
    void *user;
};

bool kdump_message_is(const uint8_t *bytes, size_t n_bytes)
{
    uint32_t words[2];

    if (n_bytes != sizeof words)
        return false;
    memcpy(words, bytes, sizeof words);
    return (words[0] == MAGIC && words[1] == VERSION) || (words[0] == GUINT32_SWAP_LE_BE(MAGIC) && words[1] == GUINT32_SWAP_LE_BE(VERSION));
}

static void dump_free(Dump *dump)
{
    g_clear_handle_id(&dump->source, g_source_remove);
    g_free(dump);
}

static gboolean on_silence(void *user)
{
    Dump *dump = user;
    int64_t left_us = dump->heard_us + dump->kdump->silence_us - clock_now_us();

    if (left_us > 0) {
        dump->source = g_timeout_add((guint) (left_us / US_PER_MS + 1), on_silence, dump);
        return G_SOURCE_REMOVE;
    }
    dump->source = 0;
    dump->since_us = dump->told_us = 0;
    log_notice("%s: no message of its crash dump any more", fence_host_label(dump->host));
    dump->kdump->fn(dump->host, false, dump->kdump->user);
    return G_SOURCE_REMOVE;
}

static void heard(Dump *dump)
{
    int64_t now_us = clock_now_us();

    dump->heard_us = now_us;
    if (dump->since_us == 0) {
        dump->since_us = now_us;
        dump->source = g_timeout_add((guint) (dump->kdump->silence_us / US_PER_MS + 1), on_silence, dump);
        log_notice("%s writes a crash dump", fence_host_label(dump->host));
    }
    if (dump->told_us != 0 && now_us - dump->told_us < TELL_US)
        return;
    dump->told_us = now_us;
    dump->kdump->fn(dump->host, true, dump->kdump->user);
}

/* IPv4 comes as ::ffff:A.B.C.D on a socket for both. */
static char *address_text(GSocketAddress *from)
{
    GInetAddress *address = G_IS_INET_SOCKET_ADDRESS(from) ? g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(from)) : NULL;
    char *text = address != NULL ? g_inet_address_to_string(address) : g_strdup("");

    if (g_ascii_strncasecmp(text, "::ffff:", 7) == 0 && strchr(text, '.') != NULL)
        memmove(text, text + 7, strlen(text + 7) + 1);
    return text;
}

static gboolean on_message(GSocket *socket, GIOCondition condition, void *user)
{
    Kdump *kdump = user;

    for (unsigned i = 0; i < AT_ONCE; i++) {
        g_autoptr(GSocketAddress) from = NULL;
        g_autofree char *text = NULL;
        uint8_t bytes[64];
        gssize n = g_socket_receive_from(socket, &from, (char *) bytes, sizeof bytes, NULL, NULL);
        Dump *dump;

        if (n < 0)
            break;
        text = address_text(from);
        dump = kdump_message_is(bytes, (size_t) n) ? g_hash_table_lookup(kdump->by_address, text) : NULL;
        if (dump != NULL)
            heard(dump);
        else
            log_debug("a message of %zd bytes to the port of kdump, from %s: not of a host of the fencing file", n, text);
    }
    return G_SOURCE_CONTINUE;
}

static void add_hosts(Kdump *kdump, const FencingFile *file)
{
    for (guint i = 0; file != NULL && i < file->hosts->len; i++) {
        const FenceHost *host = file->hosts->pdata[i];
        Dump *dump;

        if (host->addresses[0] == NULL)
            continue;
        dump = g_new0(Dump, 1);
        dump->kdump = kdump;
        dump->host = host;
        g_ptr_array_add(kdump->dumps, dump);
        for (size_t k = 0; host->addresses[k] != NULL; k++) {
            g_autoptr(GInetAddress) address = g_inet_address_new_from_string(host->addresses[k]);

            g_hash_table_insert(kdump->by_address, g_inet_address_to_string(address), dump);
        }
    }
}

static bool listen_at(Kdump *kdump, const char *address, uint16_t port, GError **error)
{
    g_autoptr(GInetAddress) inet = address != NULL ? g_inet_address_new_from_string(address) : g_inet_address_new_any(G_SOCKET_FAMILY_IPV6);
    g_autoptr(GSocketAddress) at = NULL, bound = NULL;

    if (inet == NULL) {
        g_set_error(error, FENCING_ERROR, FENCING_ERROR_SYSTEM, "kdump: '%s' is no IP address", address);
        return false;
    }
    at = g_inet_socket_address_new(inet, port);
    kdump->socket = g_socket_new(g_inet_address_get_family(inet), G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, error);
    if (kdump->socket == NULL)
        return false;
    g_socket_set_blocking(kdump->socket, FALSE);
    if (address == NULL)
        g_socket_set_option(kdump->socket, IPPROTO_IPV6, IPV6_V6ONLY, 0, NULL);
    if (!g_socket_bind(kdump->socket, at, FALSE, error)) {
        g_prefix_error(error, "kdump, UDP port %u: ", port);
        return false;
    }
    bound = g_socket_get_local_address(kdump->socket, error);
    kdump->port = bound != NULL ? g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound)) : 0;
    kdump->source = g_socket_create_source(kdump->socket, G_IO_IN, NULL);
    g_source_set_callback(kdump->source, G_SOURCE_FUNC(on_message), kdump, NULL);
    g_source_attach(kdump->source, NULL);
    return bound != NULL;
}

Kdump *kdump_new(const FencingFile *file, const char *address, uint16_t port, int64_t silence_us, KdumpFn fn, void *user, GError **error)
{
    Kdump *kdump = g_new0(Kdump, 1);

    kdump->by_address = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    kdump->dumps = g_ptr_array_new_with_free_func((GDestroyNotify) dump_free);
    kdump->silence_us = silence_us != 0 ? silence_us : KDUMP_SILENCE_US;
    kdump->fn = fn;
    kdump->user = user;
    add_hosts(kdump, file);
    if (listen_at(kdump, address, port, error))
        return kdump;
    kdump_free(kdump);
    return NULL;
}

void kdump_free(Kdump *kdump)
{
    if (kdump == NULL)
        return;
    if (kdump->source != NULL) {
        g_source_destroy(kdump->source);
        g_source_unref(kdump->source);
    }
    g_clear_object(&kdump->socket);
    g_hash_table_unref(kdump->by_address);
    g_ptr_array_unref(kdump->dumps);
    g_free(kdump);
}

uint16_t kdump_port(const Kdump *kdump) { return kdump->port; }

int64_t kdump_since_us(const Kdump *kdump, const FenceHost *host)
{
    for (guint i = 0; i < kdump->dumps->len; i++)
        if (((const Dump *) kdump->dumps->pdata[i])->host == host)
            return ((const Dump *) kdump->dumps->pdata[i])->since_us;
    return 0;
}
