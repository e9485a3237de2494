/* Runs every file of the given folders through a fuzz target: fuzzers are ordinary tests over a kept corpus. An empty or missing
 * folder fails, since a test that read nothing proves nothing. */
#include <glib.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_folder(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) folder = g_dir_open(path, 0, &error);
    const char *name;
    int n_files = 0;

    if (folder == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 0;
    }
    while ((name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_autofree char *text = NULL;
        g_autofree uint8_t *copy = NULL;
        gsize n_bytes = 0;

        if (!g_file_get_contents(file, &text, &n_bytes, &error)) {
            fprintf(stderr, "%s\n", error->message);
            return 0;
        }
        copy = g_memdup2(text, n_bytes); /* without GLib's extra NUL, so that ASan sees a read past the end */
        printf("%s\n", file);
        fflush(stdout); /* the last name printed is the one that crashed */
        LLVMFuzzerTestOneInput(copy != NULL ? copy : (const uint8_t *) "", n_bytes);
        n_files++;
    }
    return n_files;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (run_folder(argv[i]) == 0) {
            fprintf(stderr, "%s: no input was run\n", argv[i]);
            return 1;
        }
    return argc > 1 ? 0 : 1;
}
