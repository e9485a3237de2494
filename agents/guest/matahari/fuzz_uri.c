/* Any text as a URI: what is allowed begins with the allowed place, and says nothing that another program might read as somewhere else. */
#include "agents/guest/matahari/uri_list.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const places[] = {"https://a.example/b/", NULL};
    g_autofree char *text = g_strndup((const char *) data, size);
    UriVerdict verdict = uri_check(text, (char *const *) places);

    if (verdict == URI_ALLOWED) {
        g_assert_cmpint(g_ascii_strncasecmp(text, "https://a.example", 17), ==, 0);
        g_assert_null(strpbrk(text, " \\#"));
        g_assert_cmpuint(strcspn(text + 8, "/"), <, strcspn(text + 8, "@"));
        g_assert_null(strstr(text, "/../"));
    }
    g_assert_cmpint(uri_check(text, NULL), ==, verdict == URI_WRONG ? URI_WRONG : URI_DENIED);
    return 0;
}
