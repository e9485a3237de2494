/* RPC plug-ins in a real Python: the four cases of Matahari's own example, what must not be exported, and what ends the process. */
#include "agents/guest/matahari/rpc.h"
#include "agents/guest/test_bench.h"

#include <sys/stat.h>
#include <unistd.h>

#define PACKAGE "org.matahariproject.rpc.plugin"

static const char example[] = "from os import getpid\n"
                              "import sys, time, os\n"
                              "class TestClass:\n    pass\n"
                              "class Callable:\n    def __call__(self): return 1\n"
                              "made = Callable()\n"
                              "number = 7\n"
                              "def testFunction():\n    print('to nobody')\n    return 'Result of the testFunction() function'\n"
                              "def testException():\n    raise ValueError('thrown by testException()')\n"
                              "def showArgs(*args, **kwargs):\n    return {'args': args, 'kwargs': kwargs}\n"
                              "def _hidden():\n    return 'seen'\n"
                              "def pid():\n    return getpid()\n"
                              "def hang():\n    time.sleep(600)\n"
                              "def die():\n    os._exit(3)\n"
                              "def leave():\n    sys.exit(4)\n"
                              "def big(n):\n    return 'x' * n\n"
                              "def odd():\n    return {1, 2}\n"
                              "def hungry():\n    return len(bytearray(4 << 30))\n"
                              "def read():\n    return sys.stdin.read() + sys.stdin.buffer.read().decode()\n"
                              "def score():\n    return open('/proc/self/oom_score_adj').read().strip()\n";

typedef struct Rpc {
    Bench *b;
    RpcClass *rpc;
    RpcOptions options;
    char *folder;
} Rpc;

static Rpc rpc_open(void)
{
    Rpc r = {.b = bench_make()};

    bench_open(r.b);
    r.folder = g_build_filename(r.b->world->folder, "plugins", NULL);
    g_assert_cmpint(g_mkdir(r.folder, 0755), ==, 0);
    world_write(r.b->world, "plugins/example.py", example);
    world_write(r.b->world, "plugins/broken.py", "def f(:\n");
    world_write(r.b->world, "plugins/json.py", "def f():\n    return 1\n");
    world_write(r.b->world, "plugins/notes.txt", "no plug-in");
    r.options = (RpcOptions){.folder = r.folder, .timeout_us = 20 * US_PER_S, .idle_us = US_PER_MINUTE};
    return r;
}

static void rpc_start(Rpc *r)
{
    g_autoptr(GError) error = NULL;

    r->rpc = rpc_class_new(&r->b->context, &r->options, &error);
    g_assert_no_error(error);
}

static void rpc_close(Rpc *r)
{
    rpc_class_free(r->rpc);
    bench_close(r->b);
    bench_drop(r->b);
    g_free(r->folder);
}

/* The name of the object whose class is @plugin; asks as a console would. NULL: none. Caller frees. */
static char *object_of(Bench *b, const char *plugin)
{
    g_autoptr(QmfMessage) request = qmf_message_new(QMF_QUERY_REQUEST);
    g_autofree char *correlation = correlation_next(b);
    Value *id = value_map();
    const json_t *objects;

    value_set(id, "_class_name", value_string(plugin));
    value_set(id, "_package_name", value_string(PACKAGE));
    request->body = value_map();
    value_set(request->body, "_what", value_string("OBJECT"));
    value_set(request->body, "_schema_id", id);
    request->reply_to = g_strdup("qmf.default.direct/me");
    request->correlation_id = g_strdup(correlation);
    qmf_agent_receive(b->agent, request);
    objects = json_object_get(answer_of(b, correlation), "body");
    return g_strdup(json_string_or(json_object_get(json_array_get(objects, 0), "_object_id"), "_object_name", NULL));
}

static char *example_of(Bench *b)
{
    char *name = NULL;

    WAIT_FOR((name = object_of(b, "example")) != NULL);
    return name;
}

#define NO_ARGS "{\"args\": [], \"kwargs\": {}}"

static void test_the_four_cases_of_the_example(void)
{
    Rpc r = rpc_open();
    Bench *b = r.b;
    const json_t *body;

    rpc_start(&r);
    g_autofree char *example_ = example_of(b), *json_ = object_of(b, "json"), *broken = object_of(b, "broken");
    g_assert_null(json_);
    g_assert_null(broken);
    CALL_IS(example_, "testFunction", NO_ARGS, "{\"result\":\"\\\"Result of the testFunction() function\\\"\"}");
    CALL_IS(example_, "TestClass", NO_ARGS, "! Unknown method: TestClass");
    CALL_IS(example_, "_hidden", NO_ARGS, "! Unknown method: _hidden");
    CALL_IS(example_, "getpid", NO_ARGS, "! Unknown method: getpid");
    CALL_IS(example_, "number", NO_ARGS, "! Unknown method: number");
    CALL_IS(example_, "showArgs", "{\"args\": [\"1\", \"[2, \\\"three\\\"]\"], \"kwargs\": {\"four\": \"null\"}}",
            "{\"result\":\"{\\\"args\\\": [1, [2, \\\"three\\\"]], \\\"kwargs\\\": {\\\"four\\\": null}}\"}");
    CALL_IS(example_, "showArgs", "{}", "{\"result\":\"{\\\"args\\\": [], \\\"kwargs\\\": {}}\"}");
    body = json_object_get(call_with(b, example_, "testException", NO_ARGS, NULL), "body");
    g_assert_cmpstr(json_string_or(json_object_get(body, "_schema_id"), "_class_name", ""), ==, "PluginException");
    g_assert_cmpstr(json_string_or(json_object_get(body, "_schema_id"), "_package_name", ""), ==, "org.matahariproject.rpc");
    body = json_object_get(body, "_values");
    g_assert_cmpuint(json_object_size(body), ==, 3);
    g_assert_cmpstr(json_string_or(body, "type", ""), ==, "ValueError");
    g_assert_cmpstr(json_string_or(body, "value", ""), ==, "thrown by testException()");
    g_assert_nonnull(strstr(json_string_or(body, "traceback", ""), "in testException"));
    rpc_close(&r);
}

static char *exception_type(Bench *b, const char *object, const char *method, const char *arguments)
{
    const json_t *body = json_object_get(call_with(b, object, method, arguments, NULL), "body");

    return g_strdup(json_string_or(json_object_get(body, "_values"), "type", "none"));
}

#define TYPE_IS(method, arguments, wanted)                                          \
    do {                                                                            \
        g_autofree char *type_ = exception_type(b, example_, method, arguments);    \
        g_assert_cmpstr(type_, ==, wanted);                                         \
    } while (0)

static void test_what_a_call_may_do_wrong(void)
{
    Rpc r = rpc_open();
    Bench *b = r.b;

    rpc_start(&r);
    g_autofree char *example_ = example_of(b);
    TYPE_IS("showArgs", "{\"args\": [\"{not JSON\"]}", "JSONDecodeError");
    TYPE_IS("testFunction", "{\"args\": [\"1\"]}", "TypeError");
    TYPE_IS("odd", NO_ARGS, "TypeError");
    TYPE_IS("leave", NO_ARGS, "SystemExit");
    TYPE_IS("big", "{\"args\": [\"2000000\"]}", "ValueError");
    TYPE_IS("hungry", NO_ARGS, "MemoryError");
    CALL_IS(example_, "showArgs", "{\"args\": [7]}", "! Invalid Arguments");
    CALL_IS(example_, "showArgs", "{\"kwargs\": {\"a\": []}}", "! Invalid Arguments");
    CALL_IS(example_, "showArgs", "{\"args\": \"1\"}", "! Invalid argument: args: string, want TYPE_LIST");
    CALL_IS(example_, "read", NO_ARGS, "{\"result\":\"\\\"\\\"\"}");
    g_autofree char *text = g_strnfill(262145, '1'), *arguments = g_strdup_printf("{\"args\": [\"%s\"]}", text);
    CALL_IS(example_, "showArgs", arguments, "! Invalid Arguments");
    text[200000] = '\0'; /* longer than a pipe, both ways */
    g_autofree char *long_arguments = g_strdup_printf("{\"args\": [\"\\\"%s\\\"\"]}", text);
    g_autofree char *said_back = call(b, example_, "showArgs", long_arguments);
    g_assert_nonnull(strstr(said_back, text));
    rpc_close(&r);
}

static void test_the_process_may_die(void)
{
    Rpc r = rpc_open();
    Bench *b = r.b;

    r.options.timeout_us = 2 * US_PER_S;
    rpc_start(&r);
    g_autofree char *example_ = example_of(b), *first = call(b, example_, "pid", NO_ARGS), *again = call(b, example_, "pid", NO_ARGS);
    g_assert_cmpstr(first, ==, again);
    CALL_IS(example_, "die", NO_ARGS, "! Error in backend: the plug-ins' process ended");
    g_autofree char *second = call(b, example_, "pid", NO_ARGS);
    g_assert_cmpstr(second, !=, first);
    g_autofree char *hanging = ask(b, example_, "hang", NO_ARGS, NULL), *next = ask(b, example_, "pid", NO_ARGS, NULL);
    WAIT_FOR(answer_of(b, next) != NULL);
    const json_t *values = json_object_get(json_object_get(answer_of(b, hanging), "body"), "_values");
    g_assert_cmpstr(json_string_or(values, "error_text", ""), ==, "Error in backend: the plug-ins' process took too long");
    g_assert_cmpstr(json_string_or(answer_of(b, next), "opcode", ""), ==, "_method_response");
    g_autofree char *open = ask(b, example_, "hang", NO_ARGS, NULL);
    rpc_class_free(g_steal_pointer(&r.rpc));
    g_assert_nonnull(answer_of(b, open));
    rpc_close(&r);
}

static void test_it_ends_when_nobody_calls(void)
{
    Rpc r = rpc_open();
    Bench *b = r.b;
    long pid = 0;

    r.options.idle_us = 200 * US_PER_MS;
    rpc_start(&r);
    g_autofree char *example_ = example_of(b), *said_pid = call(b, example_, "pid", NO_ARGS);
    g_assert_cmpint(sscanf(said_pid, "{\"result\":\"%ld\"}", &pid), ==, 1);
    g_autofree char *proc = g_strdup_printf("/proc/%ld/exe", pid);
    WAIT_FOR(!g_file_test(proc, G_FILE_TEST_IS_SYMLINK));
    g_autofree char *another = call(b, example_, "pid", NO_ARGS);
    g_assert_cmpstr(said_pid, !=, another);
    rpc_close(&r);
}

static void refused(Rpc *r, const char *what)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(rpc_class_new(&r->b->context, &r->options, &error));
    if (strstr(error->message, what) == NULL || !g_str_has_prefix(error->message, "--rpc-plugins: "))
        g_error("%s", error->message);
}

static void test_only_files_of_root_alone(void)
{
    Rpc r = rpc_open();
    g_autofree char *file = g_build_filename(r.folder, "example.py", NULL), *link = g_build_filename(r.folder, "link.py", NULL);

    g_assert_cmpint(chmod(r.folder, 0775), ==, 0);
    refused(&r, "others than its owner may write to");
    g_assert_cmpint(chmod(r.folder, 0755), ==, 0);
    g_assert_cmpint(chmod(file, 0666), ==, 0);
    refused(&r, "example.py");
    g_assert_cmpint(chmod(file, 0644), ==, 0);
    if (chown(file, 12345, 12345) == 0) {
        refused(&r, "belongs to user 12345");
        g_assert_cmpint(chown(file, 0, 0), ==, 0);
    }
    g_assert_cmpint(symlink("/etc/passwd", link), ==, 0);
    refused(&r, "is neither a file nor a folder");
    g_assert_cmpint(unlink(link), ==, 0);
    g_assert_cmpint(chmod(r.b->world->folder, 0777), ==, 0);
    refused(&r, "others than its owner may write to");
    g_assert_cmpint(chmod(r.b->world->folder, 0700), ==, 0);
    r.options.folder = "/nowhere/at/all";
    refused(&r, "/nowhere/at/all: No such file");
    rpc_close(&r);
}

/* What the agent starts does not inherit that it is spared when memory is short. */
static void test_plugins_are_not_spared(void)
{
    Rpc r = rpc_open();
    Bench *b = r.b;

    if (!g_file_set_contents_full("/proc/self/oom_score_adj", "-7", -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL)) {
        g_test_skip("no right to be spared here");
    } else {
        rpc_start(&r);
        g_autofree char *example_ = example_of(b);
        CALL_IS(example_, "score", NO_ARGS, "{\"result\":\"\\\"0\\\"\"}");
        g_file_set_contents_full("/proc/self/oom_score_adj", "0", -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL);
    }
    rpc_close(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (access("/usr/bin/python3", X_OK) != 0) {
        g_print("skipped: no /usr/bin/python3 here\n");
        return 77;
    }
    g_test_add_func("/rpc/the four cases of the example", test_the_four_cases_of_the_example);
    g_test_add_func("/rpc/what a call may do wrong", test_what_a_call_may_do_wrong);
    g_test_add_func("/rpc/the process may die", test_the_process_may_die);
    g_test_add_func("/rpc/it ends when nobody calls", test_it_ends_when_nobody_calls);
    g_test_add_func("/rpc/plug-ins are not spared", test_plugins_are_not_spared);
    g_test_add_func("/rpc/only files of root alone", test_only_files_of_root_alone);
    return g_test_run();
}
