/* Any text as a fencing file: hosts that have a level with a device, or an error that begins with a place. */
#include "agents/host/fence/fencing_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(FencingFile) file = fencing_file_parse("file", (const char *) data, size, &error);

    if (file == NULL) {
        g_assert_nonnull(error);
        g_assert_true(g_str_has_prefix(error->message, "file:"));
        return 0;
    }
    for (guint i = 0; i < file->hosts->len; i++) {
        const FenceHost *host = file->hosts->pdata[i];
        size_t n_devices = 0;

        for (size_t k = 0; k < FENCE_LEVELS; k++)
            n_devices += host->levels[k] != NULL ? host->levels[k]->len : 0;
        g_assert_cmpuint(n_devices, >, 0);
        g_assert_true(fencing_file_host(file, host->id != NULL ? host->id : host->name, host->name) == host);
    }
    return 0;
}
