/* The client's life. Its states:
 *
 *   CONNECTING --> OPEN --> WAITING --> CONNECTING …        a loss, and then the next attempt after a back-off
 *        |          |          |
 *        +----------+----------+--> CLOSED                  closed by us, or lost without `reconnect`
 *
 * One GSource wakes it: for work that an API call left (ready time 0) and for every timer (the earliest of them). An API call only
 * changes state and wakes, so no callback ever runs inside it; a burst of sends between two turns of the main loop becomes one
 * write. Work asked for from within a callback is done before the walk ends, without another turn: a chain event -> decision ->
 * command costs one read and one write.
 *
 * Back-off is exponential with full jitter: after a broker's restart its thousand clients must not come back at once. */
#include "lib/amqp/client_private.h"

#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <string.h>

G_DEFINE_QUARK(mend-amqp-error-quark, amqp_error)

#define IDLE_TIMEOUT_US  (30 * US_PER_S)
#define OPEN_TIMEOUT_US  (10 * US_PER_S)
#define BACKOFF_FIRST_US (100 * US_PER_MS)
#define BACKOFF_MAX_US   (10 * US_PER_S)
#define CLOSE_US         (2 * US_PER_S)  /* for the peer's answer to our close */
#define LASTED_US        (5 * US_PER_S)  /* a connection this old starts the back-off anew */
#define MAX_FRAME_BYTES  65536

AmqpClient *client_ref(AmqpClient *client)
{
    client->refs++;
    return client;
}

static void options_copy(AmqpClientOptions *to, const AmqpClientOptions *from)
{
    *to = *from;
    to->url = g_strdup(from->url);
    to->container_id = from->container_id == NULL ? uuid_new() : g_strdup(from->container_id);
    to->user = g_strdup(from->user);
    to->password = g_strdup(from->password);
    to->mechanisms = g_strdup(from->mechanisms);
    to->ca_file = g_strdup(from->ca_file);
    to->cert_file = g_strdup(from->cert_file);
    to->key_file = g_strdup(from->key_file);
    to->idle_timeout_us = from->idle_timeout_us > 0 ? from->idle_timeout_us : IDLE_TIMEOUT_US;
    to->backoff_first_us = from->backoff_first_us > 0 ? from->backoff_first_us : BACKOFF_FIRST_US;
    to->backoff_max_us = from->backoff_max_us > 0 ? from->backoff_max_us : BACKOFF_MAX_US;
    to->max_frame_bytes = from->max_frame_bytes > 0 ? from->max_frame_bytes : MAX_FRAME_BYTES;
}

static void options_done(AmqpClientOptions *options)
{
    if (options->password != NULL)
        explicit_bzero((char *) options->password, strlen(options->password));
    g_free((char *) options->url);
    g_free((char *) options->container_id);
    g_free((char *) options->user);
    g_free((char *) options->password);
    g_free((char *) options->mechanisms);
    g_free((char *) options->ca_file);
    g_free((char *) options->cert_file);
    g_free((char *) options->key_file);
}

void client_unref(AmqpClient *client)
{
    if (--client->refs > 0)
        return;
    stream_close(client);
    options_done(&client->options);
    endpoint_done(&client->endpoint);
    g_strfreev(client->urls);
    g_free(client->product);
    g_free(client->version);
    g_clear_error(&client->url_error);
    g_clear_error(&client->loss);
    g_main_context_unref(client->context);
    g_free(client);
}

/* ---- the one source ---- */

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
    return callback(user);
}

static GSourceFuncs source_funcs = { .dispatch = source_dispatch };

static gboolean on_source(gpointer user)
{
    client_run(user);
    return G_SOURCE_CONTINUE;
}

void client_wake(AmqpClient *client)
{
    client->again = true;
    if (client->running || client->awake || client->freed)
        return;
    client->awake = true;
    g_source_set_ready_time(client->source, 0);
}

static void client_arm(AmqpClient *client)
{
    int64_t at = MIN(MIN(client->retry_at, client->open_by), MIN(client->tick_at, client->linger_until));

    if (client->freed)
        return;
    at = MIN(at, client->close_by);
    for (GList *l = client->senders.head; l != NULL; l = l->next)
        at = MIN(at, sender_due(l->data));
    for (GList *l = client->receivers.head; l != NULL; l = l->next)
        at = MIN(at, ((AmqpReceiver *) l->data)->link.retry_at);
    g_source_set_ready_time(client->source, at == NEVER ? -1 : at);
}

/* ---- states ---- */

static void client_move(AmqpClient *client, AmqpState to, const GError *why)
{
    client->state = to;
    if (client->options.on_state != NULL && !client->freed)
        client->options.on_state(client, to, why, client->options.state_user);
}

int64_t client_backoff(const AmqpClient *client, unsigned attempt)
{
    int64_t cap = client->options.backoff_max_us, first = client->options.backoff_first_us;
    int64_t most = attempt >= 30 || first > cap >> attempt ? cap : first << attempt;

    return (int64_t) (g_random_double() * (double) most);
}

static void client_finish(AmqpClient *client, const GError *why)
{
    void (*done)(void *user) = client->on_closed;

    if (client->state == AMQP_STATE_CLOSED && done == NULL)
        return;
    if (client->cancel != NULL)
        g_cancellable_cancel(client->cancel);
    stream_close(client);
    client->retry_at = client->open_by = client->tick_at = client->linger_until = client->close_by = NEVER;
    client->on_closed = NULL;
    if (client->state != AMQP_STATE_CLOSED)
        client_move(client, AMQP_STATE_CLOSED, why);
    if (done != NULL && !client->freed)
        done(client->on_closed_user);
}

void client_lost(AmqpClient *client, GError *why)
{
    if (client->loss == NULL)
        client->loss = why;
    else
        g_error_free(why);
    client->again = true;
}

static void client_next_url(AmqpClient *client)
{
    if (client->n_urls < 2)
        return;
    client->at_url = (client->at_url + 1) % client->n_urls;
    endpoint_done(&client->endpoint);
    endpoint_parse(client->urls[client->at_url], &client->endpoint, NULL); /* each was looked at when the client was made */
}

/* The connection or the attempt is over, for client->loss. */
static void client_handle_loss(AmqpClient *client, int64_t now)
{
    g_autoptr(GError) why = g_steal_pointer(&client->loss);
    int64_t delay;

    stream_close(client);
    client->open_by = client->tick_at = NEVER;
    if (client->close_sent || client->freed) {
        client_finish(client, NULL);
        return;
    }
    if (!client->options.reconnect) {
        client_finish(client, why);
        return;
    }
    if (client->opened_at != NEVER && now - client->opened_at > LASTED_US)
        client->attempts = 0;
    client->opened_at = NEVER;
    client_next_url(client);
    delay = client_backoff(client, client->attempts++ / MAX(client->n_urls, 1u)); /* a round through the list is one attempt */
    if (g_error_matches(why, AMQP_ERROR, AMQP_ERROR_AUTH)) /* guessing again at once helps nobody and locks accounts */
        delay = client->options.backoff_max_us / 2 + delay / 2;
    client->retry_at = now + delay;
    client_move(client, AMQP_STATE_WAITING, why);
}

static void client_try(AmqpClient *client, int64_t now)
{
    client->retry_at = NEVER;
    client->open_by = now + MIN(OPEN_TIMEOUT_US, client->options.idle_timeout_us);
    client_move(client, AMQP_STATE_CONNECTING, NULL);
    if (client->freed || client->state != AMQP_STATE_CONNECTING)
        return;
    stream_connect(client);
}

static bool client_idle(const AmqpClient *client)
{
    for (GList *l = client->senders.head; l != NULL; l = l->next)
        if (amqp_sender_pending(l->data) > 0)
            return false;
    return true;
}

static void client_close_step(AmqpClient *client, int64_t now)
{
    if (!client->closing || client->state == AMQP_STATE_CLOSED) {
        if (client->closing)
            client_finish(client, NULL);
        return;
    }
    if (!client->close_sent && (client_idle(client) || now >= client->linger_until)) {
        client->close_sent = true;
        client->linger_until = NEVER;
        client->close_by = now + CLOSE_US;
        if (client->connected)
            pn_connection_close(client->driver.connection);
        client->again = true;
    } else if (client->close_sent && (!client->connected || client->state != AMQP_STATE_OPEN || now >= client->close_by))
        client_finish(client, NULL);
}

static void client_tick(AmqpClient *client, int64_t now)
{
    if (client->url_error != NULL) {
        g_autoptr(GError) why = g_steal_pointer(&client->url_error);
        client_finish(client, why);
        return;
    }
    if (now >= client->open_by) {
        client->open_by = NEVER;
        if (client->cancel != NULL)
            g_cancellable_cancel(client->cancel);
        client_lost(client, g_error_new_literal(AMQP_ERROR, AMQP_ERROR_TIMEOUT, "the peer does not open the connection"));
    }
    if (client->loss != NULL)
        client_handle_loss(client, now);
    if (!client->freed && now >= client->retry_at)
        client_try(client, now);
    for (GList *l = client->senders.head, *next; l != NULL && !client->freed; l = next) {
        AmqpSender *sender = l->data;
        sender->refs++;
        sender_tick(sender, now);
        next = l->next; /* a freed sender has left the list: then this walk ends and comes back */
        sender_unref(sender);
    }
    for (GList *l = client->receivers.head, *next; l != NULL && !client->freed; l = next) {
        AmqpReceiver *receiver = l->data;
        receiver->refs++;
        receiver_tick(receiver, now);
        next = l->next;
        receiver_unref(receiver);
    }
}

void client_run(AmqpClient *client)
{
    if (client->running)
        return;
    client_ref(client);
    g_main_context_push_thread_default(client->context); /* GIO answers where the question was asked */
    client->running = true;
    client->awake = false;
    do {
        client->again = false;
        if (!client->freed)
            client_tick(client, clock_now_us());
        if (client->connected && !client->freed)
            stream_pump(client);
        if (!client->freed)
            client_close_step(client, clock_now_us());
    } while (client->again && !client->freed);
    client->running = false;
    client_arm(client);
    g_main_context_pop_thread_default(client->context);
    client_unref(client);
}

/* ---- what callers see ---- */

/* All of the list are looked at: one that is wrong would be found out in the middle of an outage. The first is tried first. */
static void client_read_urls(AmqpClient *client)
{
    client->urls = g_strsplit(client->options.url != NULL ? client->options.url : "", ",", -1);
    client->n_urls = g_strv_length(client->urls);
    if (client->n_urls == 0)
        endpoint_parse(client->options.url, &client->endpoint, &client->url_error);
    for (unsigned i = client->n_urls; i-- > 0 && client->url_error == NULL;) {
        endpoint_done(&client->endpoint);
        endpoint_parse(client->urls[i], &client->endpoint, &client->url_error);
    }
}

AmqpClient *amqp_client_new(const AmqpClientOptions *options)
{
    AmqpClient *client = g_new0(AmqpClient, 1);

    client->refs = 1;
    client->context = g_main_context_ref_thread_default();
    client->state = AMQP_STATE_CONNECTING;
    client->retry_at = 0;
    client->open_by = client->opened_at = client->tick_at = client->linger_until = client->close_by = NEVER;
    g_queue_init(&client->senders);
    g_queue_init(&client->receivers);
    options_copy(&client->options, options);
    if (options->connect != NULL)
        client->endpoint.kind = ENDPOINT_CUSTOM;
    else
        client_read_urls(client);
    client->source = g_source_new(&source_funcs, sizeof(GSource));
    g_source_set_callback(client->source, on_source, client, NULL);
    g_source_attach(client->source, client->context);
    client_wake(client);
    return client;
}

void amqp_client_close(AmqpClient *client, int64_t linger_us, void (*done)(void *user), void *user)
{
    client->closing = true;
    client->linger_until = clock_now_us() + MAX(linger_us, 0);
    client->on_closed = done;
    client->on_closed_user = user;
    client_wake(client);
}

void amqp_client_free(AmqpClient *client)
{
    if (client == NULL)
        return;
    g_assert(!client->freed); /* freed twice: the caller's bug */
    client->freed = true;
    if (client->cancel != NULL)
        g_cancellable_cancel(client->cancel);
    while (!g_queue_is_empty(&client->senders))
        sender_client_gone(client->senders.head->data);
    while (!g_queue_is_empty(&client->receivers)) {
        AmqpReceiver *receiver = client->receivers.head->data;
        receiver_connection_gone(receiver);
        g_queue_unlink(&client->receivers, &receiver->node);
        receiver->client = NULL;
    }
    g_source_destroy(client->source);
    g_clear_pointer(&client->source, g_source_unref);
    client_unref(client);
}

AmqpState amqp_client_state(const AmqpClient *client)
{
    return client->state;
}

const char *amqp_client_container_id(const AmqpClient *client)
{
    return client->options.container_id;
}

const AmqpDialect *amqp_client_dialect(const AmqpClient *client) { return client->dialect; }
const char *amqp_client_product(const AmqpClient *client) { return client->product; }
const char *amqp_client_version(const AmqpClient *client) { return client->version; }
const char *amqp_client_url(const AmqpClient *client) { return client->n_urls > 0 ? client->urls[client->at_url] : NULL; }
int64_t amqp_client_heard_us(const AmqpClient *client) { return client->heard_at; }
