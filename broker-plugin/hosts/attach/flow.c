/* Messages between the client and the plugin.
 *
 * A subscription is a receiver at the place the dialect names. A TAP that has to `forward` and a GATE are stations on the way: the message
 * is accepted only when the next node has it, so a crash in between costs a repetition, never a message.
 *
 * GATE. On the embedded broker a refused command is refused to its sender. Here its sender was told long ago that the broker has it; it
 * hears of the refusal as the agent's answer would come: a QMFv2 exception with mend.state `refused` at its reply-to. What is let in
 * goes to the agent's queue, if that was declared: a broker may take what is sent to a queue that is not there, and drop it.
 *
 * Our own words come back by the subscriptions. They carry our user and, as group-id, a number of this run. */
#include "broker-plugin/hosts/attach/attach_private.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/bridge.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"
#include "lib/qmf/message.h"

#include <string.h>

#define IN_FLIGHT_MAX  16384
#define SENDERS_MAX    256
#define NODES_MAX      200000
#define CREDIT_MAX     1000
#define ANSWER_US      (30 * US_PER_S) /* what nobody waits to hear of is sent within this, or not at all */
#define MADE_ALL       UINT64_C(0) /* no subscription has this number */
#define GATE_DEADLINE_US (30 * US_PER_S)
#define ERROR_UNREACHABLE "unreachable"
#define ERROR_STALE    "stale-epoch"
#define ERROR_DEADLINE "deadline-passed"

typedef struct Sub {
    Flow *flow;
    unsigned refs;
    mend_id id;
    int32_t mode;
    char *name, *address;   /* as the plugin asked; a pattern's without its '#' */
    const char *forward;
    char *place, *filter;   /* NULL place: silent */
    bool literal;
    uint32_t credit;
    AmqpReceiver *receiver; /* NULL: silent, not yet, or ended */
    mend_message_fn fn;
    void *user;
} Sub;

typedef struct Kept { /* handed over and not settled, or on its way to the next station */
    Flow *flow;
    mend_id id, sub;
    int32_t mode;
    AmqpDelivery *delivery; /* NULL: its receiver is gone */
    GBytes *bytes;          /* of a gate's: the message */
} Kept;

typedef struct Outlet { char *node; AmqpSender *sender; uint64_t used; } Outlet;
typedef struct Publish { Flow *flow; mend_published_fn fn; void *user; } Publish;
typedef struct Held { char *address; AmqpMessage *message; int64_t deadline_us; Publish *publish; } Held;

struct Flow {
    Attach *attach;
    char *run;           /* our group-id */
    GHashTable *subs;    /* id -> Sub */
    GHashTable *kept;    /* id -> Kept */
    GHashTable *outlets; /* node -> Outlet */
    GHashTable *queues;  /* set: declared */
    GQueue held;         /* of Held: said before we could have heard the answer */
    bool made;           /* the first nodes are there */
    size_t in_flight;
    uint64_t uses, forwarded, refused, failed;
};

static void outlet_free(Outlet *outlet)
{
    amqp_sender_free(outlet->sender);
    g_free(outlet->node);
    g_free(outlet);
}

static void sub_unref(Sub *s)
{
    if (--s->refs > 0) /* its callback is on the stack and unsubscribed itself */
        return;
    g_free(s->name);
    g_free(s->address);
    g_free(s->place);
    g_free(s->filter);
    g_free(s);
}

static void kept_free(Kept *kept)
{
    if (kept->bytes != NULL)
        g_bytes_unref(kept->bytes);
    g_free(kept);
}

Flow *flow_new(Attach *attach)
{
    Flow *f = g_new0(Flow, 1);

    f->attach = attach;
    f->run = uuid_new();
    f->subs = g_hash_table_new(g_int64_hash, g_int64_equal);
    f->kept = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) kept_free);
    f->outlets = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) outlet_free);
    f->queues = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_queue_init(&f->held);
    return f;
}

/* ---- out --------------------------------------------------------------------------------------------------------------------- */

static void on_sender_error(AmqpSender *sender, const GError *error, void *user)
{
    log_info("attach: sender %s: %s", ((Outlet *) user)->node, error->message);
}

/* The one used longest ago goes; never one that still has something to send. */
static void make_room(Flow *f)
{
    Outlet *victim = NULL, *outlet;
    GHashTableIter i;

    if (g_hash_table_size(f->outlets) < SENDERS_MAX)
        return;
    g_hash_table_iter_init(&i, f->outlets);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &outlet))
        if (amqp_sender_pending(outlet->sender) == 0 && (victim == NULL || outlet->used < victim->used))
            victim = outlet;
    if (victim != NULL)
        g_hash_table_remove(f->outlets, victim->node);
}

/* @literal: @node is a queue's own place, past the entrance. */
static AmqpSender *sender_for(Flow *f, const char *node, bool literal)
{
    g_autofree char *key = g_strconcat(literal ? "queue " : "node ", node, NULL); /* @node may be a peer's choice: the two never mix */
    Outlet *outlet = g_hash_table_lookup(f->outlets, key);

    if (outlet == NULL) {
        g_autofree char *place = literal ? f->attach->dialect->queue(node) : g_strdup(node);
        AmqpSenderOptions options = { .address = place, .literal = literal, .topic = !literal && g_str_has_prefix(node, "qmf."),
                                      .on_error = on_sender_error };

        make_room(f);
        outlet = g_new0(Outlet, 1);
        outlet->node = g_steal_pointer(&key);
        options.user = outlet;
        outlet->sender = amqp_sender_new(f->attach->client, &options);
        g_hash_table_insert(f->outlets, outlet->node, outlet);
    }
    outlet->used = ++f->uses;
    return outlet->sender;
}

static void on_sent(const GError *error, void *user)
{
    Publish *publish = user, done = *publish;
    Attach *a = done.flow->attach;

    g_free(publish);
    done.flow->in_flight--;
    if (a->runner == NULL || done.fn == NULL)
        return;
    runner_published(a->runner, done.fn, done.user,
                     error == NULL ? MEND_ACCEPT : g_error_matches(error, AMQP_ERROR, AMQP_ERROR_REJECTED) ? MEND_REJECT : MEND_RELEASE);
    attach_dispatch(a);
}

static void held_free(gpointer data)
{
    Held *held = data;

    amqp_message_free(held->message);
    g_free(held->address);
    g_free(held);
}

/* Whoever answers at once would be answered into the void. */
static bool hold(Flow *f, const char *address, AmqpMessage *message, int64_t deadline_us, Publish *publish)
{
    Held *held;

    if (f->made || f->attach->dialect->when_made == NULL)
        return false;
    held = g_new(Held, 1);
    *held = (Held) { g_strdup(address), message, deadline_us, publish };
    g_queue_push_tail(&f->held, held);
    return true;
}

static void let_go(Flow *f)
{
    Held *held;

    f->made = true;
    while ((held = g_queue_pop_head(&f->held)) != NULL) {
        g_autoptr(GError) error = NULL;

        if (!amqp_sender_send(sender_for(f, held->address, false), held->message, held->deadline_us, on_sent, held->publish, &error))
            on_sent(error, held->publish);
        held_free(held);
    }
}

mend_rc flow_publish(mend_host *table, const mend_msg *msg, mend_published_fn fn, void *user)
{
    Flow *f = attach_of(table)->flow;
    g_autofree char *address = str_dup(msg->address);
    g_autoptr(AmqpMessage) message = NULL;
    int64_t deadline_us = fn == NULL ? clock_now_us() + ANSWER_US : 0;
    const AmqpDialect *dialect = amqp_client_dialect(attach_of(table)->client);
    Publish *publish;

    if (address == NULL || f->in_flight >= IN_FLIGHT_MAX || attach_of(table)->ended)
        return address == NULL ? MEND_NOT_FOUND : MEND_BUSY;
    message = amqp_from_msg(msg, NULL);
    if (message == NULL)
        return MEND_EFAULT; /* its body is no AMQP value: our own plugin's mistake */
    message->group_id = g_strdup(f->run);
    if (dialect != NULL && dialect->breaks_on_values)
        qmf_amqp_as_data(message);
    publish = g_new(Publish, 1);
    *publish = (Publish) { f, fn, user };
    if (hold(f, address, message, deadline_us, publish)) {
        message = NULL; /* taken */
    } else if (!amqp_sender_send(sender_for(f, address, false), message, deadline_us, on_sent, publish, NULL)) {
        g_free(publish);
        return MEND_BUSY;
    }
    f->in_flight++;
    return MEND_OK;
}

/* ---- stations ---------------------------------------------------------------------------------------------------------------- */

static void kept_settle(Kept *kept, int32_t verdict, const char *reason)
{
    Flow *f = kept->flow;

    if (kept->delivery != NULL && verdict == MEND_ACCEPT)
        amqp_delivery_accept(kept->delivery);
    else if (kept->delivery != NULL && verdict == MEND_REJECT)
        amqp_delivery_reject(kept->delivery, "amqp:not-allowed", reason);
    else if (kept->delivery != NULL)
        amqp_delivery_modify(kept->delivery, false, false);
    g_hash_table_remove(f->kept, &kept->id);
}

typedef struct Step { Flow *flow; mend_id kept; } Step;

static void on_forwarded(const GError *error, void *user)
{
    Step *step = user, done = *step;
    Kept *kept = g_hash_table_lookup(done.flow->kept, &done.kept);

    g_free(step);
    done.flow->in_flight--;
    if (error != NULL && !g_error_matches(error, AMQP_ERROR, AMQP_ERROR_CANCELLED)) {
        done.flow->failed++;
        log_warning("attach: not passed on: %s", error->message);
    }
    if (kept != NULL)
        kept_settle(kept, error == NULL ? MEND_ACCEPT : MEND_RELEASE, NULL);
}

static void forward(Kept *kept, const char *node, bool literal, const AmqpMessage *message)
{
    Flow *f = kept->flow;
    Step *step = g_new(Step, 1);

    *step = (Step) { f, kept->id };
    f->in_flight++;
    f->forwarded++;
    if (!amqp_sender_send(sender_for(f, node, literal), message, kept->mode == MEND_GATE ? clock_now_us() + GATE_DEADLINE_US : 0, on_forwarded,
                          step, NULL)) {
        g_free(step);
        f->in_flight--;
        kept_settle(kept, MEND_RELEASE, NULL); /* no room: it comes again */
    }
}

static const char *error_of(const char *reason)
{
    return strstr(reason, ERROR_STALE) != NULL ? ERROR_STALE : strstr(reason, ERROR_DEADLINE) != NULL ? ERROR_DEADLINE : ERROR_UNREACHABLE;
}

/* As the agent would refuse it. NULL: nobody waits for an answer. */
static AmqpMessage *refusal(const AmqpMessage *command, const char *reason)
{
    static const char *const copied[] = { "mend.command-id", "mend.incident", "mend.entity" };
    g_autoptr(QmfMessage) answer = qmf_message_new(QMF_EXCEPTION);
    Value *values = value_map();

    answer->correlation_id = g_strdup(command->correlation_id);
    answer->agent = g_strdup(command->subject);
    answer->extra = value_map();
    for (size_t i = 0; i < G_N_ELEMENTS(copied); i++)
        if (amqp_message_property(command, copied[i]) != NULL)
            value_set(answer->extra, copied[i], value_string(amqp_message_property(command, copied[i])));
    value_set(answer->extra, "mend.state", value_string("refused"));
    value_set(answer->extra, "mend.error", value_string(error_of(reason)));
    value_set(answer->extra, "mend.text", value_string(reason));
    answer->body = value_map();
    value_set(values, "error_text", value_string(reason));
    value_set(answer->body, "_values", values);
    return qmf_message_to_amqp(answer);
}

static void gate_refuse(Kept *kept, const AmqpMessage *command, const char *reason)
{
    g_autofree char *node = command->reply_to != NULL ? g_strndup(command->reply_to, strcspn(command->reply_to, "/")) : NULL;
    g_autoptr(AmqpMessage) answer = NULL;

    kept->flow->refused++;
    if (node == NULL || command->correlation_id == NULL || (g_str_has_prefix(node, "mend.") && strcmp(node, AMQP_RESULTS) != 0)) {
        kept_settle(kept, MEND_ACCEPT, NULL); /* there is nobody to tell, or nowhere one may */
        return;
    }
    answer = refusal(command, reason);
    answer->durable = true;
    if (command->reply_to[strlen(node)] == '/')
        answer->subject = g_strdup(command->reply_to + strlen(node) + 1);
    answer->group_id = g_strdup(kept->flow->run);
    forward(kept, node, false, answer);
}

static void gate_settle(Kept *kept, int32_t verdict, const char *reason)
{
    gsize n_bytes;
    const void *bytes = g_bytes_get_data(kept->bytes, &n_bytes);
    g_autoptr(AmqpMessage) message = amqp_message_decode(bytes, n_bytes, NULL);
    g_autofree char *queue = message != NULL && message->subject != NULL ? g_strconcat(AMQP_CONTROL_PREFIX, message->subject, NULL) : NULL;

    if (message == NULL || queue == NULL || verdict == MEND_RELEASE)
        kept_settle(kept, message == NULL ? MEND_REJECT : verdict == MEND_RELEASE ? MEND_RELEASE : MEND_ACCEPT, NULL);
    else if (verdict == MEND_REJECT)
        gate_refuse(kept, message, reason != NULL && reason[0] != '\0' ? reason : "refused");
    else if ((kept->flow->attach->dialect->caps & MEND_CAP_DECLARE) != 0 && !g_hash_table_contains(kept->flow->queues, queue))
        gate_refuse(kept, message, "unreachable: no agent of that name was here");
    else
        forward(kept, queue, true, message);
}

static void settle(Kept *kept, int32_t verdict, const char *reason)
{
    if (kept->mode == MEND_GATE)
        gate_settle(kept, verdict, reason);
    else
        kept_settle(kept, verdict, reason);
}

mend_rc flow_settle(mend_host *table, mend_id delivery, int32_t verdict, mend_str reason)
{
    Kept *kept = g_hash_table_lookup(attach_of(table)->flow->kept, &delivery);
    g_autofree char *text = str_dup(reason);

    if (kept == NULL)
        return MEND_NOT_FOUND;
    settle(kept, verdict, text);
    return MEND_OK;
}

/* ---- in ---------------------------------------------------------------------------------------------------------------------- */

/* The node of docs/wire.md it was meant for. */
static char *meant_for(const Sub *s, const AmqpMessage *message)
{
    return s->mode == MEND_GATE ? g_strconcat(s->address, message->subject, NULL) : g_strdup(s->address);
}

static Kept *keep(Sub *s, AmqpDelivery *delivery, const AmqpMessage *message)
{
    Kept *kept = g_new0(Kept, 1);

    *kept = (Kept) { .flow = s->flow, .id = ++s->flow->attach->last_id, .sub = s->id, .mode = s->mode, .delivery = delivery };
    if (s->mode == MEND_GATE)
        kept->bytes = amqp_message_encode(message);
    g_hash_table_insert(s->flow->kept, &kept->id, kept);
    return kept;
}

static void on_message(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user)
{
    Sub *s = user;
    Flow *f = s->flow;
    Attach *a = f->attach;
    const char *forward_to = s->forward;
    bool own = message->group_id != NULL && strcmp(message->group_id, f->run) == 0;
    Kept *kept = keep(s, delivery, message);
    mend_id id = kept->id;
    g_autofree char *address = meant_for(s, message);
    g_auto(MsgView) view = { 0 };
    int32_t verdict = MEND_RELEASE;

    if (attach_is_live(a) && runner_is_running(a->runner)) {
        msg_view_init(&view, message, address, crowd_speaker(a->crowd, message->user_id, value_get_string(message->properties, "qmf.agent"), own));
        s->refs++;
        verdict = runner_message(a->runner, s->name, s->mode, s->fn, s->user, id, &view.msg);
        sub_unref(s);
    }
    kept = g_hash_table_lookup(f->kept, &id);
    if (kept != NULL && forward_to != NULL)
        forward(kept, forward_to, true, message);
    else if (kept != NULL && verdict != MEND_KEEP)
        settle(kept, verdict, NULL);
    attach_dispatch(a);
}

static void on_receiver_error(AmqpReceiver *receiver, const GError *error, void *user)
{
    const Sub *s = user;

    if (s->flow->attach->blind_since_us == 0)
        log_info("attach: %s: %s", s->name, error->message);
}

static char *sub_name(const mend_subscription *wanted)
{
    static const char *const modes[] = { "?", "consume", "browse", "tap", "gate" };

    return g_strdup_printf("%s %.*s %.*s", modes[CLAMP(wanted->mode, 0, 4)], (int) wanted->address.len, wanted->address.ptr,
                           (int) wanted->subject.len, wanted->subject.ptr);
}

/* Where it receives from is there now. */
static void on_made(uint64_t number, void *user)
{
    Attach *a = user;
    mend_id id = number;

    if (number == MADE_ALL) {
        let_go(a->flow);
        return;
    }
    Sub *s = g_hash_table_lookup(a->flow->subs, &id);

    if (s == NULL || s->receiver != NULL || s->place == NULL)
        return;
    s->receiver = amqp_receiver_new(a->client, &(AmqpReceiverOptions) {
        .address = s->place, .literal = s->literal, .subject_filter = s->filter, .topic = s->filter != NULL, .browse = s->mode == MEND_BROWSE,
        .credit = s->credit, .on_message = on_message, .on_error = on_receiver_error, .user = s });
}

mend_rc flow_subscribe(mend_host *table, const mend_subscription *wanted, mend_message_fn fn, void *user, mend_id *ret)
{
    Attach *a = attach_of(table);
    g_autofree char *address = str_dup(wanted->address), *subject = str_dup(wanted->subject);
    bool pattern = address != NULL && g_str_has_suffix(address, "#");
    AttachSource source = { 0 };
    Sub *s;

    if (address == NULL || wanted->mode < MEND_CONSUME || wanted->mode > MEND_GATE)
        return MEND_NOT_FOUND;
    if ((wanted->mode == MEND_GATE && strcmp(address, AMQP_CONTROL_PREFIX "#") != 0) || (pattern && wanted->mode != MEND_GATE))
        return MEND_UNSUPPORTED; /* other entrances are not ours to stand at */
    a->dialect->source(a->broker, wanted->mode, address, subject != NULL ? subject : "", &source);
    s = g_new0(Sub, 1);
    *s = (Sub) { .flow = a->flow, .refs = 1, .id = ++a->last_id, .mode = wanted->mode, .name = sub_name(wanted),
                 .address = pattern ? g_strndup(address, strlen(address) - 1) : g_strdup(address), .forward = source.forward, .place = source.address, .filter = source.filter, .literal = source.literal,
                 .credit = CLAMP(wanted->window, 1, CREDIT_MAX), .fn = fn, .user = user };
    g_hash_table_insert(a->flow->subs, &s->id, s);
    *ret = s->id;
    if (a->dialect->when_made != NULL)
        a->dialect->when_made(a->broker, on_made, s->id, a);
    else
        on_made(s->id, a);
    return MEND_OK;
}

static void sub_end(Flow *f, Sub *s)
{
    GHashTableIter i;
    Kept *kept;

    g_hash_table_iter_init(&i, f->kept);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &kept))
        if (kept->sub == s->id)
            g_hash_table_iter_remove(&i); /* freeing the receiver gives its deliveries back */
    amqp_receiver_free(s->receiver);
    s->receiver = NULL;
    g_hash_table_remove(f->subs, &s->id);
    sub_unref(s);
}

void flow_unsubscribe(mend_host *table, mend_id id)
{
    Flow *f = attach_of(table)->flow;
    Sub *s = g_hash_table_lookup(f->subs, &id);

    if (s != NULL)
        sub_end(f, s);
}

void flow_end(Flow *f)
{
    g_autoptr(GList) subs = g_hash_table_get_values(f->subs);

    for (GList *l = subs; l != NULL; l = l->next)
        sub_end(f, l->data);
}

void flow_free(Flow *f)
{
    if (f == NULL)
        return;
    flow_end(f);
    if (f->held.length > 0)
        let_go(f); /* completes as CANCELLED with the senders */
    g_hash_table_unref(f->outlets);
    g_hash_table_unref(f->kept);
    g_hash_table_unref(f->subs);
    g_hash_table_unref(f->queues);
    g_free(f->run);
    g_free(f);
}

void flow_begin(Flow *f)
{
    if (f->attach->dialect->when_made != NULL)
        f->attach->dialect->when_made(f->attach->broker, on_made, MADE_ALL, f->attach);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------- */

mend_rc flow_declare(mend_host *table, const mend_node *wanted)
{
    Attach *a = attach_of(table);
    g_autofree char *address = str_dup(wanted->address), *dead_letter = str_dup(wanted->dead_letter), *key = str_dup(wanted->last_value_key);
    const AttachNode node = { .address = address, .dead_letter = dead_letter, .last_value_key = key, .topic = wanted->kind == MEND_NODE_TOPIC,
                              .ring = wanted->ring != 0, .durable = wanted->durable != 0, .max_messages = wanted->max_messages,
                              .max_bytes = wanted->max_bytes, .ttl_us = wanted->ttl_us };

    if (address == NULL || a->dialect->declare == NULL)
        return address == NULL ? MEND_NOT_FOUND : MEND_UNSUPPORTED;
    if (!g_hash_table_contains(a->flow->queues, address)) {
        if (g_hash_table_size(a->flow->queues) >= NODES_MAX)
            return MEND_LIMIT;
        g_hash_table_add(a->flow->queues, g_strdup(address));
    }
    a->dialect->declare(a->broker, &node);
    return MEND_OK;
}

mend_rc flow_undeclare(mend_host *table, mend_str name)
{
    Attach *a = attach_of(table);
    g_autofree char *address = str_dup(name);

    if (address == NULL || !g_hash_table_remove(a->flow->queues, address))
        return MEND_NOT_FOUND;
    if (a->dialect->undeclare != NULL)
        a->dialect->undeclare(a->broker, address);
    return MEND_OK;
}

json_t *flow_json(const Flow *f)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "in_flight", (json_int_t) f->in_flight, "kept", (json_int_t) g_hash_table_size(f->kept),
                     "forwarded", (json_int_t) f->forwarded, "refused", (json_int_t) f->refused, "not_forwarded", (json_int_t) f->failed,
                     "declared", (json_int_t) g_hash_table_size(f->queues));
}
