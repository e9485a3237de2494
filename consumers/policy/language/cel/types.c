/* Types from the leaves up: what an operator or a function gives for what it gets, or why it cannot. Refusals of comparisons are in the words of
 * somebody who writes a policy; those of computing name the language's types, since they are what has to be changed. */
#include "consumers/policy/language/cel/types.h"

/* ---- types ---- */

static void type_append(GString *text, const CelType *type)
{
    if (type->shape == CEL_TYPE_DYN) {
        g_string_append(text, "dyn");
    } else if (type->shape == CEL_TYPE_SCALAR) {
        g_string_append(text, type->kind == CEL_TIMESTAMP ? "timestamp" : type->kind == CEL_DURATION ? "duration" : cel_kind_name(type->kind));
    } else {
        g_string_append(text, type->shape == CEL_TYPE_LIST ? "list(" : "map(");
        if (type->shape == CEL_TYPE_MAP) {
            type_append(text, type->key);
            g_string_append(text, ", ");
        }
        type_append(text, type->item);
        g_string_append_c(text, ')');
    }
}

char *cel_type_text(const CelType *type)
{
    GString *text = g_string_new(NULL);

    type_append(text, type);
    return g_string_free(text, FALSE);
}

bool cel_type_is_dyn(const CelType *type)
{
    return type->shape == CEL_TYPE_DYN;
}

bool cel_type_is(const CelType *type, CelKind kind)
{
    return cel_type_is_dyn(type) || type->kind == kind;
}

static bool is_number(const CelType *type)
{
    return type->shape == CEL_TYPE_SCALAR && type->kind >= CEL_INT && type->kind <= CEL_DOUBLE;
}

static bool same(const CelType *a, const CelType *b)
{
    if (cel_type_is_dyn(a) || cel_type_is_dyn(b))
        return true;
    if (a->shape != b->shape || a->kind != b->kind)
        return false;
    return a->shape == CEL_TYPE_SCALAR || (same(a->item, b->item) && (a->shape == CEL_TYPE_LIST || same(a->key, b->key)));
}

static bool comparable(const CelType *a, const CelType *b)
{
    if (cel_type_is_dyn(a) || cel_type_is_dyn(b) || (is_number(a) && is_number(b)))
        return true;
    if (a->shape != b->shape || a->kind != b->kind)
        return false;
    return a->shape == CEL_TYPE_SCALAR || (comparable(a->item, b->item) && (a->shape == CEL_TYPE_LIST || comparable(a->key, b->key)));
}

static const CelType *joined(const CelType *a, const CelType *b)
{
    return a == NULL ? b : same(a, b) && !cel_type_is_dyn(a) ? a : &cel_dyn;
}

const CelType *cel_type_new(Compile *c, CelKind kind, const CelType *key, const CelType *item)
{
    CelType *type = cel_alloc(&c->program->arena, sizeof *type);

    *type = (CelType){ .shape = kind == CEL_LIST ? CEL_TYPE_LIST : CEL_TYPE_MAP, .kind = kind, .key = key, .item = item };
    return type;
}

const CelType *cel_type_of_kind(CelKind kind)
{
    static const CelType *const types[CEL_KIND_N] = {
        [CEL_ERROR] = &cel_dyn,         [CEL_NULL] = &cel_null_type,     [CEL_BOOL] = &cel_bool_type,   [CEL_INT] = &cel_int_type,
        [CEL_UINT] = &cel_uint_type,    [CEL_DOUBLE] = &cel_double_type, [CEL_STRING] = &cel_string_type, [CEL_BYTES] = &cel_bytes_type,
        [CEL_LIST] = &cel_list_of_dyn,  [CEL_MAP] = &cel_dyn,            [CEL_TYPE] = &cel_type_type,
        [CEL_TIMESTAMP] = &cel_timestamp_type, [CEL_DURATION] = &cel_duration_type,
    };

    return types[kind];
}

static bool no_overload(Compile *c, const Node *node, const char *hint)
{
    GString *types = g_string_new(NULL);

    for (uint32_t i = 0; i < node->n; i++) {
        g_string_append(types, i == 0 ? "" : ", ");
        type_append(types, node->args[i]->type);
    }
    g_autofree char *text = g_string_free(types, FALSE);
    cel_compile_fail(c, node->place, CEL_PARSE_ERROR_TYPE, "%s cannot be applied to (%s)%s", cel_node_word(node->op, node->function), text, hint);
    return false;
}

/* As a reader of the policy would say it. */
static char *type_words(const CelType *type)
{
    static const char *const words[CEL_KIND_N] = {
        [CEL_NULL] = "null",    [CEL_BOOL] = "true or false", [CEL_INT] = "a number",  [CEL_UINT] = "a number",
        [CEL_DOUBLE] = "a number", [CEL_STRING] = "text",     [CEL_BYTES] = "bytes",   [CEL_TIMESTAMP] = "a time",
        [CEL_DURATION] = "a duration", [CEL_TYPE] = "a type",
    };

    return type->shape == CEL_TYPE_SCALAR ? g_strdup(words[type->kind]) : cel_type_text(type);
}

static bool not_comparable(Compile *c, const Node *node, const char *hint)
{
    g_autofree char *a = type_words(node->args[0]->type), *b = type_words(node->args[1]->type);

    cel_compile_fail(c, node->place, CEL_PARSE_ERROR_TYPE, "%s cannot be %s %s%s", a, node->op == NODE_IN ? "in" : "compared with", b, hint);
    return false;
}

static bool set(Node *node, const CelType *type)
{
    node->type = type;
    return true;
}

/* ---- operators ---- */

static bool check_logic(Compile *c, Node *node)
{
    for (uint32_t i = 0; i < node->n; i++)
        if (!cel_type_is(node->args[i]->type, CEL_BOOL)) {
            g_autofree char *text = type_words(node->args[i]->type);

            cel_compile_fail(c, node->args[i]->offset, CEL_PARSE_ERROR_TYPE, "%s wants true or false, this is %s", cel_node_word(node->op, 0), text);
            return false;
        }
    return set(node, &cel_bool_type);
}

static bool check_equal(Compile *c, Node *node)
{
    const CelType *a = node->args[0]->type, *b = node->args[1]->type;

    if (!comparable(a, b))
        return not_comparable(c, node, cel_type_is(a, CEL_NULL) || cel_type_is(b, CEL_NULL) ? ": has(a.b) asks whether a field is there" : "");
    return set(node, &cel_bool_type);
}

static bool check_order(Compile *c, Node *node)
{
    const CelType *a = node->args[0]->type, *b = node->args[1]->type, *known = cel_type_is_dyn(a) ? b : a;
    bool ordered = cel_type_is_dyn(known) || is_number(known) || known->kind == CEL_BOOL || known->kind == CEL_STRING || known->kind == CEL_BYTES ||
                   known->kind == CEL_TIMESTAMP || known->kind == CEL_DURATION;

    return ordered && comparable(a, b) ? set(node, &cel_bool_type) : not_comparable(c, node, ordered ? "" : ": it has no order");
}

static bool check_in(Compile *c, Node *node)
{
    const CelType *item = node->args[0]->type, *in = node->args[1]->type;

    if (!cel_type_is_dyn(in) && in->shape == CEL_TYPE_SCALAR)
        return not_comparable(c, node, in->kind == CEL_STRING ? ": text.contains(part) looks inside a text" : ": a list or a map is wanted there");
    const CelType *each = cel_type_is_dyn(in) ? in : in->shape == CEL_TYPE_LIST ? in->item : in->key;
    return comparable(item, each) ? set(node, &cel_bool_type) : not_comparable(c, node, "");
}

static bool check_add(Compile *c, Node *node)
{
    const CelType *a = node->args[0]->type, *b = node->args[1]->type;
    bool plus = node->op == NODE_ADD;

    if (cel_type_is_dyn(a) && cel_type_is_dyn(b))
        return set(node, &cel_dyn);
    if (cel_type_is(a, CEL_TIMESTAMP) && cel_type_is(b, CEL_DURATION) && !cel_type_is_dyn(a))
        return set(node, cel_type_is_dyn(b) && !plus ? &cel_dyn : &cel_timestamp_type);
    if (plus && cel_type_is(a, CEL_DURATION) && cel_type_is(b, CEL_TIMESTAMP) && !cel_type_is_dyn(b))
        return set(node, &cel_timestamp_type);
    if (!plus && cel_type_is(a, CEL_TIMESTAMP) && cel_type_is(b, CEL_TIMESTAMP))
        return set(node, cel_type_is_dyn(a) || cel_type_is_dyn(b) ? &cel_dyn : &cel_duration_type);
    if (cel_type_is_dyn(a) || cel_type_is_dyn(b)) {
        const CelType *known = cel_type_is_dyn(a) ? b : a;

        return set(node, known->kind == CEL_TIMESTAMP || known->kind == CEL_DURATION ? &cel_dyn : known);
    }
    bool fits = is_number(a) || a->kind == CEL_DURATION ||
                (plus && (a->kind == CEL_STRING || a->kind == CEL_BYTES || a->kind == CEL_LIST));
    if (fits && a->kind == b->kind)
        return set(node, a->shape == CEL_TYPE_LIST ? cel_type_new(c, CEL_LIST, NULL, joined(a->item, b->item)) : a);
    return no_overload(c, node, is_number(a) && is_number(b) ? ": numbers of one kind are wanted, such as 2.0 or double(x)"
                                : plus && (a->kind == CEL_STRING || b->kind == CEL_STRING) ? ": string(x) makes a text" : "");
}

static bool check_multiply(Compile *c, Node *node)
{
    const CelType *a = node->args[0]->type, *b = node->args[1]->type, *known = cel_type_is_dyn(a) ? b : a;
    bool fits = cel_type_is_dyn(known) || (is_number(known) && (node->op != NODE_MODULO || known->kind != CEL_DOUBLE));

    if (fits && (cel_type_is_dyn(a) || cel_type_is_dyn(b) || a->kind == b->kind))
        return set(node, known);
    return no_overload(c, node, is_number(a) && is_number(b) && node->op != NODE_MODULO ? ": numbers of one kind are wanted, such as 2.0 or double(x)" : "");
}

static bool check_negate(Compile *c, Node *node)
{
    const CelType *a = node->args[0]->type;

    return cel_type_is(a, CEL_INT) || cel_type_is(a, CEL_DOUBLE) ? set(node, a) : no_overload(c, node, "");
}

static bool check_index(Compile *c, Node *node)
{
    const CelType *of = node->args[0]->type, *index = node->args[1]->type;

    if (cel_type_is_dyn(of))
        return set(node, &cel_dyn);
    if (of->shape == CEL_TYPE_LIST && (cel_type_is_dyn(index) || is_number(index)))
        return set(node, of->item);
    if (of->shape == CEL_TYPE_MAP && comparable(of->key, index))
        return set(node, of->item);
    return no_overload(c, node, "");
}

static bool check_list(Compile *c, Node *node)
{
    const CelType *item = NULL;

    for (uint32_t i = 0; i < node->n; i++)
        item = joined(item, node->args[i]->type);
    return set(node, cel_type_new(c, CEL_LIST, NULL, item == NULL ? &cel_dyn : item));
}

static bool check_map(Compile *c, Node *node)
{
    const CelType *key = NULL, *item = NULL;

    for (uint32_t i = 0; i < node->n; i += 2) {
        const CelType *k = node->args[i]->type;

        if (!cel_type_is(k, CEL_BOOL) && !cel_type_is(k, CEL_INT) && !cel_type_is(k, CEL_UINT) && !cel_type_is(k, CEL_STRING)) {
            g_autofree char *text = cel_type_text(k);

            cel_compile_fail(c, node->args[i]->offset, CEL_PARSE_ERROR_TYPE, "a key is a bool, int, uint or string, this is %s", text);
            return false;
        }
        key = joined(key, k);
        item = joined(item, node->args[i + 1]->type);
    }
    return set(node, cel_type_new(c, CEL_MAP, key == NULL ? &cel_dyn : key, item == NULL ? &cel_dyn : item));
}

static bool check_condition(Compile *c, Node *node)
{
    const CelType *yes = node->args[1]->type, *no = node->args[2]->type;

    if (!cel_type_is(node->args[0]->type, CEL_BOOL) || !same(yes, no))
        return no_overload(c, node, cel_type_is(node->args[0]->type, CEL_BOOL) ? ": both values have one type" : ": a bool is wanted before ?");
    return set(node, cel_type_is_dyn(yes) ? yes : cel_type_is_dyn(no) ? no : yes);
}

/* ---- functions ---- */

static bool check_conversion(Compile *c, Node *node)
{
#define K(kind) (1u << CEL_##kind)
    static const struct { const CelType *to; unsigned from; } conversions[FUNCTION_N] = {
        [FUNCTION_INT] = { &cel_int_type, K(INT) | K(UINT) | K(DOUBLE) | K(STRING) | K(TIMESTAMP) },
        [FUNCTION_UINT] = { &cel_uint_type, K(INT) | K(UINT) | K(DOUBLE) | K(STRING) },
        [FUNCTION_DOUBLE] = { &cel_double_type, K(INT) | K(UINT) | K(DOUBLE) | K(STRING) },
        [FUNCTION_STRING] = { &cel_string_type, K(INT) | K(UINT) | K(DOUBLE) | K(STRING) | K(BYTES) | K(BOOL) | K(TIMESTAMP) | K(DURATION) },
        [FUNCTION_BYTES] = { &cel_bytes_type, K(BYTES) | K(STRING) },
        [FUNCTION_BOOL] = { &cel_bool_type, K(BOOL) | K(STRING) },
        [FUNCTION_TIMESTAMP] = { &cel_timestamp_type, K(TIMESTAMP) | K(STRING) | K(INT) },
        [FUNCTION_DURATION] = { &cel_duration_type, K(DURATION) | K(STRING) },
        [FUNCTION_SIZE] = { &cel_int_type, K(STRING) | K(BYTES) | K(LIST) | K(MAP) },
        [FUNCTION_TYPE] = { &cel_type_type, ~0u },
        [FUNCTION_DYN] = { &cel_dyn, ~0u },
    };
#undef K
    const CelType *from = node->args[0]->type;

    if (!cel_type_is_dyn(from) && !(conversions[node->function].from & (1u << from->kind)))
        return no_overload(c, node, "");
    return set(node, conversions[node->function].to);
}

static bool check_text_call(Compile *c, Node *node)
{
    const Node *pattern = node->args[1];
    g_autoptr(GError) error = NULL;

    if (!cel_type_is(node->args[0]->type, CEL_STRING) || !cel_type_is(pattern->type, CEL_STRING))
        return no_overload(c, node, "");
    bool constant = pattern->op == NODE_CONST && pattern->value.kind == CEL_STRING;
    if (node->function == FUNCTION_MATCHES && !constant && cel_env_checked(c->program->env)) {
        cel_compile_fail(c, pattern->offset, CEL_PARSE_ERROR_TYPE, "a pattern is written out here, so that what it costs is known");
        return false;
    }
    if (node->function == FUNCTION_MATCHES && constant) {
        CelRegex *regex = cel_regex_new(pattern->value.as.text, pattern->value.extra, &error);

        if (regex == NULL && cel_env_checked(c->program->env)) {
            cel_compile_fail(c, pattern->offset, CEL_PARSE_ERROR_SYNTAX, "%s", error->message);
            return false;
        }
        if (regex != NULL)
            g_ptr_array_add(c->program->regexes, regex);
        node->regex = regex;
    }
    return set(node, &cel_bool_type);
}

static bool check_time_call(Compile *c, Node *node)
{
    const CelType *of = node->args[0]->type;
    const Node *zone = node->n == 2 ? node->args[1] : NULL;
    bool of_duration = zone == NULL && node->function >= FUNCTION_HOURS;
    g_autoptr(GError) error = NULL;

    if (!cel_type_is(of, CEL_TIMESTAMP) && !(of_duration && of->kind == CEL_DURATION))
        return no_overload(c, node, "");
    if (zone != NULL && !cel_type_is(zone->type, CEL_STRING))
        return no_overload(c, node, "");
    bool constant = zone != NULL && zone->op == NODE_CONST && zone->value.kind == CEL_STRING;
    if (zone != NULL && !constant && cel_env_checked(c->program->env)) {
        cel_compile_fail(c, zone->offset, CEL_PARSE_ERROR_TYPE, "a time zone is written out here, such as \"Europe/Berlin\"");
        return false;
    }
    if (constant) {
        CelZone *found = cel_zone_new(zone->value.as.text, zone->value.extra, &error);

        if (found == NULL && cel_env_checked(c->program->env)) {
            cel_compile_fail(c, zone->offset, CEL_PARSE_ERROR_NAME, "%s", error->message);
            return false;
        }
        if (found != NULL)
            g_ptr_array_add(c->program->zones, found);
        node->zone = found;
    }
    return set(node, &cel_int_type);
}

static bool check_call(Compile *c, Node *node)
{
    switch (node->function) {
    case FUNCTION_CONTAINS:
    case FUNCTION_STARTS_WITH:
    case FUNCTION_ENDS_WITH:
    case FUNCTION_MATCHES:
        return check_text_call(c, node);
    default:
        return node->function >= FUNCTION_FULL_YEAR ? check_time_call(c, node) : check_conversion(c, node);
    }
}

bool cel_check_types(Compile *c, Node *node)
{
    switch (node->op) {
    case NODE_CALL:      return check_call(c, node);
    case NODE_INDEX:     return check_index(c, node);
    case NODE_LIST:      return check_list(c, node);
    case NODE_MAP:       return check_map(c, node);
    case NODE_AND:
    case NODE_OR:
    case NODE_NOT:       return check_logic(c, node);
    case NODE_NEGATE:    return check_negate(c, node);
    case NODE_CONDITION: return check_condition(c, node);
    case NODE_EQ:
    case NODE_NE:        return check_equal(c, node);
    case NODE_LT:
    case NODE_LE:
    case NODE_GT:
    case NODE_GE:        return check_order(c, node);
    case NODE_IN:        return check_in(c, node);
    case NODE_ADD:
    case NODE_SUBTRACT:  return check_add(c, node);
    case NODE_MULTIPLY:
    case NODE_DIVIDE:
    case NODE_MODULO:    return check_multiply(c, node);
    default:             return true;
    }
}

