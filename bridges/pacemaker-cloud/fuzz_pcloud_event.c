/* What comes from the conductor, and deployables, are other people's XML. */
#include "bridges/pacemaker-cloud/pcloud_event.h"
#include "lib/model/pacemaker_cloud.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(PcloudEvent) event = pcloud_event_read(text, size, NULL);
    g_autoptr(PcloudDeployable) deployable = pcloud_read("fuzz.xml", text, size, NULL);
    g_autofree char *document = deployable != NULL ? pcloud_document_text(deployable) : NULL;

    return 0;
}
