/* Whether a connection is in use is asked of libvirt itself: its count of references, in which the domains of a caller count too. So
 * whoever was given one gives it back as any other, by closing it. */
#include "agents/host/libvirt/connection_pool.h"

#include "agents/host/libvirt/connection.h"

#define SAFE_TO_KEEP_ALIVE 10003000 /* 10.3.0 */

struct ConnectionPool {
    gatomicrefcount count;
    char *uri;
    GMutex lock;
    GPtrArray *all;     /* of virConnectPtr, a reference each; under the lock */
    virConnectPtr only;
    unsigned opening;
    bool ended;
};

ConnectionPool *connection_pool_new(const char *uri, virConnectPtr only)
{
    ConnectionPool *pool = g_new0(ConnectionPool, 1);

    g_atomic_ref_count_init(&pool->count);
    g_mutex_init(&pool->lock);
    pool->uri = g_strdup(uri);
    pool->all = g_ptr_array_new();
    if (only != NULL && virConnectRef(only) == 0)
        pool->only = only;
    return pool;
}

ConnectionPool *connection_pool_ref(ConnectionPool *pool)
{
    g_atomic_ref_count_inc(&pool->count);
    return pool;
}

void connection_pool_end(ConnectionPool *pool)
{
    g_mutex_lock(&pool->lock);
    pool->ended = true;
    for (guint i = 0; i < pool->all->len; i++)
        connection_put(pool->all->pdata[i]);
    g_ptr_array_set_size(pool->all, 0);
    connection_put(g_steal_pointer(&pool->only));
    g_mutex_unlock(&pool->lock);
}

void connection_pool_unref(ConnectionPool *pool)
{
    if (pool == NULL || !g_atomic_ref_count_dec(&pool->count))
        return;
    connection_pool_end(pool);
    g_ptr_array_unref(pool->all);
    g_mutex_clear(&pool->lock);
    g_free(pool->uri);
    g_free(pool);
}

static virConnectPtr ref(virConnectPtr connection)
{
    return connection != NULL && virConnectRef(connection) == 0 ? connection : NULL;
}

/* References beside ours. */
static int users(virConnectPtr connection)
{
    return virConnectRef(connection) < 0 ? 0 : virConnectClose(connection) - 1; /* never the last one: nothing is closed */
}

/* The one with the fewest users; under the lock. Dead ones are dropped. */
static virConnectPtr least_used(ConnectionPool *pool, int *ret_users)
{
    virConnectPtr best = NULL;

    *ret_users = G_MAXINT;
    for (guint i = pool->all->len; i-- > 0;) {
        virConnectPtr one = pool->all->pdata[i];
        int n = users(one);

        if (virConnectIsAlive(one) == 0) {
            g_ptr_array_remove_index_fast(pool->all, i);
            connection_put(one);
        } else if (n < *ret_users) {
            best = one;
            *ret_users = n;
        }
    }
    return best;
}

static unsigned idle(const ConnectionPool *pool)
{
    unsigned n = 0;

    for (guint i = 0; i < pool->all->len; i++)
        n += users(pool->all->pdata[i]) == 0;
    return n;
}

static virConnectPtr open_one(const char *uri)
{
    virConnectPtr connection = virConnectOpen(uri[0] == '\0' ? NULL : uri);
    unsigned long version = 0;

    if (connection != NULL && virGetVersion(&version, NULL, NULL) == 0 && version >= SAFE_TO_KEEP_ALIVE)
        virConnectSetKeepAlive(connection, CONNECTION_KEEPALIVE_S, CONNECTION_KEEPALIVE_COUNT);
    return connection;
}

/* @connection: a reference, which becomes the pool's. */
static bool add(ConnectionPool *pool, virConnectPtr connection)
{
    bool room;

    g_mutex_lock(&pool->lock);
    room = !pool->ended && pool->all->len < CONNECTION_POOL_MAX;
    if (room)
        g_ptr_array_add(pool->all, connection);
    g_mutex_unlock(&pool->lock);
    return room;
}

static void *open_thread(void *data)
{
    ConnectionPool *pool = data;
    virConnectPtr connection = open_one(pool->uri);

    if (connection != NULL && !add(pool, connection))
        virConnectClose(connection);
    g_mutex_lock(&pool->lock);
    pool->opening--;
    g_mutex_unlock(&pool->lock);
    connection_pool_unref(pool);
    return NULL;
}

virConnectPtr connection_pool_take(ConnectionPool *pool)
{
    virConnectPtr connection, taken = NULL;
    bool ended;
    int n;

    g_mutex_lock(&pool->lock);
    if (pool->only != NULL)
        taken = ref(pool->only);
    else if ((connection = least_used(pool, &n)) != NULL && n == 0)
        taken = ref(connection);
    ended = pool->ended;
    g_mutex_unlock(&pool->lock);
    if (taken != NULL || ended)
        return taken;
    taken = open_one(pool->uri);
    if (taken != NULL && virConnectRef(taken) == 0 && !add(pool, taken))
        virConnectClose(taken); /* the pool is full: this one ends with its user */
    return taken;
}

virConnectPtr connection_pool_take_now(ConnectionPool *pool)
{
    virConnectPtr taken;
    int n;

    g_mutex_lock(&pool->lock);
    taken = ref(pool->only != NULL ? pool->only : least_used(pool, &n));
    if (pool->only == NULL && !pool->ended && pool->all->len + pool->opening < CONNECTION_POOL_MAX &&
        idle(pool) + pool->opening < CONNECTION_POOL_SPARE) {
        pool->opening++;
        g_thread_unref(g_thread_new("libvirt-open", open_thread, connection_pool_ref(pool)));
    }
    g_mutex_unlock(&pool->lock);
    return taken;
}
