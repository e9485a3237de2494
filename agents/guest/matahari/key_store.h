/* What Sysconfig remembers: one file for each key, and the flag is_postboot_configured. Thread: any, one at a time. */
#ifndef MEND_GUEST_KEY_STORE_H
#define MEND_GUEST_KEY_STORE_H

#include "lib/base/base.h"

#define KEY_STORE_KEYS_MAX    1000
#define KEY_STORE_STATUS_BYTES 65536 /* longer ones are cut */

typedef struct KeyStore KeyStore;

/* @folder: made when missing, 0700; keys that the original left there are understood. NULL: error. */
KeyStore *key_store_new(const char *folder, GError **error);
void key_store_free(KeyStore *store); /* NULL is fine */
/* A key is 1 to 200 of 0-9 A-Z a-z _ - . and does not begin with a dot. */
bool key_is_sane(const char *key);
/* NULL: unknown. Caller frees. */
char *key_store_get(const KeyStore *store, const char *key);
/* False: full (a new key beyond KEY_STORE_KEYS_MAX) or not written; error says which. @status is cut where it is too long, and where it
 * is no UTF-8 any more. */
bool key_store_set(KeyStore *store, const char *key, const char *status, GError **error);
uint32_t key_store_postboot(const KeyStore *store);
bool key_store_set_postboot(KeyStore *store, uint32_t value, GError **error);

#endif
