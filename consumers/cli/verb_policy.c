/* mend policy check FILE | show [FILE] | eval EXPR | run: the file before it is used, what it means, one expression of it, and the engine
 * alone in the foreground. */
#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/cli/verb_policy_eval.h"
#include "consumers/cli/verb_policy_file.h"
#include "consumers/cli/verb_policy_import.h"
#include "consumers/cli/verb_policy_live.h"
#include "consumers/cli/verb_policy_test.h"
#include "consumers/cli/verbs.h"
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/policyd.h"
#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/base/log.h"
#include "lib/model/shard.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define USAGE                                                                                                                    \
    "policy check FILE | show [FILE] [--json] | test [FILE] [--cases FOLDER] | eval EXPR [--vars FILE] | eval --batch [--typed] | " \
    "diff OLD NEW [--history FILE] | import pacemaker-cloud FILE… [--output FILE] | load FILE | versions [N] | rollback [N] | run [options]"

typedef struct PolicyOptions {
    WireOptions site;
    char *file, *name, *log_level, *cases, *vars;
    int64_t keep_us, keep_bytes;
    char **shards;
    char *output;
    bool accept, batch, typed;
} PolicyOptions;

static const Setting rows[] = {
    { "policy", SETTING_STRING, offsetof(PolicyOptions, file), 0, 0, NULL, "run: FILE with the policy; without it the default policy" },
    { "name", SETTING_STRING, offsetof(PolicyOptions, name), 0, 0, "main", "run: NAME of this engine" },
    { "log-level", SETTING_STRING, offsetof(PolicyOptions, log_level), 0, 0, "notice", "run: error, warning, notice, info or debug" },
    { "keep", SETTING_DURATION, offsetof(PolicyOptions, keep_us), 0, RETENTION_MAX_US, "30d", "run: how long the journal is kept; 0: for ever" },
    { "keep-bytes", SETTING_BYTES, offsetof(PolicyOptions, keep_bytes), 0, INT64_MAX, "1GiB", "run: how large it may grow; 0: as it will" },
    { "shard", SETTING_LIST, offsetof(PolicyOptions, shards), 0, 0, NULL, "run: N of a shard this engine takes first, may be given several times" },
    { "cases", SETTING_STRING, offsetof(PolicyOptions, cases), 0, 0, NULL, "test: FOLDER with the cases; without it \"cases\" beside the policy" },
    { "accept", SETTING_BOOL, offsetof(PolicyOptions, accept), 0, 0, NULL, "test: what comes out becomes what is expected" },
    { "output", SETTING_STRING, offsetof(PolicyOptions, output), 0, 0, NULL, "import: FILE to write; without it the terminal" },
    { "vars", SETTING_STRING, offsetof(PolicyOptions, vars), 0, 0, NULL, "eval: FILE with the variables, an object in JSON" },
    { "batch", SETTING_BOOL, offsetof(PolicyOptions, batch), 0, 0, NULL, "eval: read lines {\"expr\": …, \"vars\": {…}}, write one line each" },
    { "typed", SETTING_BOOL, offsetof(PolicyOptions, typed), 0, 0, NULL, "eval: values are tagged, {\"int\": \"1\"}" },
    WIRE_ROWS(PolicyOptions),
};

#define FAILED_GRACE_MS 300

typedef struct Run {
    GMainLoop *loop;
    Policyd *policyd;
    int status;
} Run;

static gboolean on_stop(gpointer user)
{
    g_main_loop_quit(((Run *) user)->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_reload(gpointer user)
{
    g_autoptr(GError) error = NULL;

    if (!policyd_reload(((Run *) user)->policyd, &error))
        log_error("policy: not loaded, the running one stays: %s", error->message);
    return G_SOURCE_CONTINUE;
}

/* Not at once: what was committed before may still be on its way to the broker. */
static void on_failed(const GError *error, void *user)
{
    Run *run = user;

    run->status = EXIT_NO;
    g_timeout_add(FAILED_GRACE_MS, on_stop, run);
}

static bool read_shards(char **given, uint64_t *ret, GError **error)
{
    *ret = 0;
    for (char **one = given; one != NULL && *one != NULL; one++) {
        guint64 shard;

        if (!g_ascii_string_to_unsigned(*one, 10, 1, SHARDS_MAX, &shard, error)) {
            g_prefix_error(error, "--shard %s: ", *one);
            return false;
        }
        *ret |= UINT64_C(1) << (shard - 1);
    }
    return true;
}

static int run_engine(const PolicyOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Run run = { .loop = loop };
    WireLogin login = { 0 };
    LogLevel level;
    uint64_t shards;

    if (!log_level_parse(options->log_level, &level)) {
        fprintf(stderr, "mend policy: --log-level %s: error, warning, notice, info or debug is wanted\n", options->log_level);
        return EXIT_WRONG;
    }
    log_open("mend policy", level);
    signal(SIGPIPE, SIG_IGN);
    if (!read_shards(options->shards, &shards, &error) || !wire_login(&options->site, "engine", &login, &error))
        return verb_fail("policy", error);
    run.policyd = policyd_new(&(PolicydOptions){ .name = options->name, .url = login.url, .user = login.user, .password = login.password,
                                                 .ca_file = login.ca_file, .data = credentials_folder(options->site.data),
                                                 .policy_path = options->file, .shards = shards, .keep = { options->keep_us, options->keep_bytes }, .on_failed = on_failed, .failed_user = &run },
                              &error);
    wire_login_clear(&login);
    if (run.policyd == NULL)
        return verb_fail("policy", error);
    g_unix_signal_add(SIGTERM, on_stop, &run);
    g_unix_signal_add(SIGINT, on_stop, &run);
    g_unix_signal_add(SIGHUP, on_reload, &run);
    g_main_loop_run(loop);
    policyd_free(run.policyd);
    return run.status;
}

static int act(const PolicyOptions *options, char **rest)
{
    guint n = g_strv_length(rest);

    if (n == 2 && strcmp(rest[0], "check") == 0)
        return policy_file_check(rest[1]);
    if (n >= 1 && n <= 2 && strcmp(rest[0], "show") == 0)
        return policy_file_show(rest[1] != NULL ? rest[1] : options->file, options->site.json);
    if (n >= 1 && n <= 2 && strcmp(rest[0], "test") == 0)
        return policy_test(&(PolicyTestOptions){ .policy = rest[1] != NULL ? rest[1] : options->file, .cases = options->cases,
                                                 .accept = options->accept, .json = options->site.json });
    if (n >= 3 && strcmp(rest[0], "import") == 0)
        return policy_import(rest[1], rest + 2, options->output);
    if (n == 1 && strcmp(rest[0], "run") == 0)
        return run_engine(options);
    if (n >= 1 && strcmp(rest[0], "eval") == 0 && n == (options->batch ? 1u : 2u)) {
        EvalOptions eval = { .vars_file = options->vars, .typed = options->typed, .json = options->site.json };

        return options->batch ? eval_batch(&eval) : eval_expression(rest[1], &eval);
    }
    fprintf(stderr, "usage: mend %s\n", USAGE);
    return EXIT_WRONG;
}

int verb_policy(char **argv)
{
    PolicyOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (g_strcmp0(argv[1], "diff") == 0)
        return verb_policy_diff(argv + 1);
    if (policy_live_knows(argv[1]))
        return verb_policy_live(argv + 1);
    if (verb_begin(USAGE, rows, G_N_ELEMENTS(rows), &options, &options.site.help, argv, &rest, &status))
        status = (ExitStatus) act(&options, rest);
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
