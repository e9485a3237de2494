/* Forms rather than patterns: "password: (\S+)" misses what an agent of tomorrow prints, while the bytes of the secret we know. Base64 is
 * looked for at each of the three places a secret can start in it, without the letters that its neighbours share. */
#include "agents/host/fence/scrub.h"

#include <string.h>

#define TOO_SHORT_BYTES 4

static void add_form(GPtrArray *forms, char *form /* (transfer full) */)
{
    bool known = strlen(form) < TOO_SHORT_BYTES;

    for (guint i = 0; i < forms->len && !known; i++)
        known = strcmp(forms->pdata[i], form) == 0;
    if (known)
        fence_secret_free(form);
    else
        g_ptr_array_add(forms, form);
}

static char *escaped(const char *secret, const char *special, const char *before, const char *instead)
{
    GString *to = g_string_new(NULL);

    for (const char *c = secret; *c != '\0'; c++)
        if (strchr(special, *c) == NULL)
            g_string_append_c(to, *c);
        else if (instead != NULL)
            g_string_append(to, instead);
        else
            g_string_append_printf(to, "%s%c", before, *c);
    return g_string_free(to, FALSE);
}

/* With @lead bytes of something else before it. */
static char *base64_at(const char *secret, size_t lead)
{
    g_autofree char *padded = g_strdup_printf("%.*s%s", (int) lead, "xx", secret);
    size_t n_bytes = strlen(padded), first = lead == 0 ? 0 : lead == 1 ? 2 : 3, last = n_bytes * 8 / 6;
    g_autofree char *code = g_base64_encode((const guchar *) padded, n_bytes);
    char *middle = last > first ? g_strndup(code + first, last - first) : g_strdup("");

    memset(code, 0, strlen(code));
    memset(padded, 0, n_bytes);
    return middle;
}

static void add_forms(GPtrArray *forms, const char *secret)
{
    add_form(forms, g_strdup(secret));
    add_form(forms, g_uri_escape_string(secret, NULL, FALSE));
    add_form(forms, g_uri_escape_string(secret, "!$&'()*+,;=:@/", FALSE));
    add_form(forms, escaped(secret, "\"\\", "\\", NULL));   /* JSON */
    add_form(forms, escaped(secret, "'\\", "\\", NULL));    /* Python */
    add_form(forms, escaped(secret, "'", NULL, "'\"'\"'")); /* shlex.quote */
    add_form(forms, escaped(secret, "'", NULL, "'\\''"));   /* g_shell_quote */
    for (size_t lead = 0; lead < 3; lead++)
        add_form(forms, base64_at(secret, lead));
}

static int by_length(const void *a, const void *b)
{
    size_t one = strlen(*(char *const *) a), other = strlen(*(char *const *) b);

    return one > other ? -1 : one < other;
}

static char *one_line(const char *text, size_t max_bytes)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *line = g_string_new(NULL);

    for (const char *c = valid; *c != '\0' && line->len < max_bytes; c = g_utf8_next_char(c)) {
        gunichar letter = g_utf8_get_char(c);

        if (!g_unichar_iscntrl(letter) && !g_unichar_isspace(letter))
            g_string_append_unichar(line, letter);
        else if (line->len > 0 && line->str[line->len - 1] != ' ')
            g_string_append_c(line, ' ');
    }
    g_strchomp(line->str);
    return g_string_free(line, FALSE);
}

char *fence_scrub(const char *text, const GPtrArray *secrets, size_t max_bytes)
{
    g_autoptr(GPtrArray) forms = g_ptr_array_new_with_free_func((GDestroyNotify) fence_secret_free);
    GString *rest = g_string_new(text);
    char *line;

    for (guint i = 0; secrets != NULL && i < secrets->len; i++) {
        const char *secret = secrets->pdata[i];

        if (*secret != '\0' && strlen(secret) < TOO_SHORT_BYTES && strstr(rest->str, secret) != NULL)
            g_string_assign(rest, "(not shown: a password of less than four letters may stand in it)");
        else
            add_forms(forms, secret);
    }
    g_ptr_array_sort(forms, by_length);
    for (guint i = 0; i < forms->len; i++)
        g_string_replace(rest, forms->pdata[i], SCRUBBED, 0);
    line = one_line(rest->str, max_bytes);
    g_string_free(rest, TRUE);
    return line;
}

void fence_secret_free(char *secret)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, strlen(secret));
    g_free(secret);
}
