/* Three kinds of processes: the master, which is the connection; a session for each program, which speaks with the master over its
 * control socket and never opens a connection of its own (ProxyCommand=false sees to that); and once per connection one that asks the
 * master to bring a socket.
 *
 * The link is up when a first program, which asks for the boot id, came back right: a machine that lets us in and cannot run /bin/sh is
 * not reached. It is down when the master ends, whatever the sessions say: each of those fails or not by itself. */
#include "bridges/ssh/ssh_link.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_FIRST_MS  1000
#define RETRY_MAX_MS    30000
#define RETRY_REFUSED_MS 60000  /* of a machine that does not let us in: asking more often is what attackers do */
#define LOOK_MS         50      /* for the control socket, while it connects */
#define MASTER_MAX_US   (INT64_C(20) * 24 * US_PER_HOUR) /* then a new connection is made */
#define GRACE_US        (3 * US_PER_S) /* the deadline there comes first, its word has to travel */
#define GREET_US        (15 * US_PER_S)
#define WAITING_MAX     1024    /* programs of one machine that wait for their turn */

typedef enum { DOWN, CONNECTING, GREETING, UP } LinkState;

struct SshLink {
    SshLinkOptions options; /* texts owned */
    Elsewhere elsewhere;
    LinkState state;
    char *control, *why, *boot_id;
    char *remote, *local;  /* the socket to bring; NULL: none */
    void (*brought)(void *user_data);
    Child *master, *bring;
    ElsewhereRun *greeting;
    guint look_source, retry_source;
    unsigned retry_ms, running;
    GQueue waiting;        /* of ElsewhereRun */
    bool told;
};

struct ElsewhereRun {
    SshLink *link;
    char *text, *mark;
    size_t max_output_bytes;
    int64_t deadline_us;
    Child *child;          /* NULL: waits, or is over and about to tell */
    guint source;          /* deadline of the waiting, or the telling */
    ElsewhereEnd end;      /* to be told */
    bool timed_out;
    ElsewhereDone done;
    void *user;
};

static void begin_waiting(SshLink *link);
static void connect_now(SshLink *link);

/* ---- programs --------------------------------------------------------------------------------------------------------------------- */

static void run_free(ElsewhereRun *run)
{
    SshLink *link = run->link;

    g_clear_handle_id(&run->source, g_source_remove);
    if (run->child != NULL) {
        child_free(run->child);
        link->running--;
    }
    g_queue_remove(&link->waiting, run);
    g_free(run->text);
    g_free(run->mark);
    g_free(run);
}

static void run_cancel(ElsewhereRun *run)
{
    SshLink *link = run->link;

    run_free(run);
    begin_waiting(link);
}

/* It is over; @run is gone after this. */
static void run_tell(ElsewhereRun *run, ElsewhereEnd end, const ChildResult *result, const char *why)
{
    SshLink *link = run->link;
    ElsewhereDone done = run->done;
    void *user = run->user;
    Child *child = g_steal_pointer(&run->child); /* @result is in it */

    if (child != NULL)
        link->running--;
    run_free(run);
    done(end, result, why, user);
    child_free(child);
    begin_waiting(link);
}

static gboolean on_tell(void *user)
{
    ElsewhereRun *run = user;
    const ChildResult late = { .timed_out = true, .output = "", .last_words = "", .words = "" };
    g_autofree char *why = run->timed_out ? NULL : g_strdup_printf("%s is out of reach: %s", run->link->options.name,
                                                                    run->link->why != NULL ? run->link->why : "the connection has just ended");

    run->source = 0;
    if (run->timed_out)
        run_tell(run, ELSEWHERE_RAN, &late, NULL);
    else
        run_tell(run, ELSEWHERE_UNREACHED, NULL, why);
    return G_SOURCE_REMOVE;
}

static void tell_later(ElsewhereRun *run)
{
    g_clear_handle_id(&run->source, g_source_remove);
    g_queue_remove(&run->link->waiting, run);
    run->source = g_idle_add(on_tell, run);
}

static gboolean on_waited(void *user)
{
    ElsewhereRun *run = user;

    run->source = 0;
    run->timed_out = true;
    tell_later(run);
    return G_SOURCE_REMOVE;
}

/* What the shell's status says: 128 and a signal's number; OCF's codes from 189 on are no signals. timeout(1) says 124, or 137 when it
 * had to kill. */
static ChildResult result_of(const ChildResult *seen, int64_t deadline_us, int status, size_t bytes)
{
    bool at_deadline = clock_now_us() >= deadline_us - US_PER_S / 2;
    ChildResult result = *seen;

    result.output_bytes = bytes;
    result.timed_out = seen->timed_out || (at_deadline && (status == 124 || status == 137));
    result.wait_status = status > 128 && status < 160 ? status - 128 : status << 8;
    return result;
}

static void on_run_ended(const ChildResult *result, void *user)
{
    ElsewhereRun *run = user;
    g_autofree char *output = g_strndup(result->output, result->output_bytes), *why = NULL;
    ChildResult own;
    size_t bytes = 0;
    int status = 0;

    if (result->timed_out) {
        own = *result;
        run_tell(run, ELSEWHERE_RAN, &own, NULL);
    } else if (ssh_command_end(result->output, result->output_bytes, run->mark, &bytes, &status)) {
        output[bytes] = '\0';
        own = result_of(result, run->deadline_us, status, bytes);
        own.output = output;
        run_tell(run, ELSEWHERE_RAN, &own, NULL);
    } else {
        why = g_strdup_printf("the connection to %s broke%s%s", run->link->options.name, *result->last_words != '\0' ? ": " : "", result->last_words);
        run_tell(run, ELSEWHERE_LOST, NULL, why);
    }
}

/* @argv ends with the place of further words: the host, NULL. */
static GPtrArray *session_words(const SshLink *link)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(words, g_strdup("ssh"));
    g_ptr_array_add(words, g_strdup("-S"));
    g_ptr_array_add(words, g_strdup(link->control));
    for (const char *const *option = (const char *const[]){ "ControlMaster=no", "ProxyCommand=false", "BatchMode=yes", "LogLevel=ERROR", NULL };
         *option != NULL; option++) {
        g_ptr_array_add(words, g_strdup("-o"));
        g_ptr_array_add(words, g_strdup(*option));
    }
    return words;
}

static void run_begin(ElsewhereRun *run)
{
    SshLink *link = run->link;
    g_autoptr(GPtrArray) words = session_words(link);
    g_autoptr(GError) error = NULL;

    g_clear_handle_id(&run->source, g_source_remove);
    g_ptr_array_add(words, g_strdup("-T"));
    g_ptr_array_add(words, g_strdup(link->options.host));
    g_ptr_array_add(words, g_steal_pointer(&run->text));
    g_ptr_array_add(words, NULL);
    const ChildOptions options = { .argv = (char **) words->pdata, .deadline_us = run->deadline_us + GRACE_US,
                                   .max_output_bytes = run->max_output_bytes + strlen(run->mark) + 16 };

    run->child = child_start(&options, on_run_ended, run, &error);
    if (run->child == NULL) {
        log_warning("ssh to %s: %s", link->options.name, error->message);
        tell_later(run);
        return;
    }
    link->running++;
}

static void begin_waiting(SshLink *link)
{
    while (link->state >= GREETING && link->running < link->options.sessions_max && !g_queue_is_empty(&link->waiting))
        run_begin(g_queue_pop_head(&link->waiting));
}

static ElsewhereRun *run_new(SshLink *link, const ChildOptions *options, ElsewhereDone done, void *user)
{
    ElsewhereRun *run = g_new0(ElsewhereRun, 1);
    g_autofree char *id = uuid_new();

    run->link = link;
    run->mark = g_strdup_printf("mend-end-%.8s", id);
    run->text = ssh_command_text(options, link->options.become, options->deadline_us - clock_now_us(), run->mark);
    run->max_output_bytes = options->max_output_bytes != 0 ? options->max_output_bytes : 4096;
    run->deadline_us = options->deadline_us;
    run->done = done;
    run->user = user;
    return run;
}

static ElsewhereRun *start(void *self, const ChildOptions *options, ElsewhereDone done, void *user)
{
    SshLink *link = self;
    ElsewhereRun *run = run_new(link, options, done, user);

    if (link->state != UP || link->waiting.length >= WAITING_MAX) {
        tell_later(run);
        return run;
    }
    run->source = g_timeout_add((guint) (MAX(options->deadline_us - clock_now_us(), 0) / US_PER_MS), on_waited, run);
    g_queue_push_tail(&link->waiting, run);
    begin_waiting(link);
    return run;
}

/* ---- the connection --------------------------------------------------------------------------------------------------------------- */

static void tell_changed(SshLink *link, const char *why)
{
    if (link->told && g_strcmp0(link->why, why) == 0)
        return;
    link->told = true;
    g_free(link->why);
    link->why = g_strdup(why);
    link->options.changed(why, link->boot_id, link->options.user_data);
}

static gboolean on_retry(void *user)
{
    SshLink *link = user;

    link->retry_source = 0;
    connect_now(link);
    return G_SOURCE_REMOVE;
}

static void go_down(SshLink *link, const char *why, bool refused)
{
    link->state = DOWN;
    g_clear_handle_id(&link->look_source, g_source_remove);
    g_clear_pointer(&link->greeting, run_free);
    g_clear_pointer(&link->bring, child_free);
    g_clear_pointer(&link->master, child_free);
    while (!g_queue_is_empty(&link->waiting))
        tell_later(g_queue_peek_head(&link->waiting));
    link->retry_source = g_timeout_add(refused ? RETRY_REFUSED_MS : link->retry_ms, on_retry, link);
    link->retry_ms = MIN(link->retry_ms * 2, RETRY_MAX_MS);
    tell_changed(link, why);
}

static void on_master_ended(const ChildResult *result, void *user)
{
    SshLink *link = user;
    g_autofree char *why = ssh_words_explained(result->words, result->last_words, &link->options);
    bool refused = strstr(result->words, "Permission denied") != NULL || strstr(result->words, "ost key") != NULL;

    if (result->timed_out) {
        g_free(why);
        why = g_strdup("the connection is made anew");
    }
    go_down(link, why, refused);
}

static void on_brought(const ChildResult *result, void *user)
{
    SshLink *link = user;

    if (result->timed_out || result->wait_status != 0)
        log_warning("%s does not let its socket %s be used: %s; is AllowStreamLocalForwarding on in its sshd?", link->options.name, link->remote,
                    *result->last_words != '\0' ? result->last_words : "no answer");
    else
        link->brought(link->options.user_data);
    g_clear_pointer(&link->bring, child_free);
}

static void bring_socket(SshLink *link)
{
    g_autoptr(GPtrArray) words = session_words(link);
    g_autoptr(GError) error = NULL;

    unlink(link->local);
    for (const char *const *word = (const char *const[]){ "-O", "forward", "-L", NULL }; *word != NULL; word++)
        g_ptr_array_add(words, g_strdup(*word));
    g_ptr_array_add(words, g_strdup_printf("%s:%s", link->local, link->remote));
    g_ptr_array_add(words, g_strdup(link->options.host));
    g_ptr_array_add(words, NULL);
    const ChildOptions options = { .argv = (char **) words->pdata, .deadline_us = clock_now_us() + GREET_US };

    link->bring = child_start(&options, on_brought, link, &error);
    if (link->bring == NULL)
        log_warning("ssh to %s: %s", link->options.name, error->message);
}

static void on_greeted(ElsewhereEnd end, const ChildResult *result, const char *why, void *user)
{
    SshLink *link = user;
    g_autofree char *line = end == ELSEWHERE_RAN ? g_strstrip(g_strdup(result->output)) : NULL;
    g_autofree char *boot_id = line != NULL ? uuid_canonical(line) : NULL;

    link->greeting = NULL;
    if (end != ELSEWHERE_RAN || result->timed_out) {
        go_down(link, end == ELSEWHERE_RAN ? "it lets us in, and its shell does not answer" : why, false);
        return;
    }
    link->state = UP;
    link->retry_ms = RETRY_FIRST_MS;
    if (boot_id != NULL) {
        g_free(link->boot_id);
        link->boot_id = g_steal_pointer(&boot_id);
    }
    if (link->remote != NULL)
        bring_socket(link);
    tell_changed(link, NULL);
}

static void greet(SshLink *link)
{
    static const char *const argv[] = { "/bin/cat", "/proc/sys/kernel/random/boot_id", NULL };
    static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    const ChildOptions options = { .argv = (char **) argv, .environment = (char **) environment, .deadline_us = clock_now_us() + GREET_US };

    link->state = GREETING;
    link->greeting = run_new(link, &options, on_greeted, link);
    g_queue_push_tail(&link->waiting, link->greeting);
    begin_waiting(link);
}

static gboolean on_look(void *user)
{
    SshLink *link = user;

    if (!g_file_test(link->control, G_FILE_TEST_EXISTS))
        return G_SOURCE_CONTINUE;
    link->look_source = 0;
    greet(link);
    return G_SOURCE_REMOVE;
}

static void add_option(GPtrArray *words, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_ptr_array_add(words, g_strdup("-o"));
    g_ptr_array_add(words, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

static GPtrArray *master_words(const SshLink *link)
{
    const SshLinkOptions *o = &link->options;
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(words, g_strdup("ssh"));
    if (o->config != NULL) {
        g_ptr_array_add(words, g_strdup("-F"));
        g_ptr_array_add(words, g_strdup(o->config));
    }
    g_ptr_array_add(words, g_strdup("-MNT"));
    g_ptr_array_add(words, g_strdup("-S"));
    g_ptr_array_add(words, g_strdup(link->control));
    add_option(words, "ControlPersist=no");
    add_option(words, "BatchMode=yes");
    add_option(words, "StrictHostKeyChecking=yes");
    add_option(words, "UpdateHostKeys=no");
    add_option(words, "ConnectTimeout=%" PRId64, MAX(o->connect_timeout_us / US_PER_S, 1));
    add_option(words, "ServerAliveInterval=%" PRId64, MAX(o->alive_us / US_PER_S, 1));
    add_option(words, "ServerAliveCountMax=3");
    add_option(words, "ForwardAgent=no");
    add_option(words, "ForwardX11=no");
    add_option(words, "ClearAllForwardings=no");
    if (o->known_hosts != NULL) {
        add_option(words, "UserKnownHostsFile=%s", o->known_hosts);
        add_option(words, "GlobalKnownHostsFile=/dev/null");
    }
    if (o->identity != NULL) {
        add_option(words, "IdentityFile=%s", o->identity);
        add_option(words, "IdentitiesOnly=yes");
    }
    if (o->user != NULL)
        add_option(words, "User=%s", o->user);
    if (o->port != 0)
        add_option(words, "Port=%u", o->port);
    g_ptr_array_add(words, g_strdup(o->host));
    g_ptr_array_add(words, NULL);
    return words;
}

static void connect_now(SshLink *link)
{
    g_autoptr(GPtrArray) words = master_words(link);
    g_autoptr(GError) error = NULL;
    const ChildOptions options = { .argv = (char **) words->pdata, .deadline_us = clock_now_us() + MASTER_MAX_US };

    unlink(link->control);
    link->state = CONNECTING;
    link->master = child_start(&options, on_master_ended, link, &error);
    if (link->master == NULL) {
        go_down(link, error->message, false);
        return;
    }
    link->look_source = g_timeout_add(LOOK_MS, on_look, link);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------- */

static void options_done(SshLinkOptions *o)
{
    const char *const texts[] = { o->name, o->host, o->user, o->identity, o->known_hosts, o->become, o->config, o->folder };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free((char *) texts[i]);
}

SshLink *ssh_link_new(const SshLinkOptions *options)
{
    SshLink *link = g_new0(SshLink, 1);
    SshLinkOptions *o = &link->options;

    *o = *options;
    o->name = g_strdup(options->name);
    o->host = g_strdup(options->host);
    o->user = g_strdup(options->user);
    o->identity = g_strdup(options->identity);
    o->known_hosts = g_strdup(options->known_hosts);
    o->become = g_strdup(options->become);
    o->config = g_strdup(options->config);
    o->folder = g_strdup(options->folder);
    link->control = g_build_filename(o->folder, SSH_CONTROL, NULL);
    link->elsewhere = (Elsewhere) { start, run_cancel, link };
    link->retry_ms = RETRY_FIRST_MS;
    link->why = g_strdup("not connected yet");
    g_queue_init(&link->waiting);
    return link;
}

void ssh_link_start(SshLink *link) { connect_now(link); }

void ssh_link_free(SshLink *link)
{
    if (link == NULL)
        return;
    g_clear_handle_id(&link->look_source, g_source_remove);
    g_clear_handle_id(&link->retry_source, g_source_remove);
    g_clear_pointer(&link->greeting, run_free);
    child_free(link->bring);
    child_free(link->master);
    unlink(link->control);
    if (link->local != NULL)
        unlink(link->local);
    options_done(&link->options);
    g_free(link->control);
    g_free(link->why);
    g_free(link->boot_id);
    g_free(link->remote);
    g_free(link->local);
    g_free(link);
}

const char *ssh_link_why(const SshLink *link) { return link->state == UP ? NULL : link->why; }
const Elsewhere *ssh_link_elsewhere(SshLink *link) { return &link->elsewhere; }

void ssh_link_bring(SshLink *link, const char *remote, const char *local, void (*brought)(void *user_data))
{
    link->remote = g_strdup(remote);
    link->local = g_strdup(local);
    link->brought = brought;
}
