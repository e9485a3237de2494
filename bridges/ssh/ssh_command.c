/* A program on the other machine is run by the shell that sshd starts. What is wanted of it: an environment of its own and nothing of the
 * login's, a deadline that holds there too (killing ssh here does not end what it began there), and a begin and an end that cannot be
 * mistaken. ssh itself exits with 255, and so may a program; so what was not begun was refused (sudo), what has no end broke off.
 *
 * The begin is on stdout, where what a login prints stands before it; the end is on stderr, of which the end is kept however much was
 * printed, and where a daemon that a start script leaves behind, with its pipes, does not hide it. */
#include "bridges/ssh/ssh_link.h"

#include "lib/base/clock.h"

#include <inttypes.h>
#include <string.h>

static void add_quoted(GString *text, const char *word)
{
    g_autofree char *quoted = g_shell_quote(word);

    g_string_append_c(text, ' ');
    g_string_append(text, quoted);
}

char *ssh_command_text(const ChildOptions *options, const char *become, int64_t timeout_us, const char *mark)
{
    g_autoptr(GString) script = g_string_new(NULL), text = g_string_new("exec /bin/sh -c");
    g_autofree char *begin = g_strdup_printf("echo %s begin; exec \"$@\"", mark);
    int64_t seconds = MAX((timeout_us + US_PER_S - 1) / US_PER_S, 1);

    /* busybox's timeout, too, knows -k; where there is none the deadline is kept here alone */
    g_string_append_printf(script, "t=; command -v timeout >/dev/null 2>&1 && t='timeout -k 2 %" PRId64 "'; %s env -i", seconds, become != NULL ? become : "");
    for (char *const *entry = options->environment; entry != NULL && *entry != NULL; entry++)
        add_quoted(script, *entry);
    g_string_append(script, " $t /bin/sh -c");
    add_quoted(script, begin);
    g_string_append(script, " sh");
    for (char *const *word = options->argv; *word != NULL; word++)
        add_quoted(script, *word);
    g_string_append_printf(script, " </dev/null; printf '\\n%s %%d\\n' $? >&2", mark);
    add_quoted(text, script->str);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* The last line with something in it, of what a peer wrote. Caller frees. */
static char *last_line(const char *words, size_t bytes)
{
    const char *begin;
    char *line;

    while (bytes > 0 && (unsigned char) words[bytes - 1] <= ' ')
        bytes--;
    for (begin = words + bytes; begin > words && begin[-1] != '\n'; begin--)
        ;
    line = g_utf8_make_valid(begin, (gssize) (words + bytes - begin));
    for (char *c = line; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    return line;
}

void ssh_answer_read(SshAnswer *answer, const ChildResult *result, const char *mark)
{
    g_autofree char *begin = g_strdup_printf("%s begin\n", mark), *end = g_strdup_printf("\n%s ", mark);
    const char *at = memmem(result->output, result->output_bytes, begin, strlen(begin)), *line = g_strrstr(result->words, end);
    char *after = NULL;
    int64_t status = line != NULL ? g_ascii_strtoll(line + strlen(end), &after, 10) : -1;

    *answer = (SshAnswer){ .begun = at != NULL, .output = result->output, .bytes = result->output_bytes };
    if (at != NULL) {
        answer->output = at + strlen(begin);
        answer->bytes = result->output_bytes - (size_t) (answer->output - result->output);
    }
    answer->ended = line != NULL && g_ascii_isdigit(line[strlen(end)]) && *after == '\n' && status <= 255;
    answer->status = answer->ended ? (int) status : 0;
    answer->last_words = last_line(result->words, answer->ended ? (size_t) (line - result->words) : strlen(result->words));
}

void ssh_answer_done(SshAnswer *answer) { g_clear_pointer(&answer->last_words, g_free); }

static bool has(const char *words, const char *text) { return strstr(words, text) != NULL; }

static char *scan_hint(const SshLinkOptions *o)
{
    g_autofree char *port = o->port != 0 ? g_strdup_printf("-p %u ", o->port) : g_strdup("");

    return g_strdup_printf("compare what `ssh-keyscan %s%s | ssh-keygen -lf -` prints with the machine's own, then add it to %s", port, o->host,
                           o->known_hosts != NULL ? o->known_hosts : "known_hosts");
}

/* " (SHA256:…)", or "". ssh is asked to say it (LogVerbose), and does so by itself when a key has changed. */
static char *fingerprint(const char *words)
{
    const char *at = strstr(words, "SHA256:");
    size_t length = at != NULL ? strlen("SHA256:") + strspn(at + strlen("SHA256:"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") : 0;

    return length > 0 ? g_strdup_printf(" (%.*s)", (int) MIN(length, 60), at) : g_strdup("");
}

char *ssh_words_explained(const char *words, const char *last, const SshLinkOptions *o)
{
    g_autofree char *hint = scan_hint(o), *seen = fingerprint(words);

    if (has(words, "HOST IDENTIFICATION HAS CHANGED"))
        return g_strdup_printf("its host key has changed%s: another machine answers at %s, or it was installed anew; %s", seen, o->host, hint);
    if (has(words, "host key is known for"))
        return g_strdup_printf("its host key is not known%s: %s", seen, hint);
    if (has(words, "UNPROTECTED PRIVATE KEY FILE"))
        return g_strdup_printf("the key %s is readable by others: ssh does not take it (chmod 600)", o->identity != NULL ? o->identity : "");
    if (has(words, "Permission denied"))
        return g_strdup_printf("it does not let %s in with %s: is the public key in the user's authorized_keys? (%s)", o->user != NULL ? o->user : "us",
                               o->identity != NULL ? o->identity : "our keys", last);
    return g_strdup(*last == '\0' || has(last, "verify_host_key()") ? "ssh ended without a word" : last);
}

bool ssh_words_refused(const char *words)
{
    return has(words, "HOST IDENTIFICATION HAS CHANGED") || has(words, "host key is known for") || has(words, "UNPROTECTED PRIVATE KEY FILE") ||
           has(words, "Permission denied");
}

/* Said by ssh when no session came about, so nothing was run. Unknown words are not among them: then it may have been. */
bool ssh_words_no_session(const char *words, const char **ret_why)
{
    static const struct {
        const char *part, *why;
    } known[] = {
        { "ession open refused", "its sshd takes no further session: its MaxSessions is less than our --sessions" },
        { "session request failed", "its sshd takes no further session: its MaxSessions is less than our --sessions" },
        { "kex_exchange_identification", "the connection has just ended" }, /* no control socket any more, and ProxyCommand=false */
        { "Connection closed by UNKNOWN", "the connection has just ended" },
        { "mux_client_hello_exchange", "the connection has just ended" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
        if (has(words, known[i].part)) {
            *ret_why = known[i].why;
            return true;
        }
    return false;
}
