#include "agents/host/storage/beat.h"

#include "lib/base/uuid.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FORM "mend-beat 1 "

void beat_write(const Beat *beat, char *block)
{
    g_autofree char *text = g_strdup_printf(FORM "%s %s %" PRIu64 " %" PRId64, beat->host, beat->boot_id, beat->counter, beat->wall_us);

    block_write(block, text);
}

bool beat_read(const char *block, Beat *ret)
{
    g_autofree char *text = block_read(block), *id = NULL;

    *ret = (Beat) { 0 };
    if (text == NULL || !g_str_has_prefix(text, FORM) ||
        sscanf(text + strlen(FORM), "%36s %36s %20" SCNu64 " %20" SCNd64, ret->host, ret->boot_id, &ret->counter, &ret->wall_us) != 4)
        return false;
    id = uuid_canonical(ret->host);
    return id != NULL;
}
