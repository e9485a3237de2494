/* An expression and, after a zero byte, variables as typed JSON. Beyond not crashing: the same input gives the same result, a value written as
 * typed JSON reads back as itself, and a checked program gives what its type says, whatever its names are answered with. */
#include "consumers/policy/language/cel/cel.h"
#include "consumers/policy/language/cel/json.h"
#include "consumers/policy/language/expression.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const CelLimits limits = { .text_bytes = 1 << 16, .cost = 200000, .memory_bytes = 1 << 20, .string_bytes = 256, .items = 16 };

static bool look_up_variable(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    *ret_value = cel_from_typed(json_object_get(user, name->label), arena);
    return true;
}

/* Something of the name's type that depends on the seed; or absent, or of another type. */
static bool look_up_anything(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    static const CelValue texts[] = { { .kind = CEL_STRING, .extra = 4, .as.text = "none" }, { .kind = CEL_STRING, .as.text = "" } };
    uint32_t seed = *(const uint32_t *) user + g_str_hash(name->label), kind = seed % 7 == 0 ? CEL_INT : name->type->kind;

    if (seed % 11 == 0)
        return false;
    switch (kind) {
    case CEL_BOOL:
        *ret_value = cel_bool(seed & 1);
        break;
    case CEL_DOUBLE:
        *ret_value = cel_double(seed % 3 == 0 ? 1.5 : 0);
        break;
    case CEL_STRING:
        *ret_value = texts[seed & 1];
        break;
    case CEL_LIST:
        *ret_value = cel_list(arena, texts, seed % 3);
        break;
    default:
        *ret_value = cel_int((int64_t) (seed % 5) - 2);
    }
    return true;
}

static char *result_text(CelValue value)
{
    if (cel_is_error(value))
        return g_strdup_printf("%u %s", value.extra, value.as.error);
    if (cel_weight(value, 10001) > 10000)
        return g_strdup("large"); /* shared parts are written each time */
    g_autoptr(json_t) typed = cel_to_typed(value);
    return cel_json_line(typed);
}

static void check_reads_back(CelValue value)
{
    g_autoptr(json_t) typed = cel_to_typed(value);
    g_autofree char *before = cel_json_line(typed);
    CelArena arena;

    cel_arena_init(&arena, NULL, 0, 16 << 20);
    CelValue again = cel_from_typed(typed, &arena);
    g_autofree char *after = result_text(again);
    if (!cel_is_error(again) || strstr(again.as.error, "deeper") == NULL)
        g_assert_cmpstr(before, ==, after);
    cel_arena_done(&arena);
}

static void run_unchecked(const char *text, size_t length, json_t *vars)
{
    g_autoptr(CelEnv) env = cel_env_new(false);
    g_autofree char *first = NULL;
    const char *name;
    json_t *value;

    json_object_foreach(vars, name, value) {
        cel_env_add(env, name, &cel_dyn, 0);
    }
    g_autoptr(CelProgram) program = cel_compile(text, length, env, &limits, NULL, NULL);
    for (int i = 0; i < 2 && program != NULL; i++) {
        CelArena arena;

        cel_arena_init(&arena, NULL, 0, limits.memory_bytes);
        CelValue v = cel_eval(program, &(CelInput){ .lookup = look_up_variable, .user = vars }, &arena);
        g_autofree char *result = result_text(v);
        if (i > 0)
            g_assert_cmpstr(result, ==, first);
        else if (!cel_is_error(v) && cel_weight(v, 10001) <= 10000)
            check_reads_back(v);
        if (i == 0)
            first = g_steal_pointer(&result);
        cel_arena_done(&arena);
    }
}

static void run_checked(const char *text, size_t length)
{
    size_t offset = 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(CelProgram) program = cel_compile(text, length, expression_env(EXPRESSION_RULE), &limits, &offset, &error);

    if (program == NULL) {
        g_assert_nonnull(error);
        g_assert_cmpuint(offset, <=, length);
        return;
    }
    g_assert_cmpuint(cel_program_cost(program), <=, limits.cost);
    for (uint32_t seed = 0; seed < 8; seed++) {
        const CelType *type = cel_program_type(program);
        CelArena arena;

        cel_arena_init(&arena, NULL, 0, limits.memory_bytes);
        CelValue v = cel_eval(program, &(CelInput){ .lookup = look_up_anything, .user = &seed }, &arena);
        if (!cel_is_error(v) && type->shape != CEL_TYPE_DYN)
            g_assert_cmpuint(v.kind, ==, type->kind);
        g_assert_true(!cel_is_error(v) || v.extra <= length);
        cel_arena_done(&arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    size_t length = end == NULL ? size : (size_t) (end - data);
    g_autoptr(json_t) vars = end == NULL ? NULL : json_loadb((const char *) end + 1, size - length - 1, JSON_ALLOW_NUL, NULL);

    if (!json_is_object(vars)) {
        json_decref(vars);
        vars = json_object();
    }
    run_unchecked((const char *) data, length, vars);
    run_checked((const char *) data, length);
    return 0;
}
