/* The walk. Values come back in two registers, errors are values, names are asked for when they are reached and at most once; a condition that
 * compares texts allocates nothing. Every node costs one operation and work that depends on sizes costs more: when the budget is used up
 * evaluation ends with an error that nothing absorbs. */
#include "consumers/policy/language/cel/run.h"

#include <math.h>

#define CONSTANT_OPERATIONS 100000

typedef enum { NAME_UNASKED, NAME_THERE, NAME_ABSENT, NAME_WRONG } NameState;

static CelValue eval(Run *run, const Node *node);

/* ---- errors ---- */

CelValue cel_out_of_memory(Run *run, const Node *node)
{
    run->stopped = true;
    return cel_error_at(run->left < 0 ? "this takes longer than an expression may" : "this needs more memory than an expression may have", node->place);
}

CelValue cel_fail(Run *run, const Node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    const char *copy = cel_alloc_text(run->arena, text, strlen(text));
    return copy == NULL ? cel_out_of_memory(run, node) : cel_error_at(copy, node->place);
}

static const char *kind_word(CelValue value)
{
    return value.kind == CEL_TIMESTAMP ? "timestamp" : value.kind == CEL_DURATION ? "duration" : cel_kind_name(value.kind);
}

CelValue cel_no_overload(Run *run, const Node *node, CelValue a, const CelValue *b)
{
    const char *word = cel_node_word(node->op, node->function);

    if (b != NULL)
        return cel_fail(run, node, "no matching overload: %s applied to (%s, %s)", word, kind_word(a), kind_word(*b));
    return cel_fail(run, node, "no matching overload: %s applied to (%s)", word, kind_word(a));
}

/* ---- names ---- */

static CelValue wrong_kind(Run *run, const Node *node, CelValue value)
{
    const CelName *name = run->program->names[node->slot];
    g_autofree char *wanted = cel_type_text(name->type);

    return cel_fail(run, node, "%s is not %s but %s", name->label, wanted, kind_word(value));
}

static void ask(Run *run, const Node *node)
{
    const CelName *name = run->program->names[node->slot];
    CelValue *value = &run->names[node->slot];
    uint8_t *state = &run->states[node->slot];

    *value = cel_null();
    if (!run->input->lookup(name, run->arena, run->input->user, value)) {
        *state = NAME_ABSENT;
    } else if (value->kind == CEL_ERROR) {
        *state = NAME_WRONG;
    } else {
        *state = NAME_THERE;
        if (name->type->shape != CEL_TYPE_DYN && value->kind != name->type->kind) {
            if (name->type->kind == CEL_DOUBLE && value->kind == CEL_INT)
                *value = cel_double((double) value->as.integer);
            else
                *state = NAME_WRONG;
        }
    }
}

static CelValue name_value(Run *run, const Node *node)
{
    if (run->states[node->slot] == NAME_UNASKED)
        ask(run, node);
    if (G_LIKELY(run->states[node->slot] == NAME_THERE))
        return run->names[node->slot];
    if (run->states[node->slot] == NAME_ABSENT)
        return cel_error_at(run->program->absent[node->slot], node->place);
    return run->names[node->slot].kind == CEL_ERROR ? run->names[node->slot] : wrong_kind(run, node, run->names[node->slot]);
}

/* ---- selection ---- */

static CelValue no_such_key(Run *run, const Node *node, CelValue key)
{
    char text[48] = "";

    switch (key.kind) {
    case CEL_STRING:
        return cel_fail(run, node, "no such key: \"%.*s\"", (int) MIN(key.extra, 200), key.as.text);
    case CEL_INT:
        return cel_fail(run, node, "no such key: %" PRId64, key.as.integer);
    case CEL_UINT:
        return cel_fail(run, node, "no such key: %" PRIu64 "u", key.as.uinteger);
    case CEL_DOUBLE:
        cel_double_text(key.as.real, text);
        return cel_fail(run, node, "no such key: %s", text);
    case CEL_BOOL:
        return cel_fail(run, node, "no such key: %s", key.as.boolean ? "true" : "false");
    default:
        return cel_fail(run, node, "no such key: %s is never one", kind_word(key));
    }
}

/* What a long key costs to look for. */
static bool pay_for_key(Run *run, CelValue key)
{
    return cel_pay(run, key.kind == CEL_STRING ? key.extra / 16 : 0);
}

static CelValue from_map(Run *run, const Node *node, const CelMap *map, CelValue key)
{
    if (!pay_for_key(run, key))
        return cel_out_of_memory(run, node);
    const CelValue *found = cel_map_get(map, key);
    return found != NULL ? *found : no_such_key(run, node, key);
}

static CelValue selected(Run *run, const Node *node)
{
    CelValue of = eval(run, node->args[0]);

    if (of.kind == CEL_MAP)
        return from_map(run, node, of.as.map, node->value);
    return cel_is_error(of) ? of : cel_fail(run, node, "%s has no fields (.%s)", kind_word(of), node->value.as.text);
}

static CelValue has(Run *run, const Node *node)
{
    CelValue of = eval(run, node->args[0]);

    if (of.kind == CEL_MAP)
        return cel_bool(cel_map_get(of.as.map, node->value) != NULL);
    return cel_is_error(of) ? of : cel_fail(run, node, "%s has no fields (.%s)", kind_word(of), node->value.as.text);
}

static CelValue has_name(Run *run, const Node *node)
{
    if (run->states[node->slot] == NAME_UNASKED)
        ask(run, node);
    if (run->names[node->slot].kind == CEL_ERROR)
        return run->names[node->slot];
    return cel_bool(run->states[node->slot] != NAME_ABSENT);
}

/* False: *ret_a is the error. */
static inline bool two_arguments(Run *run, const Node *node, CelValue *ret_a, CelValue *ret_b)
{
    *ret_a = eval(run, node->args[0]);
    if (cel_is_error(*ret_a))
        return false;
    *ret_b = eval(run, node->args[1]);
    if (!cel_is_error(*ret_b))
        return true;
    *ret_a = *ret_b;
    return false;
}

static CelValue indexed(Run *run, const Node *node)
{
    CelValue of, index;

    if (!two_arguments(run, node, &of, &index))
        return of;
    if (of.kind == CEL_MAP)
        return from_map(run, node, of.as.map, index);
    if (of.kind != CEL_LIST || !cel_is_number(index))
        return cel_no_overload(run, node, of, &index);
    int order;
    CelValue n = cel_uint(of.as.list->n);
    if (index.kind == CEL_DOUBLE && index.as.real != trunc(index.as.real))
        return cel_fail(run, node, "invalid_argument: an index is a whole number");
    if (!cel_compare(index, n, &order) || order >= 0 || !cel_compare(index, cel_uint(0), &order) || order < 0)
        return cel_fail(run, node, "invalid_argument: index out of bounds: the list has %zu", of.as.list->n);
    return of.as.list->items[index.kind == CEL_DOUBLE ? (size_t) index.as.real : (size_t) index.as.uinteger];
}

/* ---- making ---- */

static CelValue made_list(Run *run, const Node *node, const CelValue *items, size_t n)
{
    CelValue list = cel_list(run->arena, items, n);

    if (cel_is_error(list)) {
        list.extra = node->place;
        run->stopped = true;
    }
    return list;
}

static CelValue make_list(Run *run, const Node *node)
{
    CelValue *items = cel_alloc(run->arena, node->n * sizeof *items);

    if (items == NULL)
        return cel_out_of_memory(run, node);
    for (uint32_t i = 0; i < node->n; i++) {
        items[i] = eval(run, node->args[i]);
        if (cel_is_error(items[i]))
            return items[i];
    }
    return made_list(run, node, items, node->n);
}

static CelValue make_map(Run *run, const Node *node)
{
    CelEntry *entries = cel_alloc(run->arena, node->n / 2 * sizeof *entries);

    if (entries == NULL)
        return cel_out_of_memory(run, node);
    for (uint32_t i = 0; i < node->n / 2; i++) {
        entries[i].key = eval(run, node->args[2 * i]);
        if (cel_is_error(entries[i].key))
            return entries[i].key;
        entries[i].value = eval(run, node->args[2 * i + 1]);
        if (cel_is_error(entries[i].value))
            return entries[i].value;
    }
    CelValue map = cel_map(run->arena, entries, node->n / 2);
    if (cel_is_error(map))
        map.extra = node->place;
    return map;
}

/* ---- logic ---- */

static CelValue not_bool(Run *run, const Node *node, CelValue value)
{
    return cel_is_error(value) ? value : cel_no_overload(run, node, value, NULL);
}

/* One side that decides is enough, whatever the others are. */
static CelValue logic(Run *run, const Node *node, bool decides)
{
    CelValue error = cel_null();

    for (uint32_t i = 0; i < node->n; i++) {
        CelValue value = eval(run, node->args[i]);

        if (G_LIKELY(value.kind == CEL_BOOL)) {
            if (value.as.boolean == decides)
                return value;
        } else if (run->stopped) {
            return value;
        } else if (error.kind != CEL_ERROR) {
            error = not_bool(run, node, value);
        }
    }
    return error.kind == CEL_ERROR ? error : cel_bool(!decides);
}

static CelValue condition(Run *run, const Node *node)
{
    CelValue which = eval(run, node->args[0]);

    if (which.kind != CEL_BOOL)
        return not_bool(run, node, which);
    return eval(run, node->args[which.as.boolean ? 1 : 2]);
}

/* ---- comparisons ---- */

/* For a walk through all of @value, parts that are shared each time: they make it larger than memory. */
static bool pay_for_all(Run *run, CelValue value)
{
    size_t left = run->left < 0 ? 0 : (size_t) run->left, weight = cel_weight(value, left + 1);

    if (weight > left)
        run->left = -1;
    return weight <= left && cel_pay(run, weight);
}

static CelValue equality(Run *run, const Node *node)
{
    CelValue a, b;

    if (!two_arguments(run, node, &a, &b))
        return a;
    bool unlike = node->op == NODE_NE;
    if (a.kind == CEL_STRING && b.kind == CEL_STRING) {
        bool equal = a.extra == b.extra && memcmp(a.as.text, b.as.text, a.extra) == 0;

        return cel_pay(run, a.extra == b.extra ? a.extra / 64 : 0) ? cel_bool(equal != unlike) : cel_out_of_memory(run, node);
    }
    if ((a.kind == CEL_LIST && b.kind == CEL_LIST && a.as.list->n == b.as.list->n) ||
        (a.kind == CEL_MAP && b.kind == CEL_MAP && a.as.map->n == b.as.map->n) || (a.kind == CEL_BYTES && b.kind == CEL_BYTES))
        if (!pay_for_all(run, a))
            return cel_out_of_memory(run, node);
    return cel_bool(cel_equal(a, b) != unlike);
}

static CelValue order(Run *run, const Node *node)
{
    CelValue a, b;

    if (!two_arguments(run, node, &a, &b))
        return a;
    int order;
    if (!cel_pay(run, a.kind == CEL_STRING || a.kind == CEL_BYTES ? a.extra / 64 : 0))
        return cel_out_of_memory(run, node);
    if (!cel_compare(a, b, &order)) /* numbers without an order: NaN, and nothing holds for it */
        return cel_is_number(a) && cel_is_number(b) ? cel_bool(false) : cel_no_overload(run, node, a, &b);
    switch (node->op) {
    case NODE_LT:
        return cel_bool(order < 0);
    case NODE_LE:
        return cel_bool(order <= 0);
    case NODE_GT:
        return cel_bool(order > 0);
    default:
        return cel_bool(order >= 0);
    }
}

static CelValue is_in(Run *run, const Node *node)
{
    CelValue item, in;

    if (!two_arguments(run, node, &item, &in))
        return item;
    if (in.kind == CEL_MAP)
        return pay_for_key(run, item) ? cel_bool(cel_map_get(in.as.map, item) != NULL) : cel_out_of_memory(run, node);
    if (in.kind != CEL_LIST)
        return cel_no_overload(run, node, item, &in);
    for (size_t i = 0; i < in.as.list->n; i++) {
        CelValue each = in.as.list->items[i];

        bool texts = each.kind == CEL_STRING || each.kind == CEL_BYTES, unlike = each.kind != item.kind || (texts && each.extra != item.extra);

        if (!(unlike ? cel_pay(run, 1) : pay_for_all(run, each)))
            return cel_out_of_memory(run, node);
        if (cel_equal(item, each))
            return cel_bool(true);
    }
    return cel_bool(false);
}

static CelValue arithmetic(Run *run, const Node *node)
{
    CelValue a, b;

    return two_arguments(run, node, &a, &b) ? cel_arithmetic(run, node, a, b) : a;
}

static CelValue one_argument(Run *run, const Node *node)
{
    CelValue a = eval(run, node->args[0]);

    if (cel_is_error(a))
        return a;
    if (node->op == NODE_NEGATE)
        return cel_negate(run, node, a);
    return a.kind == CEL_BOOL ? cel_bool(!a.as.boolean) : cel_no_overload(run, node, a, NULL);
}

static CelValue call(Run *run, const Node *node)
{
    CelValue args[2];

    for (uint32_t i = 0; i < node->n; i++) {
        args[i] = eval(run, node->args[i]);
        if (cel_is_error(args[i]))
            return args[i];
    }
    return cel_call(run, node, args);
}

/* ---- macros ---- */

typedef struct Range {
    const CelValue *items;     /* of a list */
    const CelEntry *entries;   /* of a map: its keys */
    size_t n;
} Range;

/* False: *ret_error. */
static bool range_of(Run *run, const Node *node, Range *ret_range, CelValue *ret_error)
{
    CelValue of = eval(run, node->args[0]);

    *ret_range = (Range){ 0 };
    if (of.kind == CEL_LIST) {
        *ret_range = (Range){ .items = of.as.list->items, .n = of.as.list->n };
        return true;
    }
    if (of.kind == CEL_MAP) {
        *ret_range = (Range){ .entries = of.as.map->entries, .n = of.as.map->n };
        return true;
    }
    *ret_error = cel_is_error(of) ? of : cel_no_overload(run, node, of, NULL);
    return false;
}

static CelValue item_of(const Range *range, size_t i)
{
    return range->items != NULL ? range->items[i] : range->entries[i].key;
}

static CelValue all_or_exists(Run *run, const Node *node, bool decides)
{
    CelValue error = cel_null();
    Range range;

    if (!range_of(run, node, &range, &error))
        return error;
    for (size_t i = 0; i < range.n; i++) {
        run->locals[node->slot] = item_of(&range, i);
        CelValue value = eval(run, node->args[1]);

        if (value.kind == CEL_BOOL && value.as.boolean == decides)
            return value;
        if (run->stopped)
            return value;
        if (value.kind != CEL_BOOL && error.kind != CEL_ERROR)
            error = not_bool(run, node, value);
    }
    return error.kind == CEL_ERROR ? error : cel_bool(!decides);
}

static CelValue exists_one(Run *run, const Node *node)
{
    CelValue error;
    size_t found = 0;
    Range range;

    if (!range_of(run, node, &range, &error))
        return error;
    for (size_t i = 0; i < range.n; i++) {
        run->locals[node->slot] = item_of(&range, i);
        CelValue value = eval(run, node->args[1]);

        if (value.kind != CEL_BOOL)
            return not_bool(run, node, value);
        found += value.as.boolean;
    }
    return cel_bool(found == 1);
}

/* map(x, value), map(x, condition, value), filter(x, condition) */
static CelValue new_list(Run *run, const Node *node)
{
    const Node *filter = node->op == NODE_FILTER ? node->args[1] : node->n == 3 ? node->args[1] : NULL;
    const Node *body = node->op == NODE_FILTER ? NULL : node->args[node->n - 1];
    CelValue error;
    Range range;
    size_t n = 0;

    if (!range_of(run, node, &range, &error))
        return error;
    CelValue *items = cel_alloc(run->arena, range.n * sizeof *items);
    if (items == NULL)
        return cel_out_of_memory(run, node);
    for (size_t i = 0; i < range.n; i++) {
        CelValue item = item_of(&range, i);

        run->locals[node->slot] = item;
        CelValue holds = filter == NULL ? cel_bool(true) : eval(run, filter);
        if (holds.kind != CEL_BOOL)
            return not_bool(run, node, holds);
        if (!holds.as.boolean)
            continue;
        items[n] = body == NULL ? item : eval(run, body);
        if (cel_is_error(items[n]))
            return items[n];
        n++;
    }
    return made_list(run, node, items, n);
}

/* ---- the walk ---- */

static CelValue eval(Run *run, const Node *node)
{
    if (G_UNLIKELY(!cel_pay(run, 1)))
        return cel_out_of_memory(run, node);
    switch ((NodeOp) node->op) {
    case NODE_CONST:       return node->value;
    case NODE_NAME:        return name_value(run, node);
    case NODE_LOCAL:       return run->locals[node->slot];
    case NODE_IDENT:
    case NODE_UNKNOWN:     return cel_error_at(node->value.as.text, node->place);
    case NODE_SELECT:      return selected(run, node);
    case NODE_HAS:         return has(run, node);
    case NODE_HAS_NAME:    return has_name(run, node);
    case NODE_INDEX:       return indexed(run, node);
    case NODE_LIST:        return make_list(run, node);
    case NODE_MAP:         return make_map(run, node);
    case NODE_AND:         return logic(run, node, false);
    case NODE_OR:          return logic(run, node, true);
    case NODE_NOT:
    case NODE_NEGATE:      return one_argument(run, node);
    case NODE_CONDITION:   return condition(run, node);
    case NODE_EQ:
    case NODE_NE:          return equality(run, node);
    case NODE_LT:
    case NODE_LE:
    case NODE_GT:
    case NODE_GE:          return order(run, node);
    case NODE_IN:          return is_in(run, node);
    case NODE_ADD:
    case NODE_SUBTRACT:
    case NODE_MULTIPLY:
    case NODE_DIVIDE:
    case NODE_MODULO:      return arithmetic(run, node);
    case NODE_ALL:         return all_or_exists(run, node, false);
    case NODE_EXISTS:      return all_or_exists(run, node, true);
    case NODE_EXISTS_ONE:  return exists_one(run, node);
    case NODE_TRANSFORM:
    case NODE_FILTER:      return new_list(run, node);
    case NODE_CALL:        return call(run, node);
    case NODE_OP_N:        break;
    }
    return cel_error_at("not evaluated", node->place);
}

CelValue cel_eval_constant(CelProgram *program, const Node *node)
{
    Run run = { .program = program, .arena = &program->arena, .left = CONSTANT_OPERATIONS };

    return eval(&run, node);
}

CelValue cel_eval(const CelProgram *program, const CelInput *input, CelArena *arena)
{
    Run run = { .program = program, .input = input, .arena = arena, .left = (int64_t) MIN(program->limits.cost, INT64_MAX) };
    size_t n = program->n_names;
    CelValue *values = cel_alloc(arena, (n + program->n_locals) * sizeof *values + n);

    if (values == NULL)
        return cel_out_of_memory(&run, program->root);
    run.names = values;
    run.locals = values + n;
    run.states = (uint8_t *) (values + n + program->n_locals);
    memset(run.states, NAME_UNASKED, n);
    CelValue result = eval(&run, program->root);
    for (size_t i = 0; input->seen != NULL && i < n; i++)
        if (run.states[i] != NAME_UNASKED)
            input->seen(program->names[i], run.states[i] == NAME_ABSENT || values[i].kind == CEL_ERROR ? NULL : &values[i], input->seen_user);
    return result;
}
