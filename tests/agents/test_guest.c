/* The built mend-guest across the built broker: commands by its control queue, events, a broker and an agent that die. The console here
 * knows what an engine knows: names on the bus (docs/wire.md). */
#include "lib/base/clock.h"
#include "lib/base/uuid.h"
#include "lib/qmf/session.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_US (20 * US_PER_S)
#define ID "11111111-2222-4333-8444-555555555555"
#define AGENT "matahariproject.org:mend-guest:" ID
#define QUEUE "mend.control." AGENT

typedef struct Bus {
    char *folder, *listen, *url;
    GSubprocess *broker, *guest;
    AmqpClient *client;
    QmfSession *session;
    QmfConsole *console;
    AmqpSender *commands;
    AmqpReceiver *results;
    GPtrArray *events;   /* of Value: _values of service_state */
    GPtrArray *answers;  /* of QmfMessage */
    Value *attributes;   /* of the last heartbeat */
    unsigned heartbeats;
} Bus;

#define WAIT_FOR(condition)                                                      \
    do {                                                                         \
        int64_t until_us = clock_now_us() + PATIENCE_US;                         \
        while (!(condition)) {                                                   \
            if (clock_now_us() > until_us)                                       \
                g_error("%s:%d: never true: %s", __FILE__, __LINE__, #condition); \
            if (!g_main_context_iteration(NULL, FALSE))                          \
                g_usleep(500);                                                   \
        }                                                                        \
    } while (0)

static char *program(const char *name)
{
    return g_build_filename(g_getenv("MEND_BUILD_DIR"), "bin", name, NULL);
}

static void broker_up(Bus *bus)
{
    g_autofree char *mend = program("mend"), *data = g_build_filename(bus->folder, "site", NULL), *line = NULL;
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    g_autoptr(GDataInputStream) output = NULL;
    g_autoptr(GError) error = NULL;

    bus->broker = g_subprocess_launcher_spawn(launcher, &error, mend, "broker", "--lab", "--no-plugin", "--listen",
                                              bus->listen != NULL ? bus->listen : "127.0.0.1:0", "--data", data, NULL);
    g_assert_no_error(error);
    output = g_data_input_stream_new(g_subprocess_get_stdout_pipe(bus->broker));
    do {
        g_free(line);
        line = g_data_input_stream_read_line(output, NULL, NULL, NULL);
        g_assert_nonnull(line);
    } while (!g_str_has_prefix(line, "mend broker: listening on "));
    g_free(bus->listen);
    bus->listen = g_strdup(strrchr(line, ' ') + 1);
    g_free(bus->url);
    bus->url = g_strconcat("amqp://", bus->listen, NULL);
}

static void end_process(GSubprocess **process, int signal_number)
{
    g_subprocess_send_signal(*process, signal_number);
    g_subprocess_wait(*process, NULL, NULL);
    g_clear_object(process);
}

static void guest_up(Bus *bus, const char *service, const char *more)
{
    g_autofree char *guest = program("mend-guest"), *data = g_build_filename(bus->folder, "g", NULL);
    g_autofree char *ocf = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "tests/agents/ocf", NULL);
    g_autoptr(GError) error = NULL;

    bus->guest = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error, guest, "--broker",
                                  bus->url, "--anonymous", "--id", ID, "--data", data, "--heartbeat", "1s", "--ocf-root", ocf, "--service",
                                  service, more, NULL);
    g_assert_no_error(error);
}

static void on_heartbeat(const char *agent, const Value *attributes, void *user)
{
    Bus *bus = user;

    if (strcmp(agent, AGENT) != 0)
        return;
    bus->heartbeats++;
    g_clear_pointer(&bus->attributes, value_unref);
    bus->attributes = value_ref((Value *) attributes);
}

static void on_event(const char *agent, const Value *event, void *user)
{
    Bus *bus = user;

    if (g_strcmp0(value_get_string(value_get(event, "_schema_id"), "_class_name"), "service_state") == 0)
        g_ptr_array_add(bus->events, value_ref((Value *) value_get(event, "_values")));
}

static void on_result(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *amqp, void *user)
{
    QmfMessage *message = qmf_message_from_amqp(amqp, NULL);

    g_assert_nonnull(message);
    g_ptr_array_add(((Bus *) user)->answers, message);
    amqp_delivery_accept(delivery);
}

static void on_ready(void *user)
{
    *(bool *) user = true;
}

static Bus *bus_new(void)
{
    Bus *bus = g_new0(Bus, 1);
    bool ready = false;

    bus->folder = g_dir_make_tmp("mend-XXXXXX", NULL);
    bus->events = g_ptr_array_new_with_free_func((GDestroyNotify) value_unref);
    bus->answers = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_message_free);
    broker_up(bus);
    const AmqpClientOptions options = {.url = bus->url, .reconnect = true, .backoff_first_us = 20 * US_PER_MS,
                                       .backoff_max_us = 100 * US_PER_MS};
    const QmfConsoleEvents events = {.heartbeat = on_heartbeat, .event = on_event, .user = bus};
    const AmqpSenderOptions to = {.address = QUEUE};
    const AmqpReceiverOptions from = {.address = "mend.results", .on_message = on_result, .user = bus};
    bus->client = amqp_client_new(&options);
    bus->session = qmf_session_new(bus->client);
    bus->console = qmf_session_console(bus->session, &events);
    bus->commands = amqp_sender_new(bus->client, &to);
    bus->results = amqp_receiver_new(bus->client, &from);
    qmf_session_when_ready(bus->session, on_ready, &ready);
    WAIT_FOR(ready);
    return bus;
}

static void bus_free(Bus *bus)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", bus->folder);

    amqp_sender_free(bus->commands);
    amqp_receiver_free(bus->results);
    qmf_session_free(bus->session);
    amqp_client_free(bus->client);
    if (bus->guest != NULL)
        end_process(&bus->guest, SIGTERM);
    end_process(&bus->broker, SIGKILL);
    g_assert_cmpint(system(command), ==, 0);
    g_ptr_array_unref(bus->events);
    g_ptr_array_unref(bus->answers);
    value_unref(bus->attributes);
    g_free(bus->folder);
    g_free(bus->listen);
    g_free(bus->url);
    g_free(bus);
}

static const Value *last_event(const Bus *bus)
{
    return bus->events->len > 0 ? bus->events->pdata[bus->events->len - 1] : NULL;
}

static bool last_is(const Bus *bus, const char *state, const char *intent)
{
    const Value *event = last_event(bus);

    return g_strcmp0(value_get_string(event, "state"), state) == 0 && g_strcmp0(value_get_string(event, "intent"), intent) == 0;
}

/* As the engine sends one. @id NULL: a new one. Returns the id; caller frees. */
static char *command(Bus *bus, const char *id, const char *object, const char *method, Value *arguments)
{
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_METHOD_REQUEST);
    g_autoptr(AmqpMessage) amqp = NULL;
    char *own = id != NULL ? g_strdup(id) : uuid_new();

    message->reply_to = g_strdup("mend.results");
    message->correlation_id = g_strdup(own);
    message->body = value_map();
    value_set(message->body, "_method_name", value_string(method));
    value_set(message->body, "_object_id", qmf_object_id(AGENT, object, 0));
    value_set(message->body, "_arguments", arguments);
    message->extra = value_map();
    value_set(message->extra, "mend.command-id", value_string(own));
    value_set(message->extra, "mend.epoch", value_uint(VALUE_UINT64, 1));
    value_set(message->extra, "mend.deadline", value_int(VALUE_INT64, clock_wall_us() / US_PER_MS + 15000));
    amqp = qmf_message_to_amqp(message);
    g_assert_true(amqp_sender_send(bus->commands, amqp, 0, NULL, NULL, NULL));
    return own;
}

static Value *named(const char *name)
{
    Value *arguments = value_map();

    value_set(arguments, "name", value_string(name));
    return arguments;
}

static const QmfMessage *answer_to(const Bus *bus, const char *id)
{
    for (guint i = 0; i < bus->answers->len; i++)
        if (g_strcmp0(((QmfMessage *) bus->answers->pdata[i])->correlation_id, id) == 0)
            return bus->answers->pdata[i];
    return NULL;
}

static void test_a_killed_service_is_told_and_restarted_by_command(void)
{
    Bus *bus = bus_new();
    g_autofree char *id = NULL;
    const QmfMessage *answer;
    int64_t killed_us, told_us;

    guest_up(bus, "process:p=sleep 600", "--stop-at-exit");
    WAIT_FOR(last_is(bus, "running", "boot") && bus->heartbeats > 0);
    g_assert_cmpstr(value_get_string(bus->attributes, "mend.vm"), ==, ID);
    g_assert_cmpint(value_get_int(bus->attributes, "mend.next_due_ms", 0), ==, 1000);
    killed_us = clock_wall_us();
    kill((pid_t) value_get_int(last_event(bus), "pid", 0), SIGKILL);
    WAIT_FOR(last_is(bus, "failed", "none"));
    told_us = clock_wall_us();
    g_assert_cmpint(value_get_int(last_event(bus), "signal", 0), ==, SIGKILL);
    id = command(bus, NULL, "Guest", "restart", named("p"));
    WAIT_FOR(answer_to(bus, id) != NULL && last_is(bus, "running", "command"));
    g_test_message("killed to told %" G_GINT64_FORMAT " us, told to running again %" G_GINT64_FORMAT " us", told_us - killed_us,
                   clock_wall_us() - told_us);
    answer = answer_to(bus, id);
    g_assert_cmpint(answer->opcode, ==, QMF_METHOD_RESPONSE);
    g_assert_cmpstr(value_get_string(answer->extra, "mend.state"), ==, "done");
    g_assert_cmpstr(value_get_string(answer->extra, "mend.command-id"), ==, id);
    g_assert_cmpint(value_get_int(value_get(answer->body, "_arguments"), "rc", -1), ==, 0);
    bus_free(bus);
}

static void test_a_lost_broker_changes_nothing_and_learns_what_happened(void)
{
    Bus *bus = bus_new();
    int64_t sequence;
    pid_t pid;

    guest_up(bus, "process:p=sleep 600", "--stop-at-exit");
    WAIT_FOR(last_is(bus, "running", "boot"));
    pid = (pid_t) value_get_int(last_event(bus), "pid", 0);
    sequence = value_get_int(last_event(bus), "sequence", 0);
    end_process(&bus->broker, SIGKILL);
    g_assert_cmpint(kill(pid, 0), ==, 0);
    kill(pid, SIGKILL);
    WAIT_FOR(kill(pid, 0) != 0);
    broker_up(bus);
    bus->heartbeats = 0;
    WAIT_FOR(bus->heartbeats > 0);
    /* The agent may be back before our subscription is: then the event went to nobody, and the digest is what tells. */
    if (last_is(bus, "failed", "none"))
        g_assert_cmpint(value_get_int(last_event(bus), "sequence", 0), ==, sequence + 1);
    else
        g_test_message("the event came before our subscription");
    g_assert_cmpstr(value_get_string(value_get(bus->attributes, "mend.services"), "p"), ==, "failed");
    bus_free(bus);
}

/* @file holds the pid of one of the group. */
static void end_group_of(const char *file)
{
    g_autofree char *text = NULL;
    pid_t pid;

    while (!g_file_get_contents(file, &text, NULL, NULL) || strchr(text, '\n') == NULL) { /* it is being written */
        g_clear_pointer(&text, g_free);
        g_usleep(1000);
    }
    pid = (pid_t) g_ascii_strtoll(text, NULL, 10);
    g_assert_cmpint(pid, >, 1);
    kill(-getpgid(pid), SIGKILL);
}

/* kill -9 of the agent while a command runs: the broker gives the command to the next agent, which answers that it was interrupted and
 * does not run it again; the service is the same process as before. */
static void test_an_agent_killed_in_a_command_runs_it_no_second_time(void)
{
    Bus *bus = bus_new();
    g_autofree char *state = g_build_filename(bus->folder, "state", NULL), *hang = g_strconcat(state, ".hang", NULL);
    g_autofree char *hung = g_strconcat(state, ".hung", NULL), *log = g_strconcat(state, ".log", NULL), *id = NULL, *text = NULL;
    Value *arguments = named("r"), *parameters = value_map();
    pid_t pid;
    int64_t epoch;

    guest_up(bus, "process:p=sleep 600", NULL);
    WAIT_FOR(last_is(bus, "running", "boot") && bus->heartbeats > 0);
    pid = (pid_t) value_get_int(last_event(bus), "pid", 0);
    epoch = value_get_int(bus->attributes, "_epoch", 0);
    g_assert_true(g_file_set_contents(hang, "", -1, NULL));
    value_set(parameters, "state", value_string(state));
    value_set(arguments, "parameters", parameters);
    value_set(arguments, "provider", value_string("mendtest"));
    value_set(arguments, "agent", value_string("Codes"));
    value_set(arguments, "action", value_string("start"));
    id = command(bus, NULL, "Resources", "invoke", arguments);
    WAIT_FOR(g_file_test(hung, G_FILE_TEST_EXISTS));
    end_process(&bus->guest, SIGKILL);
    end_group_of(hung); /* the action outlives a killed agent, but need not outlive the test */
    g_assert_null(answer_to(bus, id));
    unlink(hang);
    guest_up(bus, "process:p=sleep 600", "--stop-at-exit");
    WAIT_FOR(answer_to(bus, id) != NULL);
    g_assert_cmpstr(value_get_string(answer_to(bus, id)->extra, "mend.error"), ==, "interrupted");
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "start r 0\n");
    WAIT_FOR(last_is(bus, "running", "unknown"));
    g_assert_cmpint(value_get_int(last_event(bus), "pid", 0), ==, pid);
    WAIT_FOR(value_get_int(bus->attributes, "_epoch", 0) == epoch + 1);
    bus_free(bus);
}

static void test_a_repeated_command_is_answered_again_and_runs_once(void)
{
    Bus *bus = bus_new();
    g_autofree char *first = NULL, *again = NULL;
    int64_t pid;

    guest_up(bus, "process:p=sleep 600", "--stop-at-exit");
    WAIT_FOR(last_is(bus, "running", "boot"));
    first = command(bus, NULL, "Guest", "restart", named("p"));
    WAIT_FOR(answer_to(bus, first) != NULL && last_is(bus, "running", "command"));
    pid = value_get_int(last_event(bus), "pid", 0);
    g_ptr_array_set_size(bus->answers, 0);
    again = command(bus, first, "Guest", "restart", named("p"));
    WAIT_FOR(answer_to(bus, first) != NULL);
    g_assert_cmpint(value_get_int(value_get(answer_to(bus, first)->body, "_arguments"), "pid", 0), ==, pid);
    g_assert_cmpint(kill((pid_t) pid, 0), ==, 0);
    bus_free(bus);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mend-guest/a kill is told, a command restarts", test_a_killed_service_is_told_and_restarted_by_command);
    g_test_add_func("/mend-guest/a lost broker changes nothing", test_a_lost_broker_changes_nothing_and_learns_what_happened);
    g_test_add_func("/mend-guest/killed in a command", test_an_agent_killed_in_a_command_runs_it_no_second_time);
    g_test_add_func("/mend-guest/a repeat is answered again", test_a_repeated_command_is_answered_again_and_runs_once);
    return g_test_run();
}
