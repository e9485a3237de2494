#include "consumers/policy/engine/id.h"

#include <string.h>

/* The name space: any fixed UUID, made once. */
static const guchar id_space[16] = { 0x6d, 0x65, 0x6e, 0x64, 0x1c, 0x2a, 0x4f, 0x0e, 0x9b, 0x61, 0x70, 0x6f, 0x6c, 0x69, 0x63, 0x79 };

void id_derive(char ret_text[UUID_TEXT_SIZE], const char *what, ...)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
    guint8 digest[20];
    gsize size = sizeof digest;
    va_list parts;

    g_checksum_update(sum, id_space, sizeof id_space);
    va_start(parts, what);
    for (const char *part = what; part != NULL; part = va_arg(parts, const char *))
        g_checksum_update(sum, (const guchar *) part, (gssize) strlen(part) + 1); /* with its 0, which keeps parts apart */
    va_end(parts);
    g_checksum_get_digest(sum, digest, &size);
    digest[6] = (guint8) ((digest[6] & 0x0f) | 0x50);
    digest[8] = (guint8) ((digest[8] & 0x3f) | 0x80);
    uuid_from_bytes(digest, ret_text);
}
