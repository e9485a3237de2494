/* mend-guest-augeas run FILE | get PATH: augeas for mend-guest, in a process of its own: reading a machine's configuration takes most of a
 * second and tens of megabytes, and both are gone when it ends. AUGEAS_ROOT names another root folder, as for augtool.
 *
 * run: the commands in FILE, as in augtool; prints the code of aug_srun, a line end, and what the commands printed. A backup is kept of each
 * changed file. get: prints the value of a node; exit 1 when there is none. Exit 5: augeas could not begin. */
#include <augeas.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_UNKNOWN 1
#define EXIT_USAGE   2
#define EXIT_BACKEND 5

static augeas *begin(unsigned flags)
{
    augeas *aug = aug_init(NULL, NULL, flags | AUG_NO_ERR_CLOSE);

    if (aug != NULL && aug_error(aug) == AUG_NOERROR)
        return aug;
    fprintf(stderr, "augeas: %s\n", aug != NULL ? aug_error_message(aug) : "out of memory");
    aug_close(aug);
    return NULL;
}

static int run(const char *file)
{
    char *text = NULL, *said = NULL;
    size_t n_said = 0;
    GError *error = NULL;
    augeas *aug;
    FILE *to;
    int code;

    if (!g_file_get_contents(file, &text, NULL, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return EXIT_BACKEND;
    }
    aug = begin(AUG_SAVE_BACKUP);
    to = open_memstream(&said, &n_said);
    if (aug == NULL || to == NULL)
        return EXIT_BACKEND;
    code = aug_srun(aug, to, text);
    fclose(to);
    if (code < 0 && aug_error(aug) != AUG_NOERROR)
        fprintf(stderr, "augeas: %s %s\n", aug_error_message(aug), aug_error_details(aug) != NULL ? aug_error_details(aug) : "");
    printf("%d\n%s", code, said);
    aug_close(aug);
    free(said);
    g_free(text);
    return 0;
}

static int get(const char *path)
{
    augeas *aug = begin(0);
    const char *value = NULL;

    if (aug == NULL)
        return EXIT_BACKEND;
    aug_get(aug, path, &value);
    if (value != NULL)
        fputs(value, stdout);
    aug_close(aug);
    return value != NULL ? 0 : EXIT_UNKNOWN;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "run") == 0)
        return run(argv[2]);
    if (argc == 3 && strcmp(argv[1], "get") == 0)
        return get(argv[2]);
    fprintf(stderr, "mend-guest-augeas run FILE | get PATH\n");
    return EXIT_USAGE;
}
