/* mend-bench: what a broker does with one sender, one queue, one receiver; how long a message takes at a fixed rate; what an idle agent
 * costs. One line of JSON per run.
 *
 *   mend-bench through --to 127.0.0.1:5672 [--presettled] [--count 500000] [--size 100] [--credit 1000]
 *   mend-bench latency --to 127.0.0.1:5672 [--presettled] [--rate 5000] [--seconds 5]
 *   mend-bench idle    --to 127.0.0.1:5672 --pid BROKER [--count 1000]
 *   mend-bench floor   [--rate 5000] [--seconds 5]      no broker: how late this machine wakes a process that waits for its next turn
 * each with --address QUEUE, --user NAME --password TEXT.
 *
 * Sender and receiver are two processes, as two agents would be. Rate is from the sender's first message to the receiver's last, so that
 * what piles up in the queue before the receiver has its turn is not measured as speed; `receiver_per_second` is what the receiver alone
 * saw, from its first message on. Latency from the clock in each body (one clock, one machine), after a second of warming up. */
#include "bench/loop.h"
#include "lib/amqp/message.h"
#include "lib/base/json.h"
#include "lib/base/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTGOING_BYTES (256 * 1024) /* given to proton and not written: enough to keep the socket busy */
#define START_NS       (INT64_C(60) * 1000000000)

typedef struct Options {
    char *to, *address, *user_name, *password;
    bool presettled;
    int64_t count, size, credit, rate, seconds, pid;
} Options;

static const Setting rows[] = {
    { "to", SETTING_STRING, offsetof(Options, to), 0, 0, "127.0.0.1:5672", "HOST:PORT of the broker" },
    { "address", SETTING_STRING, offsetof(Options, address), 0, 0, "bench", "QUEUE to send to and receive from" },
    { "user", SETTING_STRING, offsetof(Options, user_name), 0, 0, NULL, "NAME to authenticate as; none: ANONYMOUS" },
    { "password", SETTING_STRING, offsetof(Options, password), 0, 0, NULL, "TEXT that goes with it" },
    { "presettled", SETTING_BOOL, offsetof(Options, presettled), 0, 0, NULL, "send without waiting for outcomes" },
    { "count", SETTING_INTEGER, offsetof(Options, count), 1, 1000000000, "500000", "messages (through) or connections (idle)" },
    { "size", SETTING_BYTES, offsetof(Options, size), 8, 1 << 20, "100", "of each body" },
    { "credit", SETTING_INTEGER, offsetof(Options, credit), 1, 100000, "1000", "the receiver's window" },
    { "rate", SETTING_INTEGER, offsetof(Options, rate), 1, 1000000, "5000", "messages per second (latency)" },
    { "seconds", SETTING_INTEGER, offsetof(Options, seconds), 1, 3600, "5", "how long to measure (latency)" },
    { "pid", SETTING_INTEGER, offsetof(Options, pid), 0, INT32_MAX, "0", "PROCESS of the broker, whose memory is read (idle)" },
};

static Peer peer_of(const Options *o)
{
    Peer peer = { .user_name = o->user_name, .password = o->password };

    if (!peer_parse(o->to, &peer)) {
        fprintf(stderr, "--to %s: wanted HOST:PORT\n", o->to);
        exit(2);
    }
    return peer;
}

/* ---- sending ---- */

typedef struct Sending {
    const Options *o;
    pn_link_t *link;
    char *message;          /* encoded */
    size_t n_bytes;
    int64_t sent, settled, wanted;
    int64_t start_ns, step_ns; /* step 0: as fast as credit allows */
    int64_t *begun_ns;         /* shared with the receiver's process */
} Sending;

static void sending_init(Sending *s, const Options *o)
{
    g_autoptr(AmqpMessage) message = amqp_message_new();
    g_autofree void *body = g_malloc0((gsize) o->size);
    g_autoptr(GBytes) bytes = NULL;

    *s = (Sending){ .o = o };
    message->body_kind = AMQP_BODY_DATA;
    message->data = g_bytes_new(body, (gsize) o->size);
    bytes = amqp_message_encode(message);
    s->n_bytes = g_bytes_get_size(bytes);
    s->message = g_memdup2(g_bytes_get_data(bytes, NULL), s->n_bytes);
}

static void send_one(Sending *s)
{
    uint32_t tag = (uint32_t) s->sent++;
    int64_t stamp = tag == 0 || s->step_ns > 0 ? now_ns() : 0;
    pn_delivery_t *delivery = pn_delivery(s->link, pn_dtag((const char *) &tag, sizeof tag));

    if (s->step_ns > 0) /* the first 8 bytes of the body, which stands at the end */
        memcpy(s->message + s->n_bytes - (size_t) s->o->size, &stamp, sizeof stamp);
    if (tag == 0)
        *s->begun_ns = stamp;
    pn_link_send(s->link, s->message, s->n_bytes);
    pn_link_advance(s->link);
    if (s->o->presettled) {
        pn_delivery_settle(delivery);
        s->settled++;
    }
}

static void sender_room(Conn *conn)
{
    Sending *s = conn->user;

    while (s->sent < s->wanted && pn_link_credit(s->link) > 0 && pn_session_outgoing_bytes(conn->session) < OUTGOING_BYTES) {
        if (s->step_ns > 0 && s->start_ns + s->sent * s->step_ns > now_ns()) {
            conn->loop->wake_ns = s->start_ns + s->sent * s->step_ns;
            return;
        }
        send_one(s);
    }
    conn->loop->wake_ns = INT64_MAX;
    if (s->settled >= s->wanted && pn_session_outgoing_bytes(conn->session) == 0)
        conn->loop->stop = true;
}

static void sender_event(Conn *conn, pn_event_t *event)
{
    Sending *s = conn->user;

    if (pn_event_type(event) == PN_LINK_FLOW && s->start_ns == 0)
        s->start_ns = now_ns();
    if (pn_event_type(event) == PN_DELIVERY && !s->o->presettled && pn_delivery_updated(pn_event_delivery(event))) {
        if (pn_delivery_remote_state(pn_event_delivery(event)) != PN_ACCEPTED) {
            fprintf(stderr, "not accepted: outcome %d\n", (int) pn_delivery_remote_state(pn_event_delivery(event)));
            exit(1);
        }
        pn_delivery_settle(pn_event_delivery(event));
        s->settled++;
    }
}

static void sender_turn(Loop *loop)
{
    if (now_ns() >= loop->wake_ns)
        conn_flush(g_ptr_array_index(loop->conns, 0));
}

/* Stays connected until @done_fd closes, so that how a broker treats a sender that leaves is no part of the measurement. */
static int run_sender(const Options *o, int64_t wanted, int64_t step_ns, int64_t *begun_ns, int done_fd)
{
    Peer peer = peer_of(o);
    Sending s;
    Loop loop;
    Conn *conn;
    char byte;

    sending_init(&s, o);
    s.begun_ns = begun_ns;
    s.wanted = wanted;
    s.step_ns = step_ns;
    loop_init(&loop);
    loop.turn = sender_turn;
    conn = conn_open(&loop, &peer, "mend-bench-sender", sender_event, &s);
    s.link = conn_sender(conn, o->address, o->presettled);
    pn_link_open(s.link);
    conn->on_room = sender_room;
    loop_run(&loop, 0);
    conn_flush(conn);
    if (read(done_fd, &byte, 1) < 0)
        return 1;
    conn_close(conn);
    return loop.lost > 0;
}

/* ---- receiving ---- */

typedef struct Receiving {
    const Options *o;
    pn_link_t *link;
    int64_t got, wanted, first_ns, last_ns, from_ns;
    int64_t begun_ns;  /* the sender's first message */
    GArray *latencies; /* of int64_t ns; NULL: only count */
    bool attached;
    int ready_fd;      /* tells the parent that the queue is there */
} Receiving;

static void receive_one(Receiving *r, pn_delivery_t *delivery)
{
    char buffer[256];
    char *bytes = buffer;
    size_t n_bytes = pn_delivery_pending(delivery);

    if (n_bytes > sizeof buffer)
        bytes = g_malloc(n_bytes);
    pn_link_recv(r->link, bytes, n_bytes);
    r->last_ns = now_ns();
    if (r->got++ == 0)
        r->first_ns = r->last_ns;
    if (r->latencies != NULL && n_bytes >= (size_t) r->o->size) {
        int64_t stamp, latency;
        memcpy(&stamp, bytes + n_bytes - (size_t) r->o->size, sizeof stamp);
        latency = r->last_ns - stamp;
        if (r->last_ns >= r->first_ns + r->from_ns)
            g_array_append_val(r->latencies, latency);
    }
    if (bytes != buffer)
        g_free(bytes);
    if (!pn_delivery_settled(delivery))
        pn_delivery_update(delivery, PN_ACCEPTED);
    pn_link_advance(r->link);
    pn_delivery_settle(delivery);
}

static void receiver_event(Conn *conn, pn_event_t *event)
{
    Receiving *r = conn->user;
    pn_delivery_t *delivery;

    if (pn_event_type(event) == PN_LINK_REMOTE_OPEN && !r->attached) {
        r->attached = true;
        if (write(r->ready_fd, "r", 1) != 1)
            exit(1);
    }
    if (pn_event_type(event) != PN_DELIVERY)
        return;
    while ((delivery = pn_link_current(r->link)) != NULL && pn_delivery_readable(delivery) && !pn_delivery_partial(delivery))
        receive_one(r, delivery);
    if (r->got >= r->wanted)
        conn->loop->stop = true;
    if (pn_link_credit(r->link) < r->o->credit / 2)
        pn_link_flow(r->link, (int) r->o->credit - pn_link_credit(r->link));
}

static int run_receiver(Receiving *r, const Options *o, int64_t patience_ns)
{
    Peer peer = peer_of(o);
    Loop loop;
    Conn *conn;

    loop_init(&loop);
    r->o = o;
    conn = conn_open(&loop, &peer, "mend-bench-receiver", receiver_event, r);
    r->link = conn_receiver(conn, o->address, o->presettled);
    pn_link_open(r->link);
    pn_link_flow(r->link, (int) o->credit);
    loop_run(&loop, now_ns() + patience_ns);
    if (r->got < r->wanted)
        fprintf(stderr, "only %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " messages came\n", r->got, r->wanted);
    conn_flush(conn);
    conn_close(conn);
    return r->got < r->wanted;
}

/* Two processes: the sender starts when the receiver is attached, so that the queue exists and is empty. */
static int run_pair(const Options *o, Receiving *r, int64_t wanted, int64_t step_ns, int64_t patience_ns, double *ret_sender_cpu_s)
{
    int ready[2], done[2], status = 0;
    char byte;
    pid_t child;
    struct rusage usage;
    int64_t *begun_ns = mmap(NULL, sizeof *begun_ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (begun_ns == MAP_FAILED || pipe(ready) != 0 || pipe(done) != 0 || (child = fork()) < 0) {
        perror("mend-bench");
        return 1;
    }
    if (child == 0) {
        close(ready[1]);
        close(done[1]);
        if (read(ready[0], &byte, 1) != 1)
            _exit(1);
        _exit(run_sender(o, wanted, step_ns, begun_ns, done[0]));
    }
    r->ready_fd = ready[1];
    r->wanted = wanted;
    if (run_receiver(r, o, patience_ns) != 0) {
        kill(child, SIGTERM);
        waitpid(child, &status, 0);
        return 1;
    }
    close(done[1]);
    r->begun_ns = *begun_ns;
    wait4(child, &status, 0, &usage);
    *ret_sender_cpu_s = (double) usage.ru_utime.tv_sec + (double) usage.ru_utime.tv_usec / 1e6 + (double) usage.ru_stime.tv_sec +
                        (double) usage.ru_stime.tv_usec / 1e6;
    return status != 0;
}

static int print(json_t *result)
{
    g_autofree char *text = json_text(result);

    puts(text);
    json_decref(result);
    return 0;
}

static int mode_through(const Options *o)
{
    Receiving r = { 0 };
    double cpu_s = 0, seconds;

    if (run_pair(o, &r, o->count, 0, START_NS + o->count * 1000000, &cpu_s) != 0)
        return 1;
    seconds = (double) (r.last_ns - r.begun_ns) / 1e9;
    return print(json_pack("{s:s,s:b,s:I,s:I,s:f,s:f,s:f,s:f}", "mode", "through", "presettled", o->presettled, "count",
                           (json_int_t) r.got, "size", (json_int_t) o->size, "seconds", seconds, "per_second", (double) r.got / seconds,
                           "receiver_per_second", (double) (r.got - 1) * 1e9 / (double) (r.last_ns - r.first_ns), "sender_cpu_seconds",
                           cpu_s));
}

static int by_value(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

static double at_share(const GArray *sorted, double share)
{
    guint i = (guint) (share * (double) (sorted->len - 1));

    return (double) g_array_index(sorted, int64_t, i) / 1e6;
}

static int mode_latency(const Options *o)
{
    Receiving r = { .latencies = g_array_new(FALSE, FALSE, sizeof(int64_t)), .from_ns = 1000000000 };
    int64_t wanted = o->rate * (o->seconds + 1);
    double cpu_s = 0;

    if (run_pair(o, &r, wanted, 1000000000 / o->rate, START_NS + (o->seconds + 1) * 2000000000, &cpu_s) != 0)
        return 1;
    g_array_sort(r.latencies, by_value);
    return print(json_pack("{s:s,s:b,s:I,s:I,s:f,s:f,s:f,s:f}", "mode", "latency", "presettled", o->presettled, "rate",
                           (json_int_t) o->rate, "count", (json_int_t) r.latencies->len, "p50_ms", at_share(r.latencies, 0.5), "p99_ms",
                           at_share(r.latencies, 0.99), "p999_ms", at_share(r.latencies, 0.999), "max_ms", at_share(r.latencies, 1)));
}

/* What the machine alone adds: without it a p99 says more about the neighbours than about the broker. */
static int mode_floor(const Options *o)
{
    g_autoptr(GArray) late = g_array_new(FALSE, FALSE, sizeof(int64_t));
    int64_t step_ns = 1000000000 / o->rate, due = now_ns();

    for (int64_t i = 0; i < o->rate * o->seconds; i++) {
        struct timespec at;
        int64_t by;

        due += step_ns;
        at = (struct timespec){ due / 1000000000, due % 1000000000 };
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        by = now_ns() - due;
        g_array_append_val(late, by);
    }
    g_array_sort(late, by_value);
    return print(json_pack("{s:s,s:I,s:f,s:f,s:f}", "mode", "floor", "rate", (json_int_t) o->rate, "p50_ms", at_share(late, 0.5), "p99_ms",
                           at_share(late, 0.99), "p999_ms", at_share(late, 0.999)));
}

/* ---- idle agents ---- */

typedef struct Idle {
    int64_t attached;
} Idle;

static void idle_event(Conn *conn, pn_event_t *event)
{
    Idle *idle = conn->user;

    idle->attached += pn_event_type(event) == PN_LINK_REMOTE_OPEN;
}

/* Resident kB of a process and everything below it (an Erlang broker has helpers). */
static int64_t resident_kb(int64_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/status", pid), *text = NULL;
    const char *line;

    if (!g_file_get_contents(path, &text, NULL, NULL) || (line = strstr(text, "VmRSS:")) == NULL) {
        fprintf(stderr, "--pid %" G_GINT64_FORMAT ": no such process\n", pid);
        exit(2);
    }
    return atoll(line + strlen("VmRSS:"));
}

static int mode_idle(const Options *o)
{
    Peer peer = peer_of(o);
    Idle idle = { 0 };
    Loop loop;
    int64_t before, after, i;

    loop_init(&loop);
    before = resident_kb(o->pid);
    for (i = 0; i < o->count; i++) {
        g_autofree char *name = g_strdup_printf("idle-%" G_GINT64_FORMAT, i);
        g_autofree char *address = g_strdup_printf("%s.%" G_GINT64_FORMAT, o->address, i);
        Conn *conn = conn_open(&loop, &peer, name, idle_event, &idle);
        pn_link_t *receiver = conn_receiver(conn, address, false);
        pn_link_open(conn_sender(conn, o->address, false));
        pn_link_open(receiver);
        pn_link_flow(receiver, 10);
        conn_flush(conn);
        if (i % 50 == 49)
            loop_run(&loop, now_ns() + 20000000);
    }
    for (int n = 0; n < 100 && idle.attached < 2 * o->count; n++)
        loop_run(&loop, now_ns() + 100000000);
    loop_run(&loop, now_ns() + 2000000000);
    after = resident_kb(o->pid);
    if (idle.attached < 2 * o->count || loop.lost > 0) {
        fprintf(stderr, "only %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " links are attached, %u connections were lost\n", idle.attached,
                2 * o->count, loop.lost);
        return 1;
    }
    return print(json_pack("{s:s,s:I,s:I,s:I,s:f}", "mode", "idle", "count", (json_int_t) o->count, "before_kb", (json_int_t) before,
                           "after_kb", (json_int_t) after, "kb_each", (double) (after - before) / (double) o->count));
}

int main(int argc, char **argv)
{
    Options options = { 0 };
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    struct rlimit files = { 65536, 65536 };
    int result = 2;

    setrlimit(RLIMIT_NOFILE, &files);
    settings_defaults(rows, G_N_ELEMENTS(rows), &options);
    if (!settings_read(rows, G_N_ELEMENTS(rows), &options, argv, &rest, &error)) {
        fprintf(stderr, "mend-bench: %s\n", error->message);
        return 2;
    }
    if (g_strv_length(rest) == 1 && strcmp(rest[0], "through") == 0) {
        result = mode_through(&options);
    } else if (g_strv_length(rest) == 1 && strcmp(rest[0], "latency") == 0) {
        result = mode_latency(&options);
    } else if (g_strv_length(rest) == 1 && strcmp(rest[0], "idle") == 0) {
        result = mode_idle(&options);
    } else if (g_strv_length(rest) == 1 && strcmp(rest[0], "floor") == 0) {
        result = mode_floor(&options);
    } else {
        fprintf(stderr, "mend-bench through|latency|idle|floor [options]\n");
        settings_help(rows, G_N_ELEMENTS(rows));
    }
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return result;
}
