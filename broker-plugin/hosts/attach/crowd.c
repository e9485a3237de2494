/* No broker says with a message which connection it came by. Some vouch for its user-id: RabbitMQ and qpidd take no message whose user-id
 * is not the sender's own. So a peer, here, is a user: there from its first connection (or the first word of one that was here before
 * us) until the last of its connections ends. Agents have a user each, and so have engines.
 *
 * After a time in which nobody told us of connections those from before are old: they may still be there, on another node of the broker.
 * Old ones end when they are told to, or when their user comes by another connection.
 *
 * A user that went and is heard afterwards said it before: it keeps the number of the peer that is gone, until the broker tells of a new
 * connection. Where nobody tells of connections, users only come. */
#include "broker-plugin/hosts/attach/attach_private.h"

#include "broker-plugin/abi.h"
#include "lib/base/clock.h"

#include <string.h>

#define PEERS_MAX 200000

typedef struct Peer {
    mend_id id;
    char *user, *where;
    unsigned connections; /* seen coming and not yet going */
    int64_t opened_us;
    bool gone;
} Peer;

typedef struct Way { char *user; unsigned age; } Way;

struct Crowd {
    Attach *attach;
    GHashTable *by_user;     /* user -> Peer */
    GHashTable *by_id;       /* id -> Peer, borrowed */
    GHashTable *connections; /* key -> Way */
    unsigned age;            /* grows with each time we were not told */
    mend_peer_fn watcher;
    void *watcher_user;
    GSource *announcing;
};

static const struct { const char *prefix, *role; } roles[] = {
    { "agent-", "agent" }, { "host-", "agent" }, { "engine", "engine" }, { "operator", "operator" }, { "observer", "observer" },
};

/* As the embedded broker names them; an engine or operator may have a name of its own after a '-'. */
static const char *role_of(const char *user)
{
    if (user[0] == '\0')
        return "anonymous";
    for (size_t i = 0; i < G_N_ELEMENTS(roles); i++) {
        size_t n = strlen(roles[i].prefix);

        if (strncmp(user, roles[i].prefix, n) == 0 && (roles[i].prefix[n - 1] == '-' || user[n] == '\0' || user[n] == '-'))
            return roles[i].role;
    }
    return "";
}

static void way_free(Way *way)
{
    g_free(way->user);
    g_free(way);
}

static void peer_free(Peer *peer)
{
    g_free(peer->user);
    g_free(peer->where);
    g_free(peer);
}

Crowd *crowd_new(Attach *attach)
{
    Crowd *c = g_new0(Crowd, 1);

    c->attach = attach;
    c->by_user = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) peer_free);
    c->by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
    c->connections = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) way_free);
    return c;
}

void crowd_end(Crowd *c)
{
    c->watcher = NULL;
    if (c->announcing != NULL) {
        g_source_destroy(c->announcing);
        g_clear_pointer(&c->announcing, g_source_unref);
    }
}

void crowd_free(Crowd *c)
{
    if (c == NULL)
        return;
    crowd_end(c);
    g_hash_table_unref(c->connections);
    g_hash_table_unref(c->by_id);
    g_hash_table_unref(c->by_user);
    g_free(c);
}

static mend_peer view(const Peer *peer)
{
    return (mend_peer) { .size = sizeof(mend_peer), .id = peer->id, .user = str_of(peer->user), .role = str_of(role_of(peer->user)),
                         .mechanism = str_of(""), .container_id = str_of(""), .address = str_of(peer->where), .opened_us = peer->opened_us };
}

static void tell(Crowd *c, const Peer *peer, int32_t what)
{
    const mend_peer seen = view(peer);

    if (c->watcher == NULL || !attach_is_live(c->attach) || !runner_is_running(c->attach->runner))
        return;
    runner_peer(c->attach->runner, c->watcher, c->watcher_user, &seen, what);
    attach_dispatch(c->attach);
}

static Peer *peer_new(Crowd *c, const char *user, const char *where)
{
    Peer *peer = g_new0(Peer, 1);

    if (g_hash_table_size(c->by_user) >= PEERS_MAX) { /* users are the broker's to make; this is the end of a mistake */
        g_hash_table_remove_all(c->by_id);
        g_hash_table_remove_all(c->by_user);
    }
    *peer = (Peer) { .id = ++c->attach->last_id, .user = g_strdup(user), .where = g_strdup(where), .opened_us = clock_now_us() };
    g_hash_table_replace(c->by_user, peer->user, peer);
    g_hash_table_insert(c->by_id, &peer->id, peer);
    return peer;
}

static void forget(Crowd *c, Peer *peer)
{
    g_hash_table_remove(c->by_id, &peer->id);
    g_hash_table_remove(c->by_user, peer->user);
}

mend_id crowd_speaker(Crowd *c, const char *user, bool own)
{
    Peer *peer;

    if (own)
        return 0;
    user = user != NULL && (c->attach->dialect->caps & MEND_CAP_PEERS) != 0 ? user : "";
    peer = g_hash_table_lookup(c->by_user, user);
    if (peer == NULL) {
        peer = peer_new(c, user, "");
        tell(c, peer, MEND_PEER_OPENED);
    }
    return peer->id;
}

/* @peer comes by a new way: what is left of it from before we were told is over. */
static void end_old(Crowd *c, Peer *peer)
{
    GHashTableIter i;
    Way *way;

    g_hash_table_iter_init(&i, c->connections);
    while (c->age > 0 && g_hash_table_iter_next(&i, NULL, (gpointer *) &way)) {
        if (way->age == c->age || strcmp(way->user, peer->user) != 0)
            continue;
        peer->connections -= MIN(peer->connections, 1u);
        g_hash_table_iter_remove(&i);
    }
}

void crowd_opened(const char *key, const char *user, const char *where, void *attach)
{
    Crowd *c = ((Attach *) attach)->crowd;
    Peer *peer = g_hash_table_lookup(c->by_user, user);
    bool opened = peer == NULL || peer->gone;
    Way *way;

    way = g_hash_table_lookup(c->connections, key);
    if (way != NULL)
        way->age = c->age; /* told again, or one more session of it */
    if (way != NULL || g_hash_table_size(c->connections) >= PEERS_MAX)
        return;
    way = g_new(Way, 1);
    *way = (Way) { g_strdup(user), c->age };
    if (peer != NULL)
        end_old(c, peer);
    g_hash_table_insert(c->connections, g_strdup(key), way);
    if (peer != NULL && peer->gone) {
        forget(c, peer);
        peer = NULL;
    }
    if (peer == NULL)
        peer = peer_new(c, user, where);
    peer->connections++;
    if (opened)
        tell(c, peer, MEND_PEER_OPENED);
}

void crowd_closed(const char *key, void *attach)
{
    Crowd *c = ((Attach *) attach)->crowd;
    const Way *way = g_hash_table_lookup(c->connections, key);
    Peer *peer = way != NULL ? g_hash_table_lookup(c->by_user, way->user) : NULL;

    g_hash_table_remove(c->connections, key);
    if (peer == NULL || peer->connections == 0 || --peer->connections > 0 || peer->gone)
        return;
    peer->gone = true;
    tell(c, peer, MEND_PEER_LOST);
}

void crowd_unknown(void *attach)
{
    Crowd *c = ((Attach *) attach)->crowd;
    GHashTableIter i;
    Peer *peer;

    c->age++;
    g_hash_table_iter_init(&i, c->by_user);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &peer)) {
        if (!peer->gone)
            continue; /* it may be there or not: its silence will tell */
        g_hash_table_remove(c->by_id, &peer->id);
        g_hash_table_iter_remove(&i);
    }
}

/* ---- plugin.h ---------------------------------------------------------------------------------------------------------------- */

static gboolean announce(gpointer user)
{
    Crowd *c = user;
    g_autoptr(GList) peers = g_hash_table_get_values(c->by_user);

    g_clear_pointer(&c->announcing, g_source_unref);
    for (GList *l = peers; l != NULL; l = l->next)
        if (!((Peer *) l->data)->gone)
            tell(c, l->data, MEND_PEER_OPENED);
    return G_SOURCE_REMOVE;
}

mend_rc crowd_watch(mend_host *table, mend_peer_fn fn, void *user)
{
    Crowd *c = attach_of(table)->crowd;

    crowd_end(c);
    c->watcher = fn;
    c->watcher_user = user;
    if (fn == NULL)
        return MEND_OK;
    c->announcing = g_idle_source_new();
    g_source_set_callback(c->announcing, announce, c, NULL);
    g_source_attach(c->announcing, c->attach->context);
    return MEND_OK;
}

mend_rc crowd_get(mend_host *table, mend_id id, mend_peer *ret)
{
    const Peer *peer = g_hash_table_lookup(attach_of(table)->crowd->by_id, &id);

    if (peer == NULL || peer->gone)
        return MEND_NOT_FOUND;
    *ret = view(peer);
    return MEND_OK;
}

mend_rc crowd_drop(mend_host *table, mend_id peer, mend_str reason) { return MEND_UNSUPPORTED; }
