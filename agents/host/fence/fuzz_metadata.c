/* Any bytes as what an agent prints: metadata whose parts can be asked for, or an error. */
#include "agents/host/fence/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(FenceMetadata) metadata = fence_metadata_parse((const char *) data, size, &error);
    g_autofree const char **names = NULL;

    g_assert_true((metadata == NULL) == (error != NULL));
    if (metadata == NULL)
        return 0;
    names = fence_metadata_names(metadata);
    for (size_t i = 0; names[i] != NULL; i++)
        g_assert_nonnull(fence_metadata_parameter(metadata, names[i]));
    g_assert_nonnull(metadata->name);
    g_assert_true(fence_metadata_can(metadata, metadata->actions->pdata[0]));
    fence_metadata_plug(metadata);
    return 0;
}
