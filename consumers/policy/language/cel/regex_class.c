#include "consumers/policy/language/cel/regex_private.h"

#include <string.h>

RuneClass *rune_class_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(RuneRange));
}

static RuneRange *range_at(const RuneClass *set, guint i)
{
    return &g_array_index((GArray *) set, RuneRange, i);
}

void rune_class_add(RuneClass *set, uint32_t low, uint32_t high)
{
    guint i = 0, last;

    /* most classes are built in order: look from the end */
    for (i = set->len; i > 0 && range_at(set, i - 1)->high + 1 >= low; i--)
        continue;
    for (last = i; last < set->len && range_at(set, last)->low <= high + 1; last++) {
        low = MIN(low, range_at(set, last)->low);
        high = MAX(high, range_at(set, last)->high);
    }
    const RuneRange range = { low, high };
    if (last > i)
        g_array_remove_range(set, i, last - i);
    g_array_insert_val(set, i, range);
}

void rune_class_add_class(RuneClass *set, const RuneClass *other)
{
    for (guint i = 0; i < other->len; i++)
        rune_class_add(set, range_at(other, i)->low, range_at(other, i)->high);
}

void rune_class_negate(RuneClass *set)
{
    g_autoptr(GArray) rest = rune_class_new();
    uint32_t next = 0;

    for (guint i = 0; i < set->len; i++) {
        if (range_at(set, i)->low > next)
            rune_class_add(rest, next, range_at(set, i)->low - 1);
        next = range_at(set, i)->high + 1;
    }
    if (next <= RUNE_MAX)
        rune_class_add(rest, next, RUNE_MAX);
    g_array_set_size(set, 0);
    g_array_append_vals(set, rest->data, rest->len);
}

bool rune_class_has(const RuneClass *set, uint32_t rune)
{
    guint low = 0, high = set->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (rune > range_at(set, middle)->high)
            low = middle + 1;
        else if (rune < range_at(set, middle)->low)
            high = middle;
        else
            return true;
    }
    return false;
}

/* --- cases --- */

typedef struct CasePair {
    uint32_t from, to;
} CasePair;

static void add_pair(GArray *pairs, uint32_t from, uint32_t to)
{
    const CasePair there = { from, to }, back = { to, from };

    if (from == to)
        return;
    g_array_append_val(pairs, there);
    g_array_append_val(pairs, back);
}

static gpointer make_pairs(gpointer unused)
{
    GArray *pairs = g_array_new(FALSE, FALSE, sizeof(CasePair));

    for (uint32_t rune = 0; rune < 0x1f000; rune++) { /* no letter with cases stands above */
        add_pair(pairs, rune, g_unichar_tolower(rune));
        add_pair(pairs, rune, g_unichar_toupper(rune));
    }
    return pairs;
}

void rune_class_fold(RuneClass *set)
{
    static GOnce once = G_ONCE_INIT;
    const GArray *pairs = g_once(&once, make_pairs, NULL);
    guint before;

    do { /* twice is enough: k, K and the Kelvin sign */
        g_autoptr(GArray) found = rune_class_new();

        before = set->len;
        for (guint i = 0; i < pairs->len; i++) {
            const CasePair pair = g_array_index((GArray *) pairs, CasePair, i);

            if (rune_class_has(set, pair.from) && !rune_class_has(set, pair.to))
                rune_class_add(found, pair.to, pair.to);
        }
        if (found->len == 0)
            return;
        rune_class_add_class(set, found);
    } while (set->len != before);
}

/* --- named classes --- */

static const struct {
    const char *name;
    RuneRange ranges[4]; /* to the first {0, 0} */
} ascii_classes[] = {
    { "alnum", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } },
    { "alpha", { { 'A', 'Z' }, { 'a', 'z' } } },
    { "ascii", { { 0, 0x7f } } },
    { "blank", { { '\t', '\t' }, { ' ', ' ' } } },
    { "cntrl", { { 0, 0x1f }, { 0x7f, 0x7f } } },
    { "digit", { { '0', '9' } } },
    { "graph", { { '!', '~' } } },
    { "lower", { { 'a', 'z' } } },
    { "print", { { ' ', '~' } } },
    { "punct", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } } },
    { "space", { { '\t', '\r' }, { ' ', ' ' } } },
    { "upper", { { 'A', 'Z' } } },
    { "word", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } } },
    { "xdigit", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } },
    { "perl-space", { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } } }, /* \s has no vertical tab */
};

bool rune_class_posix(RuneClass *set, const char *name, size_t length)
{
    for (size_t i = 0; i < G_N_ELEMENTS(ascii_classes); i++) {
        if (strlen(ascii_classes[i].name) != length || memcmp(ascii_classes[i].name, name, length) != 0)
            continue;
        for (size_t k = 0; k < 4 && ascii_classes[i].ranges[k].high != 0; k++)
            rune_class_add(set, ascii_classes[i].ranges[k].low, ascii_classes[i].ranges[k].high);
        return true;
    }
    return false;
}

bool rune_class_perl(RuneClass *set, char name)
{
    const char *posix = g_ascii_tolower(name) == 'd' ? "digit" : g_ascii_tolower(name) == 'w' ? "word" : "perl-space";

    if (strchr("dDsSwW", name) == NULL || name == '\0')
        return false;
    rune_class_posix(set, posix, strlen(posix));
    if (g_ascii_isupper(name))
        rune_class_negate(set);
    return true;
}

static const struct {
    const char *name;
    GUnicodeType first, last; /* as GLib numbers them */
} categories[] = {
    { "Cc", G_UNICODE_CONTROL, G_UNICODE_CONTROL },
    { "Cf", G_UNICODE_FORMAT, G_UNICODE_FORMAT },
    { "Co", G_UNICODE_PRIVATE_USE, G_UNICODE_PRIVATE_USE },
    { "Cs", G_UNICODE_SURROGATE, G_UNICODE_SURROGATE },
    { "Ll", G_UNICODE_LOWERCASE_LETTER, G_UNICODE_LOWERCASE_LETTER },
    { "Lm", G_UNICODE_MODIFIER_LETTER, G_UNICODE_MODIFIER_LETTER },
    { "Lo", G_UNICODE_OTHER_LETTER, G_UNICODE_OTHER_LETTER },
    { "Lt", G_UNICODE_TITLECASE_LETTER, G_UNICODE_TITLECASE_LETTER },
    { "Lu", G_UNICODE_UPPERCASE_LETTER, G_UNICODE_UPPERCASE_LETTER },
    { "Mc", G_UNICODE_SPACING_MARK, G_UNICODE_SPACING_MARK },
    { "Me", G_UNICODE_ENCLOSING_MARK, G_UNICODE_ENCLOSING_MARK },
    { "Mn", G_UNICODE_NON_SPACING_MARK, G_UNICODE_NON_SPACING_MARK },
    { "Nd", G_UNICODE_DECIMAL_NUMBER, G_UNICODE_DECIMAL_NUMBER },
    { "Nl", G_UNICODE_LETTER_NUMBER, G_UNICODE_LETTER_NUMBER },
    { "No", G_UNICODE_OTHER_NUMBER, G_UNICODE_OTHER_NUMBER },
    { "Pc", G_UNICODE_CONNECT_PUNCTUATION, G_UNICODE_CONNECT_PUNCTUATION },
    { "Pd", G_UNICODE_DASH_PUNCTUATION, G_UNICODE_DASH_PUNCTUATION },
    { "Pe", G_UNICODE_CLOSE_PUNCTUATION, G_UNICODE_CLOSE_PUNCTUATION },
    { "Pf", G_UNICODE_FINAL_PUNCTUATION, G_UNICODE_FINAL_PUNCTUATION },
    { "Pi", G_UNICODE_INITIAL_PUNCTUATION, G_UNICODE_INITIAL_PUNCTUATION },
    { "Po", G_UNICODE_OTHER_PUNCTUATION, G_UNICODE_OTHER_PUNCTUATION },
    { "Ps", G_UNICODE_OPEN_PUNCTUATION, G_UNICODE_OPEN_PUNCTUATION },
    { "Sc", G_UNICODE_CURRENCY_SYMBOL, G_UNICODE_CURRENCY_SYMBOL },
    { "Sk", G_UNICODE_MODIFIER_SYMBOL, G_UNICODE_MODIFIER_SYMBOL },
    { "Sm", G_UNICODE_MATH_SYMBOL, G_UNICODE_MATH_SYMBOL },
    { "So", G_UNICODE_OTHER_SYMBOL, G_UNICODE_OTHER_SYMBOL },
    { "Zl", G_UNICODE_LINE_SEPARATOR, G_UNICODE_LINE_SEPARATOR },
    { "Zp", G_UNICODE_PARAGRAPH_SEPARATOR, G_UNICODE_PARAGRAPH_SEPARATOR },
    { "Zs", G_UNICODE_SPACE_SEPARATOR, G_UNICODE_SPACE_SEPARATOR },
};

static void add_script(RuneClass *set, GUnicodeScript script)
{
    for (uint32_t rune = 0; rune <= RUNE_MAX; rune++)
        if (g_unichar_get_script(rune) == script)
            rune_class_add(set, rune, rune);
}

/* GLib knows scripts by ISO 15924 codes ("Grek") and has no list of names: those people write. */
static GUnicodeScript script_named(const char *name, size_t length)
{
    static const struct {
        const char *name;
        GUnicodeScript script;
    } scripts[] = {
        { "Arabic", G_UNICODE_SCRIPT_ARABIC },     { "Armenian", G_UNICODE_SCRIPT_ARMENIAN }, { "Bengali", G_UNICODE_SCRIPT_BENGALI },
        { "Braille", G_UNICODE_SCRIPT_BRAILLE },   { "Common", G_UNICODE_SCRIPT_COMMON },     { "Cyrillic", G_UNICODE_SCRIPT_CYRILLIC },
        { "Devanagari", G_UNICODE_SCRIPT_DEVANAGARI }, { "Ethiopic", G_UNICODE_SCRIPT_ETHIOPIC }, { "Georgian", G_UNICODE_SCRIPT_GEORGIAN },
        { "Greek", G_UNICODE_SCRIPT_GREEK },       { "Han", G_UNICODE_SCRIPT_HAN },           { "Hangul", G_UNICODE_SCRIPT_HANGUL },
        { "Hebrew", G_UNICODE_SCRIPT_HEBREW },     { "Hiragana", G_UNICODE_SCRIPT_HIRAGANA }, { "Inherited", G_UNICODE_SCRIPT_INHERITED },
        { "Katakana", G_UNICODE_SCRIPT_KATAKANA }, { "Khmer", G_UNICODE_SCRIPT_KHMER },       { "Lao", G_UNICODE_SCRIPT_LAO },
        { "Latin", G_UNICODE_SCRIPT_LATIN },       { "Mongolian", G_UNICODE_SCRIPT_MONGOLIAN }, { "Tamil", G_UNICODE_SCRIPT_TAMIL },
        { "Telugu", G_UNICODE_SCRIPT_TELUGU },     { "Thai", G_UNICODE_SCRIPT_THAI },         { "Tibetan", G_UNICODE_SCRIPT_TIBETAN },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++)
        if (strlen(scripts[i].name) == length && memcmp(scripts[i].name, name, length) == 0)
            return scripts[i].script;
    return G_UNICODE_SCRIPT_INVALID_CODE;
}

bool rune_class_unicode(RuneClass *set, const char *name, size_t length)
{
    uint64_t wanted = 0;

    if (length == 3 && memcmp(name, "Any", 3) == 0) {
        rune_class_add(set, 0, RUNE_MAX);
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(categories); i++)
        if (length <= 2 && length > 0 && memcmp(categories[i].name, name, length) == 0)
            wanted |= UINT64_C(1) << categories[i].first;
    if (wanted == 0) {
        GUnicodeScript script = script_named(name, length);

        if (script == G_UNICODE_SCRIPT_INVALID_CODE)
            return false;
        add_script(set, script);
        return true;
    }
    for (uint32_t rune = 0; rune <= RUNE_MAX; rune++)
        if ((wanted & (UINT64_C(1) << g_unichar_type(rune))) != 0)
            rune_class_add(set, rune, rune);
    return true;
}
