/* A peer that answers is told at once, and again every REPEAT_US while it does: the engine forgets a sign of life that nobody repeats.
 * One that does not is told when it is missed, and repeated too, so that a policy engine that starts later learns of it. */
#include "agents/host/peers/peers.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC     "MendPeer"
#define VERSION   1
#define REPEAT_US (20 * US_PER_S)
#define KEY_MAX   4096
#define KEY_MIN   16

enum { QUESTION = 1, ANSWER = 2, HEAD_BYTES = 12, NONCE_BYTES = 16, TEXT_BYTES = 36, MAC_BYTES = 32 };
enum { QUESTION_BYTES = HEAD_BYTES + NONCE_BYTES, ANSWER_BYTES = QUESTION_BYTES + 2 * TEXT_BYTES };

typedef struct Peer {
    char *id, *boot_id;
    GSocketAddress *address;
    uint8_t nonce[NONCE_BYTES];
    unsigned missed;
    bool asked, answered, alive, known; /* known: told alive or gone before */
    int64_t told_us;
} Peer;

struct Peers {
    Host *host;
    GPtrArray *all; /* of Peer */
    GSocket *socket;
    GSource *readable;
    guint timer;
    unsigned misses;
    uint8_t *key;
    size_t key_bytes;
};

G_DEFINE_QUARK(mend-peers-error-quark, peers_error)

static void peer_free(void *data)
{
    Peer *peer = data;

    g_free(peer->id);
    g_free(peer->boot_id);
    g_clear_object(&peer->address);
    g_free(peer);
}

/* ---- telling ---- */

static void tell(Peers *peers, Peer *peer, bool alive)
{
    int64_t now_us = clock_now_us();
    Value *values;

    if (peer->known && peer->alive == alive && now_us - peer->told_us < REPEAT_US)
        return;
    if (!peer->known || peer->alive != alive)
        log_notice("peer %s %s", peer->id, alive ? "answers" : "does not answer");
    peer->known = true;
    peer->alive = alive;
    peer->told_us = now_us;
    values = value_map();
    value_set(values, "channel", value_string("peer"));
    value_set(values, "says", value_string(alive ? "alive" : "gone"));
    value_set(values, "by", value_string(host_id(peers->host)));
    host_tell_happened(peers->host, "host", peer->id, "evidence", "peer", values);
}

/* ---- messages ---- */

static size_t mac_put(const Peers *peers, uint8_t *message, size_t bytes)
{
    gsize n = MAC_BYTES;
    g_autoptr(GHmac) hmac = NULL;

    if (peers->key == NULL)
        return bytes;
    hmac = g_hmac_new(G_CHECKSUM_SHA256, peers->key, peers->key_bytes);
    g_hmac_update(hmac, message, (gssize) bytes);
    g_hmac_get_digest(hmac, message + bytes, &n);
    return bytes + MAC_BYTES;
}

static void head_put(uint8_t *message, uint8_t kind, const uint8_t *nonce)
{
    memset(message, 0, HEAD_BYTES);
    memcpy(message, MAGIC, 8);
    message[8] = VERSION;
    message[9] = kind;
    memcpy(message + HEAD_BYTES, nonce, NONCE_BYTES);
}

static void ask(Peers *peers, Peer *peer)
{
    uint8_t message[QUESTION_BYTES];

    for (size_t i = 0; i < NONCE_BYTES; i += sizeof(guint32)) {
        guint32 part = g_random_int();

        memcpy(peer->nonce + i, &part, sizeof part);
    }
    head_put(message, QUESTION, peer->nonce);
    peer->asked = true;
    peer->answered = false;
    g_socket_send_to(peers->socket, peer->address, (const char *) message, sizeof message, NULL, NULL); /* lost is missed */
}

/* An answer is under five questions long: no weapon against a forged sender. */
static void answer(Peers *peers, GSocketAddress *from, const uint8_t *question)
{
    uint8_t message[ANSWER_BYTES + MAC_BYTES] = { 0 };
    size_t bytes;

    head_put(message, ANSWER, question + HEAD_BYTES);
    memcpy(message + QUESTION_BYTES, host_id(peers->host), MIN(strlen(host_id(peers->host)), TEXT_BYTES));
    memcpy(message + QUESTION_BYTES + TEXT_BYTES, host_boot_id(peers->host), MIN(strlen(host_boot_id(peers->host)), TEXT_BYTES));
    bytes = mac_put(peers, message, ANSWER_BYTES);
    g_socket_send_to(peers->socket, from, (const char *) message, bytes, NULL, NULL);
}

static bool mac_is_right(const Peers *peers, const uint8_t *message, size_t bytes)
{
    uint8_t copy[ANSWER_BYTES + MAC_BYTES], difference = 0;

    if (peers->key == NULL)
        return bytes == ANSWER_BYTES;
    if (bytes != sizeof copy)
        return false;
    memcpy(copy, message, ANSWER_BYTES);
    mac_put(peers, copy, ANSWER_BYTES);
    for (size_t i = ANSWER_BYTES; i < sizeof copy; i++)
        difference |= copy[i] ^ message[i];
    return difference == 0;
}

static void take_answer(Peers *peers, const uint8_t *message, size_t bytes)
{
    if (bytes < ANSWER_BYTES || !mac_is_right(peers, message, bytes))
        return;
    for (guint i = 0; i < peers->all->len; i++) {
        Peer *peer = peers->all->pdata[i];

        if (!peer->asked || memcmp(peer->nonce, message + HEAD_BYTES, NONCE_BYTES) != 0)
            continue;
        if (strncmp((const char *) message + QUESTION_BYTES, peer->id, TEXT_BYTES) != 0) {
            log_warning("peer %s: another host answers at its address: %.36s", peer->id, (const char *) message + QUESTION_BYTES);
            return;
        }
        peer->answered = true;
        peer->missed = 0;
        tell(peers, peer, true);
        return;
    }
}

static gboolean on_readable(GSocket *socket, GIOCondition condition, void *user)
{
    Peers *peers = user;
    uint8_t message[512];

    for (unsigned i = 0; i < 64; i++) { /* then let others run */
        g_autoptr(GSocketAddress) from = NULL;
        gssize n = g_socket_receive_from(socket, &from, (char *) message, sizeof message, NULL, NULL);

        if (n < 0)
            break;
        if (n < QUESTION_BYTES || memcmp(message, MAGIC, 8) != 0 || message[8] != VERSION)
            continue;
        if (message[9] == QUESTION && n == QUESTION_BYTES)
            answer(peers, from, message);
        else if (message[9] == ANSWER)
            take_answer(peers, message, (size_t) n);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_interval(void *user)
{
    Peers *peers = user;

    for (guint i = 0; i < peers->all->len; i++) {
        Peer *peer = peers->all->pdata[i];

        if (peer->asked && !peer->answered && ++peer->missed >= peers->misses)
            tell(peers, peer, false);
        ask(peers, peer);
    }
    return G_SOURCE_CONTINUE;
}

/* ---- start ---- */

static GSocketAddress *address_parse(const char *text, uint16_t port, GError **error)
{
    g_autoptr(GSocketConnectable) where = g_network_address_parse(text, port, error);
    g_autoptr(GInetAddress) address = NULL;

    if (where == NULL)
        return NULL;
    address = g_inet_address_new_from_string(g_network_address_get_hostname(G_NETWORK_ADDRESS(where)));
    if (address == NULL) { /* names need a name server, which may be down with the rest */
        g_set_error(error, PEERS_ERROR, PEERS_ERROR_SETTING, "'%s' is no IP address", text);
        return NULL;
    }
    return g_inet_socket_address_new(address, g_network_address_get_port(G_NETWORK_ADDRESS(where)));
}

static bool add_peer(Peers *peers, const char *text, GError **error)
{
    const char *equals = strchr(text, '=');
    g_autofree char *name = equals != NULL ? g_strndup(text, (size_t) (equals - text)) : NULL, *id = name != NULL ? uuid_canonical(name) : NULL;
    g_autoptr(GError) why = NULL;
    Peer *peer;

    if (id == NULL || equals[1] == '\0') {
        g_set_error(error, PEERS_ERROR, PEERS_ERROR_SETTING, "--peer %s: want HOST=ADDRESS[:PORT], HOST a UUID (`mend-host --print-id` there says it)", text);
        return false;
    }
    if (strcmp(id, host_id(peers->host)) == 0)
        return true;
    if (peers->all->len >= PEERS_MAX) {
        g_set_error(error, PEERS_ERROR, PEERS_ERROR_SETTING, "--peer: more than %d", PEERS_MAX);
        return false;
    }
    peer = g_new0(Peer, 1);
    peer->id = g_steal_pointer(&id);
    peer->address = address_parse(equals + 1, PEERS_PORT, &why);
    g_ptr_array_add(peers->all, peer);
    if (peer->address != NULL)
        return true;
    g_set_error(error, PEERS_ERROR, PEERS_ERROR_SETTING, "--peer %s: %s", text, why->message);
    return false;
}

static bool read_key(Peers *peers, const char *file, GError **error)
{
    g_autofree char *text = NULL;
    gsize n;
    struct stat info;

    if (file == NULL)
        return true;
    if (!g_file_get_contents(file, &text, &n, error))
        return false;
    if (stat(file, &info) == 0 && (info.st_mode & 077) != 0) {
        g_set_error(error, PEERS_ERROR, PEERS_ERROR_KEY, "%s: others can read it (mode %03o); chmod 600 it", file, info.st_mode & 0777);
        return false;
    }
    if (n < KEY_MIN || n > KEY_MAX) {
        g_set_error(error, PEERS_ERROR, PEERS_ERROR_KEY, "%s: %zu bytes; want %d to %d (openssl rand -hex 32)", file, (size_t) n, KEY_MIN, KEY_MAX);
        return false;
    }
    peers->key = (uint8_t *) g_steal_pointer(&text);
    peers->key_bytes = n;
    return true;
}

static bool open_socket(Peers *peers, const char *listen, GError **error)
{
    g_autoptr(GSocketAddress) address = address_parse(listen != NULL ? listen : "0.0.0.0", PEERS_PORT, error);

    if (address == NULL)
        return false;
    peers->socket = g_socket_new(g_socket_address_get_family(address), G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, error);
    if (peers->socket == NULL || !g_socket_bind(peers->socket, address, FALSE, error)) {
        g_prefix_error(error, "--peer-listen %s: ", listen != NULL ? listen : "0.0.0.0");
        return false;
    }
    g_socket_set_blocking(peers->socket, FALSE);
    peers->readable = g_socket_create_source(peers->socket, G_IO_IN, NULL);
    g_source_set_callback(peers->readable, G_SOURCE_FUNC(on_readable), peers, NULL);
    g_source_attach(peers->readable, NULL);
    return true;
}

Peers *peers_new(Host *host, const PeersOptions *options, GError **error)
{
    g_autoptr(Peers) peers = g_new0(Peers, 1);

    peers->host = host;
    peers->misses = MAX(options->misses, 1);
    peers->all = g_ptr_array_new_with_free_func(peer_free);
    for (const char *const *text = options->peers; text != NULL && *text != NULL; text++)
        if (!add_peer(peers, *text, error))
            return NULL;
    if (!read_key(peers, options->key_file, error) || !open_socket(peers, options->listen, error))
        return NULL;
    peers->timer = g_timeout_add((guint) MAX(options->interval_us / US_PER_MS, 10), on_interval, peers);
    return g_steal_pointer(&peers);
}

void peers_free(Peers *peers)
{
    if (peers == NULL)
        return;
    if (peers->timer != 0)
        g_source_remove(peers->timer);
    if (peers->readable != NULL) {
        g_source_destroy(peers->readable);
        g_source_unref(peers->readable);
    }
    g_clear_object(&peers->socket);
    g_ptr_array_unref(peers->all);
    if (peers->key != NULL)
        memset(peers->key, 0, peers->key_bytes);
    g_free(peers->key);
    g_free(peers);
}

uint16_t peers_port(const Peers *peers)
{
    g_autoptr(GSocketAddress) address = g_socket_get_local_address(peers->socket, NULL);

    return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(address));
}
