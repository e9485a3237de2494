#include "agents/host/storage/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void block_write(char *block, const char *text)
{
    size_t n = strlen(text);

    g_assert(n + 10 < BLOCK_BYTES);
    memset(block, '\n', BLOCK_BYTES);
    memcpy(block, text, n);
    snprintf(block + n, 10, " %08x", crc32_of(text, n));
    block[n + 9] = '\n';
}

char *block_read(const char *block)
{
    const char *end = memchr(block, '\n', BLOCK_BYTES);
    size_t n = end != NULL ? (size_t) (end - block) : 0;
    char crc[9];

    if (n < 10 || block[n - 9] != ' ' || memchr(block, '\0', n) != NULL)
        return NULL;
    snprintf(crc, sizeof crc, "%08x", crc32_of(block, n - 9));
    return memcmp(crc, block + n - 8, 8) == 0 ? g_strndup(block, n - 9) : NULL;
}

int block_open(const char *path, int flags)
{
    int fd = open(path, flags | O_DIRECT | O_CLOEXEC, 0644);

    return fd < 0 && errno == EINVAL ? open(path, flags | O_CLOEXEC, 0644) : fd;
}

char *block_memory(size_t blocks)
{
    void *memory = NULL;

    if (posix_memalign(&memory, BLOCK_BYTES, blocks * BLOCK_BYTES) != 0)
        g_error("no memory for %zu blocks", blocks);
    return memory;
}
