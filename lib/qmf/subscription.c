/* Subscriptions: a query that is answered again and again. libqmf2 and qpidd know the names and drop the request; the Java QMFv2 agent
 * serves them, and this follows what it does on the wire:
 *
 *   _subscribe_request {_query, _interval: ms, _duration: s}      ->  _subscribe_response {_subscription_id, _interval, _duration}
 *   at once and then every _interval                              ->  _data_indication, content _data: objects new or changed since
 *   _subscribe_refresh_indication {_subscription_id [_duration]}  ->  _subscribe_response; the duration starts again
 *   _subscribe_cancel_indication {_subscription_id}
 *
 * Indications go to the request's reply-to and carry its correlation id: that is the console's handle. An object that goes is told
 * once more, with _delete_ts. Both times are bounded from both sides, and what the answer says is what holds.
 *
 * Time comes with the tick; a subscription taken between two ticks starts to count at the next. */
#include "lib/qmf/agent_parts.h"

#include <string.h>

#define SUBSCRIPTIONS_MAX 64
#define GONE_MAX          1000 /* deleted objects kept for the next push */
#define INTERVAL_MS_MIN      1000
#define INTERVAL_MS_DEFAULT  30000
#define INTERVAL_MS_MAX      (24 * 3600 * 1000)
#define DURATION_S_MIN       10
#define DURATION_S_DEFAULT   300
#define DURATION_S_MAX       3600

typedef struct Subscription {
    char *id;
    QmfMessage *request;    /* query, reply-to, handle */
    int64_t interval_ms, duration_s;
    int64_t due_us, end_us; /* 0: not yet counted */
    uint64_t seen;          /* agent's change counter at the last push */
    Value *gone;            /* list */
} Subscription;

struct Subscriptions {
    QmfAgent *agent;
    GPtrArray *all; /* Subscription */
    uint64_t made;
};

static void subscription_free(Subscription *s)
{
    g_free(s->id);
    qmf_message_free(s->request);
    value_unref(s->gone);
    g_free(s);
}

Subscriptions *qmf_subscriptions_new(QmfAgent *agent)
{
    Subscriptions *s = g_new0(Subscriptions, 1);

    s->agent = agent;
    s->all = g_ptr_array_new_with_free_func((GDestroyNotify) subscription_free);
    return s;
}

void qmf_subscriptions_free(Subscriptions *s)
{
    g_ptr_array_unref(s->all);
    g_free(s);
}

static int64_t bounded(const Value *map, const char *key, int64_t fallback, int64_t min, int64_t max)
{
    int64_t asked = value_get_int(map, key, 0);

    return asked <= 0 ? fallback : CLAMP(asked, min, max);
}

static void respond(Subscriptions *s, const Subscription *subscription, const QmfMessage *request)
{
    QmfMessage *answer = agent_message(s->agent, QMF_SUBSCRIBE_RESPONSE, NULL);

    answer->body = value_map();
    value_set(answer->body, "_subscription_id", value_string(subscription->id));
    value_set(answer->body, "_interval", value_int(VALUE_INT64, subscription->interval_ms));
    value_set(answer->body, "_duration", value_int(VALUE_INT64, subscription->duration_s));
    agent_reply(s->agent, request, answer);
}

static void subscribe(Subscriptions *s, const QmfMessage *request)
{
    const Value *map = value_get(request->body, "_query");
    const char *what = value_get_string(map, "_what"), *problem = "Query is Invalid";
    Subscription *subscription;
    Query query;

    if (request->reply_to == NULL)
        return; /* nowhere to push to */
    if (what == NULL || strcmp(what, "OBJECT") != 0 || !query_read(s->agent, map, &query, &problem)) {
        g_autofree char *text = g_strdup_printf("Subscribe Request failed, %s", problem);

        agent_raise(s->agent, request, text);
        return;
    }
    if (s->all->len >= SUBSCRIPTIONS_MAX) {
        agent_raise(s->agent, request, "Subscribe Request failed, too many subscriptions");
        return;
    }
    subscription = g_new0(Subscription, 1);
    subscription->id = g_strdup_printf("%s:%u:%" G_GUINT64_FORMAT, s->agent->name, s->agent->epoch, ++s->made);
    subscription->request = qmf_message_copy(request);
    subscription->interval_ms = bounded(request->body, "_interval", INTERVAL_MS_DEFAULT, INTERVAL_MS_MIN, INTERVAL_MS_MAX);
    subscription->duration_s = bounded(request->body, "_duration", DURATION_S_DEFAULT, DURATION_S_MIN, DURATION_S_MAX);
    subscription->gone = value_list();
    g_ptr_array_add(s->all, subscription);
    respond(s, subscription, request);
}

static Subscription *find(const Subscriptions *s, const Value *body)
{
    const char *id = value_get_string(body, "_subscription_id");

    for (guint i = 0; id != NULL && i < s->all->len; i++) {
        Subscription *subscription = s->all->pdata[i];

        if (strcmp(subscription->id, id) == 0)
            return subscription;
    }
    return NULL;
}

static void refresh(Subscriptions *s, const QmfMessage *request)
{
    Subscription *subscription = find(s, request->body);

    if (subscription == NULL) {
        agent_raise(s->agent, request, "Unknown subscription");
        return;
    }
    subscription->duration_s = bounded(request->body, "_duration", subscription->duration_s, DURATION_S_MIN, DURATION_S_MAX);
    subscription->end_us = 0;
    respond(s, subscription, request);
}

void subscriptions_receive(Subscriptions *s, const QmfMessage *request)
{
    if (request->opcode == QMF_SUBSCRIBE_REQUEST)
        subscribe(s, request);
    else if (request->opcode == QMF_SUBSCRIBE_REFRESH_INDICATION)
        refresh(s, request);
    else
        g_ptr_array_remove(s->all, find(s, request->body));
}

static void send_data(Subscriptions *s, const Subscription *subscription, Value *list)
{
    QmfMessage *indication = agent_message(s->agent, QMF_DATA_INDICATION, "_data");

    indication->body = list;
    agent_reply(s->agent, subscription->request, indication);
}

static void push(Subscriptions *s, Subscription *subscription)
{
    const QmfAgent *agent = s->agent;
    g_autoptr(Value) list = g_steal_pointer(&subscription->gone);
    const char *problem;
    Query query;

    subscription->gone = value_list();
    if (!query_read(agent, value_get(subscription->request->body, "_query"), &query, &problem))
        return; /* it was checked when it was taken */
    for (guint i = 0; i < agent->objects->len; i++) {
        const QmfObject *object = agent->objects->pdata[i];

        if (object->changed <= subscription->seen || !query_matches(&query, object))
            continue;
        if (value_size(list) >= OBJECTS_PER_MESSAGE) {
            send_data(s, subscription, g_steal_pointer(&list));
            list = value_list();
        }
        value_append(list, agent_object_to_map(object));
    }
    subscription->seen = agent->changes;
    if (value_size(list) > 0)
        send_data(s, subscription, g_steal_pointer(&list));
}

void subscriptions_tick(Subscriptions *s, int64_t now_us)
{
    for (guint i = s->all->len; i-- > 0;) {
        Subscription *subscription = s->all->pdata[i];

        if (subscription->end_us == 0)
            subscription->end_us = now_us + subscription->duration_s * US_PER_S;
        if (now_us >= subscription->end_us) {
            g_ptr_array_remove_index(s->all, i);
            continue;
        }
        if (now_us < subscription->due_us)
            continue;
        subscription->due_us = now_us + subscription->interval_ms * US_PER_MS;
        push(s, subscription);
    }
}

void subscriptions_object_gone(Subscriptions *s, const QmfObject *object)
{
    for (guint i = 0; i < s->all->len; i++) {
        Subscription *subscription = s->all->pdata[i];
        const char *problem;
        Query query;
        Value *map;

        if (!query_read(s->agent, value_get(subscription->request->body, "_query"), &query, &problem) ||
            !query_matches(&query, object) || value_size(subscription->gone) >= GONE_MAX)
            continue;
        map = agent_object_to_map(object);
        value_set(map, "_delete_ts", value_uint(VALUE_UINT64, (uint64_t) s->agent->bus->wall_us(s->agent->bus->user) * 1000));
        value_append(subscription->gone, map);
    }
}
