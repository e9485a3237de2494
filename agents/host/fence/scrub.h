/* Secrets do not leave in what agents say. Every text of an agent passes here before anybody else sees it. Thread: any. */
#ifndef MEND_HOST_FENCE_SCRUB_H
#define MEND_HOST_FENCE_SCRUB_H

#include "lib/base/base.h"

#define SCRUBBED "[secret]"

/* @text with every one of @secrets (of char *) replaced: as it is, as a URL, JSON, Python or a shell would write it, in base64. Of a secret
 * shorter than 4 bytes, which may stand in any word, nothing at all is shown. One line, valid UTF-8, without control characters, at most
 * @max_bytes. Caller frees. */
char *fence_scrub(const char *text, const GPtrArray *secrets, size_t max_bytes);
/* Overwrites and frees; NULL is fine. */
void fence_secret_free(char *secret);

#endif
