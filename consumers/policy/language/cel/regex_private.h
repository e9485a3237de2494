/* Between the files of the regular expressions only: classes of characters, the tree, the program. */
#ifndef MEND_CEL_REGEX_PRIVATE_H
#define MEND_CEL_REGEX_PRIVATE_H

#include "consumers/policy/language/cel/regex.h"

#define REGEX_ERROR regex_error_quark()
GQuark regex_error_quark(void);

#define RUNE_MAX 0x10ffffu

/* --- regex_class.c: sets of characters as sorted ranges that do not touch --- */
typedef struct RuneRange {
    uint32_t low, high;
} RuneRange;

typedef GArray RuneClass; /* of RuneRange */

RuneClass *rune_class_new(void);
void rune_class_add(RuneClass *set, uint32_t low, uint32_t high);
void rune_class_add_class(RuneClass *set, const RuneClass *other);
void rune_class_negate(RuneClass *set);
/* Adds the other cases of every letter in it. */
void rune_class_fold(RuneClass *set);
bool rune_class_has(const RuneClass *set, uint32_t rune);
/* 'd' 's' 'w' and their negations in capitals. False: no such class. */
bool rune_class_perl(RuneClass *set, char name);
bool rune_class_posix(RuneClass *set, const char *name, size_t length);   /* "alpha" */
bool rune_class_unicode(RuneClass *set, const char *name, size_t length); /* "L" "Lu" "Greek" "Any" */

/* --- regex_parse.c: the tree --- */
typedef enum {
    NODE_EMPTY, NODE_CLASS, NODE_ASSERT, NODE_CONCAT, NODE_ALTERNATE, NODE_REPEAT,
} RegexNodeKind;

typedef enum { ASSERT_LINE_BEGIN, ASSERT_LINE_END, ASSERT_TEXT_BEGIN, ASSERT_TEXT_END, ASSERT_WORD, ASSERT_NOT_WORD } RegexAssert;

typedef struct RegexNode {
    RegexNodeKind kind;
    RuneClass *set;          /* CLASS */
    RegexAssert assert;
    GPtrArray *children;     /* of RegexNode: CONCAT, ALTERNATE; one of REPEAT */
    unsigned min, max;       /* REPEAT; max UINT_MAX: no limit */
    unsigned times;          /* how often the most repeated part is written out; 1000 at most */
} RegexNode;

/* *ret_work: as cel_regex_new_counted() has it, without the program. */
RegexNode *regex_parse(const char *pattern, size_t length, uint64_t *ret_work, GError **error);
void regex_node_free(RegexNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RegexNode, regex_node_free)

#endif
