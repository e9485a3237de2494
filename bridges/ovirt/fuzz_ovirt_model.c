/* Any JSON as an answer of oVirt's. */
#include "bridges/ovirt/ovirt_model.h"
#include "bridges/ovirt/ovirt_word.h"

#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(json_t) body = json_parse((const char *) data, size, "fuzz", NULL);
    g_autoptr(GPtrArray) vms = body != NULL ? ovirt_vms_read(body, NULL) : NULL;
    g_autoptr(GPtrArray) hosts = body != NULL ? ovirt_hosts_read(body, NULL) : NULL;
    g_autoptr(GPtrArray) events = body != NULL ? ovirt_events_read(body, NULL) : NULL;
    OvirtPast past = { 0 };
    double value;

    for (guint i = 0; events != NULL && i < events->len; i++)
        ovirt_past_event(&past, events->pdata[i], (int64_t) i);
    for (guint i = 0; vms != NULL && i < vms->len; i++)
        ovirt_word(((const OvirtVm *) vms->pdata[i])->status, &past, NULL, 1);
    for (guint i = 0; hosts != NULL && i < hosts->len; i++)
        ovirt_host_reach(((const OvirtHost *) hosts->pdata[i])->status);
    ovirt_statistic(body, "boot.time", &value);
    ovirt_power_status(body);
    return 0;
}
