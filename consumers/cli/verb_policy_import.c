#include "consumers/cli/verb_policy_import.h"

#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/policy/import/pacemaker_cloud.h"
#include "consumers/policy/language/policy_file.h"
#include "lib/base/file.h"

#include <stdio.h>
#include <string.h>

static int write_text(const char *text, const char *output)
{
    g_autoptr(GError) error = NULL;

    if (output == NULL) {
        fputs(text, stdout);
        return EXIT_DONE;
    }
    if (file_write(output, text, strlen(text), 0644, &error))
        return EXIT_DONE;
    fprintf(stderr, "mend policy import: %s\n", error->message);
    return EXIT_NO;
}

/* What it becomes must be a policy: order that goes in a circle was never found before it ran. */
static int write_checked(const char *file, const PcloudDeployable *deployable, const char *output)
{
    g_autofree char *text = pcloud_policy_text(deployable), *name = g_strconcat(file, " (as a policy)", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse(name, text, &error);

    for (guint i = 0; i < deployable->notes->len; i++)
        fprintf(stderr, "%s\n", (const char *) deployable->notes->pdata[i]);
    if (policy != NULL)
        return write_text(text, output);
    fprintf(stderr, "mend policy import: what this says makes no policy:\n%s\n", error->message);
    return EXIT_NO;
}

int policy_import(const char *format, const char *file, const char *output)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudDeployable) deployable = NULL;
    g_autofree char *xml = NULL;
    size_t bytes;

    if (strcmp(format, "pacemaker-cloud") != 0) {
        fprintf(stderr, "mend policy import: '%s' is not known; pacemaker-cloud is\n", format);
        return EXIT_WRONG;
    }
    if (!g_file_get_contents(file, &xml, &bytes, &error) || (deployable = pcloud_read(file, xml, bytes, &error)) == NULL) {
        fprintf(stderr, "mend policy import: %s\n", error->message);
        return EXIT_NO;
    }
    return write_checked(file, deployable, output);
}
