/* No broker says with a message which connection it came by. Some vouch for its user-id: RabbitMQ and qpidd take no message whose user-id
 * is not the sender's own. So a peer, here, is a user: there from its first connection (or the first word of one that was here before
 * us) until the last of its connections ends. Agents have a user each, and so have engines.
 *
 * After a time in which nobody told us of connections those from before are old: they may still be there, on another node of the broker.
 * Old ones end when they are told to, or when their user comes by another connection.
 *
 * A user that went and is heard afterwards said it before: it keeps the number of the peer that is gone, until the broker tells of a new
 * connection. Where nobody tells of connections, users only come.
 *
 * Voices. Matahari's agents often log in as one user, or as none. Where the broker tells which connection receives under an agent's name, what
 * is said in that name (qmf.agent) is a peer of its own, which lives as long as that connection. It is still the user that was vouched for
 * with the message, no more: a voice is only believed about when it comes and goes. Where a message has a user, the connection must be that user's;
 * Matahari's agents send none, whoever they logged in as. For
 * GONE_US after its end a voice that is heard is the one that is gone, as above; then the name is its user's again, until it is told anew. */
#include "broker-plugin/hosts/attach/attach_private.h"

#include "broker-plugin/abi.h"
#include "lib/base/clock.h"

#include <string.h>

#define PEERS_MAX 200000
#define GONE_US   (1 * US_PER_S) /* how long what a dead agent said may be on its way to us */
#define NAMES_MAX 64             /* of one connection: one with more is no agent */
#define HEARD_MAX 200000

typedef struct Peer {
    mend_id id;
    char *name; /* its user, or user and agent */
    char *user, *where;
    char *way;            /* of a voice: the key of its connection; NULL: a user */
    unsigned connections; /* seen coming and not yet going */
    int64_t opened_us, gone_us;
    bool gone;
} Peer;

typedef struct Way {
    char *user, *where;
    unsigned age;
    GPtrArray *agents; /* names it receives under */
} Way;

struct Crowd {
    Attach *attach;
    GHashTable *by_name;     /* name -> Peer, borrowed */
    GHashTable *by_id;       /* id -> Peer */
    GHashTable *connections; /* key -> Way */
    GHashTable *ties;        /* agent -> key of the connection that receives under its name */
    GHashTable *heard;       /* set of agents heard as their user; only where names are checked */
    GArray *replaced;        /* ids of voices that speak from another connection by now */
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
    g_free(way->where);
    g_ptr_array_unref(way->agents);
    g_free(way);
}

static void peer_free(Peer *peer)
{
    g_free(peer->name);
    g_free(peer->user);
    g_free(peer->where);
    g_free(peer->way);
    g_free(peer);
}

Crowd *crowd_new(Attach *attach)
{
    Crowd *c = g_new0(Crowd, 1);

    c->attach = attach;
    c->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    c->by_id = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) peer_free);
    c->connections = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) way_free);
    c->ties = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    c->heard = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    c->replaced = g_array_new(false, false, sizeof(mend_id));
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
    g_hash_table_unref(c->ties);
    g_hash_table_unref(c->heard);
    g_hash_table_unref(c->by_name);
    g_hash_table_unref(c->by_id);
    g_array_unref(c->replaced);
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

static Peer *peer_new(Crowd *c, const char *name, const char *user, const char *where)
{
    Peer *peer = g_new0(Peer, 1);

    if (g_hash_table_size(c->by_id) >= PEERS_MAX) { /* users are the broker's to make; this is the end of a mistake */
        g_hash_table_remove_all(c->by_name);
        g_hash_table_remove_all(c->by_id);
    }
    *peer = (Peer) { .id = ++c->attach->last_id, .name = g_strdup(name), .user = g_strdup(user), .where = g_strdup(where), .opened_us = clock_now_us() };
    g_hash_table_replace(c->by_name, peer->name, peer);
    g_hash_table_insert(c->by_id, &peer->id, peer);
    return peer;
}

static void forget(Crowd *c, Peer *peer)
{
    if (g_hash_table_lookup(c->by_name, peer->name) == peer)
        g_hash_table_remove(c->by_name, peer->name);
    g_hash_table_remove(c->by_id, &peer->id);
}

static void lose(Crowd *c, Peer *peer)
{
    peer->gone = true;
    peer->gone_us = clock_now_us();
    tell(c, peer, MEND_PEER_LOST);
}

/* A voice that moved ends once the plugin has heard it from its new connection: before that its agent would seem gone for a moment. */
static void end_replaced(Crowd *c)
{
    g_autoptr(GArray) ids = c->replaced;

    c->replaced = g_array_new(false, false, sizeof(mend_id));
    for (guint i = 0; i < ids->len; i++) {
        Peer *peer = g_hash_table_lookup(c->by_id, &g_array_index(ids, mend_id, i));

        if (peer == NULL)
            continue;
        if (!peer->gone)
            lose(c, peer);
        forget(c, peer);
    }
}

/* The voice of @agent; NULL: nothing is known of its connection, or that is not of who was vouched for. */
static Peer *voice_of(Crowd *c, const char *user, const char *agent)
{
    const char *key = g_hash_table_lookup(c->ties, agent);
    const Way *way = key != NULL ? g_hash_table_lookup(c->connections, key) : NULL;
    g_autofree char *name = g_strconcat(user, "\n", agent, NULL);
    Peer *peer = g_hash_table_lookup(c->by_name, name);

    if (way == NULL) /* its connection ended, or is not known any more: then it is as it was, until something else is told */
        return peer != NULL && (!peer->gone || clock_now_us() - peer->gone_us < GONE_US) ? peer : NULL;
    if (user[0] != '\0' && strcmp(way->user, user) != 0)
        return NULL;
    if (peer != NULL && !peer->gone && strcmp(peer->way, key) == 0)
        return peer;
    if (peer != NULL)
        g_array_append_val(c->replaced, peer->id);
    peer = peer_new(c, name, user, way->where);
    peer->way = g_strdup(key);
    tell(c, peer, MEND_PEER_OPENED);
    return peer;
}

mend_id crowd_speaker(Crowd *c, const char *user, const char *agent, bool own)
{
    Peer *peer;

    if (own)
        return 0;
    end_replaced(c);
    user = user != NULL && (c->attach->dialect->caps & MEND_CAP_PEERS) != 0 ? user : "";
    peer = agent != NULL && !g_hash_table_contains(c->heard, agent) ? voice_of(c, user, agent) : NULL;
    if (peer == NULL) {
        peer = g_hash_table_lookup(c->by_name, user);
        if (agent != NULL && !c->attach->lab && g_hash_table_size(c->heard) < HEARD_MAX)
            g_hash_table_add(c->heard, g_strdup(agent)); /* a checked name stays with the peer that showed it */
    }
    if (peer == NULL) {
        peer = peer_new(c, user, user, "");
        tell(c, peer, MEND_PEER_OPENED);
    }
    return peer->id;
}

void crowd_named(const char *key, const char *agent, void *attach)
{
    Crowd *c = ((Attach *) attach)->crowd;

    Way *way = g_hash_table_lookup(c->connections, key);

    if (way == NULL || way->agents->len >= NAMES_MAX || g_strcmp0(g_hash_table_lookup(c->ties, agent), key) == 0)
        return;
    g_ptr_array_add(way->agents, g_strdup(agent));
    g_hash_table_replace(c->ties, g_strdup(agent), g_strdup(key));
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
    Peer *peer = g_hash_table_lookup(c->by_name, user);
    bool opened = peer == NULL || peer->gone;
    Way *way;

    way = g_hash_table_lookup(c->connections, key);
    if (way != NULL)
        way->age = c->age; /* told again, or one more session of it */
    if (way != NULL || g_hash_table_size(c->connections) >= PEERS_MAX)
        return;
    way = g_new(Way, 1);
    *way = (Way) { g_strdup(user), g_strdup(where), c->age, g_ptr_array_new_with_free_func(g_free) };
    if (peer != NULL)
        end_old(c, peer);
    g_hash_table_insert(c->connections, g_strdup(key), way);
    if (peer != NULL && peer->gone) {
        forget(c, peer);
        peer = NULL;
    }
    if (peer == NULL)
        peer = peer_new(c, user, user, where);
    peer->connections++;
    if (opened)
        tell(c, peer, MEND_PEER_OPENED);
}

static void end_voice(Crowd *c, const char *key, const char *user, const char *agent)
{
    g_autofree char *name = g_strconcat(user, "\n", agent, NULL);
    Peer *peer = g_hash_table_lookup(c->by_name, name);

    if (peer != NULL && !peer->gone && strcmp(peer->way, key) == 0)
        lose(c, peer);
}

static void end_voices(Crowd *c, const char *key, const Way *way)
{
    for (guint i = 0; i < way->agents->len; i++) {
        const char *agent = way->agents->pdata[i];

        if (g_strcmp0(g_hash_table_lookup(c->ties, agent), key) == 0)
            g_hash_table_remove(c->ties, agent);
        end_voice(c, key, way->user, agent);
        end_voice(c, key, "", agent);
    }
}

void crowd_closed(const char *key, void *attach)
{
    Crowd *c = ((Attach *) attach)->crowd;
    Way *way;
    char *stolen;
    Peer *peer;

    if (!g_hash_table_steal_extended(c->connections, key, (gpointer *) &stolen, (gpointer *) &way))
        return;
    end_replaced(c);
    end_voices(c, stolen, way);
    peer = g_hash_table_lookup(c->by_name, way->user);
    way_free(way);
    g_free(stolen);
    if (peer == NULL || peer->connections == 0 || --peer->connections > 0 || peer->gone)
        return;
    lose(c, peer);
}

void crowd_unknown(void *attach)
{
    Crowd *c = ((Attach *) attach)->crowd;
    GHashTableIter i;
    Peer *peer;

    c->age++;
    g_array_set_size(c->replaced, 0);
    g_hash_table_remove_all(c->ties); /* the names of connections begin anew with a broker */
    g_hash_table_iter_init(&i, c->by_id);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &peer)) {
        if (!peer->gone)
            continue; /* it may be there or not: its silence will tell */
        if (g_hash_table_lookup(c->by_name, peer->name) == peer)
            g_hash_table_remove(c->by_name, peer->name);
        g_hash_table_iter_remove(&i);
    }
}

/* ---- plugin.h ---------------------------------------------------------------------------------------------------------------- */

static gboolean announce(gpointer user)
{
    Crowd *c = user;
    g_autoptr(GList) peers = g_hash_table_get_values(c->by_id);

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
