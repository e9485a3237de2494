#include "consumers/policy/engine/span.h"

char *span_text(int64_t us)
{
    static const struct {
        int64_t us;
        const char *unit;
    } units[] = { { 24 * US_PER_HOUR, "d" }, { US_PER_HOUR, "h" }, { US_PER_MINUTE, "m" }, { US_PER_S, "s" }, { US_PER_MS, "ms" } };
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (us >= units[i].us) {
            g_string_append_printf(text, "%" G_GINT64_FORMAT "%s", us / units[i].us, units[i].unit);
            us %= units[i].us;
        }
    return g_string_free(text->len == 0 ? g_string_append_c(text, '0') : text, FALSE);
}
