/* The evaluator. What surprises in MOM's is kept, since rules rely on it, knowingly or not:
 * - Scope is dynamic: a function sees the variables of whoever calls it. Its arguments are computed one after the other in the new scope, so
 *   the second sees the first parameter. Two of the same name: the first value stays.
 * - defvar makes a variable in the innermost scope unless it is there already, and gives what it is then; set changes the nearest one.
 * - and, or compute all their arguments; they give the deciding one, not a truth value.
 * - A variable hides a builtin word of its name, also where that is called; one that is nil does not. Functions are a world of their own, looked at last.
 * - Of a.b.c only a.b is looked at; where the nearest a has no b, one further out is asked. */
#include "consumers/policy/mom/run.h"

#include "lib/base/settings.h"

#include <string.h>

bool run_fail(Run *run, const MomNode *node, const char *format, ...)
{
    va_list arguments;

    if (run->trouble != NULL)
        return false;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    run->trouble = g_strdup_printf("%s:%u:%u: %s", run->file->name, node->line, node->column, text);
    return false;
}

bool run_fault(Run *run, const MomNode *node, MomFault fault, MomValue a, MomValue b)
{
    g_autofree char *left = mom_value_text(a), *right = mom_value_text(b);
    const char *word = node->kind == MOM_NODE_LIST && node->n > 0 && node->items[0]->op != MOM_OP_NONE ? mom_op_text(node->items[0]->op) : NULL;

    if (fault != MOM_TYPES || word == NULL)
        return run_fail(run, node, "%s", mom_fault_text(fault));
    return run_fail(run, node, "%s cannot take %s and %s%s", word, left, right,
                    a.kind == MOM_NIL || b.kind == MOM_NIL ? ": a sample lacks it; ask (valid …) first" : "");
}

static bool look_up(Run *run, const MomNode *name, MomValue *ret)
{
    for (guint i = run->bindings->len; i-- > 0;) {
        const Binding *binding = &g_array_index(run->bindings, Binding, i);

        if (binding->symbol != name->object)
            continue;
        if (name->member == NULL) {
            *ret = binding->value;
            return true;
        }
        if (run_member(run, binding->value, name->member, ret))
            return true;
    }
    return false;
}

static bool undefined(Run *run, const MomNode *name)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (guint i = 0; i < run->bindings->len; i++)
        g_ptr_array_add(known, run->rules->names->texts->pdata[g_array_index(run->bindings, Binding, i).symbol]);
    g_ptr_array_add(known, NULL);
    const char *near = name->member != NULL ? NULL : nearest_word(name->name, (const char *const *) known->pdata);
    if (name->member != NULL)
        return run_fail(run, name, "%s: there is no \"%s\" in %s here", name->name, name->member,
                        (const char *) run->rules->names->texts->pdata[name->object]);
    return run_fail(run, name, "nobody has defined \"%s\" here%s%s%s", name->name, near == NULL ? "" : ": did you mean \"",
                    near == NULL ? "" : near, near == NULL ? "; (defvar …) does" : "\"?");
}

static Binding *in_scope(Run *run, guint symbol)
{
    for (guint i = run->scope; i < run->bindings->len; i++)
        if (g_array_index(run->bindings, Binding, i).symbol == symbol)
            return &g_array_index(run->bindings, Binding, i);
    return NULL;
}

/* In the innermost scope, unless it is there. */
static MomValue define(Run *run, guint symbol, MomValue value)
{
    Binding *there = in_scope(run, symbol), fresh = { symbol, value };

    if (there != NULL)
        return there->value;
    g_array_append_val(run->bindings, fresh);
    return value;
}

static guint scope_enter(Run *run)
{
    guint outer = run->scope;

    run->scope = run->bindings->len;
    return outer;
}

static void scope_leave(Run *run, guint outer)
{
    g_array_set_size(run->bindings, run->scope);
    run->scope = outer;
}

static bool wants(Run *run, const MomNode *list, guint min, guint max)
{
    guint n = list->n - 1;

    if (n >= min && n <= max)
        return true;
    return run_fail(run, list, "%s takes %u%s argument%s, it got %u", mom_op_text(list->items[0]->op), min, max > min ? " or more" : "",
                    min == 1 && max == 1 ? "" : "s", n);
}

static bool is_symbol(Run *run, const MomNode *list, guint i)
{
    return list->items[i]->kind == MOM_NODE_SYMBOL ||
           run_fail(run, list->items[i], "%s wants a name here", mom_op_text(list->items[0]->op));
}

static bool bind_pair(Run *run, const MomNode *at, const MomNode *name, const MomNode *value)
{
    MomValue got;

    if (name->kind != MOM_NODE_SYMBOL)
        return run_fail(run, at, "a parameter is a name");
    if (!run_eval(run, value, &got))
        return false;
    define(run, name->symbol, got);
    return true;
}

static bool do_let(Run *run, const MomNode *list, MomValue *ret)
{
    const MomNode *pairs = list->n > 1 ? list->items[1] : NULL;
    bool ok = true;

    if (!wants(run, list, 2, G_MAXUINT))
        return false;
    if (pairs->kind != MOM_NODE_LIST)
        return run_fail(run, pairs, "let wants ((name value) …) first");
    guint outer = scope_enter(run);
    for (guint i = 0; ok && i < pairs->n; i++) {
        const MomNode *pair = pairs->items[i];

        ok = pair->kind == MOM_NODE_LIST && pair->n == 2 ? bind_pair(run, pair, pair->items[0], pair->items[1])
                                                         : run_fail(run, pair, "let wants (name value) here");
    }
    for (guint i = 2; ok && i < list->n; i++)
        ok = run_eval(run, list->items[i], ret);
    scope_leave(run, outer);
    return ok;
}

static bool do_with(Run *run, const MomNode *list, MomValue *ret)
{
    MomValue all, *results;
    bool ok = true;

    if (!wants(run, list, 3, 3) || !is_symbol(run, list, 1) || !is_symbol(run, list, 2))
        return false;
    if (!look_up(run, list->items[1], &all))
        return undefined(run, list->items[1]);
    if (all.kind != MOM_LIST && all.kind != MOM_TEXT) {
        g_autofree char *text = mom_value_text(all);
        return run_fail(run, list->items[1], "with wants a list: it got %s", text);
    }
    guint n = all.kind == MOM_LIST ? all.n : (guint) g_utf8_strlen(all.as.text, all.n);
    const char *character = all.as.text;
    results = mom_alloc(&run->arena, MAX(n, 1) * sizeof *results);
    if (results == NULL)
        return run_fault(run, list, MOM_NO_MEMORY, all, all);
    for (guint i = 0; ok && i < n; i++) {
        guint outer = scope_enter(run);
        MomValue item = all.kind == MOM_LIST ? all.as.items[i] : mom_text_of(character, (size_t) (g_utf8_next_char(character) - character));

        define(run, list->items[2]->symbol, item);
        ok = run_eval(run, list->items[3], &results[i]);
        scope_leave(run, outer);
        character = all.kind == MOM_TEXT ? g_utf8_next_char(character) : NULL;
    }
    *ret = (MomValue) { .kind = MOM_LIST, .n = n, .as.items = results };
    return ok;
}

static bool do_set(Run *run, const MomNode *list, bool make, MomValue *ret)
{
    MomValue value;

    if (!wants(run, list, 2, 2) || !is_symbol(run, list, 1) || !run_eval(run, list->items[2], &value))
        return false;
    if (make) {
        *ret = define(run, list->items[1]->symbol, value);
        return true;
    }
    for (guint i = run->bindings->len; i-- > 0;) {
        Binding *binding = &g_array_index(run->bindings, Binding, i);

        if (binding->symbol != list->items[1]->symbol)
            continue;
        *ret = binding->value = value;
        return true;
    }
    return undefined(run, list->items[1]);
}

static bool do_def(Run *run, const MomNode *list, MomValue *ret)
{
    Function function = { 0 };

    if (!wants(run, list, 3, 3) || !is_symbol(run, list, 1))
        return false;
    function = (Function) { list->items[1]->symbol, list->items[2], list->items[3] };
    *ret = mom_text_of(list->items[1]->name, strlen(list->items[1]->name));
    for (guint i = 0; i < run->functions->len; i++)
        if (g_array_index(run->functions, Function, i).symbol == function.symbol) {
            g_array_index(run->functions, Function, i) = function;
            return true;
        }
    g_array_append_val(run->functions, function);
    return true;
}

static bool do_if(Run *run, const MomNode *list, MomValue *ret)
{
    MomValue condition;

    return wants(run, list, 3, 3) && run_eval(run, list->items[1], &condition) &&
           run_eval(run, list->items[mom_truth(condition) ? 2 : 3], ret);
}

/* All of them, in order. */
static MomValue *arguments_of(Run *run, const MomNode *list)
{
    MomValue *arguments = mom_alloc(&run->arena, MAX(list->n, 1) * sizeof *arguments);

    if (arguments == NULL)
        run_fault(run, list, MOM_NO_MEMORY, MOM_NOTHING, MOM_NOTHING);
    for (guint i = 1; arguments != NULL && i < list->n; i++)
        if (!run_eval(run, list->items[i], &arguments[i - 1]))
            return NULL;
    return arguments;
}

/* and, or, min, max: the argument that decides. */
static bool do_choice(Run *run, const MomNode *list, MomOp op, const MomValue *a, MomValue *ret)
{
    guint n = list->n - 1;

    *ret = a[0];
    for (guint i = 0; (op == MOM_OP_AND || op == MOM_OP_OR) && i < n; i++) {
        *ret = a[i];
        if (mom_truth(a[i]) == (op == MOM_OP_OR))
            return true;
    }
    for (guint i = 1; (op == MOM_OP_MIN || op == MOM_OP_MAX) && i < n; i++) {
        bool better;
        MomFault fault = mom_order(&run->arena, op == MOM_OP_MIN ? MOM_LT : MOM_GT, a[i], *ret, &better);

        if (fault != MOM_FINE)
            return run_fault(run, list, fault, a[i], *ret);
        if (better)
            *ret = a[i];
    }
    return true;
}

/* null: nil or empty; valid: not nil. */
static bool all_are(MomOp op, const MomValue *a, guint n)
{
    for (guint i = 0; i < n; i++)
        if (op == MOM_OP_VALID ? a[i].kind == MOM_NIL
                               : !(a[i].kind == MOM_NIL || ((a[i].kind == MOM_TEXT || a[i].kind == MOM_LIST) && a[i].n == 0)))
            return false;
    return true;
}

static bool do_two(Run *run, const MomNode *list, MomOp op, MomValue a, MomValue b, MomValue *ret)
{
    static const MomArithmetic arithmetic[] = { [MOM_OP_ADD] = MOM_ADD, [MOM_OP_SUB] = MOM_SUB, [MOM_OP_MUL] = MOM_MUL,
                                                [MOM_OP_DIV] = MOM_DIV, [MOM_OP_SHL] = MOM_SHL, [MOM_OP_SHR] = MOM_SHR };
    static const MomOrder orders[] = { [MOM_OP_LT] = MOM_LT, [MOM_OP_GT] = MOM_GT, [MOM_OP_LTE] = MOM_LTE, [MOM_OP_GTE] = MOM_GTE };
    MomFault fault;
    bool truth = false;

    if (op <= MOM_OP_SHR) {
        fault = mom_arithmetic(&run->arena, arithmetic[op], a, b, ret);
        return fault == MOM_FINE || run_fault(run, list, fault, a, b);
    }
    if (op <= MOM_OP_GTE)
        fault = mom_order(&run->arena, orders[op], a, b, &truth);
    else
        fault = mom_equal(&run->arena, a, b, &truth);
    *ret = mom_bool(truth != (op == MOM_OP_NEQ));
    return fault == MOM_FINE || run_fault(run, list, fault, a, b);
}

static bool do_plain(Run *run, const MomNode *list, MomOp op, MomValue *ret)
{
    bool two = op <= MOM_OP_NEQ, any = op == MOM_OP_NULL || op == MOM_OP_VALID;
    const MomValue *a;

    if (!wants(run, list, two ? 2 : any ? 0 : 1, two ? 2 : op == MOM_OP_NOT ? 1 : G_MAXUINT) || (a = arguments_of(run, list)) == NULL)
        return false;
    if (two)
        return do_two(run, list, op, a[0], a[1], ret);
    if (op == MOM_OP_NOT)
        *ret = mom_bool(!mom_truth(a[0]));
    else if (any)
        *ret = mom_bool(all_are(op, a, list->n - 1));
    else
        return do_choice(run, list, op, a, ret);
    return true;
}

static bool do_builtin(Run *run, const MomNode *list, MomOp op, MomValue *ret)
{
    switch (op) {
    case MOM_OP_LET:
        return do_let(run, list, ret);
    case MOM_OP_WITH:
        return do_with(run, list, ret);
    case MOM_OP_IF:
        return do_if(run, list, ret);
    case MOM_OP_DEF:
    case MOM_OP_DEFUN:
        return do_def(run, list, ret);
    case MOM_OP_DEFVAR:
        return do_set(run, list, true, ret);
    case MOM_OP_SET:
    case MOM_OP_SETQ:
        return do_set(run, list, false, ret);
    case MOM_OP_EVAL:
        if (list->n < 2)
            return run_fail(run, list, "{ } is empty: it needs something to give");
        for (guint i = 1; i < list->n; i++)
            if (!run_eval(run, list->items[i], ret))
                return false;
        return true;
    default:
        return do_plain(run, list, op, ret);
    }
}

static bool do_function(Run *run, const MomNode *list, MomValue *ret)
{
    const Function *function = NULL;
    bool ok = true;

    for (guint i = 0; function == NULL && i < run->functions->len; i++)
        if (g_array_index(run->functions, Function, i).symbol == list->items[0]->symbol)
            function = &g_array_index(run->functions, Function, i);
    if (function == NULL)
        return run_fail(run, list->items[0], "there is no function \"%s\": (def %s (…) …) makes one", list->items[0]->name, list->items[0]->name);
    const MomNode *parameters = function->parameters, *code = function->code;
    if (parameters->kind != MOM_NODE_LIST || parameters->n != list->n - 1)
        return run_fail(run, list, "%s takes %u argument%s, it got %u", list->items[0]->name, parameters->n, parameters->n == 1 ? "" : "s", list->n - 1);
    guint outer = scope_enter(run);
    for (guint i = 0; ok && i < parameters->n; i++)
        ok = bind_pair(run, list, parameters->items[i], list->items[i + 1]);
    ok = ok && run_eval(run, code, ret);
    scope_leave(run, outer);
    return ok;
}

static bool eval_list(Run *run, const MomNode *list, MomValue *ret)
{
    const MomNode *head = list->n == 0 ? NULL : list->items[0];
    const MomValue *arguments;
    MomValue hidden = MOM_NOTHING;

    if (head == NULL || (head->kind != MOM_NODE_SYMBOL && head->kind != MOM_NODE_OPERATOR))
        return run_fail(run, list, "a list begins with what is to be done: (+ 1 2), (if …)");
    if (look_up(run, head, &hidden) && hidden.kind != MOM_NIL) {
        arguments = arguments_of(run, list);
        return arguments != NULL && run_call(run, head, hidden, arguments, list->n - 1, ret);
    }
    return head->op != MOM_OP_NONE ? do_builtin(run, list, head->op, ret) : do_function(run, list, ret);
}

bool run_eval(Run *run, const MomNode *node, MomValue *ret)
{
    bool ok = false;

    *ret = MOM_NOTHING;
    if (!mom_work(&run->arena, 1))
        return run_fail(run, node, "%s", mom_fault_text(MOM_NO_TIME));
    switch (node->kind) {
    case MOM_NODE_VALUE:
        *ret = node->value;
        return true;
    case MOM_NODE_SYMBOL:
        return strcmp(node->name, "nil") == 0 || look_up(run, node, ret) || undefined(run, node);
    case MOM_NODE_OPERATOR:
        return run_fail(run, node, "%s stands alone: it comes first in a list, (%s 1 2)", mom_op_text(node->op), mom_op_text(node->op));
    case MOM_NODE_LIST:
        if (run->depth >= MOM_DEPTH_MAX)
            return run_fail(run, node, "more than %d calls in each other: is there an endless recursion?", MOM_DEPTH_MAX);
        run->depth++;
        ok = eval_list(run, node, ret);
        run->depth--;
        break;
    }
    return ok;
}
