#include "agents/host/storage/beat.h"

#include "lib/base/uuid.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FORM "mend-beat 1 "

static uint32_t crc32_of(const char *bytes, size_t n)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < n; i++) {
        crc ^= (uint8_t) bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xedb88320u & -(crc & 1));
    }
    return ~crc;
}

void beat_write(const Beat *beat, char *block)
{
    int n;

    memset(block, '\n', BEAT_BYTES);
    n = snprintf(block, BEAT_BYTES, FORM "%s %s %" PRIu64 " %" PRId64 " ", beat->host, beat->boot_id, beat->counter, beat->wall_us);
    snprintf(block + n, BEAT_BYTES - (size_t) n, "%08x", crc32_of(block, (size_t) n));
    block[n + 8] = '\n';
}

bool beat_read(const char *block, Beat *ret)
{
    char text[256], crc[9], expected[9];
    int n = 0;

    memcpy(text, block, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    *ret = (Beat) { 0 };
    if (strncmp(text, FORM, strlen(FORM)) != 0 ||
        sscanf(text + strlen(FORM), "%36s %36s %20" SCNu64 " %20" SCNd64 " %n%8s", ret->host, ret->boot_id, &ret->counter, &ret->wall_us, &n, crc) != 5)
        return false;
    snprintf(expected, sizeof expected, "%08x", crc32_of(text, strlen(FORM) + (size_t) n));
    g_autofree char *id = uuid_canonical(ret->host);
    return id != NULL && strcmp(crc, expected) == 0;
}
