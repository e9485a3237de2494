/* What /proc says: any text is read, or refused. */
#include "agents/host/memory/proc_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *) data, size);
    MemInfo info;
    VmStat stat;
    ProcessStat process;

    meminfo_parse(text, &info);
    vmstat_parse(text, &stat);
    process_stat_parse(text, &process);
    return 0;
}
