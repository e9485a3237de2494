/* The interpreter is a process and not a library: it takes ten megabytes, plug-ins may hang or crash, and none of that may be the agent's.
 * Its program is part of ours (rpc_server.py), so there is nothing that could be put in its place; -I keeps the environment and the user's
 * folders out, and no bytecode is read or written, because it would be believed before the source.
 *
 * Writing waits for the pipe in the main loop: requests may be longer than a pipe holds. */
#include "agents/guest/matahari/rpc_process.h"

#include "agents/common/child.h"
#include "agents/guest/matahari/generated_rpc_server.h"

#include "lib/base/json.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHON "/usr/bin/python3"

struct RpcProcess {
    RpcLine on_line;
    void *user;
    pid_t pid;
    int pidfd, in_fd, out_fd;
    guint in_source, out_source, gone_source;
    GString *written, *read; /* what is still to be written; an unfinished line */
    const char *problem;
    bool *freed;             /* set by free while a line is being told */
};

static gboolean on_reaped(int fd, GIOCondition condition, void *user)
{
    waitpid(GPOINTER_TO_INT(user), NULL, WNOHANG);
    close(fd);
    return G_SOURCE_REMOVE;
}

static void end_process(RpcProcess *process)
{
    g_clear_handle_id(&process->in_source, g_source_remove);
    g_clear_handle_id(&process->out_source, g_source_remove);
    if (process->pid == 0)
        return;
    kill(-process->pid, SIGKILL); /* not reaped yet, so the group is ours */
    if (waitpid(process->pid, NULL, WNOHANG) == 0)
        g_unix_fd_add(process->pidfd, G_IO_IN, on_reaped, GINT_TO_POINTER(process->pid));
    else
        close(process->pidfd);
    process->pid = 0;
    close(process->in_fd);
    close(process->out_fd);
}

void rpc_process_free(RpcProcess *process)
{
    if (process == NULL)
        return;
    end_process(process);
    g_clear_handle_id(&process->gone_source, g_source_remove);
    if (process->freed != NULL)
        *process->freed = true;
    g_string_free(process->written, TRUE);
    g_string_free(process->read, TRUE);
    g_free(process);
}

static gboolean on_gone(void *user)
{
    RpcProcess *process = user;

    process->gone_source = 0;
    process->on_line(NULL, process->problem, process->user);
    return G_SOURCE_REMOVE;
}

static void gone(RpcProcess *process, const char *problem)
{
    end_process(process);
    if (process->gone_source == 0) {
        process->problem = problem;
        process->gone_source = g_idle_add(on_gone, process);
    }
}

/* False: freed, or gone. */
static bool tell_line(RpcProcess *process, const char *line, size_t n_bytes)
{
    g_autoptr(json_t) object = json_loadb(line, n_bytes, JSON_REJECT_DUPLICATES, NULL);
    bool freed = false;

    if (!json_is_object(object)) {
        gone(process, "said what is no JSON object");
        return false;
    }
    process->freed = &freed;
    process->on_line(object, NULL, process->user);
    if (!freed)
        process->freed = NULL;
    return !freed && process->pid != 0;
}

static gboolean on_output(int fd, GIOCondition condition, void *user)
{
    RpcProcess *process = user;
    char buffer[16384], *end;
    ssize_t n = read(fd, buffer, sizeof buffer);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n <= 0) {
        process->out_source = 0;
        gone(process, "ended");
        return G_SOURCE_REMOVE;
    }
    g_string_append_len(process->read, buffer, n);
    while ((end = memchr(process->read->str, '\n', process->read->len)) != NULL) {
        size_t n_line = (size_t) (end - process->read->str);
        g_autofree char *line = g_strndup(process->read->str, n_line);

        g_string_erase(process->read, 0, (gssize) n_line + 1);
        if (!tell_line(process, line, n_line))
            return G_SOURCE_REMOVE; /* its sources are gone with it */
    }
    if (process->read->len > RPC_LINE_BYTES) {
        process->out_source = 0;
        gone(process, "said too much");
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_input(int fd, GIOCondition condition, void *user)
{
    RpcProcess *process = user;
    ssize_t n = write(fd, process->written->str, process->written->len);

    if (n > 0)
        g_string_erase(process->written, 0, n);
    if (process->written->len > 0 && (n >= 0 || errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    process->in_source = 0; /* all of it; or nobody reads, and its output will tell */
    return G_SOURCE_REMOVE;
}

void rpc_process_send(RpcProcess *process, const json_t *request)
{
    if (process->pid == 0)
        return;
    json_write(process->written, request);
    g_string_append_c(process->written, '\n');
    if (process->in_source == 0)
        process->in_source = g_unix_fd_add(process->in_fd, G_IO_OUT, on_input, process);
}

RpcProcess *rpc_process_start(const char *folder, const char *user_name, RpcLine on_line, void *user, GError **error)
{
    const char *const argv[] = {PYTHON, "-I", "-B", "-X", "pycache_prefix=/nonexistent", "-c", generated_rpc_server, folder, NULL};
    int in[2], out[2], pidfd;
    RpcProcess *process;
    pid_t pid;

    if (pipe2(in, O_CLOEXEC | O_NONBLOCK) != 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "no pipe: %s", g_strerror(errno));
        return NULL;
    }
    if (pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_SYSTEM, "no pipe: %s", g_strerror(errno));
        close(in[0]);
        close(in[1]);
        return NULL;
    }
    fcntl(in[0], F_SETFL, 0); /* its ends block as it expects */
    fcntl(out[1], F_SETFL, 0);
    const SpawnOptions options = {.argv = (char *const *) argv, .user = user_name, .in_fd = in[0], .out_fd = out[1], .err_fd = -1};
    bool started = spawn(&options, &pid, &pidfd, error);
    close(in[0]);
    close(out[1]);
    if (!started) {
        close(in[1]);
        close(out[0]);
        return NULL;
    }
    process = g_new0(RpcProcess, 1);
    *process = (RpcProcess){.on_line = on_line, .user = user, .pid = pid, .pidfd = pidfd, .in_fd = in[1], .out_fd = out[0],
                            .written = g_string_new(NULL), .read = g_string_new(NULL)};
    process->out_source = g_unix_fd_add(out[0], G_IO_IN | G_IO_HUP, on_output, process);
    return process;
}

/* ---- whose files they are ---- */

static bool is_ours_alone(const char *path, bool above, GError **error)
{
    struct stat info;

    if (lstat(path, &info) != 0) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_PERMISSION, "%s: %s", path, g_strerror(errno));
        return false;
    }
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_PERMISSION, "%s is neither a file nor a folder", path);
        return false;
    }
    if (info.st_uid != 0 && info.st_uid != geteuid()) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_PERMISSION, "%s belongs to user %u, not to root", path, (unsigned) info.st_uid);
        return false;
    }
    if ((info.st_mode & 022) != 0 && !(above && (info.st_mode & S_ISVTX) != 0)) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_PERMISSION, "others than its owner may write to %s", path);
        return false;
    }
    return true;
}

bool rpc_folder_check(const char *folder, GError **error)
{
    char *real = realpath(folder, NULL);
    g_autofree char *up = g_strdup(real);
    g_autoptr(GDir) files = NULL;
    const char *name;

    free(real);
    if (up == NULL) {
        g_set_error(error, CHILD_ERROR, CHILD_ERROR_MISSING, "%s: %s", folder, g_strerror(errno));
        return false;
    }
    files = g_dir_open(up, 0, error);
    if (files == NULL || !is_ours_alone(up, false, error))
        return false;
    while ((name = g_dir_read_name(files)) != NULL) {
        g_autofree char *path = g_build_filename(up, name, NULL);

        if (!is_ours_alone(path, false, error))
            return false;
    }
    while (strcmp(up, "/") != 0) {
        char *next = g_path_get_dirname(up);

        g_free(up);
        up = next;
        if (!is_ours_alone(up, true, error))
            return false;
    }
    return true;
}
