#include "lib/base/uuid.h"

#include <string.h>
#include <uuid.h>

char *uuid_new(void)
{
    uuid_t bytes;
    char text[UUID_TEXT_SIZE];

    uuid_generate_random(bytes);
    uuid_unparse_lower(bytes, text);
    return g_strdup(text);
}

char *uuid_canonical(const char *text)
{
    uint8_t bytes[16];
    char canonical[UUID_TEXT_SIZE];

    if (!uuid_to_bytes(text, bytes))
        return NULL;
    uuid_from_bytes(bytes, canonical);
    return g_strdup(canonical);
}

void uuid_from_bytes(const uint8_t bytes[16], char ret_text[UUID_TEXT_SIZE])
{
    uuid_unparse_lower(bytes, ret_text);
}

void uuid_of_texts(const char *first, const char *second, char ret_text[UUID_TEXT_SIZE])
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize length = sizeof(digest);

    g_checksum_update(sum, (const guchar *) first, -1);
    g_checksum_update(sum, (const guchar *) second, -1);
    g_checksum_get_digest(sum, digest, &length);
    digest[6] = (digest[6] & 0x0f) | 0x80;
    digest[8] = (digest[8] & 0x3f) | 0x80;
    uuid_from_bytes(digest, ret_text);
}

bool uuid_to_bytes(const char *text, uint8_t ret_bytes[16])
{
    char dashed[UUID_TEXT_SIZE];

    if (text == NULL)
        return false;
    if (strlen(text) == 32) { /* as /etc/machine-id has it */
        g_snprintf(dashed, sizeof dashed, "%.8s-%.4s-%.4s-%.4s-%.12s", text, text + 8, text + 12, text + 16, text + 20);
        text = dashed;
    }
    return strlen(text) == UUID_TEXT_SIZE - 1 && uuid_parse(text, ret_bytes) == 0;
}
