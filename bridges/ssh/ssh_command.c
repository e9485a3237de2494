/* A program on the other machine is run by the shell that sshd starts. What is wanted of it: an environment of its own and nothing of the
 * login's, a deadline that holds there too (killing ssh here does not end what it began there), and an end that cannot be mistaken: ssh
 * itself exits with 255, and so may a program; when the mark with the status is missing, the way back broke. */
#include "bridges/ssh/ssh_link.h"

#include "lib/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
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
    int64_t seconds = MAX((timeout_us + US_PER_S - 1) / US_PER_S, 1);

    /* busybox's timeout, too, knows -k; where there is none the deadline is kept here alone */
    g_string_append_printf(script, "t=; command -v timeout >/dev/null 2>&1 && t='timeout -k 2 %" PRId64 "'; %s env -i", seconds, become != NULL ? become : "");
    for (char *const *entry = options->environment; entry != NULL && *entry != NULL; entry++)
        add_quoted(script, *entry);
    g_string_append(script, " $t");
    for (char *const *word = options->argv; *word != NULL; word++)
        add_quoted(script, *word);
    g_string_append_printf(script, " </dev/null; printf '\\n%s %%d\\n' $?", mark);
    add_quoted(text, script->str);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

bool ssh_command_end(const char *output, size_t bytes, const char *mark, size_t *ret_bytes, int *ret_status)
{
    g_autofree char *line = g_strdup_printf("\n%s ", mark);
    const char *at = g_strrstr_len(output, (gssize) bytes, line);
    g_autofree char *end = at != NULL ? g_strndup(at, bytes - (size_t) (at - output)) : NULL;
    char after;

    if (end == NULL || sscanf(end + strlen(line), "%d%c", ret_status, &after) != 2 || after != '\n')
        return false;
    *ret_bytes = (size_t) (at - output);
    return true;
}

static bool has(const char *words, const char *text) { return strstr(words, text) != NULL; }

static char *scan_hint(const SshLinkOptions *o)
{
    g_autofree char *port = o->port != 0 ? g_strdup_printf("-p %u ", o->port) : g_strdup("");

    return g_strdup_printf("compare what `ssh-keyscan %s%s | ssh-keygen -lf -` prints with the machine's own, then add it to %s", port, o->host,
                           o->known_hosts != NULL ? o->known_hosts : "known_hosts");
}

char *ssh_words_explained(const char *words, const char *last, const SshLinkOptions *o)
{
    g_autofree char *hint = scan_hint(o);

    if (has(words, "HOST IDENTIFICATION HAS CHANGED"))
        return g_strdup_printf("its host key has changed: another machine answers at %s, or it was installed anew; %s", o->host, hint);
    if (has(words, "host key is known for"))
        return g_strdup_printf("its host key is not known: %s", hint);
    if (has(words, "UNPROTECTED PRIVATE KEY FILE"))
        return g_strdup_printf("the key %s is readable by others: ssh does not take it (chmod 600)", o->identity != NULL ? o->identity : "");
    if (has(words, "Permission denied"))
        return g_strdup_printf("it does not let %s in with %s: is the public key in the user's authorized_keys? (%s)", o->user != NULL ? o->user : "us",
                               o->identity != NULL ? o->identity : "our keys", last);
    return g_strdup(*last != '\0' ? last : "ssh ended without a word");
}
