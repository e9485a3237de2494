/* From text to program: parse, resolve and check, price. */
#include "consumers/policy/language/cel/node.h"

const CelLimits cel_limits_policy = { .text_bytes = 16 << 10, .cost = 1000000, .memory_bytes = 4 << 20, .string_bytes = 4 << 10, .items = 256 };
const CelLimits cel_limits_tool = { .text_bytes = 4 << 20, .cost = 50000000, .memory_bytes = 256 << 20, .string_bytes = 4 << 10, .items = 256 };

static bool compile(Compile *c)
{
    CelProgram *program = c->program;

    if (program->length > program->limits.text_bytes)
        return cel_compile_fail(c, 0, CEL_PARSE_ERROR_SYNTAX, "longer than %zu bytes", program->limits.text_bytes) != NULL;
    if (!cel_utf8_valid(program->text, program->length)) {
        const char *end;

        g_utf8_validate_len(program->text, program->length, &end);
        return cel_compile_fail(c, (size_t) (end - program->text), CEL_PARSE_ERROR_SYNTAX, "this is not UTF-8") != NULL;
    }
    return cel_parse(c) && cel_check(c) && (!cel_env_checked(program->env) || cel_price(c));
}

CelProgram *cel_compile(const char *text, size_t length, CelEnv *env, const CelLimits *limits, size_t *ret_offset, GError **error)
{
    g_autoptr(CelProgram) program = g_new0(CelProgram, 1);
    Compile c = { .program = program };

    program->env = cel_env_ref(env);
    program->limits = limits == NULL ? cel_limits_policy : *limits;
    program->text = g_malloc(length + 1);
    memcpy(program->text, text, length);
    program->text[length] = '\0';
    program->length = length;
    program->regexes = g_ptr_array_new_with_free_func((GDestroyNotify) cel_regex_free);
    program->zones = g_ptr_array_new_with_free_func((GDestroyNotify) cel_zone_free);
    cel_arena_init(&program->arena, NULL, 0, SIZE_MAX);
    if (!compile(&c)) {
        if (ret_offset != NULL)
            *ret_offset = c.error_offset;
        g_propagate_error(error, c.error);
        return NULL;
    }
    return g_steal_pointer(&program);
}

void cel_program_free(CelProgram *program)
{
    if (program == NULL)
        return;
    for (size_t i = 0; i < program->n_names; i++)
        g_free(program->absent[i]);
    g_free(program->absent);
    g_free(program->names);
    g_clear_pointer(&program->regexes, g_ptr_array_unref);
    g_clear_pointer(&program->zones, g_ptr_array_unref);
    cel_arena_done(&program->arena);
    g_free(program->text);
    cel_env_unref(program->env);
    g_free(program);
}

const CelType *cel_program_type(const CelProgram *program)
{
    return program->root->type;
}

uint64_t cel_program_cost(const CelProgram *program)
{
    return program->cost;
}

const CelName *const *cel_program_names(const CelProgram *program, size_t *ret_n)
{
    *ret_n = program->n_names;
    return program->names;
}
