/* Any text as a policy file: a policy that shown and read again is the same, or complaints that begin with a place. */
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/language/policy_show.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(GError) error = NULL;
    PolicyReport report = { 0 };
    g_autoptr(Policy) policy = policy_read("file", text, &(PolicyReading){ .report = &report }, &error);

    if (policy == NULL) {
        g_assert_nonnull(error);
        g_assert_true(g_str_has_prefix(error->message, "file:"));
    } else {
        g_autoptr(json_t) json = policy_to_json(policy);
        g_autofree char *shown = policy_to_text(policy, json, report.origins);
        g_autoptr(Policy) again = policy_parse("file", shown, &error);

        g_assert_no_error(error);
        g_autoptr(json_t) json_again = policy_to_json(again);
        json_object_del(json, "notify"); /* "log" is there in every file, and not without one */
        json_object_del(json_again, "notify");
        g_assert_true(json_equal(json, json_again));
    }
    policy_report_clear(&report);
    return 0;
}
