/* The matcher keeps one place to come back to, the last '#', as glob matchers do: a '#' met later makes the earlier one settled, so
 * it never backs up further and the cost is at most words(pattern) x words(subject). An exponential matcher is a weapon in the
 * hands of any subscriber. A '*' or '#' inside a longer word is an ordinary character. */
#include "broker-plugin/hosts/embedded/topic.h"

#include <string.h>

typedef struct Words { /* what is left to read */
    const char *p, *end;
    bool done;
} Words;

typedef struct Word {
    const char *p;
    size_t n;
} Word;

static Words words_of(const char *text, size_t n)
{
    return (Words){text, text + n, n == 0};
}

static Word word_next(Words *w)
{
    const char *dot = memchr(w->p, '.', (size_t) (w->end - w->p));
    Word word = {w->p, (size_t) ((dot != NULL ? dot : w->end) - w->p)};

    if (dot != NULL)
        w->p = dot + 1;
    else
        w->done = true;
    return word;
}

static bool word_is(Word w, char c)
{
    return w.n == 1 && *w.p == c;
}

bool topic_has_wildcard(const char *pattern)
{
    Words w = words_of(pattern, strlen(pattern));

    while (!w.done) {
        Word word = word_next(&w);
        if (word_is(word, '*') || word_is(word, '#'))
            return true;
    }
    return false;
}

bool topic_match(const char *pattern, const char *subject, size_t n_subject)
{
    Words p = words_of(pattern, strlen(pattern)), s = words_of(subject, n_subject), p_back = {0}, s_back = {0};
    bool have_back = false, same;

    for (;;) {
        same = false;
        if (!p.done) {
            Words p_next = p;
            Word want = word_next(&p_next);
            if (word_is(want, '#')) {
                p = p_back = p_next;
                s_back = s;
                have_back = true;
                continue;
            }
            if (!s.done) {
                Word have = word_next(&s);
                same = word_is(want, '*') || (want.n == have.n && memcmp(want.p, have.p, want.n) == 0);
                p = p_next;
            }
        } else if (s.done) {
            return true;
        }
        if (same)
            continue;
        if (!have_back || s_back.done) /* the '#' can take no further word */
            return false;
        word_next(&s_back);
        s = s_back;
        p = p_back;
    }
}
