/* Repetition is what makes events large: the same few keys, states and kinds in every one (the words), and the agent, the boot and the
 * host told twice within one (the references). Both cost the reader nothing, since a text is a pointer wherever it points.
 *
 * A reader believes nothing: the block may come from a damaged disk. Texts are nearly always ASCII, which is seen eight bytes at a time. */
#include "lib/base/pack.h"

#include <string.h>

G_DEFINE_QUARK(mend-pack-error-quark, pack_error)

enum { TAG_NULL, TAG_FALSE, TAG_TRUE, TAG_INTEGER, TAG_REAL, TAG_TEXT, TAG_ARRAY, TAG_OBJECT };

/* Append only, and never more than PACK_WORDS_MAX. */
#define W(text) { text, sizeof text - 1 }
static const struct {
    const char *text;
    size_t length;
} words[] = {
    W("agent"), W("vm"), W("hostname"), W("name"), W("state"), W("intent"), W("reason"), W("boot_id"), W("occurred_us"), W("pid"),
    W("rc"), W("text"), W("error"), W("command"), W("incident"), W("repaired"), W("unknown"), W("none"), W("admin"), W("update"),
    W("shutdown"), W("running"), W("failed"), W("stopped"), W("starting"), W("stopping"), W("degraded"), W("up"), W("late"), W("lost"),
    W("closed"), W("service.running"), W("service.failed"), W("service.stopped"), W("service.unknown"), W("service.starting"),
    W("service.stopping"), W("service.degraded"), W("agent.up"), W("agent.late"), W("agent.lost"), W("agent.closed"),
    W("agent.restarted"), W("vm.rebooted"), W("command.done"), W("command.failed"), W("command.expired"), W("input"), W("result"),
    W("command_id"), W("values"), W("done"), W("refused"), W("progress"), W("epoch"), W("verb"), W("target"), W("who"), W("standard"),
    W("systemd"),
};
#undef W
G_STATIC_ASSERT(G_N_ELEMENTS(words) <= PACK_WORDS_MAX);

#define SLOTS 256
static guint8 word_slots[SLOTS]; /* word + 1; 0: empty */

static guint hash_text(const char *text, size_t length)
{
    guint hash = (guint) length * 31;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (guchar) text[i]) * 0x01000193u;
    return (hash ^ (hash >> 13)) % SLOTS;
}

static void words_prepare(void)
{
    static gsize prepared;

    if (!g_once_init_enter(&prepared))
        return;
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        guint slot = hash_text(words[i].text, words[i].length);

        while (word_slots[slot] != 0)
            slot = (slot + 1) % SLOTS;
        word_slots[slot] = (guint8) (i + 1);
    }
    g_once_init_leave(&prepared, 1);
}

/* -1: no word. */
static int word_find(const char *text, size_t length)
{
    if (length > 16)
        return -1;
    for (guint slot = hash_text(text, length); word_slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        int word = word_slots[slot] - 1;

        if (words[word].length == length && memcmp(words[word].text, text, length) == 0)
            return word;
    }
    return -1;
}

void pack_begin(Packer *packer, GByteArray *block)
{
    words_prepare();
    packer->block = block;
    packer->begin = block->len;
    packer->n_texts = 0;
}

static void put_byte(Packer *p, guint8 byte)
{
    g_byte_array_append(p->block, &byte, 1);
}

void pack_number(Packer *p, uint64_t number)
{
    guint8 bytes[10];
    guint n = 0;

    for (; number >= 0x80; number >>= 7)
        bytes[n++] = (guint8) (number | 0x80);
    bytes[n++] = (guint8) number;
    g_byte_array_append(p->block, bytes, n);
}

void pack_signed(Packer *p, int64_t number)
{
    pack_number(p, ((uint64_t) number << 1) ^ (number < 0 ? UINT64_MAX : 0));
}

void pack_real(Packer *p, double number)
{
    guint64 bits;

    memcpy(&bits, &number, sizeof bits);
    bits = GUINT64_TO_LE(bits);
    g_byte_array_append(p->block, (const guint8 *) &bits, sizeof bits);
}

static void put_text(Packer *p, const char *text, size_t length)
{
    int word = word_find(text, length);

    if (word >= 0) {
        pack_number(p, ((uint64_t) word + 1) * 2);
        return;
    }
    for (unsigned i = 0; i < p->n_texts; i++)
        if (p->texts[i].length == length && memcmp(p->block->data + p->begin + p->texts[i].at, text, length) == 0) {
            pack_number(p, ((uint64_t) p->texts[i].at + PACK_WORDS_MAX + 1) * 2);
            return;
        }
    pack_number(p, (uint64_t) length * 2 + 1);
    if (length > 2 && p->n_texts < G_N_ELEMENTS(p->texts) && memchr(text, 0, length) == NULL) {
        p->texts[p->n_texts].at = p->block->len - p->begin;
        p->texts[p->n_texts++].length = (guint) length;
    }
    g_byte_array_append(p->block, (const guint8 *) text, (guint) length);
    put_byte(p, 0);
}

void pack_text(Packer *packer, const char *text)
{
    if (text == NULL)
        pack_number(packer, 0);
    else
        put_text(packer, text, strlen(text));
}

static void put_value(Packer *p, const json_t *value, unsigned depth)
{
    const char *key;
    json_t *member;
    size_t i;

    switch (depth > PACK_DEPTH_MAX ? JSON_NULL : json_typeof(value)) {
    case JSON_NULL:    put_byte(p, TAG_NULL);  break;
    case JSON_FALSE:   put_byte(p, TAG_FALSE); break;
    case JSON_TRUE:    put_byte(p, TAG_TRUE);  break;
    case JSON_INTEGER: put_byte(p, TAG_INTEGER); pack_signed(p, json_integer_value(value)); break;
    case JSON_REAL:    put_byte(p, TAG_REAL); pack_real(p, json_real_value(value)); break;
    case JSON_STRING:  put_byte(p, TAG_TEXT); put_text(p, json_string_value(value), json_string_length(value)); break;
    case JSON_ARRAY:
        put_byte(p, TAG_ARRAY);
        pack_number(p, json_array_size(value));
        json_array_foreach(value, i, member)
            put_value(p, member, depth + 1);
        break;
    case JSON_OBJECT:
        put_byte(p, TAG_OBJECT);
        pack_number(p, json_object_size(value));
        json_object_foreach((json_t *) value, key, member) {
            put_text(p, key, strlen(key));
            put_value(p, member, depth + 1);
        }
        break;
    }
}

void pack_value(Packer *packer, const json_t *value)
{
    put_value(packer, value, 1);
}

static bool is_ascii(const char *bytes, size_t size)
{
    uint64_t all = 0, eight;
    size_t i = 0;

    for (; i + sizeof eight <= size; i += sizeof eight) {
        memcpy(&eight, bytes + i, sizeof eight);
        all |= eight;
    }
    for (; i < size; i++)
        all |= (uint8_t) bytes[i];
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

static bool is_utf8(const char *text, size_t length)
{
    return G_LIKELY(is_ascii(text, length)) || g_utf8_validate_len(text, length, NULL);
}

void unpack_begin(Unpacker *u, const void *block, size_t size)
{
    u->begin = u->at = block;
    u->end = u->begin + size;
    u->failed = false;
}

static uint64_t fail(Unpacker *u)
{
    u->failed = true;
    u->at = u->end;
    return 0;
}

static uint64_t number_long(Unpacker *u)
{
    uint64_t number = 0;

    for (unsigned shift = 0; shift < 64 && u->at < u->end; shift += 7) {
        uint8_t byte = *u->at++;

        number |= (uint64_t) (byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return shift == 63 && byte > 1 ? fail(u) : number;
    }
    return fail(u);
}

uint64_t unpack_number(Unpacker *u)
{
    if (G_LIKELY(u->at < u->end && *u->at < 0x80))
        return *u->at++;
    return number_long(u);
}

int64_t unpack_signed(Unpacker *u)
{
    uint64_t number = unpack_number(u);

    return (int64_t) ((number >> 1) ^ (0 - (number & 1)));
}

double unpack_real(Unpacker *u)
{
    guint64 bits;
    double number;

    if ((size_t) (u->end - u->at) < sizeof bits) {
        fail(u);
        return 0;
    }
    memcpy(&bits, u->at, sizeof bits);
    u->at += sizeof bits;
    bits = GUINT64_FROM_LE(bits);
    memcpy(&number, &bits, sizeof number);
    return number;
}

static const char *refused(Unpacker *u)
{
    fail(u);
    return NULL;
}

static const char *text_inline(Unpacker *u, uint64_t length, size_t *ret_length)
{
    const char *text = (const char *) u->at;

    if (length >= (uint64_t) (u->end - u->at) || text[length] != '\0' || !is_utf8(text, (size_t) length))
        return refused(u);
    u->at += length + 1;
    *ret_length = (size_t) length;
    return text;
}

/* What was read is before @at, and every text there ends with a 0. */
static const char *text_again(Unpacker *u, uint64_t offset, size_t *ret_length)
{
    const char *text = (const char *) u->begin + offset;
    const char *zero = offset >= (uint64_t) (u->at - u->begin) ? NULL : memchr(text, 0, (size_t) ((const char *) u->at - text));

    if (zero == NULL || !is_utf8(text, (size_t) (zero - text)))
        return refused(u);
    *ret_length = (size_t) (zero - text);
    return text;
}

const char *unpack_text(Unpacker *u, size_t *ret_length)
{
    uint64_t n = unpack_number(u), reference = n / 2 - 1;
    size_t length = 0;
    const char *text = NULL;

    if (n % 2 == 1) {
        text = text_inline(u, n / 2, &length);
    } else if (n != 0 && reference >= PACK_WORDS_MAX) {
        text = text_again(u, reference - PACK_WORDS_MAX, &length);
    } else if (n != 0) {
        text = reference < G_N_ELEMENTS(words) ? words[reference].text : refused(u);
        length = text == NULL ? 0 : words[reference].length;
    }
    if (ret_length != NULL)
        *ret_length = length;
    return text;
}

const char *unpack_text_needed(Unpacker *u)
{
    const char *text = unpack_text(u, NULL);

    return text == NULL ? refused(u) : text;
}

static json_t *take_value(Unpacker *u, unsigned depth);

static json_t *take_many(Unpacker *u, uint8_t tag, unsigned depth)
{
    g_autoptr(json_t) all = tag == TAG_ARRAY ? json_array() : json_object();
    uint64_t n = unpack_number(u);

    for (uint64_t i = 0; i < n && !u->failed; i++) {
        const char *key = tag == TAG_ARRAY ? NULL : unpack_text_needed(u);
        json_t *member = u->failed ? NULL : take_value(u, depth + 1);

        if (member != NULL && (key == NULL ? json_array_append_new(all, member) : json_object_set_new_nocheck(all, key, member)) != 0)
            fail(u);
    }
    return u->failed ? NULL : g_steal_pointer(&all);
}

static json_t *take_text(Unpacker *u)
{
    size_t length;
    const char *text = unpack_text(u, &length);

    if (text == NULL)
        fail(u);
    return text == NULL ? NULL : json_stringn_nocheck(text, length);
}

static json_t *take_value(Unpacker *u, unsigned depth)
{
    uint8_t tag = u->at < u->end && depth <= PACK_DEPTH_MAX ? *u->at++ : UINT8_MAX;

    switch (tag) {
    case TAG_NULL:    return json_null();
    case TAG_FALSE:   return json_false();
    case TAG_TRUE:    return json_true();
    case TAG_INTEGER: return json_integer(unpack_signed(u));
    case TAG_TEXT:    return take_text(u);
    case TAG_ARRAY:
    case TAG_OBJECT:  return take_many(u, tag, depth);
    case TAG_REAL: {
        json_t *number = json_real(unpack_real(u)); /* NULL: not a number, which JSON cannot say */

        if (number == NULL)
            fail(u);
        return number;
    }
    default:
        fail(u);
        return NULL;
    }
}

json_t *unpack_value(Unpacker *u)
{
    g_autoptr(json_t) value = take_value(u, 1);

    return u->failed ? NULL : g_steal_pointer(&value);
}

static void skip_value(Unpacker *u, unsigned depth)
{
    uint8_t tag = u->at < u->end && depth <= PACK_DEPTH_MAX ? *u->at++ : UINT8_MAX;

    if (tag == TAG_INTEGER) {
        unpack_signed(u);
    } else if (tag == TAG_REAL) {
        double number = unpack_real(u);

        if (!(number - number == 0)) /* as json_real() */
            fail(u);
    } else if (tag == TAG_TEXT) {
        unpack_text_needed(u);
    } else if (tag == TAG_ARRAY || tag == TAG_OBJECT) {
        for (uint64_t n = unpack_number(u); n > 0 && !u->failed; n--) {
            if (tag == TAG_OBJECT)
                unpack_text_needed(u);
            if (!u->failed)
                skip_value(u, depth + 1);
        }
    } else if (tag > TAG_TRUE) {
        fail(u);
    }
}

void unpack_skip(Unpacker *u)
{
    skip_value(u, 1);
}

bool unpack_is_object(const Unpacker *unpacker)
{
    return unpacker->at < unpacker->end && *unpacker->at == TAG_OBJECT;
}

/* The word that comes next, when it is one; @at moves on. */
static int take_word(Unpacker *u)
{
    const uint8_t *before = u->at;
    uint64_t n = unpack_number(u);

    if (n != 0 && n % 2 == 0 && n / 2 - 1 < PACK_WORDS_MAX)
        return (int) (n / 2 - 1);
    u->at = before;
    unpack_text_needed(u);
    return -1;
}

bool unpack_skip_noting(Unpacker *u, uint16_t ret_places[PACK_PLACES])
{
    bool fit = true;

    memset(ret_places, 0, PACK_PLACES * sizeof *ret_places);
    if (!unpack_is_object(u)) {
        unpack_skip(u);
        return false;
    }
    u->at++;
    for (uint64_t n = unpack_number(u); n > 0 && !u->failed; n--) {
        int word = take_word(u);
        size_t place = (size_t) (u->at - u->begin);

        if (word >= (int) G_N_ELEMENTS(words))
            fail(u);
        if (word >= 0 && word < PACK_PLACES && ret_places[word] == 0) {
            fit &= place <= UINT16_MAX;
            ret_places[word] = (uint16_t) place;
        }
        if (!u->failed)
            skip_value(u, 2);
    }
    return fit;
}

int pack_place(const char *key)
{
    words_prepare();
    int word = word_find(key, strlen(key));
    return word < PACK_PLACES ? word : -1;
}

const char *unpack_text_at(const Unpacker *unpacker, uint16_t place)
{
    Unpacker u = *unpacker;

    u.at = u.begin + place;
    return u.at < u.end && *u.at++ == TAG_TEXT ? unpack_text(&u, NULL) : NULL;
}

/* A key is a word or inline nearly always: the number of the one is compared, or the length of the other, before any letter is. */
static bool key_is(Unpacker *u, const char *key, size_t length, int word)
{
    const uint8_t *before = u->at;
    uint64_t n = unpack_number(u);

    if (n != 0 && n % 2 == 0 && n / 2 - 1 < PACK_WORDS_MAX)
        return (int) (n / 2 - 1) == word;
    u->at = before;
    size_t found;
    const char *text = unpack_text(u, &found);
    return text != NULL && found == length && memcmp(text, key, length) == 0;
}

const char *unpack_find_text(const Unpacker *unpacker, const char *key)
{
    Unpacker u = *unpacker;
    size_t length = strlen(key);

    words_prepare();
    if (u.at >= u.end || *u.at++ != TAG_OBJECT)
        return NULL;
    int word = word_find(key, length);
    for (uint64_t n = unpack_number(&u); n > 0 && !u.failed; n--) {
        if (key_is(&u, key, length, word))
            return u.at < u.end && *u.at++ == TAG_TEXT ? unpack_text(&u, NULL) : NULL;
        skip_value(&u, 1);
    }
    return NULL;
}

bool unpack_failed(const Unpacker *u, const char *what, GError **error)
{
    if (!u->failed && u->at == u->end)
        return false;
    g_set_error(error, PACK_ERROR, PACK_ERROR_DAMAGED, "%s is damaged: %s", what, u->failed ? "it does not follow its form" : "bytes are left at its end");
    return true;
}
