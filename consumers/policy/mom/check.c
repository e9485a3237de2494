/* What is wrong in every run, found without one. Scope is dynamic, so a name is taken as defined when anything in any file defines it. */
#include "consumers/policy/mom/rules.h"
#include "consumers/policy/mom/run.h"

#include "lib/base/settings.h"

#include <string.h>

typedef struct Check {
    const MomRules *rules;
    const MomFile *file;
    GHashTable *variables, *functions; /* sets of numbers */
    GPtrArray *warnings;
} Check;

static void note(GHashTable *set, guint symbol)
{
    g_hash_table_add(set, GUINT_TO_POINTER(symbol));
}

static void note_names(GHashTable *set, const MomNode *list, bool pairs)
{
    for (guint i = 0; list->kind == MOM_NODE_LIST && i < list->n; i++) {
        const MomNode *item = list->items[i];

        if (pairs && item->kind == MOM_NODE_LIST && item->n > 0)
            item = item->items[0];
        if (item->kind == MOM_NODE_SYMBOL)
            note(set, item->symbol);
    }
}

static void collect(Check *c, const MomNode *list)
{
    const MomNode *head = list->n > 0 ? list->items[0] : NULL, *first = list->n > 1 ? list->items[1] : NULL;

    if (head == NULL || first == NULL || head->kind != MOM_NODE_SYMBOL)
        return;
    if (head->op == MOM_OP_DEFVAR && first->kind == MOM_NODE_SYMBOL)
        note(c->variables, first->symbol);
    if ((head->op == MOM_OP_DEF || head->op == MOM_OP_DEFUN) && first->kind == MOM_NODE_SYMBOL) {
        note(c->functions, first->symbol);
        if (list->n > 2)
            note_names(c->variables, list->items[2], false);
    }
    if (head->op == MOM_OP_LET)
        note_names(c->variables, first, true);
    if (head->op == MOM_OP_WITH && list->n > 2 && list->items[2]->kind == MOM_NODE_SYMBOL)
        note(c->variables, list->items[2]->symbol);
}

static void warn(Check *c, const MomNode *node, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void warn(Check *c, const MomNode *node, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_ptr_array_add(c->warnings, g_strdup_printf("%s:%u:%u: %s", c->file->name, node->line, node->column, text));
}

static guint arguments_of(MomOp op, bool *ret_exact)
{
    *ret_exact = !(op == MOM_OP_AND || op == MOM_OP_OR || op == MOM_OP_MIN || op == MOM_OP_MAX || op == MOM_OP_NULL || op == MOM_OP_VALID ||
                   op == MOM_OP_LET || op == MOM_OP_EVAL);
    if (op <= MOM_OP_NEQ || op == MOM_OP_DEFVAR || op == MOM_OP_SET || op == MOM_OP_SETQ || op == MOM_OP_LET)
        return 2;
    if (op == MOM_OP_NULL || op == MOM_OP_VALID)
        return 0;
    return op == MOM_OP_IF || op == MOM_OP_DEF || op == MOM_OP_DEFUN || op == MOM_OP_WITH ? 3 : 1;
}

static void check_head(Check *c, const MomNode *list)
{
    const MomNode *head = list->n > 0 ? list->items[0] : NULL;
    bool exact;

    if (head == NULL || (head->kind != MOM_NODE_SYMBOL && head->kind != MOM_NODE_OPERATOR)) {
        warn(c, list, "a list begins with what is to be done: (+ 1 2), (if …)");
        return;
    }
    if (g_hash_table_contains(c->variables, GUINT_TO_POINTER(head->object)) || head->member != NULL)
        return;
    if (head->op == MOM_OP_NONE) {
        if (!g_hash_table_contains(c->functions, GUINT_TO_POINTER(head->symbol)))
            warn(c, head, "there is no function \"%s\": (def …) makes one", head->name);
        return;
    }
    guint wanted = arguments_of(head->op, &exact);
    if (exact ? list->n - 1 != wanted : list->n - 1 < wanted)
        warn(c, list, "%s takes %u%s arguments, it has %u", mom_op_text(head->op), wanted, exact ? "" : " or more", list->n - 1);
}

static void check_node(Check *c, const MomNode *node, const MomNode *parent, guint at)
{
    bool names = parent != NULL && parent->n > 0 && parent->items[0]->kind == MOM_NODE_SYMBOL &&
                 (parent->items[0]->op == MOM_OP_DEF || parent->items[0]->op == MOM_OP_DEFUN || parent->items[0]->op == MOM_OP_LET);

    if (node->kind == MOM_NODE_SYMBOL && at > 0 && !(names && at <= 2) && strcmp(node->name, "nil") != 0 &&
        !g_hash_table_contains(c->variables, GUINT_TO_POINTER(node->object)) && !g_hash_table_contains(c->variables, GUINT_TO_POINTER(node->symbol)))
        warn(c, node, "nobody defines \"%s\": (defvar …) does", (const char *) c->rules->names->texts->pdata[node->object]);
    if (node->kind != MOM_NODE_LIST)
        return;
    bool parameters = names && at == (parent->items[0]->op == MOM_OP_LET ? 1 : 2);
    if (!parameters)
        check_head(c, node);
    for (guint i = parameters ? 0 : 1; i < node->n; i++) {
        const MomNode *item = node->items[i];

        if (!parameters)
            check_node(c, item, node, i);
        else if (item->kind == MOM_NODE_LIST && item->n == 2) /* a pair of let */
            check_node(c, item->items[1], NULL, 1);
    }
}

void mom_rules_check(const MomRules *rules, GPtrArray *warnings)
{
    g_autoptr(GHashTable) variables = g_hash_table_new(NULL, NULL), functions = g_hash_table_new(NULL, NULL);
    Check c = { .rules = rules, .variables = variables, .functions = functions, .warnings = warnings };
    const guint there[] = { rules->host, rules->guests, rules->abs, rules->debug };

    for (guint i = 0; i < G_N_ELEMENTS(there); i++)
        note(variables, there[i]);
    for (guint i = 0; i < rules->presets->len; i++)
        note(variables, g_array_index(rules->presets, MomPreset, i).symbol);
    for (guint i = 0; i < rules->files->len; i++) {
        const MomFile *file = rules->files->pdata[i];

        for (guint k = 0; k < file->nodes->len; k++)
            if (((const MomNode *) file->nodes->pdata[k])->kind == MOM_NODE_LIST)
                collect(&c, file->nodes->pdata[k]);
    }
    for (guint i = 0; i < rules->files->len; i++) {
        c.file = rules->files->pdata[i];
        for (guint k = 0; k < c.file->top->len; k++)
            check_node(&c, c.file->top->pdata[k], NULL, 1);
    }
}
