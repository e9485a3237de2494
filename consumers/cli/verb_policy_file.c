#include "consumers/cli/verb_policy_file.h"

#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/language/policy_show.h"
#include "lib/base/clock.h"

#include <stdio.h>

/* Warnings and mistakes go to stderr. NULL: refused, and told. */
static Policy *read_file(const char *path, PolicyReport *report)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = policy_file_text(path, &error);
    PolicyReading reading = { .now_us = clock_wall_us(), .report = report };
    Policy *policy = text == NULL ? NULL : policy_read(path, text, &reading, &error);

    if (policy == NULL)
        fprintf(stderr, "%s\n", error->message);
    if (report->warnings != NULL)
        fprintf(stderr, "%s%s\n", policy == NULL ? "and beside the mistakes:\n" : "", report->warnings);
    return policy;
}

int policy_file_check(const char *path)
{
    PolicyReport report = { 0 };
    g_autoptr(Policy) policy = read_file(path, &report);

    if (policy != NULL)
        printf("%s: fine%s; rules: %u, applications: %u\n", path, report.warnings != NULL ? ", with warnings" : "", policy->rules->len,
               policy->applications->len);
    policy_report_clear(&report);
    return policy == NULL ? EXIT_NO : EXIT_DONE;
}

int policy_file_show(const char *path, bool json)
{
    PolicyReport report = { 0 };
    g_autoptr(Policy) policy = path == NULL ? policy_default() : read_file(path, &report);

    if (policy == NULL)
        return EXIT_NO;
    g_autoptr(json_t) effective = policy_to_json(policy);
    g_autofree char *text = json ? NULL : policy_to_text(policy, effective, report.origins);
    if (json)
        show_json(effective);
    else
        fputs(text, stdout);
    policy_report_clear(&report);
    return EXIT_DONE;
}
