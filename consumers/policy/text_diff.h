/* The difference of two texts, line by line, as `diff -u` writes it. Pure. Thread: any. */
#ifndef MEND_POLICY_TEXT_DIFF_H
#define MEND_POLICY_TEXT_DIFF_H

#include "lib/base/base.h"

#define TEXT_DIFF_LINES_MAX 20000 /* of each; longer texts are shown as wholly replaced */

/* "" when they are equal. Hunks with three lines around, without a head. Caller frees. */
char *text_diff(const char *old, const char *new);

#endif
