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

/* The first range that ends at @rune or after it. */
static guint first_from(const RuneClass *set, uint32_t rune)
{
    guint low = 0, high = set->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (range_at(set, middle)->high < rune)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void rune_class_add(RuneClass *set, uint32_t low, uint32_t high)
{
    guint i = first_from(set, low == 0 ? 0 : low - 1), last;

    if (i < set->len && range_at(set, i)->low <= low && range_at(set, i)->high >= high)
        return;
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
    guint i = first_from(set, rune);

    return i < set->len && range_at(set, i)->low <= rune;
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

static int by_letter(gconstpointer a, gconstpointer b)
{
    const CasePair *x = a, *y = b;

    return x->from != y->from ? (x->from > y->from) - (x->from < y->from) : (x->to > y->to) - (x->to < y->to);
}

static gpointer make_pairs(gpointer unused)
{
    GArray *pairs = g_array_new(FALSE, FALSE, sizeof(CasePair));

    for (uint32_t rune = 0; rune < 0x1f000; rune++) { /* no letter with cases stands above */
        if (rune == 0x130 || rune == 0x131)
            continue; /* the Turkish i's: without a language they are no case of i */
        add_pair(pairs, rune, g_unichar_tolower(rune));
        add_pair(pairs, rune, g_unichar_toupper(rune));
    }
    g_array_sort(pairs, by_letter);
    return pairs;
}

/* The first pair of a letter that is @rune or above it. */
static guint first_pair(const GArray *pairs, uint32_t rune)
{
    guint low = 0, high = pairs->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (g_array_index((GArray *) pairs, CasePair, middle).from < rune)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What the letters of @set have as other cases. */
static void other_cases(const GArray *pairs, const RuneClass *set, RuneClass *found)
{
    for (guint i = 0; i < set->len; i++)
        for (guint k = first_pair(pairs, range_at(set, i)->low); k < pairs->len; k++) {
            const CasePair pair = g_array_index((GArray *) pairs, CasePair, k);

            if (pair.from > range_at(set, i)->high)
                break;
            if (!rune_class_has(set, pair.to))
                rune_class_add(found, pair.to, pair.to);
        }
}

void rune_class_fold(RuneClass *set)
{
    static GOnce once = G_ONCE_INIT;
    const GArray *pairs = g_once(&once, make_pairs, NULL);

    for (;;) { /* twice is enough: k, K and the Kelvin sign */
        g_autoptr(GArray) found = rune_class_new();

        other_cases(pairs, set, found);
        if (found->len == 0)
            return;
        rune_class_add_class(set, found);
    }
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

/* Runs of characters alike, in order: asked from GLib once, since a pattern may name a class a thousand times. */
typedef struct Run {
    uint32_t low, high;
    GUnicodeType type;
    GUnicodeScript script;
} Run;

static gpointer make_runs(gpointer unused)
{
    GArray *runs = g_array_new(FALSE, FALSE, sizeof(Run));

    for (uint32_t rune = 0; rune <= RUNE_MAX; rune++) {
        const Run next = { rune, rune, g_unichar_type(rune), g_unichar_get_script(rune) };
        Run *last = runs->len == 0 ? NULL : &g_array_index(runs, Run, runs->len - 1);

        if (last != NULL && last->type == next.type && last->script == next.script)
            last->high = rune;
        else
            g_array_append_val(runs, next);
    }
    return runs;
}

/* GLib knows scripts by ISO 15924 codes ("Grek") and has no list of the names people write: Unicode's, to version 15. */
#define SCRIPTS(X) \
    X(ADLAM, "Adlam") X(AHOM, "Ahom") X(ANATOLIAN_HIEROGLYPHS, "Anatolian_Hieroglyphs") X(ARABIC, "Arabic") \
    X(ARMENIAN, "Armenian") X(AVESTAN, "Avestan") X(BALINESE, "Balinese") X(BAMUM, "Bamum") X(BASSA_VAH, "Bassa_Vah") \
    X(BATAK, "Batak") X(BENGALI, "Bengali") X(BHAIKSUKI, "Bhaiksuki") X(BOPOMOFO, "Bopomofo") X(BRAHMI, "Brahmi") \
    X(BRAILLE, "Braille") X(BUGINESE, "Buginese") X(BUHID, "Buhid") X(CANADIAN_ABORIGINAL, "Canadian_Aboriginal") \
    X(CARIAN, "Carian") X(CAUCASIAN_ALBANIAN, "Caucasian_Albanian") X(CHAKMA, "Chakma") X(CHAM, "Cham") \
    X(CHEROKEE, "Cherokee") X(CHORASMIAN, "Chorasmian") X(COMMON, "Common") X(COPTIC, "Coptic") X(CUNEIFORM, "Cuneiform") \
    X(CYPRIOT, "Cypriot") X(CYPRO_MINOAN, "Cypro_Minoan") X(CYRILLIC, "Cyrillic") X(DESERET, "Deseret") \
    X(DEVANAGARI, "Devanagari") X(DIVES_AKURU, "Dives_Akuru") X(DOGRA, "Dogra") X(DUPLOYAN, "Duployan") \
    X(EGYPTIAN_HIEROGLYPHS, "Egyptian_Hieroglyphs") X(ELBASAN, "Elbasan") X(ELYMAIC, "Elymaic") X(ETHIOPIC, "Ethiopic") \
    X(GEORGIAN, "Georgian") X(GLAGOLITIC, "Glagolitic") X(GOTHIC, "Gothic") X(GRANTHA, "Grantha") X(GREEK, "Greek") \
    X(GUJARATI, "Gujarati") X(GUNJALA_GONDI, "Gunjala_Gondi") X(GURMUKHI, "Gurmukhi") X(HAN, "Han") X(HANGUL, "Hangul") \
    X(HANIFI_ROHINGYA, "Hanifi_Rohingya") X(HANUNOO, "Hanunoo") X(HATRAN, "Hatran") X(HEBREW, "Hebrew") \
    X(HIRAGANA, "Hiragana") X(IMPERIAL_ARAMAIC, "Imperial_Aramaic") X(INHERITED, "Inherited") \
    X(INSCRIPTIONAL_PAHLAVI, "Inscriptional_Pahlavi") X(INSCRIPTIONAL_PARTHIAN, "Inscriptional_Parthian") \
    X(JAVANESE, "Javanese") X(KAITHI, "Kaithi") X(KANNADA, "Kannada") X(KATAKANA, "Katakana") X(KAWI, "Kawi") \
    X(KAYAH_LI, "Kayah_Li") X(KHAROSHTHI, "Kharoshthi") X(KHITAN_SMALL_SCRIPT, "Khitan_Small_Script") X(KHMER, "Khmer") \
    X(KHOJKI, "Khojki") X(KHUDAWADI, "Khudawadi") X(LAO, "Lao") X(LATIN, "Latin") X(LEPCHA, "Lepcha") X(LIMBU, "Limbu") \
    X(LINEAR_A, "Linear_A") X(LINEAR_B, "Linear_B") X(LISU, "Lisu") X(LYCIAN, "Lycian") X(LYDIAN, "Lydian") \
    X(MAHAJANI, "Mahajani") X(MAKASAR, "Makasar") X(MALAYALAM, "Malayalam") X(MANDAIC, "Mandaic") X(MANICHAEAN, "Manichaean") \
    X(MARCHEN, "Marchen") X(MASARAM_GONDI, "Masaram_Gondi") X(MEDEFAIDRIN, "Medefaidrin") X(MEETEI_MAYEK, "Meetei_Mayek") \
    X(MENDE_KIKAKUI, "Mende_Kikakui") X(MEROITIC_CURSIVE, "Meroitic_Cursive") X(MEROITIC_HIEROGLYPHS, "Meroitic_Hieroglyphs") \
    X(MIAO, "Miao") X(MODI, "Modi") X(MONGOLIAN, "Mongolian") X(MRO, "Mro") X(MULTANI, "Multani") X(MYANMAR, "Myanmar") \
    X(NABATAEAN, "Nabataean") X(NAG_MUNDARI, "Nag_Mundari") X(NANDINAGARI, "Nandinagari") X(NEWA, "Newa") \
    X(NEW_TAI_LUE, "New_Tai_Lue") X(NKO, "Nko") X(NUSHU, "Nushu") X(NYIAKENG_PUACHUE_HMONG, "Nyiakeng_Puachue_Hmong") \
    X(OGHAM, "Ogham") X(OLD_HUNGARIAN, "Old_Hungarian") X(OLD_ITALIC, "Old_Italic") X(OLD_NORTH_ARABIAN, "Old_North_Arabian") \
    X(OLD_PERMIC, "Old_Permic") X(OLD_PERSIAN, "Old_Persian") X(OLD_SOGDIAN, "Old_Sogdian") \
    X(OLD_SOUTH_ARABIAN, "Old_South_Arabian") X(OLD_TURKIC, "Old_Turkic") X(OLD_UYGHUR, "Old_Uyghur") X(OL_CHIKI, "Ol_Chiki") \
    X(ORIYA, "Oriya") X(OSAGE, "Osage") X(OSMANYA, "Osmanya") X(PAHAWH_HMONG, "Pahawh_Hmong") X(PALMYRENE, "Palmyrene") \
    X(PAU_CIN_HAU, "Pau_Cin_Hau") X(PHAGS_PA, "Phags_Pa") X(PHOENICIAN, "Phoenician") X(PSALTER_PAHLAVI, "Psalter_Pahlavi") \
    X(REJANG, "Rejang") X(RUNIC, "Runic") X(SAMARITAN, "Samaritan") X(SAURASHTRA, "Saurashtra") X(SHARADA, "Sharada") \
    X(SHAVIAN, "Shavian") X(SIDDHAM, "Siddham") X(SIGNWRITING, "SignWriting") X(SINHALA, "Sinhala") X(SOGDIAN, "Sogdian") \
    X(SORA_SOMPENG, "Sora_Sompeng") X(SOYOMBO, "Soyombo") X(SUNDANESE, "Sundanese") X(SYLOTI_NAGRI, "Syloti_Nagri") \
    X(SYRIAC, "Syriac") X(TAGALOG, "Tagalog") X(TAGBANWA, "Tagbanwa") X(TAI_LE, "Tai_Le") X(TAI_THAM, "Tai_Tham") \
    X(TAI_VIET, "Tai_Viet") X(TAKRI, "Takri") X(TAMIL, "Tamil") X(TANGSA, "Tangsa") X(TANGUT, "Tangut") X(TELUGU, "Telugu") \
    X(THAANA, "Thaana") X(THAI, "Thai") X(TIBETAN, "Tibetan") X(TIFINAGH, "Tifinagh") X(TIRHUTA, "Tirhuta") X(TOTO, "Toto") \
    X(UGARITIC, "Ugaritic") X(VAI, "Vai") X(VITHKUQI, "Vithkuqi") X(WANCHO, "Wancho") X(WARANG_CITI, "Warang_Citi") \
    X(YEZIDI, "Yezidi") X(YI, "Yi") X(ZANABAZAR_SQUARE, "Zanabazar_Square")

static GUnicodeScript script_named(const char *name, size_t length)
{
#define X(id, text) { text, G_UNICODE_SCRIPT_##id },
    static const struct {
        const char *name;
        GUnicodeScript script;
    } scripts[] = { SCRIPTS(X) };
#undef X

    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++)
        if (strlen(scripts[i].name) == length && memcmp(scripts[i].name, name, length) == 0)
            return scripts[i].script;
    return G_UNICODE_SCRIPT_INVALID_CODE;
}

bool rune_class_unicode(RuneClass *set, const char *name, size_t length)
{
    static GOnce once = G_ONCE_INIT;
    const GArray *runs = g_once(&once, make_runs, NULL);
    uint64_t wanted = 0;

    if (length == 3 && memcmp(name, "Any", 3) == 0) {
        rune_class_add(set, 0, RUNE_MAX);
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(categories); i++)
        if (length <= 2 && length > 0 && memcmp(categories[i].name, name, length) == 0)
            wanted |= UINT64_C(1) << categories[i].first;
    GUnicodeScript script = wanted == 0 ? script_named(name, length) : G_UNICODE_SCRIPT_INVALID_CODE;
    if (wanted == 0 && script == G_UNICODE_SCRIPT_INVALID_CODE)
        return false;
    for (guint i = 0; i < runs->len; i++) {
        const Run run = g_array_index((GArray *) runs, Run, i);

        if (wanted == 0 ? run.script == script : (wanted >> run.type & 1) != 0)
            rune_class_add(set, run.low, run.high);
    }
    return true;
}
