/* One queue of things that are due ("steps": completions, posts, deliveries, taps, peers) and one list of timers, both in virtual
 * time. Nothing the plugin asks for happens inside its call; everything happens in the order it was asked. That is all a host needs
 * to be, and why a test can replay a world from its seed. */
#include "tests/sim-host/sim_internal.h"

#include "broker-plugin/abi.h"

#include <string.h>

static SimHost *sim_of(mend_host *host) { return (SimHost *) host; }

static bool subscription_wants(const Subscription *s, const mend_msg *msg)
{
    size_t n = strlen(s->address);
    bool here = n > 0 && s->address[n - 1] == '#' ? strncmp(s->address, msg->address.ptr, n - 1) == 0 : str_equal(msg->address, s->address);

    return here && (s->subject == NULL || topic_matches(s->subject, msg->subject.ptr));
}

static Subscription *subscription_find(SimHost *sim, mend_id id)
{
    for (guint i = 0; i < sim->subscriptions->len; i++) {
        Subscription *s = g_ptr_array_index(sim->subscriptions, i);

        if (s->id == id)
            return s;
    }
    return NULL;
}

/* ---- where messages go ---------------------------------------------------------------------------------------------------- */

static void step_push(SimHost *sim, Step step)
{
    Step *copy = g_new(Step, 1);

    *copy = step;
    g_queue_push_tail(&sim->steps, copy);
}

static void message_enter(SimHost *sim, SimMessage *message);

static void bury(SimHost *sim, const Queue *queue, SimMessage *message, const char *reason)
{
    mend_prop *props;
    mend_msg *m = &message->msg;

    if (queue->dead_letter == NULL) {
        sim_message_free(message);
        return;
    }
    props = g_renew(mend_prop, (mend_prop *) m->props, m->n_props + 1);
    props[m->n_props++] = (mend_prop) { .key = { g_strdup("mend.reason"), 11 }, .type = MEND_T_STR, .str = { g_strdup(reason), strlen(reason) } };
    m->props = props;
    g_free((char *) m->address.ptr);
    m->address = (mend_str) { g_strdup(queue->dead_letter), strlen(queue->dead_letter) };
    message->reason = g_strdup(reason);
    message->expires_us = 0;
    message_enter(sim, message);
}

static void settle_message(SimHost *sim, Queue *queue, SimMessage *message, int32_t verdict, const char *reason)
{
    if (verdict == MEND_ACCEPT || queue == NULL) {
        sim_message_free(message);
    } else if (verdict == MEND_REJECT) {
        bury(sim, queue, message, reason);
    } else {
        message->msg.delivery_count++;
        g_queue_push_head(queue->messages, message);
    }
}

static Kept *keep(SimHost *sim, mend_id id, mend_id sub, SimMessage *message, const char *queue, bool gate)
{
    Kept *kept = g_new0(Kept, 1);

    *kept = (Kept) { id, sub, message, g_strdup(queue), gate };
    g_ptr_array_add(sim->kept, kept);
    return kept;
}

/* Hands queued messages to consumers with room; one per call, since the plugin may change everything. */
static bool deliver_one(SimHost *sim)
{
    if (sim->runner == NULL || !runner_is_running(sim->runner))
        return false;
    for (guint i = 0; i < sim->subscriptions->len; i++) {
        Subscription *s = g_ptr_array_index(sim->subscriptions, i);
        Queue *q = s->mode == MEND_CONSUME ? g_hash_table_lookup(sim->queues, s->address) : NULL;
        SimMessage *message = q != NULL && s->kept < s->window ? g_queue_pop_head(q->messages) : NULL;
        mend_id id = ++sim->next_id, sub = s->id;
        int32_t verdict;

        if (message == NULL)
            continue;
        verdict = runner_message(sim->runner, "message", s->mode, s->fn, s->user, id, &message->msg);
        if (verdict == MEND_KEEP) {
            keep(sim, id, sub, message, q->address, false);
            s = subscription_find(sim, sub);
            if (s != NULL)
                s->kept++;
        } else {
            settle_message(sim, q, message, verdict, "rejected");
        }
        return verdict != MEND_RELEASE; /* or it would come again for ever */
    }
    return false;
}

static void message_enter(SimHost *sim, SimMessage *message)
{
    Queue *queue = g_hash_table_lookup(sim->queues, message->msg.address.ptr);

    for (guint i = 0; i < sim->subscriptions->len; i++) {
        const Subscription *s = g_ptr_array_index(sim->subscriptions, i);

        if (s->mode == MEND_TAP && subscription_wants(s, &message->msg))
            step_push(sim, (Step) { .tap = s->id, .message = sim_message_copy(&message->msg) });
    }
    if (queue == NULL) {
        sim_message_free(message);
        return;
    }
    if (message->msg.ttl_us > 0)
        message->expires_us = sim->now_us + message->msg.ttl_us;
    g_queue_push_tail(queue->messages, message);
}

static int32_t pass_gates(SimHost *sim, SimMessage *message)
{
    for (guint i = 0; i < sim->subscriptions->len && sim->runner != NULL; i++) {
        Subscription *s = g_ptr_array_index(sim->subscriptions, i);
        mend_id id = ++sim->next_id;
        int32_t verdict;

        if (s->mode != MEND_GATE || !subscription_wants(s, &message->msg))
            continue;
        verdict = runner_message(sim->runner, "gate", s->mode, s->fn, s->user, id, &message->msg);
        if (verdict == MEND_KEEP)
            keep(sim, id, s->id, message, NULL, true);
        return verdict; /* one gate for one node is all the tests need */
    }
    return MEND_ACCEPT;
}

int32_t sim_host_send(SimHost *sim, const mend_msg *msg)
{
    SimMessage *message = sim_message_copy(msg);
    int32_t verdict;
    guint kept;

    sim_text_set(&sim->reason, "");
    verdict = pass_gates(sim, message);
    if (verdict == MEND_ACCEPT)
        message_enter(sim, message);
    else if (verdict == MEND_REJECT)
        sim_message_free(message);
    kept = sim->kept->len;
    sim_host_run(sim);
    if (verdict == MEND_KEEP && sim->kept->len < kept)
        return sim->reason[0] != '\0' ? MEND_REJECT : MEND_ACCEPT;
    return verdict;
}

/* ---- time ------------------------------------------------------------------------------------------------------------------ */

Peer *sim_peer_find(SimHost *sim, mend_id id)
{
    for (guint i = 0; i < sim->peers->len; i++) {
        Peer *p = g_ptr_array_index(sim->peers, i);

        if (p->peer.id == id)
            return p;
    }
    return NULL;
}

static void step_run(SimHost *sim, Step *step)
{
    if (sim->runner == NULL)
        return;
    if (step->task != NULL) {
        runner_task(sim->runner, step->task, step->user);
    } else if (step->published != NULL) {
        runner_published(sim->runner, step->published, step->user, step->verdict);
    } else if (step->tap != 0) {
        Subscription *s = subscription_find(sim, step->tap);

        if (s != NULL && runner_is_running(sim->runner))
            runner_message(sim->runner, "tap", s->mode, s->fn, s->user, 0, &step->message->msg);
    } else if (step->peer != 0 && sim->watcher != NULL && runner_is_running(sim->runner)) {
        Peer *p = sim_peer_find(sim, step->peer);

        if (p != NULL)
            runner_peer(sim->runner, sim->watcher, sim->watcher_user, &p->peer, MEND_PEER_OPENED);
    }
}

void sim_host_run(SimHost *sim)
{
    Step *step;

    for (unsigned i = 0; i < 1000000; i++) {
        step = g_queue_pop_head(&sim->steps);
        if (step == NULL && !deliver_one(sim))
            break;
        if (step != NULL) {
            step_run(sim, step);
            sim_step_free(step);
        }
        if (sim->runner != NULL)
            runner_dispatch(sim->runner);
    }
}

static void expire(SimHost *sim)
{
    GHashTableIter i;
    Queue *q;

    g_hash_table_iter_init(&i, sim->queues);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &q)) {
        for (GList *l = q->messages->head, *next; l != NULL; l = next) {
            SimMessage *message = l->data;

            next = l->next;
            if (message->expires_us == 0 || message->expires_us > sim->now_us)
                continue;
            g_queue_delete_link(q->messages, l);
            bury(sim, q, message, "expired");
            g_hash_table_iter_init(&i, sim->queues); /* the dead letters grew: begin again */
            break;
        }
    }
}

static Timer *next_timer(SimHost *sim, guint *ret_index)
{
    Timer *first = NULL;

    for (guint i = 0; i < sim->timers->len; i++) {
        Timer *t = g_ptr_array_index(sim->timers, i);

        if (first == NULL || t->due_us < first->due_us || (t->due_us == first->due_us && t->id < first->id)) {
            first = t;
            *ret_index = i;
        }
    }
    return first;
}

void sim_host_advance(SimHost *sim, int64_t us)
{
    int64_t until_us = sim->now_us + us;

    sim_host_run(sim);
    for (;;) {
        guint index = 0;
        Timer *timer = next_timer(sim, &index), fired;

        if (timer == NULL || timer->due_us > until_us)
            break;
        fired = *timer;
        g_ptr_array_remove_index(sim->timers, index);
        sim->now_us = MAX(sim->now_us, fired.due_us);
        expire(sim);
        if (sim->runner != NULL)
            runner_timer(sim->runner, fired.fn, fired.user, sim->now_us);
        sim_host_run(sim);
    }
    sim->now_us = until_us;
    expire(sim);
    sim_host_run(sim);
}

int64_t sim_host_now_us(const SimHost *sim) { return sim->now_us; }
int64_t sim_host_wall_us(const SimHost *sim) { return sim->now_us + sim->wall_offset_us; }

/* ---- the host's calls ------------------------------------------------------------------------------------------------------- */

static bool must_fail(SimHost *sim, const char *call)
{
    if (sim->fail_nth == 0 || ++sim->calls != sim->fail_nth)
        return false;
    sim->failed_call = call;
    return true;
}

static int64_t host_now_us(mend_host *h) { return sim_of(h)->now_us; }
static int64_t host_wall_us(mend_host *h) { return sim_host_wall_us(sim_of(h)); }

static uint64_t host_random(mend_host *h)
{
    uint64_t z = sim_of(h)->dice += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static mend_rc host_timer_start(mend_host *h, int64_t delay_us, mend_timer_fn fn, void *user, mend_id *ret)
{
    SimHost *sim = sim_of(h);
    Timer *t;

    if (must_fail(sim, "timer_start"))
        return MEND_LIMIT;
    t = g_new(Timer, 1);
    *t = (Timer) { ++sim->next_id, sim->now_us + MAX(delay_us, 0), fn, user };
    g_ptr_array_add(sim->timers, t);
    *ret = t->id;
    return MEND_OK;
}

static void host_timer_stop(mend_host *h, mend_id id)
{
    SimHost *sim = sim_of(h);

    for (guint i = 0; i < sim->timers->len; i++)
        if (((Timer *) g_ptr_array_index(sim->timers, i))->id == id) {
            g_ptr_array_remove_index(sim->timers, i);
            return;
        }
}

static mend_rc host_post(mend_host *h, mend_task_fn fn, void *user)
{
    if (must_fail(sim_of(h), "post"))
        return MEND_LIMIT;
    step_push(sim_of(h), (Step) { .task = fn, .user = user });
    return MEND_OK;
}

static mend_rc host_subscribe(mend_host *h, const mend_subscription *wanted, mend_message_fn fn, void *user, mend_id *ret)
{
    SimHost *sim = sim_of(h);
    g_autofree char *address = str_dup(wanted->address);
    Subscription *s;

    if (must_fail(sim, "subscribe"))
        return MEND_LIMIT;
    if ((wanted->mode == MEND_GATE && !(h->caps & MEND_CAP_GATE)) || (wanted->mode == MEND_TAP && !(h->caps & MEND_CAP_TAP)))
        return MEND_UNSUPPORTED;
    if (wanted->mode == MEND_CONSUME && !sim_host_has_node(sim, address))
        return MEND_NOT_FOUND;
    s = g_new0(Subscription, 1);
    *s = (Subscription) { .id = ++sim->next_id, .address = g_steal_pointer(&address), .subject = str_dup(wanted->subject),
                          .mode = wanted->mode, .window = wanted->window, .fn = fn, .user = user };
    g_ptr_array_add(sim->subscriptions, s);
    *ret = s->id;
    return MEND_OK;
}

void sim_unsubscribe(mend_host *h, mend_id id)
{
    SimHost *sim = sim_of(h);

    for (guint i = sim->kept->len; i-- > 0;) {
        Kept *k = g_ptr_array_index(sim->kept, i);

        if (k->sub != id)
            continue;
        settle_message(sim, k->queue != NULL ? g_hash_table_lookup(sim->queues, k->queue) : NULL, g_steal_pointer(&k->message), MEND_RELEASE, "");
        g_ptr_array_remove_index(sim->kept, i);
    }
    g_ptr_array_remove(sim->subscriptions, subscription_find(sim, id));
}

static mend_rc host_settle(mend_host *h, mend_id delivery, int32_t verdict, mend_str reason)
{
    SimHost *sim = sim_of(h);
    g_autofree char *why = str_dup(reason);

    for (guint i = 0; i < sim->kept->len; i++) {
        Kept *k = g_ptr_array_index(sim->kept, i);
        Subscription *s = subscription_find(sim, k->sub);

        if (k->id != delivery)
            continue;
        if (k->gate) {
            sim_text_set(&sim->reason, verdict == MEND_REJECT ? (why != NULL ? why : "?") : "");
            if (verdict == MEND_ACCEPT)
                message_enter(sim, g_steal_pointer(&k->message));
        } else {
            settle_message(sim, g_hash_table_lookup(sim->queues, k->queue), g_steal_pointer(&k->message), verdict, why != NULL ? why : "rejected");
            if (s != NULL)
                s->kept--;
        }
        g_ptr_array_remove_index(sim->kept, i);
        return MEND_OK;
    }
    return MEND_NOT_FOUND;
}

static mend_rc host_publish(mend_host *h, const mend_msg *msg, mend_published_fn done, void *user)
{
    SimHost *sim = sim_of(h);

    if (must_fail(sim, "publish") || (sim->busy != NULL && strncmp(msg->address.ptr, sim->busy, MIN(msg->address.len, strlen(sim->busy))) == 0))
        return MEND_BUSY;
    if (done != NULL)
        step_push(sim, (Step) { .published = done, .user = user, .verdict = sim->outcome });
    if (sim->outcome != MEND_ACCEPT)
        return MEND_OK;
    g_ptr_array_add(sim->published, sim_message_copy(msg));
    message_enter(sim, sim_message_copy(msg));
    return MEND_OK;
}

static void host_log_line(mend_host *h, int32_t level, mend_str text, const mend_prop *fields, size_t n_fields)
{
    SimHost *sim = sim_of(h);

    sim->logged[CLAMP(level, 0, 7)]++;
    g_test_message("plugin <%d> %.*s", level, (int) text.len, text.ptr);
}

static void host_count(mend_host *h, uint32_t metric, int64_t delta)
{
    SimHost *sim = sim_of(h);
    const mend_plugin *plugin = runner_plugin(sim->runner);
    gpointer name = (gpointer) (metric < plugin->n_metrics ? plugin->metrics[metric].name : "out of range");

    g_hash_table_insert(sim->counters, name, GINT_TO_POINTER(GPOINTER_TO_INT(g_hash_table_lookup(sim->counters, name)) + (int) delta));
}

static void host_failed(mend_host *h, const mend_error *why)
{
    SimHost *sim = sim_of(h);

    if (sim->failures++ == 0)
        sim->failure = g_strndup(why->text, sizeof why->text);
}

static mend_rc host_peers_watch(mend_host *h, mend_peer_fn fn, void *user)
{
    SimHost *sim = sim_of(h);

    sim->watcher = fn;
    sim->watcher_user = user;
    for (guint i = 0; fn != NULL && i < sim->peers->len; i++)
        step_push(sim, (Step) { .peer = ((Peer *) g_ptr_array_index(sim->peers, i))->peer.id });
    return MEND_OK;
}

static mend_rc host_peer_get(mend_host *h, mend_id id, mend_peer *ret)
{
    Peer *p = sim_peer_find(sim_of(h), id);

    if (p == NULL)
        return MEND_NOT_FOUND;
    *ret = p->peer;
    return MEND_OK;
}

static mend_rc host_peer_drop(mend_host *h, mend_id id, mend_str reason)
{
    return sim_peer_find(sim_of(h), id) != NULL ? MEND_OK : MEND_NOT_FOUND; /* the test looks at what follows */
}

static mend_rc host_declare(mend_host *h, const mend_node *node)
{
    SimHost *sim = sim_of(h);
    g_autofree char *address = str_dup(node->address), *owner = str_dup(node->owner), *dead_letter = str_dup(node->dead_letter);
    Queue *q = g_hash_table_lookup(sim->queues, address);

    if (must_fail(sim, "declare"))
        return MEND_LIMIT;
    if (q != NULL) {
        bool same = q->shape.kind == node->kind && q->shape.durable == node->durable && g_strcmp0(q->dead_letter, dead_letter) == 0;

        if (same)
            sim_text_set(&q->owner, owner);
        return same ? MEND_OK : MEND_HELD;
    }
    if (node->kind == MEND_NODE_TOPIC)
        return MEND_OK; /* every name that is no queue behaves as one */
    sim_host_queue_new(sim, address);
    q = g_hash_table_lookup(sim->queues, address);
    q->shape = *node;
    q->owner = g_steal_pointer(&owner);
    q->dead_letter = g_steal_pointer(&dead_letter);
    return MEND_OK;
}

static mend_rc host_undeclare(mend_host *h, mend_str name)
{
    SimHost *sim = sim_of(h);
    g_autofree char *address = str_dup(name);
    Queue *q = g_hash_table_lookup(sim->queues, address);
    SimMessage *message;

    if (q == NULL)
        return MEND_NOT_FOUND;
    while ((message = g_queue_pop_head(q->messages)) != NULL)
        bury(sim, q, message, "queue removed");
    g_hash_table_remove(sim->queues, address);
    return MEND_OK;
}

static mend_rc host_state_put(mend_host *h, mend_str key, mend_str value)
{
    SimHost *sim = sim_of(h);

    if (must_fail(sim, "state_put"))
        return MEND_LIMIT;
    if (value.len == 0)
        {
        g_autofree char *name = str_dup(key);

        g_hash_table_remove(sim->state, name);
    }
    else
        g_hash_table_insert(sim->state, str_dup(key), str_dup(value));
    return MEND_OK;
}

static mend_rc host_state_get(mend_host *h, mend_str key, mend_str *ret)
{
    SimHost *sim = sim_of(h);
    g_autofree char *name = str_dup(key);
    const char *value = g_hash_table_lookup(sim->state, name);

    if (value == NULL)
        return MEND_NOT_FOUND;
    sim_text_set(&sim->state_read, value);
    *ret = str_of(sim->state_read);
    return MEND_OK;
}

const mend_host sim_host_table = {
    .size = sizeof sim_host_table, .abi_major = MEND_ABI_MAJOR, .abi_minor = MEND_ABI_MINOR, .caps = SIM_CAPS, .kind = "sim",
    .now_us = host_now_us, .wall_us = host_wall_us, .random = host_random, .timer_start = host_timer_start,
    .timer_stop = host_timer_stop, .post = host_post, .subscribe = host_subscribe, .unsubscribe = sim_unsubscribe,
    .settle = host_settle, .publish = host_publish, .log = host_log_line, .count = host_count, .failed = host_failed,
    .peers_watch = host_peers_watch, .peer_get = host_peer_get, .peer_drop = host_peer_drop, .declare = host_declare,
    .undeclare = host_undeclare, .state_put = host_state_put, .state_get = host_state_get,
};
