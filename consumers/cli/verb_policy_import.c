#include "consumers/cli/verb_policy_import.h"

#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "lib/model/pacemaker_cloud.h"
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
static int write_checked(const char *name, const GPtrArray *deployables, const char *output)
{
    g_autofree char *text = pcloud_policy_text((const PcloudDeployable *const *) deployables->pdata, deployables->len);
    g_autofree char *shown = g_strconcat(name, deployables->len > 1 ? " and others" : "", " (as a policy)", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse(shown, text, &error);

    for (guint i = 0; i < deployables->len; i++) {
        const GPtrArray *notes = ((const PcloudDeployable *) deployables->pdata[i])->notes;

        for (guint k = 0; k < notes->len; k++)
            fprintf(stderr, "%s\n", (const char *) notes->pdata[k]);
    }
    if (policy != NULL)
        return write_text(text, output);
    fprintf(stderr, "mend policy import: what this says makes no policy:\n%s\n", error->message);
    return EXIT_NO;
}

static PcloudDeployable *read_one(const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = NULL;
    PcloudDeployable *deployable = NULL;
    size_t bytes;

    if (!g_file_get_contents(file, &xml, &bytes, &error) || (deployable = pcloud_read(file, xml, bytes, &error)) == NULL)
        fprintf(stderr, "mend policy import: %s\n", error->message);
    return deployable;
}

int policy_import(const char *format, char *const *files, const char *output)
{
    g_autoptr(GPtrArray) deployables = g_ptr_array_new_with_free_func((GDestroyNotify) pcloud_free);
    bool fine = true;

    if (strcmp(format, "pacemaker-cloud") != 0) {
        fprintf(stderr, "mend policy import: '%s' is not known; pacemaker-cloud is\n", format);
        return EXIT_WRONG;
    }
    for (char *const *file = files; *file != NULL; file++) {
        PcloudDeployable *deployable = read_one(*file);

        fine = fine && deployable != NULL;
        if (deployable != NULL)
            g_ptr_array_add(deployables, deployable);
    }
    return fine ? write_checked(*files, deployables, output) : EXIT_NO;
}
