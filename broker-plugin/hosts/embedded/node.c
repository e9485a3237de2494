/* Ten thousand agents bind three keys each to the QMF exchanges, and each sends a heartbeat every few seconds: routing must not walk
 * the bindings. Keys without wildcards are found by hash; patterns are kept once with all queues bound by it, so what is walked is
 * the number of different patterns, which are few ("console.#", "agent.ind.#" …). */
#include "broker-plugin/hosts/embedded/node.h"

#include "broker-plugin/hosts/embedded/topic.h"

#include <string.h>

typedef struct Pattern {
    char *key;
    GPtrArray *bindings;
} Pattern;

static void pattern_free(void *data)
{
    Pattern *p = data;

    g_free(p->key);
    g_ptr_array_unref(p->bindings);
    g_free(p);
}

Node *node_new(const char *address, NodeKind kind)
{
    Node *node = g_new0(Node, 1);

    node->refs = 1;
    node->address = g_strdup(address);
    node->kind = kind;
    pthread_rwlock_init(&node->lock, NULL);
    return node;
}

Node *node_ref(Node *node)
{
    __atomic_add_fetch(&node->refs, 1, __ATOMIC_RELAXED);
    return node;
}

void node_unref(Node *node)
{
    if (node == NULL || __atomic_sub_fetch(&node->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    g_clear_pointer(&node->exact, g_hash_table_unref);
    g_clear_pointer(&node->patterns, g_ptr_array_unref);
    if (node->gate != NULL)
        node->gate_unref(node->gate);
    queue_unref(node->queue);
    pthread_rwlock_destroy(&node->lock);
    g_free(node->owner);
    g_free(node->address);
    g_free(node);
}

void node_set_owner(Node *node, const char *owner)
{
    pthread_rwlock_wrlock(&node->lock);
    g_free(node->owner);
    node->owner = g_strdup(owner);
    pthread_rwlock_unlock(&node->lock);
}

char *node_owner(Node *node)
{
    char *owner;

    pthread_rwlock_rdlock(&node->lock);
    owner = g_strdup(node->owner);
    pthread_rwlock_unlock(&node->lock);
    return owner;
}

/* Locked for writing. */
static GPtrArray *bindings_for(Node *node, const char *key, bool pattern)
{
    GPtrArray *found;
    Pattern *p;

    if (node->exact == NULL) {
        node->exact = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
        node->patterns = g_ptr_array_new_with_free_func(pattern_free);
    }
    if (!pattern) {
        found = g_hash_table_lookup(node->exact, key);
        if (found == NULL) {
            found = g_ptr_array_new();
            g_hash_table_insert(node->exact, g_strdup(key), found);
        }
        return found;
    }
    for (guint i = 0; i < node->patterns->len; i++) {
        p = g_ptr_array_index(node->patterns, i);
        if (strcmp(p->key, key) == 0)
            return p->bindings;
    }
    p = g_new0(Pattern, 1);
    p->key = g_strdup(key);
    p->bindings = g_ptr_array_new();
    g_ptr_array_add(node->patterns, p);
    return p->bindings;
}

static Binding *bind_as(Node *node, Binding model)
{
    Binding *b = g_memdup2(&model, sizeof model);
    GPtrArray *array;

    node_ref(node);
    queue_ref(b->queue);
    pthread_rwlock_wrlock(&node->lock);
    array = bindings_for(node, b->key, b->pattern);
    b->place = array->len;
    g_ptr_array_add(array, b);
    pthread_rwlock_unlock(&node->lock);
    if (node->kind == NODE_QUEUE)
        __atomic_add_fetch(&node->taps, 1, __ATOMIC_RELEASE);
    return b;
}

Binding *node_bind(Node *node, Queue *queue, const char *key, bool (*wants)(void *, const Message *), void *user)
{
    return bind_as(node, (Binding){.node = node, .queue = queue, .key = g_strdup(key), .wants = wants, .user = user,
                                   .pattern = node->kind == NODE_TOPIC && topic_has_wildcard(key)});
}

Binding *node_tap(Node *node, Queue *queue, const char *key)
{
    return bind_as(node, (Binding){.node = node, .queue = queue, .key = g_strdup(key),
                                   .pattern = node->kind == NODE_QUEUE || topic_has_wildcard(key)});
}

void node_unbind(Binding *b)
{
    GPtrArray *array;

    if (b == NULL)
        return;
    pthread_rwlock_wrlock(&b->node->lock);
    array = bindings_for(b->node, b->key, b->pattern);
    g_ptr_array_remove_index_fast(array, b->place);
    if (b->place < array->len)
        ((Binding *) g_ptr_array_index(array, b->place))->place = b->place;
    if (array->len == 0 && !b->pattern)
        g_hash_table_remove(b->node->exact, b->key);
    else if (array->len == 0)
        for (guint i = 0; i < b->node->patterns->len; i++)
            if (((Pattern *) g_ptr_array_index(b->node->patterns, i))->bindings == array) {
                g_ptr_array_remove_index_fast(b->node->patterns, i);
                break;
            }
    pthread_rwlock_unlock(&b->node->lock);
    if (b->node->kind == NODE_QUEUE)
        __atomic_sub_fetch(&b->node->taps, 1, __ATOMIC_RELEASE);
    queue_unref(b->queue);
    node_unref(b->node);
    g_free(b->key);
    g_free(b);
}

static size_t put_all(const GPtrArray *bindings, Message *message)
{
    size_t n = 0;

    for (guint i = 0; bindings != NULL && i < bindings->len; i++) {
        const Binding *b = g_ptr_array_index(bindings, i);
        if (b->wants != NULL && !b->wants(b->user, message))
            continue;
        queue_put_one(b->queue, message);
        n++;
    }
    return n;
}

static GPtrArray *find_exact(const Node *node, const char *subject, size_t n_subject)
{
    char small[256], *key = n_subject < sizeof small ? small : g_malloc(n_subject + 1);
    GPtrArray *found;

    memcpy(key, subject, n_subject);
    key[n_subject] = '\0';
    found = g_hash_table_lookup(node->exact, key);
    if (key != small)
        g_free(key);
    return found;
}

static void route(Node *node, Message *message, const char *subject, size_t n_subject)
{
    size_t n = 0;

    pthread_rwlock_rdlock(&node->lock);
    if (node->exact != NULL) {
        if (g_hash_table_size(node->exact) > 0)
            n += put_all(find_exact(node, subject, n_subject), message);
        for (guint i = 0; i < node->patterns->len; i++) {
            const Pattern *p = g_ptr_array_index(node->patterns, i);
            if (topic_match(p->key, subject, n_subject))
                n += put_all(p->bindings, message);
        }
    }
    pthread_rwlock_unlock(&node->lock);
    __atomic_add_fetch(n > 0 ? &node->routed : &node->unrouted, 1, __ATOMIC_RELAXED);
}

void node_put(Node *node, QueuePut *puts, size_t n, const char *subject, size_t n_subject)
{
    if (node->kind == NODE_QUEUE) {
        queue_put(node->queue, puts, n);
        if (__atomic_load_n(&node->taps, __ATOMIC_ACQUIRE) == 0)
            return;
        for (size_t i = 0; i < n; i++)
            if (puts[i].outcome <= QUEUE_TAKEN_LATER)
                route(node, puts[i].message, subject, n_subject);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        route(node, puts[i].message, subject, n_subject);
        puts[i].outcome = QUEUE_TAKEN;
    }
}
