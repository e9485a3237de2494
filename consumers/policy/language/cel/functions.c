/* What the language computes: arithmetic that never wraps, conversions that never guess, texts, times. Every function looks at the kinds it is
 * given; a checked program has been told already when they cannot fit. */
#include "consumers/policy/language/cel/run.h"

#include <errno.h>
#include <math.h>

/* ---- arithmetic ---- */

static CelValue overflow(Run *run, const Node *node)
{
    return cel_fail(run, node, "%s overflows", cel_node_word(node->op, node->function));
}

static CelValue divided_by_zero(Run *run, const Node *node)
{
    return cel_fail(run, node, node->op == NODE_MODULO ? "modulus by zero" : "divide by zero");
}

static CelValue int_arithmetic(Run *run, const Node *node, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool wraps = false;

    switch (node->op) {
    case NODE_ADD:
        wraps = __builtin_add_overflow(a, b, &result);
        break;
    case NODE_SUBTRACT:
        wraps = __builtin_sub_overflow(a, b, &result);
        break;
    case NODE_MULTIPLY:
        wraps = __builtin_mul_overflow(a, b, &result);
        break;
    default:
        if (b == 0)
            return divided_by_zero(run, node);
        wraps = a == INT64_MIN && b == -1;
        if (!wraps)
            result = node->op == NODE_DIVIDE ? a / b : a % b;
    }
    return wraps ? overflow(run, node) : cel_int(result);
}

static CelValue uint_arithmetic(Run *run, const Node *node, uint64_t a, uint64_t b)
{
    uint64_t result = 0;
    bool wraps = false;

    switch (node->op) {
    case NODE_ADD:
        wraps = __builtin_add_overflow(a, b, &result);
        break;
    case NODE_SUBTRACT:
        wraps = __builtin_sub_overflow(a, b, &result);
        break;
    case NODE_MULTIPLY:
        wraps = __builtin_mul_overflow(a, b, &result);
        break;
    default:
        if (b == 0)
            return divided_by_zero(run, node);
        result = node->op == NODE_DIVIDE ? a / b : a % b;
    }
    return wraps ? overflow(run, node) : cel_uint(result);
}

static CelValue double_arithmetic(Run *run, const Node *node, CelValue a, CelValue b)
{
    switch (node->op) {
    case NODE_ADD:
        return cel_double(a.as.real + b.as.real);
    case NODE_SUBTRACT:
        return cel_double(a.as.real - b.as.real);
    case NODE_MULTIPLY:
        return cel_double(a.as.real * b.as.real);
    case NODE_DIVIDE:
        return cel_double(a.as.real / b.as.real);
    default:
        return cel_no_overload(run, node, a, &b);
    }
}

static CelValue timestamp_checked(Run *run, const Node *node, int64_t seconds, int64_t ns)
{
    if (seconds < CEL_TIME_SECONDS_MIN || seconds > CEL_TIME_SECONDS_MAX)
        return cel_fail(run, node, "timestamp out of range: years 1 to 9999");
    return cel_timestamp(seconds, (uint32_t) ns);
}

static CelValue timestamp_moved(Run *run, const Node *node, CelValue time, int64_t by_ns, bool back)
{
    int64_t seconds = by_ns / 1000000000, ns = by_ns % 1000000000;

    ns = (int64_t) time.extra + (back ? -ns : ns);
    seconds = time.as.seconds + (back ? -seconds : seconds);
    if (ns < 0) {
        ns += 1000000000;
        seconds--;
    } else if (ns >= 1000000000) {
        ns -= 1000000000;
        seconds++;
    }
    return timestamp_checked(run, node, seconds, ns);
}

static CelValue time_arithmetic(Run *run, const Node *node, CelValue a, CelValue b)
{
    bool plus = node->op == NODE_ADD;
    int64_t result;

    if (node->op != NODE_ADD && node->op != NODE_SUBTRACT)
        return cel_no_overload(run, node, a, &b);
    if (a.kind == CEL_DURATION && b.kind == CEL_DURATION) {
        bool wraps = plus ? __builtin_add_overflow(a.as.ns, b.as.ns, &result) : __builtin_sub_overflow(a.as.ns, b.as.ns, &result);

        return wraps ? cel_fail(run, node, "duration out of range") : cel_duration(result);
    }
    if (a.kind == CEL_TIMESTAMP && b.kind == CEL_DURATION)
        return timestamp_moved(run, node, a, b.as.ns, !plus);
    if (plus && a.kind == CEL_DURATION && b.kind == CEL_TIMESTAMP)
        return timestamp_moved(run, node, b, a.as.ns, false);
    if (!plus && a.kind == CEL_TIMESTAMP && b.kind == CEL_TIMESTAMP) {
        bool wraps = __builtin_mul_overflow(a.as.seconds - b.as.seconds, INT64_C(1000000000), &result);

        wraps = wraps || __builtin_add_overflow(result, (int64_t) a.extra - (int64_t) b.extra, &result);
        return wraps ? cel_fail(run, node, "duration out of range: about 292 years") : cel_duration(result);
    }
    return cel_no_overload(run, node, a, &b);
}

static CelValue joined_texts(Run *run, const Node *node, CelValue a, CelValue b)
{
    size_t length = (size_t) a.extra + b.extra;
    char *text = length > INT32_MAX || !cel_pay(run, length / 32) ? NULL : cel_alloc(run->arena, length + 1);

    if (text == NULL)
        return cel_out_of_memory(run, node);
    memcpy(text, a.as.text, a.extra);
    memcpy(text + a.extra, b.as.text, b.extra);
    return (CelValue){ .kind = a.kind, .extra = (uint32_t) length, .as.text = text };
}

static CelValue joined_lists(Run *run, const Node *node, const CelList *a, const CelList *b)
{
    CelValue *items = a->n + b->n > INT32_MAX || !cel_pay(run, a->n + b->n) ? NULL : cel_alloc(run->arena, (a->n + b->n) * sizeof *items);

    if (items == NULL)
        return cel_out_of_memory(run, node);
    if (a->n > 0)
        memcpy(items, a->items, a->n * sizeof *items);
    if (b->n > 0)
        memcpy(items + a->n, b->items, b->n * sizeof *items);
    return cel_list(run->arena, items, a->n + b->n);
}

CelValue cel_arithmetic(Run *run, const Node *node, CelValue a, CelValue b)
{
    if (a.kind == CEL_TIMESTAMP || a.kind == CEL_DURATION)
        return time_arithmetic(run, node, a, b);
    if (a.kind != b.kind)
        return cel_no_overload(run, node, a, &b);
    switch (a.kind) {
    case CEL_INT:
        return int_arithmetic(run, node, a.as.integer, b.as.integer);
    case CEL_UINT:
        return uint_arithmetic(run, node, a.as.uinteger, b.as.uinteger);
    case CEL_DOUBLE:
        return double_arithmetic(run, node, a, b);
    case CEL_STRING:
    case CEL_BYTES:
        return node->op == NODE_ADD ? joined_texts(run, node, a, b) : cel_no_overload(run, node, a, &b);
    case CEL_LIST:
        return node->op == NODE_ADD ? joined_lists(run, node, a.as.list, b.as.list) : cel_no_overload(run, node, a, &b);
    default:
        return cel_no_overload(run, node, a, &b);
    }
}

CelValue cel_negate(Run *run, const Node *node, CelValue a)
{
    if (a.kind == CEL_DOUBLE)
        return cel_double(-a.as.real);
    if (a.kind != CEL_INT)
        return cel_no_overload(run, node, a, NULL);
    return a.as.integer == INT64_MIN ? overflow(run, node) : cel_int(-a.as.integer);
}

/* ---- conversions ---- */

bool cel_utf8_valid(const char *text, size_t length)
{
    while (length > 0) {
        const char *end;

        if (g_utf8_validate_len(text, length, &end))
            return true;
        if (*end != '\0' || (size_t) (end - text) >= length)
            return false;
        length -= (size_t) (end - text) + 1;
        text = end + 1;
    }
    return true;
}

size_t cel_double_text(double value, char *buffer)
{
    char digits[32], *exponent;

    if (!isfinite(value))
        return (size_t) g_snprintf(buffer, 40, "%s", isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    for (int precision = 0; precision <= 17; precision++) {
        char format[8];

        g_snprintf(format, sizeof format, "%%.%de", precision);
        g_ascii_formatd(digits, sizeof digits, format, value);
        if (g_ascii_strtod(digits, NULL) == value)
            break;
    }
    exponent = strchr(digits, 'e');
    int power = atoi(exponent + 1);
    *exponent = '\0';
    if (value != 0 && (power < -6 || power >= 21))
        return (size_t) g_snprintf(buffer, 40, "%se%+d", digits, power);
    bool negative = *digits == '-';
    GString *plain = g_string_new(digits + negative);
    if (plain->len > 1)
        g_string_erase(plain, 1, 1);
    if (power < 0) {
        for (int i = 0; i < -power; i++)
            g_string_prepend_c(plain, '0');
        g_string_insert_c(plain, 1, '.');
    } else {
        while ((int) plain->len < power + 1)
            g_string_append_c(plain, '0');
        if ((int) plain->len > power + 1)
            g_string_insert_c(plain, power + 1, '.');
    }
    size_t n = (size_t) g_snprintf(buffer, 40, "%s%s", negative ? "-" : "", plain->str);
    g_string_free(plain, TRUE);
    return n;
}

static CelValue no_conversion(Run *run, const Node *node, CelValue from, const char *why)
{
    if (from.kind == CEL_STRING) {
        int shown = (int) MIN(from.extra, 40);

        while (shown > 0 && shown < (int) from.extra && ((unsigned char) from.as.text[shown] & 0xc0) == 0x80)
            shown--;
        return cel_fail(run, node, "%s(\"%.*s\"): %s", cel_functions[node->function].name, shown, from.as.text, why);
    }
    return cel_fail(run, node, "%s(): %s", cel_functions[node->function].name, why);
}

static CelValue parse_integer(Run *run, const Node *node, CelValue text, bool sign)
{
    char digits[32], *end;
    bool plausible = text.extra > 0 && text.extra < sizeof digits;

    for (uint32_t i = 0; plausible && i < text.extra; i++)
        plausible = g_ascii_isdigit(text.as.text[i]) || (i == 0 && sign && text.extra > 1 && (text.as.text[0] == '-' || text.as.text[0] == '+'));
    if (!plausible)
        return no_conversion(run, node, text, "a whole number is wanted");
    memcpy(digits, text.as.text, text.extra);
    digits[text.extra] = '\0';
    errno = 0;
    CelValue value = sign ? cel_int(g_ascii_strtoll(digits, &end, 10)) : cel_uint(g_ascii_strtoull(digits, &end, 10));
    return errno != 0 ? no_conversion(run, node, text, "out of range") : value;
}

static CelValue to_int(Run *run, const Node *node, CelValue v)
{
    switch (v.kind) {
    case CEL_INT:
        return v;
    case CEL_UINT:
        return v.as.uinteger > INT64_MAX ? no_conversion(run, node, v, "out of range") : cel_int((int64_t) v.as.uinteger);
    case CEL_DOUBLE: /* both ends are left out, as the specification wants it */
        return v.as.real > -0x1p63 && v.as.real < 0x1p63 ? cel_int((int64_t) v.as.real) : no_conversion(run, node, v, "out of range");
    case CEL_STRING:
        return parse_integer(run, node, v, true);
    case CEL_TIMESTAMP:
        return cel_int(v.as.seconds);
    default:
        return cel_no_overload(run, node, v, NULL);
    }
}

static CelValue to_uint(Run *run, const Node *node, CelValue v)
{
    switch (v.kind) {
    case CEL_UINT:
        return v;
    case CEL_INT:
        return v.as.integer < 0 ? no_conversion(run, node, v, "out of range") : cel_uint((uint64_t) v.as.integer);
    case CEL_DOUBLE:
        return v.as.real >= 0 && v.as.real < 0x1p64 ? cel_uint((uint64_t) v.as.real) : no_conversion(run, node, v, "out of range");
    case CEL_STRING:
        return parse_integer(run, node, v, false);
    default:
        return cel_no_overload(run, node, v, NULL);
    }
}

static CelValue to_double(Run *run, const Node *node, CelValue v)
{
    char text[400], *end;

    switch (v.kind) {
    case CEL_DOUBLE:
        return v;
    case CEL_INT:
        return cel_double((double) v.as.integer);
    case CEL_UINT:
        return cel_double((double) v.as.uinteger);
    case CEL_STRING: {
        if (v.extra == 0 || v.extra >= sizeof text || g_ascii_isspace(*v.as.text))
            return no_conversion(run, node, v, "a number is wanted");
        memcpy(text, v.as.text, v.extra);
        text[v.extra] = '\0';
        double value = g_ascii_strtod(text, &end);
        if (end != text + v.extra || strpbrk(text, "xX") != NULL)
            return no_conversion(run, node, v, "a number is wanted");
        return isinf(value) && strpbrk(text, "iI") == NULL ? no_conversion(run, node, v, "out of range") : cel_double(value);
    }
    default:
        return cel_no_overload(run, node, v, NULL);
    }
}

/* Into @buffer, of BUFFER_BYTES; a borrowed text otherwise. False: not of these kinds. */
#define BUFFER_BYTES 48
_Static_assert(BUFFER_BYTES >= CEL_TIME_TEXT_MAX, "times fit");
static bool write_scalar(CelValue v, char *buffer, CelValue *ret_text)
{
    size_t n;

    switch (v.kind) {
    case CEL_STRING:
        *ret_text = v;
        return true;
    case CEL_BOOL:
        *ret_text = cel_string(v.as.boolean ? "true" : "false");
        return true;
    case CEL_INT:
        n = (size_t) g_snprintf(buffer, BUFFER_BYTES, "%" PRId64, v.as.integer);
        break;
    case CEL_UINT:
        n = (size_t) g_snprintf(buffer, BUFFER_BYTES, "%" PRIu64, v.as.uinteger);
        break;
    case CEL_DOUBLE:
        n = cel_double_text(v.as.real, buffer);
        break;
    case CEL_TIMESTAMP:
        n = cel_time_format(v.as.seconds, v.extra, buffer);
        break;
    case CEL_DURATION:
        n = cel_duration_format(v.as.ns, buffer);
        break;
    default:
        return false;
    }
    *ret_text = cel_string_n(buffer, n);
    return true;
}

static CelValue to_string(Run *run, const Node *node, CelValue v)
{
    char buffer[BUFFER_BYTES];
    CelValue text;

    if (v.kind == CEL_BYTES)
        return !cel_pay(run, v.extra / 32)                  ? cel_out_of_memory(run, node)
               : cel_utf8_valid(v.as.text, v.extra) ? cel_string_n(v.as.text, v.extra) : no_conversion(run, node, v, "invalid UTF-8");
    if (!write_scalar(v, buffer, &text))
        return cel_no_overload(run, node, v, NULL);
    if (text.as.text != buffer)
        return text;
    text.as.text = cel_alloc_text(run->arena, buffer, text.extra);
    return text.as.text == NULL ? cel_out_of_memory(run, node) : text;
}

char *cel_text_of(CelValue value)
{
    char buffer[BUFFER_BYTES];
    CelValue text = value;

    if (value.kind == CEL_BYTES ? !cel_utf8_valid(value.as.text, value.extra) : !write_scalar(value, buffer, &text))
        return NULL;
    return g_strndup(text.as.text, text.extra);
}

static CelValue to_bool(Run *run, const Node *node, CelValue v)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

    if (v.kind == CEL_BOOL)
        return v;
    if (v.kind != CEL_STRING)
        return cel_no_overload(run, node, v, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (cel_equal(v, cel_string(yes[i])))
            return cel_bool(true);
        if (cel_equal(v, cel_string(no[i])))
            return cel_bool(false);
    }
    return no_conversion(run, node, v, "true or false is wanted");
}

static CelValue to_timestamp(Run *run, const Node *node, CelValue v)
{
    int64_t seconds;
    uint32_t ns;

    if (v.kind == CEL_TIMESTAMP)
        return v;
    if (v.kind == CEL_INT)
        return timestamp_checked(run, node, v.as.integer, 0);
    if (v.kind != CEL_STRING)
        return cel_no_overload(run, node, v, NULL);
    return cel_time_parse(v.as.text, v.extra, &seconds, &ns) ? cel_timestamp(seconds, ns)
                                                             : no_conversion(run, node, v, "a time of years 1 to 9999 as 2026-11-24T08:00:00Z is wanted");
}

static CelValue to_duration(Run *run, const Node *node, CelValue v)
{
    int64_t ns;

    if (v.kind == CEL_DURATION)
        return v;
    if (v.kind != CEL_STRING)
        return cel_no_overload(run, node, v, NULL);
    return cel_duration_parse(v.as.text, v.extra, &ns) ? cel_duration(ns) : no_conversion(run, node, v, "a duration within 292 years as 1h30m or 1.5s is wanted");
}

/* ---- texts ---- */

static CelValue size_of(Run *run, const Node *node, CelValue v)
{
    switch (v.kind) {
    case CEL_STRING:
        return cel_pay(run, v.extra / 32) ? cel_int((int64_t) cel_string_size(v)) : cel_out_of_memory(run, node);
    case CEL_BYTES:
        return cel_int(v.extra);
    case CEL_LIST:
        return cel_int((int64_t) v.as.list->n);
    case CEL_MAP:
        return cel_int((int64_t) v.as.map->n);
    default:
        return cel_no_overload(run, node, v, NULL);
    }
}

static CelValue matches(Run *run, const Node *node, CelValue text, CelValue pattern)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CelRegex) own = NULL;
    const CelRegex *regex = node->regex;

    if (regex == NULL) {
        uint64_t work;

        own = cel_regex_new_counted(pattern.as.text, pattern.extra, &work, &error);
        regex = own;
        if (!cel_pay(run, work))
            return cel_out_of_memory(run, node);
    }
    if (regex == NULL)
        return cel_fail(run, node, "%s", error->message);
    if (!cel_pay(run, 2 + (uint64_t) text.extra * (4 + cel_regex_size(regex)) / 16))
        return cel_out_of_memory(run, node);
    return cel_bool(cel_regex_matches(regex, text.as.text, text.extra));
}

static CelValue text_call(Run *run, const Node *node, CelValue text, CelValue part)
{
    if (text.kind != CEL_STRING || part.kind != CEL_STRING)
        return cel_no_overload(run, node, text, &part);
    size_t n = text.extra, m = part.extra;
    switch (node->function) {
    case FUNCTION_CONTAINS:
        return cel_pay(run, (n + m) / 16) ? cel_bool(m <= n && memmem(text.as.text, n, part.as.text, m) != NULL) : cel_out_of_memory(run, node);
    case FUNCTION_STARTS_WITH:
        return cel_bool(m <= n && memcmp(text.as.text, part.as.text, m) == 0);
    case FUNCTION_ENDS_WITH:
        return cel_bool(m <= n && memcmp(text.as.text + n - m, part.as.text, m) == 0);
    default:
        return matches(run, node, text, part);
    }
}

/* ---- times ---- */

static CelValue of_duration(Run *run, const Node *node, int64_t ns)
{
    switch (node->function) {
    case FUNCTION_HOURS:
        return cel_int(ns / INT64_C(3600000000000));
    case FUNCTION_MINUTES:
        return cel_int(ns / INT64_C(60000000000));
    case FUNCTION_SECONDS:
        return cel_int(ns / 1000000000);
    case FUNCTION_MILLISECONDS:
        return cel_int(ns % 1000000000 / 1000000);
    default:
        return cel_no_overload(run, node, cel_duration(ns), NULL);
    }
}

static CelValue time_call(Run *run, const Node *node, CelValue time, const CelValue *zone_name)
{
    static const CelTimePart parts[FUNCTION_N] = {
        [FUNCTION_FULL_YEAR] = CEL_PART_FULL_YEAR,     [FUNCTION_MONTH] = CEL_PART_MONTH,
        [FUNCTION_DATE] = CEL_PART_DATE,               [FUNCTION_DAY_OF_MONTH] = CEL_PART_DAY_OF_MONTH,
        [FUNCTION_DAY_OF_WEEK] = CEL_PART_DAY_OF_WEEK, [FUNCTION_DAY_OF_YEAR] = CEL_PART_DAY_OF_YEAR,
        [FUNCTION_HOURS] = CEL_PART_HOURS,             [FUNCTION_MINUTES] = CEL_PART_MINUTES,
        [FUNCTION_SECONDS] = CEL_PART_SECONDS,         [FUNCTION_MILLISECONDS] = CEL_PART_MILLISECONDS,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(CelZone) own = NULL;
    const CelZone *zone = node->zone;

    if (time.kind == CEL_DURATION && zone_name == NULL)
        return of_duration(run, node, time.as.ns);
    if (time.kind != CEL_TIMESTAMP || (zone_name != NULL && zone_name->kind != CEL_STRING))
        return cel_no_overload(run, node, time, zone_name);
    if (zone_name != NULL && zone == NULL) {
        if (!cel_pay(run, 1000))
            return cel_out_of_memory(run, node);
        own = cel_zone_new(zone_name->as.text, zone_name->extra, &error);
        if (own == NULL)
            return cel_fail(run, node, "%s", error->message);
        zone = own;
    }
    return cel_int(cel_time_get(parts[node->function], time.as.seconds, time.extra, zone));
}

CelValue cel_call(Run *run, const Node *node, const CelValue *args)
{
    switch (node->function) {
    case FUNCTION_SIZE:
        return size_of(run, node, args[0]);
    case FUNCTION_CONTAINS:
    case FUNCTION_STARTS_WITH:
    case FUNCTION_ENDS_WITH:
    case FUNCTION_MATCHES:
        return text_call(run, node, args[0], args[1]);
    case FUNCTION_INT:
        return to_int(run, node, args[0]);
    case FUNCTION_UINT:
        return to_uint(run, node, args[0]);
    case FUNCTION_DOUBLE:
        return to_double(run, node, args[0]);
    case FUNCTION_STRING:
        return to_string(run, node, args[0]);
    case FUNCTION_BYTES:
        return args[0].kind == CEL_BYTES    ? args[0]
               : args[0].kind == CEL_STRING ? cel_bytes(args[0].as.text, args[0].extra)
                                            : cel_no_overload(run, node, args[0], NULL);
    case FUNCTION_BOOL:
        return to_bool(run, node, args[0]);
    case FUNCTION_TIMESTAMP:
        return to_timestamp(run, node, args[0]);
    case FUNCTION_DURATION:
        return to_duration(run, node, args[0]);
    case FUNCTION_TYPE:
        return cel_type(args[0].kind);
    case FUNCTION_DYN:
        return args[0];
    default:
        return time_call(run, node, args[0], node->n == 2 ? &args[1] : NULL);
    }
}
