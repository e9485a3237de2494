/* Words of the language, one at a time. Numbers and texts come decoded. */
#ifndef MEND_CEL_LEX_H
#define MEND_CEL_LEX_H

#include "consumers/policy/language/cel/node.h"

typedef enum {
    TOKEN_END = 0,
    /* one character stands for itself: + - * / % ! < > ( ) [ ] { } . , : ? */
    TOKEN_IDENT = 256, /* also in, true, false, null and the reserved words: the parser knows where they may stand */
    TOKEN_QUOTED,      /* `field-name` */
    TOKEN_INT,         /* uinteger: without its sign */
    TOKEN_UINT, TOKEN_DOUBLE, TOKEN_STRING, TOKEN_BYTES,
    TOKEN_EQ, TOKEN_NE, TOKEN_LE, TOKEN_GE, TOKEN_AND, TOKEN_OR,
    TOKEN_WRONG,       /* the error is in the Compile */
} TokenKind;

typedef struct Token {
    int kind;
    size_t offset, end;
    CelValue value;    /* IDENT, QUOTED, STRING, BYTES: text in the program's arena, ended by 0 */
} Token;

/* Reads the token at or after @offset. */
Token cel_lex(Compile *c, size_t offset);
/* "\"foo\"", "the end": for messages. Caller frees. */
char *cel_token_text(const Compile *c, const Token *token);

#endif
