#include "broker-plugin/hosts/embedded/peers.h"

#include <string.h>

typedef struct Watch {
    void *key;
    void (*fn)(void *user, Peer *peer, int32_t what);
    void *user;
} Watch;

struct Peers {
    GMutex lock;
    GHashTable *table; /* &id → Peer */
    GArray *watches;
    uint64_t last_id;
};

Peers *peers_new(void)
{
    Peers *p = g_new0(Peers, 1);

    g_mutex_init(&p->lock);
    p->table = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) peer_unref);
    p->watches = g_array_new(false, false, sizeof(Watch));
    return p;
}

void peers_free(Peers *p)
{
    if (p == NULL)
        return;
    g_hash_table_unref(p->table);
    g_array_unref(p->watches);
    g_mutex_clear(&p->lock);
    g_free(p);
}

uint64_t peers_next_id(Peers *p)
{
    return __atomic_add_fetch(&p->last_id, 1, __ATOMIC_RELAXED);
}

Peer *peer_ref(Peer *peer)
{
    __atomic_add_fetch(&peer->refs, 1, __ATOMIC_RELAXED);
    return peer;
}

void peer_unref(Peer *peer)
{
    if (peer == NULL || __atomic_sub_fetch(&peer->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    g_free(peer->user);
    g_free(peer->role);
    g_free(peer->mechanism);
    g_free(peer->container_id);
    g_free(peer->address);
    g_free(peer);
}

/* Locked. */
static void tell(Peers *p, Peer *peer, int32_t what)
{
    for (guint i = 0; i < p->watches->len; i++) {
        const Watch *w = &g_array_index(p->watches, Watch, i);
        w->fn(w->user, peer, what);
    }
}

void peers_add(Peers *p, Peer *peer)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&p->lock);

    g_hash_table_insert(p->table, &peer->id, peer_ref(peer));
    tell(p, peer, MEND_PEER_OPENED);
}

void peers_remove(Peers *p, Peer *peer, int32_t what)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&p->lock);

    tell(p, peer, what);
    g_hash_table_remove(p->table, &peer->id);
}

Peer *peers_find(Peers *p, uint64_t id)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&p->lock);
    Peer *peer = g_hash_table_lookup(p->table, &id);

    return peer != NULL ? peer_ref(peer) : NULL;
}

GPtrArray *peers_all(Peers *p)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify) peer_unref);
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&p->lock);
    GHashTableIter iter;
    void *peer;

    g_hash_table_iter_init(&iter, p->table);
    while (g_hash_table_iter_next(&iter, NULL, &peer))
        g_ptr_array_add(all, peer_ref(peer));
    return all;
}

void peers_watch(Peers *p, void *key, void (*fn)(void *, Peer *, int32_t), void *user)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&p->lock);
    const Watch w = {key, fn, user};
    GHashTableIter iter;
    void *peer;

    g_array_append_val(p->watches, w);
    g_hash_table_iter_init(&iter, p->table);
    while (g_hash_table_iter_next(&iter, NULL, &peer))
        fn(user, peer, MEND_PEER_OPENED);
}

void peers_unwatch(Peers *p, void *key)
{
    g_autoptr(GMutexLocker) locked = g_mutex_locker_new(&p->lock);

    for (guint i = 0; i < p->watches->len; i++)
        if (g_array_index(p->watches, Watch, i).key == key)
            g_array_remove_index(p->watches, i--);
}

static mend_str str_of(const char *text)
{
    return (mend_str){text != NULL ? text : "", text != NULL ? strlen(text) : 0};
}

void peer_view(const Peer *peer, mend_peer *ret)
{
    *ret = (mend_peer){.size = sizeof *ret, .id = peer->id, .user = str_of(peer->user), .role = str_of(peer->role),
                       .mechanism = str_of(peer->mechanism), .container_id = str_of(peer->container_id),
                       .address = str_of(peer->address), .opened_us = peer->opened_us};
}
