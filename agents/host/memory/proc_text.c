#include "agents/host/memory/proc_text.h"

#include <string.h>

/* The number after "KEY:" or "KEY " at the beginning of a line; -1: none. */
static int64_t number_after(const char *text, const char *key)
{
    size_t length = strlen(key);

    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) != 0 || (line[length] != ':' && line[length] != ' '))
            continue;
        char *end;
        const char *digits = line + length + 1 + strspn(line + length + 1, " \t");
        int64_t number = g_ascii_strtoll(digits, &end, 10);
        return end == digits || number < 0 ? -1 : number;
    }
    return -1;
}

static int64_t kib_after(const char *text, const char *key)
{
    int64_t kib = number_after(text, key);

    return kib < 0 || kib > INT64_MAX / 1024 ? -1 : kib * 1024;
}

bool meminfo_parse(const char *text, MemInfo *ret)
{
    *ret = (MemInfo) { .total = kib_after(text, "MemTotal"), .unused = kib_after(text, "MemFree"), .available = kib_after(text, "MemAvailable"),
                       .buffers = kib_after(text, "Buffers"), .cached = kib_after(text, "Cached"), .anon = kib_after(text, "AnonPages"),
                       .swap_total = kib_after(text, "SwapTotal"), .swap_unused = kib_after(text, "SwapFree") };
    return ret->total > 0 && ret->unused >= 0;
}

void vmstat_parse(const char *text, VmStat *ret)
{
    *ret = (VmStat) { .swap_in = number_after(text, "pswpin"), .swap_out = number_after(text, "pswpout") };
}

bool process_stat_parse(const char *text, ProcessStat *ret)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    int64_t fields[22] = { 0 }; /* from the third on: state is [0] */
    guint n = 0;

    if (open == NULL || close == NULL || close < open)
        return false;
    *ret = (ProcessStat) { 0 };
    memcpy(ret->name, open + 1, MIN((size_t) (close - open - 1), sizeof ret->name - 1));
    for (const char *at = close + 1; n < G_N_ELEMENTS(fields); n++) {
        at += strspn(at, " ");
        size_t length = strcspn(at, " \n");

        if (length == 0)
            break;
        fields[n] = g_ascii_strtoll(at, NULL, 10);
        at += length;
    }
    if (n < G_N_ELEMENTS(fields))
        return false;
    ret->minor_faults = fields[7];
    ret->major_faults = fields[9];
    ret->cpu_ticks = fields[11] + fields[12];
    ret->start_ticks = fields[19];
    ret->virtual_bytes = fields[20];
    ret->resident_pages = fields[21];
    return true;
}
