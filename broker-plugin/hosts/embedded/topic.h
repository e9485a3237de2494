/* Subjects and patterns: words separated by dots; '*' is exactly one word, '#' any number, also none. */
#ifndef MEND_EMBEDDED_TOPIC_H
#define MEND_EMBEDDED_TOPIC_H

#include "lib/base/base.h"

bool topic_has_wildcard(const char *pattern);
/* Neither needs to be terminated at @n_subject. Linear for patterns with one '#', bounded (words of both) otherwise. */
bool topic_match(const char *pattern, const char *subject, size_t n_subject);

#endif
