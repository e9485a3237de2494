/* Why not GSubprocess: it gives no process group, so a timeout could only kill the script and not what it started; and it waits
 * for SIGCHLD through one handler per process, where a pidfd also works for a process that is not our child (adopted after our
 * own restart). fork is safe although GDBus has a thread: between fork and exec only async-signal-safe calls are made, and all
 * memory is prepared before.
 *
 * The end of the program is the end of the operation, not the end of its pipes: a daemon that a start script leaves behind may hold
 * them for ever. */
#include "agents/common/child.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_DEFAULT_BYTES 4096
#define WORDS_MAX_BYTES      1024
#define KILL_TAKES_MS        1000
#define LEAVE_TAKES_MS       200 /* to end by itself, after the last line we wait for */

G_DEFINE_QUARK(mend-child-error-quark, child_error)

typedef struct Prepared { /* everything the child needs, made before the fork */
    char *path;
    char **environment;
    char *pid_entry; /* slot inside environment, "NAME=" with room for the number */
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    int n_groups;
    bool change_user;
} Prepared;

static void prepared_done(Prepared *p)
{
    g_free(p->path);
    g_strfreev(p->environment);
    g_free(p->groups);
}

static bool prepare_user(Prepared *p, const char *user, GError **error)
{
    struct passwd *entry = getpwnam(user);

    if (entry == NULL) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_PERMISSION, "no user '%s' on this machine", user);
        return false;
    }
    p->n_groups = 64;
    p->groups = g_new0(gid_t, (gsize) p->n_groups);
    if (getgrouplist(user, entry->pw_gid, p->groups, &p->n_groups) < 0) {
        p->groups = g_renew(gid_t, p->groups, (gsize) p->n_groups);
        getgrouplist(user, entry->pw_gid, p->groups, &p->n_groups);
    }
    p->uid = entry->pw_uid;
    p->gid = entry->pw_gid;
    p->change_user = p->uid != geteuid();
    return true;
}

static bool prepare(Prepared *p, const SpawnOptions *options, GError **error)
{
    g_auto(GStrv) own = options->environment == NULL ? g_get_environ() : g_strdupv((char **) options->environment);
    const char *name = options->argv[0];

    p->path = strchr(name, '/') != NULL ? g_strdup(name) : g_find_program_in_path(name);
    if (p->path == NULL || access(p->path, F_OK) != 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_MISSING, "no such program: %s", name);
        return false;
    }
    if (options->user != NULL && !prepare_user(p, options->user, error))
        return false;
    if (options->pid_variable != NULL) {
        guint n = g_strv_length(own);

        own = g_renew(char *, own, n + 2);
        p->pid_entry = own[n] = g_strdup_printf("%s=%020d", options->pid_variable, 0);
        own[n + 1] = NULL;
    }
    p->environment = g_steal_pointer(&own);
    return true;
}

/* In the child; async-signal-safe only. */
static void write_pid(char *entry)
{
    char *digits = strchr(entry, '=') + 1;
    char text[20];
    size_t n = 0;

    for (pid_t pid = getpid(); pid > 0; pid /= 10)
        text[n++] = (char) ('0' + pid % 10);
    for (size_t i = 0; i < n; i++)
        digits[i] = text[n - 1 - i];
    digits[n] = '\0';
}

static void reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int n = 1; n < NSIG; n++)
        if (n != SIGKILL && n != SIGSTOP)
            signal(n, SIG_DFL);
}

/* The agent is spared when memory is short (its unit's OOMScoreAdjust); what it starts is not the agent. */
static void give_up_being_spared(void)
{
    int fd = open("/proc/self/oom_score_adj", O_RDWR);
    char sign = '\0';

    if (fd < 0)
        return;
    if (read(fd, &sign, 1) == 1 && sign == '-' && pwrite(fd, "0", 1, 0) < 0)
        sign = '\0'; /* then it is spared too */
    close(fd);
}

static _Noreturn void child_side(const SpawnOptions *options, const Prepared *p, int status_fd)
{
    int null_fd, failed;

    setsid();
    if (options->dies_with_us)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    reset_signals();
    give_up_being_spared();
    null_fd = options->in_fd > 0 ? options->in_fd : open("/dev/null", O_RDWR);
    dup2(null_fd, 0);
    if (options->out_fd >= 0)
        dup2(options->out_fd, 1);
    if (options->err_fd >= 0)
        dup2(options->err_fd, 2);
    dup2(status_fd, 3); /* everything above is closed, so a leaked descriptor of ours never keeps a service's port open */
    fcntl(3, F_SETFD, FD_CLOEXEC);
    close_range(4, ~0U, 0);
    if (p->pid_entry != NULL)
        write_pid(p->pid_entry);
    if (p->change_user && (setgroups((size_t) p->n_groups, p->groups) != 0 || setgid(p->gid) != 0 || setuid(p->uid) != 0))
        goto fail;
    if (chdir(options->folder != NULL ? options->folder : "/") == 0)
        execve(p->path, options->argv, p->environment);
fail:
    failed = errno;
    if (write(3, &failed, sizeof failed) < 0)
        _exit(126);
    _exit(127);
}

static bool exec_failed(int status_fd, pid_t pid, const char *path, GError **error)
{
    int failed = 0;
    ssize_t n;

    do
        n = read(status_fd, &failed, sizeof failed);
    while (n < 0 && errno == EINTR);
    close(status_fd);
    if (n != (ssize_t) sizeof failed)
        return false;
    waitpid(pid, NULL, 0);
    g_set_error(error, CHILD_ERROR, failed == ENOENT || failed == ENOTDIR ? CHILD_ERROR_MISSING : CHILD_ERROR_PERMISSION,
                "cannot run %s: %s", path, g_strerror(failed));
    return true;
}

bool spawn(const SpawnOptions *options, pid_t *ret_pid, int *ret_pidfd, GError **error)
{
    __attribute__((cleanup(prepared_done))) Prepared p = {0};
    int status[2], pidfd;
    pid_t pid;

    if (!prepare(&p, options, error))
        return false;
    if (pipe2(status, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "cannot start %s: %s", p.path, g_strerror(errno));
        return false;
    }
    if (pid == 0)
        child_side(options, &p, status[1]);
    close(status[1]);
    if (exec_failed(status[0], pid, p.path, error))
        return false;
    pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "cannot watch process %d: %s", (int) pid, g_strerror(errno));
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return false;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return true;
}

struct Child {
    ChildDone done;
    void *user;
    pid_t pid; /* 0: reaped */
    int pidfd, out_fd, err_fd;
    guint exit_source, out_source, err_source, deadline_source;
    GString *output, *words;
    size_t max_output_bytes;
    char *said; /* words, before the last line is cut out of them */
    const char *until;
    bool timed_out, over;
};

static void child_stop_watching(Child *child)
{
    g_clear_handle_id(&child->exit_source, g_source_remove);
    g_clear_handle_id(&child->out_source, g_source_remove);
    g_clear_handle_id(&child->err_source, g_source_remove);
    g_clear_handle_id(&child->deadline_source, g_source_remove);
}

static gboolean on_late_exit(int fd, GIOCondition condition, void *user)
{
    waitpid(GPOINTER_TO_INT(user), NULL, WNOHANG);
    close(fd);
    return G_SOURCE_REMOVE;
}

/* A process that hangs in the kernel dies only when the kernel lets it: it is collected then, and nobody waits for it. */
static void leave_to_kernel(Child *child)
{
    kill(-child->pid, SIGKILL);
    if (waitpid(child->pid, NULL, WNOHANG) == 0)
        g_unix_fd_add(g_steal_fd(&child->pidfd), G_IO_IN, on_late_exit, GINT_TO_POINTER(child->pid));
    child->pid = 0;
}

void child_free(Child *child)
{
    if (child == NULL)
        return;
    child_stop_watching(child);
    if (child->pid > 0)
        leave_to_kernel(child);
    if (child->pidfd >= 0)
        close(child->pidfd);
    close(child->out_fd);
    close(child->err_fd);
    g_string_free(child->output, TRUE);
    g_string_free(child->words, TRUE);
    g_free(child->said);
    g_free(child);
}

/* False: nothing more for now, or the end. */
static bool drain(int fd, GString *to, size_t max_bytes, bool keep_end)
{
    char buffer[2048];
    ssize_t n = read(fd, buffer, sizeof buffer);

    if (n <= 0)
        return n < 0 && errno == EINTR;
    if (keep_end) {
        for (ssize_t i = 0; i < n; i++)
            buffer[i] = buffer[i] != '\0' ? buffer[i] : ' ';
        g_string_append_len(to, buffer, n);
        if (to->len > max_bytes)
            g_string_erase(to, 0, (gssize) (to->len - max_bytes));
    } else {
        g_string_append_len(to, buffer, (gssize) MIN((size_t) n, max_bytes - MIN(max_bytes, to->len)));
    }
    return true;
}

static gboolean on_kill_had_no_effect(void *user);

static gboolean on_left_behind(void *user)
{
    Child *child = user;

    kill(-child->pid, SIGKILL);
    child->deadline_source = g_timeout_add(KILL_TAKES_MS, on_kill_had_no_effect, child);
    return G_SOURCE_REMOVE;
}

static bool has_line(const GString *words, const char *begin)
{
    for (const char *at = strstr(words->str, begin); at != NULL; at = strstr(at + 1, begin))
        if ((at == words->str || at[-1] == '\n') && strchr(at, '\n') != NULL)
            return true;
    return false;
}

static void look_for_end(Child *child)
{
    if (child->until == NULL || child->over || child->timed_out || !has_line(child->words, child->until))
        return;
    child->over = true;
    g_clear_handle_id(&child->deadline_source, g_source_remove);
    child->deadline_source = g_timeout_add(LEAVE_TAKES_MS, on_left_behind, child);
}

static gboolean on_output(int fd, GIOCondition condition, void *user)
{
    Child *child = user;
    bool is_out = fd == child->out_fd;

    bool more = drain(fd, is_out ? child->output : child->words, is_out ? child->max_output_bytes : WORDS_MAX_BYTES, !is_out);

    if (!is_out)
        look_for_end(child);
    if (more || (condition & G_IO_HUP) == 0)
        return G_SOURCE_CONTINUE;
    *(is_out ? &child->out_source : &child->err_source) = 0;
    return G_SOURCE_REMOVE;
}

static const char *last_line(GString *words)
{
    char *line;

    while (words->len > 0 && g_ascii_isspace(words->str[words->len - 1]))
        g_string_truncate(words, words->len - 1);
    line = strrchr(words->str, '\n');
    line = line != NULL ? line + 1 : words->str;
    for (char *c = line; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    return g_utf8_validate(line, -1, NULL) ? line : "";
}

static void child_finish(Child *child, int wait_status)
{
    ChildResult result = {.timed_out = child->timed_out, .wait_status = wait_status};

    while (child->out_source != 0 && drain(child->out_fd, child->output, child->max_output_bytes, false))
        ;
    while (child->err_source != 0 && drain(child->err_fd, child->words, WORDS_MAX_BYTES, true))
        ;
    child_stop_watching(child);
    result.output = child->output->str;
    result.output_bytes = child->output->len;
    result.words = child->said = g_strdup(child->words->str);
    result.last_words = last_line(child->words);
    child->done(&result, child->user); /* child may be freed by this */
}

static gboolean on_exit_ready(int fd, GIOCondition condition, void *user)
{
    Child *child = user;
    int wait_status = 0;

    if (waitpid(child->pid, &wait_status, WNOHANG) == 0)
        return G_SOURCE_CONTINUE;
    child->pid = 0;
    child->exit_source = 0;
    child_finish(child, wait_status);
    return G_SOURCE_REMOVE;
}

static gboolean on_kill_had_no_effect(void *user)
{
    Child *child = user;

    child->deadline_source = 0;
    leave_to_kernel(child);
    child_finish(child, SIGKILL);
    return G_SOURCE_REMOVE;
}

static gboolean on_deadline(void *user)
{
    Child *child = user;

    child->timed_out = true;
    kill(-child->pid, SIGKILL); /* pid is not reaped yet, so the group is ours */
    child->deadline_source = g_timeout_add(KILL_TAKES_MS, on_kill_had_no_effect, child);
    return G_SOURCE_REMOVE;
}

/* A pipe takes it whole before anybody reads. 0: there is none; -1: error is set. */
static int input_open(const char *input, GError **error)
{
    size_t n_bytes = input != NULL ? strlen(input) : 0;
    int ends[2];

    if (input == NULL)
        return 0;
    if (n_bytes > CHILD_INPUT_MAX_BYTES) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "%zu bytes of input are more than %d", n_bytes, CHILD_INPUT_MAX_BYTES);
        return -1;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "no pipe: %s", g_strerror(errno));
        return -1;
    }
    bool written = write(ends[1], input, n_bytes) == (ssize_t) n_bytes;
    close(ends[1]);
    if (written)
        return ends[0];
    close(ends[0]);
    g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "its input does not fit into a pipe");
    return -1;
}

Child *child_start(const ChildOptions *options, ChildDone done, void *user, GError **error)
{
    int in, out[2], err[2], pidfd;
    pid_t pid;
    Child *child;

    g_assert(options->deadline_us > 0);
    if ((in = input_open(options->input, error)) < 0)
        return NULL;
    if (pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0 || pipe2(err, O_CLOEXEC | O_NONBLOCK) != 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "no pipe: %s", g_strerror(errno));
        if (in > 0)
            close(in);
        return NULL;
    }
    fcntl(out[1], F_SETFL, 0); /* the program's ends block as it expects */
    fcntl(err[1], F_SETFL, 0);
    const SpawnOptions spawn_options = {.argv = options->argv, .environment = options->environment, .folder = options->folder,
                                        .dies_with_us = options->dies_with_us, .in_fd = in, .out_fd = out[1], .err_fd = err[1]};
    bool started = spawn(&spawn_options, &pid, &pidfd, error);
    close(out[1]);
    close(err[1]);
    if (in > 0)
        close(in);
    if (!started) {
        close(out[0]);
        close(err[0]);
        return NULL;
    }
    child = g_new0(Child, 1);
    *child = (Child){.done = done, .user = user, .pid = pid, .pidfd = pidfd, .out_fd = out[0], .err_fd = err[0],
                     .output = g_string_new(NULL), .words = g_string_new(NULL), .until = options->until,
                     .max_output_bytes = options->max_output_bytes != 0 ? options->max_output_bytes : OUTPUT_DEFAULT_BYTES};
    child->exit_source = g_unix_fd_add(pidfd, G_IO_IN, on_exit_ready, child);
    child->out_source = g_unix_fd_add(out[0], G_IO_IN | G_IO_HUP, on_output, child);
    child->err_source = g_unix_fd_add(err[0], G_IO_IN | G_IO_HUP, on_output, child);
    child->deadline_source = g_timeout_add((guint) (MAX(options->deadline_us - clock_now_us(), 0) / US_PER_MS), on_deadline, child);
    return child;
}
