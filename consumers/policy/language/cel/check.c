/* Names become slots, types are worked out from the leaves up, constants are computed once. Without declarations (an unchecked environment)
 * only the first of these happens, and what is unknown becomes a value that is an error, since || and && may never need it.
 *
 * The rules of types are those of the specification with two differences, both towards the reader: numbers of different kinds may be compared
 * (the language does it at run time anyway), and a comparison with null is refused, because an absent field is no null: has() asks for it. */
#include "consumers/policy/language/cel/types.h"

#include "lib/base/settings.h"

static bool check(Compile *c, Node *node);

static bool set(Node *node, const CelType *type)
{
    node->type = type;
    return true;
}

/* ---- names ---- */

/* "a.b.c" of a row of selections that begins with a name; false: it does not. */
static bool path_of(const Node *node, GString *path)
{
    if (node->op == NODE_IDENT) {
        g_string_append(path, node->value.as.text);
        return true;
    }
    if (node->op != NODE_SELECT || !path_of(node->args[0], path))
        return false;
    g_string_append_c(path, '.');
    g_string_append(path, node->value.as.text);
    return true;
}

static uint32_t slot_of(CelProgram *program, const CelName *name)
{
    for (size_t i = 0; i < program->n_names; i++)
        if (strcmp(program->names[i]->label, name->label) == 0)
            return (uint32_t) i;
    if ((program->n_names & (program->n_names - 1)) == 0) {
        size_t room = MAX(program->n_names * 2, 4);

        program->names = g_renew(const CelName *, program->names, room);
        program->absent = g_renew(char *, program->absent, room);
    }
    program->names[program->n_names] = name;
    program->absent[program->n_names] = g_strdup_printf("%s is absent", name->label);
    return (uint32_t) program->n_names++;
}

/* Takes the whole path, if it is a name of the environment or of a type. */
static bool resolve(Compile *c, Node *node, NodeOp op)
{
    g_autoptr(GString) path = g_string_new(NULL);

    if (!path_of(node, path))
        return false;
    const CelName *name = cel_env_find(c->program->env, path->str, &c->program->arena);
    if (name != NULL) {
        node->op = (uint8_t) op;
        node->slot = slot_of(c->program, name);
        node->n = 0;
        node->type = op == NODE_NAME ? name->type : &cel_bool_type;
        return true;
    }
    for (CelKind kind = CEL_NULL; op == NODE_NAME && kind < CEL_KIND_N; kind++)
        if (strcmp(path->str, cel_kind_name(kind)) == 0) {
            node->op = NODE_CONST;
            node->value = cel_type(kind);
            node->n = 0;
            node->type = &cel_type_type;
            return true;
        }
    return false;
}

static bool unknown(Compile *c, Node *node)
{
    const CelEnv *env = c->program->env;
    const char *text = node->value.as.text;

    if (!cel_env_checked(env)) {
        g_autofree char *error = cel_env_is_object(env, text) ? g_strdup_printf("undeclared reference: %s is only part of a name", text)
                                                               : g_strdup_printf("undeclared reference: %s is unknown", text);

        node->op = NODE_UNKNOWN;
        node->value = cel_string(cel_alloc_text(&c->program->arena, error, strlen(error)));
        return true;
    }
    if (cel_env_is_object(env, text)) {
        cel_compile_fail(c, node->offset, CEL_PARSE_ERROR_NAME, "%s is not a value by itself: name one of its fields", text);
        return false;
    }
    const char *near = cel_env_nearest(env, "", text);
    g_autofree char *beginnings = cel_env_beginnings(env);
    if (near != NULL)
        cel_compile_fail(c, node->offset, CEL_PARSE_ERROR_NAME, "\"%s\" is unknown, did you mean \"%s\"?", text, near);
    else
        cel_compile_fail(c, node->offset, CEL_PARSE_ERROR_NAME, "\"%s\" is unknown here: names begin with %s", text, beginnings);
    return false;
}

/* @node selects a field of an object that has no such field: an error that names the nearest one. False: it is something else. */
static bool unknown_field(Compile *c, const Node *node)
{
    g_autoptr(GString) path = g_string_new(NULL);

    if (!cel_env_checked(c->program->env) || !path_of(node->args[0], path) || !cel_env_is_object(c->program->env, path->str))
        return false;
    const char *near = cel_env_nearest(c->program->env, path->str, node->value.as.text);
    cel_compile_fail(c, node->place, CEL_PARSE_ERROR_NAME, "%s has no field \"%s\"%s%s%s", path->str, node->value.as.text,
                     near == NULL ? "" : ", did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return true;
}

static bool check_select(Compile *c, Node *node)
{
    bool asks = node->op == NODE_HAS;

    node->op = NODE_SELECT;
    if (resolve(c, node, asks ? NODE_HAS_NAME : NODE_NAME))
        return true;
    if (unknown_field(c, node) || !check(c, node->args[0]))
        return false;
    node->op = asks ? NODE_HAS : NODE_SELECT;
    const CelType *from = node->args[0]->type;
    if (!cel_type_is_dyn(from) && (from->shape != CEL_TYPE_MAP || !cel_type_is(from->key, CEL_STRING)) && cel_env_checked(c->program->env)) {
        g_autofree char *text = cel_type_text(from);

        cel_compile_fail(c, node->place, CEL_PARSE_ERROR_TYPE, "%s has no fields", text);
        return false;
    }
    return set(node, asks ? &cel_bool_type : cel_type_is_dyn(from) ? &cel_dyn : from->item);
}

static bool unknown_call(Compile *c, Node *node)
{
    const char *known[FUNCTION_N + 1] = { NULL };

    if (!cel_env_checked(c->program->env))
        return true;
    if (!node->root) {
        cel_compile_fail(c, node->place, CEL_PARSE_ERROR_NAME, "%s", node->value.as.text);
        return false;
    }
    for (unsigned i = 0; i < FUNCTION_N; i++)
        known[i] = cel_functions[i].name;
    g_autofree char *word = g_strndup(c->program->text + node->place, strcspn(c->program->text + node->place, " \t\r\n(/"));
    const char *near = nearest_word(word, known);
    cel_compile_fail(c, node->place, CEL_PARSE_ERROR_NAME, "there is no function %s()%s%s%s", word, near == NULL ? "" : ", did you mean \"",
                     near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return false;
}

/* ---- macros ---- */

/* Gives the variable's type to its uses in @node. */
static void bind(Node *node, uint32_t slot, const CelType *type)
{
    if (node->op == NODE_LOCAL && node->slot == slot)
        node->type = type;
    for (uint32_t i = 0; i < node->n; i++) {
        bool hidden = i > 0 && node->op >= NODE_ALL && node->op <= NODE_FILTER && node->slot == slot;

        if (!hidden)
            bind(node->args[i], slot, type);
    }
}

static bool check_macro(Compile *c, Node *node)
{
    Node *range = node->args[0], *body = node->args[node->n - 1], *filter = node->n == 3 ? node->args[1] : NULL;

    if (!check(c, range))
        return false;
    const CelType *of = range->type;
    if (cel_env_checked(c->program->env) && !cel_type_is_dyn(of) && of->shape == CEL_TYPE_SCALAR) {
        g_autofree char *text = cel_type_text(of);

        cel_compile_fail(c, range->offset, CEL_PARSE_ERROR_TYPE, "%s goes over a list or the keys of a map, this is %s",
                         cel_node_word(node->op, 0), text);
        return false;
    }
    const CelType *item = cel_type_is_dyn(of) || of->shape == CEL_TYPE_SCALAR ? &cel_dyn : of->shape == CEL_TYPE_LIST ? of->item : of->key;
    for (uint32_t i = 1; i < node->n; i++) {
        bind(node->args[i], node->slot, item);
        if (!check(c, node->args[i]))
            return false;
    }
    const Node *condition = node->op == NODE_TRANSFORM ? filter : body;
    if (cel_env_checked(c->program->env) && condition != NULL && !cel_type_is(condition->type, CEL_BOOL)) {
        g_autofree char *text = cel_type_text(condition->type);

        cel_compile_fail(c, condition->offset, CEL_PARSE_ERROR_TYPE, "%s wants true or false, this is %s", cel_node_word(node->op, 0), text);
        return false;
    }
    if (node->op == NODE_TRANSFORM)
        return set(node, cel_type_new(c, CEL_LIST, NULL, body->type));
    return set(node, node->op == NODE_FILTER ? cel_type_new(c, CEL_LIST, NULL, item) : &cel_bool_type);
}

/* ---- the walk ---- */

/* What has no names in it is computed now; in a checked program an error in it is one of loading. */
static bool fold(Compile *c, Node *node)
{
    if (!cel_env_checked(c->program->env) || node->n == 0 || (node->op >= NODE_ALL && node->op <= NODE_FILTER))
        return true;
    for (uint32_t i = 0; i < node->n; i++)
        if (node->args[i]->op != NODE_CONST)
            return true;
    CelValue value = cel_eval_constant(c->program, node);
    if (cel_is_error(value)) {
        cel_compile_fail(c, value.extra, CEL_PARSE_ERROR_TYPE, "this can never be computed: %s", value.as.error);
        return false;
    }
    node->op = NODE_CONST;
    node->value = value;
    node->n = 0;
    return true;
}

static bool check_node(Compile *c, Node *node)
{
    switch (node->op) {
    case NODE_CONST:
        return set(node, cel_type_of_kind(node->value.kind));
    case NODE_IDENT:
        return resolve(c, node, NODE_NAME) || unknown(c, node);
    case NODE_SELECT:
    case NODE_HAS:
        return check_select(c, node);
    case NODE_ALL:
    case NODE_EXISTS:
    case NODE_EXISTS_ONE:
    case NODE_TRANSFORM:
    case NODE_FILTER:
        return check_macro(c, node);
    case NODE_UNKNOWN:
        return unknown_call(c, node);
    default:
        break;
    }
    for (uint32_t i = 0; i < node->n; i++)
        if (!check(c, node->args[i]))
            return false;
    return cel_check_types(c, node) && fold(c, node);
}

static bool check(Compile *c, Node *node)
{
    bool fits = check_node(c, node);

    if (!cel_env_checked(c->program->env))
        node->type = &cel_dyn; /* all fits: constant patterns and zones are prepared, what is wrong fails when it is reached */
    return fits;
}

bool cel_check(Compile *c)
{
    return check(c, c->program->root);
}

