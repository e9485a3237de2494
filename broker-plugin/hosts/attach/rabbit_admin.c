/* One thread, one connection, one channel. It works through jobs, and between them reads events. A channel dies of each refusal (that is
 * AMQP 0-9-1), so it is opened anew after one; a refused declaration is not repeated on that connection.
 *
 * A queue that is there in another shape stays as it is: whoever made it had reasons, and there may be messages in it. */
#include "broker-plugin/hosts/attach/rabbit_admin.h"

#include "broker-plugin/hosts/attach/rabbit_policy.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#define EVENTS        "amq.rabbitmq.event"
#define CHANNEL_WORK  1
#define CHANNEL_EVENT 2
#define FRAME_BYTES   131072
#define BEAT_S        10
#define CONNECT_S     5
#define RETRY_US      (500 * US_PER_MS)
#define WAKE_MS       2500

typedef enum { JOB_EXCHANGE, JOB_QUEUE, JOB_BIND, JOB_DELETE, JOB_DONE, JOB_URL, JOB_STOP } JobKind;

typedef struct Job {
    JobKind kind;
    char *key;           /* of the wish: one of each */
    char *name, *other, *routing; /* exchange, queue; type or dead letter exchange; key */
    RabbitQueue queue;   /* its texts are not used */
    void (*done)(uint64_t number, void *user);
    uint64_t number;
    void *user;
} Job;

typedef struct Connection { amqp_connection_state_t amqp; bool open, heard; } Connection;

struct RabbitAdmin {
    RabbitAdminOptions options; /* its strings are ours */
    char *url;                  /* the thread's */
    GMainContext *context;
    GThread *thread;
    GAsyncQueue *jobs;
    int wake;
    bool stop;
    GPtrArray *wishes;          /* of Job, in order; the thread's */
    GPtrArray *waiting;         /* of Job: to be told when the wishes were said */
    char *told;                 /* the last trouble: told once */
    bool no_events;             /* the plugin that tells of connections is not enabled */
    bool gone;                  /* no callback any more; the creator's thread only */
    int refs;
};

static void job_free(gpointer data)
{
    Job *job = data;

    g_free(job->key);
    g_free(job->name);
    g_free(job->other);
    g_free(job->routing);
    g_free(job);
}

static amqp_bytes_t bytes(const char *text) { return amqp_cstring_bytes(text != NULL ? text : ""); }

/* ---- the connection ---------------------------------------------------------------------------------------------------------- */

static char *reply_text(amqp_rpc_reply_t reply)
{
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        return g_strdup(amqp_error_string2(reply.library_error));
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *m = reply.reply.decoded;
        return g_strdup_printf("%u %.*s", m->reply_code, (int) m->reply_text.len, (const char *) m->reply_text.bytes);
    }
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *m = reply.reply.decoded;
        return g_strdup_printf("%u %.*s", m->reply_code, (int) m->reply_text.len, (const char *) m->reply_text.bytes);
    }
    return g_strdup("no answer");
}

static void trouble(RabbitAdmin *a, const char *what, const char *why)
{
    g_autofree char *text = g_strdup_printf("%s: %s", what, why);

    if (g_strcmp0(a->told, text) == 0)
        return;
    log_warning("attach: RabbitMQ by AMQP 0-9-1: %s", text);
    g_free(a->told);
    a->told = g_steal_pointer(&text);
}

static void disconnect(Connection *c)
{
    if (c->amqp != NULL)
        amqp_destroy_connection(c->amqp);
    *c = (Connection) { 0 };
}

static amqp_socket_t *socket_of(RabbitAdmin *a, amqp_connection_state_t amqp, bool tls)
{
    amqp_socket_t *socket = tls ? amqp_ssl_socket_new(amqp) : amqp_tcp_socket_new(amqp);

    if (socket != NULL && tls) {
        amqp_ssl_socket_set_verify_peer(socket, 1);
        amqp_ssl_socket_set_verify_hostname(socket, 1);
        if (amqp_ssl_socket_set_cacert(socket, a->options.ca_file != NULL ? a->options.ca_file : "/etc/ssl/certs/ca-certificates.crt") != 0)
            return NULL;
    }
    return socket;
}

static bool open_channel(RabbitAdmin *a, Connection *c, amqp_channel_t channel)
{
    amqp_rpc_reply_t reply;

    amqp_channel_open(c->amqp, channel);
    reply = amqp_get_rpc_reply(c->amqp);
    return reply.reply_type == AMQP_RESPONSE_NORMAL;
}

static bool connect_to(RabbitAdmin *a, Connection *c)
{
    struct timeval limit = { CONNECT_S, 0 };
    g_autoptr(GUri) uri = g_uri_parse(a->url, G_URI_FLAGS_NONE, NULL);
    bool tls = uri != NULL && strcmp(g_uri_get_scheme(uri), "amqps") == 0;
    g_autofree char *why = NULL;
    amqp_socket_t *socket;
    amqp_rpc_reply_t reply;
    int port = uri != NULL && g_uri_get_port(uri) > 0 ? g_uri_get_port(uri) : tls ? 5671 : 5672, rc;

    c->amqp = amqp_new_connection();
    socket = uri != NULL ? socket_of(a, c->amqp, tls) : NULL;
    rc = socket != NULL ? amqp_socket_open_noblock(socket, g_uri_get_host(uri), port, &limit) : AMQP_STATUS_SOCKET_ERROR;
    if (rc != AMQP_STATUS_OK) {
        trouble(a, a->url, amqp_error_string2(rc));
        return false;
    }
    amqp_set_handshake_timeout(c->amqp, &limit);
    limit.tv_sec *= 4; /* a cluster that elects may need a while for a declaration */
    amqp_set_rpc_timeout(c->amqp, &limit);
    reply = amqp_login(c->amqp, "/", 0, FRAME_BYTES, BEAT_S, AMQP_SASL_METHOD_PLAIN, a->options.user != NULL ? a->options.user : "guest",
                       a->options.password != NULL ? a->options.password : "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        why = reply_text(reply);
        trouble(a, "login", why);
        return false;
    }
    c->open = open_channel(a, c, CHANNEL_WORK);
    return c->open;
}

/* ---- wishes ------------------------------------------------------------------------------------------------------------------ */

static int add_entry(amqp_table_entry_t *entries, int n, const char *key, const char *text, int64_t number)
{
    entries[n].key = bytes(key);
    if (text != NULL) {
        entries[n].value.kind = AMQP_FIELD_KIND_UTF8;
        entries[n].value.value.bytes = bytes(text);
    } else {
        entries[n].value.kind = AMQP_FIELD_KIND_I64;
        entries[n].value.value.i64 = number;
    }
    return n + 1;
}

static int queue_arguments(const Job *job, amqp_table_entry_t *entries)
{
    const RabbitQueue *q = &job->queue;
    int n = 0;

    if (q->quorum)
        n = add_entry(entries, n, "x-queue-type", "quorum", 0);
    if (q->max_messages > 0)
        n = add_entry(entries, n, "x-max-length", NULL, q->max_messages);
    if (q->max_bytes > 0)
        n = add_entry(entries, n, "x-max-length-bytes", NULL, q->max_bytes);
    if (q->max_messages > 0 || q->max_bytes > 0)
        n = add_entry(entries, n, "x-overflow", q->ring ? "drop-head" : "reject-publish", 0);
    if (q->ttl_ms > 0)
        n = add_entry(entries, n, "x-message-ttl", NULL, q->ttl_ms);
    if (q->expires_ms > 0)
        n = add_entry(entries, n, "x-expires", NULL, q->expires_ms);
    if (job->other != NULL)
        n = add_entry(entries, n, "x-dead-letter-exchange", job->other, 0);
    if (q->single) {
        entries[n].key = bytes("x-single-active-consumer");
        entries[n].value.kind = AMQP_FIELD_KIND_BOOLEAN;
        entries[n++].value.value.boolean = 1;
    }
    return n;
}

static void job_say(Connection *c, const Job *job)
{
    amqp_table_entry_t entries[10] = { 0 };
    amqp_table_t table = { .entries = entries };

    switch (job->kind) {
    case JOB_EXCHANGE:
        amqp_exchange_declare(c->amqp, CHANNEL_WORK, bytes(job->name), bytes(job->other), 0, 1, 0, 0, amqp_empty_table);
        break;
    case JOB_QUEUE:
        table.num_entries = queue_arguments(job, entries);
        amqp_queue_declare(c->amqp, CHANNEL_WORK, bytes(job->name), 0, 1, 0, 0, table);
        break;
    case JOB_BIND:
        amqp_queue_bind(c->amqp, CHANNEL_WORK, bytes(job->name), bytes(job->other), bytes(job->routing), amqp_empty_table);
        break;
    default:
        amqp_queue_delete(c->amqp, CHANNEL_WORK, bytes(job->name), 0, 0);
        break;
    }
}

/* False: the connection is not what it was. */
static bool job_do(RabbitAdmin *a, Connection *c, const Job *job)
{
    g_autofree char *why = NULL;
    amqp_rpc_reply_t reply;

    job_say(c, job);
    reply = amqp_get_rpc_reply(c->amqp);
    amqp_maybe_release_buffers(c->amqp);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return true;
    why = reply_text(reply);
    if (job->kind != JOB_DELETE)
        trouble(a, job->key, why);
    if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION || reply.reply.id != AMQP_CHANNEL_CLOSE_METHOD)
        return false;
    amqp_channel_close_ok_t ok = { 0 };
    amqp_send_method(c->amqp, CHANNEL_WORK, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    return open_channel(a, c, CHANNEL_WORK);
}

static void wish_keep(RabbitAdmin *a, Job *job)
{
    for (guint i = 0; i < a->wishes->len; i++)
        if (strcmp(((Job *) a->wishes->pdata[i])->key, job->key) == 0) {
            job_free(a->wishes->pdata[i]); /* in its place: what builds on it comes later */
            a->wishes->pdata[i] = job;
            return;
        }
    g_ptr_array_add(a->wishes, job);
}

static void wish_drop(RabbitAdmin *a, const char *queue)
{
    for (guint i = a->wishes->len; i-- > 0;) {
        const Job *job = a->wishes->pdata[i];

        if (job->kind != JOB_EXCHANGE && strcmp(job->name, queue) == 0)
            g_ptr_array_remove_index(a->wishes, i);
    }
}

/* ---- events ------------------------------------------------------------------------------------------------------------------ */

typedef struct Word { RabbitAdmin *admin; enum { WORD_OPENED, WORD_CLOSED, WORD_UNKNOWN, WORD_DONE } kind; char *key, *user, *where; Job *job; } Word;

static void admin_unref(RabbitAdmin *a)
{
    if (!g_atomic_int_dec_and_test(&a->refs))
        return;
    g_main_context_unref(a->context);
    g_free(a);
}

static gboolean word_tell(gpointer data)
{
    Word *w = data;
    const RabbitAdminOptions *o = &w->admin->options;

    if (w->admin->gone)
        return G_SOURCE_REMOVE;
    if (w->kind == WORD_OPENED)
        o->opened(w->key, w->user, w->where, o->data);
    else if (w->kind == WORD_CLOSED)
        o->closed(w->key, o->data);
    else if (w->kind == WORD_DONE)
        w->job->done(w->job->number, w->job->user);
    else
        o->unknown(o->data);
    return G_SOURCE_REMOVE;
}

static void word_free(gpointer data)
{
    Word *w = data;

    admin_unref(w->admin);
    g_free(w->key);
    g_free(w->user);
    g_free(w->where);
    if (w->job != NULL)
        job_free(w->job);
    g_free(w);
}

static void say(RabbitAdmin *a, Word word)
{
    Word *w = g_memdup2(&word, sizeof word);
    GSource *source = g_idle_source_new();

    g_atomic_int_inc(&a->refs);
    w->admin = a;
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, word_tell, w, word_free);
    g_source_attach(source, a->context);
    g_source_unref(source);
}

static char *header(const amqp_table_t *headers, const char *key)
{
    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_table_entry_t *e = &headers->entries[i];

        if (e->key.len == strlen(key) && memcmp(e->key.bytes, key, e->key.len) == 0 && e->value.kind == AMQP_FIELD_KIND_UTF8 &&
            e->value.value.bytes.len <= 512 && g_utf8_validate(e->value.value.bytes.bytes, (gssize) e->value.value.bytes.len, NULL))
            return g_strndup(e->value.value.bytes.bytes, e->value.value.bytes.len);
    }
    return NULL;
}

static bool has_header(const amqp_table_t *headers, const char *key)
{
    for (int i = 0; i < headers->num_entries; i++)
        if (headers->entries[i].key.len == strlen(key) && memcmp(headers->entries[i].key.bytes, key, strlen(key)) == 0)
            return true;
    return false;
}

/* connection.created comes for each session of a connection, connection.closed for each session and then, with client_properties, for
 * the connection itself. All carry its name; only the last says that it is over. */
static void on_event(RabbitAdmin *a, const amqp_envelope_t *e)
{
    const amqp_table_t *headers = &e->message.properties.headers;
    g_autofree char *key = NULL, *user = NULL, *protocol = NULL;

    if ((e->message.properties._flags & AMQP_BASIC_HEADERS_FLAG) == 0 || (key = header(headers, "name")) == NULL)
        return;
    if (e->routing_key.len == strlen("connection.closed") && memcmp(e->routing_key.bytes, "connection.closed", e->routing_key.len) == 0) {
        if (has_header(headers, "client_properties"))
            say(a, (Word) { .kind = WORD_CLOSED, .key = g_steal_pointer(&key) });
        return;
    }
    user = header(headers, "user");
    protocol = header(headers, "protocol");
    if (user == NULL || protocol == NULL || strstr(protocol, "1.0") == NULL) /* those of AMQP 0-9-1 are no peers */
        return;
    say(a, (Word) { .kind = WORD_OPENED, .user = g_steal_pointer(&user), .where = g_strndup(key, strcspn(key, " ")), .key = g_strdup(key) });
}

static void listen_events(RabbitAdmin *a, Connection *c)
{
    const amqp_queue_declare_ok_t *queue;
    g_autofree char *why = NULL;
    amqp_bytes_t name;

    if (!open_channel(a, c, CHANNEL_EVENT))
        return;
    queue = amqp_queue_declare(c->amqp, CHANNEL_EVENT, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
    if (queue != NULL) {
        name = amqp_bytes_malloc_dup(queue->queue);
        if (amqp_queue_bind(c->amqp, CHANNEL_EVENT, name, bytes(EVENTS), bytes("connection.*"), amqp_empty_table) != NULL)
            c->heard = amqp_basic_consume(c->amqp, CHANNEL_EVENT, name, amqp_empty_bytes, 0, 1, 0, amqp_empty_table) != NULL;
        amqp_bytes_free(name);
    }
    if (!c->heard) {
        amqp_channel_close_ok_t ok = { 0 };

        why = reply_text(amqp_get_rpc_reply(c->amqp));
        amqp_send_method(c->amqp, CHANNEL_EVENT, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
        if (!a->no_events)
            log_warning("attach: connections cannot be seen coming and going, only by silence: %s (rabbitmq-plugins enable rabbitmq_event_exchange)", why);
        a->no_events = true;
    }
    say(a, (Word) { .kind = WORD_UNKNOWN });
}

/* ---- the thread -------------------------------------------------------------------------------------------------------------- */

/* Takes @job. False: the connection is gone. */
static bool take_job(RabbitAdmin *a, Connection *c, Job *job)
{
    bool ok = true;

    switch (job->kind) {
    case JOB_STOP:
        a->stop = true;
        job_free(job);
        return false;
    case JOB_URL:
        ok = strcmp(a->url, job->name) == 0;
        g_free(a->url);
        a->url = g_strdup(job->name);
        job_free(job);
        return ok;
    case JOB_DONE:
        if (c->open)
            say(a, (Word) { .kind = WORD_DONE, .job = job });
        else
            g_ptr_array_add(a->waiting, job);
        return true;
    case JOB_DELETE:
        wish_drop(a, job->name);
        ok = !c->open || job_do(a, c, job);
        job_free(job);
        return ok;
    default:
        ok = !c->open || job_do(a, c, job);
        wish_keep(a, job);
        return ok;
    }
}

/* Waits for whatever comes first: a job, a frame, the time for a heartbeat. False: the connection is gone. */
static bool await(RabbitAdmin *a, Connection *c)
{
    struct pollfd fds[] = { { .fd = a->wake, .events = POLLIN }, { .fd = amqp_get_sockfd(c->amqp), .events = POLLIN } };
    struct timeval now = { 0, 0 };
    amqp_rpc_reply_t reply;
    amqp_envelope_t envelope;
    eventfd_t count;
    amqp_frame_t frame;

    if (!amqp_frames_enqueued(c->amqp) && !amqp_data_in_buffer(c->amqp) && poll(fds, G_N_ELEMENTS(fds), WAKE_MS) < 0 && errno != EINTR)
        return false;
    eventfd_read(a->wake, &count);
    amqp_maybe_release_buffers(c->amqp);
    reply = amqp_consume_message(c->amqp, &envelope, &now, 0);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
        on_event(a, &envelope);
        amqp_destroy_envelope(&envelope);
        return true;
    }
    if (reply.reply_type != AMQP_RESPONSE_LIBRARY_EXCEPTION)
        return false;
    if (reply.library_error == AMQP_STATUS_UNEXPECTED_STATE)
        return amqp_simple_wait_frame_noblock(c->amqp, &frame, &now) == AMQP_STATUS_OK &&
               !(frame.frame_type == AMQP_FRAME_METHOD && (frame.payload.method.id == AMQP_CONNECTION_CLOSE_METHOD ||
                                                           frame.payload.method.id == AMQP_CHANNEL_CLOSE_METHOD));
    return reply.library_error == AMQP_STATUS_TIMEOUT;
}

static bool renew(RabbitAdmin *a, Connection *c)
{
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < a->wishes->len; i++)
        if (!job_do(a, c, a->wishes->pdata[i]))
            return false;
    while (a->waiting->len > 0)
        say(a, (Word) { .kind = WORD_DONE, .job = g_ptr_array_steal_index(a->waiting, 0) });
    listen_events(a, c);
    if (a->options.management != NULL && !rabbit_policy_set(a->options.management, a->options.user, a->options.password, &error))
        trouble(a, "policy " RABBIT_POLICY_NAME, error->message);
    else
        g_clear_pointer(&a->told, g_free);
    return true;
}

static void one_connection(RabbitAdmin *a)
{
    Connection c = { 0 };
    bool good = connect_to(a, &c) && renew(a, &c);
    Job *job;

    while (good) {
        while (good && (job = g_async_queue_try_pop(a->jobs)) != NULL)
            good = take_job(a, &c, job);
        good = good && await(a, &c);
    }
    if (c.open && a->stop)
        amqp_connection_close(c.amqp, AMQP_REPLY_SUCCESS);
    disconnect(&c);
}

static gpointer admin_main(gpointer user)
{
    RabbitAdmin *a = user;
    Connection none = { 0 };
    int64_t until;
    Job *job;

    while (!a->stop) {
        one_connection(a);
        until = clock_now_us() + RETRY_US;
        while (!a->stop && clock_now_us() < until)
            if ((job = g_async_queue_timeout_pop(a->jobs, (guint64) MAX(until - clock_now_us(), 1))) != NULL)
                take_job(a, &none, job);
    }
    return NULL;
}

/* ---- what callers see -------------------------------------------------------------------------------------------------------- */

RabbitAdmin *rabbit_admin_new(const RabbitAdminOptions *options)
{
    RabbitAdmin *a = g_new0(RabbitAdmin, 1);

    a->options = *options;
    a->options.user = g_strdup(options->user);
    a->options.password = g_strdup(options->password);
    a->options.ca_file = g_strdup(options->ca_file);
    a->options.management = g_strdup(options->management);
    a->url = g_strdup(options->url);
    a->refs = 1;
    a->context = g_main_context_ref_thread_default();
    a->jobs = g_async_queue_new_full(job_free);
    a->wishes = g_ptr_array_new_with_free_func(job_free);
    a->waiting = g_ptr_array_new_with_free_func(job_free);
    a->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    a->thread = g_thread_new("rabbit-admin", admin_main, a);
    return a;
}

static void push(RabbitAdmin *a, Job job)
{
    g_async_queue_push(a->jobs, g_memdup2(&job, sizeof job));
    eventfd_write(a->wake, 1);
}

void rabbit_admin_free(RabbitAdmin *a)
{
    if (a == NULL)
        return;
    a->gone = true;
    push(a, (Job) { .kind = JOB_STOP, .key = g_strdup("") });
    g_thread_join(a->thread);
    g_async_queue_unref(a->jobs);
    g_ptr_array_unref(a->wishes);
    g_ptr_array_unref(a->waiting);
    close(a->wake);
    g_free((char *) a->options.user);
    g_free((char *) a->options.password);
    g_free((char *) a->options.ca_file);
    g_free((char *) a->options.management);
    g_free(a->url);
    g_free(a->told);
    admin_unref(a);
}

void rabbit_admin_exchange(RabbitAdmin *a, const char *name, const char *type)
{
    push(a, (Job) { .kind = JOB_EXCHANGE, .key = g_strconcat("exchange ", name, NULL), .name = g_strdup(name), .other = g_strdup(type) });
}

void rabbit_admin_queue(RabbitAdmin *a, const RabbitQueue *queue)
{
    Job job = { .kind = JOB_QUEUE, .key = g_strconcat("queue ", queue->name, NULL), .name = g_strdup(queue->name), .other = g_strdup(queue->dead_letter),
                .queue = *queue };

    push(a, job);
}

void rabbit_admin_bind(RabbitAdmin *a, const char *queue, const char *exchange, const char *key)
{
    push(a, (Job) { .kind = JOB_BIND, .key = g_strjoin(" ", "binding", exchange, key, queue, NULL), .name = g_strdup(queue), .other = g_strdup(exchange),
                    .routing = g_strdup(key) });
}

void rabbit_admin_delete_queue(RabbitAdmin *a, const char *name)
{
    push(a, (Job) { .kind = JOB_DELETE, .key = g_strconcat("delete ", name, NULL), .name = g_strdup(name) });
}

void rabbit_admin_when_done(RabbitAdmin *a, void (*done)(uint64_t number, void *user), uint64_t number, void *user)
{
    push(a, (Job) { .kind = JOB_DONE, .key = g_strdup("done"), .done = done, .number = number, .user = user });
}

void rabbit_admin_url(RabbitAdmin *a, const char *url)
{
    push(a, (Job) { .kind = JOB_URL, .key = g_strdup("url"), .name = g_strdup(url) });
}
