/* The most an expression can cost, before any value is known: every node's own operation, work by the sizes its values can have, macros as often as
 * their list can be long. Sizes of what comes from outside are those of its declaration or of the limits; what grows (a + b, map) is
 * followed. Saturates: nested macros over long lists reach 2^64 quickly, and more than too much is still too much. */
#include "consumers/policy/language/cel/node.h"

#define LOCALS_MAX 64

typedef struct Price {
    uint64_t cost;
    uint64_t bytes;       /* of a text; of the longest text inside a list or map */
    uint64_t items;
} Price;

typedef struct Pricing {
    Compile *c;
    Price locals[LOCALS_MAX];
    const Node *dearest;  /* macro, for the message */
    uint64_t dearest_cost;
} Pricing;

static Price price(Pricing *p, const Node *node);

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static void measure(CelValue value, Price *ret)
{
    if (value.kind == CEL_STRING || value.kind == CEL_BYTES)
        ret->bytes = MAX(ret->bytes, value.extra);
    if (value.kind == CEL_LIST) {
        ret->items = MAX(ret->items, value.as.list->n);
        for (size_t i = 0; i < value.as.list->n; i++)
            measure(value.as.list->items[i], ret);
    }
    if (value.kind == CEL_MAP) {
        ret->items = MAX(ret->items, value.as.map->n);
        for (size_t i = 0; i < value.as.map->n; i++) {
            measure(value.as.map->entries[i].key, ret);
            measure(value.as.map->entries[i].value, ret);
        }
    }
}

static Price name_price(const Pricing *p, const Node *node)
{
    const CelName *name = p->c->program->names[node->slot];
    const CelType *type = name->type;
    Price result = { .cost = 1 };

    if (type->shape != CEL_TYPE_SCALAR || type->kind == CEL_STRING || type->kind == CEL_BYTES)
        result.bytes = name->bytes != 0 ? name->bytes : p->c->program->limits.string_bytes;
    if (type->shape != CEL_TYPE_SCALAR)
        result.items = name->items != 0 ? name->items : p->c->program->limits.items;
    return result;
}

static Price call_price(const Node *node, Price first, Price second, Price result)
{
    result.bytes = result.items = 0;
    switch (node->function) {
    case FUNCTION_STRING:
    case FUNCTION_BYTES:
        result.bytes = MAX(first.bytes, 40);
        result.cost = plus(result.cost, first.bytes / 32);
        break;
    case FUNCTION_SIZE:
        result.cost = plus(result.cost, first.bytes / 32);
        break;
    case FUNCTION_CONTAINS:
        result.cost = plus(result.cost, plus(first.bytes, second.bytes) / 16);
        break;
    case FUNCTION_MATCHES: /* check.c has seen to it that there is a pattern */
        result.cost = plus(result.cost, plus(2, times(first.bytes, 4 + cel_regex_size(node->regex)) / 16));
        break;
    case FUNCTION_DYN:
        result.bytes = first.bytes;
        result.items = first.items;
        break;
    default:
        break;
    }
    return result;
}

static Price macro_price(Pricing *p, const Node *node)
{
    Price range = price(p, node->args[0]), each = { .cost = 0 };
    Price *local = &p->locals[MIN(node->slot, LOCALS_MAX - 1)], outer = *local;

    *local = (Price){ .bytes = range.bytes, .items = range.items };
    for (uint32_t i = 1; i < node->n; i++) {
        Price one = price(p, node->args[i]);

        each.cost = plus(each.cost, one.cost);
        each.bytes = one.bytes;
        each.items = one.items;
    }
    *local = outer;
    Price result = { .cost = plus(1, plus(range.cost, times(range.items, each.cost))) };
    if (node->op == NODE_TRANSFORM || node->op == NODE_FILTER) {
        result.items = node->op == NODE_FILTER ? range.items : MAX(range.items, each.items);
        result.bytes = node->op == NODE_FILTER ? range.bytes : each.bytes;
    }
    if (result.cost > p->dearest_cost) {
        p->dearest_cost = result.cost;
        p->dearest = node;
    }
    return result;
}

static Price operator_price(const Node *node, Price a, Price b, Price result)
{
    switch ((NodeOp) node->op) {
    case NODE_ADD:
        result.bytes = node->type->shape == CEL_TYPE_SCALAR ? plus(a.bytes, b.bytes) : MAX(a.bytes, b.bytes);
        result.items = plus(a.items, b.items);
        result.cost = plus(result.cost, plus(result.bytes / 32, result.items));
        break;
    case NODE_EQ:
    case NODE_NE:
        result.cost = plus(result.cost, plus(1 + MIN(a.bytes, b.bytes) / 64, times(2 * MIN(a.items, b.items), 1 + MIN(a.bytes, b.bytes) / 32)));
        result.bytes = result.items = 0;
        break;
    case NODE_LT:
    case NODE_LE:
    case NODE_GT:
    case NODE_GE:
        result.cost = plus(result.cost, MIN(a.bytes, b.bytes) / 64);
        result.bytes = result.items = 0;
        break;
    case NODE_INDEX: /* as large as the largest part */
        result.cost = plus(result.cost, b.bytes / 16);
        break;
    case NODE_SELECT:
        result.cost = plus(result.cost, node->value.extra / 16);
        break;
    case NODE_IN:
        result.cost = plus(result.cost, plus(a.bytes / 16, times(b.items, 1 + MIN(a.bytes, b.bytes) / 64)));
        result.bytes = result.items = 0;
        break;
    case NODE_AND:
    case NODE_OR:
    case NODE_NOT:
    case NODE_HAS:
        result.bytes = result.items = 0;
        break;
    case NODE_LIST:
    case NODE_MAP:
        result.items = MAX(result.items, node->n);
        break;
    default:
        break; /* choices: as large as the largest part */
    }
    return result;
}

static Price price(Pricing *p, const Node *node)
{
    Price result = { .cost = 1 }, args[2] = { { 0 } };

    if (node->op == NODE_NAME || node->op == NODE_HAS_NAME)
        return name_price(p, node);
    if (node->op >= NODE_ALL && node->op <= NODE_FILTER)
        return macro_price(p, node);
    if (node->op == NODE_CONST) {
        measure(node->value, &result);
        return result;
    }
    if (node->op == NODE_LOCAL) {
        result = p->locals[MIN(node->slot, LOCALS_MAX - 1)];
        result.cost = 1;
        return result;
    }
    uint64_t dearest_branch = 0;
    for (uint32_t i = 0; i < node->n; i++) {
        Price one = price(p, node->args[i]);

        if (i < 2)
            args[i] = one;
        if (node->op == NODE_CONDITION && i > 0)
            dearest_branch = MAX(dearest_branch, one.cost);
        else
            result.cost = plus(result.cost, one.cost);
        result.bytes = MAX(result.bytes, one.bytes);
        result.items = MAX(result.items, one.items);
    }
    result.cost = plus(result.cost, dearest_branch);
    return node->op == NODE_CALL ? call_price(node, args[0], args[1], result) : operator_price(node, args[0], args[1], result);
}

bool cel_price(Compile *c)
{
    Pricing p = { .c = c };
    uint64_t allowed = c->program->limits.cost;

    c->program->cost = price(&p, c->program->root).cost;
    if (c->program->cost <= allowed)
        return true;
    const Node *place = p.dearest != NULL ? p.dearest : c->program->root;
    cel_compile_fail(c, place->place, CEL_PARSE_ERROR_COST, "this could take %" PRIu64 " operations, %" PRIu64 " are allowed%s", c->program->cost,
                     allowed, p.dearest == NULL ? "" : ": a list may be long, and a macro looks at all of it");
    return false;
}
