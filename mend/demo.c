/* The demo uses nothing but what every operator has: it starts `mend up`, connects to the bus as operator, finds the service among the
 * entities, kills it as the kernel would, and asks the policy engine why. */
#include "mend/demo.h"

#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/base/json.h"
#include "lib/qmf/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_US  (20 * US_PER_S)
#define HEAL_US   (60 * US_PER_S)
#define CALL_US   (5 * US_PER_S)
#define POLL_US   (20 * US_PER_MS)

typedef struct Demo {
    char *folder, *site, *log;
    uint16_t port;            /* of the web server */
    GPid up;
    AmqpClient *client;
    QmfSession *session;
    QmfConsole *console;
    char *broker_agent, *policy_agent, *guest_agent, *entity;
    int64_t killed_us, back_us; /* wall clock */
    int64_t pid, new_pid;
} Demo;

#define DEMO_ERROR g_quark_from_static_string("mend-demo-error")

static bool fail(GError **error, const char *what)
{
    g_set_error_literal(error, DEMO_ERROR, 0, what);
    return false;
}

/* ---- waiting for the bus, with the main loop turning ------------------------------------------------------------------ */

typedef struct Answer {
    bool done;
    Value *value;
    GError *error;
} Answer;

static void answered(const Value *value, const GError *error, void *user)
{
    Answer *answer = user;

    answer->done = true;
    answer->value = value == NULL ? NULL : value_ref((Value *) value);
    answer->error = error == NULL ? NULL : g_error_copy(error);
}

static Value *await(Answer *answer, GError **error)
{
    while (!answer->done)
        g_main_context_iteration(NULL, TRUE);
    if (answer->error != NULL)
        g_propagate_error(error, answer->error);
    return answer->value;
}

static gboolean nothing(void *user)
{
    return G_SOURCE_REMOVE;
}

static void turn(int64_t us)
{
    int64_t until_us = clock_now_us() + us;

    while (clock_now_us() < until_us) {
        g_timeout_add((guint) MAX(1, (until_us - clock_now_us()) / US_PER_MS), nothing, NULL);
        g_main_context_iteration(NULL, TRUE);
    }
}

static bool wait_until(Demo *demo, bool (*check)(Demo *), int64_t timeout_us, const char *what, GError **error)
{
    int64_t until_us = clock_now_us() + timeout_us;

    while (!check(demo)) {
        if (waitpid(demo->up, NULL, WNOHANG) == demo->up) {
            demo->up = 0;
            return fail(error, "mend up ended");
        }
        if (clock_now_us() > until_us)
            return fail(error, what);
        turn(POLL_US);
    }
    return true;
}

/* ---- the service and the site ----------------------------------------------------------------------------------------- */

static uint16_t free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *) &address, size) == 0 && getsockname(fd, (struct sockaddr *) &address, &size) == 0;

    if (fd >= 0)
        close(fd);
    return ok ? ntohs(address.sin_port) : 0;
}

static bool web_answers(Demo *demo)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(demo->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char text[16] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = { .tv_sec = 1 };
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
              connect(fd, (struct sockaddr *) &address, sizeof address) == 0 && write(fd, request, strlen(request)) > 0 &&
              read(fd, text, sizeof text - 1) > 0 && g_str_has_prefix(text, "HTTP/1.");

    if (fd >= 0)
        close(fd);
    return ok;
}

/* nginx where it is installed; else Python's. */
static char *web_service(Demo *demo, GError **error)
{
    g_autofree char *nginx = g_file_test("/usr/sbin/nginx", G_FILE_TEST_IS_EXECUTABLE) ? g_strdup("/usr/sbin/nginx")
                                                                                       : g_find_program_in_path("nginx");
    g_autofree char *python = g_find_program_in_path("python3"), *path = g_build_filename(demo->folder, "nginx.conf", NULL);

    if (nginx == NULL && python == NULL) {
        fail(error, "neither nginx nor python3 is installed: apt-get install nginx-light");
        return NULL;
    }
    if (nginx == NULL)
        return g_strdup_printf("process:web=%s -m http.server --bind 127.0.0.1 --directory %s %u", python, demo->folder, demo->port);
    g_autofree char *text = g_strdup_printf("daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log %s/nginx.log;\nevents { }\n"
                                            "http {\n    access_log off;\n    server { listen 127.0.0.1:%u; return 200 \"well\\n\"; }\n}\n",
                                            demo->folder, demo->folder, demo->port);
    if (!g_file_set_contents(path, text, -1, error))
        return NULL;
    return g_strdup_printf("process:web=%s -p %s -e %s/nginx.log -c %s", nginx, demo->folder, demo->folder, path);
}

static bool start_up(Demo *demo, GError **error)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", error), *service = self == NULL ? NULL : web_service(demo, error);

    if (service == NULL)
        return false;
    g_autofree char *data = g_strdup_printf("--data=%s", demo->site), *watch = g_strdup_printf("--service=%s", service);
    const char *argv[] = { self, "up", "--listen=127.0.0.1:0", "--stop-services", data, watch, NULL };
    int log = open(demo->log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (log < 0)
        return fail(error, g_strerror(errno));
    bool ok = g_spawn_async_with_fds(NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &demo->up, -1, log, log, error);
    close(log);
    return ok;
}

static bool site_is_open(Demo *demo)
{
    g_autoptr(Credentials) credentials = credentials_find("operator", demo->site, NULL);

    return credentials != NULL && credentials->url != NULL;
}

static bool find_agents(Demo *demo)
{
    g_autofree const char **names = NULL;
    size_t n = qmf_console_agents(demo->console, &names);

    for (size_t i = 0; i < n; i++) {
        char **place = strstr(names[i], ":mend-broker:") != NULL   ? &demo->broker_agent
                       : strstr(names[i], ":mend-policy:") != NULL ? &demo->policy_agent
                       : strstr(names[i], ":mend-guest:") != NULL  ? &demo->guest_agent
                                                                   : NULL;
        if (place != NULL && *place == NULL)
            *place = g_strdup(names[i]);
    }
    bool all = demo->broker_agent != NULL && demo->policy_agent != NULL && demo->guest_agent != NULL;
    if (!all)
        qmf_console_locate(demo->console, NULL);
    return all;
}

static bool connect_to(Demo *demo, GError **error)
{
    g_autoptr(Credentials) credentials = credentials_find("operator", demo->site, error);

    if (credentials == NULL)
        return false;
    const AmqpClientOptions options = { .url = credentials->url, .user = credentials->user, .password = credentials->password,
                                        .ca_file = credentials->ca_file, .reconnect = true };
    const QmfConsoleEvents events = { .user = demo };
    demo->client = amqp_client_new(&options);
    demo->session = qmf_session_new(demo->client);
    demo->console = qmf_session_console(demo->session, &events);
    return wait_until(demo, find_agents, START_US, "the plugin, the policy engine and the guest agent do not all answer on the bus", error);
}

/* ---- the service as the bus knows it ---------------------------------------------------------------------------------- */

static Value *entities(Demo *demo)
{
    Answer answer = { 0 };
    g_autoptr(GError) error = NULL;

    qmf_console_query_objects(demo->console, demo->broker_agent, "org.matahariproject.mend", "Entity", NULL, CALL_US, answered, &answer);
    return await(&answer, &error);
}

static bool engine_may_act(Demo *demo)
{
    Answer answer = { 0 };
    g_autoptr(Value) id = qmf_object_id(demo->policy_agent, "Policy", 0);

    qmf_console_call(demo->console, demo->policy_agent, id, "status", NULL, CALL_US, answered, &answer);
    g_autoptr(Value) outputs = await(&answer, NULL);
    const Value *status = value_get(outputs, "status");
    return status != NULL && value_get_int(status, "guard_until_us", INT64_MAX) < clock_wall_us();
}

/* Its process, when it runs; also learns the entity's name. 0: not (yet). */
static int64_t service_pid(Demo *demo)
{
    g_autoptr(Value) list = entities(demo);

    for (size_t i = 0; i < value_size(list); i++) {
        const Value *object = value_at(list, i), *values = value_get(object, "_values");
        const char *path = value_get_string(value_get(object, "_object_id"), "_object_name");

        if (path == NULL || !g_str_has_prefix(path, "service/") || !g_str_has_suffix(path, "/web") ||
            g_strcmp0(value_get_string(values, "state"), "running") != 0)
            continue;
        if (demo->entity == NULL)
            demo->entity = g_strdup(path);
        return value_get_int(value_get(values, "data"), "pid", 0);
    }
    return 0;
}

static bool service_runs(Demo *demo)
{
    demo->pid = service_pid(demo);
    return demo->pid > 1 && web_answers(demo);
}

static bool service_is_back(Demo *demo)
{
    if (!web_answers(demo))
        return false;
    demo->back_us = clock_wall_us();
    return true;
}

static json_t *ask_why(Demo *demo, GError **error)
{
    Answer answer = { 0 };
    g_autoptr(Value) id = qmf_object_id(demo->policy_agent, "Policy", 0), arguments = value_map();

    value_set(arguments, "entity", value_string(demo->entity));
    qmf_console_call(demo->console, demo->policy_agent, id, "why", arguments, CALL_US, answered, &answer);
    g_autoptr(Value) outputs = await(&answer, error);
    const char *text = value_get_string(outputs, "json");
    return text == NULL ? NULL : json_parse(text, strlen(text), "why", error);
}

static bool story_is_over(Demo *demo)
{
    g_autoptr(json_t) story = ask_why(demo, NULL);
    const json_t *incidents = json_object_get(story, "incidents"), *last = json_array_get(incidents, json_array_size(incidents) - 1);
    const char *state = json_string_or(last, "state", "open");

    return strcmp(state, "healed") == 0 || strcmp(state, "needs-human") == 0;
}

/* ---- telling ---------------------------------------------------------------------------------------------------------- */

static void print_step(double ms, const char *step, const char *text)
{
    printf("  %9.1f ms  %-11s %s\n", ms, step, text);
}

static int by_time(const void *a, const void *b)
{
    int64_t at = json_int_or(*(json_t *const *) a, "at_us", 0), other = json_int_or(*(json_t *const *) b, "at_us", 0);

    return at < other ? -1 : at > other;
}

/* Names of agents and entities are long; here there is one of each. */
static void print_line(const Demo *demo, const json_t *line)
{
    const char *text = json_string_or(line, "text", "");
    g_autofree char *prefix = g_strdup_printf("%s: ", demo->guest_agent);

    if (g_str_has_prefix(text, prefix))
        text += strlen(prefix);
    print_step((double) (json_int_or(line, "at_us", 0) - demo->killed_us) / 1000, json_string_or(line, "what", ""), text);
}

static bool print_story(Demo *demo, GError **error)
{
    g_autoptr(json_t) story = ask_why(demo, error);
    const json_t *incidents = json_object_get(story, "incidents"), *last = json_array_get(incidents, json_array_size(incidents) - 1);
    const json_t *lines = json_object_get(last, "lines");
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    size_t i;
    json_t *line;

    if (story == NULL)
        return false;
    json_array_foreach(lines, i, line)
        g_ptr_array_add(sorted, line);
    g_ptr_array_sort(sorted, by_time); /* several processes wrote these */
    for (i = 0; i < sorted->len; i++)
        print_line(demo, g_ptr_array_index(sorted, i));
    if (strcmp(json_string_or(last, "state", ""), "healed") != 0)
        return fail(error, "the incident was not closed as healed");
    return true;
}

static bool play(Demo *demo, GError **error)
{
    printf("Starting a site in %s: broker with plugin, policy engine, guest agent, and a web server to watch.\n", demo->folder);
    fflush(stdout);
    if (!start_up(demo, error) || !wait_until(demo, site_is_open, START_US, "mend up does not come up", error) ||
        !connect_to(demo, error) || !wait_until(demo, service_runs, START_US, "the web server does not come up", error) ||
        !wait_until(demo, engine_may_act, START_US, "the policy engine does not end its start-up guard", error))
        return false;
    printf("%s runs as process %d and answers on http://127.0.0.1:%u/.\n\nkill -9 %d\n", demo->entity, (int) demo->pid, demo->port,
           (int) demo->pid);
    fflush(stdout);
    demo->killed_us = clock_wall_us();
    if (kill((pid_t) demo->pid, SIGKILL) != 0)
        return fail(error, g_strerror(errno));
    print_step(0, "kill", "SIGKILL to the main process");
    int64_t give_up_us = clock_now_us() + HEAL_US;
    while (!service_is_back(demo) && clock_now_us() < give_up_us)
        g_usleep(500); /* no main loop here: this is the measure */
    if (!wait_until(demo, story_is_over, HEAL_US, "the policy engine does not close the incident", error) || !print_story(demo, error))
        return false;
    demo->new_pid = service_pid(demo);
    if (!web_answers(demo) || demo->new_pid == demo->pid)
        return fail(error, "the web server does not answer");
    printf("\nThe web server answers again %.1f ms after the kill, as process %d.\n", (double) (demo->back_us - demo->killed_us) / 1000,
           (int) demo->new_pid);
    return true;
}

static void folder_remove(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *inside = g_build_filename(path, name, NULL);

        if (g_file_test(inside, G_FILE_TEST_IS_DIR) && !g_file_test(inside, G_FILE_TEST_IS_SYMLINK))
            folder_remove(inside);
        else
            g_unlink(inside);
    }
    g_rmdir(path);
}

static void demo_done(Demo *demo)
{
    qmf_session_free(demo->session);
    amqp_client_free(demo->client);
    if (demo->up != 0) {
        kill(demo->up, SIGTERM);
        waitpid(demo->up, NULL, 0);
    }
    folder_remove(demo->folder);
    g_free(demo->folder);
    g_free(demo->site);
    g_free(demo->log);
    g_free(demo->broker_agent);
    g_free(demo->policy_agent);
    g_free(demo->guest_agent);
    g_free(demo->entity);
}

int demo_run(void)
{
    g_autoptr(GError) error = NULL;
    Demo demo = { .port = free_port() };

    demo.folder = g_dir_make_tmp("mend-demo-XXXXXX", &error);
    if (demo.folder == NULL) {
        fprintf(stderr, "mend up --demo: %s\n", error->message);
        return 1;
    }
    demo.site = g_build_filename(demo.folder, "site", NULL);
    demo.log = g_build_filename(demo.folder, "mend.log", NULL);
    bool ok = play(&demo, &error);
    if (!ok) {
        g_autofree char *log = NULL;

        g_file_get_contents(demo.log, &log, NULL, NULL);
        fprintf(stderr, "%s\nmend up --demo: %s\n", log == NULL ? "" : log, error->message);
    }
    demo_done(&demo);
    return ok ? 0 : 1;
}
