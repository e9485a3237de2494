/* mend-swarm: many simulated guest agents with valid QMFv2 heartbeats, to see what a broker with the plugin needs for them.
 *
 *   mend-swarm --to 127.0.0.1:5672 --agents 10000 --processes 4 --seconds 30 --pid BROKER
 *
 * Each agent has its own connection, a sender to qmf.default.topic and a receiver for its own name on qmf.default.direct, and sends
 * what mend-guest sends: attributes of docs/wire.md, a digest of its services, a heartbeat every --interval seconds, acknowledged.
 * Heartbeats are spread evenly over the interval. Prints one line of JSON: what arrived, and the processor time and memory that the
 * broker took while all agents were there. */
#include "bench/loop.h"
#include "lib/amqp/dialect.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/settings.h"
#include "lib/qmf/agent.h"
#include "lib/qmf/message.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTLE_NS (INT64_C(120) * 1000000000) /* for all agents to be attached */
#define EPOCH     1

typedef struct Options {
    char *to, *user_name, *password, *dialect;
    int64_t agents, processes, seconds, interval, services, pid;
} Options;

static const Setting rows[] = {
    { "to", SETTING_STRING, offsetof(Options, to), 0, 0, "127.0.0.1:5672", "HOST:PORT of the broker" },
    { "user", SETTING_STRING, offsetof(Options, user_name), 0, 0, NULL, "NAME to authenticate as; none: ANONYMOUS" },
    { "password", SETTING_STRING, offsetof(Options, password), 0, 0, NULL, "TEXT that goes with it" },
    { "dialect", SETTING_STRING, offsetof(Options, dialect), 0, 0, "native", "NAME of the broker's dialect: native, rabbitmq, qpidd …" },
    { "agents", SETTING_INTEGER, offsetof(Options, agents), 1, 200000, "1000", "simulated agents" },
    { "processes", SETTING_INTEGER, offsetof(Options, processes), 1, 64, "2", "they are spread over" },
    { "seconds", SETTING_INTEGER, offsetof(Options, seconds), 1, 86400, "30", "to measure once all are attached" },
    { "interval", SETTING_INTEGER, offsetof(Options, interval), 1, 3600, "5", "seconds between heartbeats of one agent" },
    { "services", SETTING_INTEGER, offsetof(Options, services), 0, 100, "2", "in each digest" },
    { "pid", SETTING_INTEGER, offsetof(Options, pid), 0, INT32_MAX, "0", "PROCESS of the broker, whose time and memory are read" },
};

typedef struct Shared { /* between the processes; each counter is added to atomically */
    int64_t links, heartbeats, accepted, refused, lost;
} Shared;

typedef struct Swarm {
    const Options *o;
    Shared *shared;
    GPtrArray *agents;   /* of Agent */
    int64_t due_ns, step_ns;
    guint next;
    Loop loop;
} Swarm;

typedef struct Agent {
    Swarm *swarm;
    Conn *conn;
    pn_link_t *sender;
    QmfBus bus;
    QmfAgent *qmf;
    uint64_t sequence;
    uint32_t tag;
} Agent;

static void add(int64_t *counter, int64_t n)
{
    __atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static int64_t read_counter(int64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- one agent ---- */

static int64_t wall_us(void *user)
{
    return clock_wall_us();
}

static void agent_send(void *user, const char *node, const QmfMessage *message)
{
    Agent *agent = user;
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_autoptr(GBytes) bytes = amqp_message_encode(amqp);

    if (pn_link_credit(agent->sender) <= 0)
        return;
    agent->tag++;
    pn_delivery(agent->sender, pn_dtag((const char *) &agent->tag, sizeof agent->tag));
    pn_link_send(agent->sender, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    pn_link_advance(agent->sender);
    add(&agent->swarm->shared->heartbeats, 1);
}

static void agent_event(Conn *conn, pn_event_t *event)
{
    Agent *agent = conn->user;
    Shared *shared = agent->swarm->shared;
    pn_delivery_t *delivery;

    switch (pn_event_type(event)) {
    case PN_LINK_REMOTE_OPEN: add(&shared->links, 1); break;
    case PN_LINK_REMOTE_CLOSE: add(&shared->refused, 1); break;
    case PN_DELIVERY:
        delivery = pn_event_delivery(event);
        if (pn_link_is_sender(pn_delivery_link(delivery))) {
            add(pn_delivery_remote_state(delivery) == PN_ACCEPTED ? &shared->accepted : &shared->refused, 1);
            pn_delivery_settle(delivery);
        } else if (!pn_delivery_partial(delivery)) { /* a request: consoles have their own tests, here it is only taken */
            pn_link_advance(pn_delivery_link(delivery));
            pn_delivery_update(delivery, PN_ACCEPTED);
            pn_delivery_settle(delivery);
            pn_link_flow(pn_event_link(event), 1);
        }
        break;
    default: break;
    }
}

static void put_filter(pn_link_t *link, const char *key)
{
    static const char descriptor[] = "apache.org:legacy-amqp-direct-binding:string", name[] = "subject-filter";
    pn_data_t *filter = pn_terminus_filter(pn_link_source(link));

    pn_data_put_map(filter);
    pn_data_enter(filter);
    pn_data_put_symbol(filter, pn_bytes(strlen(name), name));
    pn_data_put_described(filter);
    pn_data_enter(filter);
    pn_data_put_symbol(filter, pn_bytes(strlen(descriptor), descriptor));
    pn_data_put_string(filter, pn_bytes(strlen(key), key));
    pn_data_exit(filter);
    pn_data_exit(filter);
}

static void agent_describe(Agent *agent, const char *id, int64_t number)
{
    static const char *const lifetimes[] = { "filesystem", "hardware", "reboot", "agent" };
    g_autofree char *host = g_strdup_printf("guest-%" G_GINT64_FORMAT, number);
    Value *uuids = value_map(), *capabilities = value_list();

    for (size_t i = 0; i < G_N_ELEMENTS(lifetimes); i++)
        value_set(uuids, lifetimes[i], value_string(id));
    value_append(capabilities, value_string("service-events"));
    qmf_agent_set_attribute(agent->qmf, "hostname", value_string(host));
    qmf_agent_set_attribute(agent->qmf, "mend.vm", value_string(id));
    qmf_agent_set_attribute(agent->qmf, "mend.boot_id", value_string(id));
    qmf_agent_set_attribute(agent->qmf, "mend.uuid", uuids);
    qmf_agent_set_attribute(agent->qmf, "mend.capabilities", capabilities);
    qmf_agent_set_attribute(agent->qmf, "mend.next_due_ms", value_uint(VALUE_UINT32, (uint64_t) agent->swarm->o->interval * 1000));
    qmf_agent_set_attribute(agent->qmf, "mend.event_sequence", value_uint(VALUE_UINT64, 0));
}

static void agent_heartbeat(Agent *agent)
{
    Value *services = value_map();

    for (int64_t i = 0; i < agent->swarm->o->services; i++) {
        char name[32];
        g_snprintf(name, sizeof name, "service-%d", (int) i);
        value_set(services, name, value_string("running"));
    }
    qmf_agent_set_attribute(agent->qmf, "mend.services", services);
    qmf_agent_set_attribute(agent->qmf, "mend.sequence", value_uint(VALUE_UINT64, ++agent->sequence));
    qmf_agent_heartbeat(agent->qmf);
    conn_flush(agent->conn);
}

static void agent_start(Swarm *swarm, const Peer *peer, int64_t number)
{
    Agent *agent = g_new0(Agent, 1);
    const AmqpDialect *dialect = amqp_dialect_named(swarm->o->dialect);
    AmqpPlace to = { 0 }, from = { 0 };
    char id[40];
    pn_link_t *receiver;

    g_snprintf(id, sizeof id, "%08x-5eed-4000-8000-000000000000", (unsigned) number);
    agent->swarm = swarm;
    agent->bus = (QmfBus){ .send = agent_send, .wall_us = wall_us, .user = agent };
    agent->qmf = qmf_agent_new(&agent->bus, &(QmfAgentOptions){ .vendor = "matahariproject.org", .product = "mend-guest", .instance = id,
                                                                .epoch = EPOCH, .heartbeat_interval_s = (uint32_t) swarm->o->interval });
    agent_describe(agent, id, number);
    agent->conn = conn_open(&swarm->loop, peer, id, agent_event, agent);
    dialect->target(QMF_TOPIC, &to);
    dialect->source(&(AmqpWish){ QMF_DIRECT, qmf_agent_name(agent->qmf), id, true, false }, &from);
    agent->sender = conn_sender(agent->conn, to.address, false);
    receiver = conn_receiver(agent->conn, from.address, false);
    if (!from.filtered)
        put_filter(receiver, qmf_agent_name(agent->qmf));
    g_free(to.address);
    g_free(from.address);
    pn_link_open(agent->sender);
    pn_link_open(receiver);
    pn_link_flow(receiver, 10);
    conn_flush(agent->conn);
    g_ptr_array_add(swarm->agents, agent);
}

/* ---- a process of them ---- */

static void swarm_turn(Loop *loop)
{
    Swarm *swarm = loop->user;

    while (now_ns() >= swarm->due_ns) {
        agent_heartbeat(g_ptr_array_index(swarm->agents, swarm->next));
        swarm->next = (swarm->next + 1) % swarm->agents->len;
        swarm->due_ns += swarm->step_ns;
    }
    loop->wake_ns = swarm->due_ns;
}

static void run_process(const Options *o, Shared *shared, int64_t first, int64_t count)
{
    Peer peer = { .user_name = o->user_name, .password = o->password };
    Swarm swarm = { .o = o, .shared = shared, .agents = g_ptr_array_new() };
    unsigned lost = 0;

    peer_parse(o->to, &peer);
    loop_init(&swarm.loop);
    swarm.loop.user = &swarm;
    for (int64_t i = 0; i < count; i++) {
        agent_start(&swarm, &peer, first + i);
        if (i % 20 == 19)
            loop_run(&swarm.loop, now_ns() + 1000000);
    }
    swarm.step_ns = o->interval * 1000000000 / count;
    swarm.due_ns = now_ns();
    swarm.loop.turn = swarm_turn;
    for (;;) {
        loop_run(&swarm.loop, now_ns() + 1000000000);
        add(&shared->lost, swarm.loop.lost - lost);
        lost = swarm.loop.lost;
    }
}

/* ---- the whole ---- */

static double processor_s(int64_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/stat", pid), *text = NULL;
    unsigned long user = 0, system = 0;
    const char *tail;

    if (!g_file_get_contents(path, &text, NULL, NULL) || (tail = strrchr(text, ')')) == NULL ||
        sscanf(tail + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double) (user + system) / (double) sysconf(_SC_CLK_TCK);
}

static int64_t resident_kb(int64_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/status", pid), *text = NULL;
    const char *line;

    return g_file_get_contents(path, &text, NULL, NULL) && (line = strstr(text, "VmRSS:")) != NULL ? atoll(line + 6) : 0;
}

static int measure(const Options *o, Shared *shared)
{
    int64_t until = now_ns() + SETTLE_NS, sent, accepted, refused, lost, start = now_ns();
    double attach_s, cpu_s;
    g_autofree char *text = NULL;
    g_autoptr(json_t) result = NULL;

    while (read_counter(&shared->links) < 2 * o->agents && now_ns() < until) {
        usleep(20000);
        if (waitpid(-1, NULL, WNOHANG) > 0) /* it has said why */
            return 1;
    }
    attach_s = (double) (now_ns() - start) / 1e9;
    usleep((useconds_t) (o->interval * 1000000)); /* a first round warms up */
    sent = read_counter(&shared->heartbeats);
    accepted = read_counter(&shared->accepted);
    cpu_s = processor_s(o->pid);
    sleep((unsigned) o->seconds);
    cpu_s = processor_s(o->pid) - cpu_s;
    sent = read_counter(&shared->heartbeats) - sent;
    accepted = read_counter(&shared->accepted) - accepted;
    refused = read_counter(&shared->refused);
    lost = read_counter(&shared->lost);
    result = json_pack("{s:I,s:I,s:f,s:f,s:f,s:I,s:I,s:I,s:f,s:f}", "agents", (json_int_t) o->agents, "links",
                       (json_int_t) read_counter(&shared->links), "attach_seconds", attach_s, "heartbeats_per_second",
                       (double) sent / (double) o->seconds, "accepted_per_second", (double) accepted / (double) o->seconds, "refused",
                       (json_int_t) refused, "lost", (json_int_t) lost, "broker_resident_kb", (json_int_t) resident_kb(o->pid),
                       "broker_cores", cpu_s / (double) o->seconds, "wanted_per_second", (double) o->agents / (double) o->interval);
    text = json_text(result);
    puts(text);
    return read_counter(&shared->links) < 2 * o->agents || refused > 0 || lost > 0 || accepted == 0;
}

static int run(const Options *o)
{
    Shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_autofree pid_t *children = g_new0(pid_t, (gsize) o->processes);
    int64_t first = 0;
    int result;

    for (int64_t i = 0; i < o->processes; i++) {
        int64_t count = (o->agents - first) / (o->processes - i);
        children[i] = fork();
        if (children[i] == 0) {
            run_process(o, shared, first, count);
            _exit(0);
        }
        first += count;
    }
    result = measure(o, shared);
    for (int64_t i = 0; i < o->processes; i++) {
        kill(children[i], SIGTERM);
        waitpid(children[i], NULL, 0);
    }
    return result;
}

int main(int argc, char **argv)
{
    Options options = { 0 };
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    struct rlimit files = { 200000, 200000 };
    Peer peer = { 0 };
    int result = 2;

    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    settings_defaults(rows, G_N_ELEMENTS(rows), &options);
    if (!settings_read(rows, G_N_ELEMENTS(rows), &options, argv, &rest, &error)) {
        fprintf(stderr, "mend-swarm: %s\n", error->message);
    } else if (g_strv_length(rest) > 0 || !peer_parse(options.to, &peer) || options.processes > options.agents ||
               amqp_dialect_named(options.dialect) == NULL) {
        fprintf(stderr, "mend-swarm [options]; --to HOST:PORT, not more processes than agents\n");
        settings_help(rows, G_N_ELEMENTS(rows));
    } else {
        result = run(&options);
    }
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return result;
}
