/* A program is a session in the master's connection: an ssh of its own, which speaks with the master over its control socket and never
 * opens a connection (ProxyCommand=false sees to that).
 *
 * Three ends must not be mixed up, for the policy acts on them. A program that passes its deadline is told so by timeout(1) there. When
 * nothing at all comes by the deadline, it may be the program (no timeout(1) there, or it hangs in the kernel) or the way to it: a machine
 * that stands still and a network that swallows everything look the same, and its services have not failed. So the machine is asked
 * something else first; only when it answers that, the program is what hung. And a program whose turn never came was not run: others' slowness
 * is not its failure. */
#include "bridges/ssh/ssh_private.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>
#include <sys/wait.h>

#define GRACE_US         (3 * US_PER_S) /* the deadline there comes first, its word has to travel */
#define WAITING_MAX      1024           /* programs of one machine that wait for their turn */
#define OUTPUT_BYTES     4096
#define LOGIN_NOISE_BYTES 8192          /* what a login's shell may print before the program begins */

struct ElsewhereRun {
    SshLink *link;
    char *text, *mark;
    size_t max_output_bytes;
    int64_t deadline_us;
    Child *child;       /* NULL: waits, is doubted, or is over and about to tell */
    guint source;       /* deadline of the waiting, or the telling */
    bool ours;          /* the link's own question: takes no turn */
    ElsewhereEnd end;   /* to be told: RAN is the deadline's */
    char *why;
    ElsewhereDone done;
    void *user;
};

void ssh_run_free(ElsewhereRun *run)
{
    SshLink *link = run != NULL ? run->link : NULL;

    if (run == NULL)
        return;
    g_clear_handle_id(&run->source, g_source_remove);
    if (run->child != NULL) {
        child_free(run->child);
        link->running -= run->ours ? 0 : 1;
    }
    g_queue_remove(&link->waiting, run);
    g_queue_remove(&link->doubted, run);
    g_free(run->text);
    g_free(run->mark);
    g_free(run->why);
    g_free(run);
}

void ssh_run_cancel(ElsewhereRun *run)
{
    SshLink *link = run->link;

    ssh_run_free(run);
    ssh_runs_begin(link);
}

/* It is over; @run is gone after this. */
static void run_tell(ElsewhereRun *run, ElsewhereEnd end, const ChildResult *result, const char *why)
{
    SshLink *link = run->link;
    ElsewhereDone done = run->done;
    void *user = run->user;
    Child *child = g_steal_pointer(&run->child); /* @result is in it */

    if (child != NULL && !run->ours)
        link->running--;
    ssh_run_free(run);
    done(end, result, why, user);
    child_free(child);
    ssh_runs_begin(link);
}

static gboolean on_tell(void *user)
{
    static const ChildResult late = { .timed_out = true, .output = "", .last_words = "", .words = "" };
    ElsewhereRun *run = user;
    g_autofree char *why = g_steal_pointer(&run->why);

    run->source = 0;
    run_tell(run, run->end, run->end == ELSEWHERE_RAN ? &late : NULL, why);
    return G_SOURCE_REMOVE;
}

/* @why: (transfer full) */
static void tell_later(ElsewhereRun *run, ElsewhereEnd end, char *why)
{
    SshLink *link = run->link;

    g_clear_handle_id(&run->source, g_source_remove);
    g_queue_remove(&link->waiting, run);
    g_queue_remove(&link->doubted, run);
    g_free(run->why);
    run->why = why;
    run->end = end;
    run->source = g_idle_add(on_tell, run);
}

static char *out_of_reach(const SshLink *link)
{
    return g_strdup_printf("%s is out of reach: %s", link->options.name, link->why != NULL ? link->why : "the connection has just ended");
}

static gboolean on_waited(void *user)
{
    ElsewhereRun *run = user;

    run->source = 0;
    tell_later(run, ELSEWHERE_UNREACHED, g_strdup_printf("its turn did not come: %u other programs are at work on %s (--sessions)",
                                                         run->link->running, run->link->options.name));
    return G_SOURCE_REMOVE;
}

/* What the shell's status says: 128 and a signal's number; OCF's codes from 189 on are no signals. timeout(1) says 124, or 137 when it
 * had to kill. */
static void result_of(ChildResult *own, const SshAnswer *answer, int64_t deadline_us)
{
    bool at_deadline = clock_now_us() >= deadline_us - US_PER_S / 2;
    int status = answer->status;

    own->timed_out = at_deadline && (status == 124 || status == 137);
    own->wait_status = status > 128 && status < 160 ? status - 128 : status << 8;
    own->last_words = answer->last_words;
    own->output_bytes = answer->bytes;
}

static void run_ran(ElsewhereRun *run, const ChildResult *result, const SshAnswer *answer)
{
    g_autofree char *output = g_memdup2(answer->output, answer->bytes + 1);
    ChildResult own = *result;

    result_of(&own, answer, run->deadline_us);
    own.output_bytes = MIN(own.output_bytes, run->max_output_bytes);
    output[own.output_bytes] = '\0';
    own.output = output;
    run_tell(run, ELSEWHERE_RAN, &own, NULL);
}

/* The program did not begin, though the shell there did: what should make us another user refused. */
static void run_refused(ElsewhereRun *run, const SshAnswer *answer)
{
    const SshLinkOptions *o = &run->link->options;
    g_autofree char *why = g_strdup_printf("%s does not run it%s%s: %s", o->name, o->become != NULL ? " with " : "", o->become != NULL ? o->become : "",
                                           *answer->last_words != '\0' ? answer->last_words : "no word why");

    run_tell(run, ELSEWHERE_UNREACHED, NULL, why);
}

static void wait_for_turn(ElsewhereRun *run)
{
    run->source = g_timeout_add((guint) (MAX(run->deadline_us - clock_now_us(), 0) / US_PER_MS), on_waited, run);
    g_queue_push_tail(&run->link->waiting, run);
    ssh_runs_begin(run->link);
}

/* sshd's MaxSessions is below ours: it was not run, so it may wait for a later turn. Alone and refused, there is nothing to wait for. */
static bool run_again_later(ElsewhereRun *run)
{
    SshLink *link = run->link;

    if (run->ours || link->running <= 1)
        return false;
    g_clear_pointer(&run->child, child_free);
    link->running--;
    if (link->options.sessions_max > link->running) {
        link->options.sessions_max = link->running;
        log_notice("%s takes no more than %u sessions at once: its sshd's MaxSessions", link->options.name, link->running);
    }
    wait_for_turn(run);
    return true;
}

static void run_broke(ElsewhereRun *run, const ChildResult *result, const SshAnswer *answer)
{
    const char *name = run->link->options.name, *no_session;
    bool by_ssh = !WIFEXITED(result->wait_status) || WEXITSTATUS(result->wait_status) == 255;
    bool refused = by_ssh && !answer->begun && ssh_words_no_session(result->words, &no_session);

    if (refused && strstr(no_session, "MaxSessions") != NULL && run_again_later(run))
        return;
    g_autofree char *first = g_utf8_make_valid(result->output, (gssize) MIN(result->output_bytes, 60)), *why = NULL;

    g_strdelimit(g_strstrip(first), "\r\n\t", ' ');
    if (refused)
        why = g_strdup_printf("%s is out of reach: %s", name, no_session);
    else if (by_ssh)
        why = g_strdup_printf("the connection to %s broke%s%s", name, *answer->last_words != '\0' ? ": " : "", answer->last_words);
    else
        why = g_strdup_printf("%s answers something else than asked ('%s'): has its sshd a ForceCommand, or the user no shell?", name, first);
    run_tell(run, refused ? ELSEWHERE_UNREACHED : ELSEWHERE_LOST, NULL, why);
}

static void run_doubted(ElsewhereRun *run)
{
    SshLink *link = run->link;

    if (run->ours) {
        tell_later(run, ELSEWHERE_RAN, NULL);
        return;
    }
    g_clear_pointer(&run->child, child_free);
    link->running--;
    g_queue_push_tail(&link->doubted, run);
    ssh_link_doubt(link);
    ssh_runs_begin(link);
}

static void on_run_ended(const ChildResult *result, void *user)
{
    ElsewhereRun *run = user;
    SshAnswer answer;

    ssh_answer_read(&answer, result, run->mark);
    if (answer.ended && answer.begun)
        run_ran(run, result, &answer);
    else if (answer.ended)
        run_refused(run, &answer);
    else if (result->timed_out)
        run_doubted(run);
    else
        run_broke(run, result, &answer);
    ssh_answer_done(&answer);
}

GPtrArray *ssh_session_words(const SshLink *link)
{
    static const char *const options[] = { "ControlMaster=no", "ProxyCommand=false", "BatchMode=yes", "LogLevel=ERROR" };
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    for (const char *const *word = (const char *const[]){ "ssh", "-F", "none", "-S", link->control, NULL }; *word != NULL; word++)
        g_ptr_array_add(words, g_strdup(*word));
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        g_ptr_array_add(words, g_strdup("-o"));
        g_ptr_array_add(words, g_strdup(options[i]));
    }
    return words;
}

static bool run_begin(ElsewhereRun *run, GError **error)
{
    SshLink *link = run->link;
    g_autoptr(GPtrArray) words = ssh_session_words(link);

    g_clear_handle_id(&run->source, g_source_remove);
    g_ptr_array_add(words, g_strdup("-T"));
    g_ptr_array_add(words, g_strdup(link->options.host));
    g_ptr_array_add(words, g_strdup(run->text));
    g_ptr_array_add(words, NULL);
    const ChildOptions options = { .argv = (char **) words->pdata, .deadline_us = run->deadline_us + GRACE_US, .until = run->mark,
                                   .dies_with_us = true, .max_output_bytes = run->max_output_bytes + LOGIN_NOISE_BYTES };

    run->child = child_start(&options, on_run_ended, run, error);
    if (run->child == NULL)
        return false;
    link->running += run->ours ? 0 : 1;
    return true;
}

void ssh_runs_begin(SshLink *link)
{
    while (link->state == UP && link->running < link->options.sessions_max && !g_queue_is_empty(&link->waiting)) {
        ElsewhereRun *run = g_queue_pop_head(&link->waiting);
        g_autoptr(GError) error = NULL;

        if (!run_begin(run, &error))
            tell_later(run, ELSEWHERE_UNREACHED, g_strdup_printf("ssh to %s: %s", link->options.name, error->message));
    }
}

void ssh_runs_break(SshLink *link)
{
    while (!g_queue_is_empty(&link->waiting))
        tell_later(g_queue_peek_head(&link->waiting), ELSEWHERE_UNREACHED, out_of_reach(link));
    while (!g_queue_is_empty(&link->doubted))
        tell_later(g_queue_peek_head(&link->doubted), ELSEWHERE_LOST, out_of_reach(link));
}

void ssh_runs_believe(SshLink *link)
{
    while (!g_queue_is_empty(&link->doubted))
        tell_later(g_queue_peek_head(&link->doubted), ELSEWHERE_RAN, NULL);
}

static ElsewhereRun *run_new(SshLink *link, const ChildOptions *options, ElsewhereDone done, void *user)
{
    ElsewhereRun *run = g_new0(ElsewhereRun, 1);
    g_autofree char *id = uuid_new();

    run->link = link;
    run->mark = g_strdup_printf("mend-%.13s", id);
    run->text = ssh_command_text(options, link->options.become, options->deadline_us - clock_now_us(), run->mark);
    run->max_output_bytes = options->max_output_bytes != 0 ? options->max_output_bytes : OUTPUT_BYTES;
    run->deadline_us = options->deadline_us;
    run->done = done;
    run->user = user;
    return run;
}

ElsewhereRun *ssh_run_ask(SshLink *link, const ChildOptions *options, ElsewhereDone done, void *user, GError **error)
{
    ElsewhereRun *run = run_new(link, options, done, user);

    run->ours = true;
    if (run_begin(run, error))
        return run;
    ssh_run_free(run);
    return NULL;
}

ElsewhereRun *ssh_run_start(void *self, const ChildOptions *options, ElsewhereDone done, void *user)
{
    SshLink *link = self;
    ElsewhereRun *run = run_new(link, options, done, user);

    if (link->state != UP || link->waiting.length >= WAITING_MAX) {
        tell_later(run, ELSEWHERE_UNREACHED, out_of_reach(link));
        return run;
    }
    wait_for_turn(run);
    return run;
}
