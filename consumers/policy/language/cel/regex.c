/* Thompson's construction, simulated: all places in the pattern where a match may stand go through the text together, each at most once
 * per character. So the work is program × text, whatever the pattern; nothing is tried and taken back. */
#include "consumers/policy/language/cel/regex_private.h"

#include <string.h>

#define PROGRAM_MAX 100000

typedef enum { OP_CLASS, OP_ASSERT, OP_SPLIT, OP_JUMP, OP_MATCH } Op;

typedef struct Instruction {
    Op op;
    guint next, other;       /* SPLIT: both; ASSERT, JUMP, CLASS: next */
    RegexAssert assert;
    const RuneClass *set;    /* CLASS: the tree's */
    uint64_t ascii[2];       /* CLASS: which of the first 128 are in it */
} Instruction;

struct CelRegex {
    RegexNode *tree;
    GArray *program;         /* of Instruction; begins at 0 */
    bool anchored;           /* can only begin at the text's begin */
};

/* --- the program --- */

static Instruction *instruction_at(const GArray *program, guint i)
{
    return &g_array_index((GArray *) program, Instruction, i);
}

static guint emit(GArray *program, Instruction instruction)
{
    instruction.next = instruction.next == 0 ? program->len + 1 : instruction.next;
    g_array_append_val(program, instruction);
    return program->len - 1;
}

static void compile(GArray *program, const RegexNode *node);

static void compile_class(GArray *program, const RegexNode *node)
{
    Instruction instruction = { .op = OP_CLASS, .set = node->set };

    for (guint i = 0; i < node->set->len; i++) {
        const RuneRange range = g_array_index(node->set, RuneRange, i);

        for (uint32_t rune = range.low; rune <= range.high && rune < 128; rune++)
            instruction.ascii[rune / 64] |= UINT64_C(1) << (rune % 64);
        if (range.high >= 128)
            break;
    }
    emit(program, instruction);
}

static void compile_alternate(GArray *program, const RegexNode *node)
{
    g_autoptr(GArray) ends = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint i = 0; i + 1 < node->children->len; i++) {
        guint split = emit(program, (Instruction){ .op = OP_SPLIT });

        compile(program, node->children->pdata[i]);
        guint jump = emit(program, (Instruction){ .op = OP_JUMP });
        g_array_append_val(ends, jump);
        instruction_at(program, split)->other = program->len;
    }
    compile(program, node->children->pdata[node->children->len - 1]);
    for (guint i = 0; i < ends->len; i++)
        instruction_at(program, g_array_index(ends, guint, i))->next = program->len;
}

static void compile_repeat(GArray *program, const RegexNode *node)
{
    const RegexNode *child = node->children->pdata[0];
    g_autoptr(GArray) splits = g_array_new(FALSE, FALSE, sizeof(guint));

    for (unsigned i = 0; i < node->min; i++)
        compile(program, child);
    if (node->max == UINT_MAX) {
        guint split = emit(program, (Instruction){ .op = OP_SPLIT });

        compile(program, child);
        guint jump = emit(program, (Instruction){ .op = OP_JUMP });
        instruction_at(program, jump)->next = split;
        instruction_at(program, split)->other = program->len;
        return;
    }
    for (unsigned i = node->min; i < node->max; i++) {
        guint split = emit(program, (Instruction){ .op = OP_SPLIT });

        g_array_append_val(splits, split);
        compile(program, child);
    }
    for (guint i = 0; i < splits->len; i++)
        instruction_at(program, g_array_index(splits, guint, i))->other = program->len;
}

static void compile(GArray *program, const RegexNode *node)
{
    switch (node->kind) {
    case NODE_EMPTY: return;
    case NODE_CLASS: compile_class(program, node); return;
    case NODE_ASSERT: emit(program, (Instruction){ .op = OP_ASSERT, .assert = node->assert }); return;
    case NODE_ALTERNATE: compile_alternate(program, node); return;
    case NODE_REPEAT: compile_repeat(program, node); return;
    default:
        for (guint i = 0; i < node->children->len; i++)
            compile(program, node->children->pdata[i]);
    }
}

/* How many instructions @node will be, known before any is made. What gives none counts as one: it takes its time, too. */
static uint64_t written_out(const RegexNode *node)
{
    uint64_t n = 0;

    if (node->kind == NODE_EMPTY || node->kind == NODE_CLASS || node->kind == NODE_ASSERT)
        return 1;
    for (guint i = 0; i < node->children->len; i++)
        n += written_out(node->children->pdata[i]) + (node->kind == NODE_ALTERNATE ? 2 : 0);
    if (node->kind != NODE_REPEAT)
        return MAX(n, 1);
    /* at most 1001 times a number that is below 2^32 for every pattern that has been parsed: repetitions multiply to 1000 */
    return node->max == UINT_MAX ? n * (node->min + UINT64_C(1)) + 2 : n * node->max + (node->max - node->min);
}

CelRegex *cel_regex_new(const char *pattern, size_t length, GError **error)
{
    uint64_t work;

    return cel_regex_new_counted(pattern, length, &work, error);
}

CelRegex *cel_regex_new_counted(const char *pattern, size_t length, uint64_t *ret_work, GError **error)
{
    g_autoptr(CelRegex) regex = g_new0(CelRegex, 1);

    regex->tree = regex_parse(pattern, length, ret_work, error);
    if (regex->tree == NULL)
        return NULL;
    if (written_out(regex->tree) > PROGRAM_MAX) {
        g_set_error(error, REGEX_ERROR, 0, "regular expression: with its repetitions written out it has more than %u steps", PROGRAM_MAX);
        return NULL;
    }
    regex->program = g_array_new(FALSE, FALSE, sizeof(Instruction));
    compile(regex->program, regex->tree);
    emit(regex->program, (Instruction){ .op = OP_MATCH });
    *ret_work += 2 * regex->program->len;
    const Instruction *first = instruction_at(regex->program, 0);
    regex->anchored = first->op == OP_ASSERT && first->assert == ASSERT_TEXT_BEGIN;
    return g_steal_pointer(&regex);
}

void cel_regex_free(CelRegex *regex)
{
    if (regex == NULL)
        return;
    regex_node_free(regex->tree);
    g_clear_pointer(&regex->program, g_array_unref);
    g_free(regex);
}

size_t cel_regex_size(const CelRegex *regex)
{
    return regex->program->len;
}

/* --- matching --- */

/* A set that is emptied at once: an entry counts only if the list has it at its index. */
typedef struct Places {
    guint *list, *index;
    guint n;
} Places;

typedef struct Matcher {
    const CelRegex *regex;
    Places now, then;
    guint *stack;
    uint32_t before, after;  /* the characters around the place; RUNE_NONE at the ends */
} Matcher;

#define RUNE_NONE UINT32_MAX

static bool is_word(uint32_t rune)
{
    return rune < 128 && (g_ascii_isalnum((char) rune) || rune == '_');
}

static bool assert_holds(const Matcher *m, RegexAssert assert)
{
    switch (assert) {
    case ASSERT_TEXT_BEGIN: return m->before == RUNE_NONE;
    case ASSERT_TEXT_END: return m->after == RUNE_NONE;
    case ASSERT_LINE_BEGIN: return m->before == RUNE_NONE || m->before == '\n';
    case ASSERT_LINE_END: return m->after == RUNE_NONE || m->after == '\n';
    case ASSERT_WORD: return is_word(m->before) != is_word(m->after);
    default: return is_word(m->before) == is_word(m->after);
    }
}

static bool places_add(Places *places, guint at)
{
    if (places->index[at] < places->n && places->list[places->index[at]] == at)
        return false;
    places->index[at] = places->n;
    places->list[places->n++] = at;
    return true;
}

/* @at and all that follows from it without a character. True: a match. */
static bool follow(Matcher *m, Places *places, guint at)
{
    guint n = 0;

    m->stack[n++] = at;
    while (n > 0) {
        at = m->stack[--n];
        const Instruction *instruction = instruction_at(m->regex->program, at);

        if (!places_add(places, at))
            continue;
        if (instruction->op == OP_MATCH)
            return true;
        if (instruction->op == OP_SPLIT)
            m->stack[n++] = instruction->other;
        if (instruction->op == OP_SPLIT || instruction->op == OP_JUMP ||
            (instruction->op == OP_ASSERT && assert_holds(m, instruction->assert)))
            m->stack[n++] = instruction->next;
    }
    return false;
}

static bool class_has(const Instruction *instruction, uint32_t rune)
{
    return rune < 128 ? (instruction->ascii[rune / 64] >> (rune % 64) & 1) != 0 : rune_class_has(instruction->set, rune);
}

static uint32_t rune_at(const char **at, const char *end)
{
    if (*at >= end)
        return RUNE_NONE;
    uint32_t rune = (unsigned char) **at < 128 ? (uint32_t) **at : g_utf8_get_char_validated(*at, end - *at);
    if (rune > RUNE_MAX) { /* not UTF-8: a byte stands for itself as what cannot be shown */
        ++*at;
        return 0xfffd;
    }
    *at = g_utf8_next_char(*at);
    return rune;
}

static bool run(Matcher *m, const char *text, size_t length)
{
    const char *at = text, *end = text + length;

    m->before = RUNE_NONE;
    m->after = rune_at(&at, end);
    for (bool first = true;; first = false) {
        if ((first || !m->regex->anchored) && follow(m, &m->now, 0))
            return true;
        if (m->after == RUNE_NONE || (m->regex->anchored && m->now.n == 0))
            return false;
        uint32_t rune = m->after;
        m->before = rune;
        m->after = rune_at(&at, end);
        m->then.n = 0;
        for (guint i = 0; i < m->now.n; i++) {
            const Instruction *instruction = instruction_at(m->regex->program, m->now.list[i]);

            if (instruction->op == OP_CLASS && class_has(instruction, rune) && follow(m, &m->then, instruction->next))
                return true;
        }
        Places swap = m->now;
        m->now = m->then;
        m->then = swap;
    }
}

bool cel_regex_matches(const CelRegex *regex, const char *text, size_t length)
{
    guint n = regex->program->len;
    g_autofree guint *memory = g_new0(guint, (gsize) n * 6 + 2); /* a place is stacked at most twice: by next and by other */
    Matcher m = { .regex = regex,
                  .now = { .list = memory, .index = memory + n },
                  .then = { .list = memory + 2 * n, .index = memory + 3 * n },
                  .stack = memory + 4 * n };

    return run(&m, text, length);
}
