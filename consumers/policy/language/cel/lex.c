/* A lexer that is asked, keeps no state and reads every escape of the specification. Texts are decoded straight into the arena: an escape is never
 * shorter than what it stands for, so the source's length is room enough. */
#include "consumers/policy/language/cel/lex.h"

#include <errno.h>
#include <math.h>

static Token wrong(void)
{
    return (Token){ .kind = TOKEN_WRONG };
}

static char at(const Compile *c, size_t i)
{
    return i < c->program->length ? c->program->text[i] : '\0';
}

static size_t skip_blanks(const Compile *c, size_t i)
{
    for (;; i++) {
        if (at(c, i) == '/' && at(c, i + 1) == '/') {
            const char *end = memchr(c->program->text + i, '\n', c->program->length - i);

            if (end == NULL)
                return c->program->length;
            i = (size_t) (end - c->program->text);
        } else if (at(c, i) == '\0' || strchr(" \t\n\f\r", at(c, i)) == NULL) {
            return i;
        }
    }
}

static bool is_word(char x, bool first)
{
    return g_ascii_isalpha(x) || x == '_' || (!first && g_ascii_isdigit(x));
}

/* ---- numbers ---- */

static Token integer(Compile *c, Token token, int base)
{
    const char *text = c->program->text;
    g_autofree char *digits = g_strndup(text + token.offset + (base == 16 ? 2 : 0), token.end - token.offset - (base == 16 ? 2 : 0));

    errno = 0;
    token.value = cel_uint(g_ascii_strtoull(digits, NULL, base));
    if (errno != 0 || *digits == '\0') {
        cel_compile_fail(c, token.offset, CEL_PARSE_ERROR_SYNTAX, *digits == '\0' ? "digits are missing" : "does not fit into 64 bits");
        return wrong();
    }
    token.kind = TOKEN_INT;
    if (at(c, token.end) == 'u' || at(c, token.end) == 'U') {
        token.kind = TOKEN_UINT;
        token.end++;
    }
    return token;
}

static Token number(Compile *c, size_t i)
{
    Token token = { .offset = i };
    bool real = false;

    if (at(c, i) == '0' && (at(c, i + 1) == 'x' || at(c, i + 1) == 'X')) {
        for (i += 2; g_ascii_isxdigit(at(c, i)); i++)
            ;
        token.end = i;
        token = integer(c, token, 16);
    } else {
        for (; g_ascii_isdigit(at(c, i)); i++)
            ;
        if (at(c, i) == '.' && g_ascii_isdigit(at(c, i + 1))) {
            real = true;
            for (i++; g_ascii_isdigit(at(c, i)); i++)
                ;
        }
        size_t sign = at(c, i + 1) == '+' || at(c, i + 1) == '-' ? 2 : 1;
        if ((at(c, i) == 'e' || at(c, i) == 'E') && g_ascii_isdigit(at(c, i + sign))) {
            real = true;
            for (i += sign; g_ascii_isdigit(at(c, i)); i++)
                ;
        }
        token.end = i;
        if (real) {
            g_autofree char *digits = g_strndup(c->program->text + token.offset, token.end - token.offset);

            token.kind = TOKEN_DOUBLE;
            token.value = cel_double(g_ascii_strtod(digits, NULL));
            if (isinf(token.value.as.real)) {
                cel_compile_fail(c, token.offset, CEL_PARSE_ERROR_SYNTAX, "%s does not fit into a double", digits);
                return wrong();
            }
        } else {
            token = integer(c, token, 10);
        }
    }
    if (token.kind != TOKEN_WRONG && is_word(at(c, token.end), false)) {
        cel_compile_fail(c, token.end, CEL_PARSE_ERROR_SYNTAX, "\"%c\" is not expected after a number", at(c, token.end));
        return wrong();
    }
    return token;
}

/* ---- texts ---- */

typedef struct Text {
    Compile *c;
    size_t i, start;
    char *out;
    size_t n;
    bool bytes;
} Text;

static bool put_code(Text *t, uint32_t code)
{
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        cel_compile_fail(t->c, t->i, CEL_PARSE_ERROR_SYNTAX, "U+%04X is no character", code);
        return false;
    }
    t->n += (size_t) g_unichar_to_utf8(code, t->out + t->n);
    return true;
}

/* @digits in @base after the backslash and its letter; @width: how many characters of the escape come before them. */
static bool numbered(Text *t, unsigned width, unsigned digits, unsigned base)
{
    uint32_t code = 0;

    for (unsigned k = 0; k < digits; k++) {
        int digit = g_ascii_xdigit_value(at(t->c, t->i + width + k));

        if (digit < 0 || digit >= (int) base) {
            cel_compile_fail(t->c, t->i, CEL_PARSE_ERROR_SYNTAX, "%u %s digits are wanted here", digits, base == 8 ? "octal" : "hexadecimal");
            return false;
        }
        code = code * base + (uint32_t) digit;
    }
    bool octet = t->bytes && digits <= 3;
    if (octet)
        t->out[t->n++] = (char) code;
    else if (!put_code(t, code))
        return false;
    t->i += width + digits;
    return true;
}

static bool escape(Text *t)
{
    static const char from[] = "abfnrtv\\?\"'`", to[] = "\a\b\f\n\r\t\v\\?\"'`";
    char letter = at(t->c, t->i + 1);
    const char *found = letter == '\0' ? NULL : strchr(from, letter);

    if (found != NULL) {
        t->out[t->n++] = to[found - from];
        t->i += 2;
        return true;
    }
    if (letter == 'x' || letter == 'X')
        return numbered(t, 2, 2, 16);
    if (letter >= '0' && letter <= '3')
        return numbered(t, 1, 3, 8);
    if ((letter == 'u' || letter == 'U') && t->bytes) {
        cel_compile_fail(t->c, t->i, CEL_PARSE_ERROR_SYNTAX, "\\%c names a character, and bytes have none: use \\x", letter);
        return false;
    }
    if (letter == 'u' || letter == 'U')
        return numbered(t, 2, letter == 'u' ? 4 : 8, 16);
    cel_compile_fail(t->c, t->i, CEL_PARSE_ERROR_SYNTAX, "this is no escape: \\n \\t \\\\ \\\" \\' \\xHH \\uHHHH are");
    return false;
}

/* At the opening quote. */
static Token text(Compile *c, size_t start, size_t quote_at, bool raw, bool bytes)
{
    char quote = at(c, quote_at);
    bool triple = at(c, quote_at + 1) == quote && at(c, quote_at + 2) == quote;
    Text t = { .c = c, .start = start, .i = quote_at + (triple ? 3 : 1), .bytes = bytes };

    t.out = cel_alloc(&c->program->arena, c->program->length - quote_at + 1);
    for (;;) {
        char x = at(c, t.i);

        if (t.i >= c->program->length || (!triple && (x == '\n' || x == '\r'))) {
            cel_compile_fail(c, start, CEL_PARSE_ERROR_SYNTAX, "this text has no closing %c%s", quote, triple ? " (three of them)" : "");
            return wrong();
        }
        if (x == quote && (!triple || (at(c, t.i + 1) == quote && at(c, t.i + 2) == quote)))
            break;
        if (x == '\\' && !raw) {
            if (!escape(&t))
                return wrong();
        } else {
            t.out[t.n++] = x;
            t.i++;
        }
    }
    t.out[t.n] = '\0';
    cel_shrink(&c->program->arena, t.out, t.n + 1);
    return (Token){ .kind = bytes ? TOKEN_BYTES : TOKEN_STRING, .offset = start, .end = t.i + (triple ? 3 : 1),
                    .value = bytes ? cel_bytes(t.out, t.n) : cel_string_n(t.out, t.n) };
}

static Token quoted(Compile *c, size_t start)
{
    size_t i = start + 1;

    while (g_ascii_isalnum(at(c, i)) || (at(c, i) != '\0' && strchr("_.-/ ", at(c, i)) != NULL))
        i++;
    if (at(c, i) != '`' || i == start + 1) {
        cel_compile_fail(c, start, CEL_PARSE_ERROR_SYNTAX, "a field's name in ` ` has letters, digits, _ . - / and blanks");
        return wrong();
    }
    return (Token){ .kind = TOKEN_QUOTED, .offset = start, .end = i + 1,
                    .value = cel_string_n(cel_alloc_text(&c->program->arena, c->program->text + start + 1, i - start - 1), i - start - 1) };
}

static Token word(Compile *c, size_t start)
{
    size_t i = start;

    while (is_word(at(c, i), i == start))
        i++;
    return (Token){ .kind = TOKEN_IDENT, .offset = start, .end = i,
                    .value = cel_string_n(cel_alloc_text(&c->program->arena, c->program->text + start, i - start), i - start) };
}

static bool is_quote(char x)
{
    return x == '"' || x == '\'';
}

Token cel_lex(Compile *c, size_t offset)
{
    static const struct { char text[3]; int kind; } pairs[] = { { "==", TOKEN_EQ }, { "!=", TOKEN_NE },  { "<=", TOKEN_LE },
                                                                 { ">=", TOKEN_GE }, { "&&", TOKEN_AND }, { "||", TOKEN_OR } };
    size_t i = skip_blanks(c, offset);
    char x = at(c, i), y = at(c, i + 1);

    if (i >= c->program->length)
        return (Token){ .kind = TOKEN_END, .offset = c->program->length, .end = c->program->length };
    if (is_quote(x))
        return text(c, i, i, false, false);
    bool r = x == 'r' || x == 'R', b = x == 'b' || x == 'B', then_r = y == 'r' || y == 'R';
    if ((r || b) && is_quote(y))
        return text(c, i, i + 1, r, b);
    if (b && then_r && is_quote(at(c, i + 2)))
        return text(c, i, i + 2, true, true);
    if (g_ascii_isdigit(x) || (x == '.' && g_ascii_isdigit(y)))
        return number(c, i);
    if (is_word(x, true))
        return word(c, i);
    if (x == '`')
        return quoted(c, i);
    for (size_t k = 0; k < G_N_ELEMENTS(pairs); k++)
        if (x == pairs[k].text[0] && y == pairs[k].text[1])
            return (Token){ .kind = pairs[k].kind, .offset = i, .end = i + 2 };
    if (x != '\0' && strchr("+-*/%!<>()[]{}.,:?", x) != NULL)
        return (Token){ .kind = x, .offset = i, .end = i + 1 };
    if (x == '=' || x == '&' || x == '|')
        cel_compile_fail(c, i, CEL_PARSE_ERROR_SYNTAX, "\"%c%c\" is wanted here", x, x);
    else
        cel_compile_fail(c, i, CEL_PARSE_ERROR_SYNTAX, "\"%.*s\" is not expected here",
                         (int) MIN((size_t) (g_utf8_next_char(c->program->text + i) - c->program->text) - i, 4), c->program->text + i);
    return wrong();
}

char *cel_token_text(const Compile *c, const Token *token)
{
    if (token->kind == TOKEN_END)
        return g_strdup("the end");
    size_t length = MIN(token->end - token->offset, 40);
    while (length > 0 && ((unsigned char) c->program->text[token->offset + length] & 0xc0) == 0x80)
        length--;
    return g_strdup_printf("\"%.*s\"", (int) length, c->program->text + token->offset);
}
