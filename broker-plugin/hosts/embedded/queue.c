/* Everything a message goes through on its way from put to settle happens here under one lock per queue, held for a batch and never
 * while calling out. Two costs were designed away: a lock and a wake-up per message (puts and takes are batches, a put wakes one
 * waiting consumer and only an executor that sleeps is really woken), and an allocation per entry (a queue keeps some spare ones).
 *
 * An entry is either available (linked into the list of its priority) or taken (owned by the consumer, counted in the depth). A
 * taken one that comes back goes to its old place, found by its sequence number from the front, where such entries belong.
 *
 * Plain consumers take from the front. Browsers and choosers (selector, no-local) have a cursor for each priority; the queue moves
 * the cursors that point at an entry it unlinks. Only queues that have such consumers pay for them. */
#include "broker-plugin/hosts/embedded/queue.h"

#include "lib/base/clock.h"

#include <stdlib.h>
#include <string.h>

#define SPARE_MAX 64
#define SETTLE_BATCH 64
#define ENTRY_OVERHEAD 128 /* charged to the queue's bytes for every message, beside its own */

struct Entry {
    Entry *prev, *next;
    Message *message;
    uint64_t sequence, record;
    int64_t expires_us;
    uint32_t delivery_count, not_for;
    const char *reason; /* while on its way to the dead letters */
    bool drop;          /* then: without a dead letter */
};

typedef struct Level {
    Entry *first, *last;
} Level;

struct Queue {
    gint refs;
    pthread_mutex_t lock;
    char *name;
    QueueShape shape;
    const QueueHooks *hooks;
    Level levels[MESSAGE_PRIORITIES];
    uint32_t filled; /* bit per level that has entries */
    uint32_t next_number;
    uint64_t next_sequence, record;
    size_t n_available, n_messages, n_bytes, n_consumers, n_choosers;
    Consumer *consumers, *first_waiting, *last_waiting;
    Producer *producers;
    GHashTable *last_values; /* key → Entry */
    Entry *spare;
    unsigned n_spare;
    int64_t next_expiry_us;
    bool closed;
    QueueStats stats;
};

Queue *queue_new(const char *name, const QueueShape *shape, const QueueHooks *hooks)
{
    Queue *q = g_new0(Queue, 1);

    q->refs = 1;
    pthread_mutex_init(&q->lock, NULL);
    q->name = g_strdup(name);
    q->shape = queue_shape_copy(shape);
    q->hooks = hooks;
    q->next_sequence = 1;
    q->next_expiry_us = INT64_MAX;
    if (shape->last_value_key != NULL)
        q->last_values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return q;
}

Queue *queue_ref(Queue *q)
{
    __atomic_add_fetch(&q->refs, 1, __ATOMIC_RELAXED);
    return q;
}

void queue_unref(Queue *q)
{
    if (q == NULL || __atomic_sub_fetch(&q->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned i = 0; i < MESSAGE_PRIORITIES; i++)
        for (Entry *e = q->levels[i].first, *next; e != NULL; e = next) {
            next = e->next;
            message_unref(e->message);
            free(e);
        }
    for (Entry *e; (e = q->spare) != NULL; free(e))
        q->spare = e->next;
    g_clear_pointer(&q->last_values, g_hash_table_unref);
    pthread_mutex_destroy(&q->lock);
    queue_shape_done(&q->shape);
    g_free(q->name);
    g_free(q);
}

const char *queue_name(const Queue *q)
{
    return q->name;
}

const QueueShape *queue_shape(const Queue *q)
{
    return &q->shape;
}

void queue_set_record(Queue *q, uint64_t record)
{
    q->record = record;
}

uint64_t queue_record(const Queue *q)
{
    return q->record;
}

/* ---- entries; all below here: locked, unless said otherwise ---- */

static Entry *entry_new(Queue *q, Message *message)
{
    Entry *e = q->spare;

    if (e != NULL) {
        q->spare = e->next;
        q->n_spare--;
    } else {
        e = malloc(sizeof *e);
        g_assert(e != NULL);
    }
    *e = (Entry){.message = message};
    return e;
}

static void entry_free(Queue *q, Entry *e)
{
    if (q->n_spare >= SPARE_MAX) {
        free(e);
        return;
    }
    e->next = q->spare;
    q->spare = e;
    q->n_spare++;
}

static unsigned top_level(const Queue *q)
{
    return 31u - (unsigned) __builtin_clz(q->filled);
}

/* A cursor at NULL stands behind the last entry. */
static void cursors_see(Queue *q, unsigned level, Entry *e, bool returned)
{
    for (Consumer *c = q->consumers; c != NULL; c = c->next) {
        if (c->cursors == NULL || (returned && c->browse))
            continue;
        if (c->cursors[level] == NULL || (returned && c->cursors[level]->sequence > e->sequence))
            c->cursors[level] = e;
    }
}

static void entry_link_before(Queue *q, Entry *e, Entry *next)
{
    unsigned level = e->message->priority;
    Level *l = &q->levels[level];

    e->next = next;
    e->prev = next != NULL ? next->prev : l->last;
    *(e->prev != NULL ? &e->prev->next : &l->first) = e;
    *(next != NULL ? &next->prev : &l->last) = e;
    q->filled |= 1u << level;
    q->n_available++;
    if (q->n_choosers > 0)
        cursors_see(q, level, e, next != NULL);
}

static void entry_unlink(Queue *q, Entry *e)
{
    unsigned level = e->message->priority;
    Level *l = &q->levels[level];

    if (q->n_choosers > 0)
        for (Consumer *c = q->consumers; c != NULL; c = c->next)
            if (c->cursors != NULL && c->cursors[level] == e)
                c->cursors[level] = e->next;
    *(e->prev != NULL ? &e->prev->next : &l->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &l->last) = e->prev;
    if (l->first == NULL)
        q->filled &= ~(1u << level);
    q->n_available--;
}

static size_t entry_bytes(const Entry *e)
{
    return e->message->n_bytes + ENTRY_OVERHEAD;
}

/* Read by others without the lock, as good as they are then. */
static void count(Queue *q, const Entry *e, int sign)
{
    __atomic_store_n(&q->n_messages, q->n_messages + (size_t) sign, __ATOMIC_RELAXED);
    __atomic_store_n(&q->n_bytes, q->n_bytes + (size_t) sign * entry_bytes(e), __ATOMIC_RELAXED);
}

static char *last_value_of(const Queue *q, const Message *m)
{
    Fact f = message_property(m, q->shape.last_value_key, strlen(q->shape.last_value_key));

    if (f.type == FACT_TEXT)
        return g_strndup(f.text, f.n_text);
    if (f.type == FACT_INT || f.type == FACT_BOOL)
        return g_strdup_printf("%" G_GINT64_FORMAT, f.i64);
    return NULL;
}

static void last_value_forget(Queue *q, const Entry *e)
{
    g_autofree char *key = last_value_of(q, e->message);

    if (key != NULL && g_hash_table_lookup(q->last_values, key) == e)
        g_hash_table_remove(q->last_values, key);
}

/* Out of the counts; the entry is the caller's then. Unlinked before, if it was available. */
static void entry_leave(Queue *q, Entry *e)
{
    count(q, e, -1);
    if (q->last_values != NULL)
        last_value_forget(q, e);
}

static void grave_push(Entry **graves, Entry *e, const char *reason, bool drop)
{
    e->reason = reason;
    e->drop = drop;
    e->next = *graves;
    *graves = e;
}

/* Not locked. The last to be buried was pushed first: they are turned round, so that dead letters keep the order. */
static void bury(Queue *q, Entry *graves)
{
    Entry *ordered = NULL;

    for (Entry *e = graves, *next; e != NULL; e = next) {
        next = e->next;
        e->next = ordered;
        ordered = e;
    }
    for (Entry *e = ordered, *next; e != NULL; e = next) {
        next = e->next;
        if (!e->drop)
            q->hooks->dead(q->hooks->user, q, e->message, e->reason);
        if (e->record != 0)
            q->hooks->forget(q->hooks->user, q, e->record);
        message_unref(e->message);
        free(e);
    }
}

/* ---- waking ---- */

static void consumer_unwait(Queue *q, Consumer *c)
{
    *(c->wait_prev != NULL ? &c->wait_prev->wait_next : &q->first_waiting) = c->wait_next;
    *(c->wait_next != NULL ? &c->wait_next->wait_prev : &q->last_waiting) = c->wait_prev;
    c->wait_prev = c->wait_next = NULL;
    c->waiting = false;
}

static void consumer_wait(Queue *q, Consumer *c)
{
    if (c->waiting)
        return;
    c->waiting = true;
    c->wait_next = NULL;
    c->wait_prev = q->last_waiting;
    *(q->last_waiting != NULL ? &q->last_waiting->wait_next : &q->first_waiting) = c;
    q->last_waiting = c;
}

/* One plain consumer for each message, the longest waiting first, and everybody who chooses: only they know what they want. */
static void wake_consumers(Queue *q, size_t n_messages)
{
    for (Consumer *c = q->first_waiting, *next; c != NULL; c = next) {
        next = c->wait_next;
        if (c->cursors == NULL && n_messages == 0) {
            if (q->n_choosers == 0)
                return;
            continue;
        }
        if (c->cursors == NULL)
            n_messages--;
        consumer_unwait(q, c);
        executor_schedule(&c->runnable);
    }
}

static bool over(size_t value, int64_t limit, unsigned quarters)
{
    return limit > 0 && value * 4 > (uint64_t) limit * quarters;
}

static void wake_producers(Queue *q)
{
    if (q->producers == NULL || over(q->n_messages, q->shape.max_messages, 2) || over(q->n_bytes, q->shape.max_bytes, 2))
        return;
    for (Producer *p = q->producers, *next; p != NULL; p = next) {
        next = p->next;
        p->prev = p->next = NULL;
        p->waits_for = NULL;
        executor_schedule(&p->runnable);
    }
    q->producers = NULL;
}

/* ---- putting ---- */

static Entry *oldest(const Queue *q)
{
    return q->filled == 0 ? NULL : q->levels[__builtin_ctz(q->filled)].first;
}

static bool fits(const Queue *q, size_t n_bytes)
{
    return (q->shape.max_messages == 0 || q->n_messages < (size_t) q->shape.max_messages) &&
           (q->shape.max_bytes == 0 || q->n_bytes + n_bytes <= (size_t) q->shape.max_bytes);
}

static QueueOutcome make_room(Queue *q, size_t n_bytes, Entry **graves)
{
    Entry *e;

    while (!fits(q, n_bytes)) {
        if (!q->shape.ring) {
            q->stats.refused++;
            return QUEUE_FULL;
        }
        e = oldest(q);
        if (e == NULL) {
            q->stats.dropped++;
            return QUEUE_DROPPED;
        }
        entry_unlink(q, e);
        entry_leave(q, e);
        q->stats.dropped++;
        grave_push(graves, e, "overflow", true);
    }
    return QUEUE_TAKEN;
}

static void replace_last_value(Queue *q, Entry *e, Entry **graves)
{
    char *key = last_value_of(q, e->message);
    Entry *old;

    if (key == NULL)
        return;
    old = g_hash_table_lookup(q->last_values, key);
    g_hash_table_replace(q->last_values, key, e);
    if (old == NULL || (old->prev == NULL && old->next == NULL && q->levels[old->message->priority].first != old))
        return; /* none, or with a consumer now: if it comes back it is out of date and goes then */
    entry_unlink(q, old);
    count(q, old, -1);
    grave_push(graves, old, "replaced", true);
}

static void set_expiry(Queue *q, Entry *e)
{
    const Message *m = e->message;
    int64_t own_us = m->ttl_ms > 0 ? m->arrived_us + (int64_t) m->ttl_ms * US_PER_MS : 0;
    int64_t most_us = q->shape.ttl_us > 0 ? clock_now_us() + q->shape.ttl_us : 0;

    e->expires_us = own_us == 0 ? most_us : most_us == 0 ? own_us : MIN(own_us, most_us);
    if (e->expires_us != 0)
        q->next_expiry_us = MIN(q->next_expiry_us, e->expires_us);
}

static QueueOutcome put_one(Queue *q, QueuePut *put, Entry **graves)
{
    QueueOutcome outcome;
    Entry *e;

    if (q->closed)
        return QUEUE_GONE;
    outcome = make_room(q, put->message->n_bytes + ENTRY_OVERHEAD, graves);
    if (outcome != QUEUE_TAKEN)
        return outcome;
    e = entry_new(q, message_ref(put->message));
    e->sequence = q->next_sequence++;
    e->delivery_count = put->message->delivery_count;
    if (put->message->ttl_ms > 0 || q->shape.ttl_us > 0)
        set_expiry(q, e);
    if (q->record != 0 && put->message->durable) {
        /* under the lock, so that no consumer can be done with it before it has a record; the hook only appends to a buffer */
        e->record = q->hooks->keep(q->hooks->user, q, put->message, e->sequence, put->safe, put->safe_user);
        if (e->record != 0 && put->safe != NULL)
            outcome = QUEUE_TAKEN_LATER;
    }
    count(q, e, 1);
    if (q->last_values != NULL)
        replace_last_value(q, e, graves);
    entry_link_before(q, e, NULL);
    q->stats.put++;
    return outcome;
}

void queue_put(Queue *q, QueuePut *puts, size_t n)
{
    Entry *graves = NULL;
    size_t taken = 0;

    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < n; i++) {
        puts[i].outcome = put_one(q, &puts[i], &graves);
        taken += puts[i].outcome <= QUEUE_TAKEN_LATER;
    }
    if (taken > 0 && q->first_waiting != NULL)
        wake_consumers(q, taken);
    pthread_mutex_unlock(&q->lock);
    bury(q, graves);
}

QueueOutcome queue_put_one(Queue *q, Message *message)
{
    QueuePut put = {.message = message};

    queue_put(q, &put, 1);
    return put.outcome;
}

void queue_restore(Queue *q, Message *message, uint64_t sequence, uint64_t record, uint32_t delivery_count)
{
    Entry *e, *graves = NULL;

    pthread_mutex_lock(&q->lock);
    e = entry_new(q, message_ref(message));
    e->sequence = sequence;
    e->record = record;
    e->delivery_count = delivery_count;
    set_expiry(q, e);
    q->next_sequence = MAX(q->next_sequence, sequence + 1);
    count(q, e, 1);
    if (q->last_values != NULL)
        replace_last_value(q, e, &graves);
    entry_link_before(q, e, NULL);
    pthread_mutex_unlock(&q->lock);
    bury(q, graves);
}

/* ---- consumers ---- */

void queue_add(Queue *q, Consumer *c)
{
    c->queue = queue_ref(q);
    c->waiting = false;
    pthread_mutex_lock(&q->lock);
    c->number = ++q->next_number;
    if (c->browse || c->wants != NULL) {
        c->cursors = g_new(Entry *, MESSAGE_PRIORITIES);
        for (unsigned i = 0; i < MESSAGE_PRIORITIES; i++)
            c->cursors[i] = q->levels[i].first;
        q->n_choosers++;
    }
    c->prev = NULL;
    c->next = q->consumers;
    if (q->consumers != NULL)
        q->consumers->prev = c;
    q->consumers = c;
    q->n_consumers++;
    pthread_mutex_unlock(&q->lock);
}

void queue_remove(Consumer *c)
{
    Queue *q = c->queue;

    if (q == NULL)
        return;
    pthread_mutex_lock(&q->lock);
    if (c->waiting)
        consumer_unwait(q, c);
    *(c->prev != NULL ? &c->prev->next : &q->consumers) = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    q->n_consumers--;
    if (c->cursors != NULL)
        q->n_choosers--;
    if (q->n_available > 0)
        wake_consumers(q, 1); /* it may have been woken for something it will not take now */
    pthread_mutex_unlock(&q->lock);
    executor_forget(&c->runnable);
    g_clear_pointer(&c->cursors, g_free);
    c->queue = NULL;
    queue_unref(q);
}

static bool may_have(const Consumer *c, const Entry *e)
{
    return e->not_for != c->number && (c->wants == NULL || c->wants((Consumer *) c, e->message));
}

/* The next entry for @c at one level, its cursor moved behind it; or NULL. */
static Entry *choose_at(Consumer *c, Entry *from, unsigned level)
{
    Entry *e = c->cursors != NULL ? c->cursors[level] : from;

    while (e != NULL && !may_have(c, e))
        e = e->next;
    if (c->cursors != NULL)
        c->cursors[level] = e != NULL ? e->next : NULL;
    return e;
}

static Entry *choose(Queue *q, Consumer *c)
{
    Entry *e;

    for (uint32_t left = q->filled; left != 0;) {
        unsigned level = 31u - (unsigned) __builtin_clz(left);
        e = choose_at(c, q->levels[level].first, level);
        if (e != NULL)
            return e;
        left &= ~(1u << level);
    }
    return NULL;
}

static void hand_over(Queue *q, const Consumer *c, Entry *e, Taken *out)
{
    *out = (Taken){.message = e->message, .delivery_count = e->delivery_count, .expires_us = e->expires_us};
    if (c->browse) {
        message_ref(e->message);
        return;
    }
    entry_unlink(q, e);
    q->stats.taken++;
    if (!c->settles) {
        e->prev = e->next = NULL;
        if (e->record != 0)
            q->hooks->handed(q->hooks->user, e->record, e->delivery_count + 1);
        out->entry = e;
        return;
    }
    entry_leave(q, e);
    if (e->record != 0)
        q->hooks->forget(q->hooks->user, q, e->record);
    entry_free(q, e);
}

/* Several consumers share what is there instead of the first taking all it has credit for. */
static size_t fair_share(const Queue *q, const Consumer *c, size_t max)
{
    if (c->browse || q->n_consumers <= 1)
        return max;
    return MIN(max, q->n_available / q->n_consumers + 1);
}

size_t queue_take(Consumer *c, Taken *out, size_t max, bool wait)
{
    Queue *q = c->queue;
    Entry *e, *graves = NULL;
    size_t n = 0, share;
    int64_t now_us = 0;

    pthread_mutex_lock(&q->lock);
    share = fair_share(q, c, max);
    while (n < share) {
        e = c->cursors == NULL && q->filled != 0 && q->levels[top_level(q)].first->not_for == 0 ? q->levels[top_level(q)].first : choose(q, c);
        if (e == NULL)
            break;
        if (e->expires_us != 0 && e->expires_us <= (now_us != 0 ? now_us : (now_us = clock_now_us()))) {
            entry_unlink(q, e);
            entry_leave(q, e);
            q->stats.expired++;
            grave_push(&graves, e, "expired", false);
            continue;
        }
        hand_over(q, c, e, &out[n++]);
    }
    if (n < share && wait)
        consumer_wait(q, c);
    else if (q->n_available > 0 && q->first_waiting != NULL && !c->browse)
        wake_consumers(q, 1);
    wake_producers(q);
    pthread_mutex_unlock(&q->lock);
    bury(q, graves);
    return n;
}

static void give_back(Queue *q, Entry *e, Entry **graves)
{
    Entry *at = q->levels[e->message->priority].first;

    if (q->closed) {
        entry_leave(q, e);
        grave_push(graves, e, "queue deleted", false);
        return;
    }
    if (q->last_values != NULL) {
        g_autofree char *key = last_value_of(q, e->message);
        if (key != NULL && g_hash_table_lookup(q->last_values, key) != e) {
            count(q, e, -1);
            grave_push(graves, e, "replaced", true);
            return;
        }
    }
    while (at != NULL && at->sequence < e->sequence)
        at = at->next;
    q->stats.released++;
    if (e->record != 0)
        q->hooks->handed(q->hooks->user, e->record, e->delivery_count);
    entry_link_before(q, e, at);
}

/* True: the entry is done with. */
static bool settle_one(Queue *q, const Consumer *c, Entry *e, QueueSettle how, const char *reason, Entry **graves)
{
    switch (how) {
    case SETTLE_ACCEPT:
        q->stats.accepted++;
        entry_leave(q, e);
        return true;
    case SETTLE_REJECT:
        q->stats.dead++;
        entry_leave(q, e);
        grave_push(graves, e, reason != NULL ? reason : "rejected", false);
        return false;
    case SETTLE_FAIL: case SETTLE_FAIL_HERE:
        e->delivery_count++;
        if (q->shape.max_deliveries > 0 && e->delivery_count >= q->shape.max_deliveries) {
            q->stats.dead++;
            entry_leave(q, e);
            grave_push(graves, e, "too many deliveries", false);
            return false;
        }
        break;
    default:
        break;
    }
    if (c != NULL && (how == SETTLE_FAIL_HERE || how == SETTLE_NOT_HERE))
        e->not_for = c->number;
    give_back(q, e, graves);
    return false;
}

static void settle_batch(Queue *q, const Consumer *c, Entry *const *entries, size_t n, QueueSettle how, const char *reason)
{
    Message *done[SETTLE_BATCH];
    Entry *graves = NULL;
    size_t n_done = 0, before;

    pthread_mutex_lock(&q->lock);
    before = q->n_available;
    for (size_t i = n; i > 0; i--) { /* from the last: what is given back then always goes to the front */
        Entry *e = entries[i - 1];
        if (!settle_one(q, c, e, how, reason, &graves))
            continue;
        done[n_done++] = e->message;
        if (e->record != 0)
            q->hooks->forget(q->hooks->user, q, e->record);
        entry_free(q, e);
    }
    if (q->n_available > before)
        wake_consumers(q, q->n_available - before);
    wake_producers(q);
    pthread_mutex_unlock(&q->lock);
    for (size_t i = 0; i < n_done; i++)
        message_unref(done[i]);
    bury(q, graves);
}

void queue_settle(Queue *q, const Consumer *c, Entry *const *entries, size_t n, QueueSettle how, const char *reason)
{
    while (n > 0) {
        size_t batch = MIN(n, SETTLE_BATCH);
        settle_batch(q, c, entries + n - batch, batch, how, reason);
        n -= batch;
    }
}

bool queue_wait_for_room(Queue *q, Producer *p)
{
    bool full;

    pthread_mutex_lock(&q->lock);
    full = !q->closed && !q->shape.ring && (over(q->n_messages, q->shape.max_messages, 3) || over(q->n_bytes, q->shape.max_bytes, 3));
    if (full && p->waits_for == NULL) {
        p->waits_for = q;
        p->prev = NULL;
        p->next = q->producers;
        if (q->producers != NULL)
            q->producers->prev = p;
        q->producers = p;
    }
    pthread_mutex_unlock(&q->lock);
    return full;
}

void queue_stop_waiting(Producer *p, Queue *q)
{
    pthread_mutex_lock(&q->lock);
    if (p->waits_for == q) {
        *(p->prev != NULL ? &p->prev->next : &q->producers) = p->next;
        if (p->next != NULL)
            p->next->prev = p->prev;
        p->prev = p->next = NULL;
        p->waits_for = NULL;
    }
    pthread_mutex_unlock(&q->lock);
    executor_forget(&p->runnable);
}

int64_t queue_expire(Queue *q, int64_t now_us)
{
    Entry *graves = NULL, *next;
    int64_t next_us = INT64_MAX;

    pthread_mutex_lock(&q->lock);
    if (q->next_expiry_us > now_us) {
        next_us = q->next_expiry_us;
        pthread_mutex_unlock(&q->lock);
        return next_us;
    }
    for (unsigned i = 0; i < MESSAGE_PRIORITIES; i++)
        for (Entry *e = q->levels[i].first; e != NULL; e = next) {
            next = e->next;
            if (e->expires_us != 0 && e->expires_us <= now_us) {
                entry_unlink(q, e);
                entry_leave(q, e);
                q->stats.expired++;
                grave_push(&graves, e, "expired", false);
            } else if (e->expires_us != 0) {
                next_us = MIN(next_us, e->expires_us);
            }
        }
    q->next_expiry_us = next_us;
    wake_producers(q);
    pthread_mutex_unlock(&q->lock);
    bury(q, graves);
    return next_us;
}

void queue_close(Queue *q, const char *reason, bool drop)
{
    Entry *graves = NULL, *e;

    pthread_mutex_lock(&q->lock);
    __atomic_store_n(&q->closed, true, __ATOMIC_RELEASE);
    while ((e = oldest(q)) != NULL) {
        entry_unlink(q, e);
        entry_leave(q, e);
        grave_push(&graves, e, reason, drop);
    }
    wake_producers(q);
    for (Consumer *c = q->consumers; c != NULL; c = c->next)
        executor_schedule(&c->runnable); /* they find it closed and tell their peers */
    pthread_mutex_unlock(&q->lock);
    bury(q, graves);
}

bool queue_is_closed(const Queue *q)
{
    return __atomic_load_n(&q->closed, __ATOMIC_ACQUIRE);
}

size_t queue_batch(const Queue *q, size_t n_bytes)
{
    size_t n = queue_depth(q), each = n > 0 ? queue_bytes(q) / n : 0;

    return each > 0 ? MAX(n_bytes / each, 1) : 1;
}

size_t queue_depth(const Queue *q)
{
    return __atomic_load_n(&q->n_messages, __ATOMIC_RELAXED);
}

size_t queue_bytes(const Queue *q)
{
    return __atomic_load_n(&q->n_bytes, __ATOMIC_RELAXED);
}

size_t queue_consumers(const Queue *q)
{
    return __atomic_load_n(&q->n_consumers, __ATOMIC_RELAXED);
}

QueueStats queue_stats(Queue *q)
{
    QueueStats stats;

    pthread_mutex_lock(&q->lock);
    stats = q->stats;
    pthread_mutex_unlock(&q->lock);
    return stats;
}
