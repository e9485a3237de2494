/* Any JSON as an answer of Deltacloud's. */
#include "bridges/deltacloud/deltacloud_model.h"

#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(json_t) body = json_parse((const char *) data, size, "fuzz", NULL);
    g_autoptr(GPtrArray) instances = body != NULL ? deltacloud_instances_read(body, NULL) : NULL;
    g_autoptr(DeltacloudInstance) instance = body != NULL ? deltacloud_instance_read(body, NULL) : NULL;

    return 0;
}
