#include "bridges/pacemaker-cloud/pcloud_documents.h"

#include <string.h>

#define MARK "--- # mend-bridge pacemaker-cloud: "
#define BASE "# The default policy; what follows was added by mend-bridge pacemaker-cloud.\nmend: 1\n"

static const char *next_line(const char *at)
{
    const char *end = strchr(at, '\n');

    return end == NULL ? at + strlen(at) : end + 1;
}

/* The next of our documents from @at on, whose end is in *@ret_end; NULL: none. @name (may be NULL): of that one only. */
static const char *find(const char *at, const char *name, const char **ret_end)
{
    for (; *at != '\0'; at = next_line(at)) {
        const char *end = next_line(at);
        size_t length = strcspn(at, "\n");

        if (!g_str_has_prefix(at, MARK) || (name != NULL && (length != strlen(MARK) + strlen(name) || strncmp(at + strlen(MARK), name, strlen(name)) != 0)))
            continue;
        while (*end != '\0' && !g_str_has_prefix(end, "---"))
            end = next_line(end);
        *ret_end = end;
        return at;
    }
    return NULL;
}

static void put(GString *out, const char *name, const char *document)
{
    if (out->len > 0 && out->str[out->len - 1] != '\n')
        g_string_append_c(out, '\n');
    g_string_append_printf(out, MARK "%s\n%s", name, document);
    if (out->str[out->len - 1] != '\n')
        g_string_append_c(out, '\n');
}

static char *replace(const char *policy, const char *name, const char *document)
{
    const char *end = NULL, *begin = find(policy, name, &end);
    GString *out = begin != NULL ? g_string_new_len(policy, begin - policy) : g_string_new(*policy != '\0' ? policy : BASE);

    if (document != NULL)
        put(out, name, document);
    if (begin != NULL)
        g_string_append(out, end);
    return g_string_free(out, FALSE);
}

char *pcloud_documents_without(const char *policy, const char *name) { return replace(policy, name, NULL); }

char *pcloud_documents_with(const char *policy, const char *name, const char *document) { return replace(policy, name, document); }

char **pcloud_documents_names(const char *policy)
{
    GPtrArray *names = g_ptr_array_new();
    const char *end;

    for (const char *at = find(policy, NULL, &end); at != NULL; at = find(end, NULL, &end)) {
        const char *name = at + strlen(MARK);

        g_ptr_array_add(names, g_strndup(name, strcspn(name, "\n")));
    }
    g_ptr_array_add(names, NULL);
    return (char **) g_ptr_array_free(names, FALSE);
}
