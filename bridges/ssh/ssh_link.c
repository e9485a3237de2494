/* The master process is the connection; programs are sessions in it (ssh_run.c); and once per connection one asks the master to bring a
 * socket. Why not libssh: see ssh_link.h; its non-blocking side, too, would have to be driven by hand through keys, proxies, windows and
 * keep-alives that this client has had right for twenty years, and what is wrong in it would be wrong inside our process.
 *
 * The link is up when a first program, which asks for the boot id, came back right: a machine that lets us in and cannot run /bin/sh (or
 * not as who it should) is not reached. It is down when the master ends, or when the machine answers nothing while a program is overdue;
 * what single sessions say is theirs. */
#include "bridges/ssh/ssh_private.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define RETRY_FIRST_MS  1000
#define RETRY_MAX_MS    30000
#define RETRY_REFUSED_MS 60000  /* of a machine that does not let us in: asking more often is what attackers do */
#define LOOK_MS         50      /* for the control socket, while it connects */
#define MASTER_MAX_US   (INT64_C(20) * 24 * US_PER_HOUR) /* then a new connection is made */
#define GREET_US        (15 * US_PER_S)
#define PROBE_US        (2 * US_PER_S)

static void connect_now(void *user);

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
    ssh_gate_enter(link->options.gate, &link->pass, connect_now, link);
    return G_SOURCE_REMOVE;
}

/* A quarter more or less, so that those who fell together do not come together. */
static unsigned spread(unsigned ms) { return ms - ms / 4 + g_random_int_range(0, (int) ms / 2 + 1); }

static void go_down(SshLink *link, const char *why, bool refused)
{
    g_autofree char *own = g_strdup(why);

    link->state = DOWN;
    g_clear_handle_id(&link->look_source, g_source_remove);
    g_clear_handle_id(&link->retry_source, g_source_remove);
    g_clear_pointer(&link->greeting, ssh_run_free);
    g_clear_pointer(&link->probe, ssh_run_free);
    g_clear_pointer(&link->bring, child_free);
    g_clear_pointer(&link->master, child_free);
    link->retry_source = g_timeout_add(spread(refused ? RETRY_REFUSED_MS : link->retry_ms), on_retry, link);
    link->retry_ms = MIN(link->retry_ms * 2, RETRY_MAX_MS);
    tell_changed(link, own);
    ssh_runs_break(link);
    ssh_gate_leave(link->options.gate, &link->pass);
}

/* Any word of its shell will do, and a refusal of sshd's is one. */
static void on_probed(ElsewhereEnd end, const ChildResult *result, const char *why, void *user)
{
    SshLink *link = user;

    link->probe = NULL;
    if ((end == ELSEWHERE_RAN && !result->timed_out) || end == ELSEWHERE_UNREACHED)
        ssh_runs_believe(link);
    else
        go_down(link, "it answers nothing any more, though the connection stands", false);
}

static ElsewhereRun *ask_boot_id(SshLink *link, int64_t patience_us, ElsewhereDone done, GError **error)
{
    static const char *const argv[] = { "/bin/cat", "/proc/sys/kernel/random/boot_id", NULL };
    static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    const ChildOptions options = { .argv = (char **) argv, .environment = (char **) environment, .deadline_us = clock_now_us() + patience_us };

    return ssh_run_ask(link, &options, done, link, error);
}

void ssh_link_doubt(SshLink *link)
{
    g_autoptr(GError) error = NULL;

    if (link->probe != NULL)
        return;
    link->probe = ask_boot_id(link, PROBE_US, on_probed, &error);
    if (link->probe == NULL)
        go_down(link, error->message, false);
}

static void on_master_ended(const ChildResult *result, void *user)
{
    SshLink *link = user;
    g_autofree char *why = ssh_words_explained(result->words, result->last_words, &link->options);
    bool refused = ssh_words_refused(result->words);

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
    g_autoptr(GPtrArray) words = ssh_session_words(link);
    g_autoptr(GError) error = NULL;

    unlink(link->local);
    for (const char *const *word = (const char *const[]){ "-O", "forward", "-L", NULL }; *word != NULL; word++)
        g_ptr_array_add(words, g_strdup(*word));
    g_ptr_array_add(words, g_strdup_printf("%s:%s", link->local, link->remote));
    g_ptr_array_add(words, g_strdup(link->options.host));
    g_ptr_array_add(words, NULL);
    const ChildOptions options = { .argv = (char **) words->pdata, .deadline_us = clock_now_us() + GREET_US, .dies_with_us = true };

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
    ssh_gate_leave(link->options.gate, &link->pass);
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
    g_autoptr(GError) error = NULL;

    link->state = GREETING;
    link->greeting = ask_boot_id(link, GREET_US, on_greeted, &error);
    if (link->greeting == NULL)
        go_down(link, error->message, false);
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
    add_option(words, "IgnoreUnknown=LogVerbose"); /* before OpenSSH 8.5 */
    add_option(words, "LogVerbose=sshconnect.c:verify_host_key():*"); /* the fingerprint of a key that is not known */
    add_option(words, "RemoteCommand=none");
    add_option(words, "PermitLocalCommand=no");
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

static void connect_now(void *user)
{
    SshLink *link = user;
    g_autoptr(GPtrArray) words = master_words(link);
    g_autoptr(GError) error = NULL;
    const ChildOptions options = { .argv = (char **) words->pdata, .deadline_us = clock_now_us() + MASTER_MAX_US, .dies_with_us = true };

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
    link->elsewhere = (Elsewhere) { ssh_run_start, ssh_run_cancel, link };
    link->retry_ms = RETRY_FIRST_MS;
    link->why = g_strdup("not connected yet");
    g_queue_init(&link->waiting);
    g_queue_init(&link->doubted);
    return link;
}

void ssh_link_start(SshLink *link) { ssh_gate_enter(link->options.gate, &link->pass, connect_now, link); }

void ssh_link_free(SshLink *link)
{
    if (link == NULL)
        return;
    g_clear_handle_id(&link->look_source, g_source_remove);
    g_clear_handle_id(&link->retry_source, g_source_remove);
    g_clear_pointer(&link->greeting, ssh_run_free);
    g_clear_pointer(&link->probe, ssh_run_free);
    child_free(link->bring);
    child_free(link->master);
    ssh_gate_leave(link->options.gate, &link->pass);
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

void ssh_link_try_now(SshLink *link)
{
    link->retry_ms = RETRY_FIRST_MS;
    if (link->retry_source != 0) {
        g_clear_handle_id(&link->retry_source, g_source_remove);
        on_retry(link);
    }
}
