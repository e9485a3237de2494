/* Regular expressions in RE2's syntax, in time linear in the text whatever the pattern. Thread: any. */
#ifndef MEND_CEL_REGEX_H
#define MEND_CEL_REGEX_H

#include "lib/base/base.h"

typedef struct CelRegex CelRegex;
/* NULL: error, which shows the place in the pattern. */
CelRegex *cel_regex_new(const char *pattern, size_t length, GError **error);
/* The same; *ret_work, also after an error: what it took, in steps of about 10 ns. Bounded, whatever the pattern. */
CelRegex *cel_regex_new_counted(const char *pattern, size_t length, uint64_t *ret_work, GError **error);
void cel_regex_free(CelRegex *regex);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CelRegex, cel_regex_free)
/* Anywhere in @text (UTF-8). */
bool cel_regex_matches(const CelRegex *regex, const char *text, size_t length);
/* Work for each byte of text at most is proportional to this. */
size_t cel_regex_size(const CelRegex *regex);

#endif
