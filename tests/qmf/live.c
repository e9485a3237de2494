#include "tests/qmf/live.h"

#include "lib/base/clock.h"

#include <string.h>


Broker broker;

void broker_start(void)
{
    g_autofree char *program = g_build_filename(g_getenv("MEND_BUILD_DIR"), "bin/mend", NULL);
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDataInputStream) output = NULL;
    g_autofree char *line = NULL;

    if (broker.folder == NULL) {
        g_autofree char *template = g_build_filename(g_get_tmp_dir(), "mend-qmf-XXXXXX", NULL);

        broker.folder = g_strdup(g_mkdtemp(template));
    }
    broker.process = g_subprocess_launcher_spawn(launcher, &error, program, "broker", "--lab", "--no-plugin", "--listen",
                                                 broker.listen == NULL ? "127.0.0.1:0" : broker.listen, "--data", broker.folder, NULL);
    g_assert_no_error(error);
    output = g_data_input_stream_new(g_subprocess_get_stdout_pipe(broker.process));
    line = g_data_input_stream_read_line(output, NULL, NULL, NULL);
    if (line == NULL || !g_str_has_prefix(line, "mend broker: listening on "))
        g_error("the broker said: %s", line);
    g_free(broker.listen);
    broker.listen = g_strdup(strrchr(line, ' ') + 1);
    g_free(broker.url);
    broker.url = g_strconcat("amqp://", broker.listen, NULL);
}

void broker_stop(void)
{
    g_subprocess_force_exit(broker.process);
    g_subprocess_wait(broker.process, NULL, NULL);
    g_clear_object(&broker.process);
}

void broker_done(void)
{
    g_autoptr(GSubprocess) clean = NULL;

    broker_stop();
    clean = g_subprocess_new(G_SUBPROCESS_FLAGS_NONE, NULL, "rm", "-rf", broker.folder, NULL);
    g_subprocess_wait(clean, NULL, NULL);
    g_free(broker.url);
    g_free(broker.listen);
    g_free(broker.folder);
}

/* --- ends --- */

static void on_ready(void *user)
{
    ((End *) user)->ready = true;
}

bool wait_for(const unsigned *counter, unsigned wanted)
{
    int64_t end = clock_now_us() + PATIENCE_US;

    while (*counter < wanted && clock_now_us() < end)
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(500);
    return *counter >= wanted;
}

void wait_ready(End *end)
{
    int64_t deadline_us = clock_now_us() + PATIENCE_US;

    qmf_session_when_ready(end->session, on_ready, end);
    while (!end->ready && clock_now_us() < deadline_us)
        g_main_context_iteration(NULL, TRUE);
    g_assert_true(end->ready);
}

static void on_problem(const char *what, const GError *error, void *user)
{
    g_test_message("%s: %s", what, error->message);
}

End *end_new(void)
{
    AmqpClientOptions options = { .url = broker.url, .reconnect = true, .backoff_first_us = 50 * US_PER_MS,
                                  .backoff_max_us = 200 * US_PER_MS };
    End *end = g_new0(End, 1);

    end->client = amqp_client_new(&options);
    end->session = qmf_session_new(end->client);
    qmf_session_on_problem(end->session, on_problem, end);
    return end;
}

void end_free(End *end)
{
    qmf_session_free(end->session);
    amqp_client_free(end->client);
    value_unref(end->answer);
    g_free(end->error);
    g_free(end->event_class);
    g_free(end);
}

static void on_found(const char *agent, const Value *attributes, void *user)
{
    ((End *) user)->found++;
}

static void on_heartbeat(const char *agent, const Value *attributes, void *user)
{
    ((End *) user)->heartbeats++;
}

static void on_event(const char *agent, const Value *event, void *user)
{
    End *end = user;

    g_free(end->event_class);
    end->event_class = g_strdup(value_get_string(value_get(event, "_schema_id"), "_class_name"));
    end->events++;
}

End *console_new(void)
{
    End *end = end_new();
    QmfConsoleEvents events = { .agent_found = on_found, .heartbeat = on_heartbeat, .event = on_event, .user = end };

    end->console = qmf_session_console(end->session, &events);
    wait_ready(end);
    return end;
}

void on_answer(const Value *answer, const GError *error, void *user)
{
    End *end = user;

    g_clear_pointer(&end->answer, value_unref);
    g_clear_pointer(&end->error, g_free);
    end->answer = answer == NULL ? NULL : value_ref((Value *) answer);
    end->error = error == NULL ? NULL : g_strdup(error->message);
    end->answers++;
}

void call(End *console, const char *agent, const char *object, const char *method, const char *argument, Value *value)
{
    g_autoptr(Value) id = qmf_object_id(agent, object, 1), arguments = value_map();

    if (argument != NULL)
        value_set(arguments, argument, value);
    qmf_console_call(console->console, agent, id, method, arguments, PATIENCE_US / 2, on_answer, console);
    g_assert_true(wait_for(&console->answers, console->answers + 1));
}

