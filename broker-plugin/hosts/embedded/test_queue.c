/* The queue by itself: its consumers here run only when the test says so. */
#include "broker-plugin/hosts/embedded/queue.h"

#include <string.h>

typedef struct Bench {
    Executor executor;
    QueueHooks hooks;
    GPtrArray *dead;      /* "text: reason" */
    GArray *forgotten;    /* records */
    uint64_t last_record;
    unsigned runs;
} Bench;

static void no_wake(Executor *e)
{
}

static char *text_of(const Message *m)
{
    return g_strndup((const char *) m->bytes + m->n_bytes - 2, 2);
}

static void on_dead(void *user, Queue *q, Message *m, const char *reason)
{
    g_autofree char *text = text_of(m);

    g_ptr_array_add(((Bench *) user)->dead, g_strdup_printf("%s: %s", text, reason));
}

static uint64_t on_keep(void *user, Queue *q, const Message *m, uint64_t sequence, QueueSafeFn safe, void *safe_user)
{
    return ++((Bench *) user)->last_record;
}

static void on_forget(void *user, Queue *q, uint64_t record)
{
    g_array_append_val(((Bench *) user)->forgotten, record);
}

static void on_handed(void *user, uint64_t record, uint32_t count)
{
}

static void bench_init(Bench *b)
{
    *b = (Bench){.dead = g_ptr_array_new_with_free_func(g_free), .forgotten = g_array_new(false, false, sizeof(uint64_t))};
    executor_init(&b->executor, no_wake);
    b->hooks = (QueueHooks){on_dead, on_keep, on_forget, on_handed, b};
}

static void bench_done(Bench *b)
{
    g_ptr_array_unref(b->dead);
    g_array_unref(b->forgotten);
    executor_done(&b->executor);
}

static Message *msg(const char *text, uint8_t priority, uint32_t ttl_ms, bool durable)
{
    const uint8_t bytes[] = {0x00, 0x53, 0x70, 0xc0, 0x09, 0x03, durable ? 0x41 : 0x42, 0x50, priority, 0x70, 0, 0, (uint8_t) (ttl_ms >> 8),
                             (uint8_t) ttl_ms, 0x00, 0x53, 0x74, 0xc1, 0x06, 0x02, 0xa1, 0x01, 'k', 0xa1, 0x00,
                             0x00, 0x53, 0x75, 0xa0, 0x02, (uint8_t) text[0], (uint8_t) text[1]};
    g_autoptr(GError) error = NULL;
    Message *m;

    m = message_new(bytes, sizeof bytes, &error);
    g_assert_no_error(error);
    return m;
}

static QueueOutcome put(Queue *q, const char *text, uint8_t priority)
{
    g_autoptr(Message) m = msg(text, priority, 0, false);

    return queue_put_one(q, m);
}

static void ran(Runnable *r)
{
}

static void consumer(Bench *b, Queue *q, Consumer *c, bool browse, bool settles)
{
    *c = (Consumer){.runnable = {.executor = &b->executor, .run = ran}, .browse = browse, .settles = settles};
    queue_add(q, c);
}

/* Takes all @max there is and says what it was; entries go to @ret (may be NULL: settled by taking). */
static char *take(Consumer *c, size_t max, Entry **ret)
{
    g_autoptr(GString) all = g_string_new(NULL);
    Taken t[16];
    size_t n = queue_take(c, t, MIN(max, 16), true);

    for (size_t i = 0; i < n; i++) {
        g_autofree char *text = text_of(t[i].message);
        g_string_append_printf(all, "%s%s", i > 0 ? " " : "", text);
        if (t[i].entry == NULL)
            message_unref(t[i].message);
        else
            ret[i] = t[i].entry;
    }
    return g_string_free(g_steal_pointer(&all), false);
}

#define TAKES(c, max, ret, want)                           \
    do {                                                   \
        g_autofree char *got_ = take((c), (max), (ret));   \
        g_assert_cmpstr(got_, ==, (want));                 \
    } while (0)

static void test_order_and_priority(void)
{
    Bench b;
    Consumer c;
    Queue *q;

    bench_init(&b);
    q = queue_new("q", &(QueueShape){0}, &b.hooks);
    put(q, "a1", 4);
    put(q, "b1", 9);
    put(q, "a2", 4);
    put(q, "c1", 0);
    put(q, "b2", 9);
    consumer(&b, q, &c, false, true);
    TAKES(&c, 16, NULL, "b1 b2 a1 a2 c1");
    g_assert_cmpuint(queue_depth(q), ==, 0);
    g_assert_cmpuint(queue_bytes(q), ==, 0);
    queue_remove(&c);
    queue_unref(q);
    bench_done(&b);
}

static void test_release_keeps_place(void)
{
    Bench b;
    Consumer c;
    Entry *e[16];
    Queue *q;

    bench_init(&b);
    q = queue_new("q", &(QueueShape){.max_deliveries = 3}, &b.hooks);
    put(q, "a1", 4);
    put(q, "a2", 4);
    put(q, "a3", 4);
    consumer(&b, q, &c, false, false);
    TAKES(&c, 2, e, "a1 a2");
    queue_settle(q, &c, e, 2, SETTLE_RELEASE, NULL);
    TAKES(&c, 16, e, "a1 a2 a3");
    queue_settle(q, &c, &e[1], 1, SETTLE_ACCEPT, NULL);
    queue_settle(q, &c, &e[2], 1, SETTLE_FAIL, NULL);
    queue_settle(q, &c, &e[0], 1, SETTLE_FAIL, NULL);
    g_assert_cmpuint(queue_depth(q), ==, 2);
    TAKES(&c, 1, e, "a1");
    queue_settle(q, &c, e, 1, SETTLE_FAIL, NULL);
    TAKES(&c, 1, e, "a1");
    queue_settle(q, &c, e, 1, SETTLE_FAIL, NULL); /* the third */
    g_assert_cmpuint(b.dead->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(b.dead, 0), ==, "a1: too many deliveries");
    TAKES(&c, 1, e, "a3");
    queue_settle(q, &c, e, 1, SETTLE_REJECT, "no good");
    g_assert_cmpstr(g_ptr_array_index(b.dead, 1), ==, "a3: no good");
    g_assert_cmpuint(queue_depth(q), ==, 0);
    queue_remove(&c);
    queue_unref(q);
    bench_done(&b);
}

static void test_not_here(void)
{
    Bench b;
    Consumer one, two;
    Entry *e[16];
    Queue *q;

    bench_init(&b);
    q = queue_new("q", &(QueueShape){0}, &b.hooks);
    put(q, "a1", 4);
    put(q, "a2", 4);
    consumer(&b, q, &one, false, false);
    consumer(&b, q, &two, false, true);
    TAKES(&one, 1, e, "a1");
    queue_settle(q, &one, e, 1, SETTLE_FAIL_HERE, NULL);
    TAKES(&one, 1, e, "a2");
    TAKES(&one, 1, e + 1, "");
    TAKES(&two, 1, NULL, "a1");
    queue_settle(q, &one, e, 1, SETTLE_ACCEPT, NULL);
    queue_remove(&one);
    queue_remove(&two);
    queue_unref(q);
    bench_done(&b);
}

static void test_reject_and_ring(void)
{
    Bench b;
    Consumer c;
    Queue *full, *ring;

    bench_init(&b);
    full = queue_new("full", &(QueueShape){.max_messages = 2}, &b.hooks);
    ring = queue_new("ring", &(QueueShape){.max_messages = 2, .ring = true}, &b.hooks);
    for (int i = 0; i < 3; i++) {
        char text[3] = {'m', (char) ('0' + i), 0};
        g_assert_cmpint(put(full, text, 4), ==, i < 2 ? QUEUE_TAKEN : QUEUE_FULL);
        g_assert_cmpint(put(ring, text, 4), ==, QUEUE_TAKEN);
    }
    consumer(&b, ring, &c, false, true);
    TAKES(&c, 16, NULL, "m1 m2");
    g_assert_cmpuint(queue_stats(ring).dropped, ==, 1);
    g_assert_cmpuint(b.dead->len, ==, 0); /* what a ring drops is gone */
    queue_remove(&c);
    queue_unref(full);
    queue_unref(ring);
    bench_done(&b);
}

static void test_browse(void)
{
    Bench b;
    Consumer look, eat;
    Queue *q;

    bench_init(&b);
    q = queue_new("q", &(QueueShape){0}, &b.hooks);
    put(q, "a1", 4);
    put(q, "a2", 4);
    consumer(&b, q, &look, true, false);
    consumer(&b, q, &eat, false, true);
    TAKES(&look, 1, NULL, "a1");
    TAKES(&eat, 1, NULL, "a1");
    put(q, "a3", 4);
    TAKES(&look, 16, NULL, "a2 a3");
    put(q, "a4", 4);
    TAKES(&look, 16, NULL, "a4");
    g_assert_cmpuint(queue_depth(q), ==, 3);
    queue_remove(&look);
    queue_remove(&eat);
    queue_unref(q);
    bench_done(&b);
}

static void test_expiry(void)
{
    Bench b;
    Consumer c;
    Queue *q;
    g_autoptr(Message) m = msg("e1", 4, 1, false);

    bench_init(&b);
    q = queue_new("q", &(QueueShape){0}, &b.hooks);
    queue_put_one(q, m);
    put(q, "a1", 4);
    g_assert_cmpint(queue_expire(q, m->arrived_us), <, INT64_MAX);
    g_assert_cmpint(queue_expire(q, m->arrived_us + 2 * US_PER_MS), ==, INT64_MAX);
    g_assert_cmpstr(g_ptr_array_index(b.dead, 0), ==, "e1: expired");
    consumer(&b, q, &c, false, true);
    TAKES(&c, 16, NULL, "a1");
    queue_remove(&c);
    queue_unref(q);
    bench_done(&b);
}

static void test_last_value(void)
{
    Bench b;
    Consumer c;
    Entry *e[16];
    Queue *q;

    bench_init(&b);
    q = queue_new("q", &(QueueShape){.last_value_key = (char *) "k"}, &b.hooks);
    put(q, "v1", 4);
    put(q, "v2", 4);
    g_assert_cmpuint(queue_depth(q), ==, 1);
    consumer(&b, q, &c, false, false);
    TAKES(&c, 16, e, "v2");
    put(q, "v3", 4);
    queue_settle(q, &c, e, 1, SETTLE_RELEASE, NULL); /* out of date meanwhile */
    TAKES(&c, 16, e, "v3");
    queue_settle(q, &c, e, 1, SETTLE_ACCEPT, NULL);
    g_assert_cmpuint(queue_depth(q), ==, 0);
    queue_remove(&c);
    queue_unref(q);
    bench_done(&b);
}

static void test_durable_is_kept_and_forgotten(void)
{
    Bench b;
    Consumer c;
    Entry *e[16];
    Queue *q;
    g_autoptr(Message) keep = msg("d1", 4, 0, true), light = msg("l1", 4, 0, false);

    bench_init(&b);
    q = queue_new("q", &(QueueShape){.durable = true}, &b.hooks);
    queue_set_record(q, 1);
    queue_put_one(q, keep);
    queue_put_one(q, light);
    g_assert_cmpuint(b.last_record, ==, 1);
    consumer(&b, q, &c, false, false);
    TAKES(&c, 16, e, "d1 l1");
    g_assert_cmpuint(b.forgotten->len, ==, 0);
    queue_settle(q, &c, e, 2, SETTLE_ACCEPT, NULL);
    g_assert_cmpuint(b.forgotten->len, ==, 1);
    queue_remove(&c);
    queue_unref(q);
    bench_done(&b);
}

static void test_close(void)
{
    Bench b;
    Consumer c;
    Entry *e[16];
    Queue *q;

    bench_init(&b);
    q = queue_new("q", &(QueueShape){0}, &b.hooks);
    put(q, "a1", 4);
    put(q, "a2", 4);
    consumer(&b, q, &c, false, false);
    TAKES(&c, 1, e, "a1");
    queue_close(q, "removed", false);
    g_assert_cmpstr(g_ptr_array_index(b.dead, 0), ==, "a2: removed");
    queue_settle(q, &c, e, 1, SETTLE_RELEASE, NULL);
    g_assert_cmpstr(g_ptr_array_index(b.dead, 1), ==, "a1: queue deleted");
    g_assert_cmpint(put(q, "a3", 4), ==, QUEUE_GONE);
    queue_remove(&c);
    queue_unref(q);
    bench_done(&b);
}

static void test_wakes_who_waits(void)
{
    Bench b;
    Consumer one, two;
    Queue *q;

    bench_init(&b);
    q = queue_new("q", &(QueueShape){0}, &b.hooks);
    consumer(&b, q, &one, false, true);
    consumer(&b, q, &two, false, true);
    TAKES(&one, 1, NULL, "");
    TAKES(&two, 1, NULL, "");
    g_assert_cmpuint(b.executor.n_ready, ==, 0);
    put(q, "a1", 4);
    g_assert_cmpuint(b.executor.n_ready, ==, 1); /* one message, one consumer */
    queue_remove(&one);                          /* the one that was woken goes without taking it */
    g_assert_true(two.runnable.ready);
    TAKES(&two, 1, NULL, "a1");
    queue_remove(&two);
    queue_unref(q);
    bench_done(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/queue/order-and-priority", test_order_and_priority);
    g_test_add_func("/queue/release-keeps-place", test_release_keeps_place);
    g_test_add_func("/queue/not-here", test_not_here);
    g_test_add_func("/queue/reject-and-ring", test_reject_and_ring);
    g_test_add_func("/queue/browse", test_browse);
    g_test_add_func("/queue/expiry", test_expiry);
    g_test_add_func("/queue/last-value", test_last_value);
    g_test_add_func("/queue/durable-is-kept-and-forgotten", test_durable_is_kept_and_forgotten);
    g_test_add_func("/queue/close", test_close);
    g_test_add_func("/queue/wakes-who-waits", test_wakes_who_waits);
    return g_test_run();
}
