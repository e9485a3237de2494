/* "Did you mean": Levenshtein distance with an early limit, over lists short enough to try all. */
#include "lib/base/settings.h"

#include <string.h>

#define WORD_MAX 64

static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t replace = corner + (g_ascii_tolower(a[i - 1]) != g_ascii_tolower(b[j - 1]));

            corner = row[j];
            row[j] = MIN(replace, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const char *nearest_word(const char *word, const char *const *known)
{
    const char *nearest = NULL;
    size_t length = word == NULL ? 0 : strlen(word), best = MAX(2, length / 3) + 1;

    if (length == 0 || length > WORD_MAX)
        return NULL;
    for (; *known != NULL; known++) {
        if (strlen(*known) > WORD_MAX)
            continue;
        size_t d = distance(word, *known);

        if (d < best && d < length) {
            best = d;
            nearest = *known;
        }
    }
    return nearest;
}
