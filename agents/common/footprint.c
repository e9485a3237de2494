/* libcrypto alone maps 3.4 MB to say who we are once. The kernel would take such pages back only when the machine is already short of
 * memory; on a small guest with many of them that is the wrong moment. Only mappings without a single private page are touched: what a
 * relocation or a write has changed exists nowhere else. */
#include "agents/common/footprint.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

typedef struct Mapping {
    unsigned long start, end;
    bool clean_file; /* read only, of a file */
    bool private_pages;
} Mapping;

static void mapping_release(const Mapping *mapping)
{
    if (mapping->clean_file && !mapping->private_pages)
        madvise((void *) mapping->start, mapping->end - mapping->start, MADV_DONTNEED);
}

static void take_line(Mapping *mapping, const char *line)
{
    unsigned long start, end, kilobytes;
    char flags[5], path[2] = "";

    if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %1s", &start, &end, flags, path) >= 3) {
        mapping_release(mapping);
        *mapping = (Mapping){.start = start, .end = end, .clean_file = flags[0] == 'r' && flags[1] == '-' && path[0] == '/'};
    } else if (sscanf(line, "Anonymous: %lu", &kilobytes) == 1 || sscanf(line, "Private_Dirty: %lu", &kilobytes) == 1) {
        mapping->private_pages |= kilobytes > 0;
    }
}

void footprint_trim(void)
{
    g_autofree char *smaps = NULL; /* read whole before anything is given back */
    g_auto(GStrv) lines = NULL;
    Mapping mapping = {0};

    if (g_file_get_contents("/proc/self/smaps", &smaps, NULL, NULL)) {
        lines = g_strsplit(smaps, "\n", -1);
        for (char **line = lines; *line != NULL; line++)
            take_line(&mapping, *line);
        mapping_release(&mapping);
    }
    g_clear_pointer(&lines, g_strfreev);
    g_clear_pointer(&smaps, g_free);
    malloc_trim(0);
}

static gboolean on_trim(void *unused)
{
    footprint_trim();
    return G_SOURCE_REMOVE;
}

void footprint_trim_later(int64_t after_us)
{
    g_timeout_add((guint) (after_us / US_PER_MS), on_trim, NULL);
}
